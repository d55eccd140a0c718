//! The mailing tool's own one-click link of a message that was sent, read from the message as it is kept
//! (RULES P8).

use crate::ledger::Event;
use crate::mail::{AddressKey, Reference};
use crate::message::{Limits, Message};
use crate::notify::Links;
use crate::policy::Unavailable;
use crate::store::{Archived, Store};

/// Entries about one submission that are looked at: an admission and some outcomes for each of many copies.
const ENTRIES: usize = 20_000;

/// Reads the store.
#[derive(Debug)]
pub(super) struct StoreLinks {
    pub store: Store,
    pub limits: Limits,
}

impl Links for StoreLinks {
    fn one_click(&self, reference: Reference, address: &AddressKey) -> Result<Option<String>, Unavailable> {
        let copy = self.store.by_reference(reference, ENTRIES)?.into_iter().find_map(|found| {
            let Event::Admitted(admitted) = found.entry.event else { return None };
            let to = |one: &crate::ledger::AdmittedRecipient| one.recipient.key() == address;
            admitted.recipients.iter().any(to).then_some(admitted.copy)
        });
        let Some(copy) = copy else { return Ok(None) };
        let Some(Archived::Whole(rope)) = self.store.rebuild(copy)? else { return Ok(None) };
        // The message as the tool gave it: in the copy, our link stands in the place of its own.
        let message = Message::parse(rope.original().clone(), &self.limits);
        Ok(message.one_click_link())
    }
}
