//! The load: writers that send to everybody and never have more than a few letters under way each, and readers that
//! open and acknowledge what came. A send whose answer was cut off is repeated with its key until it is answered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use valise_client::answer::{Outcome, SendRequest, State};

use crate::api::{Api, Fault};
use crate::papers::now_ms;
use crate::sim::chance::Chance;
use crate::until::LOOK_EVERY;

/// Letters of one writer that may be short of their recipients: enough that every program always has some in hand, few
/// enough that a run ends soon after its last kill.
const WINDOW: usize = 12;
/// Longest pause of a writer before its next letter, milliseconds.
const WRITE_PAUSE_MS: u64 = 100;
/// Longest pause of a reader, milliseconds.
const READ_PAUSE_MS: u64 = 150;
/// A reader picks among the newest so many.
const READ_AMONG: usize = 30;
/// Longest text, bytes.
const TEXT_MAX: u64 = 4000;
/// Every so many of a hundred letters carries an attachment, of at most so many KiB.
const FILES_PERCENT: u64 = 6;
/// Largest attachment of a writer, KiB; larger ones are the strikes' own.
const FILE_KIB_MAX: u64 = 300;
/// No daemon is away for longer.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// One slice of waiting for an old letter; then the writer looks whether it shall stop.
const SLICE: Duration = Duration::from_secs(1);

/// A message as its author remembers it. The subject names it; text and attachment follow from the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Subject and idempotency key.
    pub name: String,
    /// Who writes.
    pub from: &'static str,
    /// To whom, each once.
    pub to: Vec<&'static str>,
    /// Bytes of the text.
    pub text_bytes: usize,
    /// Bytes of the attachment; none when zero.
    pub file_bytes: usize,
}

/// A letter and what became of handing it in.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The letter.
    pub letter: Letter,
    /// The id that the daemon answered with.
    pub id: String,
    /// When the answer had come, Unix milliseconds.
    pub answered_ms: u64,
}

/// What all writers and readers share.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything that was answered.
    pub sent: Mutex<Vec<Sent>>,
    /// Messages whose acknowledgement was answered: party and id.
    pub acked: Mutex<BTreeSet<(&'static str, String)>>,
    /// Letters that somebody asked to send.
    pub asked: AtomicU64,
    /// Requests that a kill cut off before their answer, and that were asked again.
    pub cut: AtomicU64,
    /// Set when no new letter is to be written.
    pub closing: AtomicBool,
    /// Set by a writer or reader that met what no kill explains.
    pub broken: AtomicBool,
}

impl Letter {
    /// The text: its own name again and again, so that each letter has another one.
    pub fn text(&self) -> String {
        self.name.chars().chain(std::iter::once(' ')).cycle().take(self.text_bytes).collect()
    }

    /// The attachment.
    pub fn file(&self) -> Option<Vec<u8>> {
        let seed =
            self.name.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(131).wrapping_add(byte.into()));
        (self.file_bytes > 0).then(|| Chance::new(seed).bytes(self.file_bytes))
    }
}

impl Ledger {
    /// Hands a letter in until it is answered, however often the daemon dies meanwhile.
    pub fn hand_in(&self, api: &Api, letter: Letter) -> Result<Sent> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let request = SendRequest {
            to: letter.to.iter().map(|to| (*to).to_owned()).collect(),
            subject: Some(letter.name.clone()),
            ..SendRequest::default()
        };
        let (text, file) = (letter.text(), letter.file());
        let start = Instant::now();
        loop {
            match api.send(&letter.name, &request, &text, file.as_deref()) {
                Ok(answer) => {
                    let sent = Sent { letter, id: answer.id, answered_ms: now_ms() };
                    self.sent.lock().expect("invariant: no writer panics").push(sent.clone());
                    return Ok(sent);
                }
                Err(Fault::Refused(error)) => {
                    bail!("{} was refused: {}: {}", letter.name, error.code, error.message)
                }
                Err(Fault::Cut) => {
                    self.cut.fetch_add(1, Ordering::Relaxed);
                }
                Err(Fault::Unreachable) if start.elapsed() > AWAY_MAX => {
                    bail!("the daemon of {} stayed away; {} is not handed in", letter.from, letter.name)
                }
                Err(Fault::Unreachable) => {}
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Does one writer's or reader's work, and notes when it met what no kill explains.
    pub fn work(&self, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let told = work(self);
        if told.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        told
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed) || self.broken.load(Ordering::Relaxed)
    }
}

/// Writes letters from one party to the others until the ledger closes.
pub fn write(
    ledger: &Ledger,
    api: &Api,
    from: &'static str,
    cast: &[&'static str],
    seed: u64,
    writer: u64,
) -> Result<()> {
    let mut chance = Chance::of(seed, from, writer);
    let others: Vec<&str> = cast.iter().copied().filter(|party| *party != from).collect();
    let mut under_way = VecDeque::new();
    for number in 0_u64.. {
        sleep(Duration::from_millis(chance.below(WRITE_PAUSE_MS)));
        if ledger.is_closing() {
            break;
        }
        let mut to = others.clone();
        chance.shuffle(&mut to);
        to.truncate(if chance.percent(25) { 3 } else { 1 });
        let text_bytes = usize::try_from(chance.within(16, TEXT_MAX)).expect("invariant: small");
        let file_kib = if chance.percent(FILES_PERCENT) { chance.within(1, FILE_KIB_MAX) } else { 0 };
        let file_bytes = usize::try_from(file_kib * 1024).expect("invariant: small");
        let letter = Letter { name: format!("{from}-{writer}-{number}"), from, to, text_bytes, file_bytes };
        under_way.push_back(ledger.hand_in(api, letter)?.id);
        if under_way.len() > WINDOW
            && let Some(oldest) = under_way.pop_front()
        {
            until_delivered(ledger, api, &oldest)?;
        }
    }
    Ok(())
}

/// Holds a writer back until an old letter has arrived. A daemon that dies meanwhile is asked again.
fn until_delivered(ledger: &Ledger, api: &Api, id: &str) -> Result<()> {
    while !ledger.is_closing() {
        match api.wait(id, State::Delivered.as_str(), SLICE) {
            Ok(answer) if answer.outcome == Outcome::Reached => return Ok(()),
            Ok(answer) if answer.outcome == Outcome::EndedBadly => bail!("message {id} ended badly"),
            Ok(_) => {}
            Err(fault) if fault.is_of_a_kill() => sleep(LOOK_EVERY),
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}

/// Opens and acknowledges what came to one party until the ledger closes.
pub fn read(ledger: &Ledger, api: &Api, party: &'static str, seed: u64) -> Result<()> {
    let mut chance = Chance::of(seed, party, u64::MAX);
    while !ledger.is_closing() {
        sleep(Duration::from_millis(chance.below(READ_PAUSE_MS)));
        match read_one(ledger, api, party, &mut chance) {
            Err(fault) if !fault.is_of_a_kill() => return Err(fault.into()),
            _ => {} // a kill; what is not answered for need not have happened
        }
    }
    Ok(())
}

fn read_one(ledger: &Ledger, api: &Api, party: &'static str, chance: &mut Chance) -> Result<(), Fault> {
    let newest = api.inbox(Some(READ_AMONG))?;
    if newest.is_empty() {
        return Ok(());
    }
    let line = &newest[chance.index(newest.len())];
    if line.state == State::Delivered {
        api.show(&line.id)?;
    } else if chance.percent(50) {
        api.ack(&line.id)?;
        let acked = (party, line.id.clone());
        ledger.acked.lock().expect("invariant: no reader panics").insert(acked);
    }
    Ok(())
}
