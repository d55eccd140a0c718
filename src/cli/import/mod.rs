//! Files into the register (RULES L19): the original is kept, opt-outs go first, rows are read one at a time and
//! handed over in batches, each of which is one record and one commit. What was acknowledged is in; running the
//! same file again adds what is missing and nothing else. Memory does not grow with the file.
//!
//! Reading is a thread of its own, so that rows are taken apart while the batch before them is written.

mod batch;
mod convert;
pub(super) mod dates;
mod forms;
mod rejects;
pub(super) mod source;
mod undo;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use super::args::{Format, Import, ImportFile, ImportsCommand};
use super::fields::{self, CONSENT, CUSTOMER, PUBLISHED, SUPPRESSION};
use super::link::{Link, unexpected};
use super::print::Out;
use super::table::{Fields, Table};
use crate::admin::{self, Answer, Imported, Request};
use crate::clock::{Clock as _, SystemClock};
use crate::consent::Act;
use crate::ledger::{ImportBegun, ImportEnded};
use crate::mail::Reference;
use crate::secret::{SystemEntropy, random};
use batch::{Batch, Pass, Reader};
use convert::{MAPPED, Part, Word};
use dates::Order;
use forms::Form;
use rejects::Rejects;
pub(super) use rejects::plain;
use source::{Member, Source};

/// Batches that wait between the reader and the writer.
const AHEAD: usize = 4;
/// Columns that a message names; it says how many more there are.
const NAMED: usize = 30;
/// Rows looked at to tell which number of a date is the day.
const SAMPLE: usize = 20_000;

/// What the rows of a file of our own are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Consent events
    Consents,
    /// Purchases
    Customers,
    /// Published business addresses
    Published,
    /// Suppressions
    Suppressions,
}

impl Kind {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Consents => CONSENT,
            Self::Customers => CUSTOMER,
            Self::Published => PUBLISHED,
            Self::Suppressions => SUPPRESSION,
        }
    }

    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Consents => &["address", "purpose", "at"],
            Self::Customers => &["address", "product", "last_purchase"],
            Self::Published => &["address", "purpose", "url", "quote", "captured_at"],
            Self::Suppressions => &["address"],
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Consents => "consents",
            Self::Customers => "customers",
            Self::Published => "published addresses",
            Self::Suppressions => "suppressions",
        }
    }
}

/// How a file is to be understood.
#[derive(Debug, Clone, Copy)]
enum How {
    /// It has our own columns.
    Own(Kind),
    /// A tool or a shop made it.
    Tool(&'static Form),
}

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Own(kind) => kind.word(),
            Self::Tool(form) => form.name,
        }
    }
}

/// Everything that is said about a file, and the file.
struct Job {
    source: Source,
    format: Format,
    kind: Kind,
    word: Word,
    text: Option<String>,
    zone: TimeZone,
    zone_name: String,
    dates: Option<Order>,
    maps: HashMap<String, String>,
    defaults: Fields,
    folder: PathBuf,
    dry_run: bool,
    rejects: Option<PathBuf>,
    file: PathBuf,
}

/// `sluis import`.
pub(super) fn command(
    command: Option<ImportsCommand>,
    file: ImportFile,
    config: &Path,
    out: &mut Out,
) -> Result<bool> {
    match (command, file) {
        (Some(ImportsCommand::List), _) => undo::list(&mut super::connect(config)?, out),
        (Some(ImportsCommand::Undo { id, opt_outs, dry_run }), _) => {
            undo::undo(&id, opt_outs, dry_run, &mut super::connect(config)?, out)
        }
        (None, args) => {
            let folder = super::load(config)?.data.join("imports");
            let job = Job::of_file(args, &folder)?;
            run(job, &mut super::connect(config)?, out)
        }
    }
}

/// `sluis consent import` and the like: a file with our own columns.
pub(super) fn rows(kind: Kind, args: Import, config: &Path, out: &mut Out) -> Result<bool> {
    let folder = super::load(config)?.data.join("imports");
    let format = args.format.unwrap_or_else(|| own_format(&args.file));
    let file = ImportFile { kind, format, ..ImportFile::of(args) };
    run(Job::of_file(file, &folder)?, &mut super::connect(config)?, out)
}

fn own_format(file: &Path) -> Format {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => Format::Jsonl,
        _ => Format::Csv,
    }
}

impl Job {
    fn of_file(args: ImportFile, folder: &Path) -> Result<Self> {
        let file = args.file.ok_or_else(|| anyhow!("the file is missing"))?;
        let defaults = pairs("--set", &args.set)?;
        let maps = pairs("--map", &args.map)?;
        for (flag, names) in [("--set", &defaults), ("--map", &maps)] {
            let known = args.kind.columns();
            if let Some(name) = names.keys().find(|name| !known.contains(&name.as_str())) {
                let (word, known) = (args.kind.word(), known.join(", "));
                bail!("{flag}: {word} have no column \"{name}\"; they have {known}");
            }
        }
        let zone_name = match args.zone {
            Some(zone) => zone,
            None => ask_zone()?,
        };
        let zone = fields::zone(&zone_name).map_err(|why| anyhow!(why))?;
        let text = args.text.as_deref().map(fields::read_text).transpose().map_err(|why| anyhow!(why))?;
        let word = Word {
            sender: args.given.sender.clone(),
            purpose: args.purpose.clone(),
            act: args.given.act.as_deref().map(Act::parse).transpose()?,
            source: args.given.source.clone(),
            attestation: args.given.attest.clone(),
            given_at: args
                .given_at
                .map(|at| fields::time(&at, &zone).map_err(|why| anyhow!("--given-at: {why}")))
                .transpose()?,
            has_text: text.is_some(),
            product: args.product,
            opt_out_offered: args.opt_out_offered,
        };
        // What is said of the whole file is said of each row that does not say otherwise.
        let mut whole: Fields = defaults.into_iter().collect();
        let said = [
            ("sender", args.given.sender),
            ("purpose", args.purpose),
            ("act", args.given.act),
            ("source", args.given.source),
            ("attestation", args.given.attest),
            ("text", text.clone()),
        ];
        for (column, value) in said {
            if let Some(value) = value
                && args.kind.columns().contains(&column)
            {
                whole.entry(column.to_owned()).or_insert(value);
            }
        }
        Ok(Self {
            source: Source::open(&file, (!args.dry_run).then_some(folder))?,
            format: args.format,
            kind: args.kind,
            word,
            text,
            zone,
            zone_name,
            dates: args.dates,
            maps: maps.into_iter().map(|(ours, theirs)| (super::table::column(&theirs), ours)).collect(),
            defaults: whole,
            folder: file.parent().unwrap_or(Path::new("")).to_owned(),
            dry_run: args.dry_run,
            rejects: args.rejects,
            file,
        })
    }

    /// How a member is to be understood, by what was asked for or by its columns.
    fn how(&self, member: &Member) -> Result<How> {
        let table = self.table(member, &ProgressBar::hidden())?;
        let Some(columns) = table.columns() else { return Ok(How::Own(self.kind)) };
        let asked = self.format.tool().is_some() || self.format == Format::Auto;
        let how = match forms::form(self.format, columns).filter(|_| asked) {
            Some(form) => self.tool(form, columns)?,
            None => self.own(columns)?,
        };
        let matters = |name: &str| {
            let ours = self.maps.get(name);
            ours.is_some()
                || match how {
                    How::Tool(form) => form.reads(name),
                    How::Own(kind) => kind.columns().contains(&name),
                }
        };
        for name in table.twice() {
            if matters(name) {
                bail!("the header line has the column \"{name}\" twice, and its rows can be read two ways");
            }
        }
        Ok(how)
    }

    /// A file of a tool, whose addresses may stand in a column that somebody gave a name of their own.
    fn tool(&self, form: &'static Form, columns: &[String]) -> Result<How> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        if let Some((theirs, _)) = self.maps.iter().find(|(theirs, _)| !has(theirs)) {
            bail!("--map: the file has no column \"{theirs}\"; it has {}", named(columns));
        }
        if let Some(ours) = self.maps.values().find(|ours| !MAPPED.contains(&ours.as_str())) {
            bail!("--map: of a {} file it can name {}, and not {ours}", form.name, MAPPED.join(", "));
        }
        if !self.maps.values().any(|ours| ours == "address") && !form.address.iter().copied().any(has) {
            bail!(
                "no column of this {} file has the addresses; it has {}; --map address=THEIRS names the one that does",
                form.name,
                named(columns)
            );
        }
        Ok(How::Tool(form))
    }

    /// A file without addresses is the wrong file; columns that are not ours are told, not heeded.
    fn own(&self, columns: &[String]) -> Result<How> {
        let kind = self.kind;
        let known = kind.columns();
        let has = |name: &str| {
            columns.iter().any(|column| column == name || self.maps.get(column).is_some_and(|to| to == name))
                || self.defaults.contains_key(name)
        };
        let missing: Vec<_> = kind.needed().iter().copied().filter(|name| !has(name)).collect();
        if !missing.is_empty() {
            bail!(
                "the header line has no column {}; it has {}, and a file of {} can have {}; \
                 --map OURS=THEIRS names a column that is called otherwise",
                missing.join(", "),
                named(columns),
                kind.word(),
                known.join(", ")
            );
        }
        let unused: Vec<_> = columns
            .iter()
            .map(String::as_str)
            .filter(|column| !column.is_empty())
            .filter(|column| !known.contains(column) && !self.maps.contains_key(*column))
            .collect();
        if !unused.is_empty() {
            let more = unused.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = unused[..unused.len().min(NAMED)].join(", ");
            super::print::note(&format!("columns that are not used: {named}{more}"));
        }
        Ok(How::Own(kind))
    }

    fn table(&self, member: &Member, bar: &ProgressBar) -> Result<Table> {
        let input = Box::new(bar.wrap_read(self.source.read(member)?));
        let is_jsonl = match self.format {
            Format::Jsonl => true,
            Format::Auto => own_format(Path::new(&member.name)) == Format::Jsonl,
            _ => false,
        };
        let table = if is_jsonl { Ok(Table::jsonl(input)) } else { Table::csv(input) };
        table.with_context(|| member.name.clone())
    }

    /// Which number of `01/02/2026` is the day, where dates of the file can be read both ways.
    fn order(&self, member: &Member) -> Result<Order> {
        if let Some(order) = self.dates {
            return Ok(order);
        }
        let mut table = self.table(member, &ProgressBar::hidden())?;
        let mut seen = dates::Seen::default();
        for _ in 0..SAMPLE {
            let Some(row) = table.next()? else { break };
            row.fields.iter().flat_map(Fields::values).for_each(|text| seen.look(text));
        }
        let order = seen.order().map_err(|why| anyhow!("{}: {why}", member.name))?;
        if seen.either > 0 && seen.day_first + seen.month_first == 0 {
            super::print::note(&format!(
                "{}: dates such as 01/02/2026 are read day first; --dates mdy reads them month first",
                member.name
            ));
        }
        Ok(order)
    }
}

/// Columns, as a message names them.
fn named(columns: &[String]) -> String {
    let named: Vec<_> = columns.iter().map(String::as_str).filter(|column| !column.is_empty()).collect();
    match named.get(NAMED..) {
        Some(rest) if !rest.is_empty() => format!("{} and {} more", named[..NAMED].join(", "), rest.len()),
        _ => named.join(", "),
    }
}

/// `OURS=VALUE`, several times.
fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) =
            text.split_once('=').ok_or_else(|| anyhow!("{flag} {text}: write COLUMN=VALUE"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// Times in files have no zone as a rule; whoever made the file knows it.
fn ask_zone() -> Result<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(fields::ZONE.to_owned());
    }
    let terminal = console::Term::stderr();
    terminal.write_str(&format!("Time zone of times without one [{}]: ", fields::ZONE))?;
    let said = terminal.read_line()?;
    Ok(if said.trim().is_empty() { fields::ZONE.to_owned() } else { said.trim().to_owned() })
}

/// What became of a file so far.
#[derive(Debug, Default)]
struct Total {
    rows: u64,
    added: u64,
    already: u64,
    rejected: u64,
    nothing: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
}

fn run(job: Job, link: &mut Link, out: &mut Out) -> Result<bool> {
    let hows = job.source.members.iter().map(|member| job.how(member)).collect::<Result<Vec<_>>>()?;
    let orders = job.source.members.iter().map(|member| job.order(member)).collect::<Result<Vec<_>>>()?;
    for (member, how) in job.source.members.iter().zip(&hows) {
        // A name is little to go by, and an opt-out for good.
        if member.part == Part::Left && matches!(how, How::Tool(_)) {
            super::print::note(&format!(
                "{}: by its name it holds those who left, and each row in it is taken for an opt-out",
                member.name
            ));
        }
    }
    let id = Reference::new(SystemClock.now(), random(&SystemEntropy)).to_string();
    let word = hows.first().map_or("rows", |how| how.word());
    let name = format!("{} (SHA-256 {})", job.source.name, job.source.sha256);
    if !job.dry_run {
        let begun = ImportBegun {
            id: id.clone(),
            file: job.source.name.clone(),
            sha256: job.source.sha256.clone(),
            size: job.source.size,
            format: word.to_owned(),
            zone: job.zone_name.clone(),
            attestation: job.word.attestation.clone(),
        };
        expect_done(link.ask(Request::BeginImport(begun))?)?;
    }
    let bar = bar(job.source.unpacked() * 2);
    let mut rejects = Rejects::new(&job.file, job.rejects.as_deref(), job.dry_run);
    let mut total = Total::default();
    let source = format!("{name}, import {id}");
    let done = passes(&job, &hows, &orders, &bar, link, &source, &mut rejects, &mut total);
    bar.finish_and_clear();
    let kept = rejects.finish();
    let ended = ImportEnded { id, added: total.added, already: total.already, rejected: total.rejected };
    summary(&job, word, &name, &ended, &total, out)?;
    done.with_context(|| format!("{}: stopped early", job.file.display()))?;
    if let Some(path) = kept? {
        super::print::note(&format!("rows that were not taken are in {}", path.display()));
    }
    if !job.dry_run {
        expect_done(link.ask(Request::EndImport(ended))?)?;
    }
    Ok(total.rejected == 0)
}

fn expect_done(answer: Answer) -> Result<()> {
    match answer {
        Answer::Done { .. } => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn bar(octets: u64) -> ProgressBar {
    let bar = if io::stderr().is_terminal() { ProgressBar::new(octets) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}% {msg} {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Opt-outs of the whole file first, then the rest (RULES L19): an import that stops half-way has stopped more
/// mail than it allowed.
#[expect(clippy::too_many_arguments, reason = "the one place where what reads and what writes come together")]
fn passes(
    job: &Job,
    hows: &[How],
    orders: &[Order],
    bar: &ProgressBar,
    link: &mut Link,
    source: &str,
    rejects: &mut Rejects,
    total: &mut Total,
) -> Result<()> {
    let (sender, batches) = sync_channel::<Result<Batch>>(AHEAD);
    std::thread::scope(|scope| {
        let read = move || {
            for pass in [Pass::OptOuts, Pass::Rest] {
                for ((member, how), order) in job.source.members.iter().zip(hows).zip(orders) {
                    let reader = Reader::new(job, *how, *order, member, pass);
                    let table = job.table(member, bar);
                    let read = table.and_then(|table| reader.read(table, &sender));
                    if let Err(error) = read {
                        // Whoever stopped writing knows why.
                        let _ = sender.send(Err(error));
                        return;
                    }
                }
            }
        };
        scope.spawn(read);
        // The receiver goes before the scope waits, so that a reader is never left waiting.
        let batches = batches;
        for batch in &batches {
            take(batch?, job, link, source, rejects, total, bar)?;
        }
        Ok(())
    })
}

/// Hand one batch over, and keep which of its rows were not taken.
fn take(
    batch: Batch,
    job: &Job,
    link: &mut Link,
    source: &str,
    rejects: &mut Rejects,
    total: &mut Total,
    bar: &ProgressBar,
) -> Result<()> {
    let Batch { member, rows, texts, mut faults, nothing, read } = batch;
    total.rows += read;
    for (why, count) in nothing {
        *total.nothing.entry(why).or_default() += count;
    }
    let imported = if rows.is_empty() {
        Imported::default()
    } else {
        let import =
            admin::Import { source: source.to_owned(), from_file: true, dry_run: job.dry_run, texts, rows };
        match link.ask(Request::Import(import))? {
            Answer::Imported(imported) => imported,
            other => return Err(unexpected(&other)),
        }
    };
    total.added += imported.added;
    total.already += imported.already;
    faults.extend(imported.rejected.into_iter().map(rejects::Reject::judged));
    faults.sort_by_key(|fault| fault.line);
    total.rejected += faults.len() as u64;
    bar.suspend(|| rejects.take(&member, &faults))?;
    notes(imported.notes, total, bar);
    Ok(())
}

/// Each note once for the whole file; there are as many kinds of them as purposes in it.
fn notes(notes: Vec<String>, total: &mut Total, bar: &ProgressBar) {
    const MAX_NOTES: usize = 100;
    for note in notes {
        if total.notes.len() < MAX_NOTES && !total.notes.contains(&note) {
            bar.suspend(|| super::print::note(&note));
            total.notes.push(note);
        }
    }
}

fn summary(
    job: &Job,
    word: &str,
    name: &str,
    ended: &ImportEnded,
    total: &Total,
    out: &mut Out,
) -> Result<()> {
    let verb = if job.dry_run { "would be added" } else { "added" };
    out.line(format_args!(
        "{word}: {} {verb}, {} already there, {} rejected, of {} rows in {name}",
        ended.added, ended.already, ended.rejected, total.rows
    ))?;
    for (why, count) in &total.nothing {
        out.line(format_args!("left out: {count} {why}"))?;
    }
    if !job.dry_run && ended.added > 0 {
        out.line(format_args!("undo it with: sluis import undo {}", ended.id))?;
    }
    Ok(())
}
