//! Logs: one JSON object per line on standard error, each with a stable `event`. The supervisor keeps them.
//!
//! Never a subject, a plaintext or a key; ids only as [`brief`]. A panic writes one line and aborts the process:
//! nothing acknowledged is lost, and a supervisor starts it again.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;
use valise_proto::signing::Hash;

#[cfg(test)]
mod tests;

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The level in the configuration or on the command line.
    #[error("`{0}` is no log level; use error, warn, info, debug or trace")]
    Level(String),
    /// Two parts of one program both tried.
    #[error("logging was set up twice; this is a fault of the program, report it")]
    Twice,
}

/// Sends this process's events to standard error, and makes every panic an abort with one line in the log.
///
/// The level is one word, or words with modules before them: `info,valise_relay=debug`.
///
/// # Errors
/// A level that is none, or a second call.
pub fn init(program: &'static str, level: &str) -> Result<(), LogsError> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(io::stderr)
        .with_env_filter(filter(level)?)
        .finish()
        .try_init()
        .map_err(|_| LogsError::Twice)?;
    std::panic::set_hook(Box::new(move |info| {
        // Straight to the file descriptor: the logger may be what panicked.
        writeln!(io::stderr(), "{}", panic_line(program, info)).ok();
        std::process::abort();
    }));
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let fault = || LogsError::Level(level.chars().filter(|c| !c.is_control()).take(64).collect());
    // A lone word that is no level would be taken for a module's name, and everything else fall silent.
    let known = |part: &str| part.contains('=') || (!part.is_empty() && part.parse::<LevelFilter>().is_ok());
    if !level.split(',').all(known) {
        return Err(fault());
    }
    EnvFilter::builder().parse(level).map_err(|_| fault())
}

/// What a log may carry of an id: the first 8 bytes of its SHA-256, in hexadecimal.
pub fn brief(id: &[u8]) -> String {
    Hash::of(&[id]).brief()
}

/// Place, and the message if it is a literal of the source: a message made at run time may hold what it was made of.
fn panic_line(program: &str, info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string);
    let literal = info.payload().downcast_ref::<&'static str>().copied();
    let thread = std::thread::current();
    serde_json::json!({
        "level": "ERROR", "event": "program-panicked", "program": program, "place": place,
        "message": literal, "thread": thread.name(),
    })
    .to_string()
}
