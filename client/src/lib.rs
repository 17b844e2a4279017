//! The desk of a bureau or mission: its daemon, its local API and its command line.
//!
//! The rooms a message passes, in order: [`api`] asks · [`desk`] decides and seals · [`boxes`] keeps · [`link`]
//! submits; and back: [`link`] receives · [`arrivals`] opens, keeps, states · [`answers`] what returns for what we
//! sent. Shared by them: [`office`], [`book`] who is who, [`epochs`] own keys. Beside them: [`config`], [`papers`],
//! [`daemon`], and the command line in [`cli`] over [`answer`], [`contract`] and [`exit`].

pub mod answer;
pub mod answers;
pub mod api;
pub mod arrivals;
pub mod book;
pub mod boxes;
pub mod cli;
pub mod config;
pub mod contract;
pub mod daemon;
pub mod desk;
pub mod epochs;
pub mod exit;
pub mod link;
pub mod office;
pub mod papers;
