//! A second opinion: OpenSSL reads the keys and verifies the chains, where it is installed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use valise_host::entropy::{OsEntropy, random};
use valise_proto::names::TrustDomain;

use super::world::NOW_MS;
use crate::lab::{InitRequest, init};
use crate::parties::PartyArg;

fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "openssl {args:?}: {said}");
    said
}

#[test]
fn openssl_agrees() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED, because openssl is not installed");
        return;
    }
    let dir: PathBuf = std::env::temp_dir().join(format!("valise-{:016x}", u64::from_le_bytes(random())));
    let request = InitRequest {
        dir: dir.clone(),
        parties: ["fr", "minustah"].map(|name| PartyArg::parse(name).unwrap()).to_vec(),
        domain: TrustDomain::new("i24.example").unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
    };
    init(&request, NOW_MS, Arc::new(OsEntropy)).unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let (root, time) = (path("root/root.pem"), (NOW_MS / 1000).to_string());
    let pem = |name: &str| openssl(&["crl", "-inform", "DER", "-in", &path(&format!("crl/{name}.crl"))]);
    for (home, list, purpose) in [
        ("parties/fr", "fr", "sslclient"),
        ("parties/minustah", "minustah", "sslclient"),
        ("relay", "relay.hub-1", "sslserver"),
    ] {
        let crls = path("crls.pem");
        fs::write(&crls, pem("root") + &pem(list)).unwrap();
        let keys = format!("{home}/keys");
        let (tls, sign) = (path(&format!("{keys}/tls.pem")), path(&format!("{keys}/sign.pem")));
        let verify = [
            "verify",
            "-attime",
            &time,
            "-CAfile",
            &root,
            "-CRLfile",
            &crls,
            "-crl_check_all",
            "-x509_strict",
        ];
        openssl(&[&verify[..], &["-purpose", purpose, "-untrusted", &tls, &tls]].concat());
        openssl(&[&verify[..], &["-untrusted", &sign, &sign]].concat());
        for key in ["tls.key", "sign.key"] {
            let text = openssl(&["pkey", "-noout", "-text", "-in", &path(&format!("{keys}/{key}"))]);
            assert!(text.contains("ED25519 Private-Key"), "{text}");
        }
    }
    fs::remove_dir_all(dir).unwrap();
}
