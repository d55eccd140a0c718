//! The routes, and what answers them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::any;
use axum::{Router, http};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::body;
use super::check;
use super::facts::{self, Consent, Facts, Relation, Suppression};
use super::gate::{Caller, Gate, Local, Scope};
use super::problem::{Problem, respond};
use super::sent;
use crate::admin::Services;
use crate::limits;
use crate::metrics;
use crate::net::http::Visitor;
use crate::shutdown::Shutdown;

/// The document that describes the routes (OpenAPI 3.1). A test asks each of them and holds it to that.
const OPENAPI: &str = include_str!("openapi.json");

/// Bounds of the API (promise 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a body; above it, 413.
    pub body: usize,
    /// Time to send one; after it, 408.
    pub body_time: Duration,
    /// Requests that are worked on at one time; above it, 429.
    pub at_once: usize,
}

/// One thing that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What a token needs for it; `None`: nothing, not even to be one.
    pub scope: Option<Scope>,
    ask: Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Describe,
    Check,
    Show,
    AddConsents,
    AddRelations,
    AddSuppressions,
    ListSuppressions,
    Sent,
}

const fn route(method: &'static str, path: &'static str, scope: Option<Scope>, ask: Ask) -> Route {
    Route { method, path, scope, ask }
}

/// Everything that can be asked.
pub const ROUTES: &[Route] = &[
    route("GET", "/v1/openapi.json", None, Ask::Describe),
    route("POST", "/v1/check", Some(Scope::Check), Ask::Check),
    route("GET", "/v1/register", Some(Scope::Read), Ask::Show),
    route("POST", "/v1/consents", Some(Scope::Consents), Ask::AddConsents),
    route("POST", "/v1/relations", Some(Scope::Relations), Ask::AddRelations),
    route("POST", "/v1/suppressions", Some(Scope::Suppressions), Ask::AddSuppressions),
    route("GET", "/v1/suppressions", Some(Scope::Read), Ask::ListSuppressions),
    route("POST", "/v1/sent", Some(Scope::Sent), Ask::Sent),
];

/// The document that describes the API.
pub fn openapi() -> &'static str {
    OPENAPI
}

/// What answering needs; clones share it.
#[derive(Debug, Clone)]
struct Desk {
    services: Services,
    gate: watch::Receiver<Arc<Gate>>,
    counters: limits::Limits,
    limits: Limits,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// A router for the admin socket (`local`: the kernel has said who asks) or for a listener of its own, where a token of
/// `gate` is asked for.
pub fn router(
    services: Services,
    gate: watch::Receiver<Arc<Gate>>,
    counters: limits::Limits,
    limits: Limits,
    local: bool,
    shutdown: Shutdown,
) -> Router {
    let places = Arc::new(Semaphore::new(limits.at_once));
    let desk = Desk { services, gate, counters, limits, places, shutdown };
    let router = Router::new();
    let mut paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    paths.dedup();
    let router = paths.into_iter().fold(router, |router, path| router.route(path, any(answer)));
    let router = router.fallback(answer).with_state(desk);
    if local { router.layer(Extension(Local)) } else { router }
}

/// One request, whatever it is.
async fn answer(
    State(desk): State<Desk>,
    visitor: Option<Extension<Visitor>>,
    local: Option<Extension<Local>>,
    request: Request<Body>,
) -> Response<Body> {
    let _busy = visitor.as_ref().map(|visitor| visitor.busy());
    let (head, body) = request.into_parts();
    let done = ask(&desk, visitor.as_deref(), local.is_some(), head, body).await;
    done.unwrap_or_else(|problem| problem.answer())
}

async fn ask(
    desk: &Desk,
    visitor: Option<&Visitor>,
    local: bool,
    head: http::request::Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let path = head.uri.path();
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| route.path == path).collect();
    if routes.is_empty() {
        return Err(Problem::nowhere());
    }
    let Some(route) = routes.iter().find(|route| head.method.as_str() == route.method) else {
        let methods: Vec<&str> = routes.iter().map(|route| route.method).collect();
        return Err(Problem::other_method(&methods.join(" or ")));
    };
    let Some(scope) = route.scope else {
        return Ok(respond(StatusCode::OK, "application/json", OPENAPI));
    };
    let caller = match visitor {
        _ if local => Caller::local(),
        Some(visitor) => {
            let gate = desk.gate.borrow().clone();
            gate.caller(&head.headers, visitor, &desk.counters).await?
        }
        None => return Err(Problem::unknown_token()),
    };
    caller.may(scope)?;
    let Ok(place) = Arc::clone(&desk.places).try_acquire_owned() else {
        metrics::limit_hit("api_at_once");
        return Err(Problem::busy("too many requests at once (limits.api_at_once)"));
    };
    // Read whole before anything is done: what follows must finish whether or not the client stays.
    let work = Work::read(route.ask, &head.headers, &head.uri, body, &desk.limits).await?;
    let (services, uri) = (desk.services.clone(), head.uri);
    let task = desk.shutdown.spawn(async move {
        let done = work.carry_out(&services, &caller, &uri).await;
        drop(place);
        done
    });
    task.await.unwrap_or_else(|_| Err(Problem::unavailable("the gateway is stopping")))
}

/// What is asked, with its body.
enum Work {
    Check(check::Check),
    Show,
    AddConsents(Facts<Consent>),
    AddRelations(Facts<Relation>),
    AddSuppressions(Facts<Suppression>),
    ListSuppressions,
    Sent(sent::Sent),
}

impl Work {
    async fn read(
        ask: Ask,
        headers: &HeaderMap,
        uri: &http::Uri,
        body: Body,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        if uri.query().is_some() && !matches!(ask, Ask::Show | Ask::ListSuppressions) {
            return Err(Problem::wrong("a POST has its values in the body, and no query"));
        }
        Ok(match ask {
            Ask::Check => Self::Check(body::read(headers, body, limits).await?),
            Ask::AddConsents => Self::AddConsents(body::read(headers, body, limits).await?),
            Ask::AddRelations => Self::AddRelations(body::read(headers, body, limits).await?),
            Ask::AddSuppressions => Self::AddSuppressions(body::read(headers, body, limits).await?),
            Ask::Sent => Self::Sent(body::read(headers, body, limits).await?),
            Ask::Show => Self::Show,
            Ask::ListSuppressions | Ask::Describe => Self::ListSuppressions,
        })
    }

    async fn carry_out(
        self,
        services: &Services,
        caller: &Caller,
        uri: &http::Uri,
    ) -> Result<Response<Body>, Problem> {
        match self {
            Self::Check(asked) => {
                let (services, caller) = (services.clone(), caller.clone());
                let checked =
                    tokio::task::spawn_blocking(move || check::check(&services, &caller, &asked)).await;
                json(&checked.map_err(|_| Problem::unavailable("the register was not read"))??)
            }
            Self::Show => json(&facts::show(services, caller, uri).await?),
            Self::AddConsents(facts) => json(&facts::add(services, caller, facts).await?),
            Self::AddRelations(facts) => json(&facts::add(services, caller, facts).await?),
            Self::AddSuppressions(facts) => json(&facts::add(services, caller, facts).await?),
            Self::ListSuppressions => json(&facts::suppressions(services, caller, uri).await?),
            Self::Sent(sent) => json(&sent::note(services, caller, sent).await?),
        }
    }
}

fn json(answer: &impl Serialize) -> Result<Response<Body>, Problem> {
    let body = serde_json::to_vec(answer).map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(respond(StatusCode::OK, "application/json", body))
}
