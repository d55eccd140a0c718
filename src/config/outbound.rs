//! Where mail goes: the next hop, the unsubscribe links, the signatures.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::check::Environment;
use super::place;
use super::reader::Section;
use super::rules::Senders;
use super::settings::{Algorithm, Dkim, DkimKey, NextHop, RelaySettings, TlsFiles, UnsubscribeSettings};
use super::value::{count, days, host_name, mailbox, network, seconds, socket};
use crate::mail::Domain;
use crate::net::call::Target;
use crate::relay::{Credentials, InDoubt, TlsMode};
use crate::secret::Secret;

pub(super) fn relay(section: Section<'_>, data: &Path, environment: &Environment) -> Option<RelaySettings> {
    let next_hop = next_hop(&section, data);
    let implied = match &next_hop {
        Some(NextHop::Directory(_)) => TlsMode::None,
        Some(NextHop::Server { port: 465, .. }) => TlsMode::Implicit,
        _ => TlsMode::StartTls,
    };
    let tls = section
        .choice(
            "tls",
            &[("starttls", TlsMode::StartTls), ("implicit", TlsMode::Implicit), ("none", TlsMode::None)],
        )
        .unwrap_or(implied);
    let credentials = credentials(&section, environment);
    let near = next_hop.as_ref().is_none_or(is_near);
    if tls == TlsMode::None && !near {
        if credentials.is_some() {
            section.error("tls", "the password would cross the network in the clear; use \"starttls\"");
        } else {
            section.warn("tls", "mail crosses the network in the clear; use \"starttls\"");
        }
    }
    let verify = section.flag("verify").unwrap_or(true);
    if !verify && !near {
        section.warn("verify", "anyone on the way can pose as the next hop; name its certificate in ca_file");
    }
    let ca_file = section.parsed("ca_file", |file| {
        place::readable(Path::new(file))?;
        Ok(PathBuf::from(file))
    });
    let retry = section.durations("retry", seconds(1)..=days(2));
    if section.has("retry") && section.texts("retry").is_empty() {
        section.error("retry", "is empty; write the waits between tries: [\"1m\", \"5m\", \"15m\"]");
    }
    let defaults = [60, 300, 900, 1_800, 3_600, 7_200, 14_400].map(Duration::from_secs).to_vec();
    let second = seconds(1);
    let settings = RelaySettings {
        tls,
        verify,
        ca_file,
        tls_name: section.text("tls_name").map(|name| name.value),
        credentials,
        patience: section.duration("patience", Duration::ZERO..=seconds(540)).unwrap_or(seconds(30)),
        queue_when_down: section.flag("queue_when_down").unwrap_or(false),
        in_doubt: section
            .choice("in_doubt", &[("retry", InDoubt::Retry), ("hold", InDoubt::Hold)])
            .unwrap_or_default(),
        retry: if retry.is_empty() { defaults } else { retry },
        expire_after: section.duration("expire_after", seconds(60)..=days(30)).unwrap_or(days(5)),
        connections: count(&section, "connections", 1..=1_000, 20),
        messages_per_connection: count(&section, "messages_per_connection", 1..=100_000, 100),
        connection_wait: section.duration("connection_wait", second..=seconds(3_600)).unwrap_or(seconds(60)),
        background: count(&section, "background", 1..=1_000, 10),
        idle_timeout: section.duration("idle_timeout", second..=seconds(3_600)).unwrap_or(seconds(30)),
        connect_timeout: section.duration("connect_timeout", second..=seconds(600)).unwrap_or(seconds(30)),
        command_timeout: section.duration("command_timeout", second..=seconds(3_600)).unwrap_or(seconds(300)),
        data_timeout: section.duration("data_timeout", second..=seconds(3_600)).unwrap_or(seconds(180)),
        final_timeout: section.duration("final_timeout", second..=seconds(3_600)).unwrap_or(seconds(600)),
        next_hop: NextHop::Directory(PathBuf::new()),
    };
    section.finish();
    next_hop.map(|next_hop| RelaySettings { next_hop, ..settings })
}

fn next_hop(section: &Section<'_>, data: &Path) -> Option<NextHop> {
    let directory = section.text("directory");
    let right = "write \"directory\" to keep copies as files, or the server as \"host:port\"";
    let text = section.required("next_hop", right)?;
    if text.value == "directory" {
        let directory = directory.map_or_else(|| "outbox".to_owned(), |directory| directory.value);
        return Some(NextHop::Directory(data.join(directory)));
    }
    if let Some(directory) = directory {
        section.error_at(&directory, "is only used with next_hop = \"directory\"; remove one of them");
    }
    let server = text.value.rsplit_once(':').and_then(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let sound = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => Domain::parse(host).is_ok() && !host.starts_with('['),
        };
        let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
        sound.then(|| NextHop::Server { host: bare.unwrap_or(host).to_owned(), port })
    });
    if server.is_none() {
        section.error_at(&text, format!("\"{}\" is no next hop; {right}", text.value));
    }
    server
}

/// Whether the next hop is this machine, so that nothing crosses a network.
fn is_near(next_hop: &NextHop) -> bool {
    match next_hop {
        NextHop::Directory(_) => true,
        NextHop::Server { host, .. } => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

fn credentials(section: &Section<'_>, environment: &Environment) -> Option<Credentials> {
    let right = "the user name on its first line, the password on its second";
    if let Some(file) = section.text("credentials_file") {
        let text = match place::secret(Path::new(&file.value)) {
            Ok(text) => Secret::new(text),
            Err(message) => {
                section.error_at(&file, message);
                return None;
            }
        };
        let lines = std::str::from_utf8(text.expose()).unwrap_or_default();
        let mut lines = lines.lines().map(str::trim_end).filter(|line| !line.is_empty());
        let (Some(username), Some(password), None) = (lines.next(), lines.next(), lines.next()) else {
            section.error_at(&file, format!("{} has another form; it needs {right}", file.value));
            return None;
        };
        return Some(Credentials { username: username.to_owned(), password: Secret::new(password) });
    }
    let variable = |name: &str| environment.variables.get(name);
    match (variable("SLUIS_RELAY_USERNAME"), variable("SLUIS_RELAY_PASSWORD")) {
        (Some(username), Some(password)) => {
            Some(Credentials { username: username.clone(), password: Secret::new(password.as_str()) })
        }
        (None, None) => None,
        _ => {
            section.error_here("SLUIS_RELAY_USERNAME and SLUIS_RELAY_PASSWORD belong together; set both");
            None
        }
    }
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
    let far = relay.as_ref().is_some_and(|relay| !is_near(&relay.next_hop));
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
    let check_public = section.choice("health", &[("public", true), ("listener", false)]).unwrap_or(true);
    let check_ca_file = section.text("health_ca_file");
    if let Some(file) = &check_ca_file
        && let Err(message) = place::readable(Path::new(&file.value))
    {
        section.error_at(file, message);
    }
    let settings = UnsubscribeSettings {
        listen,
        tls: page_tls(&section, tls),
        url,
        urls,
        check_public,
        check_via: socket(&section, "health_via"),
        check_ca_file: check_ca_file.map(|file| PathBuf::from(file.value)),
        mailto: section.parsed("mailto", mailbox),
        looks: senders
            .manners()
            .iter()
            .filter_map(|(sender, manner)| Some((sender.clone(), manner.look.clone()?)))
            .collect(),
        hosts,
        trusted_proxies: section.list("trusted_proxies", network),
    };
    section.finish();
    settings
}

/// The page's own certificate, or that of the mail listeners.
fn page_tls(section: &Section<'_>, mail: &Option<TlsFiles>) -> Option<TlsFiles> {
    let certificate = section.text("certificate_file").map(|file| PathBuf::from(file.value));
    let key = section.text("key_file").map(|file| PathBuf::from(file.value));
    if let Some(file) = &certificate
        && let Err(message) = place::readable(file)
    {
        section.error("certificate_file", message);
    }
    if let Some(file) = &key
        && let Err(message) = place::closed(file)
    {
        section.error("key_file", message);
    }
    if section.has("certificate_file") != section.has("key_file") {
        section.error("certificate_file", "belongs together with key_file; write both or neither");
    }
    let own = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key });
    if !section.flag("tls").unwrap_or(own.is_some()) {
        return None;
    }
    let files = own.or_else(|| mail.clone());
    if files.is_none() {
        section.error("tls", "needs a certificate: certificate_file and key_file here or in [tls]");
    }
    files
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
    if keys.is_empty() && !root.has("dkim") && relay.as_ref().is_some_and(|relay| !is_near(&relay.next_hop)) {
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
