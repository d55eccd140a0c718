//! Files as spreadsheets and tools leave them.

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
        let lines = ["address,note", "a@x.nl,\"two\nlines \"\"here\"\"\"", "", "b@x.nl,5\" wide", "c@x.nl,"];
        let file = lines.join(end).into_bytes();
        let rows = rows(Table::csv(Box::new(io::Cursor::new(file))).unwrap());
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 5, 6], "{end:?}");
        assert_eq!(rows[0].1.as_ref().unwrap()[1], pair("note", "two\nlines \"here\""));
        assert_eq!(rows[1].1.as_ref().unwrap()[1], pair("note", "5\" wide"));
    }
}

#[test]
fn l19_a_stray_quotation_mark_swallows_no_rows() {
    let read = |text: &str| rows(Table::csv(Box::new(io::Cursor::new(text.as_bytes().to_vec()))).unwrap());
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
    let note =
        "Email,Note\na@x.nl,\"Straat 1,\nbus 2; mail naar x@y.nl\n\"\"dag\"\"\"\nb@x.nl,\"x\" \nc@x.nl,5\"\n";
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
    for said in [&b"sep=;\r\naddress;a,b,c\r\na@x.nl;1\r\n"[..], b"\"sep=;\"\naddress;a,b,c\na@x.nl;1\n"] {
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
