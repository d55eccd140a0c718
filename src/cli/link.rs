//! To the gateway that runs, or to the store when none does: the same requests, the same answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::admin::{Answer, Client, LedgerAnswer, LedgerRequest, Request, handle};
use crate::app::Offline;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::secret::SystemEntropy;
use crate::store::OpenError;

/// Between two looks at a store that is in use.
const AGAIN: Duration = Duration::from_millis(50);

/// Where requests go.
pub(super) enum Link {
    /// A gateway runs.
    Gateway(Client),
    /// None does: the store is ours until this is closed.
    Store {
        /// Runs the requests.
        runtime: tokio::runtime::Runtime,
        /// The store; taken when it is closed.
        store: Option<Offline>,
    },
}

/// How far a check is, each time it is asked: entries done, and all of them.
pub(super) type Watch = Box<dyn FnMut() -> Option<(u64, u64)> + Send>;

impl Link {
    /// The gateway that runs, if one does.
    pub(super) fn gateway(settings: &Settings) -> Result<Option<Self>> {
        let socket = settings.admin_socket();
        let client = Client::connect(&socket, settings.limits.admin_message);
        let client = client.with_context(|| format!("{} cannot be reached", socket.display()))?;
        Ok(client.map(Self::Gateway))
    }

    /// The gateway or the store. A gateway that starts holds the store for a moment before it answers, and so
    /// does another command: that is waited for.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        if let Some(gateway) = Self::gateway(settings)? {
            return Ok(gateway);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let began = Instant::now();
        loop {
            let locked = match Offline::open(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)) {
                Ok(store) => return Ok(Self::Store { runtime, store: Some(store) }),
                Err(error) if is_locked(&error) => error,
                Err(error) => return Err(error),
            };
            if began.elapsed() >= settings.limits.admin_wait {
                return Err(locked.context(format!(
                    "no gateway answered at {} within limits.admin_wait ({:?}); it may still be starting or \
                     stopping, or another command is at work: ask again",
                    settings.admin_socket().display(),
                    settings.limits.admin_wait
                )));
            }
            std::thread::sleep(AGAIN);
            if let Some(gateway) = Self::gateway(settings)? {
                return Ok(gateway);
            }
        }
    }

    /// Asks how far a check is, from another thread than the one that waits for its end.
    pub(super) fn watch(&self, settings: &Settings) -> Result<Watch> {
        match self {
            Self::Store { store, .. } => {
                let books = store.as_ref().map(|store| store.services.books.clone());
                Ok(Box::new(move || books.as_ref().and_then(|books| books.progress())))
            }
            Self::Gateway(_) => {
                let mut second = Client::connect(&settings.admin_socket(), settings.limits.admin_message)?;
                Ok(Box::new(move || {
                    let request = Request::Ledger(LedgerRequest::Progress);
                    match second.as_mut()?.ask(&request) {
                        Ok(Answer::Ledger(LedgerAnswer::Progress { at })) => at,
                        // Without a bar the check goes on all the same.
                        _ => None,
                    }
                }))
            }
        }
    }

    /// Whether a gateway answers.
    pub(super) fn is_gateway(&self) -> bool {
        matches!(self, Self::Gateway(_))
    }

    /// Ask; a request that was not done is an error.
    pub(super) fn ask(&mut self, request: Request) -> Result<Answer> {
        let answer = match self {
            Self::Gateway(client) => client.ask(&request)?,
            Self::Store { runtime, store: Some(store) } => runtime.block_on(handle(request, &store.services)),
            Self::Store { store: None, .. } => bail!("the store is closed"),
        };
        match answer {
            Answer::Failed { error } => bail!(error),
            answer => Ok(answer),
        }
    }
}

/// Whether somebody else has the store open.
fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Locked { .. }))
}

impl Drop for Link {
    /// What was written is durable already; the last checkpoint is signed here.
    fn drop(&mut self) {
        if let Self::Store { store, .. } = self
            && let Some(store) = store.take()
        {
            store.close();
        }
    }
}

/// The answer to a request that has only one kind of answer came as another: another version runs.
pub(super) fn unexpected(answer: &Answer) -> anyhow::Error {
    let _ = answer;
    anyhow::anyhow!("the gateway gave another kind of answer; is it of the same version as this command?")
}
