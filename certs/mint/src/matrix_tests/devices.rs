//! Sessions: who is admitted with which certificate, and under which code everybody else is refused.

use valise_certs::crl::CrlState;
use valise_certs::identity::{admit_device, admit_relay};
use valise_certs::leaf::Usage;
use valise_certs::profile::Entity;
use valise_proto::kinds::PartyKind;
use valise_proto::limits::DAY_MS;
use valise_proto::names::{DeviceName, TrustDomain};

use super::world::{NOW_MS, World, chain, code, device, gateway, party, relay};
use crate::crl::Revoked;
use crate::mint::{AuthorityRequest, LeafRequest, TLS_LIFE_MS};
use crate::papers::Authority;

impl World {
    /// The verdict over a leaf of some CA, made from the French gateway's request with one thing changed.
    fn verdict(&self, ca: &Authority, change: impl FnOnce(&mut LeafRequest)) -> &'static str {
        let mut request = self.mint.request(&gateway("fr"), Usage::ClientAuth, TLS_LIFE_MS);
        change(&mut request);
        let papers = self.mint.leaf(ca, &request).unwrap();
        code(admit_device(&papers.chain(), &self.trust(), NOW_MS))
    }

    fn names_of(&self, request: &mut LeafRequest, entity: &Entity) {
        request.uris = vec![entity.uri(self.mint.domain())];
        request.dns = vec![entity.dns(self.mint.domain())];
    }
}

fn late_crl(trust: &valise_certs::trust::Trust, now_ms: u64) -> bool {
    trust.crl_status(now_ms).iter().any(|one| one.state != CrlState::Fresh)
}

#[test]
fn a_device_is_admitted_as_who_it_is() {
    let world = World::new();
    let papers = world.gw1();
    let admitted = admit_device(&papers.chain(), &world.trust(), NOW_MS).unwrap();
    assert_eq!(admitted.device(), &device("fr", "gw1"));
    assert_eq!(admitted.kind(), PartyKind::Bureau);
    assert_eq!(admitted.papers().key_id, papers.key.key_id());
    assert_eq!(admitted.papers().ca_key_id, world.fr.key_id());
    assert_eq!(admitted.papers().serial, papers.serial);
    assert_eq!(admitted.not_after_ms(), NOW_MS + TLS_LIFE_MS);

    let u7 = world.mint.device_tls(&world.minustah, PartyKind::Mission, &device("minustah", "u7")).unwrap();
    let admitted = admit_device(&u7.chain(), &world.trust(), NOW_MS).unwrap();
    assert_eq!((admitted.device().to_string(), admitted.kind()), ("minustah/u7".into(), PartyKind::Mission));
}

#[test]
fn a_session_ends_with_its_ca() {
    let world = World::new();
    let late = world.mint.at(NOW_MS + 730 * DAY_MS - 10 * DAY_MS);
    let papers = late.device_tls(&world.fr, PartyKind::Bureau, &device("fr", "gw1")).unwrap();
    let mut renewed =
        World { signer: late.roster_signer(&world.root, &DeviceName::new("lab").unwrap()).unwrap(), ..world };
    renewed.roster.number += 1;
    let trust = valise_certs::Trust::new(&renewed.files(), late.now_ms()).unwrap();
    let admitted = admit_device(&papers.chain(), &trust, late.now_ms()).unwrap();
    assert_eq!(admitted.not_after_ms(), NOW_MS + 730 * DAY_MS);
}

#[test]
fn names_are_held_to_the_profile() {
    let world = World::new();
    let (td, ca) = (world.mint.domain().clone(), &world.fr);
    let de = gateway("de");
    assert_eq!(world.verdict(ca, |_| ()), "OK");
    // A French CA naming Germany: in both names its name constraint stops it, in one of them our own check does.
    assert_eq!(world.verdict(ca, |leaf| world.names_of(leaf, &de)), "NAME_NOT_ALLOWED");
    assert_eq!(world.verdict(ca, |leaf| leaf.uris = vec![de.uri(&td)]), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.dns = vec![de.dns(&td)]), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.uris.push(de.uri(&td))), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.uris.push(leaf.uris[0].clone())), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.dns.push("gw2.fr.bureau.i24.example".into())), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.ips.push([192, 0, 2, 1].into())), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.uris.clear()), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.dns.clear()), "BAD_IDENTITY");
    assert_eq!(
        world.verdict(ca, |leaf| {
            leaf.uris.clear();
            leaf.dns.clear();
        }),
        "BAD_IDENTITY"
    );
    assert_eq!(world.verdict(ca, |leaf| leaf.uris = vec!["https://i24.example/".into()]), "BAD_IDENTITY");
    assert_eq!(world.verdict(ca, |leaf| leaf.is_ca = true), "BAD_IDENTITY");
    let other = TrustDomain::new("i25.example").unwrap();
    let foreign = |leaf: &mut LeafRequest| {
        leaf.uris = vec![gateway("fr").uri(&other)];
        leaf.dns = vec![gateway("fr").dns(&other)];
    };
    assert_eq!(world.verdict(ca, foreign), "WRONG_DOMAIN");
}

#[test]
fn a_ca_without_constraints_still_speaks_for_its_own_party_alone() {
    let mut world = World::new();
    let free = AuthorityRequest {
        permitted_dns: vec![],
        ..world.mint.ca_request("Bureau FR CA G2".into(), String::new(), Usage::ClientAuth)
    };
    let idle = AuthorityRequest { usages: vec![], common_name: "Bureau FR CA G3".into(), ..free.clone() };
    let [free, idle] = [free, idle].map(|request| world.mint.authority(&world.root, &request).unwrap());
    for (name, ca) in [("fr-g2", &free), ("fr-g3", &idle)] {
        world.roster.parties.get_mut(&party("fr")).unwrap().ca_keys.push(ca.key_id());
        let list = world.list(ca, 1, &[]);
        world.publish(name, list);
    }
    assert_eq!(world.verdict(&idle, |_| ()), "WRONG_USAGE", "a CA states the usages of its leaves");
    assert_eq!(world.verdict(&free, |_| ()), "OK");
    assert_eq!(world.verdict(&free, |leaf| world.names_of(leaf, &gateway("de"))), "WRONG_ISSUER");
    assert_eq!(world.verdict(&free, |leaf| world.names_of(leaf, &gateway("xx"))), "NOT_ENROLLED");
    let mission = Entity::Device { kind: PartyKind::Mission, device: device("fr", "gw1") };
    assert_eq!(world.verdict(&free, |leaf| world.names_of(leaf, &mission)), "BAD_IDENTITY");
    let hub = Entity::Relay(relay("hub-1"));
    assert_eq!(world.verdict(&free, |leaf| world.names_of(leaf, &hub)), "WRONG_ISSUER");
}

#[test]
fn a_ca_that_left_the_roster_speaks_for_nobody() {
    let mut world = World::new();
    let papers = world.gw1();
    world.roster.parties.get_mut(&party("fr")).unwrap().ca_keys = vec![world.de.key_id()];
    assert_eq!(code(admit_device(&papers.chain(), &world.trust(), NOW_MS)), "WRONG_ISSUER");
    world.roster.parties.remove(&party("fr"));
    assert_eq!(code(admit_device(&papers.chain(), &world.trust(), NOW_MS)), "NOT_ENROLLED");
}

#[test]
fn a_certificate_serves_the_one_purpose_it_was_made_for() {
    let world = World::new();
    let ca = &world.fr;
    assert_eq!(world.verdict(ca, |leaf| leaf.usages = vec![Usage::ServerAuth]), "WRONG_USAGE");
    assert_eq!(world.verdict(ca, |leaf| leaf.usages = vec![Usage::DocumentSigning]), "WRONG_USAGE");
    assert_eq!(world.verdict(ca, |leaf| leaf.usages = vec![Usage::RosterSigning]), "WRONG_USAGE");
    assert_eq!(world.verdict(ca, |leaf| leaf.usages.push(Usage::DocumentSigning)), "WRONG_USAGE");
    assert_eq!(world.verdict(ca, |leaf| leaf.usages.push(Usage::ServerAuth)), "WRONG_USAGE");
    assert_eq!(world.verdict(ca, |leaf| leaf.usages.clear()), "WRONG_USAGE");
    // A relay as a client: with its own certificate, and with one its CA made for calling.
    let trust = world.trust();
    assert_eq!(code(admit_device(&world.hub_tls().chain(), &trust, NOW_MS)), "WRONG_USAGE");
    let hub = Entity::Relay(relay("hub-1"));
    assert_eq!(world.verdict(&world.hub, |leaf| world.names_of(leaf, &hub)), "WRONG_USAGE");
    for role in ["agent", "admin"] {
        let (kind, party, name) = (PartyKind::Bureau, party("fr"), DeviceName::new("ops1").unwrap());
        let entity = match role {
            "agent" => Entity::Agent { kind, party, name },
            _ => Entity::Admin { kind, party, name },
        };
        assert_eq!(world.verdict(ca, |leaf| world.names_of(leaf, &entity)), "WRONG_ROLE", "{role}");
    }
}

#[test]
fn a_certificate_holds_within_its_dates() {
    let world = World::new();
    let (papers, trust) = (world.gw1(), world.trust());
    let at = |now_ms| code(admit_device(&papers.chain(), &trust, now_ms));
    assert_eq!(at(NOW_MS - crate::mint::BACKDATE_MS - 1000), "CERT_NOT_YET_VALID");
    assert_eq!(at(NOW_MS - crate::mint::BACKDATE_MS), "OK");
    assert_eq!(at(NOW_MS + TLS_LIFE_MS), "OK");
    assert_eq!(at(NOW_MS + TLS_LIFE_MS + 1000), "CERT_EXPIRED");
}

#[test]
fn a_chain_is_leaf_and_ca_up_to_the_pinned_root() {
    let world = World::new();
    let (papers, trust) = (world.gw1(), world.trust());
    let verdict = |chain: &[_]| code(admit_device(chain, &trust, NOW_MS));
    let shown = chain(&papers);
    assert_eq!(verdict(&[]), "NO_CLIENT_CERT");
    assert_eq!(verdict(&shown[..1]), "BAD_CHAIN");
    assert_eq!(verdict(&[&shown[..], &[world.root.papers().cert.clone()]].concat()), "BAD_CHAIN");
    assert_eq!(verdict(&[shown[0].clone(), world.de.papers().cert.clone()]), "UNKNOWN_ISSUER");
    assert_eq!(verdict(&[shown[0].as_ref()[..200].to_vec().into(), shown[1].clone()]), "BAD_CERT");
    let longer = [shown[0].as_ref(), b"x"].concat();
    assert_eq!(verdict(&[longer.into(), shown[1].clone()]), "BAD_CERT");
    let mut flipped = shown[0].to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(verdict(&[flipped.into(), shown[1].clone()]), "UNKNOWN_ISSUER");

    // A stranger with a federation of the same names.
    let stranger = World { mint: world.mint.at(NOW_MS), ..World::new() };
    let root = stranger.mint.root(1).unwrap();
    let ca = stranger.mint.party_ca(&root, PartyKind::Bureau, &party("fr"), 1).unwrap();
    assert_eq!(world.verdict(&ca, |_| ()), "UNKNOWN_ISSUER");
}

#[test]
fn only_ed25519_is_a_key() {
    let world = World::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![
        rcgen::SanType::DnsName("gw1.fr.bureau.i24.example".try_into().unwrap()),
        rcgen::SanType::URI("spiffe://i24.example/bureau/fr/device/gw1".try_into().unwrap()),
    ];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let cert = params.signed_by(&key, world.fr.issuer()).unwrap();
    let chain = [cert.der().clone(), world.fr.papers().cert.clone()];
    assert_eq!(code(admit_device(&chain, &world.trust(), NOW_MS)), "BAD_KEY");
}

#[test]
fn a_revoked_key_is_refused_wherever_it_is_listed() {
    let papers_and = |change: &dyn Fn(&mut World, &crate::papers::Papers)| {
        let mut world = World::new();
        let papers = world.gw1();
        change(&mut world, &papers);
        code(admit_device(&papers.chain(), &world.trust(), NOW_MS))
    };
    let revoked = |serial: &[u8]| [Revoked { serial: serial.to_vec(), since_ms: NOW_MS }];
    assert_eq!(papers_and(&|_, _| ()), "OK");
    let leaf_listed = |world: &mut World, papers: &crate::papers::Papers| {
        let list = world.list(&world.fr, 2, &revoked(&papers.serial));
        world.publish("fr", list);
    };
    assert_eq!(papers_and(&leaf_listed), "CERT_REVOKED");
    let ca_listed = |world: &mut World, _: &crate::papers::Papers| {
        let list = world.list(&world.root, 2, &revoked(&world.fr.papers().serial));
        world.publish("root", list);
    };
    assert_eq!(papers_and(&ca_listed), "CERT_REVOKED");
    let key_in_roster = |world: &mut World, papers: &crate::papers::Papers| {
        world.roster.revocations.insert(papers.key.key_id(), NOW_MS);
    };
    assert_eq!(papers_and(&key_in_roster), "CERT_REVOKED");
    let ca_in_roster = |world: &mut World, _: &crate::papers::Papers| {
        world.roster.revocations.insert(world.fr.key_id(), NOW_MS);
    };
    assert_eq!(papers_and(&ca_in_roster), "CERT_REVOKED");
    let not_yet = |world: &mut World, papers: &crate::papers::Papers| {
        world.roster.revocations.insert(papers.key.key_id(), NOW_MS + 1);
    };
    assert_eq!(papers_and(&not_yet), "OK");
    // An older list does not undo a newer one, whatever the order of the files.
    let older_after = |world: &mut World, papers: &crate::papers::Papers| {
        world.crls[1].1 = world.list(&world.fr, 2, &revoked(&papers.serial));
        let list = world.list(&world.fr, 1, &[]);
        world.publish("fr", list);
    };
    assert_eq!(papers_and(&older_after), "CERT_REVOKED");
}

#[test]
fn without_a_list_nothing_under_that_ca_passes_and_all_else_does() {
    let mut world = World::new();
    world.withhold("fr");
    let trust = world.trust();
    let de = world.mint.device_tls(&world.de, PartyKind::Bureau, &device("de", "gw1")).unwrap();
    assert_eq!(code(admit_device(&world.gw1().chain(), &trust, NOW_MS)), "REVOCATION_UNKNOWN");
    assert_eq!(code(admit_device(&de.chain(), &trust, NOW_MS)), "OK");
    let status = trust.crl_status(NOW_MS);
    let missing: Vec<_> = status.iter().filter(|one| one.state == CrlState::Missing).collect();
    assert_eq!(missing.len(), 1);
    assert_eq!((&*missing[0].owner, missing[0].key, missing[0].number), ("fr", world.fr.key_id(), 0));
    assert!(late_crl(&trust, NOW_MS));

    world.withhold("root");
    let fault = world.try_trust().unwrap_err();
    assert_eq!(fault.code(), "ROSTER_REJECTED");
    assert!(fault.to_string().contains("the list of its issuer is missing"), "{fault}");
}

#[test]
fn a_list_past_its_date_still_counts_and_is_told() {
    let world = World::new();
    let (papers, trust) = (world.gw1(), world.trust());
    let later = NOW_MS + 7 * DAY_MS + 1000;
    assert!(!late_crl(&trust, NOW_MS) && late_crl(&trust, later));
    assert!(trust.crl_status(later).iter().all(|one| one.state == CrlState::Late && one.number == 1));
    assert_eq!(code(admit_device(&papers.chain(), &trust, later)), "OK");
}

#[test]
fn a_forged_or_broken_list_is_refused() {
    let mut world = World::new();
    let impostor = world.mint.party_ca(&world.root, PartyKind::Bureau, &party("fr"), 1).unwrap();
    let list = world.list(&impostor, 9, &[]);
    world.publish("fr", list);
    assert_eq!(code(admit_device(&world.gw1().chain(), &world.trust(), NOW_MS)), "CRL_REJECTED");
    for broken in [&b""[..], b"not a list", b"-----BEGIN X509 CRL-----\n", &[0x30, 0x03, 0x02, 0x01, 0x00]] {
        let mut world = World::new();
        world.publish("de", broken.to_vec());
        let fault = world.try_trust().unwrap_err();
        assert_eq!(fault.code(), "CRL_REJECTED");
        assert!(fault.to_string().contains("`de-newer.crl`"), "{fault}");
    }
}

#[test]
fn a_relay_is_the_one_that_was_called() {
    let mut world = World::new();
    let hub = world.hub_tls();
    let verdict =
        |world: &World, chain: &[_]| code(admit_relay(chain, &relay("hub-1"), &world.trust(), NOW_MS));
    let admitted = admit_relay(&hub.chain(), &relay("hub-1"), &world.trust(), NOW_MS).unwrap();
    assert_eq!((admitted.relay(), &admitted.papers().serial), (&relay("hub-1"), &hub.serial));
    assert_eq!(verdict(&world, &world.gw1().chain()), "WRONG_USAGE");
    assert_eq!(code(admit_device(&hub.chain(), &world.trust(), NOW_MS)), "WRONG_USAGE");

    let hub2 = world.mint.relay_ca(&world.root, &relay("hub-2"), 1).unwrap();
    world.roster.relays.insert(relay("hub-2"), vec![hub2.key_id()]);
    let list = world.list(&hub2, 1, &[]);
    world.publish("relay.hub-2", list);
    let other = world.mint.relay_tls(&hub2, &relay("hub-2")).unwrap();
    assert_eq!(verdict(&world, &other.chain()), "RELAY_NOT_TRUSTED");
    let posing = world.mint.relay_tls(&hub2, &relay("hub-1")).unwrap();
    assert_eq!(verdict(&world, &posing.chain()), "NAME_NOT_ALLOWED");
    world.roster.relays.remove(&relay("hub-1"));
    assert_eq!(verdict(&world, &hub.chain()), "NOT_ENROLLED");
}
