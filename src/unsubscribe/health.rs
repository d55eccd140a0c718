//! Asks our own public address, from the outside in, whether opting out works (RULES L8).
//!
//! What is asked is what a large mailbox provider asks: the POST of RFC 8058 with a token of ours, to the
//! address that links begin with, over TLS with its certificate checked. So a name that no longer leads here, a
//! certificate that has run out, a proxy that lets no POST through, keys that do not open, and a ledger that
//! cannot be written are all found before a recipient finds them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use tokio::sync::watch;
use tracing::{info, warn};

use super::Desk;
use crate::mail::{Address, Reference, SenderId};
use crate::metrics;
use crate::net::call::{Caller, Target};
use crate::secret::{Entropy, SharedEntropy, random};
use crate::shutdown::Shutdown;
use crate::token::Claim;

/// Time between two looks while all is well.
const WELL: Duration = Duration::from_secs(60);

/// Time between two looks while it is not: marketing waits for us.
const ILL: Duration = Duration::from_secs(5);

/// The sender in the claim of a look. No sender of the config has an address in `.invalid` (RFC 2606) to send
/// to, so the claim is nobody's.
const SENDER: &str = "health-check";
const NOBODY: &str = "health@check.invalid";

/// Our public addresses, as they are seen from outside.
#[derive(Debug, Clone)]
pub struct Outside {
    /// What links begin with, one for each name that links are made under.
    pub doors: Vec<Target>,
    /// Where they are found from here, when their names do not lead here from inside.
    pub via: Option<SocketAddr>,
    /// How they are asked.
    pub caller: Caller,
}

/// Whether opting out works. It does not until it was seen to. Clones share one state.
#[derive(Debug, Clone)]
pub struct Health {
    /// What is wrong, if anything is.
    fault: watch::Sender<Option<Arc<str>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Not seen to work yet.
    pub fn new() -> Self {
        Self { fault: watch::Sender::new(Some("it was not asked yet".into())) }
    }

    /// Whether it worked when it was last asked.
    pub fn is_up(&self) -> bool {
        self.fault.borrow().is_none()
    }

    /// Why it does not.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().as_deref().map(str::to_owned)
    }

    /// The same as [`Health::fault`], to be waited upon.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.fault.subscribe()
    }

    /// Say how it is: `Err` with what is wrong.
    pub fn set(&self, seen: Result<(), String>) {
        let fault: Option<Arc<str>> = seen.err().map(Into::into);
        metrics::unsubscribe_healthy(fault.is_none());
        let before = self.fault.send_replace(fault.clone());
        match fault {
            None if before.is_some() => info!("the unsubscribe address answers"),
            Some(fault) if before.as_ref() != Some(&fault) => {
                warn!(%fault, "opting out does not work; marketing gets 451 until it does");
            }
            _ => {}
        }
    }

    /// Ask every door every minute, until `shutdown`, with a token made for this.
    pub async fn watch_over(self, desk: Arc<Desk>, entropy: SharedEntropy, shutdown: Shutdown) {
        loop {
            let seen = tokio::select! {
                () = shutdown.requested() => return,
                seen = all_answer(&desk, &*entropy) => seen,
            };
            let wait = if seen.is_ok() { WELL } else { ILL };
            self.set(seen);
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Whether every door takes a POST.
async fn all_answer(desk: &Desk, entropy: &dyn Entropy) -> Result<(), String> {
    let settings = desk.settings();
    for door in &settings.outside.doors {
        let token = settings.keys.mint(&probe(entropy), entropy);
        let target = door.at(&format!("{}/u/{token}", door.path().trim_end_matches('/')));
        let fields = [
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("user-agent", "sluis-health".to_owned()),
        ];
        let body = b"List-Unsubscribe=One-Click".to_vec();
        let outside = &settings.outside;
        let reply = outside.caller.call(&target, outside.via, Method::POST, &fields, body).await;
        match reply {
            // Another server that says 200 to everything is not us.
            Ok(reply)
                if reply.status == 200 && reply.body.starts_with(super::http::UNSUBSCRIBED.as_bytes()) => {}
            Ok(reply) if reply.status == 200 => {
                return Err(format!("{}: it is not this gateway that answers there", door.host()));
            }
            Ok(reply) => return Err(format!("{}: it answers {} to a POST", door.host(), reply.status)),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// A claim for nobody.
pub(super) fn probe(entropy: &dyn Entropy) -> Claim {
    let nobody = Address::parse(NOBODY).expect("a fixed text that is an address");
    Claim {
        sender: SenderId(SENDER.to_owned()),
        address: nobody.key().clone(),
        reference: Reference::new(jiff::Timestamp::UNIX_EPOCH, random(entropy)),
        purpose: None,
    }
}

/// Whether `claim` is that of a look: there is nobody to unsubscribe.
pub(super) fn is_probe(claim: &Claim) -> bool {
    claim.sender.0 == SENDER && claim.address.as_str() == NOBODY
}
