//! Handshakes, in memory: what both configurations agree on, and what they refuse before our own checks are asked.

use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig, ClientConnection, NamedGroup, ServerConfig, ServerConnection};
use valise_certs::PaperFault;
use valise_certs::leaf::Usage;
use valise_certs::tls::{TlsPapers, client_config, provider, relay_name, server_config, time_from};
use valise_proto::kinds::PartyKind;
use valise_proto::limits::ALPN;

use super::world::{NOW_MS, World, device, relay};
use crate::crl::Revoked;
use crate::papers::Papers;

/// Two ends, and the bytes each sent.
struct Talk {
    client: ClientConnection,
    server: ServerConnection,
    sent: [usize; 2],
}

impl Talk {
    fn new(client: ClientConfig, server: ServerConfig, world: &World) -> Self {
        let name = relay_name(&relay("hub-1"), &world.trust());
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        Self { client, server: ServerConnection::new(Arc::new(server)).unwrap(), sent: [0; 2] }
    }

    /// Passes bytes until both are silent; the first refusal ends it.
    fn run(&mut self) -> Result<(), rustls::Error> {
        loop {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).unwrap();
            }
            self.sent[0] += bytes.len();
            let mut reply = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).unwrap();
                self.server.process_new_packets()?;
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut reply).unwrap();
            }
            self.sent[1] += reply.len();
            if bytes.is_empty() && reply.is_empty() {
                return Ok(());
            }
            let mut rest = &reply[..];
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).unwrap();
                self.client.process_new_packets()?;
            }
        }
    }
}

fn tls(papers: &Papers) -> TlsPapers {
    TlsPapers::new(papers.chain_pem().as_bytes(), &papers.key.pkcs8()).unwrap()
}

impl World {
    fn server(&self, papers: &Papers) -> ServerConfig {
        server_config(&tls(papers), &self.trust(), time_from(|| NOW_MS)).unwrap()
    }

    fn client(&self, papers: &Papers) -> ClientConfig {
        client_config(&tls(papers), &self.trust(), time_from(|| NOW_MS)).unwrap()
    }

    /// The code of the refusal of a client by the relay.
    fn refusal_of(&self, papers: &Papers) -> &'static str {
        self.refusal_of_shown(&tls(papers))
    }

    fn refusal_of_shown(&self, papers: &TlsPapers) -> &'static str {
        let client = client_config(papers, &self.trust(), time_from(|| NOW_MS)).unwrap();
        let error = Talk::new(client, self.server(&self.hub_tls()), self).run().unwrap_err();
        let code = PaperFault::from(&error).code();
        assert_eq!(told_by(&error), Some(code), "{error}");
        code
    }
}

/// The code of a refusal when only its alert and its sentence are left of it, as QUIC hands it on.
fn told_by(error: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(why) = error else { panic!("{error} is about no certificate") };
    let alert = AlertDescription::from(why.clone());
    PaperFault::code_of_refusal(u8::from(alert), &error.to_string())
}

#[test]
fn both_ends_agree_on_the_strongest_and_the_smallest() {
    let world = World::new();
    let mut talk = Talk::new(world.client(&world.gw1()), world.server(&world.hub_tls()), &world);
    talk.run().unwrap();
    let group = talk.server.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(talk.client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(talk.client.alpn_protocol(), Some(ALPN));
    assert_eq!(talk.server.server_name(), None, "the relay's name is not told on the way");
    assert_eq!(talk.client.tls13_tickets_received(), 0);
    assert_eq!(talk.server.peer_certificates().map(<[_]>::len), Some(2));
    // No CA names in the request for a certificate: both flights stay below what costs a round trip.
    assert!(talk.sent[0] <= 4000 && talk.sent[1] <= 3200, "{:?}", talk.sent);
}

#[test]
fn a_client_without_papers_is_refused() {
    let world = World::new();
    let mut bare = ClientConfig::builder_with_details(provider(), time_from(|| NOW_MS))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates({
            let mut roots = rustls::RootCertStore::empty();
            roots.add(world.root.papers().cert.clone()).unwrap();
            roots
        })
        .with_no_client_auth();
    bare.alpn_protocols = vec![ALPN.to_vec()];
    let error = Talk::new(bare, world.server(&world.hub_tls()), &world).run().unwrap_err();
    assert_eq!(PaperFault::from(&error).code(), "NO_CLIENT_CERT");
}

#[test]
fn another_protocol_is_refused() {
    let world = World::new();
    let mut client = world.client(&world.gw1());
    client.alpn_protocols = vec![b"h3".to_vec()];
    let error = Talk::new(client, world.server(&world.hub_tls()), &world).run().unwrap_err();
    assert_eq!(error, rustls::Error::NoApplicationProtocol);
    assert_eq!(PaperFault::code_of_alert(120), Some("WRONG_ALPN"));
}

#[test]
fn the_library_refuses_what_it_can_tell() {
    let mut world = World::new();
    let papers = world.gw1();
    let stranger = {
        let root = world.mint.root(1).unwrap();
        let fr = world.mint.party_ca(&root, PartyKind::Bureau, &super::world::party("fr"), 1).unwrap();
        world.mint.device_tls(&fr, PartyKind::Bureau, &device("fr", "gw1")).unwrap()
    };
    assert_eq!(world.refusal_of(&stranger), "UNKNOWN_ISSUER");
    let early = world.mint.at(NOW_MS + 2 * crate::mint::BACKDATE_MS);
    let early = early.device_tls(&world.fr, PartyKind::Bureau, &device("fr", "gw1")).unwrap();
    assert_eq!(world.refusal_of(&early), "CERT_NOT_YET_VALID");
    let signing = world.gw1_signing();
    assert_eq!(world.refusal_of(&signing), "WRONG_USAGE");
    let posing = {
        let de = super::world::gateway("de");
        let request = world.mint.request(&de, Usage::ClientAuth, crate::mint::TLS_LIFE_MS);
        world.mint.leaf(&world.fr, &request).unwrap()
    };
    assert_eq!(world.refusal_of(&posing), "NAME_NOT_ALLOWED");
    assert_eq!(world.refusal_of_shown(&self_signed(&world)), "UNKNOWN_ISSUER");
    let listed = [Revoked { serial: papers.serial.clone(), since_ms: NOW_MS }];
    let list = world.list(&world.fr, 2, &listed);
    world.publish("fr", list);
    assert_eq!(world.refusal_of(&papers), "CERT_REVOKED");
    let past = world.mint.at(NOW_MS - crate::mint::TLS_LIFE_MS - 60_000);
    let expired = past.device_tls(&world.fr, PartyKind::Bureau, &device("fr", "gw1")).unwrap();
    assert_eq!(world.refusal_of(&expired), "CERT_EXPIRED");
    world.crls.retain(|(file, _)| !file.starts_with("fr"));
    assert_eq!(world.refusal_of(&papers), "REVOCATION_UNKNOWN");
}

/// A root of its own, shown in place of a leaf and of its issuer.
fn self_signed(world: &World) -> TlsPapers {
    let root = world.mint.root(1).unwrap();
    TlsPapers::new(root.papers().cert_pem().repeat(2).as_bytes(), &root.papers().key.pkcs8()).unwrap()
}

#[test]
fn a_client_refuses_a_revoked_or_foreign_relay() {
    let mut world = World::new();
    let hub = world.hub_tls();
    let other = {
        let hub2 = world.mint.relay_ca(&world.root, &relay("hub-2"), 1).unwrap();
        let list = world.list(&hub2, 1, &[]);
        world.publish("relay.hub-2", list);
        world.mint.relay_tls(&hub2, &relay("hub-2")).unwrap()
    };
    let error = Talk::new(world.client(&world.gw1()), world.server(&other), &world).run().unwrap_err();
    assert_eq!(told_by(&error), Some("RELAY_NOT_TRUSTED"));
    let listed = [Revoked { serial: hub.serial.clone(), since_ms: NOW_MS }];
    let list = world.list(&world.hub, 2, &listed);
    world.publish("relay.hub-1", list);
    let error = Talk::new(world.client(&world.gw1()), world.server(&hub), &world).run().unwrap_err();
    assert_eq!(PaperFault::from(&error).code(), "CERT_REVOKED");
}
