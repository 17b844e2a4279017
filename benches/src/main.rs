//! The figures: `cargo run --release -p valise-benches -- seal` prints a table of medians. Figures are of the
//! machine they ran on; benches/README.md says which.

use std::io::Write;
use std::process::ExitCode;

mod seal;
mod table;

const USAGE: &str = "usage: figures NAME, where NAME is: seal";

fn main() -> ExitCode {
    let name = std::env::args().nth(1);
    let rows = match name.as_deref() {
        Some("seal") => seal::figures(),
        _ => {
            writeln!(std::io::stderr(), "{USAGE}").ok(); // without a terminal the exit code says it
            return ExitCode::from(2);
        }
    };
    match table::print(&mut std::io::stdout().lock(), &rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // nobody reads any more
    }
}
