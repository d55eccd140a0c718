//! Commands on the ledger.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow, bail};

use super::args::{Period, ProofCommand};
use super::link::{Link, unexpected};
use super::print::{self, Out};
use super::{complaint, fields};
use super::{connect, load};
use crate::admin::{Answer, LedgerAnswer, LedgerRequest, MAX_PAGE, Query, Request, Subject};
use crate::ledger::Keep;
use crate::ledger::verify::verify_pack;
use crate::mail::{Address, Language, hex, sha256};

/// Longest complaint.
const MAX_COMPLAINT: u64 = 64 << 20;
/// Longest file with a public key.
const MAX_KEY: u64 = 4_096;

pub(super) fn run(command: ProofCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        ProofCommand::Show { subject, period, json } => {
            show(&query(subject, &period)?, json, &mut connect(config)?, out)
        }
        ProofCommand::Export { subject, period, output, language } => {
            export(query(subject, &period)?, language, &output, &mut connect(config)?, out)
        }
        ProofCommand::Verify { pack: None, .. } => super::ledger::fsck(&[], config, out),
        ProofCommand::Message { subject, to } => message(subject, &to, &mut connect(config)?, out),
        ProofCommand::Lookup { complaint, json } => lookup(&complaint, json, &mut connect(config)?, out),
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

fn export(
    query: Query,
    language: Option<Language>,
    output: &Path,
    link: &mut Link,
    out: &mut Out,
) -> Result<bool> {
    let pack = match link.ask(Request::Pack { query: query.clone(), language })? {
        Answer::Pack(pack) => pack,
        other => return Err(unexpected(&other)),
    };
    let taken = File::open(&pack.file)
        .with_context(|| format!("the pack {} cannot be read", pack.file.display()))
        .and_then(|mut made| write_new(output, |file| std::io::copy(&mut made, file).map(drop)));
    // It was made for this command alone; what a command leaves behind is swept away by a later one.
    let _ = std::fs::remove_file(&pack.file);
    taken?;
    out.line(format_args!(
        "{}: the evidence about {query}, {} octets; check it with: sluis proof verify {}",
        output.display(),
        pack.octets,
        output.display()
    ))?;
    for missing in &pack.missing {
        print::note(&format!("NOT IN THE PACK: {missing}"));
    }
    Ok(pack.missing.is_empty())
}

/// Write a file that must not be there: no evidence is ever written over another.
pub(super) fn write_new(output: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(output)
        .with_context(|| format!("{} cannot be made", output.display()))?;
    let written = fill(&mut file).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(output);
        return Err(error).with_context(|| format!("{} cannot be written", output.display()));
    }
    Ok(())
}

/// What stands in a file of bounded length; "-" is standard input.
pub(super) fn read_bounded(path: &Path, longest: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(longest + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(longest + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    if bytes.len() as u64 > longest {
        bail!("{} is longer than {longest} octets", path.display());
    }
    Ok(bytes)
}

/// The exact bytes to standard output, and what they are to standard error.
fn message(subject: Subject, to: &Address, link: &mut Link, out: &mut Out) -> Result<bool> {
    let request = LedgerRequest::Message { query: subject.into(), to: to.key().clone() };
    let message = match link.ask(Request::Ledger(request))? {
        Answer::Ledger(LedgerAnswer::Message(message)) => message,
        other => return Err(unexpected(&other)),
    };
    let bytes = message.decoded().context("the gateway's answer is no message")?;
    for other in &message.others {
        print::note(&format!("copy {other} went to {to} as well; name it to see it"));
    }
    let (copy, number) = (message.copy, message.number);
    match message.kept {
        Keep::Full if hex(&sha256(&bytes)) != message.sent_sha256 => {
            bail!(
                "the bytes of copy {copy} are not what entry {number} says was sent; run: sluis ledger fsck"
            )
        }
        Keep::Full => {
            out.bytes(&bytes)?;
            print::note(&format!("copy {copy}, entry {number}: SHA-256 {} holds", message.sent_sha256));
            Ok(true)
        }
        Keep::Headers => {
            out.bytes(&bytes)?;
            print::note(&format!(
                "copy {copy}, entry {number}: of this class only the header section is kept (ledger.archive); the \
                 whole had SHA-256 {}",
                message.sent_sha256
            ));
            Ok(false)
        }
        Keep::Hash => bail!(
            "copy {copy}, entry {number}: of this class nothing but the hash is kept (ledger.archive); a message \
             you hold is this one if its SHA-256 is {}",
            message.sent_sha256
        ),
    }
}

/// Follow the clues of a complaint until one leads somewhere.
fn lookup(complaint: &Path, exact: bool, link: &mut Link, out: &mut Out) -> Result<bool> {
    let clues = complaint::clues(&read_bounded(complaint, MAX_COMPLAINT)?);
    for clue in &clues {
        let query = Query::from(clue.clone());
        let request = Request::Entries { query: query.clone(), after: None, limit: 1 };
        let Answer::Entries { entries, .. } = link.ask(request)? else { continue };
        if !entries.is_empty() {
            print::note(&format!("found by {clue}"));
            return show(&query, exact, link, out);
        }
    }
    if clues.is_empty() {
        bail!(
            "{}: neither a Sluis-Trace field nor a Message-ID is in it; forward the message as an attachment, or \
             look for the address: sluis proof show ADDRESS",
            complaint.display()
        );
    }
    let tried: Vec<String> = clues.iter().map(ToString::to_string).collect();
    bail!("{}: nothing is on record about {}", complaint.display(), tried.join(", "))
}

/// The key itself, or what stands in the file of this name.
pub(super) fn public_key(key: &str) -> Result<String> {
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
    for file in &report.evidence {
        out.line(format_args!("evidence      {file}"))?;
    }
    for anchor in &report.anchors {
        out.line(format_args!("anchor        {anchor}"))?;
    }
    for note in &report.notes {
        out.line(format_args!("note          {note}"))?;
    }
    for missing in &report.missing {
        out.line(format_args!("MISSING       {missing}"))?;
    }
    for problem in &report.problems {
        out.line(format_args!("WRONG         {problem}"))?;
    }
    match (report.is_sound(), report.missing.len()) {
        (false, _) => out.line("the pack is NOT sound")?,
        (true, 0) => out.line("the pack is sound")?,
        (true, missing) => {
            out.line(format_args!(
                "the pack is sound, and {missing} files that its entries name are not in it"
            ))?;
        }
    }
    Ok(report.is_sound() && report.missing.is_empty())
}
