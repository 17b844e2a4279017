//! Stories about secret files: who may read them, what a broken one says, what a crash may leave.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::scratch::Scratch;

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";

fn put(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_written_is_a_key_read_and_only_its_owner_may() {
    let dir = Scratch::new("keyfile-roundtrip");
    let path = dir.path().join("store.key");
    let key = KeyFile::generate();
    write_new_secret(&path, key.bytes()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(KeyFile::load(&path).unwrap().bytes(), key.bytes());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["store.key"], "nothing staged is left behind");
}

#[test]
fn a_key_that_exists_is_never_replaced() {
    let dir = Scratch::new("keyfile-exists");
    let path = dir.path().join("store.key");
    write_new_secret(&path, &[1; 32]).unwrap();
    let fault = write_new_secret(&path, &[2; 32]).unwrap_err();
    assert!(matches!(fault, KeyFileError::Exists { .. }), "{fault}");
    assert_eq!(KeyFile::load(&path).unwrap().bytes(), &[1; 32]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_fix() {
    let dir = Scratch::new("keyfile-exposed");
    let path = dir.path().join("store.key");
    for mode in [0o640, 0o604, 0o601, 0o660, 0o644] {
        put(&path, &[1; 32], mode);
        let text = KeyFile::load(&path).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        assert!(text.contains(&format!("{mode:04o}")), "{text}");
    }
    put(&path, &[1; 32], 0o400);
    KeyFile::load(&path).unwrap();
    let link = dir.path().join("link.key");
    symlink(&path, &link).unwrap();
    KeyFile::load(&link).unwrap();
}

#[test]
fn what_is_no_key_is_named() {
    let dir = Scratch::new("keyfile-no-key");
    let missing = KeyFile::load(&dir.path().join("none")).unwrap_err();
    assert!(matches!(missing, KeyFileError::Missing { .. }), "{missing}");
    let folder = KeyFile::load(dir.path()).unwrap_err();
    assert!(matches!(folder, KeyFileError::NotAFile { .. }), "{folder}");
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg("-m600").arg(&pipe).status().unwrap().success());
    let piped = KeyFile::load(&pipe).unwrap_err();
    assert!(matches!(piped, KeyFileError::NotAFile { .. }), "{piped}");
    for len in [0, 31, 33, 40_000] {
        let path = dir.path().join("short");
        put(&path, &vec![0x41; len], 0o600);
        let fault = KeyFile::load(&path).unwrap_err();
        assert!(matches!(fault, KeyFileError::Length { .. }), "{fault}");
        assert!(!fault.to_string().contains("AAAA"));
    }
}

#[test]
fn a_private_key_comes_as_pem_or_der() {
    let dir = Scratch::new("keyfile-private");
    let path = dir.path().join("tls.key");
    put(&path, PEM.as_bytes(), 0o600);
    let der = load_private_key(&path).unwrap();
    assert_eq!(der.len(), 48);
    put(&path, &der, 0o600);
    assert_eq!(*load_private_key(&path).unwrap(), *der);
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        put(&path, text.as_bytes(), 0o600);
        let fault = load_private_key(&path).unwrap_err();
        assert!(matches!(fault, KeyFileError::Form { .. }), "{fault}");
    }
}

#[test]
fn a_file_is_replaced_in_one_step() {
    let dir = Scratch::new("keyfile-atomic");
    let path = dir.path().join("roster.bin");
    write_atomic(&path, b"one", 0o644).unwrap();
    write_atomic(&path, b"two", 0o644).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_private_directory_is_private_or_refused() {
    let dir = Scratch::new("keyfile-dir");
    let path = dir.path().join("a/b");
    ensure_private_dir(&path).unwrap();
    ensure_private_dir(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let text = ensure_private_dir(&path).unwrap_err().to_string();
    assert!(text.contains("chmod 700"), "{text}");
}
