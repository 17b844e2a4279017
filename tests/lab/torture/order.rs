//! The command line of a torture: which run, for how long, from which seed. Understood whole or refused.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Run;

/// What a run is given to go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// All chance comes from it.
    pub seed: u64,
    /// The run ends by then, whatever is still planned; none when the person gave no limit.
    pub limit: Option<Duration>,
    /// Numbers of the run's own options that were given, by name.
    pub numbers: BTreeMap<&'static str, u64>,
    /// The result as one JSON object on standard output, all else on standard error.
    pub json: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Order {
    /// One run.
    Play(&'static Run, Options),
    /// The names of all runs.
    List,
}

/// Reads the words behind `cargo torture`. The error is a sentence for the person who typed them.
pub(super) fn read(
    args: impl Iterator<Item = String>,
    runs: &'static [Run],
    drawn: u64,
) -> Result<Order, String> {
    let mut args = args;
    let name = match args.next() {
        None => return Ok(Order::List),
        Some(word) if word == "--help" || word == "-h" => return Ok(Order::List),
        Some(word) => word,
    };
    let run = runs.iter().find(|run| run.name == name);
    let run = run.ok_or_else(|| format!("torture: there is no run `{name}`; `cargo torture` lists them"))?;
    let mut options = Options { seed: drawn, limit: None, numbers: BTreeMap::new(), json: false };
    while let Some(word) = args.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(Order::List),
            "--json" => options.json = true,
            "--seed" => options.seed = number(&word, args.next(), 0)?,
            "--minutes" => {
                let minutes = number(&word, args.next(), 1)?;
                options.limit = Some(Duration::from_secs(minutes.saturating_mul(60)));
            }
            other => {
                let own = run.counts.iter().find(|(option, _)| other.strip_prefix("--") == Some(option));
                let (option, _) = own.ok_or_else(|| {
                    format!("torture: `{other}` is no option of {name}; `cargo torture` lists them")
                })?;
                options.numbers.insert(option, number(&word, args.next(), 1)?);
            }
        }
    }
    Ok(Order::Play(run, options))
}

fn number(option: &str, word: Option<String>, least: u64) -> Result<u64, String> {
    let number = word.and_then(|word| word.parse().ok()).filter(|number| *number >= least);
    number.ok_or_else(|| format!("torture: {option} needs a number, {least} or more"))
}

impl Options {
    /// A number that was given for one of the run's own options, or the default.
    pub fn number(&self, option: &str, default: u64) -> u64 {
        self.numbers.get(option).copied().unwrap_or(default)
    }

    /// The command that runs the same again.
    pub(super) fn replay(&self, run: &Run) -> String {
        let mut line = format!("cargo torture {} --seed {}", run.name, self.seed);
        if let Some(limit) = self.limit {
            line += &format!(" --minutes {}", limit.as_secs() / 60);
        }
        for (option, number) in &self.numbers {
            line += &format!(" --{option} {number}");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    const RUNS: &[Run] = &[Run {
        name: "cuts",
        what: "cuts the line",
        counts: &[("times", "how often")],
        play: |_, _| Ok(Table::default()),
    }];

    fn asked(words: &str) -> Result<Order, String> {
        read(words.split_whitespace().map(str::to_owned), RUNS, 7)
    }

    #[test]
    fn a_command_line_is_understood_whole_or_refused() {
        assert!(matches!(asked(""), Ok(Order::List)));
        assert!(matches!(asked("cuts --help"), Ok(Order::List)));
        let Ok(Order::Play(run, options)) = asked("cuts --times 5 --json --minutes 2") else {
            panic!("`cuts` is a run")
        };
        assert_eq!((options.number("times", 200), options.seed, options.json), (5, 7, true));
        assert_eq!(options.limit, Some(Duration::from_secs(120)));
        assert_eq!(options.replay(run), "cargo torture cuts --seed 7 --minutes 2 --times 5");
        for wrong in ["cut", "cuts --time 5", "cuts --times", "cuts --times 0", "cuts --seed x"] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
