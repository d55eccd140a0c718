//! The rule pack: what each clause is called, which requirement and which law it rests on, and how it is put
//! to people. Texts and legal references are data: a change of the law's wording changes this table and no
//! branch.

use jiff::Timestamp;

use super::decision::{Clause, Refusal};
use crate::consent::{PublishedGap, RelationGap};
use crate::mail::{Address, Purpose, one_line_within};
use crate::suppression::Reason;

/// One row of the pack.
struct Row {
    /// The clause in one word, for metrics and reports.
    word: &'static str,
    /// The number in RULES.
    rule: &'static str,
    /// What the peer reads. `{for}` becomes ` for <sender> ("<purpose>")`, as far as these are known, and
    /// `{detail}` what the clause holds.
    text: &'static str,
    /// What would make it pass, after "to make it pass: ".
    remedy: &'static str,
    /// The law, for people.
    law: &'static str,
}

const SPAM_BAN: &str = "Telecommunicatiewet art. 11.7";
const SPAM_BAN_PROOF: &str = "Telecommunicatiewet art. 11.7; AVG (GDPR) art. 7(1)";
const CONSENT: &str = "Telecommunicatiewet art. 11.7; AVG (GDPR) art. 4(11) and 7";
const WITHDRAWAL: &str = "AVG (GDPR) art. 7(3)";
const OBJECTION: &str = "Telecommunicatiewet art. 11.7; AVG (GDPR) art. 21(2) and 21(3)";
const BREACH: &str = "AVG (GDPR) art. 5(1)(f) and 32";
const OPERATION: &str = "no law: the operation of this gateway";

#[rustfmt::skip]
static PACK: &[Row] = &[
    Row { word: "no_basis", rule: "L1", law: SPAM_BAN_PROOF,
          text: "no consent or customer relation on record{for}",
          remedy: "put a consent for this sender and purpose on record (sluis consent add, sluis import), or a purchase of what the rule's similar_to names" },
    Row { word: "grade_too_low", rule: "L2", law: CONSENT,
          text: "the consent on record{for} has no evidence beside the address",
          remedy: "put on record how the consent was given: the text as shown, the act, the time and the source; or attest it" },
    Row { word: "withdrawn", rule: "L3", law: WITHDRAWAL,
          text: "consent{for} was withdrawn on {detail}",
          remedy: "only a new consent by the person ends it: by a form with a confirmation mail, or put on record with the text as shown, the act and the source (sluis consent add); an attestation or a file does not" },
    Row { word: "expired", rule: "L1", law: SPAM_BAN_PROOF,
          text: "consent{for} ended on {detail}",
          remedy: "ask for a new consent, and put it on record" },
    Row { word: "relation_future", rule: "L4", law: SPAM_BAN,
          text: "the customer relation on record{for} is dated after this message",
          remedy: "correct the date of the purchase" },
    Row { word: "relation_not_in_sale", rule: "L4", law: SPAM_BAN,
          text: "the customer relation on record{for} does not count: the address was not given in a sale",
          remedy: "only an address that the customer gave in a sale counts: not a quote, lead, download or contest; ask for consent" },
    Row { word: "relation_no_opt_out_offered", rule: "L4", law: SPAM_BAN,
          text: "the customer relation on record{for} does not count: no opt-out was offered when the address was taken",
          remedy: "if opting out was offered when the address was taken, put the purchase on record with opt_out_offered; else ask for consent" },
    Row { word: "relation_not_similar", rule: "L4", law: SPAM_BAN,
          text: "the customer relation on record{for} does not count: nothing similar was bought",
          remedy: "name the product group in the rule's similar_to, if the message is about similar products; else ask for consent" },
    Row { word: "relation_too_long_ago", rule: "L4", law: SPAM_BAN,
          text: "the customer relation on record{for} does not count: the last purchase is too long ago",
          remedy: "put a later purchase on record, or ask for consent" },
    Row { word: "published_future", rule: "L5", law: SPAM_BAN,
          text: "the published address on record{for} was captured after this message",
          remedy: "correct the date of the capture" },
    Row { word: "published_incomplete", rule: "L5", law: SPAM_BAN,
          text: "the published address on record{for} lacks its URL, quoted sentence or page hash",
          remedy: "put the page, the sentence and the SHA-256 of the page on record (sluis published add)" },
    Row { word: "published_bare_address", rule: "L5", law: SPAM_BAN,
          text: "the published address on record{for} does not count: nothing says that it is meant for this",
          remedy: "find the sentence that invites such mail; without one the address is not published for it" },
    Row { word: "published_overdue", rule: "L5", law: SPAM_BAN,
          text: "the published address on record{for} is overdue for review",
          remedy: "look at the page again and put it on record anew (sluis published add)" },
    Row { word: "suppressed_unsubscribed", rule: "L16", law: OBJECTION,
          text: "unsubscribed from all marketing{by} on {detail}",
          remedy: "only a newer consent by the person, with a confirmation, can" },
    Row { word: "suppressed_complaint", rule: "L16", law: OBJECTION,
          text: "complained about marketing{by} on {detail}",
          remedy: "nothing does: a complaint stands" },
    Row { word: "suppressed_objection", rule: "L16", law: OBJECTION,
          text: "objected to all marketing{by} on {detail}",
          remedy: "nothing does: an objection stands" },
    Row { word: "suppressed_manual", rule: "L16", law: OBJECTION,
          text: "suppressed for all marketing{by} on {detail}",
          remedy: "nothing does: the administrator has put it in by hand" },
    Row { word: "blocked", rule: "P14", law: OPERATION,
          text: "earlier mail to this mailbox failed for good",
          remedy: "find out whether the mailbox works again" },
    Row { word: "unknown_sender", rule: "L7", law: SPAM_BAN,
          text: "the From domain belongs to no sender known to this gateway",
          remedy: "send from a domain of a [[sender]], or add the domain to the sender it belongs to" },
    Row { word: "identity", rule: "L7", law: SPAM_BAN, text: "{detail}",
          remedy: "give the message the From name, the From domain and a Reply-To of the sender" },
    Row { word: "no_opt_out", rule: "L8", law: SPAM_BAN,
          text: "the message cannot carry a way to unsubscribe: {detail}",
          remedy: "let the message have a text or html part that can be edited, or write {{unsubscribe_url}} into it" },
    Row { word: "malformed", rule: "P12", law: OPERATION,
          text: "the message cannot be edited safely: {detail}",
          remedy: "mend the message" },
    Row { word: "visible_recipients", rule: "L14", law: BREACH,
          text: "a marketing message may not show its recipients to each other: {detail} addresses in To and Cc",
          remedy: "send each recipient a message of its own, or use Bcc" },
    Row { word: "not_your_sender", rule: "L15", law: OPERATION,
          text: "this account may not send{for}",
          remedy: "sign in with an account that is bound to this sender, or bind this one to it" },
    Row { word: "rule", rule: "config", law: OPERATION, text: "{detail}",
          remedy: "change the rule" },
    Row { word: "no_purpose", rule: "L1", law: SPAM_BAN_PROOF,
          text: "no rule of this gateway says what this message{for} is, so it counts as marketing without a purpose, to which nobody can have consented",
          remedy: "add a [[rule]] that says what this mail is: class, and for marketing its purpose" },
    Row { word: "personal_to_many", rule: "L13", law: SPAM_BAN_PROOF,
          text: "a personal message to {detail} outside recipients counts as marketing{for}, and no basis for that is on record",
          remedy: "send it to fewer at once, or add a [[rule]] with class = \"marketing\" and a purpose" },
    Row { word: "personal_alike", rule: "L13", law: SPAM_BAN_PROOF,
          text: "{detail} personal messages that say nearly the same in 24 hours count as marketing{for}, and no basis for that is on record",
          remedy: "wait a day, or send it as what it is: add a [[rule]] with class = \"marketing\" and a purpose" },
    Row { word: "allow_ended", rule: "L1", law: SPAM_BAN_PROOF,
          text: "the exception{for} ended on {detail}",
          remedy: "extend until in the rule, if the reason still holds" },
    Row { word: "undecided", rule: "L8", law: SPAM_BAN, text: "{detail}",
          remedy: "see that the unsubscribe address answers" },
];

/// Characters of one name, purpose or reason in a reply (promise 10).
const MAX_DETAIL: usize = 200;

impl Clause {
    /// The number in RULES: `L4`, `P14`; `config` for a refuse-rule of the administrator.
    pub fn rule(&self) -> &'static str {
        self.row().rule
    }

    /// One word for metrics and reports: `no_basis`, `relation_too_long_ago`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoBasis => "no_basis",
            Self::GradeTooLow => "grade_too_low",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Expired { .. } => "expired",
            Self::Relation { gap } => match gap {
                RelationGap::Future => "relation_future",
                RelationGap::NotInSale => "relation_not_in_sale",
                RelationGap::NoOptOutOffered => "relation_no_opt_out_offered",
                RelationGap::NotSimilar => "relation_not_similar",
                RelationGap::TooLongAgo => "relation_too_long_ago",
            },
            Self::Published { gap } => match gap {
                PublishedGap::Future => "published_future",
                PublishedGap::Incomplete => "published_incomplete",
                PublishedGap::BareAddress => "published_bare_address",
                PublishedGap::Overdue => "published_overdue",
            },
            Self::Suppressed { reason, .. } => match reason {
                Reason::Unsubscribed => "suppressed_unsubscribed",
                Reason::Complaint => "suppressed_complaint",
                Reason::Objection => "suppressed_objection",
                Reason::Manual => "suppressed_manual",
            },
            Self::Blocked => "blocked",
            Self::UnknownSender => "unknown_sender",
            Self::Identity { .. } => "identity",
            Self::NoOptOut { .. } => "no_opt_out",
            Self::Malformed { .. } => "malformed",
            Self::VisibleRecipients { .. } => "visible_recipients",
            Self::NotYourSender => "not_your_sender",
            Self::Rule { .. } => "rule",
            Self::NoPurpose => "no_purpose",
            Self::PersonalToMany { .. } => "personal_to_many",
            Self::PersonalAlike { .. } => "personal_alike",
            Self::AllowEnded { .. } => "allow_ended",
            Self::Undecided { .. } => "undecided",
        }
    }

    /// The law behind it, for people.
    pub fn law(&self) -> &'static str {
        self.row().law
    }

    /// What would make it pass, for the administrator.
    pub fn remedy(&self) -> &'static str {
        self.row().remedy
    }

    /// Whether it says that there is no basis, rather than that the recipient or the message is barred.
    pub(super) fn is_about_basis(&self) -> bool {
        match self {
            Self::NoBasis
            | Self::GradeTooLow
            | Self::Expired { .. }
            | Self::Relation { .. }
            | Self::Published { .. }
            | Self::NoPurpose
            | Self::PersonalToMany { .. }
            | Self::PersonalAlike { .. }
            | Self::AllowEnded { .. } => true,
            Self::Withdrawn { .. }
            | Self::Suppressed { .. }
            | Self::Blocked
            | Self::UnknownSender
            | Self::Identity { .. }
            | Self::NoOptOut { .. }
            | Self::Malformed { .. }
            | Self::VisibleRecipients { .. }
            | Self::NotYourSender
            | Self::Rule { .. }
            | Self::Undecided { .. } => false,
        }
    }

    fn row(&self) -> &'static Row {
        let word = self.word();
        // A test finds a row for each word.
        PACK.iter().find(|row| row.word == word).unwrap_or(&PACK[0])
    }

    /// What the clause holds, for `{detail}`.
    fn detail(&self) -> String {
        match self {
            Self::Withdrawn { since } | Self::Expired { since } | Self::Suppressed { since, .. } => {
                date(*since)
            }
            Self::AllowEnded { until } => date(*until),
            Self::Identity { why }
            | Self::NoOptOut { why }
            | Self::Malformed { why }
            | Self::Undecided { why } => printable(why),
            Self::Rule { reason } => printable(reason),
            Self::VisibleRecipients { count }
            | Self::PersonalToMany { count }
            | Self::PersonalAlike { count } => count.to_string(),
            Self::NoBasis
            | Self::GradeTooLow
            | Self::Relation { .. }
            | Self::Published { .. }
            | Self::Blocked
            | Self::UnknownSender
            | Self::NotYourSender
            | Self::NoPurpose => String::new(),
        }
    }
}

impl Refusal {
    /// What the peer reads: the recipient, and the reason by the clause that failed. One line, without
    /// control characters and without anything about other people; it holds non-ASCII characters where a name
    /// in the config does.
    pub fn text(&self, recipient: &Address) -> String {
        format!("<{recipient}> {}", self.reason())
    }

    /// [`Refusal::text`] without the recipient, for where one reply names several.
    pub fn reason(&self) -> String {
        let sender = self.sender.as_deref().map(printable);
        let (whom, by) = match &sender {
            Some(sender) => (format!(" for {sender}"), format!(" by {sender}")),
            None => Default::default(),
        };
        let purpose = match &self.purpose {
            Some(Purpose(purpose)) => format!(" (\"{}\")", printable(purpose)),
            None => String::new(),
        };
        fill(
            self.clause.row().text,
            &[("{for}", &(whom + &purpose)), ("{by}", &by), ("{detail}", &self.clause.detail())],
        )
    }
}

/// Put values into a template, from left to right and once: what stands in a value is not looked at.
fn fill(template: &str, values: &[(&str, &String)]) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                out.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The day, UTC.
fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn printable(text: &str) -> String {
    one_line_within(text, MAX_DETAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(clause: Clause) -> Refusal {
        Refusal {
            clause,
            rule: Some("monthly".into()),
            sender: Some("Voorbeeld Hypotheken B.V.".into()),
            purpose: Some(Purpose("nieuwsbrief hypotheken".into())),
        }
    }

    fn every_clause() -> Vec<Clause> {
        let since = Timestamp::constant(1_700_000_000, 0);
        let mut clauses = vec![
            Clause::NoBasis,
            Clause::GradeTooLow,
            Clause::Withdrawn { since },
            Clause::Expired { since },
            Clause::Blocked,
            Clause::UnknownSender,
            Clause::Identity { why: "the From name is not the sender's".into() },
            Clause::NoOptOut { why: "it is signed".into() },
            Clause::Malformed { why: "two From fields".into() },
            Clause::VisibleRecipients { count: 7 },
            Clause::NotYourSender,
            Clause::Rule { reason: "not from here".into() },
            Clause::NoPurpose,
            Clause::PersonalToMany { count: 9 },
            Clause::PersonalAlike { count: 21 },
            Clause::AllowEnded { until: since },
            Clause::Undecided { why: "no answer".into() },
        ];
        for gap in [
            RelationGap::Future,
            RelationGap::NotInSale,
            RelationGap::NoOptOutOffered,
            RelationGap::NotSimilar,
            RelationGap::TooLongAgo,
        ] {
            clauses.push(Clause::Relation { gap });
        }
        for gap in
            [PublishedGap::Future, PublishedGap::Incomplete, PublishedGap::BareAddress, PublishedGap::Overdue]
        {
            clauses.push(Clause::Published { gap });
        }
        for reason in [Reason::Unsubscribed, Reason::Complaint, Reason::Objection, Reason::Manual] {
            clauses.push(Clause::Suppressed { reason, since });
        }
        clauses
    }

    #[test]
    fn every_clause_has_its_own_row_and_every_row_a_clause() {
        let clauses = every_clause();
        for clause in &clauses {
            assert_eq!(clause.row().word, clause.word());
            let text = refusal(clause.clone()).reason();
            assert!(!text.contains('{') && !text.is_empty(), "{text}");
            assert!(!clause.remedy().is_empty() && !clause.law().is_empty());
        }
        let mut words: Vec<_> = clauses.iter().map(Clause::word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), PACK.len());
    }

    #[test]
    fn p6_the_peer_reads_recipient_reason_and_clause() {
        let recipient = Address::parse("ontvanger@example.org").unwrap();
        assert_eq!(
            refusal(Clause::NoBasis).text(&recipient),
            "<ontvanger@example.org> no consent or customer relation on record for Voorbeeld Hypotheken B.V. \
             (\"nieuwsbrief hypotheken\")"
        );
        let since = Timestamp::constant(1_700_000_000, 0);
        assert_eq!(
            refusal(Clause::Suppressed { reason: Reason::Unsubscribed, since }).reason(),
            "unsubscribed from all marketing by Voorbeeld Hypotheken B.V. on 2023-11-14"
        );
        let bare = Refusal { sender: None, purpose: None, ..refusal(Clause::NoBasis) };
        assert_eq!(bare.reason(), "no consent or customer relation on record");
    }

    #[test]
    fn p6_a_reply_stays_one_bounded_line_whatever_the_config_says() {
        let mut hostile = refusal(Clause::Rule { reason: "a\r\n250 ok {for}".repeat(100) });
        let text = hostile.reason();
        assert!(!text.contains(['\r', '\n']) && text.chars().count() <= MAX_DETAIL + 1, "{text}");
        assert!(text.contains("{for}"), "a value is not a template");
        hostile.clause = Clause::NoBasis;
        hostile.sender = Some("x\r\ny".into());
        assert!(hostile.reason().contains("x  y"));
    }

    #[test]
    fn l4_each_failing_clause_is_named() {
        let text = |gap| refusal(Clause::Relation { gap }).reason();
        assert!(text(RelationGap::NotInSale).contains("not given in a sale"));
        assert!(text(RelationGap::NoOptOutOffered).contains("no opt-out was offered"));
        assert!(text(RelationGap::NotSimilar).contains("nothing similar"));
        assert!(text(RelationGap::TooLongAgo).contains("too long ago"));
        assert_eq!(Clause::Relation { gap: RelationGap::Future }.rule(), "L4");
    }
}
