//! Measures a piece of work, and writes tables in Markdown. Knows nothing of what is measured.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// Measured runs of each piece of work; the median is shown.
pub(crate) const RUNS: usize = 5;

/// One piece of work, timed.
pub(crate) struct Row {
    what: String,
    median: Duration,
    worst: Duration,
    bytes: Option<usize>,
}

/// Runs the work `times` in a row, once to warm up and then [`RUNS`] times measured.
pub(crate) fn measure<T>(what: &str, times: u32, mut work: impl FnMut() -> T) -> Row {
    let mut runs: Vec<Duration> = (0..=RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..times {
                std::hint::black_box(work());
            }
            start.elapsed() / times
        })
        .skip(1)
        .collect();
    runs.sort_unstable();
    Row { what: what.to_owned(), median: runs[RUNS / 2], worst: runs[RUNS - 1], bytes: None }
}

impl Row {
    /// Shows a rate as well: the work handles so many bytes.
    pub(crate) fn of_bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// The median of the runs.
    pub(crate) fn median(&self) -> Duration {
        self.median
    }
}

/// The rows as a table.
pub(crate) fn timed(rows: &[Row]) -> String {
    let heads = [&format!("median of {RUNS}"), "worst", "rate"];
    let cells = rows.iter().map(|row| {
        let [median, worst] = [row.median, row.worst].map(|time| format!("{:.3} ms", millis(time)));
        let rate = match row.bytes {
            Some(bytes) => format!("{:.0} MB/s", bytes as f64 / 1e6 / row.median.as_secs_f64()),
            None => format!("{:.0} /s", 1.0 / row.median.as_secs_f64()),
        };
        (row.what.clone(), vec![median, worst, rate])
    });
    table(&heads, cells)
}

/// A table: names on the left, figures on the right.
pub(crate) fn table(heads: &[&str], rows: impl IntoIterator<Item = (String, Vec<String>)>) -> String {
    let mut out = format!("| what | {} |\n| --- |{}\n", heads.join(" | "), " ---: |".repeat(heads.len()));
    for (what, cells) in rows {
        writeln!(out, "| {what} | {} |", cells.join(" | ")).expect("invariant: a String grows");
    }
    out
}

/// Milliseconds as a number.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The median; of an even number the upper one. NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which so many of a hundred lie. The values must be sorted.
pub(crate) fn percentile(sorted: &[Duration], of_hundred: usize) -> Duration {
    let at = (sorted.len() * of_hundred / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(51));
        assert_eq!(percentile(&times, 99), Duration::from_millis(100));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_table_is_markdown() {
        let rows = [("speed".to_owned(), vec!["1 /s".to_owned(), "2 /s".to_owned()])];
        let expected = "| what | a | b |\n| --- | ---: | ---: |\n| speed | 1 /s | 2 /s |\n";
        assert_eq!(table(&["a", "b"], rows), expected);
    }
}
