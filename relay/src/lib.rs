//! The exchange: accepts sessions, routes sealed envelopes, queues the undeliverable. It cannot open one: this
//! package is not linked with the code that could.
//!
//! The rooms an envelope passes, in order: [`listener`] and [`admission`] who calls · [`connection`] frames and
//! events, [`errands`] what runs beside them, [`mod@line`] how they are reached · [`intake`] a submission comes in ·
//! [`hub`] and [`router`] whether and where to, [`disk`] what there is room for · [`queue`] durable · [`schedule`] what
//! goes next, [`still`] what is passed, [`delivery`] out again. Around them: [`relay`] puts them together, [`run`] makes
//! a program of it, [`offline`] looks at its store while it is stopped. Beside them: [`config`], [`papers`], [`fault`] ·
//! [`stamp`] the relay's own statements · [`health`] how it stands, [`metrics`] what it counts, told by [`page`] and
//! [`admin`].

pub mod admin;
pub mod admission;
pub mod config;
pub mod connection;
pub mod counts;
pub mod delivery;
pub mod disk;
pub mod errands;
pub mod fault;
pub mod health;
pub mod hub;
pub mod intake;
pub mod line;
pub mod listener;
pub mod metrics;
pub mod offline;
pub mod page;
pub mod papers;
pub mod queue;
pub mod relay;
pub mod router;
pub mod run;
pub mod schedule;
pub mod stamp;
pub mod still;
