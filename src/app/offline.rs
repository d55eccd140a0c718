//! The store without a gateway: for commands that are given while none runs.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::watch;

use super::keys::{KeyFolder, STORE};
use super::lock::FolderLock;
use super::{StoreBooks, letters, rooms};
use crate::admin::{Claim, Control, Services, Status};
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::ledger::{Event, Record};
use crate::mail::CopyId;
use crate::policy::{Rules, Unavailable};
use crate::secret::SharedEntropy;
use crate::store::{Closing, Store};

/// The store, open, with a pen of its own. [`Offline::close`] it, so that the last checkpoint is on disk.
#[derive(Debug)]
pub struct Offline {
    /// What requests are answered from.
    pub services: Services,
    closing: Closing,
    /// Held until the store is closed.
    lock: FolderLock,
}

impl Offline {
    /// Open the store that `settings` name; fails when a gateway has it.
    pub fn open(settings: &Settings, clock: SharedClock, entropy: SharedEntropy) -> Result<Self> {
        let folder = KeyFolder::open(&settings.data)?;
        let path = settings.data.join(STORE);
        let lock = FolderLock::shared(&settings.data)?;
        folder.store_is_not_lost(&path)?;
        let signer = folder.ledger(settings.name.ascii(), &*entropy)?;
        let store = Store::open(&path, rooms::store(settings, signer), clock.clone(), entropy)?;
        // A key that came into use shows in what is exported next, not only once a gateway has run.
        let key = store.key_in_force()?;
        if store.labelled(&key.label())?.is_none() {
            store.write(vec![Record::of(Event::KeyInForce(key))])?;
        }
        let (scribe, closing) = store.start().context("the ledger's writer cannot start")?;
        let rules = Arc::new(settings.rules.clone());
        let services = Services {
            scribe,
            register: Arc::new(store.clone()),
            books: Arc::new(StoreBooks::new(store.clone(), watch::channel(rules.clone()).1)),
            spool: Arc::new(store.clone()),
            outbox: Arc::new(store.clone()),
            inbox: Arc::new(store),
            mailbox: None,
            control: Arc::new(Nobody { rules, settings: settings.clone(), clock: clock.clone() }),
            clock,
        };
        Ok(Self { services, closing, lock })
    }

    /// Wait until everything is on disk. Blocks.
    pub fn close(self) {
        // The writer ends when the last pen is gone.
        let Self { services, closing, lock: _held } = self;
        drop(services);
        closing.join();
    }
}

/// Stands for the gateway that does not run.
#[derive(Debug)]
struct Nobody {
    rules: Arc<Rules>,
    settings: Settings,
    clock: SharedClock,
}

impl Control for Nobody {
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    fn status(&self) -> Option<Status> {
        None
    }

    fn reload(&self) -> Result<String, String> {
        Err("no gateway runs on this data folder; it reads the config when it starts".to_owned())
    }

    fn claim(&self, _copy: CopyId) -> Option<Claim> {
        Some(Claim(Box::new(())))
    }

    fn wake(&self) {}

    /// Told by the next gateway that starts here.
    fn tell_lifted(&self, record: &mut Record, place: usize) -> Result<(), Unavailable> {
        let settings = rooms::tell(&self.settings).map_err(|error| Unavailable(format!("{error:#}")))?;
        letters::owe_good_news(record, place, true, &settings, self.clock.now());
        Ok(())
    }
    fn rouse(&self) {}
}
