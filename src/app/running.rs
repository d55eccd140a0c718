//! One gateway, from config to stopped.

// Long because every room is wired here, in the order in which a start must go.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::anchors::{self, Anchors};
use super::books::StoreBooks;
use super::certificate::{self, Certificates};
use super::control::{Facts, Remote};
use super::keys::{KeyFolder, STORE};
use super::letters::{Herald, Letters};
use super::links::StoreLinks;
use super::mailbox::{self, DnsVouch, Door, Letterbox, Post, StoreSendings};
use super::reload::Reload;
use super::sockets::Sockets;
use super::{purge, rooms};
use crate::clock::SharedClock;
use crate::config::{self, ListenerTls};
use crate::gateway::{self, Gateway, InForce};
use crate::ledger::{Event, KeyInForce, Record, Scribe, Side};
use crate::limits::Limits;
use crate::mail::Address;
use crate::notify::{self, Outbox};
use crate::relay::{self, Relay, Spool};
use crate::secret::SharedEntropy;
use crate::shutdown::Shutdown;
use crate::store::{Closing, Store};
use crate::submission;
use crate::subscribe::{self, Form, SignUps};
use crate::telemetry::Metrics;
use crate::token::Keys;
use crate::unsubscribe::{self, Desk, Health, Mailroom};
use crate::{admin, api, metrics, net};

/// Connections that may wait to be accepted: a burst of 200 must not be dropped (DESIGN section 7).
const BACKLOG: u32 = 1024;

/// A listener and where it is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its name in the config.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How TLS starts there.
    pub tls: ListenerTls,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    submission: Vec<Bound>,
    unsubscribe: SocketAddr,
    unsubscribe_mail: (Option<SocketAddr>, Option<SocketAddr>),
    metrics: Option<SocketAddr>,
    api: Option<SocketAddr>,
    shutdown: Shutdown,
    store: Store,
    scribe: Scribe,
    closing: Closing,
    health: Health,
    relay: Relay,
    reload: Arc<Reload>,
    stop_within: std::time::Duration,
}

impl Running {
    /// Start a gateway: keys, store, recovery, listeners, in that order; nothing is accepted before what an
    /// earlier run left behind is recorded.
    pub async fn start(
        settings: config::Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self> {
        Self::start_on(Sockets::default(), settings, clock, entropy).await
    }

    /// The same, with sockets that listen already.
    pub async fn start_on(
        mut sockets: Sockets,
        settings: config::Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self> {
        let folder = KeyFolder::open(&settings.data)?;
        folder.store_is_not_lost(&settings.data.join(STORE))?;
        let signer = folder.ledger(settings.name.ascii(), &*entropy)?;
        let tokens = folder.token(&*entropy)?;
        let path = settings.data.join(STORE);
        let store = Store::open(&path, rooms::store(&settings, signer), clock.clone(), entropy.clone())?;
        recover(&store, &settings)?;
        let (scribe, closing) = store.start().context("the ledger's writer cannot start")?;
        scribe.record(config_entry(&settings)).await?;
        record_keys(&store, &scribe, keys_in_force(&settings, &store, &tokens)?).await?;
        record_texts(&store, &scribe, &settings.forms).await?;

        let shutdown = Shutdown::new();
        let limits = Limits::new(rooms::limits(&settings), &clock);
        let rules = Arc::new(settings.rules.clone());
        let journey = rooms::gateway(&settings, tokens.clone())?;
        let (seals, seals_seen) = watch::channel(rooms::seals(&journey.signers));
        let (in_force, in_force_seen) =
            watch::channel(Arc::new(InForce { rules: rules.clone(), settings: journey }));
        let (rules_sender, rules_seen) = watch::channel(rules);
        let health = Health::new();

        let (tell_sender, tell_seen) = watch::channel(Arc::new(rooms::tell(&settings)?));
        let owing = Arc::new(tokio::sync::Notify::new());
        let (said, rung) = (tell_seen.clone(), owing.clone());
        let herald = Arc::new(Herald::new(&settings, clock.clone(), entropy.clone(), said, rung));
        let relay = Relay::with_routes(rooms::hops(&settings, &entropy)?, &settings.relay.routes)?;
        relay.return_to(rooms::returns(&settings, &tokens));
        let spool = Spool::new(relay::Parts {
            relay: relay.clone(),
            view: Arc::new(store.clone()),
            scribe: scribe.clone(),
            register: Arc::new(store.clone()),
            rules: rules_seen,
            unsubscribe_fault: health.subscribe(),
            seals: seals_seen,
            tidings: herald.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            shutdown: shutdown.clone(),
            settings: rooms::spool(&settings),
        });
        let gateway = Gateway::new(gateway::Parts {
            in_force: in_force_seen.clone(),
            limits: limits.clone(),
            register: Arc::new(store.clone()),
            scribe: scribe.clone(),
            relay: relay.clone(),
            spool: spool.clone(),
            unsubscribe_fault: health.subscribe(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        });

        // Every port is bound before anything is served, so that a port that is taken stops the start.
        let page = bind(&mut sockets, settings.unsubscribe.listen, "the unsubscribe page")?;
        let unsubscribe = page.local_addr()?;
        let mut bound = Vec::new();
        for listener in &settings.listeners {
            bound.push(bind(&mut sockets, listener.address, &format!("listener {}", listener.name))?);
        }
        let mut mail = Vec::new();
        for (door, address) in mailbox::doors(&settings) {
            mail.push((door, bind(&mut sockets, address, "the unsubscribe address")?));
        }
        let address_of =
            |wanted| mail.iter().find(|(door, _)| *door == wanted).map(|(_, it)| it.local_addr()).transpose();
        let unsubscribe_mail = (address_of(Door::Smtp)?, address_of(Door::Lmtp)?);
        let metrics_at = settings.metrics;
        let metrics_listener =
            metrics_at.map(|address| bind(&mut sockets, address, "the metrics listener")).transpose()?;
        let api_listener =
            settings.api.listen.map(|address| bind(&mut sockets, address, "the API")).transpose()?;
        sockets.finish()?;
        let metrics = metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?;

        shutdown.spawn(purge::daily(store.clone(), shutdown.clone()));
        let anchors = anchors::Parts {
            store: store.clone(),
            scribe: scribe.clone(),
            spool: spool.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        shutdown.spawn(Anchors::new(&settings, anchors)?.run(shutdown.clone()));
        let outside = rooms::outside(&settings, unsubscribe)?;
        let (desk_sender, desk_seen) = watch::channel(Arc::new(desk_settings(&settings, &tokens, outside)));
        let letters = Arc::new(Letters::new(spool.clone(), herald));
        let outbox = Outbox::new(
            notify::Parts {
                view: Arc::new(store.clone()),
                scribe: scribe.clone(),
                register: Arc::new(store.clone()),
                links: Arc::new(StoreLinks { store: store.clone(), limits: rooms::structure(&settings) }),
                digests: letters.clone(),
                settings: tell_seen,
                clock: clock.clone(),
                entropy: entropy.clone(),
                shutdown: shutdown.clone(),
            },
            owing,
        );
        let desk = Arc::new(Desk::new(
            desk_seen,
            Arc::new(store.clone()),
            scribe.clone(),
            letters.clone(),
            clock.clone(),
        ));
        let (forms, forms_seen) = watch::channel(Arc::new(settings.forms.clone()));
        let sign_ups = SignUps::new(subscribe::Parts {
            forms: forms_seen,
            desk: desk.clone(),
            register: Arc::new(store.clone()),
            scribe: scribe.clone(),
            mails: letters,
            limits: limits.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        });
        let (certificate, certificate_seen) = match certificate::Files::of(&settings.unsubscribe) {
            None => (None, None),
            Some(files) => {
                let (certificates, seen) = Certificates::open(files, &shutdown)?;
                (Some(certificates), Some(seen))
            }
        };
        let bounds = rooms::page(&settings);
        shutdown.spawn(unsubscribe::run_beside(
            page,
            certificate_seen,
            desk.clone(),
            entropy.clone(),
            bounds,
            subscribe::routes(sign_ups, bounds, shutdown.clone()),
            shutdown.clone(),
        ));
        shutdown.spawn(health.clone().watch_over(desk.clone(), entropy.clone(), shutdown.clone()));
        let (mail_sender, mail_seen) = watch::channel(Arc::new(rooms::mailroom(&settings)));
        let letterbox = Letterbox {
            room: Mailroom {
                desk,
                scribe: scribe.clone(),
                sendings: Arc::new(StoreSendings(store.clone())),
                inbox: Arc::new(store.clone()),
                vouch: Arc::new(DnsVouch::new(&settings)),
                settings: mail_seen,
                shelf: Arc::default(),
                limits: Limits::new(rooms::letterbox_limits(&settings), &clock),
                clock: clock.clone(),
            },
            cleaned: true,
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let post = Post::open(mail, &settings, &folder, &letterbox, mail_sender, &shutdown)?;

        // The next hop's limits shape EHLO, so they are asked for before the first client comes; a next
        // hop that is down is no reason not to start.
        if let Err(answer) = relay.probe().await {
            tracing::warn!(%answer, "no next hop answers yet");
        }
        let worker = spool.clone();
        shutdown.spawn(async move { worker.run().await });
        let teller = outbox.clone();
        shutdown.spawn(async move { teller.run().await });

        let now = clock.now();
        let mut listeners = Vec::new();
        let mut submission = Vec::new();
        let each = rooms::listeners(&settings, &folder, &limits, &entropy, now)?;
        for ((one, listener), config) in each.into_iter().zip(bound).zip(&settings.listeners) {
            let address = listener.local_addr()?;
            submission.push(Bound { name: config.name.clone(), address, tls: config.tls });
            let (sender, seen) = watch::channel(Arc::new(one));
            listeners.push(sender);
            shutdown.spawn(submission::run(listener, seen, gateway.clone(), shutdown.clone()));
        }

        let (gate, gate_seen) = watch::channel(rooms::gate(&settings, &entropy)?);
        let reload = Arc::new(Reload {
            file: settings.file.clone(),
            folder,
            limits,
            clock: clock.clone(),
            entropy,
            scribe: scribe.clone(),
            store: store.clone(),
            started: settings.clone(),
            listeners,
            relay: relay.clone(),
            in_force,
            rules: rules_sender,
            desk: desk_sender,
            tell: tell_sender,
            seals,
            post,
            forms,
            gate,
            page: unsubscribe,
            certificate,
        });
        let services = admin::Services {
            scribe: scribe.clone(),
            register: Arc::new(store.clone()),
            books: Arc::new(StoreBooks::new(store.clone(), reload.rules.subscribe())),
            spool: Arc::new(store.clone()),
            outbox: Arc::new(store.clone()),
            inbox: Arc::new(store.clone()),
            mailbox: Some(Arc::new(letterbox)),
            control: Arc::new(Remote {
                reload: reload.clone(),
                spool,
                outbox,
                health: health.clone(),
                limits: reload.limits.clone(),
                facts: Facts {
                    name: settings.name.ascii().to_owned(),
                    since: now,
                    listeners: submission.iter().map(|bound| format!("smtp {}", bound.address)).collect(),
                    relay: relay.clone(),
                },
            }),
            clock,
        };
        let socket = settings.admin_socket();
        let socket = admin::Listener::bind(&socket)
            .with_context(|| format!("the admin socket {} cannot be made", socket.display()))?;
        let (connections, longest) = (settings.limits.admin_connections, settings.limits.admin_message);
        let (bounds, api_limits) = rooms::api(&settings);
        let api_of = |local| {
            let (services, gate) = (services.clone(), gate_seen.clone());
            api::router(services, gate, reload.limits.clone(), api_limits, local, shutdown.clone())
        };
        let api = api_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        if let Some(listener) = api_listener {
            let certificate = match &settings.api.tls {
                None => None,
                Some(files) => {
                    let files = certificate::Files::alone(files.clone());
                    Some(Certificates::open(files, &shutdown).context("the API")?.1)
                }
            };
            shutdown.spawn(net::http::serve(listener, certificate, api_of(false), bounds, shutdown.clone()));
        }
        let local = api_of(true);
        shutdown.spawn(admin::serve(socket, services, local, connections, longest, shutdown.clone()));
        if let Some(listener) = metrics_listener {
            let exporter = Metrics::install()?;
            shutdown.spawn(exporter.clone().upkeep(shutdown.clone()));
            shutdown.spawn(exporter.serve(listener, shutdown.clone()));
        }
        let running = Self {
            submission,
            unsubscribe,
            unsubscribe_mail,
            metrics,
            api,
            shutdown,
            store,
            scribe,
            closing,
            health,
            relay,
            reload,
            stop_within: settings.stop_within,
        };
        running.until_healthy().await;
        Ok(running)
    }

    /// The page answers within moments of its start; waiting for it spares the first marketing
    /// message a 451.
    async fn until_healthy(&self) {
        let mut seen = self.health.subscribe();
        let wait = seen.wait_for(Option::is_none);
        if tokio::time::timeout(std::time::Duration::from_secs(5), wait).await.is_err() {
            let fault = self.health.fault().unwrap_or_default();
            tracing::warn!(%fault, "opting out does not work yet; marketing waits for it");
        }
    }

    /// The submission listeners, in the order of the config.
    pub fn submission(&self) -> &[Bound] {
        &self.submission
    }

    /// Where the unsubscribe page listens.
    pub fn unsubscribe(&self) -> SocketAddr {
        self.unsubscribe
    }

    /// Where mail to the unsubscribe address comes in by SMTP and by LMTP, if it does here.
    pub fn unsubscribe_mail(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.unsubscribe_mail
    }

    /// Where metrics are served, if they are.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Where the API listens, if it does.
    pub fn api(&self) -> Option<SocketAddr> {
        self.api
    }

    /// The pen.
    pub fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    /// The store, to read.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The public key that verifies this gateway's checkpoints and packs.
    pub fn ledger_key(&self) -> String {
        self.store.verifier().to_owned()
    }

    /// An evidence pack of everything on record about `address`: a zip file.
    pub async fn pack_of(&self, address: &Address) -> Result<Vec<u8>> {
        self.scribe.record(Record { events: Vec::new(), sides: vec![Side::Checkpoint] }).await?;
        let books = StoreBooks::new(self.store.clone(), self.reload.rules.subscribe());
        let subject = admin::Subject::Address(address.key().clone());
        let pack =
            tokio::task::spawn_blocking(move || admin::Books::pack(&books, &subject.into(), None)).await??;
        let pack = pack.ok_or_else(|| anyhow!("nothing is on record about {address}"))?;
        let zip = tokio::fs::read(&pack.file).await;
        // It was made for this call alone.
        let _ = tokio::fs::remove_file(&pack.file).await;
        Ok(zip?)
    }

    /// Read the config file again and take it whole or not at all; the error says what is wrong.
    pub fn reload(&self) -> Result<String, String> {
        self.reload.reload()
    }

    /// Whether the unsubscribe page answers.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The stop signal of its tasks.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Stop: no new sessions, those that are busy finish within the config's `stop_within`, then the last
    /// checkpoint is signed and the store closed. Says whether everything finished in time.
    pub async fn stop(self) -> bool {
        self.shutdown.request();
        let drained = tokio::time::timeout(self.stop_within, self.shutdown.drained()).await.is_ok();
        if !drained {
            tracing::warn!("some sessions did not finish in time; what they had begun shows up as in doubt");
        }
        self.relay.close().await;
        let Self { scribe, closing, reload, store, .. } = self;
        drop((scribe, reload));
        if drained {
            // Every other holder of the pen has ended, so its writer ends now.
            if let Err(error) = tokio::task::spawn_blocking(move || closing.join()).await {
                tracing::error!(%error, "closing the ledger");
            }
        } else if let Err(error) = store.checkpoint() {
            tracing::error!(%error, "no final checkpoint");
        }
        drained
    }
}

fn recover(store: &Store, settings: &config::Settings) -> Result<()> {
    let found = store.recover(settings.relay.in_doubt)?;
    if !found.in_doubt.is_empty() || !found.interrupted.is_empty() {
        tracing::warn!(
            straight_through = found.in_doubt.len(),
            from_spool = found.interrupted.len(),
            "the gateway was stopped while copies were on their way: they are in doubt"
        );
        for copy in found.in_doubt.iter().chain(&found.interrupted) {
            tracing::warn!(%copy, "in doubt");
        }
    }
    metrics::spool_waiting(found.spooled);
    Ok(())
}

pub(super) fn config_entry(settings: &config::Settings) -> Record {
    Record::of(Event::ConfigInForce {
        rules_sha256: settings.rules.hash.clone(),
        mode: settings.rules.mode.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The keys that sign and seal from now on, as the ledger tells of them.
pub(super) fn keys_in_force(
    settings: &config::Settings,
    store: &Store,
    tokens: &Keys,
) -> Result<Vec<KeyInForce>> {
    let mut keys = vec![store.key_in_force()?, KeyInForce::token(tokens.newest())];
    keys.extend(rooms::signers(settings)?.into_iter().flat_map(|signers| signers.names));
    Ok(keys)
}

/// Record those of which the ledger does not tell yet: one entry for each key that came into use.
pub(super) async fn record_keys(store: &Store, scribe: &Scribe, keys: Vec<KeyInForce>) -> Result<()> {
    for key in keys {
        if store.labelled(&key.label())?.is_none() {
            scribe.record(Record::of(Event::KeyInForce(key))).await?;
        }
    }
    Ok(())
}

/// Record the consent texts of forms that are not on record yet.
pub(super) async fn record_texts(store: &Store, scribe: &Scribe, forms: &[Arc<Form>]) -> Result<()> {
    for form in forms {
        if store.labelled(&form.text_sha256)?.is_none() {
            let text = Event::ConsentText {
                sha256: form.text_sha256.clone(),
                text: form.text.clone(),
                sender: Some(form.sender.id.clone()),
                purpose: Some(form.purpose.clone()),
                privacy: false,
            };
            scribe.record(Record::of(text)).await?;
        }
    }
    Ok(())
}

pub(super) fn desk_settings(
    settings: &config::Settings,
    tokens: &Keys,
    outside: unsubscribe::Outside,
) -> unsubscribe::Settings {
    unsubscribe::Settings {
        keys: tokens.clone(),
        senders: settings.rules.senders.clone(),
        looks: settings.unsubscribe.looks.clone(),
        outside,
        hosts: settings.unsubscribe.hosts.clone(),
        trusted_proxies: settings.unsubscribe.trusted_proxies.clone(),
    }
}

fn bind(sockets: &mut Sockets, address: SocketAddr, what: &str) -> Result<TcpListener> {
    if let Some(socket) = sockets.take(address) {
        return TcpListener::from_std(socket).with_context(|| format!("{what} cannot use its socket"));
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket
        .bind(address)
        .and_then(|()| socket.listen(BACKLOG))
        .with_context(|| format!("{what} cannot listen on {address}"))
}
