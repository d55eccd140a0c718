//! Why: the way of one decision, the reasons behind a reference, and counts of what was refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::SignedDuration;

use super::args::{Explain, Period, ReportCommand};
use super::fields;
use super::link::{Link, unexpected};
use super::print::Out;
use crate::admin::{self, Answer, Explained, MAX_PAGE, Request, Subject};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::ledger::{Entry, Event};
use crate::policy::{Mark, Refusal};

/// Largest message to be explained: what a gateway takes at most by default.
const MAX_MESSAGE: u64 = 35 << 20;

/// Explain what was asked; whether it may go.
pub(super) fn explain(asked: Explain, config: &Path, out: &mut Out) -> Result<bool> {
    let settings = super::load(config)?;
    if let Some(subject) = asked.subject {
        return recorded(&subject, &mut super::connect(config)?, out);
    }
    let senders = match &asked.account {
        None => settings.trusted.senders.clone(),
        Some(name) => settings
            .accounts
            .iter()
            .find(|account| account.name == *name)
            .map(|account| account.senders.clone())
            .ok_or_else(|| anyhow!("the config has no account \"{name}\""))?,
    };
    let to = asked.to.ok_or_else(|| anyhow!("--to is missing"))?;
    let message = asked.message.as_deref().map(read).transpose()?.map(|bytes| BASE64.encode(bytes));
    let request = Request::Explain(Box::new(admin::Explain {
        from: asked.from,
        to,
        envelope_from: asked.envelope_from,
        message,
        account: asked.account,
        senders,
        ip: asked.ip,
    }));
    match super::connect(config)?.ask(request)? {
        Answer::Explained(explained) => tell(out, &explained),
        other => Err(unexpected(&other)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?)
    };
    input.take(MAX_MESSAGE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MESSAGE {
        bail!("{} is larger than {MAX_MESSAGE} octets", path.display());
    }
    // Files have bare line feeds; a message on the wire has none.
    Ok(with_crlf(&bytes))
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(bytes.len() + 64);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        wire.extend_from_slice(text.unwrap_or(line));
        if text.is_some() {
            wire.extend_from_slice(b"\r\n");
        }
    }
    wire
}

fn tell(out: &mut Out, explained: &Explained) -> Result<bool> {
    for step in &explained.steps {
        let mark = match step.mark {
            Mark::Passed => "yes",
            Mark::Failed => "no",
            Mark::Noted => "-",
        };
        out.line(format_args!("{:<8} {mark:<3} {}", step.about, step.text))?;
    }
    let rule = match &explained.rule {
        Some(rule) => format!("rule {rule:?}"),
        None => "no rule".to_owned(),
    };
    let verdict = match (explained.decision.as_str(), explained.observe) {
        ("forward", _) => "may go",
        ("refuse", true) => "goes, because this gateway only observes; enforcement would refuse it",
        ("refuse", false) => "is refused",
        _ => "is deferred (451)",
    };
    out.line(format_args!("\n{verdict}, by {rule}: {}", explained.why))?;
    if let (Some(number), Some(law), Some(remedy)) = (&explained.number, &explained.law, &explained.remedy) {
        reasons(out, number, law, remedy)?;
    }
    Ok(explained.decision == "forward")
}

fn reasons(out: &mut Out, number: &str, law: &str, remedy: &str) -> Result<()> {
    out.line(format_args!("  clause           {number}"))?;
    out.line(format_args!("  law              {law}"))?;
    out.line(format_args!("  to make it pass  {remedy}"))
}

/// What the ledger has on decisions about `subject`, with the same reasons.
fn recorded(subject: &Subject, link: &mut Link, out: &mut Out) -> Result<bool> {
    let (mut after, mut found) = (None, false);
    loop {
        let request = Request::Entries { query: subject.clone().into(), after, limit: MAX_PAGE };
        let (entries, next) = match link.ask(request)? {
            Answer::Entries { entries, next } => (entries, next),
            other => return Err(unexpected(&other)),
        };
        for filed in &entries {
            let entry = filed.json.as_deref().and_then(|json| Entry::parse(json.as_bytes()).ok());
            if let Some(entry) = entry {
                found |= decision(out, &entry)?;
            }
        }
        match next {
            Some(_) => after = next,
            None => break,
        }
    }
    if !found {
        bail!("no decision is on record about {subject}");
    }
    Ok(true)
}

/// Tell what an entry decided; whether it did.
fn decision(out: &mut Out, entry: &Entry) -> Result<bool> {
    match &entry.event {
        Event::Refused { recipients, .. } => {
            for one in recipients {
                out.line(format_args!("{} {} was refused", entry.at, one.recipient))?;
                refused(out, &one.refusal)?;
            }
            Ok(true)
        }
        Event::Admitted(admitted) => {
            let rule = admitted.rule.as_deref().unwrap_or("none matched");
            for one in &admitted.recipients {
                out.line(format_args!("{} {} was admitted: {}", entry.at, one.recipient, one.basis))?;
                out.line(format_args!("  rule             {rule}"))?;
                if let Some(refusal) = &one.observed {
                    out.line("  enforcement would have refused it")?;
                    refused(out, refusal)?;
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn refused(out: &mut Out, refusal: &Refusal) -> Result<()> {
    out.line(format_args!("  reason           {}", refusal.reason()))?;
    out.line(format_args!("  rule             {}", refusal.rule.as_deref().unwrap_or("none matched")))?;
    let clause = &refusal.clause;
    reasons(out, clause.rule(), clause.law(), clause.remedy())
}

/// Count refusals, stretch by stretch.
pub(super) fn report(command: ReportCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    let (period, observed) = match command {
        ReportCommand::Observe(period) => (period, true),
        ReportCommand::Refused(period) => (period, false),
    };
    let (from, to) = bounds(&period)?;
    let mut counts: BTreeMap<(Option<String>, Option<String>, String, String), u64> = BTreeMap::new();
    let mut after = None;
    loop {
        let (tallies, next) = match link.ask(Request::Refusals { from, to, observed, after })? {
            Answer::Refusals { tallies, next } => (tallies, next),
            other => return Err(unexpected(&other)),
        };
        for tally in tallies {
            *counts.entry((tally.rule, tally.sender, tally.number, tally.clause)).or_default() += tally.count;
        }
        match next {
            Some(_) => after = next,
            None => break,
        }
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let what = if observed { "would have been refused" } else { "were refused" };
    let total: u64 = rows.iter().map(|(_, count)| count).sum();
    out.line(format_args!("{total} recipients {what}, from {from} to {to}"))?;
    for ((rule, sender, number, clause), count) in rows {
        let rule = rule.map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule:?}"));
        let sender = sender.unwrap_or_else(|| "no sender".to_owned());
        out.line(format_args!("{count:>9}  {number:<6} {clause:<28} {rule}, {sender}"))?;
    }
    Ok(true)
}

fn bounds(period: &Period) -> Result<(Timestamp, Timestamp)> {
    let zone = fields::zone(&period.zone).map_err(|why| anyhow!(why))?;
    let moment = |text: &str| fields::time(text, &zone).map_err(|why| anyhow!(why));
    let to = period.until.as_deref().map(moment).transpose()?.unwrap_or_else(|| SystemClock.now());
    let month = SignedDuration::from_hours(30 * 24);
    let from = match period.since.as_deref() {
        Some(text) => moment(text)?,
        None => to.checked_sub(month).unwrap_or(to),
    };
    if from >= to {
        bail!("the period from {from} to {to} is empty");
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_as_it_would_go_over_the_wire() {
        assert_eq!(with_crlf(b"a\nb\r\n\nc"), b"a\r\nb\r\n\r\nc");
        assert_eq!(with_crlf(b""), b"");
    }
}
