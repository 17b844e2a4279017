//! The account at the end: every letter at every recipient exactly once, unaltered, and the same state at both ends;
//! nothing left at the relay, no fault in any log.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use valise_client::answer::{InboxLine, State};

use super::load::{Ledger, Sent};
use super::strike::Kill;
use crate::api::Api;
use crate::lab::Lab;
use crate::until::until;

/// After the last kill: until everything that was sent has arrived and every receipt is back.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What became of everything that was sent.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Letters, and their deliveries by recipient.
    pub letters: u64,
    /// Letters at their recipients, one for each of both.
    pub deliveries: u64,
    /// Deliveries by the state in which they ended.
    pub states: BTreeMap<State, u64>,
    /// Bytes of texts and attachments.
    pub bytes: u64,
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came more than once, and messages that nobody sent.
    pub doubled: u64,
    /// Deliveries with another text or attachment than was sent.
    pub altered: u64,
    /// Deliveries whose state is another at the author than at the recipient, or below `delivered`.
    pub differing: u64,
    /// Messages whose acknowledgement was answered, and is gone.
    pub unacknowledged: u64,
    /// Envelopes on dead-letter desks.
    pub unopenable: u64,
    /// Entries and receipts that still wait at the relay.
    pub left: u64,
    /// Log lines that need a person, by event.
    pub faults: BTreeMap<String, u64>,
    /// Letters that were on their way at each kill.
    pub under_way: Vec<u64>,
}

/// What lies in the inbox of each party, by subject.
type Arrived = BTreeMap<&'static str, BTreeMap<String, Vec<InboxLine>>>;

/// Waits until everything has settled, then counts.
pub fn account(lab: &mut Lab, cast: &[&'static str], ledger: &Ledger, kills: &[Kill]) -> Result<Account> {
    let apis: BTreeMap<&str, Api> =
        cast.iter().map(|party| (*party, Api::new(lab.party(party).socket()))).collect();
    let sent = ledger.sent.lock().expect("invariant: no writer panics").clone();
    let settled = until("everything has arrived", SETTLE_LIMIT, || {
        let open = |api: &Api| api.status().map(|status| status.outbox.queued + status.outbox.relayed);
        let open = apis.values().map(open).sum::<Result<u64, _>>()?;
        Ok((open == 0).then_some(()))
    });
    settled.ok(); // in vain means lost, and is counted below
    let mut account = Account { letters: sent.len() as u64, ..Account::default() };
    let arrived = arrived(cast, &apis)?;
    account.compare(&sent, &arrived);
    account.read_all(&sent, &arrived, &apis)?;
    account.compare_states(&sent, cast, &apis)?;
    let acked = ledger.acked.lock().expect("invariant: no reader panics").clone();
    let is_acked = |party: &str, id: &str| {
        let mut lines = arrived.get(party).into_iter().flat_map(BTreeMap::values).flatten();
        lines.any(|line| line.id == id && line.state == State::Acknowledged)
    };
    account.unacknowledged = acked.iter().filter(|(party, id)| !is_acked(party, id)).count() as u64;
    for api in apis.values() {
        account.unopenable += api.status()?.inbox.unopenable;
    }
    let empty = until("the relay's queue is empty", SETTLE_LIMIT, || {
        Ok((lab.relay().depth()? == (0, 0)).then_some(()))
    });
    if empty.is_err() {
        let (entries, receipts) = lab.relay().depth()?;
        account.left = entries + receipts;
    }
    account.faults = faults(lab)?;
    account.under_way = kills.iter().map(|kill| under_way(kill.at_ms, &sent, &arrived)).collect();
    Ok(account)
}

fn arrived(cast: &[&'static str], apis: &BTreeMap<&str, Api>) -> Result<Arrived> {
    let mut arrived = Arrived::new();
    for party in cast {
        let by_subject = arrived.entry(party).or_default();
        for line in apis[party].inbox(None)? {
            by_subject.entry(line.subject.clone()).or_default().push(line);
        }
    }
    Ok(arrived)
}

impl Account {
    /// All that must not be, together.
    pub fn wrong(&self) -> u64 {
        let Self { lost, doubled, altered, differing, unacknowledged, unopenable, left, faults, .. } = self;
        lost + doubled
            + altered
            + differing
            + unacknowledged
            + unopenable
            + left
            + faults.values().sum::<u64>()
    }

    /// Each letter once in the inbox of each of its recipients, and nothing else there.
    fn compare(&mut self, sent: &[Sent], arrived: &Arrived) {
        let mut due: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for Sent { letter, .. } in sent {
            letter.to.iter().for_each(|to| *due.entry((to, &letter.name)).or_default() += 1);
        }
        self.lost = due
            .keys()
            .filter(|(to, name)| arrived.get(to).is_none_or(|inbox| !inbox.contains_key(*name)))
            .count() as u64;
        for (party, inbox) in arrived {
            for (name, lines) in inbox {
                let expected = due.get(&(*party, name.as_str())).copied().unwrap_or_default();
                self.deliveries += lines.len() as u64;
                self.doubled += (lines.len() as u64).saturating_sub(expected);
                lines.iter().for_each(|line| *self.states.entry(line.state).or_default() += 1);
            }
        }
    }

    /// Text and attachment of every delivery against what was sent.
    fn read_all(&mut self, sent: &[Sent], arrived: &Arrived, apis: &BTreeMap<&str, Api>) -> Result<()> {
        for Sent { letter, .. } in sent {
            let (text, file) = (letter.text(), letter.file());
            for to in &letter.to {
                let lines = arrived.get(to).and_then(|inbox| inbox.get(&letter.name));
                for line in lines.into_iter().flatten() {
                    let mut same = apis[to].body(&line.id)? == text.as_bytes();
                    same &= line.attachments == u32::from(file.is_some());
                    if let Some(file) = &file {
                        same &= apis[to].file(&line.id, 0).is_ok_and(|found| found == *file);
                    }
                    self.altered += u64::from(!same);
                    self.bytes += (text.len() + letter.file_bytes) as u64;
                }
            }
        }
        Ok(())
    }

    /// The state at the author against the state at the recipient; receipts that are on their way are waited for.
    fn compare_states(
        &mut self,
        sent: &[Sent],
        cast: &[&'static str],
        apis: &BTreeMap<&str, Api>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut open: Vec<&Sent> = sent.iter().collect();
        loop {
            let mut here: BTreeMap<(&str, String), State> = BTreeMap::new();
            for party in cast {
                here.extend(apis[party].inbox(None)?.into_iter().map(|line| ((*party, line.id), line.state)));
            }
            let mut differing = Vec::new();
            self.differing = 0;
            for one in open {
                let tracked = apis[one.letter.from].track(&one.id)?;
                let agree = |to: &&str| {
                    let there = tracked.iter().find(|line| line.to == **to).map(|line| line.state);
                    there.is_some_and(|state| state >= State::Delivered)
                        && there == here.get(&(*to, one.id.clone())).copied()
                };
                let wrong = one.letter.to.iter().filter(|to| !agree(to)).count() as u64;
                self.differing += wrong;
                if wrong > 0 {
                    differing.push(one);
                }
            }
            if differing.is_empty() || start.elapsed() > SETTLE_LIMIT {
                return Ok(());
            }
            open = differing;
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Letters that had been answered for by then, and had not reached all their recipients.
fn under_way(at_ms: u64, sent: &[Sent], arrived: &Arrived) -> u64 {
    let is_open = |one: &&Sent| {
        let reached = |to: &&str| {
            let lines = arrived.get(to).and_then(|inbox| inbox.get(&one.letter.name));
            lines.into_iter().flatten().any(|line| line.delivered.unix_ms() <= at_ms)
        };
        one.answered_ms <= at_ms && !one.letter.to.iter().all(reached)
    };
    sent.iter().filter(is_open).count() as u64
}

/// The lines of level `ERROR` in all logs, by event. A line that a kill cut off is none.
fn faults(lab: &Lab) -> Result<BTreeMap<String, u64>> {
    let mut faults = BTreeMap::new();
    for entry in fs::read_dir(lab.dir().join("logs")).context("cannot read the logs")? {
        let text = fs::read(entry?.path()).context("cannot read a log")?;
        for line in String::from_utf8_lossy(&text).lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if line["level"] == "ERROR" {
                let event = line["event"].as_str().unwrap_or("unnamed").to_owned();
                *faults.entry(event).or_default() += 1;
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use valise_client::answer::Moment;

    use super::super::load::Letter;
    use super::*;

    fn sent(name: &str, to: &[&'static str]) -> Sent {
        let letter =
            Letter { name: name.to_owned(), from: "fr", to: to.to_vec(), text_bytes: 1, file_bytes: 0 };
        Sent { letter, id: format!("id of {name}"), answered_ms: 100 }
    }

    fn line(subject: &str, to: &str) -> InboxLine {
        let word = |text: &str| text.to_owned();
        InboxLine {
            id: format!("id of {subject}"),
            from: word("fr"),
            to: word(to),
            subject: word(subject),
            class: word("message"),
            kind: word("text"),
            precedence: word("routine"),
            created: Moment::from_unix_ms(90),
            delivered: Moment::from_unix_ms(200),
            state: State::Delivered,
            attachments: 0,
        }
    }

    #[test]
    fn what_is_missing_double_or_strange_is_counted() {
        let sent = [sent("one", &["br", "ke"]), sent("two", &["br"]), sent("three", &["ke"])];
        let mut arrived = Arrived::new();
        for (to, subjects) in [("br", &["one", "two", "two"][..]), ("ke", &["one", "stray"])] {
            for subject in subjects {
                let inbox = arrived.entry(to).or_default();
                inbox.entry((*subject).to_owned()).or_default().push(line(subject, to));
            }
        }
        let mut account = Account::default();
        account.compare(&sent, &arrived);
        assert_eq!((account.lost, account.doubled, account.deliveries), (1, 2, 5));
        assert_eq!(account.states, BTreeMap::from([(State::Delivered, 5)]));
        // Before anything is answered, while all of it is under way, and when only the lost one is left.
        assert_eq!([99, 150, 250].map(|at| under_way(at, &sent, &arrived)), [0, 3, 1]);
    }
}
