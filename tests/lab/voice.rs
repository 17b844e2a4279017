//! How a story or a torture is told: one line as it happens. With JSON wanted, the telling goes to standard error and
//! only the result to standard output.

use std::io::Write;

/// Columns of a line up to its seconds.
const COLUMNS: usize = 88;

/// Where lines go, and which marks the terminal can show.
pub(crate) struct Voice {
    aside: bool,
    plain: bool,
}

impl Voice {
    pub(crate) fn new(aside: bool) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var_os);
        let locale = locale.into_iter().flatten().find(|value| !value.is_empty()).unwrap_or_default();
        let locale = locale.to_string_lossy().to_lowercase();
        Self { aside, plain: !(locale.contains("utf-8") || locale.contains("utf8")) }
    }

    /// One line.
    pub(crate) fn say(&self, line: &str) {
        let line = self.shown(line);
        // Nobody listening is no reason to stop: the exit code still tells.
        if self.aside {
            writeln!(std::io::stderr(), "{line}").ok();
        } else {
            let mut out = std::io::stdout();
            writeln!(out, "{line}").and_then(|()| out.flush()).ok();
        }
    }

    /// One step: number, text, seconds, mark.
    pub(crate) fn step(&self, number: usize, text: &str, seconds: f64, held: bool) {
        let text = self.shown(text);
        let dots = ".".repeat(COLUMNS.saturating_sub(text.chars().count() + 1).max(2));
        let mark = match (held, self.plain) {
            (true, false) => "✔",
            (false, false) => "✕",
            (true, true) => "ok",
            (false, true) => "FAILED",
        };
        self.say(&format!("{number:>2} {text} {dots} {seconds:>5.2} s {mark}"));
    }

    /// The one line of the result.
    pub(crate) fn result(&self, line: &str) {
        writeln!(std::io::stdout(), "{line}").ok(); // as above
    }

    /// For a terminal that shows ASCII only, its nearest signs.
    fn shown(&self, text: &str) -> String {
        if self.plain {
            text.replace('→', "->").replace('·', "|").replace('⇄', "<->")
        } else {
            text.to_owned()
        }
    }
}
