//! The verbs that ask a running relay: arguments to a question, answers to what is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use valise_proto::admin::{AskConnections, AskDrain, AskStatus, answer::Kind, question::Verb};

use crate::fault::MintFault;
use crate::relay::{Asked, RelayFault, socket_of, told};
use crate::told::Told;

/// Where the relay is found.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct At {
    /// The relay's socket, admin.sock
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The relay's configuration, relay.toml, which names the socket
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RelayVerb {
    /// Say how it stands, what waits, and what runs out next
    Status {
        #[command(flatten)]
        at: At,
    },
    /// List the devices that are connected
    Connections {
        #[command(flatten)]
        at: At,
    },
    /// Let the sessions leave, then end the relay in order, as SIGTERM does
    Drain {
        #[command(flatten)]
        at: At,
        /// Return only when the relay has stopped
        #[arg(long)]
        wait: bool,
        /// How long to wait at most, seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
        timeout: u32,
    },
}

impl At {
    fn ask(&self, verb: Verb) -> Result<Asked, RelayFault> {
        let path = match (&self.socket, &self.config) {
            (Some(socket), _) => socket.clone(),
            (None, Some(config)) => socket_of(config)?,
            (None, None) => unreachable!("the command line names one of them"),
        };
        Asked::relay(&path, verb)
    }

    /// A question whose answers are read to their end, then made into what is told.
    fn tell(&self, verb: Verb, read: impl FnOnce(Vec<Kind>) -> Option<Told>) -> Result<Told, RelayFault> {
        let mut asked = self.ask(verb)?;
        let mut answers = Vec::new();
        while let Some(answer) = asked.hear()? {
            answers.push(answer);
        }
        read(answers).ok_or_else(|| asked.not_understood())
    }
}

/// Does what was asked; `say` is given each thing to tell as soon as it is known.
pub(super) fn perform(
    verb: &RelayVerb,
    mut say: impl FnMut(Told) -> Result<(), MintFault>,
) -> Result<(), MintFault> {
    match verb {
        RelayVerb::Status { at } => say(at.tell(Verb::Status(AskStatus {}), told::status)?),
        RelayVerb::Connections { at } => {
            say(at.tell(Verb::Connections(AskConnections {}), told::connections)?)
        }
        RelayVerb::Drain { at, wait, timeout } => {
            let mut asked = at.ask(Verb::Drain(AskDrain { wait: *wait }))?;
            let Some(Kind::Draining(draining)) = asked.hear()? else {
                return Err(asked.not_understood().into());
            };
            say(told::draining(draining.sessions))?;
            if *wait {
                asked.stopped(Duration::from_secs(u64::from(*timeout)))?;
                say(told::stopped())?;
            }
            Ok(())
        }
    }
}
