//! `init`: a whole federation on one machine, made beside its place and put there in one step.
//!
//! Never touches a directory that holds anything; a lab that is there is complete and has passed the checks.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use valise_host::entropy::Entropy;
use valise_host::keyfile::{KeyFileError, ensure_private_dir};
use valise_host::socket::check_path;
use valise_proto::limits::PARTIES_MAX;
use valise_proto::names::TrustDomain;

use crate::fault::MintFault;
use crate::layout as at;
use crate::mint::Mint;
use crate::parties::PartyArg;

mod builder;
#[cfg(test)]
mod tests;

/// What to make.
#[derive(Clone, Debug)]
pub struct InitRequest {
    /// Where: absent or empty.
    pub dir: PathBuf,
    /// Who.
    pub parties: Vec<PartyArg>,
    /// Trust domain.
    pub domain: TrustDomain,
    /// Where the relay is to listen; port 0 = one that is free now.
    pub listen: SocketAddr,
}

/// What was made: the contract of `init --json`. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lab {
    /// The directory.
    pub dir: PathBuf,
    /// Trust domain.
    pub domain: String,
    /// The relay.
    pub relay: LabRelay,
    /// The parties, in the order given.
    pub parties: Vec<LabParty>,
}

/// The relay of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabRelay {
    /// Its configuration file.
    pub config: PathBuf,
    /// Its UDP address.
    pub listen: SocketAddr,
}

/// A party of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabParty {
    /// Its name.
    pub name: String,
    /// `bureau` or `mission`.
    pub kind: String,
    /// Its device's configuration file.
    pub config: PathBuf,
    /// Its daemon's socket, once the daemon runs.
    pub socket: PathBuf,
}

/// Makes a lab. Time in Unix milliseconds.
pub fn init(request: &InitRequest, now_ms: u64, entropy: Arc<dyn Entropy>) -> Result<Lab, MintFault> {
    check_parties(&request.parties)?;
    let dir = place(&request.dir)?;
    let listen = chosen(request.listen)?;
    let lab = plan(&dir, request, listen)?;
    let mint = Mint::new(request.domain.clone(), now_ms, entropy);
    let staged = staging(&dir, &mint)?;
    let made = builder::build(&staged, &mint, &request.parties, listen);
    let made = made.and_then(|()| settle(&staged, &dir));
    if made.is_err() {
        // What was made holds keys; the error that is reported is the one that stopped us, not this one.
        drop(fs::remove_dir_all(&staged));
    }
    made.map(|()| lab)
}

fn check_parties(parties: &[PartyArg]) -> Result<(), MintFault> {
    let help = "name every party once";
    if parties.is_empty() || parties.len() > PARTIES_MAX {
        let what = format!("{} parties given; 1 to {PARTIES_MAX} make a federation", parties.len());
        return Err(MintFault::input("BAD_PARTY", what, help));
    }
    for (at, party) in parties.iter().enumerate() {
        if parties[..at].iter().any(|earlier| earlier.name == party.name) {
            return Err(MintFault::input("BAD_PARTY", format!("`{}` is given twice", party.name), help));
        }
    }
    Ok(())
}

/// The absolute path of the directory, which has to be absent or empty.
fn place(dir: &Path) -> Result<PathBuf, MintFault> {
    let help = "name a directory that does not exist yet, or an empty one";
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => fs::canonicalize(dir).map_err(MintFault::io(dir, "examine")),
            Some(Err(error)) => Err(MintFault::io(dir, "read")(error)),
            Some(Ok(_)) => {
                let what = format!("{} is not empty; nothing was touched", dir.display());
                Err(MintFault::input("NOT_EMPTY", what, help))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::path::absolute(dir).map_err(MintFault::io(dir, "examine"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let what = format!("{} is not a directory; nothing was touched", dir.display());
            Err(MintFault::input("NOT_EMPTY", what, help))
        }
        Err(error) => Err(MintFault::io(dir, "read")(error)),
    }
}

/// The address with a port: port 0 becomes one that is free at this moment.
fn chosen(listen: SocketAddr) -> Result<SocketAddr, MintFault> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let found = UdpSocket::bind(listen).and_then(|socket| socket.local_addr());
    found.map_err(|error| {
        let what = format!("no port is free at {}: {error}", listen.ip());
        MintFault::input("BAD_LISTEN", what, "give --listen an address of this machine")
    })
}

/// The answer, and the one thing about it that can be wrong: sockets whose path no system call takes.
fn plan(dir: &Path, request: &InitRequest, listen: SocketAddr) -> Result<Lab, MintFault> {
    let relay_dir = dir.join(at::RELAY_DIR);
    check_socket(&relay_dir.join(at::ADMIN_SOCKET))?;
    let parties = request.parties.iter().map(|party| {
        let home = dir.join(at::PARTIES_DIR).join(party.name.as_str());
        let socket = home.join(at::API_SOCKET);
        check_socket(&socket)?;
        let (name, kind) = (party.name.to_string(), party.kind.to_string());
        Ok(LabParty { name, kind, config: home.join(at::CLIENT_CONFIG), socket })
    });
    Ok(Lab {
        parties: parties.collect::<Result<_, MintFault>>()?,
        relay: LabRelay { config: relay_dir.join(at::RELAY_CONFIG), listen },
        domain: request.domain.to_string(),
        dir: dir.to_owned(),
    })
}

fn check_socket(path: &Path) -> Result<(), MintFault> {
    let help = "choose a directory with a shorter path";
    check_path(path).map_err(|fault| MintFault::input("SOCKET_PATH", fault, help))
}

/// A private directory beside the place, under a name that nobody else has.
fn staging(dir: &Path, mint: &Mint) -> Result<PathBuf, MintFault> {
    let name = dir.file_name().ok_or_else(|| {
        MintFault::input("NOT_EMPTY", format!("{} cannot be a lab", dir.display()), "name a directory")
    })?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(MintFault::io(parent, "make the directory"))?;
    let unique = u64::from_le_bytes(*mint.random());
    let staged = parent.join(format!(".{}.{unique:016x}.new", name.to_string_lossy()));
    ensure_private_dir(&staged).map_err(|fault| match fault {
        KeyFileError::Io { source, .. } => MintFault::io(dir, "make")(source),
        other => other.into(),
    })?;
    Ok(staged)
}

/// Puts the finished lab in its place: over nothing, or over an empty directory.
fn settle(staged: &Path, dir: &Path) -> Result<(), MintFault> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            let what = format!("{} was filled in the meantime; it is left as it is", dir.display());
            MintFault::input("NOT_EMPTY", what, "name another directory")
        }
        _ => MintFault::io(dir, "put the lab into")(error),
    };
    // Whoever stands in the directory would stand in a removed one after a rename, so there it is filled instead.
    if std::env::current_dir().is_ok_and(|here| here.starts_with(dir)) {
        for entry in fs::read_dir(staged).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            fs::rename(entry.path(), dir.join(entry.file_name())).map_err(refused)?;
        }
        fs::remove_dir(staged).map_err(MintFault::io(staged, "remove"))?;
    } else {
        fs::rename(staged, dir).map_err(refused)?;
    }
    let parent = dir.parent().unwrap_or(Path::new("/"));
    fs::File::open(parent).and_then(|dir| dir.sync_all()).map_err(MintFault::io(parent, "sync"))
}
