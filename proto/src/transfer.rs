//! A transfer: one envelope in frames. Cuts it for sending, joins it on arrival, keeps every bound on the way.
//!
//! Checks shape and order against the header ([P-20]); opens nothing and verifies no signature.

use bytes::Bytes;

use crate::header::{Header, SignedHeader};
use crate::limits as l;
use crate::names::Mailbox;
use crate::receipt::SignedReceipt;
use crate::wire::frame::Kind;
use crate::wire::{self, BadField, ReadError, fixed};

/// A whole envelope as it came.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Number of the transfer in its session.
    pub number: u64,
    /// The header as received.
    pub header: SignedHeader,
    /// What it says; the signature is not yet judged.
    pub facts: Header,
    /// The relay's proof of acceptance, on the way to a recipient.
    pub relayed: Option<SignedReceipt>,
    /// Key wraps, at most one per recipient.
    pub wraps: Vec<(Mailbox, wire::KeyWrap)>,
    /// Ciphertext segments of each part, in order.
    pub parts: Vec<Vec<Bytes>>,
}

/// Joins the frames of one transfer.
#[derive(Debug)]
pub struct Joiner {
    transfer: Box<Transfer>,
    part: usize,
}

impl Joiner {
    /// Starts from a `Begin`. Everything later is measured against its header.
    pub fn begin(begin: wire::Begin) -> Result<Self, ReadError> {
        let header = SignedHeader::received(begin.header, &begin.signature)?;
        let facts = header.read()?;
        let relayed = begin.relayed.map(SignedReceipt::received).transpose()?;
        let parts = vec![Vec::new(); facts.parts.len()];
        let transfer = Transfer { number: begin.transfer, header, facts, relayed, wraps: Vec::new(), parts };
        Ok(Self { transfer: Box::new(transfer), part: 0 })
    }

    /// Ciphertext bytes the whole transfer will hold: what to reserve before reading on.
    pub fn declared_bytes(&self) -> u64 {
        self.transfer.facts.ct_len()
    }

    /// The header's values.
    pub fn facts(&self) -> &Header {
        &self.transfer.facts
    }

    /// Takes the next frame; gives the transfer with its `End`.
    pub fn push(mut self, kind: Kind) -> Result<Step, ReadError> {
        match kind {
            Kind::Wrap(wrap) => self.wrap(wrap)?,
            Kind::Segment(segment) => self.segment(segment)?,
            Kind::End(end) => {
                self.number(end.transfer)?;
                return self.end();
            }
            _ => return Err(BadField("frame in a transfer").into()),
        }
        Ok(Step::More(self))
    }

    fn number(&self, number: u64) -> Result<(), BadField> {
        if number == self.transfer.number { Ok(()) } else { Err(BadField("transfer")) }
    }

    fn wrap(&mut self, wrap: wire::Wrap) -> Result<(), BadField> {
        self.number(wrap.transfer)?;
        let wrap = wrap.wrap.ok_or(BadField("wrap"))?;
        let mailbox = check_wrap(&wrap)?;
        // Wraps come before segments and in the order of recipients: so none comes twice.
        let started = self.part > 0 || !self.transfer.parts[0].is_empty();
        let in_order = self.transfer.wraps.last().is_none_or(|(last, _)| *last < mailbox);
        if started || !in_order || self.transfer.facts.recipient(&mailbox).is_none() {
            return Err(BadField("wrap"));
        }
        self.transfer.wraps.push((mailbox, wrap));
        Ok(())
    }

    fn segment(&mut self, segment: wire::Segment) -> Result<(), BadField> {
        self.number(segment.transfer)?;
        let parts = &mut self.transfer.parts;
        let expected = &self.transfer.facts.parts;
        if self.part < parts.len() && parts[self.part].len() as u64 == expected[self.part].segments() {
            self.part += 1;
        }
        let at = self.part;
        let (Some(part), Some(held)) = (expected.get(at), parts.get_mut(at)) else {
            return Err(BadField("segment"));
        };
        let index = held.len() as u64;
        let left = part.ct_len - index * l::SEGMENT_CT_BYTES as u64;
        let length = left.min(l::SEGMENT_CT_BYTES as u64);
        if segment.part as usize != at
            || u64::from(segment.index) != index
            || segment.data.len() as u64 != length
        {
            return Err(BadField("segment"));
        }
        held.push(segment.data);
        Ok(())
    }

    fn end(self) -> Result<Step, ReadError> {
        let expected = self.transfer.facts.parts.iter();
        let whole =
            self.transfer.parts.iter().zip(expected).all(|(held, part)| held.len() as u64 == part.segments());
        if whole { Ok(Step::Whole(self.transfer)) } else { Err(BadField("end").into()) }
    }
}

/// What a frame did to its transfer.
#[derive(Debug)]
pub enum Step {
    /// More frames are to come.
    More(Joiner),
    /// It is whole.
    Whole(Box<Transfer>),
}

/// A key wrap within its bounds: the mailbox it is for.
pub fn check_wrap(wrap: &wire::KeyWrap) -> Result<Mailbox, BadField> {
    fixed::<{ l::PREKEY_ID_BYTES }>(&wrap.prekey_id, "wrap.prekey_id")?;
    fixed::<{ l::WRAP_CT_BYTES }>(&wrap.ct, "wrap.ct")?;
    let sizes_fit = match (wrap.psk_id.len(), wrap.enc.len()) {
        (0, enc) => enc == l::XWING_ENC_BYTES,
        (psk, enc) => psk == l::PSK_ID_BYTES && enc == l::X25519_BYTES,
    };
    if !sizes_fit {
        return Err(BadField("wrap.enc"));
    }
    Mailbox::new(&wrap.mailbox).map_err(|_| BadField("wrap.mailbox"))
}

/// The frames that open a transfer: `Begin` and its wraps. Segments follow by [`segment`], then [`end`].
pub fn opening(
    number: u64,
    header: &SignedHeader,
    relayed: Option<&SignedReceipt>,
    wraps: impl IntoIterator<Item = wire::KeyWrap>,
) -> Vec<Kind> {
    let begin = wire::Begin {
        transfer: number,
        header: header.bytes().clone(),
        signature: Bytes::copy_from_slice(header.signature()),
        relayed: relayed.map(SignedReceipt::to_wire),
    };
    let wraps = wraps.into_iter().map(|wrap| Kind::Wrap(wire::Wrap { transfer: number, wrap: Some(wrap) }));
    std::iter::once(Kind::Begin(begin)).chain(wraps).collect()
}

/// One segment's frame.
pub fn segment(number: u64, part: u32, index: u32, data: Bytes) -> Kind {
    Kind::Segment(wire::Segment { transfer: number, part, index, data })
}

/// The closing frame.
pub fn end(number: u64) -> Kind {
    Kind::End(wire::End { transfer: number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::tests::sample;
    use crate::header::{Part, SignedHeader};
    use crate::signing::{Hash, SigningKey};

    fn wrap(mailbox: &str) -> wire::KeyWrap {
        wire::KeyWrap {
            mailbox: mailbox.into(),
            prekey_id: vec![1; l::PREKEY_ID_BYTES].into(),
            psk_id: Bytes::new(),
            enc: vec![2; l::XWING_ENC_BYTES].into(),
            ct: vec![3; l::WRAP_CT_BYTES].into(),
        }
    }

    fn header() -> SignedHeader {
        let mut header = sample();
        let full = l::SEGMENT_CT_BYTES as u64;
        header.parts = [272, full + 20, full].map(|ct_len| Part { ct_len, ct_root: Hash([3; 32]) }).to_vec();
        header.sign(&SigningKey::from_seed(&[1; 32]))
    }

    fn frames() -> Vec<Kind> {
        let mut frames = opening(7, &header(), None, [wrap("br"), wrap("minustah")]);
        for (part, index, len) in
            [(0, 0, 272), (1, 0, l::SEGMENT_CT_BYTES), (1, 1, 20), (2, 0, l::SEGMENT_CT_BYTES)]
        {
            frames.push(segment(7, part, index, vec![0; len].into()));
        }
        frames.push(end(7));
        frames
    }

    fn join(frames: Vec<Kind>) -> Result<Option<Transfer>, ReadError> {
        let mut frames = frames.into_iter();
        let Some(Kind::Begin(begin)) = frames.next() else { return Err(BadField("begin").into()) };
        let mut joiner = Joiner::begin(begin)?;
        for frame in frames {
            match joiner.push(frame)? {
                Step::More(more) => joiner = more,
                Step::Whole(transfer) => return Ok(Some(*transfer)),
            }
        }
        Ok(None)
    }

    #[test]
    fn frames_join_to_the_envelope() {
        let transfer = join(frames()).unwrap().unwrap();
        assert_eq!(transfer.parts.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(transfer.wraps.len(), 2);
        assert_eq!(transfer.header, header());
    }

    #[test]
    fn a_transfer_out_of_order_is_refused() {
        let whole = frames();
        for (a, b) in [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7)] {
            let mut swapped = whole.clone();
            swapped.swap(a, b);
            assert!(join(swapped).is_err(), "{a} and {b} swapped");
        }
        for missing in 3..7 {
            let mut short = whole.clone();
            short.remove(missing);
            assert!(join(short).is_err(), "without {missing}");
        }
        for doubled in 1..7 {
            let mut long = whole.clone();
            long.insert(doubled, whole[doubled].clone());
            assert!(join(long).is_err(), "{doubled} doubled");
        }
    }

    #[test]
    fn a_wrap_for_a_stranger_or_of_a_wrong_size_is_refused() {
        let mut cases = vec![wrap("xx"), wrap("FR")];
        cases.push(wire::KeyWrap { enc: vec![0; 32].into(), ..wrap("br") });
        cases.push(wire::KeyWrap { ct: vec![0; 41].into(), ..wrap("br") });
        cases.push(wire::KeyWrap { prekey_id: Bytes::new(), ..wrap("br") });
        for bad in cases {
            let mut with_bad = opening(7, &header(), None, [bad]);
            with_bad.extend(frames().split_off(3));
            assert!(join(with_bad).is_err());
        }
    }
}
