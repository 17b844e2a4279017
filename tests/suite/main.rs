//! The suite, room by room. One binary, linked once.
//!
//! - [`tidy`]: the house rules: floors, files, papers, versions.
//! - [`journey`]: a message climbs every rung, by the commands an operator types.
//! - [`blind_relay`]: what the relay holds tells it nothing.
//! - [`flipped_byte`]: what the relay alters is found, and the sender told.
//! - [`impostor`]: strangers are refused at the door.
//! - [`greedy`]: a device that takes more than its share, and a crowd that takes its own.
//! - [`bad_start`]: what a program is given to start with, and is not fit.
//! - [`bad_input`]: what is handed in while programs run, and is not fit.
//! - [`orderly`]: stopping, health, lists and rosters that change.
//! - [`admin`]: who minds the relay sees how it stands, drains it, and is the only one who can.
//! - [`metrics`]: what the relay counts tells how mail moves, and names nobody.
//! - [`inspect`]: what is in a file, by the command an administrator types.
//! - [`outage`]: each program dies at the worst moment.
//! - [`every_commit`]: each program dies at each commit of its store.
//! - [`power_cut`]: the queue on a disk that loses, tears, fails and fills up.
//! - [`differential`]: the log beside SQLite, the same operations on both.
//! - [`bad_link`]: a mission behind a satellite, cut and moved.
//! - [`comeback`]: 187 bureaus come back at once.
//! - [`pressure`]: too much waits, and senders keep what the relay does not take.
//! - [`simulation`]: drawn runs against the reference model, and the instrument itself.
//! - `planted`: the faults that those runs must find (feature `planted`).
//! - [`replays`]: every fault ever found, as the operations that show it.
//! - [`storm`]: relay and daemons are killed again and again, and nothing is lost or doubled.

#![allow(clippy::unwrap_used, reason = "the whole binary is tests: one that cannot go on says where")]

mod admin;
mod bad_input;
mod bad_link;
mod bad_start;
mod blind_relay;
mod comeback;
mod differential;
mod every_commit;
mod flipped_byte;
mod greedy;
mod impostor;
mod inspect;
mod journey;
mod metrics;
mod orderly;
mod outage;
#[cfg(feature = "planted")]
mod planted;
mod power_cut;
mod pressure;
mod queue_verify;
mod replays;
mod simulation;
mod storm;
mod tidy;
