//! `sluis keys`: make, list, rotate.

use std::path::Path;

use anyhow::{Result, bail};

use super::args::{DkimKey, KeyKind, KeysCommand, Rotated};
use super::link::Link;
use super::print::Out;
use super::{done, load};
use crate::admin::Request;
use crate::app::keys::{self, KeyFolder};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Algorithm, Dkim, Settings};
use crate::mail::Domain;
use crate::secret::SystemEntropy;

pub(super) fn run(command: KeysCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        KeysCommand::Dkim(wanted) => dkim(wanted, config, out),
        KeysCommand::List => list(&load(config)?, out),
        KeysCommand::Rotate { kind: Rotated::Token, lost: None } => rotate_token(&load(config)?, out),
        KeysCommand::Rotate { kind: Rotated::Token, lost: Some(_) } => bail!(
            "--lost is for the ledger's key; without the token keys no link that was sent works: put keys/token.key \
             back from its backup"
        ),
        KeysCommand::Rotate { kind: Rotated::Ledger, lost } => {
            rotate_ledger(&load(config)?, lost.as_deref(), out)
        }
    }
}

/// With `--file` no config is read: its own `[[dkim]]` table is wrong for as long as the key is not there.
fn dkim(wanted: DkimKey, config: &Path, out: &mut Out) -> Result<bool> {
    let DkimKey { domain, selector, algorithm, file } = wanted;
    if selector.starts_with('[') || Domain::parse(&selector).is_err() {
        bail!("\"{selector}\" is no selector; letters, digits and hyphens");
    }
    let algorithm = match algorithm {
        KeyKind::Rsa => Algorithm::RsaSha256,
        KeyKind::Ed25519 => Algorithm::Ed25519Sha256,
    };
    let (file, signs) = match file {
        Some(file) => (file, None),
        None => {
            let settings = load(config)?;
            let named = named(&settings, &domain, &selector);
            let signs = named.is_some();
            (named.unwrap_or_else(|| keys::dkim_file(&settings.data, &domain, &selector)), Some(signs))
        }
    };
    let key = keys::make_dkim(&file, algorithm)?;
    let (name, what) = (format!("{selector}._domainkey.{}", domain.ascii()), algorithm.name());
    let made = if key.made { "made" } else { "is there already; nothing was changed" };
    out.line(format_args!("{}: {what} key, {made}", file.display()))?;
    out.line("\nPublish this in DNS, as a panel asks for it:\n")?;
    out.line(format_args!("  name   {name}"))?;
    out.line("  type   TXT")?;
    out.line(format_args!("  value  {}", key.record))?;
    out.line("\nor as a line of a zone file:\n")?;
    out.line(format_args!("  {name}. IN TXT ( {} )", keys::zone_strings(&key.record).join(" ")))?;
    if signs != Some(true) {
        out.line("\nThe config needs, once the record can be seen in DNS:\n")?;
        out.line(format_args!(
            "  [[dkim]]\n  domain = \"{}\"\n  selector = \"{selector}\"\n  algorithm = \"{what}\"\n  key_file = \"{}\"",
            domain.ascii(),
            file.display()
        ))?;
    }
    Ok(true)
}

/// The file that the config names for this key.
fn named(settings: &Settings, domain: &Domain, selector: &str) -> Option<std::path::PathBuf> {
    let Dkim::Keys(keys) = &settings.dkim else { return None };
    let key = keys.iter().find(|key| key.domain == *domain && key.selector == selector)?;
    Some(key.key_file.clone())
}

fn list(settings: &Settings, out: &mut Out) -> Result<bool> {
    let lines = keys::list(settings)?;
    let widest = lines.iter().map(|line| line.id.len()).max().unwrap_or(0);
    for line in &lines {
        let made = line.made.map_or_else(|| "-".to_owned(), |made| format!("{made:.0}"));
        out.line(format_args!(
            "{:<6}  {:<widest$}  {made:<20}  {}  ({})",
            line.kind,
            line.id,
            line.does,
            line.file.display()
        ))?;
    }
    if !settings.data.join("keys/token.key").exists() {
        out.line("the ledger key and the first token key are made when the gateway first starts")?;
    }
    Ok(true)
}

fn rotate_token(settings: &Settings, out: &mut Out) -> Result<bool> {
    let folder = KeyFolder::open(&settings.data)?;
    let id = folder.rotate_token(SystemClock.now(), &SystemEntropy)?;
    out.line(format_args!(
        "token key {id} was made; it seals links from now on, and all others go on opening theirs.\n\
         Back up {}: without it no link that was sent works.",
        settings.data.join("keys/token.key").display()
    ))?;
    match Link::gateway(settings)? {
        Some(mut gateway) => done(gateway.ask(Request::Reload)?, out),
        None => Ok(true),
    }
}

fn rotate_ledger(settings: &Settings, lost: Option<&str>, out: &mut Out) -> Result<bool> {
    let folder = KeyFolder::open(&settings.data)?;
    let made = folder.rotate_ledger(settings.name.ascii(), lost, SystemClock.now(), &SystemEntropy)?;
    out.line(format_args!(
        "the ledger's next key was made; the gateway signs with it from its next start. Its public half:\n\n  {made}\n"
    ))?;
    out.line(match lost {
        None => {
            "The key before and this one vouch for each other, in an entry and in every pack from then on: packs and \
             checkpoints of either can be checked with either."
        }
        Some(_) => {
            "No key vouches for it: give the public half to everybody who checks packs or keeps checkpoints. What was \
             signed before is checked with the key of before."
        }
    })?;
    out.line(format_args!("Back up {}.", settings.data.join("keys").display()))?;
    Ok(true)
}
