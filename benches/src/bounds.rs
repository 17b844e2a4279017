//! How long a figure is measured and how often: bounded, so that every run stops by itself.

use std::time::Duration;

/// How long and how often.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Bounds {
    /// Seconds of each measured run.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// Runs of each kind, in turn; medians are shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=25))]
    pub(crate) runs: u64,
}

impl Bounds {
    /// Of each measured run.
    pub(crate) fn length(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
