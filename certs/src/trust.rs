//! What this machine trusts at a moment: pinned root, revocation lists, roster. Replaced as a whole, never changed.
//!
//! Only a higher roster number replaces a roster; a roster never adds a root.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use valise_proto::roster::{Roster, SignedRoster};
use valise_proto::signing::KeyId;

use crate::crl::{CrlSet, CrlStatus};
use crate::fault::PaperFault;
use crate::leaf::{Leaf, Usage};
use crate::load::TrustFiles;
use crate::path::{Anchors, Revocation};
use crate::profile::Entity;

/// Root, lists and roster that were checked together.
#[derive(Clone)]
pub struct Trust {
    anchors: Anchors,
    roster: Arc<Roster>,
    signed: Arc<SignedRoster>,
}

impl Trust {
    /// Checks files as read: the root, every list, the roster's signer and signature. `now_ms` is Unix milliseconds.
    ///
    /// The root's list must be there. The list of one CA may be missing: then its certificates alone are refused, and
    /// `crl_status` says so.
    pub fn new(files: &TrustFiles, now_ms: u64) -> Result<Self, PaperFault> {
        let crls = CrlSet::read(files.crls.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))?;
        let anchors = Anchors::new(&files.root_pem, crls)?;
        let signed = read_roster(Bytes::copy_from_slice(&files.roster))?;
        let roster = check_roster(&anchors, &signed, now_ms)?;
        Ok(Self { anchors, roster: Arc::new(roster), signed: Arc::new(signed) })
    }

    /// Takes a roster that came from elsewhere, if its number is higher. None: ours is as new or newer, and stays.
    pub fn with_newer_roster(&self, bytes: Bytes, now_ms: u64) -> Result<Option<Self>, PaperFault> {
        let signed = read_roster(bytes)?;
        let roster = check_roster(&self.anchors, &signed, now_ms)?;
        self.admit(roster, signed)
    }

    /// Takes a roster that was kept, if it is the newer one. One that is not newer is left aside unjudged: its signer
    /// may have run out since.
    pub fn with_kept_roster(&self, bytes: Bytes, now_ms: u64) -> Result<Option<Self>, PaperFault> {
        let claimed = read_roster(bytes.clone())?.claimed_number();
        if claimed.is_some_and(|number| number <= self.roster.number) {
            return Ok(None);
        }
        self.with_newer_roster(bytes, now_ms)
    }

    fn admit(&self, roster: Roster, signed: SignedRoster) -> Result<Option<Self>, PaperFault> {
        if roster.domain != self.roster.domain {
            return Err(rejected("it is of another trust domain"));
        }
        if self.roster.revoked(&signer_key(&signed)?, u64::MAX) {
            return Err(rejected("its signer has been revoked"));
        }
        if roster.number == self.roster.number && roster != *self.roster {
            return Err(rejected("it bears the number of ours and says something else"));
        }
        if roster.number <= self.roster.number {
            return Ok(None);
        }
        let anchors = self.anchors.clone();
        Ok(Some(Self { anchors, roster: Arc::new(roster), signed: Arc::new(signed) }))
    }

    /// The roster in force.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The same as it rests and travels.
    pub fn signed_roster(&self) -> &Arc<SignedRoster> {
        &self.signed
    }

    /// The list of the root and of every CA of the roster, root first, then parties, then relays.
    pub fn crl_status(&self, now_ms: u64) -> Vec<CrlStatus> {
        let roots = self.anchors.keys().iter().map(|key| ("root".to_owned(), *key));
        let parties = self.roster.parties.iter();
        let parties =
            parties.flat_map(|(name, party)| party.ca_keys.iter().map(|key| (name.to_string(), *key)));
        let relays = self.roster.relays.iter();
        let relays = relays.flat_map(|(id, keys)| keys.iter().map(|key| (id.to_string(), *key)));
        let owners = roots.chain(parties).chain(relays);
        owners.map(|(owner, key)| self.anchors.crls().status(owner, key, now_ms)).collect()
    }

    pub(crate) fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Refuses a leaf of another federation.
    pub(crate) fn require_domain(&self, leaf: &Leaf) -> Result<(), PaperFault> {
        if *leaf.domain() == self.roster.domain {
            return Ok(());
        }
        let (expected, found) = (self.roster.domain.to_string(), leaf.domain().to_string());
        Err(PaperFault::WrongDomain { expected, found })
    }

    /// CA keys that the roster states for an entity that may open sessions or sign; none = not enrolled.
    pub(crate) fn ca_keys(&self, entity: &Entity) -> Result<&[KeyId], PaperFault> {
        let unknown = || PaperFault::NotEnrolled(entity.to_string());
        match entity {
            Entity::Device { kind, device } => {
                let party = self.roster.parties.get(&device.party).ok_or_else(unknown)?;
                if party.kind != *kind {
                    return Err(PaperFault::BadIdentity(format!("{} is a {}", device.party, party.kind)));
                }
                Ok(&party.ca_keys)
            }
            Entity::Relay(id) => Ok(self.roster.relays.get(id).ok_or_else(unknown)?),
            other => Err(PaperFault::WrongRole(other.to_string())),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("domain", &self.roster.domain)
            .field("roster", &self.roster.number)
            .finish_non_exhaustive()
    }
}

fn rejected(why: &str) -> PaperFault {
    PaperFault::RosterRejected(why.to_owned())
}

fn read_roster(bytes: Bytes) -> Result<SignedRoster, PaperFault> {
    SignedRoster::from_bytes(bytes).map_err(|error| rejected(&error.to_string()))
}

fn signer_key(signed: &SignedRoster) -> Result<KeyId, PaperFault> {
    Ok(Leaf::read(signed.signer().0)?.key_id())
}

/// The signer first (certificate, usage, role, root, revocation), then its signature, then what the roster says.
fn check_roster(anchors: &Anchors, signed: &SignedRoster, now_ms: u64) -> Result<Roster, PaperFault> {
    let (leaf_der, _) = signed.signer();
    let signer = |fault: PaperFault| rejected(&format!("its signer: {fault}"));
    let leaf = Leaf::read(leaf_der).map_err(signer)?;
    leaf.require(Usage::RosterSigning).map_err(signer)?;
    if !matches!(leaf.entity(), Entity::RosterSigner(_)) {
        return Err(rejected(&format!("{} is no roster signer", leaf.entity())));
    }
    // No intermediates: the root itself certifies roster signers.
    let der = CertificateDer::from(leaf_der);
    let root = anchors.verify(&der, &[], Usage::RosterSigning, now_ms, Revocation::Now).map_err(signer)?;
    let roster = signed.verify(leaf.key()).map_err(|error| rejected(&error.to_string()))?;
    if roster.domain != *leaf.domain() {
        return Err(rejected("its signer is of another trust domain"));
    }
    if !roster.roots.contains(&root) {
        return Err(rejected("it does not name the root that is pinned here"));
    }
    if roster.revoked(&leaf.key_id(), u64::MAX) {
        return Err(rejected("its signer has been revoked"));
    }
    Ok(roster)
}
