//! Padding: a byte 0x80, then zeros, up to the next Padmé length ([S-7]). Hides how long a text is, not how large
//! a file is to the order.
//!
//! Padmé: Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019.

use crate::limits::PADDED_MIN;

/// First byte of the padding: the last byte of a part that is not zero.
pub(crate) const MARK: u8 = 0x80;

/// The padding is not what this length asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the padding breaks its rule")]
pub struct BadPadding;

/// Bytes after padding, of this many before: at most 12 % more, 256 at the least.
pub fn padded_len(len: u64) -> u64 {
    let marked = len + 1;
    if marked <= PADDED_MIN {
        return PADDED_MIN;
    }
    // The length keeps as many leading bits as its exponent has bits; the rest is rounded up.
    let exponent = u64::from(marked.ilog2());
    let kept = u64::from(exponent.ilog2()) + 1;
    marked.next_multiple_of(1 << (exponent - kept))
}

/// Takes the padding off; only the one padding of the length is accepted.
pub(crate) fn strip(plain: &mut Vec<u8>) -> Result<(), BadPadding> {
    let end = plain.iter().rposition(|byte| *byte != 0).ok_or(BadPadding)?;
    if plain[end] != MARK || padded_len(end as u64) != plain.len() as u64 {
        return Err(BadPadding);
    }
    plain.truncate(end);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn padded(data: &[u8]) -> Vec<u8> {
        let mut out = [data, &[MARK]].concat();
        out.resize(usize::try_from(padded_len(data.len() as u64)).unwrap(), 0);
        out
    }

    #[test]
    fn known_lengths() {
        let cases = [
            (0, 256),
            (255, 256),
            (256, 272),
            (900, 928),
            (1_500, 1_536),
            (100_000, 100_352),
            (983_040, 999_424),
        ];
        for (len, expected) in cases {
            assert_eq!(padded_len(len), expected, "{len}");
        }
    }

    #[test]
    fn what_is_not_the_padding_is_refused() {
        let good = padded(b"to br");
        let mut longer = good.clone();
        longer.push(0);
        let mut unmarked = good.clone();
        unmarked[5] = 0x40;
        for bad in [vec![], vec![0; 256], longer, unmarked, good[..255].to_vec(), vec![MARK]] {
            assert_eq!(strip(&mut bad.clone()), Err(BadPadding));
        }
    }

    proptest! {
        #[test]
        fn padding_comes_off_again(data in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let mut plain = padded(&data);
            strip(&mut plain).unwrap();
            prop_assert_eq!(plain, data);
        }

        #[test]
        fn padding_is_small_and_leaks_little(len in 256_u64..1 << 40) {
            let padded = padded_len(len);
            prop_assert!(padded > len && padded - len <= len / 8 + 1);
            prop_assert_eq!(padded_len(padded - 1), padded);
        }
    }
}
