//! Consent texts and privacy texts: stored once, by their hash, with everything that is wrong with them.

use anyhow::{Result, anyhow};

use super::args::TextCommand;
use super::fields;
use super::link::{Link, unexpected};
use super::print::{Out, note};
use crate::admin::{Answer, MAX_PAGE, Request, TextRow};
use crate::mail::{Purpose, hex, one_line_within, sha256};

pub(super) fn run(command: TextCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    match command {
        TextCommand::Add { file, purpose, sender, privacy, dry_run } => {
            let text = fields::read_text(&file).map_err(|why| anyhow!(why))?;
            let hash = hex(&sha256(text.as_bytes()));
            let row = TextRow { text, purpose: purpose.map(Purpose), sender, privacy, dry_run };
            match link.ask(Request::AddText(Box::new(row)))? {
                Answer::Text { faults, refused, already } => {
                    faults.iter().for_each(|fault| note(&format!("{}: {fault}", file.display())));
                    let became = match (refused, already, dry_run) {
                        (true, _, _) => "refused",
                        (false, true, _) => "on record already",
                        (false, false, true) => "would be taken",
                        (false, false, false) => "on record",
                    };
                    out.line(format_args!("{hash} {became}"))?;
                    Ok(!refused)
                }
                other => Err(unexpected(&other)),
            }
        }
        TextCommand::List => list(link, out),
    }
}

fn list(link: &mut Link, out: &mut Out) -> Result<bool> {
    let mut after = None;
    loop {
        let texts = match link.ask(Request::Texts { after, limit: MAX_PAGE })? {
            Answer::Texts { texts } => texts,
            other => return Err(unexpected(&other)),
        };
        for (sha256, text) in &texts {
            out.line(format_args!("{sha256}\t{}", one_line_within(text, 80)))?;
        }
        match texts.last() {
            Some((last, _)) if texts.len() >= MAX_PAGE => after = Some(last.clone()),
            _ => return Ok(true),
        }
    }
}
