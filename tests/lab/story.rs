//! Story.
use std::process::ExitCode;
/// Plays.
pub fn main(_args: impl Iterator<Item = String>) -> ExitCode {
    ExitCode::SUCCESS
}
