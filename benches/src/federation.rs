//! A federation for one figure: real papers made by the mint in a directory of its own, gone when dropped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime, TransportConfig};
use valise_certs::Trust;
use valise_certs::load::TrustFiles;
use valise_certs::tls::{TlsPapers, client_config, read_chain, relay_name, server_config, time_from};
use valise_host::clock::{Clock, SystemClock};
use valise_host::entropy::{OsEntropy, random};
use valise_host::keyfile::load_private_key;
use valise_mint::lab::{InitRequest, init};
use valise_mint::layout as at;
use valise_mint::mint::Mint;
use valise_mint::papers::Authority;
use valise_mint::parties::PartyArg;
use valise_proto::kinds::PartyKind;
use valise_proto::names::{DeviceId, DeviceName, Mailbox, PartyName, RelayId};
use valise_proto::signing::SigningKey;
use valise_proto::wire;

/// Trust domain, device and relay of every federation made here.
const DOMAIN: &str = "i24.example";
const DEVICE: &str = "gw1";
const RELAY: &str = "hub-1";

/// Where everything of a federation lies, and what its programs believe.
#[derive(Debug)]
pub(crate) struct Federation {
    dir: PathBuf,
    trust: Trust,
    own: bool,
}

/// One party's device: its papers, as its daemon would hold them.
pub(crate) struct Device {
    /// Its mailbox: the party's.
    pub(crate) mailbox: Mailbox,
    /// Its name.
    pub(crate) id: DeviceId,
    /// Signs what it states.
    pub(crate) key: SigningKey,
    /// The certificate behind that.
    pub(crate) leaf: wire::SigningLeaf,
    tls: TlsPapers,
}

/// Now, Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemClock.now_ms()
}

impl Federation {
    /// Makes one: a relay, and these bureaus.
    pub(crate) fn new(bureaus: &[String]) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("valise-figures-{:08x}", u32::from_le_bytes(random())));
        let parties = bureaus.iter().map(|name| PartyArg::parse(&format!("bureau:{name}")));
        let request = InitRequest {
            dir: dir.clone(),
            parties: parties.collect::<Result<_, _>>()?,
            domain: DOMAIN.parse()?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        init(&request, now_ms(), Arc::new(OsEntropy))?;
        Ok(Self { trust: trust(&dir)?, dir, own: true })
    }

    /// One that is there, made by another process, which also removes it.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self { trust: trust(dir)?, dir: dir.to_owned(), own: false })
    }

    /// Everything of it lies here.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The relay's configuration.
    pub(crate) fn relay_config(&self) -> PathBuf {
        self.dir.join(at::RELAY_DIR).join(at::RELAY_CONFIG)
    }

    /// The roster in force.
    pub(crate) fn roster_no(&self) -> u64 {
        self.trust.roster().number
    }

    /// The name on the relay's certificate.
    pub(crate) fn relay_name(&self) -> Result<String> {
        Ok(relay_name(&RelayId::new(RELAY)?, &self.trust).to_str().into_owned())
    }

    /// The device of a bureau.
    pub(crate) fn device(&self, bureau: &str) -> Result<Device> {
        let keys = self.dir.join(at::PARTIES_DIR).join(bureau).join(at::KEYS_DIR);
        let (chain, key) = (read(&keys.join("sign.pem"))?, load_private_key(&keys.join("sign.key"))?);
        let chain = read_chain(&chain)?;
        Ok(Device {
            mailbox: bureau.parse()?,
            id: DeviceId { party: PartyName::new(bureau)?, device: DeviceName::new(DEVICE)? },
            key: SigningKey::from_pkcs8(&key).map_err(|_| anyhow!("a signing key is none"))?,
            leaf: wire::SigningLeaf { leaf: chain[0].to_vec().into(), issuer: chain[1].to_vec().into() },
            tls: papers(&keys)?,
        })
    }

    /// More devices of a bureau, enrolled by its CA now. Their papers are in memory alone.
    pub(crate) fn enrolled(&self, bureau: &PartyName, count: usize) -> Result<Vec<Device>> {
        let ca = self.dir.join(at::PARTIES_DIR).join(bureau.as_str()).join(at::CA_DIR);
        let chain = String::from_utf8(read(&ca.join("ca.pem"))?)?;
        let ca = Authority::read(&chain, &load_private_key(&ca.join("ca.key"))?)?;
        let mint = Mint::new(DOMAIN.parse()?, now_ms(), Arc::new(OsEntropy));
        let device = |number: usize| -> Result<Device> {
            let id = DeviceId { party: bureau.clone(), device: DeviceName::new(&format!("idle{number}"))? };
            let tls = mint.device_tls(&ca, PartyKind::Bureau, &id)?;
            let signing = mint.device_signing(&ca, PartyKind::Bureau, &id)?;
            let [leaf, issuer] = signing.chain().map(|papers| papers.to_vec().into());
            Ok(Device {
                mailbox: Mailbox::from(bureau),
                id,
                key: signing.key.signing_key(),
                leaf: wire::SigningLeaf { leaf, issuer },
                tls: TlsPapers::new(tls.chain_pem().as_bytes(), &tls.key.pkcs8())?,
            })
        };
        (0..count).map(device).collect()
    }

    /// How a device calls: the TLS of the product, and a transport.
    pub(crate) fn calling(&self, device: &Device, transport: Arc<TransportConfig>) -> Result<ClientConfig> {
        let tls = client_config(&device.tls, &self.trust, time_from(now_ms))?;
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(transport);
        Ok(config)
    }

    /// The relay's side of TLS, with the relay's own papers.
    pub(crate) fn serving(&self) -> Result<rustls::ServerConfig> {
        let papers = papers(&self.dir.join(at::RELAY_DIR).join(at::KEYS_DIR))?;
        Ok(server_config(&papers, &self.trust, time_from(now_ms))?)
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        if self.own {
            fs::remove_dir_all(&self.dir).ok(); // in vain costs a directory of worthless keys
        }
    }
}

fn trust(dir: &Path) -> Result<Trust> {
    let root = dir.join(at::ROOT_DIR).join(at::ROOT_FILE);
    let files = TrustFiles::read(&root, &dir.join(at::ROSTER_FILE), &dir.join(at::CRL_DIR))?;
    Ok(Trust::new(&files, now_ms())?)
}

fn papers(keys: &Path) -> Result<TlsPapers> {
    Ok(TlsPapers::new(&read(&keys.join("tls.pem"))?, &load_private_key(&keys.join("tls.key"))?)?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A caller's socket and endpoint. Many devices of one figure share it: it is their machine.
pub(crate) fn caller() -> Result<Endpoint> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).context("no free UDP port")?;
    Ok(Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?)
}
