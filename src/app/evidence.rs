//! The files that show consents: in a folder beside the store, under their hashes, for as long as an entry names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memmem;

use crate::admin::PackFile;
use crate::ledger::pack::{self, Pack};
use crate::ledger::{Entry, EntryNumber, Event, KeptFile, NamedFile, NotKept, Opened, Shelf};
use crate::mail::{hash, hex, unhex};
use crate::policy::Unavailable;
use crate::store::Store;

/// The folder, in the data folder.
pub const EVIDENCE: &str = "evidence";

/// Entries that are looked at in one go.
const STRETCH: usize = 200_000;
/// A file that is younger may belong to an entry that is just being written.
const YOUNG: Duration = Duration::from_secs(86_400);

/// What a pack is called until whoever asked for it took it away.
const PACK: (&str, &str) = ("pack-", ".tmp");
/// A pack that nobody took away for so long is removed.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Hand in the file that an entry names, if it is still what it was. It is read twice: here for its hash, then by whoever
/// uses it.
pub fn open(data: &Path, file: &NamedFile) -> Opened {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => NotKept::Missing,
        _ => NotKept::Unreadable(error.to_string()),
    };
    let mut kept = File::open(data.join(file.to_string())).map_err(unreadable)?;
    let (sha256, _) = hash(&mut kept).map_err(unreadable)?;
    if sha256 != hex(&file.sha256) {
        return Err(NotKept::Changed(sha256));
    }
    kept.rewind().map_err(unreadable)?;
    Ok(Box::new(kept))
}

/// Write `pack` to a file beside the store: with messages and recordings in it, it may be larger than what should stand in memory.
pub(super) fn write_pack(store: &Store, pack: &Pack) -> Result<PackFile, Unavailable> {
    let failed = |why: String| Unavailable(format!("the pack cannot be written: {why}"));
    let data = data_folder(store);
    remove_forgotten_packs(store);
    let (prefix, suffix) = PACK;
    // Closed to others, as all that lies here.
    let draft = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(&data);
    let mut draft = draft.map_err(|error| failed(error.to_string()))?;
    let open = |file: &KeptFile| {
        let sha256 = unhex(&file.sha256).ok_or(NotKept::Missing)?;
        open(&data, &NamedFile { shelf: Shelf::Evidence, sha256 })
    };
    let written = pack::write(pack, &|copy| store.sent(copy), &open, store.signer(), draft.as_file_mut());
    let missing = written.map_err(|error| Unavailable(error.to_string()))?.missing;
    let octets = draft.as_file().metadata().map_err(|error| failed(error.to_string()))?.len();
    let (_, file) = draft.keep().map_err(|error| failed(error.to_string()))?;
    Ok(PackFile { file, octets, missing })
}

/// Remove the packs that nobody took away: they hold who was mailed and why.
pub(super) fn remove_forgotten_packs(store: &Store) {
    let (prefix, suffix) = PACK;
    let is_pack = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
    remove_old(&data_folder(store), FORGOTTEN, is_pack);
}

/// What a look at the files beside the store found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Files that are what the entries say.
    pub sound: u64,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
    /// What somebody should know, one line each.
    pub notes: Vec<String>,
}

/// Look whether the files that entries name are there and are what they were.
pub(super) fn check(store: &Store, named: &BTreeMap<NamedFile, EntryNumber>) -> Result<Looked, Unavailable> {
    let (data, mut looked) = (data_folder(store), Looked::default());
    for (file, &number) in named {
        match open(&data, file) {
            Ok(_) => looked.sound += 1,
            // The entry went with its file since it was read.
            Err(_) if store.entries(number..number.saturating_add(1))?.is_empty() => {}
            // Whoever took it away after its time knows why; what was taken in from it stands in the ledger.
            Err(why @ NotKept::Missing) if file.shelf == Shelf::Imports => {
                looked.notes.push(file.fault(number, &why.to_string()));
            }
            Err(why) => looked.problems.push(file.fault(number, &why.to_string())),
        }
    }
    Ok(looked)
}

/// Put a file that comes out of a backup in its place, unless it is there already. It is durable when this is done.
pub(super) fn put_back(data: &Path, file: &NamedFile, bytes: &mut dyn io::Read) -> io::Result<()> {
    if open(data, file).is_ok() {
        return Ok(());
    }
    let folder = data.join(file.shelf.folder());
    std::fs::create_dir_all(&folder)?;
    let mut draft = tempfile::Builder::new().prefix("putting-back.").tempfile_in(&folder)?;
    io::copy(bytes, &mut draft)?;
    draft.rewind()?;
    if hash(draft.as_file_mut())?.0 != hex(&file.sha256) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what its hash says"));
    }
    draft.as_file().sync_all()?;
    draft.persist(data.join(file.to_string())).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

pub(super) fn data_folder(store: &Store) -> PathBuf {
    store.path().parent().unwrap_or(Path::new("")).to_owned()
}

/// Remove the files of `folder` whose names are `meant`, and that are older than `age`.
fn remove_old(folder: &Path, age: Duration, meant: impl Fn(&str) -> bool) {
    for name in old_files(folder, age).iter().filter(|name| meant(name)) {
        // One that somebody else removed is gone as well.
        let _ = std::fs::remove_file(folder.join(name));
    }
}

/// Remove the files that no entry names any more: those among `wanted`, or, without a list, all that are a day old.
/// Gives how many went.
pub(super) fn sweep(store: &Store, wanted: Option<&[String]>) -> Result<usize, Unavailable> {
    let folder = data_folder(store).join(EVIDENCE);
    let mut loose: BTreeSet<String> = match wanted {
        Some(wanted) => wanted.iter().cloned().collect(),
        None => old_files(&folder, YOUNG),
    };
    let mut from: Option<EntryNumber> = Some(0);
    let sign = memmem::Finder::new("\"kind\":\"evidence\"");
    while let Some(start) = from.filter(|_| !loose.is_empty()) {
        from = store.scan(start, STRETCH, |_, bytes| {
            if sign.find(bytes).is_some()
                && let Ok(Entry { event: Event::Evidence(it), .. }) = Entry::parse(bytes)
            {
                loose.remove(&it.file.sha256);
            }
        })?;
    }
    let removed = loose.iter().filter(|name| std::fs::remove_file(folder.join(name)).is_ok()).count();
    Ok(removed)
}

/// The files of the folder that have been there for so long.
fn old_files(folder: &Path, long: Duration) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let old = files.filter(|file| {
        let age =
            file.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        age.is_some_and(|age| age > long)
    });
    old.filter_map(|file| file.file_name().into_string().ok()).collect()
}
