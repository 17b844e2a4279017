//! What is done to a queue, as data: drawn from a seed, printed, played as it is or a part of it.
//!
//! The drawer has a rough idea of what the queue holds, so that most operations mean something; an operation whose
//! ground was left out is still one that a queue must answer.

use std::sync::Arc;

use valise_proto::kinds::{Precedence, ReceiptKind};
use valise_proto::limits::DAY_MS;
use valise_relay::queue::{Quota, Quotas, Submission};

use super::cast::{Letter, MAILBOXES, NOW, To, WRITERS};
use crate::sim::chance::Chance;

const HOUR_MS: u64 = 3_600_000;
/// Between two operations; also more letters than a script has, so that no two expire in the same moment.
const STEP_MS: u64 = 10_000;

/// One operation. Letters, mailboxes and devices by their place in their lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a letter, a mailbox, a device of those lists; times are Unix milliseconds")]
pub enum Op {
    /// A letter as it is; a retry when it was submitted before.
    Submit { letter: usize },
    /// The header again, with these wraps.
    Again { letter: usize, wraps: Vec<(usize, u8)>, at_ms: u64 },
    /// Other bytes under the letter's id.
    Reuse { letter: usize },
    /// Wraps that follow a letter, from this device.
    Wraps { letter: usize, wraps: Vec<(usize, u8)>, writer: usize, at_ms: u64 },
    /// What a mailbox states about a letter.
    Note { letter: usize, by: usize, kind: ReceiptKind, twist: Twist, at_ms: u64 },
    /// The clock ends what is past its time.
    Expire { at_ms: u64 },
    /// The same, so many entries at a time.
    Sweep { at_ms: u64, max: usize },
    /// A device has the receipts at these places of its list, counted in steps.
    Forget { writer: usize, first: usize, step: usize },
    /// A signing certificate.
    Leaf { writer: usize, version: u8 },
    /// A bundle.
    Bundle { mailbox: usize, batch_no: u64 },
    /// Everything that is read for a mailbox and a device.
    Look { mailbox: usize, writer: usize, max: usize, at_ms: u64 },
    /// Closed, and opened again.
    Reopen,
}

/// What may be wrong with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// It names another header.
    Header,
    /// It names another message.
    Message,
    /// It names another number than the entry's.
    Number,
    /// Another mailbox states it.
    Speaker,
}

/// How much is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Letters that are submitted.
    pub letters: usize,
    /// How many of a hundred letters have full segments.
    pub large_percent: u64,
    /// Full segments at most.
    pub segments_max: u64,
    /// Whether the clock also ends a few at a time. Which it ends first is its choice, so such an operation must not
    /// be cut off halfway.
    pub sweeps: bool,
}

/// A list of operations and the letters they are about.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it was drawn from.
    pub seed: u64,
    /// The letters.
    pub letters: Vec<Letter>,
    /// As they are submitted.
    pub submissions: Vec<Arc<Submission>>,
    /// What is done, in order.
    pub ops: Vec<Op>,
}

impl Script {
    /// The same seed draws the same script.
    pub fn draw(seed: u64, measure: Measure) -> Self {
        let mut drawer = Drawer {
            chance: Chance::of(seed, "script", 0),
            at_ms: NOW,
            measure,
            letters: Vec::new(),
            ops: Vec::new(),
            queued: Vec::new(),
            waiting: Vec::new(),
            ended: Vec::new(),
            versions: 1,
            batches: 0,
        };
        while drawer.letters.len() < measure.letters {
            drawer.step();
        }
        // What was written is also read and settled.
        (0..measure.letters / 4).for_each(|_| drawer.settle());
        let Drawer { letters, ops, .. } = drawer;
        let submissions = letters.iter().map(|letter| Arc::new(letter.submission(0))).collect();
        Self { seed, letters, submissions, ops }
    }

    /// The operations as code, a line each.
    pub fn told(&self, ops: &[Op]) -> Vec<String> {
        ops.iter()
            .map(|op| match op {
                Op::Submit { letter } => format!("Submit {letter}: {:?}", self.letters[*letter]),
                other => format!("{other:?}"),
            })
            .collect()
    }
}

impl Default for Measure {
    fn default() -> Self {
        Self { letters: 300, large_percent: 5, segments_max: 5, sweeps: false }
    }
}

struct Drawer {
    chance: Chance,
    at_ms: u64,
    measure: Measure,
    letters: Vec<Letter>,
    ops: Vec<Op>,
    /// Entries that may be handed out, that wait for a wrap, that ended: letter and mailbox.
    queued: Vec<(usize, usize)>,
    waiting: Vec<(usize, usize)>,
    ended: Vec<(usize, usize)>,
    versions: u8,
    batches: u64,
}

impl Drawer {
    fn step(&mut self) {
        self.at_ms += STEP_MS;
        let at_ms = self.at_ms;
        match self.chance.below(100) {
            0..34 => self.submit(),
            34..58 => self.settle(),
            58..64 => self.speak_again(),
            64..68 => self.wraps(),
            68..76 => self.retry(),
            76..84 => {
                let step = self.chance.index(3) + 1;
                let (first, writer) = (self.chance.index(step), self.writer());
                self.ops.push(Op::Forget { writer, first, step });
            }
            84..87 => {
                let (writer, version) = (self.writer(), self.version());
                self.ops.push(Op::Leaf { writer, version });
            }
            87..90 => {
                self.batches += self.chance.below(2);
                let (mailbox, batch_no) = (self.mailbox(), self.batches + 1);
                self.ops.push(Op::Bundle { mailbox, batch_no });
            }
            90..95 => {
                let (mailbox, writer, max) = (self.mailbox(), self.writer(), self.chance.index(6));
                self.ops.push(Op::Look { mailbox, writer, max, at_ms });
            }
            95..98 => self.expire(),
            _ => self.ops.push(Op::Reopen),
        }
    }

    fn mailbox(&mut self) -> usize {
        self.chance.index(MAILBOXES.len())
    }

    fn writer(&mut self) -> usize {
        self.chance.index(WRITERS.len())
    }

    fn version(&mut self) -> u8 {
        self.versions = self.versions.wrapping_add(1).max(2);
        self.versions
    }

    /// One of those written last, mostly.
    fn letter(&mut self) -> Option<usize> {
        let all = self.letters.len();
        let among = if self.chance.percent(70) { all.min(12) } else { all };
        (all > 0).then(|| all - 1 - self.chance.index(among))
    }

    fn submit(&mut self) {
        let at = self.letters.len();
        let mut mailboxes: Vec<usize> = (0..MAILBOXES.len()).collect();
        self.chance.shuffle(&mut mailboxes);
        mailboxes.truncate(self.chance.pick(&[1, 1, 1, 2, 2, 3]));
        mailboxes.sort_unstable();
        let to: Vec<To> = mailboxes
            .into_iter()
            .map(|mailbox| {
                let (wrapped, allowed) = (self.chance.percent(80), self.chance.percent(94));
                To { mailbox, wrapped, allowed }
            })
            .collect();
        for To { mailbox, wrapped, .. } in to.iter().filter(|to| to.allowed) {
            let entries = if *wrapped { &mut self.queued } else { &mut self.waiting };
            entries.push((at, *mailbox));
        }
        let life = self.chance.pick(&[HOUR_MS, 12 * HOUR_MS, DAY_MS, 3 * DAY_MS]);
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let letter = Letter {
            number,
            from: self.writer(),
            to,
            precedence: self.chance.pick(Precedence::ALL),
            created_ms: self.at_ms,
            expires_ms: self.at_ms + life + u64::from(number),
            parts: self.parts(),
            quotas: self.quotas(),
        };
        self.letters.push(letter);
        self.ops.push(Op::Submit { letter: at });
    }

    /// Mostly none; else so little that some letters have no room.
    fn quotas(&mut self) -> Quotas {
        if self.chance.percent(85) {
            return Quotas::NONE;
        }
        let mut quota = |entries: u64, bytes: u64| Quota {
            entries: 1 + self.chance.below(entries),
            bytes: 1_000 + self.chance.below(bytes),
        };
        Quotas { mailbox: quota(12, 40_000), sender: quota(30, 100_000) }
    }

    fn parts(&mut self) -> Vec<(usize, usize)> {
        let small =
            |chance: &mut Chance| (0, 17 + chance.index(chance.clone().pick(&[300, 300, 2_000, 9_000])));
        if self.chance.percent(self.measure.large_percent) {
            let full = 1 + self.chance.index(usize::try_from(self.measure.segments_max).unwrap_or(1));
            let (_, last) = small(&mut self.chance);
            let first = small(&mut self.chance);
            return if self.chance.percent(50) { vec![first, (full, last)] } else { vec![(full, last)] };
        }
        let count = if self.chance.percent(85) { 1 } else { 2 + self.chance.index(3) };
        (0..count).map(|_| small(&mut self.chance)).collect()
    }

    /// A mailbox has a letter, or never will.
    fn settle(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        let at = if self.chance.percent(70) { 0 } else { self.chance.index(self.queued.len()) };
        let (letter, by) = self.queued[at];
        let kind = match self.chance.below(100) {
            0..75 => ReceiptKind::Delivered,
            75..82 => ReceiptKind::Opened,
            82..90 => ReceiptKind::Unopenable,
            90..95 => ReceiptKind::Refused,
            _ => ReceiptKind::Acknowledged,
        };
        if kind.settles() {
            self.ended.push(self.queued.remove(at));
        }
        self.ops.push(Op::Note { letter, by, kind, twist: Twist::None, at_ms: self.at_ms });
    }

    /// A mailbox says more about a letter that ended, or what it may not say.
    fn speak_again(&mut self) {
        let twist = match self.chance.below(10) {
            0 => Twist::Header,
            1 => Twist::Message,
            2 => Twist::Number,
            3 => Twist::Speaker,
            _ => Twist::None,
        };
        let from = match self.chance.below(10) {
            0 => &self.waiting,
            1 | 2 => &self.queued,
            _ => &self.ended,
        };
        if from.is_empty() {
            return;
        }
        let (letter, by) = from[self.chance.index(from.len())];
        let kinds = [
            ReceiptKind::Opened,
            ReceiptKind::Acknowledged,
            ReceiptKind::Delivered,
            ReceiptKind::Delivered,
            ReceiptKind::Unopenable,
        ];
        let kind = self.chance.pick(&kinds);
        if kind.settles() && matches!(twist, Twist::None) {
            self.queued.retain(|entry| *entry != (letter, by));
        }
        self.ops.push(Op::Note { letter, by, kind, twist, at_ms: self.at_ms });
    }

    fn wraps(&mut self) {
        let (at_ms, version) = (self.at_ms, self.version());
        if !self.waiting.is_empty() && self.chance.percent(75) {
            let entry = self.waiting.remove(self.chance.index(self.waiting.len()));
            self.queued.push(entry);
            let writer = self.letters[entry.0].from;
            self.ops.push(Op::Wraps { letter: entry.0, wraps: vec![(entry.1, version)], writer, at_ms });
            return;
        }
        let Some(letter) = self.letter() else { return };
        let mut wraps: Vec<_> = self.letters[letter].to.iter().map(|to| (to.mailbox, version)).collect();
        if self.chance.percent(20) {
            wraps.push((self.mailbox(), version));
        }
        let writer = if self.chance.percent(80) { self.letters[letter].from } else { self.writer() };
        self.ops.push(Op::Wraps { letter, wraps, writer, at_ms });
    }

    fn retry(&mut self) {
        let Some(letter) = self.letter() else { return };
        match self.chance.below(10) {
            0 => self.ops.push(Op::Reuse { letter }),
            1..6 => self.ops.push(Op::Submit { letter }),
            _ => {
                let version = self.version();
                let mut wraps: Vec<_> =
                    self.letters[letter].to.iter().map(|to| (to.mailbox, version)).collect();
                wraps.truncate(self.chance.index(wraps.len() + 1));
                self.ops.push(Op::Again { letter, wraps, at_ms: self.at_ms });
            }
        }
    }

    /// Time goes on, sometimes so far that nothing is left, or that what ended is forgotten.
    fn expire(&mut self) {
        let letters = self.letters.len() as u64;
        self.at_ms += match self.chance.below(10) {
            0..5 => 0,
            5..8 => 2 * HOUR_MS / STEP_MS * STEP_MS,
            8 => 13 * HOUR_MS,
            _ => self.chance.pick(&[2, 4, 6]) * DAY_MS,
        };
        let at_ms = self.at_ms + self.chance.below(letters + 2);
        let letters = &self.letters;
        for entries in [&mut self.queued, &mut self.waiting] {
            self.ended.extend(entries.iter().filter(|(letter, _)| letters[*letter].expires_ms <= at_ms));
            entries.retain(|(letter, _)| letters[*letter].expires_ms > at_ms);
        }
        if self.measure.sweeps && self.chance.percent(50) {
            let max = self.chance.pick(&[1, 2, 5]);
            return self.ops.push(Op::Sweep { at_ms, max });
        }
        // Twice: what ended the first time may be forgotten the second.
        self.ops.extend([Op::Expire { at_ms }, Op::Expire { at_ms }]);
    }
}
