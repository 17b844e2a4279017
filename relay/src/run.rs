//! Runs a relay as a program: configuration and papers first, then the relay, then its health page; until a signal.
//!
//! Everything that can be wrong is found before a port is bound.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use valise_host::machine::Machine;
use valise_host::socket::LocalSocket;

use crate::admin::{Door, Ending};
use crate::config::RelayConfig;
use crate::fault::RunError;
use crate::health::View;
use crate::page;
use crate::papers::Papers;
use crate::relay::{Closed, Relay};

/// For administrators who wait for the end to be told of it.
const TELL_WAIT: Duration = Duration::from_secs(1);

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
    let page = match config.relay.http {
        Some(address) => {
            let bound = page::bind(address).await;
            Some(bound.map_err(|source| RunError::Listen { address, source })?)
        }
        None => None,
    };
    let admin = match &config.relay.admin_socket {
        Some(path) => Some(LocalSocket::bind(path, None).await?),
        None => None,
    };
    let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
    let (end, ending) = watch::channel(Ending::NotYet);
    let view = Arc::new(View::new(relay.hub(), tls_ends_ms));
    if let Some(listener) = page {
        tokio::spawn(page::serve(listener, Arc::clone(&view), gone.clone()));
    }
    let door = Door { view, leave: stop.clone(), ending };
    let admin = admin.map(|socket| tokio::spawn(door.serve(socket)));
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
    gone.cancel();
    end.send_replace(if matches!(ended, Ok(Closed::Whole)) { Ending::Stopped } else { Ending::Failed });
    if let Some(admin) = admin {
        tokio::time::timeout(TELL_WAIT, admin).await.ok(); // who does not listen is not told
    }
    tracing::info!(event = "stopped");
    ended.map(drop)
}
