//! `cargo torture`: the long forms of the fault runs. Each is a function from options to a table of figures and bars;
//! it stops by itself, prints its seed first, and ends with 0 only if every bar held.
//!
//! Rooms: `order` what is asked for · `table` what came of it · `findings` of many runs · `differential` the log beside
//! SQLite · `kill9` real programs killed at random moments ·
//! `power_cut` the queue on a disk that fails · `simulation` drawn runs of the simulator.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::json;

use crate::interrupt;
use crate::voice::Voice;

pub mod differential;
pub mod findings;
pub mod kill9;
mod order;
pub mod power_cut;
mod simulation;
pub mod table;

pub use order::Options;
pub use table::{Figure, Spread, Table};

use order::Order;

/// One fault run.
#[derive(Debug)]
pub(crate) struct Run {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) what: &'static str,
    /// Options of its own that take a number: name, and what it means.
    pub(crate) counts: &'static [(&'static str, &'static str)],
    /// Plays it. A bar that does not hold is no error, but a row of the table.
    pub(crate) play: fn(&Options, &Voice) -> Result<Table>,
}

/// Every run there is, in the order in which they are listed.
pub(crate) const RUNS: &[Run] = &[
    Run {
        name: "differential",
        what: "the same operations on the log and on SQLite, side by side: the same answers, the same to be seen",
        counts: &[
            ("runs", "sequences of operations, from the seed on (default 10000)"),
            ("tell", "1: tell the sequence of the seed alone"),
        ],
        play: differential::play,
    },
    Run {
        name: "kill9",
        what: "real programs, killed at random moments under load: nothing lost, nothing doubled, soon back",
        counts: &[("kills", "kills of the relay, and half as many of each daemon (default 200)")],
        play: kill9::play,
    },
    Run {
        name: "power-cut",
        what: "the queue on a disk that loses, tears, fails and fills up: cut at every file call, and at drawn ones",
        counts: &[
            ("runs", "drawn runs, from the seed on (default 50000)"),
            ("letters", "letters of the script that is cut at every call (default 300)"),
            ("call", "tell what was found at this call of the script instead"),
            ("tell", "1: make the drawn run of the seed small and tell it instead"),
        ],
        play: power_cut::play,
    },
    Run {
        name: "simulation",
        what: "drawn runs on a simulated network: kills at commits, cuts, bad links, damaged stores, lies",
        counts: &[
            ("runs", "how many, from the seed on (default 1000, or as many as the minutes allow)"),
            ("tell", "1: tell the run of the seed alone, with the log lines of its programs"),
            ("traces", "tell the trace of so many seeds instead, to compare two processes"),
        ],
        play: simulation::play,
    },
];

/// A run that is not understood (the exit codes are the same in all our tools).
const EXIT_USAGE: u8 = 2;

/// Reads the order and carries it out; `args` without the program's name.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    match order::read(args, RUNS, of_now()) {
        Ok(Order::List) => {
            list().iter().for_each(|line| Voice::new(false).say(line));
            ExitCode::SUCCESS
        }
        Ok(Order::Play(run, options)) => play(run, &options),
        Err(what) => {
            Voice::new(true).say(&what);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn list() -> Vec<String> {
    let mut lines =
        vec!["usage: cargo torture NAME [--minutes N] [--seed S] [--json]".to_owned(), String::new()];
    for run in RUNS {
        lines.push(format!("  {:<12}{}", run.name, run.what));
        lines.extend(run.counts.iter().map(|(option, what)| format!("  {:<12}  --{option} N  {what}", "")));
    }
    lines
}

fn play(run: &Run, options: &Options) -> ExitCode {
    let voice = Voice::new(options.json);
    let replay = options.replay(run);
    voice.say(&format!("torture {}: {}", run.name, run.what));
    voice.say(&format!("torture {}: seed {}, again with `{replay}`", run.name, options.seed));
    interrupt::watch();
    let start = Instant::now();
    let told = (run.play)(options, &voice);
    interrupt::pass();
    let took = start.elapsed();
    let ok = told.as_ref().is_ok_and(Table::held);
    match &told {
        Ok(table) => table.lines().iter().for_each(|line| voice.say(line)),
        Err(error) => voice.say(&format!("torture {}: broke off: {error:#}", run.name)),
    }
    voice.say(&verdict(run, &told, took, &replay));
    if options.json {
        voice.result(&object(run, options, &told, took, &replay));
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(run: &Run, told: &Result<Table>, took: Duration, replay: &str) -> String {
    let end = match told {
        Ok(table) if table.held() => "every bar held".to_owned(),
        Ok(table) => format!("NOT HELD: {}; again with `{replay}`", table.broken().join(", ")),
        Err(_) => format!("not finished; again with `{replay}`"),
    };
    format!("torture {}: {end} ({:.0} s)", run.name, took.as_secs_f64())
}

/// One object: what was run, whether it held, and every figure under its key.
fn object(run: &Run, options: &Options, told: &Result<Table>, took: Duration, replay: &str) -> String {
    let mut object = json!({
        "run": run.name,
        "ok": told.as_ref().is_ok_and(Table::held),
        "seed": options.seed,
        "replay": replay,
        "seconds": table::rounded(took.as_secs_f64()),
    });
    match told {
        Ok(table) => {
            object["figures"] = table.json().into();
            object["bars"] = table.bars().into();
        }
        Err(error) => object["error"] = json!(format!("{error:#}")),
    }
    object.to_string()
}

/// A seed nobody chose; it is printed.
fn of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
