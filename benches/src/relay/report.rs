//! What the section of the relay says: the table of both servers, and which limits are kept.

use super::window::Run;
use super::{IDLE, IDLE_LIMIT, LATENCY_LIMIT, RATIO_LIMIT, Scene};
use crate::table::{median, table};

/// What the section says above its table.
pub(super) const ABOUT: &str = "
64 devices, each a bureau of its own with one submission in flight, send texts of 1 KiB that were sealed and signed before; 8 devices
receive them and state a signed `delivered` for each. A message counts when the relay has kept that statement and handed it
to the author's device. The relay is the program as delivered, with its default queue, real papers and mutual TLS 1.3
(X25519MLKEM768, Ed25519) on the loopback; the devices share its cores, and have no store of their own.

The yardstick (`benches/src/yardstick.rs`) is bare quinn with the same TLS and papers, one log zeroed ahead, one write and one
fdatasync for all that waits, as many senders and receivers, and the same sealed bytes. It asks nobody for permission, keeps no order,
no deduplication, no expiry and no receipts, seals nothing, forgets on restart what was received, and tells no author; its receivers sign
nothing and acknowledge by a running count, on one stream for all messages.

Acceptance is the time from the first byte sent to the proof that the message is synced. An idle connection is that of a device
of its own, greeted and silent but for keep-alives; its memory is what the server's resident set grows by, shared out.
";

/// The table, and the limits.
pub(super) fn shown(relays: &[Run], yards: &[Run], scene: &Scene) -> String {
    type Figure = fn(&Run) -> f64;
    let of = |runs: &[Run], figure: Figure| median(runs.iter().map(figure));
    let ratio =
        |figure: Figure| median(relays.iter().zip(yards).map(|(relay, yard)| figure(relay) / figure(yard)));
    let row = |what: &str, digits: usize, figure: Figure| {
        let (relay, yard, ratio) = (of(relays, figure), of(yards, figure), ratio(figure));
        let cells = vec![format!("{relay:.digits$}"), format!("{yard:.digits$}"), format!("{ratio:.2}")];
        (what.to_owned(), cells)
    };
    let rows = [
        row("messages/s, received and acknowledged", 0, |run| run.rate),
        row("submissions accepted/s", 0, |run| run.accepted),
        row("acceptance p50, ms", 2, |run| run.p50),
        row("acceptance p99, ms", 2, |run| run.p99),
        row("server CPU s per 1,000 messages", 3, |run| run.server_cpu),
        row("devices' CPU s per 1,000 messages", 3, |run| run.load_cpu),
        row("commit groups/s", 0, |run| run.groups),
        row("kB per idle connection", 1, |run| run.idle_kb),
        row("foreign load, cores", 2, |run| run.foreign),
    ];
    let rates = || relays.iter().map(|run| run.rate);
    let (low, high) = (rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max));
    let kept = |kept: bool| if kept { "kept" } else { "MISSED" };
    let fast = kept(ratio(|run| run.rate) >= RATIO_LIMIT);
    let prompt = kept(of(relays, |run| run.p99) <= LATENCY_LIMIT);
    let small = kept(of(relays, |run| run.idle_kb) <= IDLE_LIMIT);
    format!(
        "{}\nMedians of {} runs in turn; a ratio is the median of the ratios of each pair. The relay's runs lie between {low:.0} and {high:.0} \
         messages/s. Limits: {RATIO_LIMIT} of the yardstick {fast}; p99 of {LATENCY_LIMIT:.0} ms {prompt}; {IDLE_LIMIT:.0} kB for each of {IDLE} idle \
         connections {small}. A sealed message is {} bytes on the wire, its key wrap included.\n",
        table(&["relay", "yardstick", "ratio"], rows),
        relays.len(),
        scene.envelopes[0][0].frames.len(),
    )
}
