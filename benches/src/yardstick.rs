//! The yardstick: bare quinn, one log, one write and one fdatasync for all that waits. It shows what this machine allows
//! a relay that does nothing else, and is no relay.
//!
//! It does not ask who may write to whom, nor whom a certificate names beyond TLS. It keeps no deduplication, no
//! order by precedence, no expiry, no receipts, no state of acknowledgements over a restart, and seals nothing.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, TokioRuntime, TransportConfig};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use valise_host::transport::relay_transport;

use crate::federation::Federation;
use log::{Place, RECORDS, Record, append, zeroed};

pub(crate) mod load;
mod log;

/// Where it writes its address once it listens, in the federation's directory.
pub(crate) const ADDRESS_FILE: &str = "yardstick.address";
/// Its log, in the federation's directory.
const LOG_FILE: &str = "yardstick.log";
/// Streams that a caller may have open.
const STREAMS: u32 = 16;
/// Messages that may wait for one consumer: every sender of a run has one in flight.
const READY: usize = 2048;
/// Bytes handed to a consumer's stream at once.
const PIECE: usize = 32 * 1024;
/// Most bytes of a message: a text of 1 KiB, sealed.
const MESSAGE_MAX: usize = 4 * 1024;

/// First byte of a stream: what it is for. A second one names the consumer.
pub(crate) const SUBMIT: u8 = 0;
/// See [`SUBMIT`].
pub(crate) const CONSUME: u8 = 1;
/// Asks how many groups were committed; the answer is a u64.
pub(crate) const GROUPS: u8 = 2;
/// Consumers at most.
const CONSUMERS: usize = 16;

/// What all connections share.
struct Yard {
    log: File,
    records: mpsc::Sender<Record>,
    ready: Vec<Mutex<mpsc::Receiver<Place>>>,
    groups: Arc<AtomicU64>,
}

/// Serves until it is killed.
pub(crate) fn serve(dir: &Path) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(listen(dir))
}

async fn listen(dir: &Path) -> Result<()> {
    let log = zeroed(&dir.join(LOG_FILE))?;
    let (records, waiting) = mpsc::channel(RECORDS);
    let (offers, ready): (Vec<_>, Vec<_>) = (0..CONSUMERS).map(|_| mpsc::channel(READY)).unzip();
    let groups = Arc::new(AtomicU64::new(0));
    let (file, count) = (log.try_clone()?, Arc::clone(&groups));
    let ready = ready.into_iter().map(Mutex::new).collect();
    let yard = Arc::new(Yard { log, records, ready, groups });
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || append(&file, waiting, &offers, &count))?;

    let tls = Federation::open(dir)?.serving()?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport()));
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?;
    let told = dir.join(ADDRESS_FILE);
    std::fs::write(told.with_extension("new"), endpoint.local_addr()?.to_string())?;
    std::fs::rename(told.with_extension("new"), told)?;
    let mut calls = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let yard = Arc::clone(&yard);
        calls.spawn(async move {
            let connection = incoming.await?;
            let mut streams = JoinSet::new();
            while let Ok((send, recv)) = connection.accept_bi().await {
                streams.spawn(attend(Arc::clone(&yard), send, recv));
                while streams.try_join_next().is_some() {}
            }
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// The relay's own, but for two-way streams.
fn transport() -> TransportConfig {
    let mut transport = relay_transport();
    transport.max_concurrent_bidi_streams(STREAMS.into());
    transport
}

async fn attend(yard: Arc<Yard>, mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    let mut what = [0; 2];
    recv.read_exact(&mut what).await?;
    let [what, consumer] = what;
    match what {
        SUBMIT => {
            let bytes = recv.read_to_end(MESSAGE_MAX).await?;
            let (done, synced) = oneshot::channel();
            let record = Record { consumer, message: true, bytes, done: Some(done) };
            yard.records.send(record).await.ok().context("the log has ended")?;
            synced.await?;
            send.write_all(&[1]).await?;
            send.finish()?;
            Ok(())
        }
        CONSUME => consume(&yard, consumer, send, recv).await,
        GROUPS => {
            send.write_all(&yard.groups.load(Relaxed).to_be_bytes()).await?;
            send.finish()?;
            Ok(())
        }
        _ => bail!("a stream without a purpose"),
    }
}

/// Hands messages to a consumer, many in one write, and logs its acknowledgements (a running count).
async fn consume(yard: &Yard, consumer: u8, mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    let mut ready = yard.ready[usize::from(consumer)].lock().await;
    let mut acknowledged = [0; 8];
    let mut held = 0;
    let mut out = Vec::with_capacity(PIECE + MESSAGE_MAX);
    loop {
        tokio::select! {
            biased;
            read = recv.read(&mut acknowledged[held..]) => {
                held += read?.context("the consumer left")?;
                if held == acknowledged.len() {
                    held = 0;
                    let bytes = acknowledged.to_vec();
                    let record = Record { consumer, message: false, bytes, done: None };
                    yard.records.send(record).await.ok().context("the log has ended")?;
                }
            }
            Some(first) = ready.recv() => {
                let mut next = Some(first);
                out.clear();
                while let Some((at, len)) = next {
                    out.extend_from_slice(&u32::try_from(len)?.to_be_bytes());
                    let from = out.len();
                    out.resize(from + len, 0);
                    yard.log.read_exact_at(&mut out[from..], at)?;
                    next = if out.len() < PIECE { ready.try_recv().ok() } else { None };
                }
                send.write_all(&out).await?;
            }
        }
    }
}
