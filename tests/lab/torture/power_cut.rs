//! Power cuts.
pub mod run;
