//! What a verb tells: lines for people, JSON objects for scripts. Whatever others wrote in it acts on no terminal.

use serde::Serialize;
use valise_host::plain;

/// Lines of a table, and JSON objects that say at least as much.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// For people.
    pub table: Vec<String>,
    /// For scripts, one object each.
    pub json: Vec<String>,
}

impl Told {
    pub(crate) fn of(table: Vec<String>, json: &[impl Serialize]) -> Self {
        let line =
            |value| plain::json(value).expect("invariant: what is told holds strings and numbers only");
        Self { table, json: json.iter().map(line).collect() }
    }
}

/// Rows of names and values, shown as two columns.
#[derive(Debug, Default)]
pub(crate) struct Sheet(Vec<Vec<String>>);

impl Sheet {
    /// One more row; the value may be foreign.
    pub(crate) fn row(&mut self, name: &str, value: impl AsRef<str>) {
        self.0.push(vec![name.to_owned(), plain::line(value.as_ref())]);
    }

    /// One row for each value, at most so many, and one that says how many more there are.
    pub(crate) fn rows<T: AsRef<str>>(
        &mut self,
        name: &str,
        values: impl ExactSizeIterator<Item = T>,
        most: usize,
    ) {
        let more = values.len().saturating_sub(most);
        values.take(most).for_each(|value| self.row(name, value));
        if more > 0 {
            self.row(name, format!("and {more} more"));
        }
    }

    /// As lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        plain::table(&self.0)
    }
}
