//! What the aliases `cargo demo` and `cargo verify` start. It builds and runs the other programs and
//! stands on nothing but the standard library, so that it is there at once on a fresh machine.

mod demo;
mod machine;
mod stages;
mod step;

use std::process::ExitCode;

use machine::Machine;

const USAGE: &str = "\
usage: cargo demo [--json] [--keep]   build the programs and play the demonstration
       cargo verify                   run every check of the house, one stage after the other";

/// A command line that no command answers to (the exit codes are the same in all our tools).
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let outcome = match (command.as_deref(), rest.as_slice()) {
        (Some("demo"), _) => Machine::look().and_then(|machine| demo::play(&machine, &rest)),
        (Some("verify"), [only]) if matches!(only.as_str(), "--help" | "-h") => {
            step::note(USAGE);
            return ExitCode::SUCCESS;
        }
        (Some("verify"), []) => Machine::look().and_then(|machine| stages::run_all(&machine)),
        _ => {
            step::note(USAGE);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            step::note(&failure);
            ExitCode::FAILURE
        }
    }
}
