//! How a session is reached and seen from outside its task: flags that wake it, and what it looks like on the way to
//! its device. Decides nothing, and never waits for the session.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::Connection;
use tokio::sync::Notify;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::session::Close;

use crate::router::SessionNo;

/// The way to a session. Each flag is remembered until it is seen.
#[derive(Debug)]
pub struct Line {
    /// Entries may wait.
    pub wake: Notify,
    /// Receipts may wait.
    pub receipts: Notify,
    /// Mailboxes published bundles.
    pub bundles: Notify,
    published: Mutex<BTreeSet<Mailbox>>,
    /// Papers and roster are to be looked at again.
    pub recheck: Notify,
    /// The session is to close.
    pub close: Notify,
    why: Mutex<Option<Close>>,
    connection: Connection,
    since_ms: AtomicU64,
    delivering: AtomicU32,
    submitting: AtomicU32,
}

/// A session as its administrator sees it.
pub type Session = (SessionNo, DeviceId, Vec<Mailbox>, Arc<Line>);

/// What a session looks like on the way to its device.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// When the device was greeted, Unix milliseconds.
    pub since_ms: u64,
    /// Where it calls from.
    pub address: SocketAddr,
    /// Round trip.
    pub rtt: Duration,
    /// Envelopes on their way to it that it has not stored.
    pub delivering: u32,
    /// Envelopes of it on their way into the queue.
    pub submitting: u32,
}

impl Line {
    /// To a device that is connected.
    pub fn new(connection: Connection) -> Self {
        Self {
            wake: Notify::default(),
            receipts: Notify::default(),
            bundles: Notify::default(),
            published: Mutex::default(),
            recheck: Notify::default(),
            close: Notify::default(),
            why: Mutex::default(),
            connection,
            since_ms: AtomicU64::new(0),
            delivering: AtomicU32::new(0),
            submitting: AtomicU32::new(0),
        }
    }

    /// The device was greeted at this time, Unix milliseconds.
    pub(crate) fn greet(&self, now_ms: u64) {
        self.since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A mailbox published a bundle.
    pub(crate) fn publish(&self, mailbox: Mailbox) {
        locked(&self.published).insert(mailbox);
        self.bundles.notify_one();
    }

    /// The session says how much is in flight.
    pub fn in_flight(&self, delivering: usize, submitting: usize) {
        let most = |count| u32::try_from(count).unwrap_or(u32::MAX);
        self.delivering.store(most(delivering), Ordering::Relaxed);
        self.submitting.store(most(submitting), Ordering::Relaxed);
    }

    /// How it looks now.
    pub fn path(&self) -> Path {
        Path {
            since_ms: self.since_ms.load(Ordering::Relaxed),
            address: self.connection.remote_address(),
            rtt: self.connection.rtt(),
            delivering: self.delivering.load(Ordering::Relaxed),
            submitting: self.submitting.load(Ordering::Relaxed),
        }
    }

    /// Why the session is to close.
    pub fn why(&self) -> Close {
        locked(&self.why).unwrap_or(Close::Done)
    }

    /// Mailboxes that published since this was last asked.
    pub fn published(&self) -> Vec<Mailbox> {
        std::mem::take(&mut *locked(&self.published)).into_iter().collect()
    }

    /// Asks the session to close.
    pub(crate) fn close(&self, why: Close) {
        *locked(&self.why) = Some(why);
        self.close.notify_one();
    }
}

/// A poisoned lock means a panic, and a panic ends the process: nobody sees the value behind it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
