//! From a row of a tool's file to facts: what the tool knows, judged by what the law asks of it (RULES L1, L2,
//! L4, L19).

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::dates::{self, Order};
use super::forms::{Form, Standing, is_complaint, standing};
use crate::admin::{ConsentRow, CustomerRow, MailboxRow, SuppressionRow};
use crate::cli::table::Fields;
use crate::consent::{Act, ConsentEventKind, Evidence};
use crate::mail::{Address, Purpose};
use crate::suppression::Reason;

/// What the importer says of a whole file, beside what stands in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    pub sender: Option<String>,
    pub purpose: Option<String>,
    pub act: Option<Act>,
    pub source: Option<String>,
    pub attestation: Option<String>,
    /// When consent was given, where the file does not know: goes with an attestation.
    pub given_at: Option<Timestamp>,
    /// Whether there is a consent text.
    pub has_text: bool,
    pub product: Option<String>,
    pub opt_out_offered: bool,
}

/// What one member of an export is by its name: tools keep those who left in a file of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Left,
    Dead,
    Pending,
}

/// How the fields of a file are to be read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub form: &'a Form,
    pub part: Part,
    pub word: &'a Word,
    pub zone: &'a TimeZone,
    pub dates: Order,
    /// Columns that are called otherwise here, by what they are called there: `--map`, and nothing beside it counts.
    pub maps: &'a HashMap<String, String>,
}

/// What of a tool's file `--map` can name.
pub(super) const MAPPED: [&str; 4] = ["address", "at", "ip", "source"];

/// Why a row, or a field of it, is no fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The column, or what is missing.
    pub field: String,
    /// One line, beginning with the RULES number.
    pub why: String,
}

/// What a row comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Facts {
    /// An opt-out; it wins over whatever else the row says.
    Out(SuppressionRow),
    /// A consent, and its confirmation.
    In(Box<ConsentRow>, Option<Box<ConsentRow>>),
    /// A purchase.
    Bought(Box<CustomerRow>),
    /// A mailbox that does not work.
    Dead(MailboxRow),
    /// Nothing to take in: why, for a count.
    Nothing(&'static str),
}

fn fault(field: &str, why: impl Into<String>) -> Fault {
    Fault { field: field.to_owned(), why: why.into() }
}

impl Reading<'_> {
    /// Take one row apart.
    pub(super) fn facts(&self, line: u64, row: &Fields) -> Result<Facts, Fault> {
        let address = self.address(row)?;
        if self.form.order.is_some() {
            return self.purchase(line, address, row);
        }
        let state = self.state(row);
        if let Some(reason) = self.opt_out(row, state) {
            return Ok(Facts::Out(SuppressionRow {
                line,
                address,
                sender: self.word.sender.clone(),
                reason,
                since: all(row, self.form.left)
                    .filter_map(|(_, at)| dates::moment(at, self.zone, self.dates).ok())
                    .max(),
                source: format!("{} export", self.form.name),
            }));
        }
        match (self.part, state) {
            (Part::Dead, _) | (_, Standing::Bounced) => Ok(Facts::Dead(MailboxRow {
                line,
                address,
                sender: self.word.sender.clone(),
                since: None,
                source: format!("does not work, by the {} export", self.form.name),
            })),
            (_, Standing::Dead) => Ok(Facts::Nothing("rows that are no longer on the list")),
            (Part::Pending, _) | (_, Standing::Pending) => {
                Ok(Facts::Nothing("sign-ups that were never confirmed"))
            }
            _ => match self.unknown(row, state) {
                Some((column, word)) => {
                    Err(fault(column, format!("L2: \"{word}\" is no state that is known; is it an opt-out?")))
                }
                None => self.consent(line, address, row),
            },
        }
    }

    /// What `--map` says is `ours`, or else the first of `columns` that is not empty.
    fn said<'r>(&self, row: &'r Fields, ours: &str, columns: &[&'static str]) -> Option<(&'r str, &'r str)> {
        match self.maps.iter().find(|(_, name)| *name == ours) {
            Some((theirs, _)) => filled(row, theirs),
            None => first(row, columns),
        }
    }

    fn address(&self, row: &Fields) -> Result<Address, Fault> {
        let (column, text) = self.said(row, "address", self.form.address).ok_or_else(|| {
            let column = self.form.address.first().copied().unwrap_or("address");
            fault(column, "L17: the address is missing")
        })?;
        Address::parse(text).map_err(|error| fault(column, format!("L17: \"{text}\": {error}")))
    }

    /// How things stand by all columns that say so: the worst of them (RULES L19).
    fn state(&self, row: &Fields) -> Standing {
        all(row, self.form.state).map(|(_, word)| standing(word)).max().unwrap_or(Standing::Active)
    }

    /// The word that nobody knows and nothing else in the row makes up for: what stands in a column that people fill in
    /// with words of their own may be passed over where another says how things stand, and what the tool wrote never.
    fn unknown<'r>(&self, row: &'r Fields, state: Standing) -> Option<(&'r str, &'r str)> {
        let matters = |column: &str| state == Standing::Unknown || self.form.own_state.contains(&column);
        all(row, self.form.state)
            .find(|(column, word)| standing(word) == Standing::Unknown && matters(column))
    }

    /// Any sign of an opt-out is one (RULES L19): a doubtful yes stops mail, and a doubtful no would not.
    fn opt_out(&self, row: &Fields, state: Standing) -> Option<Reason> {
        let flagged = |column: &&str| {
            let said = |word: &str| {
                !matches!(word.to_lowercase().as_str(), "false" | "no" | "nee" | "nein" | "non" | "n" | "0")
            };
            match column.strip_suffix('*') {
                Some(start) => row.iter().any(|(name, word)| name.starts_with(start) && said(word)),
                None => row.get(*column).is_some_and(|word| said(word)),
            }
        };
        let gone = self.part == Part::Left
            || first(row, self.form.left).is_some()
            || self.form.out.iter().any(flagged);
        let complained = first(row, self.form.reason).is_some_and(|(_, reason)| is_complaint(reason));
        match state {
            Standing::Complained => Some(Reason::Complaint),
            Standing::Left => Some(if complained { Reason::Complaint } else { Reason::Unsubscribed }),
            _ if gone => Some(if complained { Reason::Complaint } else { Reason::Unsubscribed }),
            _ => None,
        }
    }

    /// A consent as far as the tool has evidence of one. The time at which a tool added an address is none.
    fn consent(&self, line: u64, address: Address, row: &Fields) -> Result<Facts, Fault> {
        let word = self.word;
        let granted = self.said(row, "at", self.form.granted);
        let at = match (granted, word.given_at, &word.attestation) {
            (Some((column, text)), _, _) => dates::moment(text, self.zone, self.dates)
                .map_err(|why| fault(column, format!("L2: {why}")))?,
            (None, Some(at), Some(_)) => at,
            (None, _, _) => {
                let column = self.form.granted.first().copied().unwrap_or("sign-up time");
                return Err(fault(
                    column,
                    "L2: nothing shows when consent was given (grade D); --attest with --given-at says so for the file",
                ));
            }
        };
        let purpose =
            word.purpose.clone().ok_or_else(|| fault("purpose", "L2: purpose missing; --purpose"))?;
        let evidence = Evidence {
            act: word.act,
            source: self
                .said(row, "source", self.form.source)
                .map(|(_, source)| source.to_owned())
                .or_else(|| word.source.clone()),
            ip: self.said(row, "ip", self.form.ip).map(|(_, ip)| ip.to_owned()),
            attestation: word.attestation.clone(),
            ..Evidence::default()
        };
        let grant = ConsentRow {
            line,
            address,
            sender: word.sender.clone(),
            purpose: Purpose(purpose),
            kind: ConsentEventKind::Grant,
            at,
            text: word.has_text.then_some(0),
            evidence,
            files: Vec::new(),
        };
        let confirm = match first(row, self.form.confirmed) {
            None => None,
            Some((column, text)) => {
                let at = dates::moment(text, self.zone, self.dates)
                    .map_err(|why| fault(column, format!("L2: {why}")))?;
                let ip = first(row, self.form.confirmed_ip).map(|(_, ip)| ip.to_owned());
                Some(Box::new(ConsentRow {
                    kind: ConsentEventKind::Confirm,
                    at,
                    text: None,
                    evidence: Evidence { act: Some(Act::ClickedConfirm), ip, ..Evidence::default() },
                    ..grant.clone()
                }))
            }
        };
        Ok(Facts::In(Box::new(grant), confirm))
    }

    /// An order that was paid. The address was given in the sale; whether opting out was offered, no shop's
    /// export says: the importer does.
    fn purchase(&self, line: u64, address: Address, row: &Fields) -> Result<Facts, Fault> {
        let Some(order) = &self.form.order else { return Ok(Facts::Nothing("rows that are no orders")) };
        // Shops write one line for each article, and most say only in the first what became of the order.
        let Some((column, word)) = first(row, self.form.state) else {
            return Ok(Facts::Nothing("lines that do not say what became of their order"));
        };
        match standing(word) {
            Standing::Active => {}
            Standing::Pending => return Ok(Facts::Nothing("orders that were never paid")),
            Standing::Dead | Standing::Bounced => return Ok(Facts::Nothing("orders that came to nothing")),
            Standing::Left | Standing::Complained | Standing::Unknown => {
                return Err(fault(column, format!("L4: \"{word}\" is no state of a sale")));
            }
        }
        if first(row, order.cancelled).is_some() {
            return Ok(Facts::Nothing("orders that came to nothing"));
        }
        if first(row, order.declined).is_some_and(|(_, word)| matches!(&*word.to_lowercase(), "no" | "false"))
        {
            return Ok(Facts::Nothing("orders of buyers who did not want to hear more"));
        }
        let (column, text) = first(row, order.at).ok_or_else(|| {
            fault(order.at.first().copied().unwrap_or("date"), "L4: the date of the order is missing")
        })?;
        let last_purchase =
            dates::moment(text, self.zone, self.dates).map_err(|why| fault(column, format!("L4: {why}")))?;
        let product = self.word.product.clone();
        let product = product.or_else(|| first(row, order.product).map(|(_, product)| product.to_owned()));
        Ok(Facts::Bought(Box::new(CustomerRow {
            line,
            address,
            sender: self.word.sender.clone(),
            product: product
                .ok_or_else(|| fault("product", "L4: the product group is missing; --product"))?,
            last_purchase,
            opt_out_offered: self.word.opt_out_offered,
            given_in_sale: true,
            source: first(row, order.number).map(|(_, number)| format!("order {number}")),
        })))
    }
}

/// The first of `columns` that is there and not empty.
fn first<'r>(row: &'r Fields, columns: &[&'static str]) -> Option<(&'r str, &'r str)> {
    columns.iter().find_map(|column| filled(row, column))
}

/// All of `columns` that are there and not empty.
fn all<'r>(row: &'r Fields, columns: &[&'static str]) -> impl Iterator<Item = (&'r str, &'r str)> {
    columns.iter().filter_map(|column| filled(row, column))
}

/// What stands in `column`, and its name.
fn filled<'r>(row: &'r Fields, column: &str) -> Option<(&'r str, &'r str)> {
    let (column, text) = row.get_key_value(column)?;
    // An empty date in many exports.
    (!text.is_empty() && !text.starts_with("0000-00-00")).then_some((column, text))
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::forms::form;
    use super::*;

    fn facts(format: Format, part: Part, word: &Word, pairs: &[(&str, &str)]) -> Result<Facts, Fault> {
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let row: Fields =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let form = form(format, &[]).unwrap();
        let maps = HashMap::new();
        Reading { form, part, word, zone: &zone, dates: Order::Dmy, maps: &maps }.facts(7, &row)
    }

    fn word() -> Word {
        Word {
            purpose: Some("nieuws".to_owned()),
            attestation: Some("form of 2024".to_owned()),
            ..Word::default()
        }
    }

    const MAIL: (&str, &str) = ("email_address", "a@example.nl");

    #[test]
    fn l19_any_sign_of_an_opt_out_is_one() {
        let out = |format, part, pairs: &[(&str, &str)]| match facts(format, part, &word(), pairs) {
            Ok(Facts::Out(row)) => Some(row.reason),
            _ => None,
        };
        let optin = ("optin_time", "2024-01-02 03:04:05");
        assert_eq!(out(Format::Mailchimp, Part::Whole, &[MAIL, optin]), None);
        let left = ("unsub_time", "2025-01-02 03:04:05");
        assert_eq!(out(Format::Mailchimp, Part::Whole, &[MAIL, optin, left]), Some(Reason::Unsubscribed));
        assert_eq!(out(Format::Mailchimp, Part::Left, &[MAIL, optin]), Some(Reason::Unsubscribed));
        let abuse = ("unsub_reason", "ABUSE");
        assert_eq!(out(Format::Mailchimp, Part::Whole, &[MAIL, left, abuse]), Some(Reason::Complaint));
        assert_eq!(
            out(
                Format::Hubspot,
                Part::Whole,
                &[("email", "a@x.nl"), ("opted_out_of_email:_marketing", "TRUE")]
            ),
            Some(Reason::Unsubscribed)
        );
        assert_eq!(
            out(
                Format::Hubspot,
                Part::Whole,
                &[("email", "a@x.nl"), ("unsubscribed_from_all_email", "false")]
            ),
            None
        );
        assert_eq!(
            out(Format::Listmonk, Part::Whole, &[("email", "a@x.nl"), ("status", "blocklisted")]),
            Some(Reason::Unsubscribed)
        );
        let undated = facts(Format::Mailchimp, Part::Whole, &word(), &[MAIL, ("unsub_time", "ooit")]);
        assert!(
            matches!(undated, Ok(Facts::Out(SuppressionRow { since: None, .. }))),
            "never lost for its date"
        );
    }

    #[test]
    fn l19_every_column_that_may_say_how_things_stand_counts_and_the_worst_wins() {
        let laposta = |status, state| {
            let row = [
                ("email", "a@x.nl"),
                ("status", status),
                ("source_url", "https://x.nl"),
                ("state", state),
                ("signup_date", "2024-01-02 03:04:05"),
            ];
            facts(Format::Laposta, Part::Whole, &word(), &row)
        };
        let is_out = |facts: Result<Facts, Fault>| matches!(facts, Ok(Facts::Out(_)));
        assert!(is_out(laposta("actief", "unsubscribed")), "the second column");
        assert!(is_out(laposta("klant", "unsubscribed")) && is_out(laposta("uitgeschreven", "active")));
        assert!(is_out(laposta("klant", "Abmeldung per Mail")), "in a longer word, too");
        assert!(matches!(laposta("cleaned", "active"), Ok(Facts::Dead(_))));
        assert!(matches!(laposta("unconfirmed", "active"), Ok(Facts::Nothing(_))));
        // A column that somebody fills in with words of their own makes no good row fail.
        assert!(matches!(laposta("klant", "active"), Ok(Facts::In(_, None))));
        // What the tool itself wrote is never passed over.
        assert_eq!(laposta("actief", "paused").unwrap_err().field, "state");
        let optin = ("optin_time", "2024-01-02 03:04:05");
        for row in [
            [MAIL, optin, ("status", "active"), ("member_status", "Unsubscribed")],
            [MAIL, optin, ("status", "klant"), ("member_status", "complained")],
            [MAIL, optin, ("unsub_time", "0000-00-00 00:00:00"), ("afgemeld_op", "2025-01-02")],
        ] {
            assert!(is_out(facts(Format::Mailchimp, Part::Whole, &word(), &row)), "{row:?}");
        }
        let row = [
            ("subscriber", "a@x.nl"),
            ("signup_timestamp", "2024-01-02"),
            ("status", "Active"),
            ("type", "unsubscribed"),
        ];
        assert!(is_out(facts(Format::Mailerlite, Part::Whole, &word(), &row)));
        let row = [
            ("emailaddress", "a@x.nl"),
            ("date", "2024-01-02"),
            ("state", "Unsubscribed"),
            ("status", "Active"),
        ];
        assert!(is_out(facts(Format::CampaignMonitor, Part::Whole, &word(), &row)));
    }

    #[test]
    fn l2_what_a_tool_has_no_evidence_of_is_grade_d_and_named() {
        let brevo = [("email", "a@x.nl"), ("added_time", "2024-01-02")];
        let why = facts(Format::Brevo, Part::Whole, &word(), &brevo).unwrap_err();
        assert!(why.why.starts_with("L2: nothing shows when"), "ADDED_TIME is no consent: {why:?}");
        let empty = facts(Format::Mailchimp, Part::Whole, &word(), &[MAIL]).unwrap_err();
        assert_eq!(empty.field, "optin_time");
        let sworn = Word { given_at: Some(Timestamp::UNIX_EPOCH), ..word() };
        assert!(matches!(facts(Format::Brevo, Part::Whole, &sworn, &brevo), Ok(Facts::In(_, None))));
        let unsworn = Word { attestation: None, ..sworn };
        assert!(
            facts(Format::Brevo, Part::Whole, &unsworn, &brevo).is_err(),
            "a date alone vouches for nothing"
        );
        let zero = [MAIL, ("optin_time", "0000-00-00 00:00:00")];
        assert!(facts(Format::Mailchimp, Part::Whole, &word(), &zero).is_err());
    }

    #[test]
    fn a_confirmed_sign_up_has_both_events() {
        let row = [
            MAIL,
            ("optin_time", "2024-01-02 03:04:05"),
            ("optin_ip", "192.0.2.7"),
            ("confirm_time", "2024-01-02 04:00:00"),
            ("confirm_ip", "192.0.2.8"),
        ];
        let Ok(Facts::In(grant, Some(confirm))) = facts(Format::Mailchimp, Part::Whole, &word(), &row) else {
            panic!()
        };
        assert_eq!(
            (grant.at.to_string().as_str(), grant.evidence.ip.as_deref()),
            ("2024-01-02T02:04:05Z", Some("192.0.2.7"))
        );
        assert_eq!(confirm.kind, ConsentEventKind::Confirm);
        assert_eq!(confirm.evidence.ip.as_deref(), Some("192.0.2.8"));
        for (state, part) in [("pending", Part::Whole), ("", Part::Pending), ("archived", Part::Whole)] {
            let row = [MAIL, ("status", state)];
            assert!(
                matches!(facts(Format::Mailchimp, part, &word(), &row), Ok(Facts::Nothing(_))),
                "{state}"
            );
        }
        for (state, part) in [("cleaned", Part::Whole), ("", Part::Dead)] {
            let row = [MAIL, ("status", state)];
            let dead = facts(Format::Mailchimp, part, &word(), &row);
            assert!(matches!(dead, Ok(Facts::Dead(_))), "{state}: no opt-out, and no consent");
        }
        let odd = facts(Format::Mailchimp, Part::Whole, &word(), &[MAIL, ("status", "vip")]).unwrap_err();
        assert_eq!(odd.field, "status");
    }

    #[test]
    fn l4_an_order_is_a_purchase_when_it_was_paid() {
        let order = [
            ("email", "a@x.nl"),
            ("name", "#1001"),
            ("financial_status", "paid"),
            ("paid_at", "2026-03-01 14:30:15 +0100"),
            ("lineitem_name", "Koffie"),
        ];
        let Ok(Facts::Bought(bought)) = facts(Format::Shopify, Part::Whole, &word(), &order) else {
            panic!()
        };
        assert_eq!((bought.product.as_str(), bought.source.as_deref()), ("Koffie", Some("order #1001")));
        assert!(
            bought.given_in_sale && !bought.opt_out_offered,
            "what the importer does not say did not happen"
        );
        let with = |name: &'static str, value: &'static str| {
            let mut row = order.to_vec();
            row.retain(|(column, _)| *column != name);
            row.push((name, value));
            facts(Format::Shopify, Part::Whole, &word(), &row)
        };
        assert!(matches!(with("financial_status", "refunded"), Ok(Facts::Nothing(_))));
        assert!(matches!(with("financial_status", "pending"), Ok(Facts::Nothing(_))));
        assert!(matches!(with("financial_status", ""), Ok(Facts::Nothing(_))), "a further line of an order");
        assert!(matches!(with("cancelled_at", "2026-03-02 09:00:00 +0100"), Ok(Facts::Nothing(_))));
        assert!(matches!(with("accepts_marketing", "no"), Ok(Facts::Nothing(_))));
        assert!(matches!(with("accepts_marketing", "yes"), Ok(Facts::Bought(_))));
        assert!(with("financial_status", "offerte").is_err(), "a quote is no sale");
        assert!(with("paid_at", "").unwrap_err().why.starts_with("L4:"));
    }
}
