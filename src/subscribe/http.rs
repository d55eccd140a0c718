//! The HTTP side of signing up: `/subscribe/<form>` and the link in the mail, `/c/<token>`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts as Head;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use axum::{Extension, Router};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::desk::{Confirmed, Opened, SignUps, Visit};
use super::form::{Form, Problem, origin_of};
use super::page;
use crate::ledger::RecordError;
use crate::metrics;
use crate::net::http::Visitor;
use crate::shutdown::Shutdown;
use crate::token::Invitation;
use crate::unsubscribe::Limits;
use crate::unsubscribe::shared::{
    Detached, again, client, closing, field, html, is_ours, not_found, other_method, printable, read, text,
    with,
};

/// Octets of the page a form was sent from, as evidence.
const PAGE: usize = 300;
/// A form that was taken is answered a whole number of these after it came. Many times what a commit takes, and little
/// to whoever waits.
const ANSWERED_EVERY: Duration = Duration::from_millis(250);

struct Counter {
    sign_ups: SignUps,
    limits: Limits,
    work: Detached,
}

/// The routes of `sign_ups`, within the bounds of the listener they are served on.
pub fn routes(sign_ups: SignUps, limits: Limits, shutdown: Shutdown) -> Router {
    let work = Detached::new(limits.pending, "forms_pending", shutdown);
    let counter = Arc::new(Counter { sign_ups, limits, work });
    Router::new()
        .route("/subscribe/{form}", any(subscribe))
        .route("/c/{token}", any(confirm))
        .with_state(counter)
}

/// A form: shown to a GET, taken from a POST.
async fn subscribe(
    State(counter): State<Arc<Counter>>,
    Extension(visitor): Extension<Visitor>,
    request: Request<Body>,
) -> Response<Body> {
    let _busy = visitor.busy();
    let (head, body) = request.into_parts();
    if !matches!(head.method, Method::GET | Method::HEAD | Method::POST) {
        return other_method(&head.method);
    }
    let name = head.uri.path().strip_prefix("/subscribe/").unwrap_or_default();
    let Some(form) = counter.form(&head, name) else { return counter.unknown(&head) };
    if head.method != Method::POST {
        let shown = counter.page(&form, StatusCode::OK, |look| page::form(&form, look));
        // A browser says where a form was sent from only to the site that showed it.
        return with(shown, header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    match counter.take(&form, head, body, &visitor).await {
        Ok(Ok(())) => counter.page(&form, StatusCode::OK, |look| page::look_at_your_mail(&form, look)),
        Ok(Err(problem)) => counter.wrong(&form, problem),
        Err(answer) => answer,
    }
}

/// The link: a page to a GET, the button to a POST (RULES L12; promise 7: a GET changes nothing).
async fn confirm(
    State(counter): State<Arc<Counter>>,
    Extension(visitor): Extension<Visitor>,
    request: Request<Body>,
) -> Response<Body> {
    let _busy = visitor.busy();
    let (head, body) = request.into_parts();
    if !matches!(head.method, Method::GET | Method::HEAD | Method::POST) {
        return other_method(&head.method);
    }
    let sign_ups = &counter.sign_ups;
    let settings = sign_ups.parts.desk.settings();
    let token = head.uri.path().strip_prefix("/c/").unwrap_or_default();
    let opened = if is_ours(&head, &settings.hosts) { sign_ups.open(token) } else { None };
    let (form, invitation) = match opened {
        Some(Opened::Waiting(form, invitation)) => (form, invitation),
        Some(Opened::Expired(Some(form))) => return counter.expired(&form),
        Some(Opened::Expired(None)) | None => return counter.unknown(&head),
    };
    if head.method != Method::POST {
        return counter.page(&form, StatusCode::OK, |look| page::confirm(&form, &invitation, look));
    }
    if let Err(answer) = counter.body(body).await {
        return answer;
    }
    let ip = client(&head.headers, visitor.ip, &settings.trusted_proxies);
    let visit = Visit { page: None, ip: Some(ip.to_string()) };
    match counter.confirm(&form, invitation.clone(), visit).await {
        Ok(Confirmed::Done) => counter.page(&form, StatusCode::OK, |look| page::confirmed(&form, look)),
        Ok(Confirmed::Barred) => counter.page(&form, StatusCode::OK, |look| page::barred(&form, look)),
        Ok(Confirmed::Gone) => counter.expired(&form),
        Err(_) => {
            let failed = |look: &_| page::failed(&form, Some(&invitation), look);
            again(counter.page(&form, StatusCode::SERVICE_UNAVAILABLE, failed))
        }
    }
}

/// Wait for `work`, and then until a whole number of `beat`s has passed since the beginning (at least one): how long it
/// took within a beat cannot be seen from outside.
async fn evenly<T>(beat: Duration, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    let beats = began.elapsed().as_nanos() / beat.as_nanos().max(1) + 1;
    let whole = beat.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX));
    sleep_until(began + whole).await;
    done
}

impl Counter {
    fn form(&self, head: &Head, name: &str) -> Option<Arc<Form>> {
        let hosts = &self.sign_ups.parts.desk.settings().hosts;
        self.sign_ups.form(name).filter(|_| is_ours(head, hosts))
    }

    fn unknown(&self, head: &Head) -> Response<Body> {
        not_found(&self.sign_ups.parts.desk, &head.headers)
    }

    fn page(
        &self,
        form: &Form,
        status: StatusCode,
        page: impl FnOnce(&crate::unsubscribe::Look) -> String,
    ) -> Response<Body> {
        let look = self.sign_ups.parts.desk.look(&form.sender.id);
        html(status, page(&look), &look)
    }

    fn expired(&self, form: &Form) -> Response<Body> {
        self.page(form, StatusCode::GONE, |look| page::expired(form, look))
    }

    fn wrong(&self, form: &Form, problem: Problem) -> Response<Body> {
        let status = match problem {
            Problem::Address | Problem::NotTicked | Problem::Outdated => StatusCode::BAD_REQUEST,
            Problem::Elsewhere => StatusCode::FORBIDDEN,
            Problem::TooMany => StatusCode::TOO_MANY_REQUESTS,
        };
        let answer = self.page(form, status, |look| page::wrong(form, problem, look));
        match problem {
            Problem::TooMany => with(answer, header::RETRY_AFTER, HeaderValue::from_static("600")),
            _ => answer,
        }
    }

    async fn body(&self, body: Body) -> Result<Vec<u8>, Response<Body>> {
        match tokio::time::timeout(self.limits.body_time, read(body, self.limits.body)).await {
            Ok(read) => read,
            Err(_) => Err(closing(text(StatusCode::REQUEST_TIMEOUT, "The request took too long.\n"))),
        }
    }

    /// Take what was sent in. Nothing that is looked at before the answer is chosen says who is known here.
    async fn take(
        self: &Arc<Self>,
        form: &Arc<Form>,
        head: Head,
        body: Body,
        visitor: &Visitor,
    ) -> Result<Result<(), Problem>, Response<Body>> {
        let kind = field(&head.headers, header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/x-www-form-urlencoded" {
            let why = "Send application/x-www-form-urlencoded, as a plain HTML form does.\n";
            return Err(closing(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)));
        }
        let referer = field(&head.headers, header::REFERER).map(|page| printable(&page, PAGE));
        let origin = field(&head.headers, header::ORIGIN)
            .or_else(|| referer.as_deref().and_then(origin_of).map(str::to_owned))
            .unwrap_or_default();
        if !form.is_from(&origin) {
            info!(form = form.name, origin = printable(&origin, PAGE), "a form came from elsewhere");
            metrics::form_answered("elsewhere");
            return Ok(Err(Problem::Elsewhere));
        }
        let body = self.body(body).await?;
        let settings = self.sign_ups.parts.desk.settings();
        let ip = client(&head.headers, visitor.ip, &settings.trusted_proxies);
        if self.sign_ups.parts.limits.form(&form.name, ip).is_err() {
            return Ok(Err(Problem::TooMany));
        }
        let address = match form.read(&body) {
            Ok(Some(address)) => address,
            Ok(None) => return Ok(Ok(())),
            Err(problem) => {
                if problem == Problem::Outdated {
                    warn!(
                        form = form.name,
                        page = referer,
                        "the form there shows another text: print it anew"
                    );
                }
                return Ok(Err(problem));
            }
        };
        let visit = Visit { page: Some(referer.unwrap_or(origin)), ip: Some(ip.to_string()) };
        let (counter, own) = (self.clone(), form.clone());
        // What is written for an address that gets a mail is more than for one that does not: nobody may see that.
        let asked = self.work.run(async move { counter.sign_ups.ask(&own, &address, visit).await });
        let done = evenly(ANSWERED_EVERY, asked).await;
        done.map(Ok).map_err(|_| {
            let failed = |look: &_| page::failed(form, None, look);
            again(self.page(form, StatusCode::SERVICE_UNAVAILABLE, failed))
        })
    }

    async fn confirm(
        self: &Arc<Self>,
        form: &Arc<Form>,
        invitation: Invitation,
        visit: Visit,
    ) -> Result<Confirmed, RecordError> {
        let (counter, form) = (self.clone(), form.clone());
        self.work.run(async move { counter.sign_ups.confirm(&form, &invitation, visit).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn l12_an_answer_comes_at_the_same_moment_however_much_was_written_for_it() {
        for (work, answered) in [(0, 250), (1, 250), (3, 250), (240, 250), (260, 500), (600, 750)] {
            let began = Instant::now();
            let work = Duration::from_millis(work);
            assert_eq!(
                evenly(ANSWERED_EVERY, async {
                    tokio::time::sleep(work).await;
                    7
                })
                .await,
                7
            );
            assert_eq!(began.elapsed(), Duration::from_millis(answered), "{work:?}");
        }
    }
}
