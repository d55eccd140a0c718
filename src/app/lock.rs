//! Who uses the data folder: gateways and commands beside each other (the store's own lock keeps them apart), or one
//! restore and nobody else. A restore that nobody saw would have its store written to by two.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The file that is locked: it is empty, and stays.
const LOCK: &str = "sluis.lock";

/// The use of a data folder, until it is dropped; the system takes it back from a process that ends in any way.
#[derive(Debug)]
pub(super) struct FolderLock(#[allow(dead_code, reason = "dropping it is what it is for")] File);

impl FolderLock {
    /// Beside others. Fails while a restore goes on.
    pub(super) fn shared(data: &Path) -> Result<Self> {
        let file = open(data)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                bail!("a restore goes on in {}; wait until it is done, and try again", data.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| locking(data)),
        }
    }

    /// For a restore. Fails while anybody else is there.
    pub(super) fn alone(data: &Path) -> Result<Self> {
        let file = open(data)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => bail!(
                "a gateway, a command or another restore uses {}; stop it first, a restore is for a gateway that stands still",
                data.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| locking(data)),
        }
    }
}

fn open(data: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(data.join(LOCK)).with_context(|| locking(data))
}

fn locking(data: &Path) -> String {
    format!("{} cannot be locked", data.join(LOCK).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_is_alone_and_others_stand_beside_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let beside = [FolderLock::shared(folder.path()).unwrap(), FolderLock::shared(folder.path()).unwrap()];
        let refused = FolderLock::alone(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("stop it first"), "{refused}");
        drop(beside);
        let alone = FolderLock::alone(folder.path()).unwrap();
        let refused = FolderLock::shared(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("a restore goes on"), "{refused}");
        assert!(FolderLock::alone(folder.path()).is_err(), "nor two of them");
        drop(alone);
        FolderLock::shared(folder.path()).unwrap();
    }
}
