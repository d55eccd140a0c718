//! From text to [`Settings`]: everything but senders and rules, which have their own file.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::reader::{Doc, Section};
use super::rules::Senders;
use super::settings::*;
use super::{place, rules};
use crate::clock::Timestamp;
use crate::mail::{Address, Domain};
use crate::secret::Secret;

/// Largest config file.
pub const MAX_FILE: u64 = 4 << 20;

/// What checking needs besides the text.
#[derive(Clone)]
pub struct Environment {
    /// Environment variables whose names begin with `SLUIS_`.
    pub variables: BTreeMap<String, String>,
    /// The present moment: a rule that has ended is a warning.
    pub now: Timestamp,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process(now: Timestamp) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("SLUIS_"))
            .collect();
        Self { variables, now }
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: the values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Read and check the file at `path`, with the files it names.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, Problems> {
    let mut source = String::new();
    let problem = |message: String| Problems::of_file(path, message);
    let file =
        std::fs::File::open(path).map_err(|error| problem(format!("the file cannot be opened: {error}")))?;
    file.take(MAX_FILE + 1)
        .read_to_string(&mut source)
        .map_err(|error| problem(format!("the file cannot be read: {error}")))?;
    if source.len() as u64 > MAX_FILE {
        return Err(problem(format!("the file is larger than {MAX_FILE} octets")));
    }
    parse(path, &source, environment)
}

/// Check `source`, which was read from `file`.
pub fn parse(file: &Path, source: &str, environment: &Environment) -> Result<Settings, Problems> {
    let doc = Doc::new(file, source);
    let settings = read(&doc, file, source, environment);
    let warnings = doc.verdict()?;
    // No errors means that every required value was read.
    settings
        .map(|settings| Settings { warnings, ..settings })
        .ok_or_else(|| Problems::of_file(file, "the file could not be checked"))
}

/// Read everything; `None` only after an error was noted.
fn read(doc: &Doc<'_>, file: &Path, source: &str, environment: &Environment) -> Option<Settings> {
    let (table, errors) = DeTable::parse_recoverable(source);
    errors.iter().for_each(|error| doc.syntax(error));
    read_root(doc, &table.into_inner(), file, environment)
}

/// The keys that are asked for while reading `source`: what the documentation must have.
#[cfg(test)]
pub(super) fn known_keys(source: &str, environment: &Environment) -> std::collections::BTreeSet<String> {
    let file = Path::new("sluis.toml");
    let doc = Doc::new(file, source);
    read(&doc, file, source, environment);
    doc.known()
}

fn read_root(doc: &Doc<'_>, table: &DeTable<'_>, file: &Path, environment: &Environment) -> Option<Settings> {
    let root = doc.root(table);
    let name = root.parsed("name", host_name).or_else(|| {
        let missing = !root.has("name");
        missing.then(|| root.error("name", "is missing; write the host name of this gateway"));
        None
    });
    let postmaster = root.parsed("postmaster", mailbox);
    let data = root.text("data").map_or_else(|| PathBuf::from("var"), |data| PathBuf::from(data.value));
    let stop_within = root.duration("stop_within", seconds(1)..=seconds(600)).unwrap_or(seconds(30));

    let senders = rules::senders(&root);
    let accounts = accounts(&root, &senders, environment);
    let trusted = trusted(root.section("trusted"), &senders);
    let rules = rules::rules(&root, &senders, &accounts, environment.now);
    let listeners = listeners(&root, &accounts, &trusted);
    let tls = tls(root.section("tls"));
    let relay = relay(root.section("relay"), &data, environment);
    let unsubscribe = unsubscribe(root.section("unsubscribe"), &relay);
    let dkim = dkim(&root, &senders, &relay);
    let limits = limits(root.section("limits"));
    let log = log(root.section("log"));
    let metrics = metrics(root.section("metrics"));
    root.finish();

    let name = name?;
    let postmaster = match postmaster {
        Some(postmaster) => postmaster,
        None => Address::parse(&format!("postmaster@{}", name.ascii())).ok()?,
    };
    Some(Settings {
        file: file.to_owned(),
        name,
        postmaster,
        data,
        stop_within,
        listeners,
        tls,
        accounts,
        trusted,
        relay: relay?,
        unsubscribe,
        dkim,
        limits,
        rules,
        log,
        metrics,
        warnings: Vec::new(),
    })
}

fn listeners(root: &Section<'_>, accounts: &[Account], trusted: &Trusted) -> Vec<Listener> {
    let sections = root.sections("listener");
    if !root.has("listener") {
        root.error("listener", "is missing; add a [[listener]] with address = \"127.0.0.1:2525\"");
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(sections.len());
    for section in sections {
        if let Some(listener) = listener(&section, accounts, trusted) {
            if let Some(other) = listeners.iter().find(|other| clash(other.address, listener.address)) {
                section.error(
                    "address",
                    format!("{} is taken by the listener \"{}\" above", listener.address, other.name),
                );
            }
            listeners.push(listener);
        }
        section.finish();
    }
    listeners
}

fn listener(section: &Section<'_>, accounts: &[Account], trusted: &Trusted) -> Option<Listener> {
    let address = socket(section, "address");
    if !section.has("address") {
        section.error("address", "is missing; write an IP address and a port: \"127.0.0.1:2525\"");
    }
    let tls = section
        .choice(
            "tls",
            &[
                ("starttls", ListenerTls::Starttls),
                ("implicit", ListenerTls::Implicit),
                ("none", ListenerTls::None),
            ],
        )
        .unwrap_or(ListenerTls::Starttls);
    let name = section.text("name").map(|name| name.value);
    let auth_required = section.flag("auth_required").unwrap_or(false);
    let normalise_bare_lf = section.flag("normalise_bare_lf").unwrap_or(false);
    let plain = section.flag("auth_without_tls_on_loopback").unwrap_or(false);
    if normalise_bare_lf && !auth_required {
        section.error("normalise_bare_lf", "is only allowed with auth_required = true (RULES P1)");
    }
    if auth_required && accounts.is_empty() {
        section.error("auth_required", "nobody could sign in; add an [[account]] or set it to false");
    }
    if accounts.is_empty() && trusted.networks.is_empty() {
        section.error_here("nobody could send; add an [[account]] or [trusted] networks");
    }
    let address = address?;
    if plain && !address.ip().is_loopback() {
        section.error(
            "auth_without_tls_on_loopback",
            format!("{} is not a loopback address; passwords need TLS there (RULES P3)", address.ip()),
        );
    }
    if tls == ListenerTls::None && !address.ip().is_loopback() {
        section.warn("tls", "mail crosses the network in the clear and nobody can sign in; use \"starttls\"");
    }
    let name = name.unwrap_or_else(|| address.to_string());
    Some(Listener {
        name,
        address,
        tls,
        auth_required,
        normalise_bare_lf,
        auth_without_tls_on_loopback: plain,
    })
}

/// Whether two listeners cannot both have their address.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip()
        || (one.is_ipv4() == other.is_ipv4() && (one.ip().is_unspecified() || other.ip().is_unspecified()));
    one.port() != 0 && one.port() == other.port() && same_host
}

fn tls(section: Section<'_>) -> Option<TlsFiles> {
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
        section.error_here("certificate_file and key_file belong together; write both or neither");
    }
    section.finish();
    certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key })
}

fn accounts(root: &Section<'_>, senders: &Senders, environment: &Environment) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::new();
    for section in root.sections("account") {
        let name = section.required("name", "write the name it signs in with");
        if let Some(name) = &name
            && accounts.iter().any(|other| other.name == name.value)
        {
            section.error_at(name, format!("there already is an account \"{}\"", name.value));
        }
        let hash = password_hash(&section, name.as_ref().map(|name| name.value.as_str()), environment);
        let own = senders.named(&section, "senders");
        if section.has("senders") && section.texts("senders").is_empty() {
            section.error("senders", "is empty; name senders, or leave it out for all of them");
        }
        if let (Some(name), Some(password_hash)) = (name, hash) {
            accounts.push(Account { name: name.value, password_hash, senders: own });
        }
        section.finish();
    }
    accounts
}

fn password_hash(section: &Section<'_>, account: Option<&str>, environment: &Environment) -> Option<String> {
    let inline = section.text("password_hash");
    let file = section.text("password_hash_file");
    let variable = account.map(variable_of).and_then(|name| environment.variables.get(&name).cloned());
    let (hash, key) = match (inline, file) {
        (Some(_), Some(_)) => {
            section.error("password_hash", "stands beside password_hash_file; keep one of them");
            return None;
        }
        (Some(inline), None) => (inline.value, "password_hash"),
        (None, Some(file)) => match place::secret(Path::new(&file.value)) {
            Ok(text) => (text.trim().to_owned(), "password_hash_file"),
            Err(message) => {
                section.error_at(&file, message);
                return None;
            }
        },
        (None, None) => match variable {
            Some(hash) => (hash.trim().to_owned(), "password_hash"),
            None => {
                if !section.has("password_hash") && !section.has("password_hash_file") {
                    let variable = variable_of(account.unwrap_or("name"));
                    section.error_here(format!(
                        "has no password; write password_hash or password_hash_file with what \
                         `sluis password` prints, or set {variable}"
                    ));
                }
                return None;
            }
        },
    };
    match PasswordHash::new(&hash) {
        Ok(parsed) if parsed.algorithm.as_str().starts_with("argon2") => Some(hash),
        _ => {
            let right = "is not an Argon2 hash ($argon2id$v=19$…); `sluis password` makes one";
            section.error(key, right);
            None
        }
    }
}

/// The environment variable that may hold the password hash of `account`.
fn variable_of(account: &str) -> String {
    let upper: String = account
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("SLUIS_ACCOUNT_{upper}_PASSWORD_HASH")
}

fn trusted(section: Section<'_>, senders: &Senders) -> Trusted {
    let networks = section.list("networks", |text| {
        let network = network(text)?;
        if network.prefix_len() == 0 {
            return Err(format!("{text} is the whole internet: this would be an open relay"));
        }
        Ok(network)
    });
    let senders = senders.named(&section, "senders");
    section.finish();
    Trusted { networks, senders }
}

fn relay(section: Section<'_>, data: &Path, environment: &Environment) -> Option<RelaySettings> {
    let next_hop = next_hop(&section, data);
    let implied = match &next_hop {
        Some(NextHop::Directory(_)) => RelayTls::None,
        Some(NextHop::Server { port: 465, .. }) => RelayTls::Implicit,
        _ => RelayTls::Starttls,
    };
    let tls = section
        .choice(
            "tls",
            &[("starttls", RelayTls::Starttls), ("implicit", RelayTls::Implicit), ("none", RelayTls::None)],
        )
        .unwrap_or(implied);
    let credentials = credentials(&section, environment);
    let near = next_hop.as_ref().is_none_or(is_near);
    if tls == RelayTls::None && !near {
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
    let defaults = [60, 300, 900, 3_600, 10_800].map(Duration::from_secs).to_vec();
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

fn unsubscribe(section: Section<'_>, relay: &Option<RelaySettings>) -> UnsubscribeSettings {
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
    let settings = UnsubscribeSettings {
        listen,
        url,
        mailto: section.parsed("mailto", mailbox),
        hosts: section.list("hosts", host_name),
        call_on: section.list("call_on", host_name),
        trusted_proxies: section.list("trusted_proxies", network),
    };
    section.finish();
    settings
}

/// A URL that links can begin with: https (or http on loopback), a host, no query, no fragment.
fn base_url(text: &str) -> Result<(), String> {
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

fn dkim(root: &Section<'_>, senders: &Senders, relay: &Option<RelaySettings>) -> Dkim {
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
        section.error_at(file, message);
    }
    Some(DkimKey {
        domain: domain?,
        selector: selector?.value,
        algorithm,
        key_file: PathBuf::from(key_file?.value),
    })
}

fn limits(section: Section<'_>) -> Limits {
    let d = Limits::default();
    let (second, hour) = (seconds(1), seconds(3_600));
    let octets = |key, range, default| section.size(key, range).unwrap_or(default);
    let small = |key, range, default: usize| octets(key, range, default as u64) as usize;
    let number = |key, range, default| section.number(key, range).unwrap_or(default);
    let rate = |key, default: u32| number(key, 1..=u64::from(u32::MAX), u64::from(default)) as u32;
    let limits = Limits {
        message_size: octets("message_size", 64 << 10..=2 << 30, d.message_size),
        message_memory: octets("message_memory", 1 << 20..=1 << 40, d.message_memory),
        recipients: count(&section, "recipients", 100..=100_000, d.recipients),
        connections: count(&section, "connections", 1..=100_000, d.connections),
        connections_per_ip: count(&section, "connections_per_ip", 1..=100_000, d.connections_per_ip),
        command_line: small("command_line", 512..=64 << 10, d.command_line),
        bad_commands: count(&section, "bad_commands", 1..=10_000, d.bad_commands),
        command_timeout: section.duration("command_timeout", second..=hour).unwrap_or(d.command_timeout),
        data_timeout: section.duration("data_timeout", second..=hour).unwrap_or(d.data_timeout),
        header: small("header", 1 << 10..=16 << 20, d.header),
        header_fields: count(&section, "header_fields", 50..=100_000, d.header_fields),
        parts: count(&section, "parts", 1..=100_000, d.parts),
        depth: count(&section, "depth", 1..=100, d.depth),
        received: count(&section, "received", 5..=1_000, d.received),
        sign_in_failures_per_ip: rate("sign_in_failures_per_ip", d.sign_in_failures_per_ip),
        sign_in_failures_per_account: rate("sign_in_failures_per_account", d.sign_in_failures_per_account),
        messages_per_hour: rate("messages_per_hour", d.messages_per_hour),
        spool_copies: number("spool_copies", 1..=100_000_000, d.spool_copies),
        spool_size: octets("spool_size", 1 << 20..=1 << 50, d.spool_size),
        ledger_queue: count(&section, "ledger_queue", 1..=1_000_000, d.ledger_queue),
        ledger_batch: count(&section, "ledger_batch", 1..=100_000, d.ledger_batch),
        http_connections: count(&section, "http_connections", 1..=100_000, d.http_connections),
        http_body: small("http_body", 1 << 10..=16 << 20, d.http_body),
        http_timeout: section.duration("http_timeout", second..=hour).unwrap_or(d.http_timeout),
        admin_connections: count(&section, "admin_connections", 1..=1_000, d.admin_connections),
        admin_message: small("admin_message", 1 << 20..=1 << 30, d.admin_message),
    };
    if limits.message_memory < limits.message_size {
        section.error("message_memory", "is less than message_size: not even one message would fit");
    }
    if limits.connections_per_ip > limits.connections && section.has("connections_per_ip") {
        section.error("connections_per_ip", "is more than connections");
    }
    section.finish();
    limits
}

fn log(section: Section<'_>) -> LogSettings {
    let defaults = LogSettings::default();
    let settings = LogSettings {
        format: section
            .choice("format", &[("human", LogFormat::Human), ("json", LogFormat::Json)])
            .unwrap_or(defaults.format),
        level: section
            .parsed("level", |text| {
                tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| {
                    format!("\"{text}\" is no level; error, warn, info, debug, trace, or \"info,sluis::relay=debug\"")
                })
            })
            .unwrap_or(defaults.level),
    };
    section.finish();
    settings
}

fn metrics(section: Section<'_>) -> Option<SocketAddr> {
    let listen = socket(&section, "listen");
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        section.warn("listen", "metrics have no sign-in; anyone who reaches this address can read them");
    }
    section.finish();
    listen
}

fn socket(section: &Section<'_>, key: &'static str) -> Option<SocketAddr> {
    section.parsed(key, |text| {
        text.parse().map_err(|_| {
            format!("\"{text}\" is not an IP address and port; write \"127.0.0.1:2525\" or \"[::1]:2525\"")
        })
    })
}

/// A network such as `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse::<IpNet>()).map(|network| network.trunc()).map_err(|_| {
        format!("\"{text}\" is not a network; write \"10.0.0.0/8\", \"2001:db8::/32\" or one address")
    })
}

/// A domain name, not an address literal.
pub(super) fn host_name(text: &str) -> Result<Domain, String> {
    match Domain::parse(text) {
        Ok(domain) if !text.starts_with('[') => Ok(domain),
        Ok(_) => Err(format!("\"{text}\" is an address literal; write a host name: \"mail.example.nl\"")),
        Err(error) => Err(format!("\"{text}\" is no host name ({error}); write \"mail.example.nl\"")),
    }
}

/// A mailbox without angle brackets.
pub(super) fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse(text)
        .map_err(|error| format!("\"{text}\" is no e-mail address ({error}); write \"info@example.nl\""))
}

fn count(
    section: &Section<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u64>,
    default: usize,
) -> usize {
    section.number(key, range).map_or(default, |number| number as usize)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}
