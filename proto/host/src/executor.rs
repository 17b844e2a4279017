//! Who runs a store: an operating-system thread of its own in the product, the caller itself in the simulator.
//!
//! A worker takes closures one by one; a batcher takes whatever waits and hands it over at once, so that one sync
//! serves many. Bounded queues; never a thread in inline mode, where a paused clock would wait for it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

#[cfg(test)]
mod tests;

/// Calls that may wait for a worker: beyond it callers wait in turn, which is the back-pressure.
pub const WORKER_QUEUE: usize = 256;
/// Operations that may wait for a batcher, and the most of one batch: every session of the federation, 20 deep.
pub const BATCH_OPS: usize = 4096;
/// Most weight of one batch, in bytes: bounds the time until its sync, and so the latency of the first in it.
pub const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The thread that owned the state is gone: it panicked, or the program is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's thread has ended; restart the program")]
pub struct WorkerGone;

/// Who runs a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seats {
    /// The caller: for a simulated run, which must have no thread.
    Inline,
    /// The caller, who hears of it so long after it is done: as from a slow disk, in a simulated run.
    Late(Duration),
    /// An operating-system thread of its own: for the product.
    Threaded,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// One state, one caller at a time. Clones share the state; the last one dropped ends the thread.
pub struct Worker<S>(Seat<S, Job<S>>);

/// One state that takes operations in batches. Clones share it; the last one dropped ends the thread.
pub struct Batcher<S: Batched>(Seat<S, S::Op>);

/// A state that applies many operations at once. Each operation carries its own way to answer.
pub trait Batched: Send + 'static {
    /// What is asked of the state.
    type Op: Send + 'static;

    /// What one operation weighs against [`BATCH_BYTES`], in bytes.
    fn weigh(op: &Self::Op) -> usize;

    /// Applies a batch, never empty, in the order given, and answers each.
    fn apply(&mut self, ops: Vec<Self::Op>);
}

enum Seat<S, J> {
    Inline(Arc<Mutex<S>>, Duration),
    Thread { jobs: mpsc::Sender<J>, ended: watch::Receiver<()> },
}

impl<S: Send + 'static> Worker<S> {
    /// Seats the state as the machine wants it.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn seated(seats: Seats, name: &str, state: S) -> io::Result<Self> {
        match seats {
            Seats::Inline => Ok(Self::inline(state)),
            Seats::Late(after) => Ok(Self(Seat::Inline(Arc::new(Mutex::new(state)), after))),
            Seats::Threaded => Self::threaded(name, state),
        }
    }

    /// Gives the state a thread of its own, named for the debugger.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn threaded(name: &str, mut state: S) -> io::Result<Self> {
        let seat = Seat::thread(name, WORKER_QUEUE, move |jobs: &mut mpsc::Receiver<Job<S>>| {
            while let Some(job) = jobs.blocking_recv() {
                job(&mut state);
            }
        })?;
        Ok(Self(seat))
    }

    /// Keeps the state with its callers: each call runs at once, where it is made.
    pub fn inline(state: S) -> Self {
        Self(Seat::Inline(Arc::new(Mutex::new(state)), Duration::ZERO))
    }

    /// Runs the closure on the state and gives its answer. Dropped while waiting, the closure may still run.
    pub async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, WorkerGone> {
        match &self.0 {
            Seat::Inline(state, after) => {
                let done = f(&mut *state.lock().map_err(|PoisonError { .. }| WorkerGone)?);
                pass(*after).await;
                Ok(done)
            }
            Seat::Thread { jobs, .. } => {
                let (answer, answered) = oneshot::channel();
                let job: Job<S> = Box::new(move |state| {
                    answer.send(f(state)).ok(); // the caller may have gone; what was done stays done
                });
                jobs.send(job).await.map_err(|_| WorkerGone)?;
                answered.await.map_err(|_| WorkerGone)
            }
        }
    }

    /// Gives up this handle and waits until the state is dropped: all clones gone, all waiting calls done.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

impl<S: Batched> Batcher<S> {
    /// Seats the state as the machine wants it.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn seated(seats: Seats, name: &str, state: S) -> io::Result<Self> {
        match seats {
            Seats::Inline => Ok(Self::inline(state)),
            Seats::Late(after) => Ok(Self(Seat::Inline(Arc::new(Mutex::new(state)), after))),
            Seats::Threaded => Self::threaded(name, state),
        }
    }

    /// Gives the state a thread of its own, named for the debugger.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn threaded(name: &str, mut state: S) -> io::Result<Self> {
        let seat = Seat::thread(name, BATCH_OPS, move |waiting: &mut mpsc::Receiver<S::Op>| {
            while let Some(first) = waiting.blocking_recv() {
                state.apply(gather::<S>(first, waiting));
            }
        })?;
        Ok(Self(seat))
    }

    /// Keeps the state with its callers: each operation is a batch of one, applied at once.
    pub fn inline(state: S) -> Self {
        Self(Seat::Inline(Arc::new(Mutex::new(state)), Duration::ZERO))
    }

    /// Hands over an operation; its answer comes the way it carries. Waits while the queue is full.
    pub async fn submit(&self, op: S::Op) -> Result<(), WorkerGone> {
        match &self.0 {
            Seat::Inline(state, after) => {
                state.lock().map_err(|PoisonError { .. }| WorkerGone)?.apply(vec![op]);
                pass(*after).await;
                Ok(())
            }
            Seat::Thread { jobs, .. } => jobs.send(op).await.map_err(|_| WorkerGone),
        }
    }

    /// Gives up this handle and waits until the state is dropped: all clones gone, all operations applied.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// Lets so much time pass before the answer.
async fn pass(after: Duration) {
    if !after.is_zero() {
        tokio::time::sleep(after).await;
    }
}

/// Everything that waits, up to the bounds of a batch.
fn gather<S: Batched>(first: S::Op, waiting: &mut mpsc::Receiver<S::Op>) -> Vec<S::Op> {
    let mut weight = S::weigh(&first);
    let mut ops = vec![first];
    while ops.len() < BATCH_OPS && weight < BATCH_BYTES {
        let Ok(op) = waiting.try_recv() else { break };
        weight = weight.saturating_add(S::weigh(&op));
        ops.push(op);
    }
    ops
}

impl<S: Send + 'static, J: Send + 'static> Seat<S, J> {
    fn thread(
        name: &str,
        bound: usize,
        mut run: impl FnMut(&mut mpsc::Receiver<J>) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel(bound);
        let (end, ended) = watch::channel(());
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            run(&mut waiting);
            drop(run); // the state goes first: `ended` promises that its files are closed
            drop(end);
        })?;
        Ok(Self::Thread { jobs, ended })
    }

    async fn stop(self) {
        if let Self::Thread { jobs, mut ended } = self {
            drop(jobs);
            while ended.changed().await.is_ok() {}
        }
    }
}

impl<S, J> Clone for Seat<S, J> {
    fn clone(&self) -> Self {
        match self {
            Self::Inline(state, after) => Self::Inline(state.clone(), *after),
            Self::Thread { jobs, ended } => Self::Thread { jobs: jobs.clone(), ended: ended.clone() },
        }
    }
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Batched> Clone for Batcher<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, J> fmt::Debug for Seat<S, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline(..) => "inline",
            Self::Thread { .. } => "on its own thread",
        })
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({:?})", self.0)
    }
}

impl<S: Batched> fmt::Debug for Batcher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batcher({:?})", self.0)
    }
}
