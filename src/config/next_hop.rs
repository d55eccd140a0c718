//! Next hops: `[relay]`, which may be one itself, the `[[next_hop]]` tables, and who uses which.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use toml::de::DeValue;

use super::check::Environment;
use super::reader::{Section, Spot, meant};
use super::rules::Senders;
use super::settings::{HopLimits, HopSettings, Listener, NextHop, RelaySettings, TlsFiles};
use super::value::{count, seconds};
use super::{mx, place};
use crate::mail::Domain;
use crate::net::socks::Proxy;
use crate::relay::{Credentials, Routes, TlsMode};
use crate::secret::Secret;

/// What `[relay]` calls its own next hop in logs and status.
pub(super) const OWN: &str = "relay";
/// Keys of a next hop that mean nothing in a `[relay]` that only names others.
const OF_ONE_HOP: [&str; 21] = [
    "directory",
    "tls",
    "verify",
    "ca_file",
    "certificate_pins",
    "tls_name",
    "client_certificate_file",
    "client_key_file",
    "credentials_file",
    "proxy",
    "proxy_credentials_file",
    "messages_per_minute",
    "connections_per_domain",
    "dns_servers",
    "dnssec",
    "dnssec_anchors_file",
    "ip_versions",
    "lookup_timeout",
    "mta_sts",
    "private_mx",
    "remembered_domains",
];

/// The next hops of the file, and who uses which. `None` after an error.
pub(super) fn hops(
    root: &Section<'_>,
    included: &[Section<'_>],
    relay: &Section<'_>,
    senders: &Senders,
    data: &Path,
    environment: &Environment,
) -> Option<(Vec<HopSettings>, Routes)> {
    let limits = limits(relay, HopLimits::default());
    let mut hops = Vec::new();
    let mut sound = true;
    for section in root.sections("next_hop") {
        match named(&section, &hops, &limits, data, environment) {
            Some(hop) => hops.push(hop),
            None => sound = false,
        }
        section.finish();
    }
    let default = match relay.raw("next_hop") {
        // With tables, and no word on which of them: all, in their order.
        None if !hops.is_empty() || !sound => {
            only_names(relay);
            (0..hops.len()).collect()
        }
        Some(DeValue::Array(_)) => {
            only_names(relay);
            let names = relay.texts("next_hop");
            if names.is_empty() {
                relay.error("next_hop", "is empty; name a [[next_hop]]");
            }
            positions(relay, &names, &hops)
        }
        Some(DeValue::String(text)) if hops.iter().any(|hop| hop.name == **text) => {
            only_names(relay);
            positions(relay, &relay.texts("next_hop"), &hops)
        }
        _ => {
            hops.push(hop(relay, "next_hop", OWN, limits, data, environment)?);
            vec![hops.len() - 1]
        }
    };
    let routes = routes(root, included, senders, &hops, default);
    sound.then_some((hops, routes))
}

/// Whether the next hop is this machine, so that nothing crosses a network.
pub(super) fn is_near(next_hop: &NextHop) -> bool {
    match next_hop {
        NextHop::Directory(_) => true,
        NextHop::Server { host, .. } => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        // A try: who connects to private addresses because a name server of this machine says so.
        NextHop::Mx(mx) => {
            let servers = &mx.dns.servers;
            mx.private && !servers.is_empty() && servers.iter().all(|server| server.ip().is_loopback())
        }
    }
}

/// With a listener that passes sign-ins on: where to. It is the first next hop of `[relay]`.
pub(super) fn pass_through(root: &Section<'_>, relay: &mut RelaySettings, listeners: &[Listener]) {
    let Some(at) = listeners.iter().position(|listener| listener.pass_through) else { return };
    let Some(hop) = relay.routes.default.first().and_then(|&first| relay.hops.get_mut(first)) else { return };
    hop.pass_through = true;
    let sections = root.sections("listener");
    let Some(section) = sections.get(at) else { return };
    if matches!(hop.next_hop, NextHop::Directory(_)) {
        section.error("auth", "nobody can sign in to a folder; write a server in relay.next_hop");
    } else if matches!(hop.next_hop, NextHop::Mx(_)) {
        section.error(
            "auth",
            "nobody can sign in to the servers of recipients; write a server in relay.next_hop",
        );
    } else if hop.tls == TlsMode::None && !is_near(&hop.next_hop) {
        section.error(
            "auth",
            "passwords would cross the network in the clear; the next hop needs TLS (RULES P4)",
        );
    } else if hop.credentials.is_none() {
        section.warn(
            "auth",
            "the gateway's own notices and DSNs have no account at the next hop and stay in the spool; give it \
             a credentials_file",
        );
    }
}

fn only_names(relay: &Section<'_>) {
    for key in OF_ONE_HOP {
        if relay.has(key) {
            relay.error(key, "belongs to one server; write it in its [[next_hop]]");
        }
    }
}

fn named(
    section: &Section<'_>,
    others: &[HopSettings],
    limits: &HopLimits,
    data: &Path,
    environment: &Environment,
) -> Option<HopSettings> {
    let right = "write a short name: letters, digits, - and _";
    let name = section.required("name", right);
    if let Some(name) = &name {
        let sound = name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !sound || ["directory", "mx"].contains(&name.value.as_str()) || name.value.len() > 64 {
            section.error_at(name, format!("\"{}\" is no name for a next hop; {right}", name.value));
        } else if others.iter().any(|other| other.name == name.value) {
            section.error_at(name, format!("there already is a next hop \"{}\"", name.value));
        }
    }
    let label = name.as_ref().map_or("", |name| name.value.as_str());
    let hop = hop(section, "address", label, self::limits(section, *limits), data, environment);
    name.and(hop)
}

fn hop(
    section: &Section<'_>,
    address: &'static str,
    name: &str,
    limits: HopLimits,
    data: &Path,
    environment: &Environment,
) -> Option<HopSettings> {
    if let Some(DeValue::String(text)) = section.raw(address)
        && let Some(port) = mx::port(text)
    {
        return mx::hop(section, name, port, limits);
    }
    mx::only_elsewhere(section, address);
    let next_hop = next_hop(section, address, data);
    let implied = match &next_hop {
        Some(NextHop::Directory(_)) => TlsMode::None,
        Some(NextHop::Server { port: 465, .. }) => TlsMode::Implicit,
        _ => TlsMode::StartTls,
    };
    let modes = [("starttls", TlsMode::StartTls), ("implicit", TlsMode::Implicit), ("none", TlsMode::None)];
    let tls = section.choice("tls", &modes).unwrap_or(implied);
    let credentials = credentials(section, name, environment);
    let near = next_hop.as_ref().is_none_or(is_near);
    if tls == TlsMode::None && !near {
        if credentials.is_some() {
            section.error("tls", "the password would cross the network in the clear; use \"starttls\"");
        } else {
            section.warn("tls", "mail crosses the network in the clear; use \"starttls\"");
        }
    }
    let pins = section.list("certificate_pins", pin);
    let verify = section.flag("verify").unwrap_or(true);
    if !pins.is_empty() && (!verify || section.has("ca_file")) {
        section
            .error("certificate_pins", "say whom to believe, and so do verify and ca_file; keep one of them");
    }
    if !verify && !near {
        let right = "name its certificate in ca_file or certificate_pins";
        section.warn("verify", format!("anyone on the way can pose as the next hop; {right}"));
    }
    let per_minute = section.number("messages_per_minute", 1..=1_000_000);
    let hop = HopSettings {
        name: name.to_owned(),
        next_hop: next_hop?,
        tls,
        verify,
        ca_file: section.parsed("ca_file", readable),
        pins,
        tls_name: section.text("tls_name").map(|name| name.value),
        client_certificate: client_certificate(section),
        credentials,
        proxy: proxy(section),
        pass_through: false,
        messages_per_minute: per_minute.and_then(|count| NonZeroU32::new(count as u32)),
        limits,
    };
    if tls == TlsMode::None && hop.client_certificate.is_some() {
        section.error("client_certificate_file", "is only shown under TLS; use tls = \"starttls\"");
    }
    Some(hop)
}

fn limits(section: &Section<'_>, defaults: HopLimits) -> HopLimits {
    let time = |key, most| section.duration(key, seconds(1)..=seconds(most));
    HopLimits {
        connections: count(section, "connections", 1..=1_000, defaults.connections),
        messages_per_connection: count(
            section,
            "messages_per_connection",
            1..=100_000,
            defaults.messages_per_connection,
        ),
        connection_wait: time("connection_wait", 3_600).unwrap_or(defaults.connection_wait),
        idle_timeout: time("idle_timeout", 3_600).unwrap_or(defaults.idle_timeout),
        connect_timeout: time("connect_timeout", 600).unwrap_or(defaults.connect_timeout),
        command_timeout: time("command_timeout", 3_600).unwrap_or(defaults.command_timeout),
        data_timeout: time("data_timeout", 3_600).unwrap_or(defaults.data_timeout),
        final_timeout: time("final_timeout", 3_600).unwrap_or(defaults.final_timeout),
    }
}

fn next_hop(section: &Section<'_>, key: &'static str, data: &Path) -> Option<NextHop> {
    let directory = section.text("directory");
    let right = "write \"directory\" to keep copies as files, the server as \"host:port\", or \"mx\"";
    let text = section.required(key, right)?;
    if text.value == "directory" {
        let directory = directory.map_or_else(|| "outbox".to_owned(), |directory| directory.value);
        return Some(NextHop::Directory(data.join(directory)));
    }
    if let Some(directory) = directory {
        section.error_at(&directory, format!("is only used with {key} = \"directory\"; remove one of them"));
    }
    let server = host_and_port(&text.value);
    if server.is_none() {
        section.error_at(&text, format!("\"{}\" is no next hop; {right}", text.value));
    }
    server.map(|(host, port)| NextHop::Server { host, port })
}

/// `smtp.example:587`, `192.0.2.1:25`, `[2001:db8::1]:25`.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let sound = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => Domain::parse(host).is_ok() && !host.starts_with('['),
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    sound.then(|| (bare.unwrap_or(host).to_owned(), port))
}

/// The SHA-256 of a certificate or of its public key: 64 hex digits, with colons or without, or
/// `sha256//` and base64.
fn pin(text: &str) -> Result<[u8; 32], String> {
    let octets = match text.strip_prefix("sha256//") {
        Some(base64) => BASE64.decode(base64).ok(),
        None => unhex(&text.replace(':', "")),
    };
    octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| {
        format!("\"{text}\" is no SHA-256; write its 64 hex digits, or \"sha256//\" and its base64")
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn client_certificate(section: &Section<'_>) -> Option<TlsFiles> {
    let certificate = section.parsed("client_certificate_file", readable);
    let key = section.parsed("client_key_file", |file| {
        place::closed(Path::new(file))?;
        Ok(PathBuf::from(file))
    });
    if section.has("client_certificate_file") != section.has("client_key_file") {
        section
            .error_here("client_certificate_file and client_key_file belong together; write both or neither");
    }
    certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key })
}

pub(super) fn readable(file: &str) -> Result<PathBuf, String> {
    place::readable(Path::new(file))?;
    Ok(PathBuf::from(file))
}

fn proxy(section: &Section<'_>) -> Option<Proxy> {
    let address = section.parsed("proxy", |text| {
        let right = "write \"socks5://host:port\"";
        let server = text.strip_prefix("socks5://").or_else(|| text.strip_prefix("socks5h://"));
        server.and_then(host_and_port).ok_or_else(|| format!("\"{text}\" is no proxy; {right}"))
    });
    let sign_in = section.text("proxy_credentials_file").and_then(|file| pair(section, &file));
    if section.has("proxy_credentials_file") && !section.has("proxy") {
        section.error("proxy_credentials_file", "is only used with proxy");
    }
    let (host, port) = address?;
    Some(Proxy { host, port, sign_in })
}

fn credentials(section: &Section<'_>, name: &str, environment: &Environment) -> Option<Credentials> {
    if let Some(file) = section.text("credentials_file") {
        return pair(section, &file).map(|(username, password)| Credentials { username, password });
    }
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let prefix = if name == OWN { "SLUIS_RELAY".to_owned() } else { format!("SLUIS_NEXT_HOP_{upper}") };
    let variable = |what: &str| environment.variables.get(&format!("{prefix}_{what}"));
    match (variable("USERNAME"), variable("PASSWORD")) {
        (Some(username), Some(password)) => {
            Some(Credentials { username: username.clone(), password: Secret::new(password.as_str()) })
        }
        (None, None) => None,
        _ => {
            section.error_here(format!("{prefix}_USERNAME and {prefix}_PASSWORD belong together; set both"));
            None
        }
    }
}

/// A file with a user name and a password.
fn pair(section: &Section<'_>, file: &Spot<String>) -> Option<(String, Secret)> {
    let text = match place::secret(Path::new(&file.value)) {
        Ok(text) => Secret::new(text),
        Err(message) => {
            section.error_at(file, message);
            return None;
        }
    };
    let lines = std::str::from_utf8(text.expose()).unwrap_or_default();
    let mut lines = lines.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let (Some(username), Some(password), None) = (lines.next(), lines.next(), lines.next()) else {
        let right = "the user name on its first line, the password on its second";
        section.error_at(file, format!("{} has another form; it needs {right}", file.value));
        return None;
    };
    Some((username.to_owned(), Secret::new(password)))
}

/// Who uses which. Rules, accounts and senders were checked elsewhere; here only their `next_hop` is.
fn routes(
    root: &Section<'_>,
    included: &[Section<'_>],
    senders: &Senders,
    hops: &[HopSettings],
    default: Vec<usize>,
) -> Routes {
    let of = |table: &'static str, included: &[Section<'_>]| {
        let mut found: HashMap<String, Vec<usize>> = HashMap::new();
        // What is no list of tables was named as wrong already.
        let files = std::iter::once(root).chain(included);
        let files = files.filter(|file| matches!(file.raw(table), Some(DeValue::Array(_))));
        for section in files.flat_map(|file| file.sections(table)) {
            let Some(DeValue::String(name)) = section.raw("name") else { continue };
            let names = section.texts("next_hop");
            if section.has("next_hop") && names.is_empty() {
                section.error("next_hop", "is empty; name a [[next_hop]], or leave it out");
            }
            if !names.is_empty() {
                found.insert(name.trim().to_owned(), positions(&section, &names, hops));
            }
        }
        found
    };
    let by_name = of("sender", included);
    let id = |name: &String| senders.all().iter().find(|sender| sender.name == *name).map(|s| s.id.clone());
    Routes {
        rules: of("rule", included),
        accounts: of("account", &[]),
        senders: by_name.into_iter().filter_map(|(name, hops)| Some((id(&name)?, hops))).collect(),
        default,
    }
}

fn positions(section: &Section<'_>, names: &[Spot<String>], hops: &[HopSettings]) -> Vec<usize> {
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        match hops.iter().position(|hop| hop.name == name.value) {
            Some(at) if positions.contains(&at) => section.error_at(name, "is named twice"),
            Some(at) => positions.push(at),
            None => {
                let hint = meant(&name.value, hops.iter().map(|hop| hop.name.as_str()));
                section.error_at(name, format!("no [[next_hop]] has the name \"{}\"{hint}", name.value));
            }
        }
    }
    positions
}
