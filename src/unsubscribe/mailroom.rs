//! Does what a mail to the unsubscribe address asks for (RULES P9, P14): a token unsubscribes, a complaint
//! suppresses, a returned message blocks a mailbox that is not there; what nobody but a person can judge waits
//! for one. Whatever it says is durable when it returns.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};

use super::desk::{Desk, Leaving, Visit};
use super::letter::{self, Failure, Kind};
use crate::clock::SharedClock;
use crate::ledger::{
    Answered, EntryNumber, Event, Held, Ignored, InboxView, Letter, News, Record, RecordError, Returned,
    Scribe, Side, Way,
};
use crate::limits::{Limits, Reached};
use crate::mail::{Address, AddressKey, CopyId, Domain, Purpose, Reference, SenderId, one_line_within};
use crate::metrics;
use crate::policy::Unavailable;

/// Octets of a mail that wait for a person with it; the rest can say nothing new.
const KEPT: usize = 64 * 1024;
/// A mail says nothing about where it was written.
const BY_MAIL: Visit = Visit { way: Way::Mailto, ip: None, user_agent: None };
/// Characters of a subject or a diagnostic that are kept.
const LINE: usize = 300;

/// Time after which a soft return is forgotten, if nothing came back since.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Mails about one copy that are passed on: a delay, a failure, and some.
const PASSED_ON: usize = 4;

/// The message of ours that a mail is about.
struct About {
    leaving: Leaving,
    reference: Reference,
    /// The copy, if that is known.
    copy: Option<CopyId>,
    /// Who else wants to hear of it.
    on: Option<Address>,
}

/// Who hands a mail in.
#[derive(Debug, Clone, Copy)]
pub struct Handing {
    /// It came from `<>`.
    pub null_path: bool,
    /// A server took forged Authentication-Results out (RFC 8601 5); otherwise none is believed.
    pub cleaned: bool,
    /// The address of a stranger; `None` for a server of our own.
    pub ip: Option<IpAddr>,
}

/// A marketing message that was sent to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Whom it was sent for.
    pub sender: SenderId,
    /// To whom.
    pub address: AddressKey,
    /// The submission.
    pub reference: Reference,
    /// What it was about.
    pub purpose: Option<Purpose>,
}

/// What is known of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message, and to whom.
    pub sending: Sending,
    /// Who handed it over wants to hear of it here: its envelope sender.
    pub reverse_path: Option<Address>,
}

/// Finds what was sent. Handed in by `app`.
pub trait Sendings: Send + Sync + std::fmt::Debug {
    /// The newest marketing message to `to` with one of these Message-IDs (with their angle brackets), among the
    /// newest `limit` entries about `to`. Reads that many, and blocks meanwhile.
    fn of_messages(
        &self,
        to: &AddressKey,
        message_ids: &[String],
        limit: usize,
    ) -> Result<Option<Sending>, Unavailable>;

    /// The marketing copy with this id.
    fn of_copy(&self, copy: CopyId) -> Result<Option<Sent>, Unavailable>;

    /// How many mails came back about this copy that are on record.
    fn heard(&self, copy: CopyId) -> Result<usize, Unavailable>;

    /// When messages to `address` came back that said nothing of the mailbox itself, in order, since it last
    /// was seen to work.
    fn soft_returns(&self, sender: &SenderId, address: &AddressKey) -> Result<Vec<Timestamp>, Unavailable>;
}

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// Somebody unsubscribed.
    Unsubscribed(AddressKey),
    /// Somebody complained, and is suppressed.
    Complained {
        /// Who.
        address: AddressKey,
        /// They had complained before: nothing changed.
        again: bool,
    },
    /// A message came back.
    Returned {
        /// To whom it was.
        address: AddressKey,
        /// Whether there is no such mailbox.
        hard: bool,
        /// Whether it is blocked now.
        blocked: bool,
    },
    /// Nobody meant anything by it.
    Ignored(&'static str),
    /// It waits for a person.
    Held,
}

/// Why a mail was not taken. The server that has it keeps it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The ledger cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The ledger cannot be read.
    #[error("{0}")]
    Unavailable(String),
    /// As many mails wait for a person as may.
    #[error("{0} mails wait for a person already; see: sluis inbox list")]
    Full(u64),
    /// Too many of its kind came.
    #[error(transparent)]
    Limit(#[from] Reached),
}

impl From<Unavailable> for MailError {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error.0)
    }
}

/// What the mailroom goes by. A reload sends a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// The unsubscribe address; `None`: no mail is taken.
    pub address: Option<Address>,
    /// Servers whose Authentication-Results are believed.
    pub trusted: Vec<String>,
    /// Whether DKIM signatures are checked.
    pub check_dkim: bool,
    /// Mails that may wait for a person.
    pub inbox: u64,
    /// Entries about one address among which a message of ours is looked for.
    pub reply_search: usize,
    /// Where the envelope senders of copies are.
    pub bounce_domain: Option<Domain>,
    /// Whether what comes back there goes on to whom the client had named.
    pub pass_on: bool,
    /// Days with a soft return, each within [`FORGOTTEN`] of the next, after which a mailbox is blocked.
    pub soft_days: usize,
}

/// Checks DKIM signatures. Handed in by `app`, which knows the resolver.
pub trait Vouch: Send + Sync + std::fmt::Debug {
    /// The domains that signed all of `message`; none when it cannot be found out in time.
    fn signers<'a>(&'a self, message: &'a [u8]) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + 'a>>;
}

/// Takes mail for the unsubscribe address, whichever way it comes. Clones share it.
#[derive(Debug, Clone)]
pub struct Mailroom {
    /// Who takes unsubscribes.
    pub desk: Arc<Desk>,
    /// The pen.
    pub scribe: Scribe,
    /// What was sent.
    pub sendings: Arc<dyn Sendings>,
    /// What waits for a person.
    pub inbox: Arc<dyn InboxView>,
    /// Who checks signatures.
    pub vouch: Arc<dyn Vouch>,
    /// What it goes by.
    pub settings: watch::Receiver<Arc<MailSettings>>,
    /// Held by whoever puts a mail into the inbox, so that no two take its last place.
    pub shelf: Arc<Mutex<()>>,
    /// Its own counters.
    pub limits: Limits,
    /// The time.
    pub clock: SharedClock,
}

impl Mailroom {
    /// What it goes by now.
    pub fn settings(&self) -> Arc<MailSettings> {
        self.settings.borrow().clone()
    }

    /// Whether mail to `address` is taken: to the unsubscribe address, and to the envelope sender of a copy.
    pub fn takes(&self, address: &Address) -> bool {
        let settings = self.settings();
        let is_mailto = settings.address.as_ref().is_some_and(|ours| ours.key() == address.key());
        is_mailto || self.copy_of(address, &settings).is_some()
    }

    fn copy_of(&self, address: &Address, settings: &MailSettings) -> Option<CopyId> {
        self.desk.settings().keys.bounced(address, settings.bounce_domain.as_ref()?)
    }

    /// Take one mail. Must be awaited to its end.
    pub async fn take(
        &self,
        from: Handing,
        recipients: &[Address],
        message: Bytes,
    ) -> Result<Handled, MailError> {
        let handled = self.handle(from, recipients, message).await?;
        metrics::unsubscribe_mail(match handled {
            Handled::Unsubscribed(_) => "unsubscribed",
            Handled::Complained { again: false, .. } => "complained",
            Handled::Complained { again: true, .. } => "complained_again",
            Handled::Returned { hard: true, .. } => "returned_hard",
            Handled::Returned { hard: false, .. } => "returned_soft",
            Handled::Ignored(_) => "ignored",
            Handled::Held => "held",
        });
        tracing::info!(?handled, "a mail to the unsubscribe address");
        Ok(handled)
    }

    async fn handle(
        &self,
        from: Handing,
        recipients: &[Address],
        message: Bytes,
    ) -> Result<Handled, MailError> {
        let settings = self.settings();
        let trusted = if from.cleaned { &settings.trusted[..] } else { &[] };
        let Some(mail) = letter::read(&message, from.null_path, trusted) else {
            self.limits.idle_mail(from.ip)?;
            return Ok(Handled::Ignored("it is no message"));
        };
        let about = self.about(&mail, recipients, &settings)?;
        let pass_on = Some(&message).filter(|_| settings.pass_on);
        Ok(match (&mail.kind, about) {
            (Kind::Automatic(why), about) => {
                // Many bounces are no DSN: whoever sent the copy hears of them, too.
                self.ignore(about, why, pass_on, from).await?
            }
            (Kind::Complaint, Some(about)) => self.complaint(about, from).await?,
            (Kind::Complaint, None) => {
                self.hold(from, &mail, &message, "it is a complaint, but about which message?").await?
            }
            (Kind::OptOut, Some(about)) => self.wish(about.leaving).await?,
            (Kind::OptOut, None) => {
                self.hold(from, &mail, &message, "it reports an opt-out, but of which message?").await?
            }
            (Kind::Report, _) => self.hold(from, &mail, &message, "it is a report, and no complaint").await?,
            (Kind::Returned(failures), Some(about)) => match worst(failures, &about.leaving.address) {
                Some(failure) => self.returned(about, failure, pass_on, from, &settings).await?,
                None => self.ignore(Some(about), "nothing was given up", pass_on, from).await?,
            },
            (Kind::Returned(_), None) => {
                self.ignore(None, "it names no message of ours", pass_on, from).await?
            }
            (Kind::Wish { .. }, Some(about)) => self.wish(about.leaving).await?,
            (Kind::Wish { plain: true }, None) => match self.answered(&mail, &settings).await? {
                Some(leaving) if self.is_credible(&mail, &message, &settings).await => {
                    self.wish(leaving).await?
                }
                Some(_) => self.hold(from, &mail, &message, "nobody vouches for its From address").await?,
                None => {
                    self.hold(from, &mail, &message, "it names no message of ours to its From address")
                        .await?
                }
            },
            (Kind::Wish { plain: false }, None) => {
                self.hold(from, &mail, &message, "the token in its subject is none of ours").await?
            }
            (Kind::Other, _) => self.hold(from, &mail, &message, "it does not say what is wanted").await?,
        })
    }

    /// The message of ours that a mail is about: by the envelope sender that it came to, or by a token in it.
    /// Nobody else can make up either.
    fn about(
        &self,
        mail: &letter::Letter,
        recipients: &[Address],
        settings: &MailSettings,
    ) -> Result<Option<About>, Unavailable> {
        let copy = recipients.iter().find_map(|address| self.copy_of(address, settings));
        if let Some(copy) = copy
            && let Some(sent) = self.sendings.of_copy(copy)?
        {
            let Sending { sender, address, reference, purpose } = sent.sending;
            let leaving = Leaving { sender, address, token: None, reference: Some(reference), purpose };
            return Ok(Some(About { leaving, reference, copy: Some(copy), on: sent.reverse_path }));
        }
        let claimed = mail.tokens.iter().find_map(|token| Some((token, self.desk.open(token).ok()?.0)));
        Ok(claimed.map(|(token, claim)| {
            let reference = claim.reference;
            About { leaving: Leaving::with(token, claim), reference, copy: None, on: None }
        }))
    }

    /// Whether somebody vouches for its From address. Signatures are looked at last: that costs a question to
    /// the DNS of whoever wrote it.
    async fn is_credible(&self, mail: &letter::Letter, message: &[u8], settings: &MailSettings) -> bool {
        let Some(from) = mail.from.as_ref().filter(|_| mail.one_from) else { return false };
        mail.credible
            || (settings.check_dkim
                && self.vouch.signers(message).await.iter().any(|signer| letter::speaks_for(signer, from)))
    }

    /// Nothing follows from it. What names a message of ours is on record all the same; anything else could be
    /// written by anybody, as often as they like.
    async fn ignore(
        &self,
        about: Option<About>,
        why: &'static str,
        message: Option<&Bytes>,
        from: Handing,
    ) -> Result<Handled, MailError> {
        self.limits.idle_mail(from.ip)?;
        if let Some(About { leaving, reference, copy, on }) = about {
            let Leaving { sender, address, .. } = leaving;
            // Two at once must not both be the last that is passed on.
            let _alone = self.desk.alone(&sender, &address).await;
            let mut record = Record::default();
            self.pass_on(&mut record, copy, on.as_ref().zip(message))?;
            let ignored = Ignored { sender, address: address.clone(), reference, copy, why: why.to_owned() };
            self.desk.write(Event::Ignored(ignored), record).await?;
        }
        Ok(Handled::Ignored(why))
    }

    /// Send a mail on to whom the client of `copy` had named, unless enough about that copy were. Whoever asks is
    /// alone with the copy's recipient until the record is durable.
    fn pass_on(
        &self,
        record: &mut Record,
        copy: Option<CopyId>,
        on: Option<(&Address, &Bytes)>,
    ) -> Result<(), Unavailable> {
        if let (Some(copy), Some((to, message))) = (copy, on)
            && self.sendings.heard(copy)? < PASSED_ON
        {
            self.desk.pass_on(record, to, message.clone());
        }
        Ok(())
    }

    /// Unsubscribe `address` from `sender`, and answer the mail that asked for it.
    pub async fn answer(
        &self,
        number: EntryNumber,
        address: Option<&Address>,
        sender: SenderId,
    ) -> Result<AddressKey, String> {
        let letter = self.inbox.find_letter(number).map_err(|error| error.0)?;
        let letter = letter.ok_or_else(|| format!("{number} is not in the inbox"))?;
        let address =
            address.or(letter.held.from.as_ref()).ok_or("the mail has no From address; name one")?;
        let address = address.key().clone();
        let leaving =
            Leaving { sender, address: address.clone(), token: None, reference: None, purpose: None };
        self.desk.leave(leaving, BY_MAIL).await.map_err(|error| error.to_string())?;
        let answered = Answered { held: number, how: "unsubscribed".to_owned() };
        let record = Record { events: vec![Event::Answered(answered)], sides: vec![Side::Filed(number)] };
        self.scribe.record(record).await.map_err(|error| error.to_string())?;
        Ok(address)
    }

    async fn wish(&self, leaving: Leaving) -> Result<Handled, MailError> {
        let address = leaving.address.clone();
        self.desk.leave(leaving, BY_MAIL).await?;
        Ok(Handled::Unsubscribed(address))
    }

    async fn complaint(&self, about: About, from: Handing) -> Result<Handled, MailError> {
        let address = about.leaving.address.clone();
        let again = !self.desk.complain(about.leaving).await?;
        if again {
            self.limits.idle_mail(from.ip)?;
        }
        Ok(Handled::Complained { address, again })
    }

    async fn returned(
        &self,
        about: About,
        failure: &Failure,
        message: Option<&Bytes>,
        from: Handing,
        settings: &MailSettings,
    ) -> Result<Handled, MailError> {
        let About { leaving, reference, copy, on } = about;
        let Leaving { sender, address, .. } = leaving;
        let _alone = self.desk.alone(&sender, &address).await;
        let hard = failure.is_hard(&address);
        let blocked = hard || {
            let mut times = self.sendings.soft_returns(&sender, &address)?;
            times.push(self.clock.now());
            days(&times) >= settings.soft_days
        };
        let is_news = blocked && !self.desk.is_blocked(&sender, &address);
        if !is_news {
            self.limits.idle_mail(from.ip)?;
        }
        let returned = Returned {
            sender,
            address: address.clone(),
            reference,
            status: one_line_within(&failure.status, LINE),
            copy,
            hard,
            blocked,
            diagnostic: one_line_within(&failure.diagnostic, LINE),
        };
        let mut record = if is_news {
            self.desk.news(News::Blocked(&returned), &returned.sender)
        } else {
            Record::default()
        };
        self.pass_on(&mut record, copy, on.as_ref().zip(message))?;
        self.desk.write(Event::Returned(returned), record).await?;
        Ok(Handled::Returned { address, hard, blocked })
    }

    /// The message of ours to its From address that a mail answers.
    async fn answered(
        &self,
        mail: &letter::Letter,
        settings: &MailSettings,
    ) -> Result<Option<Leaving>, Unavailable> {
        let Some(from) = mail.from.as_ref().filter(|_| !mail.references.is_empty()) else { return Ok(None) };
        let (sendings, to, ids) = (self.sendings.clone(), from.key().clone(), mail.references.clone());
        let limit = settings.reply_search;
        let found = tokio::task::spawn_blocking(move || sendings.of_messages(&to, &ids, limit)).await;
        let found = found.map_err(|error| Unavailable(error.to_string()))??;
        Ok(found.map(|Sending { sender, address, reference, purpose }| Leaving {
            sender,
            address,
            token: None,
            reference: Some(reference),
            purpose,
        }))
    }

    async fn hold(
        &self,
        from: Handing,
        mail: &letter::Letter,
        message: &Bytes,
        why: &str,
    ) -> Result<Handled, MailError> {
        self.limits.idle_mail(from.ip)?;
        let _alone = self.shelf.lock().await;
        let limit = self.settings().inbox;
        if self.inbox.count_letters()? >= limit {
            metrics::limit_hit("inbox");
            return Err(MailError::Full(limit));
        }
        self.limits.held_mail(from.ip)?;
        let held = Held {
            from: mail.from.clone(),
            subject: one_line_within(&mail.subject, LINE),
            why: why.to_owned(),
        };
        let bytes = message[..message.len().min(KEPT)].to_vec();
        let letter = Letter { at: self.clock.now(), held: held.clone(), bytes };
        let record = Record { events: vec![Event::Held(held)], sides: vec![Side::Letter(Box::new(letter))] };
        self.scribe.record(record).await?;
        Ok(Handled::Held)
    }
}

/// The days on which something came back, up to the last of `times`, as far back as each is within [`FORGOTTEN`]
/// of the next.
fn days(times: &[Timestamp]) -> usize {
    let Some((last, before)) = times.split_last() else { return 0 };
    let (mut days, mut since) = (1, *last);
    for at in before.iter().rev() {
        let passed = since.duration_since(*at);
        if passed > FORGOTTEN {
            break;
        }
        if passed >= SignedDuration::from_hours(24) {
            days += 1;
            since = *at;
        }
    }
    days
}

/// The failure that says most about the mailbox.
fn worst<'f>(failures: &'f [Failure], address: &AddressKey) -> Option<&'f Failure> {
    failures.iter().find(|failure| failure.is_hard(address)).or(failures.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p14_soft_returns_count_by_the_day_and_are_forgotten() {
        let hours = |hours: &[i64]| -> Vec<Timestamp> {
            hours.iter().map(|hour| Timestamp::from_second(hour * 3_600).unwrap()).collect()
        };
        assert_eq!(days(&[]), 0);
        assert_eq!(days(&hours(&[0, 1, 2, 23])), 1, "one bad day");
        assert_eq!(days(&hours(&[0, 24, 48, 49, 72])), 4);
        assert_eq!(days(&hours(&[0, 24, 24 + 30 * 24, 48 + 30 * 24])), 4);
        assert_eq!(days(&hours(&[0, 24, 25 + 30 * 24, 49 + 30 * 24])), 2, "that was long ago");
    }
}
