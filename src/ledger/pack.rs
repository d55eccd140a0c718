//! The evidence pack: what a regulator, a judge or a recipient is handed.
//!
//! One zip that can be read by anyone and checked offline with the gateway's public key alone (promise
//! 8): the entries as their exact bytes, each with its salt and its path to the signed root, the messages
//! as far as they are kept, the files that show consents, a page that tells what happened in order, and VERIFY.md, which explains how to
//! check all of it by hand, and what it cannot show. A signed list of the files makes a file that was taken out show as well.
//!
//! Messages and files go through memory one at a time; the entries of a pack and its page stand there together, so
//! whoever asks for one bounds their number.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, Write};

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::checkpoint::{self, NoteError, Signer};
use super::consistency::Consistency;
use super::event::{Anchored, Entry, EntryNumber, Event};
use super::evidence::{KeptFile, Opened};
use super::page::{self, Shown, Story};
use super::tree::{Hash, Salt, leaf};
use crate::mail::{CopyId, Language, hex, one_line, sha256};

/// First line of the signed list of files; a checkpoint cannot begin like this, as its first line is a
/// gateway's name, which has no spaces.
pub(super) const TITLE: &str = "sluis evidence pack v1";
/// Version of the page: a check renders it anew and compares, which only the same version can.
pub(super) const PAGE: u32 = 4;
/// The first one that this program can render.
pub(super) const OLDEST_PAGE: u32 = 2;
/// The first one that shows the files which entries name; packs before it held none.
pub(super) const PAGE_WITH_FILES: u32 = 3;
/// The first one that shows all facts of a send, and says what it cannot show.
pub(super) const PAGE_WITH_FACTS: u32 = 4;

/// Octets of a file that are read at once.
const BLOCK: usize = 128 * 1024;

/// What goes into a pack.
#[derive(Debug, Clone)]
pub struct Pack {
    /// The language of its page.
    pub language: Language,
    /// What it is about, in words: an address, a reference.
    pub about: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// The gateway.
    pub origin: String,
    /// Its public key.
    pub verifier: String,
    /// A checkpoint that covers all entries in it.
    pub checkpoint: String,
    /// The entries, in order.
    pub entries: Vec<Exhibit>,
    /// Checkpoints that went outside, as its entries of kind `anchored` say.
    pub anchors: Vec<Anchor>,
    /// The notes by which the gateway's keys vouch for each other, oldest first.
    pub successions: Vec<String>,
}

/// A checkpoint that went outside, and that the one of the pack continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Entries it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// The consistency proof between it and the checkpoint of the pack, hashes in hex.
    pub proof: Vec<String>,
}

/// One entry with its proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Exhibit {
    /// Its number.
    pub number: EntryNumber,
    /// Its salt.
    pub salt: Salt,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// Its audit path to the root of the checkpoint (RFC 6962 2.1.1).
    pub path: Vec<Hash>,
}

/// One message, as it is kept.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Whether these are all its bytes; otherwise its header section.
    pub whole: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// A pack that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Writing failed.
    #[error("the pack cannot be written: {0}")]
    Write(#[from] zip::result::ZipError),
    /// Writing failed.
    #[error("the pack cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// Its checkpoint is none of this key.
    #[error("the pack's checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// An entry that is not JSON.
    #[error("entry {number} cannot be read: {why}")]
    Entry {
        /// Which.
        number: EntryNumber,
        /// Why.
        why: String,
    },
    /// What is kept of a message cannot be read.
    #[error("the message of copy {copy} cannot be read: {why}")]
    Message {
        /// Which.
        copy: CopyId,
        /// Why.
        why: String,
    },
    /// A file that shows a consent became another one while it was read.
    #[error("the evidence file {0} changed while it was read; try again")]
    Evidence(String),
}

/// The proof of one entry, as it stands in the pack; hashes in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// Number of the entry.
    pub(super) number: EntryNumber,
    /// 32 random octets.
    pub(super) salt: String,
    /// `SHA-256(0x00 ‖ salt ‖ entry)`.
    pub(super) leaf: String,
    /// Entries under the root.
    pub(super) tree_size: u64,
    /// From the leaf upwards.
    pub(super) path: Vec<String>,
}

pub(super) fn entry_name(number: EntryNumber) -> String {
    format!("entries/{number:012}.json")
}

pub(super) fn proof_name(number: EntryNumber) -> String {
    format!("entries/{number:012}.proof.json")
}

/// Where the messages are.
pub(super) const MESSAGES: &str = "messages/";

pub(super) fn message_name(copy: CopyId, whole: bool) -> String {
    format!("{MESSAGES}{copy}.{}", if whole { "eml" } else { "headers.txt" })
}

/// Where the files that show consents are.
pub(super) const EVIDENCE: &str = "evidence/";

/// The files that `entries` name as evidence, by their SHA-256 (hex): the first entry that names each, and the file.
pub(super) fn evidence_of(entries: &[(EntryNumber, Entry)]) -> BTreeMap<&str, (EntryNumber, &KeptFile)> {
    let mut named = BTreeMap::new();
    for (number, entry) in entries {
        if let Event::Evidence(it) = &entry.event {
            named.entry(it.file.sha256.as_str()).or_insert((*number, &it.file));
        }
    }
    named
}

pub(super) fn evidence_name(file: &KeptFile) -> String {
    format!("{EVIDENCE}{}{}", file.sha256, file.ending())
}

/// Stands in the place of a file that could not be shown, and says why.
pub(super) fn missing_name(file: &KeptFile) -> String {
    format!("{EVIDENCE}{}.missing.txt", file.sha256)
}

/// Where the changes of keys are.
pub(super) const KEYS: &str = "keys/";

pub(super) fn anchor_name(size: u64, extension: &str) -> String {
    format!("anchors/{size:012}.{extension}")
}

pub(super) fn stamp_name(size: u64, number: EntryNumber) -> String {
    format!("anchors/{size:012}-{number:012}.tsr")
}

/// A pack that was written.
#[derive(Debug)]
pub struct Written<W> {
    /// Where it was written to.
    pub sink: W,
    /// The files that its entries name and that are not in it, one line each.
    pub missing: Vec<String>,
}

/// Hands in what is kept of a copy, if anything is; or says why it cannot be read.
pub type Message<'m> = &'m dyn Fn(CopyId) -> Result<Option<Sent>, String>;

/// Write `pack` as a zip, its list of files signed by `signer`. `message` hands in what is kept of the copies that its
/// entries admit, `open` the files that they name as evidence; one of these that cannot be shown is named in the pack,
/// and in what this gives.
pub fn write<W: Write + Seek>(
    pack: &Pack,
    message: Message<'_>,
    open: &dyn Fn(&KeptFile) -> Opened,
    signer: &Signer,
    sink: W,
) -> Result<Written<W>, PackError> {
    let signed = checkpoint::verify(&pack.checkpoint, &pack.verifier)?;
    let mut zip = Files { zip: ZipWriter::new(sink), list: String::new() };
    let mut entries = Vec::with_capacity(pack.entries.len());
    for exhibit in &pack.entries {
        let broken = |why: String| PackError::Entry { number: exhibit.number, why };
        let entry = Entry::parse(&exhibit.bytes).map_err(|error| broken(error.to_string()))?;
        entries.push((exhibit.number, entry));
        let proof = Proof {
            number: exhibit.number,
            salt: hex(&exhibit.salt),
            leaf: hex(&leaf(&exhibit.salt, &[&exhibit.bytes]).0),
            tree_size: signed.size,
            path: exhibit.path.iter().map(|hash| hex(&hash.0)).collect(),
        };
        let proof = serde_json::to_vec_pretty(&proof).map_err(|error| broken(error.to_string()))?;
        zip.add(&entry_name(exhibit.number), &exhibit.bytes)?;
        zip.add(&proof_name(exhibit.number), &proof)?;
    }
    let kept = zip.add_messages(&entries, message)?;
    let mut missing = Vec::new();
    let mut shown = BTreeMap::new();
    for (number, file) in evidence_of(&entries).into_values() {
        match open(file) {
            Ok(mut bytes) => {
                zip.add_evidence(file, &mut *bytes)?;
                shown.insert(file.sha256.clone(), Shown::Here(evidence_name(file)));
            }
            Err(why) => {
                let line = format!(
                    "{} (SHA-256 {}), named by entry {number}: {why}",
                    one_line(&file.name),
                    one_line(&file.sha256)
                );
                zip.add(&missing_name(file), format!("{line}\n").as_bytes())?;
                shown.insert(file.sha256.clone(), Shown::Missing(missing_name(file)));
                missing.push(line);
            }
        }
    }
    for (place, note) in pack.successions.iter().enumerate() {
        zip.add(&format!("{KEYS}{place:03}.txt"), note.as_bytes())?;
    }
    for anchor in &pack.anchors {
        let (old, new) = (anchor.note.clone(), pack.checkpoint.clone());
        let proof = Consistency { old, new, proof: anchor.proof.clone() };
        zip.add(&anchor_name(anchor.size, "txt"), anchor.note.as_bytes())?;
        zip.add(
            &anchor_name(anchor.size, "json"),
            &serde_json::to_vec_pretty(&proof).map_err(io::Error::from)?,
        )?;
    }
    for (number, entry) in &entries {
        if let Event::Anchored(Anchored { size, stamp: Some(stamp), .. }) = &entry.event {
            let broken =
                |error: base64::DecodeError| PackError::Entry { number: *number, why: error.to_string() };
            zip.add(&stamp_name(*size, *number), &BASE64_STANDARD.decode(stamp).map_err(broken)?)?;
        }
    }
    let about = one_line(&pack.about);
    let story = Story {
        page: PAGE,
        language: pack.language,
        about: &about,
        made_at: pack.made_at,
        note: &pack.checkpoint,
        signed: &signed,
        entries: &entries,
        keys: page::keys_in(&entries),
        kept,
        shown,
    };
    zip.add("index.html", page::render(&story).as_bytes())?;
    zip.add("checkpoint.txt", pack.checkpoint.as_bytes())?;
    zip.add("key.txt", format!("{}\n", pack.verifier).as_bytes())?;
    zip.add("VERIFY.md", include_str!("VERIFY.md").as_bytes())?;
    Ok(Written { sink: zip.finish(pack, signer)?, missing })
}

struct Files<W: Write + Seek> {
    zip: ZipWriter<W>,
    list: String,
}

impl<W: Write + Seek> Files<W> {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), PackError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.zip.start_file(name, options)?;
        self.zip.write_all(bytes)?;
        self.list.push_str(&format!("{}  {name}\n", hex(&sha256(bytes))));
        Ok(())
    }

    /// One after the other: ten thousand of them together are larger than what should stand in memory. Gives whether each
    /// is whole.
    fn add_messages(
        &mut self,
        entries: &[(EntryNumber, Entry)],
        message: Message<'_>,
    ) -> Result<BTreeMap<CopyId, bool>, PackError> {
        let mut kept = BTreeMap::new();
        for (_, entry) in entries {
            let Event::Admitted(admitted) = &entry.event else { continue };
            let copy = admitted.copy;
            if kept.contains_key(&copy) {
                continue;
            }
            if let Some(sent) = message(copy).map_err(|why| PackError::Message { copy, why })? {
                self.add(&message_name(copy, sent.whole), &sent.bytes)?;
                kept.insert(copy, sent.whole);
            }
        }
        Ok(kept)
    }

    /// Copied piece by piece: a recording may be larger than what should stand in memory.
    fn add_evidence(&mut self, file: &KeptFile, bytes: &mut dyn Read) -> Result<(), PackError> {
        let name = evidence_name(file);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(file.size >= u64::from(u32::MAX));
        self.zip.start_file(&name, options)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut block = vec![0; BLOCK];
        loop {
            let read = bytes.read(&mut block)?;
            if read == 0 {
                break;
            }
            hash.update(&block[..read]);
            self.zip.write_all(&block[..read])?;
        }
        if hex(hash.finish().as_ref()) != file.sha256 {
            return Err(PackError::Evidence(file.name.clone()));
        }
        self.list.push_str(&format!("{}  {name}\n", file.sha256));
        Ok(())
    }

    fn finish(mut self, pack: &Pack, signer: &Signer) -> Result<W, PackError> {
        let about = one_line(&pack.about);
        let text = format!(
            "{TITLE}\ngateway {}\nabout {about}\nmade {}\npage {PAGE} {}\n{}",
            pack.origin,
            pack.made_at,
            pack.language.code(),
            self.list
        );
        let note = signer.sign(&text)?;
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.zip.start_file("files.txt", options)?;
        self.zip.write_all(note.as_bytes())?;
        Ok(self.zip.finish()?)
    }
}
