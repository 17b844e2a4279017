//! The events of the logs: what a program can log stands in the pages of its operator with its level, what it means and
//! what to do; and nothing stands there that no program logs.

use std::collections::BTreeMap;

use super::{judge, read, sources};

/// Each program's page, and where the events come from that it may log. The machine's rooms log for both.
const PAGES: &[(&str, [&str; 2])] = &[
    ("relay/OPERATING.md", ["relay/src/", "proto/host/src/"]),
    ("client/OPERATING.md", ["client/src/", "proto/host/src/"]),
];

/// How an event is written: as a field of a macro of `tracing`, and by hand where the logger may be what failed.
const EVENT_MARKS: [&str; 2] = ["event = \"", "\"event\": \""];

/// The level stands before the event, in one of these forms.
const LEVEL_MARKS: [(&str, &str); 6] = [
    ("tracing::error!", "error"),
    ("\"level\": \"ERROR\"", "error"),
    ("tracing::warn!", "warn"),
    ("tracing::info!", "info"),
    ("tracing::debug!", "debug"),
    ("tracing::trace!", "trace"),
];

#[test]
fn every_event_is_explained_and_nothing_else_is() {
    let mut faults = Vec::new();
    for (page, places) in PAGES {
        let shown = rows(&read(page));
        let mut logged = BTreeMap::new();
        let logs =
            |path: &String| places.iter().any(|place| path.starts_with(place)) && !path.contains("/tests");
        for path in sources().into_iter().filter(logs) {
            let found = events(&read(&path)).into_iter();
            logged.extend(found.map(|(event, level)| (event, (level, path.clone()))));
        }
        for (event, (level, path)) in &logged {
            match shown.get(event) {
                None => faults.push(format!("{page}: `{event}` of {path} is not explained")),
                Some(row) if row.level != *level => {
                    faults.push(format!("{page}: `{event}` is {level} in {path}, not {}", row.level));
                }
                Some(row) if row.meaning.is_empty() => {
                    faults.push(format!("{page}: `{event}` has no meaning"))
                }
                Some(row) if row.advice.is_empty() && matches!(row.level.as_str(), "warn" | "error") => {
                    faults.push(format!("{page}: `{event}` calls for somebody, and does not say what to do"))
                }
                Some(_) => {}
            }
        }
        let unknown = shown.keys().filter(|event| !logged.contains_key(*event));
        faults.extend(unknown.map(|event| format!("{page}: nothing logs `{event}`")));
        assert!(logged.len() > 15, "{page}: only {} events were found", logged.len());
    }
    judge(&faults, "Correct the table under `Log events`: id, level, meaning, what to do.");
}

/// What a page says of one event.
struct Row {
    level: String,
    meaning: String,
    advice: String,
}

/// The rows of the table under `Log events`.
fn rows(page: &str) -> BTreeMap<String, Row> {
    let table = page.split_once("## Log events").map_or("", |(_, table)| table);
    let table = table.split("\n## ").next().unwrap_or_default();
    let cells = |line: &str| line.split('|').map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    let row = |line| {
        let cells = cells(line);
        let event = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        Some((
            event,
            Row {
                level: cells.get(2)?.clone(),
                meaning: cells.get(3)?.clone(),
                advice: cells.get(4)?.clone(),
            },
        ))
    };
    table.lines().filter_map(row).collect()
}

/// The events of a source, each with the level of the macro it stands in.
fn events(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for mark in EVENT_MARKS {
        for (at, _) in source.match_indices(mark) {
            let event = source[at + mark.len()..].split('"').next().unwrap_or_default();
            let before = &source[..at];
            let level =
                LEVEL_MARKS.iter().filter_map(|(mark, level)| Some((before.rfind(mark)?, *level))).max();
            found.push((event.to_owned(), level.map_or("no level", |(_, level)| level).to_owned()));
        }
    }
    found
}

#[test]
fn an_event_is_read_with_its_level() {
    let source = "tracing::warn!(\n    event = \"late\",\n    days);\ntracing::info!(event = \"done\");\n\
                  json!({\"level\": \"ERROR\", \"event\": \"fell\"})";
    let mut found = events(source);
    found.sort();
    let expected = [("done", "info"), ("fell", "error"), ("late", "warn")];
    assert_eq!(found, expected.map(|(event, level)| (event.to_owned(), level.to_owned())));
}
