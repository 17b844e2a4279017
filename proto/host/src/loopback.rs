//! A device and a relay joined over the loopback, with papers made on the spot. Built for tests alone.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, TokioRuntime};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use valise_proto::limits::ALPN;

use crate::endpoint::{EndpointKeys, endpoint_config, server_config};
use crate::entropy::OsEntropy;
use crate::transport::{LinkProfile, device_transport};

/// The relay's papers: a certificate that signs itself.
pub(crate) struct Papers {
    cert: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["hub-1.relay.i24.example".to_owned()]).unwrap();
        Self { cert: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    }
}

/// A relay's endpoint; port 0 takes any.
pub(crate) fn relay(papers: &Papers, keys: &EndpointKeys, port: u16) -> Endpoint {
    let key = PrivateKeyDer::Pkcs8(papers.key.clone().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![papers.cert.clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = Arc::new(QuicServerConfig::try_from(tls).unwrap());
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let config = endpoint_config(keys, Arc::new(OsEntropy));
    Endpoint::new(config, Some(server_config(tls, keys)), socket, Arc::new(TokioRuntime)).unwrap()
}

/// A device's endpoint that trusts these papers.
pub(crate) fn device(papers: &Papers, profile: LinkProfile) -> Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(papers.cert.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(device_transport(profile)));
    let keys = EndpointKeys::drawn(&OsEntropy);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let own = endpoint_config(&keys, Arc::new(OsEntropy));
    let mut endpoint = Endpoint::new(own, None, socket, Arc::new(TokioRuntime)).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// Connects a device to a relay's address.
pub(crate) async fn connect(device: &Endpoint, relay: SocketAddr) -> Connection {
    device.connect(relay, "hub-1.relay.i24.example").unwrap().await.unwrap()
}

/// Both ends of one connection, and the endpoints that keep it alive.
pub(crate) struct Pair {
    pub(crate) device: Connection,
    pub(crate) relay: Connection,
    _endpoints: [Endpoint; 2],
}

impl Pair {
    pub(crate) async fn new(profile: LinkProfile) -> Self {
        let papers = Papers::new();
        let hub = relay(&papers, &EndpointKeys::drawn(&OsEntropy), 0);
        let bureau = device(&papers, profile);
        let address = hub.local_addr().unwrap();
        let accept = async { hub.accept().await.unwrap().await.unwrap() };
        let (device, relay) = tokio::join!(connect(&bureau, address), accept);
        Self { device, relay, _endpoints: [hub, bureau] }
    }
}
