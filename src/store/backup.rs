//! Online backup: one consistent picture of the store, copied table by table while it goes on being written,
//! and checked before anybody relies on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{
    Builder, Database, Key, ReadTransaction, ReadableTableMetadata as _, TableDefinition, TableHandle as _,
    Value,
};

use super::error::{Fault, OpenError};
use super::files::{self, FILES, Packed};
use super::guard::guarded;
use super::inbox::INBOX;
use super::outbox::{LANES, OUTBOX, OWED_DUE};
use super::read::closed;
use super::tables::{
    BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_MINUTE, BY_TEXT, CHECKPOINTS, COPIES, DUE, ENTRIES, ERASED,
    FORGOTTEN, HASHES, HOLDS, IMPORTS, KEYS, META, OPEN, ORIGINAL_USES, ORIGINALS, PROFILES, SPOOL,
    SUPPRESSED,
};
use super::{Findings, Store};
use crate::ledger::{NamedFile, Opened};
use crate::policy::Unavailable;

/// Rows of one commit of the copy.
const AT_ONCE: usize = 10_000;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file already; none is written over.
    #[error("{0} is there already; a backup is never written over another file")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{path} cannot be written: {why}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system or redb said.
        why: String,
    },
    /// The copy does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] Unavailable),
    /// The copy is not what it should be; it was removed.
    #[error(
        "the copy is not sound ({0}); it was removed, and the store itself should be checked: sluis ledger fsck"
    )]
    Unsound(String),
}

impl Store {
    /// Copy the store as it is at this moment to a file that is not there yet (mode 0600), and check the copy
    /// as [`Store::verify_all`] does. `open` hands in the files beside the store that entries name: they go into the copy,
    /// and those that cannot be had are named. Writers go on meanwhile. Blocks for as long as that takes; `progress`
    /// hears of the check.
    pub fn backup(
        &self,
        path: &Path,
        open: &dyn Fn(&NamedFile) -> Opened,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Findings, Packed), BackupError> {
        let failed = |why: String| BackupError::Write { path: path.to_owned(), why };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // It holds who was mailed and why.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists(path.to_owned()));
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let pack = |findings: Findings| {
            let packed = files::pack(path, self.inner.settings.cache_bytes, &findings.files, open)?;
            Ok((findings, packed))
        };
        let copied = self.copy_to(file).map_err(failed);
        let made = copied.and_then(|()| self.check_copy(path, progress)).and_then(pack);
        if made.is_err() {
            // Half a backup must not be taken for one.
            let _ = std::fs::remove_file(path);
        }
        made
    }

    fn copy_to(&self, file: std::fs::File) -> Result<(), String> {
        let copy = || -> Result<(), Fault> {
            let reading = self.transaction().map_err(closed)?;
            let backend = FileBackend::new(file).map_err(|error| Fault::Format(error.to_string()))?;
            let copy = Builder::new()
                .set_cache_size(self.inner.settings.cache_bytes)
                .create_with_backend(backend)
                .map_err(|error| Fault::Format(error.to_string()))?;
            copy_table(&reading, &copy, META)?;
            copy_table(&reading, &copy, KEYS)?;
            copy_table(&reading, &copy, ENTRIES)?;
            copy_table(&reading, &copy, HASHES)?;
            copy_table(&reading, &copy, CHECKPOINTS)?;
            copy_table(&reading, &copy, PROFILES)?;
            copy_table(&reading, &copy, SUPPRESSED)?;
            copy_table(&reading, &copy, IMPORTS)?;
            copy_table(&reading, &copy, OPEN)?;
            copy_table(&reading, &copy, OUTBOX)?;
            copy_table(&reading, &copy, LANES)?;
            copy_table(&reading, &copy, OWED_DUE)?;
            copy_table(&reading, &copy, INBOX)?;
            copy_table(&reading, &copy, SPOOL)?;
            copy_table(&reading, &copy, DUE)?;
            copy_table(&reading, &copy, ORIGINALS)?;
            copy_table(&reading, &copy, ORIGINAL_USES)?;
            copy_table(&reading, &copy, COPIES)?;
            copy_table(&reading, &copy, BY_COPY)?;
            copy_table(&reading, &copy, BY_ADDRESS)?;
            copy_table(&reading, &copy, BY_MESSAGE)?;
            copy_table(&reading, &copy, BY_TEXT)?;
            copy_table(&reading, &copy, BY_MINUTE)?;
            copy_table(&reading, &copy, HOLDS)?;
            copy_table(&reading, &copy, FORGOTTEN)?;
            copy_table(&reading, &copy, ERASED)?;
            // A backup that was put in the place of the store by hand still has its files.
            let there = reading.list_tables()?.filter(|table| table.name() != FILES.name()).count();
            let here = redb::ReadableDatabase::begin_read(&copy)?.list_tables()?.count();
            if there != here {
                return Err(Fault::Format(format!("the store has {there} tables, and {here} were copied")));
            }
            Ok(())
        };
        guarded(copy).map_err(|fault| fault.to_string())
    }

    fn check_copy(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Findings, BackupError> {
        let inner = &self.inner;
        let copy =
            Self::open(path, inner.settings.clone(), Arc::clone(&inner.clock), Arc::clone(&inner.entropy))?;
        let findings = copy.verify_with(&[], progress)?;
        match findings.problems.first() {
            None => Ok(findings),
            Some(problem) => Err(BackupError::Unsound(problem.clone())),
        }
    }
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    reading: &ReadTransaction,
    copy: &Database,
    table: TableDefinition<K, V>,
) -> Result<(), Fault> {
    let from = reading.open_table(table)?;
    let mut rows = from.range::<K::SelfType<'_>>(..)?;
    let mut left = from.len()?;
    loop {
        let transaction = copy.begin_write()?;
        {
            let mut to = transaction.open_table(table)?;
            for row in rows.by_ref().take(AT_ONCE) {
                let (key, value) = row?;
                to.insert(key.value(), value.value())?;
                left -= 1;
            }
        }
        transaction.commit()?;
        if left == 0 {
            return Ok(());
        }
    }
}
