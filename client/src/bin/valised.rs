//! `valised --config F`: the daemon of a bureau or mission; with `--check` reads everything and opens nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use valise_client::daemon::{self, DaemonError};

/// Runs the Valise daemon of a bureau or mission.
#[derive(Debug, Parser)]
#[command(name = "valised", version)]
struct Args {
    /// The configuration file, client.toml.
    #[arg(long)]
    config: PathBuf,
    /// Read configuration, papers, roster and lists, say what is wrong, and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = valise_host::logs::init("valised", "info") {
        tracing::error!(event = "ended", %error);
        return ExitCode::FAILURE;
    }
    let done = if args.check { daemon::check(&args.config) } else { serve(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "ended", exit = error.exit().number(), %error);
            error.exit().into()
        }
    }
}

fn serve(args: &Args) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(daemon::run(&args.config))
}
