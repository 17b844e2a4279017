//! The disk under the store, as the hub last saw it. Looks when it is told to.

use std::path::Path;

use valise_host::files::Files;

use super::Hub;
use crate::disk::{Gauge, Level};
use crate::line::locked;
use crate::queue::Queue;

impl<Q: Queue> Hub<Q> {
    /// Looks at the disk under this directory, and says in the log when what is taken changes. A question to the file
    /// system that is answered from memory: short enough to be asked here.
    pub fn look_at_disk(&self, files: &dyn Files, dir: &Path) {
        let room = match files.room(dir) {
            Ok(room) => room,
            Err(error) => {
                if locked(&self.disk).miss() {
                    tracing::warn!(event = "disk-unknown", %error);
                }
                return;
            }
        };
        let Some(level) = locked(&self.disk).see(room) else { return };
        let (level_word, free_mib, whole_mib) = (level.as_str(), room.free >> 20, room.whole >> 20);
        if level == Level::Ample {
            tracing::info!(event = "disk-ample", free_mib, whole_mib);
        } else {
            tracing::error!(event = "disk-level", level = level_word, free_mib, whole_mib);
        }
    }

    /// The disk as it was last seen.
    pub fn disk(&self) -> Gauge {
        *locked(&self.disk)
    }
}
