//! Secret files: read only when nobody else can read them, written so that a crash leaves no half of one.
//!
//! Errors name the path and the fix; the contents never reach an error, a log or a `Debug`.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::random;
use crate::exit::ExitCode;

#[cfg(test)]
mod tests;

/// Most bytes of a key file: an Ed25519 key in PEM is about 120, an RSA key that we refuse anyway about 3,200.
const KEY_FILE_MAX: u64 = 16 * 1024;
/// Bytes of a raw key file.
pub const RAW_KEY_BYTES: usize = 32;

/// A secret file cannot be used; says which and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Nothing is there.
    #[error("the key file {path} does not exist; put it back, or correct the path in the configuration")]
    Missing {
        /// As configured.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("the key file {path} is open to others (mode {mode:04o}); run `chmod 600 {path}`")]
    Exposed {
        /// As configured.
        path: PathBuf,
        /// Permission bits found.
        mode: u32,
    },
    /// A directory, pipe or device.
    #[error("{path} is not a plain file; name the key file itself")]
    NotAFile {
        /// As configured.
        path: PathBuf,
    },
    /// A raw key of another size.
    #[error(
        "the key file {path} holds {found} bytes where {RAW_KEY_BYTES} are due; it is cut short or another file"
    )]
    Length {
        /// As configured.
        path: PathBuf,
        /// Bytes found.
        found: usize,
    },
    /// Not a private key.
    #[error("{path} holds no PKCS#8 private key; it wants a PEM block `PRIVATE KEY` or the same in DER")]
    Form {
        /// As configured.
        path: PathBuf,
    },
    /// A new secret would replace an old one.
    #[error("{path} exists already and was left as it is; move it away first")]
    Exists {
        /// As given.
        path: PathBuf,
    },
    /// A directory that others may enter.
    #[error("the directory {path} is open to others (mode {mode:04o}); run `chmod 700 {path}`")]
    ExposedDir {
        /// As given.
        path: PathBuf,
        /// Permission bits found.
        mode: u32,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// As given.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl KeyFileError {
    /// How a program ends on it: 4 when permissions are the matter, 11 when the file is.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Exposed { .. } | Self::ExposedDir { .. } => ExitCode::LocalPermission,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitCode::LocalPermission
            }
            _ => ExitCode::InvalidInput,
        }
    }
}

fn io_fault(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io { path, doing, source }
}

/// 32 random bytes from a file: the root of a store's sealing, or the seed of a KEM key. Wiped when dropped.
pub struct KeyFile(Zeroizing<[u8; RAW_KEY_BYTES]>);

impl KeyFile {
    /// Reads a file of exactly 32 bytes that only its owner may read.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = read_secret(path)?;
        let fault = || KeyFileError::Length { path: path.to_owned(), found: bytes.len() };
        let key: [u8; RAW_KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| fault())?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// From bytes that came another way.
    pub fn from_bytes(bytes: [u8; RAW_KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new random key, not yet on disk.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8; RAW_KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile(..)")
    }
}

/// Reads a private key, PEM or DER, and gives PKCS#8 in DER (RFC 5958).
pub fn load_private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let bytes = read_secret(path)?;
    if bytes.first() == Some(&0x30) {
        return Ok(bytes); // a DER SEQUENCE; whoever uses the key parses it
    }
    let found = PrivatePkcs8KeyDer::from_pem_slice(&bytes);
    let mut key = found.map_err(|_| KeyFileError::Form { path: path.to_owned() })?;
    let der = Zeroizing::new(key.secret_pkcs8_der().to_vec());
    key.zeroize();
    Ok(der)
}

/// Reads a small secret file after checking who else may read it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    // Without NONBLOCK a pipe in the place of a key would hang the start instead of failing it.
    let flags =
        i32::try_from(OFlags::NONBLOCK.bits()).expect("invariant: an open flag fits the system's int");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => io_fault(path, "open")(source),
    })?;
    // Asked of the open file, so that what is checked is what is read.
    let meta = file.metadata().map_err(io_fault(path, "examine"))?;
    if !meta.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let size = usize::try_from(meta.len().min(KEY_FILE_MAX)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1)); // never grows, so no copy is left behind
    (&mut file).take(KEY_FILE_MAX).read_to_end(&mut bytes).map_err(io_fault(path, "read"))?;
    Ok(bytes)
}

/// Writes a secret that must not exist yet: 0600, whole or not at all, on the disk when this returns.
pub fn write_new_secret(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let staged = stage(path, bytes, 0o600)?;
    let linked = fs::hard_link(&staged, path); // unlike a rename, a link never replaces
    fs::remove_file(&staged).map_err(io_fault(&staged, "remove"))?;
    linked.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => io_fault(path, "write")(source),
    })?;
    sync_dir(path)
}

/// Writes or replaces a file in one step: readers see the old or the new, on the disk when this returns.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let staged = stage(path, bytes, mode)?;
    if let Err(source) = fs::rename(&staged, path) {
        drop(fs::remove_file(&staged));
        return Err(io_fault(path, "write")(source));
    }
    sync_dir(path)
}

/// Makes a directory that only its owner may enter, with its parents; refuses one that others may enter.
pub fn ensure_private_dir(path: &Path) -> Result<(), KeyFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_fault(path, "make the directory"))?;
    let mode = fs::metadata(path).map_err(io_fault(path, "examine"))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::ExposedDir { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Writes and syncs a file beside the one that is meant, under a name nobody else has.
fn stage(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf, KeyFileError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| KeyFileError::NotAFile { path: path.to_owned() })?);
    name.push(format!(".{:016x}.new", u64::from_le_bytes(random())));
    let staged = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&staged)?;
        file.set_permissions(Permissions::from_mode(mode))?; // the umask may have taken bits that are wanted
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if let Err(source) = written {
        drop(fs::remove_file(&staged));
        return Err(io_fault(path, "write")(source));
    }
    Ok(staged)
}

/// Makes a new name in a directory survive a power cut.
pub(crate) fn sync_dir(path: &Path) -> Result<(), KeyFileError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_fault(dir, "sync the directory"))
}
