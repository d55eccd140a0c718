//! The HTTP side of unsubscribing (RFC 8058; RULES P7, L9; promises 6 and 7).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use axum::{Extension, Router};
use tokio::net::TcpListener;

use super::desk::{Desk, Taken, Visit};
use super::detached::Detached;
use super::form::Wish;
use super::health::probe;
use super::language::choose;
use super::look::Look;
use super::page::{self, Afterwards, Subject};
use super::proxy;
use crate::ledger::{RecordError, Way};
use crate::mail::{Domain, Language, Sender};
use crate::metrics;
use crate::net::http::{self, Certificate, Visitor};
use crate::secret::SharedEntropy;
use crate::shutdown::Shutdown;
use crate::token::Claim;

/// The answer to a one-click POST.
pub(super) const UNSUBSCRIBED: &str = "Unsubscribed.\n";

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
    work: Detached,
}

/// Serve `desk` on `listener`, over TLS with the latest `tls` if there is one, until `shutdown`. Requests that are under way are finished, and unsubscribes
/// that were taken are recorded, before `shutdown.drained()` resolves.
pub async fn run(
    listener: TcpListener,
    tls: Option<Certificate>,
    desk: Arc<Desk>,
    entropy: SharedEntropy,
    limits: Limits,
    shutdown: Shutdown,
) {
    run_beside(listener, tls, desk, entropy, limits, Router::new(), shutdown).await;
}

/// [`run`], with `other` routes on the same listener.
pub async fn run_beside(
    listener: TcpListener,
    tls: Option<Certificate>,
    desk: Arc<Desk>,
    entropy: SharedEntropy,
    limits: Limits,
    other: Router,
    shutdown: Shutdown,
) {
    let counter = Counter {
        desk,
        limits,
        entropy,
        work: Detached::new(limits.pending, "unsubscribes_pending", shutdown.clone()),
    };
    let router = Router::new()
        .route("/u/{token}", any(link))
        .route("/healthz", any(healthz))
        .fallback(elsewhere)
        .with_state(Arc::new(counter))
        .merge(other);
    http::serve(listener, tls, router, limits.http, shutdown).await;
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
        _ => return other_method(&parts.method),
    }
    let settings = counter.desk.settings();
    // A link is as good as its token: whatever a POST says of the host, or does not, nobody is kept in (promise 7).
    if parts.method != Method::POST && !is_ours(&parts, &settings.hosts) {
        return unknown(&counter, &parts.headers);
    }
    let Ok((claim, sender)) = counter.desk.open(&token) else { return unknown(&counter, &parts.headers) };
    let language = language(&parts.headers, sender.as_deref());
    let look = counter.desk.look(&claim.sender);
    let link = Link { token, claim, sender, language, look };
    if parts.method != Method::POST {
        return html(StatusCode::OK, page::ask(language, link.subject()), &link.look);
    }
    let body = match tokio::time::timeout(counter.limits.body_time, read(body, counter.limits.body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal,
        Err(_) => return closing(text(StatusCode::REQUEST_TIMEOUT, "The request took too long.\n")),
    };
    let ip = proxy::client(&parts.headers, visitor.ip, &settings.trusted_proxies);
    let agent = field(&parts.headers, header::USER_AGENT);
    let visit = |way| Visit { way, ip: Some(ip.to_string()), user_agent: agent.clone() };
    match Wish::read(&body) {
        Wish::OneClick => match unsubscribe(&counter, &link, visit(Way::OneClick)).await {
            Ok(_) => text(StatusCode::OK, UNSUBSCRIBED),
            Err(_) => again(text(StatusCode::SERVICE_UNAVAILABLE, "Not recorded. Please try again later.\n")),
        },
        wish => by_page(&counter, &link, wish, visit(Way::Page)).await,
    }
}

/// The buttons of the page, answered with a page. Whichever it is, whoever asks for anything but the way back
/// has unsubscribed.
async fn by_page(counter: &Arc<Counter>, link: &Link, wish: Wish, visit: Visit) -> Response<Body> {
    let mut then = Afterwards::default();
    let mut undo = None;
    if let Wish::Undo(proof) = &wish {
        match counter.desk.proof(proof, &link.token) {
            Some(proof) => {
                let (desk, token, claim) = (counter.desk.clone(), link.token.clone(), link.claim.clone());
                let taken =
                    counter.work.run(async move { desk.take_back(&token, claim, visit, proof).await });
                return match taken.await {
                    Ok(()) => html(StatusCode::OK, page::undone(link.language, link.subject()), &link.look),
                    Err(_) => failed(link),
                };
            }
            None => then.too_late = true,
        }
    }
    match unsubscribe(counter, link, visit).await {
        Ok(Taken::Recorded(Some(proof))) => undo = Some(counter.desk.seal(proof, &link.token)),
        Ok(_) => {}
        Err(_) => return failed(link),
    }
    if let Wish::Explain(why, proof) = wish {
        let (desk, token, claim) = (counter.desk.clone(), link.token.clone(), link.claim.clone());
        if counter.work.run(async move { desk.explain(&token, claim, why).await }).await.is_err() {
            return failed(link);
        }
        then.explained = true;
        undo = undo.or_else(|| proof.filter(|proof| counter.desk.proof(proof, &link.token).is_some()));
    }
    then.undo = undo.as_deref();
    html(StatusCode::OK, page::done(link.language, link.subject(), then), &link.look)
}

fn failed(link: &Link) -> Response<Body> {
    let page = page::failed(link.language, link.subject());
    again(html(StatusCode::SERVICE_UNAVAILABLE, page, &link.look))
}

pub(crate) fn again(answer: Response<Body>) -> Response<Body> {
    with(answer, header::RETRY_AFTER, HeaderValue::from_static("60"))
}

/// Whether a request is for one of `hosts`: a name that strangers point at us shows nobody our page.
pub(crate) fn is_ours(parts: &Parts, hosts: &[Domain]) -> bool {
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
    look: Look,
}

impl Link {
    fn subject(&self) -> Subject<'_> {
        Subject { sender: self.sender.as_deref(), address: &self.claim.address, look: &self.look }
    }
}

/// Take the unsubscribe.
async fn unsubscribe(counter: &Arc<Counter>, link: &Link, visit: Visit) -> Result<Taken, RecordError> {
    let (desk, token, claim) = (counter.desk.clone(), link.token.clone(), link.claim.clone());
    counter.work.run(async move { desk.take(&token, claim, visit).await }).await
}

/// All of `body`, at most `limit` octets of it.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Response<Body>> {
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
async fn elsewhere(
    State(counter): State<Arc<Counter>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Response<Body> {
    let _busy = visitor.busy();
    unknown(&counter, &headers)
}

/// The one answer to every link that does not open, and to every other path.
fn unknown(counter: &Counter, headers: &HeaderMap) -> Response<Body> {
    not_found(&counter.desk, headers)
}

/// The page that says so.
pub(crate) fn not_found(desk: &Desk, headers: &HeaderMap) -> Response<Body> {
    let look = desk.plain();
    html(StatusCode::NOT_FOUND, page::unknown(language(headers, None), look), look)
}

fn language(headers: &HeaderMap, sender: Option<&Sender>) -> Language {
    let accept = field(headers, header::ACCEPT_LANGUAGE).unwrap_or_default();
    choose(&accept, sender.map_or_else(Language::default, |sender| sender.language))
}

/// A header's value, with what is no UTF-8 replaced.
pub(crate) fn field(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

pub(crate) fn html(status: StatusCode, page: String, look: &Look) -> Response<Body> {
    let mut response = answer(status, "text/html; charset=utf-8", page);
    // The policy is made of letters, digits and signs that a header may have.
    if let Ok(policy) = HeaderValue::from_str(look.policy()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
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
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "accept-language"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

pub(crate) fn with(
    mut response: Response<Body>,
    name: header::HeaderName,
    value: HeaderValue,
) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}

/// The answer to what is no GET, HEAD or POST.
pub(crate) fn other_method(method: &Method) -> Response<Body> {
    let answer = match *method {
        Method::OPTIONS => empty(StatusCode::NO_CONTENT),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n"),
    };
    with(answer, header::ALLOW, HeaderValue::from_static(METHODS))
}

/// The rest of the body is not read, so the connection cannot be used again.
pub(crate) fn closing(response: Response<Body>) -> Response<Body> {
    with(response, header::CONNECTION, HeaderValue::from_static("close"))
}
