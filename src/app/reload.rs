//! A reload: the config file read again, and taken whole or not at all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::certificate::Certificates;
use super::keys::KeyFolder;
use super::mailbox::Post;
use super::running::{config_entry, desk_settings, keys_in_force, record_keys, record_texts};
use super::{certificate, fixed, rooms};
use crate::api::Gate;
use crate::clock::SharedClock;
use crate::config;
use crate::gateway::InForce;
use crate::ledger::Scribe;
use crate::limits::Limits;
use crate::policy::Rules;
use crate::relay::Relay;
use crate::relay::notice::Seal;
use crate::secret::SharedEntropy;
use crate::store::Store;
use crate::subscribe::Form;
use crate::{notify, submission, unsubscribe};

/// What a reload swaps, and what it needs to make it.
#[derive(Debug)]
pub(super) struct Reload {
    pub file: PathBuf,
    pub folder: KeyFolder,
    pub limits: Limits,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
    pub scribe: Scribe,
    pub store: Store,
    pub started: config::Settings,
    pub listeners: Vec<watch::Sender<Arc<submission::Settings>>>,
    pub relay: Relay,
    pub in_force: watch::Sender<Arc<InForce>>,
    pub rules: watch::Sender<Arc<Rules>>,
    pub desk: watch::Sender<Arc<unsubscribe::Settings>>,
    pub tell: watch::Sender<Arc<notify::Settings>>,
    pub seals: watch::Sender<Arc<Vec<Seal>>>,
    pub post: Post,
    pub forms: watch::Sender<Arc<Vec<Arc<Form>>>>,
    pub gate: watch::Sender<Arc<Gate>>,
    pub page: SocketAddr,
    pub certificate: Option<Certificates>,
}

impl Reload {
    /// Read the file again; swap rules, senders, accounts, certificates, next hops and settings, or nothing.
    pub(super) fn reload(&self) -> Result<String, String> {
        let environment = config::Environment::of_process(self.clock.now());
        let settings = config::load(&self.file, &environment).map_err(|problems| problems.to_string())?;
        let fixed = fixed::differences(&self.started, &settings);
        if !fixed.is_empty() {
            return Err(format!(
                "{} cannot change while the gateway runs; nothing was changed: restart it, or put the old value back",
                fixed.join(", ")
            ));
        }
        let error = |error: anyhow::Error| format!("{error:#}");
        let listeners =
            rooms::listeners(&settings, &self.folder, &self.limits, &self.entropy, self.clock.now())
                .map_err(error)?;
        let post = self.post.prepare(&settings, &self.folder, self.clock.now()).map_err(error)?;
        let tokens = self.folder.token(&*self.entropy).map_err(error)?;
        let gateway = rooms::gateway(&settings, tokens.clone()).map_err(error)?;
        let tell = rooms::tell(&settings).map_err(error)?;
        let gate = rooms::gate(&settings, &self.entropy).map_err(error)?;
        let outside = rooms::outside(&settings, self.page).map_err(error)?;
        let files = certificate::Files::of(&settings.unsubscribe);
        let certificate = match files {
            Some(files) => Some((certificate::read(&files).map_err(error)?, files)),
            None => None,
        };
        let keys = keys_in_force(&settings, &self.store, &tokens).map_err(error)?;
        let hops = rooms::hops(&settings, &self.entropy).map_err(error)?;
        self.relay.replace(hops, &settings.relay.routes).map_err(|error| error.to_string())?;
        let returns = rooms::returns(&settings, &tokens);
        // Everything is made; from here on nothing can fail.
        let rules = Arc::new(settings.rules.clone());
        // First who opens links, then who seals them: a new key's first link must open.
        self.limits.change(rooms::limits(&settings));
        self.desk.send_replace(Arc::new(desk_settings(&settings, &tokens, outside)));
        self.seals.send_replace(rooms::seals(&gateway.signers));
        self.in_force.send_replace(Arc::new(InForce { rules: rules.clone(), settings: gateway }));
        self.rules.send_replace(rules.clone());
        if let (Some(certificates), Some((config, files))) = (&self.certificate, certificate) {
            certificates.change(files, config);
        }
        self.post.change(&settings, post);
        self.relay.return_to(returns);
        self.tell.send_replace(Arc::new(tell));
        self.forms.send_replace(Arc::new(settings.forms.clone()));
        self.gate.send_replace(gate);
        for (sender, one) in self.listeners.iter().zip(listeners) {
            sender.send_replace(Arc::new(one));
        }
        let (scribe, store, record) = (self.scribe.clone(), self.store.clone(), config_entry(&settings));
        let forms = settings.forms;
        tokio::spawn(async move {
            let written = async {
                scribe.record(record).await?;
                record_keys(&store, &scribe, keys).await?;
                record_texts(&store, &scribe, &forms).await
            };
            if let Err(error) = written.await {
                tracing::error!(%error, "the new config is in force, but its entry could not be written");
            }
        });
        tracing::info!(rules = %rules.hash, "config reloaded");
        Ok(format!("config reloaded; rules {}", rules.hash))
    }

    pub(super) fn rules_in_force(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }
}
