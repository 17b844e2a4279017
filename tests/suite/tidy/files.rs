//! How a file is kept: short, opened by a sentence, named by a word of the trade, finished. The length of
//! functions is clippy's to judge (too_many_lines).

use super::{judge, read, sources, tracked};

/// Lines of a Rust file. Above this a file holds two rooms; 150 to 300 is what we aim for.
const FILE_LINES_MAX: usize = 500;

/// Lines of a program's entry: parse, call, print, exit code. The rest belongs to a library room.
const ENTRY_LINES_MAX: usize = 80;

/// Names that say nothing: what lies there has a better one.
const EMPTY_NAMES: &[&str] = &["utils", "common", "helpers", "manager", "handler", "core"];

/// Marks of unfinished work, spelt in two halves so that this file does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("#[ig", "nore"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
];

#[test]
fn a_file_is_short() {
    let faults: Vec<_> = sources()
        .into_iter()
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines, {FILE_LINES_MAX} are allowed"))
        .collect();
    judge(
        &faults,
        "Move the tests out to a file of their own first, then look for the seam between two rooms.",
    );
}

#[test]
fn a_file_opens_with_what_it_does() {
    let faults: Vec<_> = sources().into_iter().filter(|path| !read(path).starts_with("//! ")).collect();
    judge(&faults, "Begin with one to five `//!` lines: what this room does, what it never does.");
}

#[test]
fn an_entry_only_enters() {
    let faults: Vec<_> = sources()
        .into_iter()
        .filter(|path| path.ends_with("src/main.rs") || path.contains("src/bin/"))
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines >= ENTRY_LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines, fewer than {ENTRY_LINES_MAX} are allowed"))
        .collect();
    judge(&faults, "Move the work into a room of the library; the entry parses, calls, prints and exits.");
}

#[test]
fn a_path_is_made_of_words_of_the_trade() {
    let mut paths = tracked();
    paths.extend(sources());
    let empty = |part: &str| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or(part));
    let mut faults: Vec<_> = paths.into_iter().filter(|path| path.split('/').any(empty)).collect();
    faults.dedup();
    judge(&faults, "Name the file after the thing it holds (listener, router, outbox), not after its rank.");
}

#[test]
fn a_module_is_named_by_its_file() {
    let faults: Vec<_> = sources().into_iter().filter(|path| path.ends_with("/mod.rs")).collect();
    judge(&faults, "Call it `room.rs` beside the directory `room/`, so that every tab has its own name.");
}

#[test]
fn nothing_is_half_done() {
    let mut faults = Vec::new();
    for path in sources() {
        for (at, line) in read(&path).lines().enumerate() {
            let marks = UNFINISHED.iter().filter(|mark| line.contains(**mark));
            faults.extend(marks.map(|mark| format!("{path}:{}: `{mark}`", at + 1)));
        }
    }
    judge(&faults, "Finish it, or take it out: what is in the tree works and is tested.");
}
