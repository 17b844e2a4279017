//! Work on the store of a relay that is stopped: `valise-relay queue verify`. Says what it found on standard output.
//!
//! Reads configuration and store key alone: papers that ran out must not keep anybody from looking.

use std::io::{self, Write};
use std::path::Path;

use valise_host::keyfile::KeyFile;
use valise_host::machine::Machine;
use valise_host::rest::RestKey;

use crate::config::{RelayConfig, StoreKind};
use crate::fault::RunError;
use crate::queue::{Findings, log, sqlite};

/// Walks every record of the store, and names what is damaged.
///
/// # Errors
/// `Unsound` when anything is: the program ends with 9.
pub fn verify(config: &Path) -> Result<(), RunError> {
    let config = RelayConfig::load(config)?;
    let key = RestKey::new(&KeyFile::load(&config.store.key_file)?);
    let (store, machine) = (&config.store, Machine::real());
    let findings = match store.kind {
        StoreKind::Log => log::verify(&store.path, &key, &machine)?,
        StoreKind::Sqlite => sqlite::verify(&store.path, &key, &machine)?,
    };
    say(&findings)?;
    match findings.damage.len() {
        0 => Ok(()),
        count => Err(RunError::Unsound { path: store.path.clone(), count }),
    }
}

fn say(findings: &Findings) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "records    {} that open, in {} files", findings.records, findings.segments)?;
    writeln!(out, "envelopes  {}, the highest number is {}", findings.envelopes, findings.sequence)?;
    writeln!(out, "waiting    {} entries, {} receipts", findings.entries, findings.receipts)?;
    for note in &findings.notes {
        writeln!(out, "note       {note}")?;
    }
    for damage in &findings.damage {
        writeln!(out, "damage     {damage}")?;
    }
    writeln!(out, "{}", if findings.damage.is_empty() { "sound" } else { "DAMAGED" })
}
