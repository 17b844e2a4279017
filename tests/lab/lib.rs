//! The lab: a federation of real programs on one machine. Named parties, real certificates, real files, real kills.
//!
//! Rooms: [`mod@lab`] the federation and its directory · [`relay`] and [`party`] its programs · [`child`] processes ·
//! [`api`] a daemon asked without the command line · [`mod@until`] bounded waiting · [`papers`] the federation's keys
//! at work after `init` · [`impostor`] calls at the door with papers of any kind · [`forged`] papers that should not
//! count · [`caller`] genuine papers, words of its own · [`odd_tls`] TLS as we do not speak it · [`false_relay`] who
//! answers in the relay's place · [`greedy`] genuine papers, too much asked · [`tamper`] what a hostile relay
//! operator could do · [`disk`] what a power cut leaves of a file · [`proof`] receipts read and verified · [`admin`] who
//! minds the relay · [`story`] the demonstration · [`torture`] the long fault runs · `voice` and `interrupt` of both.

#![warn(missing_docs)]

pub mod admin;
pub mod api;
pub mod caller;
pub mod child;
pub mod disk;
pub mod false_relay;
pub mod forged;
pub mod greedy;
pub mod impostor;
mod interrupt;
pub mod lab;
pub mod odd_tls;
pub mod papers;
pub mod party;
pub mod proof;
pub mod queue;
pub mod relay;
pub mod sim;
pub mod story;
pub mod tamper;
pub mod torture;
pub mod until;
mod voice;

pub use lab::Lab;
pub use party::{Output, Party};
pub use relay::Relay;
pub use until::{eventually, until};
