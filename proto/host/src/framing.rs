//! Frames over a QUIC stream: one side sends kinds, the other takes them, every bound checked before allocation.
//!
//! Returns faults and closes nothing: whether a fault ends the stream or the connection is the session's to say.

use quinn::{ConnectionError, ReadError, RecvStream, SendStream, StreamId, VarInt, WriteError};
use valise_proto::frame::{self, FrameError, FrameReader};
use valise_proto::kinds::Precedence;
use valise_proto::limits::FRAME_MAX;
use valise_proto::wire::frame::Kind;

#[cfg(test)]
mod tests;

/// Priority of the control stream: above every transfer, since acknowledgements free the peer's windows.
pub const CONTROL_PRIORITY: i32 = 100;

/// Priority of a transfer's stream: a FLASH is sent before whatever else waits.
pub const fn transfer_priority(precedence: Precedence) -> i32 {
    precedence.to_wire()
}

/// A stream gave no frame, or took none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The peer broke the framing.
    #[error("the peer sent {0}")]
    Frame(#[from] FrameError),
    /// The peer gave the stream up while sending, with this code.
    #[error("the peer gave the stream up with code {0:#x}")]
    Reset(u64),
    /// The peer wants nothing more of the stream, with this code.
    #[error("the peer stopped the stream with code {0:#x}")]
    Stopped(u64),
    /// The connection is gone.
    #[error("the connection is lost: {0}")]
    Lost(#[from] ConnectionError),
    /// We used a stream that we had ended, or whose last frame we left unfinished.
    #[error("the stream was ended here before")]
    Ended,
}

/// Sends frames.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    /// Set while a frame is only partly handed over: what follows it would be read as its rest.
    torn: bool,
}

impl FrameSender {
    /// Takes a stream right after it was opened and sets its priority, before the first byte ([P-7]).
    pub fn new(stream: SendStream, priority: i32) -> Self {
        // Only a stream that has ended refuses a priority, and then the first frame tells.
        stream.set_priority(priority).ok();
        Self { stream, torn: false }
    }

    /// From the next byte on that the transport takes up: what it holds of the stream already keeps its turn.
    pub fn set_priority(&mut self, priority: i32) {
        self.stream.set_priority(priority).ok(); // as above
    }

    /// Hands over one frame; waits while the peer's window or ours is full. If dropped while waiting, the stream
    /// is of no further use and says so.
    pub async fn send(&mut self, kind: Kind) -> Result<(), FrameFault> {
        self.send_all([kind]).await
    }

    /// Hands over frames in one write, which costs the transport less than one for each. As [`send`](Self::send)
    /// otherwise. The caller bounds them: they are in memory together.
    pub async fn send_all(&mut self, kinds: impl IntoIterator<Item = Kind>) -> Result<(), FrameFault> {
        if self.torn {
            return Err(FrameFault::Ended);
        }
        self.torn = true;
        self.stream.write_chunk(frame::encode_all(kinds)).await?;
        self.torn = false;
        Ok(())
    }

    /// Says that no frame follows. The peer sees the end after the last frame.
    pub fn finish(&mut self) -> Result<(), FrameFault> {
        if self.torn {
            return Err(FrameFault::Ended);
        }
        self.stream.finish().map_err(|_| FrameFault::Ended)
    }

    /// Waits until the peer has everything after [`finish`](Self::finish), or has stopped the stream.
    pub async fn delivered(&mut self) -> Result<(), FrameFault> {
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(FrameFault::Stopped(code.into_inner())),
            Err(fault) => Err(WriteError::from(fault).into()),
        }
    }

    /// Gives the stream up: what was not sent yet is not sent.
    pub fn reset(&mut self, code: u32) {
        self.stream.reset(VarInt::from_u32(code)).ok(); // an ended stream needs no reset
    }

    /// Which stream this is.
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if self.torn {
            // The library would end the stream cleanly; a frame cut short is our doing, not a broken peer's.
            self.reset(0);
        }
    }
}

/// Takes frames.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    reader: FrameReader,
    fault: Option<FrameError>,
}

impl FrameReceiver {
    /// Takes a stream before its first byte was read.
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, reader: FrameReader::new(), fault: None }
    }

    /// The next frame; `None` after the last. May be dropped while waiting: nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Kind>, FrameFault> {
        loop {
            if let Some(kind) = self.check(|reader| reader.next_frame())? {
                return Ok(Some(kind));
            }
            match self.stream.read_chunk(FRAME_MAX, true).await? {
                Some(chunk) => self.reader.extend(&chunk.bytes),
                None => return self.check(|reader| reader.finish()).map(|()| None),
            }
        }
    }

    /// Tells the peer to send nothing more.
    pub fn stop(&mut self, code: u32) {
        self.stream.stop(VarInt::from_u32(code)).ok(); // an ended stream needs no stop
    }

    /// Which stream this is.
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    /// After a broken frame nothing in the stream means anything: the first fault stays.
    fn check<T>(
        &mut self,
        f: impl FnOnce(&mut FrameReader) -> Result<T, FrameError>,
    ) -> Result<T, FrameFault> {
        let done = self.fault.map_or_else(|| f(&mut self.reader), Err);
        Ok(done.inspect_err(|fault| self.fault = Some(*fault))?)
    }
}

impl From<WriteError> for FrameFault {
    fn from(fault: WriteError) -> Self {
        match fault {
            WriteError::Stopped(code) => Self::Stopped(code.into_inner()),
            WriteError::ConnectionLost(fault) => Self::Lost(fault),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Ended,
        }
    }
}

impl From<ReadError> for FrameFault {
    fn from(fault: ReadError) -> Self {
        match fault {
            ReadError::Reset(code) => Self::Reset(code.into_inner()),
            ReadError::ConnectionLost(fault) => Self::Lost(fault),
            ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
                Self::Ended
            }
        }
    }
}
