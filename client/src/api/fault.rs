//! A refusal over HTTP: the JSON that scripts rely on and the status nearest to it. Never carries more than the
//! refusal itself says.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::answer::ErrorAnswer;
use crate::exit::{DeskError, ExitCode, codes};

/// A refusal on its way out.
pub(crate) struct Fault(pub(crate) DeskError);

impl From<DeskError> for Fault {
    fn from(error: DeskError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = status_of(&self.0);
        (status, Json(ErrorAnswer::from(self.0))).into_response()
    }
}

/// The exit code says the kind; a few words have a status of their own that HTTP clients know.
fn status_of(error: &DeskError) -> StatusCode {
    match error.code {
        codes::NO_SUCH_MESSAGE | codes::NO_SUCH_FILE | codes::UNKNOWN_ROUTE => return StatusCode::NOT_FOUND,
        codes::UNKNOWN_METHOD => return StatusCode::METHOD_NOT_ALLOWED,
        codes::FILE_TOO_LARGE => return StatusCode::PAYLOAD_TOO_LARGE,
        _ => {}
    }
    match error.exit {
        ExitCode::Done | ExitCode::Internal | ExitCode::Faults | ExitCode::Partly => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ExitCode::Usage => StatusCode::BAD_REQUEST,
        ExitCode::Unreachable | ExitCode::Store | ExitCode::TryLater => StatusCode::SERVICE_UNAVAILABLE,
        ExitCode::LocalPermission | ExitCode::NotAllowed => StatusCode::FORBIDDEN,
        ExitCode::NotTrusted => StatusCode::BAD_GATEWAY,
        ExitCode::NotInTime => StatusCode::GATEWAY_TIMEOUT,
        ExitCode::EndedBadly => StatusCode::CONFLICT,
        ExitCode::NothingFound => StatusCode::NOT_FOUND,
        ExitCode::InvalidInput => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
