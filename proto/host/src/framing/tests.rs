//! Stories about frames between a device of fr and the relay: whole, cut, broken, given up.

use std::time::Duration;

use tokio::time::timeout;
use valise_proto::wire;

use super::*;
use crate::loopback::Pair;
use crate::transport::LinkProfile;

fn go_away(retry_after_ms: u32) -> Kind {
    Kind::GoAway(wire::GoAway { retry_after_ms })
}

fn segment(len: usize) -> Kind {
    Kind::Segment(wire::Segment { data: vec![7; len].into(), ..Default::default() })
}

/// A transfer's stream from fr's device to the relay. The peer learns of it with the first byte.
async fn outgoing(pair: &Pair) -> SendStream {
    pair.device.open_uni().await.unwrap()
}

async fn incoming(pair: &Pair) -> FrameReceiver {
    FrameReceiver::new(pair.relay.accept_uni().await.unwrap())
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_and_then_the_end() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let kinds = [go_away(1), segment(64 * 1024), segment(1), go_away(0), segment(64 * 1024)];
    let sent = async {
        let mut sender = FrameSender::new(outgoing(&pair).await, transfer_priority(Precedence::Flash));
        for _ in 0..20 {
            for kind in &kinds {
                sender.send(kind.clone()).await.unwrap();
            }
        }
        sender.finish().unwrap();
        sender.delivered().await.unwrap();
    };
    let taken = async {
        let mut receiver = incoming(&pair).await;
        for _ in 0..20 {
            for kind in &kinds {
                assert_eq!(receiver.next().await.unwrap().as_ref(), Some(kind));
            }
        }
        assert_eq!(receiver.next().await, Ok(None));
        receiver
    };
    tokio::join!(sent, taken);
}

#[tokio::test]
async fn broken_framing_is_the_peers_fault_and_stays_so() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let too_large = (u32::try_from(FRAME_MAX).unwrap() + 1).to_be_bytes();
    for (bytes, fault) in [
        (&[0, 0, 0, 0, 1][..], FrameError::Empty),
        (&too_large[..], FrameError::TooLarge),
        (&[0, 0, 0, 2, 0xff, 0xff], FrameError::Malformed),
    ] {
        let mut stream = outgoing(&pair).await;
        stream.write_all(bytes).await.unwrap();
        let mut receiver = incoming(&pair).await;
        assert_eq!(receiver.next().await, Err(FrameFault::Frame(fault)));
        assert_eq!(receiver.next().await, Err(FrameFault::Frame(fault)));
        receiver.stop(0x1005);
        assert_eq!(stream.stopped().await.unwrap(), Some(VarInt::from_u32(0x1005)));
    }
}

#[tokio::test]
async fn a_stream_that_ends_within_a_frame_was_cut_short() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let whole = frame::encode(go_away(5));
    for cut in 1..whole.len() {
        let mut stream = outgoing(&pair).await;
        stream.write_all(&whole[..cut]).await.unwrap();
        stream.finish().unwrap();
        let fault = incoming(&pair).await.next().await;
        assert_eq!(fault, Err(FrameFault::Frame(FrameError::Truncated)));
    }
}

#[tokio::test]
async fn a_receiver_dropped_while_waiting_loses_nothing() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let whole = frame::encode(go_away(5));
    let mut stream = outgoing(&pair).await;
    stream.write_all(&whole[..3]).await.unwrap();
    let mut receiver = incoming(&pair).await;
    for at in 3..whole.len() {
        assert!(timeout(Duration::from_millis(5), receiver.next()).await.is_err());
        stream.write_all(&whole[at..=at]).await.unwrap();
    }
    assert_eq!(receiver.next().await.unwrap(), Some(go_away(5)));
}

#[tokio::test]
async fn a_peer_that_gives_up_is_told_from_one_that_ends() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let mut sender = FrameSender::new(outgoing(&pair).await, 0);
    sender.send(go_away(1)).await.unwrap();
    let mut receiver = incoming(&pair).await;
    assert_eq!(receiver.next().await.unwrap(), Some(go_away(1)));
    sender.reset(7);
    assert_eq!(receiver.next().await, Err(FrameFault::Reset(7)));
    assert_eq!(sender.send(go_away(2)).await, Err(FrameFault::Ended));
}

#[tokio::test]
async fn a_stopped_sender_learns_the_code() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let mut sender = FrameSender::new(outgoing(&pair).await, 0);
    sender.send(go_away(1)).await.unwrap();
    incoming(&pair).await.stop(9);
    assert_eq!(sender.delivered().await, Err(FrameFault::Stopped(9)));
    assert_eq!(sender.send(go_away(2)).await, Err(FrameFault::Stopped(9)));
}

#[tokio::test]
async fn a_send_dropped_half_way_ends_the_stream_for_good() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let mut sender = FrameSender::new(outgoing(&pair).await, 0);
    let flood = async {
        loop {
            sender.send(segment(64 * 1024)).await.unwrap();
        }
    };
    let stalled: Result<(), _> = timeout(Duration::from_millis(200), flood).await;
    assert!(stalled.is_err(), "a peer that reads nothing holds us up");
    assert_eq!(sender.send(go_away(1)).await, Err(FrameFault::Ended));
    assert_eq!(sender.finish(), Err(FrameFault::Ended));
    drop(sender);
    let mut receiver = incoming(&pair).await;
    let fault = loop {
        match receiver.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(fault, Err(FrameFault::Reset(0)));
}

#[tokio::test]
async fn a_lost_connection_ends_both() {
    let pair = Pair::new(LinkProfile::Lan).await;
    let mut sender = FrameSender::new(outgoing(&pair).await, 0);
    sender.send(go_away(1)).await.unwrap();
    let mut receiver = incoming(&pair).await;
    assert_eq!(receiver.next().await.unwrap(), Some(go_away(1)));
    pair.device.close(VarInt::from_u32(0x1000), b"DONE");
    assert!(matches!(receiver.next().await, Err(FrameFault::Lost(ConnectionError::ApplicationClosed(_)))));
    assert_eq!(sender.send(go_away(2)).await, Err(FrameFault::Lost(ConnectionError::LocallyClosed)));
}
