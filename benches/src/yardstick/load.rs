//! Callers of the yardstick: as many, with as much in flight, as those of the product.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use quinn::{Connection, TransportConfig};
use valise_host::transport::{LinkProfile, device_transport};

use super::{CONSUME, GROUPS, SUBMIT};
use crate::envelopes::Envelope;
use crate::federation::{Device, Federation, caller};
use crate::tally::Tally;

/// A connection to the yardstick with a device's papers.
pub(crate) async fn call(
    from: &quinn::Endpoint,
    federation: &Federation,
    address: SocketAddr,
    device: &Device,
) -> Result<Connection> {
    let config = federation.calling(device, Arc::new(transport()))?;
    let connecting = from.connect_with(config, address, &federation.relay_name()?)?;
    connecting.await.context("no connection to the yardstick")
}

/// The device's own.
fn transport() -> TransportConfig {
    device_transport(LinkProfile::Lan)
}

/// Submits the sealed bytes that the product is given, to the consumers in turn, each once the one before is on the
/// disk; from the first again when they are used up.
pub(crate) async fn write(
    connection: Connection,
    envelopes: Arc<Vec<Envelope>>,
    consumers: u8,
    tally: Arc<Tally>,
) -> Result<()> {
    for (number, envelope) in envelopes.iter().cycle().enumerate() {
        if tally.stop.load(Relaxed) {
            tally.writing.fetch_sub(1, Relaxed);
            break;
        }
        let began = Instant::now();
        let (mut send, mut recv) = connection.open_bi().await?;
        let consumer = u8::try_from(number % usize::from(consumers))?;
        let purpose = Bytes::copy_from_slice(&[SUBMIT, consumer]);
        send.write_all_chunks(&mut [purpose, envelope.frames.clone()]).await?;
        send.finish()?;
        recv.read_exact(&mut [0]).await?;
        tally.accept(began.elapsed());
    }
    Ok(())
}

/// Receives and acknowledges. Ends with the connection.
pub(crate) async fn read(connection: Connection, consumer: u8, tally: Arc<Tally>) -> Result<()> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&[CONSUME, consumer]).await?;
    let (mut count, mut held) = (0_u64, BytesMut::new());
    while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
        held.extend_from_slice(&chunk.bytes);
        let before = count;
        while let Some(prefix) = held.first_chunk::<4>() {
            let whole = 4 + usize::try_from(u32::from_be_bytes(*prefix))?;
            if held.len() < whole {
                break;
            }
            drop(held.split_to(whole));
            count += 1;
        }
        if count > before {
            tally.received.fetch_add(count - before, Relaxed);
            send.write_all(&count.to_be_bytes()).await?;
            tally.settled.fetch_add(count - before, Relaxed);
        }
    }
    Ok(())
}

/// Groups committed so far.
pub(crate) async fn groups(federation: &Federation, address: SocketAddr, device: &Device) -> Result<u64> {
    let from = caller()?;
    let connection = call(&from, federation, address, device).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&[GROUPS, 0]).await?;
    send.finish()?;
    let mut count = [0; 8];
    recv.read_exact(&mut count).await?;
    Ok(u64::from_be_bytes(count))
}
