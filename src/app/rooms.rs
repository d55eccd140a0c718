//! What the config says, in the words of each room. Nothing is decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use super::keys::{self, KeyFolder};
use crate::api::{self, Gate};
use crate::clock::Timestamp;
use crate::config::{self, Dkim, ListenerTls};
use crate::gateway::{self, Signers};
use crate::ledger::{DkimSigned, KeyInForce};
use crate::limits::{LimitSettings, Limits, MailLimits};
use crate::message::{self, Signer};
use crate::net::call::{Caller, Reach, Target};
use crate::net::tls::{Identity, Trust};
use crate::notify::webhook::Webhook;
use crate::relay::notice::Seal;
use crate::secret::{Secret, SharedEntropy};
use crate::smtp::session::Tolerance;
use crate::submission::{self, Accounts, Tls};
use crate::unsubscribe::MailSettings;
use crate::{net, notify, relay, store, token, unsubscribe};

/// Time for the health check of one public address.
const HEALTH: Duration = Duration::from_secs(10);

/// Octets that our own headers and footers may add to a message (RULES P5).
const EDIT_ROOM: u64 = 64 * 1024;

pub(super) fn limits(settings: &config::Settings) -> LimitSettings {
    let limits = &settings.limits;
    let at_least_one = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    LimitSettings {
        connections: limits.connections,
        connections_per_ip: limits.connections_per_ip,
        sign_in_failures_per_ip: at_least_one(limits.sign_in_failures_per_ip),
        sign_in_failures_per_account: at_least_one(limits.sign_in_failures_per_account),
        sign_in_window: limits.sign_in_window,
        messages_per_account: NonZeroU32::new(limits.messages_per_hour),
        refusals: NonZeroU32::new(limits.refusals_per_hour),
        form_mails_per_address: at_least_one(limits.form_mails_per_address),
        forms_per_network: at_least_one(limits.forms_per_network),
        forms_per_hour: at_least_one(limits.forms_per_hour),
        mails: MailLimits {
            idle_per_network: at_least_one(limits.unsubscribe_mails_per_network),
            idle: at_least_one(limits.unsubscribe_mails_per_hour),
            held_per_network: at_least_one(limits.inbox_per_network),
        },
        message_memory: usize::try_from(limits.message_memory).unwrap_or(usize::MAX),
        memory_wait: limits.memory_wait,
        keys: limits.remembered,
    }
}

/// Mails to the unsubscribe address, of the largest size, that are in memory at once.
const MAILS_AT_ONCE: usize = 4;

/// One value per listener, in the order of the config.
pub(super) fn listeners(
    settings: &config::Settings,
    folder: &KeyFolder,
    limits: &Limits,
    entropy: &SharedEntropy,
    now: Timestamp,
) -> Result<Vec<submission::Settings>> {
    let accounts = accounts(settings, entropy)?;
    let needs_tls = settings.listeners.iter().any(|listener| listener.tls != ListenerTls::None);
    let certificate = if needs_tls { Some(server_tls(settings, folder, now)?) } else { None };
    let tls = |kind| match (kind, &certificate) {
        (ListenerTls::Starttls, Some(config)) => Tls::StartTls(config.clone()),
        (ListenerTls::Implicit, Some(config)) => Tls::Implicit(config.clone()),
        _ => Tls::None,
    };
    let one = |listener: &config::Listener| submission::Settings {
        name: listener.name.clone(),
        hostname: settings.name.ascii().to_owned(),
        lmtp: false,
        tls: tls(listener.tls),
        accounts: accounts.clone(),
        pass_through: listener.pass_through,
        loopback_auth_without_tls: listener.auth_without_tls_on_loopback,
        trusted: if listener.auth_required { Vec::new() } else { settings.trusted.networks.clone() },
        trusted_senders: settings.trusted.senders.clone(),
        size_limit: settings.limits.message_size,
        edit_room: EDIT_ROOM,
        recipients: settings.limits.recipients,
        tolerance: tolerance(settings),
        normalise_bare_lf: listener.normalise_bare_lf,
        timeouts: timeouts(settings),
        limits: limits.clone(),
        entropy: entropy.clone(),
    };
    Ok(settings.listeners.iter().map(one).collect())
}

fn accounts(settings: &config::Settings, entropy: &SharedEntropy) -> Result<Option<Arc<Accounts>>> {
    if settings.accounts.is_empty() {
        return Ok(None);
    }
    let one = |account: &config::Account| submission::Account {
        name: account.name.clone(),
        hash: Secret::new(account.password_hash.clone()),
        senders: account.senders.clone(),
    };
    let accounts = settings.accounts.iter().map(one).collect();
    Ok(Some(Arc::new(Accounts::new(accounts, &**entropy)?)))
}

pub(super) fn server_tls(
    settings: &config::Settings,
    folder: &KeyFolder,
    now: Timestamp,
) -> Result<Arc<rustls::ServerConfig>> {
    let (certificate, key) = match &settings.tls {
        Some(files) => {
            keys::read_private(&files.key)?;
            (files.certificate.clone(), files.key.clone())
        }
        None => {
            let files = folder.development_tls(settings.name.ascii(), now)?;
            (files.certificate, files.key)
        }
    };
    net::tls::server_config(&certificate, &key)
        .with_context(|| format!("certificate {} with key {}", certificate.display(), key.display()))
}

/// The next hops, in the order of the config.
pub(super) fn hops(settings: &config::Settings, entropy: &SharedEntropy) -> Result<Vec<relay::Settings>> {
    settings.relay.hops.iter().map(|hop| self::hop(hop, settings.name.ascii(), entropy)).collect()
}

/// The web servers of policies are held to what the mail servers that they speak for are.
fn web(hop: &config::HopSettings, mx: &config::MxSettings) -> relay::Web {
    let trust = hop.ca_file.clone().map_or(Trust::System, Trust::CaFile);
    relay::Web { trust, private: mx.private, ..relay::Web::default() }
}

fn hop(hop: &config::HopSettings, helo: &str, entropy: &SharedEntropy) -> Result<relay::Settings> {
    let next_hop = match &hop.next_hop {
        config::NextHop::Directory(folder) => relay::NextHop::Directory(folder.clone()),
        config::NextHop::Server { host, port } => relay::NextHop::Smtp(relay::SmtpHop {
            host: host.clone(),
            port: *port,
            tls: hop.tls,
            tls_name: hop.tls_name.clone(),
            trust: match (&hop.ca_file, hop.verify) {
                _ if !hop.pins.is_empty() => Trust::Pinned(hop.pins.clone()),
                (_, false) => Trust::Anybody,
                (Some(file), true) => Trust::CaFile(file.clone()),
                (None, true) => Trust::System,
            },
            identity: hop
                .client_certificate
                .as_ref()
                .map(|files| Identity { certificate: files.certificate.clone(), key: files.key.clone() }),
            credentials: hop.credentials.clone(),
            proxy: hop.proxy.clone(),
        }),
        config::NextHop::Mx(mx) => relay::NextHop::Mx(relay::MxHop {
            port: mx.port,
            tls: hop.tls,
            trust: hop.ca_file.clone().map_or(Trust::System, Trust::CaFile),
            mta_sts: mx.mta_sts,
            ip_versions: mx.ip_versions,
            private: mx.private,
            per_domain: mx.per_domain,
            domains: mx.domains,
            lookups: mx.lookups,
            dns: mx.dns.clone(),
            world: relay::World {
                internet: Arc::new(relay::Online::new(&mx.dns, web(hop, mx)).context("direct delivery")?),
                entropy: entropy.clone(),
            },
        }),
    };
    let limits = &hop.limits;
    Ok(relay::Settings {
        label: hop.name.clone(),
        next_hop,
        helo: helo.to_owned(),
        timeouts: relay::Timeouts {
            connect: limits.connect_timeout,
            command: limits.command_timeout,
            data_start: limits.data_timeout,
            data_block: limits.data_timeout,
            data_end: limits.final_timeout,
        },
        pool: relay::PoolSettings {
            connections: limits.connections,
            messages: limits.messages_per_connection,
            per_minute: hop.messages_per_minute,
            idle: limits.idle_timeout,
            wait: limits.connection_wait,
            ..relay::PoolSettings::default()
        },
        pass_through: hop.pass_through,
    })
}

pub(super) fn spool(settings: &config::Settings) -> relay::SpoolSettings {
    let hop = &settings.relay;
    relay::SpoolSettings {
        retry: hop.retry.clone(),
        expire_after: hop.expire_after,
        delay_notice: hop.delay_notice,
        in_doubt: hop.in_doubt,
        concurrency: hop.background,
        structure: structure(settings),
        ..relay::SpoolSettings::new(settings.name.ascii(), settings.postmaster.clone())
    }
}

pub(super) fn store(
    settings: &config::Settings,
    signer: crate::ledger::checkpoint::Signer,
) -> store::Settings {
    store::Settings {
        signer,
        cache_bytes: usize::try_from(settings.ledger.cache).unwrap_or(usize::MAX),
        quick_repair: settings.ledger.quick_repair,
        queue: settings.limits.ledger_queue,
        max_batch: settings.limits.ledger_batch,
        checkpoint_every: settings.ledger.checkpoint_every,
        retention: settings.ledger.retention,
        pack_entries: settings.limits.ledger_pack_entries,
    }
}

pub(super) fn gateway(settings: &config::Settings, tokens: token::Keys) -> Result<gateway::Settings> {
    Ok(gateway::Settings {
        hostname: settings.name.ascii().to_owned(),
        unsubscribe_url: settings.unsubscribe.url.clone(),
        unsubscribe_urls: settings.unsubscribe.urls.clone(),
        unsubscribe_mailto: settings.unsubscribe.mailto.clone(),
        patience: settings.relay.patience,
        queue_when_down: settings.relay.queue_when_down,
        expire_after: jiff::SignedDuration::try_from(settings.relay.expire_after)?,
        spool_copies: settings.limits.spool_copies,
        footers: settings.footers.clone(),
        structure: structure(settings),
        max_received: settings.limits.received,
        archive: settings.ledger.archive,
        signers: signers(settings)?,
        tokens,
    })
}

/// Bounds on message structure.
pub fn structure(settings: &config::Settings) -> message::Limits {
    message::Limits {
        depth: settings.limits.depth,
        parts: settings.limits.parts,
        headers: settings.limits.header_fields,
        header_bytes: settings.limits.header,
        placeholders: settings.limits.placeholders,
    }
}

/// Who is told of unsubscribes.
pub(super) fn tell(settings: &config::Settings) -> Result<notify::Settings> {
    let tell = &settings.tell;
    let webhooks = tell.webhooks.iter().map(|webhook| {
        let trust = webhook.ca_file.clone().map_or(Trust::System, Trust::CaFile);
        // In the clear there is nobody's certificate to believe.
        let trust = if webhook.target.is_secure() { trust } else { Trust::Anybody };
        let caller = Caller::new(&trust, Reach::Anybody, tell.timeout)
            .with_context(|| format!("webhook {}", webhook.name))?;
        Ok(Webhook {
            name: webhook.name.clone(),
            target: webhook.target.clone(),
            secret: webhook.secret.clone(),
            senders: webhook.senders.clone(),
            caller,
        })
    });
    let one_click = if tell.one_click_hosts.is_empty() {
        None
    } else {
        let caller = Caller::new(&Trust::System, Reach::Public, tell.timeout).context("one-click links")?;
        Some(notify::OneClick { hosts: tell.one_click_hosts.clone(), caller })
    };
    Ok(notify::Settings {
        webhooks: webhooks.collect::<Result<_>>()?,
        one_click,
        daily_for: tell.daily_for.clone(),
        daily: notify::Daily { at: tell.digest_at, zone: tell.zone.clone() },
        senders: settings.rules.senders.clone(),
        retry: tell.retry.clone(),
        expire_after: tell.expire_after,
        at_once: tell.at_once,
    })
}

/// The listener for mail to the unsubscribe address: anybody may hand it in, and nothing else.
pub(super) fn letterbox(
    settings: &config::Settings,
    limits: &Limits,
    entropy: &SharedEntropy,
    tls: Option<Arc<rustls::ServerConfig>>,
    lmtp: bool,
) -> submission::Settings {
    let everywhere =
        [IpNet::from(IpAddr::from(Ipv4Addr::UNSPECIFIED)), IpNet::from(IpAddr::from(Ipv6Addr::UNSPECIFIED))];
    // A network of no bits is every address.
    let everywhere = everywhere.iter().filter_map(|one| IpNet::new(one.addr(), 0).ok()).collect();
    submission::Settings {
        name: "unsubscribe".to_owned(),
        hostname: settings.name.ascii().to_owned(),
        lmtp,
        tls: tls.map_or(Tls::None, Tls::StartTls),
        accounts: None,
        pass_through: false,
        loopback_auth_without_tls: false,
        trusted: everywhere,
        trusted_senders: Vec::new(),
        size_limit: settings.limits.unsubscribe_mail,
        edit_room: 0,
        recipients: settings.limits.recipients,
        tolerance: tolerance(settings),
        normalise_bare_lf: false,
        timeouts: timeouts(settings),
        limits: limits.clone(),
        entropy: entropy.clone(),
    }
}

/// Its own counters: whoever floods that address keeps no tool from sending.
pub(super) fn letterbox_limits(settings: &config::Settings) -> LimitSettings {
    let size = usize::try_from(settings.limits.unsubscribe_mail).unwrap_or(usize::MAX);
    LimitSettings {
        connections: settings.limits.unsubscribe_connections,
        connections_per_ip: settings.limits.unsubscribe_connections,
        message_memory: size.saturating_mul(MAILS_AT_ONCE),
        // A mailbox provider hands in the mails of many.
        messages_per_account: None,
        ..limits(settings)
    }
}

/// What the mailroom goes by.
pub(super) fn mailroom(settings: &config::Settings) -> MailSettings {
    MailSettings {
        address: settings.unsubscribe.mailto.clone(),
        trusted: settings.unsubscribe.trusted_results.clone(),
        check_dkim: settings.unsubscribe.check_dkim,
        inbox: settings.limits.inbox,
        reply_search: settings.limits.reply_search,
        bounce_domain: settings.unsubscribe.bounce_domain.clone(),
        pass_on: settings.unsubscribe.pass_bounces_on,
        soft_days: settings.unsubscribe.soft_bounce_days,
    }
}

/// Where marketing copies come back to, if not to their clients.
pub(super) fn returns(settings: &config::Settings, keys: &token::Keys) -> Option<relay::Returns> {
    let domain = settings.unsubscribe.bounce_domain.clone()?;
    Some(relay::Returns { keys: keys.clone(), domain })
}

fn tolerance(settings: &config::Settings) -> Tolerance {
    Tolerance {
        errors: settings.limits.bad_commands,
        refused_recipients: settings.limits.refused_recipients,
        idle_commands: settings.limits.idle_commands,
        commands: settings.limits.commands,
        sign_in_failures: settings.limits.sign_in_failures_per_session,
    }
}

fn timeouts(settings: &config::Settings) -> submission::Timeouts {
    submission::Timeouts {
        command: settings.limits.command_timeout,
        data_block: settings.limits.data_timeout,
        message: settings.limits.message_timeout,
        data_rate: settings.limits.data_rate,
        write: settings.limits.write_timeout,
        handshake: settings.limits.handshake_timeout,
        screen: settings.limits.decision_timeout,
        ..submission::Timeouts::default()
    }
}

/// The DKIM keys by domain.
pub(super) fn signers(settings: &config::Settings) -> Result<Vec<Signers>> {
    let Dkim::Keys(wanted) = &settings.dkim else { return Ok(Vec::new()) };
    let mut signers: Vec<Signers> = Vec::new();
    for one in wanted {
        let key = keys::read_dkim(&one.key_file, one.algorithm)
            .with_context(|| format!("DKIM key {} of {}", one.selector, one.domain))?;
        let signer =
            Signer { domain: one.domain.ascii().to_owned(), selector: one.selector.clone(), key: key.key };
        let name = format!("{}._domainkey.{}", one.selector, one.domain.ascii());
        let name = KeyInForce::dkim(name, &key.record);
        match signers.iter_mut().find(|signers| signers.domain == one.domain) {
            Some(signers) => {
                signers.keys.push(signer);
                signers.names.push(name);
            }
            None => {
                signers.push(Signers { domain: one.domain.clone(), keys: vec![signer], names: vec![name] })
            }
        }
    }
    Ok(signers)
}

/// What signs mail of our own.
pub(super) fn seals(signers: &[Signers]) -> Arc<Vec<Seal>> {
    let name = |key: &KeyInForce| DkimSigned { name: key.name.clone(), key: key.id.clone() };
    let seal = |signers: &Signers| Seal {
        domain: signers.domain.clone(),
        keys: signers.keys.clone(),
        names: signers.names.iter().map(name).collect(),
    };
    Arc::new(signers.iter().map(seal).collect())
}

/// Our public addresses, as the health check asks them; `listener` is where the page is bound.
pub(super) fn outside(settings: &config::Settings, listener: SocketAddr) -> Result<unsubscribe::Outside> {
    let page = &settings.unsubscribe;
    let urls = std::iter::once(&page.url).chain(page.urls.iter().map(|(_, url)| url));
    let parse = |url: &String| Target::parse(url).with_context(|| format!("{url} cannot be asked"));
    let mut doors = urls.map(parse).collect::<Result<Vec<_>>>()?;
    let mut via = page.check_via;
    let mut trust = page.check_ca_file.clone().map_or(Trust::System, Trust::CaFile);
    if !page.check_public {
        // The listener itself, under each of its names; it has no certificate unless it speaks TLS.
        let ip = match listener.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        via = Some(SocketAddr::new(ip, listener.port()));
        if page.tls.is_none() {
            doors = doors.into_iter().map(Target::in_the_clear).collect();
        }
    }
    if doors.iter().all(|door| !door.is_secure()) {
        // In the clear there is nobody's certificate to believe.
        trust = Trust::Anybody;
    }
    let caller = Caller::new(&trust, Reach::Anybody, HEALTH).context("the health check")?;
    Ok(unsubscribe::Outside { doors, via, caller })
}

/// Who may ask the API.
pub(super) fn gate(settings: &config::Settings, entropy: &SharedEntropy) -> Result<Arc<Gate>> {
    Ok(Arc::new(Gate::new(settings.api.tokens.clone(), &**entropy)?))
}

/// Bounds of the API's listener, and of the API.
pub(super) fn api(settings: &config::Settings) -> (net::http::Limits, api::Limits) {
    let limits = &settings.limits;
    let http = net::http::Limits {
        connections: limits.api_connections,
        header: limits.http_timeout,
        idle: limits.http_idle,
    };
    let own =
        api::Limits { body: limits.api_body, body_time: limits.http_timeout, at_once: limits.api_at_once };
    (http, own)
}

pub(super) fn page(settings: &config::Settings) -> unsubscribe::Limits {
    let limits = &settings.limits;
    unsubscribe::Limits {
        http: net::http::Limits {
            connections: limits.http_connections,
            header: limits.http_timeout,
            idle: limits.http_idle,
        },
        body: limits.http_body,
        body_time: limits.http_timeout,
        pending: limits.http_pending,
    }
}
