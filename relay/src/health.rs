//! `/livez` and `/readyz` on loopback: is the process there, and can it do its work. Details with `?verbose`.
//!
//! A certificate or list that runs out makes ready yellow, never dead: a restart would not mend it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use valise_proto::limits::DAY_MS;

use crate::hub::Hub;
use crate::queue::Queue;

/// A relay certificate with less left is shown as a warning: it lives 30 days and is due at a third.
const CERTIFICATE_WARN_MS: u64 = 10 * DAY_MS;

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// As it should be.
    Green,
    /// Works, and needs a person soon.
    Yellow,
    /// Does not work.
    Red,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: Colour,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report {
    state: Colour,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    verbose: Option<String>,
}

struct Seen<Q> {
    hub: Arc<Hub<Q>>,
    certificate_ends_ms: u64,
}

/// Serves until told to stop.
pub async fn serve<Q: Queue>(
    listener: TcpListener,
    hub: Arc<Hub<Q>>,
    certificate_ends_ms: u64,
    shutdown: CancellationToken,
) {
    let seen = Arc::new(Seen { hub, certificate_ends_ms });
    let routes = Router::new()
        .route("/livez", get(async || StatusCode::OK))
        .route("/readyz", get(ready::<Q>))
        .with_state(seen);
    let served = axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(event = "health-failed", %error);
    }
}

/// Binds the address of the configuration.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn ready<Q: Queue>(State(seen): State<Arc<Seen<Q>>>, Query(wanted): Query<Wanted>) -> Response {
    let checks = vec![store(&seen.hub).await, papers(&seen), lists(&seen.hub), serving(&seen.hub)];
    let state = checks.iter().map(|check| check.state).max().unwrap_or(Colour::Red);
    let status = if state == Colour::Red { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let checks = if wanted.verbose.is_some() { checks } else { Vec::new() };
    (status, Json(Report { state, checks })).into_response()
}

async fn store<Q: Queue>(hub: &Hub<Q>) -> Check {
    let (state, detail) = match hub.noted(hub.queue().depth().await) {
        Ok(depth) => (Colour::Green, format!("{} entries, {} receipts wait", depth.entries, depth.receipts)),
        Err(error) => (Colour::Red, error.to_string()),
    };
    Check { name: "store", state, detail }
}

fn papers<Q: Queue>(seen: &Seen<Q>) -> Check {
    let left = seen.certificate_ends_ms.saturating_sub(seen.hub.now_ms());
    let (state, detail) = match left {
        0 => (Colour::Red, "the relay's certificate has expired; renew it".to_owned()),
        left if left < CERTIFICATE_WARN_MS => {
            (Colour::Yellow, format!("expires in {} days; renew it", left / DAY_MS))
        }
        left => (Colour::Green, format!("expires in {} days", left / DAY_MS)),
    };
    Check { name: "certificate", state, detail }
}

fn lists<Q: Queue>(hub: &Hub<Q>) -> Check {
    let late = late_lists(hub);
    let state = if late.is_empty() { Colour::Green } else { Colour::Yellow };
    let detail = if late.is_empty() {
        "all within their dates".to_owned()
    } else {
        format!("late or missing: {}", late.join(", "))
    };
    Check { name: "revocation", state, detail }
}

/// Owners whose revocation list is past its date or missing.
pub fn late_lists<Q: Queue>(hub: &Hub<Q>) -> Vec<String> {
    use valise_certs::crl::CrlState;
    let all = hub.trust().crl_status(hub.now_ms());
    all.into_iter().filter(|one| one.state != CrlState::Fresh).map(|one| one.owner).collect()
}

fn serving<Q: Queue>(hub: &Hub<Q>) -> Check {
    let (state, detail) = if hub.is_draining() {
        (Colour::Red, "about to stop".to_owned())
    } else {
        (Colour::Green, format!("{} sessions, roster {}", hub.connected(), hub.trust().roster().number))
    };
    Check { name: "serving", state, detail }
}
