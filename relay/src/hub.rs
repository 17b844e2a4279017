//! Carries out what the router decides: the place where sessions, queue and trust meet.
//!
//! Holds the router's lock only between awaits. Never reads an envelope beyond its header.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use valise_certs::signer::verify_signer;
use valise_certs::trust::Trust;
use valise_host::clock::Clock;
use valise_host::keyfile::write_atomic;
use valise_proto::bundle::SignedBundle;
use valise_proto::header::Header;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::refusal::Refusal;
use valise_proto::roster::SignedRoster;
use valise_proto::session::Close;
use valise_proto::signing::{Hash, KeyId};
use valise_proto::transfer::Transfer;
use valise_proto::wire;

use crate::disk::{Gauge, Level, Thresholds};
use crate::line::{Line, Session, locked};
use crate::metrics::{Bound, Metrics};
use crate::queue::{LateWraps, Placed, Queue, QueueError, Quotas, Stamp, Submission, Wrapped};
use crate::router::{self, Action, Event, Router, SessionNo, Verdict};

mod room;
mod statements;

use statements::Signers;

/// When a sender whose quota is used up, or for whom the disk has no room, may try again, milliseconds: neither changes
/// within seconds, and each try sends all of an envelope.
const SLOW_DOWN_MS: u32 = 30_000;
/// The same for a full mailbox: it has room once its device is back.
const MAILBOX_FULL_MS: u32 = 60_000;
/// For each so many bytes of an envelope the wait is as long again: what is sent in vain must not fill a satellite link.
const RETRY_BYTES: u64 = 1024 * 1024;
/// Most entries ended in one commit by the clock: keeps the group small beside live traffic.
const EXPIRE_BATCH: usize = 256;

/// What became of a submission, for the session that brought it.
#[derive(Debug)]
pub struct Answer {
    /// Durable, with its proof; or not taken.
    pub outcome: Result<Vec<SignedReceipt>, Refused>,
    /// Signed refusals of single recipients, for the session's control stream.
    pub denied: Vec<SignedReceipt>,
}

/// Why a submission was not taken.
#[derive(Debug)]
pub struct Refused {
    /// Its number and word.
    pub refusal: Refusal,
    /// When to try again, milliseconds; none = as the refusal says.
    pub retry_after_ms: Option<u32>,
    /// The relay's signed word, when it is final.
    pub statement: Option<SignedReceipt>,
}

/// The relay's meeting place.
pub struct Hub<Q> {
    queue: Q,
    router: Mutex<Router>,
    lines: Mutex<HashMap<SessionNo, Arc<Line>>>,
    trust: ArcSwap<Trust>,
    taking_roster: Mutex<()>,
    kept_roster: PathBuf,
    clock: Arc<dyn Clock>,
    stamp: Arc<dyn Stamp>,
    signer: wire::SigningLeaf,
    signer_key: KeyId,
    signers: Signers,
    incoming: Arc<Semaphore>,
    sessions: AtomicU64,
    draining: AtomicBool,
    errands: CancellationToken,
    quotas: Quotas,
    disk: Mutex<Gauge>,
    metrics: Metrics,
}

/// What a hub is made of.
pub struct HubParts<Q> {
    /// The durable queue.
    pub queue: Q,
    /// What is trusted now.
    pub trust: Trust,
    /// Where a newer roster is kept.
    pub kept_roster: PathBuf,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Signs the relay's statements.
    pub stamp: Arc<dyn Stamp>,
    /// The certificate behind those signatures.
    pub signer: wire::SigningLeaf,
    /// Its key.
    pub signer_key: KeyId,
    /// KiB of envelopes on their way into the queue at once.
    pub incoming_kib: u32,
    /// How much may wait in the queue.
    pub quotas: Quotas,
    /// How much room the disk must have.
    pub disk: Thresholds,
}

impl<Q: Queue> Hub<Q> {
    /// Puts the parts together.
    pub fn new(parts: HubParts<Q>) -> Self {
        Self {
            queue: parts.queue,
            router: Mutex::default(),
            lines: Mutex::default(),
            trust: ArcSwap::from_pointee(parts.trust),
            taking_roster: Mutex::default(),
            kept_roster: parts.kept_roster,
            clock: parts.clock,
            stamp: parts.stamp,
            signer: parts.signer,
            signer_key: parts.signer_key,
            signers: Signers::default(),
            incoming: Arc::new(Semaphore::new(parts.incoming_kib as usize)),
            sessions: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            errands: CancellationToken::new(),
            quotas: parts.quotas,
            disk: Mutex::new(Gauge::new(parts.disk)),
            metrics: Metrics::default(),
        }
    }

    /// The queue, for reading.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// What is trusted now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.load_full()
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Cancelled when the relay ends: what runs on behind its session ends then.
    pub fn errands(&self) -> &CancellationToken {
        &self.errands
    }

    /// Runs on when the session that asked for it is gone, and ends with the relay.
    pub fn run_on<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        tokio::spawn(self.errands.clone().run_until_cancelled_owned(work))
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The certificate behind the relay's statements.
    pub fn signer(&self) -> &wire::SigningLeaf {
        &self.signer
    }

    /// The key behind the relay's statements.
    pub fn signer_key(&self) -> KeyId {
        self.signer_key
    }

    /// Which relay this is.
    pub fn relay(&self) -> &valise_proto::names::RelayId {
        self.stamp.relay()
    }

    /// KiB that may be on their way into the queue.
    pub fn incoming(&self) -> &Arc<Semaphore> {
        &self.incoming
    }

    /// Sessions at this moment.
    pub fn connected(&self) -> usize {
        locked(&self.router).connected()
    }

    /// Every session, the oldest first.
    pub fn sessions(&self) -> Vec<Session> {
        let (router, lines) = (locked(&self.router), locked(&self.lines));
        let sessions = router.sessions().filter_map(|(session, device, mailboxes)| {
            let line = Arc::clone(lines.get(&session)?);
            Some((session, device.clone(), mailboxes.to_vec(), line))
        });
        sessions.collect()
    }

    /// Whether the relay is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Registers a greeted device; supersedes its earlier session.
    pub fn open(&self, device: &DeviceId, mailboxes: &[Mailbox], line: &Arc<Line>) -> SessionNo {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.sessions_opened.one();
        line.greet(self.now_ms());
        locked(&self.lines).insert(session, Arc::clone(line));
        self.route(Event::Opened { session, device: device.clone(), mailboxes: mailboxes.to_vec() });
        session
    }

    /// A session ended.
    pub fn end(&self, session: SessionNo) {
        self.route(Event::Ended(session));
        locked(&self.lines).remove(&session);
    }

    /// No session is told to come; those there are asked to leave by their own tasks.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn route(&self, event: Event) {
        let actions = locked(&self.router).handle(event);
        let lines = locked(&self.lines);
        for action in actions {
            let (session, tell): (SessionNo, fn(&Line)) = match action {
                Action::Wake(session) => (session, |line| line.wake.notify_one()),
                Action::WakeReceipts(session) => (session, |line| line.receipts.notify_one()),
                Action::WakeBundles(session, mailbox) => {
                    if let Some(line) = lines.get(&session) {
                        line.publish(mailbox);
                    }
                    continue;
                }
                Action::Recheck(session) => (session, |line| line.recheck.notify_one()),
                Action::Close(session, why) => {
                    if let Some(line) = lines.get(&session) {
                        line.close(why);
                    }
                    continue;
                }
            };
            if let Some(line) = lines.get(&session) {
                tell(line);
            }
        }
    }

    /// Says in the log what the queue could not do. Its failure for good is told by `Queue::failure`.
    pub fn noted<T>(&self, result: Result<T, QueueError>) -> Result<T, QueueError> {
        if let Err(error) = &result {
            tracing::error!(event = "queue-refused", %error);
            self.metrics.troubles.of(error.into()).one();
        }
        result
    }

    /// Judges, queues and wakes.
    pub async fn submit(&self, submitter: DeviceId, transfer: Transfer) -> Answer {
        let now_ms = self.now_ms();
        let verdict = router::judge(&transfer.facts, self.trust.load().roster(), now_ms);
        let allowed = match verdict {
            Verdict::Refuse(refusal) => return self.refuse_all(&transfer, refusal),
            Verdict::Queue { allowed, .. } => allowed,
        };
        let (facts, hash) = (transfer.facts.clone(), transfer.header.hash());
        let wrapped: Vec<Mailbox> = transfer.wraps.iter().map(|(mailbox, _)| mailbox.clone()).collect();
        // What is stored already is found to be, whatever the disk says.
        let level = self.disk().level();
        let full = !level.takes(facts.precedence);
        let submission = Submission {
            header: transfer.header,
            facts: transfer.facts,
            submitter,
            wraps: transfer.wraps.into_iter().filter(|(mailbox, _)| allowed.contains(mailbox)).collect(),
            recipients: allowed,
            parts: transfer.parts,
            quotas: if full { Quotas::NOTHING } else { self.quotas },
            now_ms,
        };
        match self.noted(self.queue.enqueue(submission).await) {
            Ok(Placed::Stored { sequence, relayed, denied, fresh }) => {
                self.count_placed(&facts, fresh, denied.len());
                self.route(Event::Queued(wrapped));
                let denied = self.denials(&facts, hash, sequence, denied);
                Answer { outcome: Ok(vec![relayed]), denied }
            }
            Ok(Placed::IdReused) => {
                let statement = self.refusal(&facts, hash, 0, None, Reason::Malformed);
                refused(Refusal::IdReused, Some(statement))
            }
            Ok(Placed::Over(over)) => {
                let bound = if full { Bound::Disk } else { over.into() };
                self.metrics.held_back.of(bound).one();
                match bound {
                    Bound::Mailbox => put_off(Refusal::MailboxFull, MAILBOX_FULL_MS, &facts),
                    Bound::Disk if level == Level::Exhausted => {
                        put_off(Refusal::StoreFull, SLOW_DOWN_MS, &facts)
                    }
                    Bound::Disk | Bound::Sender => put_off(Refusal::SlowDown, SLOW_DOWN_MS, &facts),
                }
            }
            Err(QueueError::Full) => refused(Refusal::StoreFull, None),
            Err(_) => refused(Refusal::SlowDown, None),
        }
    }

    fn count_placed(&self, facts: &Header, fresh: bool, denied: usize) {
        if fresh {
            self.metrics.accepted.one();
            self.metrics.submitted_bytes.add(facts.ct_len());
            self.metrics.recipients_refused.add(denied as u64);
        } else {
            self.metrics.repeated.one();
        }
    }

    /// Refuses a submission for good, in writing.
    pub fn refuse_all(&self, transfer: &Transfer, refusal: Refusal) -> Answer {
        if refusal.retry_after_ms().is_some() {
            return refused(refusal, None);
        }
        let reason = match refusal {
            Refusal::Expired => Reason::Expired,
            Refusal::NotPermittedOrUnknown => Reason::NotPermittedOrUnknown,
            _ => Reason::Malformed,
        };
        let statement = self.refusal(&transfer.facts, transfer.header.hash(), 0, None, reason);
        refused(refusal, Some(statement))
    }

    fn denials(&self, facts: &Header, hash: Hash, sequence: u64, denied: Vec<Mailbox>) -> Vec<SignedReceipt> {
        let reason = Reason::NotPermittedOrUnknown;
        denied.into_iter().map(|mailbox| self.refusal(facts, hash, sequence, Some(mailbox), reason)).collect()
    }

    fn refusal(
        &self,
        facts: &Header,
        header_hash: Hash,
        sequence: u64,
        mailbox: Option<Mailbox>,
        reason: Reason,
    ) -> SignedReceipt {
        let receipt = Receipt {
            kind: ReceiptKind::Refused,
            message_id: facts.message_id,
            header_hash,
            sequence,
            time_ms: self.now_ms(),
            by: Speaker::Relay(self.relay().clone()),
            mailbox,
            reason: Some(reason),
            operator_ref: None,
        };
        self.stamp.sign_all(&[receipt]).remove(0)
    }

    /// Adds wraps to a message of this device, and wakes who can read now.
    pub async fn add_wraps(
        &self,
        submitter: DeviceId,
        message_id: MessageId,
        wraps: Vec<(Mailbox, wire::KeyWrap)>,
    ) -> Answer {
        let wraps = LateWraps { message_id, submitter, wraps, now_ms: self.now_ms() };
        match self.noted(self.queue.add_wraps(wraps).await) {
            Ok(Wrapped::Stored { relayed, mailboxes, .. }) => {
                self.route(Event::Queued(mailboxes));
                Answer { outcome: Ok(relayed), denied: Vec::new() }
            }
            Ok(Wrapped::NoSuchMessage) => refused(Refusal::NoSuchMessage, None),
            Err(QueueError::Full) => refused(Refusal::StoreFull, None),
            Err(_) => refused(Refusal::SlowDown, None),
        }
    }

    /// Keeps a bundle whose signer is the device that brought it ([P-46]).
    pub async fn keep_bundle(
        &self,
        device: &DeviceId,
        bundle: SignedBundle,
    ) -> Result<(Mailbox, u64), Close> {
        let (leaf, issuer) = bundle.signer();
        let signer = verify_signer(leaf, issuer, &self.trust.load(), self.now_ms());
        let signer = signer.map_err(|_| Close::BadIdentity)?;
        let claim = bundle.verify(signer.key()).map_err(|_| Close::Protocol)?;
        if signer.device() != Some(device) || claim.mailbox.party() != device.party {
            return Err(Close::BadIdentity);
        }
        let held = self.noted(self.queue.bundle(claim.mailbox.clone()).await).map_err(|_| Close::OurFault)?;
        if let Some((held, _)) = held.filter(|(held, _)| *held >= claim.batch_no) {
            if held == claim.batch_no {
                // Told again: the session that brought it may have ended before anybody was woken. Who has it gets nothing.
                self.route(Event::BundlePublished(claim.mailbox.clone()));
            }
            return Ok((claim.mailbox, claim.batch_no));
        }
        let kept = self.queue.keep_bundle(claim.mailbox.clone(), claim.batch_no, bundle).await;
        let newest = self.noted(kept).map_err(|_| Close::OurFault)?;
        self.route(Event::BundlePublished(claim.mailbox.clone()));
        Ok((claim.mailbox, newest))
    }

    /// A bundle newer than the batch, for a device that may write to its mailbox ([P-47]).
    pub async fn find_bundle(
        &self,
        device: &DeviceId,
        mailbox: &Mailbox,
        have: u64,
    ) -> Option<(u64, SignedBundle)> {
        let trust = self.trust.load_full();
        let own = device.party == mailbox.party(); // after the loss of a store, the chain goes on from our copy
        if !own && !trust.roster().may_write(&device.party, &mailbox.party(), self.now_ms()) {
            return None;
        }
        let found = self.noted(self.queue.bundle(mailbox.clone()).await).ok()??;
        (found.0 > have).then_some(found)
    }

    /// Takes a roster that a device holds and we lack; kept on disk before it is in force ([P-48]).
    pub fn take_roster(&self, roster: &SignedRoster) {
        let bytes: Bytes = roster.to_bytes();
        // One after another: of two that come at once the higher must stay.
        let _one = locked(&self.taking_roster);
        match self.trust.load().with_newer_roster(bytes.clone(), self.now_ms()) {
            Ok(None) => {}
            Ok(Some(newer)) => {
                if let Err(error) = write_atomic(&self.kept_roster, &bytes, 0o600) {
                    tracing::error!(event = "roster-not-kept", %error);
                    return;
                }
                tracing::info!(event = "roster-taken", number = newer.roster().number);
                self.trust.store(Arc::new(newer));
                self.route(Event::RosterChanged);
            }
            Err(fault) => tracing::warn!(event = "roster-rejected", code = fault.code()),
        }
    }

    /// Ends what is past its time and tells the authors.
    pub async fn expire(&self) {
        loop {
            let ended = self.queue.expire(self.now_ms(), EXPIRE_BATCH).await;
            let Ok(ended) = self.noted(ended) else { return };
            let more = ended.entries == EXPIRE_BATCH;
            self.metrics.receipts_kept.of(ReceiptKind::Expired).add(ended.entries as u64);
            ended.authors.into_iter().for_each(|author| self.route(Event::ReceiptFor(author)));
            if !more {
                return;
            }
        }
    }
}

fn refused(refusal: Refusal, statement: Option<SignedReceipt>) -> Answer {
    Answer { outcome: Err(Refused { refusal, retry_after_ms: None, statement }), denied: Vec::new() }
}

/// Not now: the same bytes again after this time, or longer when they are many.
fn put_off(refusal: Refusal, retry_ms: u32, facts: &Header) -> Answer {
    let times = u32::try_from(1 + facts.ct_len() / RETRY_BYTES).unwrap_or(u32::MAX);
    let retry_after_ms = Some(retry_ms.saturating_mul(times));
    Answer { outcome: Err(Refused { refusal, retry_after_ms, statement: None }), denied: Vec::new() }
}
