//! What happened in a run, line by line, each with its time; with the programs' own log lines among them when asked.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

use super::machine::locked;

/// Our own programs' lines; those of the transport are many and say little.
const OURS: &str = "off,valise_host=debug,valise_relay=debug,valise_client=debug";

/// A story that is being told. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Story {
    begun: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Story {
    /// Begins now.
    pub fn new() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    /// Adds a line.
    pub fn tell(&self, what: impl AsRef<str>) {
        let line = format!("{:9.3} s  {}", self.begun.elapsed().as_secs_f64(), what.as_ref());
        locked(&self.lines).push(line);
    }

    /// All of it so far.
    pub fn lines(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }

    /// Where log lines go to be part of it.
    pub fn listener(&self) -> Dispatch {
        let lines = tracing_subscriber::fmt()
            .with_writer(self.clone())
            .with_env_filter(OURS)
            .with_ansi(false)
            .with_target(false)
            .without_time();
        Dispatch::new(lines.finish())
    }
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

impl io::Write for Story {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.tell(format!("    {}", text.trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Story {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
