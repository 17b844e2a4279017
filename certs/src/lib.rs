//! Papers: what a certificate says, and who checks it. Bytes in, checked types out; nothing is minted here.
//!
//! Rooms: [`profile`] names on certificates · [`leaf`] what one certificate says · [`crl`] revocation lists · `path`
//! chains · [`trust`] root, roster and lists together · [`identity`] who a session is · [`signer`] who signed, judged
//! at a time · [`tls`] configurations · [`load`] the only room with files · [`look`] for people, not
//! for decisions · [`fault`] why not. See CERTIFICATES.md.

#![warn(missing_docs)]

pub mod crl;
pub mod fault;
pub mod identity;
pub mod leaf;
pub mod load;
pub mod look;
mod path;
pub mod profile;
pub mod signer;
pub mod tls;
pub mod trust;

pub use fault::PaperFault;
pub use trust::Trust;
