//! Reads records where the index says they lie. Shared by everybody; waits for the disk, never for a commit.
//!
//! A record that does not open is damage, of this question only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use prost::Message;
use valise_host::ledger::StoreError;

use super::facts::{EnvelopeFact, Fact, Loc};
use super::payload::EnvelopePayload;
use super::segment::Segment;
use crate::queue::Sequence;

/// The open segments.
pub(super) struct Reader {
    segments: RwLock<HashMap<u32, Arc<Segment>>>,
    path: PathBuf,
}

impl Reader {
    pub(super) fn new(path: &Path) -> Self {
        Self { segments: RwLock::default(), path: path.to_owned() }
    }

    pub(super) fn add(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(segment.header.id, segment);
    }

    pub(super) fn remove(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    pub(super) fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Every segment, by number.
    pub(super) fn all(&self) -> Vec<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = segments.values().cloned().collect();
        all.sort_unstable_by_key(|segment| segment.header.id);
        all
    }

    /// A record: what it says, and the bytes that go with it.
    pub(super) fn record(&self, loc: Loc) -> Result<(Fact, Bytes), StoreError> {
        let place = || format!("the record at byte {} of segment {:08x}", loc.offset, loc.segment);
        let segment =
            self.segment(loc.segment).ok_or_else(|| self.damaged(format!("{} has no file", place())))?;
        let read = segment
            .read(loc)
            .map_err(|fault| self.damaged(format!("{} cannot be read: {fault}", place())))?;
        let record = read.ok_or_else(|| self.damaged(format!("{} does not open", place())))?;
        let (fact, rest) = Fact::read(&record)
            .ok_or_else(|| self.damaged(format!("{} says nothing that is known", place())))?;
        let payload = record.slice_ref(rest);
        Ok((fact, payload))
    }

    /// The record of an envelope; without its bytes when they are gone.
    pub(super) fn envelope(
        &self,
        sequence: Sequence,
        loc: Loc,
    ) -> Result<(EnvelopeFact, Option<EnvelopePayload>), StoreError> {
        match self.record(loc)? {
            (Fact::Envelope(fact), payload) if fact.sequence == sequence => {
                if payload.is_empty() {
                    return Ok((*fact, None));
                }
                let payload = EnvelopePayload::decode(payload);
                let payload = payload
                    .map_err(|_| self.damaged(format!("the record of envelope {sequence} is incomplete")))?;
                Ok((*fact, Some(payload)))
            }
            _ => Err(self.damaged(format!("the record of envelope {sequence} is another's"))),
        }
    }

    /// A fault that only missing or foreign records explain.
    pub(super) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.into() }
    }
}
