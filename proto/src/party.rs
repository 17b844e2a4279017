//! A party as the roster states it: a bureau or a mission, and the CA keys that speak for it.

use crate::kinds::PartyKind;
use crate::signing::KeyId;

/// A bureau or mission as the roster states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Bureau or mission.
    pub kind: PartyKind,
    /// For people.
    pub display: String,
    /// Region word, for groups.
    pub region: String,
    /// Its CA keys in force: active and retiring.
    pub ca_keys: Vec<KeyId>,
}
