//! Gathers a message from files and standard input, measured before anything is sent, and packs it as one form.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use bytes::Bytes;
use valise_host::entropy::random;
use valise_proto::limits::MESSAGE_MAX;

use crate::answer::{FileRequest, SendRequest};
use crate::contract::{Attached, MEDIA_TYPE_UNKNOWN, too_large};
use crate::exit::{DeskError, ExitCode};

/// How many more bytes the message may have.
pub(super) struct Room(u64);

impl Room {
    /// A whole message.
    pub(super) const fn new() -> Self {
        Self(MESSAGE_MAX)
    }

    /// Reads a source to its end, or finds it too large; never reads more than one byte beyond the room left.
    fn read(&mut self, source: &mut dyn Read) -> std::io::Result<Result<Bytes, DeskError>> {
        let mut bytes = Vec::new();
        let len = source.take(self.0 + 1).read_to_end(&mut bytes)? as u64;
        let Some(left) = self.0.checked_sub(len) else { return Ok(Err(too_large())) };
        self.0 = left;
        Ok(Ok(bytes.into()))
    }

    /// Reads a file to be attached.
    pub(super) fn attach(&mut self, path: &Path) -> Result<Attached, DeskError> {
        let mut file = File::open(path).map_err(|cause| unreadable(path, &cause))?;
        let found = file.metadata().map_err(|cause| unreadable(path, &cause))?;
        if found.is_dir() {
            let message = format!("{} is a directory", path.display());
            return Err(DeskError::invalid(
                "file-is-directory",
                message,
                "attach its files, or an archive of it",
            ));
        }
        let bytes =
            self.read(&mut file).map_err(|cause| unreadable(path, &cause))?.map_err(|mut refusal| {
                refusal.message = format!("with {} the {}", path.display(), refusal.message);
                refusal
            })?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Attached { media_type: media_type_of(&name).to_owned(), name, bytes })
    }

    /// Reads the body.
    pub(super) fn body(&mut self, stdin: &mut dyn Read) -> Result<Bytes, DeskError> {
        self.read(stdin).map_err(|cause| {
            let message = format!("standard input cannot be read: {cause}");
            DeskError::invalid(
                "body-unreadable",
                message,
                "hand the body in as a file: `valise send … < body.txt`",
            )
        })?
    }
}

fn unreadable(path: &Path, cause: &std::io::Error) -> DeskError {
    let path = path.display();
    if cause.kind() == ErrorKind::NotFound {
        let message = format!("there is no file {path}");
        return DeskError::invalid("file-missing", message, "correct the path after `--attach`");
    }
    let message = format!("{path} cannot be read: {cause}");
    DeskError::new(ExitCode::InvalidInput, "file-unreadable", message, "make the file readable for this user")
}

/// The media type of a file by the end of its name; the recipient's side judges by the bytes anyway.
fn media_type_of(name: &str) -> &'static str {
    let extension = Path::new(name).extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "csv" => "text/csv",
        "gif" => "image/gif",
        "htm" | "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "json" => "application/json",
        "md" => "text/markdown",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "tif" | "tiff" => "image/tiff",
        "txt" => "text/plain",
        "xml" => "application/xml",
        "zip" => "application/zip",
        _ => MEDIA_TYPE_UNKNOWN,
    }
}

/// A form: its media type and its bytes.
pub(super) struct Form {
    /// `multipart/form-data` with the boundary.
    pub(super) media_type: String,
    /// All parts.
    pub(super) bytes: Bytes,
}

/// Packs a message. Names travel in the `message` part, because a part header cannot carry every name.
pub(super) fn pack(mut request: SendRequest, body: &Bytes, files: &[Attached]) -> Form {
    let named =
        |file: &Attached| FileRequest { name: file.name.clone(), media_type: Some(file.media_type.clone()) };
    request.files = (!files.is_empty()).then(|| files.iter().map(named).collect());
    let message = serde_json::to_vec(&request).expect("invariant: a request holds strings only");
    // 16 random bytes: no content can have been made to hold them.
    let boundary = format!("valise-{:032x}", u128::from_be_bytes(random()));
    let mut bytes = Vec::new();
    let mut part = |disposition: &str, content: &[u8]| {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
    };
    part("name=\"message\"", &message);
    part("name=\"body\"", body);
    for file in files {
        part("name=\"attachment\"; filename=\"attachment\"", &file.bytes);
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Form { media_type: format!("multipart/form-data; boundary={boundary}"), bytes: bytes.into() }
}
