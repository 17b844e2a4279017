//! `cargo demo`: plays the story and ends with its exit code. Builds nothing; verify has done that.

use std::process::ExitCode;

fn main() -> ExitCode {
    valise_lab::story::main(std::env::args().skip(1))
}
