//! What a relay told its administrator, as lines of a table or as JSON. Whatever it says is shown as plain text.

use serde::Serialize;
use valise_host::plain;
use valise_proto::admin::{self, State, answer::Kind};

use crate::moment::{ago, ahead, stamp};
use crate::told::Told;

#[derive(Debug, Serialize)]
struct Status {
    relay: String,
    version: String,
    state: &'static str,
    draining: bool,
    started: String,
    time: String,
    roster: u64,
    sessions: u64,
    queue: Queue,
    checks: Vec<Check>,
    expires: Vec<Expiry>,
}

#[derive(Debug, Serialize)]
struct Queue {
    entries: u64,
    receipts: u64,
    sequence: u64,
    oldest: Option<String>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: &'static str,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Expiry {
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    owner: String,
    at: Option<String>,
}

/// The answers to a question for the status; none when they are not those.
pub fn status(answers: Vec<Kind>) -> Option<Told> {
    let mut answers = answers.into_iter();
    let Some(Kind::Status(head)) = answers.next() else { return None };
    let (mut checks, mut expires) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Kind::Check(check) => checks.push(check),
            Kind::Expiry(expiry) => expires.push(expiry),
            _ => return None,
        }
    }
    let table = status_table(&head, &checks, &expires);
    let at = |ms: u64| (ms > 0).then(|| stamp(ms));
    let state = |state| word(State::try_from(state).unwrap_or_default());
    let json = Status {
        state: state(head.state),
        relay: head.relay,
        version: head.version,
        draining: head.draining,
        started: stamp(head.started_ms),
        time: stamp(head.now_ms),
        roster: head.roster_no,
        sessions: head.sessions,
        queue: Queue {
            entries: head.entries,
            receipts: head.receipts,
            sequence: head.sequence,
            oldest: at(head.oldest_ms),
        },
        checks: checks
            .into_iter()
            .map(|check| Check { state: state(check.state), name: check.name, detail: check.detail })
            .collect(),
        expires: expires
            .into_iter()
            .map(|expiry| Expiry { at: at(expiry.at_ms), what: expiry.what, owner: expiry.owner })
            .collect(),
    };
    Some(Told::of(table, &[json]))
}

fn status_table(head: &admin::Status, checks: &[admin::Check], expires: &[admin::Expiry]) -> Vec<String> {
    let state = |state| word(State::try_from(state).unwrap_or_default());
    let now = head.now_ms;
    let draining = if head.draining { ", draining" } else { "" };
    let mut rows = vec![
        ("relay", plain::line(&format!("{}, version {}", head.relay, head.version))),
        ("state", format!("{}{draining}", state(head.state))),
        ("up since", format!("{} ({})", stamp(head.started_ms), ago(head.started_ms, now))),
        ("roster", head.roster_no.to_string()),
        ("sessions", head.sessions.to_string()),
        (
            "queue",
            format!(
                "{} entries and {} receipts wait; {} envelopes accepted in all",
                head.entries, head.receipts, head.sequence
            ),
        ),
        (
            "oldest",
            if head.oldest_ms == 0 {
                "nothing waits".to_owned()
            } else {
                format!("accepted {} ({})", stamp(head.oldest_ms), ago(head.oldest_ms, now))
            },
        ),
    ];
    for check in checks {
        let text = format!("{} {}: {}", check.name, state(check.state), check.detail);
        rows.push(("check", plain::line(&text)));
    }
    for expiry in expires {
        let (what, owner) = (plain::line(&expiry.what), plain::line(&expiry.owner));
        let whose = if owner.is_empty() { what } else { format!("{what} of {owner}") };
        let when = if expiry.at_ms == 0 {
            "missing".to_owned()
        } else {
            format!("{} ({})", stamp(expiry.at_ms), ahead(expiry.at_ms, now))
        };
        rows.push(("expires", format!("{whose}: {when}")));
    }
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    plain::table(&rows)
}

fn word(state: State) -> &'static str {
    match state {
        State::Green => "green",
        State::Yellow => "yellow",
        State::Red => "red",
        State::Unspecified => "unknown",
    }
}

#[derive(Debug, Serialize)]
struct Connection {
    session: u64,
    party: String,
    device: String,
    mailboxes: Vec<String>,
    since: String,
    address: String,
    rtt_ms: f64,
    delivering: u32,
    submitting: u32,
}

/// The answers to a question for the connections; none when they are not those.
pub fn connections(answers: Vec<Kind>) -> Option<Told> {
    let read = |answer| {
        let Kind::Connection(found) = answer else { return None };
        let rtt_us = u32::try_from(found.rtt_us).unwrap_or(u32::MAX);
        Some(Connection {
            session: found.session,
            party: found.party,
            device: found.device,
            mailboxes: found.mailboxes.into_iter().map(|mailbox| mailbox.name).collect(),
            since: stamp(found.since_ms),
            address: found.address,
            rtt_ms: f64::from(rtt_us) / 1000.0,
            delivering: found.delivering,
            submitting: found.submitting,
        })
    };
    let all = answers.into_iter().map(read).collect::<Option<Vec<_>>>()?;
    if all.is_empty() {
        return Some(Told { table: vec!["no device is connected".to_owned()], json: Vec::new() });
    }
    let head = ["PARTY", "DEVICE", "MAILBOXES", "SINCE", "RTT", "IN FLIGHT", "ADDRESS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|one| {
        vec![
            plain::line(&one.party),
            plain::line(&one.device),
            plain::line(&one.mailboxes.join(" ")),
            one.since.clone(),
            format!("{:.1} ms", one.rtt_ms),
            format!("{} out, {} in", one.delivering, one.submitting),
            plain::line(&one.address),
        ]
    }));
    Some(Told::of(plain::table(&rows), &all))
}

#[derive(Debug, Serialize)]
struct Drain {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u64>,
}

/// That the relay lets its sessions leave.
pub fn draining(sessions: u64) -> Told {
    let table = vec![format!("draining: {sessions} sessions are asked to leave")];
    Told::of(table, &[Drain { state: "draining", sessions: Some(sessions) }])
}

/// That the relay has stopped.
pub fn stopped() -> Told {
    let table = vec!["stopped: its store is closed".to_owned()];
    Told::of(table, &[Drain { state: "stopped", sessions: None }])
}
