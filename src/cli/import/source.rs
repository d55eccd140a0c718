//! The file that is imported: kept as it is under its SHA-256, and read as often as there are passes. A zip is
//! read member by member; nothing is unpacked to disk, and nothing of it grows in memory.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::digest;
use encoding_rs::{Decoder, UTF_16BE, UTF_16LE};

use super::convert::Part;
use super::forms::says_left;
use crate::ledger::KeptFile;

/// Files in one zip.
const MAX_MEMBERS: usize = 100;
/// How much more a zip may hold than it weighs: addresses pack well, and a bomb packs better.
const MAX_RATIO: u64 = 200;
/// What is said of one that does.
const TOO_MUCH: &str = "it unpacks to more than 200 times its size";

/// A file to be imported, kept.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name, for entries and messages.
    pub name: String,
    /// SHA-256, hex.
    pub sha256: String,
    /// Octets.
    pub size: u64,
    /// Where it is read from: each reading has a place of its own in it.
    path: PathBuf,
    /// Standard input that is not kept: gone with this.
    _loose: Option<tempfile::NamedTempFile>,
    /// What it holds.
    pub members: Vec<Member>,
}

/// One table of rows: the file itself, or one in a zip.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its name.
    pub name: String,
    /// What its name says of those in it.
    pub part: Part,
    /// Octets, unpacked.
    pub size: u64,
    /// Its place in the zip.
    index: Option<usize>,
}

/// Largest file of evidence.
const MAX_EVIDENCE: u64 = 256 << 20;

/// Keep `path` in `folder` under its SHA-256, as evidence.
pub(in crate::cli) fn keep_evidence(path: &Path, folder: &Path) -> Result<KeptFile> {
    let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    if file.metadata()?.len() > MAX_EVIDENCE {
        bail!("{} is larger than {MAX_EVIDENCE} octets", path.display());
    }
    let copy = Copy::In(temporary(folder)?);
    let (sha256, size) =
        copy.take(&mut &file).with_context(|| format!("{} cannot be read", path.display()))?;
    if let Copy::In((temporary, _)) = &copy {
        let kept = folder.join(&sha256);
        fs::rename(temporary, &kept)
            .with_context(|| format!("the file cannot be kept as {}", kept.display()))?;
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(KeptFile { sha256, name, size })
}

impl Source {
    /// Open `path` ("-": standard input) and keep it in `folder`; without one it is only read.
    pub(super) fn open(path: &Path, folder: Option<&Path>) -> Result<Self> {
        let from_pipe = path == Path::new("-");
        let mut input: Box<dyn Read> = if from_pipe {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?)
        };
        let name = if from_pipe {
            "standard input".to_owned()
        } else {
            path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
        };
        let copy = match folder {
            Some(folder) => Copy::In(temporary(folder)?),
            None if from_pipe => Copy::Loose(tempfile::NamedTempFile::new()?),
            None => Copy::No,
        };
        let (sha256, size) =
            copy.take(&mut *input).with_context(|| format!("{} cannot be read", path.display()))?;
        let (kept, loose) = match copy {
            Copy::In((temporary, _)) => {
                let kept = folder.unwrap_or(Path::new("")).join(&sha256);
                fs::rename(&temporary, &kept)
                    .with_context(|| format!("the file cannot be kept as {}", kept.display()))?;
                (kept, None)
            }
            Copy::Loose(file) => (file.path().to_owned(), Some(file)),
            Copy::No => (path.to_owned(), None),
        };
        let mut source = Self { name, sha256, size, path: kept, _loose: loose, members: Vec::new() };
        source.members = source.look()?;
        Ok(source)
    }

    /// Octets of all members.
    pub(super) fn unpacked(&self) -> u64 {
        self.members.iter().map(|member| member.size).sum()
    }

    fn look(&mut self) -> Result<Vec<Member>> {
        let mut head = [0; 4];
        let mut file = File::open(&self.path)?;
        let read = file.read(&mut head)?;
        file.rewind()?;
        if head[..read] != *b"PK\x03\x04" {
            let whole =
                Member { name: self.name.clone(), part: part(&self.name), size: self.size, index: None };
            return Ok(vec![whole]);
        }
        let mut zip = zip::ZipArchive::new(io::BufReader::new(file))
            .with_context(|| format!("{} is no zip file that can be read", self.name))?;
        if zip.len() > MAX_MEMBERS {
            bail!("{} holds {} files; at most {MAX_MEMBERS}", self.name, zip.len());
        }
        let mut members = Vec::new();
        for index in 0..zip.len() {
            let entry = zip.by_index(index)?;
            let name = entry.name()?.into_owned();
            let base = name.rsplit(['/', '\\']).next().unwrap_or(&name).to_lowercase();
            if entry.is_dir() || base.starts_with('.') || name.starts_with("__MACOSX") || !is_table(&base) {
                continue;
            }
            // Told before anything is taken in; what lies about its size is found out as it is read.
            if is_bomb(entry.size(), self.size) {
                bail!("{name} in {}: {TOO_MUCH}", self.name);
            }
            members.push(Member { part: part(&base), size: entry.size(), index: Some(index), name });
        }
        if members.is_empty() {
            bail!("{} holds no .csv, .tsv, .txt or .jsonl file", self.name);
        }
        Ok(members)
    }

    /// Read one member from its beginning, as UTF-8 where it says that it is UTF-16.
    pub(super) fn read(&self, member: &Member) -> Result<Box<dyn Read>> {
        let file = File::open(&self.path)?;
        let plain: Box<dyn Read> = match member.index {
            None => Box::new(file),
            Some(index) => Box::new(Unpacked::start(file, index, self.size)?),
        };
        decoded(plain)
    }
}

/// Where the bytes of the file are put while they are hashed.
enum Copy {
    In((PathBuf, File)),
    Loose(tempfile::NamedTempFile),
    No,
}

impl Copy {
    fn take(&self, input: &mut dyn Read) -> io::Result<(String, u64)> {
        let mut context = digest::Context::new(&digest::SHA256);
        let (mut block, mut size) = (vec![0; 128 << 10], 0);
        loop {
            let read = input.read(&mut block)?;
            if read == 0 {
                break;
            }
            context.update(&block[..read]);
            size += read as u64;
            match self {
                Self::In((_, file)) => (&mut &*file).write_all(&block[..read])?,
                Self::Loose(file) => file.as_file().write_all(&block[..read])?,
                Self::No => {}
            }
        }
        if let Self::In((_, file)) = self {
            // The original is evidence: it is there before the first entry that names it.
            file.sync_all()?;
        }
        Ok((crate::mail::hex(context.finish().as_ref()), size))
    }
}

fn temporary(folder: &Path) -> Result<(PathBuf, File)> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(format!("taking-in.{}", std::process::id()));
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    Ok((path, file))
}

/// Whether so many octets are too many to come out of so few.
fn is_bomb(unpacked: u64, packed: u64) -> bool {
    unpacked / MAX_RATIO > packed.max(1 << 16)
}

fn is_table(name: &str) -> bool {
    [".csv", ".tsv", ".txt", ".jsonl", ".ndjson"].iter().any(|end| name.ends_with(end))
}

/// Tools name the files of an export by what became of the people in them.
fn part(name: &str) -> Part {
    let squeezed: String =
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let has = |words: &[&str]| words.iter().any(|word| squeezed.contains(word));
    if says_left(name) || has(&["complain", "complaint", "klachten"]) {
        Part::Left
    } else if has(&["cleaned", "bounced"]) {
        Part::Dead
    } else if has(&["unconfirmed", "pending", "nonsubscribed", "onbevestigd"]) {
        Part::Pending
    } else {
        Part::Whole
    }
}

/// One member of a zip, unpacked as it is read: on a thread of its own, because the unpacker borrows the archive
/// and a reader that owns what it borrows needs no more than two blocks in between.
struct Unpacked {
    blocks: std::sync::mpsc::Receiver<io::Result<Vec<u8>>>,
    block: io::Cursor<Vec<u8>>,
}

impl Unpacked {
    fn start(file: File, index: usize, packed: u64) -> Result<Self> {
        let (sender, blocks) = std::sync::mpsc::sync_channel(2);
        let unpack = move || {
            let pump = || -> io::Result<()> {
                let mut zip = zip::ZipArchive::new(io::BufReader::new(file))?;
                let mut entry = zip.by_index(index)?;
                let mut all = 0u64;
                loop {
                    let mut block = vec![0; 64 << 10];
                    let read = entry.read(&mut block)?;
                    all += read as u64;
                    if is_bomb(all, packed) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH));
                    }
                    block.truncate(read);
                    if read == 0 || sender.send(Ok(block)).is_err() {
                        return Ok(());
                    }
                }
            };
            if let Err(error) = pump() {
                // Whoever stopped reading does not want to know.
                let _ = sender.send(Err(error));
            }
        };
        std::thread::Builder::new().name("unzip".to_owned()).spawn(unpack)?;
        Ok(Self { blocks, block: io::Cursor::new(Vec::new()) })
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.blocks.recv() {
                Ok(block) => self.block = io::Cursor::new(block?),
                Err(_) => return Ok(0),
            }
        }
    }
}

/// `input` as it is, or as UTF-8 when it begins with the byte order mark of UTF-16 (spreadsheets write it).
fn decoded(mut input: Box<dyn Read>) -> Result<Box<dyn Read>> {
    let mut mark = [0; 2];
    let mut filled = 0;
    while filled < mark.len() {
        match input.read(&mut mark[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    let decoder = match &mark[..filled] {
        [0xff, 0xfe] => UTF_16LE.new_decoder_without_bom_handling(),
        [0xfe, 0xff] => UTF_16BE.new_decoder_without_bom_handling(),
        _ => return Ok(Box::new(io::Cursor::new(mark[..filled].to_vec()).chain(input))),
    };
    Ok(Box::new(Utf16 { input, decoder, text: io::Cursor::new(Vec::new()), ended: false }))
}

struct Utf16 {
    input: Box<dyn Read>,
    decoder: Decoder,
    text: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Utf16 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.text.read(buffer)?;
            if read > 0 || self.ended || buffer.is_empty() {
                return Ok(read);
            }
            let mut block = vec![0; 32 << 10];
            let read = self.input.read(&mut block)?;
            self.ended = read == 0;
            // Four octets for two, and room for what the decoder kept back.
            let mut text = vec![0; read * 3 + 16];
            let (_, _, written, _) = self.decoder.decode_to_utf8(&block[..read], &mut text, self.ended);
            text.truncate(written);
            self.text = io::Cursor::new(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: Box<dyn Read>) -> Vec<u8> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn utf_16_becomes_utf_8_whatever_the_blocks() {
        let text = "address\tnaam\na@x.nl\tZoë 😀\n".repeat(5_000);
        let little: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let big: Vec<u8> =
            [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        for bytes in [little, big] {
            assert_eq!(all(decoded(Box::new(io::Cursor::new(bytes))).unwrap()), text.as_bytes());
        }
        for plain in [&b""[..], b"a", b"a;b\n", b"\xff"] {
            assert_eq!(all(decoded(Box::new(plain)).unwrap()), plain);
        }
    }

    #[test]
    fn l19_a_file_is_named_for_those_who_left_in_many_ways() {
        for name in [
            "unsubscribed_email_audience_export_1.csv",
            "afgemeld.csv",
            "Afmeldingen 2026.csv",
            "uitschrijvingen.csv",
            "opt-out.csv",
            "Opt Outs.csv",
            "opted_out.csv",
            "suppressed.csv",
            "suppression-list.csv",
            "abgemeldet.csv",
            "désabonnés.csv",
            "desabonnes.csv",
            "desinscrits.csv",
            "complaints.csv",
        ] {
            assert_eq!(part(name), Part::Left, "{name}");
        }
        for (name, expected) in [
            ("subscribed_email_audience_export_1.csv", Part::Whole),
            ("aangemeld.csv", Part::Whole),
            ("double-opt-in.csv", Part::Whole),
            ("cleaned.csv", Part::Dead),
            ("non-subscribed.csv", Part::Pending),
            ("nonsubscribed.csv", Part::Pending),
        ] {
            assert_eq!(part(name), expected, "{name}");
        }
    }

    #[test]
    fn a_zip_is_read_member_by_member_and_a_bomb_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let zip = |files: &[(&str, Vec<u8>)]| {
            let path = folder.path().join("export.zip");
            let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
            for (name, bytes) in files {
                writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                writer.write_all(bytes).unwrap();
            }
            writer.finish().unwrap();
            path
        };
        let path = zip(&[
            ("lijst/subscribed_email_audience_export_1.csv", b"a".to_vec()),
            ("lijst/unsubscribed_email_audience_export_1.csv", b"bb".to_vec()),
            ("lijst/cleaned_email_audience_export_1.csv", b"c".to_vec()),
            ("__MACOSX/._x.csv", b"d".to_vec()),
            ("leesmij.pdf", b"e".to_vec()),
        ]);
        let kept = folder.path().join("imports");
        let source = Source::open(&path, Some(&kept)).unwrap();
        let parts: Vec<_> = source.members.iter().map(|member| (member.part, member.size)).collect();
        assert_eq!(parts, [(Part::Whole, 1), (Part::Left, 2), (Part::Dead, 1)]);
        for _ in 0..2 {
            assert_eq!(all(source.read(&source.members[1]).unwrap()), b"bb", "in each pass");
        }
        assert_eq!(
            fs::read(kept.join(&source.sha256)).unwrap(),
            fs::read(&path).unwrap(),
            "the original is kept"
        );
        assert_eq!(fs::read_dir(&kept).unwrap().count(), 1);

        let bomb = zip(&[("a.csv", vec![b'\n'; 64 << 20])]);
        let error = Source::open(&bomb, None).unwrap_err();
        assert!(
            error.to_string().contains("a.csv in export.zip: it unpacks to more than 200 times"),
            "{error}"
        );
        // One that says it is small.
        let mut lies = fs::read(&bomb).unwrap();
        for (signature, size) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
            let at = memchr::memmem::find(&lies, signature).unwrap() + size;
            lies[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
        }
        fs::write(&bomb, lies).unwrap();
        let source = Source::open(&bomb, None).unwrap();
        let read = source.read(&source.members[0]);
        let error = read.and_then(|mut input| Ok(input.read_to_end(&mut Vec::new())?)).unwrap_err();
        assert!(error.to_string().contains("larger than its declared"), "{error}");
        assert!(Source::open(&zip(&[("leesmij.pdf", Vec::new())]), None).is_err());
    }
}
