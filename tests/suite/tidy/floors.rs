//! The floors of the house: which package may stand on which, and what may never be within reach of one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{cargo, judge};

/// Who may stand on whom. An edge missing here fails the build. `None` may see everything.
const FLOORS: &[(&str, Option<&[&str]>)] = &[
    ("valise-proto", Some(&[])),
    ("valise-seal", Some(&["valise-proto"])),
    ("valise-host", Some(&["valise-proto"])),
    ("valise-certs", Some(&["valise-proto"])),
    ("valise-mint", Some(&["valise-proto", "valise-certs", "valise-host"])),
    // Never valise-seal: the relay is not linked with the code that could open an envelope.
    ("valise-relay", Some(&["valise-proto", "valise-host", "valise-certs"])),
    ("valise-client", Some(&["valise-proto", "valise-host", "valise-seal", "valise-certs"])),
    ("verify", Some(&[])),
    ("valise-tests", None),
    ("valise-benches", None),
];

/// What must not be found anywhere among the dependencies of a package as it is built.
const WALLS: &[(&str, &[&str])] = &[
    ("valise-relay", &["valise-seal", "valise-mint", "valise-client", "hpke", "x-wing", "ml-kem", "rcgen"]),
    ("valise-client", &["valise-relay", "valise-mint", "rcgen"]),
    ("valise-host", &["valise-seal", "hpke", "x-wing", "ml-kem"]),
    ("valise-certs", &["valise-seal", "valise-mint", "rcgen", "hpke", "x-wing", "ml-kem"]),
    ("valise-mint", &["valise-seal", "hpke", "x-wing", "ml-kem"]),
    // The ground floor has no sockets and no chance of its own.
    ("valise-proto", &["tokio", "quinn", "quinn-proto", "getrandom", "rusqlite", "rustix"]),
    ("valise-seal", &["tokio", "quinn", "quinn-proto", "getrandom", "rusqlite", "rustix"]),
    ("verify", &["libc"]),
];

/// What `cargo demo`, `cargo verify` and `cargo torture` build, as tests/verify says it.
const PROGRAMS: &[&str] = &["valise-mint", "valise-relay", "valise-client", "valise-tests"];

/// What `cargo figures` builds on top of them.
const FIGURES: &str = "valise-benches";

#[test]
fn a_package_stands_only_on_the_floors_below_it() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"]))
        .expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let Some(below) = floors.get(name) else {
            faults.push(format!("{name} has no floor"));
            continue;
        };
        let (Some(allowed), Some(edges)) = (below, package["dependencies"].as_array()) else { continue };
        // A test may look up to a higher floor: nothing that is delivered is linked with it.
        let edges =
            edges.iter().filter(|edge| edge["kind"] != "dev").filter_map(|edge| edge["name"].as_str());
        for other in edges.filter(|other| ours.contains(other) && !allowed.contains(other)) {
            faults.push(format!("{name} may not stand on {other}"));
        }
    }
    for (name, _) in FLOORS.iter().filter(|(name, _)| !ours.contains(name)) {
        faults.push(format!("{name} is in the table and not in the workspace"));
    }
    judge(&faults, "Move the code to a floor both may see, or change FLOORS and say why in ARCHITECTURE.md.");
}

#[test]
fn nothing_forbidden_is_within_reach_of_a_package() {
    let mut faults = Vec::new();
    for (package, forbidden) in WALLS {
        let reach: BTreeSet<_> = built_from(&["--package", package]).into_keys().collect();
        assert!(reach.contains(*package), "cargo tree knows {package}");
        for name in forbidden.iter().filter(|name| reach.contains(**name)) {
            faults.push(format!("{package} reaches {name}"));
        }
    }
    judge(
        &faults,
        "`cargo tree -p PACKAGE -e normal -i NAME` shows the way; remove that dependency or feature.",
    );
}

#[test]
fn no_program_has_the_planted_faults() {
    let selection: Vec<&str> = PROGRAMS.iter().flat_map(|name| ["--package", name]).collect();
    let host = built_from(&selection).remove("valise-host").expect("the programs stand on valise-host");
    let faults: Vec<_> = host.into_iter().filter(|features| features.contains("planted")).collect();
    judge(
        &faults,
        "The feature `planted` is for `cargo test --features planted` alone: take it out of the manifest.",
    );
}

#[test]
fn verify_stands_on_nothing_at_all() {
    let reach: Vec<_> = built_from(&["--package", "verify"]).into_keys().collect();
    assert_eq!(reach, ["verify"], "tests/verify must start at once: give it no dependency");
}

#[test]
fn programs_and_tests_share_one_build() {
    let selection: Vec<&str> = PROGRAMS.iter().flat_map(|name| ["--package", name]).collect();
    let programs = built_from(&selection);
    let figures = built_from(&[selection.as_slice(), &["--package", FIGURES]].concat());
    let tests = features(&["--workspace", "--edges", "normal,dev"]);
    let mut faults = Vec::new();
    for (built, whose) in [(&tests, "the tests"), (&figures, "the figures")] {
        let differ = programs
            .iter()
            .filter(|(name, wanted)| built.get(*name).is_none_or(|got| !got.is_superset(wanted)));
        faults.extend(differ.map(|(name, _)| format!("{name} is built with other features for {whose}")));
    }
    let differ =
        figures.iter().filter(|(name, wanted)| tests.get(*name).is_none_or(|got| !got.is_superset(wanted)));
    faults.extend(differ.map(|(name, _)| format!("{name} is built for the figures and anew for the tests")));
    judge(
        &faults,
        "Half the tree is built twice: give valise-tests (and valise-benches) a plain dependency that turns the same \
         features on.",
    );
}

/// What is linked into the selected packages: each name with the feature lists it is built with.
fn built_from(selection: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut words = vec!["--edges", "normal"];
    words.extend(selection);
    features(&words)
}

fn features(words: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = vec!["tree", "--prefix", "none", "--no-dedupe", "--format", "{p} | {f}"];
    all.extend(words);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in cargo(&all).lines() {
        // "name v1.2.3 (/path) | a,b"; the version stays with the features, the path does not matter.
        let (package, list) = line.split_once(" | ").unwrap_or((line, ""));
        let mut parts = package.split(' ');
        let (Some(name), Some(version)) = (parts.next(), parts.next()) else { continue };
        found.entry(name.to_owned()).or_default().insert(format!("{version} {list}"));
    }
    found
}
