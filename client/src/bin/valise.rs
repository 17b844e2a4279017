//! `valise`, the command line of a desk: hands the process's streams to the library and ends with its exit code.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::process::ExitCode;

use valise_client::cli::{Terminal, run};

fn main() -> ExitCode {
    let mut terminal = Terminal {
        stdin: &mut stdin().lock(),
        stdin_is_terminal: stdin().is_terminal(),
        stdout: &mut stdout().lock(),
        stderr: &mut stderr().lock(),
        socket: std::env::var_os("VALISE_SOCKET").map(Into::into),
    };
    run(std::env::args_os(), &mut terminal).into()
}
