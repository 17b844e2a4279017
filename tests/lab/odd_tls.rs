//! Callers that speak TLS otherwise than we do: one that offers nothing newer than TLS 1.2, one that sends before the
//! handshake is over. Genuine papers, so that nothing but this is wrong with them.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{
    ClientConfig as CryptoConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
};
use quinn::{
    ClientConfig, ConnectError, Connection, ConnectionId, Endpoint, ServerConfig, Side, ZeroRttAccepted,
};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;
use rustls::client::Resumption;
use rustls::server::ServerSessionMemoryCache;
use tokio::time::timeout;
use valise_certs::tls::{client_config, server_config, time_from};
use valise_host::transport::{LinkProfile, device_transport};
use valise_proto::limits::ALPN;

use crate::forged::stolen_from_the_relay;
use crate::impostor::{self, Answer, Shown, genuine};
use crate::lab::Lab;
use crate::papers::{now_ms, trust};

/// A handshake on this machine, and what follows it, take no longer.
const LIMIT: Duration = Duration::from_secs(5);
/// The extension that says which versions a client speaks (RFC 8446, 4.2.1): one, TLS 1.3.
const ONLY_1_3: [u8; 7] = [0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x04];

/// Calls with genuine papers and offers TLS 1.2 alone; how the relay answered.
pub fn call_by_1_2(lab: &mut Lab, party: &str) -> Result<Answer> {
    let tls = client_config(&genuine(lab, party)?, &trust(lab)?, time_from(now_ms))?;
    let tls = QuicClientConfig::try_from(tls).context("no TLS 1.3 suite for QUIC")?;
    let config = ClientConfig::new(Arc::new(Lowered(Arc::new(tls))));
    let (to, name, _) = impostor::way(lab, &Shown::Papers(genuine(lab, party)?, ALPN))?;
    impostor::runtime()?.block_on(async {
        let connecting = impostor::endpoint()?.connect_with(config, to, &name)?;
        match timeout(LIMIT, connecting).await.context("the relay neither took nor refused it")? {
            Ok(_) => Ok(Answer::Welcome),
            Err(error) => impostor::answer_of(&error),
        }
    })
}

/// Offers early data under a ticket that a server with the relay's own papers gave it and would take, sends `early` in
/// it, and then greets as it should. Whether the relay took the early data; what became of the greeting.
pub fn speak_early(lab: &mut Lab, party: &str, early: &[u8]) -> Result<(bool, Answer)> {
    let mut tls = client_config(&genuine(lab, party)?, &trust(lab)?, time_from(now_ms))?;
    tls.resumption = Resumption::in_memory_sessions(4);
    tls.enable_early_data = true;
    let tls = QuicClientConfig::try_from(tls).context("no TLS 1.3 suite for QUIC")?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(device_transport(LinkProfile::Lan)));
    let greeting = impostor::greeting(lab, party, party)?;
    let (to, name, _) = impostor::way(lab, &Shown::Papers(genuine(lab, party)?, ALPN))?;
    let generous = generous(lab)?;
    impostor::runtime()?.block_on(async {
        let endpoint = impostor::endpoint()?;
        let giver = take_tickets(&endpoint, &config, generous, &name).await?;
        let (_early, taken) = offer(&endpoint, &config, giver.local_addr()?, &name)?;
        let answered = async { anyhow::Ok(giver.accept().await.context("nobody called")?.await?) };
        let (answered, taken) = tokio::join!(answered, taken);
        let _answered = answered?;
        ensure!(taken, "no server would take what is offered here");
        let (connection, taken) = offer(&endpoint, &config, to, &name)?;
        let (mut send, _recv) = connection.open_bi().await?;
        send.write_all(early).await?;
        let taken = timeout(LIMIT, taken).await.context("the handshake did not end")?;
        let answer = timeout(LIMIT, impostor::greet(&connection, greeting)).await;
        Ok((taken, answer.context("the relay neither welcomed nor refused")??))
    })
}

/// Calls with early data on offer; the connection, and whether the offer is taken.
fn offer(
    endpoint: &Endpoint,
    config: &ClientConfig,
    to: SocketAddr,
    name: &str,
) -> Result<(Connection, ZeroRttAccepted)> {
    let connecting = endpoint.connect_with(config.clone(), to, name)?;
    connecting.into_0rtt().map_err(|_| anyhow!("there is no ticket to send early data under"))
}

/// The relay's papers, and tickets and early data for everybody.
fn generous(lab: &mut Lab) -> Result<ServerConfig> {
    let mut tls = server_config(&stolen_from_the_relay(lab)?, &trust(lab)?, time_from(now_ms))?;
    tls.session_storage = ServerSessionMemoryCache::new(4); // early data goes only by tickets that are kept
    tls.send_tls13_tickets = 2;
    tls.max_early_data_size = u32::MAX;
    Ok(ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?)))
}

/// Has a server of our own give two tickets; that server.
async fn take_tickets(
    endpoint: &Endpoint,
    config: &ClientConfig,
    generous: ServerConfig,
    name: &str,
) -> Result<Endpoint> {
    let giver = Endpoint::server(generous, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let called = async {
        let connection = giver.accept().await.context("nobody called")?.await?;
        // Behind the tickets: who has read this has them.
        connection.open_uni().await?.write_all(b".").await?;
        anyhow::Ok(connection)
    };
    let caller = async {
        let connection = endpoint.connect_with(config.clone(), giver.local_addr()?, name)?.await?;
        let said = connection.accept_uni().await?.read_to_end(1).await?;
        ensure!(said == b".", "another word than was said");
        anyhow::Ok(connection)
    };
    let both = async { tokio::try_join!(called, caller) };
    timeout(LIMIT, both).await.context("no ticket was given")??;
    Ok(giver)
}

/// A TLS configuration whose first flight is altered on its way.
struct Lowered(Arc<QuicClientConfig>);

impl CryptoConfig for Lowered {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let session = Arc::clone(&self.0).start_session(version, name, params)?;
        Ok(Box::new(LoweredSession(session)))
    }
}

struct LoweredSession(Box<dyn Session>);

impl Session for LoweredSession {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        self.0.initial_keys(id, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.0.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.0.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.0.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.0.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.0.read_handshake(bytes)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.0.transport_parameters()
    }

    /// In the first flight, TLS 1.3 becomes TLS 1.2.
    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let from = out.len();
        let keys = self.0.write_handshake(out);
        let written = &mut out[from..];
        let found = written.windows(ONLY_1_3.len()).position(|window| window == ONLY_1_3);
        if let Some(at) = found {
            written[at + ONLY_1_3.len() - 1] = 0x03;
        }
        keys
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.0.next_1rtt_keys()
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.0.is_valid_retry(id, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.0.export_keying_material(output, label, context)
    }
}
