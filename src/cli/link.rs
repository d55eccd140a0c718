//! To the gateway that runs, or to the store when none does: the same requests, the same answers.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use crate::admin::{Answer, Client, Request, handle};
use crate::app::Offline;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::secret::SystemEntropy;

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

impl Link {
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let socket = settings.admin_socket();
        let client = Client::connect(&socket, settings.limits.admin_message);
        if let Some(client) = client.with_context(|| format!("{} cannot be reached", socket.display()))? {
            return Ok(Self::Gateway(client));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store = Offline::open(settings, Arc::new(SystemClock), Arc::new(SystemEntropy))?;
        Ok(Self::Store { runtime, store: Some(store) })
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
