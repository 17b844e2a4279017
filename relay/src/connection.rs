//! One device's connection: carries out what its session decides. Frames in, events to the session, actions out.
//!
//! What is slow runs beside the loop and comes back as an event; the loop itself asks the store only for a certificate
//! that it has not shown yet, and never waits for a peer that does not read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use valise_certs::identity::AdmittedDevice;
use valise_host::framing::{CONTROL_PRIORITY, FrameFault, FrameReceiver, FrameSender};
use valise_host::speech::{Speech, Unread};
use valise_proto::limits as l;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::refusal::Refusal;
use valise_proto::session::Close;
use valise_proto::session::relay::{Action, Event, RelaySession};
use valise_proto::signing::KeyId;
use valise_proto::wire::{self, frame::Kind};

use crate::admission::{admit, close, close_for};
use crate::delivery::Sent;
use crate::errands::{blame, signers};
use crate::hub::Hub;
use crate::intake::{Received, Reserved};
use crate::line::Line;
use crate::queue::{Entry, Queue};
use crate::router::SessionNo;
use crate::schedule::Schedule;
use crate::still::Still;

mod beside;

/// Events that may wait for the loop: each slow task holds at most one, and there are not many more tasks.
const EVENTS: usize = 64;
/// A draining session ends after this, whatever is still in flight.
const DRAIN_MS: u64 = 4_000;
/// When a device that was told to leave may come back, milliseconds.
const COME_BACK_MS: u32 = 200;

/// What the slow tasks report.
enum Report {
    Event(Event),
    Transfer(Box<Received>),
    // What the queue has for a mailbox, asked for so many of each precedence.
    Found(Mailbox, Vec<Entry>, usize),
    Sent(u64, Sent),
    Broken(Close),
}

/// A connection whose papers were found good.
pub struct Call<Q> {
    hub: Arc<Hub<Q>>,
    connection: Connection,
    admitted: AdmittedDevice,
    session: RelaySession,
    line: Arc<Line>,
    number: Option<SessionNo>,
    tasks: JoinSet<()>,
    reports: mpsc::Sender<Report>,
    // KiB of submissions on their way in here.
    intake: Arc<Semaphore>,
    // Memory of submissions that came whole and are not yet with the store; a device may send one id twice.
    reserved: BTreeMap<MessageId, Vec<Reserved>>,
    // Signing keys whose certificate the device holds, those shown on the control stream, deliveries that carried one.
    shown: Arc<BTreeSet<KeyId>>,
    told: BTreeSet<KeyId>,
    carried: BTreeMap<u64, KeyId>,
    schedule: Schedule,
    still: Still,
}

impl<Q: Queue> Call<Q> {
    /// Serves the connection until it ends; gives the reason, if it was ours.
    pub async fn serve(
        hub: Arc<Hub<Q>>,
        connection: Connection,
        admitted: AdmittedDevice,
        shutdown: tokio_util::sync::CancellationToken,
    ) -> Option<Close> {
        let deadline = Instant::now() + Duration::from_millis(l::HELLO_DEADLINE_MS);
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => Err(Close::GoingAway),
            accepted = timeout_at(deadline, connection.accept_bi()) => accepted.map_err(|_| Close::HelloLate),
        };
        let (send, recv) = match accepted {
            Ok(Ok(streams)) => streams,
            Ok(Err(_)) => return None,
            Err(why) => {
                close(&connection, why);
                return Some(why);
            }
        };
        let (reports, inbox) = mpsc::channel(EVENTS);
        let mut call = Self {
            session: RelaySession::new(admitted.device().clone()),
            hub,
            line: Arc::new(Line::new(connection.clone())),
            connection,
            admitted,
            number: None,
            tasks: JoinSet::new(),
            reports,
            intake: Arc::new(Semaphore::new(l::INTAKE_PER_CONNECTION_KIB as usize)),
            reserved: BTreeMap::new(),
            shown: Arc::default(),
            told: BTreeSet::new(),
            carried: BTreeMap::new(),
            schedule: Schedule::default(),
            still: Still::default(),
        };
        let mut speech = Speech::start(FrameSender::new(send, CONTROL_PRIORITY));
        let why = call.run(&mut speech, FrameReceiver::new(recv), inbox, deadline, shutdown).await;
        if let Some(number) = call.number {
            call.hub.end(number);
        }
        if let Some(why) = why {
            speech.end().await;
            close(&call.connection, why);
        }
        why
    }

    async fn run(
        &mut self,
        speech: &mut Speech,
        mut recv: FrameReceiver,
        mut inbox: mpsc::Receiver<Report>,
        hello_by: Instant,
        shutdown: tokio_util::sync::CancellationToken,
    ) -> Option<Close> {
        let mut hello_due = true;
        let mut leave_by: Option<Instant> = None;
        let mut expiry = self.expiry();
        loop {
            let (line, still) = (Arc::clone(&self.line), self.still.clone());
            let event = tokio::select! {
                biased;
                () = line.close.notified() => Event::Close(line.why()),
                () = line.recheck.notified() => self.recheck(),
                () = sleep_until(expiry) => {
                    expiry = self.expiry();
                    if self.admitted.not_after_ms() <= self.hub.now_ms() {
                        Event::Close(Close::CertificateExpired)
                    } else {
                        continue;
                    }
                }
                () = shutdown.cancelled(), if leave_by.is_none() => {
                    leave_by = Some(Instant::now() + Duration::from_millis(DRAIN_MS));
                    Event::Drain { retry_after_ms: COME_BACK_MS }
                }
                () = sleep_until(leave_by.unwrap_or(hello_by)), if leave_by.is_some() => {
                    return Some(Close::GoingAway);
                }
                () = speech.hand_over(), if speech.waits() => continue,
                report = inbox.recv() => match self.report(report?) {
                    Ok(Some(event)) => event,
                    Ok(None) => continue,
                    Err(why) => return Some(why),
                },
                Some(_) = self.tasks.join_next() => continue,
                // A device that asks faster than the store answers waits in its own stream.
                frame = recv.next(), if self.session.reads_control() && self.tasks.len() < l::SESSION_TASKS_MAX => match frame {
                    Ok(Some(kind)) => {
                        self.note_stored(&kind);
                        Event::Control(kind)
                    }
                    Ok(None) | Err(FrameFault::Lost(_) | FrameFault::Reset(_)) => return None,
                    Err(fault) => {
                        if let FrameFault::Frame(fault) = fault {
                            blame(self.admitted.device(), fault.code());
                        }
                        return Some(Close::Protocol);
                    }
                },
                stream = self.connection.accept_uni(),
                    if self.session.reads_transfers() && self.tasks.len() < l::SESSION_TASKS_MAX =>
                {
                    self.take_in(FrameReceiver::new(stream.ok()?));
                    continue;
                }
                () = line.wake.notified() => Event::Wake,
                () = still.moved() => Event::Wake,
                () = line.receipts.notified() => Event::WakeReceipts,
                () = line.bundles.notified() => Event::WakeBundles(line.published()),
                () = sleep_until(hello_by), if hello_due => {
                    hello_due = false;
                    Event::HelloDeadline
                }
            };
            if let Some(why) = self.carry_out(event, &mut inbox, speech).await {
                return why;
            }
        }
    }

    /// Hands an event and all that wait behind it to the session, then does what it says. Some = over.
    async fn carry_out(
        &mut self,
        event: Event,
        inbox: &mut mpsc::Receiver<Report>,
        speech: &mut Speech,
    ) -> Option<Option<Close>> {
        let mut actions = self.session.handle(event);
        while let Ok(report) = inbox.try_recv() {
            match self.report(report) {
                Ok(Some(event)) => actions.extend(self.session.handle(event)),
                Ok(None) => {}
                Err(why) => return Some(Some(why)),
            }
        }
        actions.extend(self.session.flush());
        let (delivering, submitting) = self.session.in_flight();
        self.line.in_flight(delivering, submitting);
        for action in actions {
            match action {
                Action::Send(kind) => {
                    self.count(&kind);
                    if let Kind::Refused(refused) = &kind
                        && let Ok(id) = MessageId::try_from(&refused.message_id[..])
                    {
                        drop(self.release(&id)); // refused by the session itself: it never reached the store
                    }
                    let told = self.show_signers(&kind, speech).await;
                    if told.and_then(|()| speech.say(kind)).is_err() {
                        return Some(Some(Close::TooSlow));
                    }
                }
                Action::Open { mailboxes, hello } => {
                    for kind in self.open(&mailboxes, &hello).await {
                        if speech.say(kind).is_err() {
                            return Some(Some(Close::TooSlow));
                        }
                    }
                    // Trust may have changed while the device was greeted, before anybody could tell us.
                    if let Event::Close(why) = self.recheck() {
                        return Some(Some(why));
                    }
                }
                Action::Close(why) => return Some(Some(why)),
                other => self.start(other),
            }
        }
        None
    }

    fn report(&mut self, report: Report) -> Result<Option<Event>, Close> {
        match report {
            Report::Event(event) => Ok(Some(event)),
            Report::Transfer(received) => {
                let Received { transfer, reserved } = *received;
                self.reserved.entry(transfer.facts.message_id).or_default().push(reserved);
                Ok(Some(Event::Submitted(transfer)))
            }
            Report::Found(mailbox, entries, max) => {
                let held_back = self.still.any();
                let (offers, all) = self.schedule.order(&mailbox, &entries, max, Instant::now(), held_back);
                Ok(Some(Event::Offers(mailbox, offers, all)))
            }
            Report::Sent(sequence, Sent::Whole { carried }) => {
                if let Some(key) = carried {
                    self.carried.insert(sequence, key);
                }
                Ok(None)
            }
            Report::Sent(sequence, Sent::Settled) => Ok(Some(Event::NotSent(sequence))),
            Report::Sent(sequence, Sent::Failed) => Ok(Some(Event::Unsendable(sequence))),
            Report::Broken(why) => Err(why),
        }
    }

    /// What is told to the device, for the counts.
    fn count(&self, said: &Kind) {
        let metrics = self.hub.metrics();
        match said {
            Kind::Refused(refused) => {
                if let Some(refusal) = Refusal::from_code(refused.code) {
                    metrics.refused.of(refusal).one();
                }
            }
            Kind::Receipts(receipts) => metrics.receipts_sent.add(receipts.receipts.len() as u64),
            _ => {} // counted where it is decided, or not at all
        }
    }

    /// Takes the memory of one submission with this id, if it is still held here.
    fn release(&mut self, id: &MessageId) -> Option<Reserved> {
        let held = self.reserved.get_mut(id)?;
        let one = held.pop();
        if held.is_empty() {
            self.reserved.remove(id);
        }
        one
    }

    /// Certificates ahead of the receipts they judge ([P-41]): the control stream keeps its order, so once is enough.
    async fn show_signers(&mut self, kind: &Kind, speech: &mut Speech) -> Result<(), Unread> {
        for key in signers(kind) {
            if key == self.hub.signer_key() || self.told.contains(&key) {
                continue; // the relay's own of today came with Welcome
            }
            if let Some(leaf) = self.hub.leaf(key).await.ok().flatten() {
                speech.say(Kind::SigningLeaf(leaf))?;
                self.told.insert(key);
            }
        }
        Ok(())
    }

    /// A device that stored an envelope holds the certificate that came with it.
    fn note_stored(&mut self, kind: &Kind) {
        if let Kind::Stored(stored) = kind {
            for delivery in &stored.deliveries {
                if let Some(key) = self.carried.remove(&delivery.sequence) {
                    Arc::make_mut(&mut self.shown).insert(key);
                }
            }
        }
    }

    /// The certificate's end, or a day: a clock that is set wakes nobody.
    fn expiry(&self) -> Instant {
        let left = self.admitted.not_after_ms().saturating_sub(self.hub.now_ms()).min(l::DAY_MS);
        Instant::now() + Duration::from_millis(left + 1)
    }

    /// Trust changed: judge the papers again; when they hold, hand the roster over ([P-49]).
    fn recheck(&self) -> Event {
        let trust = self.hub.trust();
        match admit(&self.connection, &trust, self.hub.now_ms()) {
            Ok(_) => Event::Roster(trust.signed_roster().pieces(trust.roster().number)),
            Err(fault) => Event::Close(close_for(&fault)),
        }
    }

    /// Registers the device; Welcome, and the roster if it lacks it.
    async fn open(&mut self, mailboxes: &[Mailbox], hello: &wire::Hello) -> Vec<Kind> {
        let device = self.admitted.device().clone();
        let number = self.hub.open(&device, mailboxes, &self.line);
        self.number = Some(number);
        let trust = self.hub.trust();
        let roster_no = trust.roster().number;
        let held = match mailboxes.first() {
            Some(first) => self.hub.noted(self.hub.queue().bundle(first.clone()).await).ok().flatten(),
            None => None,
        };
        tracing::info!(event = "session-opened", session = number, party = %device.party, device = %device.device);
        let mut frames = vec![Kind::Welcome(wire::Welcome {
            relay: self.hub.relay().to_string(),
            roster_no,
            time_ms: self.hub.now_ms(),
            session: number,
            bundle_batch: held.map_or(0, |(batch, _)| batch),
            message_max: l::MESSAGE_CT_MAX,
            transfers_max: l::TRANSFERS_MAX,
            signer: Some(self.hub.signer().clone()),
        })];
        if hello.roster_no < roster_no {
            frames.extend(trust.signed_roster().pieces(roster_no).into_iter().map(Kind::RosterPiece));
        }
        frames
    }
}
