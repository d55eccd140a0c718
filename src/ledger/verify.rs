//! Checking an evidence pack, offline, with the public key alone (promise 8).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::SignedDuration;
use zip::ZipArchive;

use super::checkpoint::{self, Checkpoint};
use super::consistency::Consistency;
use super::event::{Anchored, Entry, EntryNumber, Event};
use super::pack::{
    EVIDENCE, KEYS, MESSAGES, OLDEST_PAGE, PAGE, PAGE_WITH_FILES, Proof, TITLE, anchor_name, entry_name,
    evidence_name, evidence_of, message_name, missing_name, proof_name, stamp_name,
};
use super::page::{self, Shown, Story};
use super::stamp::{self, Trust};
use super::succession;
use super::tree::{self, Hash, leaf};
use crate::mail::{Language, hash, hex, one_line, sha256, unhex};

/// Files in a pack, at most: two for each of as many entries as the config allows, a message, what shows a consent.
const MAX_FILES: usize = 400_000;
/// Octets of all files of a pack together, at most: a zip can claim anything.
const MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The same of messages and of files that show consents, of which only the hash is kept in memory.
const MAX_HASHED: u64 = 256 * 1024 * 1024 * 1024;

/// From signing a checkpoint to its time stamp, at most: what is written meanwhile is not late.
const STAMPED_WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// Entries that were written later than they say which are listed, at most.
const MAX_LATE: usize = 20;

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
    /// Files that show consents and are what the ledger names, one line each.
    pub evidence: Vec<String>,
    /// Files that its entries name and that could not be put in when the pack was made, one line each.
    pub missing: Vec<String>,
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
    /// Whether everything in it holds.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Check the pack in `reader` against the verifier key `trusted`; of the signers of its time stamps no more than that they
/// signed at a time at which their certificates were valid.
pub fn verify_pack<R: Read + Seek>(reader: R, trusted: &str) -> Result<Report, VerifyError> {
    verify_pack_with(reader, trusted, None)
}

/// The same, and with `stamps` also that the signers of its time stamps lead to an authority and were not revoked.
pub fn verify_pack_with<R: Read + Seek>(
    reader: R,
    trusted: &str,
    stamps: Option<&Trust<'_>>,
) -> Result<Report, VerifyError> {
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
    let page = list.as_deref().map_or((0, Language::default()), page_of);
    check_evidence(&files, page.0, &mut report);
    check_anchors(&files, family, stamps, &mut report);
    if report.is_sound()
        && let Some(list) = list
    {
        check_page(&files, &list, page, &mut report);
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

/// A file of a pack.
struct File {
    /// Its bytes; none of a message, nor of a file that shows a consent, which may be a recording of an hour.
    bytes: Vec<u8>,
    sha256: String,
}

type Files = BTreeMap<String, File>;

fn unzip<R: Read + Seek>(reader: R) -> Result<Files, VerifyError> {
    let mut zip = ZipArchive::new(reader)?;
    // Else a program that reads a pack another way could show a page that nobody signed.
    zip.validate_header_consistency().map_err(|error| VerifyError::Twofold(error.to_string()))?;
    if zip.len() > MAX_FILES {
        return Err(VerifyError::TooLarge);
    }
    let (mut left, mut left_of_hashed) = (MAX_BYTES, MAX_HASHED);
    let mut files = Files::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        let name = file.name()?.into_owned();
        let mut bytes = Vec::new();
        let is_evidence = name.starts_with(EVIDENCE) && !name.ends_with(".missing.txt");
        let sha256 = if is_evidence || name.starts_with(MESSAGES) {
            let (sha256, octets) = hash(&mut file.take(left_of_hashed + 1))?;
            left_of_hashed = left_of_hashed.checked_sub(octets).ok_or(VerifyError::TooLarge)?;
            sha256
        } else {
            file.by_ref().take(left + 1).read_to_end(&mut bytes)?;
            left = left.checked_sub(bytes.len() as u64).ok_or(VerifyError::TooLarge)?;
            hex(&sha256(&bytes))
        };
        files.insert(name, File { bytes, sha256 });
    }
    Ok(files)
}

fn text(files: &Files, name: &str) -> String {
    files.get(name).map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).unwrap_or_default()
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
            Some(file) if file.sha256 != hash => {
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
    for (name, file) in files {
        let Some(number) = name
            .strip_prefix("entries/")
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|number| number.parse::<EntryNumber>().ok())
        else {
            continue;
        };
        match check_entry(files, signed, number, &file.bytes) {
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
    let proof: Proof = serde_json::from_slice(&proof.bytes).map_err(|error| format!("its proof: {error}"))?;
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
    for (name, file) in files.iter().filter(|(name, _)| name.starts_with(MESSAGES)) {
        match sent.get(name) {
            Some(Some(hash)) if file.sha256 == *hash => {
                report.messages.push(name.clone());
            }
            Some(Some(_)) => report.problems.push(format!("{name}: not the bytes that were sent")),
            Some(None) => {}
            None => report.problems.push(format!("{name}: no entry in the pack admits this copy")),
        }
    }
}

/// The files that entries name as evidence: each is there and is the one named, or the pack says why it is not.
fn check_evidence(files: &Files, page: u32, report: &mut Report) {
    let (mut expected, mut here) = (BTreeSet::new(), Vec::new());
    let (mut missing, mut notes, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (sha256, (number, file)) in evidence_of(&report.entries) {
        let (name, words) = (evidence_name(file), missing_name(file));
        let known_as = one_line(&file.name);
        if let Some(there) = files.get(&name) {
            if there.sha256 == sha256 {
                here.push(format!("{name} is the file {known_as} that entry {number} names"));
            } else {
                problems.push(format!("{name}: not the file {known_as} that entry {number} names"));
            }
            expected.insert(name);
        } else if files.contains_key(&words) {
            missing.push(one_line(text(files, &words).trim_end()));
            expected.insert(words);
        } else if page < PAGE_WITH_FILES {
            notes.push(format!(
                "{known_as} (SHA-256 {sha256}), named by entry {number}, is not in the pack: it was made by a release \
                 that left such files out; ask for it"
            ));
        } else {
            problems.push(format!("{name}: the file {known_as} that entry {number} names is missing"));
        }
    }
    for name in files.keys().filter(|name| name.starts_with(EVIDENCE) && !expected.contains(*name)) {
        problems.push(format!("{name}: no entry in the pack names this file"));
    }
    report.evidence = here;
    report.missing = missing;
    report.notes.extend(notes);
    report.problems.extend(problems);
}

/// Each anchor that an entry tells of: a checkpoint that the pack's own one continues, and the time stamp on it.
fn check_anchors(files: &Files, keys: &[String], trust: Option<&Trust<'_>>, report: &mut Report) {
    let (mut anchors, mut problems) = (Vec::new(), Vec::new());
    for (number, entry) in &report.entries {
        let Event::Anchored(anchored) = &entry.event else { continue };
        if anchored.missed.is_some() {
            continue;
        }
        match check_anchor(files, keys, *number, anchored, trust) {
            Ok(()) => anchors.push(anchored.summary()),
            Err(why) => problems.push(format!("{}: {why}", anchor_name(anchored.size, "txt"))),
        }
    }
    let is_stamped =
        |(_, entry): &(EntryNumber, Entry)| matches!(&entry.event, Event::Anchored(it) if it.stamp.is_some());
    if trust.is_none() && report.entries.iter().any(is_stamped) {
        let words = "whom the signers of the time stamps lead to was not looked at: name an authority (--time-stamp-ca)";
        report.notes.push(words.to_owned());
    }
    report.anchors = anchors;
    report.problems.extend(problems);
    let late = written_late(&report.entries);
    report.notes.extend(late);
}

/// Entries that are dated before a time stamp which does not cover them: whoever dates an entry back cannot put it before
/// what was stamped. A note and no problem, as a clock that was wrong does the same.
fn written_late(entries: &[(EntryNumber, Entry)]) -> Vec<String> {
    let stamps = entries.iter().filter_map(|(_, entry)| match &entry.event {
        Event::Anchored(Anchored { size, stamped_at: Some(at), .. }) => Some((*at, *size)),
        _ => None,
    });
    let stamps: BTreeMap<_, _> = stamps.collect();
    let late = entries.iter().filter_map(|(number, entry)| {
        let from = entry.at.checked_add(STAMPED_WITHIN).ok()?;
        let (at, size) = stamps.range(from..).find(|(_, size)| **size <= *number)?;
        Some(format!(
            "entry {number} is dated {}, and the checkpoint over {size} entries that was stamped at {at} does not cover \
             it: it was written later than it says, or the gateway's clock was wrong",
            entry.at
        ))
    });
    late.take(MAX_LATE).collect()
}

fn check_anchor(
    files: &Files,
    keys: &[String],
    number: EntryNumber,
    anchored: &Anchored,
    trust: Option<&Trust<'_>>,
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
    if BASE64_STANDARD.encode(&answer.bytes) != *stamped {
        return Err("its time stamp is not the one in the entry".to_owned());
    }
    let stamp = stamp::check(&answer.bytes, &sha256(note.as_bytes()), None, trust)
        .map_err(|error| error.to_string())?;
    if Some(stamp.at) == anchored.stamped_at {
        Ok(())
    } else {
        Err("its time stamp says another time".to_owned())
    }
}

/// What a line of the list that begins with `name` says.
fn word<'l>(list: &'l str, name: &str) -> Option<&'l str> {
    list.lines().find_map(|line| line.strip_prefix(name))
}

/// Version and language of the page, as the list says; 0 where it does not.
fn page_of(list: &str) -> (u32, Language) {
    let mut page = word(list, "page ").unwrap_or_default().split(' ');
    let version = page.next().and_then(|version| version.parse().ok()).unwrap_or(0);
    let code = page.next().unwrap_or_default();
    let language = Language::ALL.into_iter().find(|language| language.code() == code).unwrap_or_default();
    (version, language)
}

/// The page is what most people read, and whoever holds the signing key could sign one that tells another
/// story than the entries: it is rendered anew and compared.
fn check_page(files: &Files, list: &str, (version, language): (u32, Language), report: &mut Report) {
    let made_at = word(list, "made ").and_then(|at| at.parse().ok());
    let (Some(signed), Some(made_at)) = (&report.checkpoint, made_at) else {
        return report.problems.push("files.txt: does not say when the pack was made".to_owned());
    };
    if !(OLDEST_PAGE..=PAGE).contains(&version) {
        return report.notes.push(format!(
            "index.html was made by another release (page {version}; this one knows {OLDEST_PAGE} to {PAGE}), so it was not \
             compared with the entries: read those"
        ));
    }
    let kept = report.entries.iter().filter_map(|(_, entry)| match &entry.event {
        Event::Admitted(it) if files.contains_key(&message_name(it.copy, true)) => Some((it.copy, true)),
        Event::Admitted(it) if files.contains_key(&message_name(it.copy, false)) => Some((it.copy, false)),
        _ => None,
    });
    let shown = evidence_of(&report.entries).into_iter().filter_map(|(sha256, (_, file))| {
        let (name, words) = (evidence_name(file), missing_name(file));
        let shown = match (files.contains_key(&name), files.contains_key(&words)) {
            (true, _) => Shown::Here(name),
            (false, true) => Shown::Missing(words),
            (false, false) => return None,
        };
        Some((sha256.to_owned(), shown))
    });
    let shown = shown.collect();
    let story = Story {
        page: version,
        language,
        about: &report.about,
        made_at,
        note: &text(files, "checkpoint.txt"),
        signed,
        entries: &report.entries,
        keys: page::keys_in(&report.entries),
        kept: kept.collect(),
        shown,
    };
    if page::render(&story) != text(files, "index.html") {
        report.problems.push("index.html: tells another story than the entries; read those".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_8_an_entry_that_was_dated_back_behind_a_time_stamp_is_named() {
        let entry = |at: &str, event| Entry {
            v: 1,
            at: at.parse().unwrap(),
            origin: "poort.voorbeeld.nl".to_owned(),
            event,
        };
        let fact = |at: &str| {
            let answered = super::super::Answered { held: 0, how: "filed".to_owned() };
            entry(at, Event::Answered(answered))
        };
        let stamp = Event::Anchored(Anchored {
            size: 4,
            to: "time stamp http://tsa.example".to_owned(),
            missed: None,
            stamp: Some(String::new()),
            stamped_at: Some("2026-03-02T00:00:00Z".parse().unwrap()),
        });
        let entries = [
            (3, fact("2026-03-01T23:00:00Z")),
            // Between signing and stamping.
            (4, fact("2026-03-01T23:59:50Z")),
            (5, entry("2026-03-02T00:00:01Z", stamp)),
            (6, fact("2026-02-01T10:00:00Z")),
            (7, fact("2026-03-05T10:00:00Z")),
        ];
        let late = written_late(&entries);
        assert_eq!(late.len(), 1, "{late:?}");
        assert!(
            late[0].starts_with("entry 6 is dated 2026-02-01T10:00:00Z, and the checkpoint over 4 entries")
        );
    }
}
