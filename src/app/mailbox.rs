//! Mail to the unsubscribe address, from the gateway's own SMTP and LMTP listeners and from
//! `sluis unsubscribe-mail` (RULES P9).

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::keys::KeyFolder;
use super::rooms;
use crate::admin::{Doing, Mailbox};
use crate::clock::{SharedClock, Timestamp};
use crate::config;
use crate::gateway::{Client, Submission};
use crate::ledger::{AdmittedRecipient, EntryNumber, Event, Ignored, Returned};
use crate::limits::Limits;
use crate::mail::{Address, AddressKey, Class, CopyId, Reference, ReversePath, SenderId};
use crate::net::dkim;
use crate::policy::Unavailable;
use crate::relay::Abilities;
use crate::secret::{SharedEntropy, random};
use crate::shutdown::Shutdown;
use crate::smtp::reply::Reply;
use crate::store::{Found, Store};
use crate::submission::{self, Journey};
use crate::unsubscribe::{
    Handing, Handled, MailError, MailSettings, Mailroom, Sending, Sendings, Sent, Vouch,
};

/// Entries about one copy or one address that are looked at.
const ENTRIES: usize = 5_000;

/// The listeners for it, and what a reload changes.
#[derive(Debug)]
pub(super) struct Post {
    listeners: Vec<(Door, watch::Sender<Arc<submission::Settings>>)>,
    settings: watch::Sender<Arc<MailSettings>>,
    limits: Limits,
    entropy: SharedEntropy,
}

/// By which protocol a listener takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// From anybody.
    Smtp,
    /// From the server that has the mailbox (RFC 2033).
    Lmtp,
}

impl Post {
    /// Serve what is bound. `settings` are those that `room` sees.
    pub(super) fn open(
        bound: Vec<(Door, TcpListener)>,
        config: &config::Settings,
        folder: &KeyFolder,
        letterbox: &Letterbox,
        settings: watch::Sender<Arc<MailSettings>>,
        shutdown: &Shutdown,
    ) -> Result<Self> {
        let limits = letterbox.room.limits.clone();
        let mut post = Self { listeners: Vec::new(), settings, limits, entropy: letterbox.entropy.clone() };
        for (door, listener) in bound {
            let one = post.listener(door, config, folder, letterbox.clock.now())?;
            let (sender, seen) = watch::channel(Arc::new(one));
            post.listeners.push((door, sender));
            let letterbox = Letterbox { cleaned: door == Door::Lmtp, ..letterbox.clone() };
            shutdown.spawn(submission::run(listener, seen, letterbox, shutdown.clone()));
        }
        Ok(post)
    }

    fn listener(
        &self,
        door: Door,
        config: &config::Settings,
        folder: &KeyFolder,
        now: Timestamp,
    ) -> Result<submission::Settings> {
        let tls = Some(rooms::server_tls(config, folder, now)?);
        Ok(rooms::letterbox(config, &self.limits, &self.entropy, tls, door == Door::Lmtp))
    }

    /// What a reload to `config` means here; given to [`Post::change`] once nothing can fail any more.
    pub(super) fn prepare(
        &self,
        config: &config::Settings,
        folder: &KeyFolder,
        now: Timestamp,
    ) -> Result<Vec<submission::Settings>> {
        self.listeners.iter().map(|(door, _)| self.listener(*door, config, folder, now)).collect()
    }

    /// Take what [`Post::prepare`] made.
    pub(super) fn change(&self, config: &config::Settings, prepared: Vec<submission::Settings>) {
        self.limits.change(rooms::letterbox_limits(config));
        self.settings.send_replace(Arc::new(rooms::mailroom(config)));
        for ((_, sender), one) in self.listeners.iter().zip(prepared) {
            sender.send_replace(Arc::new(one));
        }
    }
}

/// The addresses that are listened on for it: SMTP, LMTP.
pub(super) fn doors(config: &config::Settings) -> Vec<(Door, SocketAddr)> {
    let smtp = config.unsubscribe.mail_listen.map(|address| (Door::Smtp, address));
    let lmtp = config.unsubscribe.lmtp_listen.map(|address| (Door::Lmtp, address));
    smtp.into_iter().chain(lmtp).collect()
}

/// Checks signatures by the DNS.
#[derive(Debug)]
pub(super) struct DnsVouch(Option<dkim::Signatures>);

impl DnsVouch {
    pub(super) fn new(config: &config::Settings) -> Self {
        match dkim::Signatures::new(config.unsubscribe.resolver, config.limits.dns_timeout) {
            Ok(signatures) => Self(Some(signatures)),
            Err(error) => {
                // Whoever cannot be vouched for is asked about: no reason not to start.
                tracing::warn!(%error, "DKIM signatures of mail to the unsubscribe address cannot be checked");
                Self(None)
            }
        }
    }
}

impl Vouch for DnsVouch {
    fn signers<'a>(&'a self, message: &'a [u8]) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + 'a>> {
        Box::pin(async move {
            match &self.0 {
                Some(signatures) => signatures.of(message).await,
                None => Vec::new(),
            }
        })
    }
}

/// The journey of a mail that comes to the unsubscribe address: it goes nowhere else.
#[derive(Debug, Clone)]
pub(super) struct Letterbox {
    pub room: Mailroom,
    /// Whether a server of ours took forged Authentication-Results out of what comes in here: behind LMTP and the
    /// pipe there is one. Whoever connects to the SMTP listener can write what they like.
    pub cleaned: bool,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
}

impl Journey for Letterbox {
    fn abilities(&self) -> Abilities {
        Abilities { eight_bit: true, smtputf8: true, size: None }
    }

    async fn screen(&self, _: &Client, _: &ReversePath, recipient: &Address) -> Result<(), Reply> {
        if self.room.takes(recipient) {
            return Ok(());
        }
        Err(Reply::refused_recipient(
            recipient,
            "nothing but mail to the unsubscribe address, and about messages of ours, is taken here",
        ))
    }

    async fn admit(&self, submission: Submission) -> Reply {
        let reference = Reference::new(self.clock.now(), random(&*self.entropy));
        let from = Handing {
            null_path: matches!(submission.envelope.reverse_path, ReversePath::Null),
            cleaned: self.cleaned,
            // Behind LMTP there is a server of our own, which stands for many.
            ip: (!self.cleaned).then_some(submission.client.connection.ip),
        };
        let recipients = submission.envelope.recipients.into_iter().map(|one| one.address);
        let recipients: Vec<Address> = recipients.collect();
        match self.room.take(from, &recipients, submission.message).await {
            Ok(_) => Reply::accepted(reference, "taken"),
            Err(error @ MailError::Limit(_)) => {
                Reply::unavailable("too many such mails came; please try again later", error.to_string())
            }
            Err(error) => {
                Reply::unavailable("it cannot be recorded now; please try again", error.to_string())
            }
        }
    }
}

impl Mailbox for Letterbox {
    fn take(&self, null_path: bool, recipient: Option<Address>, message: Vec<u8>) -> Doing<'_> {
        Box::pin(async move {
            let message = Bytes::from(message);
            let from = Handing { null_path, cleaned: self.cleaned, ip: None };
            let handled = self.room.take(from, recipient.as_slice(), message).await;
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
        Handled::Complained { address, again: false } => format!("{address} complained, and is suppressed"),
        Handled::Complained { address, again: true } => {
            format!("{address} complained before, and is suppressed")
        }
        Handled::Returned { address, hard: true, .. } => format!("{address} is no mailbox, and is blocked"),
        Handled::Returned { address, blocked: true, .. } => {
            format!("messages to {address} came back over and over; it is blocked")
        }
        Handled::Returned { address, .. } => {
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
    fn of_messages(
        &self,
        to: &AddressKey,
        message_ids: &[String],
        limit: usize,
    ) -> Result<Option<Sending>, Unavailable> {
        // By address: a message to many has an entry for each of them under its Message-ID.
        let sent = |found: &Found| {
            let id = found.entry.event.message_id();
            if !id.is_some_and(|id| message_ids.iter().any(|known| known == id)) {
                return None;
            }
            sendings(&found.entry.event).into_iter().find(|sending| sending.address == *to)
        };
        let found = self.0.latest_by_address(to, limit, |found| sent(found).is_some())?;
        Ok(found.as_ref().and_then(sent))
    }

    fn of_copy(&self, copy: CopyId) -> Result<Option<Sent>, Unavailable> {
        let found = self.0.by_copy(copy, ENTRIES)?;
        let admitted = found.iter().find_map(|found| match &found.entry.event {
            Event::Admitted(admitted) => Some((&found.entry.event, &admitted.reverse_path)),
            _ => None,
        });
        Ok(admitted.and_then(|(event, reverse_path)| {
            let reverse_path = Address::parse(reverse_path).ok();
            Some(Sent { sending: sendings(event).pop()?, reverse_path })
        }))
    }

    fn heard(&self, copy: CopyId) -> Result<usize, Unavailable> {
        let found = self.0.by_copy(copy, ENTRIES)?;
        let heard = found.iter().filter(|found| {
            matches!(&found.entry.event, Event::Returned(Returned { copy: Some(of), .. })
                | Event::Ignored(Ignored { copy: Some(of), .. }) if *of == copy)
        });
        Ok(heard.count())
    }

    fn soft_returns(&self, sender: &SenderId, address: &AddressKey) -> Result<Vec<Timestamp>, Unavailable> {
        let mut times = Vec::new();
        for found in self.0.by_address(address, ENTRIES)? {
            match &found.entry.event {
                Event::Returned(it) if it.sender == *sender && !it.hard => times.push(found.entry.at),
                Event::Unblocked(it) if it.sender == *sender => times.clear(),
                Event::Consent(it) if it.event.shows_that_mail_arrives() => times.clear(),
                _ => {}
            }
        }
        Ok(times)
    }
}

/// What an entry says was sent, and to whom, if it was marketing.
fn sendings(event: &Event) -> Vec<Sending> {
    let Event::Admitted(admitted) = event else { return Vec::new() };
    let (Class::Marketing, Some(sender)) = (admitted.class, &admitted.sender) else { return Vec::new() };
    let one = |one: &AdmittedRecipient| Sending {
        sender: sender.id.clone(),
        address: one.recipient.key().clone(),
        reference: admitted.copy.reference,
        purpose: admitted.purpose.clone(),
    };
    admitted.recipients.iter().map(one).collect()
}
