//! A run under way: relay and parties, what happens to them, and when each is to be started again.
//!
//! Time passes only in `pass`; there programs come back, and those whose fuse blew are cleared away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use valise_host::clock::Clock;

use super::chance::Chance;
use super::damage;
use super::disk::Disk;
use super::federation::Federation;
use super::link::{Link, lan, satellite};
use super::machine::{SimClock, locked};
use super::model::Model;
use super::net::Net;
use super::node::{Ground, PartyNode, RelayNode};
use super::operator::Operator;
use super::ops::RELAY;
use super::story::Story;

/// Nothing that a test does to a program at rest takes longer than this, in time of the run.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Programs killed, by whatever means.
    pub kills: u64,
    /// Of these, at a commit of their store.
    pub at_commits: u64,
    /// Links cut.
    pub cuts: u64,
    /// Damaged stores that were refused.
    pub refused_stores: u64,
}

/// Relay, parties, and all that is between them.
pub struct World {
    /// The network.
    pub net: Net,
    /// The relay.
    pub relay: RelayNode,
    /// The parties, in the order given.
    pub parties: Vec<PartyNode>,
    /// What must come of it.
    pub model: Arc<Mutex<Model>>,
    /// What was counted.
    pub counts: Counts,
    /// What happened.
    pub story: Story,
    begun: Instant,
    dir: PathBuf,
    blown: Arc<Notify>,
    due: BTreeMap<(Instant, u64), &'static str>,
    numbers: u64,
    // Until when a program that blew is down.
    downs: BTreeMap<&'static str, u64>,
    people: JoinSet<()>,
    // Carries datagrams.
    carrier: JoinSet<()>,
}

impl World {
    /// Of a federation; nothing runs yet.
    pub fn new(federation: &Federation, parties: &[&'static str], seed: u64) -> Result<Self> {
        Self::on_disks(federation, parties, seed, 0)
    }

    /// The same, on disks that answer so many milliseconds after they have done what was asked.
    pub fn on_disks(
        federation: &Federation,
        parties: &[&'static str],
        seed: u64,
        store_ms: u64,
    ) -> Result<Self> {
        let dir = federation.run()?;
        let relay = federation.relay(&dir, seed)?;
        let net = Net::new(relay.relay.listen.ip(), Chance::new(seed ^ 0x6e65_7477_6f72_6b00));
        let (clock, blown): (Arc<dyn Clock>, _) = (Arc::new(SimClock::new()), Arc::new(Notify::new()));
        let ground = Ground {
            net: net.clone(),
            clock,
            seed,
            blown: Arc::clone(&blown),
            disk: Disk::default(),
            store_ms,
        };
        let node = |(number, name): (u64, &&'static str)| {
            let node = PartyNode::new(ground.clone(), name, number, federation.party(name, &dir)?);
            let hops = if node.is_far() { satellite() } else { lan() };
            net.link(node.at(), |link| *link = Link::new(hops));
            Ok(node)
        };
        let mut carrier = JoinSet::new();
        carrier.spawn(net.clone().carry());
        Ok(Self {
            relay: RelayNode::new(ground.clone(), relay),
            parties: (0..).zip(parties).map(node).collect::<Result<_>>()?,
            net,
            model: Arc::default(),
            counts: Counts::default(),
            story: Story::new(),
            begun: Instant::now(),
            dir,
            blown,
            due: BTreeMap::new(),
            numbers: 0,
            downs: BTreeMap::new(),
            people: JoinSet::new(),
            carrier,
        })
    }

    /// Time of the run.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Adds a line to the story.
    pub fn tell(&self, what: impl AsRef<str>) {
        self.story.tell(what);
    }

    /// A party by its name.
    pub fn party(&mut self, name: &str) -> &mut PartyNode {
        let found = self.parties.iter_mut().find(|party| party.name() == name);
        found.unwrap_or_else(|| panic!("{name} is no party of this run"))
    }

    /// Someone at a party's desk.
    pub fn operator(&mut self, party: &'static str) -> Operator {
        let model = Arc::clone(&self.model);
        Operator::new(party, self.party(party).seat(), model)
    }

    /// Lets a person go about it beside what else happens.
    pub fn beside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.people.spawn(work);
    }

    /// The names of all programs.
    pub fn nodes(&self) -> Vec<&'static str> {
        std::iter::once(RELAY).chain(self.parties.iter().map(PartyNode::name)).collect()
    }

    /// Whether a program runs.
    pub fn runs(&self, node: &str) -> bool {
        let life = match node {
            RELAY => self.relay.life(),
            name => self.parties.iter().find(|party| party.name() == name).and_then(PartyNode::life),
        };
        life.is_some_and(super::machine::Life::is_alive)
    }

    /// Starts a program now. One whose fuse blows at once is started again later.
    pub async fn start(&mut self, node: &'static str) -> Result<()> {
        if self.runs(node) {
            return Ok(());
        }
        self.sweep().await?;
        let started = match node {
            RELAY => self.relay.start().await.with_context(|| "the relay does not start".to_owned())?,
            name => {
                let started = self.party(name).start().await;
                started.with_context(|| format!("the daemon of {name} does not start"))?
            }
        };
        if started {
            self.tell(format!("{node} is up"));
        } else {
            self.counts.kills += 1;
            self.counts.at_commits += 1;
            self.tell(format!("{node} dies at a commit while it starts"));
            self.later(node, 100);
        }
        Ok(())
    }

    /// Starts everything.
    pub async fn start_all(&mut self) -> Result<()> {
        self.due.clear();
        for node in self.nodes() {
            self.start(node).await?;
        }
        Ok(())
    }

    /// Has a program started in so long.
    pub fn later(&mut self, node: &'static str, ms: u64) {
        self.numbers += 1;
        self.due.insert((Instant::now() + Duration::from_millis(ms), self.numbers), node);
    }

    /// Kills a program.
    pub async fn kill(&mut self, node: &'static str) -> Result<()> {
        if !self.runs(node) {
            return Ok(());
        }
        self.counts.kills += 1;
        self.tell(format!("{node} is killed"));
        self.clear_away(node).await
    }

    async fn clear_away(&mut self, node: &'static str) -> Result<()> {
        match node {
            RELAY => self.relay.kill().await,
            name => self.party(name).kill().await,
        }
    }

    /// Stops a program in order.
    pub async fn stop(&mut self, node: &'static str) -> Result<()> {
        if !self.runs(node) {
            return Ok(());
        }
        let stopped = match node {
            RELAY => timeout(STOP_LIMIT, self.relay.stop()).await,
            name => timeout(STOP_LIMIT, self.party(name).stop()).await,
        };
        self.tell(format!("{node} has stopped"));
        stopped.with_context(|| format!("{node} does not stop"))?
    }

    /// Lets a program die at a commit of its store, if it runs, and come back after so long.
    pub fn arm(
        &mut self,
        node: &'static str,
        after: u64,
        point: valise_host::ledger::CommitPoint,
        down_ms: u64,
    ) {
        let life = match node {
            RELAY => self.relay.life(),
            name => self.parties.iter().find(|party| party.name() == name).and_then(PartyNode::life),
        };
        if let Some(life) = life {
            life.fuse().arm(after, point);
            self.downs.insert(node, down_ms);
        }
    }

    /// Takes every fuse out.
    pub fn disarm(&self) {
        let lives = self.relay.life().into_iter().chain(self.parties.iter().filter_map(PartyNode::life));
        lives.for_each(|life| life.fuse().disarm());
    }

    /// Kills a program and cuts the end off its log: it must refuse to start until its log is put back.
    pub async fn damage(&mut self, node: &'static str) -> Result<()> {
        self.kill(node).await?;
        self.sweep().await?; // it may have died by itself a moment ago
        let store = if node == RELAY { self.relay.store() } else { self.party(node).store() };
        let Some(whole) = damage::cut_log(&store)? else { return Ok(()) };
        let refused = match node {
            RELAY => match self.relay.start().await {
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
            name => match self.party(name).start().await {
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
        };
        let Some(why) = refused else {
            // What was cut off had been acknowledged to nobody.
            self.tell(format!("{node} lost the end of its log and is up"));
            return Ok(());
        };
        if !why.contains("is damaged") {
            bail!("{node} does not start on a cut log, for another reason: {why}");
        }
        self.counts.refused_stores += 1;
        self.tell(format!("{node} lost the end of its log and refuses to start; its log is put back"));
        damage::restore(&store, &whole)?;
        self.later(node, 50);
        Ok(())
    }

    /// Lets time pass: programs come back, blown ones are cleared away.
    pub async fn pass(&mut self, ms: u64) -> Result<()> {
        let end = Instant::now() + Duration::from_millis(ms);
        loop {
            self.sweep().await?;
            let next = self.due.keys().next().map_or(end, |(at, _)| (*at).min(end));
            let blown = Arc::clone(&self.blown);
            tokio::select! {
                biased;
                () = blown.notified() => continue,
                Some(_) = self.people.join_next() => continue,
                () = sleep_until(next) => {}
            }
            if let Some((key, node)) = self.due.first_key_value().map(|(key, node)| (*key, *node))
                && key.0 <= Instant::now()
            {
                self.due.remove(&key);
                self.start(node).await?;
                continue;
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// Clears away programs whose fuse blew, and those that ended by themselves.
    async fn sweep(&mut self) -> Result<()> {
        for node in self.nodes() {
            let (life, ended) = match node {
                RELAY => (self.relay.life(), self.relay.ended()),
                name => {
                    let party = self.parties.iter().find(|party| party.name() == name);
                    (party.and_then(PartyNode::life), party.is_some_and(PartyNode::ended))
                }
            };
            let Some(life) = life else { continue };
            if !life.is_alive() {
                self.counts.kills += 1;
                self.counts.at_commits += 1;
                self.tell(format!("{node} dies at a commit"));
                self.clear_away(node).await?;
                let down_ms = self.downs.remove(node).unwrap_or(200);
                self.later(node, down_ms);
            } else if ended {
                bail!("{node} ended by itself");
            }
        }
        Ok(())
    }

    /// Notes a fault.
    pub fn fault(&mut self, what: impl Into<String>) {
        locked(&self.model).fault(what);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).ok(); // nothing in it is worth a panic
        self.carrier.abort_all();
    }
}
