//! Puts the socket in its place: it appears only when it answers, a dead daemon's socket is replaced, a living one's
//! and anything that is no socket are left alone.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use super::peer::Rights;
use crate::exit::{DeskError, ExitCode, codes};

/// Most bytes of a socket's path: `sockaddr_un` has 108 and one of them ends it.
pub const SOCKET_PATH_MAX: usize = 107;
/// How long another daemon may take to accept before we believe it is alive but busy.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Mode of the socket for its owner alone.
const OWNER_ONLY: u32 = 0o600;
/// Mode of the socket shared with a group.
const OWNER_AND_GROUP: u32 = 0o660;

/// Refuses a path that no unix socket can have, with the reason.
pub fn check_path(path: &Path) -> Result<(), DeskError> {
    let len = path.as_os_str().as_bytes().len();
    if len <= SOCKET_PATH_MAX {
        return Ok(());
    }
    let message = format!(
        "the socket path {} has {len} bytes; the operating system allows {SOCKET_PATH_MAX}",
        path.display()
    );
    Err(DeskError::invalid("socket-path-too-long", message, "choose a shorter directory for the socket"))
}

/// A socket that listens and stands in its place.
pub struct LocalSocket {
    listener: UnixListener,
    rights: Rights,
    place: Place,
}

impl LocalSocket {
    /// Binds the socket for the daemon's own user (0600) or, with a group id, for that group too (0660).
    ///
    /// Errors: a living daemon on it ([`ExitCode::Store`]), a path too long or taken by something else
    /// ([`ExitCode::InvalidInput`]), a directory we may not write ([`ExitCode::LocalPermission`]).
    pub async fn bind(path: &Path, group: Option<u32>) -> Result<Self, DeskError> {
        check_path(path)?;
        make_way(path).await?;
        let temporary = temporary_beside(path);
        let (listener, place) = put_in_place(path, &temporary, group).map_err(|cause| {
            // What is half made goes; a failure to remove it changes nothing about what went wrong.
            drop(fs::remove_file(&temporary));
            cannot_bind(path, &cause)
        })?;
        let own_uid = rustix::process::geteuid().as_raw();
        Ok(Self { listener, rights: Rights { own_uid, shared: group.is_some() }, place })
    }

    pub(crate) fn into_parts(self) -> (UnixListener, Rights, Place) {
        (self.listener, self.rights, self.place)
    }
}

/// Where our socket stands; known by its inode, so that a successor's is never taken away.
pub(crate) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// Removes the socket if it is still ours.
    pub(crate) fn take_away(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours && let Err(cause) = fs::remove_file(&self.path) {
            tracing::warn!(event = "api-socket-left", %cause, "the socket could not be removed");
        }
    }
}

/// Sees who holds the path: nobody, a dead daemon, a living one, or something that is no socket.
async fn make_way(path: &Path) -> Result<(), DeskError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cannot_bind(path, &cause)),
    };
    if !found.file_type().is_socket() {
        let message = format!("{} exists and is no socket; it was left alone", path.display());
        return Err(DeskError::invalid(
            "socket-path-taken",
            message,
            "choose another path for `[api] socket`",
        ));
    }
    match tokio::time::timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(cause)) if matches!(cause.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
            Ok(())
        }
        Ok(Err(cause)) if cause.kind() == ErrorKind::PermissionDenied => Err(cannot_bind(path, &cause)),
        // It answered, is too busy to answer, or answers strangely: somebody lives there.
        Ok(_) | Err(_) => Err(DeskError::new(
            ExitCode::Store,
            codes::DAEMON_RUNNING,
            format!("a daemon answers on {} already", path.display()),
            "use that one, or stop it first",
        )),
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

fn cannot_bind(path: &Path, cause: &io::Error) -> DeskError {
    let message = format!("the socket {} cannot be opened: {cause}", path.display());
    if cause.kind() == ErrorKind::PermissionDenied {
        let help =
            "give the daemon's user the right to write in that directory, and membership of `[api] group`";
        return DeskError::new(ExitCode::LocalPermission, "socket-denied", message, help);
    }
    DeskError::invalid(
        "socket-unusable",
        message,
        "check `[api] socket` in client.toml: its directory must exist",
    )
}
