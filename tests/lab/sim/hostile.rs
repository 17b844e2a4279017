//! A relay whose operator is hostile, in a run: it lets an envelope wait, stops, alters its store or puts an old one
//! back, and starts again. And a desk that loses its store. Does things and looks; judges nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use valise_client::answer::TrackLine;
use valise_client::contract::Desk;
use valise_proto::kinds::Precedence;
use valise_proto::names::MessageId;
use valise_proto::receipt::SignedReceipt;
use valise_relay::queue::Queue;

use super::federation::Federation;
use super::machine::locked;
use super::ops::RELAY;
use super::world::World;
use crate::tamper::Held;

/// What is awaited here comes within this, time of the run: several calls anew, over any link.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks, milliseconds of the run.
const LOOK_EVERY_MS: u64 = 100;
/// For everything to be up and linked, milliseconds of the run.
const WARM_MS: u64 = 2_500;

/// A store as it was, file by file.
#[derive(Debug)]
pub struct Copied {
    store: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// A run with a hostile relay; its programs' log lines stand in its story.
pub struct Hostile {
    /// The run.
    pub world: World,
    key_file: PathBuf,
    _listening: tracing::dispatcher::DefaultGuard,
}

impl Hostile {
    /// Starts everything, and waits until it is linked.
    pub async fn start(federation: &Federation, parties: &[&'static str], seed: u64) -> Result<Self> {
        let mut world = World::new(federation, parties, seed)?;
        let listening = tracing::dispatcher::set_default(&world.story.listener());
        let key_file = federation.relay(Path::new("/"), seed)?.store.key_file;
        world.start_all().await?;
        world.pass(WARM_MS).await?;
        Ok(Self { world, key_file, _listening: listening })
    }

    /// Stops a recipient, has a message written to it, and waits until the relay holds it. Its id.
    pub async fn waits(&mut self, from: &'static str, to: &'static str) -> Result<MessageId> {
        self.world.stop(to).await?;
        let number = locked(&self.world.model).ask(from, &[to], 200);
        let send = self.world.operator(from).send(number, Precedence::Routine);
        self.world.beside(send);
        self.until("the relay holds it", async |run| Ok(run.entries().await? == Some(1))).await?;
        let id = locked(&self.world.model).asked(number).id;
        id.context("the desk answered no id")
    }

    /// Entries that wait at the relay, while it runs.
    pub async fn entries(&self) -> Result<Option<u64>> {
        let Some(hub) = self.world.relay.hub() else { return Ok(None) };
        Ok(Some(hub.queue().depth().await?.entries))
    }

    /// Lets time pass until something is so; fails when it does not come.
    pub async fn until(
        &mut self,
        what: &str,
        mut so: impl AsyncFnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let limit = self.world.elapsed() + LIMIT;
        while !so(self).await? {
            if self.world.elapsed() > limit {
                bail!("waited in vain: {what}\n{}", self.world.story.lines().join("\n"));
            }
            self.world.pass(LOOK_EVERY_MS).await?;
        }
        Ok(())
    }

    /// Stops the relay, and opens what it holds.
    pub async fn hold(&mut self) -> Result<Held> {
        self.world.stop(RELAY).await?;
        Held::open(&self.world.relay.store(), &self.key_file)
    }

    /// Stops the relay, puts an old store in its place, and starts it.
    pub async fn put_back(&mut self, copied: &Copied) -> Result<()> {
        self.world.stop(RELAY).await?;
        copied.put_back()?;
        self.world.start(RELAY).await
    }

    /// How a message stands with its one recipient, as its author's desk says.
    pub async fn tracked(&mut self, author: &str, id: MessageId) -> Result<TrackLine> {
        let desk = self.world.party(author).desk().context("the author's daemon does not run")?;
        let lines = desk.track(id).await.map_err(|error| anyhow::anyhow!("{error}"))?;
        lines.into_iter().next().context("the author does not know its message")
    }

    /// The receipts that its author's desk keeps of a message.
    pub async fn receipts(&mut self, author: &str, id: MessageId) -> Result<Vec<SignedReceipt>> {
        let office = self.world.party(author).office().context("the author's daemon does not run")?;
        Ok(office.store(move |boxes| boxes.receipts(&id)).await?)
    }

    /// How often a message lies in a party's inbox.
    pub async fn copies(&mut self, party: &str, id: MessageId) -> Result<usize> {
        let desk = self.world.party(party).desk().context("the daemon does not run")?;
        let lines = desk.inbox(None).await.map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(lines.iter().filter(|line| line.id == id.to_string()).count())
    }

    /// Log lines so far with an event and a word.
    pub fn logged(&self, event: &str, word: &str) -> usize {
        let event = format!("event=\"{event}\"");
        self.world.story.lines().iter().filter(|line| line.contains(&event) && line.contains(word)).count()
    }
}

impl Copied {
    /// A copy of a store that nobody has open.
    pub fn of(store: &Path) -> Result<Self> {
        let files = files_of(store)?.into_iter().map(|path| {
            let bytes = fs::read(&path).with_context(|| format!("cannot copy {}", path.display()))?;
            Ok((path, bytes))
        });
        let files: Vec<_> = files.collect::<Result<_>>()?;
        ensure!(files.len() > 1, "a store without its mark is no store");
        Ok(Self { store: store.to_owned(), files })
    }

    /// Puts it back in place of what is there now.
    pub fn put_back(&self) -> Result<()> {
        lose(&self.store)?;
        for (path, bytes) in &self.files {
            fs::write(path, bytes).with_context(|| format!("cannot put {} back", path.display()))?;
        }
        Ok(())
    }
}

/// Removes a store and all that lies beside it.
pub fn lose(store: &Path) -> Result<()> {
    for path in files_of(store)? {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// The files of a store: they are called like it, and go on.
fn files_of(store: &Path) -> Result<Vec<PathBuf>> {
    let (dir, stem) = (store.parent().context("a store in no directory")?, store.file_stem());
    let stem = stem.and_then(|stem| stem.to_str()).context("a store of no name")?;
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
