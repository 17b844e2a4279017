//! Carries out one strike after the other: its cause, its kills, the new start, and how long each program took to be
//! back. A program that ends by itself breaks the run off.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use valise_client::answer::{Outcome, State};

use super::Scale;
use super::load::{Ledger, Letter, Sent};
use super::plan::{Moment, Strike, Victim};
use crate::api::Api;
use crate::lab::Lab;
use crate::papers::now_ms;
use crate::until::{PATIENCE, until};

/// How often we look whether a program is back: far below what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Bytes of a probe's text.
const PROBE_BYTES: usize = 64;

/// How long programs took to be back.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Relay: process started until ready.
    pub relay_ready: Vec<Duration>,
    /// Relay: process started until a message that had waited was relayed, of a desk that writes nothing else.
    pub relay_traffic: Vec<Duration>,
    /// The same of a desk under load: behind everything that waited there.
    pub relay_backlog: Vec<Duration>,
    /// Daemon: process started until its socket answers.
    pub daemon_answers: Vec<Duration>,
    /// Daemon: process started until the relay has welcomed it; the relay was there all the time.
    pub daemon_linked: Vec<Duration>,
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Who.
    pub victim: Victim,
    /// What led to it.
    pub moment: Moment,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// Where the strikes take place, and what is noted of them.
pub struct Field<'a> {
    lab: &'a mut Lab,
    ledger: Arc<Ledger>,
    scale: &'a Scale,
    notes: File,
    /// Every kill so far.
    pub kills: Vec<Kill>,
    /// Every measurement so far.
    pub times: Times,
}

/// A relay that was started, and the messages that wait for it: of the calm desk, and of a busy one.
struct Comeback {
    started: Instant,
    calm: Probe,
    busy: Probe,
    ready: Option<Duration>,
}

/// Gives the moment at which a message was relayed.
struct Probe(JoinHandle<Result<Instant>>);

impl Probe {
    fn since(self, started: Instant) -> Result<Duration> {
        let at = self.0.join().map_err(|_| anyhow!("a thread that waited panicked"))??;
        Ok(at.saturating_duration_since(started))
    }
}

/// Everything that was started and is not back yet.
#[derive(Default)]
struct Awaited {
    relay: Option<Comeback>,
    daemons: Vec<Return>,
}

/// A daemon that was started.
struct Return {
    name: &'static str,
    started: Instant,
    log_from: u64,
    answers: Option<Duration>,
    linked: Option<Duration>,
}

impl<'a> Field<'a> {
    /// Notes go into the lab's logs.
    pub fn new(lab: &'a mut Lab, ledger: Arc<Ledger>, scale: &'a Scale) -> Result<Self> {
        let notes =
            File::create(lab.dir().join("logs").join("strikes.txt")).context("cannot note the strikes")?;
        Ok(Self { lab, ledger, scale, notes, kills: Vec::new(), times: Times::default() })
    }

    /// Carries one strike out, and waits until everything is back.
    pub fn carry_out(&mut self, number: usize, strike: &Strike) -> Result<()> {
        self.note(&format!("{number}: {strike}"))?;
        sleep(Duration::from_millis(strike.pause_ms));
        let handed_in = self.provoke(number, strike)?;
        let later = Duration::from_millis(strike.later_ms);
        let mut awaited = Awaited::default();
        self.kill(strike.victim, strike.moment)?;
        let down = match strike.moment {
            Moment::WhileStarting => {
                self.start_only(strike.victim)?;
                sleep(later);
                self.kill(strike.victim, strike.moment)?;
                vec![strike.victim]
            }
            Moment::Together(other) if strike.later_ms > 0 => {
                self.restart(number, strike.victim, &mut awaited)?;
                sleep(later);
                self.kill(other, strike.moment)?;
                vec![other]
            }
            Moment::Together(other) => {
                self.kill(other, strike.moment)?;
                vec![other, strike.victim]
            }
            Moment::Everything => {
                let daemons: Vec<_> = self.scale.victims.iter().map(|name| Victim::Daemon(name)).collect();
                daemons.iter().try_for_each(|daemon| self.kill(*daemon, strike.moment))?;
                [daemons, vec![strike.victim]].concat()
            }
            Moment::Any | Moment::BehindAnswer | Moment::MidAttachment | Moment::MidHandIn => {
                vec![strike.victim]
            }
        };
        for victim in down {
            self.restart(number, victim, &mut awaited)?;
        }
        self.recover(strike, awaited)?;
        match handed_in {
            Some(thread) => thread.join().map_err(|_| anyhow!("a thread that handed in panicked"))?.map(drop),
            None => Ok(()),
        }
    }

    /// Brings about the moment that the strike waits for.
    fn provoke(&self, number: usize, strike: &Strike) -> Result<Option<JoinHandle<Result<Sent>>>> {
        let (steady, other) = (self.scale.steady, self.scale.victims[number % self.scale.victims.len()]);
        let letter = |from: &'static str, to: &'static str, kib: u64| Letter {
            name: format!("strike-{number}-{from}"),
            from,
            to: vec![to],
            text_bytes: PROBE_BYTES,
            file_bytes: usize::try_from(kib * 1024).expect("invariant: an attachment fits an address space"),
        };
        let hand_in = |letter: Letter| self.ledger.hand_in(&self.api(letter.from), letter);
        match (strike.moment, strike.victim) {
            (Moment::BehindAnswer, Victim::Relay) => {
                let sent = hand_in(letter(steady, other, 0))?;
                let answer = self.api(steady).wait(&sent.id, State::Relayed.as_str(), PATIENCE)?;
                ensure!(answer.outcome == Outcome::Reached, "a message was not relayed: {answer:?}");
            }
            (Moment::BehindAnswer, Victim::Daemon(name)) => {
                hand_in(letter(name, steady, 0))?;
            }
            (Moment::MidAttachment, victim) => {
                let to = if let Victim::Daemon(name) = victim { name } else { other };
                hand_in(letter(steady, to, strike.file_kib))?;
                sleep(Duration::from_millis(strike.later_ms));
            }
            (Moment::MidHandIn, Victim::Daemon(name)) => {
                let (ledger, api) = (Arc::clone(&self.ledger), self.api(name));
                let letter = letter(name, steady, strike.file_kib);
                let thread = thread::spawn(move || ledger.hand_in(&api, letter));
                sleep(Duration::from_millis(strike.later_ms));
                return Ok(Some(thread));
            }
            (Moment::MidHandIn, Victim::Relay)
            | (Moment::Any | Moment::WhileStarting | Moment::Together(_) | Moment::Everything, _) => {}
        }
        Ok(None)
    }

    fn kill(&mut self, victim: Victim, moment: Moment) -> Result<()> {
        match victim {
            Victim::Relay => self.lab.relay().kill()?,
            Victim::Daemon(name) => self.lab.party_mut(name).kill()?,
        }
        self.kills.push(Kill { victim, moment, at_ms: now_ms() });
        Ok(())
    }

    fn start_only(&mut self, victim: Victim) -> Result<()> {
        match victim {
            Victim::Relay => self.lab.relay().spawn().map(drop),
            Victim::Daemon(name) => self.lab.party_mut(name).spawn().map(drop),
        }
    }

    fn restart(&mut self, number: usize, victim: Victim, awaited: &mut Awaited) -> Result<()> {
        match victim {
            Victim::Relay => awaited.relay = Some(self.restart_relay(number)?),
            Victim::Daemon(name) => {
                let party = self.lab.party_mut(name);
                let log_from = fs::metadata(party.log()).map_or(0, |found| found.len());
                let started = party.spawn()?;
                awaited.daemons.push(Return { name, started, log_from, answers: None, linked: None });
            }
        }
        Ok(())
    }

    /// Lets two messages wait for the relay, then starts it.
    fn restart_relay(&mut self, number: usize) -> Result<Comeback> {
        let (calm, busy) = (self.probe(number, self.scale.calm)?, self.probe(number, self.scale.steady)?);
        let started = self.lab.relay().spawn()?;
        Ok(Comeback { started, calm, busy, ready: None })
    }

    fn probe(&self, number: usize, from: &'static str) -> Result<Probe> {
        let to = vec![self.scale.victims[number % self.scale.victims.len()]];
        let name = format!("probe-{number}-{from}");
        let probe = Letter { name, from, to, text_bytes: PROBE_BYTES, file_bytes: 0 };
        let api = self.api(from);
        let sent = self.ledger.hand_in(&api, probe)?;
        Ok(Probe(thread::spawn(move || {
            let answer = api.wait(&sent.id, State::Relayed.as_str(), PATIENCE)?;
            let at = Instant::now();
            ensure!(answer.outcome == Outcome::Reached, "a message that waited was not relayed: {answer:?}");
            Ok(at)
        })))
    }

    /// Waits until everything is back, and notes when.
    fn recover(&mut self, strike: &Strike, mut awaited: Awaited) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut missing = false;
            if let Some(relay) = awaited.relay.as_mut().filter(|relay| relay.ready.is_none()) {
                relay.ready = self.lab.relay().is_ready()?.then(|| relay.started.elapsed());
                missing |= relay.ready.is_none();
            }
            for daemon in &mut awaited.daemons {
                self.look_at(daemon)?;
                missing |= daemon.answers.is_none() || daemon.linked.is_none();
            }
            if !missing {
                break;
            }
            ensure!(start.elapsed() < PATIENCE, "not everything came back after: {strike}");
            sleep(LOOK_EVERY);
        }
        if let Some(Comeback { started, calm, busy, ready }) = awaited.relay {
            let (calm, busy) = (calm.since(started)?, busy.since(started)?);
            let shown = ready.unwrap_or_default();
            self.note(&format!(
                "  relay ready {shown:.1?}, traffic {calm:.1?}, behind a backlog {busy:.1?}"
            ))?;
            self.times.relay_ready.extend(ready);
            self.times.relay_traffic.push(calm);
            self.times.relay_backlog.push(busy);
        }
        for Return { name, answers, linked, .. } in awaited.daemons {
            let shown = (answers.unwrap_or_default(), linked.unwrap_or_default());
            self.note(&format!("  {name} answers {:.1?}, linked {:.1?}", shown.0, shown.1))?;
            self.times.daemon_answers.extend(answers);
            if !strike.hits_relay() {
                self.times.daemon_linked.extend(linked);
            }
        }
        Ok(())
    }

    fn look_at(&mut self, daemon: &mut Return) -> Result<()> {
        let party = self.lab.party_mut(daemon.name);
        if daemon.answers.is_none() && party.is_ready()? {
            daemon.answers = Some(daemon.started.elapsed());
        }
        if daemon.linked.is_none() && said_since(party.log(), daemon.log_from, "\"link-live\"")? {
            daemon.linked = Some(daemon.started.elapsed());
        }
        Ok(())
    }

    fn api(&self, party: &str) -> Api {
        Api::new(self.lab.party(party).socket())
    }

    fn note(&mut self, line: &str) -> Result<()> {
        writeln!(self.notes, "{} {line}", now_ms()).context("cannot note a strike")
    }
}

/// Whether a log has a word behind a place.
fn said_since(log: &Path, from: u64, word: &str) -> Result<bool> {
    let mut file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).contains(word))
}

/// Waits until a daemon has been welcomed, whenever that was; for the end of a run.
pub fn all_linked(lab: &Lab) -> Result<()> {
    for party in lab.parties() {
        let api = Api::new(party.socket());
        let what = format!("{} is linked with the relay", party.name());
        until(&what, PATIENCE, || Ok((api.status()?.link.state == "live").then_some(())))?;
    }
    Ok(())
}
