//! What is counted while the story is told: lost, doubled, latencies, restart.

use std::time::Duration;

use serde::Serialize;

use super::scenes::Stage;

/// One scene as it went.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    pub(super) seconds: f64,
}

/// Milliseconds from the command to its delivered receipt.
#[derive(Serialize)]
struct Latency {
    p50: f64,
    max: f64,
}

/// All figures, in the order in which scripts see them.
#[derive(Serialize)]
pub(super) struct Figures {
    ok: bool,
    seconds: f64,
    lost: Option<usize>,
    duplicated: Option<usize>,
    messages: usize,
    latency_ms: Latency,
    restart_to_traffic_ms: Option<f64>,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Figures {
    pub(super) fn new(took: Duration, stage: &Stage, steps: Vec<Step>, error: Option<String>) -> Self {
        let mut latencies = stage.latencies.clone();
        latencies.sort_unstable();
        let at = |index: usize| latencies.get(index).copied().map_or(0.0, ms);
        let held = steps.iter().all(|step| step.ok);
        Self {
            ok: held && error.is_none() && stage.counted == Some((0, 0)),
            seconds: rounded(took.as_secs_f64()),
            lost: stage.counted.map(|(lost, _)| lost),
            duplicated: stage.counted.map(|(_, doubled)| doubled),
            messages: stage.sent.len(),
            latency_ms: Latency { p50: at(latencies.len() / 2), max: at(latencies.len().saturating_sub(1)) },
            restart_to_traffic_ms: stage.restart.map(ms),
            steps,
            error,
        }
    }

    /// Whether every step held, and nothing was lost or doubled.
    pub(super) fn ok(&self) -> bool {
        self.ok
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        format!(
            "{} messages · {} lost · {} doubled · delivered p50 {:.1} ms, max {:.1} ms · restart to traffic {:.0} ms · {:.1} s",
            self.messages,
            self.lost.unwrap_or_default(),
            self.duplicated.unwrap_or_default(),
            self.latency_ms.p50,
            self.latency_ms.max,
            self.restart_to_traffic_ms.unwrap_or_default(),
            self.seconds
        )
    }

    /// For scripts, one compact object.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3)
}

/// Three places are enough for anybody.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
