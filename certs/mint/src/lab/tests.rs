//! `init`, seen from the disk: what stands there, who may read it, and what is refused untouched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use valise_certs::Trust;
use valise_certs::load::TrustFiles;
use valise_certs::tls::{TlsPapers, client_config, server_config, time_from};
use valise_host::entropy::{SeededEntropy, random};
use valise_host::keyfile::{KeyFile, load_private_key};
use valise_host::socket::SOCKET_PATH_MAX;
use valise_proto::agreements::Request;
use valise_proto::kinds::{Class, PartyKind, Precedence};
use valise_proto::names::PartyName;

use super::*;
use crate::crl::LAB_CRL_LIFE_MS;

const NOW_MS: u64 = 1_790_000_000_000;

/// A directory of one test, gone with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("valise-{:016x}", u64::from_le_bytes(random())));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn request(&self, name: &str, parties: &[&str]) -> InitRequest {
        InitRequest {
            dir: self.0.join(name),
            parties: parties.iter().map(|text| PartyArg::parse(text).unwrap()).collect(),
            domain: TrustDomain::new("i24.example").unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn make(request: &InitRequest) -> Result<Lab, MintFault> {
    init(request, NOW_MS, Arc::new(SeededEntropy::new(24)))
}

fn trust(dir: &Path) -> Trust {
    let root = dir.join("root/root.pem");
    let files = TrustFiles::read(&root, &dir.join("roster.bin"), &dir.join("crl")).unwrap();
    Trust::new(&files, NOW_MS).unwrap()
}

fn late_crl(trust: &Trust, now_ms: u64) -> bool {
    trust.crl_status(now_ms).iter().any(|one| one.state != valise_certs::crl::CrlState::Fresh)
}

#[test]
fn a_lab_stands_whole_and_says_where() {
    let place = Place::new();
    let lab = make(&place.request("lab", &["fr", "br", "minustah"])).unwrap();
    assert_eq!(place.names(), ["lab"], "nothing is left beside it");
    assert_eq!(lab.dir, place.0.join("lab"));
    assert_ne!(lab.relay.listen.port(), 0);
    let kinds: Vec<_> = lab.parties.iter().map(|party| (&*party.name, &*party.kind)).collect();
    assert_eq!(kinds, [("fr", "bureau"), ("br", "bureau"), ("minustah", "mission")]);
    for party in &lab.parties {
        assert!(party.config.is_file());
        assert_eq!(party.socket, party.config.with_file_name("api.sock"));
        assert!(!party.socket.exists(), "a socket appears only when it answers");
    }
    let config = fs::read_to_string(&lab.relay.config).unwrap();
    assert!(config.contains(&format!("listen = \"{}\"", lab.relay.listen)), "{config}");

    let trust = trust(&lab.dir);
    let roster = trust.roster();
    let minustah = &roster.parties[&PartyName::new("minustah").unwrap()];
    assert_eq!((minustah.kind, &*minustah.region), (PartyKind::Mission, "americas"));
    assert!(!late_crl(&trust, NOW_MS), "{:?}", trust.crl_status(NOW_MS));
    assert!(late_crl(&trust, NOW_MS + LAB_CRL_LIFE_MS + 1000));
    for (from, to) in [("fr", "br"), ("br", "minustah"), ("minustah", "minustah")] {
        let (from, to) = (PartyName::new(from).unwrap(), PartyName::new(to).unwrap());
        for class in [Class::Message, Class::Notice, Class::Request, Class::Reply] {
            let precedence = Precedence::Override;
            let request = Request {
                from: &from,
                to: &to,
                class,
                message_type: None,
                precedence,
                bytes: 1,
                now_ms: NOW_MS,
            };
            assert_eq!(roster.permits(&request), Some("lab-1"));
        }
    }
}

#[test]
fn the_papers_of_a_lab_fit_their_keys_and_the_tls_library() {
    let place = Place::new();
    let lab = make(&place.request("lab", &["fr"])).unwrap();
    let trust = trust(&lab.dir);
    let papers = |home: &str| {
        let keys = lab.dir.join(home).join("keys");
        let key = load_private_key(&keys.join("tls.key")).unwrap();
        TlsPapers::new(&fs::read(keys.join("tls.pem")).unwrap(), &key)
    };
    let (relay, fr) = (papers("relay").unwrap(), papers("parties/fr").unwrap());
    server_config(&relay, &trust, time_from(|| NOW_MS)).unwrap();
    client_config(&fr, &trust, time_from(|| NOW_MS)).unwrap();
    let keys = lab.dir.join("parties/fr/keys");
    let other = load_private_key(&keys.join("sign.key")).unwrap();
    let fault = TlsPapers::new(&fs::read(keys.join("tls.pem")).unwrap(), &other).unwrap_err();
    assert_eq!(fault.code(), "OWN_PAPERS");
    for raw in ["kem.key", "store.key"] {
        KeyFile::load(&keys.join(raw)).unwrap();
    }
}

#[test]
fn directories_are_private_and_keys_more_so() {
    let place = Place::new();
    let lab = make(&place.request("lab", &["fr", "minustah"])).unwrap();
    let (mut waiting, mut keys) = (vec![lab.dir], 0);
    while let Some(path) = waiting.pop() {
        let meta = fs::metadata(&path).unwrap();
        let mode = meta.permissions().mode() & 0o777;
        if meta.is_dir() {
            assert_eq!(mode, 0o700, "{path:?}");
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "key") {
            assert_eq!(mode, 0o600, "{path:?}");
            keys += 1;
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("PRIVATE KEY"), "{path:?}");
        }
    }
    // Root, roster signer; relay: CA, TLS, signing, store; each party: those and the KEM key.
    assert_eq!(keys, 2 + 4 + 2 * 5);
}

#[test]
fn a_directory_that_holds_anything_is_left_alone() {
    let place = Place::new();
    let request = place.request("lab", &["fr"]);
    fs::create_dir(&request.dir).unwrap();
    fs::write(request.dir.join("notes.txt"), "mine").unwrap();
    let fault = make(&request).unwrap_err();
    assert_eq!((fault.code(), fault.exit() as u8), ("NOT_EMPTY", 11));
    assert_eq!(place.names(), ["lab"]);
    assert_eq!(fs::read_dir(&request.dir).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(request.dir.join("notes.txt")).unwrap(), "mine");

    let file = InitRequest { dir: request.dir.join("notes.txt"), ..request };
    assert_eq!(make(&file).unwrap_err().code(), "NOT_EMPTY");
}

#[test]
fn an_empty_directory_and_missing_parents_are_fine() {
    let place = Place::new();
    let request = place.request("lab", &["fr"]);
    fs::create_dir(&request.dir).unwrap();
    assert!(make(&request).unwrap().parties[0].config.is_file());
    let mode = fs::metadata(&request.dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    make(&place.request("a/b/lab", &["fr"])).unwrap();
    assert_eq!(place.names(), ["a", "lab"]);
}

#[test]
fn kinds_can_be_overridden_and_names_given_once() {
    let place = Place::new();
    let lab = make(&place.request("lab", &["mission:xx", "bureau:scotland", "hub-1"])).unwrap();
    let kinds: Vec<_> = lab.parties.iter().map(|party| &*party.kind).collect();
    assert_eq!(kinds, ["mission", "bureau", "mission"]);
    let config = fs::read_to_string(&lab.parties[1].config).unwrap();
    assert!(config.contains("device = \"gw1\""), "{config}");
    let fault = make(&place.request("other", &["xx", "mission:xx"])).unwrap_err();
    assert_eq!((fault.code(), fault.exit() as u8), ("BAD_PARTY", 11));
    assert_eq!(place.names(), ["lab"]);
}

#[test]
fn a_socket_path_that_no_system_call_takes_is_refused() {
    let place = Place::new();
    let fixed = place.0.as_os_str().len() + "//parties/fr/api.sock".len();
    let longest = "l".repeat(SOCKET_PATH_MAX - fixed);
    let fault = make(&place.request(&format!("{longest}x"), &["fr"])).unwrap_err();
    assert_eq!((fault.code(), fault.exit() as u8), ("SOCKET_PATH", 11));
    assert!(fault.to_string().contains("has 108 bytes; the operating system allows 107"), "{fault}");
    assert!(place.names().is_empty());
    let lab = make(&place.request(&longest, &["fr"])).unwrap();
    assert_eq!(lab.parties[0].socket.as_os_str().len(), SOCKET_PATH_MAX);
}

#[test]
fn a_relay_that_listens_everywhere_is_found_on_this_machine() {
    let place = Place::new();
    let listen = "0.0.0.0:4433".parse().unwrap();
    let lab = make(&InitRequest { listen, ..place.request("lab", &["fr"]) }).unwrap();
    assert_eq!(lab.relay.listen, listen);
    let config = fs::read_to_string(&lab.parties[0].config).unwrap();
    assert!(config.contains("address = \"127.0.0.1:4433\""), "{config}");
    assert_eq!(chosen("203.0.113.1:0".parse().unwrap()).unwrap_err().code(), "BAD_LISTEN");
}

#[test]
fn the_whole_federation_fits_one_lab() {
    let place = Place::new();
    let list = include_str!("../../data/parties.csv");
    let names: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let lab = make(&place.request("lab", &names)).unwrap();
    assert_eq!(lab.parties.len(), 203);
    assert_eq!(trust(&lab.dir).crl_status(NOW_MS).len(), 205);
}
