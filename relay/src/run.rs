//! Runs a relay as a program: configuration and papers first, then the relay, then its health page; until a signal.
//!
//! Everything that can be wrong is found before a port is bound.

use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use valise_host::machine::Machine;

use crate::config::RelayConfig;
use crate::fault::RunError;
use crate::health;
use crate::papers::Papers;
use crate::relay::Relay;

/// Reads everything and binds nothing: `--check`.
pub fn check(path: &Path) -> Result<(), RunError> {
    let config = RelayConfig::load(path)?;
    Papers::load(&config, Machine::real().clock.now_ms()).map(drop)
}

/// Runs until told to stop, or until the store fails.
pub async fn run(path: &Path) -> Result<(), RunError> {
    let machine = Machine::real();
    let config = RelayConfig::load(path)?;
    let papers = Papers::load(&config, machine.clock.now_ms())?;
    let tls_ends_ms = papers.tls_ends_ms;
    let relay = Relay::open(&config, papers, &machine).await?;
    let health = match config.relay.http {
        Some(address) => {
            let bound = health::bind(address).await;
            Some(bound.map_err(|source| RunError::Listen { address, source })?)
        }
        None => None,
    };
    let stop = CancellationToken::new();
    if let Some(listener) = health {
        tokio::spawn(health::serve(listener, Arc::clone(relay.hub()), tls_ends_ms, stop.clone()));
    }
    let (address, roster) = (relay.address()?, relay.hub().trust().roster().number);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tracing::info!(event = "listening", relay = %config.relay.id, %address, roster);
    let serving = relay.serve(stop.clone());
    tokio::pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = &mut serving => ended,
        _ = term.recv() => {
            stop.cancel();
            serving.await
        }
        _ = int.recv() => {
            stop.cancel();
            serving.await
        }
    };
    stop.cancel();
    tracing::info!(event = "stopped");
    ended
}
