//! The measured window of a run: opened once the load is warm, closed by the clock, and a run counts only when
//! everything that was accepted has come to its end, once.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::LOOK_EVERY;
use crate::bounds::Bounds;
use crate::machine::{Meter, Used};
use crate::tally::{Counts, Tally};

/// Before the window opens.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);
/// For the last receipts to come back after the window.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// One run of either server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Messages a second: received, and acknowledged to their author.
    pub(super) rate: f64,
    /// Submissions acknowledged as durable, a second.
    pub(super) accepted: f64,
    /// From submission to acceptance, milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// CPU seconds for each 1,000 messages.
    pub(super) server_cpu: f64,
    pub(super) load_cpu: f64,
    /// Commit groups a second.
    pub(super) groups: f64,
    /// kB of the server for each idle connection.
    pub(super) idle_kb: f64,
    /// Cores that others kept busy.
    pub(super) foreign: f64,
}

/// What one run leaves behind.
pub(super) struct Outcome {
    used: Used,
    window: Counts,
    waits_ms: (f64, f64),
    all: Counts,
}

/// Lets the load warm up, opens the window, closes it, and waits until everything has settled.
pub(super) async fn watch(
    server: u32,
    tally: &Tally,
    bounds: Bounds,
    writing: &mut JoinSet<Result<()>>,
    reading: &mut JoinSet<Result<()>>,
) -> Result<Outcome> {
    let window = async {
        sleep(WARM_UP).await;
        tally.measure(true);
        let (before, meter) = (tally.counts(), Meter::start(Some(server))?);
        sleep(bounds.length()).await;
        let (after, used) = (tally.counts(), meter.read()?);
        tally.measure(false);
        tally.stop.store(true, Relaxed);
        let asked = Instant::now();
        loop {
            let Counts { accepted, received, settled } = tally.counts();
            if tally.writing.load(Relaxed) == 0 && accepted == received && accepted == settled {
                break;
            }
            let late = asked.elapsed() > SETTLE_LIMIT;
            ensure!(!late, "of {accepted} accepted messages {received} came and {settled} were settled");
            sleep(LOOK_EVERY).await;
        }
        // What comes now would be doubled.
        sleep(LOOK_EVERY).await;
        let all = tally.counts();
        ensure!(all.accepted == all.received && all.accepted == all.settled, "a message came twice");
        let window = Counts {
            accepted: after.accepted - before.accepted,
            received: after.received - before.received,
            settled: after.settled - before.settled,
        };
        anyhow::Ok(Outcome { used, window, waits_ms: tally.waits_ms(), all })
    };
    tokio::pin!(window);
    loop {
        tokio::select! {
            biased;
            outcome = &mut window => return outcome,
            Some(ended) = writing.join_next() => {
                ended?.context("a sender failed")?;
                ensure!(tally.stop.load(Relaxed), "a sender ended before the window");
            }
            Some(ended) = reading.join_next() => {
                ended?.context("a receiver failed")?;
                bail!("a receiver ended");
            }
        }
    }
}

impl Outcome {
    /// The run; groups are known for its whole length, and shared out by messages.
    pub(super) fn run(&self, groups: u64, idle_kb: f64) -> Run {
        let seconds = self.used.time.as_secs_f64();
        let thousands = self.window.settled as f64 / 1000.0;
        let rate = self.window.settled as f64 / seconds;
        Run {
            rate,
            accepted: self.window.accepted as f64 / seconds,
            p50: self.waits_ms.0,
            p99: self.waits_ms.1,
            server_cpu: self.used.server / thousands,
            load_cpu: self.used.own / thousands,
            groups: rate * groups as f64 / self.all.settled as f64,
            idle_kb,
            foreign: self.used.foreign,
        }
    }
}
