//! `cargo demo`: builds the programs, then becomes the demonstration itself. Prints nothing on stdout,
//! which belongs to the demonstration.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::machine::{Machine, OWN_DIRECTORY};
use crate::step;

/// Builds, then replaces this process by the demonstration: its exit code and signals are its own.
pub(crate) fn play(machine: &Machine, args: &[String]) -> Result<(), String> {
    step::note("demo: building the programs (minutes the first time, a moment afterwards)");
    step::run("build", &mut machine.build_programs())?;
    let program = machine.demonstration();
    let failed = Command::new(&program).args(args).env_remove(OWN_DIRECTORY).exec();
    Err(format!("demo: cannot start {}: {failed}", program.display()))
}
