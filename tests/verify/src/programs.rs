//! `cargo demo`, `cargo torture` and `cargo figures`: builds the programs, then becomes the one that was asked for.
//! Prints nothing on stdout, which belongs to that program.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::machine::{Machine, OWN_DIRECTORY};
use crate::step;

/// A program that an alias stands for, built beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The story.
    Demo,
    /// The benchmarks.
    Figures,
    /// The long form of every fault run.
    Torture,
}

impl Program {
    /// The word behind `cargo`, which is the name of the program too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Figures => "figures",
            Self::Torture => "torture",
        }
    }

    /// The program behind the word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Demo, Self::Figures, Self::Torture].into_iter().find(|program| program.name() == word)
    }

    fn build(self, machine: &Machine) -> Command {
        match self {
            Self::Demo | Self::Torture => machine.build_programs(),
            Self::Figures => machine.build_figures(),
        }
    }
}

/// Builds, then replaces this process by the program: its exit code and signals are its own.
pub(crate) fn play(program: Program, machine: &Machine, args: &[String]) -> Result<(), String> {
    let name = program.name();
    step::note(&format!("{name}: building the programs (minutes the first time, a moment afterwards)"));
    step::run("build", &mut program.build(machine))?;
    let path = machine.built(name);
    let failed = Command::new(&path).args(args).env_remove(OWN_DIRECTORY).exec();
    Err(format!("{name}: cannot start {}: {failed}", path.display()))
}
