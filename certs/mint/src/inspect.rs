//! What a file is and says: certificate, revocation list, roster, bundle or header, known by its content alone.
//!
//! Hostile files are the rule: what is read is bounded, what cannot be read is one plain error, and what others wrote
//! is shown as plain text. Decides nothing; a private key is never shown, nor read further than to its first line.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;
use valise_certs::crl::CRL_BYTES_MAX;
use valise_certs::look::Roots;
use valise_proto::bundle::SignedBundle;
use valise_proto::frame;
use valise_proto::header::SignedHeader;
use valise_proto::limits as l;
use valise_proto::roster::SignedRoster;
use valise_proto::wire::frame::Kind;

use crate::fault::MintFault;
use crate::told::Told;

mod bundle;
mod certificate;
mod header;
mod list;
mod roster;
#[cfg(test)]
mod tests;

/// Most bytes of a file: the largest revocation list, in PEM, with remarks.
const FILE_MAX: u64 = CRL_BYTES_MAX as u64 * 3 / 2;
/// Most objects of one PEM file: a chain, or the lists of a few CAs.
const SECTIONS_MAX: usize = 16;
/// Most bytes of an envelope's opening or a bundle: both fit one frame.
const FRAME_FILE_MAX: usize = l::FRAME_MAX + 4;

/// What is at hand to judge by.
#[derive(Debug, Default)]
pub struct Judge {
    /// The pinned roots, PEM.
    pub root: Option<PathBuf>,
    /// The certificate of whoever signed: the author of a header, or the CA of a list; PEM or DER, its own CA behind
    /// it.
    pub signer: Option<PathBuf>,
    /// The time to judge by, Unix milliseconds.
    pub now_ms: u64,
}

/// The same, read.
struct Bench {
    roots: Option<Roots>,
    signer: Vec<Vec<u8>>,
    now_ms: u64,
}

/// What a signature is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Signature {
    state: Worth,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Worth {
    /// It holds, and a pinned root stands behind the certificate.
    Verified,
    /// Nobody can tell with what is at hand.
    Unverified,
    /// It does not hold, or no pinned root stands behind it.
    Invalid,
}

impl Signature {
    fn verified(detail: impl Into<String>) -> Self {
        Self { state: Worth::Verified, detail: detail.into() }
    }

    fn unverified(detail: impl Into<String>) -> Self {
        Self { state: Worth::Unverified, detail: detail.into() }
    }

    fn invalid(detail: impl Into<String>) -> Self {
        Self { state: Worth::Invalid, detail: detail.into() }
    }

    fn words(&self) -> String {
        let state = match self.state {
            Worth::Verified => "verified",
            Worth::Unverified => "NOT VERIFIED",
            Worth::Invalid => "INVALID",
        };
        format!("{state}: {}", self.detail)
    }
}

/// One thing that a file held.
pub(crate) struct Found {
    told: Told,
    signature: Signature,
}

/// Says what a file is and says. The second is why it is not to be trusted, when a signature in it does not hold.
pub fn inspect(path: &Path, judge: &Judge) -> Result<(Told, Option<MintFault>), MintFault> {
    let bench = Bench::read(judge)?;
    let found = recognised(path, read(path)?, &bench)?;
    let invalid = found.iter().find(|one| one.signature.state == Worth::Invalid);
    let why = invalid.map(|one| one.signature.detail.clone());
    let mut told = Told::default();
    for (at, one) in found.into_iter().enumerate() {
        if at > 0 {
            told.table.push(String::new());
        }
        told.table.extend(one.told.table);
        told.json.extend(one.told.json);
    }
    Ok((told, why.map(|why| MintFault::Untrusted { path: path.to_owned(), why })))
}

impl Bench {
    fn read(judge: &Judge) -> Result<Self, MintFault> {
        let roots = |path: &PathBuf| {
            let help = "name the pinned root's PEM after --root";
            let roots = Roots::read(&read(path)?);
            roots.map_err(|fault| MintFault::input("BAD_ROOT", fault, help))
        };
        let signer = |path: &PathBuf| {
            let help = "name a certificate, PEM or DER, after --signer";
            let certificates = certificates(&read(path)?);
            if certificates.is_empty() {
                let what = format!("{} holds no certificate", path.display());
                return Err(MintFault::input("BAD_SIGNER", what, help));
            }
            Ok(certificates)
        };
        Ok(Self {
            roots: judge.root.as_ref().map(roots).transpose()?,
            signer: judge.signer.as_ref().map(signer).transpose()?.unwrap_or_default(),
            now_ms: judge.now_ms,
        })
    }
}

/// Reads a plain file, and no more of it than any of ours may have.
fn read(path: &Path) -> Result<Vec<u8>, MintFault> {
    let help = "name a certificate, revocation list, roster, bundle or header";
    let unreadable = |why: &dyn std::fmt::Display| {
        MintFault::input("UNREADABLE", format!("cannot read {}: {why}", path.display()), help)
    };
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => MintFault::io(path, "read")(error),
        _ => unreadable(&error),
    };
    // Asked before it is opened: to open a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(fault)?.is_file() {
        return Err(unreadable(&"it is not a plain file"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(fault)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(unreadable(&format!("it is larger than {FILE_MAX} bytes")));
    }
    Ok(bytes)
}

fn recognised(path: &Path, bytes: Vec<u8>, bench: &Bench) -> Result<Vec<Found>, MintFault> {
    let unknown = |why: &str| {
        let what = format!("{}: {why}", path.display());
        let help = "it is to be a certificate, a revocation list, a roster, a bundle or a header";
        MintFault::input("UNKNOWN_FILE", what, help)
    };
    // A PEM file is text, remarks included; a name in a roster may hold the same words, and a roster is no text.
    if std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("-----BEGIN ")) {
        return in_pem(&bytes, bench).map_err(|why| unknown(&why));
    }
    if bytes.first() == Some(&DER_SEQUENCE) {
        if let Some(found) = certificate::read(&bytes, &[], bench) {
            return Ok(vec![found]);
        }
        if let Some(found) = list::read(&bytes, bench) {
            return Ok(vec![found]);
        }
    }
    in_protobuf(bytes.into(), bench).map(|found| vec![found]).map_err(|why| unknown(&why))
}

/// DER begins with it, and no protobuf of ours: field 6 is no field of theirs.
const DER_SEQUENCE: u8 = 0x30;

fn in_pem(text: &[u8], bench: &Bench) -> Result<Vec<Found>, String> {
    let (mut found, beside) = (Vec::new(), certificates(text));
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let section = section.map_err(|_| "its PEM is damaged")?;
        found.push(match section {
            (SectionKind::Certificate, der) => {
                certificate::read(&der, &beside, bench).ok_or("it holds a CERTIFICATE that is none")?
            }
            (SectionKind::Crl, der) => {
                list::read(&der, bench).ok_or("it holds an X509 CRL that is none, of RFC 5280, version 2")?
            }
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err("it holds a private key; nothing of it is shown".to_owned());
            }
            _ => return Err("it holds a kind of PEM that is not known here".to_owned()),
        });
        if found.len() > SECTIONS_MAX {
            return Err(format!("it holds more than {SECTIONS_MAX} objects"));
        }
    }
    if found.is_empty() { Err("its PEM holds nothing that is known here".to_owned()) } else { Ok(found) }
}

/// Rosters as they rest; bundles and envelopes as they travel, with or without the frame around them.
fn in_protobuf(bytes: Bytes, bench: &Bench) -> Result<Found, String> {
    let unknown = || "it is nothing that is known here".to_owned();
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if bytes.len() <= FRAME_FILE_MAX {
        if let Some(kind) = framed(&bytes) {
            return match kind {
                Kind::Begin(begin) => header::begin(&begin, bench),
                Kind::Bundle(bundle) => {
                    let bundle = SignedBundle::received(bundle).map_err(|error| error.to_string())?;
                    bundle::told(&bundle, bench).map_err(|error| format!("it holds a bundle that is {error}"))
                }
                _ => Err("it is a frame that carries neither an envelope's header nor a bundle".to_owned()),
            };
        }
        if let Some(found) = header::opening(&bytes, bench) {
            return Ok(found);
        }
    }
    let whole = SignedRoster::from_bytes(bytes.clone());
    let as_roster = whole.and_then(|signed| Ok((signed.claim()?, signed)));
    if let Ok((roster, signed)) = as_roster {
        return Ok(roster::told(&roster, &signed, bench));
    }
    let as_bundle =
        if bytes.len() <= FRAME_FILE_MAX { SignedBundle::from_bytes(bytes.clone()).ok() } else { None };
    match as_bundle.map(|signed| bundle::told(&signed, bench)) {
        Some(Ok(found)) => return Ok(found),
        // The two have one shape outside; only what is inside tells them apart.
        Some(Err(error)) => {
            return Err(format!("it has the shape of a roster or a bundle, and what is in it is {error}"));
        }
        None => {}
    }
    let bare = SignedHeader::received(bytes, &[0; l::SIGNATURE_BYTES]).map_err(|_| unknown())?;
    let facts = bare.read().map_err(|_| unknown())?;
    Ok(header::unsigned(&facts, &bare))
}

/// The one frame that a file is, if it is one.
fn framed(bytes: &Bytes) -> Option<Kind> {
    let len = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    (len + 4 == bytes.len() && frame::check_len(len).is_ok()).then(|| frame::decode(bytes.slice(4..)).ok())?
}

/// The certificates of a file, leaf first.
fn certificates(bytes: &[u8]) -> Vec<Vec<u8>> {
    if bytes.first() == Some(&DER_SEQUENCE) {
        return vec![bytes.to_vec()];
    }
    let found = rustls_pki_types::CertificateDer::pem_slice_iter(bytes).take(SECTIONS_MAX);
    found.flatten().map(|der| der.to_vec()).collect()
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
