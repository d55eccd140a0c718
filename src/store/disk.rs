//! What the store lies on: a file, or in tests a disk that fails when it is told to.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::error::OpenError;
use super::guard::caught;

/// Opens the database, at start-up and again after a write has failed.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Open the database, or make a new one.
    fn open(&self, cache_bytes: usize) -> Result<Database, OpenError>;
    /// Its name in messages.
    fn path(&self) -> PathBuf;
    /// How large it is; 0 where that cannot be said.
    fn octets(&self) -> u64 {
        std::fs::metadata(self.path()).map_or(0, |file| file.len())
    }
}

/// A file.
#[derive(Debug, Clone)]
pub struct FileDisk {
    path: PathBuf,
}

impl FileDisk {
    /// The file at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Disk for FileDisk {
    fn open(&self, cache_bytes: usize) -> Result<Database, OpenError> {
        let path = self.path.clone();
        let io = |error: std::io::Error| OpenError::Io { path: path.clone(), why: error.to_string() };
        let is_there = path.try_exists().map_err(io)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // It holds who was mailed and why.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(io)?;
        // redb would take an empty file for a new one, and every suppression with it (promise 5).
        if is_there && file.metadata().map_err(io)?.len() == 0 {
            let why = "it is empty; if nothing was ever recorded in it, remove it".to_owned();
            return Err(OpenError::Corrupted { path, why });
        }
        let backend = FileBackend::new(file).map_err(|error| OpenError::from_redb(path.clone(), error))?;
        // redb trusts a file that was closed cleanly, and may panic on one that was changed since.
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_repair_callback(|repair| {
            let done = format!("{:.0} %", repair.progress() * 100.0);
            tracing::warn!(done, "the store was not closed: it is walked before it opens");
        });
        match caught(|| builder.create_with_backend(backend)) {
            Ok(opened) => opened.map_err(|error| OpenError::from_redb(path, error)),
            Err(why) => Err(OpenError::Corrupted { path, why }),
        }
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}
