//! The demonstration: one story of real programs, told line by line while it happens. Ends with figures, and with 0
//! only if every step held.
//!
//! Rooms: `scenes` what happens · `figures` what is counted.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Error;

mod figures;
mod scenes;

use figures::{Figures, Step, rounded};
use scenes::{SCENES, Stage};

use crate::interrupt;
use crate::voice::Voice;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    json: bool,
    keep: bool,
}

const HELP: &str = "\
Plays the story of Valise: papers, a relay, three parties, a cut, a kill, a stranger, a flipped bit.

Usage: cargo demo [--json] [--keep]

  --json  print one JSON object with figures on standard output, the story on standard error
  --keep  leave the directory behind and say how to look around in it";

/// How the command line was not understood, or that help was asked for.
fn parse(args: impl Iterator<Item = String>) -> Result<Option<Wanted>, String> {
    let mut wanted = Wanted::default();
    for arg in args {
        match arg.as_str() {
            "--json" => wanted.json = true,
            "--keep" => wanted.keep = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("demo: `{other}` is not an option; see `cargo demo --help`")),
        }
    }
    Ok(Some(wanted))
}

/// Plays the story; `args` without the program's name.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let wanted = match parse(args) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => {
            Voice::new(false).say(HELP);
            return ExitCode::SUCCESS;
        }
        Err(what) => {
            Voice::new(true).say(&what);
            return ExitCode::from(2);
        }
    };
    let voice = Voice::new(wanted.json);
    voice.say("Valise: real programs, real certificates, real files, in a directory that goes away");
    interrupt::watch();
    let start = Instant::now();
    let mut stage = Stage::default();
    let mut steps = Vec::new();
    let fault = play(&voice, &mut stage, &mut steps);
    let error = fault.as_ref().map(|(_, error)| format!("{error:#}"));
    let figures = Figures::new(start.elapsed(), &stage, steps, error);
    match &fault {
        None => voice.say(&figures.line()),
        Some((name, error)) => voice.say(&format!("the step `{name}` did not hold: {error:#}")),
    }
    leave(&voice, &mut stage, wanted, figures.ok());
    if wanted.json {
        voice.result(&figures.json());
    }
    if figures.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays scene after scene; the first that does not hold ends the story.
fn play(voice: &Voice, stage: &mut Stage, steps: &mut Vec<Step>) -> Option<(&'static str, Error)> {
    for (name, scene) in SCENES {
        let start = Instant::now();
        let told = scene(stage);
        interrupt::pass();
        let seconds = start.elapsed().as_secs_f64();
        let text = match &told {
            Ok(text) => text.as_str(),
            Err(_) => name,
        };
        voice.step(steps.len() + 1, text, seconds, told.is_ok());
        steps.push(Step { name, ok: told.is_ok(), seconds: rounded(seconds) });
        if let Err(error) = told {
            return Some((name, error));
        }
    }
    None
}

/// What becomes of the directory, and what to try next.
fn leave(voice: &Voice, stage: &mut Stage, wanted: Wanted, held: bool) {
    let Some(lab) = stage.lab.as_mut() else { return };
    let dir = lab.dir().display().to_string();
    if !held {
        lab.keep();
        voice.say(&format!("the logs are in {dir}/logs; the directory is kept"));
    } else if wanted.keep {
        lab.keep();
        voice.say(&format!("kept in {dir}: papers, configurations, stores, logs. To look around:"));
        voice.say(&format!("  target/release/valise-relay --config {dir}/relay/relay.toml &"));
        voice.say(&format!(
            "  for p in fr br minustah; do target/release/valised --config {dir}/parties/$p/client.toml & done"
        ));
        voice.say(&format!("  target/release/valise --socket {dir}/parties/br/api.sock inbox"));
    } else {
        voice
            .say("by hand: target/release/valisectl init LAB --party fr --party br, and start what it names");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Option<Wanted>, String> {
        parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn options_are_understood_or_refused() {
        assert_eq!(parsed(&[]).unwrap(), Some(Wanted::default()));
        assert_eq!(parsed(&["--json", "--keep"]).unwrap(), Some(Wanted { json: true, keep: true }));
        assert_eq!(parsed(&["--keep", "-h"]).unwrap(), None);
        assert!(parsed(&["--jason"]).unwrap_err().contains("--jason"));
    }
}
