//! Bounded waiting for real processes: looks often, gives up at a limit, says what it waited for. Never sleeps longer
//! than one look.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks: short against anything a process does, long against the cost of a look.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);
/// For whatever a healthy program does: many times what it takes on a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until something is there, and gives it; fails after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("waited {:.1} s in vain: {what}", limit.as_secs_f64());
        }
        sleep(LOOK_EVERY);
    }
}

/// Looks until it is so, with [`PATIENCE`].
pub fn eventually(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, PATIENCE, || Ok(so()?.then_some(())))
}
