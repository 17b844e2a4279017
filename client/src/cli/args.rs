//! The command line as typed: verbs, options, and the words they take. Reads nothing but the arguments.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use valise_proto::kinds::Precedence;

use super::span::parse_span;
use crate::answer::State;
use crate::exit::ExitCode;

/// Columns that help is written for.
const HELP_COLUMNS: usize = 100;

/// The exit codes, as every tool of Valise ends, in lines that fit.
fn exit_codes() -> String {
    let mut lines = vec!["Exit codes:".to_owned()];
    for (at, code) in ExitCode::ALL.into_iter().enumerate() {
        let entry =
            format!(" {} {code}{}", code.number(), if at + 1 < ExitCode::ALL.len() { "," } else { "" });
        match lines.last_mut() {
            Some(line) if line.len() + entry.len() <= HELP_COLUMNS => line.push_str(&entry),
            Some(_) | None => lines.push(format!(" {entry}")),
        }
    }
    lines.join("\n")
}

/// Sends and reads messages through the daemon of this desk.
#[derive(Debug, Parser)]
#[command(name = "valise", version, after_help = exit_codes())]
pub(super) struct Args {
    /// The daemon's socket; else the environment variable VALISE_SOCKET.
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Answer in JSON, one object per line; errors too, on standard error.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Send a message; the body is read from standard input.
    Send(Order),
    /// List the received messages.
    Inbox {
        /// Only the newest N.
        #[arg(long, value_name = "N")]
        limit: Option<NonZeroUsize>,
        /// End with 10 when there is none.
        #[arg(long)]
        exit_status: bool,
    },
    /// Show a received message; makes it `opened`.
    Show {
        /// The message id.
        id: String,
        /// Write the body and each attachment into this directory, overwriting nothing.
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
    /// Acknowledge a received message; its sender is told.
    Ack {
        /// The message id.
        id: String,
    },
    /// Say where a sent message stands with each recipient.
    Track {
        /// The message id.
        id: String,
    },
    /// Say how link, outbox and inbox stand.
    Status,
}

/// A message to be sent.
#[derive(Debug, ClapArgs)]
pub(super) struct Order {
    /// Mailboxes that are to act: `br`, `fr/fugitives`.
    #[arg(required = true, value_name = "TO")]
    pub(super) to: Vec<String>,
    /// A mailbox that is to know; may be repeated.
    #[arg(long, value_name = "TO")]
    pub(super) info: Vec<String>,
    /// deferred, routine, priority, immediate, flash or override.
    #[arg(long, value_name = "P")]
    pub(super) precedence: Option<Precedence>,
    /// The subject, at most 512 bytes.
    #[arg(long, value_name = "S")]
    pub(super) subject: Option<String>,
    /// A file to attach; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(super) attach: Vec<PathBuf>,
    /// Wait until every recipient reached: queued, relayed, delivered, opened or acknowledged.
    #[arg(long, value_name = "STATE")]
    pub(super) wait: Option<State>,
    /// How long to wait: 500ms, 60s, 5m, 2h.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span)]
    pub(super) timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_tree_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_help_is_over_forty_lines() {
        let mut command = Args::command();
        command.build();
        let helps = command.get_subcommands_mut().map(|verb| verb.render_help().to_string());
        for help in helps.collect::<Vec<_>>().into_iter().chain([Args::command().render_help().to_string()]) {
            assert!(help.lines().count() <= 40 && help.lines().all(|line| line.len() <= 110), "{help}");
        }
    }
}
