//! The durable queue alone, in this process, on its own thread as in the product: our log, and SQLite beside it.
//!
//! Rooms: `run` one measured run · `supply` the messages · `disk` the bare disk · `backlog` a million that wait.

use anyhow::Result;
use valise_relay::config::StoreKind;

use crate::bounds::Bounds;
use crate::page::{Section, note};
use crate::table::{median, table};

pub(crate) mod backlog;
mod disk;
mod run;
mod supply;

use backlog::Backlog;
use run::{Kind, Run, run};
use supply::Supply;

/// Every kind, in the order of the table.
const KINDS: [Kind; 9] = [
    Kind { name: "1 KiB, 1 writer", tasks: 1, supply: Supply::texts(1024), whole: false },
    Kind { name: "1 KiB, 64 writers", tasks: 64, supply: Supply::texts(1024), whole: false },
    Kind { name: "1 KiB, 1024 writers", tasks: 1024, supply: Supply::texts(1024), whole: false },
    Kind { name: "16 KiB, 1 writer", tasks: 1, supply: Supply::texts(16 * 1024), whole: false },
    Kind { name: "16 KiB, 64 writers", tasks: 64, supply: Supply::texts(16 * 1024), whole: false },
    Kind { name: "16 KiB, 1024 writers", tasks: 1024, supply: Supply::texts(16 * 1024), whole: false },
    Kind { name: "1 KiB to 187, with wraps", tasks: 32, supply: FAN_OUT, whole: false },
    Kind {
        name: "1 KiB to 187, no wraps yet",
        tasks: 32,
        supply: Supply { wrapped: false, ..FAN_OUT },
        whole: false,
    },
    Kind { name: "the whole life, 64 workers", tasks: 64, supply: Supply::texts(1024), whole: true },
];
const FAN_OUT: Supply = Supply { text: 1024, recipients: 187, wrapped: true };

/// What the section says above its table.
const ABOUT: &str = "
The log and, in turn, the SQLite queue, each on a thread of its own as in the product, no network, no TLS. Messages have a header and a
key wrap of 1.2 kB for each recipient. A writer has one message in flight and waits until it is synced; whatever waits is one commit group.
In the last row each message is taken through its whole life: placed, offered, read, settled by the recipient's statement, that statement
handed to the author and forgotten when the author has it. Beside each run, in the same minute and directory: how often this disk syncs
2.5 KiB written over zeros.
";

/// Runs every kind in turn on both backends, as often as asked; then the backlog.
pub(crate) fn figures(bounds: Bounds) -> Result<Section> {
    let mut runs: Vec<[Vec<Run>; 2]> = KINDS.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for number in 1..=bounds.runs {
        for (kind, runs) in KINDS.iter().zip(&mut runs) {
            for (store, runs) in [StoreKind::Log, StoreKind::Sqlite].into_iter().zip(runs) {
                let run = run(bounds.length(), *kind, store)?;
                note(&format!(
                    "run {number} of {}: {}, {store:?}: {:.0}/s, foreign load {:.2} cores",
                    bounds.runs, kind.name, run.rate, run.foreign
                ));
                runs.push(run);
            }
        }
    }
    let backlog = backlog::measure()?;
    let rows = KINDS.iter().zip(&runs).map(|(kind, runs)| (kind.name.to_owned(), cells(runs)));
    let heads = [
        "log, messages/s",
        "SQLite, messages/s",
        "ratio",
        "log, groups/s",
        "groups per sync of the disk",
        "log p50 ms",
        "log p99 ms",
        "SQLite p99 ms",
        "log CPU s per 1,000",
        "disk syncs/s",
        "foreign cores",
    ];
    let figures = format!(
        "{}\nMedians of {} runs in turn; a ratio is the median of the ratios of each pair. CPU is that of queue and writers together.\n\n{}",
        table(&heads, rows),
        bounds.runs,
        of_backlog(&backlog),
    );
    let command = format!("cargo figures queue --seconds {} --runs {}", bounds.seconds, bounds.runs);
    Ok(Section { name: "queue", command, about: ABOUT, figures })
}

fn cells([log, sqlite]: &[Vec<Run>; 2]) -> Vec<String> {
    let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    let ratio = median(log.iter().zip(sqlite).map(|(log, sqlite)| log.rate / sqlite.rate));
    vec![
        format!("{:.0}", of(log, |run| run.rate)),
        format!("{:.0}", of(sqlite, |run| run.rate)),
        format!("{ratio:.1}"),
        format!("{:.0}", of(log, |run| run.groups)),
        format!("{:.2}", of(log, |run| run.groups / run.disk)),
        format!("{:.2}", of(log, |run| run.p50)),
        format!("{:.2}", of(log, |run| run.p99)),
        format!("{:.2}", of(sqlite, |run| run.p99)),
        format!("{:.3}", of(log, |run| run.cpu)),
        format!("{:.0}", of(log, |run| run.disk)),
        format!("{:.2}", of(log, |run| run.foreign)),
    ]
}

fn of_backlog(backlog: &Backlog) -> String {
    let Backlog { fill, full_mib, open_seconds, drain, peak_mib, amplification } = backlog;
    let rows = [
        ("fill, messages/s", format!("{fill:.0}"), ""),
        ("memory when full, MiB above the empty queue", format!("{full_mib:.0}"), "150"),
        ("bytes to the device for each byte of payload, zeroing apart", format!("{amplification:.2}"), "1.3"),
        ("open again after the plug was pulled, s", format!("{open_seconds:.2}"), "2"),
        ("drain, messages/s", format!("{drain:.0}"), "100000"),
        ("memory at the peak of the drain, MiB above the empty process", format!("{peak_mib:.0}"), "220"),
    ];
    let rows = rows.map(|(what, figure, bar)| (what.to_owned(), vec![figure, bar.to_owned()]));
    let about = "A backlog of 1,000,000 messages of 1 KiB to 64 mailboxes, in processes of their own; drained like the whole life above,\n64 mailboxes at once.";
    format!("{about}\n\n{}", table(&["log", "limit"], rows))
}
