//! The verbs that ask once and say the answer: `inbox`, `show`, `ack`, `track`, `status`.

use std::num::NonZeroUsize;
use std::path::Path;

use bytes::Bytes;

use valise_host::plain;

use super::call::Daemon;
use super::voice::Voice;
use super::{Ended, save};
use crate::answer::{AckAnswer, InboxLine, ShowAnswer, StatusAnswer, TrackLine};
use crate::exit::{DeskError, ExitCode};
use valise_proto::names::MessageId;

/// Lists the received messages.
pub(super) async fn inbox(
    limit: Option<NonZeroUsize>,
    exit_status: bool,
    daemon: &Daemon,
    voice: &mut Voice<'_>,
) -> Ended {
    let query = limit.map(|limit| format!("?limit={limit}")).unwrap_or_default();
    let lines: Vec<InboxLine> = daemon.get(&format!("/v1/inbox{query}")).await?;
    if lines.is_empty() {
        voice.remark("no messages");
        return Ok(if exit_status { ExitCode::NothingFound } else { ExitCode::Done });
    }
    if voice.is_json() {
        lines.iter().for_each(|line| voice.answer(line, |_| Vec::new()));
    } else {
        voice.say_all(&inbox_table(&lines));
    }
    Ok(ExitCode::Done)
}

fn inbox_table(lines: &[InboxLine]) -> Vec<String> {
    let head = ["ID", "STATE", "PRECEDENCE", "FROM", "CREATED", "FILES", "SUBJECT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| {
        vec![
            plain::line(&line.id),
            line.state.to_string(),
            plain::line(&line.precedence),
            plain::line(&line.from),
            line.created.to_string(),
            line.attachments.to_string(),
            plain::line(&line.subject),
        ]
    }));
    plain::table(&rows)
}

/// Shows one message and saves it when asked.
pub(super) async fn show(id: String, into: Option<&Path>, daemon: &Daemon, voice: &mut Voice<'_>) -> Ended {
    let id = parse_id(&id)?;
    let answer: ShowAnswer = daemon.get(&format!("/v1/messages/{id}")).await?;
    let saved = match into {
        None => Ok(Vec::new()),
        Some(directory) => save_all(id, &answer, directory, daemon).await,
    };
    voice.answer(&answer, show_words);
    for path in saved? {
        let path = plain::line(&path.to_string_lossy());
        voice.remark(&format!("saved {path}"));
    }
    Ok(ExitCode::Done)
}

async fn save_all(
    id: MessageId,
    answer: &ShowAnswer,
    directory: &Path,
    daemon: &Daemon,
) -> Result<Vec<std::path::PathBuf>, crate::answer::ErrorBody> {
    save::prepare(directory)?;
    let body = daemon.get_bytes(&format!("/v1/messages/{id}/body")).await?;
    let mut saved = vec![save::write(directory, "body", &body)?];
    for (number, stated) in answer.files.iter().enumerate() {
        let bytes: Bytes = daemon.get_bytes(&format!("/v1/messages/{id}/files/{number}")).await?;
        save::check(stated, &bytes)?;
        saved.push(save::write(directory, &super::clean_file_name(&stated.name), &bytes)?);
    }
    Ok(saved)
}

fn show_words(answer: &ShowAnswer) -> Vec<String> {
    let line = &answer.line;
    let signature = &answer.signature;
    let judged = if signature.valid { "valid" } else { "NOT VALID" };
    let rows = [
        ("id", plain::line(&line.id)),
        ("from", plain::line(&line.from)),
        ("to", plain::line(&line.to)),
        ("kind", plain::line(&format!("{}, {}", line.class, line.kind))),
        ("precedence", plain::line(&line.precedence)),
        ("created", line.created.to_string()),
        ("delivered", line.delivered.to_string()),
        ("state", line.state.to_string()),
        (
            "signature",
            plain::line(&format!(
                "{judged}: {}/{}, key {}",
                signature.party, signature.device, signature.key
            )),
        ),
        ("subject", plain::line(&line.subject)),
    ];
    let mut rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    rows.extend(answer.files.iter().map(|file| {
        let text =
            format!("{} bytes, {}, sha256 {}, {}", file.bytes, file.media_type, file.sha256, file.name);
        vec!["file".to_owned(), plain::line(&text)]
    }));
    let mut lines = plain::table(&rows);
    lines.push(String::new());
    lines.push(plain::text(answer.body.trim_end_matches('\n')));
    lines
}

/// Acknowledges one message.
pub(super) async fn ack(id: String, daemon: &Daemon, voice: &mut Voice<'_>) -> Ended {
    let id = parse_id(&id)?;
    let path = format!("/v1/messages/{id}/ack");
    let answer: AckAnswer = daemon.post(&path, "application/json", Bytes::new()).await?;
    voice.answer(&answer, |answer| vec![format!("{}  {}", plain::line(&answer.id), answer.state)]);
    Ok(ExitCode::Done)
}

/// Says where a sent message stands.
pub(super) async fn track(id: String, daemon: &Daemon, voice: &mut Voice<'_>) -> Ended {
    let id = parse_id(&id)?;
    let lines: Vec<TrackLine> = daemon.get(&format!("/v1/messages/{id}/track")).await?;
    if voice.is_json() {
        lines.iter().for_each(|line| voice.answer(line, |_| Vec::new()));
        return Ok(ExitCode::Done);
    }
    let mut rows = vec![["TO", "STATE", "TIME", "BY", "REASON"].map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| {
        let reason = plain::line(line.reason.as_deref().unwrap_or_default());
        let (to, by) = (plain::line(&line.to), plain::line(&line.by));
        vec![to, line.state.to_string(), line.time.to_string(), by, reason]
    }));
    voice.say_all(&plain::table(&rows));
    Ok(ExitCode::Done)
}

/// Says how the desk stands.
pub(super) async fn status(daemon: &Daemon, voice: &mut Voice<'_>) -> Ended {
    let answer: StatusAnswer = daemon.get("/v1/status").await?;
    voice.answer(&answer, status_words);
    Ok(ExitCode::Done)
}

fn status_words(answer: &StatusAnswer) -> Vec<String> {
    let StatusAnswer { party, device, link, outbox, inbox, relay } = answer;
    let mut way = link.state.clone();
    if let Some(path) = &link.path {
        way = format!("{way} over {path}");
    }
    if let Some(rtt_ms) = link.rtt_ms {
        way = format!("{way}, {rtt_ms:.1} ms");
    }
    let rows = [
        ("desk", format!("{party}/{device}")),
        ("link", way),
        ("relay", format!("{} at {}, roster {}", relay.id, relay.address, relay.roster_no)),
        (
            "outbox",
            format!(
                "{} queued, {} relayed, {} delivered, {} ended badly, {} waiting for a key",
                outbox.queued, outbox.relayed, outbox.delivered, outbox.ended, outbox.waiting_for_key
            ),
        ),
        (
            "inbox",
            format!(
                "{} delivered, {} opened, {} acknowledged, {} unopenable",
                inbox.delivered, inbox.opened, inbox.acknowledged, inbox.unopenable
            ),
        ),
    ];
    plain::table(&rows.map(|(name, value)| vec![name.to_owned(), plain::line(&value)]))
}

fn parse_id(text: &str) -> Result<MessageId, DeskError> {
    crate::api::parse_id(text)
}
