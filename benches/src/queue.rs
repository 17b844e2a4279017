//! The durable queue alone, in this process, on its own thread as in the product: writers that wait for each commit,
//! and the whole life of a message. The disk's own rate of syncs is taken beside each run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection as Database, OpenFlags};
use tokio::task::JoinSet;
use valise_host::entropy::random;
use valise_host::keyfile::KeyFile;
use valise_host::machine::Machine;
use valise_host::rest::RestKey;
use valise_proto::names::RelayId;
use valise_proto::signing::SigningKey;
use valise_relay::queue::Queue;
use valise_relay::queue::sqlite::SqliteQueue;
use valise_relay::stamp::RelayStamp;

use crate::bounds::Bounds;
use crate::machine::Meter;
use crate::page::{Section, note};
use crate::table::{median, millis, percentile, table};

mod supply;

use supply::Supply;

/// Writers at once, each with one message in flight.
const WRITERS: [usize; 3] = [1, 64, 1024];
/// Workers of the steady figure.
const WORKERS: usize = 64;
/// Fastest queue that messages are made for, messages a second.
const RATE_MAX: u64 = 25_000;
/// Bytes of each write of the bare disk.
const PLAIN_WRITE: usize = 1024;

/// One run of one kind.
#[derive(Clone, Copy, Debug)]
struct Run {
    rate: f64,
    groups: f64,
    p50: f64,
    p99: f64,
    /// CPU seconds of queue and writers for each 1,000 messages.
    cpu: f64,
    /// The disk's own syncs a second, just before.
    disk: f64,
    foreign: f64,
}

/// What the section says above its table.
const ABOUT: &str = "
The SQLite queue on a thread of its own, no network, no TLS; messages of 1 KiB with header and key wrap, to one mailbox each. A writer
has one message in flight and waits until it is synced. Whatever waits is one commit group. In the steady row 64 workers take each message
through its whole life: placed, offered, read, settled by the recipient's statement, that statement handed to the author and forgotten
when the author has it. Beside each run, in the same minute and directory: how often this disk syncs 1 KiB appended to a file.
";

/// Runs every kind in turn, as often as asked.
pub(crate) fn figures(bounds: Bounds) -> Result<Section> {
    let count = usize::try_from(RATE_MAX * bounds.seconds)?;
    note(&format!("making {count} messages"));
    let supply = Arc::new(Supply::new(count));
    let kinds: Vec<(String, usize, bool)> = WRITERS
        .iter()
        .map(|writers| (format!("place, {writers} writers"), *writers, false))
        .chain([(format!("the whole life, {WORKERS} workers"), WORKERS, true)])
        .collect();
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); kinds.len()];
    for number in 1..=bounds.runs {
        for ((name, tasks, whole), runs) in kinds.iter().zip(&mut runs) {
            let run = run(bounds, &supply, *tasks, *whole)?;
            note(&format!(
                "run {number} of {}: {name}: {:.0}/s, foreign load {:.2} cores",
                bounds.runs, run.rate, run.foreign
            ));
            runs.push(run);
        }
    }
    let rows = kinds.iter().zip(&runs).map(|((name, ..), runs)| (name.clone(), cells(runs)));
    let heads = [
        "messages/s",
        "groups/s",
        "per group",
        "p50 ms",
        "p99 ms",
        "CPU s per 1,000",
        "disk syncs/s",
        "groups per sync",
        "foreign cores",
    ];
    let figures = format!(
        "{}\nMedians of {} runs in turn. A group costs two syncs: the log's and the mark's. CPU is that of queue and writers together.\n",
        table(&heads, rows),
        bounds.runs
    );
    let command = format!("cargo figures queue --seconds {} --runs {}", bounds.seconds, bounds.runs);
    Ok(Section { name: "queue", command, about: ABOUT, figures })
}

fn cells(runs: &[Run]) -> Vec<String> {
    let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    vec![
        format!("{:.0}", of(|run| run.rate)),
        format!("{:.0}", of(|run| run.groups)),
        format!("{:.1}", of(|run| run.rate / run.groups)),
        format!("{:.2}", of(|run| run.p50)),
        format!("{:.2}", of(|run| run.p99)),
        format!("{:.3}", of(|run| run.cpu)),
        format!("{:.0}", of(|run| run.disk)),
        format!("{:.2}", of(|run| run.groups / run.disk)),
        format!("{:.2}", of(|run| run.foreign)),
    ]
}

/// A directory for one store, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = format!("valise-figures-{:08x}", u32::from_le_bytes(random()));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).context("cannot make a directory for the store")?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok(); // in vain costs a directory
    }
}

/// One run, in a store of its own. Ends with the time or when all messages are placed.
fn run(bounds: Bounds, supply: &Arc<Supply>, tasks: usize, whole: bool) -> Result<Run> {
    let scratch = Scratch::new()?;
    let disk = disk_syncs(&scratch.0)?;
    let path = scratch.0.join("queue.db");
    let key = RestKey::new(&KeyFile::from_bytes([7; 32]));
    let stamp = RelayStamp::new(RelayId::new("hub-1")?, SigningKey::from_seed(&[9; 32]));
    let queue = SqliteQueue::open(&path, &key, Arc::new(stamp), &Machine::real())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (used, mut waits) = runtime.block_on(async {
        let (next, until) = (Arc::new(AtomicUsize::new(0)), Instant::now() + bounds.length());
        queue.keep_leaf(supply.signer(), supply.leaf()).await?;
        let meter = Meter::start(None)?;
        let mut working = JoinSet::new();
        for worker in 0..tasks {
            let (queue, supply, next) = (queue.clone(), Arc::clone(supply), Arc::clone(&next));
            working.spawn(work(queue, supply, next, until, worker, whole));
        }
        let mut waits = Vec::new();
        while let Some(done) = working.join_next().await {
            waits.extend(done??);
        }
        anyhow::Ok((meter.read()?, waits))
    })?;
    runtime.block_on(queue.close());
    waits.sort_unstable();
    let (count, seconds) = (waits.len() as f64, used.time.as_secs_f64());
    Ok(Run {
        rate: count / seconds,
        groups: commits(&path)? as f64 / seconds,
        p50: millis(percentile(&waits, 50)),
        p99: millis(percentile(&waits, 99)),
        cpu: used.own / count * 1000.0,
        disk,
        foreign: used.foreign,
    })
}

/// Places messages until the time is over; with `whole`, takes each to its end. How long each took.
async fn work(
    queue: SqliteQueue,
    supply: Arc<Supply>,
    next: Arc<AtomicUsize>,
    until: Instant,
    worker: usize,
    whole: bool,
) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while Instant::now() < until {
        let Some(submission) = supply.submission(next.fetch_add(1, Relaxed), worker) else { break };
        let (began, device) = (Instant::now(), submission.submitter.clone());
        let mailbox = submission.recipients[0].clone();
        let facts = (submission.facts.message_id, submission.header.hash());
        queue.enqueue(submission).await?;
        if whole {
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

/// How often the disk syncs a second: appends, as a log does.
fn disk_syncs(dir: &Path) -> Result<f64> {
    let (mut file, bytes) = (File::create(dir.join("disk"))?, [0x5a; PLAIN_WRITE]);
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_millis(500) {
        file.write_all(&bytes)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Commits that a store has made, as its own book says; it must be closed.
pub(crate) fn commits(store: &Path) -> Result<u64> {
    let database = Database::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let count = database.query_row("SELECT commit_no FROM ledger", [], |row| row.get::<_, i64>(0))?;
    Ok(count.cast_unsigned())
}
