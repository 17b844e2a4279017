//! The mind of the relay: who is connected, what may go where, whom to wake. Pure: events in, actions out.
//!
//! Knows names and numbers, never bytes: it could not read an envelope if it wanted to.

use std::collections::BTreeMap;

use valise_proto::agreements::Request;
use valise_proto::header::Header;
use valise_proto::limits as l;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::refusal::Refusal;
use valise_proto::roster::Roster;
use valise_proto::session::Close;

/// Numbers the sessions of this process, from 1.
pub type SessionNo = u64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A device was greeted.
    Opened {
        /// Its session.
        session: SessionNo,
        /// Who.
        device: DeviceId,
        /// For which mailboxes it takes mail.
        mailboxes: Vec<Mailbox>,
    },
    /// A session ended.
    Ended(SessionNo),
    /// Entries of these mailboxes became durable.
    Queued(Vec<Mailbox>),
    /// A receipt for a device became durable.
    ReceiptFor(DeviceId),
    /// A mailbox published a newer bundle.
    BundlePublished(Mailbox),
    /// Another roster is in force.
    RosterChanged,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Close this session.
    Close(SessionNo, Close),
    /// This session's mailboxes may have entries.
    Wake(SessionNo),
    /// There may be receipts for this session's device.
    WakeReceipts(SessionNo),
    /// This mailbox published a bundle that the session may want.
    WakeBundles(SessionNo, Mailbox),
    /// This session's papers are to be judged again, and the roster handed over.
    Recheck(SessionNo),
}

/// What may become of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To be queued for these.
    Queue {
        /// Addressees that agreements allow.
        allowed: Vec<Mailbox>,
        /// Addressees to be refused: unknown or not permitted, never said which.
        denied: Vec<Mailbox>,
    },
    /// Nothing of it is taken.
    Refuse(Refusal),
}

/// Who is connected.
#[derive(Debug, Default)]
pub struct Router {
    sessions: BTreeMap<SessionNo, (DeviceId, Vec<Mailbox>)>,
    devices: BTreeMap<DeviceId, SessionNo>,
    // One device per mailbox takes its mail: the one that greeted last and is still here.
    mailboxes: BTreeMap<Mailbox, SessionNo>,
}

impl Router {
    /// Takes one event.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Opened { session, device, mailboxes } => self.opened(session, device, mailboxes),
            Event::Ended(session) => self.ended(session),
            Event::Queued(mailboxes) => {
                let mut holders: Vec<_> = mailboxes.iter().filter_map(|m| self.mailboxes.get(m)).collect();
                holders.sort_unstable();
                holders.dedup();
                holders.into_iter().map(|session| Action::Wake(*session)).collect()
            }
            Event::ReceiptFor(device) => {
                self.devices.get(&device).map(|session| Action::WakeReceipts(*session)).into_iter().collect()
            }
            Event::BundlePublished(mailbox) => {
                self.sessions.keys().map(|session| Action::WakeBundles(*session, mailbox.clone())).collect()
            }
            Event::RosterChanged => self.sessions.keys().map(|session| Action::Recheck(*session)).collect(),
        }
    }

    /// A second session of the same device supersedes the first ([P-19]).
    fn opened(&mut self, session: SessionNo, device: DeviceId, mailboxes: Vec<Mailbox>) -> Vec<Action> {
        for mailbox in &mailboxes {
            self.mailboxes.insert(mailbox.clone(), session);
        }
        let earlier = self.devices.insert(device.clone(), session);
        self.sessions.insert(session, (device, mailboxes));
        earlier.map(|earlier| Action::Close(earlier, Close::Superseded)).into_iter().collect()
    }

    /// The mailboxes of a session that ended go to another that takes their mail, if there is one.
    fn ended(&mut self, session: SessionNo) -> Vec<Action> {
        let Some((device, mailboxes)) = self.sessions.remove(&session) else { return Vec::new() };
        if self.devices.get(&device) == Some(&session) {
            self.devices.remove(&device);
        }
        let mut heirs = Vec::new();
        for mailbox in mailboxes {
            if self.mailboxes.get(&mailbox) != Some(&session) {
                continue;
            }
            let heir = self.sessions.iter().rev().find(|(_, (_, theirs))| theirs.contains(&mailbox));
            match heir.map(|(heir, _)| *heir) {
                Some(heir) => {
                    self.mailboxes.insert(mailbox, heir);
                    heirs.push(Action::Wake(heir));
                }
                None => {
                    self.mailboxes.remove(&mailbox);
                }
            }
        }
        heirs
    }

    /// Every session with its device and its mailboxes, the oldest first.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionNo, &DeviceId, &[Mailbox])> {
        self.sessions.iter().map(|(session, (device, mailboxes))| (*session, device, &mailboxes[..]))
    }

    /// How many sessions there are.
    pub fn connected(&self) -> usize {
        self.sessions.len()
    }
}

/// Judges a submission by its header alone: time, size, agreements ([P-23], [P-42]), in this order ([P-51]).
pub fn judge(header: &Header, roster: &Roster, now_ms: u64) -> Verdict {
    if header.expires_ms < now_ms {
        return Verdict::Refuse(Refusal::Expired);
    }
    if header.ct_len() > l::MESSAGE_CT_MAX {
        return Verdict::Refuse(Refusal::TooLarge);
    }
    // A life that starts in a far future would pin the queue; its end is judged by our clock.
    if header.expires_ms - now_ms > l::MESSAGE_LIFE_MAX_MS + l::REPLAY_KEPT_MS {
        return Verdict::Refuse(Refusal::Malformed);
    }
    if header.roster_no > roster.number {
        // Its author holds a roster that we lack, and hands it over next; recipients could not judge it before.
        return Verdict::Refuse(Refusal::SlowDown);
    }
    let from = header.sender.party();
    let permitted = |mailbox: &Mailbox| {
        let request = Request {
            from: &from,
            to: &mailbox.party(),
            class: header.class,
            message_type: None,
            precedence: header.precedence,
            bytes: header.ct_len(),
            now_ms,
        };
        roster.permits(&request).is_some()
    };
    let mailboxes = header.recipients.iter().map(|recipient| recipient.mailbox.clone());
    let (allowed, denied): (Vec<_>, Vec<_>) = mailboxes.partition(permitted);
    if allowed.is_empty() {
        Verdict::Refuse(Refusal::NotPermittedOrUnknown)
    } else {
        Verdict::Queue { allowed, denied }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;
    use valise_proto::agreements::{Agreement, ClassRule, Group};
    use valise_proto::header::{Part, Recipient, SUITE_1};
    use valise_proto::kinds::{Addressing, Class, PartyKind, Precedence};
    use valise_proto::names::{DeviceName, MessageId, PartyName, RelayId, TrustDomain};
    use valise_proto::roster::Party;
    use valise_proto::signing::{Hash, KeyId};

    const NOW: u64 = 1_790_000_000_000;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::new(text).unwrap()
    }

    fn device(party: &str, device: &str) -> DeviceId {
        DeviceId { party: PartyName::new(party).unwrap(), device: DeviceName::new(device).unwrap() }
    }

    fn opened(session: SessionNo, party: &str) -> Event {
        Event::Opened { session, device: device(party, "gw1"), mailboxes: vec![mailbox(party)] }
    }

    /// Bureaus may write to all; missions to bureaus only.
    fn roster() -> Roster {
        let party = |kind| Party {
            kind,
            display: String::new(),
            region: "lab".into(),
            ca_keys: vec![KeyId([1; 32])],
        };
        let rule = |article: &str, from: &str, to: &str| Agreement {
            article: article.into(),
            from: vec![Group::from_str(from).unwrap()],
            to: vec![Group::from_str(to).unwrap()],
            classes: vec![ClassRule { class: Class::Message, types: vec![] }],
            max_precedence: Precedence::Immediate,
            max_bytes: 0,
            until_ms: 0,
        };
        let name = |text| PartyName::new(text).unwrap();
        Roster {
            number: 1,
            domain: TrustDomain::new("i24.example").unwrap(),
            issued_ms: NOW,
            roots: vec![KeyId([0; 32])],
            parties: BTreeMap::from([
                (name("br"), party(PartyKind::Bureau)),
                (name("fr"), party(PartyKind::Bureau)),
                (name("minustah"), party(PartyKind::Mission)),
                (name("unmil"), party(PartyKind::Mission)),
            ]),
            relays: BTreeMap::from([(RelayId::new("hub-1").unwrap(), vec![KeyId([2; 32])])]),
            revocations: BTreeMap::new(),
            agreements: vec![rule("I", "@bureaus", "@all"), rule("II", "@missions", "@bureaus")],
        }
    }

    fn header(from: &str, to: &[&str]) -> Header {
        let recipient =
            |name: &&str| Recipient { mailbox: mailbox(name), addressing: Addressing::Action, pair_seq: 1 };
        Header {
            suite: SUITE_1,
            message_id: MessageId::new([5; 16]),
            sender: mailbox(from),
            sender_device: DeviceName::new("gw1").unwrap(),
            sender_key_id: KeyId([3; 32]),
            created_ms: NOW,
            expires_ms: NOW + l::MESSAGE_LIFE_MS,
            class: Class::Message,
            precedence: Precedence::Routine,
            roster_no: 1,
            recipients: to.iter().map(recipient).collect(),
            parts: vec![Part { ct_len: 272, ct_root: Hash([3; 32]) }],
            cek_commit: [4; 32],
            log: None,
            fanout_agent: None,
        }
    }

    #[test]
    fn without_an_agreement_and_without_such_a_party_the_answer_is_one() {
        let refuse = Verdict::Refuse(Refusal::NotPermittedOrUnknown);
        assert_eq!(judge(&header("minustah", &["unmil"]), &roster(), NOW), refuse);
        assert_eq!(judge(&header("minustah", &["nobody"]), &roster(), NOW), refuse);
        let mixed = judge(&header("minustah", &["fr", "nobody", "unmil"]), &roster(), NOW);
        let denied = vec![mailbox("nobody"), mailbox("unmil")];
        assert_eq!(mixed, Verdict::Queue { allowed: vec![mailbox("fr")], denied });
    }

    #[test]
    fn precedence_class_and_time_are_bounded() {
        let mut flash = header("fr", &["br"]);
        flash.precedence = Precedence::Flash;
        assert_eq!(judge(&flash, &roster(), NOW), Verdict::Refuse(Refusal::NotPermittedOrUnknown));
        let mut control = header("fr", &["br"]);
        control.class = Class::Control;
        assert_eq!(judge(&control, &roster(), NOW), Verdict::Refuse(Refusal::NotPermittedOrUnknown));
        let late = judge(&header("fr", &["br"]), &roster(), NOW + l::MESSAGE_LIFE_MS + 1);
        assert_eq!(late, Verdict::Refuse(Refusal::Expired));
        let mut newer = header("fr", &["br"]);
        newer.roster_no = 2;
        assert_eq!(judge(&newer, &roster(), NOW), Verdict::Refuse(Refusal::SlowDown));
        let mut ahead = header("fr", &["br"]);
        ahead.expires_ms += 100 * l::DAY_MS;
        assert_eq!(judge(&ahead, &roster(), NOW), Verdict::Refuse(Refusal::Malformed));
    }

    #[test]
    fn a_second_session_of_a_device_supersedes_the_first() {
        let mut router = Router::default();
        assert_eq!(router.handle(opened(1, "fr")), []);
        assert_eq!(router.handle(opened(2, "fr")), [Action::Close(1, Close::Superseded)]);
        assert_eq!(router.handle(Event::Ended(1)), []);
        assert_eq!(router.handle(Event::Queued(vec![mailbox("fr")])), [Action::Wake(2)]);
        assert_eq!(router.connected(), 1);
    }

    #[test]
    fn a_mailbox_falls_back_to_the_device_that_is_still_here() {
        let mut router = Router::default();
        let gw = |session, name| Event::Opened {
            session,
            device: device("fr", name),
            mailboxes: vec![mailbox("fr")],
        };
        router.handle(gw(1, "gw1"));
        router.handle(gw(2, "gw2"));
        assert_eq!(router.handle(Event::Queued(vec![mailbox("fr")])), [Action::Wake(2)]);
        assert_eq!(router.handle(Event::Ended(2)), [Action::Wake(1)]);
        assert_eq!(router.handle(Event::Queued(vec![mailbox("fr")])), [Action::Wake(1)]);
        assert_eq!(router.handle(Event::Ended(1)), []);
    }

    #[test]
    fn only_those_concerned_are_woken() {
        let mut router = Router::default();
        router.handle(opened(1, "fr"));
        router.handle(opened(2, "br"));
        assert_eq!(router.handle(Event::Queued(vec![mailbox("br"), mailbox("minustah")])), [Action::Wake(2)]);
        assert_eq!(router.handle(Event::ReceiptFor(device("fr", "gw1"))), [Action::WakeReceipts(1)]);
        assert_eq!(router.handle(Event::ReceiptFor(device("fr", "gw9"))), []);
        assert_eq!(router.handle(Event::RosterChanged), [Action::Recheck(1), Action::Recheck(2)]);
        let published = router.handle(Event::BundlePublished(mailbox("br")));
        assert_eq!(published, [1, 2].map(|session| Action::WakeBundles(session, mailbox("br"))));
        router.handle(Event::Ended(2));
        assert_eq!(router.handle(Event::Queued(vec![mailbox("br")])), []);
    }
}
