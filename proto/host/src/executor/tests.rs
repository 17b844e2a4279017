//! Stories about who runs a store: order, back-pressure, batches, and an end that is told.

use std::time::Duration;

use super::*;

/// Remembers what came in one batch; waits at a gate before each, so that a test can let operations pile up.
struct Books {
    batches: Arc<Mutex<Vec<usize>>>,
    gate: mpsc::Receiver<()>,
}

struct Op {
    bytes: usize,
    done: oneshot::Sender<usize>,
}

impl Batched for Books {
    type Op = Op;

    fn weigh(op: &Op) -> usize {
        op.bytes
    }

    fn apply(&mut self, ops: Vec<Op>) {
        self.gate.blocking_recv();
        self.batches.lock().unwrap().push(ops.len());
        for op in ops {
            op.done.send(op.bytes).ok();
        }
    }
}

#[tokio::test]
async fn calls_run_in_the_order_they_are_made() {
    for worker in [Worker::inline(Vec::new()), Worker::threaded("books", Vec::new()).unwrap()] {
        for no in 0..100 {
            worker.call(move |seen| seen.push(no)).await.unwrap();
        }
        assert_eq!(worker.clone().call(|seen| seen.clone()).await.unwrap(), (0..100).collect::<Vec<_>>());
        worker.stop().await;
    }
}

#[tokio::test]
async fn inline_calls_stay_on_the_callers_thread_and_threaded_ones_do_not() {
    let here = thread::current().id();
    assert_eq!(Worker::inline(()).call(|()| thread::current().id()).await.unwrap(), here);
    let worker = Worker::threaded("books", ()).unwrap();
    assert_ne!(worker.call(|()| thread::current().id()).await.unwrap(), here);
    assert_eq!(
        worker.call(|()| thread::current().name().map(str::to_owned)).await.unwrap().unwrap(),
        "books"
    );
}

#[tokio::test]
async fn a_stopped_worker_has_dropped_its_state() {
    let held = Arc::new(());
    let worker = Worker::threaded("books", held.clone()).unwrap();
    worker.stop().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_worker_that_panicked_says_so_to_everyone() {
    for worker in [Worker::inline(0_u8), Worker::threaded("books", 0_u8).unwrap()] {
        let other = worker.clone();
        let call = tokio::spawn(async move { other.call(|_| panic!("planted")).await });
        assert!(!matches!(call.await, Ok(Ok(()))));
        assert_eq!(worker.call(|n| *n).await, Err(WorkerGone));
        worker.stop().await;
    }
}

#[tokio::test]
async fn what_waits_is_applied_at_once_within_the_bounds() {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let (open, gate) = mpsc::channel(16);
    let batcher = Batcher::threaded("books", Books { batches: batches.clone(), gate }).unwrap();
    let mut answers = Vec::new();
    // One alone, which waits at the gate; then three small ones and two that fill a batch each.
    for bytes in [1, 10, 10, 10, BATCH_BYTES, BATCH_BYTES] {
        let (done, answer) = oneshot::channel();
        batcher.submit(Op { bytes, done }).await.unwrap();
        answers.push((bytes, answer));
        if answers.len() == 1 {
            tokio::time::timeout(Duration::from_secs(10), async {
                while !is_drained(&batcher) {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .unwrap();
        }
    }
    for _ in 0..3 {
        open.send(()).await.unwrap();
    }
    for (bytes, answer) in answers {
        assert_eq!(answer.await.unwrap(), bytes);
    }
    assert_eq!(*batches.lock().unwrap(), [1, 4, 1]);
    batcher.stop().await;
}

/// Whether the thread has taken everything that was submitted.
fn is_drained(batcher: &Batcher<Books>) -> bool {
    match &batcher.0 {
        Seat::Thread { jobs, .. } => jobs.capacity() == jobs.max_capacity(),
        Seat::Inline(..) => true,
    }
}

/// Adds up, without a gate.
struct Sum(usize);

impl Batched for Sum {
    type Op = Op;

    fn weigh(op: &Op) -> usize {
        op.bytes
    }

    fn apply(&mut self, ops: Vec<Op>) {
        assert_eq!(ops.len(), 1, "inline, a batch is one");
        for op in ops {
            self.0 += op.bytes;
            op.done.send(self.0).ok();
        }
    }
}

#[tokio::test]
async fn inline_each_operation_is_applied_before_submit_returns() {
    let batcher = Batcher::inline(Sum(0));
    for expected in 1..=3 {
        let (done, mut answer) = oneshot::channel();
        batcher.clone().submit(Op { bytes: 1, done }).await.unwrap();
        assert_eq!(answer.try_recv(), Ok(expected));
    }
}
