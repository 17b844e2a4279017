//! Walks every record of a store that nobody has open, and names what is missing. Changes nothing.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use valise_host::files::Files;
use valise_host::ledger::StoreError;
use valise_host::machine::Machine;
use valise_host::rest::{RestKey, Sealer};

use super::facts::{Loc, State};
use super::index::Index;
use super::names;
use super::notes::Notes;
use super::opening::lay;
use super::replay::replay;
use super::scan::{Scanned, scan};
use super::segment::Segment;
use super::sidecar;
use crate::queue::Findings;

/// Walks the log in a directory.
///
/// # Errors
/// As [`LogQueue::open`](super::LogQueue::open); damage to some of it is a finding, not an error.
pub fn verify(dir: &Path, key: &RestKey, machine: &Machine) -> Result<Findings, StoreError> {
    let files = &*machine.files;
    let io = |doing| move |source| StoreError::Io { path: dir.to_owned(), doing, source };
    let lock = files.lock(&dir.join(names::LOCK)).map_err(io("lock"))?;
    let _lock = lock.ok_or_else(|| StoreError::InUse { path: dir.to_owned(), pid: None })?;
    let sealers = [Sealer::new(key, Arc::clone(&machine.entropy))];
    let nothing = || StoreError::Damaged { path: dir.to_owned(), what: "there is no store in it".to_owned() };
    let laid = lay(files, dir, &sealers)?.ok_or_else(nothing)?;
    let mut findings = Findings::default();
    for (path, why) in &laid.unreadable {
        findings.damage.push(format!("{}: {why}", path.display()));
    }
    let (mut index, mut there) = (Index::default(), HashSet::new());
    let walked = replay(&laid.segments, &mut index, |segment| {
        let (notes, scanned) = scan(segment, |noted, _| {
            there.insert((noted.loc.segment, noted.loc.offset));
        })?;
        findings.records += scanned.count as u64;
        tell(&mut findings, segment, &scanned);
        // A side-car still knows what its segment has lost.
        Ok(side_car(&mut findings, files, dir, segment).unwrap_or(notes))
    });
    walked.map_err(io("read"))?;
    let depth = index.depth();
    (findings.entries, findings.receipts, findings.sequence) =
        (depth.entries, depth.receipts, depth.sequence);
    pieces(&mut findings, &index, &there);
    Ok(findings)
}

/// What is missing of one segment.
fn tell(findings: &mut Findings, segment: &Segment, scanned: &Scanned) {
    let name = names::segment(segment.header.id);
    findings.segments += 1;
    if scanned.short > 0 {
        findings.damage.push(format!("{name}: it is {} bytes too short", scanned.short));
    }
    for lost in &scanned.lost {
        findings.damage.push(format!("{name}: records {} to {} are lost", lost.start, lost.end - 1));
    }
    for torn in &scanned.torn {
        let what =
            format!("{name}: records {} to {} of its last group are not whole", torn.start, torn.end - 1);
        if scanned.closed {
            findings.damage.push(what);
        } else {
            findings
                .notes
                .push(format!("{what}; a machine that stops leaves such a tail, never acknowledged"));
        }
    }
}

/// A side-car that does not hold costs time at the next start, no more.
fn side_car(findings: &mut Findings, files: &dyn Files, dir: &Path, segment: &Segment) -> Option<Notes> {
    let name = names::side_car(segment.header.id);
    let file = files.open(&dir.join(&name)).ok()?;
    let notes = sidecar::read(&*file, segment).ok().flatten();
    if notes.is_none() {
        findings.damage.push(format!("{name}: it does not hold; the next start reads the segment instead"));
    }
    notes
}

/// Whether every piece of what is to be handed out stands in a record that opened.
fn pieces(findings: &mut Findings, index: &Index, there: &HashSet<(u32, u32)>) {
    for (sequence, slot) in index.envelopes.each() {
        findings.envelopes += 1;
        if slot.open == 0 {
            continue;
        }
        let wraps = slot.entries().iter().filter(|entry| entry.wrapped && entry.state != State::Settled);
        let wraps = wraps.map(|entry| entry.wrap);
        let chunks = index.chunks(sequence).unwrap_or_default().iter().copied();
        let gone = |loc: &Loc| !there.contains(&(loc.segment, loc.offset));
        let lost = std::iter::once(slot.base).chain(chunks).chain(wraps).filter(gone).count();
        if lost > 0 {
            findings.damage.push(format!("envelope {sequence}: {lost} of its records are lost"));
        }
    }
}
