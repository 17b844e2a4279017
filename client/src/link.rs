//! The link to the relay: call, greet, come back. One connection at a time, for as long as the daemon lives.
//!
//! Knows pace and patience; what is said on a connection is the session's.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use rustls::pki_types::CertificateDer;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use valise_certs::fault::PaperFault;
use valise_certs::identity::admit_relay;
use valise_certs::tls::{TlsPapers, client_config, relay_name, time_from};
use valise_host::endpoint::{EndpointKeys, endpoint_config};
use valise_host::machine::Machine;
use valise_host::transport::{LinkProfile, device_transport};
use valise_proto::session::Close;
use valise_proto::session::backoff::Backoff;

use crate::office::{LinkState, Office};

mod call;
mod clerk;
mod intake;
mod upload;

/// Silence after a submission that means the relay is gone, milliseconds: a few round trips of the link.
const fn answer_ms(profile: LinkProfile) -> u64 {
    match profile {
        LinkProfile::Lan => 500,
        LinkProfile::Satellite => 15_000,
    }
}

/// What a link is made of.
pub struct Link {
    office: Arc<Office>,
    endpoint: Endpoint,
    tls: ClientConfig,
    address: SocketAddr,
    profile: LinkProfile,
}

/// How a connection ended.
struct Ended {
    /// Welcome had come.
    was_live: bool,
    /// The relay asked for this pause.
    come_back_ms: Option<u32>,
}

/// A link could not be set up: the operating system or the papers refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No socket.
    #[error("the operating system gives no UDP socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The TLS papers.
    #[error("{0}; {help}", help = .0.help())]
    Papers(#[from] PaperFault),
}

impl Link {
    /// Binds a socket; calls nobody yet.
    pub fn new(
        office: Arc<Office>,
        papers: &TlsPapers,
        address: SocketAddr,
        profile: LinkProfile,
        machine: &Machine,
    ) -> Result<Self, LinkError> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let keys = EndpointKeys::drawn(&*office.entropy);
        let config = endpoint_config(&keys, Arc::clone(&office.entropy));
        let endpoint = machine.endpoint(any, config, None)?;
        let clock = Arc::clone(&office.clock);
        let tls = client_config(papers, &office.book.trust(), time_from(move || clock.now_ms()))?;
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls);
        let mut tls = ClientConfig::new(Arc::new(
            tls.expect("TLS 1.3 with its first cipher suites is what QUIC needs"),
        ));
        tls.transport_config(Arc::new(device_transport(profile)));
        Ok(Self { office, endpoint, tls, address, profile })
    }

    /// Keeps the link until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.profile.pace());
        while !stop.is_cancelled() {
            self.show("connecting");
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                connection = self.connect() => match connection {
                    Some(connection) => self.converse(connection, &stop).await,
                    None => Ended { was_live: false, come_back_ms: None },
                },
            };
            if stop.is_cancelled() {
                break;
            }
            if ended.was_live {
                backoff.welcome();
            }
            self.show(if ended.come_back_ms.is_some() { "away" } else { "down" });
            let pause = backoff.next(self.office.book.own_ms(), self.chance());
            let pause = pause.max(ended.come_back_ms.map_or(0, u64::from));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Who writes does not wait for the pause; the session will look into the outbox anyway.
                () = self.office.bells.outbox.notified(), if ended.come_back_ms.is_none() => {}
                () = sleep(Duration::from_millis(pause)) => {}
            }
        }
        self.endpoint.close(Close::Done.code().into(), Close::Done.as_str().as_bytes());
        timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await.ok(); // last words only
        self.show("down");
    }

    fn chance(&self) -> u64 {
        let mut bytes = [0; 8];
        self.office.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn show(&self, state: &'static str) {
        self.office.link.send_replace(LinkState { state, path: None, rtt_ms: None });
    }

    /// One attempt, abandoned after the profile's patience.
    async fn connect(&self) -> Option<Connection> {
        let name = relay_name(self.office.book.relay(), &self.office.book.trust());
        let connecting = self.endpoint.connect_with(self.tls.clone(), self.address, &name.to_str());
        let connecting = match connecting {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::error!(event = "link-refused", %error);
                return None;
            }
        };
        let connection = match timeout(self.profile.connect_timeout(), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                match refused_relay(&error) {
                    Some(code) => tracing::error!(event = "relay-not-trusted", code, reason = %error),
                    None => {
                        tracing::warn!(event = "link-failed", code = refused_papers(&error), reason = %error);
                    }
                }
                return None;
            }
            Err(_) => {
                tracing::debug!(event = "link-late");
                return None;
            }
        };
        self.admit(connection)
    }

    /// The TLS library checked chain, name, revocation and time; roster, role and identity are checked here.
    fn admit(&self, connection: Connection) -> Option<Connection> {
        let shown =
            connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let chain = shown.map(|chain| *chain).unwrap_or_default();
        let book = &self.office.book;
        match admit_relay(&chain, book.relay(), &book.trust(), book.own_ms()) {
            Ok(_) => Some(connection),
            Err(fault) => {
                tracing::error!(event = "relay-not-trusted", code = fault.code(), reason = %fault);
                connection.close(Close::BadIdentity.code().into(), Close::BadIdentity.as_str().as_bytes());
                None
            }
        }
    }

    async fn converse(&self, connection: Connection, stop: &CancellationToken) -> Ended {
        let call = call::Call::new(Arc::clone(&self.office), connection, self.profile);
        call.run(stop).await
    }
}

/// When the relay's TLS refused our certificate, the stable word for why.
fn refused_papers(reason: &ConnectionError) -> Option<&'static str> {
    let ConnectionError::ConnectionClosed(close) = reason else { return None };
    PaperFault::code_of_alert(alert(close.error_code)?)
}

/// When our own TLS refused who answered, the stable word for why.
fn refused_relay(reason: &ConnectionError) -> Option<&'static str> {
    let ConnectionError::TransportError(fault) = reason else { return None };
    PaperFault::code_of_refusal(alert(fault.code)?, &fault.reason)
}

/// A TLS alert travels as 0x0100 plus its number (RFC 9001, 4.8).
fn alert(code: quinn::TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}
