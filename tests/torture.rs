//! `cargo torture`: runs the long form of a fault run and ends with its exit code. Builds nothing; verify has done
//! that.

use std::process::ExitCode;

fn main() -> ExitCode {
    valise_lab::torture::main(std::env::args().skip(1))
}
