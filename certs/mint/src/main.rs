//! `valisectl`: the administrator's tool. Everything is in the library; this hands over the arguments.

use std::process::ExitCode;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let code = valise_mint::cli::run(std::env::args_os()).context("cannot write the answer")?;
    Ok(code.into())
}
