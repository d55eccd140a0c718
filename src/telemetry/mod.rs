//! Logs and metrics: how the program is watched.
//!
//! [`log_to_stderr`] sets up the one log, for a person or as JSON; the variable `SLUIS_LOG` overrules the
//! level of the config. [`Metrics`] collects what the rooms count through `crate::metrics` and shows it in
//! the Prometheus text format, on its own listener when the config names one. Deliberately absent: names
//! and help texts of metrics, and any log file (stderr belongs to whoever started the program).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use axum::{Extension, Router};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::net::http::{self, Visitor};
use crate::shutdown::Shutdown;

/// The variable that overrules the level of the config.
pub const LEVEL_VARIABLE: &str = "SLUIS_LOG";

/// Upper bounds of the buckets for a commit, in seconds: from a fast disk to one in trouble.
const COMMIT_SECONDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Time between two rounds of keeping the collected numbers small.
const UPKEEP: Duration = Duration::from_secs(5);

/// Bounds of the metrics listener: a few collectors, and nobody else.
const LIMITS: http::Limits =
    http::Limits { connections: 16, header: Duration::from_secs(5), idle: Duration::from_secs(90) };

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person; in colour when stderr is a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// Log to stderr from here on. `level` is one of `error`, `warn`, `info`, `debug`, `trace`, or directives
/// such as `info,sluis::relay=debug`.
///
/// # Errors
///
/// A level that cannot be read, named with where it came from; or a log that was set up before.
pub fn log_to_stderr(format: Format, level: &str) -> Result<()> {
    let filter = filter(std::env::var(LEVEL_VARIABLE).ok().as_deref(), level)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        Format::Human => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            log.with_ansi(colour).try_init()
        }
        Format::Json => {
            log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    started.map_err(|error| anyhow::anyhow!("the log is set up already: {error}"))
}

fn filter(variable: Option<&str>, level: &str) -> Result<EnvFilter> {
    match variable {
        Some(value) if !value.is_empty() => EnvFilter::try_new(value)
            .with_context(|| format!("{LEVEL_VARIABLE}={value:?} is not a log level")),
        _ => EnvFilter::try_new(level).with_context(|| format!("{level:?} is not a log level")),
    }
}

/// What was counted since the start. Clones share it.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Metrics {
    /// Count from here on, for the whole program.
    ///
    /// # Errors
    ///
    /// When something counts already.
    pub fn install() -> Result<Self> {
        let commit = Matcher::Full("sluis_ledger_commit_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(commit, &COMMIT_SECONDS)?;
        builder.install_recorder().map(Self).context("metrics are collected already")
    }

    /// All numbers, in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Keep the collected numbers small, until `shutdown`.
    pub async fn upkeep(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(UPKEEP) => self.0.run_upkeep(),
            }
        }
    }

    /// Answer `GET /metrics` on `listener`, until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) {
        let router = Router::new().route("/metrics", get(scrape)).with_state(Arc::new(self));
        http::serve(listener, None, router, LIMITS, shutdown).await;
    }
}

async fn scrape(
    State(metrics): State<Arc<Metrics>>,
    Extension(visitor): Extension<Visitor>,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    let _busy = visitor.busy();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (StatusCode::OK, kind, metrics.render())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn the_variable_overrules_the_config() {
        assert_eq!(filter(Some("debug"), "info").unwrap().to_string(), "debug");
        assert_eq!(filter(Some(""), "info").unwrap().to_string(), "info");
        assert_eq!(filter(None, "warn").unwrap().to_string(), "warn");
        let error = filter(Some("=?="), "info").unwrap_err().to_string();
        assert!(error.contains("SLUIS_LOG"), "{error}");
    }

    #[tokio::test]
    async fn a_collector_reads_what_was_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = Metrics(recorder.handle());
        ::metrics::with_local_recorder(&recorder, || crate::metrics::unsubscribed("one_click"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let served = tokio::spawn(metrics.serve(listener, shutdown.clone()));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("sluis_unsubscribes_total{way=\"one_click\"} 1"), "{answer}");
        shutdown.request();
        served.await.unwrap();
        shutdown.drained().await;
    }
}
