//! The machine we stand on: where cargo, the sources and the built programs are, and whether the tools
//! the stages need are there. Installs a missing system package when it may; never touches the toolchain.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{self, say};

/// System tools without which nothing here can be built or judged, and the Debian package of each.
const TOOLS: &[(&str, &str)] = &[("cc", "gcc"), ("git", "git")];

/// Parts of the Rust toolchain that `cargo verify` calls: cargo's name for each, and rustup's.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// Every program, always this same set: another set would unify features differently and build half the
/// tree a second time. The tests package is in it so that programs and tests agree on the features.
const PROGRAMS: &[&str] = &["valise-mint", "valise-relay", "valise-client", "valise-tests"];

/// What `cargo figures` builds on top of the programs, in the same selection for the same reason.
const FIGURES: &str = "valise-benches";

/// Cargo tells us here where our own manifest is. What we start must not take it for its own.
pub(crate) const OWN_DIRECTORY: &str = "CARGO_MANIFEST_DIR";

/// Variables that may name the target directory relative to the caller's directory.
const TARGET_VARIABLES: &[&str] = &["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"];

/// What has been found out about this machine; everything that is run starts from here.
pub(crate) struct Machine {
    cargo: OsString,
    root: PathBuf,
    built: PathBuf,
    targets: Vec<(&'static str, PathBuf)>,
}

impl Machine {
    /// Looks around without changing anything. Fails with a sentence for the person at the keyboard.
    pub(crate) fn look() -> Result<Self, String> {
        let own = std::env::var_os(OWN_DIRECTORY).unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&own).ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf();
        if !root.join("Cargo.lock").is_file() {
            return Err(format!(
                "verify: {} is not the workspace; start it as `cargo verify` in a clone",
                root.display()
            ));
        }
        let here = std::env::current_dir().map_err(|e| format!("verify: no current directory: {e}"))?;
        let exe = std::env::current_exe().map_err(|e| format!("verify: cannot find its own program: {e}"))?;
        let built = exe.parent().map(Path::to_path_buf).unwrap_or_default();
        let targets = TARGET_VARIABLES
            .iter()
            .filter_map(|name| Some((*name, here.join(std::env::var_os(name)?))))
            .collect();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Ok(Self { cargo, root, built, targets })
    }

    /// A cargo command in the workspace. The lock file is law: a build never changes a version.
    pub(crate) fn cargo(&self, words: &[&str]) -> Command {
        let mut command = self.at_root(&self.cargo);
        command.args(words);
        command
    }

    /// `cargo build` of all programs, the demonstration and the torture included.
    pub(crate) fn build_programs(&self) -> Command {
        let mut command = self.cargo(&["build", "--release", "--locked"]);
        for package in PROGRAMS {
            command.args(["--package", package]);
        }
        command
    }

    /// `cargo build` of the programs and the benchmarks.
    pub(crate) fn build_figures(&self) -> Command {
        let mut command = self.build_programs();
        command.args(["--package", FIGURES]);
        command
    }

    /// A git command on the clone; a clone that another user made (as on a build host) counts as safe.
    pub(crate) fn git(&self, words: &[&str]) -> Command {
        let mut command = self.at_root("git");
        command.arg("-c").arg(format!("safe.directory={}", self.root.display())).args(words);
        command
    }

    /// A program as built. It lies beside this very program, wherever the target directory is.
    pub(crate) fn built(&self, program: &str) -> PathBuf {
        self.built.join(program)
    }

    /// A command that runs in the workspace, with the target directory where the caller meant it.
    pub(crate) fn at_root(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.root).stdin(Stdio::null()).env_remove(OWN_DIRECTORY);
        for (name, path) in &self.targets {
            command.env(name, path);
        }
        if std::env::var_os("CI").is_some() {
            command.env("CARGO_TERM_COLOR", "never");
        }
        command
    }

    /// Makes sure of the tools: system packages are installed when we are root, toolchain parts are
    /// asked for, because which toolchain is used is the owner's decision.
    pub(crate) fn make_ready(&self) -> Result<(), String> {
        let missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !answers(Command::new(tool))).collect();
        if !missing.is_empty() {
            let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
            self.install(&packages)?;
        }
        for (word, component) in COMPONENTS {
            if !answers(self.cargo(&[word])) {
                return Err(format!(
                    "verify: `cargo {word}` is missing; run `rustup component add {component}`"
                ));
            }
        }
        Ok(())
    }

    fn install(&self, packages: &[&str]) -> Result<(), String> {
        let names = packages.join(" ");
        let advice = format!("verify: missing: {names}; run `apt-get install {names}` as root and try again");
        if !is_root() || !answers(Command::new("apt-get")) {
            return Err(advice);
        }
        say(&format!("verify: installing {names}"));
        let mut update = self.at_root("apt-get");
        update.args(["update", "--quiet=2"]);
        let mut install = self.at_root("apt-get");
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(packages);
        let done = step::run("install", &mut update).and_then(|()| step::run("install", &mut install));
        done.map_err(|_| advice)
    }
}

/// Whether a tool is there and starts.
fn answers(mut tool: Command) -> bool {
    let quiet = tool.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
