//! Devices of the load: they speak the product's protocol and keep its order, and do nothing else. No store, no
//! opening: what they cost is not what is measured.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use quinn::{ClientConfig, Connection, Endpoint};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use valise_host::framing::{CONTROL_PRIORITY, FrameReceiver, FrameSender};
use valise_host::transport::LinkProfile;
use valise_proto::header::SignedHeader;
use valise_proto::kinds::ReceiptKind;
use valise_proto::limits::{BATCH_MAX, VERSION};
use valise_proto::names::MessageId;
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::wire::{self, frame::Kind};

use crate::envelopes::Envelope;
use crate::federation::{Device, now_ms};
use crate::tally::Tally;

/// Statements that may wait for the control stream of a reader: more than the relay has in flight to it.
const STATEMENTS: usize = 1024;

/// Where a relay is, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Its UDP address.
    pub(crate) address: SocketAddr,
    /// The name on its certificate.
    pub(crate) name: String,
    /// The roster both sides hold.
    pub(crate) roster_no: u64,
}

/// A greeted connection.
pub(crate) struct Session {
    device: Arc<Device>,
    connection: Connection,
    send: FrameSender,
    recv: FrameReceiver,
}

impl Session {
    /// Calls, greets, and waits for the Welcome.
    pub(crate) async fn open(
        from: &Endpoint,
        way: &Way,
        config: ClientConfig,
        device: Arc<Device>,
    ) -> Result<Self> {
        let connection = from.connect_with(config, way.address, &way.name)?.await.context("no connection")?;
        let (send, recv) = connection.open_bi().await?;
        let (mut send, mut recv) = (FrameSender::new(send, CONTROL_PRIORITY), FrameReceiver::new(recv));
        let mailbox = wire::MailboxName { name: device.mailbox.to_string() };
        send.send(Kind::Hello(wire::Hello {
            version: VERSION,
            mailboxes: vec![mailbox],
            roster_no: way.roster_no,
            crls: Vec::new(),
            bundle_batch: 0,
            link_profile: LinkProfile::Lan.as_str().to_owned(),
        }))
        .await?;
        send.send(Kind::SigningLeaf(device.leaf.clone())).await?;
        let Some(Kind::Welcome(_)) = recv.next().await? else { bail!("no Welcome") };
        Ok(Self { device, connection, send, recv })
    }

    /// Submits one envelope after another, each once the one before was acknowledged; takes the receipts that come
    /// back for them. Ends with the connection.
    pub(crate) async fn write(mut self, envelopes: Arc<Vec<Envelope>>, tally: Arc<Tally>) -> Result<()> {
        let (accepted, mut answers) = mpsc::channel(BATCH_MAX);
        let connection = self.connection.clone();
        let counts = Arc::clone(&tally);
        let mut submitting = JoinSet::new();
        submitting.spawn(async move {
            for envelope in envelopes.iter() {
                if counts.stop.load(Relaxed) {
                    counts.writing.fetch_sub(1, Relaxed);
                    return Ok(());
                }
                let began = Instant::now();
                let mut stream = connection.open_uni().await?;
                stream.write_chunk(envelope.frames.clone()).await?;
                stream.finish()?;
                let answer = answers.recv().await.context("the relay left")?;
                ensure!(answer == envelope.id, "another envelope was acknowledged");
                counts.accept(began.elapsed());
            }
            bail!("the sealed envelopes are used up; run fewer seconds")
        });
        loop {
            tokio::select! {
                biased;
                Some(done) = submitting.join_next() => done??,
                frame = self.recv.next() => match frame? {
                    Some(Kind::Acceptances(batch)) => {
                        for one in batch.accepted {
                            let relayed = one.relayed.context("an acceptance without its receipt")?;
                            ensure!(!relayed.signature.is_empty(), "a receipt without a signature");
                            accepted.send(MessageId::try_from(&one.message_id[..])?).await.ok();
                        }
                    }
                    Some(Kind::Receipts(batch)) => self.take(batch, &tally).await?,
                    Some(Kind::SigningLeaf(_)) => {}
                    Some(Kind::Refused(refused)) => bail!("refused with {}", refused.code),
                    Some(_) => bail!("an unexpected frame"),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Receipts from recipients: counted, and answered as taken.
    async fn take(&mut self, batch: wire::Receipts, tally: &Tally) -> Result<()> {
        let mut ids = Vec::with_capacity(batch.receipts.len());
        for receipt in batch.receipts {
            let receipt = SignedReceipt::received(receipt)?;
            ensure!(receipt.claim()?.kind == ReceiptKind::Delivered, "another receipt than `delivered`");
            ids.push(wire::ReceiptId { id: receipt.id().to_vec().into() });
        }
        tally.settled.fetch_add(ids.len() as u64, Relaxed);
        self.send.send(Kind::ReceiptsTaken(wire::ReceiptsTaken { ids })).await?;
        Ok(())
    }

    /// Receives whatever is delivered and states for each a signed `delivered`. Ends with the connection.
    pub(crate) async fn read(mut self, tally: Arc<Tally>) -> Result<()> {
        let (stated, mut statements) = mpsc::channel::<(u64, SignedReceipt)>(STATEMENTS);
        let mut arrivals = JoinSet::new();
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        loop {
            tokio::select! {
                biased;
                Some(arrived) = arrivals.join_next() => arrived??,
                Some((sequence, receipt)) = statements.recv() => {
                    let mut batch = vec![(sequence, receipt)];
                    while batch.len() < BATCH_MAX && let Ok(more) = statements.try_recv() {
                        batch.push(more);
                    }
                    for (sequence, _) in &batch {
                        ensure!(seen.insert(*sequence), "envelope {sequence} came twice in one session");
                    }
                    tally.received.fetch_add(batch.len() as u64, Relaxed);
                    self.state(batch).await?;
                }
                stream = self.connection.accept_uni() => {
                    let Ok(stream) = stream else { return Ok(()) };
                    let (device, stated) = (Arc::clone(&self.device), stated.clone());
                    arrivals.spawn(arrival(device, FrameReceiver::new(stream), stated));
                }
                frame = self.recv.next() => match frame {
                    Ok(Some(Kind::ReceiptsTaken(_))) => {}
                    Ok(Some(_)) => bail!("an unexpected frame"),
                    Ok(None) | Err(_) => return Ok(()),
                },
            }
        }
    }

    async fn state(&mut self, batch: Vec<(u64, SignedReceipt)>) -> Result<()> {
        let deliveries = batch.iter().map(|(sequence, _)| wire::Delivery { sequence: *sequence }).collect();
        self.send.send(Kind::Stored(wire::Stored { deliveries })).await?;
        let receipts = batch.iter().map(|(_, receipt)| receipt.to_wire()).collect();
        self.send.send(Kind::Receipts(wire::Receipts { receipts })).await?;
        Ok(())
    }
}

/// One delivered envelope: read to its end, and a receipt signed for it.
async fn arrival(
    device: Arc<Device>,
    mut stream: FrameReceiver,
    stated: mpsc::Sender<(u64, SignedReceipt)>,
) -> Result<()> {
    let mut begun = None;
    let mut bytes = 0;
    while let Some(kind) = stream.next().await? {
        match kind {
            Kind::Begin(begin) => begun = Some(begin),
            Kind::Segment(segment) => bytes += segment.data.len() as u64,
            Kind::SigningLeaf(_) | Kind::Wrap(_) | Kind::End(_) => {}
            _ => bail!("an unexpected frame in a transfer"),
        }
    }
    let begin = begun.context("a transfer without its header")?;
    let header = SignedHeader::received(begin.header, &begin.signature)?;
    let facts = header.read()?;
    ensure!(facts.ct_len() == bytes, "a transfer that is not whole");
    let receipt = Receipt {
        kind: ReceiptKind::Delivered,
        message_id: facts.message_id,
        header_hash: header.hash(),
        sequence: begin.transfer,
        time_ms: now_ms(),
        by: Speaker::Mailbox(device.mailbox.clone()),
        mailbox: Some(device.mailbox.clone()),
        reason: None,
        operator_ref: None,
    };
    // One signature for each, as a desk does.
    let receipt = SignedReceipt::sign(&receipt, &device.key);
    stated.send((begin.transfer, receipt)).await.ok(); // the session has ended
    Ok(())
}
