//! What the aliases `cargo demo`, `cargo verify`, `cargo torture` and `cargo figures` start. It builds and runs the
//! other programs and stands on nothing but the standard library, so that it is there at once on a fresh machine.

mod machine;
mod programs;
mod stages;
mod step;

use std::process::ExitCode;

use machine::Machine;
use programs::Program;

const USAGE: &str = "\
usage: cargo demo [--json] [--keep]   build the programs and play the demonstration
       cargo verify                   run every check of the house, one stage after the other
       cargo torture [NAME] …         run the long form of a fault run; without a name, list them
       cargo figures [NAME] …         run a benchmark; without a name, list them";

/// A command line that no command answers to (the exit codes are the same in all our tools).
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let program = command.as_deref().and_then(Program::named);
    let outcome = match (command.as_deref(), program, rest.as_slice()) {
        (_, Some(program), _) => Machine::look().and_then(|machine| programs::play(program, &machine, &rest)),
        (Some("verify"), None, [only]) if matches!(only.as_str(), "--help" | "-h") => {
            step::note(USAGE);
            return ExitCode::SUCCESS;
        }
        (Some("verify"), None, []) => Machine::look().and_then(|machine| stages::run_all(&machine)),
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
