//! The calling end: what a device does with its session, decided here and done elsewhere.
//!
//! Owns what is in flight and what is awaited; never a store, a key or a stream.

use std::collections::{BTreeMap, BTreeSet};

use super::window::Window;
use super::{Close, ReceiptId, receipt_frames, receipt_ids};
use crate::bundle::SignedBundle;
use crate::limits as l;
use crate::names::{Mailbox, MessageId, RelayId};
use crate::receipt::SignedReceipt;
use crate::roster::RosterJoiner;
use crate::transfer::Transfer;
use crate::wire::{self, frame::Kind};

mod event;

pub use event::{Action, Event, Offer, State};

/// One session of a device with a relay.
#[derive(Debug)]
pub struct DeviceSession {
    relay: RelayId,
    answer_ms: u64,
    state: State,
    submissions: Window<MessageId>,
    written_ms: BTreeMap<MessageId, u64>,
    pulling: bool,
    again: bool,
    // Late wraps under way: how many the relay has yet to answer for, by message.
    late: BTreeMap<MessageId, usize>,
    pulling_late: bool,
    probed: bool,
    statements: BTreeSet<ReceiptId>,
    pulling_statements: bool,
    statements_again: bool,
    keeping: BTreeSet<u64>,
    stored: Vec<u64>,
    roster: RosterJoiner,
}

/// Messages whose late wraps are under way at once: enough to fill a link, few enough to answer in one breath.
const LATE_MAX: usize = 4;

type Outcome = Result<Vec<Action>, Close>;

impl DeviceSession {
    /// A session with the relay that this id names; `answer_ms` is how long silence may follow a submission.
    pub fn new(relay: RelayId, answer_ms: u64) -> Self {
        Self {
            relay,
            answer_ms,
            state: State::Greeting,
            submissions: Window::default(),
            written_ms: BTreeMap::new(),
            pulling: false,
            again: false,
            late: BTreeMap::new(),
            pulling_late: false,
            probed: false,
            statements: BTreeSet::new(),
            pulling_statements: false,
            statements_again: false,
            keeping: BTreeSet::new(),
            stored: Vec::new(),
            roster: RosterJoiner::default(),
        }
    }

    /// Where the conversation stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether deliveries are read now: not before Welcome has said whose statements to believe ([P-18]).
    pub fn reads_transfers(&self) -> bool {
        !matches!(self.state, State::Greeting)
    }

    /// Takes one event. After a close, nothing more comes.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        if self.state == State::Closed {
            return Vec::new();
        }
        let actions = self.event(event).unwrap_or_else(|close| vec![Action::Close(close)]);
        if actions.iter().any(|action| matches!(action, Action::Close(_))) {
            self.state = State::Closed;
        }
        actions
    }

    /// What was gathered while events came in a row: stored deliveries share frames.
    pub fn flush(&mut self) -> Vec<Action> {
        let stored = std::mem::take(&mut self.stored);
        let frame = |numbers: &[u64]| {
            let deliveries = numbers.iter().map(|sequence| wire::Delivery { sequence: *sequence }).collect();
            Action::Send(Kind::Stored(wire::Stored { deliveries }))
        };
        stored.chunks(l::BATCH_MAX).map(frame).collect()
    }

    fn event(&mut self, event: Event) -> Outcome {
        match event {
            Event::Connected { hello, leaf } => {
                let mut actions =
                    vec![Action::Send(Kind::Hello(hello)), Action::Send(Kind::SigningLeaf(leaf))];
                actions.extend(self.pull());
                actions.extend(self.pull_statements());
                Ok(actions)
            }
            Event::Control(kind) => self.control(kind),
            Event::Arrived(transfer) => self.arrived(transfer),
            Event::Kept(sequence) => {
                self.keeping.remove(&sequence);
                self.stored.push(sequence);
                Ok(self.pull_statements())
            }
            Event::Wake => Ok(self.pull()),
            Event::Offers(offers) => Ok(self.offers(offers)),
            Event::Submitted(id, now_ms) => {
                if self.submissions.holds(&id) {
                    self.written_ms.insert(id, now_ms);
                }
                Ok(Vec::new())
            }
            Event::NotSent(id) => {
                self.over(&id);
                Ok(Vec::new())
            }
            // Only now would the outbox not offer it again: asking earlier would submit it twice.
            Event::Over(id) => {
                self.over(&id);
                let mut actions = self.pull();
                actions.extend(self.late_over(&id));
                Ok(actions)
            }
            Event::StatementsOver(ids) => {
                for id in &ids {
                    self.statements.remove(id);
                }
                Ok(self.pull_statements())
            }
            Event::WakeStatements => Ok(self.pull_statements()),
            Event::Statements(statements) => Ok(self.hand_statements(statements)),
            Event::Noted(ids) => {
                let ids = ids.iter().map(|id| wire::ReceiptId { id: id.to_vec().into() }).collect();
                Ok(vec![Action::Send(Kind::ReceiptsTaken(wire::ReceiptsTaken { ids }))])
            }
            Event::Want(wanted) => Ok(want(&wanted)),
            Event::WakeLateWraps => Ok(self.pull_late()),
            Event::LateWraps(messages) => Ok(self.late_wraps(messages)),
            Event::Publish(bundle) => Ok(vec![Action::Send(Kind::Bundle(bundle.to_wire()))]),
            Event::Tick { now_ms, heard_ms } => self.tick(now_ms, heard_ms),
            Event::Close(close) => Err(close),
        }
    }

    /// Nothing comes before Welcome, and Welcome comes from the relay that was called ([P-17]).
    fn control(&mut self, kind: Kind) -> Outcome {
        match (self.state, kind) {
            (State::Greeting, Kind::Welcome(welcome)) => {
                if welcome.relay != self.relay.as_str() || welcome.signer.is_none() {
                    return Err(Close::BadIdentity);
                }
                self.state = State::Live;
                Ok(vec![Action::Welcomed(welcome)])
            }
            (State::Greeting, _) => Err(Close::Protocol),
            (_, kind) => self.live(kind),
        }
    }

    fn live(&mut self, kind: Kind) -> Outcome {
        match kind {
            Kind::Acceptances(acceptances) => self.acceptances(acceptances),
            Kind::Refused(refused) => self.refused(refused),
            Kind::Receipts(receipts) => {
                let receipts = receipts.receipts.into_iter().map(SignedReceipt::received);
                let receipts: Result<Vec<_>, _> = receipts.collect();
                Ok(vec![Action::Note(receipts.map_err(|_| Close::Protocol)?)])
            }
            Kind::ReceiptsTaken(taken) => {
                Ok(vec![Action::StatementsTaken(receipt_ids(&taken).ok_or(Close::Protocol)?)])
            }
            Kind::SigningLeaf(leaf) => Ok(vec![Action::KeepLeaf(leaf)]),
            Kind::Bundle(bundle) => {
                let bundle = SignedBundle::received(bundle).map_err(|_| Close::Protocol)?;
                Ok(vec![Action::TakeBundle(Box::new(bundle))])
            }
            Kind::BundleTaken(taken) => {
                let mailbox = Mailbox::new(&taken.mailbox).map_err(|_| Close::Protocol)?;
                Ok(vec![Action::BundleTaken(mailbox, taken.batch_no)])
            }
            Kind::RosterPiece(piece) => {
                let whole = self.roster.push(&piece).map_err(|_| Close::Protocol)?;
                Ok(whole.into_iter().map(|roster| Action::TakeRoster(Box::new(roster))).collect())
            }
            Kind::GoAway(away) => {
                self.state = State::GoingAway;
                Ok(vec![Action::ComeBack(away.retry_after_ms)])
            }
            _ => Err(Close::Protocol),
        }
    }

    fn acceptances(&mut self, acceptances: wire::Acceptances) -> Outcome {
        let mut actions = Vec::new();
        for acceptance in acceptances.accepted {
            let id = MessageId::try_from(&acceptance.message_id[..]).map_err(|_| Close::Protocol)?;
            let relayed = SignedReceipt::received(acceptance.relayed.ok_or(Close::Protocol)?);
            let relayed = relayed.map_err(|_| Close::Protocol)?;
            self.written_ms.remove(&id);
            actions.push(Action::Accepted(id, Box::new(relayed)));
        }
        Ok(actions)
    }

    fn refused(&mut self, refused: wire::Refused) -> Outcome {
        let id = MessageId::try_from(&refused.message_id[..]).map_err(|_| Close::Protocol)?;
        let statement =
            refused.statement.map(SignedReceipt::received).transpose().map_err(|_| Close::Protocol)?;
        self.written_ms.remove(&id);
        self.late.remove(&id);
        Ok(vec![Action::Refused(id, refused.code, refused.retry_after_ms, statement.map(Box::new))])
    }

    /// One answer for late wraps is in; the next may go. An acceptance of the envelope itself lets the first ones go.
    fn late_over(&mut self, id: &MessageId) -> Vec<Action> {
        if let Some(open) = self.late.get_mut(id) {
            *open -= 1;
            if *open > 0 {
                return Vec::new();
            }
            self.late.remove(id);
        }
        self.pull_late()
    }

    fn pull_late(&mut self) -> Vec<Action> {
        if self.state != State::Live || self.pulling_late || self.late.len() >= LATE_MAX {
            return Vec::new(); // an answer asks again
        }
        self.pulling_late = true;
        vec![Action::PullLateWraps {
            skip: self.late.keys().copied().collect(),
            max: LATE_MAX - self.late.len(),
        }]
    }

    fn late_wraps(&mut self, messages: Vec<(MessageId, Vec<wire::KeyWrap>)>) -> Vec<Action> {
        self.pulling_late = false;
        let mut actions = Vec::new();
        for (id, wraps) in messages {
            if !wraps.is_empty() && !self.late.contains_key(&id) {
                self.late.insert(id, wraps.len());
                actions.extend(late_frames(id, &wraps));
            }
        }
        actions
    }

    fn over(&mut self, id: &MessageId) {
        self.submissions.end(id);
        self.written_ms.remove(id);
    }

    /// Every delivered envelope carries its proof of acceptance; without it there is nothing to judge by.
    fn arrived(&mut self, transfer: Box<Transfer>) -> Outcome {
        let proof = transfer.relayed.as_ref().ok_or(Close::Protocol)?;
        let sequence = proof.claim().map_err(|_| Close::Protocol)?.sequence;
        let fresh = self.keeping.insert(sequence);
        Ok(if fresh { vec![Action::Keep(transfer)] } else { Vec::new() })
    }

    fn pull(&mut self) -> Vec<Action> {
        if self.pulling {
            self.again = true;
            return Vec::new();
        }
        if !matches!(self.state, State::Greeting | State::Live) || self.submissions.full() {
            return Vec::new(); // an acceptance asks again
        }
        self.pulling = true;
        vec![Action::PullOutbox {
            skip: self.submissions.keys().copied().collect(),
            max: l::TRANSFERS_MAX as usize,
        }]
    }

    fn offers(&mut self, offers: Vec<Offer>) -> Vec<Action> {
        self.pulling = false;
        let mut actions = Vec::new();
        let submits = matches!(self.state, State::Greeting | State::Live);
        for offer in offers {
            if submits && !self.submissions.holds(&offer.id) && self.submissions.admits(offer.bulk) {
                self.submissions.start(offer.id, offer.bulk);
                actions.push(Action::Submit(offer));
            }
        }
        if std::mem::take(&mut self.again) {
            actions.extend(self.pull());
        }
        actions
    }

    fn pull_statements(&mut self) -> Vec<Action> {
        if self.pulling_statements {
            self.statements_again = true;
            return Vec::new();
        }
        if self.statements.len() >= l::UNSETTLED_MAX {
            return Vec::new();
        }
        self.pulling_statements = true;
        vec![Action::PullStatements { skip: self.statements.clone(), max: l::BATCH_MAX }]
    }

    fn hand_statements(&mut self, statements: Vec<SignedReceipt>) -> Vec<Action> {
        self.pulling_statements = false;
        let fresh: Vec<_> = statements.into_iter().filter(|s| self.statements.insert(s.id())).collect();
        let again = std::mem::take(&mut self.statements_again) || fresh.len() == l::BATCH_MAX;
        let mut actions: Vec<Action> = receipt_frames(fresh).into_iter().map(Action::Send).collect();
        if again {
            actions.extend(self.pull_statements());
        }
        actions
    }

    /// A relay that says nothing after a submission may have been restarted: call anew rather than wait for the
    /// transport's own patience ([P-24]). Submitting twice does no harm.
    fn tick(&mut self, now_ms: u64, heard_ms: u64) -> Outcome {
        let Some(oldest) = self.written_ms.values().min() else {
            self.probed = false;
            return Ok(Vec::new());
        };
        let silence = now_ms.saturating_sub((*oldest).max(heard_ms));
        if silence > self.answer_ms {
            return Err(Close::Done);
        }
        // Half-way, something to answer is said: a relay that is alive and slow to sync answers by its transport.
        if silence <= self.answer_ms / 2 {
            self.probed = false;
        } else if !self.probed {
            self.probed = true;
            return Ok(vec![Action::Send(Kind::ReceiptsTaken(wire::ReceiptsTaken::default()))]);
        }
        Ok(Vec::new())
    }
}

fn want(wanted: &[(Mailbox, u64)]) -> Vec<Action> {
    let frame = |some: &[(Mailbox, u64)]| {
        let one = |(mailbox, batch): &(Mailbox, u64)| wire::WantedBundle {
            mailbox: mailbox.to_string(),
            have_batch: *batch,
        };
        Action::Send(Kind::WantBundles(wire::WantBundles { wanted: some.iter().map(one).collect() }))
    };
    wanted.chunks(l::WANTED_MAX).map(frame).collect()
}

fn late_frames(id: MessageId, wraps: &[wire::KeyWrap]) -> Vec<Action> {
    let frame = |some: &[wire::KeyWrap]| {
        let message_id = bytes::Bytes::copy_from_slice(id.as_bytes());
        Action::Send(Kind::WrapsFor(wire::WrapsFor { message_id, wraps: some.to_vec() }))
    };
    wraps.chunks(l::WRAPS_PER_FRAME).map(frame).collect()
}
