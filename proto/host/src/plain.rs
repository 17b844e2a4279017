//! Foreign text made fit for a terminal: what could move the cursor, hide or turn text round is shown as an escape.
//! The JSON writer here does the same inside strings, where the escape means the same text. Changes nothing stored.

use std::io::{self, Write};

use serde_json::ser::{CompactFormatter, Formatter};

/// Characters that act on a terminal or a reader's eye instead of being seen: C0, DEL and C1 controls, the
/// bidirectional marks, embeddings, overrides and isolates, line and paragraph separators, and tag characters.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Foreign text for one line: a line break is shown as an escape too.
pub fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Foreign text of several lines: line feeds and tabs stay, a carriage return before a line feed goes.
pub fn text(text: &str) -> String {
    escaped(&text.replace("\r\n", "\n"), |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && !stays(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// What an argument parser has to say, on one line: what happened and its advice, without the lines on usage.
pub fn usage(text: &str) -> String {
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = said.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let said = said.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    line(said.strip_prefix("error: ").unwrap_or(&said))
}

/// One JSON value on one line, pure of acting characters.
pub fn json(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Visible))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Compact JSON whose strings hold acting characters only as `\u` escapes.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| acts(*c)) {
            CompactFormatter.write_string_fragment(writer, &rest[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// Rows as aligned columns. The last column is not padded, so foreign text goes there, where its true width does no
/// harm; an empty last cell leaves no blanks behind.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(|widest| widest.unwrap_or(0))
        .collect();
    let render = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_is_seen_and_does_nothing() {
        assert_eq!(line("red\u{1b}[31m\nnext"), "red\\u{1b}[31m\\nnext");
        assert_eq!(line("c1 \u{9b}2J"), "c1 \\u{9b}2J");
        assert_eq!(line("invoice\u{202e}fdp.exe"), "invoice\\u{202e}fdp.exe");
        assert_eq!(text("one\r\ntwo\tthree\rfour"), "one\ntwo\tthree\\rfour");
        assert_eq!(text("école, محمد, 日本"), "école, محمد, 日本");
    }

    #[test]
    fn advice_of_an_argument_parser_stays_on_one_line() {
        let text = "error: unexpected argument '--a\u{1b}' found\n\n  tip: a similar one exists: '--b'\n\nUsage: x\n\nFor more\n";
        assert_eq!(usage(text), "unexpected argument '--a\\u{1b}' found; tip: a similar one exists: '--b'");
    }

    #[test]
    fn json_says_the_same_with_nothing_that_acts() {
        let foreign = "a\u{202e}b\u{9b}c\u{7f}d\"e\\f\ng\u{e0041}h é";
        let written = json(&foreign).unwrap();
        assert!(!written.chars().any(acts), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), foreign);
    }

    #[test]
    fn a_table_is_aligned_and_leaves_no_blanks() {
        let rows = [
            vec!["br".into(), "queued".into(), String::new()],
            vec!["minustah".into(), "x".into(), "y".into()],
        ];
        assert_eq!(table(&rows), ["br        queued", "minustah  x       y"]);
    }
}
