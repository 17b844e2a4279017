//! Ctrl-C and SIGTERM: the programs of a story or a torture are killed, its directory goes, and the code says that it
//! was cut short.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::child::kill_all;

/// As shells report an end by SIGINT.
const CUT_SHORT: i32 = 130;

/// What is to go.
static DIRS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Set before the first program is killed.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Does not come back once we were told to go: what fails from then on is no step that did not hold.
pub(crate) fn pass() {
    while TOLD.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Names a directory that goes at an interruption.
pub(crate) fn clears(dir: &Path) {
    DIRS.lock().unwrap_or_else(PoisonError::into_inner).push(dir.to_owned());
}

/// Watches from now on. A machine that gives no thread or no signals only leaves more behind.
pub(crate) fn watch() {
    let watch = || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        if runtime.block_on(told()).is_ok() {
            TOLD.store(true, Ordering::SeqCst);
            kill_all();
            for dir in DIRS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                fs::remove_dir_all(dir).ok(); // gone already is as good
            }
            std::process::exit(CUT_SHORT);
        }
    };
    thread::Builder::new().name("interrupt".to_owned()).spawn(watch).ok();
}

async fn told() -> std::io::Result<()> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        biased;
        _ = int.recv() => Ok(()),
        _ = term.recv() => Ok(()),
    }
}
