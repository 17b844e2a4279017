//! The counts and the state of the relay as Prometheus reads them: text format 0.0.4, the same order every time.
//!
//! Names no party, device or message. What a reader may rely on is the table in OPERATING.md, and a test holds the two
//! together.

use std::fmt::Write;

use valise_certs::crl::CrlState;

use super::Metrics;
use crate::counts::{Commits, Counter, Histogram, Tally, Word};
use crate::health::{Colour, Sight};
use crate::queue::Queue;

/// What the answer is called on the wire.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Before every name.
const PREFIX: &str = "valise_relay_";

/// Grows line by line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {PREFIX}{name} {help}"));
        self.line(format_args!("# TYPE {PREFIX}{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("invariant: a text grows");
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, "counter", help);
        self.line(format_args!("{PREFIX}{name} {}", counter.count()));
    }

    fn tally<W: Word>(&mut self, name: &str, label: &str, help: &str, tally: &Tally<W>) {
        self.head(name, "counter", help);
        self.series(name, label, tally.counts());
    }

    fn series(&mut self, name: &str, label: &str, counts: impl Iterator<Item = (&'static str, u64)>) {
        for (word, count) in counts {
            self.line(format_args!("{PREFIX}{name}{{{label}=\"{word}\"}} {count}"));
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{PREFIX}{name} {value}"));
    }

    /// Milliseconds, written as seconds.
    fn seconds(&mut self, name: &str, help: &str, ms: u64) {
        self.head(name, "gauge", help);
        self.line(format_args!("{PREFIX}{name} {}.{:03}", ms / 1000, ms % 1000));
    }

    /// `unit` of the measure make one of the unit that is written.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, unit: u32) {
        self.head(name, "histogram", help);
        let in_unit = |measure: u64| {
            let (whole, part) = (measure / u64::from(unit), measure % u64::from(unit));
            let digits = unit.ilog10() as usize;
            let text = format!("{whole}.{part:0digits$}");
            if part == 0 { whole.to_string() } else { text.trim_end_matches('0').to_owned() }
        };
        let mut sum = 0;
        for (bound, below) in histogram.bounds.iter().zip(&histogram.below) {
            sum += below.count();
            self.line(format_args!("{PREFIX}{name}_bucket{{le=\"{}\"}} {sum}", in_unit(*bound)));
        }
        let all = histogram.all.count().max(sum); // one that is being counted now
        self.line(format_args!("{PREFIX}{name}_bucket{{le=\"+Inf\"}} {all}"));
        self.line(format_args!("{PREFIX}{name}_sum {}", in_unit(histogram.sum.count())));
        self.line(format_args!("{PREFIX}{name}_count {all}"));
    }
}

/// Everything there is to read.
pub fn page<Q: Queue>(sight: &Sight<Q>) -> String {
    let mut text = Text::default();
    whole(&mut text, sight);
    moving(&mut text, sight.hub.metrics());
    stuck(&mut text, sight);
    commits(&mut text, sight.hub.queue().commits());
    doors(&mut text, sight.hub.metrics(), sight.hub.connected());
    ending(&mut text, sight);
    text.0
}

fn whole<Q: Queue>(text: &mut Text, sight: &Sight<Q>) {
    text.head("info", "gauge", "Which relay this is, and of which version.");
    let (relay, version) = (sight.hub.relay(), env!("CARGO_PKG_VERSION"));
    text.line(format_args!("{PREFIX}info{{relay=\"{relay}\",version=\"{version}\"}} 1"));
    text.seconds("start_time_seconds", "When it was started, Unix seconds.", sight.started_ms);
    text.gauge("draining", "1 while it lets its sessions leave.", sight.hub.is_draining().into());
    text.gauge("roster_number", "The roster in force.", sight.hub.trust().roster().number);
    text.head("check_state", "gauge", "How a check of readiness stands: 0 green, 1 yellow, 2 red.");
    let state = |colour| match colour {
        Colour::Green => 0,
        Colour::Yellow => 1,
        Colour::Red => 2,
    };
    let checks = sight.checks();
    text.series("check_state", "check", checks.iter().map(|check| (check.name, state(check.state))));
}

/// Is mail moving?
fn moving(text: &mut Text, metrics: &Metrics) {
    text.counter("submissions_accepted_total", "Envelopes that became durable.", &metrics.accepted);
    text.counter(
        "submissions_repeated_total",
        "Envelopes submitted again that were durable before.",
        &metrics.repeated,
    );
    text.tally("submissions_refused_total", "reason", "Submissions not taken.", &metrics.refused);
    text.tally(
        "submissions_held_back_total",
        "bound",
        "Submissions told to come again: too much waits in the mailbox or of the sender, or the disk is too full.",
        &metrics.held_back,
    );
    text.counter(
        "recipients_refused_total",
        "Recipients of accepted envelopes that no agreement allows, or that do not exist.",
        &metrics.recipients_refused,
    );
    text.counter("submitted_bytes_total", "Ciphertext bytes accepted.", &metrics.submitted_bytes);
    text.counter("deliveries_total", "Envelopes handed out whole.", &metrics.delivered);
    text.counter(
        "deliveries_failed_total",
        "Envelopes that could not be read, or not be sent to their end; they come again.",
        &metrics.undelivered,
    );
    text.counter("delivered_bytes_total", "Ciphertext bytes handed out.", &metrics.delivered_bytes);
    text.tally(
        "receipts_kept_total",
        "kind",
        "Statements of recipients kept for their authors, and ends by the clock.",
        &metrics.receipts_kept,
    );
    text.counter("receipts_sent_total", "Receipts sent to their authors.", &metrics.receipts_sent);
    text.counter(
        "statements_refused_total",
        "Statements without ground, or not signed by their device.",
        &metrics.statements_refused,
    );
}

/// Is anything stuck?
fn stuck<Q: Queue>(text: &mut Text, sight: &Sight<Q>) {
    if let Ok(depth) = &sight.depth {
        text.gauge("queue_entries", "Entries that wait for a recipient.", depth.entries);
        text.gauge("queue_receipts", "Receipts that wait for an author.", depth.receipts);
    }
    let age = sight.outlook.oldest_ms.map_or(0, |oldest| sight.now_ms.saturating_sub(oldest));
    text.seconds("queue_oldest_age_seconds", "Age of the oldest envelope that waits; 0 when none does.", age);
    let disk = sight.hub.disk();
    if let Some(room) = disk.room() {
        text.gauge("disk_free_bytes", "Free bytes of the disk under the store.", room.free);
        text.gauge("disk_bytes", "Bytes of the disk under the store.", room.whole);
    }
    text.gauge(
        "disk_level",
        "What the disk lets in: 0 all, 1 from priority, 2 from flash, 3 nothing.",
        disk.level().number(),
    );
    text.tally("queue_faults_total", "reason", "What the queue could not do.", &sight.hub.metrics().troubles);
}

fn commits(text: &mut Text, commits: &Commits) {
    text.histogram("commit_operations", "Operations of a commit group.", &commits.operations, 1);
    text.histogram(
        "commit_seconds",
        "From the first operation of a group to its sync.",
        &commits.micros,
        1_000_000,
    );
}

fn doors(text: &mut Text, metrics: &Metrics, connected: usize) {
    text.gauge("sessions", "Devices that were greeted and are here.", connected as u64);
    text.counter("sessions_opened_total", "Devices greeted.", &metrics.sessions_opened);
    text.tally(
        "sessions_ended_total",
        "reason",
        "Connections of admitted devices that ended; BY_PEER = not by us.",
        &metrics.sessions_ended,
    );
    let left = [("BY_PEER", metrics.sessions_left.count())];
    text.series("sessions_ended_total", "reason", left.into_iter());
    text.tally(
        "handshakes_refused_total",
        "reason",
        "Callers that did not become a session.",
        &metrics.turned_away,
    );
    text.counter(
        "handshakes_retried_total",
        "Callers that had to prove their address first.",
        &metrics.retried,
    );
}

/// What expires next?
fn ending<Q: Queue>(text: &mut Text, sight: &Sight<Q>) {
    if let Some(next) = sight.outlook.next_expiry_ms {
        text.seconds(
            "queue_next_expiry_timestamp_seconds",
            "When the next entry expires, Unix seconds.",
            next,
        );
    }
    text.head(
        "certificate_expiry_timestamp_seconds",
        "gauge",
        "When a certificate of the relay ends, Unix seconds.",
    );
    let ends = [("tls", sight.tls_ends_ms() / 1000), ("signing", sight.signing_ends_ms() / 1000)];
    text.series("certificate_expiry_timestamp_seconds", "certificate", ends.into_iter());
    let lists = sight.hub.trust().crl_status(sight.now_ms);
    text.head("revocation_lists", "gauge", "Revocation lists by their state.");
    let states = [("fresh", CrlState::Fresh), ("late", CrlState::Late), ("missing", CrlState::Missing)];
    let count = |state| lists.iter().filter(|list| list.state == state).count() as u64;
    text.series("revocation_lists", "state", states.into_iter().map(|(word, state)| (word, count(state))));
    let next =
        lists.iter().filter(|list| list.state != CrlState::Missing).map(|list| list.next_update_ms).min();
    if let Some(next) = next {
        text.seconds(
            "revocation_list_next_update_timestamp_seconds",
            "When the first of the revocation lists is due, Unix seconds.",
            next,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let mut text = Text::default();
        let taken = Commits::default();
        for micros in [300, 900, 20_000_000] {
            taken.note(1, Duration::from_micros(micros));
        }
        commits(&mut text, &taken);
        for line in [
            "valise_relay_commit_seconds_bucket{le=\"0.00025\"} 0",
            "valise_relay_commit_seconds_bucket{le=\"0.001\"} 2",
            "valise_relay_commit_seconds_bucket{le=\"10\"} 2",
            "valise_relay_commit_seconds_bucket{le=\"+Inf\"} 3",
            "valise_relay_commit_seconds_sum 20.0012",
            "valise_relay_commit_seconds_count 3",
            "valise_relay_commit_operations_bucket{le=\"1\"} 3",
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line} is not in\n{}", text.0);
        }
    }

    #[test]
    fn a_word_of_a_set_is_there_from_the_start() {
        let mut text = Text::default();
        let metrics = Metrics::default();
        moving(&mut text, &metrics);
        doors(&mut text, &metrics, 3);
        for line in [
            "valise_relay_submissions_refused_total{reason=\"store-full\"} 0",
            "valise_relay_sessions_ended_total{reason=\"BY_PEER\"} 0",
            "valise_relay_handshakes_refused_total{reason=\"CERT_REVOKED\"} 0",
            "valise_relay_sessions 3",
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line} is not in\n{}", text.0);
        }
    }
}
