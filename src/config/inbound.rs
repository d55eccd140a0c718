//! Where mail comes in: listeners, TLS, accounts, trusted networks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;

use super::check::Environment;
use super::place;
use super::reader::Section;
use super::rules::Senders;
use super::settings::{Account, Listener, ListenerTls, TlsFiles, Trusted};
use super::value::{network, socket};

pub(super) fn listeners(root: &Section<'_>, accounts: &[Account], trusted: &Trusted) -> Vec<Listener> {
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
    let pass_through =
        section.choice("auth", &[("accounts", false), ("pass-through", true)]).unwrap_or(false);
    if auth_required && accounts.is_empty() && !pass_through {
        section.error("auth_required", "nobody could sign in; add an [[account]] or set it to false");
    }
    if accounts.is_empty() && trusted.networks.is_empty() && !pass_through {
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
        pass_through,
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

/// The certificate of the mail listeners.
pub(super) fn tls(section: Section<'_>) -> Option<TlsFiles> {
    let files = certificate(&section);
    section.finish();
    files
}

/// The certificate that a section names, and its key.
pub(super) fn certificate(section: &Section<'_>) -> Option<TlsFiles> {
    certificate_in(section, "certificate_file", "key_file")
}

/// The same, under other keys.
pub(super) fn certificate_in(
    section: &Section<'_>,
    certificate_key: &'static str,
    key_key: &'static str,
) -> Option<TlsFiles> {
    let certificate = section.text(certificate_key).map(|file| PathBuf::from(file.value));
    let key = section.text(key_key).map(|file| PathBuf::from(file.value));
    if let Some(file) = &certificate
        && let Err(message) = place::readable(file)
    {
        section.error(certificate_key, message);
    }
    if let Some(file) = &key
        && let Err(message) = place::closed(file)
    {
        section.error(key_key, message);
    }
    if section.has(certificate_key) != section.has(key_key) {
        section.error_here(format!("{certificate_key} and {key_key} belong together; write both or neither"));
    }
    certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key })
}

pub(super) fn accounts(root: &Section<'_>, senders: &Senders, environment: &Environment) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::new();
    for section in root.sections("account") {
        let name = section.required("name", "write the name it signs in with");
        if let Some(name) = &name
            && accounts.iter().any(|other| other.name == name.value)
        {
            section.error_at(name, format!("there already is an account \"{}\"", name.value));
        }
        let hash = password_hash(&section, name.as_ref().map(|name| name.value.as_str()), environment);
        // Read with the next hops.
        section.has("next_hop");
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
    if !is_argon2(&hash) {
        section.error(key, "is not an Argon2 hash ($argon2id$v=19$…); `sluis password` makes one");
        return None;
    }
    Some(hash)
}

/// Whether `text` is an argon2 hash in PHC form.
pub(super) fn is_argon2(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|parsed| parsed.algorithm.as_str().starts_with("argon2"))
}

/// The environment variable that may hold the password hash of `account`.
fn variable_of(account: &str) -> String {
    let upper: String = account
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("SLUIS_ACCOUNT_{upper}_PASSWORD_HASH")
}

pub(super) fn trusted(section: Section<'_>, senders: &Senders) -> Trusted {
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
