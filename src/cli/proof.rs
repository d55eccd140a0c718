//! Commands on the ledger.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::args::{Period, ProofCommand};
use super::fields;
use super::link::{Link, unexpected};
use super::print::{self, Out};
use super::{connect, load};
use crate::admin::{Answer, MAX_PAGE, Query, Request, Subject};
use crate::ledger::verify::verify_pack;

/// Longest file with a public key.
const MAX_KEY: u64 = 4_096;

pub(super) fn run(command: ProofCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        ProofCommand::Show { subject, period, json } => {
            show(&query(subject, &period)?, json, &mut connect(config)?, out)
        }
        ProofCommand::Export { subject, period, output } => {
            export(query(subject, &period)?, &output, &mut connect(config)?, out)
        }
        ProofCommand::Verify { pack: None, .. } => verify_ledger(&mut connect(config)?, out),
        ProofCommand::Verify { pack: Some(pack), key } => {
            // With a key of its own, a pack is checked without a config: on any machine, years later.
            let key = match key {
                Some(key) => key,
                None => load(config)?.data.join("keys/ledger.pub").display().to_string(),
            };
            verify(&pack, &public_key(&key)?, out)
        }
    }
}

fn query(subject: Option<Subject>, period: &Period) -> Result<Query> {
    let zone = fields::zone(&period.zone).map_err(Error::msg)?;
    let moment = |flag: &str, text: &Option<String>| {
        let moment = text.as_ref().map(|text| fields::time(text, &zone)).transpose();
        moment.map_err(|why| anyhow!("{flag}: {why}"))
    };
    Ok(Query {
        subject: subject.unwrap_or(Subject::Everything),
        since: moment("--since", &period.since)?,
        until: moment("--until", &period.until)?,
    })
}

fn show(query: &Query, exact: bool, link: &mut Link, out: &mut Out) -> Result<bool> {
    let (mut after, mut any) = (None, false);
    loop {
        let request = Request::Entries { query: query.clone(), after, limit: MAX_PAGE };
        let (entries, next) = match link.ask(request)? {
            Answer::Entries { entries, next } => (entries, next),
            other => return Err(unexpected(&other)),
        };
        any |= !entries.is_empty();
        entries.iter().try_for_each(|filed| print::entry(out, filed, exact))?;
        match next {
            Some(next) => after = Some(next),
            None if any => return Ok(true),
            None => bail!("nothing is on record about {query}"),
        }
    }
}

fn export(query: Query, output: &Path, link: &mut Link, out: &mut Out) -> Result<bool> {
    let zip = match link.ask(Request::Pack { query: query.clone() })? {
        Answer::Pack { zip } => zip,
        other => return Err(unexpected(&other)),
    };
    let zip = BASE64.decode(zip).context("the gateway's answer is no pack")?;
    // An evidence pack is never written over another one.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(output)
        .with_context(|| format!("{} cannot be made", output.display()))?;
    let written = file.write_all(&zip).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(output);
        return Err(error).with_context(|| format!("{} cannot be written", output.display()));
    }
    out.line(format_args!(
        "{}: the evidence about {query}, {} octets; check it with: sluis proof verify {}",
        output.display(),
        zip.len(),
        output.display()
    ))?;
    Ok(true)
}

/// The key itself, or what stands in the file of this name.
fn public_key(key: &str) -> Result<String> {
    use std::io::Read as _;
    if key.contains('+') && !Path::new(key).exists() {
        return Ok(key.trim().to_owned());
    }
    let mut text = String::new();
    File::open(key)
        .and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
        .with_context(|| format!("the public key {key} cannot be read; name it with --key"))?;
    Ok(text.trim().to_owned())
}

fn verify(pack: &Path, key: &str, out: &mut Out) -> Result<bool> {
    let file = File::open(pack).with_context(|| format!("{} cannot be opened", pack.display()))?;
    let report = verify_pack(file, key).with_context(|| pack.display().to_string())?;
    out.line(format_args!("about         {}", report.about))?;
    if let Some(checkpoint) = &report.checkpoint {
        out.line(format_args!("checkpoint    {} entries, signature holds", checkpoint.size))?;
    }
    for (number, entry) in &report.entries {
        let event = &entry.event;
        out.line(format_args!("#{number} {} {} {}", entry.at, event.kind().0, event.summary()))?;
    }
    for message in &report.messages {
        out.line(format_args!("message       {message} is byte for byte what was sent"))?;
    }
    for note in &report.notes {
        out.line(format_args!("note          {note}"))?;
    }
    for problem in &report.problems {
        out.line(format_args!("WRONG         {problem}"))?;
    }
    let sound = report.is_sound();
    out.line(if sound { "the pack is sound" } else { "the pack is NOT sound" })?;
    Ok(sound)
}

fn verify_ledger(link: &mut Link, out: &mut Out) -> Result<bool> {
    let verified = match link.ask(Request::Verify)? {
        Answer::Verified(verified) => verified,
        other => return Err(unexpected(&other)),
    };
    for finding in &verified.findings {
        out.line(format_args!("WRONG         {finding}"))?;
    }
    let sound = verified.findings.is_empty();
    let verdict = if sound { "the ledger is sound" } else { "the ledger is NOT sound" };
    out.line(format_args!("{verdict}: {} entries, {} checkpoints", verified.entries, verified.checkpoints))?;
    Ok(sound)
}
