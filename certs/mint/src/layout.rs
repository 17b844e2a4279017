//! What stands where in a lab, and the configuration files that say so. Text only; `lab` writes it.
//!
//! Every path in a configuration is relative to that file, so a lab can be moved as a whole.

use std::net::SocketAddr;

use valise_proto::names::{DeviceName, Mailbox, PartyName, RelayId};

/// Root and roster signer.
pub const ROOT_DIR: &str = "root";
/// Revocation lists, one file per issuer.
pub const CRL_DIR: &str = "crl";
/// The relay.
pub const RELAY_DIR: &str = "relay";
/// One directory per party.
pub const PARTIES_DIR: &str = "parties";
/// A CA, beside what it certifies.
pub const CA_DIR: &str = "ca";
/// Certificates and keys of one program.
pub const KEYS_DIR: &str = "keys";
/// The store of one program.
pub const STORE_DIR: &str = "store";
/// The signed roster.
pub const ROSTER_FILE: &str = "roster.bin";
/// The agreements that the roster was compiled from.
pub const AGREEMENTS_FILE: &str = "agreements.toml";
/// The pinned root, in `ROOT_DIR`.
pub const ROOT_FILE: &str = "root.pem";
/// The relay's configuration, in `RELAY_DIR`.
pub const RELAY_CONFIG: &str = "relay.toml";
/// A device's configuration, in its party's directory.
pub const CLIENT_CONFIG: &str = "client.toml";
/// The daemon's socket, beside its configuration.
pub const API_SOCKET: &str = "api.sock";
/// The relay's socket for its administrator, beside its configuration.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// Article of the one rule of a lab.
const LAB_ARTICLE: &str = "lab-1";

/// The lab's agreements: every party of it may send everything to every other.
pub fn agreements() -> String {
    format!(
        r#"# Who may send what to whom. The first rule that fits decides; without one, nothing passes.
# Sides: a party, @all, @bureaus, @missions, @region-NAME. Classes: message, notice, request, reply.
# Types of a class: "all", or a list. Optional: max_precedence, max_bytes, until = "2027-12-31T00:00:00Z".

[[agreement]]
article = "{LAB_ARTICLE}"
from = ["@all"]
to = ["@all"]
classes = {{ message = "all", notice = "all", request = "all", reply = "all" }}
max_precedence = "override"
"#
    )
}

/// The relay's configuration.
pub fn relay_config(id: &RelayId, listen: SocketAddr, http: SocketAddr) -> String {
    format!(
        r#"# A relay. Paths are relative to this file.

[relay]
id = "{id}"
listen = "{listen}" # UDP
admin_socket = "{ADMIN_SOCKET}" # valisectl relay
http = "{http}" # /livez, /readyz, /metrics

[tls]
cert = "keys/tls.pem"
key = "keys/tls.key"

[keys]
sign_cert = "keys/sign.pem"
sign_key = "keys/sign.key"

[trust]
root = "../{ROOT_DIR}/{ROOT_FILE}"
roster = "../{ROSTER_FILE}"
crl_dir = "../{CRL_DIR}"

[store]
kind = "log"
path = "store/queue"
key_file = "keys/store.key" # in service: on another disk than the queue

[limits]
"#
    )
}

/// A device's configuration.
pub fn client_config(party: &PartyName, device: &DeviceName, relay: &RelayId, address: SocketAddr) -> String {
    let mailbox = Mailbox::from(party);
    format!(
        r#"# A device of {party}. Paths are relative to this file.

[party]
name = "{party}"
device = "{device}"
mailboxes = ["{mailbox}"]

[relay]
address = "{address}"
id = "{relay}"

[keys]
tls_cert = "keys/tls.pem"
tls_key = "keys/tls.key"
sign_cert = "keys/sign.pem"
sign_key = "keys/sign.key"
kem_key = "keys/kem.key"

[trust]
root = "../../{ROOT_DIR}/{ROOT_FILE}"
roster = "../../{ROSTER_FILE}"
crl_dir = "../../{CRL_DIR}"

[store]
path = "store/desk.db"
key_file = "keys/store.key"

[api]
socket = "{API_SOCKET}"

[link]
profile = "lan"
"#
    )
}
