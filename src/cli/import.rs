//! Files into the register: rows are read one at a time and handed over in batches, each of which is one
//! record and one commit (RULES L19). What was acknowledged is in; running the same file again adds what is
//! missing and nothing else. Memory does not grow with the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Format, Import};
use super::fields::{self, CONSENT, CUSTOMER, Context, PUBLISHED, SUPPRESSION};
use super::link::{Link, unexpected};
use super::print::Out;
use super::table::{Fields, Table};
use crate::admin::{self, Answer, Imported, Reject, Request, Row};
use crate::clock::{Clock as _, SystemClock};

/// Rows of one request: one record, one commit.
const BATCH: usize = 500;

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Consent events.
    Consents,
    /// Purchases.
    Customers,
    /// Published business addresses.
    Published,
    /// Suppressions.
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

    fn word(self) -> &'static str {
        match self {
            Self::Consents => "consents",
            Self::Customers => "customers",
            Self::Published => "published addresses",
            Self::Suppressions => "suppressions",
        }
    }
}

/// Take in the file of `args`; whether every row was taken.
pub(super) fn run(kind: Kind, args: &Import, link: &mut Link, out: &mut Out) -> Result<bool> {
    let defaults = defaults(kind, &args.set)?;
    let zone = fields::zone(&args.zone).map_err(|why| anyhow!(why))?;
    let folder = args.file.parent().unwrap_or(Path::new("")).to_owned();
    let context = Context { zone, folder, files: HashMap::new(), now: SystemClock.now() };
    let (input, source, bar) = open(&args.file)?;
    let jsonl = args.format.unwrap_or_else(|| form_of(&args.file)) == Format::Jsonl;
    let table = if jsonl { Table::jsonl(input) } else { Table::csv(input)? };
    check_columns(kind, &table, &defaults)?;
    let mut intake = Intake {
        kind,
        link,
        defaults,
        context,
        source,
        dry_run: args.dry_run,
        bar,
        name: args.file.display().to_string(),
        batch: Batch::default(),
        total: Imported::default(),
        rejected: 0,
        rows: 0,
    };
    let read = intake.read(table);
    // What was read before the file broke off is handed over, so that the summary is the whole truth.
    let sent = intake.flush();
    intake.bar.finish_and_clear();
    intake.summary(out)?;
    read.and(sent).with_context(|| format!("{}: stopped early", intake.name))?;
    Ok(intake.rejected == 0)
}

fn form_of(file: &Path) -> Format {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => Format::Jsonl,
        _ => Format::Csv,
    }
}

/// `--set COLUMN=VALUE`.
fn defaults(kind: Kind, set: &[String]) -> Result<Fields> {
    let mut defaults = Fields::new();
    for text in set {
        let (column, value) =
            text.split_once('=').ok_or_else(|| anyhow!("--set {text}: write COLUMN=VALUE"))?;
        let known = kind.columns();
        if !known.contains(&column) {
            bail!(
                "--set {text}: {} have no column \"{column}\"; they have {}",
                kind.word(),
                known.join(", ")
            );
        }
        defaults.insert(column.to_owned(), value.trim().to_owned());
    }
    Ok(defaults)
}

/// A file without addresses is the wrong file; columns that are not ours are told, not heeded.
fn check_columns(kind: Kind, table: &Table, defaults: &Fields) -> Result<()> {
    let Some(columns) = table.columns() else { return Ok(()) };
    let known = kind.columns();
    let has = |name: &str| columns.iter().any(|column| column == name) || defaults.contains_key(name);
    let needed: &[&str] = match kind {
        Kind::Consents => &["address", "purpose", "at"],
        Kind::Customers => &["address", "product", "last_purchase"],
        Kind::Published => &["address", "purpose", "url", "quote", "captured_at"],
        Kind::Suppressions => &["address"],
    };
    let missing: Vec<_> = needed.iter().copied().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        bail!(
            "the header line has no column {}; it has {}, and a file of {} can have {}",
            missing.join(", "),
            columns.join(", "),
            kind.word(),
            known.join(", ")
        );
    }
    let unused: Vec<_> =
        columns.iter().map(String::as_str).filter(|column| !known.contains(column)).collect();
    if !unused.is_empty() {
        super::print::note(&format!("columns that are not used: {}", unused.join(", ")));
    }
    Ok(())
}

/// The file, what entries call it, and a bar that grows as it is read (on a terminal only).
fn open(path: &Path) -> Result<(Box<dyn Read>, String, ProgressBar)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), "standard input".to_owned(), ProgressBar::hidden()));
    }
    let sha256 = fields::sha256_of_file(path).map_err(|why| anyhow!(why))?;
    let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let bar = if io::stderr().is_terminal() {
        ProgressBar::new(file.metadata()?.len())
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}% {eta} left") {
        bar.set_style(style);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok((Box::new(bar.wrap_read(file)), format!("{name} (SHA-256 {sha256})"), bar))
}

/// Rows that wait to be handed over, and the texts they refer to.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    texts: Vec<String>,
    positions: HashMap<String, usize>,
    rejects: Vec<Reject>,
}

impl Batch {
    /// Take one row apart and keep it.
    fn take(&mut self, kind: Kind, line: u64, fields: &Fields, context: &mut Context) -> Result<(), String> {
        let row = match kind {
            Kind::Consents => {
                let (mut row, text) = fields::consent(line, fields, context)?;
                if let Some(text) = text {
                    let next = self.texts.len();
                    let position = *self.positions.entry(text.clone()).or_insert(next);
                    if position == next {
                        self.texts.push(text);
                    }
                    row.text = Some(position);
                }
                Row::Consent(row)
            }
            Kind::Customers => Row::Customer(fields::customer(line, fields, context)?),
            Kind::Published => Row::Published(fields::published(line, fields, context)?),
            Kind::Suppressions => Row::Suppression(fields::suppression(line, fields, context)?),
        };
        self.rows.push(row);
        Ok(())
    }
}

struct Intake<'a> {
    kind: Kind,
    link: &'a mut Link,
    defaults: Fields,
    context: Context,
    source: String,
    dry_run: bool,
    bar: ProgressBar,
    name: String,
    batch: Batch,
    total: Imported,
    rejected: u64,
    rows: u64,
}

impl Intake<'_> {
    fn read(&mut self, mut table: Table) -> Result<()> {
        while let Some(row) = table.next()? {
            self.rows += 1;
            let taken = row.fields.and_then(|mut fields| {
                for (column, value) in &self.defaults {
                    fields.entry(column.clone()).or_insert_with(|| value.clone());
                }
                self.batch.take(self.kind, row.line, &fields, &mut self.context)
            });
            if let Err(why) = taken {
                self.batch.rejects.push(Reject { line: row.line, why });
            }
            if self.batch.rows.len() >= BATCH || self.batch.rejects.len() >= BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Hand the batch over, and tell which of its rows were not taken.
    fn flush(&mut self) -> Result<()> {
        let Batch { rows, texts, mut rejects, .. } = std::mem::take(&mut self.batch);
        let (source, dry_run) = (self.source.clone(), self.dry_run);
        let import = admin::Import { source, from_file: true, dry_run, texts, rows };
        let answer = if import.rows.is_empty() {
            Ok(Answer::Imported(Imported::default()))
        } else {
            self.link.ask(Request::Import(import))
        };
        let result = match answer {
            Ok(Answer::Imported(imported)) => {
                self.total.added += imported.added;
                self.total.already += imported.already;
                rejects.extend(imported.rejected);
                self.notes(imported.notes);
                Ok(())
            }
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        };
        rejects.sort_by_key(|reject| reject.line);
        self.rejected += rejects.len() as u64;
        let name = &self.name;
        self.bar.suspend(|| {
            for Reject { line, why } in &rejects {
                super::print::note(&format!("{name}:{line}: {why}"));
            }
        });
        result
    }

    /// Each note once for the whole file; there are as many kinds of them as purposes in it.
    fn notes(&mut self, notes: Vec<String>) {
        const MAX_NOTES: usize = 100;
        for note in notes {
            if self.total.notes.len() < MAX_NOTES && !self.total.notes.contains(&note) {
                self.bar.suspend(|| super::print::note(&note));
                self.total.notes.push(note);
            }
        }
    }

    fn summary(&self, out: &mut Out) -> Result<()> {
        let Imported { added, already, .. } = self.total;
        let verb = if self.dry_run { "would be added" } else { "added" };
        out.line(format_args!(
            "{}: {added} {verb}, {already} already there, {} rejected, of {} rows in {}",
            self.kind.word(),
            self.rejected,
            self.rows,
            self.source
        ))
    }
}
