//! The doorway: accepts connections on the unix socket, a bounded number at once, each with the kernel's word on who
//! called. Whoever comes when all places are taken waits in the kernel's queue, nobody is turned away.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::peer::Peer;

/// Pause after a failed accept: the usual cause, no file descriptor left, needs a moment to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listening socket and its places.
pub(crate) struct Doorway {
    listener: UnixListener,
    places: Arc<Semaphore>,
}

impl Doorway {
    /// A doorway with so many places.
    pub(crate) fn new(listener: UnixListener, places: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)) }
    }
}

impl Listener for Doorway {
    type Io = Caller;
    type Addr = Peer;

    async fn accept(&mut self) -> (Caller, Peer) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("invariant: nobody closes the semaphore of the doorway");
        loop {
            let accepted = self.listener.accept().await;
            let known = accepted.and_then(|(stream, _)| stream.peer_cred().map(|cred| (stream, cred.uid())));
            match known {
                Ok((stream, uid)) => return (Caller { stream, _place: place }, Peer { uid }),
                Err(cause) => {
                    tracing::warn!(event = "api-accept-failed", %cause, "a local connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { uid: rustix::process::geteuid().as_raw() })
    }
}

/// One connection; gives its place back when it goes.
pub(crate) struct Caller {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Caller {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected<IncomingStream<'_, Doorway>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doorway>) -> Self {
        *stream.remote_addr()
    }
}
