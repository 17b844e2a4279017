//! The relay as it is delivered: a process with its own configuration and papers, on the loopback, and a load of
//! devices beside it. In turn with the yardstick, so that both meet the same machine.
//!
//! Rooms: `device` the load · `window` what of a run is measured · `idle` memory · `counted` the relay's own counts ·
//! `report` what the section says.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quinn::TransportConfig;
use tokio::task::JoinSet;
use tokio::time::timeout;
use valise_host::transport::{LinkProfile, device_transport};
use valise_relay::config::RelayConfig;

use crate::bounds::Bounds;
use crate::envelopes::{Addressee, Envelope, sealed};
use crate::federation::{Device, Federation, caller};
use crate::page::{Section, note};
use crate::process::{Server, program};
use crate::tally::Tally;
use crate::yardstick::{self, load};

mod counted;
mod device;
mod idle;
mod report;
mod window;

use device::{Session, Way};
use window::{Outcome, Run, WARM_UP, watch};

/// Senders, each with one submission in flight.
const AUTHORS: usize = 64;
/// Devices that receive, each for a mailbox of its own.
const READERS: usize = 8;
/// Idle connections; the default configuration takes 1,024.
const IDLE: usize = 1000;
/// For a server to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Fastest relay that envelopes are sealed for, messages a second.
const RATE_MAX: u64 = 32_000;
/// What the relay has to reach of the yardstick's messages a second.
const RATIO_LIMIT: f64 = 0.6;
/// Most milliseconds within which 99 of a hundred acceptances have to come.
const LATENCY_LIMIT: f64 = 20.0;
/// Most kB that an idle connection may take.
const IDLE_LIMIT: f64 = 64.0;
/// Between two looks at something that is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// All that stays the same from run to run.
struct Scene {
    federation: Federation,
    authors: Vec<Arc<Device>>,
    readers: Vec<Arc<Device>>,
    envelopes: Vec<Arc<Vec<Envelope>>>,
    idle: Vec<Arc<Device>>,
}

/// Runs relay and yardstick in turn.
pub(crate) fn figures(bounds: Bounds) -> Result<Section> {
    program("valise-relay")?; // before the minutes that sealing takes
    let scene = Scene::new(bounds)?;
    let (mut relays, mut yards) = (Vec::new(), Vec::new());
    for number in 1..=bounds.runs {
        relays.push(scene.relay(bounds)?);
        yards.push(scene.yardstick(bounds)?);
        if let (Some(relay), Some(yard)) = (relays.last(), yards.last()) {
            note(&format!(
                "run {number} of {}: relay {}, yardstick {}",
                bounds.runs,
                said(relay),
                said(yard)
            ));
        }
    }
    let command = format!("cargo figures relay --seconds {} --runs {}", bounds.seconds, bounds.runs);
    Ok(Section {
        name: "relay",
        command,
        about: report::ABOUT,
        figures: report::shown(&relays, &yards, &scene),
    })
}

/// A run in short.
fn said(run: &Run) -> String {
    let Run { rate, p99, server_cpu, idle_kb, foreign, .. } = run;
    format!(
        "{rate:.0}/s (p99 {p99:.1} ms, {server_cpu:.3} CPU s per 1,000, {idle_kb:.1} kB idle, foreign load {foreign:.2} cores)"
    )
}

impl Scene {
    fn new(bounds: Bounds) -> Result<Self> {
        let names = |what: &str, count: usize| (0..count).map(|at| format!("{what}{at}")).collect::<Vec<_>>();
        let (authors, readers) = (names("author", AUTHORS), names("reader", READERS));
        let federation = Federation::new(&[authors.clone(), readers.clone()].concat())?;
        let devices =
            |names: &[String]| names.iter().map(|name| federation.device(name)).collect::<Result<Vec<_>>>();
        let (authors, readers) = (devices(&authors)?, devices(&readers)?);
        let each = usize::try_from(RATE_MAX * (bounds.seconds + WARM_UP.as_secs()))? / AUTHORS;
        note(&format!("sealing {} messages", each * AUTHORS));
        let to: Vec<_> = readers.iter().map(|reader| Addressee::new(&reader.mailbox)).collect();
        let envelopes = sealed(&authors, &to, each, federation.roster_no());
        let idle = authors.iter().map(|author| federation.enrolled(&author.id.party, IDLE.div_ceil(AUTHORS)));
        let idle: Vec<_> = idle.collect::<Result<Vec<_>>>()?.into_iter().flatten().take(IDLE + 1).collect();
        let shared = |devices: Vec<Device>| devices.into_iter().map(Arc::new).collect();
        Ok(Self {
            federation,
            idle: shared(idle),
            authors: shared(authors),
            readers: shared(readers),
            envelopes: envelopes.into_iter().map(Arc::new).collect(),
        })
    }

    /// One run of the relay, from an empty store; then its memory in another process.
    fn relay(&self, bounds: Bounds) -> Result<Run> {
        let (server, way, page) = self.start_relay()?;
        let outcome = runtime()?.block_on(self.drive_relay(server.id(), &way, bounds))?;
        let groups = counted::groups(page)?;
        server.stop()?;
        let (server, way, _) = self.start_relay()?;
        let idle = idle::relay(server.id(), &self.federation, &way, &self.idle);
        let idle_kb = runtime()?.block_on(idle)?;
        server.stop()?;
        Ok(outcome.run(groups, idle_kb))
    }

    fn start_relay(&self) -> Result<(Server, Way, SocketAddr)> {
        let config = self.federation.relay_config();
        let RelayConfig { relay, store, .. } = RelayConfig::load(&config)?;
        empty(store.path.parent().context("the store has no directory")?)?;
        let args = [OsStr::new("--config"), config.as_os_str()];
        let log = self.federation.dir().join("relay.log");
        let server = Server::start(&program("valise-relay")?, &args, &log)?;
        let (name, roster_no) = (self.federation.relay_name()?, self.federation.roster_no());
        let page = relay.http.context("the relay has no page")?;
        Ok((server, Way { address: relay.listen, name, roster_no }, page))
    }

    async fn drive_relay(&self, server: u32, way: &Way, bounds: Bounds) -> Result<Outcome> {
        let (federation, transport, from) = (&self.federation, device_link(), caller()?);
        let tally = Arc::new(Tally::default());
        let (mut writing, mut reading) = (JoinSet::new(), JoinSet::new());
        for reader in &self.readers {
            let config = federation.calling(reader, Arc::clone(&transport))?;
            let session = timeout(START_LIMIT, Session::open(&from, way, config, Arc::clone(reader)));
            reading.spawn(session.await.context("the relay does not answer")??.read(Arc::clone(&tally)));
        }
        for (author, envelopes) in self.authors.iter().zip(&self.envelopes) {
            let config = federation.calling(author, Arc::clone(&transport))?;
            let session = Session::open(&from, way, config, Arc::clone(author)).await?;
            tally.writing.fetch_add(1, Relaxed);
            writing.spawn(session.write(Arc::clone(envelopes), Arc::clone(&tally)));
        }
        watch(server, &tally, bounds, &mut writing, &mut reading).await
    }

    /// One run of the yardstick, as of the relay.
    fn yardstick(&self, bounds: Bounds) -> Result<Run> {
        let (server, address) = self.start_yardstick()?;
        let (outcome, groups) = runtime()?.block_on(async {
            let outcome = self.drive_yardstick(server.id(), address, bounds).await?;
            let groups = load::groups(&self.federation, address, &self.authors[0]).await?;
            anyhow::Ok((outcome, groups))
        })?;
        server.stop()?;
        let (server, address) = self.start_yardstick()?;
        let idle = idle::yardstick(server.id(), &self.federation, address, &self.idle);
        let idle_kb = runtime()?.block_on(idle)?;
        server.stop()?;
        Ok(outcome.run(groups, idle_kb))
    }

    fn start_yardstick(&self) -> Result<(Server, SocketAddr)> {
        let dir = self.federation.dir();
        let told = dir.join(yardstick::ADDRESS_FILE);
        fs::remove_file(&told).ok(); // there is none before the first run
        let args = [OsStr::new("yardstick"), dir.as_os_str()];
        let server = Server::start(&std::env::current_exe()?, &args, &dir.join("yardstick.out"))?;
        Ok((server, listening(&told)?))
    }

    async fn drive_yardstick(&self, server: u32, address: SocketAddr, bounds: Bounds) -> Result<Outcome> {
        let from = caller()?;
        let tally = Arc::new(Tally::default());
        let (mut writing, mut reading) = (JoinSet::new(), JoinSet::new());
        for (number, reader) in (0_u8..).zip(&self.readers) {
            let connection = load::call(&from, &self.federation, address, reader).await?;
            reading.spawn(load::read(connection, number, Arc::clone(&tally)));
        }
        for (author, envelopes) in self.authors.iter().zip(&self.envelopes) {
            let connection = load::call(&from, &self.federation, address, author).await?;
            let readers = u8::try_from(READERS)?;
            tally.writing.fetch_add(1, Relaxed);
            writing.spawn(load::write(connection, Arc::clone(envelopes), readers, Arc::clone(&tally)));
        }
        watch(server, &tally, bounds, &mut writing, &mut reading).await
    }
}

/// How devices are linked: as those of a local network.
fn device_link() -> Arc<TransportConfig> {
    Arc::new(device_transport(LinkProfile::Lan))
}

/// Removes what an earlier run left.
fn empty(dir: &Path) -> Result<()> {
    for found in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let found = found?;
        let path = found.path();
        if found.file_type()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
    }
    Ok(())
}

/// One thread for all devices: they share the cores with what is measured, and switches cost both.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The address that the yardstick writes down once it listens.
fn listening(told: &Path) -> Result<SocketAddr> {
    let began = Instant::now();
    while began.elapsed() < START_LIMIT {
        if let Ok(text) = fs::read_to_string(told) {
            return Ok(text.parse()?);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("the yardstick did not start; see {}", told.with_extension("out").display())
}
