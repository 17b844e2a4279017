//! Who watches that no nonce of the log seals twice: two different records under one number and one key would betray
//! both to whoever has the disk.
//!
//! Sees what is asked to be written, and knows the layout of a segment: where its header has its marker, where a record
//! has its number. Opens nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// First bytes of a segment's header, and where its marker stands: behind the magic, the store, the number and the
/// stream.
const MAGIC: &[u8] = b"VALSEGM1";
const MARKER_AT: usize = 8 + 16 + 4 + 4;
/// Records begin behind both copies of the header.
const RECORDS_AT: u64 = 8192;
/// A record begins with the marker, the length of what is sealed, and its number; at a multiple of eight bytes.
const FRAME_BYTES: usize = 24;
const ALIGN: u64 = 8;
/// A side-car is sealed once as a whole; before it stands what is not sealed.
const SIDE_CAR_AT: u64 = 16;

/// What was sealed.
#[derive(Clone, Debug, Default)]
pub struct Nonces {
    /// By file: the marker of the key that it has now.
    markers: BTreeMap<u64, [u8; 4]>,
    /// By marker and number: what was written.
    records: HashMap<([u8; 4], u64), u64>,
    /// By name: the number of a segment is given once, and so is the name of its side-car.
    side_cars: BTreeMap<String, u64>,
    twice: Option<String>,
}

impl Nonces {
    /// Takes in what is written to a file of this number and name.
    pub fn written(&mut self, file: u64, name: &str, at: u64, bytes: &[u8]) {
        if bytes.starts_with(MAGIC) {
            if let Some(marker) = bytes[MARKER_AT..].first_chunk() {
                self.markers.insert(file, *marker);
            }
        } else if name.ends_with(".idx") {
            if at == SIDE_CAR_AT {
                let known = *self.side_cars.entry(name.to_owned()).or_insert_with(|| digest(bytes));
                self.compare(known, digest(bytes), || format!("the side-car {name}"));
            }
        } else if let Some(marker) = self.markers.get(&file).copied().filter(|_| at >= RECORDS_AT) {
            self.look_through(marker, at, bytes);
        }
    }

    fn look_through(&mut self, marker: [u8; 4], at: u64, bytes: &[u8]) {
        let mut from = usize::try_from(at.next_multiple_of(ALIGN) - at).unwrap_or(usize::MAX);
        while let Some((frame, _)) =
            bytes.get(from..).and_then(|rest| rest.split_first_chunk::<FRAME_BYTES>())
        {
            let [sealed, number] = [&frame[4..8], &frame[8..16]]
                .map(|field| field.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
            let length = FRAME_BYTES + usize::try_from(sealed).unwrap_or(usize::MAX / 2);
            let Some(record) = bytes[from..].get(..length).filter(|_| frame[..4] == marker) else {
                from += 8;
                continue;
            };
            let known = *self.records.entry((marker, number)).or_insert_with(|| digest(record));
            self.compare(known, digest(record), || format!("the record {number}"));
            from += length.next_multiple_of(8);
        }
    }

    fn compare(&mut self, known: u64, now: u64, what: impl FnOnce() -> String) {
        if known != now && self.twice.is_none() {
            self.twice = Some(format!("{} was sealed twice under one nonce", what()));
        }
    }

    /// The first that was used twice.
    pub fn twice(&self) -> Option<&str> {
        self.twice.as_deref()
    }

    /// Nonces seen so far.
    pub fn seen(&self) -> u64 {
        (self.records.len() + self.side_cars.len()) as u64
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
