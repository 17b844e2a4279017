//! Rosters: who may sign one, which one is taken, and that the number never goes down.

use bytes::Bytes;
use valise_certs::Trust;
use valise_certs::leaf::Usage;
use valise_certs::profile::Entity;
use valise_proto::kinds::PartyKind;
use valise_proto::limits::DAY_MS;
use valise_proto::names::{DeviceName, TrustDomain};
use valise_proto::roster::SignedRoster;

use super::world::{NOW_MS, World, device, gateway, party};
use crate::crl::Revoked;
use crate::mint::ROSTER_SIGNER_LIFE_MS;
use crate::papers::Papers;
use crate::roster::sign;

/// The reason a world's trust is refused for.
fn refusal(world: &World) -> String {
    let fault = world.try_trust().unwrap_err();
    assert_eq!(fault.code(), "ROSTER_REJECTED", "{fault}");
    fault.to_string()
}

#[track_caller]
fn refused_for(world: &World, reason: &str) {
    let found = refusal(world);
    assert!(found.contains(reason), "{found}");
}

#[test]
fn only_a_roster_signer_of_the_root_signs_rosters() {
    let signed_by = |make: &dyn Fn(&World) -> Papers| {
        let mut world = World::new();
        world.signer = make(&world);
        world
    };
    let signer = Entity::RosterSigner(DeviceName::new("lab").unwrap());
    let request = |world: &World, usage| world.mint.request(&signer, usage, DAY_MS);
    let wrong_usage =
        signed_by(&|world| world.mint.leaf(&world.root, &request(world, Usage::DocumentSigning)).unwrap());
    refused_for(&wrong_usage, "made for documentSigning, not for roster signing");
    let by_a_ca =
        signed_by(&|world| world.mint.leaf(&world.fr, &request(world, Usage::RosterSigning)).unwrap());
    refused_for(&by_a_ca, "does not come from a root that is pinned here");
    let a_device = signed_by(&|world| {
        let request = world.mint.request(&gateway("fr"), Usage::RosterSigning, DAY_MS);
        world.mint.leaf(&world.root, &request).unwrap()
    });
    refused_for(&a_device, "device fr/gw1 (bureau) is no roster signer");
    refused_for(&signed_by(&World::gw1_signing), "made for documentSigning");
    let expired = signed_by(&|world| {
        let past = world.mint.at(NOW_MS - ROSTER_SIGNER_LIFE_MS - DAY_MS);
        past.roster_signer(&world.root, &DeviceName::new("lab").unwrap()).unwrap()
    });
    refused_for(&expired, "the certificate expired on");
    let stranger = signed_by(&|world| {
        let root = world.mint.root(1).unwrap();
        world.mint.roster_signer(&root, &DeviceName::new("lab").unwrap()).unwrap()
    });
    refused_for(&stranger, "does not come from a root that is pinned here");
}

#[test]
fn a_revoked_signer_signs_no_more() {
    let mut world = World::new();
    let listed = [Revoked { serial: world.signer.serial.clone(), since_ms: NOW_MS + DAY_MS }];
    let list = world.list(&world.root, 2, &listed);
    world.publish("root", list);
    refused_for(&world, "has been revoked");

    let mut world = World::new();
    world.roster.revocations.insert(world.signer.key.key_id(), NOW_MS);
    refused_for(&world, "its signer has been revoked");

    // The roster in force revokes a signer; what that signer signs next, without saying so, is not taken.
    let mut world = World::new();
    let name = DeviceName::new("lab-2").unwrap();
    let other = world.mint.roster_signer(&world.root, &name).unwrap();
    world.roster.revocations.insert(other.key.key_id(), NOW_MS);
    let trust = world.trust();
    world.roster.revocations.clear();
    world.roster.number += 1;
    let next = sign(&world.roster, &other).to_bytes();
    let fault = trust.with_newer_roster(next, NOW_MS).unwrap_err();
    assert_eq!(fault.code(), "ROSTER_REJECTED");
}

#[test]
fn a_roster_names_our_root_and_our_domain() {
    let mut world = World::new();
    world.roster.roots = vec![world.fr.key_id()];
    refused_for(&world, "does not name the root that is pinned here");
    let mut world = World::new();
    world.roster.domain = TrustDomain::new("i25.example").unwrap();
    refused_for(&world, "its signer is of another trust domain");
}

#[test]
fn no_changed_byte_changes_what_is_trusted() {
    let world = World::new();
    let mut files = world.files();
    let mut noticed = 0;
    for at in 0..files.roster.len() {
        files.roster[at] ^= 1;
        match Trust::new(&files, NOW_MS) {
            Err(fault) => {
                assert_eq!(fault.code(), "ROSTER_REJECTED", "byte {at}");
                noticed += 1;
            }
            // The copy of the root travels for people who look; what counts is the root that is pinned.
            Ok(trust) => assert_eq!(**trust.roster(), world.roster, "byte {at}"),
        }
        files.roster[at] ^= 1;
    }
    let copy = world.root.papers().cert.len();
    assert!(noticed >= files.roster.len() - copy, "{noticed} of {}", files.roster.len());
    files.roster.truncate(100);
    assert_eq!(Trust::new(&files, NOW_MS).unwrap_err().code(), "ROSTER_REJECTED");
}

#[test]
fn only_a_higher_number_is_taken() {
    let mut world = World::new();
    let trust = world.trust();
    let bytes = |world: &World, number| {
        let mut roster = world.roster.clone();
        roster.number = number;
        sign(&roster, &world.signer).to_bytes()
    };
    assert!(trust.with_newer_roster(bytes(&world, 4), NOW_MS).unwrap().is_none());
    assert!(trust.with_newer_roster(bytes(&world, 5), NOW_MS).unwrap().is_none());
    let newer = trust.with_newer_roster(bytes(&world, 6), NOW_MS).unwrap().unwrap();
    assert_eq!((newer.roster().number, trust.roster().number), (6, 5));
    let stored = newer.signed_roster().to_bytes();
    assert_eq!(SignedRoster::from_bytes(stored).unwrap(), **newer.signed_roster());

    world.roster.parties.remove(&party("de"));
    let fault = trust.with_newer_roster(bytes(&world, 5), NOW_MS).unwrap_err();
    assert!(fault.to_string().contains("bears the number of ours"), "{fault}");
    let fault = trust.with_newer_roster(Bytes::from_static(b"?"), NOW_MS).unwrap_err();
    assert_eq!(fault.code(), "ROSTER_REJECTED");

    // One that was kept and is older is left aside, whoever signed it.
    assert!(newer.with_kept_roster(World::new().files().roster.into(), NOW_MS).unwrap().is_none());
}

#[test]
fn a_party_that_joins_before_its_list_is_known_but_refused() {
    let mut world = World::new();
    let trust = world.trust();
    let ca = world.mint.party_ca(&world.root, PartyKind::Bureau, &party("br"), 1).unwrap();
    let entry = valise_proto::roster::Party {
        kind: PartyKind::Bureau,
        display: "Brazil".into(),
        region: "americas".into(),
        ca_keys: vec![ca.key_id()],
    };
    world.roster.parties.insert(party("br"), entry);
    world.roster.number += 1;
    let newer = sign(&world.roster, &world.signer).to_bytes();
    let trust = trust.with_newer_roster(newer, NOW_MS).unwrap().unwrap();
    let papers = world.mint.device_tls(&ca, PartyKind::Bureau, &device("br", "gw1")).unwrap();
    let verdict = |trust: &Trust| {
        super::world::code(valise_certs::identity::admit_device(&papers.chain(), trust, NOW_MS))
    };
    assert_eq!(verdict(&trust), "REVOCATION_UNKNOWN");
    let list = world.list(&ca, 1, &[]);
    world.publish("br", list);
    assert_eq!(verdict(&Trust::new(&world.files(), NOW_MS).unwrap()), "OK");
}

#[test]
fn the_pinned_root_is_one_to_four_certificates() {
    let world = World::new();
    let pem = world.root.papers().cert_pem();
    let with = |root_pem: String| {
        let files = valise_certs::load::TrustFiles { root_pem: root_pem.into_bytes(), ..world.files() };
        super::world::code(Trust::new(&files, NOW_MS))
    };
    let g2 = world.mint.root(2).unwrap();
    assert_eq!(with(format!("remark\n{pem}{}", g2.papers().cert_pem())), "OK");
    assert_eq!(with(String::new()), "ROOT_REJECTED");
    assert_eq!(with(pem.repeat(5)), "ROOT_REJECTED");
    assert_eq!(with(pem.replace("MII", "!!!")), "ROOT_REJECTED");
    assert_eq!(with(g2.papers().cert_pem().to_owned()), "ROSTER_REJECTED");
}
