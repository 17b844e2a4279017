//! Deliveries of a session that stand still while others pass them. The transport sends what is more urgent first,
//! whatever was begun before: under endless urgent mail a stream would never move again. While one stands still, the
//! session begins nothing beside it but a flash, so that what is under way runs out and it moves.
//!
//! Counts, and decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::{Duration, timeout};
use valise_proto::session::relay::Rank;

use crate::schedule::AGE_STEP;

/// A delivery of which nothing goes out for so long, while one that is more urgent was begun, stands still: as long as
/// routine mail waits until it is overdue. A link of 128 kbit/s that eight files share moves each in that time.
pub const STILL_AFTER: Duration = AGE_STEP.saturating_mul(3);

/// Those of one session. Clones count the same ones.
#[derive(Clone, Debug, Default)]
pub struct Still(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    now: AtomicUsize,
    moved: Notify,
    // Deliveries begun, by the priority of their stream.
    begun: [AtomicU64; Rank::PRIORITIES],
}

/// One that stands still, for as long as this lives.
#[derive(Debug)]
pub struct One<'a>(&'a Count);

impl Still {
    /// A delivery of this rank begins.
    pub fn begin(&self, rank: Rank) {
        self.0.begun[rank.priority()].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one stands still.
    pub fn any(&self) -> bool {
        self.0.now.load(Ordering::Relaxed) > 0
    }

    /// Resolves once the last of them has moved.
    pub async fn moved(&self) {
        self.0.moved.notified().await;
    }

    /// Carries out a step of a delivery of this rank. When it stood still it is counted, from then on until what comes
    /// with its outcome is dropped.
    pub async fn watch<T>(&self, rank: Rank, step: impl Future<Output = T>) -> (T, Option<One<'_>>) {
        let mut step = std::pin::pin!(step);
        let before = self.begun_above(rank);
        loop {
            if let Ok(done) = timeout(STILL_AFTER, &mut step).await {
                return (done, None);
            }
            if self.begun_above(rank) > before {
                break;
            }
        }
        let one = One::of(&self.0);
        (step.await, Some(one))
    }

    fn begun_above(&self, rank: Rank) -> u64 {
        self.0.begun[rank.priority() + 1..].iter().map(|begun| begun.load(Ordering::Relaxed)).sum()
    }
}

impl<'a> One<'a> {
    fn of(count: &'a Count) -> Self {
        count.now.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        if self.0.now.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.moved.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::{advance, sleep};
    use valise_proto::kinds::Precedence::{Flash, Immediate, Priority, Routine};

    /// Lets everything that is due happen.
    async fn settle() {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delivery_stands_still_when_more_urgent_ones_pass_it() {
        let still = Still::default();
        let own = still.clone();
        let step =
            tokio::spawn(
                async move { own.watch(Rank::of(Routine), sleep(STILL_AFTER * 3)).await.1.is_some() },
            );
        settle().await;
        still.begin(Rank::of(Immediate));
        advance(STILL_AFTER - Duration::from_millis(1)).await;
        settle().await;
        assert!(!still.any());
        advance(Duration::from_millis(2)).await;
        settle().await;
        assert!(still.any());
        advance(STILL_AFTER * 2).await;
        assert!(step.await.unwrap(), "it stood still");
        still.moved().await;
        assert!(!still.any());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_that_its_like_share_is_no_standing_still() {
        let still = Still::default();
        let own = still.clone();
        let step =
            tokio::spawn(async move { own.watch(Rank::of(Priority), pending::<()>()).await.1.is_some() });
        settle().await;
        [Routine, Priority].into_iter().for_each(|precedence| still.begin(Rank::of(precedence)));
        advance(STILL_AFTER * 5).await;
        settle().await;
        assert!(!still.any());
        // What is begun later counts too; and an end by force leaves nothing behind.
        still.begin(Rank::of(Flash));
        advance(STILL_AFTER + Duration::from_secs(1)).await;
        settle().await;
        assert!(still.any());
        step.abort();
        settle().await;
        assert!(!still.any());
    }
}
