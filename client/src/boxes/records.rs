//! What lies inside the sealed rows: our own protobuf records, so that a field can be added without moving rows.
//!
//! Never on the wire. A number once given to a field keeps its meaning for as long as stores exist.

use prost::Message;
use valise_proto::limits::HASH_BYTES;
use valise_proto::wire;

use super::vault::Record;

macro_rules! record {
    ($name:ident, $table:literal) => {
        impl Record for $name {
            const TABLE: &'static str = $table;
        }
    };
}

/// An attached file as a list shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct FileNote {
    /// As the author named it: data, never a path.
    pub name: String,
    /// A hint.
    pub media_type: String,
    /// Plaintext bytes.
    pub bytes: u64,
    /// Of the plaintext.
    pub sha256: [u8; HASH_BYTES],
}
super::quiet!(FileNote);

#[derive(Clone, PartialEq, Message)]
pub(super) struct File {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) media_type: String,
    #[prost(uint64, tag = "3")]
    pub(super) bytes: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) sha256: Vec<u8>,
}

impl File {
    pub(super) fn of(note: &FileNote) -> Self {
        Self {
            name: note.name.clone(),
            media_type: note.media_type.clone(),
            bytes: note.bytes,
            sha256: note.sha256.to_vec(),
        }
    }

    /// None when the hash has another length: the record is not one of ours.
    pub(super) fn note(&self) -> Option<FileNote> {
        let sha256 = self.sha256[..].try_into().ok()?;
        Some(FileNote {
            name: self.name.clone(),
            media_type: self.media_type.clone(),
            bytes: self.bytes,
            sha256,
        })
    }
}

/// A message we sent: the exact header, and what the desk shows of it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Letter {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) header: bytes::Bytes,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) signature: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) subject: String,
    #[prost(string, tag = "4")]
    pub(super) type_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) files: Vec<File>,
    #[prost(uint64, tag = "6")]
    pub(super) body_bytes: u64,
    #[prost(uint64, tag = "7")]
    pub(super) queued_ms: u64,
}
record!(Letter, "outbox");

/// A recipient of it, and how far it came.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Addressee {
    #[prost(string, tag = "1")]
    pub(super) mailbox: String,
    #[prost(int32, tag = "2")]
    pub(super) addressing: i32,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(uint64, tag = "4")]
    pub(super) time_ms: u64,
    #[prost(string, tag = "5")]
    pub(super) by: String,
    #[prost(string, tag = "6")]
    pub(super) reason: String,
    #[prost(bool, tag = "7")]
    pub(super) changed_header: bool,
}
record!(Addressee, "recipient");

/// A mailbox we wrote to.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Correspondent {
    #[prost(string, tag = "1")]
    pub(super) mailbox: String,
    #[prost(uint64, tag = "2")]
    pub(super) pair_seq: u64,
}
record!(Correspondent, "correspondent");

/// A message that came, as a list shows it, and what became of it here.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Line {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) from: String,
    #[prost(string, tag = "3")]
    pub(super) device: String,
    #[prost(string, tag = "4")]
    pub(super) to: String,
    #[prost(string, tag = "5")]
    pub(super) subject: String,
    #[prost(int32, tag = "6")]
    pub(super) class: i32,
    #[prost(string, tag = "7")]
    pub(super) type_name: String,
    #[prost(int32, tag = "8")]
    pub(super) precedence: i32,
    #[prost(uint64, tag = "9")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "10")]
    pub(super) delivered_ms: u64,
    #[prost(int32, tag = "11")]
    pub(super) state: i32,
    #[prost(uint32, tag = "12")]
    pub(super) attachments: u32,
    #[prost(bool, tag = "13")]
    pub(super) clock_suspect: bool,
    #[prost(uint64, tag = "14")]
    pub(super) opened_ms: u64,
    #[prost(uint64, tag = "15")]
    pub(super) acknowledged_ms: u64,
    #[prost(bytes = "vec", tag = "16")]
    pub(super) operator_ref: Vec<u8>,
    #[prost(uint32, tag = "17")]
    pub(super) operator_uid: u32,
}
record!(Line, "inbox/line");

/// The rest of a message that came: its proof, and where its pieces end.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Paper {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) header: bytes::Bytes,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) signature: Vec<u8>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) relayed: bytes::Bytes,
    #[prost(message, optional, tag = "4")]
    pub(super) leaf: Option<wire::SigningLeaf>,
    #[prost(uint64, tag = "5")]
    pub(super) sequence: u64,
    #[prost(uint64, tag = "6")]
    pub(super) body_bytes: u64,
    #[prost(string, tag = "7")]
    pub(super) lang: String,
    #[prost(string, tag = "8")]
    pub(super) in_reply_to: String,
    #[prost(message, repeated, tag = "9")]
    pub(super) files: Vec<File>,
}
record!(Paper, "inbox/paper");

/// The mark that a message came.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Mark {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) header_hash: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(super) sequence: u64,
}
record!(Mark, "seen");

/// An envelope that could not be opened.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Dead {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) header: bytes::Bytes,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) signature: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(super) detail: String,
}
record!(Dead, "dead_letter");

/// A receipt, one way or the other.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stated {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) receipt: bytes::Bytes,
}
record!(Stated, "receipt");

/// A bundle with its number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Batch {
    #[prost(uint64, tag = "1")]
    pub(super) batch_no: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) bundle: bytes::Bytes,
}
record!(Batch, "bundle");

/// A bundle of our own.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OwnBatch {
    #[prost(uint64, tag = "1")]
    pub(super) batch_no: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) bundle: bytes::Bytes,
    #[prost(bool, tag = "3")]
    pub(super) published: bool,
    #[prost(string, tag = "4")]
    pub(super) mailbox: String,
}
record!(OwnBatch, "own_bundle");

/// A time.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Time {
    #[prost(uint64, tag = "1")]
    pub(super) ms: u64,
}
record!(Time, "meta");

impl Record for wire::KeyWrap {
    const TABLE: &'static str = "recipient/keywrap";
}

impl Record for wire::SigningLeaf {
    const TABLE: &'static str = "leaf";
}
