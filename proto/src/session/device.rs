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
use crate::roster::{RosterJoiner, SignedRoster};
use crate::transfer::Transfer;
use crate::wire::{self, frame::Kind};

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Hello is out; submissions flow already.
    Greeting,
    /// Welcome is in.
    Live,
    /// The relay is about to stop: nothing new is submitted.
    GoingAway,
    /// Over.
    Closed,
}

/// A message of the outbox as the session needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which message.
    pub id: MessageId,
    /// Whether it counts as bulk.
    pub bulk: bool,
}

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// The connection is up: greet.
    Connected {
        /// What to say.
        hello: wire::Hello,
        /// Which papers to show.
        leaf: wire::SigningLeaf,
    },
    /// A frame on the control stream.
    Control(Kind),
    /// An envelope came whole.
    Arrived(Box<Transfer>),
    /// An arrived envelope is durable here, opened or not, with its statement; or it was before.
    Kept(u64),
    /// The outbox may have something to submit.
    Wake,
    /// The outbox's answer to `PullOutbox`.
    Offers(Vec<Offer>),
    /// A submission is under way, its last frame written at this time (Unix milliseconds).
    Submitted(MessageId, u64),
    /// A submission could not be written.
    NotSent(MessageId),
    /// What the relay said of a submission is durable here: it may be asked for again, or is done.
    Over(MessageId),
    /// Statements may wait to be sent.
    WakeStatements,
    /// The store's answer to `PullStatements`.
    Statements(Vec<SignedReceipt>),
    /// It is durable here that the relay holds these statements.
    StatementsOver(Vec<ReceiptId>),
    /// Receipts that came are durable here.
    Noted(Vec<ReceiptId>),
    /// Mailboxes whose keys are needed, with the newest batch held.
    Want(Vec<(Mailbox, u64)>),
    /// Wraps that follow a message.
    LateWraps(MessageId, Vec<wire::KeyWrap>),
    /// The own bundle is to be published.
    Publish(Box<SignedBundle>),
    /// Time passes: now, and when anything last came from the relay (Unix milliseconds).
    Tick {
        /// Now.
        now_ms: u64,
        /// When a packet last came.
        heard_ms: u64,
    },
    /// Close from this side.
    Close(Close),
}

/// What the body is to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Write a frame to the control stream.
    Send(Kind),
    /// The relay is found fit: note its time and its signer, hand over what it lacks.
    Welcomed(wire::Welcome),
    /// Ask the outbox; answer with `Offers`.
    PullOutbox {
        /// Not these.
        skip: BTreeSet<MessageId>,
        /// At most so many.
        max: usize,
    },
    /// Send a message on a stream of its own.
    Submit(Offer),
    /// A message is durable at the relay; the receipt is not yet judged. Answer with `Over`.
    Accepted(MessageId, Box<SignedReceipt>),
    /// A message was not taken: code, when to try again (0 = never), the statement, not yet judged. Answer with `Over`.
    Refused(MessageId, u32, u32, Option<Box<SignedReceipt>>),
    /// Open, verify and keep an envelope; answer with `Kept`.
    Keep(Box<Transfer>),
    /// Judge and keep receipts; answer with `Noted`.
    Note(Vec<SignedReceipt>),
    /// Ask the store; answer with `Statements`.
    PullStatements {
        /// Not these.
        skip: BTreeSet<ReceiptId>,
        /// At most so many.
        max: usize,
    },
    /// A signing certificate that what follows is judged by.
    KeepLeaf(wire::SigningLeaf),
    /// The relay holds these statements. Answer with `StatementsOver`.
    StatementsTaken(Vec<ReceiptId>),
    /// Judge and keep a bundle.
    TakeBundle(Box<SignedBundle>),
    /// The relay holds the own batch.
    BundleTaken(Mailbox, u64),
    /// Judge and keep a newer roster.
    TakeRoster(Box<SignedRoster>),
    /// The relay will stop: come back after so many milliseconds.
    ComeBack(u32),
    /// Close the connection; nothing follows.
    Close(Close),
}

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
    statements: BTreeSet<ReceiptId>,
    pulling_statements: bool,
    statements_again: bool,
    keeping: BTreeSet<u64>,
    stored: Vec<u64>,
    roster: RosterJoiner,
}

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
                Ok(self.pull())
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
            Event::LateWraps(id, wraps) => Ok(late_wraps(id, &wraps)),
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
        Ok(vec![Action::Refused(id, refused.code, refused.retry_after_ms, statement.map(Box::new))])
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
        let oldest = self.written_ms.values().min();
        let silent = oldest.is_some_and(|sent| now_ms.saturating_sub((*sent).max(heard_ms)) > self.answer_ms);
        if silent { Err(Close::Done) } else { Ok(Vec::new()) }
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

fn late_wraps(id: MessageId, wraps: &[wire::KeyWrap]) -> Vec<Action> {
    let frame = |some: &[wire::KeyWrap]| {
        let message_id = bytes::Bytes::copy_from_slice(id.as_bytes());
        Action::Send(Kind::WrapsFor(wire::WrapsFor { message_id, wraps: some.to_vec() }))
    };
    wraps.chunks(l::WRAPS_PER_FRAME).map(frame).collect()
}
