//! Writes a lab into a directory of its own: papers, lists, roster, configurations, in the order they need each other.
//!
//! Ends with the check that relay and daemons will make of it; nothing unsound leaves this room.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use valise_certs::Trust;
use valise_certs::identity::{admit_device, admit_relay};
use valise_certs::load::TrustFiles;
use valise_host::keyfile::{ensure_private_dir, write_new_secret};
use valise_proto::kinds::PartyKind;
use valise_proto::names::{DeviceId, DeviceName, PartyName, RelayId};
use valise_proto::roster::{Party, Roster};
use valise_proto::signing::KeyId;

use crate::crl::LAB_CRL_LIFE_MS;
use crate::fault::MintFault;
use crate::layout as at;
use crate::mint::Mint;
use crate::papers::{Authority, Papers};
use crate::parties::PartyArg;
use crate::roster::{compile_agreements, sign};

/// The relay of a lab.
const RELAY_ID: &str = "hub-1";
/// The device of a bureau, and of a mission.
const DEVICES: [&str; 2] = ["gw1", "u1"];
/// Who signs a lab's roster.
const ROSTER_SIGNER: &str = "lab";

/// For names that this file states itself.
fn known<T, E: std::fmt::Debug>(name: Result<T, E>) -> T {
    name.expect("invariant: the names of a lab keep the rule")
}

/// Makes everything of a lab in one directory, and checks it.
pub(super) fn build(
    dir: &Path,
    mint: &Mint,
    parties: &[PartyArg],
    listen: SocketAddr,
) -> Result<(), MintFault> {
    Builder { mint, dir, relay: known(RelayId::new(RELAY_ID)), listen }.build(parties)
}

struct Builder<'a> {
    mint: &'a Mint,
    dir: &'a Path,
    relay: RelayId,
    listen: SocketAddr,
}

/// What was issued, for the check at the end.
struct Issued {
    relay: Papers,
    devices: Vec<(DeviceId, PartyKind, Papers)>,
}

impl Builder<'_> {
    fn build(&self, parties: &[PartyArg]) -> Result<(), MintFault> {
        let root_dir = self.make(Path::new(at::ROOT_DIR))?;
        self.make(Path::new(at::CRL_DIR))?;
        let root = self.mint.root(1)?;
        self.write(&root_dir.join(at::ROOT_FILE), root.papers().cert_pem())?;
        write_new_secret(&root_dir.join("root.key"), root.papers().key_pem().as_bytes())?;
        self.crl("root", &root)?;
        let signer = self.mint.roster_signer(&root, &known(DeviceName::new(ROSTER_SIGNER)))?;
        self.papers(&root_dir, "roster-signer", &signer)?;

        let (relay_ca, relay) = self.relay(&root)?;
        let mut entries = BTreeMap::new();
        let mut devices = Vec::with_capacity(parties.len());
        for party in parties {
            let (ca, device) = self.party(&root, party)?;
            let (display, region) = party.display_and_region();
            let entry = Party { kind: party.kind, display, region, ca_keys: vec![ca.key_id()] };
            entries.insert(party.name.clone(), entry);
            devices.push(device);
        }
        self.roster(&root, &signer, entries, relay_ca.key_id())?;
        self.check(&Issued { relay, devices })
    }

    fn relay(&self, root: &Authority) -> Result<(Authority, Papers), MintFault> {
        let home = self.make(Path::new(at::RELAY_DIR))?;
        let ca = self.mint.relay_ca(root, &self.relay, 1)?;
        // No party's name holds a dot, so no party's list can take this place.
        self.crl(&format!("relay.{}", self.relay), &ca)?;
        let keys = self.home(&home, &ca)?;
        let tls = self.mint.relay_tls(&ca, &self.relay)?;
        self.papers(&keys, "tls", &tls)?;
        self.papers(&keys, "sign", &self.mint.relay_signing(&ca, &self.relay)?)?;
        let http = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let http = TcpListener::bind(http).and_then(|socket| socket.local_addr());
        let http = http.map_err(MintFault::io(&home, "find a free port for"))?;
        self.write(&home.join(at::RELAY_CONFIG), at::relay_config(&self.relay, self.listen, http))?;
        Ok((ca, tls))
    }

    fn party(
        &self,
        root: &Authority,
        party: &PartyArg,
    ) -> Result<(Authority, (DeviceId, PartyKind, Papers)), MintFault> {
        let home = self.make(&Path::new(at::PARTIES_DIR).join(party.name.as_str()))?;
        let ca = self.mint.party_ca(root, party.kind, &party.name, 1)?;
        self.crl(party.name.as_str(), &ca)?;
        let keys = self.home(&home, &ca)?;
        let device = known(DeviceName::new(DEVICES[usize::from(party.kind == PartyKind::Mission)]));
        let id = DeviceId { party: party.name.clone(), device };
        let tls = self.mint.device_tls(&ca, party.kind, &id)?;
        self.papers(&keys, "tls", &tls)?;
        self.papers(&keys, "sign", &self.mint.device_signing(&ca, party.kind, &id)?)?;
        write_new_secret(&keys.join("kem.key"), &self.mint.random::<32>()[..])?;
        let config = at::client_config(&id.party, &id.device, &self.relay, reachable(self.listen));
        self.write(&home.join(at::CLIENT_CONFIG), &config)?;
        Ok((ca, (id, party.kind, tls)))
    }

    /// CA, store and store key of one program; gives the directory for its papers.
    fn home(&self, home: &Path, ca: &Authority) -> Result<PathBuf, MintFault> {
        let ca_dir = self.make(&home.join(at::CA_DIR))?;
        self.papers(&ca_dir, "ca", ca.papers())?;
        self.make(&home.join(at::STORE_DIR))?;
        let keys = self.make(&home.join(at::KEYS_DIR))?;
        write_new_secret(&keys.join("store.key"), &self.mint.random::<32>()[..])?;
        Ok(keys)
    }

    fn roster(
        &self,
        root: &Authority,
        signer: &Papers,
        parties: BTreeMap<PartyName, Party>,
        relay_ca: KeyId,
    ) -> Result<(), MintFault> {
        let text = at::agreements();
        let roster = Roster {
            number: 1,
            domain: self.mint.domain().clone(),
            issued_ms: self.mint.now_ms(),
            roots: vec![root.key_id()],
            agreements: compile_agreements(&text, |name| parties.contains_key(name))?,
            parties,
            relays: BTreeMap::from([(self.relay.clone(), vec![relay_ca])]),
            revocations: BTreeMap::new(),
        };
        self.write(&self.dir.join(at::AGREEMENTS_FILE), &text)?;
        self.write(&self.dir.join(at::ROSTER_FILE), sign(&roster, signer).to_bytes())
    }

    /// What was made is read back as a relay and a daemon will, and judged by the same checks.
    fn check(&self, issued: &Issued) -> Result<(), MintFault> {
        let root = self.dir.join(at::ROOT_DIR).join(at::ROOT_FILE);
        let (roster, crls) = (self.dir.join(at::ROSTER_FILE), self.dir.join(at::CRL_DIR));
        let now_ms = self.mint.now_ms();
        let trust = Trust::new(&TrustFiles::read(&root, &roster, &crls)?, now_ms)?;
        admit_relay(&issued.relay.chain(), &self.relay, &trust, now_ms)?;
        for (device, kind, papers) in &issued.devices {
            let admitted = admit_device(&papers.chain(), &trust, now_ms)?;
            assert!(
                admitted.device() == device && admitted.kind() == *kind,
                "invariant: papers name their device"
            );
        }
        Ok(())
    }

    fn make(&self, path: &Path) -> Result<PathBuf, MintFault> {
        let path = self.dir.join(path);
        ensure_private_dir(&path)?;
        Ok(path)
    }

    fn papers(&self, dir: &Path, name: &str, papers: &Papers) -> Result<(), MintFault> {
        self.write(&dir.join(format!("{name}.pem")), papers.chain_pem())?;
        write_new_secret(&dir.join(format!("{name}.key")), papers.key_pem().as_bytes())?;
        Ok(())
    }

    fn crl(&self, name: &str, authority: &Authority) -> Result<(), MintFault> {
        let list = self.mint.crl(authority, 1, &[], LAB_CRL_LIFE_MS)?;
        self.write(&self.dir.join(at::CRL_DIR).join(format!("{name}.crl")), list)
    }

    /// Writes what is no secret. The directory around it is private, and nothing replaces it in its place until it
    /// has been synced as a whole.
    fn write(&self, path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), MintFault> {
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
        let file = opened.map_err(MintFault::io(path, "write"))?;
        io::Write::write_all(&mut &file, bytes.as_ref()).map_err(MintFault::io(path, "write"))?;
        file.sync_all().map_err(MintFault::io(path, "sync"))
    }
}

/// Where devices of the same machine find a relay that listens everywhere.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
