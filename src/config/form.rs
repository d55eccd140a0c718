//! Ways to sign up (RULES L2, L12).

use std::path::Path;
use std::sync::Arc;

use super::outbound::base_url;
use super::place;
use super::reader::{Section, meant};
use super::rules::Senders;
use super::settings::UnsubscribeSettings;
use super::value::{days, mailbox, seconds};
use crate::consent::lint;
use crate::mail::{Language, Purpose, Sender, hex, sha256};
use crate::policy::{Effect, Rules};
use crate::subscribe::{Form, MAX_TEXT};

/// Read all `[[form]]` tables.
pub(super) fn forms(
    root: &Section<'_>,
    senders: &Senders,
    rules: &Rules,
    page: &UnsubscribeSettings,
) -> Vec<Arc<Form>> {
    let mut forms: Vec<Arc<Form>> = Vec::new();
    for section in root.sections("form") {
        if let Some(form) = form(&section, senders, rules, page) {
            if forms.iter().any(|other| other.name == form.name) {
                section.error("name", format!("there already is a form \"{}\"", form.name));
            }
            forms.push(Arc::new(form));
        }
        section.finish();
    }
    forms
}

fn form(section: &Section<'_>, senders: &Senders, rules: &Rules, page: &UnsubscribeSettings) -> Option<Form> {
    let name = section.required("name", "write the name that stands in its address: \"nieuwsbrief\"");
    let name = name.filter(|name| {
        let sound = (1..=64).contains(&name.value.len())
            && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !sound {
            section.error_at(name, "letters, digits, - and _, at most 64: it stands in a link");
        }
        sound
    });
    let sender = match (section.text("sender"), senders.all()) {
        (Some(text), _) => senders.find(section, &text).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => {
            section.error("sender", "is missing; write whose form it is, by name or id (RULES L2)");
            None
        }
    };
    let purpose = purpose(section, rules);
    let text = text(section, sender.as_deref(), rules);
    let privacy_url = section.parsed("privacy_url", |text| base_url(text).map(|()| text.to_owned()));
    let privacy_version = section.text("privacy_version").map(|version| version.value);
    let from = section.text("from").and_then(|text| {
        let from = mailbox(&text.value).map_err(|message| section.error_at(&text, message)).ok()?;
        let own = sender.as_ref().is_none_or(|sender| {
            sender.contact == from || sender.domains.iter().any(|own| from.domain().is_within(own))
        });
        if !own {
            section.error_at(&text, format!("{} is no domain of the sender (RULES L7)", from.domain()));
        }
        Some(from)
    });
    let languages = Language::ALL.map(|one| (one.code(), one));
    let language = section.choice("language", &languages);
    let origins = section.list("origins", |text| {
        let origin = text.trim_end_matches('/');
        let bare = origin.split_once("://").is_some_and(|(_, host)| !host.contains('/'));
        match base_url(origin) {
            Ok(()) if bare => Ok(origin.to_owned()),
            _ => Err(format!("\"{text}\" is no site; write \"https://www.example.nl\", without a path")),
        }
    });
    let within = |key, range, default| section.duration(key, range).unwrap_or(default);
    let confirm_within = within("confirm_within", seconds(600)..=days(30), days(3));
    let ask_again_after = within("ask_again_after", days(1)..=days(366), days(30));
    let (sender, text) = (sender?, text?);
    let own = page.urls.iter().find(|(of, _)| *of == sender.id);
    Some(Form {
        name: name?.value,
        purpose: purpose?,
        text_sha256: hex(&sha256(text.as_bytes())),
        text,
        privacy_url,
        privacy_version,
        from: from.unwrap_or_else(|| sender.contact.clone()),
        language: language.unwrap_or(sender.language),
        origins,
        url: own.map_or(&page.url, |(_, url)| url).clone(),
        confirm_within,
        ask_again_after,
        sender,
    })
}

/// A purpose that a rule has: a consent for any other is no basis for any mail.
fn purpose(section: &Section<'_>, rules: &Rules) -> Option<Purpose> {
    let purpose = section.required("purpose", "write the purpose of the rule that the consent is for")?;
    let used = || {
        rules.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Class { purpose: Some(purpose), .. } => Some(purpose.0.as_str()),
            _ => None,
        })
    };
    if !used().any(|known| known == purpose.value) {
        let hint = meant(&purpose.value, used());
        section.error_at(&purpose, format!("no [[rule]] has the purpose \"{}\"{hint}", purpose.value));
    }
    Some(Purpose(purpose.value))
}

/// The consent text, looked at as `sluis text add` does.
fn text(section: &Section<'_>, sender: Option<&Sender>, rules: &Rules) -> Option<String> {
    let given = match (section.text("text"), section.text("text_file")) {
        (Some(_), Some(_)) => {
            section.error("text", "stands beside text_file; write one of them");
            return None;
        }
        (Some(text), None) => text,
        (None, Some(mut file)) => {
            match place::bytes(Path::new(&file.value), MAX_TEXT + 1).and_then(|bytes| {
                String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", file.value))
            }) {
                Ok(text) => file.value = text,
                Err(message) => {
                    section.error_at(&file, message);
                    return None;
                }
            }
            file
        }
        (None, None) => {
            section
                .error("text", "is missing; write the consent text beside the box, or text_file (RULES L2)");
            return None;
        }
    };
    let text = given.value.trim().to_owned();
    if text.len() > MAX_TEXT {
        section.error_at(&given, format!("has {} octets; at most {MAX_TEXT}", text.len()));
    }
    let sender = sender?;
    let names: Vec<&str> =
        std::iter::once(&sender.name).chain(&sender.trade_names).map(String::as_str).collect();
    for fault in lint(&text, &names) {
        if fault.is_fatal() || rules.strict_texts {
            section.error_at(&given, fault.to_string());
        } else {
            section.warn(if section.has("text") { "text" } else { "text_file" }, fault.to_string());
        }
    }
    Some(text)
}
