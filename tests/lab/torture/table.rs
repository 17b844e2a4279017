//! The result of a run: one row for each figure, some with a bar that it must hold. The same figures as a table for
//! people and as one JSON object for scripts. Knows nothing of what was measured.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// One thing that was counted or measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// How many.
    Count(u64),
    /// How much, with the unit that follows it.
    Amount(f64, &'static str),
    /// How long each of many took.
    Times(Spread),
    /// How many of each kind.
    Parts(Vec<(String, u64)>),
}

/// The spread of many durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    sorted: Vec<Duration>,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    key: &'static str,
    what: String,
    figure: Figure,
    bar: Option<(String, bool)>,
}

/// All figures of a run, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    rows: Vec<Row>,
}

impl Spread {
    /// Of so many measurements, in any order.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    /// How many were measured.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The shortest time that so many of a hundred do not exceed; zero when nothing was measured.
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        let rank = (self.sorted.len() * of_hundred).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The longest; zero when nothing was measured.
    pub fn max(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }
}

impl Table {
    /// Adds a figure that has no bar to hold.
    pub fn figure(&mut self, key: &'static str, what: impl Into<String>, figure: Figure) {
        self.rows.push(Row { key, what: what.into(), figure, bar: None });
    }

    /// Adds a figure with its bar, in words, and whether it held.
    pub fn bar(
        &mut self,
        key: &'static str,
        what: impl Into<String>,
        figure: Figure,
        bar: impl Into<String>,
        held: bool,
    ) {
        self.rows.push(Row { key, what: what.into(), figure, bar: Some((bar.into(), held)) });
    }

    /// Whether every bar held.
    pub fn held(&self) -> bool {
        self.rows.iter().all(|row| row.bar.as_ref().is_none_or(|(_, held)| *held))
    }

    /// The figure of a row by its key.
    pub fn get(&self, key: &str) -> Option<&Figure> {
        self.rows.iter().find(|row| row.key == key).map(|row| &row.figure)
    }

    /// For people: aligned lines, the bar and whether it held at the end.
    pub fn lines(&self) -> Vec<String> {
        let width = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let whats: Vec<String> = self.rows.iter().map(|row| row.what.clone()).collect();
        let figures: Vec<String> = self.rows.iter().map(|row| row.figure.text()).collect();
        // A long figure without a bar needs no room before one.
        let short = self.rows.iter().zip(&figures).filter(|(row, _)| row.bar.is_some());
        let short: Vec<String> = short.map(|(_, figure)| figure.clone()).collect();
        let (first, second) = (width(&whats), width(&short));
        let line = |((row, what), figure): ((&Row, &String), &String)| {
            let bar = match &row.bar {
                None => String::new(),
                Some((bar, true)) => format!("{bar}: held"),
                Some((bar, false)) => format!("{bar}: NOT HELD"),
            };
            format!("  {what:<first$}  {figure:<second$}  {bar}").trim_end().to_owned()
        };
        self.rows.iter().zip(&whats).zip(&figures).map(line).collect()
    }

    /// For scripts: every figure under its key.
    pub(super) fn json(&self) -> Map<String, Value> {
        self.rows.iter().map(|row| (row.key.to_owned(), row.figure.json())).collect()
    }

    /// For scripts: every bar under the key of its figure, in words, and whether it held.
    pub(super) fn bars(&self) -> Map<String, Value> {
        let bar = |row: &Row| {
            let (bar, held) = row.bar.clone()?;
            Some((row.key.to_owned(), json!({"bar": bar, "held": held})))
        };
        self.rows.iter().filter_map(bar).collect()
    }

    /// The keys of the bars that did not hold.
    pub(super) fn broken(&self) -> Vec<&'static str> {
        let broken = self.rows.iter().filter(|row| row.bar.as_ref().is_some_and(|(_, held)| !held));
        broken.map(|row| row.key).collect()
    }
}

impl Figure {
    fn text(&self) -> String {
        match self {
            Self::Count(count) => grouped(*count),
            Self::Amount(amount, unit) => format!("{amount:.1} {unit}"),
            Self::Times(spread) => {
                let [p50, p99, max] = spread.shown().map(|ms| format!("{ms:.0}"));
                format!("p50 {p50} · p99 {p99} · max {max} ms, of {}", spread.count())
            }
            Self::Parts(parts) => {
                let part = |(kind, count): &(String, u64)| format!("{kind} {}", grouped(*count));
                parts.iter().map(part).collect::<Vec<_>>().join(" · ")
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Count(count) => json!(count),
            Self::Amount(amount, _) => json!(rounded(*amount)),
            Self::Times(spread) => {
                let [p50, p99, max] = spread.shown().map(rounded);
                json!({"count": spread.count(), "p50_ms": p50, "p99_ms": p99, "max_ms": max})
            }
            Self::Parts(parts) => {
                parts.iter().map(|(kind, count)| (kind.clone(), json!(count))).collect::<Map<_, _>>().into()
            }
        }
    }
}

impl Spread {
    fn shown(&self) -> [f64; 3] {
        [self.percentile(50), self.percentile(99), self.max()].map(|time| time.as_secs_f64() * 1e3)
    }
}

/// Three places are enough for anybody.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Thousands apart, for the eye.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_the_worst_and_the_percentile_by_rank() {
        let spread = Spread::new((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(spread.percentile(50), Duration::from_millis(100));
        assert_eq!(spread.percentile(99), Duration::from_millis(198));
        assert_eq!(spread.max(), Duration::from_millis(200));
        assert_eq!(Spread::default().percentile(99), Duration::ZERO);
    }

    #[test]
    fn one_bar_that_does_not_hold_is_enough() {
        let mut table = Table::default();
        table.figure("asked", "messages asked", Figure::Count(1_234_567));
        table.bar("lost", "lost", Figure::Count(0), "0", true);
        assert!(table.held());
        table.bar("doubled", "doubled", Figure::Count(1), "0", false);
        assert!(!table.held());
        assert_eq!(table.broken(), ["doubled"]);
        assert_eq!(table.lines()[0], "  messages asked  1,234,567");
        assert_eq!(table.lines()[2], "  doubled         1  0: NOT HELD");
        assert_eq!(Value::Object(table.json()), json!({"asked": 1_234_567, "lost": 0, "doubled": 1}));
    }
}
