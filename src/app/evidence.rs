//! The files that show consents: in a folder beside the store, under their hashes, for as long as an entry names them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memmem;

use crate::ledger::{Entry, EntryNumber, Event};
use crate::policy::Unavailable;
use crate::store::Store;

/// The folder, in the data folder.
pub const EVIDENCE: &str = "evidence";

/// Entries that are looked at in one go.
const STRETCH: usize = 200_000;
/// A file that is younger may belong to an entry that is just being written.
const YOUNG: Duration = Duration::from_secs(86_400);

/// Remove the files that no entry names any more: those among `wanted`, or, without a list, all that are a day old.
/// Gives how many went.
pub(super) fn sweep(store: &Store, wanted: Option<&[String]>) -> Result<usize, Unavailable> {
    let path = store.path();
    let folder = path.parent().unwrap_or(Path::new("")).join(EVIDENCE);
    let mut loose: BTreeSet<String> = match wanted {
        Some(wanted) => wanted.iter().cloned().collect(),
        None => old_files(&folder),
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

/// The files of the folder that have been there for a day.
fn old_files(folder: &PathBuf) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let old = files.filter(|file| {
        let age =
            file.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        age.is_some_and(|age| age > YOUNG)
    });
    old.filter_map(|file| file.file_name().into_string().ok()).collect()
}
