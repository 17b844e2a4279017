//! A queue of the relay on the bench: operations as data, what must come of them, what can be seen of it.
//!
//! Rooms: [`cast`] who writes and receives · [`script`] operations drawn from a seed · [`ask`] one of them put to a
//! queue · [`world`] the reference: what a queue that forgets nothing would answer and hold, `held` in numbers · [`sight`] everything a
//! queue shows · [`nonces`] who watches what is sealed · [`grounds`] the backends. All but the last serves any backend; none of it knows how one works.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use valise_host::ledger::StoreError;
use valise_relay::queue::Queue;

use crate::disk::FaultyDisk;

pub mod ask;
pub mod cast;
pub mod grounds;
mod held;
pub mod nonces;
pub mod script;
pub mod sight;
pub mod world;

/// Where a backend is tried: opened, closed and opened again over the same disk.
pub trait Ground: Sync {
    /// The backend.
    type Queue: Queue;

    /// Opens it over what the last one left. Its chance comes from the seed.
    ///
    /// # Errors
    /// As the backend's own.
    fn open(&self, disk: &FaultyDisk, seed: u64) -> Result<Self::Queue, StoreError>;

    /// Closes it in good order.
    fn close(&self, queue: Self::Queue);
}

/// The result of a future that has nothing to wait for: a queue whose store runs on its caller's thread.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a queue without a thread of its own waits for something"),
    }
}
