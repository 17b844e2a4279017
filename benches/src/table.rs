//! Measures a piece of work and prints the medians as a table. Knows nothing of what is measured.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Measured runs of each piece of work; the median is shown.
pub(crate) const RUNS: usize = 5;

/// One line of the table.
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
}

/// Prints markdown.
pub(crate) fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "| what | median of {RUNS} | worst | rate |")?;
    writeln!(out, "| --- | ---: | ---: | ---: |")?;
    for row in rows {
        let [median, worst] = [row.median, row.worst].map(|time| time.as_secs_f64() * 1e3);
        let rate = match row.bytes {
            Some(bytes) => format!("{:.0} MB/s", bytes as f64 / 1e6 / row.median.as_secs_f64()),
            None => format!("{:.0} /s", 1.0 / row.median.as_secs_f64()),
        };
        writeln!(out, "| {} | {median:.3} ms | {worst:.3} ms | {rate} |", row.what)?;
    }
    Ok(())
}
