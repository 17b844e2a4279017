//! What an administrator sees of the files of a federation, by `valisectl inspect`; and of files that are none of its.

use std::fs;

use valise_lab::Lab;
use valise_lab::admin::valisectl;

#[test]
fn every_file_of_a_federation_is_known_by_its_content() {
    let lab = Lab::new(&["fr", "minustah"]).unwrap();
    let path = |name: &str| lab.dir().join(name).to_str().unwrap().to_owned();
    let root = path("root/root.pem");
    for (file, signer, kinds, state) in [
        ("root/root.pem", None, &["certificate"][..], "verified"),
        ("root/roster-signer.pem", None, &["certificate", "certificate"], "verified"),
        ("relay/ca/ca.pem", None, &["certificate", "certificate"], "verified"),
        ("relay/keys/tls.pem", None, &["certificate", "certificate"], "verified"),
        ("parties/fr/keys/sign.pem", None, &["certificate", "certificate"], "verified"),
        ("crl/minustah.crl", None, &["revocation-list"], "unverified"),
        ("crl/root.crl", None, &["revocation-list"], "verified"),
        ("crl/minustah.crl", Some("parties/minustah/ca/ca.pem"), &["revocation-list"], "verified"),
        ("roster.bin", None, &["roster"], "verified"),
    ] {
        let (name, signer) = (path(file), signer.map(path));
        let mut words = vec!["inspect", &name, "--root", &root];
        words.extend(signer.iter().flat_map(|signer| ["--signer", signer]));
        let said = valisectl(&words).unwrap();
        let found: Vec<_> = said.lines.iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!((said.code, &found[..]), (0, kinds), "{file}: {said:?}");
        assert_eq!(said.lines[0]["signature"]["state"], state, "{file}: {said:?}");
    }
    let said = valisectl(&["inspect", &path("parties/fr/keys/sign.pem")]).unwrap();
    assert_eq!(said.lines[0]["who"], "device fr/gw1 (bureau)");
}

#[test]
fn what_does_not_hold_is_shown_and_refused_and_what_is_nothing_is_refused() {
    let lab = Lab::new(&["fr"]).unwrap();
    let path = |name: &str| lab.dir().join(name).to_str().unwrap().to_owned();
    let mut roster = fs::read(path("roster.bin")).unwrap();
    let at = roster.windows(11).position(|window| window == b"i24.example").unwrap();
    roster[at] = b'j'; // another trust domain, under a signature that was not over it
    fs::write(path("forged.bin"), roster).unwrap();
    let said = valisectl(&["inspect", &path("forged.bin"), "--root", &path("root/root.pem")]).unwrap();
    assert_eq!((said.code, said.lines.len()), (6, 1), "{said:?}");
    assert_eq!(
        (&said.lines[0]["domain"], &said.lines[0]["signature"]["state"]),
        (&"j24.example".into(), &"invalid".into())
    );
    assert!(said.stderr.contains("NOT_TRUSTED") && said.stderr.lines().count() == 1, "{said:?}");

    for file in ["relay/keys/tls.key", "relay/keys/store.key", "relay/relay.toml", "nowhere", "crl"] {
        let said = valisectl(&["inspect", &path(file)]).unwrap();
        assert_eq!(
            (said.code, said.lines.len(), said.stderr.lines().count()),
            (11, 0, 1),
            "{file}: {said:?}"
        );
    }
}
