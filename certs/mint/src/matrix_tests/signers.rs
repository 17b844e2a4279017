//! Signatures: a signing certificate judged at the time of acceptance, whatever became of it since.

use valise_certs::PaperFault;
use valise_certs::leaf::Usage;
use valise_certs::signer::{Author, verify_signer};
use valise_proto::signing::Label;

use super::world::{NOW_MS, World, code, device, gateway, relay};
use crate::crl::Revoked;
use crate::mint::{BACKDATE_MS, SIGNING_LIFE_MS};
use crate::papers::Papers;

/// What happens to a world and the papers in question.
type Change = &'static dyn Fn(&mut World, &Papers);

impl World {
    fn signs(&self, papers: &Papers, at_ms: u64) -> Result<valise_certs::signer::Signer, PaperFault> {
        verify_signer(&papers.cert, &papers.issuer, &self.trust(), at_ms)
    }
}

#[test]
fn a_device_and_a_relay_sign_in_their_own_name() {
    let world = World::new();
    let papers = world.gw1_signing();
    let signer = world.signs(&papers, NOW_MS).unwrap();
    assert_eq!(signer.author(), &Author::Device(device("fr", "gw1")));
    assert_eq!((signer.device(), signer.relay()), (Some(&device("fr", "gw1")), None));
    assert_eq!(signer.key_id(), papers.key.key_id());
    let signature = papers.key.signing_key().sign(Label::Header, b"to br");
    signer.key().verify(Label::Header, b"to br", &signature).unwrap();

    let hub = world.mint.relay_signing(&world.hub, &relay("hub-1")).unwrap();
    let signer = world.signs(&hub, NOW_MS).unwrap();
    assert_eq!((signer.device(), signer.relay()), (None, Some(&relay("hub-1"))));
}

#[test]
fn a_tls_certificate_signs_nothing() {
    let world = World::new();
    assert_eq!(code(world.signs(&world.gw1(), NOW_MS)), "WRONG_USAGE");
    assert_eq!(code(world.signs(&world.hub_tls(), NOW_MS)), "WRONG_USAGE");
    assert_eq!(code(world.signs(&world.signer, NOW_MS)), "WRONG_USAGE");
}

#[test]
fn a_signature_is_judged_at_its_time() {
    let world = World::new();
    let papers = world.gw1_signing();
    assert_eq!(code(world.signs(&papers, NOW_MS - BACKDATE_MS)), "OK");
    assert_eq!(code(world.signs(&papers, NOW_MS - BACKDATE_MS - 1000)), "CERT_NOT_YET_VALID");
    assert_eq!(code(world.signs(&papers, NOW_MS + SIGNING_LIFE_MS)), "OK");
    assert_eq!(code(world.signs(&papers, NOW_MS + SIGNING_LIFE_MS + 1000)), "CERT_EXPIRED");
}

/// When the revocations of these tests take effect.
const SINCE_MS: u64 = NOW_MS + 60_000;

fn listed(serial: &[u8]) -> [Revoked; 1] {
    [Revoked { serial: serial.to_vec(), since_ms: SINCE_MS }]
}

#[test]
fn what_was_signed_before_a_revocation_stays_valid() {
    let cases: [(&str, Change); 4] = [
        ("the leaf, by its CA", &|world, papers| {
            let list = world.list(&world.fr, 2, &listed(&papers.serial));
            world.publish("fr", list);
        }),
        ("the CA, by the root", &|world, _| {
            let list = world.list(&world.root, 2, &listed(&world.fr.papers().serial));
            world.publish("root", list);
        }),
        ("the key, by the roster", &|world, papers| {
            world.roster.revocations.insert(papers.key.key_id(), SINCE_MS);
        }),
        ("the CA's key, by the roster", &|world, _| {
            world.roster.revocations.insert(world.fr.key_id(), SINCE_MS);
        }),
    ];
    for (case, revoke) in cases {
        let mut world = World::new();
        let papers = world.gw1_signing();
        revoke(&mut world, &papers);
        assert_eq!(code(world.signs(&papers, SINCE_MS - 1)), "OK", "{case}");
        assert_eq!(code(world.signs(&papers, SINCE_MS)), "CERT_REVOKED", "{case}");
        assert_eq!(code(world.signs(&papers, SINCE_MS + 1)), "CERT_REVOKED", "{case}");
    }
}

#[test]
fn without_a_true_list_no_signature_is_believed() {
    let mut world = World::new();
    let papers = world.gw1_signing();
    world.withhold("fr");
    assert_eq!(code(world.signs(&papers, NOW_MS)), "REVOCATION_UNKNOWN");
    let fr = super::world::party("fr");
    let impostor = world.mint.party_ca(&world.root, valise_proto::kinds::PartyKind::Bureau, &fr, 1).unwrap();
    let forged = world.list(&impostor, 9, &[]);
    world.publish("fr", forged);
    assert_eq!(code(world.signs(&papers, NOW_MS)), "CRL_REJECTED");
}

#[test]
fn nobody_signs_for_another_party() {
    let world = World::new();
    let mut request = world.mint.request(&gateway("fr"), Usage::DocumentSigning, SIGNING_LIFE_MS);
    request.uris = vec![gateway("de").uri(world.mint.domain())];
    let forged = world.mint.leaf(&world.fr, &request).unwrap();
    assert_eq!(code(world.signs(&forged, NOW_MS)), "BAD_IDENTITY");
    let request = world.mint.request(&gateway("de"), Usage::DocumentSigning, SIGNING_LIFE_MS);
    let forged = world.mint.leaf(&world.fr, &request).unwrap();
    assert_eq!(code(world.signs(&forged, NOW_MS)), "NAME_NOT_ALLOWED");
    // The root certifies roster signers and CAs; a device straight under it has no CA that the roster states.
    let direct = world.mint.leaf(&world.root, &request).unwrap();
    assert_eq!(code(world.signs(&direct, NOW_MS)), "WRONG_ISSUER");
    let (leaf, trust) = (world.gw1_signing(), world.trust());
    assert_eq!(code(verify_signer(&leaf.cert, &world.de.papers().cert, &trust, NOW_MS)), "UNKNOWN_ISSUER");
    assert_eq!(code(verify_signer(&leaf.cert, b"", &trust, NOW_MS)), "BAD_CERT");
    assert_eq!(code(verify_signer(&leaf.cert, &[0x30; 4096], &trust, NOW_MS)), "BAD_CERT");
}
