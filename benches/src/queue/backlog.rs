//! A million messages that nobody fetches: filled, closed like a plug pulled, opened again, drained. Each step is a
//! process of its own, so that its memory is its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use valise_proto::names::Mailbox;
use valise_relay::config::StoreKind;
use valise_relay::queue::Queue;
use valise_relay::queue::backend::Backend;

use super::disk::{Scratch, written};
use super::run::open;
use super::supply::Supply;
use crate::page::note;

/// Messages.
const MESSAGES: usize = 1_000_000;
/// Writers while it fills, and mailboxes that are drained at once.
const TASKS: usize = 64;
/// Messages that one mailbox's session has in flight while it is drained: as many as the relay allows.
const IN_FLIGHT: usize = 256;
/// What they are like.
const SUPPLY: Supply = Supply::texts(1024);

/// One step, in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Step {
    /// Places all of them.
    Fill,
    /// Opens what is there, and hands out and settles all of it.
    Drain,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    pub(crate) fill: f64,
    /// MiB above the empty queue.
    pub(crate) full_mib: f64,
    pub(crate) open_seconds: f64,
    pub(crate) drain: f64,
    pub(crate) peak_mib: f64,
    /// Bytes written to the device while it filled, for each byte of payload; what is made ahead apart.
    pub(crate) amplification: f64,
}

/// Both steps.
pub(crate) fn measure() -> Result<Backlog> {
    let scratch = Scratch::new()?;
    note(&format!("a backlog of {MESSAGES} messages"));
    let filled = step(Step::Fill, scratch.path())?;
    let drained = step(Step::Drain, scratch.path())?;
    let of = |said: &[f64], at: usize| said.get(at).copied().context("a step said too little");
    Ok(Backlog {
        fill: of(&filled, 0)?,
        full_mib: of(&filled, 1)?,
        amplification: of(&filled, 2)?,
        open_seconds: of(&drained, 0)?,
        drain: of(&drained, 1)?,
        peak_mib: of(&drained, 2)?,
    })
}

fn step(step: Step, dir: &Path) -> Result<Vec<f64>> {
    let word = if step == Step::Fill { "fill" } else { "drain" };
    let output = Command::new(std::env::current_exe()?).arg("backlog").arg(word).arg(dir).output()?;
    ensure!(output.status.success(), "{word} failed: {}", String::from_utf8_lossy(&output.stderr));
    let said = fs::read_to_string(dir.join("figures")).context("a step said nothing")?;
    said.split_whitespace().map(|word| Ok(word.parse()?)).collect()
}

/// Carries out one step and writes its figures beside the store.
pub(crate) fn carry_out(step: Step, dir: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        match step {
            Step::Fill => fill(dir).await,
            Step::Drain => drain(dir).await,
        }
    })?;
    let words: Vec<_> = figures.iter().map(ToString::to_string).collect();
    fs::write(dir.join("figures"), words.join(" ")).context("cannot write the figures down")
}

async fn fill(dir: &Path) -> Result<Vec<f64>> {
    let queue = open(StoreKind::Log, dir)?;
    queue.keep_leaf(SUPPLY.signer(), SUPPLY.leaf()).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let (empty, before, spares) = (memory("VmRSS:")?, written(dir)?, laid_out(dir)?);
    let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut working = JoinSet::new();
    for worker in 0..TASKS {
        let (queue, next) = (queue.clone(), Arc::clone(&next));
        working.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= MESSAGES {
                    return anyhow::Ok(());
                }
                queue.enqueue(SUPPLY.submission(number, worker)).await?;
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done??;
    }
    let rate = MESSAGES as f64 / began.elapsed().as_secs_f64();
    let full = memory("VmRSS:")? - empty;
    ensure!(queue.depth().await?.entries == MESSAGES as u64, "not all of them are held");
    // Segments made of zeros meanwhile are the one-time cost of the disk space.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let zeroed = laid_out(dir)? - spares;
    let to_device = (written(dir)? - before).saturating_sub(zeroed);
    let amplification = to_device as f64 / (MESSAGES * SUPPLY.payload()) as f64;
    // The plug is pulled: nothing is closed.
    std::mem::forget(queue);
    Ok(vec![rate, full, amplification])
}

async fn drain(dir: &Path) -> Result<Vec<f64>> {
    let empty = memory("VmRSS:")?;
    let began = Instant::now();
    let queue = open(StoreKind::Log, dir)?;
    let opened = began.elapsed().as_secs_f64();
    ensure!(queue.depth().await?.entries == MESSAGES as u64, "not all of them are there again");
    let began = Instant::now();
    let mut working = JoinSet::new();
    for worker in 0..TASKS {
        working.spawn(empty_mailbox(queue.clone(), worker));
    }
    let mut count = 0;
    while let Some(done) = working.join_next().await {
        count += done??;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    ensure!(count == MESSAGES, "{count} were handed out");
    ensure!(queue.depth().await?.entries == 0, "some are still held");
    let peak = memory("VmHWM:")? - empty;
    queue.close().await;
    Ok(vec![opened, rate, peak])
}

/// As a session does: reads what is offered, hands it out, settles it by the recipient's statement; and the author's
/// session takes that statement.
async fn empty_mailbox(queue: Backend, worker: usize) -> Result<usize> {
    let sample = SUPPLY.submission(0, worker);
    let (mailbox, author): (Mailbox, _) = (sample.recipients[0].clone(), sample.submitter);
    let mut count = 0;
    loop {
        let entries = queue.next(mailbox.clone(), BTreeSet::new(), IN_FLIGHT, SUPPLY.now_ms()).await?;
        if entries.is_empty() {
            return Ok(count);
        }
        let mut statements = Vec::with_capacity(entries.len());
        for entry in &entries {
            let outgoing = queue.outgoing(entry.sequence, mailbox.clone()).await?;
            let outgoing = outgoing.context("an offered message is gone")?;
            if outgoing.facts.recipients[0].mailbox != mailbox {
                bail!("a message of another mailbox was handed out");
            }
            let facts = (outgoing.facts.message_id, outgoing.header.hash());
            statements.push((entry.sequence, SUPPLY.delivered(facts, entry.sequence, &mailbox)));
        }
        let noted =
            statements.into_iter().map(|(sequence, stated)| queue.note(sequence, mailbox.clone(), stated));
        for done in futures_util::future::join_all(noted).await {
            done?;
        }
        count += entries.len();
        let kept = queue.receipts(author.clone(), BTreeSet::new(), IN_FLIGHT).await?;
        queue.forget(author.clone(), kept.iter().map(|receipt| receipt.id()).collect()).await?;
    }
}

/// MiB of this process, by one of the kernel's words for it.
fn memory(word: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(word)).context("no such line")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Bytes of all files of the store.
fn laid_out(dir: &Path) -> Result<u64> {
    let files: Vec<PathBuf> =
        fs::read_dir(dir.join("queue"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let segments = files.iter().filter(|path| path.extension().is_some_and(|end| end == "log"));
    segments.map(|path| Ok(fs::metadata(path)?.len())).sum()
}
