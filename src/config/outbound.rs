//! Where mail goes: the spool, the unsubscribe links, the signatures.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::check::Environment;
use super::manner::Manner;
use super::reader::Section;
use super::rules::Senders;
use super::settings::{Algorithm, Dkim, DkimKey, NextHop, RelaySettings, TlsFiles, UnsubscribeSettings};
use super::value::{count, days, host_name, mailbox, network, seconds, socket};
use super::{inbound, next_hop, place};
use crate::mail::Domain;
use crate::net::call::Target;
use crate::relay::InDoubt;

pub(super) fn relay(
    root: &Section<'_>,
    included: &[Section<'_>],
    senders: &Senders,
    data: &Path,
    environment: &Environment,
) -> Option<RelaySettings> {
    let section = root.section("relay");
    let hops = next_hop::hops(root, included, &section, senders, data, environment);
    let retry = section.durations("retry", seconds(1)..=days(2));
    if section.has("retry") && section.texts("retry").is_empty() {
        section.error("retry", "is empty; write the waits between tries: [\"1m\", \"5m\", \"15m\"]");
    }
    let defaults = [60, 300, 900, 1_800, 3_600, 7_200, 14_400].map(Duration::from_secs).to_vec();
    let (patience, expire_after) = (
        section.duration("patience", Duration::ZERO..=seconds(540)),
        section.duration("expire_after", seconds(60)..=days(30)),
    );
    let delay_notice = section.duration("delay_notice", seconds(60)..=days(30));
    let queue_when_down = section.flag("queue_when_down").unwrap_or(false);
    let in_doubt = section.choice("in_doubt", &[("retry", InDoubt::Retry), ("hold", InDoubt::Hold)]);
    let background = count(&section, "background", 1..=1_000, 10);
    let direct = hops.iter().flat_map(|(hops, _)| hops).any(|hop| matches!(hop.next_hop, NextHop::Mx(_)));
    if direct && !queue_when_down {
        section.warn(
            "queue_when_down",
            "a recipient's server that is away, or says come again (greylisting), is the mail tool's to wait for; \
             with true the gateway waits",
        );
    }
    section.finish();
    let (hops, routes) = hops?;
    Some(RelaySettings {
        hops,
        routes,
        patience: patience.unwrap_or(seconds(30)),
        queue_when_down,
        in_doubt: in_doubt.unwrap_or_default(),
        retry: if retry.is_empty() { defaults } else { retry },
        delay_notice: delay_notice.unwrap_or(seconds(14_400)),
        expire_after: expire_after.unwrap_or(days(5)),
        background,
    })
}

pub(super) fn unsubscribe(
    section: Section<'_>,
    relay: &Option<RelaySettings>,
    senders: &Senders,
    tls: &Option<TlsFiles>,
) -> UnsubscribeSettings {
    let defaults = UnsubscribeSettings::default();
    let listen = socket(&section, "listen").unwrap_or(defaults.listen);
    let url = section.parsed("url", |text| base_url(text).map(|()| text.trim_end_matches('/').to_owned()));
    let url = url.unwrap_or_else(|| format!("http://{listen}"));
    let far = relay.as_ref().is_some_and(is_far);
    if far && !url.starts_with("https://") {
        section.error(
            "url",
            "nobody else could open a link to this machine; with a real next hop, write the public address: \
             url = \"https://afmelden.example.nl\" (RULES L8, P7)",
        );
    }
    let urls: Vec<_> = senders
        .manners()
        .iter()
        .filter_map(|(sender, manner)| Some((sender.clone(), manner.url.clone()?)))
        .collect();
    let mut hosts = section.list("hosts", host_name);
    if !hosts.is_empty() {
        // Every name that links are made under is answered to, listed or not.
        for own in std::iter::once(&url).chain(urls.iter().map(|(_, url)| url)) {
            let host = Target::parse(own).and_then(|target| Domain::parse(target.host()).ok());
            hosts.extend(host.filter(|host| !hosts.contains(host)));
        }
    }
    let host_of =
        |manner: &Manner| Target::parse(manner.url.as_ref()?).map(|target| target.host().to_owned());
    let named_tls: Vec<_> = senders
        .manners()
        .iter()
        .filter_map(|(_, manner)| Some((host_of(manner)?, manner.tls.clone()?)))
        .collect();
    let check_public = section.choice("health", &[("public", true), ("listener", false)]).unwrap_or(true);
    let check_ca_file = section.text("health_ca_file");
    if let Some(file) = &check_ca_file
        && let Err(message) = place::readable(Path::new(&file.value))
    {
        section.error_at(file, message);
    }
    let own_tls = page_tls(&section, tls);
    if own_tls.is_none() && !named_tls.is_empty() {
        section.error(
            "tls",
            "is not on, so nobody would see the unsubscribe_certificate_file of a [[sender]]; \
             write tls = true, or leave the certificates to the proxy in front",
        );
    }
    let settings = UnsubscribeSettings {
        listen,
        tls: own_tls,
        named_tls,
        url,
        urls,
        check_public,
        check_via: socket(&section, "health_via"),
        check_ca_file: check_ca_file.map(|file| PathBuf::from(file.value)),
        mailto: section.parsed("mailto", mailbox),
        bounce_domain: section.parsed("bounce_domain", host_name),
        pass_bounces_on: section.flag("pass_bounces_on").unwrap_or(true),
        soft_bounce_days: section
            .number("soft_bounce_days", 1..=365)
            .and_then(|days| usize::try_from(days).ok())
            .unwrap_or(defaults.soft_bounce_days),
        lmtp_listen: socket(&section, "lmtp_listen"),
        check_dkim: section.flag("check_dkim").unwrap_or(true),
        resolver: socket(&section, "resolver"),
        mail_listen: socket(&section, "mail_listen"),
        trusted_results: section
            .list("trusted_results", |text| host_name(text).map(|host| host.ascii().to_owned())),
        looks: senders
            .manners()
            .iter()
            .filter_map(|(sender, manner)| Some((sender.clone(), manner.look.clone()?)))
            .collect(),
        hosts,
        trusted_proxies: section.list("trusted_proxies", network),
    };
    for (key, listens) in
        [("mail_listen", settings.mail_listen.is_some()), ("lmtp_listen", settings.lmtp_listen.is_some())]
    {
        if listens && settings.mailto.is_none() && settings.bounce_domain.is_none() {
            section.error(
                key,
                "for which address? write mailto = \"afmelden@example.nl\" (RULES P9), or bounce_domain",
            );
        }
    }
    section.finish();
    settings
}

/// The page's own certificate, or that of the mail listeners.
fn page_tls(section: &Section<'_>, mail: &Option<TlsFiles>) -> Option<TlsFiles> {
    let own = inbound::certificate(section);
    if !section.flag("tls").unwrap_or(own.is_some()) {
        return None;
    }
    let files = own.or_else(|| mail.clone());
    if files.is_none() {
        section.error("tls", "needs a certificate: certificate_file and key_file here or in [tls]");
    }
    files
}

/// Whether some mail goes to another machine.
fn is_far(relay: &RelaySettings) -> bool {
    relay.hops.iter().any(|hop| !next_hop::is_near(&hop.next_hop))
}

/// A URL that links can begin with: https (or http on loopback), a host, no query, no fragment.
pub(super) fn base_url(text: &str) -> Result<(), String> {
    let right = "write \"https://afmelden.example.nl\", without query";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("\"{text}\" is no URL; {right}"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<IpAddr>().ok();
    let sound = (ip.is_some() || Domain::parse(host).is_ok())
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/:[]".contains(&b));
    if !sound {
        return Err(format!("\"{text}\" is no URL that links can begin with; {right}"));
    }
    let loopback = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    match scheme {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(format!("links must be https, or http on loopback for a trial (RULES P7); {right}")),
    }
}

pub(super) fn dkim(root: &Section<'_>, senders: &Senders, relay: &Option<RelaySettings>) -> Dkim {
    if let Some(DeValue::String(text)) = root.raw("dkim") {
        if text != "next-hop" {
            root.error("dkim", format!("\"{text}\" is not \"next-hop\"; or add [[dkim]] tables with keys"));
        }
        return Dkim::NextHop;
    }
    let mut keys: Vec<DkimKey> = Vec::new();
    for section in root.sections("dkim") {
        if let Some(key) = dkim_key(&section, senders) {
            if keys.iter().any(|other| other.domain == key.domain && other.selector == key.selector) {
                section.error("selector", "there already is a key with this selector and domain");
            }
            keys.push(key);
        }
        section.finish();
    }
    if keys.is_empty() && !root.has("dkim") && relay.as_ref().is_some_and(is_far) {
        root.warn(
            "dkim",
            "nobody signs; add a [[dkim]] key, or write dkim = \"next-hop\" if the provider signs",
        );
    }
    Dkim::Keys(keys)
}

fn dkim_key(section: &Section<'_>, senders: &Senders) -> Option<DkimKey> {
    let domain = section.required("domain", "write the domain that signs: \"example.nl\"");
    let domain = domain.and_then(|text| match host_name(&text.value) {
        Ok(domain) => {
            if !senders.all().iter().any(|sender| sender.domains.iter().any(|own| own.is_within(&domain))) {
                section.error_at(
                    &text,
                    format!("no [[sender]] has the domain {domain}, so this key never signs"),
                );
            }
            Some(domain)
        }
        Err(message) => {
            section.error_at(&text, message);
            None
        }
    });
    let selector = section.required("selector", "write the selector under which the public key is published");
    let selector = selector.filter(|text| {
        let sound = Domain::parse(&text.value).is_ok() && !text.value.starts_with('[');
        if !sound {
            section.error_at(text, format!("\"{}\" is no selector; letters, digits and hyphens", text.value));
        }
        sound
    });
    let algorithm = section
        .choice(
            "algorithm",
            &[("rsa-sha256", Algorithm::RsaSha256), ("ed25519-sha256", Algorithm::Ed25519Sha256)],
        )
        .unwrap_or(Algorithm::RsaSha256);
    let key_file = section.required("key_file", "write the PEM file of the private key");
    if let Some(file) = &key_file
        && let Err(message) = place::closed(Path::new(&file.value))
    {
        let is_there = Path::new(&file.value).exists();
        let make = match (&domain, &selector) {
            (Some(domain), Some(selector)) if !is_there => format!(
                "; make it: sluis keys dkim --domain {domain} --selector {} --algorithm {} --file {}",
                selector.value,
                algorithm.name(),
                file.value
            ),
            _ => String::new(),
        };
        section.error_at(file, format!("{message}{make}"));
    }
    Some(DkimKey {
        domain: domain?,
        selector: selector?.value,
        algorithm,
        key_file: PathBuf::from(key_file?.value),
    })
}
