//! `/livez`, `/readyz` and `/metrics` on loopback: is the process there, can it do its work, and what has it done.
//!
//! Carries what [`crate::health`] judged, and judges nothing itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{Check, Colour, View, worst};
use crate::metrics::text;
use crate::queue::Queue;

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

/// Serves until the relay has ended: while it drains, it is asked most.
pub async fn serve<Q: Queue>(listener: TcpListener, view: Arc<View<Q>>, ended: CancellationToken) {
    let routes = Router::new()
        .route("/livez", get(async || StatusCode::OK))
        .route("/readyz", get(ready::<Q>))
        .route("/metrics", get(metrics::<Q>))
        .with_state(view);
    let served = axum::serve(listener, routes).with_graceful_shutdown(ended.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(event = "health-failed", %error);
    }
}

/// Binds the address of the configuration.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn metrics<Q: Queue>(State(view): State<Arc<View<Q>>>) -> Response {
    let Some(sight) = view.look().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    ([(CONTENT_TYPE, text::CONTENT_TYPE)], text::page(&sight)).into_response()
}

async fn ready<Q: Queue>(State(view): State<Arc<View<Q>>>, Query(wanted): Query<Wanted>) -> Response {
    let Some(sight) = view.look().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let checks = sight.checks();
    let state = worst(&checks);
    let status = if state == Colour::Red { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let checks = if wanted.verbose.is_some() { checks } else { Vec::new() };
    (status, Json(Report { state, checks })).into_response()
}
