//! Counts list entries in encoded protobuf before it is decoded ([P-3]): a list costs memory per entry, so
//! the bound is checked while it still costs nothing.
//!
//! Knows field numbers of the schemas in `wire/`, nothing else; a test compares them with the schema's limits.

use crate::limits as l;

/// The bytes may not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanError {
    /// Not protobuf.
    Malformed,
    /// A list above its bound.
    TooMany,
}

/// The lists of a message, and the messages inside it that have lists.
struct Shape {
    /// Field number and most entries.
    lists: &'static [(u32, usize)],
    /// Field number and shape of a nested message.
    nested: &'static [(u32, &'static Shape)],
}

const LEAF: Shape = Shape { lists: &[], nested: &[] };
const HELLO: Shape = Shape { lists: &[(2, l::MAILBOXES_PER_DEVICE), (4, l::CRLS_MAX)], nested: &[] };
const RECEIPT: Shape = Shape { lists: &[(6, l::AUDIT_PATH_MAX)], nested: &[] };
const WRAPS_FOR: Shape = Shape { lists: &[(2, l::WRAPS_PER_FRAME)], nested: &[] };
const ACCEPTANCE: Shape = Shape { lists: &[], nested: &[(2, &RECEIPT)] };
const ACCEPTANCES: Shape = Shape { lists: &[(1, l::BATCH_MAX)], nested: &[(1, &ACCEPTANCE)] };
const REFUSED: Shape = Shape { lists: &[], nested: &[(4, &RECEIPT)] };
const BATCH: Shape = Shape { lists: &[(1, l::BATCH_MAX)], nested: &[] };
const RECEIPTS: Shape = Shape { lists: &[(1, l::BATCH_MAX)], nested: &[(1, &RECEIPT)] };
const WANTED: Shape = Shape { lists: &[(1, l::WANTED_MAX)], nested: &[] };
const BEGIN: Shape = Shape { lists: &[], nested: &[(4, &RECEIPT)] };
const FRAME: Shape = Shape {
    lists: &[],
    nested: &[
        (1, &HELLO),
        (4, &BEGIN),
        (8, &WRAPS_FOR),
        (9, &ACCEPTANCES),
        (10, &REFUSED),
        (11, &BATCH),
        (12, &RECEIPTS),
        (13, &BATCH),
        (16, &WANTED),
    ],
};
const HEADER: Shape = Shape { lists: &[(12, l::RECIPIENTS_MAX), (13, l::PARTS_MAX)], nested: &[] };
const BUNDLE: Shape = Shape { lists: &[(4, l::EPOCHS_MAX), (9, l::DEVICES_PER_MAILBOX)], nested: &[] };
const MESSAGE: Shape = Shape { lists: &[(7, l::ATTACHMENTS_MAX)], nested: &[] };
const PARTY: Shape = Shape { lists: &[(5, l::KEYS_PER_OWNER)], nested: &[] };
const RELAY: Shape = Shape { lists: &[(2, l::KEYS_PER_OWNER)], nested: &[] };
const CLASS: Shape = Shape { lists: &[(2, l::AGREEMENT_TYPES_MAX)], nested: &[] };
const AGREEMENT: Shape = Shape {
    lists: &[(2, l::AGREEMENT_SIDE_MAX), (3, l::AGREEMENT_SIDE_MAX), (4, l::AGREEMENT_CLASSES_MAX)],
    nested: &[(4, &CLASS)],
};
const ROSTER: Shape = Shape {
    lists: &[
        (4, l::KEYS_PER_OWNER),
        (5, l::PARTIES_MAX),
        (6, l::RELAYS_MAX),
        (7, l::REVOCATIONS_MAX),
        (8, l::AGREEMENTS_MAX),
    ],
    nested: &[(5, &PARTY), (6, &RELAY), (8, &AGREEMENT)],
};

const ADMIN_CONNECTION: Shape = Shape { lists: &[(4, l::MAILBOXES_PER_DEVICE)], nested: &[] };
const ADMIN_ANSWER: Shape = Shape { lists: &[], nested: &[(1004, &ADMIN_CONNECTION)] };

/// Scans a `Frame`: one kind, once. A decoder would join repeated ones, and with them the lists inside. Signed
/// objects inside it are bytes to this scan; each is scanned when it is read.
pub fn frame(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &FRAME)?;
    let mut rest = bytes;
    field(&mut rest)?;
    if rest.is_empty() { Ok(()) } else { Err(ScanError::Malformed) }
}

/// Scans a `Header`.
pub fn header(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &HEADER)
}

/// Scans a `Bundle`.
pub fn bundle(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &BUNDLE)
}

/// Scans a `Roster`.
pub fn roster(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &ROSTER)
}

/// Scans a `Message`.
pub fn message(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &MESSAGE)
}

/// Scans a message without lists of its own: a plain well-formedness check.
pub fn plain(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &LEAF)
}

/// Scans an `Answer` of a relay to its administrator.
pub fn admin_answer(bytes: &[u8]) -> Result<(), ScanError> {
    walk(bytes, &ADMIN_ANSWER)
}

fn walk(mut bytes: &[u8], shape: &Shape) -> Result<(), ScanError> {
    let mut counts = [0_usize; 8]; // no shape has more than eight lists
    let mut seen = 0_u32; // single messages inside, by place in the shape; none has more than 32
    while !bytes.is_empty() {
        let (number, inner) = field(&mut bytes)?;
        let list = shape.lists.iter().position(|(list, _)| *list == number);
        if let Some(at) = list {
            counts[at] += 1;
            if counts[at] > shape.lists[at].1 {
                return Err(ScanError::TooMany);
            }
        }
        let Some(at) = shape.nested.iter().position(|(nested, _)| *nested == number) else { continue };
        if list.is_none() {
            // A decoder would join a second one with the first, and so their lists.
            if seen & (1 << at) != 0 {
                return Err(ScanError::Malformed);
            }
            seen |= 1 << at;
        }
        walk(inner, shape.nested[at].1)?;
    }
    Ok(())
}

/// The next field: its number, and what it holds when it is of variable length.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<(u32, &'a [u8]), ScanError> {
    let key = varint(bytes)?;
    let number = u32::try_from(key >> 3).map_err(|_| ScanError::Malformed)?;
    if number == 0 {
        return Err(ScanError::Malformed);
    }
    let held: &[u8] = match key & 7 {
        0 => {
            varint(bytes)?;
            &[]
        }
        1 => take(bytes, 8)?,
        2 => {
            let len = usize::try_from(varint(bytes)?).map_err(|_| ScanError::Malformed)?;
            take(bytes, len)?
        }
        5 => take(bytes, 4)?,
        _ => return Err(ScanError::Malformed), // groups and the unassigned
    };
    Ok((number, held))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], ScanError> {
    let (head, tail) = bytes.split_at_checked(len).ok_or(ScanError::Malformed)?;
    *bytes = tail;
    Ok(head)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ScanError> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, tail) = bytes.split_first().ok_or(ScanError::Malformed)?;
        *bytes = tail;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return Err(ScanError::Malformed);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ScanError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use prost::Message;

    fn wanted(count: usize) -> Vec<u8> {
        let wanted = vec![wire::WantedBundle { mailbox: "fr".into(), have_batch: 0 }; count];
        let kind = Some(wire::frame::Kind::WantBundles(wire::WantBundles { wanted }));
        wire::Frame { kind }.encode_to_vec()
    }

    #[test]
    fn a_list_at_its_bound_passes_and_one_above_does_not() {
        assert_eq!(frame(&wanted(l::WANTED_MAX)), Ok(()));
        assert_eq!(frame(&wanted(l::WANTED_MAX + 1)), Err(ScanError::TooMany));
    }

    #[test]
    fn a_list_cannot_be_spread_over_several_of_its_message() {
        let half = wanted(l::WANTED_MAX);
        let twice = [&half[..], &half].concat();
        assert_eq!(frame(&twice), Err(ScanError::Malformed));
        let receipt = wire::SignedReceipt { path: vec![Default::default(); 9], ..Default::default() };
        let one = wire::Begin { relayed: Some(receipt), ..Default::default() }.encode_to_vec();
        assert_eq!(walk(&one, &BEGIN), Ok(()));
        assert_eq!(walk(&[&one[..], &one].concat(), &BEGIN), Err(ScanError::Malformed));
    }

    #[test]
    fn a_list_in_a_nested_message_is_counted() {
        let path = vec![wire::AuditNode { hash: vec![0; 32].into() }; l::AUDIT_PATH_MAX + 1];
        let receipts = vec![wire::SignedReceipt { path, ..Default::default() }];
        let kind = Some(wire::frame::Kind::Receipts(wire::Receipts { receipts }));
        assert_eq!(frame(&wire::Frame { kind }.encode_to_vec()), Err(ScanError::TooMany));
    }

    #[test]
    fn every_list_of_the_schema_has_a_bound_here() {
        let schemas = concat!(include_str!("../wire/valise.proto"), include_str!("../wire/admin.proto"));
        let lists = schemas.lines().filter(|line| line.trim_start().starts_with("repeated ")).count();
        let shapes = [
            &HELLO,
            &RECEIPT,
            &WRAPS_FOR,
            &ACCEPTANCES,
            &BATCH,
            &BATCH,
            &RECEIPTS,
            &WANTED,
            &HEADER,
            &BUNDLE,
            &MESSAGE,
            &PARTY,
            &RELAY,
            &CLASS,
            &AGREEMENT,
            &ROSTER,
            &ADMIN_CONNECTION,
        ];
        assert_eq!(shapes.iter().map(|shape| shape.lists.len()).sum::<usize>(), lists);
        assert!(shapes.iter().all(|shape| shape.lists.len() <= 8));
    }

    #[test]
    fn what_is_not_protobuf_is_malformed() {
        for bytes in [&[0x00][..], &[0x0b], &[0x0a, 0x05, 0x01], &[0x08], &[0xff; 11], &[0x0f]] {
            assert_eq!(plain(bytes), Err(ScanError::Malformed), "{bytes:?}");
        }
    }
}
