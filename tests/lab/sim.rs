//! The simulator: the real relay and the real daemons over a simulated network, on a paused clock, from one seed.
//!
//! Rooms: [`run`] plays operations and judges · [`ops`] what can happen, drawn, printed, shrunk · [`world`] a run
//! under way · [`node`] its programs · [`machine`] what each is given, [`disk`] its disk · [`federation`] their papers · [`operator`]
//! their people · [`net`] and [`link`] what carries · [`trace`] what was carried · [`model`] and [`judge`] what must
//! come of it · [`forgery`] and [`damage`] what must not · [`hostile`] a relay whose operator is · [`mod@story`] what
//! happened · [`campaign`] many runs · [`chance`].
//!
//! The same seed gives the same trace of datagrams, in this process and in any other: all chance is handed in, time
//! stands still while anything can run, `select!` is biased, and no thread runs inside.

pub mod campaign;
pub mod chance;
pub mod damage;
pub mod disk;
pub mod federation;
pub mod forgery;
pub mod hostile;
pub mod judge;
pub mod link;
pub mod machine;
pub mod model;
pub mod net;
pub mod node;
pub mod operator;
pub mod ops;
pub mod run;
pub mod story;
pub mod trace;
pub mod world;
