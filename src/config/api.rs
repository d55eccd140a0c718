//! The register for other programs: where it listens, and who may ask.

use std::path::Path;

use super::reader::Section;
use super::rules::Senders;
use super::settings::{ApiSettings, TlsFiles};
use super::value::socket;
use super::{inbound, place};
use crate::api::{Scope, Token};
use crate::secret::Secret;

/// Read `[api]` and its tokens.
pub(super) fn api(section: Section<'_>, senders: &Senders, mail: &Option<TlsFiles>) -> ApiSettings {
    let listen = socket(&section, "listen");
    let tls = inbound::certificate(&section).or_else(|| mail.clone());
    let mut tokens: Vec<Token> = Vec::new();
    for one in section.sections("token") {
        if let Some(token) = token(&one, senders) {
            if tokens.iter().any(|other| other.name.eq_ignore_ascii_case(&token.name)) {
                one.error("name", format!("there already is a token \"{}\"", token.name));
            }
            tokens.push(token);
        }
        one.finish();
    }
    match listen {
        Some(listen) if tls.is_none() && !listen.ip().is_loopback() => {
            section.error("listen", "needs a certificate: tokens and addresses of people go over it; certificate_file and key_file here or in [tls]");
        }
        Some(_) if tokens.is_empty() => {
            section.warn("listen", "nobody may ask there; add an [[api.token]]");
        }
        None if !tokens.is_empty() => {
            section.error_here("has tokens and no listen; over the admin socket none is needed");
        }
        _ => {}
    }
    section.finish();
    ApiSettings { listen, tls: tls.filter(|_| listen.is_some()), tokens }
}

fn token(section: &Section<'_>, senders: &Senders) -> Option<Token> {
    let name = section.required("name", "write a name: what stands before the dot of the token");
    let name = name.filter(|name| {
        let sound = (1..=64).contains(&name.value.len())
            && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !sound {
            section.error_at(name, "letters, digits, - and _, at most 64");
        }
        sound
    });
    let right =
        "a file with the argon2 hash of the secret: openssl rand -hex 24 | tee secret | sluis password";
    let hash = section.required("hash_file", right).and_then(|file| {
        let read = place::secret(Path::new(&file.value)).and_then(|text| {
            let text = text.trim();
            match inbound::is_argon2(text) {
                true => Ok(Secret::new(text)),
                false => Err(format!("{} is no argon2 hash; it needs {right}", file.value)),
            }
        });
        read.map_err(|message| section.error_at(&file, message)).ok()
    });
    let scopes = section.list("scopes", |text| {
        let found = Scope::ALL.iter().find(|(word, _)| *word == text);
        found.map(|(_, scope)| *scope).ok_or_else(|| {
            let words: Vec<&str> = Scope::ALL.iter().map(|(word, _)| *word).collect();
            format!("\"{text}\" is no scope; there are {}", words.join(", "))
        })
    });
    if section.texts("scopes").is_empty() {
        section.error("scopes", "is missing; write what it may do: scopes = [\"check\"]");
    }
    let senders = senders.named(section, "senders");
    Some(Token { name: name?.value, hash: hash?, scopes, senders })
}
