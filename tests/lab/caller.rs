//! A device with genuine papers that is greeted, and then says what it likes, byte by byte: our own words on a real
//! connection. Keeps what it opened for as long as it lives.

use anyhow::{Context, Result};
use quinn::{Connection, Endpoint, SendStream};
use tokio::runtime::Runtime;
use valise_host::framing::{CONTROL_PRIORITY, FrameReceiver, FrameSender};
use valise_host::keyfile::load_private_key;
use valise_mint::layout as at;
use valise_proto::frame;
use valise_proto::header::{Header, Part, Recipient, SUITE_1, SignedHeader};
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits::{ALPN, MESSAGE_LIFE_MS};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::signing::{Hash, SigningKey};
use valise_proto::transfer;
use valise_proto::wire::frame::Kind;

use crate::impostor::{self, ANSWER_LIMIT, Answer, Shown};
use crate::lab::Lab;
use crate::papers::{device, now_ms};

/// Ciphertext of the smallest envelope: 256 bytes and a tag.
const SMALL_CT: usize = 272;

/// How a caller ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not at all.
    Open,
    /// In order.
    Finished,
    /// It gives the stream up.
    Reset,
}

/// A greeted connection.
pub struct Caller {
    pub(crate) runtime: Runtime,
    _endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) control: (FrameSender, FrameReceiver),
    /// Streams left open: dropped, they would end.
    held: Vec<SendStream>,
}

impl Caller {
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
        Ok(Self { runtime, _endpoint: endpoint, connection, control, held: Vec::new() })
    }

    /// Writes bytes on a transfer stream of its own.
    pub fn writes(&mut self, bytes: &[u8], ending: Ending) -> Result<()> {
        let stream = self.runtime.block_on(async {
            let mut stream = self.connection.open_uni().await?;
            stream.write_all(bytes).await.ok(); // the relay may close before all of it is out
            anyhow::Ok(stream)
        })?;
        self.held.extend(end(stream, ending));
        Ok(())
    }

    /// What the relay says of the next submission: none when it took it, else the number of the refusal.
    pub fn answered(&mut self) -> Result<Option<u32>> {
        let recv = &mut self.control.1;
        self.runtime.block_on(async {
            let answer = async {
                loop {
                    match recv.next().await? {
                        Some(Kind::Refused(refused)) => return Ok(Some(refused.code)),
                        Some(Kind::Acceptances(_)) => return Ok(None),
                        Some(_) => {}
                        None => anyhow::bail!("the relay ended the control stream"),
                    }
                }
            };
            tokio::time::timeout(ANSWER_LIMIT, answer).await.context("no word of the submission")?
        })
    }

    /// How the relay closed.
    pub fn closed(&mut self) -> Result<Answer> {
        let closed = async { tokio::time::timeout(ANSWER_LIMIT, self.connection.closed()).await };
        let closed = self.runtime.block_on(closed);
        impostor::answer_of(&closed.context("the relay did not close")?)
    }
}

/// Ends a stream; gives it back when it stays open.
pub(crate) fn end(mut stream: SendStream, ending: Ending) -> Option<SendStream> {
    match ending {
        Ending::Open => return Some(stream),
        Ending::Finished => stream.finish().ok(), // the relay may have closed
        Ending::Reset => stream.reset(0_u32.into()).ok(), // likewise
    };
    None
}

/// The header of a small envelope of a party's device, unsigned. `number` makes its id.
pub fn header(lab: &Lab, party: &str, to: &str, number: u32) -> Result<Header> {
    let (_, own) = device(lab, party)?;
    let now_ms = now_ms();
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Ok(Header {
        suite: SUITE_1,
        message_id: MessageId::new(id),
        sender: Mailbox::from(&own.party),
        sender_device: own.device,
        sender_key_id: signing_key(lab, party)?.verify_key().id(),
        created_ms: now_ms,
        expires_ms: now_ms + MESSAGE_LIFE_MS,
        class: Class::Message,
        precedence: Precedence::Routine,
        roster_no: 1,
        recipients: vec![Recipient { mailbox: to.parse()?, addressing: Addressing::Action, pair_seq: 1 }],
        parts: vec![Part { ct_len: SMALL_CT as u64, ct_root: Hash([3; 32]) }],
        cek_commit: [4; 32],
        log: None,
        fanout_agent: None,
    })
}

/// The key with which a party's device signs: it lies on its disk.
pub fn signing_key(lab: &Lab, party: &str) -> Result<SigningKey> {
    let path = lab.party(party).dir().join(at::KEYS_DIR).join("sign.key");
    SigningKey::from_pkcs8(&load_private_key(&path)?).map_err(|_| anyhow::anyhow!("the signing key is none"))
}

/// The frames of a small envelope without wraps, as a device sends them: opening, the one segment, the end.
pub fn frames(header: &SignedHeader) -> Vec<Vec<u8>> {
    let mut kinds = transfer::opening(1, header, None, []);
    kinds.push(transfer::segment(1, 0, 0, vec![0; SMALL_CT].into()));
    kinds.push(transfer::end(1));
    kinds.into_iter().map(|kind| frame::encode(kind).to_vec()).collect()
}
