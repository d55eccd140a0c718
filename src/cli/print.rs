//! Answers for a person.

use std::fmt::{self, Display};
use std::io::{self, Write as _};

use anyhow::Result;

use crate::admin::{ConsentLine, CopyLine, Filed, ProfileView, Status};
use crate::ledger::{Entry, Suppressed};

/// Standard output, buffered; a reader that has seen enough (`| head`) ends the command quietly.
pub(super) struct Out(io::BufWriter<io::Stdout>);

impl Out {
    pub(super) fn new() -> Self {
        Self(io::BufWriter::new(io::stdout()))
    }

    pub(super) fn line(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.0, "{text}")?;
        Ok(())
    }

    /// Octets as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.0.flush()?;
        Ok(())
    }
}

/// A line on standard error. Nobody reading it is no reason to stop.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether the reader of our output went away.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What is on record for an address.
pub(super) fn profiles(out: &mut Out, profiles: &[ProfileView]) -> Result<()> {
    for profile in profiles {
        out.line(format_args!("{} ({})", profile.name, profile.sender))?;
        for suppression in &profile.suppressions {
            let reason = suppression.reason.as_str();
            out.line(format_args!(
                "  suppressed   {reason} since {} ({})",
                suppression.since, suppression.source
            ))?;
        }
        for consent in &profile.consents {
            consent_line(out, consent)?;
        }
        for relation in &profile.relations {
            let gap = match (relation.given_in_sale, relation.opt_out_offered) {
                (true, true) => "",
                (false, _) => " - no basis: not given in a sale",
                (_, false) => " - no basis: no opt-out was offered",
            };
            out.line(format_args!(
                "  customer     {}, last {}{gap}",
                relation.product, relation.last_purchase
            ))?;
        }
        for (purpose, published) in &profile.published {
            out.line(format_args!(
                "  published    \"{purpose}\": {}, captured {}, review by {}",
                published.url, published.captured_at, published.review_by
            ))?;
        }
        if let Some(reply) = &profile.blocked {
            out.line(format_args!("  blocked      {reply}"))?;
        }
        let bases = profile.consents.len() + profile.relations.len() + profile.published.len();
        if profile.suppressions.is_empty() && bases == 0 {
            out.line("  nothing on record")?;
        }
    }
    Ok(())
}

fn consent_line(out: &mut Out, consent: &ConsentLine) -> Result<()> {
    let grade = consent.grade.map_or_else(String::new, |grade| format!(", grade {grade:?}"));
    let since = consent.since.map_or_else(String::new, |since| format!(" since {since}"));
    out.line(format_args!("  consent      \"{}\": {}{grade}{since}", consent.purpose, consent.state))?;
    for event in &consent.events {
        let evidence = &event.evidence;
        let kind = format!("{:?}", event.kind).to_lowercase();
        let details: Vec<String> = [
            evidence.act.map(|act| act.as_str().to_owned()),
            evidence.source.clone(),
            evidence.ip.as_ref().map(|ip| format!("from {ip}")),
            evidence.text_sha256.as_ref().map(|hash| format!("text {}", hash.get(..12).unwrap_or(hash))),
            evidence.attestation.as_ref().map(|words| format!("attested: {words}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        out.line(format_args!("    {} {kind} {}", event.at, details.join(", ")))?;
    }
    Ok(())
}

/// One suppression on one line, columns apart by tabs.
pub(super) fn suppression(out: &mut Out, row: &Suppressed) -> Result<()> {
    let suppression = &row.suppression;
    let reason = suppression.reason.as_str();
    out.line(format_args!(
        "{}\t{}\t{reason}\t{}\t{}",
        row.address, row.sender, suppression.since, suppression.source
    ))
}

/// One entry: its number, time, kind and what it says; or its exact bytes.
pub(super) fn entry(out: &mut Out, filed: &Filed, exact: bool) -> Result<()> {
    match &filed.json {
        None => {
            out.line(format_args!("#{} erased: its retention has passed, the leaf hash stands", filed.number))
        }
        Some(json) if exact => out.line(json),
        Some(json) => match Entry::parse(json.as_bytes()) {
            Ok(entry) => {
                let (number, at, event) = (filed.number, entry.at, &entry.event);
                out.line(format_args!("#{number} {at} {} {}", event.kind().0, event.summary()))
            }
            Err(_) => out.line(format_args!("#{} {json}", filed.number)),
        },
    }
}

/// One waiting copy on one line.
pub(super) fn copy(out: &mut Out, copy: &CopyLine) -> Result<()> {
    let to: Vec<&str> = copy.recipients.iter().map(|recipient| recipient.as_str()).collect();
    let next = copy.next.map_or_else(String::new, |next| format!(" until {next}"));
    out.line(format_args!(
        "{} {}{next}, {} tries, {} from <{}> to {}: {}",
        copy.copy,
        copy.state,
        copy.attempts,
        copy.class,
        copy.reverse_path,
        to.join(", "),
        if copy.last_reply.is_empty() { "not tried yet" } else { &copy.last_reply }
    ))
}

/// One waiting copy in full.
pub(super) fn copy_in_full(out: &mut Out, line: &CopyLine) -> Result<()> {
    copy(out, line)?;
    out.line(format_args!("  came         {}", line.admitted_at))?;
    out.line(format_args!("  given up     {}", line.expires_at))
}

/// What a gateway does.
pub(super) fn status(out: &mut Out, status: &Status, runs: bool) -> Result<()> {
    let mut field = |name: &str, value: fmt::Arguments<'_>| out.line(format_args!("{name:<14}{value}"));
    if runs {
        field("gateway", format_args!("{} (sluis {}), since {}", status.name, status.version, status.since))?;
        for listener in &status.listeners {
            field("listens on", format_args!("{listener}"))?;
        }
        field("sessions", format_args!("{}", status.sessions))?;
        field("next hop", format_args!("{}", status.next_hop))?;
        match &status.unsubscribe_fault {
            None if status.unsubscribe_healthy => field("unsubscribe", format_args!("answers"))?,
            fault => {
                let fault = fault.as_deref().unwrap_or("it does not answer");
                field("unsubscribe", format_args!("does not work, marketing gets 451: {fault}"))?;
            }
        }
    } else {
        field("gateway", format_args!("does not run"))?;
    }
    field("mode", format_args!("{}", status.mode))?;
    field("rules", format_args!("{}", status.rules_sha256))?;
    field("spool", format_args!("{} copies", status.spool))?;
    field("ledger", format_args!("{} entries", status.entries))
}
