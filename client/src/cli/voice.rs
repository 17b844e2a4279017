//! What the command line says and where: answers on standard output, errors and progress on standard error, in words
//! or in JSON. A reader that went away (`| head`) is no fault; any other failed write is.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use valise_host::plain;

use crate::answer::{ErrorAnswer, ErrorBody};
use crate::exit::{DeskError, ExitCode};

/// The two streams and the form wanted.
pub(super) struct Voice<'a> {
    json: bool,
    stdout: &'a mut dyn Write,
    stderr: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl<'a> Voice<'a> {
    pub(super) fn new(json: bool, stdout: &'a mut dyn Write, stderr: &'a mut dyn Write) -> Self {
        Self { json, stdout, stderr, failed: None }
    }

    /// Whether answers are wanted in JSON.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// One answer: the JSON line, or the words for it.
    pub(super) fn answer<T: Serialize>(&mut self, answer: &T, words: impl FnOnce(&T) -> Vec<String>) {
        if self.json {
            let line = plain::json(answer).expect("invariant: the answers hold strings and numbers only");
            self.say(&line);
        } else {
            self.say_all(&words(answer));
        }
    }

    /// Lines of words on standard output.
    pub(super) fn say_all(&mut self, lines: &[String]) {
        for line in lines {
            self.say(line);
        }
    }

    /// One line on standard output. Foreign text in it is made fit before it comes here.
    pub(super) fn say(&mut self, line: &str) {
        if self.failed.is_none() {
            self.failed = writeln!(self.stdout, "{line}").err();
        }
    }

    /// A remark on standard error, only where a person reads.
    pub(super) fn remark(&mut self, line: &str) {
        if !self.json {
            complain(self.stderr, line);
        }
    }

    /// Says a refusal on standard error and gives its exit code.
    pub(super) fn refuse(&mut self, refusal: ErrorBody) -> ExitCode {
        let exit = ExitCode::from_number(refusal.exit).unwrap_or(ExitCode::Internal);
        if self.json {
            let line = plain::json(&ErrorAnswer { error: refusal });
            complain(self.stderr, &line.expect("invariant: a refusal holds strings and a number only"));
        } else {
            let ErrorBody { code, message, help, .. } = refusal;
            complain(self.stderr, &format!("valise: {} ({})", plain::line(&message), plain::line(&code)));
            complain(self.stderr, &format!("   try: {}", plain::line(&help)));
        }
        exit
    }

    /// Flushes; an answer that could not be written is a fault even when the work was done.
    pub(super) fn finish(mut self, code: ExitCode) -> ExitCode {
        let failed = self.failed.take().or_else(|| self.stdout.flush().err());
        match failed {
            Some(cause) if cause.kind() != ErrorKind::BrokenPipe => {
                let message = format!("the answer could not be written to standard output: {cause}");
                let help = "make room or choose another place; what was asked for may have been done";
                self.refuse(DeskError::new(ExitCode::Internal, "output-failed", message, help).into())
            }
            Some(_) | None => code,
        }
    }
}

/// Writes to standard error; when even that fails there is nobody left to tell.
fn complain(stderr: &mut dyn Write, line: &str) {
    drop(writeln!(stderr, "{line}"));
}
