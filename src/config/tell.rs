//! Who is told of unsubscribes, and how (RULES L10, P8).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::place;
use super::reader::Section;
use super::rules::Senders;
use super::settings::{Tell, WebhookSettings};
use super::value::{count, days, host_name, seconds};
use crate::net::call::{Target, is_loopback};
use crate::notify::webhook;

/// Read `[notify]` and all `[[webhook]]` tables.
pub(super) fn tell(section: Section<'_>, root: &Section<'_>, senders: &Senders) -> Tell {
    let defaults = Tell::default();
    let digest_at = section.parsed("digest_at", |text| {
        text.parse::<Time>().map_err(|_| format!("\"{text}\" is no time of day; write \"07:00\""))
    });
    let zone = section.parsed("time_zone", |text| {
        TimeZone::get(text).map_err(|_| format!("\"{text}\" is no time zone; write \"Europe/Amsterdam\""))
    });
    let hosts = section.list("one_click_hosts", |text| {
        let name = text.strip_prefix('.').unwrap_or(text);
        let domain = host_name(name)?;
        if !domain.ascii().contains('.') {
            return Err(format!(
                "\"{text}\" is a whole top-level domain; write \"tool.example\" or \".tool.example\""
            ));
        }
        let dot = if text.starts_with('.') { "." } else { "" };
        Ok(format!("{dot}{}", domain.ascii()))
    });
    let retry = section.durations("retry", seconds(1)..=days(1));
    let tell = Tell {
        daily_for: senders
            .manners()
            .iter()
            .filter(|(_, manner)| manner.daily)
            .map(|(sender, _)| sender.clone())
            .collect(),
        digest_at: digest_at.unwrap_or(defaults.digest_at),
        zone: zone.unwrap_or(defaults.zone),
        one_click_hosts: hosts,
        webhooks: webhooks(root, senders),
        retry: if retry.is_empty() { defaults.retry } else { retry },
        expire_after: section
            .duration("expire_after", seconds(60)..=days(30))
            .unwrap_or(defaults.expire_after),
        timeout: section.duration("timeout", seconds(1)..=seconds(120)).unwrap_or(defaults.timeout),
        at_once: count(&section, "at_once", 1..=100, defaults.at_once),
    };
    section.finish();
    tell
}

fn webhooks(root: &Section<'_>, senders: &Senders) -> Vec<WebhookSettings> {
    let mut all: BTreeMap<String, WebhookSettings> = BTreeMap::new();
    for section in root.sections("webhook") {
        if let Some(webhook) = webhook(&section, senders) {
            if all.contains_key(&webhook.name) {
                section.error("name", format!("there already is a webhook \"{}\"", webhook.name));
            }
            all.insert(webhook.name.clone(), webhook);
        }
        section.finish();
    }
    all.into_values().collect()
}

fn webhook(section: &Section<'_>, senders: &Senders) -> Option<WebhookSettings> {
    let name = section.required("name", "write a name; what is owed to it is kept under this name");
    let name = name.filter(|name| {
        let sound = (1..=64).contains(&name.value.len())
            && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !sound {
            section.error_at(name, "letters, digits, -, _ and ., at most 64");
        }
        sound
    });
    let url = section.required("url", "write where to POST: \"https://crm.example.nl/hooks/sluis\"");
    let target = url.and_then(|url| match Target::parse(&url.value) {
        Some(target) if target.is_secure() || is_loopback(target.host()) => Some(target),
        Some(_) => {
            section.error_at(&url, "it carries addresses of people: https, or http on loopback");
            None
        }
        None => {
            section.error_at(&url, format!("\"{}\" is no URL; write \"https://…\"", url.value));
            None
        }
    });
    let right = "a file with at least 24 characters, or whsec_ and base64: openssl rand -base64 32";
    let secret = section.required("secret_file", right).and_then(|file| {
        let read = place::secret(Path::new(&file.value)).and_then(|text| {
            webhook::key(&text).ok_or_else(|| format!("{} is no key; it needs {right}", file.value))
        });
        read.map_err(|message| section.error_at(&file, message)).ok()
    });
    let ca_file = section.text("ca_file");
    if let Some(file) = &ca_file
        && let Err(message) = place::readable(Path::new(&file.value))
    {
        section.error_at(file, message);
    }
    let senders = senders.named(section, "senders");
    Some(WebhookSettings {
        name: name?.value,
        target: target?,
        secret: secret?,
        senders,
        ca_file: ca_file.map(|file| PathBuf::from(file.value)),
    })
}

impl Default for Tell {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            daily_for: Vec::new(),
            digest_at: Time::constant(7, 0, 0, 0),
            zone: TimeZone::get("Europe/Amsterdam").unwrap_or(TimeZone::UTC),
            one_click_hosts: Vec::new(),
            webhooks: Vec::new(),
            retry: [1, 5, 15, 30, 60, 120, 240].map(minutes).to_vec(),
            expire_after: days(3),
            timeout: seconds(15),
            at_once: 4,
        }
    }
}
