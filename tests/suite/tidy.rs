//! The house rules as tests: who may stand on whom, how files are kept, what the papers and the logs must say. Each
//! failure says what to do. Reads the sources, cargo's and git's view of them; changes nothing.

mod events;
mod files;
mod floors;
mod papers;
mod versions;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The clone this test was built in.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests package lies in the workspace").to_path_buf()
}

/// The text of one file of the clone; bytes that are no text read as replacement characters.
pub(crate) fn read(path: &str) -> String {
    let bytes = std::fs::read(root().join(path)).unwrap_or_else(|e| panic!("cannot read {path}: {e}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every file git tracks, as paths from the root.
fn tracked() -> Vec<String> {
    listed(&["ls-files", "--cached"])
}

/// Every Rust file that is or could be committed, so that new files are judged before they are added.
fn sources() -> Vec<String> {
    let mut paths = listed(&["ls-files", "--cached", "--others", "--exclude-standard"]);
    paths.retain(|path| has_extension(path, "rs"));
    paths
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// Asks git for paths. A file deleted but not yet committed is left out.
fn listed(words: &[&str]) -> Vec<String> {
    let safe = format!("safe.directory={}", root().display());
    let output = Command::new("git")
        .current_dir(root())
        .args(["-c", &safe, "-c", "core.quotePath=false"])
        .args(words)
        .output()
        .expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git cannot list the sources, run the tests in a clone: {said}");
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    text.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

/// What a cargo command prints, without the network and without touching the lock file.
fn cargo(words: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .current_dir(root())
        .args(words)
        .args(["--offline", "--locked"])
        .output()
        .expect("cargo is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {} failed: {said}", words.join(" "));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// Fails with every fault on a line of its own and one sentence of advice.
fn judge(faults: &[String], advice: &str) {
    assert!(faults.is_empty(), "\n  {}\n{advice}\n", faults.join("\n  "));
}
