//! Files of a federation made here are known by their content and judged under its root; hostile ones are one plain
//! error.

use std::sync::Arc;

use proptest::prelude::*;
use valise_host::entropy::{SeededEntropy, random};
use valise_host::exit::ExitCode;
use valise_host::plain::acts;
use valise_proto::bundle::{Bundle, DeviceKem, Epoch};
use valise_proto::header::{Header, Part, Recipient, SUITE_1};
use valise_proto::kinds::{Addressing, Class, PartyKind, Precedence};
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName, RelayId, TrustDomain};
use valise_proto::roster::{Party, Roster};
use valise_proto::signing::Hash;
use valise_proto::{transfer, wire};

use super::*;
use crate::mint::Mint;
use crate::papers::{Authority, Papers};
use crate::roster::{compile_agreements, sign};

const NOW_MS: u64 = 1_790_000_000_000;

/// A federation in memory: bureau fr with its gateway gw1.
struct Federation {
    mint: Mint,
    root: Authority,
    fr: Authority,
    gw1: Papers,
}

fn gateway() -> DeviceId {
    DeviceId { party: PartyName::new("fr").unwrap(), device: DeviceName::new("gw1").unwrap() }
}

impl Federation {
    fn new() -> Self {
        Self::of(7)
    }

    fn of(seed: u64) -> Self {
        let domain = TrustDomain::new("i24.example").unwrap();
        let mint = Mint::new(domain, NOW_MS, Arc::new(SeededEntropy::new(seed)));
        let root = mint.root(1).unwrap();
        let fr = mint.party_ca(&root, PartyKind::Bureau, &gateway().party, 1).unwrap();
        let gw1 = mint.device_signing(&fr, PartyKind::Bureau, &gateway()).unwrap();
        Self { mint, root, fr, gw1 }
    }

    fn roster(&self) -> Vec<u8> {
        let text = "[[agreement]]\narticle = \"I\"\nfrom = [\"fr\"]\nto = [\"@all\"]\n\
                    classes = { message = \"all\", notice = [\"red\"] }\nuntil = \"2027-01-01T00:00:00Z\"\n";
        let party = Party {
            kind: PartyKind::Bureau,
            display: "France".to_owned(),
            region: "europe".to_owned(),
            ca_keys: vec![self.fr.key_id()],
        };
        let roster = Roster {
            number: 3,
            domain: self.mint.domain().clone(),
            issued_ms: NOW_MS,
            roots: vec![self.root.key_id()],
            agreements: compile_agreements(text, |name| name.as_str() == "fr").unwrap(),
            parties: [(gateway().party, party)].into(),
            relays: [(RelayId::new("hub-1").unwrap(), vec![self.root.key_id()])].into(),
            revocations: [(self.gw1.key.key_id(), NOW_MS)].into(),
        };
        let signer = self.mint.roster_signer(&self.root, &DeviceName::new("lab").unwrap()).unwrap();
        sign(&roster, &signer).to_bytes().to_vec()
    }

    fn bundle(&self, mailbox: &str) -> SignedBundle {
        let bundle = Bundle {
            mailbox: Mailbox::new(mailbox).unwrap(),
            batch_no: 4,
            prev: Some(Hash([9; 32])),
            epochs: vec![Epoch {
                no: 2,
                not_before_ms: NOW_MS,
                not_after_ms: NOW_MS + l::EPOCH_MS,
                xwing: Box::new([1; l::XWING_PUBLIC_BYTES]),
                x25519: [2; 32],
            }],
            drain_hours: 48,
            max_ttl_days: 30,
            devices: vec![DeviceKem {
                device: gateway().device,
                xwing: Box::new([3; l::XWING_PUBLIC_BYTES]),
            }],
        };
        let [leaf, ca] = self.gw1.chain().map(|der| Bytes::copy_from_slice(&der));
        SignedBundle::sign(&bundle, &self.gw1.key.signing_key(), leaf, ca)
    }

    fn header(&self) -> SignedHeader {
        let header = Header {
            suite: SUITE_1,
            message_id: MessageId::new([5; 16]),
            sender: Mailbox::new("fr").unwrap(),
            sender_device: gateway().device,
            sender_key_id: self.gw1.key.key_id(),
            created_ms: NOW_MS,
            expires_ms: NOW_MS + l::MESSAGE_LIFE_MS,
            class: Class::Notice,
            precedence: Precedence::Flash,
            roster_no: 3,
            recipients: vec![Recipient {
                mailbox: Mailbox::new("br/fugitives").unwrap(),
                addressing: Addressing::Action,
                pair_seq: 12,
            }],
            parts: vec![Part { ct_len: 272, ct_root: Hash([3; 32]) }],
            cek_commit: [4; 32],
            log: None,
            fanout_agent: None,
        };
        header.sign(&self.gw1.key.signing_key())
    }

    fn opening(&self) -> Kind {
        transfer::opening(7, &self.header(), None, []).into_iter().next().unwrap()
    }

    fn begin(&self) -> Vec<u8> {
        let Kind::Begin(begin) = self.opening() else { panic!("an envelope begins with Begin") };
        wire::encode(&begin).to_vec()
    }

    /// What a person has at hand.
    fn bench(&self, rooted: bool, signer: &[&[u8]]) -> Bench {
        let roots = rooted.then(|| Roots::read(self.root.papers().cert_pem().as_bytes()).unwrap());
        Bench { roots, signer: signer.iter().map(|der| der.to_vec()).collect(), now_ms: NOW_MS + 1000 }
    }
}

fn told(bytes: &[u8], bench: &Bench) -> Vec<Found> {
    recognised(Path::new("file"), bytes.to_vec(), bench).unwrap()
}

/// The one thing that a file holds: its JSON, its table, and what its signature is worth.
fn one(bytes: &[u8], bench: &Bench) -> (serde_json::Value, String, Worth) {
    let mut found = told(bytes, bench);
    assert_eq!((found.len(), found[0].told.json.len()), (1, 1));
    let found = found.remove(0);
    (serde_json::from_str(&found.told.json[0]).unwrap(), found.told.table.join("\n"), found.signature.state)
}

#[test]
fn a_certificate_says_whom_it_names_and_is_judged_under_the_root() {
    let here = Federation::new();
    let ca = here.fr.papers().cert.clone();
    let (said, table, worth) = one(&here.gw1.cert, &here.bench(true, &[&ca]));
    assert_eq!((said["kind"].as_str(), said["role"].as_str()), (Some("certificate"), Some("leaf")));
    assert_eq!(said["who"], "device fr/gw1 (bureau)");
    assert_eq!(said["uri"][0], "spiffe://i24.example/bureau/fr/device/gw1");
    assert_eq!(said["dns"][0], "gw1.fr.bureau.i24.example");
    assert_eq!(said["usage"], serde_json::json!(["documentSigning"]));
    assert_eq!(said["key"], here.gw1.key.key_id().to_string());
    assert_eq!((said["warnings"].as_array().unwrap().len(), worth), (0, Worth::Verified));
    assert!(table.contains("who          device fr/gw1 (bureau)") && table.contains("key id"), "{table}");

    assert_eq!(one(&here.gw1.cert, &here.bench(false, &[])).2, Worth::Unverified);
    assert_eq!(
        one(&here.gw1.cert, &here.bench(true, &[])).2,
        Worth::Unverified,
        "without its CA nobody can tell"
    );
    let (said, _, worth) = one(&ca, &here.bench(true, &[]));
    assert_eq!((said["role"].as_str(), worth), (Some("CA"), Worth::Verified));
    assert_eq!(said["permitted"][0], "fr.bureau.i24.example");
    assert_eq!(one(&ca, &Federation::of(8).bench(true, &[])).2, Worth::Invalid, "of another root");

    // The file of a device holds leaf and CA; both are told, each on a line of its own.
    let chain = told(here.gw1.chain_pem().as_bytes(), &here.bench(true, &[]));
    let worth = |one: &Found| (one.told.json.len(), one.signature.state);
    assert_eq!(chain.iter().map(worth).collect::<Vec<_>>(), [(1, Worth::Verified); 2]);
    let mut late = here.bench(true, &[&ca]);
    late.now_ms = NOW_MS + 400 * l::DAY_MS;
    let (said, _, worth) = one(&here.gw1.cert, &late);
    assert!(said["warnings"][0].as_str().unwrap().contains("it expired on"), "{said}");
    assert_eq!(worth, Worth::Invalid);
}

#[test]
fn a_revocation_list_says_whom_it_revokes() {
    let here = Federation::new();
    let revoked = [crate::crl::Revoked { serial: vec![0x1d, 0xea], since_ms: NOW_MS }];
    let list = here.mint.crl(&here.fr, 5, &revoked, l::DAY_MS).unwrap();
    let ca = here.fr.papers().cert.clone();
    let (said, table, worth) = one(&list, &here.bench(true, &[&ca]));
    assert_eq!((said["kind"].as_str(), said["number"].as_str()), (Some("revocation-list"), Some("5")));
    assert_eq!(
        (said["revoked_count"].as_u64(), said["revoked"][0]["serial"].as_str()),
        (Some(1), Some("1dea"))
    );
    assert_eq!(said["issuer_key"].as_str().unwrap(), &here.fr.key_id().to_string()[..40]);
    assert!(worth == Worth::Verified && table.contains("1dea since 2026-09-21T14:13:20Z"), "{table}");
    assert_eq!(one(&list, &here.bench(true, &[])).2, Worth::Unverified);
    let other = Federation::of(8);
    assert_eq!(one(&list, &here.bench(true, &[&other.fr.papers().cert])).2, Worth::Invalid);
    let roots_own = here.mint.crl(&here.root, 1, &[], l::DAY_MS).unwrap();
    assert_eq!(one(&roots_own, &here.bench(true, &[])).2, Worth::Verified);
    let mut late = here.bench(false, &[]);
    late.now_ms = NOW_MS + 2 * l::DAY_MS;
    assert!(one(&list, &late).0["warnings"][0].as_str().unwrap().contains("it is late"));
}

#[test]
fn a_roster_says_who_is_who_and_who_may() {
    let here = Federation::new();
    let (said, table, worth) = one(&here.roster(), &here.bench(true, &[]));
    assert_eq!((said["kind"].as_str(), said["number"].as_u64()), (Some("roster"), Some(3)));
    assert_eq!(said["signer"]["who"], "roster signer lab");
    assert_eq!(
        (said["parties"][0]["name"].as_str(), said["relays"][0]["id"].as_str()),
        (Some("fr"), Some("hub-1"))
    );
    assert_eq!(said["revocations"][0]["key"], here.gw1.key.key_id().to_string());
    assert_eq!(worth, Worth::Verified);
    assert!(
        table.contains("I: fr to @all: message, notice (red); up to override, until 2027-01-01T00:00:00Z"),
        "{table}"
    );
    let (said, table, worth) = one(&here.roster(), &here.bench(false, &[]));
    assert_eq!((said["signature"]["state"].as_str(), worth), (Some("unverified"), Worth::Unverified));
    assert!(table.contains("NOT VERIFIED"), "{table}");
    assert_eq!(one(&here.roster(), &Federation::of(8).bench(true, &[])).2, Worth::Invalid, "of another root");
    let mut signed = <wire::SignedRoster as prost::Message>::decode(&here.roster()[..]).unwrap();
    signed.signature = vec![1; 64].into();
    assert_eq!(one(&wire::encode(&signed), &here.bench(false, &[])).2, Worth::Invalid);
}

#[test]
fn a_bundle_is_read_as_it_rests_and_as_it_travels() {
    let here = Federation::new();
    let bundle = here.bundle("fr/fugitives");
    let framed = frame::encode(Kind::Bundle(bundle.to_wire()));
    for bytes in [&bundle.to_bytes(), &framed] {
        let (said, table, worth) = one(bytes, &here.bench(true, &[]));
        assert_eq!((said["kind"].as_str(), said["mailbox"].as_str()), (Some("bundle"), Some("fr/fugitives")));
        assert_eq!((said["batch"].as_u64(), said["epochs"][0]["number"].as_u64()), (Some(4), Some(2)));
        assert_eq!((said["devices"][0].as_str(), worth), (Some("gw1"), Worth::Verified));
        assert!(table.contains("batch 4 of fr/fugitives") && table.contains("(in 6 days)"), "{table}");
    }
    assert_eq!(one(&bundle.to_bytes(), &here.bench(false, &[])).2, Worth::Unverified);
    assert_eq!(
        one(&here.bundle("br").to_bytes(), &here.bench(true, &[])).2,
        Worth::Invalid,
        "br's, signed by fr"
    );
    assert_eq!(one(&bundle.to_bytes(), &Federation::of(8).bench(true, &[])).2, Worth::Invalid);
}

#[test]
fn a_header_says_what_a_relay_sees() {
    let here = Federation::new();
    let [leaf, ca] = here.gw1.chain();
    let framed = frame::encode(here.opening());
    for bytes in [&here.begin()[..], &framed] {
        let (said, table, worth) = one(bytes, &here.bench(true, &[&leaf, &ca]));
        assert_eq!((said["kind"].as_str(), said["sender"].as_str()), (Some("header"), Some("fr")));
        assert_eq!((said["class"].as_str(), said["precedence"].as_str()), (Some("notice"), Some("flash")));
        assert_eq!(said["recipients"][0]["mailbox"], "br/fugitives");
        assert_eq!((said["parts"][0]["bytes"].as_u64(), worth), (Some(272), Worth::Verified));
        assert!(table.contains("br/fugitives, action, number 12 of this pair"), "{table}");
    }
    let (said, _, worth) = one(here.header().bytes(), &here.bench(true, &[&leaf, &ca]));
    assert_eq!(
        (said["id"].as_str().map(str::len), worth),
        (Some(26), Worth::Unverified),
        "without a signature"
    );
    let worth = |rooted, signer: &[&[u8]]| one(&here.begin(), &here.bench(rooted, signer)).2;
    assert_eq!(worth(true, &[]), Worth::Unverified);
    assert_eq!(worth(false, &[&leaf]), Worth::Unverified);
    assert_eq!(worth(true, &[&leaf]), Worth::Invalid, "no chain to the root without its CA");
    assert_eq!(
        worth(true, &[&Federation::of(8).gw1.cert]),
        Worth::Unverified,
        "not the certificate it names"
    );
    let mut begin = <wire::Begin as prost::Message>::decode(&here.begin()[..]).unwrap();
    begin.signature = vec![1; 64].into();
    assert_eq!(one(&wire::encode(&begin), &here.bench(true, &[&leaf, &ca])).2, Worth::Invalid);
}

#[test]
fn what_others_wrote_acts_on_no_terminal() {
    let mut params = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "a\u{1b}[2J\nb\u{202e}c");
    let key = rcgen::KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let found = told(&der, &Federation::new().bench(false, &[])).remove(0);
    for line in found.told.table.iter().chain(&found.told.json) {
        assert!(!line.chars().any(acts), "{line:?}");
    }
    assert!(found.told.table.join("\n").contains("its key is not a usable Ed25519 key"));
}

/// A directory for one test, gone when the test ends.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn what_is_nothing_of_ours_is_one_plain_error() {
    let here = Federation::new();
    let place =
        Place(std::env::temp_dir().join(format!("valise-look-{:016x}", u64::from_le_bytes(random()))));
    std::fs::create_dir(&place.0).unwrap();
    let key = here.gw1.key_pem();
    let pem = here.gw1.cert_pem();
    let cases: [(&str, &[u8], &str); 7] = [
        ("empty", b"", "it is empty"),
        ("noise", &[0x5a; 4000], "nothing that is known here"),
        ("text", b"Dear Sir, please find attached", "nothing that is known here"),
        ("key", key.as_bytes(), "a private key; nothing of it is shown"),
        ("cut", &pem.as_bytes()[..pem.len() - 40], "damaged"),
        ("hollow", b"-----BEGIN CERTIFICATE-----\nMDAw\n-----END CERTIFICATE-----\n", "that is none"),
        ("many", &pem.repeat(17).into_bytes(), "more than 16"),
    ];
    for (name, bytes, word) in cases {
        let path = place.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        let fault = inspect(&path, &Judge::default()).unwrap_err();
        let said = fault.to_string();
        assert_eq!(fault.exit(), ExitCode::InvalidInput, "{said}");
        assert!(said.contains(word) && said.contains(name) && !said.contains('\n'), "{said}");
        let secret = key.lines().nth(1).unwrap();
        assert!(!said.contains(&secret[..8]), "{said}");
    }
    for path in [place.0.clone(), place.0.join("nowhere"), PathBuf::from("/dev/zero")] {
        assert_eq!(inspect(&path, &Judge::default()).unwrap_err().exit(), ExitCode::InvalidInput);
    }
    let (roster, root) = (place.0.join("roster.bin"), place.0.join("root.pem"));
    std::fs::write(&roster, here.roster()).unwrap();
    std::fs::write(&root, Federation::of(8).root.papers().cert_pem()).unwrap();
    let judge = Judge { root: Some(root), signer: None, now_ms: NOW_MS };
    let (told, untrusted) = inspect(&roster, &judge).unwrap();
    assert_eq!((told.json.len(), untrusted.unwrap().exit()), (1, ExitCode::NotTrusted), "shown, and refused");
}

/// One file of each kind.
fn files() -> Vec<Vec<u8>> {
    let here = Federation::new();
    vec![
        here.gw1.cert.to_vec(),
        here.gw1.chain_pem().into_bytes(),
        here.mint.crl(&here.fr, 1, &[], 1000).unwrap().to_vec(),
        here.roster(),
        here.bundle("fr").to_bytes().to_vec(),
        here.begin(),
        frame::encode(here.opening()).to_vec(),
    ]
}

#[test]
fn no_file_cut_short_or_changed_in_one_byte_is_more_than_an_error() {
    let here = Federation::new();
    let bench = here.bench(true, &[&here.gw1.cert, &here.fr.papers().cert]);
    for file in files() {
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1 << (at % 8);
            for bytes in [&file[..at], &changed] {
                if let Err(fault) = recognised(Path::new("file"), bytes.to_vec(), &bench) {
                    assert_eq!(fault.exit(), ExitCode::InvalidInput);
                    assert!(!fault.to_string().chars().any(acts), "{fault}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_at_all_are_more_than_an_error(mut bytes: Vec<u8>, first in 0_usize..4) {
        let bench = Bench { roots: None, signer: vec![bytes.clone()], now_ms: NOW_MS };
        let head: &[u8] = [&[][..], &[DER_SEQUENCE, 0x82], &[0x0a], b"-----BEGIN X509 CRL-----\n"][first];
        bytes.splice(0..0, head.iter().copied());
        recognised(Path::new("file"), bytes, &bench).ok();
    }
}
