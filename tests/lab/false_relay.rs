//! Who answers at the relay's address in its place: accepts every caller, with papers of any kind, and keeps count of
//! whatever it is told. Never answers a word.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use tokio::runtime::{Builder, Runtime};
use valise_certs::tls::{TlsPapers, server_config, time_from};
use valise_proto::session::Close;

use crate::lab::Lab;
use crate::papers::{now_ms, trust};
use crate::until::{PATIENCE, until};

/// What it heard.
#[derive(Debug, Default)]
struct Heard {
    calls: AtomicUsize,
    streams: AtomicUsize,
    closes: Mutex<Vec<Option<Close>>>,
}

/// A false relay, until it is dropped.
pub struct FalseRelay {
    runtime: Option<Runtime>,
    endpoint: Endpoint,
    heard: Arc<Heard>,
}

impl FalseRelay {
    /// Answers from now on at the address of the lab's relay, which is not to run.
    pub fn start(lab: &mut Lab, papers: &TlsPapers) -> Result<Self> {
        ensure!(!lab.relay().is_running(), "stop the relay first: its address is taken");
        let tls = server_config(papers, &trust(lab)?, time_from(now_ms))?;
        let tls = QuicServerConfig::try_from(tls).context("no TLS 1.3 suite for QUIC")?;
        let config = ServerConfig::with_crypto(Arc::new(tls));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let heard = Arc::new(Heard::default());
        let at = lab.relay().listen();
        // Whoever answered there before is gone when the last of its tasks is.
        let socket = until("the relay's address is free", PATIENCE, || Ok(UdpSocket::bind(at).ok()))?;
        let endpoint = {
            let _inside = runtime.enter();
            Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?
        };
        runtime.spawn(accept(endpoint.clone(), Arc::clone(&heard)));
        Ok(Self { runtime: Some(runtime), endpoint, heard })
    }

    /// Calls that came.
    pub fn calls(&self) -> usize {
        self.heard.calls.load(Ordering::Relaxed)
    }

    /// Streams on which something was said.
    pub fn streams(&self) -> usize {
        self.heard.streams.load(Ordering::Relaxed)
    }

    /// How callers left that had finished the handshake: our own codes, or none.
    pub fn closes(&self) -> Vec<Option<Close>> {
        self.heard.closes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FalseRelay {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
        // The socket goes with the runtime's tasks: the address is free for the true relay afterwards.
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.endpoint.wait_idle());
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
    }
}

async fn accept(endpoint: Endpoint, heard: Arc<Heard>) {
    while let Some(incoming) = endpoint.accept().await {
        heard.calls.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(listen(incoming, Arc::clone(&heard)));
    }
}

/// Listens to a caller until it leaves.
async fn listen(incoming: Incoming, heard: Arc<Heard>) {
    let Ok(connection) = incoming.await else { return };
    let why = loop {
        let stream = tokio::select! {
            biased;
            stream = connection.accept_bi() => stream.map(|_| ()),
            stream = connection.accept_uni() => stream.map(|_| ()),
        };
        match stream {
            Ok(()) => heard.streams.fetch_add(1, Ordering::Relaxed),
            Err(why) => break why,
        };
    };
    heard.closes.lock().unwrap_or_else(PoisonError::into_inner).push(code(&why));
    drop::<Connection>(connection);
}

fn code(why: &ConnectionError) -> Option<Close> {
    match why {
        ConnectionError::ApplicationClosed(close) => Close::from_code(close.error_code.into_inner()),
        _ => None,
    }
}
