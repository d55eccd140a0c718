//! Out of the register: all that is on record about one address (an access request, AVG article 15), a sender's
//! register, and opt-outs for the tools that must know of them too. Written page by page; memory stays flat.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use super::args::{ExportCommand, ToolFormat};
use super::import::plain;
use super::link::{Link, unexpected};
use super::print::note;
use crate::admin::{Answer, MAX_PAGE, ProfileView, Request, Subject};
use crate::app::open_kept;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::ledger::{Entry, Event, NamedFile, NotKept, Shelf};
use crate::mail::{Address, unhex};

/// Write what was asked for.
pub(super) fn run(command: ExportCommand, config: &Path) -> Result<bool> {
    let link = &mut super::connect(config)?;
    match command {
        ExportCommand::Address { address, html, output, files } => {
            let about = About::gather(&address, link)?;
            let mut whole = true;
            if let Some(folder) = files {
                whole = copy_files(&about.entries, &super::load(config)?.data, &folder)?;
            }
            let mut output = Output::open(output.as_deref())?;
            if html {
                output.write_all(about.page().into_string().as_bytes())?;
            } else {
                serde_json::to_writer_pretty(&mut output, &about.json())?;
                output.write_all(b"\n")?;
            }
            Ok(output.finish()? && whole)
        }
        ExportCommand::Register { sender, output } => register(sender, output.as_deref(), link),
        ExportCommand::Suppressions { sender, format, output } => {
            suppressions(sender, format, output.as_deref(), link)
        }
    }
}

/// A file that must not be there yet, closed to others; or standard output.
pub(super) struct Output(BufWriter<Box<dyn Write>>, Option<PathBuf>);

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let Some(path) = path else { return Ok(Self(BufWriter::new(Box::new(std::io::stdout())), None)) };
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(BufWriter::new(Box::new(file)), Some(path.to_owned())))
    }

    pub(super) fn finish(mut self) -> Result<bool> {
        self.0.flush()?;
        if let Some(path) = self.1 {
            note(&format!("written to {}", path.display()));
        }
        Ok(true)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// All that is on record about one address.
struct About {
    address: Address,
    made_at: Timestamp,
    profiles: Vec<ProfileView>,
    entries: Vec<Value>,
}

/// Entries about one address, at most (promise 10); more are an evidence pack.
const MAX_ENTRIES: usize = 100_000;

impl About {
    fn gather(address: &Address, link: &mut Link) -> Result<Self> {
        let profiles = match link.ask(Request::Show { address: address.clone(), sender: None })? {
            Answer::Profiles { profiles } => profiles,
            other => return Err(unexpected(&other)),
        };
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let query = Subject::Address(address.key().clone()).into();
            let (page, next) = match link.ask(Request::Entries { query, after, limit: MAX_PAGE })? {
                Answer::Entries { entries, next } => (entries, next),
                other => return Err(unexpected(&other)),
            };
            for filed in page {
                entries.extend(filed.json.and_then(|json| serde_json::from_str(&json).ok()));
            }
            if entries.len() > MAX_ENTRIES {
                bail!(
                    "there are more than {MAX_ENTRIES} entries about {address}; sluis proof export has a period"
                );
            }
            match next {
                Some(_) => after = next,
                None => break,
            }
        }
        Ok(Self { address: address.clone(), made_at: SystemClock.now(), profiles, entries })
    }

    fn json(&self) -> Value {
        json!({
            "address": self.address.as_str(),
            "made_at": self.made_at,
            "on_record": self.profiles,
            "entries": self.entries,
        })
    }

    fn page(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { "On record about " (self.address) }
                    style { "body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
                        "dt{font-weight:bold;margin-top:.5rem}code{word-break:break-all}" }
                }
                body {
                    h1 { "On record about " (self.address) }
                    p { "Made on " (self.made_at) "." }
                    @for profile in &self.profiles { (of_sender(profile)) }
                    h2 { "What happened" }
                    @if self.entries.is_empty() { p { "Nothing is on record." } }
                    ol { @for entry in &self.entries { (happened(entry)) } }
                }
            }
        }
    }
}

fn of_sender(profile: &ProfileView) -> Markup {
    html! {
        h2 { (profile.name) }
        dl {
            @for suppressed in &profile.suppressions {
                dt { "Gets no marketing" }
                dd { (suppressed.reason.as_str()) ", since " (suppressed.since) " (" (suppressed.source) ")" }
            }
            @for consent in &profile.consents {
                dt { "Consent: " (consent.purpose) }
                dd {
                    (consent.state)
                    @if let Some(since) = consent.since { ", since " (since) }
                    ul {
                        @for event in &consent.events {
                            li {
                                (event.at) ": " (format!("{:?}", event.kind).to_lowercase())
                                @if let Some(source) = &event.evidence.source { ", at " (source) }
                                @if let Some(ip) = &event.evidence.ip { ", from " (ip) }
                            }
                        }
                    }
                }
            }
            @for relation in &profile.relations {
                dt { "Customer" }
                dd { "bought " (relation.product) ", last on " (relation.last_purchase) }
            }
            @for (purpose, published) in &profile.published {
                dt { "Published address: " (purpose) }
                dd { (published.url) ", captured on " (published.captured_at) }
            }
            @if let Some(reply) = &profile.blocked { dt { "Mailbox" } dd { "does not work: " (reply) } }
        }
        @if profile.suppressions.is_empty() && profile.consents.is_empty() && profile.relations.is_empty()
            && profile.published.is_empty() { p { "Nothing is on record." } }
    }
}

fn happened(entry: &Value) -> Markup {
    let text = entry.to_string();
    html! {
        li {
            @match Entry::parse(text.as_bytes()) {
                Ok(entry) => {
                    (entry.at) " — " (entry.event.kind().0.replace('_', " ")) ": " (entry.event.summary())
                }
                Err(_) => { code { (text) } }
            }
        }
    }
}

/// Copy the evidence files that `entries` name from the data folder to a new `folder`, under their hash and name; whether
/// all of them were still what they were.
fn copy_files(entries: &[Value], data: &Path, folder: &Path) -> Result<bool> {
    std::fs::create_dir(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let (mut copied, mut whole) = (0, true);
    for entry in entries.iter().filter(|entry| entry["kind"] == "evidence") {
        let Ok(Entry { event: Event::Evidence(it), .. }) = Entry::parse(entry.to_string().as_bytes()) else {
            continue;
        };
        let plain: String =
            it.file.name.chars().filter(|c| c.is_alphanumeric() || "-_.".contains(*c)).collect();
        let to = folder.join(format!("{}-{plain}", &it.file.sha256[..12.min(it.file.sha256.len())]));
        let named = unhex(&it.file.sha256).map(|sha256| NamedFile { shelf: Shelf::Evidence, sha256 });
        match named.map_or(Err(NotKept::Missing), |named| open_kept(data, &named)) {
            Ok(mut kept) => {
                let written = File::create(&to).and_then(|mut file| std::io::copy(&mut kept, &mut file));
                written.with_context(|| format!("{} cannot be written", to.display()))?;
                copied += 1;
            }
            Err(why) => {
                note(&format!("NOT COPIED: {} (SHA-256 {}): {why}", it.file.name, it.file.sha256));
                whole = false;
            }
        }
    }
    note(&format!("{copied} evidence files in {}", folder.display()));
    Ok(whole)
}

/// A sender's register, one line for each fact.
fn register(sender: Option<String>, output: Option<&Path>, link: &mut Link) -> Result<bool> {
    let mut csv = csv::Writer::from_writer(Output::open(output)?);
    csv.write_record(["sender", "address", "fact", "about", "state", "grade", "since", "source"])?;
    let mut after = None;
    loop {
        let request = Request::Register { sender: sender.clone(), after: after.take(), limit: MAX_PAGE };
        let rows = match link.ask(request)? {
            Answer::Register { rows } => rows,
            other => return Err(unexpected(&other)),
        };
        for row in &rows {
            for cells in facts(&row.profile) {
                let line = [row.profile.sender.0.as_str(), row.address.as_str()];
                let line = line.into_iter().chain(cells.iter().map(String::as_str)).map(plain);
                csv.write_record(line)?;
            }
        }
        match rows.last() {
            Some(last) if rows.len() >= MAX_PAGE => {
                after = Some((last.profile.sender.clone(), last.address.clone()));
            }
            _ => break,
        }
    }
    csv.into_inner().map_err(|error| error.into_error())?.finish()
}

/// Fact, about what, state, grade, since, source.
fn facts(profile: &ProfileView) -> Vec<[String; 6]> {
    let mut facts = Vec::new();
    let cells = |cells: [&str; 6]| cells.map(str::to_owned);
    for it in &profile.suppressions {
        let since = it.since.to_string();
        facts.push(cells(["suppression", "", it.reason.as_str(), "", &since, &it.source]));
    }
    for it in &profile.consents {
        let grade = it.grade.map(|grade| format!("{grade:?}")).unwrap_or_default();
        let since = it.since.map(|since| since.to_string()).unwrap_or_default();
        let source = it.events.iter().rev().find_map(|event| event.evidence.source.clone());
        facts.push(cells(["consent", &it.purpose.0, &it.state, &grade, &since, &source.unwrap_or_default()]));
    }
    for it in &profile.relations {
        let state = match (it.given_in_sale, it.opt_out_offered) {
            (true, true) => "",
            (false, _) => "not given in a sale",
            (true, false) => "no opt-out offered",
        };
        let (since, source) = (it.last_purchase.to_string(), it.source.clone().unwrap_or_default());
        facts.push(cells(["customer", &it.product, state, "", &since, &source]));
    }
    for (purpose, it) in &profile.published {
        let since = it.captured_at.to_string();
        facts.push(cells(["published", &purpose.0, "", "", &since, &it.url]));
    }
    if let Some(reply) = &profile.blocked {
        facts.push(cells(["delivery block", "", "", "", "", reply]));
    }
    facts
}

/// Who may not be mailed, in the form in which a tool takes them in. For tools, and so as it is: a `'` before an
/// address that begins with `=` or `-` would make it somebody else's, and lose the opt-out there (RULES L16, L17).
fn suppressions(
    sender: Option<String>,
    format: ToolFormat,
    output: Option<&Path>,
    link: &mut Link,
) -> Result<bool> {
    let separator = if format == ToolFormat::Brevo { b';' } else { b',' };
    let mut csv = csv::WriterBuilder::new().delimiter(separator).from_writer(Output::open(output)?);
    match format {
        ToolFormat::Csv => csv.write_record(["address", "sender", "reason", "since", "source"])?,
        ToolFormat::Mailchimp => csv.write_record(["Email Address"])?,
        ToolFormat::Brevo => csv.write_record(["EMAIL"])?,
        ToolFormat::Listmonk => csv.write_record(["email", "name", "attributes"])?,
    }
    let (mut after, mut before) = (None, None);
    loop {
        let request = Request::Suppressions { sender: sender.clone(), after: after.take(), limit: MAX_PAGE };
        let rows = match link.ask(request)? {
            Answer::Suppressions { suppressions } => suppressions,
            other => return Err(unexpected(&other)),
        };
        for row in &rows {
            let it = &row.suppression;
            let address = row.address.as_str();
            // One line for each address, however many reasons there are.
            if format != ToolFormat::Csv && before.as_deref() == Some(address) {
                continue;
            }
            before = Some(address.to_owned());
            match format {
                ToolFormat::Csv => {
                    let since = it.since.to_string();
                    let cells = [address, row.sender.0.as_str(), it.reason.as_str(), &since, &it.source];
                    csv.write_record(cells)?;
                }
                ToolFormat::Mailchimp | ToolFormat::Brevo => csv.write_record([address])?,
                ToolFormat::Listmonk => csv.write_record([address, "", "{}"])?,
            }
        }
        match rows.last() {
            Some(last) if rows.len() >= MAX_PAGE => {
                after = Some((last.sender.clone(), last.address.clone()));
            }
            _ => break,
        }
    }
    csv.into_inner().map_err(|error| error.into_error())?.finish()
}
