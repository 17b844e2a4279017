//! The conversation between a device and a relay as two pure machines: events in, actions out. No socket, no
//! clock, no task; bodies in relay and client carry the actions out.
//!
//! [`relay`] answers, [`device`] calls, [`window`] bounds what is in flight, [`backoff`] paces coming back. The
//! drawing of all transitions is `session/transitions.txt`; a test prints it and compares.

pub mod backoff;
pub mod device;
pub mod relay;
pub mod window;

#[cfg(test)]
mod tests;

/// Why a connection is closed: the QUIC application close code ([P-60]). Says whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    /// Nobody's: the work is done.
    Done,
    /// The peer's: its certificate or key is revoked.
    Revoked,
    /// Nobody's: the same device opened another session.
    Superseded,
    /// The peer's: its certificate states no identity of this federation.
    BadIdentity,
    /// The peer's: its party, device or CA is not in the roster.
    NotEnrolled,
    /// The peer's: a frame against the protocol.
    Protocol,
    /// The peer's: no Hello in time.
    HelloLate,
    /// Ours: the relay is about to stop.
    GoingAway,
    /// The peer's: its certificate has expired.
    CertificateExpired,
    /// The peer's: a transfer slower than the least.
    TooSlow,
    /// Ours: the store failed.
    OurFault,
}

impl Close {
    /// Every close, by code.
    pub const ALL: &'static [Self] = &[
        Self::Done,
        Self::Revoked,
        Self::Superseded,
        Self::BadIdentity,
        Self::NotEnrolled,
        Self::Protocol,
        Self::HelloLate,
        Self::GoingAway,
        Self::CertificateExpired,
        Self::TooSlow,
        Self::OurFault,
    ];

    /// Its code.
    pub const fn code(self) -> u32 {
        match self {
            Self::Done => 0x1000,
            Self::Revoked => 0x1001,
            Self::Superseded => 0x1002,
            Self::BadIdentity => 0x1003,
            Self::NotEnrolled => 0x1004,
            Self::Protocol => 0x1005,
            Self::HelloLate => 0x1006,
            Self::GoingAway => 0x1007,
            Self::CertificateExpired => 0x1008,
            Self::TooSlow => 0x1009,
            Self::OurFault => 0x100a,
        }
    }

    /// From its code.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|close| u64::from(close.code()) == code)
    }

    /// The stable word in logs and in the close frame.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Revoked => "CERT_REVOKED",
            Self::Superseded => "SUPERSEDED",
            Self::BadIdentity => "BAD_IDENTITY",
            Self::NotEnrolled => "NOT_ENROLLED",
            Self::Protocol => "PROTOCOL",
            Self::HelloLate => "HELLO_LATE",
            Self::GoingAway => "GOING_AWAY",
            Self::CertificateExpired => "CERT_EXPIRED",
            Self::TooSlow => "TOO_SLOW",
            Self::OurFault => "OUR_FAULT",
        }
    }
}

/// Identifies a receipt in lists ([P-43]): the first 16 bytes of SHA-256 over its exact bytes.
pub type ReceiptId = [u8; 16];

/// Receipt ids of a `ReceiptsTaken`, or none when one is malformed.
fn receipt_ids(taken: &crate::wire::ReceiptsTaken) -> Option<Vec<ReceiptId>> {
    taken.ids.iter().map(|id| ReceiptId::try_from(&id.id[..]).ok()).collect()
}

/// Most bytes of receipts put in one frame: leaves room for framing and for one receipt of the largest kind.
const RECEIPT_FRAME_BYTES: usize = crate::limits::FRAME_MAX - 4096;

/// Splits receipts into frames within the bounds of count and size.
fn receipt_frames(receipts: Vec<crate::receipt::SignedReceipt>) -> Vec<crate::wire::frame::Kind> {
    use crate::limits::BATCH_MAX;
    use crate::wire;

    let mut frames = Vec::new();
    let mut batch: Vec<wire::SignedReceipt> = Vec::new();
    let mut bytes = 0;
    for receipt in receipts {
        let receipt = receipt.to_wire();
        let len = wire::encoded_len(&receipt) + 8;
        if batch.len() == BATCH_MAX || bytes + len > RECEIPT_FRAME_BYTES {
            frames.push(wire::frame::Kind::Receipts(wire::Receipts { receipts: std::mem::take(&mut batch) }));
            bytes = 0;
        }
        bytes += len;
        batch.push(receipt);
    }
    if !batch.is_empty() {
        frames.push(wire::frame::Kind::Receipts(wire::Receipts { receipts: batch }));
    }
    frames
}
