//! What a reload cannot change: keys that shape what is bound, opened or begun at start.
//!
//! A reload that would change one of them is refused whole and names it, so that nobody believes in a value that is
//! not in force. `config/sluis.toml` lists the same keys at its top.

use crate::config::{LogFormat, Settings};

/// The keys by which two configs differ and that only a restart can change.
pub(super) fn differences(started: &Settings, wanted: &Settings) -> Vec<&'static str> {
    let differs = |((key, old), (_, new)): ((&'static str, String), (&'static str, String))| {
        (old != new).then_some(key)
    };
    values(started).into_iter().zip(values(wanted)).filter_map(differs).collect()
}

/// Every such key with its value, in a form to compare.
fn values(settings: &Settings) -> Vec<(&'static str, String)> {
    let (relay, limits, ledger, log) = (&settings.relay, &settings.limits, &settings.ledger, &settings.log);
    let listeners: Vec<_> = settings.listeners.iter().map(|one| one.address).collect();
    let format = match log.format {
        LogFormat::Human => "human",
        LogFormat::Json => "json",
    };
    vec![
        ("name", settings.name.to_string()),
        ("postmaster", settings.postmaster.to_string()),
        ("data", settings.data.display().to_string()),
        ("stop_within", format!("{:?}", settings.stop_within)),
        ("listener.address", format!("{listeners:?}")),
        ("relay.in_doubt", format!("{:?}", relay.in_doubt)),
        ("relay.retry", format!("{:?}", relay.retry)),
        ("relay.background", relay.background.to_string()),
        ("relay.delay_notice", format!("{:?}", relay.delay_notice)),
        ("relay.expire_after", format!("{:?}", relay.expire_after)),
        ("unsubscribe.listen", settings.unsubscribe.listen.to_string()),
        ("unsubscribe.mail_listen", format!("{:?}", settings.unsubscribe.mail_listen)),
        ("unsubscribe.lmtp_listen", format!("{:?}", settings.unsubscribe.lmtp_listen)),
        ("unsubscribe.resolver", format!("{:?}", settings.unsubscribe.resolver)),
        ("unsubscribe.tls", settings.unsubscribe.tls.is_some().to_string()),
        ("limits.dns_timeout", format!("{:?}", limits.dns_timeout)),
        ("limits.ledger_queue", limits.ledger_queue.to_string()),
        ("limits.ledger_batch", limits.ledger_batch.to_string()),
        ("limits.ledger_pack_entries", limits.ledger_pack_entries.to_string()),
        ("limits.http_connections", limits.http_connections.to_string()),
        ("limits.http_body", limits.http_body.to_string()),
        ("limits.http_timeout", format!("{:?}", limits.http_timeout)),
        ("limits.http_idle", format!("{:?}", limits.http_idle)),
        ("limits.http_pending", limits.http_pending.to_string()),
        ("api.listen", format!("{:?}", settings.api.listen)),
        ("api.certificate_file", format!("{:?}", settings.api.tls)),
        ("limits.api_connections", limits.api_connections.to_string()),
        ("limits.api_body", limits.api_body.to_string()),
        ("limits.api_at_once", limits.api_at_once.to_string()),
        ("limits.admin_connections", limits.admin_connections.to_string()),
        ("limits.admin_message", limits.admin_message.to_string()),
        ("ledger.checkpoint_every", format!("{:?}", ledger.checkpoint_every)),
        ("ledger.cache", ledger.cache.to_string()),
        ("ledger.quick_repair", ledger.quick_repair.to_string()),
        ("ledger.retention.marketing_months", ledger.retention.marketing.to_string()),
        ("ledger.retention.service_months", ledger.retention.service.to_string()),
        ("ledger.retention.personal_months", ledger.retention.personal.to_string()),
        ("ledger.retention.refused_months", ledger.retention.refused.to_string()),
        ("ledger.anchor.folder", format!("{:?}", ledger.anchor.folder)),
        ("ledger.anchor.mail", format!("{:?}", ledger.anchor.mail)),
        ("ledger.anchor.time_stamp", format!("{:?}", ledger.anchor.time_stamp)),
        ("ledger.anchor.time_stamp_ca_file", format!("{:?}", ledger.anchor.time_stamp_ca_file)),
        ("ledger.anchor.every", format!("{:?}", ledger.anchor.every)),
        ("ledger.anchor.timeout", format!("{:?}", ledger.anchor.timeout)),
        ("log.format", format.to_owned()),
        ("log.level", log.level.clone()),
        ("metrics.listen", format!("{:?}", settings.metrics)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::app::certificate::Files;
    use crate::app::keys::KeyFolder;
    use crate::app::{certificate, mailbox, rooms, running};
    use crate::clock::{Clock as _, SharedClock, SystemClock};
    use crate::config::{self, Environment};
    use crate::limits::Limits;
    use crate::secret::{SharedEntropy, SystemEntropy};

    /// What the config's comments show for a key is not always another value than the default.
    const OTHERS: &[(&str, &str)] = &[
        ("policy.consent_texts", "\"refuse\""),
        ("postmaster", "\"x@example.nl\""),
        ("mode", "\"observe\""),
        ("on_refused", "\"deliver-rest\""),
        ("data", "\"elsewhere\""),
        ("relay.tls", "\"none\""),
        ("relay.ca_file", "\"Cargo.toml\""),
        ("relay.tls_name", "\"other.example\""),
        ("relay.in_doubt", "\"hold\""),
        ("relay.retry", "[\"7m\"]"),
        ("unsubscribe.mailto", "\"x@example.nl\""),
        ("unsubscribe.trusted_results", "[\"mx.example.com\"]"),
        ("unsubscribe.mail_listen", "\"127.0.0.1:2626\""),
        ("unsubscribe.lmtp_listen", "\"127.0.0.1:2424\""),
        ("unsubscribe.resolver", "\"127.0.0.1:53\""),
        ("unsubscribe.bounce_domain", "\"b.example\""),
        ("unsubscribe.hosts", "[\"a.example\"]"),
        ("unsubscribe.trusted_proxies", "[\"10.0.0.1\"]"),
        ("unsubscribe.health", "\"listener\""),
        ("notify.time_zone", "\"UTC\""),
        ("notify.one_click_hosts", "[\"other.example\"]"),
        ("notify.retry", "[\"7m\"]"),
        ("ledger.archive.marketing", "\"hash\""),
        ("ledger.archive.service", "\"full\""),
        ("ledger.archive.personal", "\"full\""),
        ("ledger.anchor.folder", "\"elsewhere\""),
        ("ledger.anchor.mail", "[\"x@example.nl\"]"),
        ("ledger.anchor.time_stamp", "[\"http://127.0.0.1/\"]"),
        ("ledger.anchor.time_stamp_ca_file", "\"Cargo.toml\""),
        ("log.format", "\"json\""),
        ("log.level", "\"debug\""),
        ("metrics.listen", "\"127.0.0.1:9126\""),
        ("api.listen", "\"127.0.0.1:8027\""),
    ];

    /// Keys that mean something only beside another one: lines of the same section.
    const BESIDE: &[(&str, &str)] = &[
        ("unsubscribe.mail_listen", "mailto = \"x@example.nl\""),
        ("unsubscribe.lmtp_listen", "mailto = \"x@example.nl\""),
    ];

    /// Keys that no room's settings have, and where they are read.
    const DIRECT: &[(&str, &str, &str)] = &[
        ("data", include_str!("running.rs"), "KeyFolder::open(&settings.data)"),
        ("stop_within", include_str!("running.rs"), "settings.stop_within"),
        ("limits.admin_connections", include_str!("running.rs"), "limits.admin_connections"),
        ("limits.admin_message", include_str!("running.rs"), "limits.admin_message"),
        ("limits.admin_wait", include_str!("../cli/link.rs"), "limits.admin_wait"),
        ("ledger.anchor.folder", include_str!("anchors.rs"), "anchor.folder"),
        ("ledger.anchor.mail", include_str!("anchors.rs"), "anchor.mail"),
        ("ledger.anchor.time_stamp", include_str!("anchors.rs"), "&anchor.time_stamp"),
        ("ledger.anchor.time_stamp_ca_file", include_str!("anchors.rs"), "anchor.time_stamp_ca_file"),
        ("ledger.anchor.every", include_str!("anchors.rs"), "anchor.every"),
        ("ledger.anchor.timeout", include_str!("anchors.rs"), "anchor.timeout"),
        ("unsubscribe.resolver", include_str!("mailbox.rs"), "config.unsubscribe.resolver"),
        ("limits.dns_timeout", include_str!("mailbox.rs"), "config.limits.dns_timeout"),
        ("log.format", include_str!("../cli/mod.rs"), "settings.log.format"),
        ("log.level", include_str!("../cli/mod.rs"), "settings.log.level"),
        ("metrics.listen", include_str!("running.rs"), "settings.metrics"),
        ("api.listen", include_str!("running.rs"), "settings.api.listen"),
    ];

    struct Rig {
        folder: tempfile::TempDir,
        entropy: SharedEntropy,
        base: String,
    }

    impl Rig {
        fn new() -> Self {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sluis.toml");
            let base = std::fs::read_to_string(file).unwrap();
            // A server, so that every key of [relay] means something.
            let base = base.replace("next_hop = \"directory\"", "next_hop = \"127.0.0.1:2526\"");
            Self { folder: tempfile::tempdir().unwrap(), entropy: Arc::new(SystemEntropy), base }
        }

        fn settings(&self, source: &str) -> Option<Settings> {
            let environment = Environment { variables: BTreeMap::new(), now: SystemClock.now() };
            config::parse(Path::new("sluis.toml"), source, &environment).ok()
        }

        /// What the rooms get that a reload swaps, and what they get once.
        fn wired(&self, settings: &Settings) -> [String; 2] {
            let clock: SharedClock = Arc::new(SystemClock);
            let keys = KeyFolder::open(self.folder.path()).unwrap();
            let tokens = keys.token(&*self.entropy).unwrap();
            let limits = rooms::limits(settings);
            let counters = Limits::new(limits.clone(), &clock);
            let listeners = rooms::listeners(settings, &keys, &counters, &self.entropy, clock.now()).unwrap();
            let listeners: Vec<String> = listeners
                .iter()
                .map(|one| {
                    format!(
                        "{:?}",
                        (
                            &one.hostname,
                            one.size_limit,
                            one.recipients,
                            one.tolerance,
                            &one.timeouts,
                            &one.trusted
                        )
                    )
                })
                .collect();
            let gateway = rooms::gateway(settings, tokens.clone()).unwrap();
            let letterbox = rooms::letterbox(settings, &counters, &self.entropy, None, false);
            let mail = (rooms::mailroom(settings), rooms::letterbox_limits(settings), letterbox.size_limit);
            let outside = rooms::outside(settings, settings.unsubscribe.listen).unwrap();
            let desk = running::desk_settings(settings, &tokens, outside);
            let tell = rooms::tell(settings).unwrap();
            let signer = keys.ledger(settings.name.ascii(), &*self.entropy).unwrap();
            [
                format!(
                    "{limits:?} {listeners:?} {mail:?} {gateway:?} {desk:?} {tell:?} {} {:?}",
                    settings.rules.hash,
                    rooms::hops(settings, &self.entropy).unwrap()
                ),
                format!(
                    "{:?} {:?} {:?} {:?} {:?}",
                    mailbox::doors(settings),
                    rooms::api(settings),
                    rooms::spool(settings),
                    rooms::store(settings, signer),
                    rooms::page(settings)
                ),
            ]
        }
    }

    /// Other values to try for one that is written as `value`.
    fn others(value: &str) -> Vec<String> {
        let scaled = |number: u64| vec![number * 2, number / 2, number + 1, number.saturating_sub(1)];
        let bare = value.trim_matches('"');
        let digits = bare.len() - bare.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match (value, bare[..digits].parse::<u64>()) {
            ("true", _) => vec!["false".to_owned()],
            ("false", _) => vec!["true".to_owned()],
            (_, Ok(number)) if value.starts_with('"') => {
                scaled(number).into_iter().map(|number| format!("\"{number}{}\"", &bare[digits..])).collect()
            }
            (_, Ok(number)) => scaled(number).iter().map(u64::to_string).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_files_of_the_page_are_read_and_a_reload_takes_them() {
        let rig = Rig::new();
        let pair = |name: &str| {
            let folder = rig.folder.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            KeyFolder::open(&folder).unwrap().development_tls(name, SystemClock.now()).unwrap()
        };
        let (one, two) = (pair("one.example"), pair("two.example"));
        let with = |page: &str, sender: &str| {
            let text = rig.base.replacen("[unsubscribe]\n", &format!("[unsubscribe]\n{page}\n"), 1);
            let text = text.replacen("[[sender]]\n", &format!("[[sender]]\n{sender}\n"), 1);
            rig.settings(&text).unwrap_or_else(|| panic!("{page} {sender}"))
        };
        let files = |prefix: &str, files: &crate::app::keys::TlsFiles| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            format!("{prefix}certificate_file = \"{certificate}\"\n{prefix}key_file = \"{key}\"")
        };
        let (page_one, page_two) = (files("", &one), files("", &two));
        let own = "unsubscribe_url = \"https://two.example\"\n";
        let plain = with("", "");
        let (first, second) = (with(&page_one, ""), with(&page_two, ""));
        let named = with(&page_one, &format!("{own}{}", files("unsubscribe_", &two)));
        let seen = [&first, &second, &named].map(|one| Files::of(&one.unsubscribe).unwrap());
        assert!(seen[0] != seen[1] && seen[0] != seen[2]);
        assert!(seen.iter().all(|files| certificate::read(files).is_ok()));
        assert_eq!(differences(&first, &second), [""; 0], "a reload takes another certificate");
        assert_eq!(differences(&first, &named), [""; 0], "and one for another name");
        assert_eq!(differences(&plain, &first), ["unsubscribe.tls"], "whether it speaks TLS takes a restart");
        let off = with(&format!("tls = false\n{page_one}"), "");
        assert!(Files::of(&off.unsubscribe).is_none(), "the files are there, and not wanted");

        let authority = |file: &Path| {
            let believed = with(&format!("health_ca_file = \"{}\"", file.display()), own);
            rooms::outside(&believed, believed.unsubscribe.listen)
        };
        assert!(authority(&one.certificate).is_ok());
        assert!(authority(&one.key).is_err(), "the health check reads it");
    }

    #[test]
    fn every_key_is_read_and_a_reload_takes_it_or_names_it() {
        let rig = Rig::new();
        let before = rig.settings(&rig.base).unwrap();
        let wired = rig.wired(&before);
        let (mut section, mut header, mut walked) = (String::new(), 0, 0);
        for (place, line) in rig.base.lines().enumerate() {
            let bare = line.trim_start_matches('#');
            if bare.starts_with('[') {
                section = bare.trim_matches(|c| c == '[' || c == ']').to_owned();
                header = place;
                if bare.starts_with("[[") || section == "tls" || section == "trusted" {
                    section = "list of its own".to_owned();
                }
            }
            let Some((key, value)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) else {
                continue;
            };
            let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if !is_key || section == "list of its own" {
                continue;
            }
            let name = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            // A folder has no place beside a server, and the files of the others would have to be there.
            // How long a telling may take shows only where there is somebody to tell.
            let alone = [
                "relay.directory",
                "relay.credentials_file",
                "include",
                "unsubscribe.tls",
                "unsubscribe.certificate_file",
                "unsubscribe.key_file",
                "unsubscribe.health_ca_file",
                "api.certificate_file",
                "api.key_file",
                "notify.timeout",
            ];
            if alone.contains(&name.as_str()) {
                continue;
            }
            let known = OTHERS.iter().find(|(other, _)| *other == name);
            let values = known.map_or_else(|| others(value), |(_, value)| vec![(*value).to_owned()]);
            let changed = values.iter().find_map(|value| {
                let mut lines: Vec<&str> = rig.base.lines().collect();
                let beside = BESIDE.iter().find(|(other, _)| *other == name).map_or("", |(_, lines)| lines);
                let line = format!("{key} = {value}\n{beside}");
                lines[place] = &line;
                if lines[header].starts_with("#[") {
                    lines[header] = &lines[header][1..];
                }
                rig.settings(&lines.join("\n"))
            });
            let changed = changed.unwrap_or_else(|| panic!("{name}: no other value was found"));
            let [swapped, once] = rig.wired(&changed);
            let named = differences(&before, &changed).contains(&name.as_str());
            let direct = DIRECT.iter().find(|(key, _, _)| *key == name);
            let read_once = once != wired[1] || direct.is_some_and(|(_, source, text)| source.contains(text));
            if name == "limits.admin_wait" {
                assert!(read_once, "read by each command, not by the gateway");
            } else if named {
                assert!(read_once, "{name}: is named as fixed, but nothing reads it");
            } else {
                assert_ne!(swapped, wired[0], "{name}: a reload neither takes it nor names it");
            }
            walked += 1;
        }
        assert!(walked > 70, "only {walked} keys were found");
    }
}
