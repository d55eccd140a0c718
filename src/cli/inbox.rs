//! `sluis unsubscribe-mail` and `sluis inbox`: mail to the unsubscribe address (RULES P9).

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::args::{InboxCommand, UnsubscribeMail};
use super::link::{Link, unexpected};
use super::print::Out;
use crate::admin::{Answer, LetterLine, MAX_PAGE, Request};

/// Largest mail from a pipe, in octets.
const MAX_MAIL: u64 = 16 << 20;

/// Hand in one mail from standard input.
pub(super) fn mail(command: UnsubscribeMail, link: &mut Link, out: &mut Out) -> Result<bool> {
    let mut message = Vec::new();
    std::io::stdin().take(MAX_MAIL + 1).read_to_end(&mut message).context("the mail cannot be read")?;
    if message.len() as u64 > MAX_MAIL {
        bail!("the mail has more than {} MiB", MAX_MAIL >> 20);
    }
    // Some servers put the envelope on top, as a mailbox file has it.
    if message.starts_with(b"From ") {
        let end = message.iter().position(|byte| *byte == b'\n').map_or(message.len(), |at| at + 1);
        message.drain(..end);
    }
    let sender = command.sender.filter(|sender| !matches!(sender.trim(), "" | "<>" | "MAILER-DAEMON"));
    let reverse_path = sender
        .map(|sender| {
            let bare = sender.trim().trim_start_matches('<').trim_end_matches('>');
            crate::mail::Address::parse(bare).with_context(|| format!("\"{sender}\" is no e-mail address"))
        })
        .transpose()?;
    match link.ask(Request::Mail { reverse_path, message: BASE64.encode(message) })? {
        Answer::Done { text } => out.line(text).map(|()| true),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn inbox(command: InboxCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    let request = match command {
        InboxCommand::List => return list(link, out),
        InboxCommand::Show { letter } => Request::Letter { letter },
        InboxCommand::Unsubscribe { letter, address, sender } => Request::Leave { letter, address, sender },
        InboxCommand::Drop { letter } => Request::File { letter },
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
