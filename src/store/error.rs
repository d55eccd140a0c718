//! What can go wrong with the store, each in one clear line.

use std::path::PathBuf;

use redb::{DatabaseError, StorageError};

use crate::policy::Unavailable;

/// Why the store cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store {path} is in use by another process; while the gateway runs, commands go through it")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a Sluis store ({why})")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
    /// Made by another release.
    #[error("the store {path} has format {found}; this program reads format {ours}")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What would be right.
        ours: u8,
    },
    /// The file is damaged.
    #[error("the store {path} is damaged ({why}); restore it from a backup, or check the disk")]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
    /// The ledger belongs to another gateway.
    #[error("the store {path} is the ledger of the gateway {store:?}, and this one is called {config:?}")]
    Origin {
        /// The file.
        path: PathBuf,
        /// The name in the store.
        store: String,
        /// The name of the key.
        config: String,
    },
    /// Another key than the one that signed last.
    #[error(
        "the ledger {path} was signed last by {store}, and keys/ledger.key holds {ours}; put the key file back from \
         its backup, or, if that key is lost, make one that nobody vouches for: sluis keys rotate ledger --lost WHY"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// The public key in it.
        store: String,
        /// The public half of the key at hand.
        ours: String,
    },
    /// The folder is not there, not writable, or the disk fails.
    #[error("the store {path} cannot be opened: {why}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl OpenError {
    /// Say what redb said, for the file at `path`.
    pub(super) fn from_redb(path: PathBuf, error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::Locked { path },
            DatabaseError::UpgradeRequired(found) => {
                Self::NotAStore { path, why: format!("a redb file of version {found}") }
            }
            DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
                std::io::ErrorKind::InvalidData => Self::NotAStore { path, why: error.to_string() },
                std::io::ErrorKind::UnexpectedEof => {
                    Self::Corrupted { path, why: "it has been cut short".to_owned() }
                }
                _ => Self::Io { path, why: error.to_string() },
            },
            DatabaseError::Storage(StorageError::Corrupted(why)) => Self::Corrupted { path, why },
            other => Self::Io { path, why: other.to_string() },
        }
    }

    /// Say what went wrong while reading an opened store.
    pub(super) fn from_fault(path: PathBuf, fault: Fault) -> Self {
        match fault {
            Fault::Redb(redb::Error::Io(error)) => Self::Io { path, why: error.to_string() },
            other => Self::Corrupted { path, why: other.to_string() },
        }
    }
}

/// Why one operation on an open store failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// redb, or the disk below it.
    #[error("{0}")]
    Redb(redb::Error),
    /// A record that is not what it should be.
    #[error("{0}")]
    Format(String),
    /// The file does not hold together: redb panicked.
    #[error(
        "the store is damaged ({0}); stop the gateway, check the disk, and restore the last backup: sluis restore FILE"
    )]
    Damaged(String),
}

impl Fault {
    /// Whether redb refuses further work until the file is opened again.
    pub(super) fn spends_the_handle(&self) -> bool {
        match self {
            Self::Format(_) => false,
            Self::Damaged(_) => true,
            Self::Redb(error) => !matches!(error, redb::Error::ValueTooLarge(_)),
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        }
    )*};
}

from_redb!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError
);

macro_rules! from_format {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Format(error.to_string())
            }
        }
    )*};
}

from_format!(
    postcard::Error,
    serde_json::Error,
    crate::ledger::codec::CodecError,
    crate::ledger::tree::TreeError,
    crate::ledger::checkpoint::NoteError
);

impl From<Fault> for Unavailable {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}
