//! The local API: HTTP/1.1 and JSON on a unix socket, for the command line, the console and case systems alike.
//!
//! Rooms: `socket` why it could not be opened · `listener` the door as the web server takes it · `peer` who may ·
//! `routes` what they may ask · `intake` reads a message · `fault` says no. Decides nothing about messages: that is
//! the [`Desk`] behind it.

mod fault;
mod intake;
mod listener;
mod peer;
mod routes;
mod socket;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use valise_host::socket::LocalSocket;

use crate::contract::Desk;
use listener::{Door, Visitor};
pub use peer::group_id;
pub(crate) use routes::parse_id;

/// Connections held at once: a desk has a console, a few case systems and a command line or two.
pub const CONNECTIONS_MAX: usize = 256;
/// Messages being taken in at once; each may hold its full size in memory.
pub const INTAKES_MAX: usize = 8;
/// How long one message may take to be handed in; a place is not held for longer.
pub const INTAKE_DEADLINE: Duration = Duration::from_secs(60);
/// Longest single wait for a state, milliseconds; who wants longer asks again.
pub const WAIT_MAX_MS: u64 = 60_000;
/// How long a stop waits for requests under way.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// Answers on the socket until `shutdown` completes, then lets requests under way finish for [`STOP_GRACE`] and takes
/// the socket away.
pub async fn serve<D: Desk>(socket: LocalSocket, desk: Arc<D>, shutdown: impl Future<Output = ()> + Send) {
    let stopping = CancellationToken::new();
    let (doorway, rights, place) = socket.into_parts(CONNECTIONS_MAX);
    let router = routes::router(desk, rights, stopping.clone());
    let service = router.into_make_service_with_connect_info::<Visitor>();
    let serving = axum::serve(Door(doorway), service)
        .with_graceful_shutdown(stopping.clone().cancelled_owned())
        .into_future();
    tokio::pin!(serving);
    tokio::select! {
        biased;
        () = shutdown => {}
        ended = &mut serving => log_end(ended),
    }
    // Nobody new may find the door once we no longer answer behind it.
    place.take_away();
    stopping.cancel();
    if let Ok(ended) = tokio::time::timeout(STOP_GRACE, serving).await {
        log_end(ended);
    }
}

fn log_end(ended: std::io::Result<()>) {
    if let Err(cause) = ended {
        tracing::error!(event = "api-stopped", %cause, "the local API stopped");
    }
}
