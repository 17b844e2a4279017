//! Waiting for a state: asks the daemon in slices, shows a person what moves, and ends with 0, 7 or 8. The message goes
//! on by itself whatever happens here.

use std::time::Duration;

use tokio::time::Instant;

use valise_host::plain;

use super::Ended;
use super::call::Daemon;
use super::voice::Voice;
use crate::answer::{ErrorBody, Outcome, SendAnswer, State, WaitAnswer};
use crate::api::WAIT_MAX_MS;
use crate::exit::{DeskError, ExitCode};

/// A slice of waiting when a person watches: also how long nothing is said at first.
const SLICE_WATCHED: Duration = Duration::from_secs(1);
/// A slice of waiting when a script does; below the longest the daemon allows.
const SLICE_UNWATCHED: Duration = Duration::from_secs(30);

const _: () = assert!(
    SLICE_UNWATCHED.as_millis() <= WAIT_MAX_MS as u128,
    "the daemon grants a whole slice: no slice is asked for twice"
);

/// Waits, then says the answer once.
pub(super) async fn wait(
    mut answer: SendAnswer,
    target: State,
    timeout: Duration,
    daemon: &Daemon,
    voice: &mut Voice<'_>,
) -> Ended {
    let deadline = Instant::now() + timeout;
    let mut said = String::new();
    let outcome = loop {
        if let Some(outcome) = answer.outcome(target) {
            break Ok(outcome);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Ok(Outcome::TimedOut);
        }
        let slice = left.min(if voice.is_json() { SLICE_UNWATCHED } else { SLICE_WATCHED });
        // Rounded up: a slice of 0 ms would be asked again and again.
        let slice_ms = slice.as_micros().div_ceil(1000);
        let path = format!("/v1/messages/{}/state?wait={target}&timeout_ms={slice_ms}", answer.id);
        match daemon.get::<WaitAnswer>(&path).await {
            Err(refusal) => break Err(refusal),
            Ok(now) => answer = now.answer,
        }
        if answer.outcome(target).is_none() && Instant::now() < deadline {
            show_progress(&answer, target, &mut said, voice);
        }
    };
    voice.answer(&answer, words);
    match outcome? {
        Outcome::Reached => Ok(ExitCode::Done),
        Outcome::EndedBadly => Err(ended_badly(&answer)),
        Outcome::TimedOut => Err(timed_out(&answer, target, timeout)),
    }
}

/// Says where the message stands, when that changed.
fn show_progress(answer: &SendAnswer, target: State, said: &mut String, voice: &mut Voice<'_>) {
    let states = answer.recipients.iter().map(|one| format!("{} {}", plain::line(&one.to), one.state));
    let now = states.collect::<Vec<_>>().join(", ");
    if *said == now {
        return;
    }
    if said.is_empty() {
        voice.remark(&format!("waiting for {target} (Ctrl-C is safe, the message stays queued)"));
    }
    voice.remark(&format!("  {now}"));
    *said = now;
}

fn ended_badly(answer: &SendAnswer) -> ErrorBody {
    let ends = answer.recipients.iter().filter(|one| one.state.is_bad_end()).map(|one| match &one.reason {
        Some(reason) => format!("{} ({}: {reason})", one.to, one.state),
        None => format!("{} ({})", one.to, one.state),
    });
    let message = format!("the message ended badly for {}", ends.collect::<Vec<_>>().join(", "));
    let help =
        format!("read the reasons with `valise track {}`, then send it anew where that can help", answer.id);
    DeskError::new(ExitCode::EndedBadly, "ended-badly", message, help).into()
}

fn timed_out(answer: &SendAnswer, target: State, timeout: Duration) -> ErrorBody {
    let missing = answer.recipients.iter().filter(|one| one.state < target).map(|one| one.to.as_str());
    let missing = missing.collect::<Vec<_>>().join(", ");
    let message = format!("within {timeout:?} the message did not reach {target} at {missing}");
    let help = format!("nothing is lost and it goes on by itself: `valise track {}`", answer.id);
    DeskError::new(ExitCode::NotInTime, "not-in-time", message, help).into()
}

/// The answer in words: the id with the lowest state, then every recipient.
pub(super) fn words(answer: &SendAnswer) -> Vec<String> {
    let head = format!("{}  {}  {} bytes uploaded", plain::line(&answer.id), answer.state, answer.bytes);
    let rows: Vec<Vec<String>> = answer
        .recipients
        .iter()
        .map(|recipient| {
            let reason = recipient.reason.as_deref().unwrap_or_default();
            vec![
                format!("  {}", plain::line(&recipient.to)),
                recipient.state.to_string(),
                plain::line(reason),
            ]
        })
        .collect();
    std::iter::once(head).chain(plain::table(&rows)).collect()
}
