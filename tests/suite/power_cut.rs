//! Trial.
use std::path::PathBuf;
use std::sync::Arc;
use valise_host::files::SystemFiles;
use valise_host::ledger::StoreError;
use valise_lab::disk::FaultyDisk;
use valise_lab::queue::cast::{machine, rest_key, stamp};
use valise_lab::queue::script::{Measure, Script};
use valise_lab::queue::{Ground, at_once};
use valise_lab::torture::power_cut::run::Run;
use valise_relay::queue::sqlite::SqliteQueue;

struct Sqlite(PathBuf);
impl Ground for Sqlite {
    type Queue = SqliteQueue;
    fn open(&self, _: &FaultyDisk, seed: u64) -> Result<SqliteQueue, StoreError> {
        SqliteQueue::open(
            &self.0.join("queue.db"),
            &rest_key(),
            stamp(),
            &machine(Arc::new(SystemFiles), seed),
        )
    }
    fn close(&self, queue: SqliteQueue) {
        at_once(queue.close());
    }
}

#[test]
fn the_model_is_a_queue() {
    for seed in 0..200 {
        let dir = PathBuf::from(format!("/dev/shm/valise-trial-{seed}"));
        std::fs::create_dir_all(&dir).unwrap();
        let ground = Sqlite(dir.clone());
        let script = Script::draw(seed, Measure { letters: 40, ..Measure::default() });
        let mut run = Run::new(&ground, &script, &script.ops, Vec::new(), true);
        let begun = std::time::Instant::now();
        let done = run.play_on();
        if seed < 3 {
            println!("{seed}: {} ops {:?} {:?}", script.ops.len(), run.counts, begun.elapsed());
        }
        if let Err(finding) = done {
            println!("{}\n{finding}", run.story.join("\n"));
            panic!("{seed}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
