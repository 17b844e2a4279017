//! Names on certificates: one entity, one URI, one DNS name, each made from the other (see CERTIFICATES.md).
//!
//! The DNS name is what the TLS library can constrain, the URI is what people and rules mean. Knows no roster.

use std::fmt;

use valise_proto::kinds::PartyKind;
use valise_proto::names::{DeviceId, DeviceName, PartyName, RelayId, TrustDomain};

/// Scheme of the URI name (SPIFFE, so that other tools of the field can read it).
const SCHEME: &str = "spiffe://";

/// Who or what a certificate names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A daemon of a party.
    Device {
        /// Bureau or mission.
        kind: PartyKind,
        /// Whose, and which.
        device: DeviceId,
    },
    /// The signing agent of a party.
    Agent {
        /// Bureau or mission.
        kind: PartyKind,
        /// Whose.
        party: PartyName,
        /// Which.
        name: DeviceName,
    },
    /// An administrator of a party.
    Admin {
        /// Bureau or mission.
        kind: PartyKind,
        /// Whose.
        party: PartyName,
        /// Which.
        name: DeviceName,
    },
    /// A relay.
    Relay(RelayId),
    /// The signing agent of a relay's operator.
    RelayAgent {
        /// Of which relay.
        relay: RelayId,
        /// Which.
        name: DeviceName,
    },
    /// An administrator of a relay.
    RelayAdmin {
        /// Of which relay.
        relay: RelayId,
        /// Which.
        name: DeviceName,
    },
    /// Signs rosters.
    RosterSigner(DeviceName),
}

impl Entity {
    /// The URI name under a trust domain.
    pub fn uri(&self, domain: &TrustDomain) -> String {
        let path = match self {
            Self::Device { kind, device } => format!("{kind}/{}/device/{}", device.party, device.device),
            Self::Agent { kind, party, name } => format!("{kind}/{party}/agent/{name}"),
            Self::Admin { kind, party, name } => format!("{kind}/{party}/admin/{name}"),
            Self::Relay(relay) => format!("relay/{relay}"),
            Self::RelayAgent { relay, name } => format!("relay/{relay}/agent/{name}"),
            Self::RelayAdmin { relay, name } => format!("relay/{relay}/admin/{name}"),
            Self::RosterSigner(name) => format!("roster/{name}"),
        };
        format!("{SCHEME}{domain}/{path}")
    }

    /// The DNS name under a trust domain.
    pub fn dns(&self, domain: &TrustDomain) -> String {
        let labels = match self {
            Self::Device { kind, device } => format!("{}.{}.{kind}", device.device, device.party),
            Self::Agent { kind, party, name } => format!("{name}.agent.{party}.{kind}"),
            Self::Admin { kind, party, name } => format!("{name}.admin.{party}.{kind}"),
            Self::Relay(relay) => format!("{relay}.relay"),
            Self::RelayAgent { relay, name } => format!("{name}.agent.{relay}.relay"),
            Self::RelayAdmin { relay, name } => format!("{name}.admin.{relay}.relay"),
            Self::RosterSigner(name) => format!("{name}.roster"),
        };
        format!("{labels}.{domain}")
    }

    /// Reads a URI name; gives the trust domain that it names too. None: not of the profile.
    pub fn from_uri(uri: &str) -> Option<(TrustDomain, Self)> {
        let (domain, path) = uri.strip_prefix(SCHEME)?.split_once('/')?;
        let domain = TrustDomain::new(domain).ok()?;
        let parts: Vec<&str> = path.split('/').collect();
        let entity = match parts[..] {
            ["relay", relay] => Self::Relay(RelayId::new(relay).ok()?),
            ["relay", relay, role, name] => Self::of_relay(relay, role, name)?,
            ["roster", name] => Self::RosterSigner(DeviceName::new(name).ok()?),
            [kind, party, role, name] => Self::of_party(kind, party, role, name)?,
            _ => return None,
        };
        Some((domain, entity))
    }

    /// Reads a DNS name under a known trust domain. None: not of the profile, or of another domain.
    pub fn from_dns(dns: &str, domain: &TrustDomain) -> Option<Self> {
        let labels = dns.strip_suffix(domain.as_str())?.strip_suffix('.')?;
        let labels: Vec<&str> = labels.split('.').collect();
        match labels[..] {
            [relay, "relay"] => Some(Self::Relay(RelayId::new(relay).ok()?)),
            [name, role, relay, "relay"] => Self::of_relay(relay, role, name),
            [name, "roster"] => Some(Self::RosterSigner(DeviceName::new(name).ok()?)),
            [device, party, kind] => Self::of_party(kind, party, "device", device),
            [name, role @ ("agent" | "admin"), party, kind] => Self::of_party(kind, party, role, name),
            _ => None,
        }
    }

    fn of_party(kind: &str, party: &str, role: &str, name: &str) -> Option<Self> {
        let kind: PartyKind = kind.parse().ok()?;
        let party = PartyName::new(party).ok()?;
        let name = DeviceName::new(name).ok()?;
        match role {
            "device" => Some(Self::Device { kind, device: DeviceId { party, device: name } }),
            "agent" => Some(Self::Agent { kind, party, name }),
            "admin" => Some(Self::Admin { kind, party, name }),
            _ => None,
        }
    }

    fn of_relay(relay: &str, role: &str, name: &str) -> Option<Self> {
        let relay = RelayId::new(relay).ok()?;
        let name = DeviceName::new(name).ok()?;
        match role {
            "agent" => Some(Self::RelayAgent { relay, name }),
            "admin" => Some(Self::RelayAdmin { relay, name }),
            _ => None,
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { kind, device } => write!(f, "device {device} ({kind})"),
            Self::Agent { party, name, .. } => write!(f, "signing agent {name} of {party}"),
            Self::Admin { party, name, .. } => write!(f, "administrator {name} of {party}"),
            Self::Relay(relay) => write!(f, "relay {relay}"),
            Self::RelayAgent { relay, name } => write!(f, "signing agent {name} of relay {relay}"),
            Self::RelayAdmin { relay, name } => write!(f, "administrator {name} of relay {relay}"),
            Self::RosterSigner(name) => write!(f, "roster signer {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_from_either_name() {
        let domain = TrustDomain::new("i24.example").unwrap();
        for (path, labels) in [
            ("bureau/fr/device/gw1", "gw1.fr.bureau"),
            ("mission/minustah/device/u7", "u7.minustah.mission"),
            ("bureau/fr/agent/ca", "ca.agent.fr.bureau"),
            ("mission/minustah/agent/ca", "ca.agent.minustah.mission"),
            ("bureau/fr/admin/ops1", "ops1.admin.fr.bureau"),
            ("relay/hub-1", "hub-1.relay"),
            ("relay/hub-1/agent/ca", "ca.agent.hub-1.relay"),
            ("relay/hub-1/admin/a", "a.admin.hub-1.relay"),
            ("roster/signer-1", "signer-1.roster"),
        ] {
            let uri = format!("spiffe://i24.example/{path}");
            let dns = format!("{labels}.i24.example");
            let (found, entity) = Entity::from_uri(&uri).unwrap();
            assert_eq!(found, domain);
            assert_eq!(entity.uri(&domain), uri);
            assert_eq!(entity.dns(&domain), dns);
            assert_eq!(Entity::from_dns(&dns, &domain), Some(entity), "{dns}");
        }
    }

    #[test]
    fn nothing_else_is_a_name() {
        let domain = TrustDomain::new("i24.example").unwrap();
        for uri in [
            "https://i24.example/relay/hub-1",
            "spiffe://i24.example",
            "spiffe://i24.example/",
            "spiffe://example/relay/hub-1",
            "spiffe://i24.example/relay",
            "spiffe://i24.example/relay/hub-1/",
            "spiffe://i24.example//relay/hub-1",
            "spiffe://i24.example/relay/hub-1/device/x",
            "spiffe://i24.example/bureau/FR/device/gw1",
            "spiffe://i24.example/bureau/fr/device/",
            "spiffe://i24.example/bureau/fr/gw1",
            "spiffe://i24.example/bureau/relay/device/gw1",
            "spiffe://i24.example/embassy/fr/device/gw1",
            "spiffe://i24.example/bureau/fr/device/gw1?x=1",
            "spiffe://i24.example/bureau/fr/desk/gw1",
            "spiffe://i24.example:443/relay/hub-1",
            "spiffe://i24.example/roster/a/b",
        ] {
            assert_eq!(Entity::from_uri(uri), None, "{uri}");
        }
        for dns in [
            "i24.example",
            ".i24.example",
            "xi24.example",
            "gw1.fr.bureau.i25.example",
            "*.fr.bureau.i24.example",
            "fr.bureau.i24.example",
            "gw1.FR.bureau.i24.example",
            "gw1.fr.bureau.i24.example.",
            "x.device.fr.bureau.i24.example",
            "x.desk.hub-1.relay.i24.example",
            "a.b.c.fr.bureau.i24.example",
        ] {
            assert_eq!(Entity::from_dns(dns, &domain), None, "{dns}");
        }
    }
}
