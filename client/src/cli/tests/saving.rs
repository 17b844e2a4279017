//! Saving: the same bytes under plain names, nothing overwritten, nothing outside the directory.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::{Office, RECEIVED, valise};

fn listed(directory: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_was_sent_is_what_is_saved() {
    let office = Office::open();
    let files: [(&str, &[u8]); 6] = [
        ("parties.csv", b"fr,br\r\n\x00\xff"),
        ("body", b"not the body"),
        ("../../x", b"1"),
        ("x", b"2"),
        ("photo.jpg", b"3"),
        ("a/photo.jpg", b"4"),
    ];
    office.desk.receive("s", b"exact \xff bytes\n", &files);
    let into = office.scratch.path().join("new/dir");
    let said = valise(&office, &["show", RECEIVED, "--save", into.to_str().unwrap(), "--json"], b"");
    assert_eq!((said.code, said.err.as_str(), said.out.lines().count()), (0, "", 1));
    let expected: [(&str, &[u8]); 7] = [
        ("body", b"exact \xff bytes\n"),
        ("body (2)", b"not the body"),
        ("parties.csv", b"fr,br\r\n\x00\xff"),
        ("photo (2).jpg", b"4"),
        ("photo.jpg", b"3"),
        ("x", b"1"),
        ("x (2)", b"2"),
    ];
    assert_eq!(listed(&into), expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&into), mode(&into.join("body"))), (0o700, 0o600));
}

#[test]
fn nothing_is_overwritten_and_no_link_is_followed() {
    let office = Office::open();
    office.desk.receive("s", b"new", &[("notes", b"new")]);
    let into = office.scratch.path().join("dir");
    let outside = office.scratch.path().join("outside");
    std::fs::create_dir(&into).unwrap();
    std::fs::write(into.join("body"), "old").unwrap();
    symlink(&outside, into.join("notes")).unwrap();
    let said = valise(&office, &["show", RECEIVED, "--save", into.to_str().unwrap()], b"");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("body (2)") && said.err.contains("notes (2)"), "{}", said.err);
    assert_eq!(std::fs::read(into.join("body")).unwrap(), b"old");
    assert_eq!(std::fs::read(into.join("body (2)")).unwrap(), b"new");
    assert_eq!(std::fs::read(into.join("notes (2)")).unwrap(), b"new");
    assert!(!outside.exists(), "the link led nowhere");
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let office = Office::open();
    office.desk.receive("s", b"b", &[]);
    let file = office.scratch.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let said = valise(&office, &["show", RECEIVED, "--save", file.to_str().unwrap(), "--json"], b"");
    assert_eq!((said.code, said.error().as_str()), (11, "save-failed"));
    assert!(said.err.contains("file is not a directory"), "{}", said.err);
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
}

#[test]
fn bytes_that_are_not_those_stated_are_not_written() {
    let office = Office::open();
    office.desk.receive("s", b"b", &[("a", b"right")]);
    office.desk.books().received.as_mut().unwrap().files[0].1 = "wrong".into();
    let into = office.scratch.path().join("dir");
    let said = valise(&office, &["show", RECEIVED, "--save", into.to_str().unwrap(), "--json"], b"");
    assert_eq!((said.code, said.error().as_str()), (1, "internal"));
    assert!(!into.join("a").exists());
}
