//! The papers of a simulated federation: made once by the mint, read by every program of every run as it would read its
//! own files. Lies in memory where there is a file system for that, and is gone when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result};
use valise_client::config::ClientConfig;
use valise_host::entropy::SeededEntropy;
use valise_host::transport::LinkProfile;
use valise_mint::lab::{InitRequest, Lab, init};
use valise_mint::parties::PartyArg;
use valise_proto::names::TrustDomain;
use valise_relay::config::{RelayConfig, StoreKind};

use super::machine::BEGIN_MS;

/// Papers are made with fixed keys: a run repeats itself as far as it can.
const PAPERS_SEED: u64 = 0x7061_7065_7273;

/// Papers and configurations of a relay and its parties, and the disks of the runs that are played with them.
#[derive(Debug)]
pub struct Federation {
    dir: PathBuf,
    lab: Lab,
    runs: AtomicU64,
    kind: Option<StoreKind>,
}

/// Of so many seeds one keeps the relay's queue in SQLite, all others in the log.
const SQLITE_EACH: u64 = 5;

impl Federation {
    /// Of these parties.
    pub fn new(parties: &[&str]) -> Result<Self> {
        let dir = scratch()?;
        crate::interrupt::clears(&dir);
        let request = InitRequest {
            dir: dir.join("lab"),
            parties: parties.iter().map(|name| PartyArg::parse(name)).collect::<Result<_, _>>()?,
            domain: TrustDomain::new("i24.example")?,
            listen: "10.0.0.1:443".parse()?,
        };
        let lab = init(&request, BEGIN_MS, Arc::new(SeededEntropy::new(PAPERS_SEED)))?;
        Ok(Self { dir, lab, runs: AtomicU64::new(0), kind: None })
    }

    /// Whose relay keeps its queue in this backend, whatever the seed.
    #[must_use]
    pub fn keeping_in(mut self, kind: StoreKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The relay's configuration, with its store in a directory of the run of a seed.
    pub fn relay(&self, run: &Path, seed: u64) -> Result<RelayConfig> {
        let mut config = RelayConfig::load(&self.lab.relay.config)?;
        let drawn = if seed.is_multiple_of(SQLITE_EACH) { StoreKind::Sqlite } else { StoreKind::Log };
        config.store.kind = self.kind.unwrap_or(drawn);
        config.store.path = run.join(match config.store.kind {
            StoreKind::Log => "queue",
            StoreKind::Sqlite => "relay.db",
        });
        config.store.segment_mib = 1;
        Ok(config)
    }

    /// A party's configuration, likewise. A mission stands behind a satellite.
    pub fn party(&self, name: &str, run: &Path) -> Result<ClientConfig> {
        let party = self.lab.parties.iter().find(|party| party.name == name);
        let mut config = ClientConfig::load(&party.with_context(|| format!("{name} is no party"))?.config)?;
        config.store.path = run.join(format!("{name}.db"));
        if party.is_some_and(|party| party.kind == "mission") {
            config.link.profile = LinkProfile::Satellite;
        }
        Ok(config)
    }

    /// A new directory for the disks of one run.
    pub fn run(&self) -> Result<PathBuf> {
        let dir = self.dir.join(format!("run-{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok(); // nothing in it is worth a panic
    }
}

/// A new directory of our own, in memory if the machine has a place for that.
fn scratch() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("valise-{:x}-{number:x}", std::process::id()));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
        }
    }
}
