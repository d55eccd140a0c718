//! A store put back from its backup.
//!
//! The copy is checked before it takes the place of the store, and takes it only where there is none: nothing is
//! written over. What waited in the spool then may have gone out since, so it is held until a person decides; what was
//! told twice is told under the same id, so the outbox goes on by itself.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::keys::{KeyFolder, STORE};
use super::lock::FolderLock;
use super::{evidence, rooms};
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::ledger::{Event, NamedFile, Record};
use crate::secret::SharedEntropy;
use crate::store::{Store, strip, unpack};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The store, in its place.
    pub file: PathBuf,
    /// Entries in it.
    pub entries: u64,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// When its last entry was written; what came afterwards is not in it.
    pub until: Option<Timestamp>,
    /// Copies in its spool that are held now.
    pub held: u64,
    /// Files that came out of it, to where entries name them.
    pub files: u64,
    /// Files that entries name and that are neither in it nor there, one line each.
    pub missing: Vec<String>,
}

/// Put the backup `from` in the place of the store that `settings` name, once it is found sound and, with `anchors`
/// (checkpoints kept elsewhere), to continue each of them. `progress` hears of the check.
pub fn restore(
    settings: &Settings,
    from: &Path,
    anchors: &[String],
    clock: SharedClock,
    entropy: SharedEntropy,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored> {
    let place = settings.data.join(STORE);
    if place.try_exists()? {
        bail!(
            "{place} is there; a restore never writes over a store: stop the gateway, move {place} away, and try again",
            place = place.display()
        );
    }
    if !settings.data.join("keys/ledger.key").try_exists()? {
        bail!(
            "{} is not there; put the keys back first, from their own backup: with a new key nothing that was signed \
             could be continued (docs/keys.md)",
            settings.data.join("keys/ledger.key").display()
        );
    }
    // From here to the end: a gateway that starts meanwhile would begin a store of its own in that place.
    let _alone = FolderLock::alone(&settings.data)?;
    if place.try_exists()? {
        bail!("{} came to be there meanwhile; nothing was restored", place.display());
    }
    let draft = Draft::of(from, &settings.data.join("sluis.redb.restoring"))?;
    let signer = KeyFolder::open(&settings.data)?.ledger(settings.name.ascii(), &*entropy)?;
    let store = Store::open(&draft.path, rooms::store(settings, signer), clock, entropy)
        .with_context(|| format!("{} cannot be restored", from.display()))?;
    let findings = store.verify_with(anchors, progress)?;
    if let Some(first) = findings.problems.first() {
        bail!("{} is not sound, and was not restored: {first}", from.display());
    }
    let last = findings.entries.checked_sub(1).map(|last| store.entries(last..findings.entries));
    let until = last.transpose()?.and_then(|found| found.last().map(|found| found.entry.at));
    let held = store.hold_spool()?;
    let key = store.key_in_force()?;
    if store.labelled(&key.label())?.is_none() {
        store.write(vec![Record::of(Event::KeyInForce(key))])?;
    }
    drop(store);
    // Before the store: a file that no entry names harms nobody, and an entry whose file never came would.
    let cache = usize::try_from(settings.ledger.cache).unwrap_or(usize::MAX);
    let back = &mut |file: &NamedFile, bytes: &mut dyn Read| evidence::put_back(&settings.data, file, bytes);
    let files = unpack(&draft.path, cache, back)?;
    let missing = findings.files.iter().filter_map(|(file, number)| {
        let why = evidence::open(&settings.data, file).err()?;
        Some(file.fault(*number, &why.to_string()))
    });
    let missing = missing.collect();
    strip(&draft.path, cache)?;
    draft.take(&place)?;
    let (entries, checkpoints) = (findings.entries, findings.checkpoints);
    Ok(Restored { file: place, entries, checkpoints, until, held, files, missing })
}

/// A copy that is not in its place yet; gone when it does not get there.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn of(from: &Path, path: &Path) -> Result<Self> {
        let mut source =
            fs::File::open(from).with_context(|| format!("{} cannot be read", from.display()))?;
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.with_context(|| {
            format!("{} cannot be made (left by a restore that was broken off? remove it)", path.display())
        })?;
        let draft = Self { path: path.to_owned() };
        std::io::copy(&mut source, &mut file)
            .and_then(|_| file.sync_all())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(draft)
    }

    /// Put it in `place`, unless somebody else was faster.
    fn take(self, place: &Path) -> Result<()> {
        fs::hard_link(&self.path, place).with_context(|| format!("{} cannot be made", place.display()))?;
        let folder = place.parent().unwrap_or_else(|| Path::new("."));
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| folder.display().to_string())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
