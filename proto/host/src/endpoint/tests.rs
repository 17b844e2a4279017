//! Stories about endpoints: what a restarted relay still knows, what a token proves, how many streams there are.

use std::time::Duration;

use quinn::ConnectionError;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use valise_proto::limits::{CONTROL_STREAMS, STREAMS_SPARE, TRANSFERS_MAX};

use super::*;
use crate::entropy::SeededEntropy;
use crate::keyfile::KeyFile;
use crate::loopback::{Pair, Papers, connect, device, relay};
use crate::transport::LinkProfile;

fn keys(byte: u8) -> EndpointKeys {
    EndpointKeys::derived(&RestKey::new(&KeyFile::from_bytes([byte; 32])))
}

/// Kills a relay that minustah is connected to, starts another on the same port; what does the device learn at once?
async fn restart(before: u8, after: u8) -> Option<ConnectionError> {
    let papers = Arc::new(Papers::new());
    let home = Runtime::new().unwrap(); // a runtime that is shut down sends no farewell, like a killed process
    let (started, port) = tokio::sync::oneshot::channel();
    let (first, theirs) = (keys(before), papers.clone());
    home.spawn(async move {
        let hub = relay(&theirs, &first, 0);
        started.send(hub.local_addr().unwrap()).unwrap();
        let _held = hub.accept().await.unwrap().await.unwrap();
        std::future::pending::<()>().await;
    });
    let address = port.await.unwrap();
    let endpoint = device(&papers, LinkProfile::Lan);
    let session = connect(&endpoint, address).await;
    tokio::time::sleep(Duration::from_millis(50)).await; // the handshake's last packets are out
    home.shutdown_background();
    let second = loop {
        // The killed relay's socket goes when its tasks are dropped, a moment later.
        if std::net::UdpSocket::bind(address).is_ok() {
            break relay(&papers, &keys(after), address.port());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let mut stream = session.open_uni().await.unwrap();
    stream.write_all(&[7; 200]).await.unwrap();
    let fault = timeout(Duration::from_secs(1), session.closed()).await.ok();
    drop(second);
    fault
}

#[tokio::test]
async fn a_restarted_relay_resets_old_sessions_with_the_first_packet() {
    assert_eq!(restart(1, 1).await, Some(ConnectionError::Reset));
}

#[tokio::test]
async fn a_relay_with_another_key_file_cannot_reset_and_the_device_waits() {
    assert_eq!(restart(1, 2).await, None);
}

#[tokio::test]
async fn each_side_opens_as_many_streams_as_the_treaty_says() {
    let pair = Pair::new(LinkProfile::Satellite).await;
    let soon = Duration::from_millis(100);
    let mut held = Vec::new();
    for side in [&pair.device, &pair.relay] {
        for _ in 0..TRANSFERS_MAX + STREAMS_SPARE {
            held.push(timeout(soon, side.open_uni()).await.unwrap().unwrap());
        }
        assert!(timeout(soon, side.open_uni()).await.is_err(), "one more waits");
    }
    let mut control = Vec::new();
    for _ in 0..CONTROL_STREAMS {
        control.push(timeout(soon, pair.device.open_bi()).await.unwrap().unwrap());
    }
    assert!(timeout(soon, pair.device.open_bi()).await.is_err());
    assert!(timeout(soon, pair.relay.open_bi()).await.is_err());
    assert_eq!(pair.device.max_datagram_size(), None);
}

#[tokio::test]
async fn a_device_asked_to_prove_its_address_does_so_with_our_token() {
    let papers = Papers::new();
    let hub = relay(&papers, &keys(1), 0);
    let address = hub.local_addr().unwrap();
    let bureau = device(&papers, LinkProfile::Lan);
    let accept = async {
        let first = hub.accept().await.unwrap();
        assert!(!first.remote_address_validated());
        first.retry().unwrap();
        let second = hub.accept().await.unwrap();
        assert!(second.remote_address_validated(), "the token was sealed and opened again");
        second.await.unwrap()
    };
    let (_device, _relay) = tokio::join!(connect(&bureau, address), accept);
}

#[test]
fn a_token_opens_under_its_own_key_and_randomness_only() {
    let token = |byte: u8| TokenKey(keys(byte).token);
    let mut sealed = b"198.51.100.7".to_vec();
    token(1).aead_from_hkdf(b"once").seal(&mut sealed, b"").unwrap();
    assert_eq!(token(1).aead_from_hkdf(b"once").open(&mut sealed.clone(), b"").unwrap(), b"198.51.100.7");
    assert!(token(1).aead_from_hkdf(b"twice").open(&mut sealed.clone(), b"").is_err());
    assert!(token(2).aead_from_hkdf(b"once").open(&mut sealed.clone(), b"").is_err());
    sealed[0] ^= 1;
    assert!(token(1).aead_from_hkdf(b"once").open(&mut sealed, b"").is_err());
}

#[test]
fn keys_are_the_same_after_a_restart_differ_by_purpose_and_stay_silent() {
    let (first, again, other) = (keys(1), keys(1), keys(2));
    assert_eq!(first.reset, again.reset);
    assert_ne!(first.reset, other.reset);
    assert!(first.reset != first.token && first.token != first.cid);
    let (one, two) = (SeededEntropy::new(1), SeededEntropy::new(1));
    assert_eq!(EndpointKeys::drawn(&one).cid, EndpointKeys::drawn(&two).cid);
    assert_eq!(format!("{first:?}"), "EndpointKeys(..)");
    let mut signature = [0; 32];
    let key = ResetKey(first.reset);
    key.sign(b"id", &mut signature);
    key.verify(b"id", &signature).unwrap();
    key.verify(b"di", &signature).unwrap_err();
}
