//! Puts a program's local socket in its place: it appears only when it answers, a dead program's socket is replaced, a
//! living one's and anything that is no socket are left alone.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use crate::doorway::{Doorway, Rights};

/// Most bytes of a socket's path: `sockaddr_un` has 108 and one of them ends it.
pub const SOCKET_PATH_MAX: usize = 107;
/// How long another program may take to accept before we believe it is alive but busy.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Mode of the socket for its owner alone.
const OWNER_ONLY: u32 = 0o600;
/// Mode of the socket shared with a group.
const OWNER_AND_GROUP: u32 = 0o660;

/// A local socket cannot be opened; the program that wanted it says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    /// A living program answers there.
    #[error("somebody answers on {path} already")]
    Answered {
        /// Of the socket.
        path: PathBuf,
    },
    /// The directory, or a group, is not this user's to use.
    #[error("the socket {path} cannot be opened: {source}")]
    Denied {
        /// Of the socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The path is longer than the operating system takes.
    #[error("the socket path {path} has {bytes} bytes; the operating system allows {SOCKET_PATH_MAX}")]
    PathTooLong {
        /// Of the socket.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Something else has the name.
    #[error("{path} exists and is no socket; it was left alone")]
    Taken {
        /// Of the socket.
        path: PathBuf,
    },
    /// The operating system gave no socket.
    #[error("the socket {path} cannot be opened: {source}")]
    Unusable {
        /// Of the socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl SocketFault {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == ErrorKind::PermissionDenied {
            Self::Denied { path, source }
        } else {
            Self::Unusable { path, source }
        }
    }
}

/// Refuses a path that no unix socket can have, with the reason.
pub fn check_path(path: &Path) -> Result<(), SocketFault> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(SocketFault::PathTooLong { path: path.to_owned(), bytes })
}

/// A socket that listens and stands in its place.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    rights: Rights,
    place: Place,
}

impl LocalSocket {
    /// Binds the socket for the program's own user (0600) or, with a group id, for that group too (0660).
    pub async fn bind(path: &Path, group: Option<u32>) -> Result<Self, SocketFault> {
        check_path(path)?;
        make_way(path).await?;
        let temporary = temporary_beside(path);
        let (listener, place) = put_in_place(path, &temporary, group).map_err(|cause| {
            // What is half made goes; a failure to remove it changes nothing about what went wrong.
            drop(fs::remove_file(&temporary));
            SocketFault::of(path, cause)
        })?;
        let own_uid = rustix::process::geteuid().as_raw();
        Ok(Self { listener, rights: Rights { own_uid, shared: group.is_some() }, place })
    }

    /// The door with so many places, who may pass it, and where it stands.
    pub fn into_parts(self, places: usize) -> (Doorway, Rights, Place) {
        (Doorway::new(self.listener, places), self.rights, self.place)
    }
}

/// Where our socket stands; known by its inode, so that a successor's is never taken away.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// Removes the socket if it is still ours.
    pub fn take_away(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours && let Err(cause) = fs::remove_file(&self.path) {
            tracing::warn!(event = "local-socket-left", %cause, "the socket could not be removed");
        }
    }
}

/// Sees who holds the path: nobody, a dead program, a living one, or something that is no socket.
async fn make_way(path: &Path) -> Result<(), SocketFault> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(SocketFault::of(path, cause)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketFault::Taken { path: path.to_owned() });
    }
    match tokio::time::timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(cause)) if matches!(cause.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
            Ok(())
        }
        Ok(Err(cause)) if cause.kind() == ErrorKind::PermissionDenied => Err(SocketFault::of(path, cause)),
        // It answered, is too busy to answer, or answers strangely: somebody lives there.
        Ok(_) | Err(_) => Err(SocketFault::Answered { path: path.to_owned() }),
    }
}

/// A name in the same directory that is no longer than a path may be, whatever the socket is called.
fn temporary_beside(path: &Path) -> PathBuf {
    let full = path.with_file_name(format!(".{}", std::process::id()));
    if check_path(&full).is_ok() { full } else { path.with_file_name("~") }
}

/// Listens under the temporary name, sets mode and group, and only then gives the socket its name.
fn put_in_place(path: &Path, temporary: &Path, group: Option<u32>) -> io::Result<(UnixListener, Place)> {
    match fs::remove_file(temporary) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(temporary)?;
    if let Some(gid) = group {
        chown(temporary, None, Some(gid))?;
    }
    let mode = if group.is_some() { OWNER_AND_GROUP } else { OWNER_ONLY };
    fs::set_permissions(temporary, Permissions::from_mode(mode))?;
    let made = fs::symlink_metadata(temporary)?;
    fs::rename(temporary, path)?;
    Ok((listener, Place { path: path.to_owned(), device: made.dev(), inode: made.ino() }))
}
