//! Rows of a file, one at a time: CSV with a header line, or JSON lines. Memory does not grow with the file.

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
mod tests {
    use super::*;

    /// The line of a row, and its fields by name.
    type Seen = (u64, Result<Vec<(String, String)>, String>);

    fn rows(mut table: Table) -> Vec<Seen> {
        let mut rows = Vec::new();
        while let Some(row) = table.next().unwrap() {
            rows.push((
                row.line,
                row.fields.map(|fields| fields.into_iter().collect()).map_err(|unread| unread.why),
            ));
        }
        rows
    }

    fn csv(bytes: &'static [u8]) -> Result<Table> {
        Table::csv(Box::new(bytes))
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn csv_with_mark_semicolons_quotes_and_windows_1252() {
        let table = csv(b"\xef\xbb\xbfAddress;Consent Source\r\n\"a@x.nl\"; caf\xe9 ;\r\n\r\nb@x.nl\r\n\"c\r\n@x.nl\";x\r\nd@x.nl;1;2").unwrap();
        assert_eq!(table.columns().unwrap(), ["address", "consent_source"]);
        assert_eq!(
            rows(table),
            [
                (2, Ok(vec![pair("address", "a@x.nl"), pair("consent_source", "café")])),
                (4, Ok(vec![pair("address", "b@x.nl")])),
                (5, Ok(vec![pair("address", "c\r\n@x.nl"), pair("consent_source", "x")])),
                (7, Err("L19: 3 fields, but the header line has 2 columns".to_owned())),
            ]
        );
    }

    #[test]
    fn json_lines_with_a_bad_one_between() {
        let table = Table::jsonl(Box::new(
            &b"{\"Address\":\"a@x.nl\",\"at\":null,\"opt_out_offered\":true}\n\n[1]\n{\"a\":[]}\n{\"a\":7}"[..],
        ));
        let rows = rows(table);
        assert_eq!(rows[0], (1, Ok(vec![pair("address", "a@x.nl"), pair("opt_out_offered", "true")])));
        assert!(rows[1].0 == 3 && rows[1].1.as_ref().unwrap_err().contains("not a JSON object"));
        assert!(rows[2].0 == 4 && rows[2].1.as_ref().unwrap_err().contains("list or an object"));
        assert_eq!(rows[3], (5, Ok(vec![pair("a", "7")])));
    }

    #[test]
    fn rows_are_found_again_by_their_line() {
        for end in ["\n", "\r\n"] {
            let lines =
                ["address,note", "a@x.nl,\"two\nlines \"\"here\"\"\"", "", "b@x.nl,5\" wide", "c@x.nl,"];
            let file = lines.join(end).into_bytes();
            let rows = rows(Table::csv(Box::new(io::Cursor::new(file))).unwrap());
            assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 5, 6], "{end:?}");
            assert_eq!(rows[0].1.as_ref().unwrap()[1], pair("note", "two\nlines \"here\""));
            assert_eq!(rows[1].1.as_ref().unwrap()[1], pair("note", "5\" wide"));
        }
    }

    #[test]
    fn l19_a_stray_quotation_mark_swallows_no_rows() {
        let read =
            |text: &str| rows(Table::csv(Box::new(io::Cursor::new(text.as_bytes().to_vec()))).unwrap());
        let taken = |text: &str| -> Vec<(u64, bool)> {
            read(text).iter().map(|(line, fields)| (*line, fields.is_ok())).collect()
        };
        let header = "Email,Name,UNSUB_TIME\n";
        let rest = "b@x.nl,Piet,2025\nc@x.nl,\"Kees\",2025\nd@x.nl,\"\",2025\ne@x.nl,Kees,2025\n";
        // However it goes on: the row with the mark is named, the others are rows.
        for first in
            ["a@x.nl,\"Jan,2024", "a@x.nl,\"Jan\" de Boer,2024", "\"a@x.nl,Jan,2024", "a@x.nl,Jan,\"2024"]
        {
            let found = taken(&format!("{header}{first}\n{rest}"));
            assert_eq!(found, [(2, false), (3, true), (4, true), (5, true), (6, true)], "{first}");
        }
        // The address may stand anywhere, and the separator may be another.
        let found = taken("Naam;Email\n\"Jan;a@x.nl\nPiet;b@x.nl\n\"Kees\";c@x.nl\n");
        assert_eq!(found, [(2, false), (3, true), (4, true)]);
        // At the end of the file, and within one line.
        assert_eq!(taken("Email,Name\na@x.nl,Jan\nb@x.nl,\"Piet"), [(2, true), (3, false)]);
        for text in ["Email\n\"a@x.nl\nb@x.nl\n", "Email\n\"a@x.nl\nb@x.nl\nc@x.nl\"\n"] {
            assert_eq!(taken(text)[..2], [(2, false), (3, true)], "one column");
        }
        let named = rows(csv(b"Email,First Name\na@x.nl,\"Jan\" x\n").unwrap());
        assert_eq!(
            named[0].1.as_ref().unwrap_err(),
            "L19: a quotation mark in \"first_name\" ends a field that goes on after it"
        );
        // What spreadsheets write is none: line breaks, separators and doubled quotes in a field, and a space after it.
        let note = "Email,Note\na@x.nl,\"Straat 1,\nbus 2; mail naar x@y.nl\n\"\"dag\"\"\"\nb@x.nl,\"x\" \nc@x.nl,5\"\n";
        assert_eq!(taken(note), [(2, true), (5, true), (6, true)]);
        assert_eq!(
            read(note)[0].1.as_ref().unwrap()[1],
            pair("note", "Straat 1,\nbus 2; mail naar x@y.nl\n\"dag\"")
        );
        // Of a note with a row in it the end is no row of its own.
        let found = taken("Email,Note\na@x.nl,\"hij schreef:\nb@x.nl, Piet\nc@x.nl, ook\"\nc@x.nl,\n");
        assert!(!found[0].1 && found.last() == Some(&(5, true)) && found.contains(&(4, false)), "{found:?}");
        // A header cannot take rows in, either.
        for file in [&b"Email,\"Name\na@x.nl,Jan\nb@x.nl,\"Piet\"\n"[..], b"Email,\"Name\" x\na@x.nl,Jan\n"] {
            assert!(csv(file).err().unwrap().to_string().contains("quotation mark"));
        }
        // A field without end is given up after a while, and what it swallowed is read.
        let endless = format!("Email,Note\na@x.nl,\"x\n{}b@x.nl\n", "regel\n".repeat(3_000));
        assert_eq!(taken(&endless).len(), 3_002);
    }

    #[test]
    fn headers_that_are_none() {
        assert!(csv(b"").is_err());
        assert!(csv(b"\r\na@x.nl\r\n").is_err());
        let binary = csv(b"address\x00\x01\n").err().unwrap();
        assert!(binary.to_string().contains("no text"), "{binary}");
        let old = csv(b"address,naam\ra@x.nl,A\rb@x.nl,B\r").err().unwrap();
        assert!(old.to_string().contains("CR only"), "{old}");
        let wide: Vec<u8> = (0..600).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",").into_bytes();
        assert!(Table::csv(Box::new(io::Cursor::new(wide))).is_err());
    }

    #[test]
    fn headers_as_spreadsheets_leave_them() {
        let fields = |bytes: &'static [u8]| rows(csv(bytes).unwrap()).pop().unwrap().1.unwrap();
        // Columns without a name, and one of the same name once more.
        let table = csv(b"Address,,Tag,tag,,\r\n").unwrap();
        assert_eq!(table.columns().unwrap(), ["address", "", "tag", "", "", ""]);
        assert_eq!(table.twice(), ["tag"]);
        let row = fields(b"Address,,Tag,tag,,\r\na@x.nl,1,2,3,4,5\r\n");
        assert_eq!(row, [pair("address", "a@x.nl"), pair("tag", "2")]);
        // A name with a line break and a separator in it.
        let row = fields(b"\xef\xbb\xbf\"Mag het?\r\n(ja, nee)\";address\r\nja;a@x.nl\r\n");
        assert_eq!(row[0], pair("address", "a@x.nl"));
        // A quote in the middle of a name opens nothing.
        let row = fields(b"address,5\" maat\r\na@x.nl,x\r\n");
        assert_eq!(row[0], pair("5\"_maat", "x"));
        // The separator is told on a line of its own.
        for said in [&b"sep=;\r\naddress;a,b,c\r\na@x.nl;1\r\n"[..], b"\"sep=;\"\naddress;a,b,c\na@x.nl;1\n"]
        {
            let table = rows(csv(said).unwrap());
            assert_eq!(table, [(3, Ok(vec![pair("a,b,c", "1"), pair("address", "a@x.nl")]))]);
        }
    }

    #[test]
    fn a_line_without_end_ends_the_file() {
        let endless = io::Cursor::new(b"address\na@x.nl\n".to_vec()).chain(io::repeat(b'x'));
        let mut table = Table::csv(Box::new(endless)).unwrap();
        let error = loop {
            match table.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the file has no end"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("line 3 is longer"), "{error}");
        assert!(Table::csv(Box::new(io::repeat(b'x'))).is_err());
    }
}
