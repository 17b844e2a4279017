//! Reads a message from a request, as a form with files or as one JSON object, and checks all that needs no roster.
//! Holds a message in memory once; nothing over the limit is read to its end.

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use valise_proto::limits::{ATTACHMENTS_MAX, MESSAGE_MAX};

use crate::answer::{FileRequest, SendRequest};
use crate::contract::{
    Attached, Compose, IDEMPOTENCY_KEY_MAX, MEDIA_TYPE_MAX, MEDIA_TYPE_UNKNOWN, too_large,
};
use crate::exit::{DeskError, ExitCode};

/// What a form may hold beside the message itself: part headers, addressees, names. 64 KiB for the `message` part
/// (256 mailboxes, the subject, 32 names) and 4 KiB for each attachment's headers.
const FORM_OVERHEAD: u64 = 64 * 1024 + 4096 * ATTACHMENTS_MAX as u64;
/// Most bytes of a request that carries a message.
pub(crate) const REQUEST_MAX: u64 = MESSAGE_MAX + FORM_OVERHEAD;
/// Most bytes of the `message` part.
const MESSAGE_PART_MAX: usize = 64 * 1024;
/// Names the request, so that repeating it sends nothing twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Reads and checks a message.
pub(crate) async fn read(request: Request) -> Result<Compose, DeskError> {
    let idempotency = idempotency_key(request.headers())?;
    let stated = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type =
        stated.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut compose = match media_type.as_str() {
        "multipart/form-data" => read_form(request).await?,
        "application/json" => read_json(request.into_body()).await?,
        _ => {
            let help = "send `application/json`, or `multipart/form-data` with a part called `message`";
            let message = "the request is neither a form nor a JSON object";
            return Err(DeskError::usage("unknown-media-type", message, help));
        }
    };
    compose.idempotency = idempotency;
    compose.check()?;
    Ok(compose)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, DeskError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let bad = || {
        let message = format!("the idempotency key is not 1 to {IDEMPOTENCY_KEY_MAX} printable characters");
        DeskError::invalid("bad-idempotency-key", message, "use a UUID or a hash of the request")
    };
    let key = value.to_str().map_err(|_| bad())?;
    if (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) { Ok(Some(key.to_owned())) } else { Err(bad()) }
}

async fn read_json(body: Body) -> Result<Compose, DeskError> {
    let limit = usize::try_from(REQUEST_MAX).expect("invariant: a message fits an address space");
    let collected = Limited::new(body, limit).collect().await;
    let bytes =
        collected.map_err(|cause| if cause.is::<LengthLimitError>() { too_large() } else { cut_short() })?;
    let mut request = parse(&bytes.to_bytes())?;
    if request.files.is_some() {
        let message = "a JSON request carries no attachments, yet it names some in `files`";
        return Err(DeskError::usage("bad-request", message, "send a form to attach files"));
    }
    let body = Bytes::from(request.body.take().unwrap_or_default());
    compose(request, body, Vec::new())
}

async fn read_form(request: Request) -> Result<Compose, DeskError> {
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|cause| DeskError::usage("bad-request", cause.body_text(), "send a form with a boundary"))?;
    let (mut message, mut body, mut files) = (None, None, Vec::new());
    while let Some(field) = form.next_field().await.map_err(|cause| form_fault(&cause))? {
        match field.name().unwrap_or_default() {
            "message" if message.is_none() => {
                let bytes = field.bytes().await.map_err(|cause| form_fault(&cause))?;
                if bytes.len() > MESSAGE_PART_MAX {
                    let text = format!("the `message` part is over {MESSAGE_PART_MAX} bytes");
                    return Err(DeskError::invalid("message-part-too-large", text, "name fewer recipients"));
                }
                message = Some(parse(&bytes)?);
            }
            "body" if body.is_none() => {
                body = Some(field.bytes().await.map_err(|cause| form_fault(&cause))?);
            }
            "attachment" if files.len() <= ATTACHMENTS_MAX => files.push(read_file(field).await?),
            "attachment" => {
                let text = format!("there are more than {ATTACHMENTS_MAX} attachments");
                return Err(DeskError::invalid("too-many-files", text, "send it as several messages"));
            }
            other => {
                let name: String = other.chars().filter(|c| !c.is_control()).take(32).collect();
                let text = format!("the part `{name}` is unknown or comes twice");
                let help = "send one `message`, at most one `body`, and an `attachment` for each file";
                return Err(DeskError::usage("bad-request", text, help));
            }
        }
    }
    let mut request: SendRequest = message.ok_or_else(|| {
        let help = "add a part called `message`: {\"to\":[\"br\"],\"subject\":\"…\"}";
        DeskError::usage("bad-request", "the form has no part called `message`", help)
    })?;
    if request.body.is_some() && body.is_some() {
        let text = "the body is there twice, as a part and in `message`";
        return Err(DeskError::usage("bad-request", text, "send it once"));
    }
    let body = body.unwrap_or_else(|| Bytes::from(request.body.take().unwrap_or_default()));
    if let Some(names) = request.files.take() {
        files = named(files, names)?;
    }
    compose(request, body, files)
}

async fn read_file(field: Field<'_>) -> Result<Attached, DeskError> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let media_type = checked_media_type(field.content_type());
    let bytes = field.bytes().await.map_err(|cause| form_fault(&cause))?;
    Ok(Attached { name, media_type, bytes })
}

/// Gives the attachments the names that the `message` part states for them.
fn named(files: Vec<Attached>, names: Vec<FileRequest>) -> Result<Vec<Attached>, DeskError> {
    if files.len() != names.len() {
        let text = format!("`files` names {} attachments and the form has {}", names.len(), files.len());
        return Err(DeskError::usage(
            "bad-request",
            text,
            "name each attachment once, in order, or leave `files` out",
        ));
    }
    let rename = |(file, stated): (Attached, FileRequest)| Attached {
        name: stated.name,
        media_type: stated.media_type.map_or(file.media_type, |text| checked_media_type(Some(&text))),
        bytes: file.bytes,
    };
    Ok(files.into_iter().zip(names).map(rename).collect())
}

/// A media type fit to be passed on: printable ASCII with a slash, not over its limit; else the unknown one.
fn checked_media_type(stated: Option<&str>) -> String {
    let fit = |text: &&str| {
        text.len() <= MEDIA_TYPE_MAX && text.contains('/') && text.bytes().all(|b| (0x20..0x7f).contains(&b))
    };
    stated.filter(fit).unwrap_or(MEDIA_TYPE_UNKNOWN).to_owned()
}

fn compose(request: SendRequest, body: Bytes, attachments: Vec<Attached>) -> Result<Compose, DeskError> {
    let precedence = request.precedence.map(|word| word.parse()).transpose().map_err(
        |cause: valise_proto::kinds::UnknownWord| {
            DeskError::usage("unknown-precedence", cause.to_string(), "use one of these words")
        },
    )?;
    let SendRequest { to, info, subject, .. } = request;
    Ok(Compose { to, info, precedence, subject, body, attachments, idempotency: None })
}

fn parse(bytes: &[u8]) -> Result<SendRequest, DeskError> {
    serde_json::from_slice(bytes).map_err(|cause| {
        let help = "send {\"to\":[\"br\"],\"subject\":\"…\"}; the API's page lists every field";
        // serde's sentence may quote what it found; keep the place and the kind, never the content.
        let (line, column) = (cause.line(), cause.column());
        let text = format!("the message is not the JSON we know: a fault at line {line} column {column}");
        DeskError::usage("bad-request", text, help)
    })
}

fn form_fault(cause: &MultipartError) -> DeskError {
    if cause.status() == StatusCode::PAYLOAD_TOO_LARGE { too_large() } else { cut_short() }
}

fn cut_short() -> DeskError {
    let message = "the request ended early or is not a well-formed form; nothing was sent";
    DeskError::usage("bad-request", message, "send it again")
}

/// The caller did not finish in time.
pub(crate) fn too_slow() -> DeskError {
    let message = "the message was not handed in within a minute; nothing was sent";
    DeskError::new(ExitCode::TryLater, "too-slow", message, "send it again")
}
