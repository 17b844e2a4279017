//! The doorway of the machine as the web server takes it, and who called as its routes see it. Decides nothing.

use std::io;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use valise_host::doorway::{Caller, Doorway, Peer};

/// The desk's door.
pub(crate) struct Door(pub(crate) Doorway);

/// Who called, for the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visitor(pub(crate) Peer);

impl Listener for Door {
    type Io = Caller;
    type Addr = Visitor;

    async fn accept(&mut self) -> (Caller, Visitor) {
        let (caller, peer) = self.0.accept().await;
        (caller, Visitor(peer))
    }

    fn local_addr(&self) -> io::Result<Visitor> {
        Ok(Visitor(Peer { uid: rustix::process::geteuid().as_raw() }))
    }
}

impl Connected<IncomingStream<'_, Door>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        *stream.remote_addr()
    }
}
