//! One run: a script played on a queue whose disk and machine fail as planned, and after each restart everything that
//! was acknowledged looked for.
//!
//! What was under way when the machine stopped may have been done or not: then there are two worlds, until the queue
//! shows in which one it lives. It must be one of them, wholly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use valise_relay::queue::QueueError;

use crate::disk::{FaultyDisk, Kept, Plan};
use crate::queue::Ground;
use crate::queue::ask::{Answer, Ask, put};
use crate::queue::nonces::Nonces;
use crate::queue::script::{Op, Script};
use crate::queue::sight::{Finding, Sight, Wrong};
use crate::queue::world::World;
use crate::sim::machine::locked;

/// Worlds that are held possible at once; each fault doubles them.
const WORLDS_MAX: usize = 64;

/// How a life of the relay ends when it does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power goes.
    Cut(Kept, u64),
    /// The process alone is gone, and what it wrote is still on its way.
    Kill(u64),
}

/// One life of the relay: from a start until the machine stops or the queue fails.
#[derive(Clone, Debug)]
pub struct Life {
    /// How its disk fails.
    pub plan: Plan,
    /// With a disk that is too small: refusals after which there is room.
    pub refusals: u64,
    /// How it ends.
    pub end: End,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that were answered as durable.
    pub acknowledged: u64,
    /// Of these, letters accepted.
    pub accepted: u64,
    /// Machines stopped, by a power cut.
    pub cuts: u64,
    /// Machines stopped, by the end of the process alone.
    pub kills: u64,
    /// Errors of the disk.
    pub errors: u64,
    /// Queues that failed and were started again.
    pub failures: u64,
    /// Operations refused because the disk was full.
    pub refused: u64,
    /// Opened and closed in good order.
    pub closed: u64,
    /// File calls.
    pub calls: u64,
    /// Operations under way that a restart found done, and not done.
    pub done: u64,
    /// Not done.
    pub undone: u64,
    /// Records sealed.
    pub sealed: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.accepted += other.accepted;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.errors += other.errors;
        self.failures += other.failures;
        self.refused += other.refused;
        self.closed += other.closed;
        self.calls += other.calls;
        self.done += other.done;
        self.undone += other.undone;
        self.sealed += other.sealed;
    }
}

/// Something to do next.
#[derive(Clone, Debug)]
enum Next {
    Op(Op),
    Ask(Ask),
}

/// A run under way.
pub struct Run<'a, G: Ground> {
    ground: &'a G,
    script: &'a Script,
    seed: u64,
    disk: FaultyDisk,
    queue: Option<G::Queue>,
    worlds: Vec<World>,
    lives: VecDeque<Life>,
    next: VecDeque<Next>,
    nonces: Arc<Mutex<Nonces>>,
    /// Refusals left until there is room.
    refusals: u64,
    end: End,
    /// A life ended by a fault, and what it left was not asked about yet.
    shaken: bool,
    tell: bool,
    /// What was done, when it is told.
    pub story: Vec<String>,
    /// What it came to so far.
    pub counts: Counts,
}

impl<'a, G: Ground> Run<'a, G> {
    /// A run of these operations; each life has its faults, and those after the last have none.
    pub fn new(ground: &'a G, script: &'a Script, ops: &[Op], lives: Vec<Life>, tell: bool) -> Self {
        let disk = FaultyDisk::new(script.seed);
        let mut run = Self {
            ground,
            script,
            seed: script.seed,
            disk,
            queue: None,
            worlds: vec![World::default()],
            lives: lives.into(),
            next: ops.iter().cloned().map(Next::Op).collect(),
            nonces: Arc::default(),
            refusals: 0,
            end: End::Kill(0),
            shaken: false,
            tell,
            story: Vec::new(),
            counts: Counts::default(),
        };
        run.begin();
        run
    }

    /// Calls made of the disk in this life.
    pub fn calls(&self) -> u64 {
        self.disk.calls()
    }

    /// Plays until the end, or until the machine of this life stopped.
    ///
    /// # Errors
    /// What the queue did wrong.
    pub fn play(&mut self) -> Result<(), Finding> {
        while !self.is_down() {
            let Some(next) = self.next.pop_front() else {
                return self.finish();
            };
            self.step(next)?;
            if let Some(what) = locked(&self.nonces).twice() {
                return Err(Finding::new(Wrong::Nonce, what));
            }
        }
        Ok(())
    }

    /// Plays until the end, from one life to the next.
    ///
    /// # Errors
    /// What the queue did wrong.
    pub fn play_on(&mut self) -> Result<(), Finding> {
        loop {
            self.play()?;
            if !self.is_down() {
                self.count_calls();
                return Ok(());
            }
            self.end_life();
        }
    }

    /// Whether the machine stopped or the queue failed.
    pub fn is_down(&self) -> bool {
        self.queue.is_none() && (self.disk.is_stopped() || self.shaken)
    }

    /// The same run at a machine that stopped, to go on in another way.
    pub fn branch(&self, end: End, most: usize) -> Self {
        Self {
            ground: self.ground,
            script: self.script,
            seed: self.seed,
            disk: self.disk.clone(),
            queue: None,
            worlds: self.worlds.clone(),
            lives: self.lives.clone(),
            next: self.next.iter().take(most).cloned().collect(),
            nonces: Arc::new(Mutex::new(locked(&self.nonces).clone())),
            refusals: self.refusals,
            end,
            shaken: self.shaken,
            tell: self.tell,
            story: self.story.clone(),
            counts: Counts::default(),
        }
    }

    /// A line of the story, behind the file calls that came before it.
    fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.tell {
            self.story.extend(self.disk.story().into_iter().map(|line| format!("      {line}")));
            self.disk.tell();
            self.story.push(line(self));
        }
    }

    /// The next life's faults are on the disk.
    fn begin(&mut self) {
        let life = self.lives.pop_front();
        if self.tell {
            self.disk.tell();
            self.story.push(format!("-- a life: {life:?}"));
        }
        let Life { plan, refusals, end } =
            life.unwrap_or(Life { plan: Plan::default(), refusals: 0, end: End::Kill(self.seed) });
        self.disk.plan(|now| *now = plan);
        (self.refusals, self.end) = (refusals, end);
        let nonces = Arc::clone(&self.nonces);
        self.disk.watch(move |file, name, at, bytes| locked(&nonces).written(file, name, at, bytes));
    }

    fn count_calls(&mut self) {
        self.counts.sealed = locked(&self.nonces).seen();
        self.counts.calls += self.disk.calls();
        self.counts.errors += self.disk.failed();
    }

    /// The machine stopped, or the queue failed: the next start finds what that left.
    pub fn end_life(&mut self) {
        self.queue = None;
        self.count_calls();
        self.say(|run| format!("-- ended: {:?}, stopped: {}", run.end, run.disk.is_stopped()));
        match self.end {
            End::Cut(kept, seed) => {
                self.counts.cuts += 1;
                self.disk = self.disk.after_cut(kept, seed);
            }
            End::Kill(seed) => {
                self.counts.kills += 1;
                self.disk = self.disk.after_kill(seed);
            }
        }
        self.shaken = false;
        self.seed = self.seed.wrapping_add(0x9e37_79b9);
        self.begin();
        self.probe();
    }

    /// What a client would do next, and what the queue must still know of all that it answered for.
    fn probe(&mut self) {
        let mut asks = VecDeque::new();
        let world = &self.worlds[0];
        for letter in 0..self.script.letters.len() {
            let submission = &self.script.submissions[letter];
            if world.number(&submission.submitter, &submission.facts.message_id).is_some() {
                let at_ms = submission.now_ms + 1;
                asks.push_back(Next::Op(Op::Again { letter, wraps: Vec::new(), at_ms }));
            }
        }
        for (sequence, mailbox, receipt) in world.stated() {
            asks.push_back(Next::Ask(Ask::Note(sequence, mailbox, receipt)));
        }
        asks.append(&mut self.next);
        self.next = asks;
    }

    fn step(&mut self, next: Next) -> Result<(), Finding> {
        self.open()?;
        let Some(queue) = &self.queue else {
            self.next.push_front(next); // the machine stopped while it started
            return Ok(());
        };
        let ask = match &next {
            Next::Op(op) => Ask::of(self.script, op, &self.worlds[0]),
            Next::Ask(ask) => Some(ask.clone()),
        };
        let Some(ask) = ask else {
            self.say(|_| "close".to_owned());
            return self.close();
        };
        let failed = self.disk.failed();
        if self.tell {
            self.story.push(brief(&next));
        }
        let answer = put(queue, &ask);
        self.say(|_| match &answer {
            Ok(answer) => format!("    -> {}", brief(answer)),
            Err(fault) => format!("    -> {fault}"),
        });
        let fault = self.disk.is_stopped() || self.disk.failed() > failed;
        match answer {
            // What the clock could not read it passed by, and ended the others.
            Ok(Answer::Ended { .. }) if fault => {
                self.uncertain(&ask);
                self.look()?;
            }
            Ok(answer) => self.certain(&ask, &answer)?,
            Err(QueueError::Full) if self.disk.failed() > 0 || self.is_tight() => self.refuse(),
            // What is done behind an answer may have failed, and the next operation hears of it.
            Err(QueueError::Failed(_)) if self.disk.is_stopped() || self.disk.failed() > 0 => {
                self.uncertain(&ask);
                self.counts.failures += u64::from(!self.disk.is_stopped());
                (self.queue, self.shaken) = (None, true);
            }
            Err(QueueError::Damaged(_)) if fault => self.uncertain(&ask),
            Err(QueueError::Damaged(what)) => return Err(Finding::new(Wrong::Unreadable, what)),
            Err(other) => return Err(Finding::new(Wrong::Answer, format!("{other} without a fault"))),
        }
        if self.disk.is_stopped() {
            self.queue = None;
        }
        Ok(())
    }

    fn is_tight(&self) -> bool {
        let mut tight = false;
        self.disk.plan(|plan| tight = plan.capacity.is_some());
        tight
    }

    fn refuse(&mut self) {
        self.counts.refused += 1;
        self.refusals = self.refusals.saturating_sub(1);
        if self.refusals == 0 {
            self.disk.plan(|plan| plan.capacity = None);
        }
    }

    /// An answer: only the worlds remain in which it is right.
    fn certain(&mut self, ask: &Ask, answer: &Answer) -> Result<(), Finding> {
        let mut expected = None;
        self.worlds.retain_mut(|world| {
            let told = world.apply(ask, Some(answer));
            let right = told == *answer;
            expected = expected.take().or(Some(told).filter(|_| !right));
            right
        });
        if self.worlds.is_empty() {
            let what =
                format!("{} was answered by {}, not by {}", brief(ask), brief(answer), brief(&expected));
            return Err(Finding::new(Wrong::Answer, what));
        }
        if !ask.reads() {
            self.counts.acknowledged += 1;
            self.counts.accepted += u64::from(matches!(answer, Answer::Stored { fresh: true, .. }));
        }
        Ok(())
    }

    /// No answer, or none that says what was done: each world is one in which it was done, and one in which not.
    fn uncertain(&mut self, ask: &Ask) {
        if ask.reads() || self.worlds.len() >= WORLDS_MAX {
            return;
        }
        let mut done = self.worlds.clone();
        if let Ask::Expire(now_ms) = ask {
            self.worlds.iter_mut().for_each(|world| world.doubt(*now_ms));
            done.iter_mut().for_each(|world| {
                world.purge(*now_ms);
                world.doubt(*now_ms);
            });
        } else {
            done.iter_mut().for_each(|world| {
                world.apply(ask, None);
            });
        }
        self.worlds.append(&mut done);
    }

    /// Opens the queue, if it is not open, and looks for everything.
    fn open(&mut self) -> Result<(), Finding> {
        if self.queue.is_some() {
            return Ok(());
        }
        let failed = self.disk.failed();
        let opened = self.ground.open(&self.disk, self.seed);
        self.say(|_| format!("open: {:?}", opened.as_ref().err()));
        match opened {
            Ok(queue) => {
                self.queue = Some(queue);
                self.look()
            }
            Err(_) if self.disk.is_stopped() || self.disk.failed() > failed => {
                self.shaken = true;
                Ok(())
            }
            Err(other) => Err(Finding::new(Wrong::Unreadable, other.to_string())),
        }
    }

    /// Looks at everything there is. When a fault comes between, the queue is given up.
    fn look(&mut self) -> Result<(), Finding> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let failed = self.disk.failed();
        let sight = match Sight::take(queue) {
            Ok(sight) => sight,
            // Also when it heard only now of what had failed behind an answer.
            Err(fault)
                if self.disk.is_stopped()
                    || self.disk.failed() > failed
                    || matches!(fault, QueueError::Failed(_)) && self.disk.failed() > 0 =>
            {
                (self.queue, self.shaken) = (None, true);
                return Ok(());
            }
            Err(other) => return Err(Finding::new(Wrong::Unreadable, other.to_string())),
        };
        self.judge(&sight)?;
        if self.disk.is_stopped() {
            self.queue = None;
        }
        Ok(())
    }

    /// Only the worlds remain that the queue may live in.
    fn judge(&mut self, sight: &Sight) -> Result<(), Finding> {
        let mut first = None;
        let (before, mut at) = (self.worlds.len(), 0);
        let mut last = 0;
        self.worlds.retain_mut(|world| {
            let differs = sight.judge(world);
            let lives_here = differs.is_none();
            first = first.take().or(differs);
            if lives_here {
                world.adopt(sight);
                last = at;
            }
            at += 1;
            lives_here
        });
        match first {
            Some(finding) if self.worlds.is_empty() => {
                let what = format!("{} (of {before} possible worlds)", finding.what);
                return Err(Finding { what, ..finding });
            }
            _ => {}
        }
        if before > 1 && self.worlds.len() == 1 {
            let done = last >= before / 2;
            self.counts.done += u64::from(done);
            self.counts.undone += u64::from(!done);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Finding> {
        if let Some(queue) = self.queue.take() {
            let failed = self.disk.failed();
            self.ground.close(queue);
            self.counts.closed += 1;
            self.shaken = self.disk.failed() > failed;
        }
        Ok(())
    }

    /// Closed, opened, looked at, closed.
    fn finish(&mut self) -> Result<(), Finding> {
        for _ in 0..2 {
            self.open()?;
            if self.is_down() {
                return Ok(());
            }
            self.close()?;
            if self.is_down() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// So much of it as a person reads.
fn brief(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").chars().take(200).collect()
}
