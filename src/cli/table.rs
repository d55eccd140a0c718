//! Rows of a file, one at a time: CSV with a header line, or JSON lines. Memory does not grow with the file.

// Long because the header, the records and the stray quotes of a file are read by one machine, line by line.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read};

use anyhow::{Context as _, Result, bail};
use encoding_rs::WINDOWS_1252;

/// Longest line of a file, in octets.
const MAX_LINE: usize = 1 << 20;
/// Longest row with line breaks in its fields, in octets and in lines: what is longer was opened by a stray quote.
const MAX_QUOTED: usize = 256 << 10;
const MAX_QUOTED_LINES: usize = 2_000;
/// Lines below a stray quote among which the end of what it opened is looked for.
const DOUBT: usize = 100;
/// Characters of a line that is no row which are shown.
const MAX_SHOWN: usize = 4_000;
/// Most columns.
const MAX_COLUMNS: usize = 500;
/// What may stand between fields; of those that are as frequent, the last.
const SEPARATORS: [u8; 4] = [b'|', b'\t', b';', b','];

/// The fields of one row by column; empty ones are left out.
pub(super) type Fields = BTreeMap<String, String>;

/// One row, or why its line is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Line in the file, counting from 1.
    pub(super) line: u64,
    /// Its fields.
    pub(super) fields: Result<Fields, Unread>,
}

/// Why a line is no row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unread {
    /// The column at fault, where one is.
    pub(super) field: String,
    /// One line, beginning with the RULES number where one applies.
    pub(super) why: String,
    /// The line as it stands, where that helps to find it.
    pub(super) row: String,
}

impl From<String> for Unread {
    fn from(why: String) -> Self {
        Self { why, ..Self::default() }
    }
}

type Source = BufReader<LineBound<Box<dyn Read>>>;

/// A file of rows.
pub(super) enum Table {
    /// Separated by commas, semicolons, tabs or bars.
    Csv {
        /// Column names: lower case, `_` for spaces and hyphens. One without a name, or with one that stood before, is
        /// empty, and what stands below it is not read.
        columns: Vec<String>,
        /// Names that stood there more than once.
        twice: Vec<String>,
        /// Takes records apart.
        splitter: Box<Splitter>,
        /// The rest of the file.
        lines: Lines,
    },
    /// One object per line.
    Jsonl {
        /// The rest of the file.
        reader: Source,
        /// Lines read.
        line: u64,
    },
}

impl Table {
    /// CSV. The separator is found in the header line, or in a line `sep=;` before it, as spreadsheets write it; a byte
    /// order mark is skipped.
    pub(super) fn csv(input: Box<dyn Read>) -> Result<Self> {
        let mut reader = BufReader::new(LineBound::new(input));
        let mut line = 0;
        let mut header = read_header(&mut reader, &mut line)?;
        let said = separator_said(&header);
        if said.is_some() {
            header = read_header(&mut reader, &mut line)?;
        }
        if header.trim().is_empty() {
            bail!("the file has no header line with column names");
        }
        let separator = said.unwrap_or_else(|| separator_of(&header));
        let mut splitter = Box::new(Splitter::new(separator));
        let mut columns: Vec<String> =
            splitter.split(header.as_bytes()).map(|name| column(&text(name))).collect();
        if columns.len() > MAX_COLUMNS {
            bail!("the header line has {} columns; at most {MAX_COLUMNS}", columns.len());
        }
        if header.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            bail!("the header line has characters in it that are no text; is this the right file?");
        }
        if bare(&header).trim_ascii_end().contains(&b'\r') {
            bail!(
                "the lines of the file end with CR only, as old spreadsheets wrote them; save it as CSV (UTF-8) anew"
            );
        }
        let stray = Quotes::default().read(header.as_bytes(), separator).is_err();
        if stray || header.lines().skip(1).any(|line| !addresses(line.as_bytes(), separator).is_empty()) {
            bail!(
                "the header line has a quotation mark that does not end its name, and takes rows for a part of it"
            );
        }
        let mut twice = Vec::new();
        for at in 1..columns.len() {
            if columns[..at].contains(&columns[at]) {
                let name = std::mem::take(&mut columns[at]);
                if !name.is_empty() && !twice.contains(&name) {
                    twice.push(name);
                }
            }
        }
        let lines = Lines { reader, ahead: VecDeque::new(), doubt: 0, line };
        Ok(Self::Csv { columns, twice, splitter, lines })
    }

    /// JSON lines.
    pub(super) fn jsonl(input: Box<dyn Read>) -> Self {
        Self::Jsonl { reader: BufReader::new(LineBound::new(input)), line: 0 }
    }

    /// The columns, where the file names them once.
    pub(super) fn columns(&self) -> Option<&[String]> {
        match self {
            Self::Csv { columns, .. } => Some(columns),
            Self::Jsonl { .. } => None,
        }
    }

    /// Columns whose name stands there more than once: only the first of each is read.
    pub(super) fn twice(&self) -> &[String] {
        match self {
            Self::Csv { twice, .. } => twice,
            Self::Jsonl { .. } => &[],
        }
    }

    /// The next row; an error ends the file.
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        match self {
            Self::Csv { columns, splitter, lines, .. } => loop {
                let begins = lines.line + 1;
                let (record, quotes) = read_record(lines, splitter.separator, columns.len())?;
                if record.is_empty() {
                    return Ok(None);
                }
                if !record.trim_ascii().is_empty() {
                    let fields = match quotes {
                        Ok(()) => fields_of(columns, splitter.split(&record)),
                        Err(stray) => Err(stray.unread(columns, &record)),
                    };
                    return Ok(Some(Row { line: begins, fields }));
                }
            },
            Self::Jsonl { reader, line } => loop {
                let mut bytes = Vec::new();
                if reader.read_until(b'\n', &mut bytes)? == 0 {
                    return Ok(None);
                }
                *line += 1;
                let bytes = unmarked(&bytes);
                if !bytes.trim_ascii().is_empty() {
                    return Ok(Some(Row { line: *line, fields: fields_in(bytes) }));
                }
            },
        }
    }
}

/// The header line; a name in quotes may have line breaks in it.
fn read_header(reader: &mut Source, line: &mut u64) -> Result<String> {
    let (mut header, mut place) = (Vec::new(), Place::FieldStart);
    loop {
        let before = header.len();
        let read = reader.read_until(b'\n', &mut header).context("the header line cannot be read")?;
        *line += u64::from(read > 0);
        let fresh = if before == 0 { unmarked(&header) } else { &header[before..] };
        place = fresh.iter().fold(place, |place, byte| place.in_header(*byte));
        if read == 0 || place != Place::Quoted {
            break;
        }
        if header.len() > MAX_LINE {
            bail!("the header line opens a quote and does not close it within {MAX_LINE} octets");
        }
    }
    Ok(text(unmarked(&header)))
}

/// Without a byte order mark.
fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The separator that a line before the header names: `sep=;`.
fn separator_said(line: &str) -> Option<u8> {
    let said = line.trim_end_matches(['\r', '\n']).trim_matches('"');
    let said = said.strip_prefix("sep=").or_else(|| said.strip_prefix("SEP="))?;
    SEPARATORS.into_iter().find(|known| said.as_bytes() == [*known])
}

/// The separator that a header line has most of, outside quotes.
fn separator_of(header: &str) -> u8 {
    let bare = bare(header);
    let count = |separator: &u8| bare.iter().filter(|byte| *byte == separator).count();
    SEPARATORS.into_iter().max_by_key(count).unwrap_or(b',')
}

/// What of a header line stands outside quotes.
fn bare(header: &str) -> Vec<u8> {
    let mut place = Place::FieldStart;
    let is_bare = |byte: &u8| {
        place = place.in_header(*byte);
        place != Place::Quoted
    };
    header.bytes().filter(is_bare).collect()
}

/// Lines of a file, of which some may be read again: those that a stray quotation mark had swallowed.
pub(super) struct Lines {
    reader: Source,
    /// Lines that were read ahead.
    ahead: VecDeque<Vec<u8>>,
    /// How many of the next ones may belong to a field that a line before them opened in vain.
    doubt: usize,
    /// Lines that were handed out.
    line: u64,
}

impl Lines {
    /// The next line with its end; empty at the end of the file.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let line = match self.ahead.pop_front() {
            Some(line) => line,
            None => {
                let mut line = Vec::new();
                self.reader.read_until(b'\n', &mut line)?;
                line
            }
        };
        self.line += u64::from(!line.is_empty());
        Ok(line)
    }

    /// Hand these out again, which a stray quote had swallowed.
    fn again(&mut self, lines: Vec<Vec<u8>>) {
        self.line -= lines.len() as u64;
        self.doubt = if lines.is_empty() { self.doubt } else { DOUBT };
        for line in lines.into_iter().rev() {
            self.ahead.push_front(line);
        }
    }
}

/// One record: a line, or several when quotes hold line breaks. Empty at the end of the file.
///
/// Done here because the csv reader cannot say on which line a record begins (it counts a line when it reads
/// on past it), and a row that is refused must be found again; and because it takes a stray quotation mark for the
/// beginning of a field that goes on to the next one, rows and all. Then only the line with the mark is no row, and
/// reading goes on with the line below it.
fn read_record(lines: &mut Lines, separator: u8, columns: usize) -> Result<(Vec<u8>, Result<(), Stray>)> {
    let first = lines.next()?;
    let (mut record, mut more) = (first.clone(), Vec::new());
    let mut quotes = Quotes::default();
    let mut fault = quotes.read(&first, separator).err();
    let is_odd = first.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    // The end of a field that another line opened in vain.
    let is_rest = lines.doubt > 0 && is_odd && quotes.place != Place::Quoted;
    lines.doubt = if is_rest { 0 } else { lines.doubt.saturating_sub(1) };
    if is_rest && fault.is_none() {
        fault = Some(Stray { field: quotes.field, why: "belongs to a field that began on a line before" });
    }
    let homes = addresses(&first, separator);
    while fault.is_none() && quotes.place == Place::Quoted {
        let line = lines.next()?;
        let too_long = record.len() + line.len() > MAX_QUOTED || more.len() >= MAX_QUOTED_LINES;
        if line.is_empty() || too_long {
            fault = Some(Stray { field: quotes.field, why: "opens a field that does not end" });
        } else if looks_like_a_row(&line, separator, columns, &homes) {
            fault = Some(Stray { field: quotes.field, why: "opens a field that goes on over further rows" });
        } else {
            fault = quotes.read(&line, separator).err();
            record.extend_from_slice(&line);
        }
        if !line.is_empty() {
            more.push(line);
        }
    }
    match fault {
        None => Ok((record, Ok(()))),
        Some(stray) => {
            lines.again(more);
            Ok((first, Err(stray)))
        }
    }
}

/// A quotation mark that is in no place where one belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stray {
    /// The field, counting from 0.
    field: usize,
    /// What it does.
    why: &'static str,
}

/// Reads the quotes of a record line by line.
#[derive(Debug)]
struct Quotes {
    place: Place,
    /// The field that is being read, counting from 0.
    field: usize,
}

impl Stray {
    fn unread(self, columns: &[String], line: &[u8]) -> Unread {
        let field = columns.get(self.field).cloned().unwrap_or_default();
        let named =
            if field.is_empty() { format!("field {}", self.field + 1) } else { format!("\"{field}\"") };
        let why = format!("L19: a quotation mark in {named} {}", self.why);
        let row = text(line).trim_end().chars().take(MAX_SHOWN).collect();
        Unread { field, why, row }
    }
}

impl Default for Quotes {
    fn default() -> Self {
        Self { place: Place::FieldStart, field: 0 }
    }
}

impl Quotes {
    /// Read one line. The error is a quote that ends a field which then goes on; white space after it is none.
    fn read(&mut self, line: &[u8], separator: u8) -> Result<(), Stray> {
        for byte in line {
            if self.place == Place::Quote
                && !matches!(*byte, b'"' | b' ' | b'\t' | b'\r' | b'\n')
                && *byte != separator
            {
                return Err(Stray { field: self.field, why: "ends a field that goes on after it" });
            }
            // White space after the end of a field, up to the separator, leaves it ended.
            let is_space = matches!(*byte, b' ' | b'\t') && *byte != separator;
            if self.place == Place::Quote && is_space {
                continue;
            }
            self.place = self.place.after(*byte, separator);
            self.field += usize::from(self.place == Place::FieldStart);
        }
        Ok(())
    }
}

/// Which fields of a line look like an address, whatever its quotes say.
fn addresses(line: &[u8], separator: u8) -> Vec<usize> {
    let bare = |field: &[u8]| -> String {
        String::from_utf8_lossy(field).trim_matches(|c: char| c.is_whitespace() || c == '"').to_owned()
    };
    let looks_like_one = |text: &str| {
        text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && domain.contains('.')
                && !domain.contains('@')
                && !text.contains([' ', '<', ':'])
        })
    };
    let fields = line.split(|byte| *byte == separator).enumerate();
    fields.filter(|(_, field)| looks_like_one(&bare(field))).map(|(at, _)| at).collect()
}

/// Whether a line within a quoted field is a row like the one that the field began on: it has an address where that one
/// has its own, at `homes`, and more than the address if the rows do. Where that one shows no address, any will do.
fn looks_like_a_row(line: &[u8], separator: u8, columns: usize, homes: &[usize]) -> bool {
    let separators = line.iter().filter(|byte| **byte == separator).count();
    let found = addresses(line, separator);
    (separators > 0 || columns == 1) && found.iter().any(|at| homes.is_empty() || homes.contains(at))
}

/// Where in a record a reader is, as far as quotes go (RFC 4180).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A quote here opens a quoted field.
    FieldStart,
    /// A quote here is an ordinary character.
    Plain,
    /// Line breaks belong to the field.
    Quoted,
    /// After a quote in a quoted field: its end, or half of a doubled one.
    Quote,
}

impl Place {
    fn after(self, byte: u8, separator: u8) -> Self {
        match (self, byte) {
            (Self::FieldStart | Self::Quote, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Quoted, _) => Self::Quoted,
            (_, byte) if byte == separator => Self::FieldStart,
            _ => Self::Plain,
        }
    }

    /// The same, where it is not known yet which separator it is.
    fn in_header(self, byte: u8) -> Self {
        self.after(byte, if SEPARATORS.contains(&byte) { byte } else { b',' })
    }
}

/// Takes one record after another apart. One for a whole file: to make a [`csv_core::Reader`] costs more than to read
/// many rows with it.
pub(super) struct Splitter {
    separator: u8,
    reader: csv_core::Reader,
    /// The fields of the last record, one behind the other.
    fields: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Splitter {
    fn new(separator: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(separator).build();
        Self { separator, reader, fields: Vec::new(), ends: Vec::new() }
    }

    /// The fields of one record.
    fn split(&mut self, record: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
        use csv_core::ReadRecordResult as Read;
        self.reader.reset();
        let (mut rest, mut written, mut ended) = (record, 0, 0);
        loop {
            let (fields, ends) = (&mut self.fields[written..], &mut self.ends[ended..]);
            // Once `rest` is empty, this says that the record ends.
            let (read, taken, more, ends) = self.reader.read_record(rest, fields, ends);
            rest = &rest[taken..];
            written += more;
            ended += ends;
            match read {
                Read::InputEmpty => {}
                Read::OutputFull => self.fields.resize(written + record.len() + 1, 0),
                Read::OutputEndsFull => self.ends.resize(ended * 2 + 16, 0),
                Read::Record | Read::End => break,
            }
        }
        let (fields, ends) = (&self.fields, &self.ends[..ended]);
        let begins = |at: usize| at.checked_sub(1).map_or(0, |before| ends[before]);
        ends.iter().enumerate().map(move |(at, end)| &fields[begins(at)..*end])
    }
}

fn fields_of<'r>(
    columns: &[String],
    record: impl ExactSizeIterator<Item = &'r [u8]>,
) -> Result<Fields, Unread> {
    let (found, mut fields, mut surplus) = (record.len(), Fields::new(), false);
    for (at, field) in record.enumerate() {
        match columns.get(at) {
            Some(column) if column.is_empty() => {}
            Some(column) => {
                let value = text(field);
                let value = value.trim();
                if !value.is_empty() {
                    fields.insert(column.clone(), value.to_owned());
                }
            }
            None => surplus |= !field.is_empty(),
        }
    }
    if surplus {
        let why = format!("L19: {found} fields, but the header line has {} columns", columns.len());
        return Err(why.into());
    }
    Ok(fields)
}

fn fields_in(bytes: &[u8]) -> Result<Fields, Unread> {
    use serde_json::{Map, Value};
    let object: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("not a JSON object: {error}"))?;
    let mut fields = Fields::new();
    for (name, value) in object {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text.trim().to_owned(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("the field \"{name}\" is a list or an object; expected a text").into());
            }
        };
        if !value.is_empty() {
            fields.insert(column(&name), value);
        }
    }
    Ok(fields)
}

/// A column as rows know it: lower case, `_` for spaces and hyphens.
pub(super) fn column(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// UTF-8, or else windows-1252, which can be read in any case.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// Ends a file at a line that is too long, so that no reader above it has to hold one.
#[derive(Debug)]
pub(super) struct LineBound<R> {
    input: R,
    line: u64,
    length: usize,
}

impl<R: Read> LineBound<R> {
    fn new(input: R) -> Self {
        Self { input, line: 1, length: 0 }
    }
}

impl<R: Read> Read for LineBound<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        for part in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            self.length += part.len();
            if self.length > MAX_LINE {
                let why =
                    format!("line {} is longer than {MAX_LINE} octets; is this the right file?", self.line);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            if part.ends_with(b"\n") {
                self.line += 1;
                self.length = 0;
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
