//! Rows that were not taken: the first ones on standard error, all of them in a file, each with its line, field
//! and rule.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::admin;
use crate::cli::print::note;

/// Rows named on standard error; the file has all.
const SHOWN: u64 = 50;

/// One row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reject {
    /// Line in the file.
    pub line: u64,
    /// The column at fault, where one is.
    pub field: String,
    /// Why, beginning with the RULES number.
    pub why: String,
    /// The row as it was understood.
    pub row: String,
}

impl Reject {
    /// As the gateway judged it.
    pub(super) fn judged(reject: admin::Reject) -> Self {
        Self { line: reject.line, field: field_of(&reject.why), why: reject.why, row: String::new() }
    }
}

/// The RULES number that a reason begins with.
fn rule_of(why: &str) -> &str {
    match why.split_once(':') {
        Some((rule, _)) if rule.len() <= 3 && rule.starts_with(['L', 'P']) => rule,
        _ => "",
    }
}

/// The field that a reason names after its RULES number; else the one that its rule is about.
pub(super) fn field_of(why: &str) -> String {
    let rule = rule_of(why);
    let rest = why.strip_prefix(rule).unwrap_or(why).trim_start_matches([':', ' ']);
    let word = rest.split([':', ' ', ',']).next().unwrap_or_default();
    let known = [crate::cli::fields::CONSENT, crate::cli::fields::CUSTOMER, crate::cli::fields::PUBLISHED];
    if known.iter().any(|columns| columns.contains(&word)) {
        return word.to_owned();
    }
    match rule {
        "L17" => "address".to_owned(),
        "L1" => "at".to_owned(),
        _ => String::new(),
    }
}

/// Where they go.
pub(super) struct Rejects {
    /// The imported file, in messages.
    name: String,
    /// The file that is made at the first of them; `None`: they are only shown.
    path: Option<PathBuf>,
    writer: Option<csv::Writer<BufWriter<File>>>,
    count: u64,
}

impl Rejects {
    /// For `file`: into `path`, or beside it. A dry run makes a file only where it is asked to.
    pub(super) fn new(file: &Path, path: Option<&Path>, dry_run: bool) -> Self {
        let beside = || {
            let mut name = file.file_name()?.to_owned();
            name.push(".rejects.csv");
            Some(file.with_file_name(name))
        };
        let path = match path {
            Some(path) => Some(path.to_owned()),
            None if dry_run || file == Path::new("-") => None,
            None => beside(),
        };
        Self { name: file.display().to_string(), path, writer: None, count: 0 }
    }

    /// Take some, of one member.
    pub(super) fn take(&mut self, member: &str, rejects: &[Reject]) -> Result<()> {
        for reject in rejects {
            self.count += 1;
            if self.count <= SHOWN {
                let inside = if self.name.ends_with(member) { "" } else { member };
                let place = if inside.is_empty() { String::new() } else { format!(" {inside}") };
                note(&format!("{}{place}:{}: {}", self.name, reject.line, reject.why));
            } else if self.count == SHOWN + 1 {
                note("more rows were not taken; the file of rejects and the summary have them all");
            }
            self.write(member, reject)?;
        }
        Ok(())
    }

    fn write(&mut self, member: &str, reject: &Reject) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file =
                    File::create(path).with_context(|| format!("{} cannot be made", path.display()))?;
                let mut writer = csv::Writer::from_writer(BufWriter::new(file));
                writer.write_record(["file", "line", "field", "rule", "why", "row"])?;
                self.writer.insert(writer)
            }
        };
        let line = reject.line.to_string();
        let cells = [member, &line, &reject.field, rule_of(&reject.why), &reject.why, &reject.row];
        writer.write_record(cells.map(plain))?;
        Ok(())
    }

    /// The file, when there is one.
    pub(super) fn finish(self) -> Result<Option<PathBuf>> {
        let Some(mut writer) = self.writer else { return Ok(None) };
        writer.flush()?;
        Ok(self.path)
    }
}

/// A cell that no spreadsheet takes for a formula.
pub(in crate::cli) fn plain(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_its_rule_and_its_field() {
        for (why, rule, field) in [
            ("L17: \"x\": the address has no @domain", "L17", "address"),
            ("L2: at: \"soon\" is no time", "L2", "at"),
            ("L2: text, act, source missing; a consent needs", "L2", "text"),
            ("L1: the consent is dated 2099-01-01T00:00:00Z, which is in the future", "L1", "at"),
            ("L2: the box was ticked beforehand", "L2", ""),
            ("3 fields, but the header line has 2 columns", "", ""),
        ] {
            assert_eq!((rule_of(why), field_of(why).as_str()), (rule, field), "{why}");
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, shown) in
            [("=1+1", "'=1+1"), ("+31", "'+31"), ("@a", "'@a"), ("-1", "'-1"), ("a=b", "a=b"), ("", "")]
        {
            assert_eq!(plain(cell), shown);
        }
    }
}
