//! Calls at the relay's door with papers of any kind, as a stranger would: our own QUIC client without our client's
//! manners. Reports how the relay refused, and whether a Welcome came.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, TokioRuntime};
use valise_certs::tls::{TlsPapers, client_config, provider, read_chain, relay_name, time_from};
use valise_host::framing::{CONTROL_PRIORITY, FrameReceiver, FrameSender};
use valise_host::keyfile::load_private_key;
use valise_host::transport::{LinkProfile, device_transport};
use valise_mint::layout as at;
use valise_proto::limits::{ALPN, VERSION};
use valise_proto::session::Close;
use valise_proto::wire::{self, frame::Kind};

use crate::caller::{Ending, end};
use crate::lab::Lab;
use crate::papers::{now_ms, relay_id, trust};

/// A refusal comes within this: two round trips and a judgement.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// TLS alerts are QUIC transport errors from here on (RFC 9001, 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// What the caller shows.
#[derive(Debug)]
pub enum Shown {
    /// No certificate at all.
    Nothing,
    /// These, and this application protocol.
    Papers(TlsPapers, &'static [u8]),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The relay welcomed us.
    Welcome,
    /// A TLS alert (RFC 8446, section 6).
    Alert(u8),
    /// The relay closed with a reason of its own.
    Closed(Close),
    /// The relay let the connection go and gave no reason: the caller had ended the conversation.
    LetGo,
}

/// Papers of a device of the lab as they lie on its disk: those of the real daemon.
pub fn genuine(lab: &Lab, party: &str) -> Result<TlsPapers> {
    let keys = lab.party(party).dir().join(at::KEYS_DIR);
    let chain = std::fs::read(keys.join("tls.pem")).context("cannot read tls.pem")?;
    Ok(TlsPapers::new(&chain, &load_private_key(&keys.join("tls.key"))?)?)
}

/// Calls the lab's relay, greets as a party's device would, and reports the answer.
pub fn call(lab: &mut Lab, shown: Shown, party: &str) -> Result<Answer> {
    call_with(lab, shown, party, party)
}

/// The same, with the signing certificate of a party of its own choice behind the greeting.
pub fn call_with(lab: &mut Lab, shown: Shown, party: &str, signer: &str) -> Result<Answer> {
    let (to, name, tls) = way(lab, &shown)?;
    let greeting = greeting(lab, party, signer)?;
    runtime()?.block_on(async {
        let endpoint = endpoint()?;
        let connecting = endpoint.connect_with(tls, to, &name).context("cannot call the relay")?;
        let called = tokio::time::timeout(ANSWER_LIMIT, async {
            match connecting.await {
                Ok(connection) => greet(&connection, greeting).await,
                Err(error) => answer_of(&error),
            }
        });
        called.await.context("the relay neither welcomed nor refused")?
    })
}

/// Sends bytes of its own on a control stream, with genuine papers and after no greeting; how the relay closed.
pub fn speak(lab: &mut Lab, party: &str, bytes: &[u8]) -> Result<Answer> {
    speak_and_end(lab, party, bytes, Ending::Open)
}

/// The same, and ends the stream.
pub fn speak_and_end(lab: &mut Lab, party: &str, bytes: &[u8], ending: Ending) -> Result<Answer> {
    let shown = Shown::Papers(genuine(lab, party)?, ALPN);
    let (to, name, tls) = way(lab, &shown)?;
    runtime()?.block_on(async {
        let endpoint = endpoint()?;
        let connection =
            endpoint.connect_with(tls, to, &name)?.await.context("genuine papers are refused")?;
        let (mut send, _recv) = connection.open_bi().await?;
        send.write_all(bytes).await.ok(); // the relay may close before all of it is out
        let _held = end(send, ending);
        let closed = tokio::time::timeout(ANSWER_LIMIT, connection.closed()).await;
        answer_of(&closed.context("the relay did not close on what it cannot read")?)
    })
}

/// Sends datagrams that are no QUIC, or not of our version, from a socket of its own; expects no answer.
pub fn throw(lab: &mut Lab, datagrams: &[Vec<u8>]) -> Result<()> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    for datagram in datagrams {
        socket.send_to(datagram, lab.relay().listen()).context("cannot send a datagram")?;
    }
    Ok(())
}

/// Where the lab's relay is, what it is called, and how to call it.
pub(crate) fn way(lab: &mut Lab, shown: &Shown) -> Result<(SocketAddr, String, ClientConfig)> {
    let name = relay_name(&relay_id(), &trust(lab)?).to_str().into_owned();
    Ok((lab.relay().listen(), name, config(lab, shown)?))
}

/// What a party's device says first, with the signing certificate of a party of choice.
pub(crate) fn greeting(lab: &Lab, party: &str, signer: &str) -> Result<[Kind; 2]> {
    Ok([Kind::Hello(hello(lab, party)?), Kind::SigningLeaf(signing_leaf(lab, signer)?)])
}

pub(crate) async fn greet(connection: &Connection, greeting: [Kind; 2]) -> Result<Answer> {
    // With TLS 1.3 the caller is done before the relay has judged the caller's papers: a refusal comes here.
    let conversed = async {
        let (send, recv) = connection.open_bi().await.ok()?;
        let (mut send, mut recv) = (FrameSender::new(send, CONTROL_PRIORITY), FrameReceiver::new(recv));
        for frame in greeting {
            send.send(frame).await.ok()?;
        }
        match recv.next().await {
            Ok(Some(Kind::Welcome(_))) => Some(Answer::Welcome),
            _ => None,
        }
    };
    match conversed.await {
        Some(answer) => Ok(answer),
        None => answer_of(&connection.closed().await),
    }
}

pub(crate) fn answer_of(error: &ConnectionError) -> Result<Answer> {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = close.error_code.into_inner();
            if code == 0 {
                return Ok(Answer::LetGo);
            }
            Ok(Answer::Closed(Close::from_code(code).with_context(|| format!("close code {code:#x}"))?))
        }
        ConnectionError::ConnectionClosed(close) => {
            let code = u64::from(close.error_code);
            let alert = code.checked_sub(CRYPTO_ERROR).and_then(|alert| u8::try_from(alert).ok());
            Ok(Answer::Alert(alert.with_context(|| format!("transport error {code:#x}"))?))
        }
        other => bail!("the relay gave no reason: {other}"),
    }
}

fn hello(lab: &Lab, party: &str) -> Result<wire::Hello> {
    Ok(wire::Hello {
        version: VERSION,
        mailboxes: vec![wire::MailboxName { name: party.to_owned() }],
        roster_no: trust(lab)?.roster().number,
        crls: Vec::new(),
        bundle_batch: 0,
        link_profile: LinkProfile::Lan.as_str().to_owned(),
    })
}

/// The signing certificate of a party's device: no secret, so an impostor may have it.
fn signing_leaf(lab: &Lab, party: &str) -> Result<wire::SigningLeaf> {
    let path = lab.party(party).dir().join(at::KEYS_DIR).join("sign.pem");
    let chain = read_chain(&std::fs::read(path).context("cannot read sign.pem")?)?;
    Ok(wire::SigningLeaf { leaf: chain[0].to_vec().into(), issuer: chain[1].to_vec().into() })
}

fn config(lab: &Lab, shown: &Shown) -> Result<ClientConfig> {
    let trust = trust(lab)?;
    let tls = match shown {
        Shown::Papers(papers, protocol) => {
            let mut tls = client_config(papers, &trust, time_from(now_ms))?;
            tls.alpn_protocols = vec![protocol.to_vec()];
            tls
        }
        Shown::Nothing => bare(lab)?,
    };
    let tls = QuicClientConfig::try_from(tls).context("no TLS 1.3 suite for QUIC")?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(device_transport(LinkProfile::Lan)));
    Ok(config)
}

/// A client that trusts the lab's root and has no certificate of its own.
fn bare(lab: &Lab) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(crate::papers::root(lab)?.papers().cert.clone())?;
    let builder = rustls::ClientConfig::builder_with_details(provider(), time_from(now_ms))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Ok(tls)
}

pub(crate) fn endpoint() -> Result<Endpoint> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?)
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
