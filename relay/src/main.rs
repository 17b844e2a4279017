//! `valise-relay --config F`: runs the relay; with `--check` reads everything and binds nothing; with `queue verify` walks
//! the store of one that is stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use valise_relay::fault::RunError;
use valise_relay::{offline, run};

/// Runs a Valise relay.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    /// The configuration file, relay.toml.
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    /// Read configuration, papers, roster and lists, say what is wrong, and exit.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Work on the queue of a relay that is stopped.
    #[command(subcommand)]
    Queue(QueueVerb),
}

#[derive(Debug, Subcommand)]
enum QueueVerb {
    /// Walk every record, name what is damaged, and end with 9 if anything is.
    Verify {
        /// The configuration file, relay.toml.
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = valise_host::logs::init("valise-relay", "info") {
        tracing::error!(event = "ended", %error);
        return ExitCode::FAILURE;
    }
    let config = args.config.unwrap_or_default(); // there is one wherever it is asked for
    let done = match args.what {
        Some(What::Queue(QueueVerb::Verify { config })) => offline::verify(&config),
        None if args.check => run::check(&config),
        None => serve(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "ended", exit = error.exit().number(), error = %error);
            error.exit().into()
        }
    }
}

fn serve(config: &Path) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(config))
}
