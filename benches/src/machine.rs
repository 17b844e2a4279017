//! The machine under the figures: its name, and what its cores were busy with. Read from /proc; changes nothing.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Clock ticks in a second of /proc (`USER_HZ`), 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// One sentence that names the machine and the day.
pub(crate) fn described() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim()).to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
    format!("On {day}: {cores} cores of {model}, Linux {}.", kernel.trim())
}

/// CPU seconds that a process has used, its threads included.
pub(crate) fn cpu_of(process: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).context("a process is gone")?;
    // The name in parentheses may hold anything; fields are counted from behind it.
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>();
    Ok(ticks.context("no times in /proc/PID/stat")? / TICKS)
}

/// Memory of a process that lies in the machine's own (`VmRSS`), kB of 1,000 bytes.
pub(crate) fn memory_of(process: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).context("a process is gone")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kib: f64 = kib.context("no VmRSS in /proc/PID/status")?.parse()?; // the kernel's kB are KiB
    Ok(kib * 1.024)
}

/// CPU seconds that the whole machine has spent on work.
fn cpu_of_all() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let fields = line.split_whitespace().skip(1).map(str::parse::<f64>).collect::<Result<Vec<_>, _>>();
    let fields = fields.context("no times in /proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum::<f64>();
    Ok(busy / TICKS)
}

/// What was used from one moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    server: Option<u32>,
    began: Instant,
    all: f64,
    own: f64,
    servers: f64,
}

/// What was used in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Wall time.
    pub(crate) time: Duration,
    /// CPU seconds of the server.
    pub(crate) server: f64,
    /// CPU seconds of this very process.
    pub(crate) own: f64,
    /// Cores that others kept busy.
    pub(crate) foreign: f64,
}

impl Meter {
    /// Begins now; `server` is the process that serves.
    pub(crate) fn start(server: Option<u32>) -> Result<Self> {
        let servers = server.map_or(Ok(0.0), cpu_of)?;
        let own = cpu_of(std::process::id())?;
        Ok(Self { server, began: Instant::now(), all: cpu_of_all()?, own, servers })
    }

    /// What was used until now.
    pub(crate) fn read(&self) -> Result<Used> {
        let time = self.began.elapsed();
        let all = cpu_of_all()? - self.all;
        let server = self.server.map_or(Ok(0.0), cpu_of)? - self.servers;
        let own = cpu_of(std::process::id())? - self.own;
        let foreign = ((all - server - own) / time.as_secs_f64()).max(0.0);
        Ok(Used { time, server, own, foreign })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen() {
        let meter = Meter::start(None).unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            std::hint::black_box(began);
        }
        let used = meter.read().unwrap();
        assert!(used.own > 0.0 && used.time >= Duration::from_millis(200), "{used:?}");
    }
}
