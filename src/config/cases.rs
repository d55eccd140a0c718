//! Cases: decisions that an administrator expects of the rules, as a file to be checked after each change.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::de::{DeTable, DeValue};

use super::check::MAX_FILE;
use super::problem::Problems;
use super::reader::{Doc, Section};
use super::rules::Senders;
use super::value::mailbox;
use crate::clock::Timestamp;
use crate::consent::Grade;
use crate::mail::{Address, Class, Purpose, SenderId};
use crate::policy::Rules;
use crate::suppression::Reason;

/// Most cases of one file.
const MAX_CASES: usize = 10_000;

/// A message, what is on record for its recipient, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Line of the file.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Header From.
    pub from: Address,
    /// The recipient.
    pub to: Address,
    /// MAIL FROM: as From when absent, empty for the null path.
    pub envelope_from: Option<String>,
    /// Who signed in.
    pub account: Option<String>,
    /// Where the client is.
    pub ip: IpAddr,
    /// Recipients in the envelope.
    pub recipients: usize,
    /// Outside addresses in To and Cc.
    pub visible: usize,
    /// Header fields: lower-case name, value.
    pub headers: Vec<(String, String)>,
    /// List-Id between its angle brackets.
    pub list_id: Option<String>,
    /// The moment of the decision; `None`: now.
    pub at: Option<Timestamp>,
    /// With which sender the following is on record; `None`: with all of them.
    pub sender: Option<SenderId>,
    /// What is on record.
    pub on_record: OnRecord,
    /// What is expected.
    pub expected: Expected,
}

/// What the register is taken to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnRecord {
    /// A consent: its purpose, its grade, when it was given.
    pub consent: Option<(Purpose, Grade, Timestamp)>,
    /// When that consent was taken back.
    pub withdrawn: Option<Timestamp>,
    /// A purchase: product group, last purchase, opt-out offered, given in the sale.
    pub customer: Option<(String, Timestamp, bool, bool)>,
    /// A publication: its purpose, when it was captured, when it must be reviewed.
    pub published: Option<(Purpose, Timestamp, Option<Timestamp>)>,
    /// A suppression, and since when.
    pub suppressed: Option<(Reason, Timestamp)>,
}

/// What is expected; absent fields are not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// `forward`, `refuse` or `defer`.
    pub decision: &'static str,
    /// The rule that decides; empty: none.
    pub rule: Option<String>,
    /// The class.
    pub class: Option<Class>,
    /// The basis in one word.
    pub basis: Option<&'static str>,
    /// The clause of the refusal: its word or its RULES number.
    pub clause: Option<String>,
}

/// Read and check the cases in the file at `path`, for `rules`.
pub fn cases(path: &Path, rules: &Rules, now: Timestamp) -> Result<Vec<Case>, Problems> {
    use std::io::Read as _;
    let problem =
        |error: std::io::Error| Problems::of_file(path, format!("the file cannot be read: {error}"));
    let mut source = String::new();
    let file = std::fs::File::open(path).map_err(problem)?;
    file.take(MAX_FILE).read_to_string(&mut source).map_err(problem)?;
    parse(path, &source, rules, now)
}

fn parse(path: &Path, source: &str, rules: &Rules, now: Timestamp) -> Result<Vec<Case>, Problems> {
    let doc = Doc::new(path, source);
    let (table, errors) = DeTable::parse_recoverable(source);
    errors.iter().for_each(|error| doc.syntax(error));
    let table = table.into_inner();
    let root = doc.root(&table);
    let senders = Senders::of(&rules.senders);
    let sections = root.sections("case");
    if sections.is_empty() {
        root.error("case", "is missing; write a [[case]] for each decision you expect");
    }
    if sections.len() > MAX_CASES {
        root.error("case", format!("has more than {MAX_CASES} tables"));
    }
    let mut cases = Vec::new();
    for section in sections.into_iter().take(MAX_CASES) {
        cases.extend(case(&section, &senders, rules, now));
        section.finish();
    }
    root.finish();
    doc.verdict()?;
    Ok(cases)
}

fn case(section: &Section<'_>, senders: &Senders, rules: &Rules, now: Timestamp) -> Option<Case> {
    let needed = |key: &'static str| {
        let text = section.required(key, "write an e-mail address")?;
        mailbox(&text.value).map_err(|message| section.error_at(&text, message)).ok()
    };
    let name = section.required("name", "write what the case is about");
    let (from, to) = (needed("from"), needed("to"));
    let ip = section.parsed("ip", |text| text.parse().map_err(|_| format!("\"{text}\" is no IP address")));
    let headers = section.list("header", |text| {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("\"{text}\" has no colon; write \"X-Mailer: Mailchimp\""))?;
        Ok((name.trim().to_lowercase(), value.trim().to_owned()))
    });
    let at = moment(section, "at");
    let sender = section.has("sender").then(|| senders.named(section, "sender").into_iter().next());
    let case = Case {
        line: section.line(),
        name: name.map(|text| text.value).unwrap_or_default(),
        envelope_from: section.text("envelope_from").map(|text| text.value),
        account: section.text("account").map(|text| text.value),
        ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        recipients: section.number("recipients", 1..=100_000).unwrap_or(1) as usize,
        visible: section.number("visible", 0..=100_000).unwrap_or(1) as usize,
        headers,
        list_id: section.text("list_id").map(|text| text.value.to_lowercase()),
        at,
        sender: sender.flatten(),
        on_record: on_record(section, at.unwrap_or(now)),
        expected: expected(section, rules)?,
        from: from?,
        to: to?,
    };
    Some(case)
}

fn on_record(section: &Section<'_>, now: Timestamp) -> OnRecord {
    let grades = [("A", Grade::A), ("B", Grade::B), ("C", Grade::C), ("D", Grade::D)];
    let reasons = [Reason::Unsubscribed, Reason::Complaint, Reason::Objection, Reason::Manual];
    let of = |section: &Section<'_>| {
        section
            .required("purpose", "write the words of the rule")
            .map(|purpose| Purpose(purpose.value.trim().to_owned()))
    };
    let consent = part(section, "consent", |part| {
        let grade = part.choice("grade", &grades).unwrap_or(Grade::B);
        Some((of(part)?, grade, moment(part, "at").unwrap_or(now)))
    });
    let customer = part(section, "customer", |part| {
        let product = part.required("product", "write the product group")?.value;
        let said = |key: &'static str| part.flag(key).unwrap_or(true);
        let last = moment(part, "last_purchase").unwrap_or(now);
        Some((product, last, said("opt_out_offered"), said("given_in_sale")))
    });
    let published = part(section, "published", |part| {
        Some((of(part)?, moment(part, "captured_at").unwrap_or(now), moment(part, "review_by")))
    });
    let suppressed = section.choice("suppressed", &reasons.map(|reason| (reason.as_str(), reason)));
    let since = moment(section, "suppressed_at").unwrap_or(now);
    OnRecord {
        consent,
        withdrawn: moment(section, "withdrawn"),
        customer,
        published,
        suppressed: suppressed.map(|reason| (reason, since)),
    }
}

/// An inline table of a case.
fn part<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<T> {
    if !section.has(key) {
        return None;
    }
    let part = section.section(key);
    let found = read(&part);
    part.finish();
    found
}

fn expected(section: &Section<'_>, rules: &Rules) -> Option<Expected> {
    const DECISIONS: [(&str, &str); 3] = [("forward", "forward"), ("refuse", "refuse"), ("defer", "defer")];
    const BASES: [(&str, &str); 5] = [
        ("consent", "consent"),
        ("customer", "customer"),
        ("published", "published"),
        ("allowed", "allowed"),
        ("none", "none"),
    ];
    if !section.has("expect") {
        section.error("expect", "is missing; forward, refuse or defer");
    }
    let rule = section.text("rule").map(|rule| {
        if !rule.value.is_empty() && rules.rules.iter().all(|known| known.name != rule.value) {
            section.error_at(&rule, format!("the config has no rule \"{}\"", rule.value));
        }
        rule.value
    });
    let class = section.choice(
        "class",
        &[
            ("marketing", Class::Marketing),
            ("service", Class::Service),
            ("personal", Class::Personal),
            ("system", Class::System),
        ],
    );
    Some(Expected {
        rule,
        class,
        basis: section.choice("basis", &BASES),
        clause: section.text("clause").map(|text| text.value),
        decision: section.choice("expect", &DECISIONS)?,
    })
}

/// A date (its first moment in the Netherlands) or a time with an offset.
fn moment(section: &Section<'_>, key: &'static str) -> Option<Timestamp> {
    let text = match section.raw(key)? {
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => String::new(),
    };
    let first_moment = |date: Date| {
        let zone = TimeZone::get("Europe/Amsterdam").ok()?;
        zone.to_timestamp(date.at(0, 0, 0, 0)).ok()
    };
    let moment = if text.len() == 10 { text.parse().ok().and_then(first_moment) } else { text.parse().ok() };
    if moment.is_none() {
        section.error(key, "is no date; write 2026-12-31, or 2026-12-31T10:00:00Z");
    }
    moment
}
