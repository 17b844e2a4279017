//! A federation in memory: bureaus fr and de, mission minustah, relay hub-1. Tests change one thing and look.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use valise_certs::load::TrustFiles;
use valise_certs::profile::Entity;
use valise_certs::{PaperFault, Trust};
use valise_host::entropy::SeededEntropy;
use valise_proto::kinds::PartyKind;
use valise_proto::limits::DAY_MS;
use valise_proto::names::{DeviceId, DeviceName, PartyName, RelayId, TrustDomain};
use valise_proto::roster::{Party, Roster};

use crate::crl::Revoked;
use crate::mint::Mint;
use crate::papers::{Authority, Papers};
use crate::roster::sign;

pub(super) const NOW_MS: u64 = 1_790_000_000_000;

pub(super) struct World {
    pub(super) mint: Mint,
    pub(super) root: Authority,
    pub(super) fr: Authority,
    pub(super) de: Authority,
    pub(super) minustah: Authority,
    pub(super) hub: Authority,
    pub(super) signer: Papers,
    pub(super) roster: Roster,
    /// File name and list.
    pub(super) crls: Vec<(String, Vec<u8>)>,
}

pub(super) fn party(name: &str) -> PartyName {
    PartyName::new(name).unwrap()
}

pub(super) fn device(party_name: &str, name: &str) -> DeviceId {
    DeviceId { party: party(party_name), device: DeviceName::new(name).unwrap() }
}

pub(super) fn relay(name: &str) -> RelayId {
    RelayId::new(name).unwrap()
}

/// The gateway of a bureau.
pub(super) fn gateway(of: &str) -> Entity {
    Entity::Device { kind: PartyKind::Bureau, device: device(of, "gw1") }
}

impl World {
    pub(super) fn new() -> Self {
        let domain = TrustDomain::new("i24.example").unwrap();
        let mint = Mint::new(domain.clone(), NOW_MS, Arc::new(SeededEntropy::new(7)));
        let root = mint.root(1).unwrap();
        let ca = |kind, name| mint.party_ca(&root, kind, &party(name), 1).unwrap();
        let (fr, de) = (ca(PartyKind::Bureau, "fr"), ca(PartyKind::Bureau, "de"));
        let minustah = ca(PartyKind::Mission, "minustah");
        let hub = mint.relay_ca(&root, &relay("hub-1"), 1).unwrap();
        let signer = mint.roster_signer(&root, &DeviceName::new("lab").unwrap()).unwrap();
        let entry = |kind, ca: &Authority| Party {
            kind,
            display: "A party".into(),
            region: "lab".into(),
            ca_keys: vec![ca.key_id()],
        };
        let roster = Roster {
            number: 5,
            domain,
            issued_ms: NOW_MS,
            roots: vec![root.key_id()],
            parties: BTreeMap::from([
                (party("fr"), entry(PartyKind::Bureau, &fr)),
                (party("de"), entry(PartyKind::Bureau, &de)),
                (party("minustah"), entry(PartyKind::Mission, &minustah)),
            ]),
            relays: BTreeMap::from([(relay("hub-1"), vec![hub.key_id()])]),
            revocations: BTreeMap::new(),
            agreements: vec![],
        };
        let mut world = Self { mint, root, fr, de, minustah, hub, signer, roster, crls: vec![] };
        for (name, ca) in [("root", &world.root), ("fr", &world.fr), ("de", &world.de)] {
            world.crls.push((format!("{name}.crl"), world.list(ca, 1, &[])));
        }
        for (name, ca) in [("minustah", &world.minustah), ("relay.hub-1", &world.hub)] {
            world.crls.push((format!("{name}.crl"), world.list(ca, 1, &[])));
        }
        world
    }

    pub(super) fn list(&self, ca: &Authority, number: u64, revoked: &[Revoked]) -> Vec<u8> {
        self.mint.crl(ca, number, revoked, 7 * DAY_MS).unwrap().to_vec()
    }

    /// Adds a list, as a file of its own.
    pub(super) fn publish(&mut self, name: &str, list: Vec<u8>) {
        self.crls.push((format!("{name}-newer.crl"), list));
    }

    pub(super) fn withhold(&mut self, name: &str) {
        let before = self.crls.len();
        self.crls.retain(|(file, _)| file != &format!("{name}.crl"));
        assert_eq!(self.crls.len() + 1, before);
    }

    pub(super) fn files(&self) -> TrustFiles {
        TrustFiles {
            root_pem: self.root.papers().cert_pem().as_bytes().to_vec(),
            roster: sign(&self.roster, &self.signer).to_bytes().to_vec(),
            crls: self.crls.clone(),
        }
    }

    pub(super) fn trust(&self) -> Trust {
        self.try_trust().unwrap()
    }

    pub(super) fn try_trust(&self) -> Result<Trust, PaperFault> {
        Trust::new(&self.files(), NOW_MS)
    }

    pub(super) fn gw1(&self) -> Papers {
        self.mint.device_tls(&self.fr, PartyKind::Bureau, &device("fr", "gw1")).unwrap()
    }

    pub(super) fn gw1_signing(&self) -> Papers {
        self.mint.device_signing(&self.fr, PartyKind::Bureau, &device("fr", "gw1")).unwrap()
    }

    pub(super) fn hub_tls(&self) -> Papers {
        self.mint.relay_tls(&self.hub, &relay("hub-1")).unwrap()
    }
}

/// The stable code of an outcome; `OK` for none.
pub(super) fn code<T>(outcome: Result<T, PaperFault>) -> &'static str {
    outcome.map_or_else(|fault| fault.code(), |_| "OK")
}

pub(super) fn chain(papers: &Papers) -> Vec<CertificateDer<'static>> {
    papers.chain().to_vec()
}
