//! Mail to the unsubscribe address: handed in by a pipe, and what waits for a person (RULES P9).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Services;
use super::wire::{Answer, LetterLine};
use crate::ledger::{Answered, EntryNumber, Event, Letter, Record, Side, Unblocked};
use crate::mail::Address;
use crate::policy::Unavailable;

/// Nobody is there to take it.
const NOBODY: &str = "no gateway runs on this data folder, and only that takes mail";

/// Take a mail.
pub(super) async fn take(
    services: &Services,
    null_path: bool,
    recipient: Option<Address>,
    message: &str,
) -> Answer {
    let Some(mailbox) = &services.mailbox else { return Answer::Failed { error: NOBODY.to_owned() } };
    let Ok(message) = BASE64.decode(message) else {
        return Answer::Failed { error: "the message is not base64".to_owned() };
    };
    finished(mailbox.take(null_path, recipient, message).await)
}

/// Unsubscribe whoever a held mail is from, and answer it.
pub(super) async fn unsubscribe(
    services: &Services,
    letter: EntryNumber,
    address: Option<Address>,
    sender: Option<&str>,
) -> Answer {
    let Some(mailbox) = &services.mailbox else { return Answer::Failed { error: NOBODY.to_owned() } };
    match super::rows::find_sender(&services.control.rules(), sender) {
        Ok(sender) => finished(mailbox.answer(letter, address, sender.id.clone()).await),
        Err(error) => Answer::Failed { error },
    }
}

fn finished(done: Result<String, String>) -> Answer {
    match done {
        Ok(text) => Answer::Done { text },
        Err(error) => Answer::Failed { error },
    }
}

/// A page of what waits for a person.
pub(super) fn list(
    services: &Services,
    after: Option<EntryNumber>,
    limit: usize,
) -> Result<Answer, Unavailable> {
    let letters = services.inbox.list_letters(after, limit)?;
    Ok(Answer::Inbox {
        letters: letters.iter().map(|(number, letter)| line(*number, letter, false)).collect(),
    })
}

/// One of them, with its text.
pub(super) fn show(services: &Services, number: EntryNumber) -> Result<Answer, Unavailable> {
    Ok(match services.inbox.find_letter(number)? {
        Some(letter) => Answer::Inbox { letters: vec![line(number, &letter, true)] },
        None => absent(number),
    })
}

/// What answering a mail without unsubscribing anybody means.
pub(super) fn drop_letter(
    services: &Services,
    number: EntryNumber,
) -> Result<Result<(Record, String), Answer>, Unavailable> {
    if services.inbox.find_letter(number)?.is_none() {
        return Ok(Err(absent(number)));
    }
    let answered = Answered { held: number, how: "nobody was unsubscribed".to_owned() };
    let record = Record { events: vec![Event::Answered(answered)], sides: vec![Side::Filed(number)] };
    Ok(Ok((record, format!("mail {number} is answered"))))
}

/// What saying that a blocked mailbox works means.
pub(super) fn unblock(
    services: &Services,
    address: &Address,
    sender: Option<&str>,
    why: String,
) -> Result<Result<(Record, String), Answer>, Unavailable> {
    let rules = services.control.rules();
    let sender = match super::rows::find_sender(&rules, sender) {
        Ok(sender) => sender.id.clone(),
        Err(error) => return Ok(Err(Answer::Failed { error })),
    };
    let address = address.key().clone();
    if services.register.profile(&sender, &address)?.block.is_none() {
        return Ok(Err(Answer::Failed { error: format!("{address} is not blocked") }));
    }
    let text = format!("{address} is not blocked any more");
    let mut record = Record::of(Event::Unblocked(Unblocked { sender, address, why }));
    services.control.tell_lifted(&mut record, 0)?;
    Ok(Ok((record, text)))
}

fn absent(number: EntryNumber) -> Answer {
    Answer::Failed { error: format!("{number} is not in the inbox: it was answered") }
}

fn line(number: EntryNumber, letter: &Letter, whole: bool) -> LetterLine {
    LetterLine {
        letter: number,
        at: letter.at,
        from: letter.held.from.clone(),
        subject: letter.held.subject.clone(),
        why: letter.held.why.clone(),
        text: whole.then(|| String::from_utf8_lossy(&letter.bytes).into_owned()),
    }
}
