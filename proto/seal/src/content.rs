//! What a person writes: a message with its files, every value within its rule, and how it lies in the parts.
//!
//! Names of files are data: nothing here, and nothing that reads this, uses one as a path.

use std::fmt;

use bytes::Bytes;
use valise_proto::agreements::is_type_name;
use valise_proto::limits as l;
use valise_proto::names::MessageId;
use valise_proto::signing::Hash;
use valise_proto::{scan, wire};

/// Most characters of a media type (RFC 6838 allows 127 before the slash; nobody needs more in all).
const MEDIA_TYPE_MAX: usize = 127;
/// Most characters of a language tag (RFC 5646, 4.4.1).
const LANG_MAX: usize = 35;
/// The one encoding of a payload there is: as it is.
const ENCODING_PLAIN: u32 = 0;

/// A message breaks a rule of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The type's name.
    #[error("a message type has 1 to 32 characters of a-z, 0-9 and hyphen")]
    Type,
    /// The subject's length.
    #[error("a subject has at most {} bytes; shorten it", l::SUBJECT_MAX)]
    Subject,
    /// The language tag's length.
    #[error("a language tag has at most {LANG_MAX} characters")]
    Lang,
    /// A file's name.
    #[error("a file's name has 1 to {} bytes; rename it", l::FILE_NAME_MAX)]
    FileName,
    /// A file's media type.
    #[error("a media type has at most {MEDIA_TYPE_MAX} characters")]
    MediaType,
    /// Too many files.
    #[error("a message has at most {} attachments; send the rest in another", l::ATTACHMENTS_MAX)]
    TooMany,
    /// Too many bytes.
    #[error("a message has at most {} bytes, body and attachments together; split it", l::MESSAGE_MAX)]
    TooLarge,
    /// The sealed content is not the one encoding of a message.
    #[error("the content is not the one encoding of a message")]
    Malformed,
    /// The parts are not those that the message names.
    #[error("the parts are not those that the message names")]
    Parts,
}

/// A message type: `text`, later those of the notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName(String);

impl TypeName {
    /// Checks the rule.
    pub fn new(name: &str) -> Result<Self, ContentError> {
        if is_type_name(name) { Ok(Self(name.to_owned())) } else { Err(ContentError::Type) }
    }

    /// Free text.
    pub fn text() -> Self {
        Self("text".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One attached file. Its `Debug` tells sizes only: plaintext reaches no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    name: String,
    media_type: String,
    data: Bytes,
    sha256: Hash,
}

impl Attachment {
    /// A file as its author named it; the media type is a hint and may be empty.
    pub fn new(name: &str, media_type: &str, data: Bytes) -> Result<Self, ContentError> {
        if name.is_empty() || name.len() > l::FILE_NAME_MAX {
            return Err(ContentError::FileName);
        }
        if media_type.chars().count() > MEDIA_TYPE_MAX {
            return Err(ContentError::MediaType);
        }
        let sha256 = Hash::of(&[&data]);
        Ok(Self { name: name.to_owned(), media_type: media_type.to_owned(), data, sha256 })
    }

    /// As the author named it: data, never a path ([S-14]).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the author says it is; a hint.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The file.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> &Hash {
        &self.sha256
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({} B)", self.data.len())
    }
}

/// What a person wrote. Its `Debug` tells sizes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    kind: TypeName,
    subject: String,
    body: Bytes,
    lang: String,
    in_reply_to: Option<MessageId>,
    attachments: Vec<Attachment>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} B, {:?})", self.body.len(), self.attachments)
    }
}

impl Message {
    /// A message without files.
    pub fn new(kind: TypeName, subject: &str, body: Bytes) -> Result<Self, ContentError> {
        if subject.len() > l::SUBJECT_MAX {
            return Err(ContentError::Subject);
        }
        let subject = subject.to_owned();
        let new =
            Self { kind, subject, body, lang: String::new(), in_reply_to: None, attachments: Vec::new() };
        new.within_size()
    }

    /// States the language (BCP 47).
    pub fn with_lang(mut self, lang: &str) -> Result<Self, ContentError> {
        if lang.chars().count() > LANG_MAX {
            return Err(ContentError::Lang);
        }
        lang.clone_into(&mut self.lang);
        Ok(self)
    }

    /// Names the message that this one answers.
    #[must_use]
    pub fn answering(mut self, message_id: MessageId) -> Self {
        self.in_reply_to = Some(message_id);
        self
    }

    /// Adds a file.
    pub fn attach(mut self, attachment: Attachment) -> Result<Self, ContentError> {
        if self.attachments.len() == l::ATTACHMENTS_MAX {
            return Err(ContentError::TooMany);
        }
        self.attachments.push(attachment);
        self.within_size()
    }

    fn within_size(self) -> Result<Self, ContentError> {
        let files: usize = self.attachments.iter().map(|file| file.data.len()).sum();
        if (self.body.len() + files) as u64 > l::MESSAGE_MAX { Err(ContentError::TooLarge) } else { Ok(self) }
    }

    /// What kind it is; the relay never sees it.
    pub fn kind(&self) -> &TypeName {
        &self.kind
    }

    /// The subject; may be empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The body, as given.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The language stated; empty when none was.
    pub fn lang(&self) -> &str {
        &self.lang
    }

    /// The message it answers.
    pub fn in_reply_to(&self) -> Option<MessageId> {
        self.in_reply_to
    }

    /// The files, in order.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The plaintext of each part: the content first, then a body too large for it, then the files ([S-14]).
    pub(crate) fn to_parts(&self) -> Vec<Bytes> {
        let apart = self.body.len() > l::BODY_INLINE_MAX;
        let mut message = wire::Message {
            r#type: self.kind.0.clone(),
            subject: self.subject.clone(),
            body: if apart { Bytes::new() } else { self.body.clone() },
            body_part: u32::from(apart),
            lang: self.lang.clone(),
            in_reply_to: self.in_reply_to.map(|id| id.to_string()).unwrap_or_default(),
            attachments: Vec::new(),
        };
        let mut parts = vec![Bytes::new()];
        parts.extend(apart.then(|| self.body.clone()));
        for file in &self.attachments {
            message.attachments.push(wire::Attachment {
                name: file.name.clone(),
                media_type: file.media_type.clone(),
                bytes: file.data.len() as u64,
                sha256: Bytes::copy_from_slice(&file.sha256.0),
                part: part_no(parts.len()),
            });
            parts.push(file.data.clone());
        }
        parts[0] = wire::encode(&wire::Content { encoding: ENCODING_PLAIN, payload: wire::encode(&message) });
        parts
    }

    /// From the plaintext of each part; every part is named once and in order, or all is refused.
    pub(crate) fn from_parts(parts: Vec<Bytes>) -> Result<Self, ContentError> {
        let mut parts = parts.into_iter();
        let content: wire::Content = canonical(parts.next().ok_or(ContentError::Parts)?)?;
        if content.encoding != ENCODING_PLAIN {
            return Err(ContentError::Malformed);
        }
        scan::message(&content.payload).map_err(|_| ContentError::Malformed)?;
        let message: wire::Message = canonical(content.payload)?;
        let mut at = 1;
        let body = match message.body_part {
            0 if message.body.len() <= l::BODY_INLINE_MAX => message.body,
            1 if message.body.is_empty() => {
                at = 2;
                let body = parts.next().ok_or(ContentError::Parts)?;
                if body.len() <= l::BODY_INLINE_MAX {
                    return Err(ContentError::Malformed); // it belongs inside: one meaning, one encoding
                }
                body
            }
            _ => return Err(ContentError::Parts),
        };
        let mut read = Self::new(TypeName::new(&message.r#type)?, &message.subject, body)?;
        read = read.with_lang(&message.lang)?;
        if !message.in_reply_to.is_empty() {
            let id: MessageId = message.in_reply_to.parse().map_err(|_| ContentError::Malformed)?;
            if id.to_string() != message.in_reply_to {
                return Err(ContentError::Malformed);
            }
            read = read.answering(id);
        }
        for (stated, no) in message.attachments.iter().zip(at..) {
            let data = parts.next().ok_or(ContentError::Parts)?;
            let file = Attachment::new(&stated.name, &stated.media_type, data)?;
            let fits = stated.part == part_no(no)
                && stated.bytes == file.data.len() as u64
                && stated.sha256[..] == file.sha256.0[..];
            if !fits {
                return Err(ContentError::Parts);
            }
            read = read.attach(file)?;
        }
        if parts.next().is_some() { Err(ContentError::Parts) } else { Ok(read) }
    }
}

fn part_no(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: a message has at most 34 parts")
}

/// Decodes, encodes again and compares: one string of bytes has one meaning ([S-13]).
fn canonical<M: prost::Message + Default>(bytes: Bytes) -> Result<M, ContentError> {
    let message = M::decode(bytes.clone()).map_err(|_| ContentError::Malformed)?;
    if message.encode_to_vec() == bytes { Ok(message) } else { Err(ContentError::Malformed) }
}

#[cfg(test)]
mod tests;
