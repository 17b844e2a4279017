//! The answering end: what a relay does with one device's session, decided here and done elsewhere.
//!
//! Owns the order of greeting, the delivery window and what is awaited; never a queue, a key or a stream.

use std::collections::{BTreeMap, BTreeSet};

use super::{Close, ReceiptId, receipt_frames, receipt_ids};
use crate::bundle::SignedBundle;
use crate::limits as l;
use crate::names::{DeviceId, Mailbox, MessageId};
use crate::receipt::{SignedReceipt, Speaker};
use crate::refusal::Refusal;
use crate::roster::RosterJoiner;
use crate::signing::KeyId;
use crate::transfer::{Transfer, check_wrap};
use crate::wire::{self, frame::Kind};

mod event;
mod handing;
mod rank;

pub use event::{Action, Event, Offer, State};
use handing::Handing;
pub use rank::Rank;

/// One device's session at a relay.
#[derive(Debug)]
pub struct RelaySession {
    device: DeviceId,
    state: State,
    hello: Option<wire::Hello>,
    handing: Handing,
    receipts: BTreeSet<ReceiptId>,
    pulling_receipts: bool,
    receipts_again: bool,
    // A question that found no room; asked when the device has taken some.
    receipts_held: bool,
    wanted: BTreeMap<Mailbox, u64>,
    submitting: BTreeSet<MessageId>,
    signs_with: Option<KeyId>,
    accepted: Vec<wire::Acceptance>,
    roster: RosterJoiner,
}

type Outcome = Result<Vec<Action>, Close>;

impl RelaySession {
    /// A session of a device whose papers were found good.
    pub fn new(device: DeviceId) -> Self {
        Self {
            device,
            state: State::AwaitHello,
            hello: None,
            handing: Handing::default(),
            receipts: BTreeSet::new(),
            pulling_receipts: false,
            receipts_again: false,
            receipts_held: false,
            wanted: BTreeMap::new(),
            submitting: BTreeSet::new(),
            signs_with: None,
            accepted: Vec::new(),
            roster: RosterJoiner::default(),
        }
    }

    /// Where the conversation stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether control frames may be read: what a device says behind its certificate waits until that is judged.
    pub fn reads_control(&self) -> bool {
        self.state != State::Judging
    }

    /// Whether transfers may be read: only from a device that has introduced itself ([P-18]).
    pub fn reads_transfers(&self) -> bool {
        matches!(self.state, State::Live | State::Draining)
    }

    /// Envelopes on their way to the device that it has not stored, and its own on their way into the queue.
    pub fn in_flight(&self) -> (usize, usize) {
        (self.handing.under_way(), self.submitting.len())
    }

    /// Takes one event. After a close, nothing more comes.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        if self.state == State::Closed {
            return Vec::new();
        }
        let outcome = match event {
            Event::Control(kind) => self.control(kind),
            other => self.event(other),
        };
        let mut actions = outcome.unwrap_or_else(|close| vec![Action::Close(close)]);
        if self.drained() && self.accepted.is_empty() {
            actions.push(Action::Close(Close::GoingAway));
        }
        if actions.iter().any(|action| matches!(action, Action::Close(_))) {
            self.state = State::Closed;
        }
        actions
    }

    /// What was gathered while events came in a row: acceptances share frames.
    pub fn flush(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while !self.accepted.is_empty() {
            // An acceptance is about 350 bytes; 64 of the largest still fit a frame by the size below.
            let mut bytes = 0;
            let fits = self.accepted.iter().take(l::BATCH_MAX).take_while(|one| {
                bytes += wire::encoded_len(*one) + 8;
                bytes < l::FRAME_MAX - 64
            });
            let count = fits.count().max(1);
            let accepted = self.accepted.drain(..count).collect();
            actions.push(Action::Send(Kind::Acceptances(wire::Acceptances { accepted })));
        }
        if self.drained() {
            actions.push(Action::Close(Close::GoingAway));
            self.state = State::Closed;
        }
        actions
    }

    /// Whether a draining session has nothing in flight, in either direction ([P-21]).
    fn drained(&self) -> bool {
        self.state == State::Draining && self.handing.is_idle() && self.submitting.is_empty()
    }

    fn control(&mut self, kind: Kind) -> Outcome {
        match (self.state, kind) {
            (State::AwaitHello, Kind::Hello(hello)) => self.hello(hello),
            (State::AwaitLeaf, Kind::SigningLeaf(leaf)) => {
                self.state = State::Judging;
                Ok(vec![Action::JudgeLeaf(leaf)])
            }
            // While the certificate is being judged the body reads no further frames.
            (State::Live | State::Draining, kind) => self.live(kind),
            _ => Err(Close::Protocol),
        }
    }

    /// The first word on the control stream ([P-14]), for mailboxes of the device's own party ([P-15]).
    fn hello(&mut self, hello: wire::Hello) -> Outcome {
        let names = hello.mailboxes.iter().map(|mailbox| Mailbox::new(&mailbox.name));
        let mailboxes: Vec<Mailbox> = names.collect::<Result<_, _>>().map_err(|_| Close::Protocol)?;
        let own = mailboxes.iter().all(|mailbox| mailbox.party() == self.device.party);
        if hello.version != l::VERSION || mailboxes.is_empty() || !own {
            return Err(Close::Protocol);
        }
        self.handing.serve(mailboxes);
        self.hello = Some(hello);
        self.state = State::AwaitLeaf;
        Ok(Vec::new())
    }

    fn live(&mut self, kind: Kind) -> Outcome {
        match kind {
            Kind::WrapsFor(wraps) => late_wraps(wraps).map(|action| vec![action]),
            Kind::Stored(stored) => {
                stored.deliveries.iter().for_each(|delivery| self.handing.stored(delivery.sequence));
                Ok(self.pull_all())
            }
            Kind::Receipts(receipts) => self.statements(receipts),
            Kind::ReceiptsTaken(taken) => {
                let ids = receipt_ids(&taken).ok_or(Close::Protocol)?;
                // Without any it only asks whether we are here; the transport has answered.
                Ok(if ids.is_empty() { Vec::new() } else { vec![Action::Forget(ids)] })
            }
            Kind::Bundle(bundle) => {
                let bundle = SignedBundle::received(bundle).map_err(|_| Close::Protocol)?;
                let claim = bundle.claim().map_err(|_| Close::Protocol)?;
                if !self.handing.mailboxes().contains(&claim.mailbox) {
                    return Err(Close::Protocol);
                }
                Ok(vec![Action::KeepBundle(Box::new(bundle))])
            }
            Kind::WantBundles(want) => self.want(want),
            Kind::RosterPiece(piece) => {
                let whole = self.roster.push(&piece).map_err(|_| Close::Protocol)?;
                Ok(whole.into_iter().map(|roster| Action::TakeRoster(Box::new(roster))).collect())
            }
            _ => Err(Close::Protocol),
        }
    }

    /// A device states for mailboxes of its own party only: one that it no longer takes may have statements waiting.
    fn statements(&self, receipts: wire::Receipts) -> Outcome {
        let receipts = receipts.receipts.into_iter().map(SignedReceipt::received);
        let receipts: Vec<SignedReceipt> = receipts.collect::<Result<_, _>>().map_err(|_| Close::Protocol)?;
        for receipt in &receipts {
            match receipt.claim().map_err(|_| Close::Protocol)?.by {
                Speaker::Mailbox(mailbox) if mailbox.party() == self.device.party => {}
                _ => return Err(Close::Protocol),
            }
        }
        Ok(vec![Action::Note(receipts)])
    }

    fn want(&mut self, want: wire::WantBundles) -> Outcome {
        let mut actions = Vec::new();
        for wanted in want.wanted {
            let mailbox = Mailbox::new(&wanted.mailbox).map_err(|_| Close::Protocol)?;
            if self.wanted.len() >= l::WANTED_MAX && !self.wanted.contains_key(&mailbox) {
                return Err(Close::Protocol);
            }
            self.wanted.insert(mailbox.clone(), wanted.have_batch);
            actions.push(Action::FindBundle(mailbox, wanted.have_batch));
        }
        Ok(actions)
    }

    fn event(&mut self, event: Event) -> Outcome {
        match event {
            Event::Control(_) => unreachable!("handled before"),
            Event::LeafJudged(key) => self.judged(key),
            Event::HelloDeadline => match self.state {
                State::AwaitHello | State::AwaitLeaf => Err(Close::HelloLate),
                _ => Ok(Vec::new()),
            },
            Event::Submitted(transfer) => self.submitted(transfer),
            Event::Accepted(acceptance) => {
                if let Ok(id) = MessageId::try_from(&acceptance.message_id[..]) {
                    self.submitting.remove(&id);
                }
                self.accepted.push(acceptance);
                Ok(Vec::new())
            }
            Event::Denied(refusals) => Ok(receipt_frames(refusals).into_iter().map(Action::Send).collect()),
            Event::Refused(id, refusal, retry_after_ms, statement) => {
                self.submitting.remove(&id);
                Ok(vec![refused(id, refusal, retry_after_ms, statement)])
            }
            Event::Wake => {
                self.handing.wake();
                Ok(self.pull_all())
            }
            Event::Offers(mailbox, offers, all) => {
                Ok(self.handing.offers(mailbox, offers, all, self.state == State::Live))
            }
            Event::Forgotten(ids) => {
                for id in &ids {
                    self.receipts.remove(id);
                }
                let held = std::mem::take(&mut self.receipts_held);
                Ok(if held { self.pull_receipts() } else { Vec::new() })
            }
            Event::Unsendable(sequence) => {
                // So many unreadable ones are no accident of one entry: the queue needs a person.
                if self.handing.unsendable(sequence) { Ok(self.pull_all()) } else { Err(Close::OurFault) }
            }
            Event::NotSent(sequence) => {
                self.handing.not_sent(sequence);
                Ok(self.pull_all())
            }
            Event::Noted(ids, settled) => Ok(self.noted(ids, &settled)),
            Event::WakeReceipts => Ok(self.pull_receipts()),
            Event::Receipts(receipts) => Ok(self.hand_receipts(receipts)),
            Event::BundleKept(mailbox, batch_no) => {
                let taken = wire::BundleTaken { mailbox: mailbox.to_string(), batch_no };
                Ok(vec![Action::Send(Kind::BundleTaken(taken))])
            }
            Event::WakeBundles(published) => {
                let wanted = published.into_iter().filter_map(|mailbox| {
                    let have = *self.wanted.get(&mailbox)?;
                    Some(Action::FindBundle(mailbox, have))
                });
                Ok(wanted.collect())
            }
            Event::Bundle(mailbox, batch_no, bundle) => Ok(self.bundle(&mailbox, batch_no, &bundle)),
            Event::Roster(pieces) => {
                Ok(pieces.into_iter().map(|p| Action::Send(Kind::RosterPiece(p))).collect())
            }
            Event::Drain { retry_after_ms } => {
                self.state = State::Draining;
                Ok(vec![Action::Send(Kind::GoAway(wire::GoAway { retry_after_ms }))])
            }
            Event::Close(close) => Err(close),
        }
    }

    fn judged(&mut self, key: Option<KeyId>) -> Outcome {
        if self.state != State::Judging || key.is_none() {
            return Err(Close::BadIdentity);
        }
        self.signs_with = key;
        self.state = State::Live;
        let hello = self.hello.take().expect("Judging comes after Hello");
        let mut actions = vec![Action::Open { mailboxes: self.handing.mailboxes().to_vec(), hello }];
        actions.extend(self.pull_all());
        actions.extend(self.pull_receipts());
        Ok(actions)
    }

    /// The header's author must be the device that TLS named, and its key the one whose certificate was shown: no
    /// recipient could judge another ([P-22]).
    fn submitted(&mut self, transfer: Box<Transfer>) -> Outcome {
        let id = transfer.facts.message_id;
        let facts = &transfer.facts;
        let own = facts.author() == self.device && self.handing.mailboxes().contains(&facts.sender);
        if !own || Some(facts.sender_key_id) != self.signs_with {
            return Ok(vec![Action::Refuse(transfer, Refusal::SenderMismatch)]);
        }
        match self.state {
            State::Live if self.submitting.len() >= l::TRANSFERS_MAX as usize => {
                Ok(vec![refused(id, Refusal::SlowDown, None, None)])
            }
            State::Live => {
                self.submitting.insert(id);
                Ok(vec![Action::Submit(transfer)])
            }
            State::Draining => Ok(vec![refused(id, Refusal::Draining, None, None)]),
            _ => Err(Close::Protocol),
        }
    }

    fn pull_all(&mut self) -> Vec<Action> {
        if self.state == State::Live { self.handing.pull_all() } else { Vec::new() }
    }

    fn noted(&mut self, ids: Vec<ReceiptId>, settled: &[u64]) -> Vec<Action> {
        settled.iter().for_each(|sequence| self.handing.settled(*sequence));
        let ids = ids.iter().map(|id| wire::ReceiptId { id: id.to_vec().into() }).collect();
        let mut actions = vec![Action::Send(Kind::ReceiptsTaken(wire::ReceiptsTaken { ids }))];
        actions.extend(self.pull_all());
        actions
    }

    fn pull_receipts(&mut self) -> Vec<Action> {
        if self.pulling_receipts {
            self.receipts_again = true;
            return Vec::new();
        }
        if self.receipts.len() >= l::UNSETTLED_MAX || self.state != State::Live {
            self.receipts_held = true;
            return Vec::new();
        }
        self.pulling_receipts = true;
        vec![Action::PullReceipts { skip: self.receipts.clone(), max: l::BATCH_MAX }]
    }

    fn hand_receipts(&mut self, receipts: Vec<SignedReceipt>) -> Vec<Action> {
        self.pulling_receipts = false;
        let fresh: Vec<_> =
            receipts.into_iter().filter(|receipt| self.receipts.insert(receipt.id())).collect();
        let again = std::mem::take(&mut self.receipts_again) || fresh.len() == l::BATCH_MAX;
        let mut actions: Vec<Action> = receipt_frames(fresh).into_iter().map(Action::Send).collect();
        if again {
            actions.extend(self.pull_receipts());
        }
        actions
    }

    fn bundle(&mut self, mailbox: &Mailbox, batch_no: u64, bundle: &SignedBundle) -> Vec<Action> {
        match self.wanted.get_mut(mailbox) {
            Some(have) if *have < batch_no => {
                *have = batch_no;
                vec![Action::Send(Kind::Bundle(bundle.to_wire()))]
            }
            _ => Vec::new(),
        }
    }
}

fn refused(
    id: MessageId,
    refusal: Refusal,
    retry_after_ms: Option<u32>,
    statement: Option<SignedReceipt>,
) -> Action {
    // Only what may be tried again has a time, whatever was asked for.
    let retry_after_ms = refusal.retry_after_ms().map_or(0, |usual| retry_after_ms.unwrap_or(usual));
    Action::Send(Kind::Refused(wire::Refused {
        message_id: bytes::Bytes::copy_from_slice(id.as_bytes()),
        code: refusal.code(),
        retry_after_ms,
        statement: statement.map(|receipt| receipt.to_wire()),
    }))
}

fn late_wraps(wraps: wire::WrapsFor) -> Result<Action, Close> {
    let id = MessageId::try_from(&wraps.message_id[..]).map_err(|_| Close::Protocol)?;
    let checked = wraps.wraps.into_iter().map(|wrap| check_wrap(&wrap).map(|mailbox| (mailbox, wrap)));
    let checked: Vec<_> = checked.collect::<Result<_, _>>().map_err(|_| Close::Protocol)?;
    if checked.is_empty() { Err(Close::Protocol) } else { Ok(Action::AddWraps(id, checked)) }
}
