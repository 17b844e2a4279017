//! The relay's configuration: one file, every key known, every value checked before a port is bound.
//!
//! Paths are relative to the file. Secrets are paths, never values.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use valise_host::config::{self, ConfigError, parsed};
use valise_host::executor::Seats;
use valise_host::socket::check_path;
use valise_proto::limits as l;
use valise_proto::names::RelayId;

use crate::disk::Thresholds;
use crate::queue::log::Shape;
use crate::queue::{Quota, Quotas};

/// Everything a relay is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// Who and where.
    pub relay: RelaySection,
    /// Papers for QUIC.
    pub tls: TlsSection,
    /// Papers for receipts.
    pub keys: KeysSection,
    /// Whom to believe.
    pub trust: TrustSection,
    /// Where the queue rests.
    pub store: StoreSection,
    /// How much at most.
    #[serde(default)]
    pub limits: LimitsSection,
}

/// `[relay]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySection {
    /// Name in the roster and on the certificates.
    #[serde(deserialize_with = "parsed")]
    pub id: RelayId,
    /// UDP address for QUIC.
    pub listen: SocketAddr,
    /// Where an administrator's tool finds the running relay; absent = nowhere.
    pub admin_socket: Option<PathBuf>,
    /// Loopback address for `/livez`, `/readyz` and `/metrics`; absent = no HTTP.
    pub http: Option<SocketAddr>,
}

/// `[tls]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// PEM: leaf, then the CA over it.
    pub cert: PathBuf,
    /// PKCS#8 PEM, readable by the owner only.
    pub key: PathBuf,
}

/// `[keys]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// PEM: receipt-signing leaf, then the CA over it.
    pub sign_cert: PathBuf,
    /// PKCS#8 PEM, readable by the owner only.
    pub sign_key: PathBuf,
}

/// `[trust]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSection {
    /// The pinned root, PEM.
    pub root: PathBuf,
    /// The signed roster; a newer one that a device hands over is kept beside the store.
    pub roster: PathBuf,
    /// Revocation lists, one file per issuer.
    pub crl_dir: PathBuf,
}

/// `[store]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// Which backend.
    pub kind: StoreKind,
    /// The directory of a log; the file of SQLite, with its mark and journal beside it.
    pub path: PathBuf,
    /// 32 random bytes, readable by the owner only; best on another disk than the queue.
    pub key_file: PathBuf,
    /// MiB of a segment of the log.
    #[serde(default = "segment_mib")]
    pub segment_mib: u32,
}

impl StoreSection {
    /// How the log is laid out. Without a thread of its own to make them ahead, it has no spare segments.
    pub fn shape(&self, seats: Seats) -> Shape {
        let spares = if seats == Seats::Threaded { Shape::default().spares } else { 0 };
        Shape { segment_bytes: u64::from(self.segment_mib) * 1024 * 1024, spares }
    }
}

fn segment_mib() -> u32 {
    u32::try_from(Shape::default().segment_bytes / (1024 * 1024)).expect("invariant: a handful")
}

/// Backends there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Our own log of sealed segments.
    Log,
    /// One SQLite file.
    Sqlite,
}

/// MiB of a segment: one holds many records, and it is read whole within seconds.
const SEGMENT_MIB: RangeInclusive<u32> = 1..=1024;

/// `[limits]`, each with a default that suits 203 parties on a small machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Connections at once, those still shaking hands included.
    pub connections: u32,
    /// MiB of envelopes that may be on their way into the queue at once; at least one of the largest size.
    pub incoming_mib: u32,
    /// Handshakes that may be pending before callers must prove their address (costs them a round trip).
    pub unproven_handshakes: u32,
    /// Envelopes that may wait for one mailbox: a mission away for a month that gets 3,000 a day.
    pub mailbox_messages: u32,
    /// MiB of ciphertext that may wait for one mailbox.
    pub mailbox_mib: u32,
    /// Envelopes of one party that may wait, counted once for each recipient: half of a mailbox, so that no party alone
    /// can close one to all others; and two hundred circulars that nobody has taken yet.
    pub sender_messages: u32,
    /// MiB of ciphertext of one party that may wait, each envelope once: a quarter of a mailbox, for the same reason.
    /// With 203 parties at most 203 GiB, were all of them hostile.
    pub sender_mib: u32,
    /// Percent of the disk under the store that may be in use before less is taken: nothing below priority, nothing below
    /// flash, nothing at all.
    pub disk_used_percent: [u32; 3],
    /// MiB that must be free besides for it to come to that: a full mailbox, half of one, and what statements, the
    /// store's own upkeep and a day of logs need while nothing is taken.
    pub disk_free_mib: [u32; 3],
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            connections: 1024,
            incoming_mib: 256,
            unproven_handshakes: 64,
            mailbox_messages: 100_000,
            mailbox_mib: 4096,
            sender_messages: 50_000,
            sender_mib: 1024,
            disk_used_percent: [85, 92, 97],
            disk_free_mib: [4096, 2048, 1024],
        }
    }
}

const MIB: u64 = 1024 * 1024;

impl LimitsSection {
    /// How much may wait.
    pub fn quotas(&self) -> Quotas {
        let quota = |entries: u32, mib: u32| Quota { entries: entries.into(), bytes: u64::from(mib) * MIB };
        Quotas {
            mailbox: quota(self.mailbox_messages, self.mailbox_mib),
            sender: quota(self.sender_messages, self.sender_mib),
        }
    }

    /// How much room the disk must have.
    pub fn disk(&self) -> Thresholds {
        let free = self.disk_free_mib.map(|mib| u64::from(mib) * MIB);
        Thresholds { used_percent: self.disk_used_percent, free }
    }

    /// Thresholds that come in order.
    fn check_disk(&self) -> Result<(), (&'static str, String)> {
        if !self.disk_used_percent.is_sorted() || self.disk_used_percent[2] > 100 {
            let what = "not three percents of which none is below the one before".to_owned();
            return Err(("limits.disk_used_percent", what));
        }
        if !self.disk_free_mib.iter().rev().is_sorted() {
            let what = "not three numbers of which none is above the one before".to_owned();
            return Err(("limits.disk_free_mib", what));
        }
        Ok(())
    }

    /// Every limit with the least that lets a relay do its work, and why.
    fn floors(&self) -> [(&'static str, u32, u64, &'static str); 6] {
        let held = l::MESSAGE_CT_MAX + (l::HEADER_MAX + l::RECIPIENTS_MAX * l::WRAP_MAX) as u64;
        let mib = Quota::least_for(l::MESSAGE_CT_MAX).div_ceil(MIB);
        let all = Quota::least_for(l::RECIPIENTS_MAX as u64);
        [
            ("limits.incoming_mib", self.incoming_mib, held.div_ceil(MIB), "one message of the largest size"),
            ("limits.connections", self.connections, 1, "the number of devices"),
            ("limits.mailbox_messages", self.mailbox_messages, 1, "one message"),
            ("limits.mailbox_mib", self.mailbox_mib, mib, "one message of the largest size"),
            ("limits.sender_messages", self.sender_messages, all, "one message to as many as there may be"),
            ("limits.sender_mib", self.sender_mib, mib, "one message of the largest size"),
        ]
    }
}

impl RelayConfig {
    /// Reads and checks; every path comes back resolved.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(path)?;
        let relative = [
            &mut config.tls.cert,
            &mut config.tls.key,
            &mut config.keys.sign_cert,
            &mut config.keys.sign_key,
            &mut config.trust.root,
            &mut config.trust.roster,
            &mut config.trust.crl_dir,
            &mut config.store.path,
            &mut config.store.key_file,
        ];
        for value in relative.into_iter().chain(config.relay.admin_socket.as_mut()) {
            *value = config::resolve(path, value);
        }
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        if !SEGMENT_MIB.contains(&self.store.segment_mib) {
            let (least, most) = (SEGMENT_MIB.start(), SEGMENT_MIB.end());
            let what = format!("{} is not from {least} to {most}", self.store.segment_mib);
            return Err(ConfigError::Value { path: path.to_owned(), key: "store.segment_mib", what });
        }
        for (key, given, least, what) in self.limits.floors() {
            if u64::from(given) < least {
                let what = format!("{given} is too little; give at least {least}, {what}");
                return Err(ConfigError::Value { path: path.to_owned(), key, what });
            }
        }
        if let Err((key, what)) = self.limits.check_disk() {
            return Err(ConfigError::Value { path: path.to_owned(), key, what });
        }
        if let Some(Err(fault)) = self.relay.admin_socket.as_deref().map(check_path) {
            let what = format!("{fault}; choose a shorter directory for the socket");
            return Err(ConfigError::Value { path: path.to_owned(), key: "relay.admin_socket", what });
        }
        match self.relay.http {
            Some(http) if !http.ip().is_loopback() => {
                let what = format!("{http} would answer anybody; use a loopback address");
                Err(ConfigError::Value { path: path.to_owned(), key: "relay.http", what })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Held;
    use valise_proto::kinds::Precedence;

    const EXAMPLE: &str = include_str!("../relay.example.toml");

    /// Loads the example with one text in the place of another.
    fn changed(name: &str, from: &str, to: &str) -> Result<RelayConfig, ConfigError> {
        assert_eq!(EXAMPLE.matches(from).count(), 1, "the example says `{from}` once");
        let path = std::env::temp_dir().join(format!("valise-relay-{name}-{}.toml", std::process::id()));
        std::fs::write(&path, EXAMPLE.replace(from, to)).unwrap();
        let loaded = RelayConfig::load(&path);
        std::fs::remove_file(&path).unwrap();
        loaded
    }

    fn fault(name: &str, from: &str, to: &str) -> String {
        changed(name, from, to).unwrap_err().to_string()
    }

    #[test]
    fn the_example_loads_and_states_the_defaults() {
        let config = RelayConfig::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/relay.example.toml")));
        let config = config.unwrap();
        assert_eq!(config.relay.id.as_str(), "hub-1");
        assert!(config.store.path.ends_with("relay/store/queue"), "relative to the file");
        let (stated, default) = (config.limits, LimitsSection::default());
        assert_eq!(stated, default);
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let config = changed("no-http", "http = \"127.0.0.1:9433\"", "").unwrap();
        assert!(config.relay.http.is_none());
        let end = EXAMPLE.split_once("[limits]").unwrap().1;
        assert_eq!(changed("no-limits", end, "").unwrap().limits.connections, 1024);
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_what_was_probably_meant() {
        let said = fault("unknown", "listen = ", "listne = ");
        assert!(said.contains(".toml:9:1: `listne` is not known here; did you mean `listen`?"), "{said}");
        let said = fault("kind", "kind = \"log\"", "kind = \"paper\"");
        assert!(said.contains("`paper` is not known here; known are `log`, `sqlite`"), "{said}");
    }

    #[test]
    fn a_missing_key_is_told_with_its_section() {
        let said = fault("missing", "id = \"hub-1\"", "");
        assert!(said.contains("`id` in section [relay] is missing; add it"), "{said}");
    }

    #[test]
    fn limits_that_stop_the_relay_are_refused() {
        let said = fault("incoming", "incoming_mib = 256", "incoming_mib = 17");
        assert!(said.contains("limits.incoming_mib: 17 is too little; give at least 19"), "{said}");
        let said = fault("connections", "connections = 1024", "connections = 0");
        assert!(said.contains("limits.connections: 0 is too little; give at least 1"), "{said}");
        let said = fault("mailbox", "mailbox_mib = 4096", "mailbox_mib = 19");
        assert!(
            said.contains("limits.mailbox_mib: 19 is too little; give at least 20, one message"),
            "{said}"
        );
        let said = fault("sender", "sender_messages = 50000", "sender_messages = 284");
        assert!(said.contains("limits.sender_messages: 284 is too little; give at least 285"), "{said}");
    }

    #[test]
    fn thresholds_of_the_disk_come_in_order() {
        let said = fault("percent", "[85, 92, 97]", "[85, 80, 97]");
        assert!(said.contains("limits.disk_used_percent: not three percents"), "{said}");
        let said = fault("beyond", "[85, 92, 97]", "[85, 92, 101]");
        assert!(said.contains("limits.disk_used_percent: not three percents"), "{said}");
        let said = fault("free", "[4096, 2048, 1024]", "[4096, 2048, 2049]");
        assert!(said.contains("limits.disk_free_mib: not three numbers"), "{said}");
        let said = fault("two", "[4096, 2048, 1024]", "[4096, 2048]");
        assert!(said.contains(".toml:72:17:") && said.contains("length 2"), "{said}");
    }

    #[test]
    fn the_least_quotas_take_the_largest_message_and_the_largest_circular() {
        let limits = LimitsSection {
            mailbox_messages: 1,
            mailbox_mib: 20,
            sender_messages: 285,
            sender_mib: 20,
            ..LimitsSection::default()
        };
        let mailboxes = (0..l::RECIPIENTS_MAX).map(|_| Ok::<_, std::convert::Infallible>(Held::default()));
        let quotas = limits.quotas();
        let Ok(over) = quotas.judge(Precedence::Routine, l::MESSAGE_CT_MAX, Held::default(), mailboxes);
        assert_eq!(over, None);
    }

    #[test]
    fn health_is_told_to_this_machine_only() {
        let said = fault("http", "127.0.0.1:9433", "0.0.0.0:9433");
        assert!(
            said.contains("relay.http: 0.0.0.0:9433 would answer anybody; use a loopback address"),
            "{said}"
        );
    }

    #[test]
    fn the_administrators_socket_may_be_left_out_and_its_path_is_bounded() {
        let line = "admin_socket = \"admin.sock\"";
        assert!(changed("no-admin", line, "").unwrap().relay.admin_socket.is_none());
        let said = fault("admin-typo", "admin_socket = ", "admin_sokcet = ");
        assert!(said.contains("`admin_sokcet` is not known here; did you mean `admin_socket`?"), "{said}");
        let said = fault("admin-long", "admin.sock", &format!("/{}", "a".repeat(107)));
        assert!(said.contains("relay.admin_socket:") && said.contains("has 108 bytes"), "{said}");
    }

    #[test]
    fn a_name_that_breaks_the_rule_is_told_with_its_line() {
        let said = fault("name", "id = \"hub-1\"", "id = \"Hub_1\"");
        assert!(said.contains(".toml:7:6: `Hub_1` is not a name"), "{said}");
    }
}
