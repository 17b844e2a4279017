//! The roster: who is who and who may write to whom, numbered and signed. Checked here; certificates elsewhere.
//!
//! Never adds a root: what a party pins is its own configuration ([P-40]).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::agreements::{Agreement, Group, Request};
use crate::kinds::PartyKind;
use crate::limits as l;
use crate::names::{PartyName, RelayId, TrustDomain};
pub use crate::party::Party;
use crate::scan;
use crate::signing::{KeyId, Label, SigningKey, VerifyKey};
use crate::wire::{self, BadField, ReadError, canonical, fixed};

/// A roster whose every value keeps its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// Only upward.
    pub number: u64,
    /// Trust domain of the federation.
    pub domain: TrustDomain,
    /// Unix milliseconds.
    pub issued_ms: u64,
    /// Keys of the roots in force.
    pub roots: Vec<KeyId>,
    /// All parties.
    pub parties: BTreeMap<PartyName, Party>,
    /// All relays and their operators' CA keys.
    pub relays: BTreeMap<RelayId, Vec<KeyId>>,
    /// Keys that no longer speak, and since when.
    pub revocations: BTreeMap<KeyId, u64>,
    /// Rules in order; the first that fits decides.
    pub agreements: Vec<Agreement>,
}

impl Roster {
    /// Whether a key had been revoked with effect at or before this time.
    pub fn revoked(&self, key: &KeyId, at_ms: u64) -> bool {
        self.revocations.get(key).is_some_and(|since| *since <= at_ms)
    }

    /// The one encoding.
    pub fn encode(&self) -> Bytes {
        let key = |id: &KeyId| wire::CaKey { key_id: Bytes::copy_from_slice(&id.0) };
        wire::encode(&wire::Roster {
            number: self.number,
            domain: self.domain.to_string(),
            issued_ms: self.issued_ms,
            roots: self
                .roots
                .iter()
                .map(|id| wire::RootKey { key_id: Bytes::copy_from_slice(&id.0) })
                .collect(),
            parties: self
                .parties
                .iter()
                .map(|(name, party)| wire::PartyEntry {
                    name: name.to_string(),
                    kind: party.kind.to_wire(),
                    display: party.display.clone(),
                    region: party.region.clone(),
                    ca_keys: party.ca_keys.iter().map(key).collect(),
                })
                .collect(),
            relays: self
                .relays
                .iter()
                .map(|(id, keys)| wire::RelayEntry {
                    id: id.to_string(),
                    ca_keys: keys.iter().map(key).collect(),
                })
                .collect(),
            revocations: self
                .revocations
                .iter()
                .map(|(id, since)| wire::Revocation {
                    key_id: Bytes::copy_from_slice(&id.0),
                    effective_ms: *since,
                })
                .collect(),
            agreements: self.agreements.iter().map(Agreement::to_wire).collect(),
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        scan::roster(bytes).map_err(|_| ReadError::Malformed)?;
        let wire: wire::Roster = canonical(bytes).ok_or(ReadError::Malformed)?;
        let root = |root: &wire::RootKey| fixed(&root.key_id, "roots").map(KeyId);
        let roster = Self {
            number: wire.number,
            domain: TrustDomain::new(&wire.domain).map_err(|_| BadField("domain"))?,
            issued_ms: wire.issued_ms,
            roots: wire.roots.iter().map(root).collect::<Result<_, _>>()?,
            parties: ascending(wire.parties.iter().map(party), "parties")?,
            relays: ascending(wire.relays.iter().map(relay), "relays")?,
            revocations: ascending(wire.revocations.iter().map(revocation), "revocations")?,
            agreements: wire.agreements.iter().map(Agreement::read).collect::<Result<_, _>>()?,
        };
        if roster.number == 0 || roster.roots.is_empty() || roster.relays.is_empty() {
            return Err(BadField("number, roots or relays").into());
        }
        Ok(roster)
    }
}

impl Roster {
    /// The article that allows the request, or none: denied ([P-42]). The first rule that fits decides.
    pub fn permits(&self, request: &Request<'_>) -> Option<&str> {
        let from = (request.from, self.parties.get(request.from)?);
        let to = (request.to, self.parties.get(request.to)?);
        let found = self.agreements.iter().find(|rule| rule.joins(from, to) && rule.allows(request))?;
        Some(&found.article)
    }

    /// Whether any rule in force lets one party write to the other: who may ask for whose keys.
    pub fn may_write(&self, from: &PartyName, to: &PartyName, now_ms: u64) -> bool {
        let (Some(sender), Some(recipient)) = (self.parties.get(from), self.parties.get(to)) else {
            return false;
        };
        self.agreements
            .iter()
            .any(|rule| rule.joins((from, sender), (to, recipient)) && rule.in_force(now_ms))
    }
}

/// Collects entries that must come sorted and unique: one order, so one encoding.
fn ascending<K: Ord + Clone, V>(
    entries: impl Iterator<Item = Result<(K, V), BadField>>,
    field: &'static str,
) -> Result<BTreeMap<K, V>, BadField> {
    let mut map = BTreeMap::new();
    for entry in entries {
        let (key, value) = entry?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(BadField(field));
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn ca_keys(keys: &[wire::CaKey]) -> Result<Vec<KeyId>, BadField> {
    if keys.is_empty() {
        return Err(BadField("ca_keys"));
    }
    keys.iter().map(|key| fixed(&key.key_id, "ca_keys").map(KeyId)).collect()
}

fn party(wire: &wire::PartyEntry) -> Result<(PartyName, Party), BadField> {
    let region_fits = wire.region.len() <= 32
        && wire.region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if wire.display.len() > 128 || wire.display.chars().any(char::is_control) || !region_fits {
        return Err(BadField("parties.display or region"));
    }
    let party = Party {
        kind: PartyKind::from_wire(wire.kind)?,
        display: wire.display.clone(),
        region: wire.region.clone(),
        ca_keys: ca_keys(&wire.ca_keys)?,
    };
    Ok((PartyName::new(&wire.name).map_err(|_| BadField("parties.name"))?, party))
}

fn relay(wire: &wire::RelayEntry) -> Result<(RelayId, Vec<KeyId>), BadField> {
    Ok((RelayId::new(&wire.id).map_err(|_| BadField("relays.id"))?, ca_keys(&wire.ca_keys)?))
}

fn revocation(wire: &wire::Revocation) -> Result<(KeyId, u64), BadField> {
    Ok((KeyId(fixed(&wire.key_id, "revocations.key_id")?), wire.effective_ms))
}

impl Group {
    /// The parties of the roster that the group names, in order.
    pub fn members<'a>(&'a self, roster: &'a Roster) -> impl Iterator<Item = &'a PartyName> {
        roster.parties.iter().filter(|(name, party)| self.holds(name, party)).map(|(name, _)| name)
    }
}

/// A roster with its signature and its signer's papers, as it rests and travels.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRoster(wire::SignedRoster);

impl SignedRoster {
    /// Signs a roster; the papers are the signer's certificate and the root over it, DER.
    pub fn sign(roster: &Roster, key: &SigningKey, leaf: Bytes, issuer: Bytes) -> Self {
        let bytes = roster.encode();
        let signature = Bytes::copy_from_slice(&key.sign(Label::Roster, &bytes));
        let signer = Some(wire::SigningLeaf { leaf, issuer });
        Self(wire::SignedRoster { roster: bytes, signature, signer })
    }

    /// From the bytes of a file or of joined pieces; checks size and shape only.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, ReadError> {
        if bytes.len() > l::ROSTER_MAX {
            return Err(ReadError::TooLarge);
        }
        let wire: wire::SignedRoster = prost::Message::decode(bytes).map_err(|_| ReadError::Malformed)?;
        if wire.signer.is_none() {
            return Err(BadField("signer").into());
        }
        Ok(Self(wire))
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Bytes {
        wire::encode(&self.0)
    }

    /// The signer's certificate and the one over it, DER.
    pub fn signer(&self) -> (&[u8], &[u8]) {
        self.0.signer.as_ref().map_or((&[], &[]), |signer| (&signer.leaf, &signer.issuer))
    }

    /// The number it bears, without any word on whether it is so: enough to leave an old one aside.
    pub fn claimed_number(&self) -> Option<u64> {
        let wire: wire::Roster = canonical(&self.0.roster)?;
        Some(wire.number)
    }

    /// What it says, without any word on whether it is so: for people who look at a file. Nothing may be decided by it.
    pub fn claim(&self) -> Result<Roster, ReadError> {
        Roster::read(&self.0.roster)
    }

    /// Verifies with the signer's key, then reads. Whether the signer may sign is asked of the certificates first.
    pub fn verify(&self, key: &VerifyKey) -> Result<Roster, ReadError> {
        key.verify(Label::Roster, &self.0.roster, &self.0.signature)?;
        self.claim()
    }

    /// Cuts into frames' worth of bytes.
    pub fn pieces(&self, number: u64) -> Vec<wire::RosterPiece> {
        let bytes = self.to_bytes();
        let count = u32::try_from(bytes.len().div_ceil(l::ROSTER_PIECE_BYTES)).unwrap_or(u32::MAX);
        (0..count)
            .map(|index| {
                let start = index as usize * l::ROSTER_PIECE_BYTES;
                let end = bytes.len().min(start + l::ROSTER_PIECE_BYTES);
                wire::RosterPiece { number, index, count, data: bytes.slice(start..end) }
            })
            .collect()
    }
}

/// Joins the pieces of a roster as they come, in order; anything else starts over.
#[derive(Debug, Default)]
pub struct RosterJoiner {
    number: u64,
    next: u32,
    bytes: Vec<u8>,
}

impl RosterJoiner {
    /// Adds a piece; gives the roster when it was the last. The error is the peer's fault.
    pub fn push(&mut self, piece: &wire::RosterPiece) -> Result<Option<SignedRoster>, ReadError> {
        let count_fits = (1..=l::ROSTER_PIECES_MAX).contains(&(piece.count as usize));
        if !count_fits || piece.data.is_empty() || piece.data.len() > l::ROSTER_PIECE_BYTES {
            return Err(BadField("roster_piece").into());
        }
        if piece.index == 0 {
            *self = Self { number: piece.number, next: 0, bytes: Vec::new() };
        }
        if piece.number != self.number || piece.index != self.next || piece.index >= piece.count {
            return Err(BadField("roster_piece").into());
        }
        self.bytes.extend_from_slice(&piece.data);
        self.next += 1;
        if self.next < piece.count {
            return Ok(None);
        }
        let bytes = std::mem::take(self).bytes;
        SignedRoster::from_bytes(bytes.into()).map(Some)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::agreements::tests::all_lab_parties;

    pub(crate) fn lab() -> Roster {
        let party = |kind, region: &str, seed| Party {
            kind,
            display: "A party".into(),
            region: region.into(),
            ca_keys: vec![SigningKey::from_seed(&[seed; 32]).verify_key().id()],
        };
        let name = |text| PartyName::new(text).unwrap();
        Roster {
            number: 3,
            domain: TrustDomain::new("i24.example").unwrap(),
            issued_ms: 1_790_000_000_000,
            roots: vec![KeyId([1; 32])],
            parties: BTreeMap::from([
                (name("br"), party(PartyKind::Bureau, "americas", 10)),
                (name("fr"), party(PartyKind::Bureau, "europe", 11)),
                (name("minustah"), party(PartyKind::Mission, "americas", 12)),
            ]),
            relays: BTreeMap::from([(RelayId::new("hub-1").unwrap(), vec![KeyId([9; 32])])]),
            revocations: BTreeMap::from([(KeyId([7; 32]), 1_790_000_000_000)]),
            agreements: vec![all_lab_parties()],
        }
    }

    fn signed() -> (SignedRoster, VerifyKey) {
        let key = SigningKey::from_seed(&[4; 32]);
        let roster =
            SignedRoster::sign(&lab(), &key, Bytes::from_static(b"leaf"), Bytes::from_static(b"root"));
        (roster, key.verify_key())
    }

    #[test]
    fn a_roster_reads_back_only_under_its_signers_key() {
        let (roster, key) = signed();
        assert_eq!(roster.verify(&key).unwrap(), lab());
        let other = SigningKey::from_seed(&[5; 32]).verify_key();
        assert_eq!(roster.verify(&other), Err(ReadError::Signature));
    }

    #[test]
    fn a_roster_crosses_in_pieces_and_a_missing_one_is_told() {
        let (roster, _) = signed();
        let bytes = roster.to_bytes();
        let half = bytes.len() / 2;
        let piece = |index, data| wire::RosterPiece { number: 3, index, count: 2, data };
        let mut joiner = RosterJoiner::default();
        assert_eq!(joiner.push(&piece(0, bytes.slice(..half))).unwrap(), None);
        assert_eq!(joiner.push(&piece(1, bytes.slice(half..))).unwrap(), Some(roster.clone()));
        joiner.push(&piece(1, bytes.slice(half..))).unwrap_err();
        assert_eq!(roster.pieces(3).len(), 1);
    }

    #[test]
    fn a_revocation_takes_effect_at_its_time() {
        let roster = lab();
        assert!(!roster.revoked(&KeyId([7; 32]), 1_789_999_999_999));
        assert!(roster.revoked(&KeyId([7; 32]), 1_790_000_000_000));
    }

    #[test]
    fn a_roster_of_number_zero_is_refused() {
        let mut roster = lab();
        roster.number = 0;
        let key = SigningKey::from_seed(&[4; 32]);
        let signed = SignedRoster::sign(&roster, &key, Bytes::new(), Bytes::new());
        signed.verify(&key.verify_key()).unwrap_err();
    }
}
