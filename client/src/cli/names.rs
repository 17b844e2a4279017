//! A foreign file name made fit to be a file's name here: never a path, never a device, never hidden, never an option.
//! Only the saved name is changed; what is shown and stored stays what the sender signed.

use valise_host::plain::acts;

/// Most bytes of a cleaned name: leaves room below 255 for ` (2)`.
const NAME_MAX: usize = 200;
/// Most bytes of an ending kept when a name is cut; a longer one is no file type.
const ENDING_MAX: usize = 16;
/// What a name of nothing becomes.
const NAMELESS: &str = "file";
/// Names that mean a device on some systems, with any ending.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// The same, with a digit behind.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];

/// Cleans a name: what follows the last `/` or `\`; acting, invisible and forbidden characters become `_`; leading
/// dots, dashes and blanks and trailing dots and blanks go; a device's name gets `_` in front; at most 200 bytes,
/// ending kept; `file` when nothing is left.
pub fn clean_file_name(foreign: &str) -> String {
    let last = foreign.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default();
    let seen: String = last.chars().map(|c| if forbidden(c) { '_' } else { c }).collect();
    let kept = seen.trim_start_matches(['.', '-', ' ']).trim_end_matches(['.', ' ']);
    let cut = shortened(kept);
    let cut = cut.trim_end_matches(['.', ' ']);
    if cut.is_empty() {
        NAMELESS.to_owned()
    } else if is_device(cut) {
        format!("_{cut}")
    } else {
        cut.to_owned()
    }
}

/// The n-th name to try when a name is taken: ` (2)` before the ending, if there is one.
pub(super) fn numbered(name: &str, number: usize) -> String {
    let (stem, ending) = split(name);
    if number < 2 { name.to_owned() } else { format!("{stem} ({number}){ending}") }
}

fn forbidden(c: char) -> bool {
    acts(c)
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{3164}')
}

/// Stem and ending; the ending begins with its dot and may be empty.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= ENDING_MAX => name.split_at(at),
        Some(_) | None => (name, ""),
    }
}

fn shortened(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    format!("{}{ending}", &stem[..stem.floor_char_boundary(NAME_MAX - ending.len())])
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = NUMBERED_DEVICES.iter().filter_map(|device| stem.strip_prefix(device));
    DEVICES.contains(&stem.as_str())
        || numbered
            .into_iter()
            .any(|rest| matches!(rest, "¹" | "²" | "³") || matches!(rest.as_bytes(), [b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_becomes_a_plain_one() {
        let table = [
            ("parties.csv", "parties.csv"),
            ("fiche n° 3 – été.pdf", "fiche n° 3 – été.pdf"),
            ("صورة.jpg", "صورة.jpg"),
            ("../../x", "x"),
            ("/etc/passwd", "passwd"),
            ("C:\\x", "x"),
            ("C:x", "C_x"),
            ("dir/", "dir"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("nul .txt", "_nul .txt"),
            ("COM1", "_COM1"),
            ("lpt9.log", "_lpt9.log"),
            ("COM10", "COM10"),
            ("CONSOLE", "CONSOLE"),
            ("a\0b", "a_b"),
            ("a\nb\u{1b}[2J", "a_b_[2J"),
            ("a\u{9b}b", "a_b"),
            ("invoice\u{202e}fdp.exe", "invoice_fdp.exe"),
            ("a\u{2066}b\u{200b}c\u{e0041}", "a_b_c_"),
            ("", "file"),
            (".", "file"),
            ("..", "file"),
            ("/", "file"),
            ("...", "file"),
            ("   ", "file"),
            ("-rf", "rf"),
            ("--", "file"),
            (".bashrc", "bashrc"),
            ("report.", "report"),
            ("a*b?c|d<e>f\"g", "a_b_c_d_e_f_g"),
        ];
        for (foreign, clean) in table {
            assert_eq!(clean_file_name(foreign), clean, "{foreign:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_ending() {
        let cut = clean_file_name(&format!("{}.csv", "é".repeat(2048)));
        assert!(cut.len() <= NAME_MAX && cut.ends_with("é.csv"), "{cut}");
        let cut = clean_file_name(&format!("x.{}", "y".repeat(4096)));
        assert_eq!(cut.len(), NAME_MAX);
    }

    #[test]
    fn a_taken_name_gets_a_number_before_its_ending() {
        assert_eq!(numbered("body", 2), "body (2)");
        assert_eq!(numbered("photo.jpg", 3), "photo (3).jpg");
        assert_eq!(numbered("photo.jpg", 1), "photo.jpg");
    }

    #[test]
    fn cleaning_twice_changes_nothing_more() {
        for foreign in ["..-x", "- .-y", "a/..", "\u{202e}", "._.", "_CON", &".a".repeat(300)] {
            let once = clean_file_name(foreign);
            assert_eq!(clean_file_name(&once), once, "{foreign:?}");
        }
    }
}
