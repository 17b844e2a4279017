//! The daemon's configuration: one file, every key known, every value checked before anything is opened.
//!
//! Paths are relative to the file. Secrets are paths, never values.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use valise_host::config::{self, ConfigError, parsed};
use valise_host::transport::LinkProfile;
use valise_proto::limits::MAILBOXES_PER_DEVICE;
use valise_proto::names::{DeviceId, DeviceName, Mailbox, PartyName, RelayId};

/// Everything a daemon is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Who.
    pub party: PartySection,
    /// Whom to call.
    pub relay: RelaySection,
    /// Own papers and keys.
    pub keys: KeysSection,
    /// Whom to believe.
    pub trust: TrustSection,
    /// Where the boxes rest.
    pub store: StoreSection,
    /// Where the local API answers.
    pub api: ApiSection,
    /// What kind of link.
    #[serde(default)]
    pub link: LinkSection,
}

/// `[party]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartySection {
    /// Bureau or mission.
    #[serde(deserialize_with = "parsed")]
    pub name: PartyName,
    /// This daemon's name there.
    #[serde(deserialize_with = "parsed")]
    pub device: DeviceName,
    /// Mailboxes it takes mail for; the first is the one it writes from.
    pub mailboxes: Vec<MailboxText>,
}

/// A mailbox in a list, checked while it is read.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct MailboxText(#[serde(deserialize_with = "parsed")] pub Mailbox);

/// `[relay]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySection {
    /// UDP address.
    pub address: SocketAddr,
    /// Name in the roster and on its certificates.
    #[serde(deserialize_with = "parsed")]
    pub id: RelayId,
}

/// `[keys]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// PEM: TLS leaf, then the CA over it.
    pub tls_cert: PathBuf,
    /// PKCS#8 PEM, readable by the owner only.
    pub tls_key: PathBuf,
    /// PEM: signing leaf, then the CA over it.
    pub sign_cert: PathBuf,
    /// PKCS#8 PEM, readable by the owner only.
    pub sign_key: PathBuf,
    /// 32 bytes, readable by the owner only: the seed of the device's own KEM key.
    pub kem_key: PathBuf,
}

/// `[trust]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSection {
    /// The pinned root, PEM.
    pub root: PathBuf,
    /// The signed roster; a newer one that the relay hands over is kept beside the store.
    pub roster: PathBuf,
    /// Revocation lists, one file per issuer.
    pub crl_dir: PathBuf,
}

/// `[store]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The boxes' file; its mark and journal lie beside it.
    pub path: PathBuf,
    /// 32 random bytes, readable by the owner only.
    pub key_file: PathBuf,
}

/// `[api]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSection {
    /// Unix socket of the local API.
    pub socket: PathBuf,
    /// Group whose members may use it; absent = this user and root only.
    pub group: Option<String>,
}

/// `[link]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSection {
    /// `lan` or `satellite`.
    pub profile: LinkProfile,
}

impl ClientConfig {
    /// Reads and checks; every path comes back resolved.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(path)?;
        let relative = [
            &mut config.keys.tls_cert,
            &mut config.keys.tls_key,
            &mut config.keys.sign_cert,
            &mut config.keys.sign_key,
            &mut config.keys.kem_key,
            &mut config.trust.root,
            &mut config.trust.roster,
            &mut config.trust.crl_dir,
            &mut config.store.path,
            &mut config.store.key_file,
            &mut config.api.socket,
        ];
        for value in relative {
            *value = config::resolve(path, value);
        }
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |what: String| {
            let key = "party.mailboxes";
            Err(ConfigError::Value { path: path.to_owned(), key, what })
        };
        let mailboxes = &self.party.mailboxes;
        if mailboxes.is_empty() || mailboxes.len() > MAILBOXES_PER_DEVICE {
            return wrong(format!("a device has 1 to {MAILBOXES_PER_DEVICE} mailboxes; name them"));
        }
        match mailboxes.iter().find(|mailbox| mailbox.0.party() != self.party.name) {
            Some(MailboxText(other)) => {
                wrong(format!("{other} is not a mailbox of {}; name only its own", self.party.name))
            }
            None => Ok(()),
        }
    }

    /// Who this daemon is.
    pub fn device(&self) -> DeviceId {
        DeviceId { party: self.party.name.clone(), device: self.party.device.clone() }
    }

    /// Its mailboxes.
    pub fn mailboxes(&self) -> Vec<Mailbox> {
        self.party.mailboxes.iter().map(|mailbox| mailbox.0.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../client.example.toml");
    const MAILBOXES: &str = "mailboxes = [\"fr\", \"fr/fugitives\"]";

    /// Loads the example with one text in the place of another.
    fn changed(name: &str, from: &str, to: &str) -> Result<ClientConfig, ConfigError> {
        assert_eq!(EXAMPLE.matches(from).count(), 1, "the example says `{from}` once");
        let path = std::env::temp_dir().join(format!("valise-client-{name}-{}.toml", std::process::id()));
        std::fs::write(&path, EXAMPLE.replace(from, to)).unwrap();
        let loaded = ClientConfig::load(&path);
        std::fs::remove_file(&path).unwrap();
        loaded
    }

    fn fault(name: &str, from: &str, to: &str) -> String {
        changed(name, from, to).unwrap_err().to_string()
    }

    #[test]
    fn the_example_loads() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/client.example.toml"));
        let config = ClientConfig::load(path).unwrap();
        assert_eq!(config.device().to_string(), "fr/gw1");
        assert_eq!(config.mailboxes().len(), 2);
        assert!(config.api.socket.ends_with("client/api.sock"), "relative to the file");
        assert_eq!(config.link.profile, LinkProfile::default());
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let config = changed("no-group", "group = \"valise\"", "").unwrap();
        assert_eq!(config.api.group, None);
        let link = EXAMPLE.split_once("[link]").unwrap().1;
        let config = changed("no-link", &format!("[link]{link}"), "").unwrap();
        assert_eq!(config.link.profile, LinkProfile::Lan);
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_what_was_probably_meant() {
        let said = fault("unknown", "kem_key = ", "kem_keys = ");
        assert!(said.contains("`kem_keys` is not known here; did you mean `kem_key`?"), "{said}");
        let said = fault("profile", "profile = \"lan\"", "profile = \"satelite\"");
        assert!(said.contains("did you mean `satellite`?"), "{said}");
    }

    #[test]
    fn a_missing_key_is_told_with_its_section() {
        let said = fault("missing", "socket = \"api.sock\"", "");
        assert!(said.contains("`socket` in section [api] is missing; add it"), "{said}");
    }

    #[test]
    fn mailboxes_of_others_none_and_too_many_are_refused() {
        let said = fault("foreign", MAILBOXES, "mailboxes = [\"fr\", \"br\"]");
        assert!(said.contains("party.mailboxes: br is not a mailbox of fr; name only its own"), "{said}");
        let said = fault("none", MAILBOXES, "mailboxes = []");
        assert!(said.contains("a device has 1 to 16 mailboxes"), "{said}");
        let many: Vec<String> = (1..=17).map(|desk| format!("\"fr/d{desk}\"")).collect();
        let said = fault("many", MAILBOXES, &format!("mailboxes = [{}]", many.join(", ")));
        assert!(said.contains("a device has 1 to 16 mailboxes"), "{said}");
    }

    #[test]
    fn a_name_that_breaks_the_rule_is_told_with_its_line() {
        let said = fault("name", "device = \"gw1\"", "device = \"gw--1\"");
        assert!(said.contains(".toml:9:10: `gw--1` is not a name"), "{said}");
    }
}
