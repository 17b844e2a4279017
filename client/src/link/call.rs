//! One connection to the relay: carries out what its session decides. Frames in, events to the session, actions out.
//!
//! Everything slow runs beside the loop. What must keep its order (certificates before what they judge) goes through
//! one clerk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use valise_host::framing::{CONTROL_PRIORITY, FrameReceiver, FrameSender};
use valise_host::speech::Speech;
use valise_host::transport::LinkProfile;
use valise_proto::limits as l;
use valise_proto::session::Close;
use valise_proto::session::device::{Action, DeviceSession, Event, Offer, State};
use valise_proto::wire::{self, frame::Kind};

use super::clerk::clerk;
use super::intake::receive;
use super::upload::upload;
use super::{Ended, answer_ms, refused_papers};
use crate::arrivals::{self, Delivery};
use crate::boxes::LateWraps;
use crate::office::{LinkState, Office, OfficeError};

/// Events that may wait for the loop, and actions for the clerk.
const QUEUE: usize = 64;
/// KiB of envelopes that may be on their way in at once: three of the largest size.
const INCOMING_KIB: usize = 3 * 18 * 1024;
/// Pause after another session of this device took our place, milliseconds.
const SUPERSEDED_MS: u32 = 30_000;

/// What a slow task reports: an event; or that the peer broke the protocol on a transfer, or the store failed.
type Report = Result<Event, Close>;

/// One connection.
pub(super) struct Call {
    office: Arc<Office>,
    connection: Connection,
    profile: LinkProfile,
    session: DeviceSession,
    tasks: JoinSet<()>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    clerk: mpsc::Sender<Action>,
    // For the clerk, in order.
    ordered: VecDeque<Action>,
    relay_leaf: wire::SigningLeaf,
    budget: Arc<Semaphore>,
    ended: Ended,
    heard: (u64, u64),
}

impl Call {
    pub(super) fn new(office: Arc<Office>, connection: Connection, profile: LinkProfile) -> Self {
        let (reports, inbox) = mpsc::channel(QUEUE);
        let (clerk, _) = mpsc::channel(1);
        let session = DeviceSession::new(office.book.relay().clone(), answer_ms(profile));
        let heard = (0, office.book.own_ms());
        Self {
            office,
            connection,
            profile,
            session,
            tasks: JoinSet::new(),
            reports,
            inbox,
            clerk,
            ordered: VecDeque::new(),
            relay_leaf: wire::SigningLeaf::default(),
            budget: Arc::new(Semaphore::new(INCOMING_KIB)),
            ended: Ended { was_live: false, come_back_ms: None },
            heard,
        }
    }

    /// Converses until the connection ends.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Ended {
        let Ok((send, recv)) = self.connection.open_bi().await else { return self.ended };
        let mut speech = Speech::start(FrameSender::new(send, CONTROL_PRIORITY));
        let closed = self.converse(&mut speech, FrameReceiver::new(recv), stop).await;
        if let Some(why) = closed {
            tracing::info!(event = "link-closed", why = why.as_str());
            speech.end().await;
            self.connection.close(why.code().into(), why.as_str().as_bytes());
        } else if let Some(reason) = self.connection.close_reason() {
            tracing::info!(event = "link-lost", reason = %reason, code = refused_papers(&reason));
        }
        self.judge_end(closed);
        self.ended
    }

    /// Whether the next call may follow at once: not after a fault of either side, nor while another daemon with our
    /// papers is up. Two of them must not throw each other out for ever.
    fn judge_end(&mut self, closed: Option<Close>) {
        let theirs = match self.connection.close_reason() {
            Some(ConnectionError::ApplicationClosed(close)) => {
                Close::from_code(close.error_code.into_inner())
            }
            _ => None,
        };
        let why = closed.or(theirs);
        if theirs == Some(Close::Superseded) {
            tracing::error!(event = "superseded");
            self.ended.come_back_ms = Some(SUPERSEDED_MS);
        }
        self.ended.was_live &= matches!(why, None | Some(Close::Done | Close::GoingAway | Close::Superseded));
    }

    async fn converse(
        &mut self,
        speech: &mut Speech,
        mut recv: FrameReceiver,
        stop: &CancellationToken,
    ) -> Option<Close> {
        let hello = self.hello().await.ok()?;
        let leaf = self.office.leaf.clone();
        let mut event = Some(Event::Connected { hello, leaf });
        let office = Arc::clone(&self.office);
        let bells = &office.bells;
        let mut ticks = interval(Duration::from_millis(answer_ms(self.profile) / 5));
        loop {
            if let Some(why) = self.carry_out(event, speech) {
                return Some(why);
            }
            let live = self.session.state() == State::Live;
            let clerk = self.clerk.clone();
            event = tokio::select! {
                biased;
                () = stop.cancelled() => Some(Event::Close(Close::Done)),
                () = speech.hand_over(), if speech.waits() => None,
                place = clerk.reserve_owned(), if !self.ordered.is_empty() => {
                    let Ok(place) = place else { return Some(Close::OurFault) };
                    if let Some(action) = self.ordered.pop_front() {
                        place.send(action);
                    }
                    None
                }
                report = self.inbox.recv() => match report? {
                    Ok(event) => Some(event),
                    Err(why) => return Some(why),
                },
                // What the clerk has not done yet waits in the stream, not here.
                frame = recv.next(), if self.ordered.len() < QUEUE => match frame {
                    Ok(Some(kind)) => Some(Event::Control(kind)),
                    Ok(None) => return None,
                    Err(valise_host::framing::FrameFault::Frame(_)) => return Some(Close::Protocol),
                    Err(_) => return None,
                },
                // A delivery may overtake Welcome, and waits for it in its stream.
                stream = self.connection.accept_uni(), if self.session.reads_transfers() => {
                    self.take_in(FrameReceiver::new(stream.ok()?));
                    None
                }
                () = bells.outbox.notified() => Some(Event::Wake),
                () = bells.statements.notified() => Some(Event::WakeStatements),
                () = bells.late_wraps.notified(), if live => Some(Event::WakeLateWraps),
                () = bells.wanted.notified(), if live => {
                    self.want();
                    None
                }
                () = bells.publish.notified(), if live => {
                    self.publish(0);
                    None
                }
                _ = ticks.tick() => Some(self.tick()),
                Some(_) = self.tasks.join_next() => None,
            };
        }
    }

    async fn hello(&self) -> Result<wire::Hello, OfficeError> {
        let first = self.office.mailboxes[0].clone();
        let own = self.office.store(move |boxes| boxes.own_bundle(&first)).await?;
        let batch = own.filter(|own| own.published).and_then(|own| own.signed.claim().ok());
        let trust = self.office.book.trust();
        let crl = |status: valise_certs::crl::CrlStatus| wire::CrlNumber {
            issuer_key_id: status.key.0.to_vec().into(),
            number: status.number,
        };
        let crls = trust.crl_status(self.office.book.own_ms()).into_iter();
        Ok(wire::Hello {
            version: l::VERSION,
            mailboxes: self
                .office
                .mailboxes
                .iter()
                .map(|m| wire::MailboxName { name: m.to_string() })
                .collect(),
            roster_no: trust.roster().number,
            crls: crls.filter(|status| status.number > 0).take(l::CRLS_MAX).map(crl).collect(),
            bundle_batch: batch.map_or(0, |bundle| bundle.batch_no),
            link_profile: self.profile.as_str().to_owned(),
        })
    }

    /// Notes when packets last came, and how long a round trip takes now.
    fn tick(&mut self) -> Event {
        let stats = self.connection.stats();
        let now_ms = self.office.book.own_ms();
        if stats.udp_rx.datagrams != self.heard.0 {
            self.heard = (stats.udp_rx.datagrams, now_ms);
        }
        if self.session.state() == State::Live {
            let rtt_ms = Some((stats.path.rtt.as_secs_f64() * 1e6).round() / 1e3);
            self.office.link.send_replace(LinkState { state: "live", path: Some("quic"), rtt_ms });
        }
        // A relay that was killed before it had our last handshake packet knows nothing of us, and to such packets a
        // restarted one is silent (RFC 9000, 10.3): call anew rather than wait for the transport's own patience.
        let unconfirmed = stats.frame_rx.handshake_done == 0;
        if unconfirmed && now_ms.saturating_sub(self.heard.1) > answer_ms(self.profile) {
            return Event::Close(Close::Done);
        }
        Event::Tick { now_ms, heard_ms: self.heard.1 }
    }

    /// Hands an event and all that wait behind it to the session, then does what it says; never waits. Some = over.
    fn carry_out(&mut self, event: Option<Event>, speech: &mut Speech) -> Option<Close> {
        let mut actions = event.map(|event| self.session.handle(event)).unwrap_or_default();
        while let Ok(report) = self.inbox.try_recv() {
            match report {
                Ok(event) => actions.extend(self.session.handle(event)),
                Err(why) => return Some(why),
            }
        }
        actions.extend(self.session.flush());
        for action in actions {
            match action {
                Action::Send(kind) => {
                    if speech.say(kind).is_err() {
                        return Some(Close::TooSlow);
                    }
                }
                Action::Welcomed(welcome) => {
                    if let Err(why) = self.welcomed(welcome, speech) {
                        return Some(why);
                    }
                }
                Action::ComeBack(ms) => self.ended.come_back_ms = Some(ms),
                Action::Close(why) => return Some(why),
                ordered @ (Action::Accepted(..)
                | Action::Refused(..)
                | Action::Note(_)
                | Action::KeepLeaf(_)
                | Action::TakeBundle(_)
                | Action::StatementsTaken(_)
                | Action::BundleTaken(..)
                | Action::TakeRoster(_)) => self.ordered.push_back(ordered),
                beside => self.start(beside),
            }
        }
        None
    }

    /// The relay must sign as itself. Then everything that waited for it goes out.
    fn welcomed(&mut self, welcome: wire::Welcome, speech: &mut Speech) -> Result<(), Close> {
        let book = &self.office.book;
        let leaf = welcome.signer.unwrap_or_default();
        match book.signer(&leaf, book.own_ms()) {
            Ok(signer) if signer.relay() == Some(book.relay()) => {}
            _ => {
                tracing::error!(event = "relay-not-trusted", code = "SIGNER");
                return Err(Close::BadIdentity);
            }
        }
        let trust = book.trust();
        if welcome.roster_no < trust.roster().number {
            for piece in trust.signed_roster().pieces(trust.roster().number) {
                speech.say(Kind::RosterPiece(piece)).map_err(|_| Close::TooSlow)?;
            }
        }
        self.relay_leaf = leaf;
        self.ended.was_live = true;
        self.hire_clerk();
        self.publish(welcome.bundle_batch);
        self.want();
        self.office.bells.late_wraps.notify_one();
        tracing::info!(event = "link-live", session = welcome.session, roster = welcome.roster_no);
        self.office.link.send_replace(LinkState { state: "live", path: Some("quic"), rtt_ms: None });
        Ok(())
    }

    /// One task that does, in their order, what the relay told us.
    fn hire_clerk(&mut self) {
        let (sender, mut actions) = mpsc::channel(QUEUE);
        self.clerk = sender;
        let (office, reports, leaf) =
            (Arc::clone(&self.office), self.reports.clone(), self.relay_leaf.clone());
        self.tasks.spawn(async move {
            let mut naps = JoinSet::new();
            while let Some(action) = actions.recv().await {
                match clerk(&office, action, &leaf, &mut naps).await {
                    Ok(None) => {}
                    Ok(Some(event)) => {
                        reports.send(Ok(event)).await.ok(); // the loop is gone: so is the call
                    }
                    Err(error) => {
                        tracing::error!(event = "store-refused", %error);
                        reports.send(Err(Close::OurFault)).await.ok(); // as above
                        return;
                    }
                }
            }
        });
    }

    /// Runs beside the loop and reports the event that comes of it, if any.
    fn beside<F>(&mut self, work: F)
    where
        F: Future<Output = Result<Option<Event>, OfficeError>> + Send + 'static,
    {
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            let report = match work.await {
                Ok(None) => return,
                Ok(Some(event)) => Ok(event),
                Err(error) => {
                    tracing::error!(event = "store-refused", %error);
                    Err(Close::OurFault)
                }
            };
            reports.send(report).await.ok(); // the loop is gone: so is the call
        });
    }

    fn start(&mut self, action: Action) {
        let office = Arc::clone(&self.office);
        match action {
            Action::PullOutbox { skip, max } => self.beside(async move {
                let now_ms = office.book.own_ms();
                let found = office.store(move |boxes| boxes.to_submit(max, &skip, now_ms)).await?;
                let offers = found.iter().map(|one| Offer { id: one.id, bulk: one.bulk });
                Ok(Some(Event::Offers(offers.collect())))
            }),
            Action::Submit(offer) => {
                let connection = self.connection.clone();
                self.beside(async move {
                    let sent = upload(&office, &connection, offer.id).await?;
                    let now_ms = office.book.own_ms();
                    Ok(Some(if sent { Event::Submitted(offer.id, now_ms) } else { Event::NotSent(offer.id) }))
                });
            }
            Action::Keep(transfer) => {
                let delivery = Delivery { transfer: *transfer, relay_leaf: self.relay_leaf.clone() };
                self.beside(async move { Ok(arrivals::take(&office, delivery).await?.map(Event::Kept)) });
            }
            Action::PullLateWraps { skip, max } => self.beside(async move {
                let now_ms = office.book.own_ms();
                let late = office.store(move |boxes| boxes.late_wraps(max, &skip, now_ms)).await?;
                let wraps = |one: LateWraps| (one.id, one.wraps.into_iter().map(|(_, wrap)| wrap).collect());
                Ok(Some(Event::LateWraps(late.into_iter().map(wraps).collect())))
            }),
            Action::PullStatements { skip, max } => self.beside(async move {
                let found = office.store(move |boxes| boxes.statements(max, &skip)).await?;
                Ok(Some(Event::Statements(found)))
            }),
            other => unreachable!("{other:?} is done in the loop or by the clerk"),
        }
    }

    /// An incoming stream: certificates, then one envelope.
    fn take_in(&mut self, stream: FrameReceiver) {
        let (office, budget, reports) =
            (Arc::clone(&self.office), Arc::clone(&self.budget), self.reports.clone());
        self.tasks.spawn(async move {
            let report = match receive(&office, stream, budget).await {
                Ok(Some(transfer)) => Ok(Event::Arrived(transfer)),
                Ok(None) => return, // given up by the relay; it will come again
                Err(why) => Err(why),
            };
            reports.send(report).await.ok(); // the loop is gone: so is the call
        });
    }

    /// Own batches that the relay lacks; its newest of the first mailbox is known from Welcome. Asked for first: what
    /// it holds of ours may be from a store that is lost, and then the chain goes on from there.
    fn publish(&mut self, held: u64) {
        let (office, reports) = (Arc::clone(&self.office), self.reports.clone());
        self.beside(async move {
            for (at, mailbox) in office.mailboxes.clone().into_iter().enumerate() {
                let of = mailbox.clone();
                let Some(own) = office.store(move |boxes| boxes.own_bundle(&of)).await? else { continue };
                let lacking = at == 0 && held != 0 && held != own.batch_no;
                if own.published && !lacking {
                    continue;
                }
                for event in [Event::Want(vec![(mailbox, 0)]), Event::Publish(Box::new(own.signed))] {
                    reports.send(Ok(event)).await.ok(); // the loop is gone: so is the call
                }
            }
            Ok(None)
        });
    }

    /// Everyone we ever wrote to: the relay hands out newer keys as they come.
    fn want(&mut self) {
        let office = Arc::clone(&self.office);
        self.beside(async move {
            let mailboxes = office.mailboxes.clone();
            let wanted = office.store(move |boxes| boxes.wanted(&mailboxes, l::WANTED_MAX)).await?;
            Ok(Some(Event::Want(wanted)))
        });
    }
}
