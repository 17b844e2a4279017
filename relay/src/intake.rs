//! Takes one submission in from its stream: frames to a whole transfer, within time and memory.
//!
//! Reserves the bytes that the header declares before it reads them; a slow sender is cut, an honest one comes again
//! ([P-35]).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use valise_host::framing::{FrameFault, FrameReceiver};
use valise_proto::limits::{HEADER_MAX, SEGMENT_DEADLINE_MS, TRANSFER_RATE_MIN, WRAP_MAX};
use valise_proto::session::Close;
use valise_proto::transfer::{Joiner, Step, Transfer};
use valise_proto::wire::frame::Kind;

/// Memory held for a submission until the store has it.
#[derive(Debug)]
pub struct Reserved {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// A submission that came whole.
#[derive(Debug)]
pub struct Received {
    /// It.
    pub transfer: Box<Transfer>,
    /// Its memory.
    pub reserved: Reserved,
}

/// The sender broke the protocol: what its connection is closed with, and the stable code for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub Close, pub &'static str);

/// Frames against the header, or out of their order ([P-20]).
const OUT_OF_ORDER: Broken = Broken(Close::Protocol, "TRANSFER_BROKEN");
/// Something after `End`.
const TRAILING: Broken = Broken(Close::Protocol, "TRANSFER_TRAILING");
/// Slower than the least ([P-35]).
const TOO_SLOW: Broken = Broken(Close::TooSlow, "TOO_SLOW");

/// One incoming stream.
#[derive(Debug)]
pub struct Intake {
    /// Where frames come from.
    pub stream: FrameReceiver,
    /// KiB that may be on their way in at once on this connection.
    pub own: Arc<Semaphore>,
    /// The same, over all connections.
    pub all: Arc<Semaphore>,
}

impl Intake {
    /// Reads to the end. None: the sender gave the stream up ([P-38]). The error closes the connection.
    pub async fn receive(mut self) -> Result<Option<Received>, Broken> {
        let Some(first) = self.frame().await? else { return Ok(None) };
        let Kind::Begin(begin) = first else { return Err(OUT_OF_ORDER) };
        if begin.relayed.is_some() {
            return Err(OUT_OF_ORDER); // a device proves nothing about acceptance
        }
        let mut joiner = Joiner::begin(begin).map_err(|_| OUT_OF_ORDER)?;
        let bytes = held_bytes(&joiner);
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| OUT_OF_ORDER)?;
        // One connection cannot take what all share. The semaphores live as long as session and relay.
        let Ok(own) = Arc::clone(&self.own).acquire_many_owned(kib).await else { return Ok(None) };
        let Ok(all) = Arc::clone(&self.all).acquire_many_owned(kib).await else { return Ok(None) };
        let longest =
            Duration::from_millis(SEGMENT_DEADLINE_MS) + Duration::from_secs(bytes / TRANSFER_RATE_MIN);
        let whole = async {
            loop {
                let Some(kind) = self.frame().await? else { return Ok(None) };
                match joiner.push(kind).map_err(|_| OUT_OF_ORDER)? {
                    Step::More(more) => joiner = more,
                    // The stream is the transfer's own: nothing follows in it.
                    Step::Whole(transfer) => match self.frame().await? {
                        None => return Ok(Some(transfer)),
                        Some(_) => return Err(TRAILING),
                    },
                }
            }
        };
        let transfer = timeout(longest, whole).await.map_err(|_| TOO_SLOW)??;
        Ok(transfer.map(|transfer| Received { transfer, reserved: Reserved { _own: own, _all: all } }))
    }

    async fn frame(&mut self) -> Result<Option<Kind>, Broken> {
        match timeout(Duration::from_millis(SEGMENT_DEADLINE_MS), self.stream.next()).await {
            Err(_) => Err(TOO_SLOW),
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(FrameFault::Frame(fault))) => Err(Broken(Close::Protocol, fault.code())),
            Ok(Err(_)) => Ok(None),
        }
    }
}

/// What a submission holds in memory: ciphertext, header, and a wrap for each recipient.
fn held_bytes(joiner: &Joiner) -> u64 {
    let beside = HEADER_MAX + joiner.facts().recipients.len() * WRAP_MAX;
    joiner.declared_bytes() + beside as u64
}
