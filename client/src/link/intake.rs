//! Takes one delivery in from its stream: certificates, then the frames of one envelope, within memory.

use std::sync::Arc;

use tokio::sync::Semaphore;
use valise_host::framing::{FrameFault, FrameReceiver};
use valise_proto::session::Close;
use valise_proto::transfer::{Joiner, Step, Transfer};
use valise_proto::wire::frame::Kind;

use crate::answers;
use crate::office::Office;

/// Reads one envelope and the certificates ahead of it, within memory.
pub(super) async fn receive(
    office: &Office,
    mut stream: FrameReceiver,
    budget: Arc<Semaphore>,
) -> Result<Option<Box<Transfer>>, Close> {
    let mut joiner = loop {
        match frame(&mut stream).await? {
            None => return Ok(None),
            Some(Kind::SigningLeaf(leaf)) => answers::leaf(office, leaf),
            Some(Kind::Begin(begin)) => break Joiner::begin(begin).map_err(|_| Close::Protocol)?,
            Some(_) => return Err(Close::Protocol),
        }
    };
    let kib = u32::try_from(joiner.declared_bytes().div_ceil(1024)).map_err(|_| Close::Protocol)?;
    // Never closed: it lives as long as the call. Held until the envelope is whole; the session bounds the rest.
    let Ok(_reserved) = budget.acquire_many_owned(kib).await else { return Ok(None) };
    loop {
        let Some(kind) = frame(&mut stream).await? else { return Ok(None) };
        match joiner.push(kind).map_err(|_| Close::Protocol)? {
            Step::More(more) => joiner = more,
            // The stream is the transfer's own: nothing follows in it.
            Step::Whole(transfer) => match frame(&mut stream).await? {
                None => return Ok(Some(transfer)),
                Some(_) => return Err(Close::Protocol),
            },
        }
    }
}

async fn frame(stream: &mut FrameReceiver) -> Result<Option<Kind>, Close> {
    match stream.next().await {
        Ok(frame) => Ok(frame),
        Err(FrameFault::Frame(_)) => Err(Close::Protocol),
        Err(_) => Ok(None),
    }
}
