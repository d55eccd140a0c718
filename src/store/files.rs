//! The files of a backup: what entries name by hash and what lies beside the store, put into the copy piece by piece, so
//! that a backup is one file with all that is needed to prove. Only a backup has this table; a restore takes it out.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use aws_lc_rs::digest;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

use super::backup::BackupError;
use super::error::{Fault, OpenError};
use super::guard::guarded;
use crate::ledger::{EntryNumber, NamedFile, Opened, Shelf};

/// Pieces by shelf, SHA-256 and place.
pub(super) const FILES: TableDefinition<(&str, &[u8; 32], u32), &[u8]> = TableDefinition::new("files");

/// Octets of a piece.
const PIECE: usize = 1 << 20;
/// Pieces of one commit: what is not committed stands in memory.
const AT_ONCE: usize = 16;

/// Files in a backup, and those that could not be put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// Files.
    pub files: u64,
    /// Their octets.
    pub octets: u64,
    /// Files that entries name and that are not in it, one line each.
    pub missing: Vec<String>,
}

/// Takes a file out of a backup: which, and its bytes.
pub type Take<'t> = &'t mut dyn FnMut(&NamedFile, &mut dyn Read) -> io::Result<()>;

/// Put what `named` says into the backup at `path`; `open` hands each file in.
pub(super) fn pack(
    path: &Path,
    cache_bytes: usize,
    named: &BTreeMap<NamedFile, EntryNumber>,
    open: &dyn Fn(&NamedFile) -> Opened,
) -> Result<Packed, BackupError> {
    let mut packed = Packed::default();
    let database = opened(path, cache_bytes)?;
    for (file, number) in named {
        let why = match open(file) {
            Ok(mut bytes) => {
                let put = guarded(|| put(&database, file, &mut *bytes));
                match put
                    .map_err(|fault| BackupError::Write { path: path.to_owned(), why: fault.to_string() })?
                {
                    Some(octets) => {
                        packed.files += 1;
                        packed.octets += octets;
                        continue;
                    }
                    None => "it changed while it was read".to_owned(),
                }
            }
            Err(why) => why.to_string(),
        };
        packed.missing.push(file.fault(*number, &why));
    }
    Ok(packed)
}

/// Octets of the file, once all of it is in; `None`, and nothing of it, when it is no longer what it was.
fn put(database: &Database, file: &NamedFile, bytes: &mut dyn Read) -> Result<Option<u64>, Fault> {
    let unreadable = |error: io::Error| Fault::Format(format!("{file}: {error}"));
    let (shelf, mut hash) = (file.shelf.folder(), digest::Context::new(&digest::SHA256));
    let (mut octets, mut place, mut ended) = (0, 0u32, false);
    while !ended {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(FILES)?;
            for _ in 0..AT_ONCE {
                let mut piece = Vec::new();
                (&mut *bytes).take(PIECE as u64).read_to_end(&mut piece).map_err(unreadable)?;
                // A file without an octet is a file, too: it has one piece.
                if piece.is_empty() && place > 0 {
                    ended = true;
                    break;
                }
                hash.update(&piece);
                octets += piece.len() as u64;
                table.insert((shelf, &file.sha256, place), piece.as_slice())?;
                place += 1;
            }
        }
        transaction.commit()?;
    }
    if hash.finish().as_ref() == file.sha256 {
        return Ok(Some(octets));
    }
    let transaction = database.begin_write()?;
    transaction
        .open_table(FILES)?
        .retain_in((shelf, &file.sha256, 0)..=(shelf, &file.sha256, u32::MAX), |_, _| false)?;
    transaction.commit()?;
    Ok(None)
}

/// Show each file of the backup at `path` to `take`, in order; how many there are. A backup of an older release has none.
pub fn unpack(path: &Path, cache_bytes: usize, take: Take<'_>) -> Result<u64, BackupError> {
    let failed = |fault: Fault| BackupError::Write { path: path.to_owned(), why: fault.to_string() };
    let database = opened(path, cache_bytes)?;
    guarded(|| each(&database, take)).map_err(failed)
}

fn each(database: &Database, take: Take<'_>) -> Result<u64, Fault> {
    let table = match database.begin_read()?.open_table(FILES) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut files = 0;
    let mut next = table.first()?.map(|(key, _)| named(key.value())).transpose()?;
    while let Some(file) = next {
        let (shelf, end) = (file.shelf.folder(), u32::MAX);
        let pieces = table.range((shelf, &file.sha256, 0)..=(shelf, &file.sha256, end))?;
        let mut pieces = Pieces { pieces, piece: io::Cursor::new(Vec::new()), place: 0 };
        take(&file, &mut pieces).map_err(|error| Fault::Format(format!("{file}: {error}")))?;
        files += 1;
        let after = (std::ops::Bound::Excluded((shelf, &file.sha256, end)), std::ops::Bound::Unbounded);
        let first = table.range::<(&str, &[u8; 32], u32)>(after)?.next().transpose()?;
        next = first.map(|(key, _)| named(key.value())).transpose()?;
    }
    Ok(files)
}

fn named((shelf, sha256, _): (&str, &[u8; 32], u32)) -> Result<NamedFile, Fault> {
    let known = Shelf::ALL.into_iter().find(|known| known.folder() == shelf);
    let shelf =
        known.ok_or_else(|| Fault::Format(format!("files of a kind this program does not know: {shelf}")))?;
    Ok(NamedFile { shelf, sha256: *sha256 })
}

/// Take the files out of the copy at `path`, and the room they had: what stays is a store.
pub fn strip(path: &Path, cache_bytes: usize) -> Result<(), BackupError> {
    let failed = |fault: Fault| BackupError::Write { path: path.to_owned(), why: fault.to_string() };
    let mut database = opened(path, cache_bytes)?;
    let strip = || -> Result<(), Fault> {
        let transaction = database.begin_write()?;
        let had = transaction.delete_table(FILES)?;
        transaction.commit()?;
        if had {
            database.compact().map_err(|error| Fault::Format(error.to_string()))?;
        }
        Ok(())
    };
    guarded(strip).map_err(failed)
}

fn opened(path: &Path, cache_bytes: usize) -> Result<Database, BackupError> {
    let failed = |why: String| BackupError::Write { path: path.to_owned(), why };
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| failed(error.to_string()))?;
    let backend = FileBackend::new(file).map_err(|error| OpenError::from_redb(path.to_owned(), error))?;
    let open = || Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(backend));
    guarded(open)
        .map_err(|fault| failed(fault.to_string()))?
        .map_err(|error| OpenError::from_redb(path.to_owned(), error).into())
}

/// The pieces of one file, read one after the other.
struct Pieces<'r> {
    pieces: redb::Range<'r, (&'static str, &'static [u8; 32], u32), &'static [u8]>,
    piece: io::Cursor<Vec<u8>>,
    place: u32,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(row) = self.pieces.next() else { return Ok(0) };
            let (key, value) = row.map_err(io::Error::other)?;
            if key.value().2 != self.place {
                return Err(io::Error::other("a piece of it is missing"));
            }
            self.place += 1;
            self.piece = io::Cursor::new(value.value().to_vec());
        }
    }
}
