//! Real programs killed with `kill -9` under load, again and again: the relay and the daemons of three parties, while
//! the others write on, read and acknowledge. In the end every letter has arrived once and unaltered, both ends
//! agree on its state, and every program was soon back.
//!
//! Rooms: `cradle` kills in the first start · `plan` who is killed when · `load` who writes and reads · `strike`
//! carries out and measures · `count` the account at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::Options;
use super::table::{Figure, Spread, Table};
use crate::api::Api;
use crate::interrupt;
use crate::lab::Lab;
use crate::voice::Voice;

pub mod count;
pub mod cradle;
pub mod load;
pub mod plan;
pub mod strike;

use count::Account;
use load::Ledger;
use plan::{Strike, Victim};
use strike::{Field, Kill, Times};

/// A program answers for its readiness within this time of its start, in 99 of 100 starts.
pub const READY_LIMIT: Duration = Duration::from_millis(500);
/// Traffic flows again within this time of the start.
pub const TRAFFIC_LIMIT: Duration = Duration::from_secs(1);
/// A run of the full size is long done by then on a slow machine.
const RUN_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Strikes between two lines that say how far it is.
const TELL_EVERY: usize = 50;

/// How much is done to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Kills of the relay.
    pub relay: u64,
    /// Kills of each daemon that is killed.
    pub each: u64,
    /// Parties whose daemons are killed.
    pub victims: &'static [&'static str],
    /// A party whose daemon lives through it, as busy as the others.
    pub steady: &'static str,
    /// A party whose daemon lives through it and writes nothing but probes: it shows when traffic flows again.
    pub calm: &'static str,
    /// Writers of each party that writes.
    pub writers: u64,
    /// Longest quiet before a strike, milliseconds.
    pub pause_ms: u64,
    /// Federations whose programs are killed in their first start.
    pub cradles: u64,
    /// No new strike after this time.
    pub limit: Duration,
}

impl Scale {
    /// Two bureaus and a mission are killed, and the relay twice as often; two bureaus live through it.
    pub const FULL: Self = Self {
        relay: 200,
        each: 100,
        victims: &["br", "fr", "minustah"],
        steady: "de",
        calm: "ke",
        writers: 3,
        pause_ms: 400,
        cradles: 50,
        limit: RUN_LIMIT,
    };

    /// Everybody.
    pub fn cast(&self) -> Vec<&'static str> {
        self.victims.iter().copied().chain([self.steady, self.calm]).collect()
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Kills in a first start, each survived.
    pub first_starts: u64,
    /// Every other kill.
    pub kills: Vec<Kill>,
    /// How soon everything was back.
    pub times: Times,
    /// What became of the mail.
    pub account: Account,
    /// Letters asked for, and requests that a kill cut off.
    pub asked: u64,
    /// Requests that a kill cut off before their answer, and that were asked again with the same key.
    pub cut: u64,
    /// Strikes that the time left no room for.
    pub left_out: usize,
}

/// The run as `cargo torture kill9` plays it.
pub(super) fn play(options: &Options, voice: &Voice) -> Result<Table> {
    let relay = options.number("kills", Scale::FULL.relay);
    let limit = options.limit.unwrap_or(Scale::FULL.limit);
    let cradles = relay.div_ceil(4).min(Scale::FULL.cradles);
    let scale = Scale { relay, each: relay.div_ceil(2), cradles, limit, ..Scale::FULL };
    let mut lab = Lab::new(&scale.cast())?;
    interrupt::clears(lab.dir());
    let told = run(&mut lab, &scale, options.seed, &|line| voice.say(line));
    interrupt::pass();
    let table = told.map(|outcome| outcome.table(&scale, options.limit.is_some()));
    if !table.as_ref().is_ok_and(Table::held) {
        lab.keep();
        voice.say(&format!("the logs and the list of strikes are in {}/logs; kept", lab.dir().display()));
    }
    table
}

/// Strikes under load, then counts. `tell` hears how far it is.
pub fn run(lab: &mut Lab, scale: &Scale, seed: u64, tell: &dyn Fn(&str)) -> Result<Outcome> {
    let (cast, plan) = (scale.cast(), plan::strikes(scale, seed));
    let first_starts = cradle::first_starts(scale.cradles, seed)?;
    tell(&format!("  {first_starts} kills in a first start survived"));
    lab.start()?;
    let ledger = Arc::new(Ledger::default());
    let api = |party: &str| Api::new(lab.party(party).socket());
    let apis: Vec<(&'static str, Api)> = cast.iter().map(|party| (*party, api(party))).collect();
    let mut field = Field::new(lab, Arc::clone(&ledger), scale)?;
    let done = thread::scope(|scope| {
        let mut workers = Vec::new();
        for (party, api) in &apis {
            let (ledger, cast) = (&*ledger, &cast);
            let writers = if *party == scale.calm { 0 } else { scale.writers };
            for writer in 0..writers {
                let write = move |ledger: &Ledger| load::write(ledger, api, party, cast, seed, writer);
                workers.push(scope.spawn(move || ledger.work(write)));
            }
            workers.push(scope.spawn(move || ledger.work(|ledger| load::read(ledger, api, party, seed))));
        }
        let struck = strike_all(&mut field, &plan, scale, &ledger, tell);
        ledger.closing.store(true, Ordering::Relaxed);
        for worker in workers {
            // Whoever broke off first says why.
            worker.join().map_err(|_| anyhow!("a writer or reader panicked"))??;
        }
        struck
    })?;
    let Field { kills, times, .. } = field;
    strike::all_linked(lab)?;
    tell("  all back; counting");
    let account = count::account(lab, &cast, &ledger, &kills).context("cannot count what arrived")?;
    let (asked, cut) = (ledger.asked.load(Ordering::Relaxed), ledger.cut.load(Ordering::Relaxed));
    Ok(Outcome { first_starts, kills, times, account, asked, cut, left_out: plan.len() - done })
}

/// Gives how many strikes there was time for.
fn strike_all(
    field: &mut Field<'_>,
    plan: &[Strike],
    scale: &Scale,
    ledger: &Ledger,
    tell: &dyn Fn(&str),
) -> Result<usize> {
    let start = Instant::now();
    for (number, strike) in plan.iter().enumerate() {
        if start.elapsed() > scale.limit || ledger.broken.load(Ordering::Relaxed) {
            return Ok(number);
        }
        field.carry_out(number, strike).with_context(|| format!("at strike {number} ({strike})"))?;
        if (number + 1).is_multiple_of(TELL_EVERY) {
            let (total, asked) = (plan.len(), ledger.asked.load(Ordering::Relaxed));
            let seconds = start.elapsed().as_secs();
            tell(&format!("  {} of {total} strikes, {asked} messages, {seconds} s", number + 1));
        }
    }
    Ok(plan.len())
}

impl Outcome {
    /// How often a program was killed.
    pub fn kills_of(&self, victim: Victim) -> u64 {
        self.kills.iter().filter(|kill| kill.victim == victim).count() as u64
    }

    /// All figures; `bounded` when the person asked for a time rather than for a number of kills.
    pub fn table(&self, scale: &Scale, bounded: bool) -> Table {
        let mut table = Table::default();
        self.show_kills(&mut table, scale, bounded);
        self.show_mail(&mut table);
        self.show_times(&mut table);
        table
    }

    fn show_kills(&self, table: &mut Table, scale: &Scale, bounded: bool) {
        table.figure("first_starts", "kills in a first start", Figure::Count(self.first_starts));
        let daemon = |name: &&'static str| ((*name).to_owned(), self.kills_of(Victim::Daemon(name)));
        let daemons: Vec<_> = scale.victims.iter().map(daemon).collect();
        let relay = self.kills_of(Victim::Relay);
        let enough = relay >= scale.relay && daemons.iter().all(|(_, count)| *count >= scale.each);
        if bounded && !enough {
            table.figure("relay_kills", "kills of the relay", Figure::Count(relay));
            table.figure("daemon_kills", "kills of daemons", Figure::Parts(daemons));
        } else {
            let bar = format!("{} or more", scale.relay);
            table.bar("relay_kills", "kills of the relay", Figure::Count(relay), bar, relay >= scale.relay);
            let (bar, held) = (format!("{} each", scale.each), enough);
            table.bar("daemon_kills", "kills of daemons", Figure::Parts(daemons), bar, held);
        }
        let mut moments = BTreeMap::new();
        for kill in &self.kills {
            *moments.entry(kill.moment.word().to_owned()).or_default() += 1;
        }
        table.figure("moments", "at which moments", Figure::Parts(moments.into_iter().collect()));
        let mut under_way = self.account.under_way.clone();
        under_way.sort_unstable();
        let at = |place: usize| under_way.get(place).copied().unwrap_or_default();
        let parts = [
            ("least", at(0)),
            ("median", at(under_way.len() / 2)),
            ("most", at(under_way.len().saturating_sub(1))),
        ];
        let parts = parts.map(|(word, count)| (word.to_owned(), count)).to_vec();
        table.figure("under_way", "messages under way at a kill", Figure::Parts(parts));
    }

    fn show_mail(&self, table: &mut Table) {
        let Account { letters, deliveries, bytes, .. } = self.account;
        table.figure("asked", "messages asked for", Figure::Count(self.asked));
        table.bar("answered", "answered", Figure::Count(letters), "all", letters == self.asked);
        table.figure("cut", "requests cut off by a kill, asked again", Figure::Count(self.cut));
        table.figure("deliveries", "deliveries", Figure::Count(deliveries));
        table.figure("mebibytes", "texts and attachments", Figure::Amount(bytes as f64 / 1_048_576.0, "MiB"));
        let states = self.account.states.iter().map(|(state, count)| (state.to_string(), *count)).collect();
        table.figure("states", "states at the end", Figure::Parts(states));
        let mut none = |key, what: &str, count| table.bar(key, what, Figure::Count(count), "0", count == 0);
        none("lost", "lost", self.account.lost);
        none("doubled", "doubled", self.account.doubled);
        none("altered", "altered", self.account.altered);
        none("differing", "states that differ between both ends", self.account.differing);
        none("unacknowledged", "answered acknowledgements that are gone", self.account.unacknowledged);
        none("unopenable", "on dead-letter desks", self.account.unopenable);
        none("left", "left at the relay", self.account.left);
        let faults: Vec<_> = self.account.faults.clone().into_iter().collect();
        let held = faults.is_empty();
        let figure = if held { Figure::Count(0) } else { Figure::Parts(faults) };
        table.bar("faults", "log lines of level ERROR", figure, "0", held);
    }

    fn show_times(&self, table: &mut Table) {
        let Times { relay_ready, relay_traffic, relay_backlog, daemon_answers, daemon_linked } =
            self.times.clone();
        let mut ready = |key, what: &str, times| {
            let spread = Spread::new(times);
            let held = spread.percentile(99) < READY_LIMIT;
            table.bar(key, what, Figure::Times(spread), "p99 < 500 ms", held);
        };
        ready("relay_ready", "relay: start to ready", relay_ready);
        ready("daemon_answers", "daemon: start to its socket answers", daemon_answers);
        let mut soon = |key, what: &str, times| {
            let spread = Spread::new(times);
            let held = spread.max() < TRAFFIC_LIMIT;
            table.bar(key, what, Figure::Times(spread), "max < 1 s", held);
        };
        soon("relay_traffic", "relay: start to traffic", relay_traffic);
        soon("daemon_linked", "daemon: start to linked", daemon_linked);
        let spread = Figure::Times(Spread::new(relay_backlog));
        table.figure("relay_backlog", "relay: start to a busy desk's last message relayed", spread);
    }
}
