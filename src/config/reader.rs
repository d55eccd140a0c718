//! Reading a TOML tree value by value, collecting what is wrong instead of stopping at it.
//!
//! A key is known because it was asked for: [`Section::finish`] names every key that nobody asked for,
//! with the nearest one that somebody did.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};
use super::quantity;

/// The file under reading, and what was found wrong so far.
pub(super) struct Doc<'d> {
    file: &'d Path,
    source: &'d str,
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// Lines with a syntax error: what else is wrong there follows from it.
    broken: RefCell<BTreeSet<usize>>,
    known: RefCell<BTreeSet<String>>,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Spot<T> {
    /// The value.
    pub value: T,
    /// Dotted key.
    pub key: String,
    /// Offset in the file.
    pub at: usize,
}

/// One table of the file; an absent one reads as empty.
pub(super) struct Section<'d> {
    doc: &'d Doc<'d>,
    path: String,
    at: usize,
    table: Option<&'d DeTable<'d>>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Doc<'d> {
    pub(super) fn new(file: &'d Path, source: &'d str) -> Self {
        Self {
            file,
            source,
            errors: RefCell::default(),
            warnings: RefCell::default(),
            broken: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// The whole file as a section.
    pub(super) fn root(&'d self, table: &'d DeTable<'d>) -> Section<'d> {
        Section { doc: self, path: String::new(), at: 0, table: Some(table), asked: RefCell::default() }
    }

    /// A syntax error, as the parser says it.
    pub(super) fn syntax(&self, error: &toml::de::Error) {
        let at = error.span().map_or(self.source.len(), |span| span.start);
        self.error("", at, format!("this is not TOML: {}", error.message()));
        self.broken.borrow_mut().insert(self.position(at).0);
    }

    pub(super) fn error(&self, key: &str, at: usize, message: impl Into<String>) {
        self.errors.borrow_mut().push(self.problem(key, at, message.into()));
    }

    pub(super) fn warn(&self, key: &str, at: usize, message: impl Into<String>) {
        self.warnings.borrow_mut().push(self.problem(key, at, message.into()));
    }

    /// Every key that was asked for, without the positions in lists.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    /// What was found, in the order of the file: errors, or else the warnings.
    pub(super) fn verdict(self) -> Result<Vec<Problem>, Problems> {
        let by_place = |problem: &Problem| (problem.line, problem.column);
        let broken = self.broken.into_inner();
        let mut errors = self.errors.into_inner();
        let mut warnings = self.warnings.into_inner();
        errors.retain(|problem| !broken.contains(&problem.line) || problem.key.is_empty());
        errors.sort_by_key(by_place);
        warnings.sort_by_key(by_place);
        if errors.is_empty() { Ok(warnings) } else { Err(Problems { errors, warnings }) }
    }

    fn problem(&self, key: &str, at: usize, message: String) -> Problem {
        let (line, column) = self.position(at);
        Problem { file: self.file.to_owned(), line, column, key: key.to_owned(), message }
    }

    /// Line and column, counting from 1, of an offset.
    fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.source[..at];
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.matches('\n').count(), 1 + before[line..].chars().count())
    }
}

impl<'d> Section<'d> {
    /// Whether the file has this section without anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_some_and(DeTable::is_empty)
    }

    /// The line it begins on, counting from 1.
    pub(super) fn line(&self) -> usize {
        self.doc.position(self.at).0
    }

    /// Whether the file has `key`, right or wrong.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// An error about `key`, at its value if it is there, else at the section.
    pub(super) fn error(&self, key: &'static str, message: impl Into<String>) {
        self.doc.error(&self.key(key), self.place(key), message);
    }

    /// A warning about `key`.
    pub(super) fn warn(&self, key: &'static str, message: impl Into<String>) {
        self.doc.warn(&self.key(key), self.place(key), message);
    }

    /// An error about this section as a whole.
    pub(super) fn error_here(&self, message: impl Into<String>) {
        self.doc.error(&self.path, self.at, message);
    }

    /// A warning about this section as a whole.
    pub(super) fn warn_here(&self, message: impl Into<String>) {
        self.doc.warn(&self.path, self.at, message);
    }

    /// An error about a value read earlier.
    pub(super) fn error_at<T>(&self, spot: &Spot<T>, message: impl Into<String>) {
        self.doc.error(&spot.key, spot.at, message);
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str) -> Option<Spot<String>> {
        let value = self.find(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(self.spot(key, value, text.to_string())),
            other => self.wrong_type(key, "a string", other),
        }
    }

    /// A string, if there is one; nothing is said of it.
    pub(super) fn peek(&self, key: &str) -> Option<String> {
        self.table?.get(key)?.get_ref().as_str().map(str::to_owned)
    }

    /// A string that must be there and not be blank.
    pub(super) fn required(&self, key: &'static str, right: &str) -> Option<Spot<String>> {
        if !self.has(key) {
            self.error(key, format!("is missing; {right}"));
            return None;
        }
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.error(key, format!("is empty; {right}"));
            return None;
        }
        Some(text)
    }

    /// A string that `parse` understands; its error says what would be right.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(&text.value).map_err(|message| self.error_at(&text, message)).ok()
    }

    /// A string or a list of strings; empty when absent.
    pub(super) fn texts(&self, key: &'static str) -> Vec<Spot<String>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::String(text) => vec![self.spot(key, value, text.to_string())],
            DeValue::Array(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    let key = format!("{}[{}]", self.key(key), at + 1);
                    let at = item.span().start;
                    match item.get_ref() {
                        DeValue::String(text) => texts.push(Spot { value: text.to_string(), key, at }),
                        other => {
                            self.doc.error(&key, at, format!("expected a string, found {}", kind(other)));
                        }
                    }
                }
                texts
            }
            other => self.wrong_type(key, "a string or a list of strings", other).unwrap_or_default(),
        }
    }

    /// A list of what `parse` understands; what it does not is an error each.
    pub(super) fn list<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let texts = self.texts(key);
        texts
            .iter()
            .filter_map(|text| parse(&text.value).map_err(|message| self.error_at(text, message)).ok())
            .collect()
    }

    /// One of `choices`.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.parsed(key, |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                format!("\"{text}\" is not one of {}{}", quoted(&names), meant(text, names.iter().copied()))
            })
        })
    }

    /// true or false.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.find(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => self.wrong_type(key, "true or false", other),
        }
    }

    /// A whole number within `range`.
    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.find(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(key, "a whole number", value.get_ref());
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let within = number.filter(|number| range.contains(number));
        if within.is_none() {
            let (from, to) = range.into_inner();
            self.error(key, format!("{} is out of range; {from} to {to}", integer.as_str()));
        }
        within
    }

    /// A size such as `"35 MiB"`, or a number of octets, within `range`.
    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        if let Some(DeValue::Integer(_)) = self.find(key).map(Spanned::get_ref) {
            return self.number(key, range);
        }
        self.parsed(key, |text| {
            let size = quantity::size(text).ok_or_else(|| {
                format!("\"{text}\" is not a size; write \"64 KiB\", \"35 MiB\", \"10 GiB\"")
            })?;
            if range.contains(&size) {
                return Ok(size);
            }
            let (from, to) = (quantity::show_size(*range.start()), quantity::show_size(*range.end()));
            Err(format!("{text} is out of range; {from} to {to}"))
        })
    }

    /// A duration such as `"30s"`, within `range`.
    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.parsed(key, |text| duration(text, &range))
    }

    /// A list of durations within `range`.
    pub(super) fn durations(&self, key: &'static str, range: RangeInclusive<Duration>) -> Vec<Duration> {
        self.list(key, |text| duration(text, &range))
    }

    /// The value of `key` as TOML wrote it, for the few that have more than one form.
    pub(super) fn raw(&self, key: &'static str) -> Option<&'d DeValue<'d>> {
        self.find(key).map(Spanned::get_ref)
    }

    /// A table; empty when absent.
    pub(super) fn section(&self, key: &'static str) -> Section<'d> {
        let found = self.find(key);
        let table = found.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => self.wrong_type(key, "a table", other),
        });
        let at = if table.is_some() { self.key_place(key) } else { self.at };
        Section { doc: self.doc, path: self.key(key), at, table, asked: RefCell::default() }
    }

    /// The tables of a list of tables; none when absent.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'d>> {
        let items = match self.find(key).map(Spanned::get_ref) {
            None => return Vec::new(),
            Some(DeValue::Array(items)) => items,
            Some(other) => {
                let right = format!("tables, each headed [[{}]]", self.key(key));
                return self.wrong_type(key, &right, other).unwrap_or_default();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{}]", self.key(key), index + 1);
            let at = item.span().start;
            match item.get_ref() {
                DeValue::Table(table) => sections.push(Section {
                    doc: self.doc,
                    path,
                    at,
                    table: Some(table),
                    asked: RefCell::default(),
                }),
                other => self.doc.error(&path, at, format!("expected a table, found {}", kind(other))),
            }
        }
        sections
    }

    /// Name the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flat_map(DeTable::iter) {
            let name = key.get_ref().as_ref();
            if !asked.contains(name) {
                let path =
                    if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
                let hint = meant(name, asked.iter().copied());
                let known = if hint.is_empty() {
                    let names: Vec<_> = asked.iter().copied().collect();
                    format!("; known here: {}", names.join(", "))
                } else {
                    hint
                };
                self.doc.error(&path, key.span().start, format!("unknown key{known}"));
            }
        }
    }

    fn find(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().insert(key);
        self.doc.known.borrow_mut().insert(without_positions(&self.key(key)));
        self.table?.get(key)
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where the value of `key` is; the section itself when it is absent.
    fn place(&self, key: &str) -> usize {
        self.table.and_then(|table| table.get(key)).map_or(self.at, |value| value.span().start)
    }

    /// Where `key` itself is.
    fn key_place(&self, key: &str) -> usize {
        self.table.and_then(|table| table.get_key_value(key)).map_or(self.at, |(key, _)| key.span().start)
    }

    fn spot<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, inner: T) -> Spot<T> {
        Spot { value: inner, key: self.key(key), at: value.span().start }
    }

    fn wrong_type<T>(&self, key: &'static str, right: &str, found: &DeValue<'_>) -> Option<T> {
        self.error(key, format!("expected {right}, found {}", kind(found)));
        None
    }
}

fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = quantity::duration(text)
        .ok_or_else(|| format!("\"{text}\" is not a duration; write \"30s\", \"5m\", \"1h\", \"5d\""))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (from, to) = (quantity::show_duration(*range.start()), quantity::show_duration(*range.end()));
    Err(format!("{text} is out of range; {from} to {to}"))
}

/// `; did you mean "x"?` for the nearest of `known`, or nothing when none is near.
pub(super) fn meant<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let folded = text.to_lowercase();
    let reach = 1 + folded.chars().count() / 4;
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&folded, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map_or_else(String::new, |(_, name)| format!("; did you mean \"{name}\"?"))
}

/// `"a", "b", "c"`.
pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn without_positions(path: &str) -> String {
    path.split('.').map(|part| part.split('[').next().unwrap_or(part)).collect::<Vec<_>>().join(".")
}
