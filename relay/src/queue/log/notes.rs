//! The facts of a segment in the order of its records, as bytes: a tenth of what they take when all are read at once.

use prost::Message;

use super::facts::{Fact, Loc};

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Noted {
    /// Its number in the store.
    pub(super) number: u64,
    pub(super) loc: Loc,
    pub(super) fact: Fact,
}

/// The facts of a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Vec<u8>);

impl Notes {
    /// From how they rest.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// How they rest.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds one.
    pub(super) fn add(&mut self, number: u64, loc: Loc, fact: &Fact) {
        self.0.extend_from_slice(&number.to_be_bytes());
        loc.encode_length_delimited(&mut self.0).expect("invariant: a vector grows");
        fact.write(&mut self.0);
    }

    /// Reads them one by one; ends at the first that is none.
    pub(super) fn read(self) -> Reading {
        Reading { notes: self, at: 0 }
    }

    /// Whether all of it is facts of this segment.
    pub(super) fn are_of(&self, segment: u32) -> bool {
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            match one(rest) {
                Some((noted, after)) if noted.loc.segment == segment => rest = after,
                _ => return false,
            }
        }
        true
    }
}

/// Facts that are read one by one.
#[derive(Debug, Default)]
pub(super) struct Reading {
    notes: Notes,
    at: usize,
}

impl Reading {
    /// Whether all are read.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.notes.0.len()
    }

    /// How far it is.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Reads again what comes after a place where it was.
    pub(super) fn go_back(&mut self, place: usize) {
        self.at = place;
    }

    /// The number of the next.
    pub(super) fn next_number(&self) -> Option<u64> {
        self.notes.0[self.at..].first_chunk::<8>().map(|number| u64::from_be_bytes(*number))
    }
}

impl Iterator for Reading {
    type Item = Noted;

    fn next(&mut self) -> Option<Noted> {
        let rest = &self.notes.0[self.at..];
        let Some((noted, after)) = one(rest) else {
            self.at = self.notes.0.len();
            return None;
        };
        self.at = self.notes.0.len() - after.len();
        Some(noted)
    }
}

fn one(bytes: &[u8]) -> Option<(Noted, &[u8])> {
    let (number, mut rest) = bytes.split_first_chunk::<8>()?;
    let loc = Loc::decode_length_delimited(&mut rest).ok()?;
    let (fact, rest) = Fact::read(rest)?;
    Some((Noted { number: u64::from_be_bytes(*number), loc, fact }, rest))
}
