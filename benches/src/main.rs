//! The figures: `cargo figures NAME` measures, prints its section of benches/README.md and writes it there.
//!
//! Every run is bounded and stops by itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod bounds;
mod envelopes;
mod federation;
mod machine;
mod page;
mod process;
mod queue;
mod relay;
mod seal;
mod table;
mod tally;
mod yardstick;

use bounds::Bounds;

/// Measures and writes a section of benches/README.md. Figures are of the machine they ran on: quote ratios.
#[derive(Debug, Parser)]
#[command(name = "figures")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sealing and opening, one thread: a text to 1 and to 187 mailboxes, a large file.
    Seal,
    /// The durable queue alone: 1, 64 and 1024 writers, and the disk's own rate of syncs beside it.
    Queue(Bounds),
    /// The relay as a process, end to end through mutual TLS, and a bare yardstick beside it.
    Relay(Bounds),
    /// One step of the backlog; `queue` starts it by itself.
    #[command(hide = true)]
    Backlog {
        /// Which.
        step: queue::backlog::Step,
        /// Where the store lies.
        dir: PathBuf,
    },
    /// The yardstick's server; `relay` starts it by itself.
    #[command(hide = true)]
    Yardstick {
        /// The federation whose papers it shows.
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    if std::env::args().len() == 1 {
        // Nothing asked for is a question for the list, not a wrong word.
        return if Args::command().print_help().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let done = match Args::parse().what {
        What::Seal => page::publish(&seal::figures()),
        What::Queue(bounds) => queue::figures(bounds).and_then(|section| page::publish(&section)),
        What::Relay(bounds) => relay::figures(bounds).and_then(|section| page::publish(&section)),
        What::Backlog { step, dir } => queue::backlog::carry_out(step, &dir),
        What::Yardstick { dir } => yardstick::serve(&dir),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            page::complain(&error);
            ExitCode::FAILURE
        }
    }
}
