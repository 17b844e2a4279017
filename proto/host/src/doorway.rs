//! The door of a local socket: accepts a bounded number at once, each with the kernel's word on who called, never the
//! caller's. Whoever comes when all places are taken waits in the kernel's queue, nobody is turned away.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pause after a failed accept: the usual cause, no file descriptor left, needs a moment to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The numeric user id.
    pub uid: u32,
}

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The user the program runs as.
    pub own_uid: u32,
    /// Whether a group shares the socket. Its members are let in by the socket's mode (0660), which the kernel
    /// checks with their supplementary groups; peer credentials carry only the primary one.
    pub shared: bool,
}

impl Rights {
    /// Whether a caller is let in: the program's own user, root, and whoever could connect to a shared socket.
    pub fn admits(self, peer: Peer) -> bool {
        self.shared || peer.uid == self.own_uid || peer.uid == 0
    }
}

/// The listening socket and its places.
#[derive(Debug)]
pub struct Doorway {
    listener: UnixListener,
    places: Arc<Semaphore>,
}

impl Doorway {
    /// A doorway with so many places.
    pub(crate) fn new(listener: UnixListener, places: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)) }
    }

    /// The next caller, once a place is free. May be dropped while waiting.
    pub async fn accept(&mut self) -> (Caller, Peer) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("invariant: nobody closes the semaphore of the doorway");
        loop {
            let accepted = self.listener.accept().await;
            let known = accepted.and_then(|(stream, _)| stream.peer_cred().map(|cred| (stream, cred.uid())));
            match known {
                Ok((stream, uid)) => return (Caller { stream, _place: place }, Peer { uid }),
                Err(cause) => {
                    tracing::warn!(event = "local-accept-failed", %cause, "a local connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One connection; gives its place back when it goes.
#[derive(Debug)]
pub struct Caller {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_root_are_let_in_and_a_neighbour_is_not() {
        let alone = Rights { own_uid: 1003, shared: false };
        assert!(alone.admits(Peer { uid: 1003 }));
        assert!(alone.admits(Peer { uid: 0 }));
        assert!(!alone.admits(Peer { uid: 1004 }));
    }

    #[test]
    fn a_socket_shared_with_a_group_takes_whoever_could_connect() {
        let shared = Rights { own_uid: 1003, shared: true };
        assert!(shared.admits(Peer { uid: 1004 }));
    }
}
