//! Writes what was received into a directory: new files only, readable by their owner alone, whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::names::numbered;
use crate::answer::FileLine;
use crate::exit::{DeskError, ExitCode};

/// Names tried for one file; a directory with more of one name is not what was meant.
const NAMES_TRIED: usize = 1000;
/// Mode of a directory made here: what lies in it was sealed on its way.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of a file made here.
const FILE_MODE: u32 = 0o600;

/// Makes the directory if it is not there.
pub(super) fn prepare(directory: &Path) -> Result<(), DeskError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
    made.map_err(|cause| not_written(directory, &cause))
}

/// Whether the bytes are those the message states.
pub(super) fn check(stated: &FileLine, bytes: &[u8]) -> Result<(), DeskError> {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if stated.bytes == bytes.len() as u64 && stated.sha256 == hex {
        return Ok(());
    }
    let message =
        "an attachment came from the daemon with other bytes than the message states; it was not written";
    Err(DeskError::internal(message))
}

/// Writes a new file under the name or, when that is taken, the next free one; gives its path.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, DeskError> {
    for number in 1..=NAMES_TRIED {
        let path = directory.join(numbered(name, number));
        match write_new(&path, bytes) {
            Ok(()) => return Ok(path),
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(not_written(&path, &cause)),
        }
    }
    let message = format!("{} holds {NAMES_TRIED} files of this name", directory.display());
    Err(DeskError::invalid("names-taken", message, "choose another directory"))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes).inspect_err(|_| {
        // Half a file would pass for a whole one. It is ours: we created it just now.
        drop(fs::remove_file(path));
    })
}

fn not_written(path: &Path, cause: &io::Error) -> DeskError {
    let message = format!("{} cannot be written: {cause}", path.display());
    match cause.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            let message = format!("{} is not a directory", path.display());
            DeskError::invalid("save-failed", message, "choose a directory for `--save`")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            let help = "choose a directory that this user may write";
            DeskError::new(ExitCode::LocalPermission, "save-denied", message, help)
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let help = "make room, then run the command again; files written so far are whole";
            DeskError::new(ExitCode::TryLater, "disk-full", message, help)
        }
        _ => DeskError::invalid("save-failed", message, "choose another directory for `--save`"),
    }
}
