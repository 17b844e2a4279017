//! What the files of a store are called.

const SEGMENT: (&str, &str) = ("seg-", ".log");
const SIDE_CAR: (&str, &str) = ("seg-", ".idx");
const SPARE: (&str, &str) = ("spare-", ".log");
const SPARE_NEW: (&str, &str) = ("spare-", ".new");
/// What names the store and its key.
pub(super) const STORE: &str = "store";
/// The same, while it is being made.
pub(super) const STORE_NEW: &str = "store.new";
/// Held by the process that has the store open.
pub(super) const LOCK: &str = "lock";

pub(super) fn segment(id: u32) -> String {
    name(SEGMENT, id)
}

pub(super) fn side_car(id: u32) -> String {
    name(SIDE_CAR, id)
}

pub(super) fn spare(number: u32) -> String {
    name(SPARE, number)
}

/// A spare while it is being made.
pub(super) fn spare_new(number: u32) -> String {
    name(SPARE_NEW, number)
}

pub(super) fn segment_number(name: &str) -> Option<u32> {
    number(SEGMENT, name)
}

pub(super) fn side_car_number(name: &str) -> Option<u32> {
    number(SIDE_CAR, name)
}

pub(super) fn spare_number(name: &str) -> Option<u32> {
    number(SPARE, name)
}

pub(super) fn is_spare_new(name: &str) -> bool {
    number(SPARE_NEW, name).is_some()
}

fn name((before, after): (&str, &str), number: u32) -> String {
    format!("{before}{number:08x}{after}")
}

fn number((before, after): (&str, &str), name: &str) -> Option<u32> {
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 8)
}
