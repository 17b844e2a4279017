//! The lock file: one copy of each piece of cryptography, nothing older than its last known hole, and one
//! source for everything.

use std::collections::{BTreeMap, BTreeSet};

use super::{cargo, has_extension, judge, read, tracked};

/// Two versions of one of these in a program are two things to audit, and types that do not fit.
const ONE_COPY: &[&str] = &[
    "aead",
    "aws-lc-rs",
    "chacha20poly1305",
    "curve25519-dalek",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "hpke",
    "ml-kem",
    "quinn-proto",
    "rustls",
    "rustls-webpki",
    "sha2",
    "x-wing",
    "x25519-dalek",
];

/// One TLS provider is linked, and it is aws-lc-rs.
const ABSENT: &[&str] = &["ring", "openssl", "native-tls"];

/// The oldest version that may be locked, each for a published weakness below it.
const FLOORS: &[(&str, [u64; 3])] =
    &[("bytes", [1, 11, 1]), ("quinn-proto", [0, 11, 15]), ("rustls-webpki", [0, 103, 13])];

/// Where every dependency comes from. Exactly as cargo writes it, whatever a build host puts in between.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// How another source would show in a text of ours.
const SOURCE_MARKS: &[&str] = &["registry+", "sparse+", "replace-with", "[source.", "[registries"];

#[test]
fn each_piece_of_cryptography_is_there_once() {
    let locked = locked();
    let copies = |name: &&&str| locked.get(**name).is_some_and(|versions| versions.len() > 1);
    let faults: Vec<_> = ONE_COPY
        .iter()
        .filter(copies)
        .map(|name| format!("{name} is locked in versions {}", joined(&locked[*name])))
        .collect();
    judge(&faults, "`cargo tree -d` shows who asks for which; bring them to one version.");
}

#[test]
fn one_tls_provider_is_linked() {
    let tree = cargo(&["tree", "--workspace", "--prefix", "none", "--format", "{p}"]);
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let faults: Vec<_> =
        ABSENT.iter().filter(|name| names.contains(**name)).map(|name| format!("{name} is built")).collect();
    judge(
        &faults,
        "`cargo tree --workspace -i NAME -e features` shows the feature that pulls it in; turn it off.",
    );
}

#[test]
fn nothing_is_older_than_its_last_known_hole() {
    let locked = locked();
    let mut faults = Vec::new();
    for (name, floor) in FLOORS {
        for version in locked.get(*name).into_iter().flatten().filter(|version| numbers(version) < *floor) {
            faults.push(format!("{name} {version} is locked, {floor:?} is the oldest allowed"));
        }
    }
    judge(&faults, "Run `cargo update -p NAME` in a commit of its own.");
}

#[test]
fn everything_comes_from_one_source() {
    let lock = read("Cargo.lock");
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    let mut faults: Vec<_> = sources
        .filter(|source| source.trim_matches('"') != SOURCE)
        .map(|source| format!("Cargo.lock: {source}"))
        .collect();
    for path in tracked() {
        if has_extension(&path, "md") || has_extension(&path, "toml") {
            let text = read(&path);
            let marks = SOURCE_MARKS.iter().filter(|mark| text.contains(**mark));
            faults.extend(marks.map(|mark| format!("{path}: `{mark}`")));
        }
    }
    judge(&faults, "A clone must build anywhere: keep mirrors and other sources in your own cargo home.");
}

/// Every locked package with its versions, for all platforms.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in read("Cargo.lock").lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            value.trim_matches('"').clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("version = ").filter(|_| !name.is_empty()) {
            found.entry(name.clone()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    found
}

/// The three numbers of a version; what follows them (a pre-release, a build) does not count here.
fn numbers(version: &str) -> [u64; 3] {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn joined(versions: &BTreeSet<String>) -> String {
    versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
