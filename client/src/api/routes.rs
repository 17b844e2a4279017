//! The routes: each reads its request, asks the desk once, and answers with one shape of `answer`. Holds no state of
//! its own but the limits on how much is under way.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use valise_host::doorway::Rights;
use valise_proto::names::MessageId;

use super::fault::Fault;
use super::listener::Visitor;
use super::peer;
use super::{INTAKE_DEADLINE, INTAKES_MAX, WAIT_MAX_MS, intake};
use crate::answer::{
    AckAnswer, InboxLine, LiveAnswer, SendAnswer, ShowAnswer, StatusAnswer, TrackLine, WaitAnswer,
};
use crate::contract::Desk;
use crate::exit::{DeskError, ExitCode, codes};

/// What every route reaches.
struct Room<D> {
    desk: Arc<D>,
    rights: Rights,
    intakes: Semaphore,
    stopping: CancellationToken,
}

type Shared<D> = State<Arc<Room<D>>>;
type Answer<T> = Result<Json<T>, Fault>;

/// All routes, with the check of who calls around every one of them, known or not.
pub(crate) fn router<D: Desk>(desk: Arc<D>, rights: Rights, stopping: CancellationToken) -> Router {
    let room = Arc::new(Room { desk, rights, intakes: Semaphore::new(INTAKES_MAX), stopping });
    let request_max =
        usize::try_from(intake::REQUEST_MAX).expect("invariant: a message fits an address space");
    Router::new()
        .route("/v1/messages", post(send::<D>).layer(DefaultBodyLimit::max(request_max)))
        .route("/v1/messages/{id}", get(show::<D>))
        .route("/v1/messages/{id}/body", get(body::<D>))
        .route("/v1/messages/{id}/files/{number}", get(file::<D>))
        .route("/v1/messages/{id}/track", get(track::<D>))
        .route("/v1/messages/{id}/state", get(wait::<D>))
        .route("/v1/messages/{id}/ack", post(ack::<D>))
        .route("/v1/inbox", get(inbox::<D>))
        .route("/v1/status", get(status::<D>))
        .route("/v1/livez", get(async || Json(LiveAnswer { live: true })))
        .fallback(async || Fault(unknown_route()))
        .method_not_allowed_fallback(async || Fault(unknown_method()))
        .layer(middleware::from_fn_with_state(Arc::clone(&room), admit::<D>))
        .with_state(room)
}

fn unknown_route() -> DeskError {
    let help = "the routes are /v1/messages, /v1/inbox, /v1/status and /v1/livez";
    DeskError::usage(codes::UNKNOWN_ROUTE, "the local API has no such route", help)
}

fn unknown_method() -> DeskError {
    let help = "use POST to send and to acknowledge, GET for all else";
    DeskError::usage(codes::UNKNOWN_METHOD, "this route does not know the method", help)
}

async fn admit<D: Desk>(
    State(room): Shared<D>,
    ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    peer::admit(room.rights, peer).inspect_err(|_| {
        tracing::warn!(event = "api-refused", uid = peer.uid, "a local user may not use this desk");
    })?;
    Ok(next.run(request).await)
}

async fn send<D: Desk>(
    State(room): Shared<D>,
    request: Request,
) -> Result<(StatusCode, Json<SendAnswer>), Fault> {
    let permit = room.intakes.acquire().await;
    let _permit = permit.expect("invariant: nobody closes the semaphore of intakes");
    let taken = tokio::time::timeout(INTAKE_DEADLINE, intake::read(request)).await;
    let message = taken.map_err(|_| intake::too_slow())??;
    let answer = room.desk.send(message).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxQuery {
    limit: Option<usize>,
}

async fn inbox<D: Desk>(
    State(room): Shared<D>,
    query: Result<Query<InboxQuery>, QueryRejection>,
) -> Answer<Vec<InboxLine>> {
    let Query(InboxQuery { limit }) = query.map_err(|cause| bad_query(&cause))?;
    Ok(Json(room.desk.inbox(limit).await?))
}

async fn show<D: Desk>(
    State(room): Shared<D>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<ShowAnswer> {
    Ok(Json(room.desk.show(message_id(path)?).await?))
}

async fn track<D: Desk>(
    State(room): Shared<D>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<Vec<TrackLine>> {
    Ok(Json(room.desk.track(message_id(path)?).await?))
}

async fn ack<D: Desk>(
    State(room): Shared<D>,
    ConnectInfo(Visitor(peer)): ConnectInfo<Visitor>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<AckAnswer> {
    Ok(Json(room.desk.ack(message_id(path)?, peer.uid).await?))
}

async fn status<D: Desk>(State(room): Shared<D>) -> Answer<StatusAnswer> {
    Ok(Json(room.desk.status().await?))
}

async fn body<D: Desk>(
    State(room): Shared<D>,
    path: Result<Path<String>, PathRejection>,
) -> Result<(HeaderMap, Bytes), Fault> {
    let bytes = room.desk.body(message_id(path)?).await?;
    Ok((as_download(), bytes))
}

async fn file<D: Desk>(
    State(room): Shared<D>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(HeaderMap, Bytes), Fault> {
    let Path((id, number)) = path.map_err(|_| Fault(unknown_route()))?;
    let id = parse_id(&id)?;
    let number = number.parse().map_err(|_| {
        let shown: String = number.chars().filter(|c| !c.is_control()).take(20).collect();
        DeskError::no_such_file(id, shown)
    })?;
    let bytes = room.desk.file(id, number).await?;
    Ok((as_download(), bytes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    wait: Option<String>,
    timeout_ms: Option<u64>,
}

/// Answers at once without `wait`; a timeout over [`WAIT_MAX_MS`] is shortened to it.
async fn wait<D: Desk>(
    State(room): Shared<D>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<WaitQuery>, QueryRejection>,
) -> Answer<WaitAnswer> {
    let id = message_id(path)?;
    let Query(query) = query.map_err(|cause| bad_query(&cause))?;
    let target =
        query.wait.as_deref().unwrap_or("queued").parse().map_err(|cause: crate::answer::UnknownState| {
            DeskError::usage("unknown-state", cause.to_string(), "use one of these words")
        })?;
    let timeout = Duration::from_millis(query.timeout_ms.unwrap_or(0).min(WAIT_MAX_MS));
    tokio::select! {
        biased;
        answer = room.desk.wait(id, target, timeout) => Ok(Json(answer?)),
        () = room.stopping.cancelled() => Err(Fault(DeskError::new(
            ExitCode::Unreachable,
            "daemon-stopping",
            "the daemon is stopping; the message stays queued",
            "ask again once the daemon is back",
        ))),
    }
}

fn message_id(path: Result<Path<String>, PathRejection>) -> Result<MessageId, DeskError> {
    let Path(text) = path.map_err(|_| unknown_route())?;
    parse_id(&text)
}

/// Reads a message id, in either case of letters.
pub(crate) fn parse_id(text: &str) -> Result<MessageId, DeskError> {
    text.parse().map_err(|cause: valise_proto::names::NameError| {
        let help = "take the id from `valise inbox` or from the answer of `valise send`";
        DeskError::invalid("malformed-id", cause.to_string(), help)
    })
}

fn bad_query(cause: &QueryRejection) -> Fault {
    let text: String = cause.body_text().chars().filter(|c| !c.is_control()).take(200).collect();
    Fault(DeskError::usage("bad-request", text, "correct the part of the address after the question mark"))
}

/// Bytes to be kept, never to be shown or run by whatever fetched them.
fn as_download() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}
