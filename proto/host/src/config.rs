//! Configuration files: TOML in, one plain sentence out when it is wrong, with the line and what to do.
//!
//! Reads one file and nothing else: no environment, no second place that could override it.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

#[cfg(test)]
mod tests;

/// Most bytes of a configuration: a mistaken path to a video must not fill the memory.
const CONFIG_MAX: u64 = 1024 * 1024;
/// How alike two words must be for one to be offered for the other (1 = equal).
const ALIKE: f64 = 0.6;

/// A configuration cannot be used; names the place and the correction.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}; correct the path or its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A word that means nothing here.
    #[error("{path}:{line}:{column}: `{word}` is not known here; {advice}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// The key or value.
        word: String,
        /// The word that was probably meant, or all that are known.
        advice: String,
    },
    /// Something that must be there is not.
    #[error("{path}: {what} is missing; add it")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The section, or the key and its section.
        what: String,
    },
    /// Not TOML, or a value of the wrong kind.
    #[error("{path}:{line}:{column}: {what}; correct this line")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// A value that is well formed and cannot be used.
    #[error("{path}: {key}: {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Section and key: `store.path`.
        key: &'static str,
        /// What is wrong, and what to do.
        what: String,
    },
}

/// Reads a configuration. The type denies unknown fields; this room turns that into advice.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let fault = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(fault)?;
    if !file.metadata().map_err(fault)?.is_file() {
        return Err(fault(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")));
    }
    file.take(CONFIG_MAX).read_to_string(&mut text).map_err(fault)?;
    toml::from_str(&text).map_err(|error| explain(path, &text, &error))
}

/// A path as written in a configuration: relative ones start at the directory of that file.
pub fn resolve(config: &Path, value: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(value)
}

/// For `#[serde(deserialize_with)]`: a value that its own type parses, so that a bad name is told with its line.
pub fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// The known word that was probably meant, if one is near.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|other| (strsim::normalized_damerau_levenshtein(word, other), other));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}

fn explain(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let path = path.to_owned();
    let message = error.message();
    let span = error.span().unwrap_or_default();
    let (line, column) = position(text, span.start);
    if let Some(rest) = message.strip_prefix("missing field ") {
        let key = quoted(rest).next().unwrap_or(rest);
        return ConfigError::Missing { path, what: missing(text, &span, key) };
    }
    for kind in ["unknown field ", "unknown variant "] {
        if let Some(rest) = message.strip_prefix(kind) {
            let mut words = quoted(rest);
            let word = clean(words.next().unwrap_or(rest));
            let known: Vec<&str> = words.collect();
            let advice = advise(&word, &known);
            return ConfigError::Unknown { path, line, column, word, advice };
        }
    }
    // Serde names our own types; a reader of the file knows sections.
    let plain = message.split_once("expected struct ").map(|(what, _)| format!("{what}expected a section"));
    ConfigError::Invalid { path, line, column, what: clean(plain.as_deref().unwrap_or(message)) }
}

fn advise(word: &str, known: &[&str]) -> String {
    if let Some(near) = suggest(word, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    match known {
        [] => "remove it".to_owned(),
        [one] => format!("known is `{one}`"),
        many => format!("known are `{}`", many.join("`, `")),
    }
}

/// A missing key with its section, or a missing section: at the top of our files stand only sections.
fn missing(text: &str, span: &Range<usize>, key: &str) -> String {
    let place = text.get(span.clone()).unwrap_or_default();
    let header = if place.starts_with('{') {
        text[..span.start].lines().rev().find(|line| line.trim_start().starts_with('[')).unwrap_or_default()
    } else {
        place
    };
    match header.trim().strip_prefix('[') {
        Some(section) => {
            let section = section.trim_matches(['[', ']', ' ']);
            format!("`{key}` in section [{}]", clean(section))
        }
        None => format!("section [{key}]"),
    }
}

/// What stands between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Line and column of a byte, both from 1; the column counts characters, as editors do.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Foreign text made fit for one line.
fn clean(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
