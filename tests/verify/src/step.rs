//! One child process with a name: started, watched with a sign of life, judged by its exit status.
//! Its output is never held back; it goes straight to the terminal or the log.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "this program talks to the person who started it"
)]

use std::process::Command;
use std::time::{Duration, Instant};

/// How often we look whether the child has ended, in milliseconds: short beside any stage.
const LOOK_EVERY_MS: u64 = 20;

/// A silent stage says after this many seconds that it is still at work.
const SIGN_OF_LIFE_S: u64 = 30;

/// One line of the log of stages.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// One line beside the log: what went wrong, or progress while stdout belongs to another program.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

/// Runs a command to its end. The error is a sentence that names the command.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<(), String> {
    let line = written_out(command);
    let began = Instant::now();
    let mut child = command.spawn().map_err(|e| format!("verify: cannot start `{line}`: {e}"))?;
    let mut next_sign = Duration::from_secs(SIGN_OF_LIFE_S);
    loop {
        let ended = child.try_wait().map_err(|e| format!("verify: lost sight of `{line}`: {e}"))?;
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("verify: `{line}` ended with {status}")),
            None => std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS)),
        }
        if began.elapsed() >= next_sign {
            note(&format!("{name}: at work for {} s", next_sign.as_secs()));
            next_sign += Duration::from_secs(SIGN_OF_LIFE_S);
        }
    }
}

/// The command as one would type it, so that a failed stage can be repeated alone.
pub(crate) fn written_out(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
