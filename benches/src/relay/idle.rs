//! Memory of connections on which nothing happens: many devices, greeted, each kept by its keep-alives alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::{ClientConfig, TransportConfig};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::device::{Session, Way};
use super::{START_LIMIT, device_link};
use crate::federation::{Device, Federation, caller};
use crate::machine::memory_of;

/// Calls at once: few enough that nobody is asked to prove its address.
const CALLS: usize = 32;
/// For the server to give back what the greetings took.
const SETTLE: Duration = Duration::from_secs(4);

/// kB by which each device grows the relay.
pub(super) async fn relay(
    server: u32,
    federation: &Federation,
    way: &Way,
    devices: &[Arc<Device>],
) -> Result<f64> {
    let from = caller()?;
    let open = |config, device: &Arc<Device>| {
        let (from, way, device) = (from.clone(), way.clone(), Arc::clone(device));
        async move { Session::open(&from, &way, config, device).await }
    };
    growth(server, federation, devices, open).await
}

/// kB by which each device grows the yardstick.
pub(super) async fn yardstick(
    server: u32,
    federation: &Federation,
    address: SocketAddr,
    devices: &[Arc<Device>],
) -> Result<f64> {
    let (from, name) = (caller()?, federation.relay_name()?);
    let open = |config, _: &Arc<Device>| {
        let (from, name) = (from.clone(), name.clone());
        async move { from.connect_with(config, address, &name)?.await.context("no connection") }
    };
    growth(server, federation, devices, open).await
}

/// Connects all devices, the first of them before memory is looked at: what serves all is loaded then.
async fn growth<T, F>(
    server: u32,
    federation: &Federation,
    devices: &[Arc<Device>],
    open: impl Fn(ClientConfig, &Arc<Device>) -> F,
) -> Result<f64>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let link: Arc<TransportConfig> = device_link();
    let call = |device: &Arc<Device>| -> Result<F> {
        Ok(open(federation.calling(device, Arc::clone(&link))?, device))
    };
    let (first, others) = devices.split_first().context("no device")?;
    let mut here = vec![timeout(START_LIMIT, call(first)?).await.context("the server does not answer")??];
    sleep(SETTLE).await;
    let before = memory_of(server)?;
    let mut calls = JoinSet::new();
    for device in others {
        if calls.len() >= CALLS
            && let Some(opened) = calls.join_next().await
        {
            here.push(opened??);
        }
        calls.spawn(call(device)?);
    }
    while let Some(opened) = calls.join_next().await {
        here.push(opened??);
    }
    sleep(SETTLE).await;
    let after = memory_of(server)?;
    Ok((after - before) / others.len() as f64)
}
