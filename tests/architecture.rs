//! The rules of the house, read off the source (docs/ARCHITECTURE.md has the map).
//!
//! A room is a directory or a file directly below `src/`. The test reads the code without its comments,
//! texts and `#[cfg(test)]` parts, and holds that
//!
//! * a room imports only from a lower storey, or along one of [`ARROWS`];
//! * storeys 0 to 2 name no sockets, no files, no redb; and only `clock` names the system clock there;
//! * nobody but `app`, `cli` and `main` imports `store` or `config`;
//! * `anyhow` is used in storey 5 only;
//! * nobody but `app`, `cli` and `main` prints, and nobody makes a queue without a bound;
//! * every file of a room begins its room with `//!`, and a file over 550 lines says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room with its storey.
const ROOMS: &[(&str, u8)] = &[
    ("mail", 0),
    ("clock", 0),
    ("secret", 0),
    ("metrics", 0),
    ("shutdown", 0),
    ("smtp", 1),
    ("message", 1),
    ("consent", 2),
    ("suppression", 2),
    ("policy", 2),
    ("ledger", 2),
    ("limits", 2),
    ("token", 2),
    ("net", 3),
    ("relay", 3),
    ("notify", 3),
    ("store", 3),
    ("gateway", 4),
    ("submission", 4),
    ("unsubscribe", 4),
    ("subscribe", 4),
    ("admin", 4),
    ("api", 4),
    ("config", 5),
    ("telemetry", 5),
    ("cli", 5),
    ("app", 5),
    ("main", 5),
];

/// Who may import from whom on the same storey.
const ARROWS: &[(&str, &[&str])] = &[
    ("mail", &["secret"]),
    ("suppression", &["consent"]),
    ("policy", &["consent", "suppression"]),
    ("ledger", &["policy", "consent", "suppression"]),
    ("relay", &["net"]),
    ("notify", &["net"]),
    ("store", &["relay"]),
    ("submission", &["gateway"]),
    ("subscribe", &["unsubscribe"]),
    ("api", &["admin", "submission"]),
    ("cli", &["app", "config", "telemetry"]),
    ("app", &["cli", "config", "telemetry"]),
    ("main", &["app", "cli", "config", "telemetry"]),
];

/// Rooms that wire the others together.
const DOORS: &[&str] = &["app", "cli", "main"];

/// Names of the outside world: not for storeys 0 to 2.
const OUTSIDE: &[&str] = &[
    "tokio::net",
    "tokio::fs",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "redb::",
];

/// The system clock: not for storeys 0 to 2, but for `clock` itself.
const SYSTEM_CLOCK: &[&str] = &["SystemTime", "Instant::now", "Timestamp::now", "Zoned::now"];

/// What grows without a bound (promise 10).
const UNBOUNDED: &[&str] = &["unbounded_channel"];

/// Macros that write to the terminal.
const PRINTS: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!"];

/// Lines above which a file has to say why it is not two.
const LONG: usize = 550;

#[test]
fn the_house_stands_as_drawn() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = source_files(&source);
    assert!(files.len() > 30, "the source was not found below {}", source.display());
    let mut faults = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let inside = path.strip_prefix(&source).unwrap();
        faults.extend(inspect(inside, &text));
    }
    assert!(faults.is_empty(), "{} walls are broken:\n{}", faults.len(), faults.join("\n"));
}

/// Every room of the table is there, and no other.
#[test]
fn the_table_knows_every_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let there: BTreeSet<String> = fs::read_dir(&source)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|room| room != "lib")
        .collect();
    let known: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(there, known);
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// All that is wrong with the file at `inside` (below `src/`).
fn inspect(inside: &Path, text: &str) -> Vec<String> {
    let file = inside.display();
    let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
    let room = parts[0].trim_end_matches(".rs");
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LONG && !text.contains("// Long because") {
        faults.push(format!("{file}: {lines} lines, and no comment beginning `// Long because`"));
    }
    let begins_room = parts.len() == 1 || parts[1..] == ["mod.rs"];
    if begins_room && !text.starts_with("//!") {
        faults.push(format!("{file}: does not begin with `//!`"));
    }
    if room == "lib" {
        return faults;
    }
    let Some(storey) = storey(room) else {
        faults.push(format!("{file}: the room {room} is not in the table"));
        return faults;
    };
    if parts.last() == Some(&"tests.rs") {
        return faults;
    }
    let code = without_tests(&code_only(text));
    for import in imports(&code, &module_path(&parts)) {
        if let Some(fault) = broken_wall(room, storey, &import) {
            faults.push(format!("{file}: {fault}"));
        }
    }
    faults.extend(forbidden_names(room, storey, &code).into_iter().map(|fault| format!("{file}: {fault}")));
    faults
}

fn storey(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, storey)| *storey)
}

fn broken_wall(room: &str, at: u8, import: &str) -> Option<String> {
    if import == room {
        return None;
    }
    let Some(below) = storey(import) else {
        return Some(format!("imports crate::{import}, which is no room"));
    };
    if matches!(import, "store" | "config") && !DOORS.contains(&room) {
        return Some(format!("imports {import}; only {} may", DOORS.join(", ")));
    }
    let arrow = ARROWS.iter().any(|(from, to)| *from == room && to.contains(&import));
    if below < at || arrow {
        return None;
    }
    Some(format!("{room} (storey {at}) imports {import} (storey {below}), and no arrow leads there"))
}

fn forbidden_names(room: &str, storey: u8, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut forbid = |names: &[&str], why: &str| {
        for name in names {
            if let Some(line) = line_of(code, name) {
                faults.push(format!("line {line}: {name}: {why}"));
            }
        }
    };
    if storey <= 2 {
        forbid(OUTSIDE, "storeys 0 to 2 have no sockets, files or redb");
        if room != "clock" {
            forbid(SYSTEM_CLOCK, "storeys 0 to 2 are handed the time");
        }
    }
    forbid(UNBOUNDED, "every queue has a bound");
    if storey < 5 {
        forbid(&["anyhow"], "anyhow is for storey 5; errors here have names");
    }
    if !DOORS.contains(&room) {
        forbid(PRINTS, "only the doors print; everybody else logs");
    }
    faults
}

/// The line where `name` stands as a name of its own, not as the end of a longer one.
fn line_of(code: &str, name: &str) -> Option<usize> {
    code.match_indices(name)
        .find(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, _)| code[..at].matches('\n').count() + 1)
}

/// `["policy", "facts.rs"]` → `["policy", "facts"]`; a `mod.rs` is its folder.
fn module_path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| part.trim_end_matches(".rs").to_owned()).filter(|part| part != "mod").collect()
}

/// The rooms that `code` names by `crate::`, or by enough `super::` to leave its own.
fn imports(code: &str, module: &[String]) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let packed: String = squeeze(code);
    for (at, _) in packed.match_indices("crate::") {
        if packed[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        rooms.extend(heads(&packed[at + "crate::".len()..]));
    }
    for (at, _) in packed.match_indices("super::") {
        if packed[..at].ends_with("super::") || packed[..at].ends_with(|c: char| c.is_alphanumeric()) {
            continue;
        }
        let mut rest = &packed[at..];
        let mut climbed = 0;
        while let Some(further) = rest.strip_prefix("super::") {
            rest = further;
            climbed += 1;
        }
        if climbed == module.len() {
            rooms.extend(heads(rest));
        } else if climbed > module.len() {
            rooms.insert("super".to_owned());
        }
    }
    rooms
}

/// The first names of what follows a `crate::`: one, or all those of a `{…}` group.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut heads, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// `code` without the white space around `::`, braces and commas, so that paths over several lines read as
/// one.
fn squeeze(code: &str) -> String {
    let mut packed = String::with_capacity(code.len());
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_whitespace() {
            packed.push(c);
            continue;
        }
        while chars.next_if(|next| next.is_whitespace()).is_some() {}
        let tight = |c: char| matches!(c, ':' | '{' | '}' | ',');
        if !packed.ends_with(tight) && chars.peek().is_none_or(|next| !tight(*next)) {
            packed.push(' ');
        }
    }
    packed
}

/// `text` with comments, strings and characters blanked out; lines stay where they are.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal_or_comment(rest, code.chars().next_back());
        let length = if length == 0 {
            code.push(c);
            c.len_utf8()
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            length
        };
        rest = &rest[length..];
    }
    code
}

/// Octets of the comment or literal that `rest` begins with; 0 when it begins with code.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = ["r\"", "r#", "br\"", "br#"].iter().any(|start| rest.starts_with(start));
    if raw && !in_word {
        let hashes = rest.trim_start_matches(['b', 'r']);
        let count = hashes.len() - hashes.trim_start_matches('#').len();
        let open = rest.len() - hashes.len() + count;
        if rest[open..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(count));
            let body = &rest[open + 1..];
            return body.find(&close).map_or(rest.len(), |end| open + 1 + end + close.len());
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        // A character, not a lifetime: one character or escape, and a closing quote.
        let mut chars = inner.chars();
        let first = chars.next();
        if first == Some('\\') || chars.next() == Some('\'') {
            return quoted(rest, '\'');
        }
    }
    0
}

/// Octets of a literal that begins and ends with `quote`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `code` with what `#[cfg(test)]` guards blanked out.
fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(at) = kept.find("#[cfg(test)]") {
        let rest = &kept[at..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|semicolon| brace < semicolon) => {
                brace + block(&rest[brace..])
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => rest.len(),
        };
        let blank: String = rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(at..at + end, &blank);
    }
    kept
}

/// Octets of the block that `rest` begins with.
fn block(rest: &str) -> usize {
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

/// The inspector finds what it is there for, and only that.
mod inspector {
    use super::*;

    fn faults(file: &str, text: &str) -> Vec<String> {
        inspect(Path::new(file), text)
    }

    #[track_caller]
    fn finds(file: &str, text: &str, what: &str) {
        let found = faults(file, text);
        assert!(found.len() == 1 && found[0].contains(what), "expected one fault with {what:?}: {found:?}");
    }

    #[test]
    fn imports_go_down() {
        finds("mail/address.rs", "use crate::smtp::Reply;", "mail (storey 0) imports smtp (storey 1)");
        finds("policy/rule.rs", "use crate::ledger::Event;", "no arrow leads there");
        finds("gateway/mod.rs", "//! x\nuse crate::submission::X;", "gateway (storey 4) imports submission");
        finds("net/x.rs", "fn f() { crate::relay::go() }", "net (storey 3) imports relay");
        finds("mail/a.rs", "use crate::nowhere::X;", "which is no room");
        assert_eq!(faults("submission/x.rs", "use crate::gateway::Gateway;"), [""; 0]);
        assert_eq!(faults("ledger/x.rs", "use crate::{mail::Address, policy::Basis};"), [""; 0]);
    }

    #[test]
    fn groups_and_long_ways_are_read() {
        finds(
            "smtp/x.rs",
            "use crate::{\n  mail::{Address, Domain},\n  policy::{self, Permit},\n};",
            "policy",
        );
        finds("smtp/x.rs", "use crate\n    ::token\n    ::Keys;", "token");
        finds("smtp/x.rs", "type A = super::super::token::Keys;", "token");
        finds("smtp.rs", "//! x\nuse super::token::Keys;", "token");
        assert_eq!(faults("smtp/x/y.rs", "use super::super::z;"), [""; 0]);
    }

    #[test]
    fn only_the_doors_reach_store_and_config() {
        finds("gateway/x.rs", "use crate::store::Store;", "only app, cli, main may");
        finds("telemetry/x.rs", "use crate::config::Settings;", "only app, cli, main may");
        assert_eq!(faults("app/x.rs", "use crate::{config::Settings, store::Store};"), [""; 0]);
    }

    #[test]
    fn the_lower_storeys_touch_nothing() {
        finds("ledger/x.rs", "let f = std::fs::read(p);", "no sockets, files or redb");
        finds("token/x.rs", "use tokio::net::lookup_host;", "tokio::net");
        finds("limits/x.rs", "let t = std::time::Instant::now();", "Instant::now");
        finds("consent/x.rs", "let t = jiff::Timestamp::now();", "Timestamp::now");
        assert_eq!(faults("clock.rs", "//! x\nfn f() { Timestamp::now(); }"), [""; 0]);
        assert_eq!(faults("policy/x.rs", "use std::net::IpAddr;"), [""; 0]);
        assert_eq!(faults("net/x.rs", "use tokio::net::TcpStream;"), [""; 0]);
    }

    #[test]
    fn errors_have_names_and_rooms_do_not_print() {
        finds("relay/x.rs", "use anyhow::Result;", "anyhow is for storey 5");
        finds("relay/x.rs", "println!();", "only the doors print");
        finds("telemetry/x.rs", "eprintln!();", "only the doors print");
        finds("app/x.rs", "mpsc::unbounded_channel()", "every queue has a bound");
        assert_eq!(faults("cli/x.rs", "use anyhow::Result; fn f() { println!(); }"), [""; 0]);
    }

    #[test]
    fn rooms_say_what_they_are() {
        finds("token/mod.rs", "use std::fmt;", "does not begin with `//!`");
        finds("clock.rs", "use std::fmt;", "does not begin with `//!`");
        finds("garage/mod.rs", "//! x", "not in the table");
        assert_eq!(faults("token/seal.rs", "use std::fmt;"), [""; 0]);
    }

    #[test]
    fn long_files_say_why() {
        let long = "fn f() {}\n".repeat(LONG + 1);
        finds("smtp/x.rs", &long, "551 lines");
        assert_eq!(faults("smtp/x.rs", &format!("// Long because it is a table.\n{long}")), [""; 0]);
        assert_eq!(faults("smtp/x.rs", &"fn f() {}\n".repeat(LONG)), [""; 0]);
    }

    #[test]
    fn comments_texts_and_tests_are_not_code() {
        for text in [
            "// use crate::app::X;",
            "/* use crate::app::X; */",
            "//! [`crate::app`]\nfn f<'a>(x: &'a str) {}",
            "const X: &str = \"crate::app::X println!\";",
            "const X: &str = r#\"a \" crate::app::X\"#;",
            "const X: char = '\\''; const Y: &str = \"use crate::app\";",
            "const X: char = '\"'; // crate::app \"",
            "#[cfg(test)]\nmod tests {\n use crate::app::X; fn f() { println!() }\n}",
            "#[cfg(test)]\nmod tests;",
            "#[cfg(test)]\nuse crate::app::X;",
        ] {
            assert_eq!(faults("smtp/x.rs", text), [""; 0], "{text}");
        }
        finds("smtp/x.rs", "#[cfg(test)]\nmod tests { fn f() { {} } }\nuse crate::token::X;", "token");
        finds("smtp/x.rs", "const A: &str = \"\\\\\"; use crate::token::X;", "token");
        finds("smtp/x.rs", "fn f<'a>(x: &'a str, y: char) { y == 'a'; crate::token::x() }", "token");
    }
}
