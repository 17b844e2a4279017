//! benches/README.md: each figure has one section there, from its heading to the next, and rewrites that alone.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::machine;

/// Where the sections stand.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// What one run of one figure has to say.
#[derive(Debug)]
pub(crate) struct Section {
    /// The word after `cargo figures`, and the heading.
    pub(crate) name: &'static str,
    /// The command with all that was given to it.
    pub(crate) command: String,
    /// What is measured, and what is not.
    pub(crate) about: &'static str,
    /// The figures: tables and sentences in Markdown.
    pub(crate) figures: String,
}

impl Section {
    fn text(&self) -> String {
        let Self { name, command, about, figures } = self;
        let (about, figures) = (about.trim(), figures.trim_end());
        format!("## {name}\n\n    {command}\n\n{about}\n\n{}\n\n{figures}\n", machine::described())
    }
}

/// Prints a section and puts it in its place on the page.
pub(crate) fn publish(section: &Section) -> Result<()> {
    let text = section.text();
    io::stdout().write_all(text.as_bytes()).ok(); // nobody reads any more; the page is written all the same
    let page = Path::new(PAGE);
    let before = fs::read_to_string(page).with_context(|| format!("cannot read {PAGE}; run in a clone"))?;
    fs::write(page, replaced(&before, section.name, &text)).with_context(|| format!("cannot write {PAGE}"))
}

/// Says on the error stream what a run is about to do.
pub(crate) fn note(line: &str) {
    writeln!(io::stderr(), "figures: {line}").ok(); // as above
}

/// Says why a run failed.
pub(crate) fn complain(error: &anyhow::Error) {
    note(&format!("{error:#}"));
}

/// The page with this section in the place of the one of that name, or at its end.
fn replaced(page: &str, name: &str, text: &str) -> String {
    let heading = format!("## {name}");
    let (mut out, mut found, mut skipping) = (String::new(), false, false);
    for line in page.lines() {
        if line.starts_with("## ") {
            skipping = line == heading;
            if skipping {
                found = true;
                out.push_str(text);
                out.push('\n');
            }
        }
        if !skipping {
            out.push_str(line);
            out.push('\n');
        }
    }
    if !found {
        out.push('\n');
        out.push_str(text);
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_its_own_and_leaves_the_others() {
        let page = "# Figures\n\nWords.\n\n## a\n\nold\n\n## b\n\nkept\n";
        assert_eq!(
            replaced(page, "a", "## a\n\nnew\n"),
            "# Figures\n\nWords.\n\n## a\n\nnew\n\n## b\n\nkept\n"
        );
        assert_eq!(
            replaced(page, "b", "## b\n\nnew\n"),
            "# Figures\n\nWords.\n\n## a\n\nold\n\n## b\n\nnew\n"
        );
    }

    #[test]
    fn a_section_that_is_missing_comes_last() {
        assert_eq!(replaced("# Figures\n", "a", "## a\n\nnew\n"), "# Figures\n\n## a\n\nnew\n");
    }
}
