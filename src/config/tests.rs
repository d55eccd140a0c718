//! Tests of the room `config`: what it promises, rule by rule.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::mail::Class;
use crate::mail::{Language, SenderId};
use crate::message::{Flavour, Template, Templates};
use crate::policy::Effect;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0NTY$\
                    CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment { variables: BTreeMap::from_iter(variables), now: "2026-11-24T12:00:00Z".parse().unwrap() }
}

fn check(source: &str) -> Result<Settings, Problems> {
    parse(Path::new("sluis.toml"), source, &environment(&[]))
}

/// What is wrong with a small sound file to which `extra` was added.
fn problems(extra: &str) -> String {
    let base = "[[listener]]\naddress = \"127.0.0.1:0\"\n[trusted]\nnetworks = [\"::1\"]\n";
    let relay = if extra.contains("[relay]") { "" } else { "[relay]\nnext_hop = \"directory\"\n" };
    match check(&format!("name = \"a.example\"\n{base}{relay}{extra}")) {
        Ok(settings) => settings.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect(),
        Err(problems) => format!("{problems}\n"),
    }
}

fn committed() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sluis.toml")).unwrap()
}

/// A sender with nothing to warn of.
const SENDER: &str = "[[sender]]\nname = \"S\"\nkvk = \"12345678\"\naddress = \"A\"\ncontact = \"i@s.nl\"\n\
    domains = [\"s.nl\"]\nnotify = []\n";

const FOOTER: &str = "{{#identity}}\n{{sender_name}} {{sender_address}} {{sender_kvk}} {{sender_contact}}\n{{/identity}}\n\
    {{#opt_out}}\n{{unsubscribe}}: {{unsubscribe_url}}\n{{/opt_out}}\n";

/// Files that the commented examples name, in a folder of the test.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("tls/fullchain.pem", "certificate"),
        ("tls/privkey.pem", "key"),
        ("mailtool.hash", HASH),
        ("webshop.hash", HASH),
        ("hypotheken.hash", HASH),
        ("reizen.hash", HASH),
        ("next-hop-ca.pem", "certificate"),
        ("relay-credentials", "gebruiker@example.nl\nge heim\n"),
        ("dkim/voorbeeldhypotheken.pem", "key"),
        ("tls/afmelden.pem", "certificate"),
        ("tls/afmelden.key", "key"),
        ("tls/inner-ca.pem", "certificate"),
        ("tls/api.pem", "certificate"),
        ("tls/api.key", "key"),
        ("api-crm.hash", HASH),
        ("webhook-crm.key", "0123456789abcdef0123456789abcdef"),
        ("crm-ca.pem", "certificate"),
        ("tsa-ca.pem", "certificate"),
        ("anchors.zone", ". IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n"),
        ("logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("footer.de.txt", FOOTER),
        (
            "footer.de.html",
            "{{#identity}}{{sender_name}} {{sender_address}} {{sender_kvk}} {{sender_contact}}\n\
            {{/identity}}{{#opt_out}}<a href=\"{{unsubscribe_url}}\">{{unsubscribe}}</a>{{/opt_out}}",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// `source` with every commented key in force.
fn uncommented(source: &str, folder: &Path) -> String {
    let is_key = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(['[', '_']) || rest.starts_with(char::is_lowercase))
    };
    let lines = source.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n").replace("/etc/sluis", folder.to_str().unwrap())
}

#[test]
fn the_committed_file_is_sound_and_says_nothing_to_worry_about() {
    let settings = check(&committed()).unwrap();
    assert_eq!(settings.warnings, []);
    assert_eq!(settings.listeners.len(), 2);
    assert!(settings.listeners.iter().all(|listener| listener.address.ip().is_loopback()));
    assert_eq!(settings.relay.hops[0].next_hop, NextHop::Directory("var/outbox".into()));
    assert_eq!(settings.postmaster.as_str(), "postmaster@sluis.localhost");
    assert_eq!(settings.rules.rules.len(), 4);
}

#[test]
fn every_key_is_documented_and_every_documented_default_is_the_default() {
    let folder = files();
    // Links to this machine are for a next hop on it.
    let full = uncommented(&committed(), folder.path())
        .replace("http://127.0.0.1:8025", "https://afmelden.voorbeeldhypotheken.nl");
    // A certificate for a name of its own needs a page that speaks TLS, which is no default: see app/fixed.rs.
    let own = |line: &&str| {
        !["unsubscribe_certificate_file", "unsubscribe_key_file"].iter().any(|key| line.starts_with(key))
    };
    let in_force = full.lines().filter(own).collect::<Vec<_>>().join("\n");
    let settings = check(&in_force).unwrap_or_else(|problems| panic!("{problems}"));
    let plain = check(&committed()).unwrap();

    // What stands there as a default is what one gets without it.
    assert_eq!(settings.limits, plain.limits);
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.log, plain.log);
    let (anchor, none) = (&settings.ledger.anchor, plain.ledger.anchor.clone());
    assert_eq!((anchor.every, anchor.timeout), (none.every, none.timeout));
    assert!(
        anchor.folder.is_some() && anchor.mail.len() + anchor.time_stamp.len() == 2,
        "shown, and off by default"
    );
    assert_eq!(LedgerSettings { anchor: none, ..settings.ledger.clone() }, plain.ledger);
    assert_eq!(settings.listeners, plain.listeners);
    assert_eq!(settings.postmaster, plain.postmaster);
    assert_eq!(settings.data, plain.data);
    assert_eq!(settings.stop_within, plain.stop_within);
    assert_eq!(settings.rules.hash, plain.rules.hash);
    let (one, other) = (&settings.relay, &plain.relay);
    assert_eq!(
        (one.patience, one.queue_when_down, one.in_doubt, &one.retry, one.expire_after, one.background),
        (
            other.patience,
            other.queue_when_down,
            other.in_doubt,
            &other.retry,
            other.expire_after,
            other.background
        )
    );
    for hop in &one.hops {
        assert_eq!(hop.limits, HopLimits::default(), "{}", hop.name);
    }

    // Every key that the program asks for stands in the file, under its own table.
    let written = check::known_keys(&full, &environment(&[]));
    let table: toml::Table = full.parse().unwrap();
    let mut documented = std::collections::BTreeSet::new();
    collect("", &toml::Value::Table(table), &mut documented);
    // These have a line of prose of their own, as they exclude a key that stands there.
    let in_prose =
        ["account.password_hash", "rule.refuse", "rule.until", "rule.match.account", "form.text_file"];
    // A server in [relay] and one in [[next_hop]] have the same keys; each stands in one of them.
    let twin = |key: &str| match key.split_once('.') {
        Some(("relay", key)) => format!("next_hop.{key}"),
        Some(("next_hop", key)) => format!("relay.{key}"),
        _ => String::new(),
    };
    let missing: Vec<_> = written
        .iter()
        .filter(|key| !documented.contains(*key) && !key.starts_with("rule.match."))
        .filter(|key| !documented.contains(&twin(key)))
        .filter(|key| !in_prose.contains(&key.as_str()))
        .collect();
    assert_eq!(missing, Vec::<&String>::new(), "keys without a line in config/sluis.toml");
    for key in written.iter().filter_map(|key| key.strip_prefix("rule.match.")) {
        let file = committed();
        let said = [format!("#   {key}"), format!(", {key} ")];
        assert!(said.iter().any(|said| file.contains(said)), "{key}");
    }
}

fn collect(path: &str, value: &toml::Value, keys: &mut std::collections::BTreeSet<String>) {
    if !path.is_empty() {
        keys.insert(path.to_owned());
    }
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, keys);
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|item| collect(path, item, keys)),
        _ => {}
    }
}

#[test]
fn the_examples_are_sound() {
    let folder = files();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.replace("/etc/sluis", folder.path().to_str().unwrap());
        let settings =
            parse(&path, &source, &environment(&[])).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(settings.warnings, [], "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn direct_delivery_has_keys_of_its_own() {
    let of = |text: &str| match &check(text).unwrap().relay.hops[0].next_hop {
        NextHop::Mx(mx) => mx.clone(),
        other => panic!("{other:?}"),
    };
    let base = "name = \"a.example\"\ndkim = \"next-hop\"\n[unsubscribe]\nurl = \"https://a.example\"\n\
                [[listener]]\naddress = \"127.0.0.1:0\"\n[trusted]\nnetworks = [\"::1\"]\n[relay]\n";
    let plain = of(&format!("{base}next_hop = \"mx\"\n"));
    assert_eq!((plain.port, plain.mta_sts, plain.private, plain.dns.dnssec), (25, true, false, false));
    let keys = "mta_sts = false\nip_versions = \"6\"\ndns_servers = [\"127.0.0.1\", \"[::1]:5353\"]\ndnssec = true\n\
                lookup_timeout = \"20s\"\n";
    let set = of(&format!("{base}next_hop = \"mx:2525\"\n{keys}"));
    assert_eq!((set.port, set.mta_sts, set.dns.dnssec), (2525, false, true));
    assert_eq!((plain.lookups, set.lookups), (Duration::from_secs(60), Duration::from_secs(20)));
    assert_eq!(set.dns.servers, ["127.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
    for (wrong, why) in [
        ("next_hop = \"mx\"\ncredentials_file = \"x\"\n", "relay.credentials_file: means nothing"),
        ("next_hop = \"mx\"\ntls = \"implicit\"\n", "\"opportunistic\", \"starttls\", \"none\""),
        ("next_hop = \"mx\"\ndns_servers = [\"dns.example\"]\n", "no name server"),
        ("next_hop = \"127.0.0.1:25\"\ntls = \"none\"\ndnssec = true\n", "only used with next_hop = \"mx\""),
        ("next_hop = \"mx:0\"\n", "is no next hop"),
        ("next_hop = \"mx\"\nlookup_timeout = \"1h\"\n", "lookup_timeout"),
        ("next_hop = \"mx\"\ndnssec_anchors_file = \"Cargo.toml\"\n", "DNSKEY records"),
    ] {
        let error = check(&format!("{base}{wrong}")).unwrap_err().to_string();
        assert!(error.contains(why), "{wrong}: {error}");
    }
    // A mail tool that has to wait for strangers' servers is worth a word.
    let worried = |more: &str| {
        let warnings = check(&format!("{base}next_hop = \"mx\"\n{more}")).unwrap().warnings;
        warnings.iter().any(|one| one.to_string().contains("greylisting"))
    };
    assert!(worried("") && !worried("queue_when_down = true\n"));
}

#[test]
fn next_hops_are_named_and_chosen() {
    let hops = "[[next_hop]]\nname = \"one\"\naddress = \"127.0.0.1:25\"\ntls = \"none\"\n\
                [[next_hop]]\nname = \"two\"\naddress = \"[::1]:465\"\nconnections = 3\n\
                certificate_pins = [\"AB:cd:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\"]\n\
                proxy = \"socks5://[::1]:1080\"\nmessages_per_minute = 60\n";
    let rule = "[[rule]]\nname = \"bills\"\nclass = \"service\"\nnext_hop = [\"two\", \"one\"]\n";
    let base =
        "name = \"a.example\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[trusted]\nnetworks = [\"::1\"]\n";
    let settings = check(&format!("{base}[relay]\nconnections = 7\n{hops}{rule}")).unwrap().relay;
    assert_eq!(settings.routes.default, [0, 1], "all of them, in the order of the file");
    assert_eq!(settings.routes.rules["bills"], [1, 0]);
    let (one, two) = (&settings.hops[0], &settings.hops[1]);
    assert_eq!((one.limits.connections, two.limits.connections), (7, 3));
    assert_eq!((two.tls, &two.pins[0][..3]), (crate::relay::TlsMode::Implicit, &[0xab, 0xcd, 0][..]));
    assert_eq!(two.proxy.as_ref().unwrap().port, 1080);
    assert_eq!(two.messages_per_minute.unwrap().get(), 60);
    let settings = check(&format!("{base}[relay]\nnext_hop = \"two\"\n{hops}")).unwrap().relay;
    assert_eq!(settings.routes.default, [1]);
    // The old way, beside tables that only rules use.
    let settings = check(&format!("{base}[relay]\nnext_hop = \"directory\"\n{hops}{rule}")).unwrap().relay;
    assert_eq!((settings.routes.default.as_slice(), settings.hops[2].name.as_str()), (&[2][..], "relay"));
    for (relay, expected) in [
        ("next_hop = [\"one\", \"tow\"]", "no [[next_hop]] has the name \"tow\"; did you mean \"two\"?"),
        ("next_hop = []", "relay.next_hop: is empty; name a [[next_hop]]"),
        ("next_hop = [\"one\", \"one\"]", "relay.next_hop[2]: is named twice"),
        (
            "next_hop = \"one\"\ntls = \"none\"",
            "relay.tls: belongs to one server; write it in its [[next_hop]]",
        ),
        ("next_hop = \"three\"", "\"three\" is no next hop"),
    ] {
        let text = problems(&format!("[relay]\n{relay}\n{hops}"));
        assert!(text.contains(expected), "{relay}\nexpected: {expected}\nfound: {text}");
    }
    let one = "[relay]\n[[next_hop]]\nname = \"one\"\naddress = \"127.0.0.1:25\"\n";
    for (extra, expected) in [
        ("certificate_pins = \"12\"\n", "next_hop[1].certificate_pins: \"12\" is no SHA-256"),
        ("proxy = \"http://a.example:1\"\n", "next_hop[1].proxy: \"http://a.example:1\" is no proxy"),
        ("client_key_file = \"nowhere\"\n", "client_certificate_file and client_key_file belong together"),
        ("connections = 0\n", "next_hop[1].connections: 0 is out of range"),
        ("[[next_hop]]\nname = \"one\"\naddress = \"a.example:25\"\n", "there already is a next hop \"one\""),
        ("[[next_hop]]\nname = \"a:b\"\naddress = \"directory\"\n", "is no name for a next hop"),
        ("[[next_hop]]\nname = \"b\"\n", "next_hop[2].address: is missing"),
        ("addres = \"x\"\n", "next_hop[1].addres: unknown key; did you mean \"address\"?"),
    ] {
        let text = problems(&format!("{one}{extra}"));
        assert!(text.contains(expected), "{extra}\nexpected: {expected}\nfound: {text}");
    }
}

#[test]
fn p4_sign_ins_are_passed_on_to_the_first_next_hop() {
    let listener = "[[listener]]\naddress = \"127.0.0.1:1\"\nauth = \"pass-through\"\nauth_required = true\n";
    let relay = "[relay]\nnext_hop = \"127.0.0.1:25\"\n";
    let source = format!("name = \"a.example\"\n{listener}{relay}");
    let settings = check(&source).unwrap();
    assert!(settings.listeners[0].pass_through && settings.relay.hops[0].pass_through);
    assert!(settings.warnings.iter().any(|warning| warning.message.contains("credentials_file")));
    for (relay, expected) in [
        ("[relay]\nnext_hop = \"directory\"\n", "listener[2].auth: nobody can sign in to a folder"),
        (
            "[relay]\nnext_hop = \"smtp.example:25\"\ntls = \"none\"\n",
            "listener[2].auth: passwords would cross",
        ),
    ] {
        let text = problems(&format!("{relay}{listener}"));
        assert!(text.contains(expected), "{relay}\nexpected: {expected}\nfound: {text}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let source = include_str!("../../tests/config/mistakes.toml");
    let problems = parse(Path::new("mistakes.toml"), source, &environment(&[])).unwrap_err();
    let golden = include_str!("../../tests/config/mistakes.txt");
    assert_eq!(format!("{problems}\n"), golden);
    assert_eq!(problems.errors.len(), 12);
}

#[test]
fn syntax_errors_are_named_with_their_place_and_the_rest_is_still_checked() {
    let problems = check("name = \"a.example\nmode = \"observe\"\n[relay]\nnext_hop = 5\n").unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("sluis.toml:1:"), "{text}");
    assert!(text.contains("this is not TOML"), "{text}");
    assert!(
        text.contains("sluis.toml:4:12: relay.next_hop: expected a string, found a whole number"),
        "{text}"
    );
}

#[test]
fn a_missing_file_and_a_folder_are_one_line() {
    for path in ["/nonexistent/sluis.toml", "/"] {
        let text = load(Path::new(path), &environment(&[])).unwrap_err().to_string();
        assert!(text.starts_with(&format!("{path}: the file cannot be")), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

#[test]
fn secrets_come_from_closed_files_or_the_environment() {
    let folder = files();
    let source = format!(
        "name = \"a.example\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[account]]\nname = \"mail tool\"\n\
         [relay]\nnext_hop = \"smtp.example:587\"\ncredentials_file = \"{}/relay-credentials\"\n\
         [unsubscribe]\nurl = \"https://a.example/\"\n",
        folder.path().display()
    );
    let variables = [("SLUIS_ACCOUNT_MAIL_TOOL_PASSWORD_HASH", HASH)];
    let settings = parse(Path::new("sluis.toml"), &source, &environment(&variables)).unwrap();
    let credentials = settings.relay.hops[0].credentials.as_ref().unwrap();
    assert_eq!(credentials.username, "gebruiker@example.nl");
    assert_eq!(credentials.password.expose(), b"ge heim");
    assert_eq!(settings.unsubscribe.url, "https://a.example");
    assert_eq!(settings.accounts[0].password_hash, HASH);
    let shown = format!("{settings:?}");
    assert!(!shown.contains("ge heim") && !shown.contains("argon2id"), "{shown}");

    let text = check(&source).unwrap_err().to_string();
    assert!(text.contains("set SLUIS_ACCOUNT_MAIL_TOOL_PASSWORD_HASH"), "{text}");

    let path = folder.path().join("relay-credentials");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = parse(Path::new("sluis.toml"), &source, &environment(&variables)).unwrap_err().to_string();
    assert!(text.contains("open to others (mode 0644)") && text.contains("chmod 600"), "{text}");
}

#[test]
fn l7_a_sender_has_its_own_footers() {
    let folder = files();
    let source = format!(
        "name = \"a.example\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[trusted]\nnetworks = [\"::1\"]\n\
         [relay]\nnext_hop = \"directory\"\n{SENDER}[[sender.footer]]\nlanguage = \"de\"\n\
         text_file = \"{folder}/footer.de.txt\"\nhtml_file = \"{folder}/footer.de.html\"\n",
        folder = folder.path().display()
    );
    let settings = check(&source).unwrap();
    let own = &settings.footers[&SenderId("12345678".into())];
    let mut expected = Templates::default();
    expected.set(Some(Language::De), Template::parse(FOOTER, Flavour::Text).unwrap());
    assert_ne!(*own, expected, "the html one is there, too");
    let html = std::fs::read_to_string(folder.path().join("footer.de.html")).unwrap();
    expected.set(Some(Language::De), Template::parse(&html, Flavour::Html).unwrap());
    assert_eq!(*own, expected);
    let built_in = check(&committed()).unwrap().footers;
    assert!(!built_in.is_empty() && built_in.values().all(|own| *own == Templates::default()));
}

#[test]
fn what_must_hold_between_values() {
    for (extra, expected) in [
        (
            "[[listener]]\naddress = \"0.0.0.0:2525\"\ntls = \"none\"\n[[listener]]\naddress = \"127.0.0.1:2525\"\n",
            "listener[3].address: 127.0.0.1:2525 is taken",
        ),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\nnormalise_bare_lf = true\n", "RULES P1"),
        ("[[listener]]\naddress = \"192.0.2.1:1\"\nauth_without_tls_on_loopback = true\n", "RULES P3"),
        ("[tls]\ncertificate_file = \"Cargo.toml\"\n", "tls: certificate_file and key_file belong together"),
        ("[tls]\nkey_file = \"nowhere.pem\"\n", "tls.key_file: nowhere.pem cannot be read"),
        ("[relay]\nnext_hop = \"smtp.example:587\"\n", "unsubscribe.url: nobody else could open"),
        ("[relay]\nnext_hop = \"smtp.example:0\"\n", "is no next hop"),
        ("[relay]\nnext_hop = \"127.0.0.1:25\"\ndirectory = \"x\"\n", "relay.directory: is only used with"),
        ("[unsubscribe]\nurl = \"http://afmelden.example.nl\"\n", "RULES P7"),
        ("[unsubscribe]\nurl = \"https://a.example/?u=\"\n", "no URL that links can begin with"),
        ("[limits]\nmessage_memory = \"1 MiB\"\n", "not even one message would fit"),
        (
            &format!("{SENDER}[[sender.footer]]\nlanguage = \"de\"\n"),
            "sender[1].footer[1]: has neither text_file nor html_file",
        ),
        (
            &format!("{SENDER}[[sender.footer]]\nlanguage = \"es\"\ntext_file = \"x\"\n"),
            "sender[1].footer[1].language: ",
        ),
        (
            &format!("{SENDER}[[sender.footer]]\ntext_file = \"nowhere\"\n"),
            "footer[1].text_file: nowhere cannot be read",
        ),
        (&format!("{SENDER}[[sender.footer]]\ntext_file = \"Cargo.toml\"\n"), "Cargo.toml, line "),
        ("[limits]\nmessage_sise = 5\n", "limits.message_sise: unknown key; did you mean \"message_size\"?"),
        ("[log]\nlevel = \"sluis=loud\"\n", "is no level"),
        (
            "[[dkim]]\ndomain = \"s.nl\"\nselector = \"a\"\nkey_file = \"nowhere\"\n",
            "so this key never signs",
        ),
        ("[[rule]]\nname = \"r\"\nclass = \"marketing\"\n", "rule[1]: is marketing without a purpose"),
        (
            "[[rule]]\nname = \"r\"\nclass = \"service\"\npurpose = \"p\"\n",
            "rule[1].purpose: has no meaning here",
        ),
        ("[[rule]]\nname = \"r\"\nallow = \" \"\n", "rule[1].allow: is empty; write why it may go"),
        ("[[rule]]\nname = \"r\"\nallow = \"a\"\nrefuse = \"b\"\n", "says allow and refuse"),
        ("[[rule]]\nname = \"r\"\n", "rule[1]: says nothing"),
        (
            "[[rule]]\nname = \"r\"\nallow = \"a\"\nuntil = 2020-01-01\n",
            "warning: sluis.toml:11:9: rule[1].until: has passed",
        ),
        (
            "[[rule]]\nname = \"r\"\nmatch = { account = \"nobody\" }\nclass = \"service\"\n",
            "no [[account]] has the name",
        ),
        ("[[rule]]\nname = \"r\"\nmatch = {}\nclass = \"service\"\n", "rule[1].match: is empty"),
        ("[[rule]]\nname = \"r\"\nmatch = { header = \"X-Mailer\" }\nclass = \"service\"\n", "has no colon"),
        (
            "[[rule]]\nname = \"r\"\nclass = \"service\"\n[[rule]]\nname = \"s\"\nclass = \"service\"\n",
            "is never reached",
        ),
        ("[[rule]]\nname = \"r\"\nmatch = { from = \"<>\" }\nclass = \"system\"\n", "only for envelope_from"),
        (
            "[[sender]]\nname = \"S\"\nkvk = \"12345678\"\naddress = \"A\"\ncontact = \"no-reply@s.nl\"\ndomains = [\"s.nl\"]\n",
            "RULES L7",
        ),
        (&format!("{SENDER}{SENDER}"), "s.nl belongs to S, too"),
        ("unknown_table = { a = 1 }\n", "unknown key"),
        ("[metrics]\nlisten = \"0.0.0.0:9125\"\n", "warning: "),
    ] {
        let text = problems(extra);
        assert!(text.contains(expected), "{extra}\nexpected: {expected}\nfound: {text}");
    }
}

#[test]
fn the_hash_changes_with_what_decides_and_with_nothing_else() {
    let hash = |source: &str| check(source).unwrap().rules.hash;
    let source = committed();
    let same = source
        .replace("# Statutory name", "# The statutory name")
        .replace("#recipients = 1000", "recipients = 500");
    assert_ne!(source, same);
    assert_eq!(hash(&source), hash(&same));
    assert_eq!(hash(&source).len(), 64);
    for (from, to) in [
        ("#mode = \"enforce\"", "mode = \"observe\""),
        ("#on_refused = \"reject\"", "on_refused = \"deliver-rest\""),
        ("\"verzekering\"]", "\"lening\"]"),
        ("*@notaris-voorbeeld.nl", "*@notaris.example"),
        ("max_recipients = 5", "max_recipients = 4"),
        ("#customer_window_months = 36", "customer_window_months = 24"),
        ("Dorpsstraat 1", "Dorpsstraat 2"),
    ] {
        let other = source.replace(from, to);
        assert_ne!(source, other, "{from}");
        assert_ne!(hash(&source), hash(&other), "{from}");
    }
}

#[test]
fn a_date_ends_with_its_day_in_the_netherlands() {
    let source = committed() + "\n[[rule]]\nname = \"x\"\nallow = \"y\"\nuntil = 2027-07-01\n";
    let settings = check(&source).unwrap();
    let Effect::Allow { until, .. } = &settings.rules.rules[4].effect else { panic!() };
    assert_eq!(until.unwrap().to_string(), "2027-07-01T21:59:59Z");
    let Effect::Class { class, sender, .. } = &settings.rules.rules[1].effect else { panic!() };
    assert_eq!((*class, sender.as_ref().unwrap().id.0.as_str()), (Class::Marketing, "12345678"));
}

#[test]
fn l2_l12_a_form_that_could_make_no_consent_is_refused() {
    let sender = "[[sender]]\nname = \"Voorbeeld B.V.\"\nkvk = \"12345678\"\naddress = \"Dorpsstraat 1\"\n\
                  contact = \"info@voorbeeld.nl\"\ndomains = [\"voorbeeld.nl\"]\nnotify = [\"info@voorbeeld.nl\"]\n";
    let rule = "[[rule]]\nname = \"news\"\nclass = \"marketing\"\npurpose = \"nieuwsbrief\"\n";
    let with = |form: &str| problems(&format!("{sender}{rule}[[form]]\n{form}"));
    let good = "name = \"nieuws\"\npurpose = \"nieuwsbrief\"\n\
                text = \"Voorbeeld B.V. mag mij elke week mailen. Afmelden kan altijd.\"\n";
    assert_eq!(with(good), "");
    for (wrong, said) in [
        ("", "form[1].name: is missing"),
        (&*good.replace("\"nieuws\"", "\"a/b\""), "letters, digits, - and _"),
        (&good.replace("nieuwsbrief", "niewsbrief"), "did you mean \"nieuwsbrief\"?"),
        (&good.replace("Voorbeeld B.V.", "De bakker"), "L2: the consent text does not name the sender"),
        (&good.replace("mailen.", "mailen, en partners ook."), "consent counts only for senders it names"),
        (&format!("{good}from = \"x@elders.nl\""), "elders.nl is no domain of the sender"),
        (&format!("{good}origins = [\"https://voorbeeld.nl/pad\"]"), "without a path"),
        (&format!("{good}text_file = \"x\""), "write one of them"),
        (&format!("{good}confirm_within = \"90d\""), "is out of range"),
        (&format!("{good}[[form]]\n{good}"), "there already is a form \"nieuws\""),
    ] {
        let problems = with(wrong);
        assert!(problems.contains(said), "{wrong}: {problems}");
    }
}
