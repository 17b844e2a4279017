//! A device with genuine papers that takes more than its share: it reserves and never sends, or asks and never reads.
//! Holds on for as long as it lives, so that others can be watched beside it.

use anyhow::{Context, Result};
use quinn::{Connection, Endpoint};
use tokio::runtime::Runtime;
use valise_host::framing::{CONTROL_PRIORITY, FrameReceiver, FrameSender};
use valise_proto::header::{Header, Part, Recipient, SUITE_1};
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits::{ALPN, MESSAGE_CT_MAX, MESSAGE_LIFE_MS, TRANSFERS_MAX, WANTED_MAX};
use valise_proto::names::{DeviceName, Mailbox, MessageId};
use valise_proto::signing::{Hash, KeyId, SigningKey};
use valise_proto::transfer;
use valise_proto::wire::{self, frame::Kind};

use crate::impostor::{self, Shown};
use crate::lab::Lab;
use crate::papers::{device, now_ms};

/// Frames asked for by a device that reads none: each answer is a bundle, together far more than a window.
const QUESTIONS: usize = 2000;

/// A greeted connection that misbehaves until it is dropped.
pub struct Greedy {
    runtime: Runtime,
    _endpoint: Endpoint,
    connection: Connection,
    control: (FrameSender, FrameReceiver),
    /// Transfers begun and never ended: dropped, they would end.
    begun: Vec<FrameSender>,
}

impl Greedy {
    /// Greets with the papers of a party's device, whose own daemon is to be stopped.
    pub fn greet(lab: &mut Lab, party: &str) -> Result<Self> {
        let papers = impostor::genuine(lab, party)?;
        let (to, name, tls) = impostor::way(lab, &Shown::Papers(papers, ALPN))?;
        let greeting = impostor::greeting(lab, party, party)?;
        let runtime = impostor::runtime()?;
        let (endpoint, connection, control) = runtime.block_on(async {
            let endpoint = impostor::endpoint()?;
            let connection =
                endpoint.connect_with(tls, to, &name)?.await.context("genuine papers are refused")?;
            let (send, recv) = connection.open_bi().await?;
            let mut control = (FrameSender::new(send, CONTROL_PRIORITY), FrameReceiver::new(recv));
            for frame in greeting {
                control.0.send(frame).await?;
            }
            control.1.next().await?.context("no Welcome")?;
            anyhow::Ok((endpoint, connection, control))
        })?;
        Ok(Self { runtime, _endpoint: endpoint, connection, control, begun: Vec::new() })
    }

    /// Declares as many envelopes of the largest size as it has streams, and sends nothing of them.
    pub fn reserve(&mut self, lab: &Lab, party: &str, to: &str) -> Result<()> {
        let (_, id) = device(lab, party)?;
        self.runtime.block_on(async {
            for number in 0..TRANSFERS_MAX {
                let header = header(&Mailbox::from(&id.party), &id.device, to, number)?;
                let stream = self.connection.open_uni().await?;
                let mut stream = FrameSender::new(stream, 0);
                let signed = header.sign(&SigningKey::from_seed(&[1; 32])); // nobody gets as far as to verify it
                for frame in transfer::opening(number.into(), &signed, None, []) {
                    stream.send(frame).await?;
                }
                self.begun.push(stream);
            }
            Ok(())
        })
    }

    /// Asks again and again for a mailbox's keys and reads no answer. How many questions the relay took.
    pub fn ask_and_not_read(&mut self, mailbox: &str) -> Result<usize> {
        let control = &mut self.control.0;
        self.runtime.block_on(async {
            let wanted = wire::WantedBundle { mailbox: mailbox.to_owned(), have_batch: 0 };
            let asked = Kind::WantBundles(wire::WantBundles { wanted: vec![wanted; WANTED_MAX] });
            for number in 0..QUESTIONS {
                let taken =
                    tokio::time::timeout(std::time::Duration::from_secs(1), control.send(asked.clone()));
                if !matches!(taken.await, Ok(Ok(()))) {
                    return Ok(number); // it waits in our own stream, or we were closed
                }
            }
            Ok(QUESTIONS)
        })
    }

    /// Sends a small envelope whose header names a key that was not shown; what the relay says of it.
    pub fn submit_unsigned(&mut self, lab: &Lab, party: &str, to: &str) -> Result<Option<u32>> {
        let (_, id) = device(lab, party)?;
        let mut header = header(&Mailbox::from(&id.party), &id.device, to, 0)?;
        header.parts[0].ct_len = 272;
        let signed = header.sign(&SigningKey::from_seed(&[1; 32]));
        self.runtime.block_on(async {
            let mut stream = FrameSender::new(self.connection.open_uni().await?, 0);
            for frame in transfer::opening(1, &signed, None, []) {
                stream.send(frame).await?;
            }
            stream.send(transfer::segment(1, 0, 0, vec![0; 272].into())).await?;
            stream.send(transfer::end(1)).await?;
            stream.finish()?;
            loop {
                match self.control.1.next().await? {
                    Some(Kind::Refused(refused)) => return Ok(Some(refused.code)),
                    Some(Kind::Acceptances(_)) | None => return Ok(None),
                    Some(_) => {}
                }
            }
        })
    }
}

fn header(sender: &Mailbox, device: &DeviceName, to: &str, number: u32) -> Result<Header> {
    let now_ms = now_ms();
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Ok(Header {
        suite: SUITE_1,
        message_id: MessageId::new(id),
        sender: sender.clone(),
        sender_device: device.clone(),
        sender_key_id: KeyId([9; 32]),
        created_ms: now_ms,
        expires_ms: now_ms + MESSAGE_LIFE_MS,
        class: Class::Message,
        precedence: Precedence::Routine,
        roster_no: 1,
        recipients: vec![Recipient { mailbox: to.parse()?, addressing: Addressing::Action, pair_seq: 1 }],
        parts: vec![Part { ct_len: MESSAGE_CT_MAX - MESSAGE_CT_MAX % 65_552, ct_root: Hash([3; 32]) }],
        cek_commit: [4; 32],
        log: None,
        fanout_agent: None,
    })
}
