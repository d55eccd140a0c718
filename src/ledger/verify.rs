//! Checking an evidence pack, offline, with the public key alone (promise 8).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zip::ZipArchive;

use super::checkpoint::{self, Checkpoint};
use super::consistency::Consistency;
use super::event::{Anchored, Entry, EntryNumber, Event};
use super::pack::{KEYS, PAGE, Proof, TITLE, anchor_name, entry_name, message_name, proof_name, stamp_name};
use super::page::{self, Story};
use super::tree::{self, Hash, leaf};
use super::{stamp, succession};
use crate::mail::{Language, hex, sha256, unhex};

/// Files in a pack, at most.
const MAX_FILES: usize = 200_000;
/// Octets of all files of a pack together, at most: a zip can claim anything.
const MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// What a check of a pack found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The checkpoint, when its signature holds.
    pub checkpoint: Option<Checkpoint>,
    /// What the pack is about, in the words of whoever made it.
    pub about: String,
    /// Entries that stood in the ledger in this form when the checkpoint was signed.
    pub entries: Vec<(EntryNumber, Entry)>,
    /// Messages that are byte for byte what the ledger says was sent, by file name.
    pub messages: Vec<String>,
    /// Anchors outside that the checkpoint continues, one line each.
    pub anchors: Vec<String>,
    /// What could not be looked at, one line each.
    pub notes: Vec<String>,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

/// A pack that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not a zip, or cut short.
    #[error("this is not an evidence pack, or it has been cut short: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// Reading failed.
    #[error("the pack cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Two files of one name, or files that only some programs see.
    #[error("the pack shows different files to different programs, so it was changed: {0}")]
    Twofold(String),
    /// Larger than any pack is.
    #[error("the pack holds more than any pack does; it was not made by a gateway")]
    TooLarge,
}

impl Report {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Check the pack in `reader` against the verifier key `trusted`.
pub fn verify_pack<R: Read + Seek>(reader: R, trusted: &str) -> Result<Report, VerifyError> {
    let files = unzip(reader)?;
    let mut report = Report::default();
    let keys = keys(&files, trusted, &mut report);
    let (own, family) = (keys.own.as_str(), keys.family.as_slice());
    let list = check_list(&files, own, &mut report);
    let note = text(&files, "checkpoint.txt");
    match checkpoint::verify(&note, own) {
        Ok(signed) => report.checkpoint = Some(signed),
        Err(error) => report.problems.push(format!("checkpoint.txt: {error}")),
    }
    if let Some(signed) = report.checkpoint.clone() {
        check_entries(&files, &signed, &mut report);
    }
    check_messages(&files, &mut report);
    check_anchors(&files, family, &mut report);
    if report.is_sound()
        && let Some(list) = list
    {
        check_page(&files, &list, &mut report);
    }
    Ok(report)
}

/// The keys to check a pack with.
struct PackKeys {
    /// The one that signed it.
    own: String,
    /// All that the trusted one leads to, itself included.
    family: Vec<String>,
}

/// Follow the changes of keys from the `trusted` one to the one that signed the pack.
fn keys(files: &Files, trusted: &str, report: &mut Report) -> PackKeys {
    let names = files.keys().filter(|name| name.starts_with(KEYS));
    let notes: Vec<String> = names.map(|name| text(files, name)).collect();
    let family = succession::family(trusted, notes.iter().map(String::as_str));
    let own = text(files, "key.txt").trim().to_owned();
    if !family.contains(&own) {
        report.problems.push("key.txt: not the key you trust, nor one that it vouches for".to_owned());
        return PackKeys { own: trusted.trim().to_owned(), family };
    }
    if own != trusted.trim() {
        report.notes.push(format!("signed by {own}, for which the key you trust vouches"));
    }
    PackKeys { own, family }
}

type Files = BTreeMap<String, Vec<u8>>;

fn unzip<R: Read + Seek>(reader: R) -> Result<Files, VerifyError> {
    let mut zip = ZipArchive::new(reader)?;
    // Else a program that reads a pack another way could show a page that nobody signed.
    zip.validate_header_consistency().map_err(|error| VerifyError::Twofold(error.to_string()))?;
    if zip.len() > MAX_FILES {
        return Err(VerifyError::TooLarge);
    }
    let mut left = MAX_BYTES;
    let mut files = Files::new();
    for index in 0..zip.len() {
        let file = zip.by_index(index)?;
        let name = file.name()?.into_owned();
        let mut bytes = Vec::new();
        file.take(left + 1).read_to_end(&mut bytes)?;
        left = left.checked_sub(bytes.len() as u64).ok_or(VerifyError::TooLarge)?;
        files.insert(name, bytes);
    }
    Ok(files)
}

fn text(files: &Files, name: &str) -> String {
    files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// The signed list against what is there: nothing changed, removed or added.
fn check_list(files: &Files, trusted: &str, report: &mut Report) -> Option<String> {
    let list = match checkpoint::open_note(&text(files, "files.txt"), trusted) {
        Ok(list) => list,
        Err(error) => {
            report.problems.push(format!("files.txt: {error}"));
            return None;
        }
    };
    let mut lines = list.lines();
    if lines.next() != Some(TITLE) {
        report.problems.push("files.txt: signed, but not a list of files".to_owned());
        return None;
    }
    let mut listed = BTreeSet::from(["files.txt"]);
    for line in lines {
        if let Some(about) = line.strip_prefix("about ") {
            about.clone_into(&mut report.about);
        }
        let Some((hash, name)) = line.split_once("  ") else { continue };
        if hash.len() != 64 {
            continue;
        }
        listed.insert(name);
        match files.get(name) {
            None => report.problems.push(format!("{name}: listed, but not in the pack")),
            Some(bytes) if hex(&sha256(bytes)) != hash => {
                report.problems.push(format!("{name}: changed since the pack was made"));
            }
            Some(_) => {}
        }
    }
    for name in files.keys().filter(|name| !listed.contains(name.as_str())) {
        report.problems.push(format!("{name}: not part of the pack as it was made"));
    }
    Some(list)
}

fn check_entries(files: &Files, signed: &Checkpoint, report: &mut Report) {
    for (name, bytes) in files {
        let Some(number) = name
            .strip_prefix("entries/")
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|number| number.parse::<EntryNumber>().ok())
        else {
            continue;
        };
        match check_entry(files, signed, number, bytes) {
            Ok(entry) => report.entries.push((number, entry)),
            Err(why) => report.problems.push(format!("{}: {why}", entry_name(number))),
        }
    }
    report.entries.sort_by_key(|(number, _)| *number);
}

fn check_entry(
    files: &Files,
    signed: &Checkpoint,
    number: EntryNumber,
    bytes: &[u8],
) -> Result<Entry, String> {
    let proof = files.get(&proof_name(number)).ok_or("its proof is missing")?;
    let proof: Proof = serde_json::from_slice(proof).map_err(|error| format!("its proof: {error}"))?;
    if proof.number != number || proof.tree_size != signed.size {
        return Err("its proof is for another entry or another checkpoint".to_owned());
    }
    let salt = unhex(&proof.salt).ok_or("its salt is not 32 octets in hex")?;
    let hash = leaf(&salt, &[bytes]);
    if hex(&hash.0) != proof.leaf {
        return Err("it was changed: its leaf hash differs".to_owned());
    }
    let path = proof
        .path
        .iter()
        .map(|hash| unhex(hash).map(Hash))
        .collect::<Option<Vec<_>>>()
        .ok_or("its path is not made of hashes")?;
    tree::check_inclusion(&path, signed.size, signed.root, number, hash)
        .map_err(|_| "it does not stand in the signed ledger in this form at this place".to_owned())?;
    let entry = Entry::parse(bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if entry.origin != signed.origin {
        return Err(format!("it is an entry of the gateway {:?}", entry.origin));
    }
    Ok(entry)
}

fn check_messages(files: &Files, report: &mut Report) {
    let mut sent = BTreeMap::new();
    for (_, entry) in &report.entries {
        if let Event::Admitted(admitted) = &entry.event {
            sent.insert(message_name(admitted.copy, true), Some(admitted.sent_sha256.clone()));
            // The hash is over the whole message: a header section alone cannot be checked against it.
            sent.insert(message_name(admitted.copy, false), None);
        }
    }
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("messages/")) {
        match sent.get(name) {
            Some(Some(hash)) if hex(&sha256(bytes)) == *hash => {
                report.messages.push(name.clone());
            }
            Some(Some(_)) => report.problems.push(format!("{name}: not the bytes that were sent")),
            Some(None) => {}
            None => report.problems.push(format!("{name}: no entry in the pack admits this copy")),
        }
    }
}

/// Each anchor that an entry tells of: a checkpoint that the pack's own one continues, and the time stamp on it.
fn check_anchors(files: &Files, keys: &[String], report: &mut Report) {
    let (mut anchors, mut problems) = (Vec::new(), Vec::new());
    for (number, entry) in &report.entries {
        let Event::Anchored(anchored) = &entry.event else { continue };
        if anchored.missed.is_some() {
            continue;
        }
        match check_anchor(files, keys, *number, anchored) {
            Ok(()) => anchors.push(anchored.summary()),
            Err(why) => problems.push(format!("{}: {why}", anchor_name(anchored.size, "txt"))),
        }
    }
    report.anchors = anchors;
    report.problems.extend(problems);
}

fn check_anchor(
    files: &Files,
    keys: &[String],
    number: EntryNumber,
    anchored: &Anchored,
) -> Result<(), String> {
    let note = text(files, &anchor_name(anchored.size, "txt"));
    let proof = text(files, &anchor_name(anchored.size, "json"));
    let proof: Consistency =
        serde_json::from_str(&proof).map_err(|error| format!("the proof that it is continued: {error}"))?;
    if proof.old != note || proof.new != text(files, "checkpoint.txt") {
        return Err("the proof that it is continued is for other checkpoints".to_owned());
    }
    let (old, _) = proof.check(keys).map_err(|error| error.to_string())?;
    if old.size != anchored.size {
        return Err(format!("it covers {} entries", old.size));
    }
    let Some(stamped) = &anchored.stamp else { return Ok(()) };
    let answer = files.get(&stamp_name(anchored.size, number)).ok_or("its time stamp is missing")?;
    if BASE64_STANDARD.encode(answer) != *stamped {
        return Err("its time stamp is not the one in the entry".to_owned());
    }
    let stamp =
        stamp::check(answer, &sha256(note.as_bytes()), None, None).map_err(|error| error.to_string())?;
    if Some(stamp.at) == anchored.stamped_at {
        Ok(())
    } else {
        Err("its time stamp says another time".to_owned())
    }
}

/// The page is what most people read, and whoever holds the signing key could sign one that tells another
/// story than the entries: it is rendered anew and compared.
fn check_page(files: &Files, list: &str, report: &mut Report) {
    let word = |name: &str| list.lines().find_map(|line| line.strip_prefix(name));
    let mut page = word("page ").unwrap_or_default().split(' ');
    let version = page.next().and_then(|version| version.parse().ok()).unwrap_or(0u32);
    let code = page.next().unwrap_or_default();
    let language = Language::ALL.into_iter().find(|language| language.code() == code).unwrap_or_default();
    let (Some(signed), Some(made_at)) = (&report.checkpoint, word("made ").and_then(|at| at.parse().ok()))
    else {
        return report.problems.push("files.txt: does not say when the pack was made".to_owned());
    };
    if version != PAGE {
        return report.notes.push(format!(
            "index.html was made by another release (page {version}; this one makes page {PAGE}), so it was not \
             compared with the entries: read those"
        ));
    }
    let kept = report.entries.iter().filter_map(|(_, entry)| match &entry.event {
        Event::Admitted(it) if files.contains_key(&message_name(it.copy, true)) => Some((it.copy, true)),
        Event::Admitted(it) if files.contains_key(&message_name(it.copy, false)) => Some((it.copy, false)),
        _ => None,
    });
    let story = Story {
        language,
        about: &report.about,
        made_at,
        note: &text(files, "checkpoint.txt"),
        signed,
        entries: &report.entries,
        kept: kept.collect(),
    };
    if page::render(&story) != text(files, "index.html") {
        report.problems.push("index.html: tells another story than the entries; read those".to_owned());
    }
}
