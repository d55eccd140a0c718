//! Senders and rules (DESIGN section 5), and what must hold between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil;
use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::footer::footers;
use super::hash;
use super::manner::{Manner, manner};
use super::reader::{Section, Spot, meant, quoted};
use super::settings::Account;
use super::value::{host_name, mailbox, network};
use crate::clock::Timestamp;
use crate::mail::{Class, Language, Purpose, Sender, SenderId};
use crate::message::Templates;
use crate::policy::{Effect, Match, Mode, OnRefused, Pattern, Rule, Rules};

/// Longest name, purpose or reason, in octets: they stand in replies and entries.
const MAX_TEXT: usize = 300;

/// The senders of the file, to be referred to by name or id; the footer templates of each, and how each wants to be
/// shown and told.
#[derive(Default)]
pub(super) struct Senders {
    all: Vec<Arc<Sender>>,
    footers: BTreeMap<SenderId, Templates>,
    manners: Vec<(SenderId, Manner)>,
    /// What tables with mistakes are called by: whoever names them makes no mistake of its own.
    broken: Vec<String>,
}

impl Senders {
    /// Those of rules that were read before.
    pub(super) fn of(senders: &[Arc<Sender>]) -> Self {
        Self { all: senders.to_vec(), ..Self::default() }
    }

    pub(super) fn all(&self) -> &[Arc<Sender>] {
        &self.all
    }

    /// How each wants to be shown and told.
    pub(super) fn manners(&self) -> &[(SenderId, Manner)] {
        &self.manners
    }

    pub(super) fn footers(&self) -> &BTreeMap<SenderId, Templates> {
        &self.footers
    }

    /// The senders that `key` names; an unknown one is an error.
    pub(super) fn named(&self, section: &Section<'_>, key: &'static str) -> Vec<SenderId> {
        let texts = section.texts(key);
        texts.iter().filter_map(|text| self.find(section, text)).map(|sender| sender.id.clone()).collect()
    }

    pub(super) fn find(&self, section: &Section<'_>, text: &Spot<String>) -> Option<&Arc<Sender>> {
        let found = self.all.iter().find(|sender| sender.name == text.value || sender.id.0 == text.value);
        if found.is_none() && !self.broken.contains(&text.value) {
            let names = self.all.iter().flat_map(|sender| [sender.name.as_str(), sender.id.0.as_str()]);
            let hint = meant(&text.value, names);
            section.error_at(text, format!("no [[sender]] has the name or id \"{}\"{hint}", text.value));
        }
        found
    }
}

/// Read all `[[sender]]` tables, of the config file and of those it includes.
pub(super) fn senders(root: &Section<'_>, included: &[Section<'_>]) -> Senders {
    let sections: Vec<_> = everywhere(root, included, "sender").collect();
    if sections.is_empty() && !root.has("sender") {
        root.warn("sender", "is missing; without a [[sender]] all marketing is refused (RULES L7)");
    }
    let mut senders = Senders::default();
    for section in sections {
        let manner = manner(&section);
        let footers = footers(&section);
        if let Some(sender) = sender(&section) {
            senders.footers.insert(sender.id.clone(), footers);
            for other in &senders.all {
                compare(&section, &sender, other);
            }
            senders.manners.push((sender.id.clone(), manner));
            senders.all.push(Arc::new(sender));
        } else {
            senders.broken.extend(["name", "id", "kvk"].iter().filter_map(|key| section.peek(key)));
        }
        section.finish();
    }
    senders
}

/// The tables of one name, those of the config file first.
fn everywhere<'a>(
    root: &'a Section<'_>,
    included: &'a [Section<'_>],
    key: &'static str,
) -> impl Iterator<Item = Section<'a>> {
    std::iter::once(root).chain(included).flat_map(move |file| file.sections(key))
}

fn sender(section: &Section<'_>) -> Option<Sender> {
    let name = line(section, section.required("name", "write the statutory name, as in the trade register"));
    let trade_names = section.list("trade_names", |text| {
        let text = text.trim();
        if text.is_empty() {
            Err("is empty; write a registered trade name".to_owned())
        } else {
            Ok(text.to_owned())
        }
    });
    let kvk = section.required("kvk", "write the 8 digits of the trade register (RULES L7)");
    let kvk = kvk.filter(|text| {
        let sound = text.value.len() == 8 && text.value.bytes().all(|b| b.is_ascii_digit());
        if !sound {
            section.error_at(text, format!("\"{}\" is no KvK number; it has 8 digits", text.value));
        }
        sound
    });
    let id = section.parsed("id", |text| {
        let sound = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if sound { Ok(text.to_owned()) } else { Err("letters, digits, - and _, at most 64".to_owned()) }
    });
    let address =
        line(section, section.required("address", "write the postal address on one line (RULES L7)"));
    let contact = section.required("contact", "write an e-mail address where people can reach the sender");
    let contact = contact.and_then(|text| {
        mailbox(&text.value).map_err(|message| section.error_at(&text, message)).ok().inspect(|contact| {
            if contact.local().to_lowercase().replace(['-', '_', '.'], "").starts_with("noreply") {
                section.error_at(&text, "nobody reads this address; write one that is answered (RULES L7)");
            }
        })
    });
    let domains = section.list("domains", |text| {
        let domain = host_name(text)?;
        if domain.ascii().contains('.') {
            Ok(domain)
        } else {
            Err(format!("\"{text}\" is a whole top-level domain; write \"example.nl\""))
        }
    });
    if section.texts("domains").is_empty() {
        section.error("domains", "is missing; write the domains that From addresses may have (RULES L7)");
    }
    // Read with the next hops.
    section.has("next_hop");
    let notify = section.list("notify", mailbox);
    if !section.has("notify") {
        let message =
            "is missing: nobody is told of unsubscribes; notify = [\"beheer@example.nl\"] (RULES L10)";
        section.warn("notify", message);
    }
    let languages = Language::ALL.map(|one| (one.code(), one));
    let language = section.choice("language", &languages).unwrap_or_default();
    let kvk = kvk?.value;
    Some(Sender {
        id: SenderId(id.unwrap_or_else(|| kvk.clone())),
        name: name?,
        trade_names,
        kvk,
        address: address?,
        contact: contact?,
        domains,
        notify,
        language,
    })
}

/// Two senders must be told apart.
fn compare(section: &Section<'_>, sender: &Sender, other: &Sender) {
    if sender.id == other.id {
        section
            .error("id", format!("\"{}\" is the id of {}, too; give each its own id", sender.id, other.name));
    }
    if sender.name == other.name {
        section.error("name", format!("there already is a sender \"{}\"", other.name));
    }
    for domain in &sender.domains {
        if other.domains.contains(domain) {
            section
                .error("domains", format!("{domain} belongs to {}, too; it can have one owner", other.name));
        }
    }
}

/// Read `mode`, `on_refused`, `[policy]` and all `[[rule]]` tables, those of the config file first: the first
/// that matches decides.
pub(super) fn rules(
    root: &Section<'_>,
    included: &[Section<'_>],
    senders: &Senders,
    accounts: &[Account],
    now: Timestamp,
) -> Rules {
    let mode =
        root.choice("mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)]).unwrap_or_default();
    let on_refused = root
        .choice("on_refused", &[("reject", OnRefused::Reject), ("deliver-rest", OnRefused::DeliverRest)])
        .unwrap_or_default();
    let policy = root.section("policy");
    let customer_window_months = policy.number("customer_window_months", 1..=120).unwrap_or(36) as u32;
    let personal_max_recipients = policy.number("personal_max_recipients", 1..=1_000).unwrap_or(5) as usize;
    let personal_max_alike = policy.number("personal_max_alike", 1..=100_000).unwrap_or(20) as usize;
    let texts = [("warn", false), ("refuse", true)];
    let strict_texts = policy.choice("consent_texts", &texts).unwrap_or_default();
    policy.finish();

    let mut rules: Vec<Rule> = Vec::new();
    let mut names = BTreeSet::new();
    let mut all: Option<String> = None;
    for section in everywhere(root, included, "rule") {
        let name =
            line(&section, section.required("name", "write a name; it stands in every log line and entry"));
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            section.error("name", format!("there already is a rule \"{name}\"; each has its own name"));
        }
        // Read with the next hops.
        section.has("next_hop");
        if let Some(rule) = rule(&section, name, senders, accounts, now) {
            if let Some(all) = &all {
                section.warn_here(format!("is never reached: the rule \"{all}\" above matches everything"));
            } else if section.raw("match").is_none() {
                all = Some(rule.name.clone());
            }
            rules.push(rule);
        }
        section.finish();
    }
    let rules = Rules {
        senders: senders.all.clone(),
        rules,
        mode,
        on_refused,
        customer_window_months,
        personal_max_recipients,
        personal_max_alike,
        strict_texts,
        hash: String::new(),
    };
    Rules { hash: hash::of(&rules), ..rules }
}

fn rule(
    section: &Section<'_>,
    name: Option<String>,
    senders: &Senders,
    accounts: &[Account],
    now: Timestamp,
) -> Option<Rule> {
    let matches = matches(section.section("match"), accounts);
    let effect = effect(section, senders, now);
    Some(Rule { name: name?, matches, effect: effect? })
}

fn effect(section: &Section<'_>, senders: &Senders, now: Timestamp) -> Option<Effect> {
    let named = section.text("sender");
    let sender = named.as_ref().and_then(|text| senders.find(section, text).cloned());
    let class = section.choice(
        "class",
        &[
            ("marketing", Class::Marketing),
            ("service", Class::Service),
            ("personal", Class::Personal),
            ("system", Class::System),
        ],
    );
    let purpose = line(section, section.text("purpose"));
    let similar_to = section.list("similar_to", |text| match text.trim() {
        "" => Err("is empty; write a product group".to_owned()),
        text => Ok(text.to_owned()),
    });
    let until = until(section, now);
    let (allow, refuse) = (section.text("allow"), section.text("refuse"));
    let said: Vec<_> = ["class", "allow", "refuse"].into_iter().filter(|key| section.has(key)).collect();
    match said.as_slice() {
        [one] => stray(section, one, class),
        [] => section.error_here("says nothing; write one of class, allow, refuse"),
        several => {
            section.error_here(format!("says {}; only one of them can be", several.join(" and ")));
            return None;
        }
    }
    if let Some(class) = class {
        if class == Class::Marketing && !section.has("purpose") {
            section.error_here(
                "is marketing without a purpose, so no consent could match it; write the words of the consent \
                 text: purpose = \"nieuwsbrief hypotheken\" (RULES L2)",
            );
        }
        return Some(Effect::Class { class, sender, purpose: purpose.map(Purpose), similar_to });
    }
    if allow.is_some() {
        let right = "write why it may go: a contract, an article, a date";
        let reason = line(section, section.required("allow", right))?;
        return Some(Effect::Allow { sender, reason, until });
    }
    refuse.as_ref()?;
    let reason = line(section, section.required("refuse", "write what the client is told"))?;
    Some(Effect::Refuse { reason })
}

/// Keys that mean nothing beside what the rule says.
fn stray(section: &Section<'_>, said: &str, class: Option<Class>) {
    let marketing = class == Some(Class::Marketing);
    let wrong_class = said == "class" && class.is_none();
    for (key, used) in [
        ("purpose", marketing || wrong_class),
        ("similar_to", marketing || wrong_class),
        ("until", said == "allow"),
        ("sender", said != "refuse"),
    ] {
        if section.has(key) && !used {
            let right = match key {
                "until" => "only with allow",
                "sender" => "not with refuse",
                _ => "only with class = \"marketing\"",
            };
            section.error(key, format!("has no meaning here: {right}"));
        }
    }
}

/// The last moment of an allow-rule: a date (to its end in the Netherlands) or a time with an offset.
fn until(section: &Section<'_>, now: Timestamp) -> Option<Timestamp> {
    let text = match section.raw("until")? {
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => String::new(),
    };
    let end_of_day = |date: civil::Date| {
        let zone = TimeZone::get("Europe/Amsterdam").ok()?;
        zone.to_timestamp(date.at(23, 59, 59, 0)).ok()
    };
    let date_only = text.len() == 10;
    let moment = if date_only { text.parse().ok().and_then(end_of_day) } else { text.parse().ok() };
    match moment {
        None => section.error("until", "is no date; write until = 2026-12-31"),
        Some(moment) if moment < now => {
            section.warn("until", "has passed: the rule matches nothing any more")
        }
        Some(_) => {}
    }
    moment
}

fn matches(section: Section<'_>, accounts: &[Account]) -> Match {
    let matches = Match {
        from: section.list("from", pattern),
        envelope_from: section
            .list("envelope_from", |text| if text == "<>" { Ok(Pattern::NULL) } else { pattern(text) }),
        recipient: section.list("recipient", pattern),
        account: section.list("account", |text| {
            if accounts.iter().any(|account| account.name == text) {
                return Ok(text.to_owned());
            }
            let hint = meant(text, accounts.iter().map(|account| account.name.as_str()));
            Err(format!("no [[account]] has the name \"{text}\"{hint}"))
        }),
        network: section.list("network", network),
        header: section.list("header", header),
        list_id: section.list("list_id", |text| {
            let id = text.trim_start_matches('<').trim_end_matches('>').to_lowercase();
            if id.is_empty() { Err("is empty; write what stands between < and >".to_owned()) } else { Ok(id) }
        }),
        min_recipients: section.number("min_recipients", 1..=100_000).map(|number| number as usize),
        max_recipients: section.number("max_recipients", 1..=100_000).map(|number| number as usize),
    };
    if matches.min_recipients > matches.max_recipients && matches.max_recipients.is_some() {
        section.error("max_recipients", "is less than min_recipients: the rule would never match");
    }
    let keys =
        ["from", "envelope_from", "recipient", "account", "network", "header", "list_id", "min_recipients"];
    if section.is_empty() {
        section
            .error_here(format!("is empty; use {}, or leave match out to match everything", quoted(&keys)));
    }
    for key in keys {
        if section.has(key) && matches!(section.raw(key), Some(DeValue::Array(items)) if items.is_empty()) {
            section.error(key, "is empty; a condition without values is left out");
        }
    }
    section.finish();
    matches
}

/// A pattern on addresses that there are: not the null path.
fn pattern(text: &str) -> Result<Pattern, String> {
    match Pattern::parse(text) {
        Ok(pattern) if pattern.matches_null() => Err("\"<>\" is only for envelope_from".to_owned()),
        Ok(pattern) => Ok(pattern),
        Err(error) => Err(format!("\"{text}\": {error}")),
    }
}

/// `X-Mailer: Mailchimp*`: a header field and a glob on its value.
fn header(text: &str) -> Result<(String, String), String> {
    let right = "write the name, a colon and a pattern: \"X-Mailer: Mailchimp*\"";
    let (name, glob) = text.split_once(':').ok_or_else(|| format!("\"{text}\" has no colon; {right}"))?;
    // RFC 5322 2.2: printable ASCII without colon.
    let sound = !name.is_empty() && name.bytes().all(|b| (33..=126).contains(&b));
    if sound && !glob.trim().is_empty() {
        Ok((name.to_lowercase(), glob.trim().to_owned()))
    } else {
        Err(format!("\"{text}\" is no header field; {right}"))
    }
}

/// A text that stands on one line of replies, headers and footers.
fn line(section: &Section<'_>, text: Option<Spot<String>>) -> Option<String> {
    let text = text?;
    let trimmed = text.value.trim();
    if trimmed.is_empty() {
        section.error_at(&text, "is empty");
        return None;
    }
    if trimmed.chars().any(char::is_control) {
        section.error_at(&text, "has a line break or another control character; write it on one line");
        return None;
    }
    if trimmed.len() > MAX_TEXT {
        section.error_at(&text, format!("is longer than {MAX_TEXT} octets"));
        return None;
    }
    Some(trimmed.to_owned())
}
