//! A federation made by `valisectl init` in a directory of its own with a short name, gone when dropped unless kept.
//!
//! Ports stand outside the range from which the system gives out its own, and are held for the lab's life: a killed
//! relay finds its address free again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::child::program;
use crate::party::Party;
use crate::relay::Relay;

/// Ports for labs, in pairs: the relay's, and one that holds the pair.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Length of a directory's name in which every socket's path still fits (107 bytes), the longest party name included.
const DIR_MAX: usize = 40;

/// A federation: a relay and parties.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    kept: bool,
    relay: Relay,
    parties: BTreeMap<String, Party>,
    _port: TcpListener,
}

impl Lab {
    /// Makes one; nothing of it runs yet. Two letters are a bureau, more a mission.
    pub fn new(parties: &[&str]) -> Result<Self> {
        let dir = own_dir()?;
        let (port, held) = own_port()?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(program("valisectl")?);
        command.arg("init").arg(&dir).args(["--listen", &listen.to_string()]);
        for party in parties {
            command.args(["--party", party]);
        }
        let output = command.output().context("cannot start valisectl")?;
        if !output.status.success() {
            bail!("valisectl init failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let plan: Value = serde_json::from_slice(&output.stdout).context("valisectl init printed no JSON")?;
        let logs = dir.join("logs");
        fs::create_dir(&logs).context("cannot make a directory for logs")?;
        let config = path_in(&plan["relay"]["config"])?;
        same_port_for_health(&config, listen)?;
        let parties = plan["parties"].as_array().context("valisectl init names no parties")?.iter();
        let parties = parties.map(|one| {
            let name = one["name"].as_str().context("a party has no name")?.to_owned();
            let log = logs.join(format!("{name}.log"));
            let party = Party::new(name.clone(), path_in(&one["config"])?, path_in(&one["socket"])?, log);
            Ok((name, party))
        });
        let parties = parties.collect::<Result<_>>()?;
        let relay = Relay::new(config, listen, logs.join("relay.log"));
        Ok(Self { dir, kept: false, relay, parties, _port: held })
    }

    /// Makes one and starts all of it: the relay is ready and every daemon welcomed.
    pub fn running(parties: &[&str]) -> Result<Self> {
        let mut lab = Self::new(parties)?;
        lab.start()?;
        Ok(lab)
    }

    /// Has the relay keep its queue in SQLite; to be called before it has one.
    pub fn keep_in_sqlite(&self) -> Result<()> {
        let config = self.relay.config();
        let text = fs::read_to_string(config).context("the relay has no configuration")?;
        let other =
            text.replace("kind = \"log\"", "kind = \"sqlite\"").replace("store/queue", "store/queue.db");
        fs::write(config, other).context("cannot change the relay's configuration")
    }

    /// Starts all of it: the relay is ready and every daemon welcomed.
    pub fn start(&mut self) -> Result<()> {
        self.relay.start()?;
        for party in self.parties.values_mut() {
            party.spawn()?;
        }
        for party in self.parties.values_mut() {
            party.ready()?;
        }
        self.parties.values().try_for_each(Party::linked)
    }

    /// The relay.
    pub fn relay(&mut self) -> &mut Relay {
        &mut self.relay
    }

    /// A party by its name.
    pub fn party(&self, name: &str) -> &Party {
        self.parties.get(name).unwrap_or_else(|| panic!("{name} is no party of this lab"))
    }

    /// A party by its name, to start or end its daemon.
    pub fn party_mut(&mut self, name: &str) -> &mut Party {
        self.parties.get_mut(name).unwrap_or_else(|| panic!("{name} is no party of this lab"))
    }

    /// All parties, by name.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        self.parties.values()
    }

    /// The relay, and beside it all parties: for whoever kills the one while the others write.
    pub fn split(&mut self) -> (&mut Relay, &BTreeMap<String, Party>) {
        (&mut self.relay, &self.parties)
    }

    /// Everything of it lies here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the directory behind.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            writeln!(std::io::stderr(), "the logs of the lab are in {}/logs", self.dir.display()).ok();
        } else if !self.kept {
            fs::remove_dir_all(&self.dir).ok(); // what is left of a failed start is not worth a panic
        }
    }
}

fn path_in(value: &Value) -> Result<PathBuf> {
    value.as_str().map(PathBuf::from).context("valisectl init leaves out a path")
}

/// A name that nobody else has, short, and absent.
fn own_dir() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let temp = std::env::temp_dir();
    let base = if temp.as_os_str().len() + 20 <= DIR_MAX { temp } else { PathBuf::from("/tmp") };
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("v-{:x}-{number:x}", std::process::id()));
        if !dir.exists() {
            return Ok(dir);
        }
    }
}

/// A port that is free for UDP and TCP, and the listener on its neighbour that holds it for us.
fn own_port() -> Result<(u16, TcpListener)> {
    // Processes begin at different places; within one, every lab goes on where the last stopped.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pairs = u32::from(PORTS.end - PORTS.start) / 2;
    let first = std::process::id().wrapping_mul(97);
    for _ in 0..pairs {
        let pair = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % pairs;
        let port =
            PORTS.start + u16::try_from(pair * 2).expect("invariant: pairs lie within the range of ports");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(held) = TcpListener::bind(at(port + 1)) else { continue };
        if UdpSocket::bind(at(port)).is_ok() && TcpListener::bind(at(port)).is_ok() {
            return Ok((port, held));
        }
    }
    bail!("no port between {} and {} is free", PORTS.start, PORTS.end)
}

/// Health answers by TCP at the number where QUIC answers by UDP: that port is ours after every kill.
fn same_port_for_health(config: &Path, listen: SocketAddr) -> Result<()> {
    let text = fs::read_to_string(config).context("cannot read relay.toml")?;
    let line = |line: &str| match line.strip_prefix("http = ") {
        Some(_) => format!("http = \"{listen}\"\n"),
        None => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    fs::write(config, text).context("cannot write relay.toml")
}
