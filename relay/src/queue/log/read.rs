//! What is handed out: envelopes, segments, receipts, certificates, bundles. Reads what is durable, changes nothing.
//!
//! A record may be moved while it is looked for: then its place is asked for again.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use prost::Message;
use valise_host::ledger::StoreError;
use valise_proto::bundle::SignedBundle;
use valise_proto::kinds::Precedence;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::KeyId;
use valise_proto::wire;

use super::facts::{Fact, Loc, State};
use super::index::Index;
use super::payload::{EnvelopePayload, Several, read_header};
use super::reader::Reader;
use crate::queue::{Census, Held, MailboxHeld, Outgoing, Outlook, Sequence};

/// How often a place is asked for before what lies there is damage: a record moves once in a long while.
const LOOKS: usize = 3;

/// Sees what is durable.
#[derive(Clone)]
pub(super) struct View {
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) reader: Arc<Reader>,
}

impl View {
    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a place and reads there; when that fails and the place has changed meanwhile, again.
    fn look<P: PartialEq, T>(
        &self,
        find: impl Fn(&Index) -> Option<P>,
        read: impl Fn(&P) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let Some(mut place) = find(&self.index()) else { return Ok(None) };
        for _ in 1..LOOKS {
            let found = read(&place);
            if found.is_ok() {
                return found.map(Some);
            }
            let Some(now) = find(&self.index()) else { return Ok(None) };
            if now == place {
                return found.map(Some);
            }
            place = now;
        }
        read(&place).map(Some)
    }

    /// Envelopes of which something is due.
    pub(super) fn due(&self, now_ms: u64, max: usize) -> Vec<Sequence> {
        self.index.write().unwrap_or_else(PoisonError::into_inner).envelopes.due(now_ms, max)
    }

    /// An envelope for one mailbox whose entry is still to be handed out.
    pub(super) fn outgoing(
        &self,
        sequence: Sequence,
        mailbox: &Mailbox,
    ) -> Result<Option<Outgoing>, StoreError> {
        let find = |index: &Index| {
            let (slot, place) = index.entry(sequence, mailbox)?;
            let entry = slot.entries()[place];
            let first = index.chunks(sequence).and_then(|chunks| chunks.first().copied());
            (entry.state == State::Queued).then_some((slot.base, entry.wrap, place, first))
        };
        self.look(find, |(base, wrap, place, first)| self.open(sequence, *base, (*wrap, *place), *first))
    }

    fn open(
        &self,
        sequence: Sequence,
        base: Loc,
        (wrap, place): (Loc, usize),
        first: Option<Loc>,
    ) -> Result<Outgoing, StoreError> {
        let lost = || self.reader.damaged(format!("envelope {sequence} has lost a part of it"));
        let (_, payload) = self.reader.envelope(sequence, base)?;
        let payload = payload.ok_or_else(lost)?;
        let header = read_header(payload.header.clone()).ok_or_else(lost)?;
        let wrap = self.wrap_of(&payload, base, wrap, place)?;
        let first = match first {
            Some(loc) => self.reader.record(loc)?.1,
            None => payload.only.ok_or_else(lost)?,
        };
        Ok(Outgoing {
            facts: header.read().map_err(|_| lost())?,
            header,
            relayed: SignedReceipt::from_bytes(payload.proof).map_err(|_| lost())?,
            wrap: wire::KeyWrap::decode(wrap).map_err(|_| lost())?,
            first,
        })
    }

    /// The wrap of an entry, wherever it lies.
    pub(super) fn wrap_of(
        &self,
        payload: &EnvelopePayload,
        base: Loc,
        wrap: Loc,
        place: usize,
    ) -> Result<Bytes, StoreError> {
        if wrap != base {
            return self.wrap(wrap, place);
        }
        here(payload, place)
            .ok_or_else(|| self.reader.damaged(format!("the wrap at byte {} is none", wrap.offset)))
    }

    /// A wrap that lies apart from its envelope: alone, or with others that came late.
    fn wrap(&self, loc: Loc, place: usize) -> Result<Bytes, StoreError> {
        let found = match self.reader.record(loc)? {
            (Fact::Staged(_), payload) => Some(payload),
            (Fact::Wraps(fact), payload) => {
                let at = fact.entries.iter().position(|entry| *entry as usize == place);
                let several = Several::decode(payload).ok();
                at.zip(several).and_then(|(at, several)| several.items.get(at).cloned())
            }
            (Fact::Envelope(_), payload) => {
                EnvelopePayload::decode(payload).ok().and_then(|payload| here(&payload, place))
            }
            _ => None,
        };
        found.ok_or_else(|| self.reader.damaged(format!("the wrap at byte {} is none", loc.offset)))
    }

    /// One ciphertext segment. `at`: its place among all segments of its envelope, by their counts in each part.
    pub(super) fn segment(
        &self,
        sequence: Sequence,
        part: u32,
        index: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        let find = |held: &Index| {
            let slot = held.envelopes.get(sequence).filter(|slot| slot.open > 0)?;
            Some((slot.base, held.chunks(sequence).map(<[Loc]>::to_vec)))
        };
        let read = |(base, chunks): &(Loc, Option<Vec<Loc>>)| {
            let (fact, payload) = self.reader.envelope(sequence, *base)?;
            let Some(at) = place(&fact.parts, part, index) else { return Ok(None) };
            match chunks {
                Some(chunks) => chunks.get(at).map(|loc| Ok(self.reader.record(*loc)?.1)).transpose(),
                None => {
                    let lost = || self.reader.damaged(format!("envelope {sequence} has lost a part of it"));
                    payload.and_then(|payload| payload.only).map(Some).ok_or_else(lost)
                }
            }
        };
        Ok(self.look(find, read)?.flatten())
    }

    /// Receipts kept for a device, the oldest first.
    pub(super) fn receipts(
        &self,
        device: &DeviceId,
        skip: &std::collections::BTreeSet<[u8; 16]>,
        max: usize,
    ) -> Result<Vec<SignedReceipt>, StoreError> {
        let waiting: Vec<_> = {
            let index = self.index();
            let number = index.devices.find(device);
            let all = number.into_iter().flat_map(|number| index.mail.of(number));
            all.filter(|one| !skip.contains(&one.id)).take(max).copied().collect()
        };
        let mut receipts = Vec::with_capacity(waiting.len());
        for one in waiting {
            let find = |index: &Index| {
                let number = index.devices.find(device)?;
                index.mail.find(number, &one.id).map(|(_, waiting)| waiting.loc)
            };
            receipts.extend(self.look(find, |loc| self.receipt(*loc, &one.id))?);
        }
        Ok(receipts)
    }

    pub(super) fn receipt(&self, loc: Loc, id: &[u8; 16]) -> Result<SignedReceipt, StoreError> {
        let found = match self.reader.record(loc)? {
            (Fact::Stated(_) | Fact::Held(_), payload) => SignedReceipt::from_bytes(payload).ok(),
            (Fact::Ended(_), payload) => {
                let several = Several::decode(payload).unwrap_or_default();
                let receipts =
                    several.items.into_iter().filter_map(|item| SignedReceipt::from_bytes(item).ok());
                receipts.into_iter().find(|receipt| receipt.id() == *id)
            }
            _ => None,
        };
        let found = found.filter(|receipt| receipt.id() == *id);
        found.ok_or_else(|| self.reader.damaged(format!("the receipt at byte {} is another", loc.offset)))
    }

    pub(super) fn leaf(&self, key: &KeyId) -> Result<Option<wire::SigningLeaf>, StoreError> {
        self.look(
            |index| index.leaf(key).map(|leaf| leaf.loc),
            |loc| {
                let (_, payload) = self.reader.record(*loc)?;
                wire::SigningLeaf::decode(payload).map_err(|_| self.reader.damaged("a certificate is none"))
            },
        )
    }

    pub(super) fn bundle(&self, mailbox: &Mailbox) -> Result<Option<(u64, SignedBundle)>, StoreError> {
        self.look(
            |index| index.bundle(mailbox),
            |(batch_no, loc)| {
                let (_, payload) = self.reader.record(*loc)?;
                let bundle = SignedBundle::from_bytes(payload);
                Ok((*batch_no, bundle.map_err(|_| self.reader.damaged("a bundle is none"))?))
            },
        )
    }

    /// What waits, counted, with the fullest mailboxes.
    pub(super) fn census(&self, max: usize) -> Result<Census, StoreError> {
        let (precedences, fullest, mailboxes_in_all) = {
            let index = self.index();
            let known =
                |(number, held): (u8, Held)| Some((Precedence::from_wire(i32::from(number)).ok()?, held));
            let precedences = index.lines.by_precedence().filter_map(known).collect();
            let (fullest, count) = index.lines.fullest(max);
            let named = fullest
                .into_iter()
                .map(|(number, held, oldest)| (index.mailboxes.name(number).clone(), held, oldest));
            (precedences, named.collect::<Vec<_>>(), count)
        };
        let mut mailboxes = Vec::with_capacity(fullest.len());
        for (mailbox, held, oldest) in fullest {
            // One that went meanwhile is counted no more.
            let Some(oldest_ms) = oldest.map(|sequence| self.accepted_ms(sequence)).transpose()?.flatten()
            else {
                continue;
            };
            mailboxes.push(MailboxHeld { mailbox, held, oldest_ms });
        }
        Ok(Census { precedences, mailboxes, mailboxes_in_all })
    }

    /// When an envelope was accepted, Unix milliseconds.
    fn accepted_ms(&self, sequence: Sequence) -> Result<Option<u64>, StoreError> {
        let find = |index: &Index| index.envelopes.get(sequence).map(|slot| slot.base);
        self.look(find, |base| Ok(self.reader.envelope(sequence, *base)?.0.accepted_ms))
    }

    /// What waits longest, and what runs out first.
    pub(super) fn outlook(&self) -> Result<Outlook, StoreError> {
        let (outlook, oldest) = self.index().outlook();
        let Some(sequence) = oldest else { return Ok(outlook) };
        Ok(Outlook { oldest_ms: self.accepted_ms(sequence)?, ..outlook })
    }
}

fn here(payload: &EnvelopePayload, place: usize) -> Option<Bytes> {
    payload.wraps.iter().find(|wrap| wrap.entry as usize == place).map(|wrap| wrap.wrap.clone())
}

/// The place of a segment among all of its envelope; none when there is no such segment.
fn place(parts: &[u32], part: u32, index: u32) -> Option<usize> {
    let before = parts.get(..part as usize)?.iter().map(|count| *count as usize).sum::<usize>();
    let count = *parts.get(part as usize)?;
    (index < count).then_some(before + index as usize)
}
