//! The ground floor: what two machines must agree on. No sockets, no clock, no disk; time and chance are handed in.
//!
//! Rooms: [`names`] who and where · [`kinds`] the small closed sets · [`limits`] every shared number · [`signing`]
//! labels, keys, hashes · [`merkle`] RFC 6962 trees · [`wire`] the schema · [`scan`] and [`frame`] bounded reading ·
//! [`header`] what an author signs · [`receipt`] what is stated about it · [`bundle`] prekeys · [`party`], [`roster`]
//! and [`agreements`] who is who and who may · [`refusal`] why not · [`transfer`] an envelope in frames · [`session`]
//! the conversation as two machines. `PROTOCOL.md` numbers the rules. Apart from all that, [`admin`]: what an
//! administrator asks a relay on its own machine.

#![warn(missing_docs)]

pub mod admin;
pub mod agreements;
pub mod bundle;
pub mod frame;
pub mod header;
pub mod kinds;
pub mod limits;
pub mod merkle;
pub mod names;
pub mod party;
pub mod receipt;
pub mod refusal;
pub mod roster;
pub mod scan;
pub mod session;
pub mod signing;
pub mod transfer;
pub mod wire;
