//! From text to [`Settings`]: the file as a whole, and every section that has no file of its own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problem::{Problem, Problems};
use super::reader::{Doc, Section};
use super::settings::{Anchor, LedgerSettings, LogFormat, LogSettings, Settings};
use super::value::{host_name, mailbox, seconds, socket};
use super::{api, form, inbound, include, limits, next_hop, outbound, place, rules, tell};
use crate::clock::Timestamp;
use crate::ledger::keeping::Retention;
use crate::ledger::{Archive, Keep};
use crate::mail::Address;
use crate::net::call::Target;

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
    let (settings, included) = read(&doc, file, source, environment);
    let warnings = verdict(std::iter::once(doc.verdict()).chain(included))?;
    // No errors means that every required value was read.
    settings
        .map(|settings| Settings { warnings, ..settings })
        .ok_or_else(|| Problems::of_file(file, "the file could not be checked"))
}

/// What was found in one file: its warnings, or everything when there are errors.
type Verdict = Result<Vec<Problem>, Problems>;

/// What was found in all files, in their order.
fn verdict(files: impl Iterator<Item = Verdict>) -> Verdict {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for found in files {
        match found {
            Ok(more) => warnings.extend(more),
            Err(more) => {
                errors.extend(more.errors);
                warnings.extend(more.warnings);
            }
        }
    }
    if errors.is_empty() { Ok(warnings) } else { Err(Problems { errors, warnings }) }
}

/// Read everything; `None` only after an error was noted, here or in an included file.
fn read(
    doc: &Doc<'_>,
    file: &Path,
    source: &str,
    environment: &Environment,
) -> (Option<Settings>, Vec<Verdict>) {
    let (table, errors) = DeTable::parse_recoverable(source);
    errors.iter().for_each(|error| doc.syntax(error));
    let table = table.into_inner();
    let root = doc.root(&table);
    let files = include::files(&root, file);
    let docs: Vec<Doc<'_>> = files.iter().map(|one| Doc::new(&one.file, &one.source)).collect();
    let tables: Vec<DeTable<'_>> = docs
        .iter()
        .zip(&files)
        .map(|(doc, one)| {
            let (table, errors) = DeTable::parse_recoverable(&one.source);
            errors.iter().for_each(|error| doc.syntax(error));
            table.into_inner()
        })
        .collect();
    let included: Vec<Section<'_>> = docs.iter().zip(&tables).map(|(doc, table)| doc.root(table)).collect();
    let settings = read_root(root, included, file, environment);
    (settings, docs.into_iter().map(Doc::verdict).collect())
}

/// The keys that are asked for while reading `source`: what the documentation must have.
#[cfg(test)]
pub(super) fn known_keys(source: &str, environment: &Environment) -> std::collections::BTreeSet<String> {
    let file = Path::new("sluis.toml");
    let doc = Doc::new(file, source);
    read(&doc, file, source, environment);
    doc.known()
}

fn read_root(
    root: Section<'_>,
    included: Vec<Section<'_>>,
    file: &Path,
    environment: &Environment,
) -> Option<Settings> {
    let name = root.parsed("name", host_name).or_else(|| {
        let missing = !root.has("name");
        missing.then(|| root.error("name", "is missing; write the host name of this gateway"));
        None
    });
    let postmaster = root.parsed("postmaster", mailbox);
    let data = root.text("data").map_or_else(|| PathBuf::from("var"), |data| PathBuf::from(data.value));
    let stop_within = root.duration("stop_within", seconds(1)..=seconds(600)).unwrap_or(seconds(30));

    let senders = rules::senders(&root, &included);
    let accounts = inbound::accounts(&root, &senders, environment);
    let trusted = inbound::trusted(root.section("trusted"), &senders);
    let rules = rules::rules(&root, &included, &senders, &accounts, environment.now);
    let listeners = inbound::listeners(&root, &accounts, &trusted);
    let tls = inbound::tls(root.section("tls"));
    let mut relay = outbound::relay(&root, &included, &senders, &data, environment);
    if let Some(relay) = &mut relay {
        next_hop::pass_through(&root, relay, &listeners);
    }
    let unsubscribe = outbound::unsubscribe(root.section("unsubscribe"), &relay, &senders, &tls);
    let forms = form::forms(&root, &senders, &rules, &unsubscribe);
    let api = api::api(root.section("api"), &senders, &tls);
    let tell = tell::tell(root.section("notify"), &root, &senders);
    let dkim = outbound::dkim(&root, &senders, &relay);
    let limits = limits::limits(root.section("limits"));
    let ledger = ledger(root.section("ledger"));
    let log = log(root.section("log"));
    let metrics = metrics(root.section("metrics"));
    root.finish();
    included.into_iter().for_each(Section::finish);

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
        forms,
        api,
        tell,
        dkim,
        limits,
        footers: senders.footers().clone(),
        rules,
        ledger,
        log,
        metrics,
        warnings: Vec::new(),
    })
}

fn ledger(section: Section<'_>) -> LedgerSettings {
    let defaults = LedgerSettings::default();
    let settings = LedgerSettings {
        checkpoint_every: section
            .duration("checkpoint_every", seconds(1)..=seconds(86_400))
            .unwrap_or(defaults.checkpoint_every),
        cache: section.size("cache", 1 << 20..=1 << 40).unwrap_or(defaults.cache),
        quick_repair: section.size("quick_repair", 0..=u64::MAX).unwrap_or(defaults.quick_repair),
        archive: archive(section.section("archive")),
        retention: retention(section.section("retention")),
        anchor: anchor(section.section("anchor")),
    };
    section.finish();
    settings
}

/// How long entries are kept. Proof of marketing is kept five years (RULES L11): less is refused here.
fn retention(section: Section<'_>) -> Retention {
    let defaults = Retention::default();
    let months = |key, least: u32, default: u32| {
        let given = section.number(key, u64::from(least)..=1_200);
        given.and_then(|months| u32::try_from(months).ok()).unwrap_or(default)
    };
    let retention = Retention {
        marketing: months("marketing_months", Retention::LEAST_MARKETING, defaults.marketing),
        service: months("service_months", 1, defaults.service),
        personal: months("personal_months", 1, defaults.personal),
        refused: months("refused_months", 1, defaults.refused),
    };
    section.finish();
    retention
}

/// Where checkpoints go outside.
fn anchor(section: Section<'_>) -> Anchor {
    let defaults = Anchor::default();
    let ca_file = section.text("time_stamp_ca_file");
    if let Some(file) = &ca_file
        && let Err(message) = place::readable(Path::new(&file.value))
    {
        section.error_at(file, message);
    }
    let anchor = Anchor {
        folder: section.text("folder").map(|folder| PathBuf::from(folder.value)),
        mail: section.list("mail", mailbox),
        time_stamp: section.list("time_stamp", |url| match Target::parse(url) {
            Some(target) => Ok((url.to_owned(), target)),
            None => Err(format!("\"{url}\" is no URL; write \"http://tsa.example/tsr\"")),
        }),
        time_stamp_ca_file: ca_file.map(|file| PathBuf::from(file.value)),
        every: section.duration("every", seconds(60)..=seconds(31 * 86_400)).unwrap_or(defaults.every),
        timeout: section.duration("timeout", seconds(1)..=seconds(120)).unwrap_or(defaults.timeout),
    };
    section.finish();
    anchor
}

/// What is kept of each copy's bytes.
fn archive(section: Section<'_>) -> Archive {
    let modes = [("full", Keep::Full), ("headers", Keep::Headers), ("hash", Keep::Hash)];
    let defaults = Archive::default();
    let archive = Archive {
        marketing: section.choice("marketing", &modes).unwrap_or(defaults.marketing),
        service: section.choice("service", &modes).unwrap_or(defaults.service),
        personal: section.choice("personal", &modes).unwrap_or(defaults.personal),
    };
    if archive.marketing != Keep::Full {
        section.warn(
            "marketing",
            "what was sent can then be recognised by its hash, but no longer shown; \"full\" keeps it",
        );
    }
    section.finish();
    archive
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
