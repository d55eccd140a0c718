//! Runs `tests/dialogs/*.txt`. The notation is explained in `tests/dialogs/README.md`.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use sluis::limits::LimitSettings;
use sluis::shutdown::Shutdown;
use sluis::smtp::reply::Reply;
use sluis::submission::Settings;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::script::{Script, accounts, limits_of, loopback, open, settings};

#[tokio::test]
async fn every_dialog_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the dialogs are there");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let run = tokio::time::timeout(Duration::from_secs(20), Dialog::run(&name, &text));
        assert!(run.await.is_ok(), "{name}: somebody waits for ever");
    }
}

struct Dialog {
    client: BufReader<DuplexStream>,
    script: Script,
}

impl Dialog {
    async fn run(name: &str, text: &str) {
        let shutdown = Shutdown::new();
        let (settings, script, ip) = circumstances(name, text);
        let client = BufReader::new(open(settings, &script, ip, &shutdown));
        let mut dialog = Self { client, script };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", number + 1);
            dialog.line(&place, line).await;
        }
        assert!(dialog.script.take().is_none(), "{name}: a message was admitted that no J: line names");
    }

    async fn line(&mut self, place: &str, line: &str) {
        if let Some(text) = line.strip_prefix("C: ") {
            self.send(&[&unescape(text)[..], b"\r\n"].concat()).await;
        } else if let Some(raw) = line.strip_prefix("C| ") {
            self.send(&unescape(raw)).await;
        } else if line == "S: <closed>" {
            assert_eq!(self.receive().await, "", "{place}: still open");
        } else if let Some(pattern) = line.strip_prefix("S: ") {
            let got = self.receive().await;
            let got = got.strip_suffix("\r\n").unwrap_or_else(|| panic!("{place}: no CRLF after {got:?}"));
            assert!(matches(pattern, got), "{place}\n expected {pattern}\n      got {got}");
        } else if let Some(pattern) = line.strip_prefix("J: ") {
            let got = self.script.take().unwrap_or_else(|| panic!("{place}: nothing was admitted"));
            let to: Vec<_> = got.envelope.recipients.iter().map(|r| format!("<{}>", r.address)).collect();
            let shown = format!(
                "{} <{}> -> {} | {}",
                got.client.protocol,
                got.envelope.reverse_path,
                to.join(","),
                got.message.escape_ascii()
            );
            assert!(matches(pattern, &shown), "{place}\n expected {pattern}\n      got {shown}");
        } else {
            let comment = line.is_empty() || line.starts_with(['#', '@']);
            assert!(comment, "{place}: what is {line:?}?");
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client.get_mut().write_all(bytes).await.unwrap();
    }

    async fn receive(&mut self) -> String {
        let mut line = String::new();
        self.client.read_line(&mut line).await.unwrap();
        line
    }
}

/// The `@` lines of a dialog.
fn circumstances(name: &str, text: &str) -> (Settings, Script, IpAddr) {
    let mut settings = settings(LimitSettings::default());
    let mut script = Script::default();
    let mut ip = loopback();
    for line in text.lines().filter_map(|line| line.strip_prefix("@ ")) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "from" => ip = rest.parse().unwrap(),
            "untrusted" => settings.trusted.clear(),
            "account" => settings.accounts = Some(accounts(&[rest.split_once(' ').unwrap()])),
            "auth-without-tls" => settings.loopback_auth_without_tls = true,
            "normalise" => settings.normalise_bare_lf = true,
            "size" => settings.size_limit = rest.parse().unwrap(),
            "recipients" => settings.recipients = rest.parse().unwrap(),
            "errors" => settings.tolerance.errors = rest.parse().unwrap(),
            "refused-recipients" => settings.tolerance.refused_recipients = rest.parse().unwrap(),
            "idle-commands" => settings.tolerance.idle_commands = rest.parse().unwrap(),
            "commands" => settings.tolerance.commands = rest.parse().unwrap(),
            "refusals-per-hour" => {
                let limits = LimitSettings { refusals: rest.parse().ok(), ..LimitSettings::default() };
                settings.limits = limits_of(limits);
            }
            "next-hop-size" => script.size = Some(rest.parse().unwrap()),
            "no-smtputf8" => script.smtputf8 = false,
            "refuse" => {
                let (address, reason) = rest.split_once(' ').unwrap();
                script.refused.push((address.to_owned(), reason.to_owned()));
            }
            "answer" => {
                let (code, text) = rest.split_once(' ').unwrap();
                script.answer = Reply::next_hop(code.parse().unwrap(), None, text);
            }
            _ => panic!("{name}: what is @ {line}?"),
        }
    }
    settings.timeouts.sign_in_failure = Duration::ZERO;
    (settings, script, ip)
}

/// `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`; everything else is itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first().expect("something after a backslash");
        rest = after;
        match kind {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'\\' => bytes.push(b'\\'),
            b'x' => {
                let (hex, after) = rest.split_at(2);
                rest = after;
                bytes.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            }
            other => panic!("\\{}", char::from(other)),
        }
    }
    bytes
}

/// Whether `text` is `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
}
