//! From the fields of a row to what `admin` takes; each fault is one line with its RULES number.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::import::dates::{self, Order};
use super::table::Fields;
use crate::admin::{ConsentRow, CustomerRow, PublishedRow, SuppressionRow};
use crate::consent::{Act, ConsentEventKind, Evidence};
use crate::mail::{Address, Purpose};
use crate::suppression::Reason;

/// The time zone of times without one.
pub(super) const ZONE: &str = "Europe/Amsterdam";
/// Most consent texts that one import refers to by file.
const MAX_TEXTS: usize = 10_000;
/// Longest consent text, in octets.
const MAX_TEXT: u64 = 64 << 10;

/// The columns of a file of consents.
pub(super) const CONSENT: &[&str] = &[
    "address",
    "purpose",
    "sender",
    "kind",
    "act",
    "text",
    "text_file",
    "text_sha256",
    "source",
    "at",
    "ip",
    "privacy_version",
    "attestation",
    "pre_ticked",
    "bundled",
];
/// The columns of a file of customers.
pub(super) const CUSTOMER: &[&str] =
    &["address", "sender", "product", "last_purchase", "opt_out_offered", "given_in_sale", "source"];
/// The columns of a file of published addresses.
pub(super) const PUBLISHED: &[&str] =
    &["address", "sender", "purpose", "url", "quote", "captured_at", "page_file", "page_sha256", "review_by"];
/// The columns of a file of suppressions.
pub(super) const SUPPRESSION: &[&str] = &["address", "sender", "reason", "since", "source"];

/// What a row may leave to the file it stands in.
pub(super) struct Context {
    /// The zone of times without one.
    pub(super) zone: TimeZone,
    /// Which number of `01/02/2026` is the day.
    pub(super) dates: Order,
    /// Where `text_file` is looked for.
    pub(super) folder: PathBuf,
    /// Texts read so far, by file.
    pub(super) files: HashMap<String, String>,
    /// Now, for events that say no time.
    pub(super) now: Timestamp,
}

/// The zone with this name.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("\"{name}\" is no time zone; write {ZONE}, UTC"))
}

/// A consent event, and its text.
pub(super) fn consent(
    line: u64,
    fields: &Fields,
    context: &mut Context,
) -> Result<(ConsentRow, Option<String>), String> {
    let field = |name: &str| fields.get(name).cloned();
    let kind = match field("kind").as_deref().map(str::to_lowercase).as_deref() {
        None | Some("grant") => ConsentEventKind::Grant,
        Some("request") => ConsentEventKind::Request,
        Some("confirm") => ConsentEventKind::Confirm,
        Some("withdraw") => ConsentEventKind::Withdraw,
        Some("correct") => ConsentEventKind::Correct,
        Some("expire") => ConsentEventKind::Expire,
        Some("import") => ConsentEventKind::Import,
        Some(other) => {
            return Err(format!(
                "L2: \"{other}\" is no kind of consent event; grant, confirm, request, withdraw, expire, import or correct"
            ));
        }
    };
    let act = field("act").map(|act| Act::parse(&act)).transpose().map_err(|error| error.to_string())?;
    let text = match (field("text"), field("text_file")) {
        (Some(_), Some(_)) => return Err("L2: text and text_file; write one of them".to_owned()),
        (Some(text), None) => Some(text),
        (None, Some(file)) => Some(context.text(&file)?),
        (None, None) => None,
    };
    let at = match field("at") {
        Some(at) => context.time(&at).map_err(|why| format!("L2: at: {why}"))?,
        None => return Err("L2: at missing; when the consent was given".to_owned()),
    };
    let row = ConsentRow {
        line,
        address: address(fields)?,
        sender: field("sender"),
        purpose: Purpose(field("purpose").ok_or("L2: purpose missing; a consent is for a specific purpose")?),
        kind,
        at,
        text: None,
        files: Vec::new(),
        evidence: Evidence {
            text_sha256: field("text_sha256").map(|hex| sha256("text_sha256", &hex)).transpose()?,
            privacy_version: field("privacy_version"),
            act,
            source: field("source"),
            ip: field("ip"),
            pre_ticked: field("pre_ticked").map(|word| flag("pre_ticked", &word)).transpose()?,
            bundled: field("bundled").map(|word| flag("bundled", &word)).transpose()?,
            attestation: field("attestation"),
        },
    };
    Ok((row, text))
}

/// A purchase.
pub(super) fn customer(line: u64, fields: &Fields, context: &Context) -> Result<CustomerRow, String> {
    let field = |name: &str| fields.get(name).cloned();
    let last_purchase = field("last_purchase").ok_or("L4: last_purchase missing")?;
    // What a file does not say did not happen (RULES L4): both must be said.
    let said = |name: &str| field(name).map_or(Ok(false), |word| flag(name, &word));
    Ok(CustomerRow {
        line,
        address: address(fields)?,
        sender: field("sender"),
        product: field("product").ok_or("L4: the product group is missing")?,
        last_purchase: context.time(&last_purchase).map_err(|why| format!("L4: last_purchase: {why}"))?,
        opt_out_offered: said("opt_out_offered")?,
        given_in_sale: said("given_in_sale")?,
        source: field("source"),
    })
}

/// A published business address.
pub(super) fn published(line: u64, fields: &Fields, context: &Context) -> Result<PublishedRow, String> {
    let field = |name: &str| fields.get(name).cloned();
    let needed = |name: &str| field(name).ok_or_else(|| format!("L5: {name} missing"));
    let moment = |name: &str, text: &str| context.time(text).map_err(|why| format!("L5: {name}: {why}"));
    let page_sha256 = match (field("page_file"), field("page_sha256")) {
        (Some(_), Some(_)) => return Err("L5: page_file and page_sha256; write one of them".to_owned()),
        (Some(file), None) => {
            sha256_of_file(&context.folder.join(file)).map_err(|why| format!("L5: page_file: {why}"))?
        }
        (None, Some(hex)) => sha256("page_sha256", &hex)?,
        (None, None) => return Err("L5: page_sha256 missing; the SHA-256 of the page as captured".to_owned()),
    };
    Ok(PublishedRow {
        line,
        address: address(fields)?,
        sender: field("sender"),
        purpose: Purpose(needed("purpose")?),
        url: needed("url")?,
        quote: needed("quote")?,
        captured_at: moment("captured_at", &needed("captured_at")?)?,
        page_sha256,
        review_by: field("review_by").map(|at| moment("review_by", &at)).transpose()?,
    })
}

/// A suppression.
pub(super) fn suppression(line: u64, fields: &Fields, context: &Context) -> Result<SuppressionRow, String> {
    let field = |name: &str| fields.get(name).cloned();
    let reason = match field("reason").as_deref().map(str::to_lowercase).as_deref() {
        None | Some("unsubscribed") => Reason::Unsubscribed,
        Some("complaint") => Reason::Complaint,
        Some("objection") => Reason::Objection,
        Some("manual") => Reason::Manual,
        Some(other) => {
            return Err(format!(
                "L16: \"{other}\" is no reason; unsubscribed, complaint, objection or manual"
            ));
        }
    };
    // An opt-out is not lost for its date (RULES L3): one that cannot be read counts from now.
    let since = field("since").map(|since| context.time(&since).unwrap_or(context.now));
    Ok(SuppressionRow {
        line,
        address: address(fields)?,
        sender: field("sender"),
        reason,
        since,
        source: field("source").unwrap_or_else(|| "import".to_owned()),
    })
}

impl Context {
    fn time(&self, text: &str) -> Result<Timestamp, String> {
        dates::moment(text, &self.zone, self.dates)
    }

    /// The consent text in `file`, read once.
    fn text(&mut self, file: &str) -> Result<String, String> {
        if let Some(text) = self.files.get(file) {
            return Ok(text.clone());
        }
        if self.files.len() >= MAX_TEXTS {
            return Err(format!("L2: more than {MAX_TEXTS} consent texts in one file"));
        }
        let text = read_text(&self.folder.join(file)).map_err(|why| format!("L2: text_file: {why}"))?;
        self.files.insert(file.to_owned(), text.clone());
        Ok(text)
    }
}

/// A consent text: UTF-8, of bounded length, not empty.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(cannot)?
        .take(MAX_TEXT + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > MAX_TEXT {
        return Err(format!("{} is longer than {MAX_TEXT} octets", path.display()));
    }
    if text.trim().is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(text)
}

fn address(fields: &Fields) -> Result<Address, String> {
    let text = fields.get("address").ok_or("L17: address missing")?;
    Address::parse(text).map_err(|error| format!("L17: \"{text}\": {error}"))
}

/// SHA-256 in hex, in lower case, of the field `name`.
pub(super) fn sha256(name: &str, text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{name} is no SHA-256; it has 64 hexadecimal digits"))
    }
}

/// SHA-256 in hex of what stands in a file, of any size.
pub(super) fn sha256_of_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let hash = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut block = vec![0; 64 << 10];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(crate::mail::hex(context.finish().as_ref())),
                read => context.update(&block[..read]),
            }
        }
    };
    hash().map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn flag(name: &str, word: &str) -> Result<bool, String> {
    match word.to_lowercase().as_str() {
        "true" | "yes" | "ja" | "y" | "j" | "1" => Ok(true),
        "false" | "no" | "nee" | "n" | "0" => Ok(false),
        _ => Err(format!("{name}: \"{word}\" is neither yes nor no")),
    }
}

/// A moment in one of the forms that files have, day before month where both would do.
pub(super) fn time(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    dates::moment(text, zone, Order::Dmy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            zone: zone(ZONE).unwrap(),
            dates: Order::Dmy,
            folder: PathBuf::new(),
            files: HashMap::new(),
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
        }
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn l2_l17_a_consent_row_is_taken_apart_or_named() {
        let good = [
            ("address", "Klant@Example.NL"),
            ("purpose", "nieuws"),
            ("act", "Ticked box"),
            ("text", "Ja"),
            ("source", "https://x.nl"),
            ("at", "2026-03-01"),
            ("pre_ticked", "nee"),
        ];
        let (row, text) = consent(7, &fields(&good), &mut context()).unwrap();
        assert_eq!((row.line, row.address.as_str(), text.as_deref()), (7, "Klant@Example.NL", Some("Ja")));
        assert_eq!((row.evidence.act, row.evidence.pre_ticked), (Some(Act::TickedBox), Some(false)));
        for (name, value, expected) in [
            ("address", "klant example.nl", "L17:"),
            ("address", "<@a,@b:bob@x.nl>", "L17:"),
            ("purpose", "", "L2: purpose missing"),
            ("act", "business card", "L2:"),
            ("at", "", "L2: at missing"),
            ("at", "soon", "L2: at:"),
            ("kind", "maybe", "L2:"),
            ("text_file", "nowhere.txt", "L2: text and text_file"),
            ("text_sha256", "abc", "text_sha256 is no SHA-256"),
            ("bundled", "perhaps", "bundled:"),
        ] {
            let mut row = fields(&good);
            if value.is_empty() {
                row.remove(name)
            } else {
                row.insert(name.to_owned(), value.to_owned())
            };
            let why = consent(7, &row, &mut context()).unwrap_err();
            assert!(why.starts_with(expected), "{name}={value}: {why}");
        }
    }

    #[test]
    fn l4_what_a_customer_file_does_not_say_did_not_happen() {
        let row = [("address", "a@x.nl"), ("product", "hypotheek"), ("last_purchase", "2026-03-01")];
        let customer_of = |row: &Fields| customer(1, row, &context());
        let bare = customer_of(&fields(&row)).unwrap();
        assert!(!bare.opt_out_offered && !bare.given_in_sale);
        let mut said = fields(&row);
        said.insert("opt_out_offered".to_owned(), "ja".to_owned());
        said.insert("given_in_sale".to_owned(), "TRUE".to_owned());
        let said = customer_of(&said).unwrap();
        assert!(said.opt_out_offered && said.given_in_sale);
        for missing in ["product", "last_purchase", "address"] {
            let mut row = fields(&row);
            row.remove(missing);
            assert!(customer_of(&row).is_err(), "{missing}");
        }
    }

    #[test]
    fn l3_an_opt_out_is_not_lost_for_its_date() {
        let row = suppression(1, &fields(&[("address", "a@x.nl"), ("since", "ooit")]), &context()).unwrap();
        assert_eq!((row.since, row.reason), (Some(context().now), Reason::Unsubscribed));
        let undated = suppression(1, &fields(&[("address", "a@x.nl")]), &context()).unwrap();
        assert_eq!(undated.since, None, "counts from when it is recorded");
        assert!(suppression(1, &fields(&[("address", "a@x.nl"), ("reason", "bored")]), &context()).is_err());
    }
}
