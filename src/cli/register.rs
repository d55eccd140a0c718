//! Commands on the register: one fact at a time, and looking things up.

use std::path::Path;

use anyhow::{Result, anyhow};
use jiff::tz::TimeZone;

use super::args::{
    ConsentAdd, ConsentCommand, CustomerAdd, CustomerCommand, PublishedAdd, PublishedCommand, SuppressCommand,
};
use super::import::{self, Kind};
use super::link::{Link, unexpected};
use super::print::{self, Out};
use super::{connect, fields};
use crate::admin::{
    Answer, ConsentRow, CustomerRow, Import, MAX_PAGE, PublishedRow, Request, Row, SuppressionRow,
};
use crate::app::EVIDENCE;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::consent::{Act, Evidence};
use crate::mail::{Address, Purpose};
use crate::suppression::Reason;

/// Where facts come from that were typed in.
const SOURCE: &str = "command line";

pub(super) fn consent(command: ConsentCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        ConsentCommand::Add(add) => {
            let folder = super::load(config)?.data.join(EVIDENCE);
            add_consent(*add, &folder, &mut connect(config)?, out)
        }
        ConsentCommand::Show { address, sender } => show(address, sender, &mut connect(config)?, out),
        ConsentCommand::Import(args) => import::rows(Kind::Consents, args, config, out),
    }
}

pub(super) fn customer(command: CustomerCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        CustomerCommand::Add(add) => add_customer(add, &mut connect(config)?, out),
        CustomerCommand::Import(args) => import::rows(Kind::Customers, args, config, out),
    }
}

pub(super) fn published(command: PublishedCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        PublishedCommand::Add(add) => add_published(*add, &mut connect(config)?, out),
        PublishedCommand::Import(args) => import::rows(Kind::Published, args, config, out),
    }
}

pub(super) fn suppression(command: SuppressCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        SuppressCommand::Add { address, sender, reason, source } => {
            suppress(address, sender, reason.into(), source, &mut connect(config)?, out)
        }
        SuppressCommand::List { sender } => list_suppressions(sender, &mut connect(config)?, out),
        SuppressCommand::Unblock { address, sender, why } => {
            super::done(connect(config)?.ask(Request::Unblock { address, sender, why })?, out)
        }
        SuppressCommand::Import(args) => import::rows(Kind::Suppressions, args, config, out),
    }
}

fn add_consent(add: ConsentAdd, folder: &Path, link: &mut Link, out: &mut Out) -> Result<bool> {
    // Kept before the entry that names them is written; a file that nothing names is swept away.
    let files =
        add.evidence.iter().map(|file| import::source::keep_evidence(file, folder)).collect::<Result<_>>()?;
    let at = match &add.at {
        Some(at) => moment(at, &add.zone)?,
        None => SystemClock.now(),
    };
    let text = match (add.text, &add.text_file) {
        (Some(text), _) => Some(text),
        (None, Some(file)) => Some(fields::read_text(file).map_err(|why| anyhow!(why))?),
        (None, None) => None,
    };
    let row = ConsentRow {
        line: 1,
        address: add.address,
        sender: add.given.sender,
        purpose: Purpose(add.purpose),
        kind: add.kind.into(),
        at,
        text: text.as_ref().map(|_| 0),
        evidence: Evidence {
            text_sha256: add
                .text_sha256
                .map(|hex| fields::sha256("text_sha256", &hex))
                .transpose()
                .map_err(|why| anyhow!(why))?,
            privacy_version: add.privacy_version,
            act: add.given.act.map(|act| Act::parse(&act)).transpose()?,
            source: add.given.source,
            ip: add.ip,
            pre_ticked: None,
            bundled: None,
            attestation: add.given.attest,
        },
        files,
    };
    one(Row::Consent(row), text.into_iter().collect(), link, out)
}

fn add_customer(add: CustomerAdd, link: &mut Link, out: &mut Out) -> Result<bool> {
    let row = CustomerRow {
        line: 1,
        last_purchase: moment(&add.last_purchase, &add.zone)?,
        address: add.address,
        sender: add.sender,
        product: add.product,
        opt_out_offered: add.opt_out_offered,
        given_in_sale: add.given_in_sale,
        source: add.source,
    };
    one(Row::Customer(row), Vec::new(), link, out)
}

fn add_published(add: PublishedAdd, link: &mut Link, out: &mut Out) -> Result<bool> {
    let captured_at = match &add.captured_at {
        Some(at) => moment(at, &add.zone)?,
        None => SystemClock.now(),
    };
    let page_sha256 = match (&add.page_file, &add.page_sha256) {
        (Some(file), _) => fields::sha256_of_file(file).map_err(|why| anyhow!(why))?,
        (None, Some(hex)) => fields::sha256("page_sha256", hex).map_err(|why| anyhow!(why))?,
        (None, None) => String::new(),
    };
    let row = PublishedRow {
        line: 1,
        address: add.address,
        sender: add.sender,
        purpose: Purpose(add.purpose),
        url: add.url,
        quote: add.quote,
        captured_at,
        page_sha256,
        review_by: add.review_by.map(|at| moment(&at, &add.zone)).transpose()?,
    };
    one(Row::Published(row), Vec::new(), link, out)
}

fn suppress(
    address: Address,
    sender: Option<String>,
    reason: Reason,
    source: String,
    link: &mut Link,
    out: &mut Out,
) -> Result<bool> {
    let row = SuppressionRow { line: 1, address, sender, reason, since: Some(SystemClock.now()), source };
    one(Row::Suppression(row), Vec::new(), link, out)
}

/// Put one row on record.
fn one(row: Row, texts: Vec<String>, link: &mut Link, out: &mut Out) -> Result<bool> {
    let import =
        Import { source: SOURCE.to_owned(), from_file: false, dry_run: false, texts, rows: vec![row] };
    let imported = match link.ask(Request::Import(import))? {
        Answer::Imported(imported) => imported,
        other => return Err(unexpected(&other)),
    };
    if let Some(reject) = imported.rejected.first() {
        return Err(anyhow!(reject.why.clone()));
    }
    imported.notes.iter().for_each(|note| print::note(&format!("note: {note}")));
    out.line(if imported.added > 0 { "on record" } else { "was on record already" })?;
    Ok(true)
}

fn moment(text: &str, zone: &str) -> Result<Timestamp> {
    let zone: TimeZone = fields::zone(zone).map_err(|why| anyhow!(why))?;
    fields::time(text, &zone).map_err(|why| anyhow!(why))
}

fn show(address: Address, sender: Option<String>, link: &mut Link, out: &mut Out) -> Result<bool> {
    match link.ask(Request::Show { address, sender })? {
        Answer::Profiles { profiles } => print::profiles(out, &profiles).map(|()| true),
        other => Err(unexpected(&other)),
    }
}

fn list_suppressions(sender: Option<String>, link: &mut Link, out: &mut Out) -> Result<bool> {
    let mut after = None;
    loop {
        let request = Request::Suppressions { sender: sender.clone(), after, limit: MAX_PAGE };
        let suppressions = match link.ask(request)? {
            Answer::Suppressions { suppressions } => suppressions,
            other => return Err(unexpected(&other)),
        };
        suppressions.iter().try_for_each(|row| print::suppression(out, row))?;
        match suppressions.last() {
            Some(last) if suppressions.len() >= MAX_PAGE => {
                after = Some((last.sender.clone(), last.address.clone()));
            }
            _ => return Ok(true),
        }
    }
}
