//! `valise-relay --config F`: runs the relay; with `--check` reads everything and binds nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use valise_relay::fault::RunError;
use valise_relay::run;

/// Runs a Valise relay.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The configuration file, relay.toml.
    #[arg(long)]
    config: PathBuf,
    /// Read configuration, papers, roster and lists, say what is wrong, and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = valise_host::logs::init("valise-relay", "info") {
        tracing::error!(event = "ended", %error);
        return ExitCode::FAILURE;
    }
    let done = if args.check { run::check(&args.config) } else { serve(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "ended", exit = error.exit().number(), error = %error);
            error.exit().into()
        }
    }
}

fn serve(args: &Args) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(&args.config))
}
