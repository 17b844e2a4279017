//! The command line: a thin client of the local API. Says what the daemon answers, waits when asked, and ends with the
//! exit codes of `exit`. Knows no keys, opens no store, and lets no foreign control character reach a terminal.

mod args;
mod call;
mod names;
mod save;
mod send;
mod span;
mod upload;
mod verbs;
mod voice;
mod wait;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;
use valise_host::plain;
use valise_host::socket::check_path;

use crate::answer::ErrorBody;
use crate::exit::{DeskError, ExitCode};
use args::{Args, Verb};
use call::Daemon;
pub use names::clean_file_name;
use voice::Voice;

/// What a run has of the process around it.
pub struct Terminal<'a> {
    /// Where the body of a message comes from.
    pub stdin: &'a mut dyn Read,
    /// Whether a person types there.
    pub stdin_is_terminal: bool,
    /// Answers, nothing else.
    pub stdout: &'a mut dyn Write,
    /// Errors and progress.
    pub stderr: &'a mut dyn Write,
    /// The value of `VALISE_SOCKET`.
    pub socket: Option<PathBuf>,
}

/// How one verb ends: an exit code, or a refusal that is still to be said.
type Ended = Result<ExitCode, ErrorBody>;

/// Runs one command; `args` begins with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Asked before parsing, so that a faulty command line is answered in the form that was wanted.
    let json = args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let Terminal { stdin, stdin_is_terminal, stdout, stderr, socket } = terminal;
    let mut voice = Voice::new(json, *stdout, *stderr);
    let parsed = match Args::try_parse_from(&args) {
        Ok(parsed) => parsed,
        Err(fault) => {
            let code = refuse_usage(&fault, &mut voice);
            return voice.finish(code);
        }
    };
    let environment = socket.take().filter(|path| !path.as_os_str().is_empty());
    let ended = match parsed.socket.or(environment) {
        Some(socket) => perform(parsed.verb, socket, *stdin, *stdin_is_terminal, &mut voice),
        None => Err(no_socket()),
    };
    let code = ended.unwrap_or_else(|refusal| voice.refuse(refusal));
    voice.finish(code)
}

fn perform(verb: Verb, socket: PathBuf, stdin: &mut dyn Read, typed: bool, voice: &mut Voice<'_>) -> Ended {
    check_path(&socket).map_err(DeskError::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| {
        DeskError::new(
            ExitCode::Internal,
            "internal",
            format!("the operating system gave no event queue: {cause}"),
            "check the limits of this user (`ulimit -a`)",
        )
    })?;
    let daemon = Daemon::new(socket);
    runtime.block_on(async {
        match verb {
            Verb::Send(order) => send::send(order, &daemon, stdin, typed, voice).await,
            Verb::Inbox { limit, exit_status } => verbs::inbox(limit, exit_status, &daemon, voice).await,
            Verb::Show { id, save } => verbs::show(id, save.as_deref(), &daemon, voice).await,
            Verb::Ack { id } => verbs::ack(id, &daemon, voice).await,
            Verb::Track { id } => verbs::track(id, &daemon, voice).await,
            Verb::Status => verbs::status(&daemon, voice).await,
        }
    })
}

fn no_socket() -> ErrorBody {
    DeskError::usage(
        "no-socket",
        "nothing says which daemon to speak to",
        "give `--socket PATH`, or set VALISE_SOCKET to the path of the daemon's api.sock",
    )
    .into()
}

/// Help and version are answers; everything else is a usage fault.
fn refuse_usage(fault: &clap::Error, voice: &mut Voice<'_>) -> ExitCode {
    if matches!(fault.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        voice.say(fault.to_string().trim_end());
        return ExitCode::Done;
    }
    let help = "see `valise --help` and `valise VERB --help`";
    if fault.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let message = "no verb is given: send, inbox, show, ack, track or status";
        return voice.refuse(DeskError::usage("usage", message, help).into());
    }
    voice.refuse(DeskError::usage("usage", plain::usage(&fault.to_string()), help).into())
}
