//! Reading a member of the file into batches.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::SyncSender;

use anyhow::Result;

use super::convert::{Facts, Reading};
use super::dates::Order;
use super::rejects::Reject;
use super::source::Member;
use super::{How, Job, Kind};
use crate::admin::{MAX_ROWS, Row};
use crate::cli::fields::{self, Context};
use crate::cli::table::{Fields, Table, Unread};
use crate::clock::{Clock as _, SystemClock};

/// Which facts of a file are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Suppressions and withdrawals.
    OptOuts,
    /// Everything else.
    Rest,
}

/// Rows that are handed over together, and what became of the rows read for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The file they stand in.
    pub member: String,
    pub rows: Vec<Row>,
    /// Consent texts; rows refer to them by position.
    pub texts: Vec<String>,
    pub faults: Vec<Reject>,
    /// Rows without anything to take in, by why.
    pub nothing: BTreeMap<&'static str, u64>,
    /// Rows read, each counted in one pass only.
    pub read: u64,
}

/// Reads one member in one pass.
pub(super) struct Reader<'a> {
    job: &'a Job,
    how: How,
    dates: Order,
    member: &'a Member,
    pass: Pass,
    batch: Batch,
    /// Positions of texts in the batch.
    positions: HashMap<String, usize>,
    context: Context,
}

/// Rows that one row of a file can become.
const MOST_OF_ONE: usize = 2;

impl<'a> Reader<'a> {
    pub(super) fn new(job: &'a Job, how: How, dates: Order, member: &'a Member, pass: Pass) -> Self {
        let context = Context {
            zone: job.zone.clone(),
            dates,
            folder: job.folder.clone(),
            files: HashMap::new(),
            now: SystemClock.now(),
        };
        let mut reader = Self {
            job,
            how,
            dates,
            member,
            pass,
            batch: Batch::default(),
            positions: HashMap::new(),
            context,
        };
        reader.begin();
        reader
    }

    /// Read to the end, sending batches; ends early when nobody takes them any more.
    pub(super) fn read(mut self, mut table: Table, batches: &SyncSender<Result<Batch>>) -> Result<()> {
        while let Some(row) = table.next()? {
            match row.fields {
                Ok(fields) => self.row(row.line, fields),
                Err(Unread { field, why, row: text }) => {
                    self.fault(Reject { line: row.line, field, why, row: text });
                }
            }
            if self.pass == Pass::Rest {
                self.batch.read += 1;
            }
            let full = self.batch.rows.len() + MOST_OF_ONE > MAX_ROWS || self.batch.faults.len() >= MAX_ROWS;
            if full && batches.send(Ok(self.take())).is_err() {
                return Ok(());
            }
        }
        let _ = batches.send(Ok(self.take()));
        Ok(())
    }

    fn begin(&mut self) {
        self.batch = Batch { member: self.member.name.clone(), ..Batch::default() };
        self.positions.clear();
        if let (How::Tool(_), Some(text)) = (self.how, &self.job.text) {
            self.batch.texts.push(text.clone());
        }
    }

    fn take(&mut self) -> Batch {
        let batch = std::mem::take(&mut self.batch);
        self.begin();
        batch
    }

    fn row(&mut self, line: u64, fields: Fields) {
        match self.how {
            How::Own(kind) => self.own(kind, line, fields),
            How::Tool(form) => {
                let reading = Reading {
                    form,
                    part: self.member.part,
                    word: &self.job.word,
                    zone: &self.job.zone,
                    dates: self.dates,
                    maps: &self.job.maps,
                };
                match reading.facts(line, &fields) {
                    Ok(Facts::Out(row)) => self.opt_out(Row::Suppression(row)),
                    Ok(Facts::In(grant, confirm)) => {
                        self.rest(Row::Consent(*grant));
                        confirm.into_iter().for_each(|confirm| self.rest(Row::Consent(*confirm)));
                    }
                    Ok(Facts::Bought(row)) => self.rest(Row::Customer(*row)),
                    Ok(Facts::Dead(row)) => self.rest(Row::Mailbox(row)),
                    Ok(Facts::Nothing(why)) if self.pass == Pass::Rest => {
                        *self.batch.nothing.entry(why).or_default() += 1;
                    }
                    Ok(Facts::Nothing(_)) => {}
                    Err(fault) => {
                        let row = shown(&fields);
                        self.fault(Reject { line, field: fault.field, why: fault.why, row });
                    }
                }
            }
        }
    }

    /// A row with our own columns.
    fn own(&mut self, kind: Kind, line: u64, fields: Fields) {
        let mut fields: Fields = fields
            .into_iter()
            .map(|(column, value)| match self.job.maps.get(&column) {
                Some(ours) => (ours.clone(), value),
                None => (column, value),
            })
            .collect();
        for (column, value) in &self.job.defaults {
            let stands = |name: &str| fields.contains_key(name);
            // One text is meant: the row's own goes before that of the whole file.
            let otherwise = column == "text" && (stands("text_file") || stands("text_sha256"));
            if !otherwise {
                fields.entry(column.clone()).or_insert_with(|| value.clone());
            }
        }
        let is_out = match kind {
            Kind::Suppressions => true,
            Kind::Consents => fields.get("kind").is_some_and(|kind| kind.eq_ignore_ascii_case("withdraw")),
            Kind::Customers | Kind::Published => false,
        };
        if is_out != (self.pass == Pass::OptOuts) {
            return;
        }
        match self.taken_apart(kind, line, &fields) {
            Ok(row) => self.batch.rows.push(row),
            Err(why) => {
                let row = shown(&fields);
                self.batch.faults.push(Reject { field: rejects_field(&why), line, why, row });
            }
        }
    }

    fn taken_apart(&mut self, kind: Kind, line: u64, fields: &Fields) -> Result<Row, String> {
        let context = &mut self.context;
        Ok(match kind {
            Kind::Consents => {
                let (mut row, text) = fields::consent(line, fields, context)?;
                if let Some(text) = text {
                    let next = self.batch.texts.len();
                    let position = *self.positions.entry(text.clone()).or_insert(next);
                    if position == next {
                        self.batch.texts.push(text);
                    }
                    row.text = Some(position);
                }
                Row::Consent(row)
            }
            Kind::Customers => Row::Customer(fields::customer(line, fields, context)?),
            Kind::Published => Row::Published(fields::published(line, fields, context)?),
            Kind::Suppressions => Row::Suppression(fields::suppression(line, fields, context)?),
        })
    }

    fn opt_out(&mut self, row: Row) {
        if self.pass == Pass::OptOuts {
            self.batch.rows.push(row);
        }
    }

    fn rest(&mut self, row: Row) {
        if self.pass == Pass::Rest {
            self.batch.rows.push(row);
        }
    }

    /// What cannot be read is told once, in the pass that every row is counted in.
    fn fault(&mut self, fault: Reject) {
        if self.pass == Pass::Rest {
            self.batch.faults.push(fault);
        }
    }
}

fn rejects_field(why: &str) -> String {
    super::rejects::field_of(why)
}

/// A row as it was understood, for the file of those that were not taken.
fn shown(fields: &Fields) -> String {
    const MAX: usize = 4_000;
    let mut shown = String::new();
    for (column, value) in fields {
        if shown.len() + column.len() + value.len() > MAX {
            shown.push_str(" …");
            break;
        }
        if !shown.is_empty() {
            shown.push_str("; ");
        }
        shown.push_str(column);
        shown.push('=');
        shown.push_str(value);
    }
    shown
}
