//! Faults planted on purpose, to see whether the tests find them: each breaks one promise at the place that keeps it.
//!
//! Only the feature `planted` makes them possible, and only the lab asks for that feature; without it the answer is
//! `false` while the program is compiled, and nothing of a fault is in it.

/// A promise that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A store answers for a commit before it is on the disk.
    AcknowledgeBeforeSync,
    /// The mark that a message came is committed apart from the message.
    DedupApart,
    /// The relay lets an entry go, and keeps its end receipt in a commit that follows.
    DropBeforeReceipt,
    /// A store does not keep the number of its last acknowledged commit.
    MarkNotKept,
    /// Numbers of records begin anew in a segment that is written on after a restart: a nonce seals twice.
    NonceReused,
    /// Receipts are believed whatever envelope they are about.
    ReceiptUnbound,
    /// A sync that failed is tried again, and believed.
    SyncRetried,
    /// The side-car of a segment is believed though it does not hold.
    SideCarUnchecked,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AcknowledgeBeforeSync,
        Self::DedupApart,
        Self::DropBeforeReceipt,
        Self::MarkNotKept,
        Self::NonceReused,
        Self::ReceiptUnbound,
        Self::SyncRetried,
        Self::SideCarUnchecked,
    ];

    /// Whether this one is planted on this thread.
    #[cfg(not(feature = "planted"))]
    #[inline]
    pub const fn here(self) -> bool {
        false
    }

    /// Whether this one is planted on this thread.
    #[cfg(feature = "planted")]
    pub fn here(self) -> bool {
        NOW.get() == Some(self)
    }

    /// Plants this one on this thread, alone, while the closure runs.
    #[cfg(feature = "planted")]
    pub fn while_in<T>(self, work: impl FnOnce() -> T) -> T {
        NOW.set(Some(self));
        let done = work();
        NOW.set(None);
        done
    }
}

#[cfg(feature = "planted")]
std::thread_local! {
    static NOW: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}
