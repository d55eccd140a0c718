//! `sluis serve`: start, say where, run until a signal, stop.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use super::Running;
use super::sockets::{self, Sockets};
use crate::clock::SystemClock;
use crate::config::{self, ListenerTls};
use crate::mail::Sender;
use crate::secret::SystemEntropy;

/// Serve until SIGTERM or SIGINT, on `sockets` where they are those of the config; SIGHUP reads the config
/// again.
pub async fn serve(settings: config::Settings, sockets: Sockets) -> Result<()> {
    // Asked for before anything starts, so that no signal is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let welcome = Welcome::of(&settings);
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let running = Running::start_on(sockets, settings, clock, entropy).await?;
    welcome.print(&running);
    sockets::tell("READY=1");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                if let Err(problems) = running.reload() {
                    tracing::error!("the config was not reloaded; the old one stays in force:\n{problems}");
                }
            }
        }
    }
    tracing::info!("stopping");
    sockets::tell("STOPPING=1");
    running.stop().await;
    Ok(())
}

/// What is said at start.
struct Welcome {
    next_hop: String,
    try_from: Option<Author>,
    /// Listeners, by name, at which this very machine has to sign in, and as whom it could.
    signs_in: Vec<(String, String)>,
}

/// Whom a first message may be from: a name that RULES L7 lets through, and an address.
struct Author {
    name: String,
    address: String,
}

impl Author {
    /// Of the first sender, spelled for a shell; without its name when that would need quoting there.
    fn of(sender: &Sender) -> Option<Self> {
        let address = format!("nieuws@{}", sender.domains.first()?);
        let plain = |name: &&String| name.chars().all(|c| c.is_alphanumeric() || " .-".contains(c));
        let names = sender.trade_names.iter().chain([&sender.name]);
        let name = names.into_iter().find(plain).map(|name| format!("\"{name}\" ")).unwrap_or_default();
        Some(Self { name, address })
    }
}

impl Welcome {
    fn of(settings: &config::Settings) -> Self {
        let one = |hop: &config::HopSettings| match &hop.next_hop {
            config::NextHop::Directory(folder) => format!("files in {}", folder.display()),
            config::NextHop::Server { host, port } => format!("{host}:{port}"),
            config::NextHop::Mx(_) => "the servers of each recipient's domain (mx)".to_owned(),
        };
        let next_hop = settings.relay.hops.iter().map(one).collect::<Vec<_>>().join(", ");
        let try_from = settings.rules.senders.first().and_then(|sender| Author::of(sender));
        let signs_in = settings.listeners.iter().filter(|one| !takes_unsigned(one, &settings.trusted));
        let account = |listener: &config::Listener| match settings.accounts.first() {
            Some(account) if !listener.pass_through => account.name.clone(),
            _ => "NAME".to_owned(),
        };
        let signs_in = signs_in.map(|one| (one.name.clone(), account(one))).collect();
        Self { next_hop, try_from, signs_in }
    }

    /// A standard output that nobody reads is no reason not to serve.
    fn print(&self, running: &Running) {
        if let Err(error) = self.write(running, &mut std::io::stdout().lock()) {
            tracing::debug!(%error, "nobody reads what the gateway says at start");
        }
    }

    fn write(&self, running: &Running, out: &mut impl Write) -> std::io::Result<()> {
        for bound in running.submission() {
            let tls = match bound.tls {
                ListenerTls::Starttls => "STARTTLS",
                ListenerTls::Implicit => "implicit TLS",
                ListenerTls::None => "no TLS",
            };
            writeln!(out, "submission   {} ({tls})", bound.address)?;
        }
        writeln!(out, "unsubscribe  http://{}/", running.unsubscribe())?;
        if let Some(address) = running.metrics() {
            writeln!(out, "metrics      http://{address}/metrics")?;
        }
        writeln!(out, "next hop     {}", self.next_hop)?;
        let plain = running.submission().iter().find(|bound| bound.tls != ListenerTls::Implicit);
        if let (Some(bound), Some(Author { name, address: from })) = (plain, &self.try_from) {
            let account = self.signs_in.iter().find(|(listener, _)| *listener == bound.name);
            // curl asks for the password.
            let user = account.map(|(_, account)| format!("--ssl-reqd --insecure --user '{account}' "));
            writeln!(
                out,
                "try          printf 'From: {name}<{from}>\\nTo: <klant@example.org>\\nSubject: try\\n\\nhello\\n' | curl -sS --crlf -v -T - \
                 smtp://{} {}--mail-from {from} --mail-rcpt klant@example.org",
                bound.address,
                user.unwrap_or_default(),
            )?;
        }
        out.flush()
    }
}

/// Whether a client on this machine may send there without signing in.
fn takes_unsigned(listener: &config::Listener, trusted: &config::Trusted) -> bool {
    let here = match listener.address.ip() {
        ip if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    !listener.auth_required && trusted.networks.iter().any(|network| network.contains(&here))
}
