//! The suite, room by room. One binary, linked once.
//!
//! - [`tidy`]: the house rules: floors, files, papers, versions.

mod tidy;
