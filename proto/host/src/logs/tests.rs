//! Stories about a log line: what it carries, what it never does, what a panic leaves. Each runs as a child process,
//! because a logger and a panic hook belong to a whole process.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use super::*;

const ROLE: &str = "VALISE_LOGS_TEST_ROLE";
const CANARY: &str = "canary-9f3a";

/// Not a story of its own: what the children of the others do.
#[test]
fn child() {
    match env::var(ROLE).as_deref() {
        Ok("event") => {
            init("valise-relay", "info").unwrap();
            tracing::info!(event = "session.opened", device = brief(b"fr/gw1"));
            tracing::debug!(event = "too.quiet");
            assert!(matches!(init("valise-relay", "info"), Err(LogsError::Twice)));
        }
        Ok("panic-made") => {
            init("valise-relay", "info").unwrap();
            panic!("key {CANARY} at {}", env::args().count());
        }
        Ok("panic-literal") => {
            init("valise-relay", "info").unwrap();
            panic!("invariant: a literal");
        }
        _ => {}
    }
}

fn run(role: &str) -> Output {
    let exe = env::current_exe().unwrap();
    let mut command = Command::new(exe);
    command.args(["--exact", "logs::tests::child", "--nocapture"]).env(ROLE, role).output().unwrap()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

#[test]
fn an_event_is_one_flat_object_on_standard_error() {
    let output = run("event");
    assert!(output.status.success());
    let lines = lines(&output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["event"], "session.opened");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["device"], brief(b"fr/gw1"));
    assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_panic_aborts_with_one_line_that_tells_the_place_and_no_contents() {
    let output = run("panic-made");
    assert_eq!(output.status.signal(), Some(6), "aborted");
    let lines = lines(&output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["event"], "program-panicked");
    assert_eq!(lines[0]["program"], "valise-relay");
    assert!(lines[0]["place"].as_str().unwrap().contains("logs/tests.rs"));
    assert!(lines[0]["message"].is_null());
    assert!(!String::from_utf8_lossy(&output.stderr).contains(CANARY));
}

#[test]
fn a_literal_message_is_kept() {
    assert_eq!(lines(&run("panic-literal"))[0]["message"], "invariant: a literal");
}

#[test]
fn a_level_that_is_none_is_refused_in_one_line() {
    for level in ["info", "trace", "info,valise_relay=debug"] {
        filter(level).unwrap();
    }
    for (level, shown) in
        [("loud\n", "loud"), ("info,lo=u=d", "info,lo=u=d"), ("", ""), ("info,quinn", "info,quinn")]
    {
        let text = filter(level).unwrap_err().to_string();
        assert_eq!(text, format!("`{shown}` is no log level; use error, warn, info, debug or trace"));
    }
}

#[test]
fn a_brief_id_is_eight_bytes_of_hash() {
    assert_eq!(brief(b"").len(), 16);
    assert_eq!(brief(b""), "e3b0c44298fc1c14");
}
