//! `sluis unsubscribe-mail` and `sluis inbox`: mail to the unsubscribe address (RULES P9).

use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::args::{InboxCommand, UnsubscribeMail};
use super::link::{Link, unexpected};
use super::print::Out;
use crate::admin::{Answer, LetterLine, MAX_PAGE, Request};

/// The mail was not taken, and may be another time: the exit status tells the mail server to keep it.
#[derive(Debug, thiserror::Error)]
#[error("the mail was not taken; your mail server should keep it and try again")]
pub(super) struct TryAgain;

/// The mail will be no smaller another time: the exit status tells the mail server to send it back.
#[derive(Debug, thiserror::Error)]
#[error("the mail has more than limits.unsubscribe_mail ({0} octets)")]
pub(super) struct TooLarge(u64);

/// Hand in one mail from standard input.
pub(super) fn mail(command: UnsubscribeMail, path: &Path, out: &mut Out) -> Result<bool> {
    let settings = super::load(path).context(TryAgain)?;
    let (envelope, message) = read(std::io::stdin(), settings.limits.unsubscribe_mail)?;
    // What pipes get as SENDER is the envelope's, too.
    let sender = command.sender.or_else(|| std::env::var("SENDER").ok()).or(envelope);
    let null_path = sender.is_some_and(|sender| is_null(&sender));
    let recipient = command.recipient.or_else(|| std::env::var("ORIGINAL_RECIPIENT").ok()?.parse().ok());
    let request = Request::Mail { null_path, recipient, message: BASE64.encode(message) };
    let ask = || match Link::gateway(&settings)? {
        Some(mut gateway) => gateway.ask(request),
        None => bail!("no gateway runs"),
    };
    match ask().context(TryAgain)? {
        Answer::Done { text } => out.line(text).map(|()| true),
        // A gateway of another version: it will be restarted.
        other => Err(unexpected(&other).context(TryAgain)),
    }
}

/// A mail as it was on its way: some servers put the envelope on top, as a mailbox file has it, and end lines as
/// files do. Whom the envelope is from comes first, if the mail says it.
fn read(from: impl Read, limit: u64) -> Result<(Option<String>, Vec<u8>)> {
    let mut raw = Vec::new();
    from.take(limit + 1).read_to_end(&mut raw).context("the mail cannot be read").context(TryAgain)?;
    if raw.len() as u64 > limit {
        return Err(TooLarge(limit).into());
    }
    let mut envelope = None;
    for start in [&b"From "[..], b"Return-Path:"] {
        let end = raw.iter().position(|byte| *byte == b'\n').map_or(raw.len(), |at| at + 1);
        if let Some(rest) = raw[..end].strip_prefix(start) {
            let rest = String::from_utf8_lossy(rest);
            envelope = rest.split_whitespace().next().map(str::to_owned).or(envelope);
            if start == b"From " {
                raw.drain(..end);
            }
        }
    }
    let mut mail = Vec::with_capacity(raw.len() + raw.len() / 32);
    for byte in raw {
        if byte == b'\n' && mail.last() != Some(&b'\r') {
            mail.push(b'\r');
        }
        mail.push(byte);
    }
    Ok((envelope, mail))
}

fn is_null(sender: &str) -> bool {
    matches!(sender.trim(), "" | "<>" | "MAILER-DAEMON")
}

pub(super) fn inbox(command: InboxCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    let request = match command {
        InboxCommand::List => return list(link, out),
        InboxCommand::Show { letter } => Request::Letter { letter },
        InboxCommand::Apply { letter, address, sender } => Request::Leave { letter, address, sender },
        InboxCommand::Dismiss { letter } => Request::File { letter },
    };
    match link.ask(request)? {
        Answer::Done { text } => out.line(text).map(|()| true),
        Answer::Inbox { letters } => {
            for letter in &letters {
                out.line(line(letter))?;
                out.line("")?;
                out.line(letter.text.as_deref().unwrap_or_default())?;
            }
            Ok(true)
        }
        other => Err(unexpected(&other)),
    }
}

fn list(link: &mut Link, out: &mut Out) -> Result<bool> {
    let mut after = None;
    loop {
        let Answer::Inbox { letters } = link.ask(Request::Inbox { after, limit: MAX_PAGE })? else {
            bail!("the gateway gave another kind of answer; is it of the same version as this command?");
        };
        letters.iter().try_for_each(|letter| out.line(line(letter)))?;
        match letters.last() {
            Some(last) if letters.len() >= MAX_PAGE => after = Some(last.letter),
            _ => return Ok(true),
        }
    }
}

fn line(letter: &LetterLine) -> String {
    let from = letter.from.as_ref().map_or("nobody", |from| from.as_str());
    format!("{} {} from {from}, {:?}: {}", letter.letter, letter.at, letter.subject, letter.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_a_mail_from_a_pipe_is_as_it_was_on_its_way() {
        let piped = b"From a@b.nl Tue Nov 24 13:00:00 2026\nSubject: x\n\nDag\r\n";
        let (envelope, mail) = read(&piped[..], 100).unwrap();
        assert_eq!((envelope.as_deref(), &mail[..]), (Some("a@b.nl"), &b"Subject: x\r\n\r\nDag\r\n"[..]));
        for bounce in ["From MAILER-DAEMON Tue Nov 24\nSubject: x\n", "Return-Path: <>\nSubject: x\n"] {
            assert!(is_null(&read(bounce.as_bytes(), 100).unwrap().0.unwrap()), "{bounce}");
        }
        assert_eq!(read(&b"Subject: x\n"[..], 100).unwrap().0, None);
        let error = read(&piped[..], 10).unwrap_err();
        assert!(error.is::<TooLarge>() && !error.is::<TryAgain>(), "no smaller another time: {error:#}");
    }
}
