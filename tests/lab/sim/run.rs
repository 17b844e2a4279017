//! Plays a list of operations on a federation and judges what came of it: the simulator's one verb.
//!
//! First everything happens as the list says. Then faults stop, everything runs, and within a bounded time all that was
//! promised must have come.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use valise_client::answer::State;
use valise_client::contract::Desk;
use valise_proto::names::MessageId;
use valise_relay::queue::Queue;

use super::federation::Federation;
use super::judge;
use super::link::Way;
use super::machine::locked;
use super::ops::{Op, RELAY, draw};
use super::trace::Trace;
use super::world::{Counts, World};

/// The parties of a drawn run: three bureaus, and two missions behind satellites.
pub const PARTIES: [&str; 5] = ["fr", "br", "de", "minustah", "monusco"];
/// After the last fault everything must have come within this, time of the run: a satellite's longest pause, several
/// times.
const CALM_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Between two looks at whether it has, milliseconds of the run.
const LOOK_EVERY_MS: u64 = 500;
/// For everything to be up and linked before the first operation, milliseconds of the run.
const WARM_MS: u64 = 2_500;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Messages that operators were answered for.
    pub messages: u64,
    /// Copies of them that were due at recipients.
    pub deliveries: u64,
    /// Of these, never delivered.
    pub lost: u64,
    /// Of these, delivered more than once.
    pub doubled: u64,
    /// What no correct exchange does; empty = the run is good.
    pub faults: Vec<String>,
    /// What happened in it.
    pub counts: Counts,
    /// Time of the run.
    pub elapsed: Duration,
    /// Every datagram.
    pub trace: Trace,
    /// What happened, line by line.
    pub story: Vec<String>,
}

impl Outcome {
    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.lost == 0 && self.doubled == 0
    }
}

/// A run that failed, told so that it can be played again.
#[derive(Debug)]
pub struct Told<'a> {
    /// The seed of chance.
    pub seed: u64,
    /// The operations.
    pub ops: &'a [Op],
    /// What came of them.
    pub outcome: &'a Outcome,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} found:", self.seed)?;
        for fault in &self.outcome.faults {
            writeln!(f, "  {fault}")?;
        }
        writeln!(f, "played: play(&federation, &parties, {}, &[", self.seed)?;
        for op in self.ops {
            writeln!(f, "    {op},")?;
        }
        writeln!(f, "])\nwhat happened:")?;
        self.outcome.story.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Plays the run of a seed.
pub fn play_seed(federation: &Federation, seed: u64) -> (Vec<Op>, Outcome) {
    let ops = draw(seed, &PARTIES);
    let outcome = play(federation, &PARTIES, seed, &ops);
    (ops, outcome)
}

/// Plays these operations. A run that cannot go on is a run with a fault.
pub fn play(federation: &Federation, parties: &[&'static str], seed: u64, ops: &[Op]) -> Outcome {
    on_paused_clock(run(federation, parties, seed, ops, disks_of(seed), false))
}

/// The same, on disks that answer so many milliseconds after they have done what was asked.
pub fn play_on_disks(
    federation: &Federation,
    parties: &[&'static str],
    seed: u64,
    ops: &[Op],
    store_ms: u64,
) -> Outcome {
    on_paused_clock(run(federation, parties, seed, ops, store_ms, false))
}

/// The disks of a seed: most at once, some as slow as a busy one.
fn disks_of(seed: u64) -> u64 {
    [0, 0, 2, 25][usize::try_from(seed % 4).unwrap_or(0)]
}

/// The same, with the programs' own log lines in the story.
pub fn tell(federation: &Federation, parties: &[&'static str], seed: u64, ops: &[Op]) -> Outcome {
    on_paused_clock(run(federation, parties, seed, ops, disks_of(seed), true))
}

async fn run(
    federation: &Federation,
    parties: &[&'static str],
    seed: u64,
    ops: &[Op],
    store_ms: u64,
    listen: bool,
) -> Outcome {
    let mut world = match World::on_disks(federation, parties, seed, store_ms) {
        Ok(world) => world,
        Err(error) => return Outcome { faults: vec![format!("{error:#}")], ..Outcome::default() },
    };
    let listener = if listen { world.story.listener() } else { tracing::Dispatch::none() };
    // Everything of a run runs on this thread.
    let _listening = tracing::dispatcher::set_default(&listener);
    let played = story(&mut world, ops).await;
    if let Err(error) = &played {
        world.fault(format!("{error:#}"));
    }
    let (lost, doubled) = match played {
        Ok(()) => judge::judge(&mut world).await,
        Err(_) => (0, 0),
    };
    let model = locked(&world.model).clone();
    let answered: Vec<_> = model.requests().filter(|asked| asked.id.is_some()).collect();
    Outcome {
        messages: answered.len() as u64,
        deliveries: answered.iter().map(|asked| asked.to.len() as u64).sum(),
        lost,
        doubled,
        faults: model.faults().to_vec(),
        counts: world.counts,
        elapsed: world.elapsed(),
        trace: world.net.trace(),
        story: world.story.lines(),
    }
}

/// Runs on one thread whose clock jumps from one timer to the next.
pub fn on_paused_clock<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("invariant: a runtime without sockets needs nothing of the system").block_on(work)
}

async fn story(world: &mut World, ops: &[Op]) -> Result<()> {
    world.start_all().await?;
    world.pass(WARM_MS).await?;
    for op in ops {
        world.tell(op.to_string());
        happen(world, op).await.with_context(|| format!("at {op}"))?;
        world.pass(1).await?;
        judge::believed(world).await;
    }
    calm(world).await
}

async fn happen(world: &mut World, op: &Op) -> Result<()> {
    match op {
        Op::Wait(ms) => world.pass(*ms).await?,
        Op::Send { from, to, bytes, precedence } => {
            let number = locked(&world.model).ask(from, to, *bytes);
            let send = world.operator(from).send(number, *precedence);
            world.beside(send);
        }
        Op::Read(party) => {
            let read = world.operator(party).handle(State::Opened);
            world.beside(read);
        }
        Op::Acknowledge(party) => {
            let acknowledge = world.operator(party).handle(State::Acknowledged);
            world.beside(acknowledge);
        }
        Op::Kill(node, down_ms) => {
            world.kill(node).await?;
            world.later(node, *down_ms);
        }
        Op::KillAt { node, after, point, down_ms } => world.arm(node, *after, *point, *down_ms),
        Op::KillAtStart { node, after, point } => {
            world.kill(node).await?;
            match *node {
                RELAY => world.relay.arm_next(*after, *point),
                name => world.party(name).arm_next(*after, *point),
            }
            world.start(node).await?;
        }
        Op::KillAll(down_ms) => {
            for node in world.nodes() {
                world.kill(node).await?;
                world.later(node, *down_ms);
            }
        }
        Op::Stop(node, down_ms) => {
            world.stop(node).await?;
            world.later(node, *down_ms);
        }
        Op::Cut(party, way, ms) => cut(world, party, &[*way], *ms),
        Op::Outage(party, ms) => cut(world, party, &[Way::Up, Way::Down], *ms),
        Op::Link(party, hops) => {
            let at = world.party(party).at();
            world.net.link(at, |link| link.set(hops.clone()));
        }
        Op::Move(party) => {
            let at = world.party(party).at();
            world.net.moves(at);
        }
        Op::Damage(node) => world.damage(node).await?,
        Op::Forge(party) => forge(world, party).await,
    }
    Ok(())
}

fn cut(world: &mut World, party: &'static str, ways: &[Way], ms: u64) {
    let at = world.party(party).at();
    ways.iter().for_each(|way| world.net.cut(at, *way, ms));
    world.counts.cuts += 1;
}

/// Nothing reaches the party for a moment; meanwhile its device says that it has what waits for it.
async fn forge(world: &mut World, party: &'static str) {
    cut(world, party, &[Way::Down], 900);
    let Some(hub) = world.relay.hub() else { return };
    if let Some(office) = world.party(party).office() {
        super::forgery::state(&hub, &office).await;
    }
}

/// Faults stop, everything runs; until all has come, or its time is up.
pub async fn calm(world: &mut World) -> Result<()> {
    world.tell("faults stop");
    for party in &world.parties {
        let hops = if party.is_far() { super::link::satellite() } else { super::link::lan() };
        world.net.link(party.at(), |link| *link = super::link::Link::new(hops));
    }
    world.disarm();
    world.pass(0).await?;
    world.start_all().await?;
    let limit = world.elapsed() + CALM_LIMIT;
    while world.elapsed() < limit {
        world.pass(LOOK_EVERY_MS).await?;
        if is_calm(world).await {
            world.tell("all has come");
            return Ok(());
        }
    }
    world.tell("time is up");
    Ok(())
}

async fn is_calm(world: &mut World) -> bool {
    let Some(hub) = world.relay.hub() else { return false };
    let depth = hub.queue().depth().await;
    if !depth.is_ok_and(|depth| depth.entries == 0 && depth.receipts == 0) {
        return false;
    }
    let model = Arc::clone(&world.model);
    let due: Vec<(&'static str, MessageId, Vec<&'static str>)> = {
        let model = locked(&model);
        if !model.all_answered() {
            return false;
        }
        model.requests().filter_map(|asked| Some((asked.from, asked.id?, asked.to.clone()))).collect()
    };
    for (from, id, to) in due {
        let Some(desk) = world.party(from).desk() else { return false };
        let Ok(lines) = desk.track(id).await else { return false };
        let reached = |to: &&'static str| {
            let due = locked(&model).due(id, to);
            lines.iter().any(|line| line.to == *to && (line.state >= due || line.state.is_bad_end()))
        };
        if !to.iter().all(reached) {
            return false;
        }
    }
    true
}
