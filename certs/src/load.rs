//! The only room with files: reads the pinned root, the roster and the revocation lists. Reads, and never writes.

use std::fs;
use std::io::Read;
use std::path::Path;

use valise_proto::limits::{CERTIFICATE_MAX, CRLS_MAX, ROSTER_MAX};

use crate::crl::CRL_BYTES_MAX;
use crate::fault::PaperFault;
use crate::path::ROOTS_MAX;

/// Ending of a revocation list's file name; everything else in the directory is left alone.
const CRL_ENDING: &str = "crl";
/// Most bytes of the pinned PEM: base64 adds a third, and people add remarks.
const ROOT_PEM_MAX: usize = ROOTS_MAX * CERTIFICATE_MAX * 2;

/// What a trust is built from, as read.
#[derive(Clone, Debug, Default)]
pub struct TrustFiles {
    /// The pinned root certificates, PEM.
    pub root_pem: Vec<u8>,
    /// A `SignedRoster`.
    pub roster: Vec<u8>,
    /// Revocation lists, DER or PEM, each with its file name.
    pub crls: Vec<(String, Vec<u8>)>,
}

impl TrustFiles {
    /// Reads the three places that `[trust]` of a configuration names.
    pub fn read(root: &Path, roster: &Path, crl_dir: &Path) -> Result<Self, PaperFault> {
        Ok(Self {
            root_pem: read(root, ROOT_PEM_MAX)?,
            roster: read(roster, ROSTER_MAX)?,
            crls: read_crls(crl_dir)?,
        })
    }
}

fn fault(path: &Path, reason: impl ToString) -> PaperFault {
    PaperFault::TrustUnreadable { path: path.display().to_string(), reason: reason.to_string() }
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>, PaperFault> {
    let file = fs::File::open(path).map_err(|error| fault(path, error))?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| fault(path, error))?;
    if bytes.len() > most {
        return Err(fault(path, format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

fn read_crls(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, PaperFault> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| fault(dir, error))? {
        let path = entry.map_err(|error| fault(dir, error))?.path();
        if path.extension().is_some_and(|ending| ending == CRL_ENDING) {
            paths.push(path);
        }
        if paths.len() > CRLS_MAX {
            return Err(fault(dir, format!("it holds more than {CRLS_MAX} revocation lists")));
        }
    }
    paths.sort(); // the same order, so the same error, on every machine
    let named = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    paths.iter().map(|path| Ok((named(path), read(path, CRL_BYTES_MAX)?))).collect()
}
