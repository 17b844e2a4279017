//! Stories of one part: any cut of the plaintext gives the same ciphertext; any other order of segments is refused.

use proptest::prelude::*;

use super::*;
use crate::schedule::Cek;
use crate::testing::{Chance, header_of};

fn schedule() -> Schedule {
    Schedule::new(Context::of(&header_of("fr")), &Cek::random(&mut Chance::new("stream")))
}

fn seal(pieces: &[&[u8]]) -> (Vec<Bytes>, Part) {
    let mut segments = Vec::new();
    let mut sealer = SegmentSealer::new(&schedule(), 3);
    for piece in pieces {
        sealer.write(piece, &mut |segment| segments.push(segment));
    }
    let part = sealer.finish(&mut |segment| segments.push(segment));
    (segments, part)
}

fn open(segments: &[Bytes], part: &Part) -> Result<Vec<u8>, StreamFault> {
    open_as(3, segments, part)
}

fn open_as(index: u32, segments: &[Bytes], part: &Part) -> Result<Vec<u8>, StreamFault> {
    let mut opener = SegmentOpener::new(&schedule(), index, part);
    segments.iter().try_for_each(|segment| opener.push(segment))?;
    opener.finish()
}

#[test]
fn lengths_round_a_segment_come_back() {
    for len in [0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 200_000] {
        let data = vec![0x80; len]; // the mark itself must not confuse the padding
        let (segments, part) = seal(&[&data]);
        assert_eq!(segments.len() as u64, part.segments(), "{len}");
        assert!(segments[..segments.len() - 1].iter().all(|segment| segment.len() == SEGMENT_CT_BYTES));
        assert!(segments.last().unwrap().len() > TAG_BYTES);
        assert_eq!(open(&segments, &part), Ok(data), "{len}");
    }
}

#[test]
fn reordered_doubled_truncated_and_lengthened_parts_are_refused() {
    let (segments, part) = seal(&[&vec![1; 300_000]]);
    let [a, b, c] = [0, 1, 2].map(|at| segments[at].clone());
    let rest = &segments[3..];
    let with = |first: &[Bytes]| [first, rest].concat();
    assert_eq!(open(&with(&[b.clone(), a.clone(), c.clone()]), &part), Err(StreamFault::Segment));
    assert_eq!(open(&with(&[a.clone(), a.clone(), c.clone()]), &part), Err(StreamFault::Segment));
    assert_eq!(open(&with(&[a.clone(), b.clone()]), &part), Err(StreamFault::Segment), "one left out");
    assert_eq!(open(&segments[..segments.len() - 1], &part), Err(StreamFault::Length));
    let longer = [&segments[..], &segments[..1]].concat();
    assert_eq!(open(&longer, &part), Err(StreamFault::Length));
    // A header that states a shorter part: its last segment was not sealed as the last.
    let shorter = Part { ct_len: 3 * SEGMENT_CT_BYTES as u64, ..part.clone() };
    assert_eq!(open(&[a, b, c], &shorter), Err(StreamFault::Segment));
    assert_eq!(open_as(4, &segments, &part), Err(StreamFault::Segment), "a part under another's key");
}

#[test]
fn nothing_is_released_before_the_root() {
    let (segments, part) = seal(&[b"to br"]);
    let other = Part { ct_root: valise_proto::signing::Hash([1; 32]), ..part };
    assert_eq!(open(&segments, &other), Err(StreamFault::Root));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_cut_of_the_plaintext_does_not_matter(
        data in proptest::collection::vec(any::<u8>(), 0..200_000),
        cut in any::<proptest::sample::Index>(),
    ) {
        let whole = seal(&[&data]);
        let (head, tail) = data.split_at(cut.index(data.len() + 1));
        prop_assert_eq!(&seal(&[head, &[], tail]), &whole);
        prop_assert_eq!(open(&whole.0, &whole.1).unwrap(), data);
    }
}
