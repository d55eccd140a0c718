//! The HTTP side of unsubscribing (RFC 8058; RULES P7, L9; promises 6 and 7).

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use axum::{Extension, Router};
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::desk::{Desk, Visit};
use super::health::probe;
use super::language::choose;
use super::page::{self, Subject};
use super::proxy;
use crate::ledger::{RecordError, Way};
use crate::mail::{Domain, Language, Sender};
use crate::metrics;
use crate::net::http::{self, Visitor};
use crate::secret::SharedEntropy;
use crate::shutdown::Shutdown;
use crate::token::Claim;

/// Where links live.
const LINK: &str = "/u/";

/// What may be asked of a link.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// Bounds of the unsubscribe listener (promise 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections, headers and idle time.
    pub http: http::Limits,
    /// Octets of a request body; above it, 413.
    pub body: usize,
    /// Time to send a request body; after it, 408.
    pub body_time: Duration,
    /// Unsubscribes that wait for the ledger at one time; above it, 503.
    pub pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http: http::Limits::default(),
            body: 64 * 1024,
            body_time: Duration::from_secs(20),
            pending: 4_096,
        }
    }
}

/// What the handlers share.
struct Counter {
    desk: Arc<Desk>,
    limits: Limits,
    entropy: SharedEntropy,
    pending: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// Serve `desk` on `listener` until `shutdown`. Requests that are under way are finished, and unsubscribes
/// that were taken are recorded, before `shutdown.drained()` resolves.
pub async fn run(
    listener: TcpListener,
    desk: Arc<Desk>,
    entropy: SharedEntropy,
    limits: Limits,
    shutdown: Shutdown,
) {
    let counter = Counter {
        desk,
        limits,
        entropy,
        pending: Arc::new(Semaphore::new(limits.pending)),
        shutdown: shutdown.clone(),
    };
    let router = Router::new()
        .route("/u/{token}", any(link))
        .route("/healthz", any(healthz))
        .fallback(elsewhere)
        .with_state(Arc::new(counter));
    http::serve(listener, router, limits.http, shutdown).await;
}

/// One link, whatever is asked of it. Nothing but POST changes anything (promise 7), whatever else a
/// request carries.
async fn link(
    State(counter): State<Arc<Counter>>,
    Extension(visitor): Extension<Visitor>,
    request: Request<Body>,
) -> Response<Body> {
    let _busy = visitor.busy();
    // The path as it came: a token that was percent-encoded on its way is not one of ours.
    let token = request.uri().path().strip_prefix(LINK).unwrap_or_default().to_owned();
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::GET | Method::HEAD | Method::POST => {}
        Method::OPTIONS => return with_allow(empty(StatusCode::NO_CONTENT)),
        _ => return with_allow(text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n")),
    }
    let settings = counter.desk.settings();
    if !is_ours(&parts, &settings.hosts) {
        return unknown(&parts.headers);
    }
    let Ok((claim, sender)) = counter.desk.open(&token) else { return unknown(&parts.headers) };
    let language = language(&parts.headers, sender.as_deref());
    if parts.method != Method::POST {
        let subject = Subject { sender: sender.as_deref(), address: &claim.address };
        return html(StatusCode::OK, page::ask(language, subject));
    }
    let body = match tokio::time::timeout(counter.limits.body_time, read(body, counter.limits.body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal,
        Err(_) => return closing(text(StatusCode::REQUEST_TIMEOUT, "The request took too long.\n")),
    };
    let ip = proxy::client(&parts.headers, visitor.ip, &settings.trusted_proxies);
    unsubscribe(&counter, Link { token, claim, sender, language }, &parts.headers, &body, ip).await
}

/// Whether a request is for one of `hosts`: a name that strangers point at us shows nobody our page.
fn is_ours(parts: &Parts, hosts: &[Domain]) -> bool {
    let named = match parts.uri.host() {
        Some(host) => Some(host.to_owned()),
        None => field(&parts.headers, header::HOST),
    };
    let Some(host) = named else { return hosts.is_empty() };
    let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
    hosts.is_empty() || Domain::parse(host).is_ok_and(|host| hosts.contains(&host))
}

/// A link that opened, and how to talk to whoever holds it.
struct Link {
    token: String,
    claim: Claim,
    sender: Option<Arc<Sender>>,
    language: Language,
}

/// Take the unsubscribe, detached from the client's connection: once it is asked for, a client that hangs
/// up does not undo it.
async fn unsubscribe(
    counter: &Arc<Counter>,
    link: Link,
    headers: &HeaderMap,
    body: &[u8],
    ip: IpAddr,
) -> Response<Body> {
    let visit =
        Visit { way: way(body), ip: Some(ip.to_string()), user_agent: field(headers, header::USER_AGENT) };
    let way = visit.way;
    let taken = match counter.pending.clone().try_acquire_owned() {
        Err(_) => {
            metrics::limit_hit("unsubscribes_pending");
            Err(RecordError::Store("too many unsubscribes wait for the ledger".to_owned()))
        }
        Ok(place) => {
            let (desk, token, claim) = (counter.desk.clone(), link.token, link.claim.clone());
            let task = counter.shutdown.spawn(async move {
                let taken = desk.take(&token, claim, visit).await;
                drop(place);
                taken
            });
            task.await.unwrap_or(Err(RecordError::Closed))
        }
    };
    let subject = Subject { sender: link.sender.as_deref(), address: &link.claim.address };
    match (taken, way) {
        (Ok(_), Way::Page) => html(StatusCode::OK, page::done(link.language, subject)),
        (Ok(_), _) => text(StatusCode::OK, "Unsubscribed.\n"),
        (Err(error), way) => {
            warn!(%error, "an unsubscribe was not recorded; the client was told to try again");
            let answer = match way {
                Way::Page => html(StatusCode::SERVICE_UNAVAILABLE, page::failed(link.language, subject)),
                _ => text(StatusCode::SERVICE_UNAVAILABLE, "Not recorded. Please try again later.\n"),
            };
            with(answer, header::RETRY_AFTER, HeaderValue::from_static("60"))
        }
    }
}

/// A mail program's one-click POST, or the button of the page. Both unsubscribe, and so does a POST with
/// neither: only the form of the answer hangs on it.
fn way(body: &[u8]) -> Way {
    if body.split(|&byte| byte == b'&').any(|field| field.trim_ascii() == page::BUTTON.as_bytes()) {
        Way::Page
    } else {
        if memmem::find(body, b"One-Click").is_none() {
            debug!("a POST without List-Unsubscribe=One-Click, taken as one");
        }
        Way::OneClick
    }
}

/// All of `body`, at most `limit` octets of it.
async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Response<Body>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(frame) = frame else {
            return Err(closing(text(StatusCode::BAD_REQUEST, "The request could not be read.\n")));
        };
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            metrics::limit_hit("unsubscribe_body");
            return Err(closing(text(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.\n")));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Whether links open and the register can be read.
async fn healthz(
    State(counter): State<Arc<Counter>>,
    Extension(visitor): Extension<Visitor>,
    request: Request<Body>,
) -> Response<Body> {
    let _busy = visitor.busy();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let answer = text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
        return with(answer, header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let claim = probe(counter.entropy.as_ref());
    let token = counter.desk.settings().keys.mint(&claim, counter.entropy.as_ref());
    let opens = counter.desk.open(&token).is_ok_and(|(opened, _)| opened == claim);
    if opens && counter.desk.can_read(&claim) {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n")
    }
}

/// Any other path.
async fn elsewhere(Extension(visitor): Extension<Visitor>, headers: HeaderMap) -> Response<Body> {
    let _busy = visitor.busy();
    unknown(&headers)
}

/// The one answer to every link that does not open, and to every other path.
fn unknown(headers: &HeaderMap) -> Response<Body> {
    html(StatusCode::NOT_FOUND, page::unknown(language(headers, None)))
}

fn language(headers: &HeaderMap, sender: Option<&Sender>) -> Language {
    let accept = field(headers, header::ACCEPT_LANGUAGE).unwrap_or_default();
    choose(&accept, sender.map_or_else(Language::default, |sender| sender.language))
}

/// A header's value, with what is no UTF-8 replaced.
fn field(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn html(status: StatusCode, page: String) -> Response<Body> {
    answer(status, "text/html; charset=utf-8", page)
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    protect(response.headers_mut());
    response
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    protect(response.headers_mut());
    response
}

/// What every answer carries: a link is a secret between its holder and us, so nothing keeps it, indexes it,
/// passes it on or puts it into a frame.
fn protect(headers: &mut HeaderMap) {
    if let Ok(policy) = HeaderValue::from_str(&page::POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "accept-language"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn with(mut response: Response<Body>, name: header::HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}

fn with_allow(response: Response<Body>) -> Response<Body> {
    with(response, header::ALLOW, HeaderValue::from_static(METHODS))
}

/// The rest of the body is not read, so the connection cannot be used again.
fn closing(response: Response<Body>) -> Response<Body> {
    with(response, header::CONNECTION, HeaderValue::from_static("close"))
}
