//! `cargo verify`: the stages in order, each with its seconds. The first that fails ends the run with its
//! name and the command to repeat it alone. The release profile throughout, so the tree is built once.

use std::process::Command;
use std::time::Instant;

use crate::machine::Machine;
use crate::programs::Program;
use crate::step::{self, say};

/// One stage: a name for the log, and what is done.
struct Stage {
    name: &'static str,
    work: Work,
}

/// Nearly every stage is one command; the last compares the clone with what it was.
enum Work {
    Run(Command),
    SameTree(String),
}

/// Runs every stage. The error is the last line of the log: which stage, and how to repeat it.
pub(crate) fn run_all(machine: &Machine) -> Result<(), String> {
    let began = Instant::now();
    machine.make_ready()?;
    let before = tree_state(machine)?;
    let stages = stages(machine, before);
    let total = stages.len();
    for (at, stage) in stages.into_iter().enumerate() {
        let label = format!("verify: {}/{total} {}", at + 1, stage.name);
        let stage_began = Instant::now();
        say(&format!("{label}: begins"));
        let outcome = match stage.work {
            Work::Run(mut command) => step::run(&label, &mut command),
            Work::SameTree(before) => same_tree(machine, &before),
        };
        let seconds = stage_began.elapsed().as_secs_f64();
        if let Err(why) = outcome {
            return Err(format!("{why}\n{label}: FAILED after {seconds:.1} s"));
        }
        say(&format!("{label}: passed in {seconds:.1} s"));
    }
    say(&format!("verify: {total} stages passed in {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// The tests tested: built anew with the faults that they must find. Last of all that is built, so that the programs
/// beside us stay those without.
const PLANTED: [&str; 10] = [
    "test",
    "--release",
    "--locked",
    "--package",
    "valise-tests",
    "--features",
    "planted",
    "--test",
    "suite",
    "planted",
];

fn stages(machine: &Machine, before: String) -> Vec<Stage> {
    let clippy = ["clippy", "--release", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let mut docs = machine.cargo(&["doc", "--release", "--locked", "--workspace", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut demonstration = machine.at_root(machine.built(Program::Demo.name()));
    demonstration.arg("--json");
    let run = |name, command| Stage { name, work: Work::Run(command) };
    vec![
        run("format", machine.cargo(&["fmt", "--all", "--check"])),
        run("lints", machine.cargo(&clippy)),
        run("programs", machine.build_programs()),
        run("tests", machine.cargo(&["test", "--release", "--locked", "--workspace"])),
        run("demonstration", demonstration),
        run("planted faults", machine.cargo(&PLANTED)),
        run("documentation", docs),
        Stage { name: "clean tree", work: Work::SameTree(before) },
    ]
}

/// What git sees as changed or new, one line for each path.
fn tree_state(machine: &Machine) -> Result<String, String> {
    let output = machine
        .git(&["status", "--porcelain", "--untracked-files=all"])
        .output()
        .map_err(|e| format!("verify: cannot start git: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("verify: git cannot read this tree, work in a clone: {}", said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Building, testing and demonstrating must leave no trace among the sources.
fn same_tree(machine: &Machine, before: &str) -> Result<(), String> {
    let after = tree_state(machine)?;
    let mut traces = after.lines().filter(|line| !before.lines().any(|known| known == *line)).peekable();
    if traces.peek().is_none() {
        return Ok(());
    }
    let listed: Vec<_> = traces.map(|line| format!("  {line}")).collect();
    Err(format!(
        "verify: a stage changed the sources; write to a temporary directory or the target directory:\n{}",
        listed.join("\n")
    ))
}
