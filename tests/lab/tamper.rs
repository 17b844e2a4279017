//! What a hostile relay operator could do: with the relay's own key, alter what the relay holds and seal it again, so
//! that nothing on the relay notices. Works on a stopped relay only.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use valise_host::entropy::OsEntropy;
use valise_host::keyfile::KeyFile;
use valise_host::rest::{RestKey, Sealer};
use valise_mint::layout as at;

use crate::lab::Lab;

/// The table of ciphertext segments, and the name they are sealed for.
const SEGMENTS: &str = "segments";

/// Flips one bit of the last segment that the relay took in, and seals it as the relay would.
pub fn flip_a_byte(lab: &mut Lab) -> Result<()> {
    ensure!(!lab.relay().is_running(), "stop the relay first: it has its store open");
    let dir = lab.relay().dir().to_owned();
    let key = KeyFile::load(&dir.join(at::KEYS_DIR).join("store.key"))?;
    let sealer = Sealer::new(&RestKey::new(&key), Arc::new(OsEntropy));
    let store = Connection::open(dir.join(at::STORE_DIR).join("queue.db")).context("no queue to alter")?;
    let last = "SELECT place, sealed FROM segments ORDER BY place DESC LIMIT 1";
    let (place, sealed): (i64, Vec<u8>) = store
        .query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .context("the queue holds no segment")?;
    let mut segment = sealer.open(SEGMENTS, &place.to_be_bytes(), &sealed)?;
    let middle = segment.len() / 2;
    *segment.get_mut(middle).context("the segment is empty")? ^= 1;
    let sealed = sealer.seal(SEGMENTS, &place.to_be_bytes(), &segment);
    let changed = store.execute("UPDATE segments SET sealed = ?1 WHERE place = ?2", (sealed, place))?;
    ensure!(changed == 1, "the segment was not rewritten");
    Ok(())
}
