//! What came through: counts over the whole run, and what lies within its measured window.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::table::{millis, percentile};

/// Counts that all devices of a run share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Submissions that were acknowledged as durable.
    pub(crate) accepted: AtomicU64,
    /// Messages that a recipient received, each once.
    pub(crate) received: AtomicU64,
    /// Messages that the server was told are received, and that their author was told of, where one is told.
    pub(crate) settled: AtomicU64,
    /// Senders that still submit.
    pub(crate) writing: AtomicU64,
    /// Set when nothing new is to be submitted.
    pub(crate) stop: AtomicBool,
    measuring: AtomicBool,
    waits: Mutex<Vec<Duration>>,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// See [`Tally`].
    pub(crate) accepted: u64,
    /// See [`Tally`].
    pub(crate) received: u64,
    /// See [`Tally`].
    pub(crate) settled: u64,
}

impl Tally {
    /// One submission was acknowledged, after this long.
    pub(crate) fn accept(&self, wait: Duration) {
        self.accepted.fetch_add(1, Relaxed);
        if self.measuring.load(Relaxed) {
            self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
        }
    }

    /// From now on, waits are kept.
    pub(crate) fn measure(&self, on: bool) {
        self.measuring.store(on, Relaxed);
    }

    /// The counts now.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            accepted: self.accepted.load(Relaxed),
            received: self.received.load(Relaxed),
            settled: self.settled.load(Relaxed),
        }
    }

    /// Median and 99th percentile of the waits that were kept, milliseconds.
    pub(crate) fn waits_ms(&self) -> (f64, f64) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits.sort_unstable();
        (millis(percentile(&waits, 50)), millis(percentile(&waits, 99)))
    }
}
