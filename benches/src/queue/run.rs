//! One measured run of one kind on one backend, in a store of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use valise_host::keyfile::KeyFile;
use valise_host::machine::Machine;
use valise_host::rest::RestKey;
use valise_proto::names::RelayId;
use valise_proto::signing::SigningKey;
use valise_relay::config::{StoreKind, StoreSection};
use valise_relay::queue::Queue;
use valise_relay::queue::backend::Backend;
use valise_relay::stamp::RelayStamp;

use super::disk::{Scratch, syncs};
use super::supply::Supply;
use crate::machine::Meter;
use crate::table::{millis, percentile};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As it is called in the table.
    pub(crate) name: &'static str,
    /// Tasks at once, each with one message in flight.
    pub(crate) tasks: usize,
    /// What messages are like.
    pub(crate) supply: Supply,
    /// Each message is taken to its end.
    pub(crate) whole: bool,
}

/// One run of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Messages a second.
    pub(crate) rate: f64,
    pub(crate) groups: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// CPU seconds of queue and writers for each 1,000 messages.
    pub(crate) cpu: f64,
    /// The disk's own syncs a second, just before.
    pub(crate) disk: f64,
    pub(crate) foreign: f64,
}

/// The queue in a directory, as the relay opens it.
pub(crate) fn open(kind: StoreKind, dir: &Path) -> Result<Backend> {
    let path = dir.join(if kind == StoreKind::Log { "queue" } else { "queue.db" });
    let config = StoreSection { kind, path, key_file: dir.join("unused"), segment_mib: 64 };
    let key = RestKey::new(&KeyFile::from_bytes([7; 32]));
    let stamp = RelayStamp::new(RelayId::new("hub-1")?, SigningKey::from_seed(&[9; 32]));
    Ok(Backend::open(&config, &key, Arc::new(stamp), &Machine::real())?)
}

/// Ends with the time.
pub(crate) fn run(length: Duration, kind: Kind, store: StoreKind) -> Result<Run> {
    let scratch = Scratch::new()?;
    let disk = syncs(scratch.path())?;
    let queue = open(store, scratch.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (used, mut waits, groups) = runtime.block_on(async {
        // What is made ready in the background is not measured.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let next = Arc::new(AtomicUsize::new(0));
        let (leaf, before) = (kind.supply.leaf(), queue.commits().count());
        queue.keep_leaf(kind.supply.signer(), leaf).await?;
        let until = Instant::now() + length;
        let meter = Meter::start(None)?;
        let mut working = JoinSet::new();
        for worker in 0..kind.tasks {
            working.spawn(work(queue.clone(), kind, Arc::clone(&next), until, worker));
        }
        let mut waits = Vec::new();
        while let Some(done) = working.join_next().await {
            waits.extend(done??);
        }
        anyhow::Ok((meter.read()?, waits, queue.commits().count() - before))
    })?;
    runtime.block_on(queue.close());
    waits.sort_unstable();
    let (count, seconds) = (waits.len() as f64, used.time.as_secs_f64());
    Ok(Run {
        rate: count / seconds,
        groups: groups as f64 / seconds,
        p50: millis(percentile(&waits, 50)),
        p99: millis(percentile(&waits, 99)),
        cpu: used.own / count * 1000.0,
        disk,
        foreign: used.foreign,
    })
}

/// Places messages until the time is over; with `whole`, takes each to its end. How long each took.
async fn work(
    queue: Backend,
    kind: Kind,
    next: Arc<AtomicUsize>,
    until: Instant,
    worker: usize,
) -> Result<Vec<Duration>> {
    let (supply, mut waits) = (kind.supply, Vec::new());
    while Instant::now() < until {
        let submission = supply.submission(next.fetch_add(1, Relaxed), worker);
        let (began, device) = (Instant::now(), submission.submitter.clone());
        let mailbox = submission.recipients[0].clone();
        let facts = (submission.facts.message_id, submission.header.hash());
        queue.enqueue(submission).await?;
        if kind.whole {
            let offered = queue.next(mailbox.clone(), BTreeSet::new(), 1, supply.now_ms()).await?;
            let [entry] = &offered[..] else { bail!("a placed message is not offered") };
            queue.outgoing(entry.sequence, mailbox.clone()).await?.context("an offered message is gone")?;
            let stated = supply.delivered(facts, entry.sequence, &mailbox);
            queue.note(entry.sequence, mailbox, stated).await?;
            let kept = queue.receipts(device.clone(), BTreeSet::new(), 64).await?;
            let ids: Vec<_> = kept.iter().map(|receipt| receipt.id()).collect();
            anyhow::ensure!(ids.len() == 1, "{} receipts wait for an author, not one", ids.len());
            queue.forget(device, ids).await?;
        }
        waits.push(began.elapsed());
    }
    Ok(waits)
}
