//! Mail to the unsubscribe address, from the gateway's own SMTP listener and from `sluis unsubscribe-mail`.

use bytes::Bytes;

use crate::admin::{Doing, Mailbox};
use crate::clock::SharedClock;
use crate::gateway::{Client, Submission};
use crate::ledger::{EntryNumber, Event};
use crate::mail::{Address, Class, Reference, ReversePath, SenderId};
use crate::policy::Unavailable;
use crate::relay::Abilities;
use crate::secret::{SharedEntropy, random};
use crate::smtp::reply::Reply;
use crate::store::Store;
use crate::submission::Journey;
use crate::unsubscribe::{Handled, MailError, Mailroom, Sending, Sendings};

/// Entries with one Message-ID that are looked at: a message to many has one for each copy.
const ENTRIES: usize = 5_000;

/// The journey of a mail that comes to the unsubscribe address: it goes nowhere else.
#[derive(Debug, Clone)]
pub(super) struct Letterbox {
    pub room: Mailroom,
    pub address: Address,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
}

impl Journey for Letterbox {
    fn abilities(&self) -> Abilities {
        Abilities { eight_bit: true, smtputf8: true, size: None }
    }

    async fn screen(&self, _: &Client, _: &ReversePath, recipient: &Address) -> Result<(), Reply> {
        if recipient.key() == self.address.key() {
            return Ok(());
        }
        Err(Reply::refused_recipient(recipient, "nothing but mail to the unsubscribe address is taken here"))
    }

    async fn admit(&self, submission: Submission) -> Reply {
        let reference = Reference::new(self.clock.now(), random(&*self.entropy));
        match self.room.take(&submission.envelope.reverse_path, submission.message).await {
            Ok(_) => Reply::accepted(reference, "taken"),
            Err(error) => {
                Reply::unavailable("it cannot be recorded now; please try again", error.to_string())
            }
        }
    }
}

impl Mailbox for Letterbox {
    fn take(&self, reverse_path: ReversePath, message: Vec<u8>) -> Doing<'_> {
        Box::pin(async move {
            let handled = self.room.take(&reverse_path, Bytes::from(message)).await;
            handled.map(|handled| said(&handled)).map_err(|error: MailError| error.to_string())
        })
    }

    fn answer(&self, number: EntryNumber, address: Option<Address>, sender: SenderId) -> Doing<'_> {
        Box::pin(async move {
            let address = self.room.answer(number, address.as_ref(), sender).await?;
            Ok(format!("{address} is unsubscribed, and mail {number} is answered"))
        })
    }
}

fn said(handled: &Handled) -> String {
    match handled {
        Handled::Unsubscribed(address) => format!("{address} is unsubscribed"),
        Handled::Complained(address) => format!("{address} complained, and is suppressed"),
        Handled::Returned(address, true) => format!("{address} is no mailbox, and is blocked"),
        Handled::Returned(address, false) => {
            format!("a message to {address} came back; the mailbox may still work")
        }
        Handled::Ignored(why) => format!("ignored: {why}"),
        Handled::Held => "it waits for a person: sluis inbox list".to_owned(),
    }
}

/// Finds what was sent in the ledger.
#[derive(Debug)]
pub(super) struct StoreSendings(pub Store);

impl Sendings for StoreSendings {
    fn of_message(&self, message_id: &str) -> Result<Vec<Sending>, Unavailable> {
        let mut all = Vec::new();
        for found in self.0.by_message_id(message_id, ENTRIES)? {
            let Event::Admitted(admitted) = found.entry.event else { continue };
            let (Class::Marketing, Some(sender)) = (admitted.class, admitted.sender) else { continue };
            all.extend(admitted.recipients.into_iter().map(|one| Sending {
                sender: sender.id.clone(),
                address: one.recipient.key().clone(),
                reference: admitted.copy.reference,
                purpose: admitted.purpose.clone(),
            }));
        }
        Ok(all)
    }
}
