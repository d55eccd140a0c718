//! Every key of a gateway, for a person.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::dkim::{dkim_folder, read_dkim};
use super::{NOTE, read_private, utf8};
use crate::clock::Timestamp;
use crate::config::{self, Dkim};
use crate::ledger::checkpoint::Signer;
use crate::token::Keys;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// `ledger`, `token` or `dkim`.
    pub kind: &'static str,
    /// What it is known by: the name on checkpoints, the id in links, the DNS name.
    pub id: String,
    /// When it was made, as far as the file tells.
    pub made: Option<Timestamp>,
    /// What it does now.
    pub does: String,
    /// Where it is.
    pub file: PathBuf,
}

/// Every key that `settings` lead to, and those beside them that nothing uses. Makes none.
pub fn list(settings: &config::Settings) -> Result<Vec<KeyLine>> {
    let mut lines = Vec::new();
    let ledger = settings.data.join("keys/ledger.key");
    if let Some(text) = read_private(&ledger)? {
        let text = utf8(&ledger, &text)?;
        let signer = Signer::parse_file(text).with_context(|| ledger.display().to_string())?;
        let notes: Vec<_> =
            text.lines().filter_map(|line| line.trim().strip_prefix(NOTE)?.parse().ok()).collect();
        for (place, key) in std::iter::once(&signer).chain(signer.older()).enumerate() {
            // name+hash+key (C2SP signed note): the first two are what a signature line shows.
            let id = key.verifier().splitn(3, '+').take(2).collect::<Vec<_>>().join("+");
            let does = if place == 0 { "signs checkpoints" } else { "signed checkpoints" }.to_owned();
            // The first key of all has no note of its own: the file was made with it.
            let made = notes.get(place).copied();
            let made = made.or_else(|| if signer.older().is_empty() { modified(&ledger) } else { None });
            lines.push(KeyLine { kind: "ledger", id, made, does, file: ledger.clone() });
        }
    }
    tokens(&settings.data.join("keys/token.key"), &mut lines)?;
    let mut known = Vec::new();
    if let Dkim::Keys(keys) = &settings.dkim {
        for key in keys {
            let id = format!("{}._domainkey.{}", key.selector, key.domain.ascii());
            read_dkim(&key.key_file, key.algorithm)?;
            let (made, file) = (modified(&key.key_file), key.key_file.clone());
            known.extend(file.canonicalize());
            lines.push(KeyLine {
                kind: "dkim",
                id,
                made,
                does: format!("signs ({})", key.algorithm.name()),
                file,
            });
        }
    }
    for file in idle(&dkim_folder(&settings.data), &known)? {
        let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let does = "nothing: no [[dkim]] names it".to_owned();
        lines.push(KeyLine { kind: "dkim", id, made: modified(&file), does, file });
    }
    Ok(lines)
}

/// The token keys in `file`, newest first; the note above a key says when it was made.
fn tokens(file: &Path, lines: &mut Vec<KeyLine>) -> Result<()> {
    let Some(text) = read_private(file)? else { return Ok(()) };
    let text = utf8(file, &text)?;
    let count = Keys::parse(text).with_context(|| file.display().to_string())?.count();
    let (mut made, mut first) = (None, true);
    for line in text.lines().map(str::trim) {
        if let Some(note) = line.strip_prefix(NOTE) {
            made = note.trim().parse().ok();
        } else if let Some((id, _)) = line.split_once(' ').filter(|_| !line.starts_with('#')) {
            let does = if first { "seals and opens links" } else { "opens links" }.to_owned();
            let made = made.take().or_else(|| if count == 1 { modified(file) } else { None });
            lines.push(KeyLine { kind: "token", id: id.to_owned(), made, does, file: file.to_owned() });
            first = false;
        }
    }
    Ok(())
}

/// The keys in `folder` that are not among `known`.
fn idle(folder: &Path, known: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let is_known = path.canonicalize().is_ok_and(|path| known.contains(&path));
        if path.extension().is_some_and(|extension| extension == "pem") && !is_known {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn modified(file: &Path) -> Option<Timestamp> {
    let time = fs::metadata(file).and_then(|metadata| metadata.modified()).ok()?;
    Timestamp::try_from(time).ok()
}
