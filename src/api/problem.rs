//! What is told of a mistake: problem details (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// A mistake, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip)]
    challenge: bool,
    #[serde(skip)]
    again: bool,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            challenge: false,
            again: false,
        }
    }

    /// The request says what cannot be.
    pub(super) fn wrong(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// No token, or none of ours (RFC 6750 3).
    pub(super) fn unknown_token() -> Self {
        let detail = "send Authorization: Bearer NAME.SECRET, with a token of an [[api.token]] in the config";
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// The token may not.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// No such path.
    pub(super) fn nowhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no such path; GET /v1/openapi.json lists them")
    }

    /// Another method.
    pub(super) fn other_method(allowed: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"))
    }

    /// The body is longer than it may be.
    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body may have {limit} octets (limits.api_body)"),
        )
    }

    /// The body is no JSON.
    pub(super) fn not_json() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json")
    }

    /// The body did not come.
    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time (limits.http_timeout)")
    }

    /// Too many at this moment.
    pub(super) fn busy(detail: &str) -> Self {
        Self { again: true, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// The store does not answer: nothing was done (promise 5).
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self { again: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Five fields of text and a number: they have no way not to be JSON.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut answer = respond(status, "application/problem+json", body);
        let headers = answer.headers_mut();
        if self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sluis\""));
        }
        if self.again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        answer
    }
}

/// An answer that nothing keeps.
pub(super) fn respond(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
