//! The relay as it is delivered: a process with its own configuration and papers, on the loopback, and a load of
//! devices beside it. In turn with the yardstick, so that both meet the same machine.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use valise_host::transport::{LinkProfile, device_transport};
use valise_relay::config::RelayConfig;

use crate::bounds::Bounds;
use crate::envelopes::{Addressee, Envelope, sealed};
use crate::federation::{Device, Federation, caller};
use crate::machine::{Meter, Used};
use crate::page::{Section, note};
use crate::process::{Server, program};
use crate::table::{median, table};
use crate::tally::{Counts, Tally};
use crate::yardstick::{self, load};

mod device;

use device::{Session, Way};

/// Senders, each with one submission in flight.
const AUTHORS: usize = 64;
/// Devices that receive, each for a mailbox of its own.
const READERS: usize = 8;
/// Before the window opens.
const WARM_UP: Duration = Duration::from_secs(1);
/// For the last receipts to come back after the window.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
/// For a server to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Fastest relay that envelopes are sealed for, messages a second.
const RATE_MAX: u64 = 16_000;
/// What the relay has to reach on two cores, messages a second.
const LIMIT: f64 = 5000.0;
/// Between two looks at something that is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One run of either server.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Messages a second: received, and acknowledged to their author.
    rate: f64,
    /// Submissions acknowledged as durable, a second.
    accepted: f64,
    /// From submission to acceptance, milliseconds.
    p50: f64,
    p99: f64,
    /// CPU seconds for each 1,000 messages.
    server_cpu: f64,
    load_cpu: f64,
    /// Commit groups a second.
    groups: f64,
    /// Cores that others kept busy.
    foreign: f64,
}

/// What one run leaves behind.
struct Outcome {
    used: Used,
    window: Counts,
    waits_ms: (f64, f64),
    all: Counts,
}

/// All that stays the same from run to run.
struct Scene {
    federation: Federation,
    authors: Vec<Arc<Device>>,
    readers: Vec<Arc<Device>>,
    envelopes: Vec<Arc<Vec<Envelope>>>,
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
                "run {number} of {}: relay {:.0}/s ({:.3} CPU s per 1,000), yardstick {:.0}/s, foreign load {:.2} cores",
                bounds.runs, relay.rate, relay.server_cpu, yard.rate, relay.foreign
            ));
        }
    }
    let command = format!("cargo figures relay --seconds {} --runs {}", bounds.seconds, bounds.runs);
    Ok(Section { name: "relay", command, about: ABOUT, figures: shown(&relays, &yards, &scene) })
}

/// What the section says above its table.
const ABOUT: &str = "
64 devices, each a bureau of its own with one submission in flight, send texts of 1 KiB that were sealed and signed before; 8 devices
receive them and state a signed `delivered` for each. A message counts when the relay has kept that statement and handed it
to the author's device. The relay is the program as delivered, with its SQLite queue, real papers and mutual TLS 1.3
(X25519MLKEM768, Ed25519) on the loopback; the devices share its cores, and have no store of their own.

The yardstick (`benches/src/yardstick.rs`) is bare quinn with the same TLS and papers, one log, one write and one fdatasync for
all that waits, and as many senders and receivers. It asks nobody for permission, keeps no order, no deduplication, no expiry and no
receipts, seals nothing, forgets on restart what was received, and tells no author.

Acceptance is the time from the first byte sent to the proof that the message is synced.
";

fn shown(relays: &[Run], yards: &[Run], scene: &Scene) -> String {
    type Figure = fn(&Run) -> f64;
    let row = |what: &str, digits: usize, figure: Figure| {
        let (relay, yard) = (median(relays.iter().map(figure)), median(yards.iter().map(figure)));
        let ratio = median(relays.iter().zip(yards).map(|(relay, yard)| figure(relay) / figure(yard)));
        (
            what.to_owned(),
            vec![format!("{relay:.digits$}"), format!("{yard:.digits$}"), format!("{ratio:.2}")],
        )
    };
    let rows = [
        row("messages/s, received and acknowledged", 0, |run| run.rate),
        row("submissions accepted/s", 0, |run| run.accepted),
        row("acceptance p50, ms", 2, |run| run.p50),
        row("acceptance p99, ms", 2, |run| run.p99),
        row("server CPU s per 1,000 messages", 3, |run| run.server_cpu),
        row("devices' CPU s per 1,000 messages", 3, |run| run.load_cpu),
        row("commit groups/s", 0, |run| run.groups),
        row("foreign load, cores", 2, |run| run.foreign),
    ];
    let rates: Vec<f64> = relays.iter().map(|run| run.rate).collect();
    let (low, high) =
        rates.iter().fold((f64::MAX, 0.0), |(low, high): (f64, f64), rate| (low.min(*rate), high.max(*rate)));
    let kept = if median(rates.iter().copied()) >= LIMIT { "kept" } else { "MISSED" };
    let bytes = scene.envelopes[0][0].frames.len();
    format!(
        "{}\nMedians of {} runs in turn; a ratio is the median of the ratios of each pair. The relay's runs lie between {low:.0} and {high:.0} \
         messages/s; the limit of {LIMIT:.0} is {kept}. A sealed message is {bytes} bytes on the wire, its key wrap included.\n",
        table(&["relay", "yardstick", "ratio"], rows),
        relays.len()
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
        let shared = |devices: Vec<Device>| devices.into_iter().map(Arc::new).collect();
        Ok(Self {
            federation,
            authors: shared(authors),
            readers: shared(readers),
            envelopes: envelopes.into_iter().map(Arc::new).collect(),
        })
    }

    /// One run of the relay, from an empty store.
    fn relay(&self, bounds: Bounds) -> Result<Run> {
        let config = self.federation.relay_config();
        let parts = RelayConfig::load(&config)?;
        let store = parts.store.path.parent().map(PathBuf::from).context("the store has no directory")?;
        for file in fs::read_dir(&store).into_iter().flatten() {
            fs::remove_file(file?.path())?;
        }
        let args = [OsStr::new("--config"), config.as_os_str()];
        let server =
            Server::start(&program("valise-relay")?, &args, &self.federation.dir().join("relay.log"))?;
        let outcome = runtime()?.block_on(self.drive_relay(server.id(), parts.relay.listen, bounds))?;
        server.stop()?;
        let made = commits(&parts.store.path).unwrap_or_default();
        Ok(outcome.run(made))
    }

    async fn drive_relay(&self, server: u32, address: SocketAddr, bounds: Bounds) -> Result<Outcome> {
        let federation = &self.federation;
        let way = Way { address, name: federation.relay_name()?, roster_no: federation.roster_no() };
        let transport = Arc::new(device_transport(LinkProfile::Lan));
        let from = caller()?;
        let tally = Arc::new(Tally::default());
        let (mut writing, mut reading) = (JoinSet::new(), JoinSet::new());
        for reader in &self.readers {
            let config = federation.calling(reader, Arc::clone(&transport))?;
            let session = timeout(START_LIMIT, Session::open(&from, &way, config, Arc::clone(reader)));
            reading.spawn(session.await.context("the relay does not answer")??.read(Arc::clone(&tally)));
        }
        for (author, envelopes) in self.authors.iter().zip(&self.envelopes) {
            let config = federation.calling(author, Arc::clone(&transport))?;
            let session = Session::open(&from, &way, config, Arc::clone(author)).await?;
            tally.writing.fetch_add(1, Relaxed);
            writing.spawn(session.write(Arc::clone(envelopes), Arc::clone(&tally)));
        }
        watch(server, &tally, bounds, &mut writing, &mut reading).await
    }

    /// One run of the yardstick.
    fn yardstick(&self, bounds: Bounds) -> Result<Run> {
        let dir = self.federation.dir();
        let told = dir.join(yardstick::ADDRESS_FILE);
        fs::remove_file(&told).ok(); // there is none before the first run
        let own = std::env::current_exe()?;
        let args = [OsStr::new("yardstick"), dir.as_os_str()];
        let server = Server::start(&own, &args, &dir.join("yardstick.out"))?;
        let (outcome, made) = runtime()?.block_on(async {
            let address = listening(&told).await?;
            let outcome = self.drive_yardstick(server.id(), address, bounds).await?;
            let made = load::groups(&self.federation, address, &self.authors[0]).await?;
            anyhow::Ok((outcome, made))
        })?;
        server.stop()?;
        Ok(outcome.run(made))
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

/// Lets the load warm up, opens the window, closes it, and waits until everything has settled.
async fn watch(
    server: u32,
    tally: &Tally,
    bounds: Bounds,
    writing: &mut JoinSet<Result<()>>,
    reading: &mut JoinSet<Result<()>>,
) -> Result<Outcome> {
    let window = async {
        sleep(WARM_UP).await;
        tally.measure(true);
        let (before, meter) = (tally.counts(), Meter::start(Some(server))?);
        sleep(bounds.length()).await;
        let (after, used) = (tally.counts(), meter.read()?);
        tally.measure(false);
        tally.stop.store(true, Relaxed);
        let asked = Instant::now();
        loop {
            let Counts { accepted, received, settled } = tally.counts();
            if tally.writing.load(Relaxed) == 0 && accepted == received && accepted == settled {
                break;
            }
            let late = asked.elapsed() > SETTLE_LIMIT;
            ensure!(!late, "of {accepted} accepted messages {received} came and {settled} were settled");
            sleep(LOOK_EVERY).await;
        }
        // What comes now would be doubled.
        sleep(LOOK_EVERY).await;
        let all = tally.counts();
        ensure!(all.accepted == all.received && all.accepted == all.settled, "a message came twice");
        let window = Counts {
            accepted: after.accepted - before.accepted,
            received: after.received - before.received,
            settled: after.settled - before.settled,
        };
        anyhow::Ok(Outcome { used, window, waits_ms: tally.waits_ms(), all })
    };
    tokio::pin!(window);
    loop {
        tokio::select! {
            biased;
            outcome = &mut window => return outcome,
            Some(ended) = writing.join_next() => {
                ended?.context("a sender failed")?;
                ensure!(tally.stop.load(Relaxed), "a sender ended before the window");
            }
            Some(ended) = reading.join_next() => {
                ended?.context("a receiver failed")?;
                bail!("a receiver ended");
            }
        }
    }
}

impl Outcome {
    /// The run; groups are known for its whole length, and shared out by messages.
    fn run(&self, groups: u64) -> Run {
        let seconds = self.used.time.as_secs_f64();
        let thousands = self.window.settled as f64 / 1000.0;
        let rate = self.window.settled as f64 / seconds;
        Run {
            rate,
            accepted: self.window.accepted as f64 / seconds,
            p50: self.waits_ms.0,
            p99: self.waits_ms.1,
            server_cpu: self.used.server / thousands,
            load_cpu: self.used.own / thousands,
            groups: rate * groups as f64 / self.all.settled as f64,
            foreign: self.used.foreign,
        }
    }
}

/// One thread for all devices: they share the cores with what is measured, and switches cost both.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The address that the yardstick wrote down.
async fn listening(told: &std::path::Path) -> Result<SocketAddr> {
    let began = Instant::now();
    while began.elapsed() < START_LIMIT {
        if let Ok(text) = fs::read_to_string(told) {
            return Ok(text.parse()?);
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("the yardstick did not start; see {}", told.with_extension("out").display())
}

/// Commits that a SQLite store has made, as its own book says; it must be closed.
fn commits(store: &std::path::Path) -> Result<u64> {
    use rusqlite::{Connection as Database, OpenFlags};
    let database = Database::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let count = database.query_row("SELECT commit_no FROM ledger", [], |row| row.get::<_, i64>(0))?;
    Ok(count.cast_unsigned())
}
