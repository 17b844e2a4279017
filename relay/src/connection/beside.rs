//! What runs beside a connection's loop: each slow piece of work is a task, and comes back as a report.
//!
//! Starts and decides nothing else; tasks end with their connection, but for what must not be left half done.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::sleep;
use valise_host::framing::FrameReceiver;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::session::relay::{Action, Event, Offer};
use valise_proto::transfer::Transfer;
use valise_proto::wire;

use super::{Call, Report};
use crate::delivery::deliver;
use crate::errands::{FULL_PAUSE, answers, blame, forget, judge_leaf, note};
use crate::intake::{Broken, Intake};
use crate::queue::Queue;

impl<Q: Queue> Call<Q> {
    pub(super) fn take_in(&mut self, stream: FrameReceiver) {
        let intake = Intake { stream, own: Arc::clone(&self.intake), all: Arc::clone(self.hub.incoming()) };
        let (device, reports) = (self.admitted.device().clone(), self.reports.clone());
        self.tasks.spawn(async move {
            let report = match intake.receive().await {
                Ok(Some(received)) => Report::Transfer(Box::new(received)),
                Ok(None) => return, // given up by the device; it will come again
                Err(Broken(why, code)) => {
                    blame(&device, code);
                    Report::Broken(why)
                }
            };
            reports.send(report).await.ok(); // the loop is gone: so is the session
        });
    }

    /// Runs beside the loop and reports the event that comes of it, if any.
    fn beside<F>(&mut self, work: F)
    where
        F: Future<Output = Option<Event>> + Send + 'static,
    {
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            if let Some(event) = work.await {
                reports.send(Report::Event(event)).await.ok(); // the loop is gone: so is the session
            }
        });
    }

    pub(super) fn start(&mut self, action: Action) {
        let hub = Arc::clone(&self.hub);
        let device = self.admitted.device().clone();
        match action {
            Action::JudgeLeaf(leaf) => {
                self.beside(async move { Some(judge_leaf(&hub, &device, leaf).await) })
            }
            Action::Submit(transfer) => self.submit(transfer),
            Action::Refuse(transfer, refusal) => {
                let id = transfer.facts.message_id;
                drop(self.release(&id)); // it never reaches the store
                // Only a device that names another author than itself comes here.
                tracing::warn!(event = "submission-refused", party = %device.party, device = %device.device, code = refusal.as_str());
                let answer = hub.refuse_all(&transfer, refusal);
                self.beside_all(std::future::ready(answers(id, answer)));
            }
            Action::AddWraps(id, wraps) => self.add_wraps(id, wraps),
            Action::Note(receipts) => self.beside(async move { Some(note(hub, device, receipts).await) }),
            Action::Forget(ids) => self.beside(forget(hub, device, ids)),
            Action::KeepBundle(bundle) => {
                let reports = self.reports.clone();
                self.tasks.spawn(async move {
                    // What is committed wakes who waits for it even when this session is gone.
                    let own = Arc::clone(&hub);
                    let kept = hub.run_on(async move { own.keep_bundle(&device, *bundle).await }).await;
                    let Ok(Some(kept)) = kept else { return };
                    let report = match kept {
                        Ok((mailbox, newest)) => Report::Event(Event::BundleKept(mailbox, newest)),
                        Err(why) => Report::Broken(why),
                    };
                    reports.send(report).await.ok(); // as above
                });
            }
            Action::FindBundle(mailbox, have) => self.beside(async move {
                let (batch, bundle) = hub.find_bundle(&device, &mailbox, have).await?;
                Some(Event::Bundle(mailbox, batch, Box::new(bundle)))
            }),
            Action::TakeRoster(roster) => self.beside(async move {
                hub.take_roster(&roster);
                None
            }),
            Action::Pull { mailbox, skip, max } => self.pull(mailbox, skip, max),
            Action::PullReceipts { skip, max } => self.beside(async move {
                let receipts = hub.queue().receipts(device, skip, max).await;
                Some(Event::Receipts(hub.noted(receipts).unwrap_or_default()))
            }),
            Action::Deliver(mailbox, offer) => self.deliver(mailbox, offer),
            Action::Send(_) | Action::Open { .. } | Action::Close(_) => unreachable!("done in the loop"),
        }
    }

    /// The same, with all the events that come of it.
    fn beside_all(&mut self, work: impl Future<Output = Vec<Event>> + Send + 'static) {
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            for event in work.await {
                reports.send(Report::Event(event)).await.ok(); // the loop is gone: so is the session
            }
        });
    }

    fn submit(&mut self, transfer: Box<Transfer>) {
        let (hub, reports) = (Arc::clone(&self.hub), self.reports.clone());
        let device = self.admitted.device().clone();
        let id = transfer.facts.message_id;
        let reserved = self.release(&id);
        self.tasks.spawn(async move {
            // What is committed wakes its recipients even when this session is gone.
            let own = Arc::clone(&hub);
            let submitted = hub.run_on(async move { own.submit(device, *transfer).await }).await;
            drop(reserved); // the store holds the bytes now
            let Ok(Some(answer)) = submitted else { return };
            for event in answers(id, answer) {
                reports.send(Report::Event(event)).await.ok(); // the loop is gone: so is the session
            }
        });
    }

    fn add_wraps(&mut self, id: MessageId, wraps: Vec<(Mailbox, wire::KeyWrap)>) {
        let hub = Arc::clone(&self.hub);
        let device = self.admitted.device().clone();
        self.beside_all(async move {
            // As for a submission: what is committed wakes its recipients.
            let own = Arc::clone(&hub);
            let added = hub.run_on(async move { own.add_wraps(device, id, wraps).await }).await;
            added.ok().flatten().map(|answer| answers(id, answer)).unwrap_or_default()
        });
    }

    fn deliver(&mut self, mailbox: Mailbox, offer: Offer) {
        let (hub, connection, reports) =
            (Arc::clone(&self.hub), self.connection.clone(), self.reports.clone());
        let (shown, still) = (Arc::clone(&self.shown), self.still.clone());
        self.tasks.spawn(async move {
            let (sent, tail) = deliver(&hub, &connection, (mailbox, offer), &shown, &still).await;
            reports.send(Report::Sent(offer.sequence, sent)).await.ok(); // as above
            if let Some(tail) = tail {
                tail.taken().await;
            }
        });
    }

    fn pull(&mut self, mailbox: Mailbox, skip: BTreeSet<u64>, max: usize) {
        let (hub, reports) = (Arc::clone(&self.hub), self.reports.clone());
        self.tasks.spawn(async move {
            let found = hub.queue().next(mailbox.clone(), skip, max, hub.now_ms()).await;
            let found = hub.noted(found).ok();
            // One that cannot answer has not said that it holds nothing: it is asked again.
            let again = found.is_none();
            if again {
                sleep(FULL_PAUSE).await;
            }
            reports.send(Report::Found(mailbox, found.unwrap_or_default(), max)).await.ok(); // as above
            if again {
                reports.send(Report::Event(Event::Wake)).await.ok(); // as above
            }
        });
    }
}
