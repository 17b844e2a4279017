//! The door: QUIC with mutual TLS. An incoming handshake becomes an admitted device, or a close with one log line.
//!
//! Believes the TLS library for chain, revocation and time; judges names, roles and roster itself, on every connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::{Endpoint, Incoming};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use valise_proto::session::Close;

use crate::admission::{admit, close_for, code_for, turn_away};
use crate::connection::Call;
use crate::hub::Hub;
use crate::metrics::Turned;
use crate::queue::Queue;

/// From the first packet to a finished handshake: three round trips on a satellite, with losses.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Handshakes at once: the whole federation coming back, and no crowd of strangers beyond that.
const HANDSHAKES_MAX: usize = 256;

/// What the listener may hold.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// Connections at once.
    pub connections: usize,
    /// Pending handshakes before callers must prove their address.
    pub unproven: usize,
}

/// Accepts until told to stop, then waits for the sessions to leave.
pub async fn listen<Q: Queue>(
    endpoint: Endpoint,
    hub: Arc<Hub<Q>>,
    doors: Doors,
    shutdown: CancellationToken,
) {
    let pending = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = calls.join_next() => continue,
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => incoming,
                None => break,
            },
        };
        if calls.len() >= doors.connections || pending.load(Ordering::Relaxed) >= HANDSHAKES_MAX {
            hub.metrics().turned_away.of(Turned::Full).one();
            incoming.refuse();
            continue;
        }
        if pending.load(Ordering::Relaxed) >= doors.unproven && !incoming.remote_address_validated() {
            // Costs the caller a round trip, and a forged address everything.
            if incoming.may_retry() {
                hub.metrics().retried.one();
                incoming.retry().ok();
            } else {
                hub.metrics().turned_away.of(Turned::Full).one();
                incoming.refuse();
            }
            continue;
        }
        let (hub, pending, shutdown) = (Arc::clone(&hub), Arc::clone(&pending), shutdown.clone());
        calls.spawn(answer(incoming, hub, pending, shutdown));
    }
    endpoint.set_server_config(None); // who calls from now on is refused at the first packet
    while calls.join_next().await.is_some() {}
}

async fn answer<Q: Queue>(
    incoming: Incoming,
    hub: Arc<Hub<Q>>,
    pending: Arc<AtomicUsize>,
    shutdown: CancellationToken,
) {
    let from = incoming.remote_address();
    pending.fetch_add(1, Ordering::Relaxed);
    let shaken = timeout(HANDSHAKE_DEADLINE, incoming).await;
    pending.fetch_sub(1, Ordering::Relaxed);
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            hub.metrics().turned_away.of(Turned::Tls).one();
            tracing::warn!(event = "handshake-refused", %from, code = code_for(&error), reason = %error);
            return;
        }
        Err(_) => {
            hub.metrics().turned_away.of(Turned::Late).one();
            tracing::warn!(event = "handshake-late", %from);
            return;
        }
    };
    if hub.is_draining() {
        hub.metrics().turned_away.of(Turned::Draining).one();
        turn_away(&connection);
        return;
    }
    let admitted = match admit(&connection, &hub.trust(), hub.now_ms()) {
        Ok(admitted) => admitted,
        Err(fault) => {
            let why = close_for(&fault);
            hub.metrics().turned_away.of(Turned::Papers(why)).one();
            tracing::warn!(event = "device-refused", %from, code = fault.code(), reason = %fault);
            connection.close(why.code().into(), why.as_str().as_bytes());
            return;
        }
    };
    let device = admitted.device().clone();
    let why = Call::serve(Arc::clone(&hub), connection, admitted, shutdown).await;
    let metrics = hub.metrics();
    why.map_or(&metrics.sessions_left, |why| metrics.sessions_ended.of(why)).one();
    let why = why.map_or("by-peer", Close::as_str);
    tracing::info!(event = "session-ended", party = %device.party, device = %device.device, why);
}
