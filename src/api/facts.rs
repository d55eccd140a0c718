//! Reading and adding facts: judged as the rows of an import are.

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::body::By;
use super::gate::Caller;
use super::problem::Problem;
use crate::admin::{
    Answer, ConsentRow, CustomerRow, Import, Imported, MAX_PAGE, MAX_ROWS, ProfileView, Request, Row,
    Services, SuppressionRow, handle,
};
use crate::clock::Timestamp;
use crate::consent::{Act, ConsentEventKind, Evidence};
use crate::ledger::Suppressed;
use crate::mail::{Address, AddressKey, Purpose, SenderId};
use crate::suppression::Reason;

/// Facts of one kind, all in one record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts<T> {
    #[serde(default)]
    sender: Option<String>,
    #[serde(default)]
    channel: By,
    /// Judge only, write nothing.
    #[serde(default)]
    dry_run: bool,
    items: Vec<T>,
}

/// What became of them.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    added: u64,
    already: u64,
    rejected: Vec<Rejected>,
    notes: Vec<String>,
}

/// One that was not taken.
#[derive(Debug, Serialize)]
struct Rejected {
    /// Its place in `items`, from 0.
    item: u64,
    /// Why, beginning with the number of the rule.
    why: String,
}

/// A kind of fact.
pub(super) trait Fact {
    /// Whose.
    fn address(&self) -> &str;
    /// The row that says it, with a text to put beside the rows.
    fn row(self, line: u64, address: Address, sender: String, texts: &mut Vec<String>)
    -> Result<Row, String>;
}

/// One consent event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consent {
    address: String,
    purpose: String,
    #[serde(default = "grant")]
    kind: ConsentEventKind,
    at: Timestamp,
    act: Option<Act>,
    text: Option<String>,
    text_sha256: Option<String>,
    source: Option<String>,
    ip: Option<String>,
    privacy_version: Option<String>,
    pre_ticked: Option<bool>,
    bundled: Option<bool>,
    attestation: Option<String>,
}

fn grant() -> ConsentEventKind {
    ConsentEventKind::Grant
}

/// One customer relation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Relation {
    address: String,
    product: String,
    last_purchase: Timestamp,
    opt_out_offered: bool,
    given_in_sale: bool,
    source: Option<String>,
}

/// One suppression.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suppression {
    address: String,
    #[serde(default = "unsubscribed")]
    reason: Reason,
    since: Option<Timestamp>,
    source: Option<String>,
}

fn unsubscribed() -> Reason {
    Reason::Unsubscribed
}

impl Fact for Consent {
    fn address(&self) -> &str {
        &self.address
    }

    fn row(
        self,
        line: u64,
        address: Address,
        sender: String,
        texts: &mut Vec<String>,
    ) -> Result<Row, String> {
        if self.text.is_some() && self.text_sha256.is_some() {
            return Err("L2: text and text_sha256 stand beside each other; write one of them".to_owned());
        }
        let sound = |hash: &String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if self.text_sha256.as_ref().is_some_and(|hash| !sound(hash)) {
            return Err("L2: text_sha256 is not the 64 hex digits of a SHA-256".to_owned());
        }
        let text = self.text.map(|text| match texts.iter().position(|known| *known == text) {
            Some(at) => at,
            None => {
                texts.push(text);
                texts.len() - 1
            }
        });
        Ok(Row::Consent(ConsentRow {
            line,
            address,
            sender: Some(sender),
            purpose: Purpose(self.purpose),
            kind: self.kind,
            at: self.at,
            text,
            evidence: Evidence {
                text_sha256: self.text_sha256.map(|hash| hash.to_lowercase()),
                privacy_version: self.privacy_version,
                act: self.act,
                source: self.source,
                ip: self.ip,
                pre_ticked: self.pre_ticked,
                bundled: self.bundled,
                attestation: self.attestation,
            },
        }))
    }
}

impl Fact for Relation {
    fn address(&self) -> &str {
        &self.address
    }

    fn row(self, line: u64, address: Address, sender: String, _: &mut Vec<String>) -> Result<Row, String> {
        Ok(Row::Customer(CustomerRow {
            line,
            address,
            sender: Some(sender),
            product: self.product,
            last_purchase: self.last_purchase,
            opt_out_offered: self.opt_out_offered,
            given_in_sale: self.given_in_sale,
            source: self.source,
        }))
    }
}

impl Fact for Suppression {
    fn address(&self) -> &str {
        &self.address
    }

    fn row(self, line: u64, address: Address, sender: String, _: &mut Vec<String>) -> Result<Row, String> {
        Ok(Row::Suppression(SuppressionRow {
            line,
            address,
            sender: Some(sender),
            reason: self.reason,
            since: self.since,
            source: self.source.unwrap_or_else(|| "api".to_owned()),
        }))
    }
}

/// Take `facts` into the register; durable when this returns `Ok`.
pub(super) async fn add<T: Fact>(
    services: &Services,
    caller: &Caller,
    facts: Facts<T>,
) -> Result<Taken, Problem> {
    let count = facts.items.len();
    if count > MAX_ROWS {
        return Err(Problem::wrong(format!("items: {count} of them; at most {MAX_ROWS} in one request")));
    }
    let sender = caller.sender(&services.control.rules(), facts.sender.as_deref())?;
    let (mut rows, mut texts, mut rejected) = (Vec::with_capacity(count), Vec::new(), Vec::new());
    for (item, fact) in (0..).zip(facts.items) {
        let row = facts
            .channel
            .whom(fact.address())
            .map_err(|why| format!("L17: {why}"))
            .and_then(|address| fact.row(item, address, sender.id.0.clone(), &mut texts));
        match row {
            Ok(row) => rows.push(row),
            Err(why) => rejected.push(Rejected { item, why }),
        }
    }
    let import = Import {
        source: caller.name.clone(),
        // Whoever holds a token vouches for what it hands over, as for a file (RULES L16, L19).
        from_file: !caller.is_local(),
        dry_run: facts.dry_run,
        texts,
        rows,
    };
    let Imported { added, already, rejected: judged, notes } =
        match handle(Request::Import(import), services).await {
            Answer::Imported(imported) => imported,
            other => return Err(not_done(&other)),
        };
    rejected.extend(judged.into_iter().map(|reject| Rejected { item: reject.line, why: reject.why }));
    rejected.sort_by_key(|reject| reject.item);
    Ok(Taken { added, already, rejected, notes })
}

/// All that is on record about one person, with the senders that the caller may ask for.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    profiles: Vec<ProfileView>,
}

/// Answer `GET /v1/register?address=&channel=&sender=`.
pub(super) async fn show(services: &Services, caller: &Caller, uri: &Uri) -> Result<Shown, Problem> {
    let [address, channel, sender] = parameters(uri, ["address", "channel", "sender"])?;
    let address = address.ok_or_else(|| Problem::wrong("address: is missing; whose register?"))?;
    let channel = match channel.as_deref() {
        None | Some("email") => By::Email,
        Some("sms") => By::Sms,
        Some("app") => By::App,
        Some(_) => return Err(Problem::wrong("channel: email, sms or app")),
    };
    let address = channel.whom(&address).map_err(|why| Problem::wrong(format!("address: {why}")))?;
    if let Some(sender) = &sender {
        caller.sender(&services.control.rules(), Some(sender))?;
    }
    match handle(Request::Show { address, sender }, services).await {
        Answer::Profiles { mut profiles } => {
            profiles.retain(|profile| caller.may_ask_for(&profile.sender));
            Ok(Shown { profiles })
        }
        other => Err(not_done(&other)),
    }
}

/// A page of suppressions.
#[derive(Debug, Serialize)]
pub(super) struct Suppressions {
    suppressions: Vec<Listed>,
    /// What to give as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Listed {
    sender: SenderId,
    address: AddressKey,
    reason: Reason,
    since: Timestamp,
    source: String,
}

/// Answer `GET /v1/suppressions?sender=&after=&limit=`: so that another tool can be kept in step.
pub(super) async fn suppressions(
    services: &Services,
    caller: &Caller,
    uri: &Uri,
) -> Result<Suppressions, Problem> {
    let [sender, after, limit] = parameters(uri, ["sender", "after", "limit"])?;
    let sender = caller.sender(&services.control.rules(), sender.as_deref())?.id.clone();
    let limit = match limit.as_deref().map(str::parse) {
        None => MAX_PAGE,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => return Err(Problem::wrong(format!("limit: 1 to {MAX_PAGE}"))),
    };
    let after = after.map(|after| {
        let address =
            Address::parse(&after).map_err(|_| Problem::wrong("after: the next of the page before"))?;
        Ok((sender.clone(), address.key().clone()))
    });
    let request = Request::Suppressions { sender: Some(sender.0.clone()), after: after.transpose()?, limit };
    let page = match handle(request, services).await {
        Answer::Suppressions { suppressions } => suppressions,
        other => return Err(not_done(&other)),
    };
    // Several of one address stand together, so a page ends between addresses.
    let next =
        if page.len() >= limit { page.last().map(|last| last.address.as_str().to_owned()) } else { None };
    let listed = |one: Suppressed| Listed {
        sender: one.sender,
        address: one.address,
        reason: one.suppression.reason,
        since: one.suppression.since,
        source: one.suppression.source,
    };
    Ok(Suppressions { suppressions: page.into_iter().map(listed).collect(), next })
}

/// The values of these parameters of a query; any other is a mistake.
fn parameters<const N: usize>(uri: &Uri, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let Some(at) = names.iter().position(|known| *known == name) else {
            return Err(Problem::wrong(format!(
                "{name}: is no parameter here; there are {}",
                names.join(", ")
            )));
        };
        values[at] = Some(value.into_owned());
    }
    Ok(values)
}

/// What the admin room did not do.
pub(super) fn not_done(answer: &Answer) -> Problem {
    match answer {
        Answer::Failed { error } => Problem::unavailable(error.clone()),
        _ => Problem::unavailable("the answer is none to this question"),
    }
}
