//! What each verb changes: decided against what is durable, as facts to be written. Judges nothing: who may write to
//! whom was decided before.
//!
//! Rooms: `place` envelopes and wraps · `settle` statements and the clock · `keep` what lies beside.

pub(super) mod keep;
pub(super) mod place;
pub(super) mod settle;
