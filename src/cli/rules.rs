//! The administrator's own tests of the rules: cases in a file, with the decision that each expects.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::print::Out;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{self, Case, OnRecord};
use crate::consent::{Act, ConsentEvent, ConsentEventKind, Evidence, Grade, Published, Relation};
use crate::mail::{Address, ReversePath, SenderId};
use crate::policy::{
    Answer, Basis, Connection, ConsentHistory, Decision, EnvelopeFacts, Facts, MessageFacts, Mode, Profile,
    Profiles, Rules, evaluate,
};
use crate::suppression::Suppression;

/// Decide every case of `file` by the rules of the config; whether all came out as expected.
pub(super) fn test(file: &Path, config: &Path, out: &mut Out) -> Result<bool> {
    let settings = super::load(config)?;
    let now = SystemClock.now();
    let cases = config::cases(file, &settings.rules, now)?;
    // Expected is what enforcement decides, also of a gateway that only observes.
    let rules = Rules { mode: Mode::Enforce, ..settings.rules.clone() };
    let mut failed = 0usize;
    for case in &cases {
        let bound = match &case.account {
            None => settings.trusted.senders.clone(),
            Some(name) => {
                let known = settings.accounts.iter().find(|account| account.name == *name);
                let at = format!("{}:{}", file.display(), case.line);
                known.ok_or_else(|| anyhow!("{at}: the config has no account \"{name}\""))?.senders.clone()
            }
        };
        if let Some(why) = differs(case, &decide(case, &rules, bound, now)) {
            failed += 1;
            out.line(format_args!("{}:{}: {}: {why}", file.display(), case.line, case.name))?;
        }
    }
    out.line(format_args!("{} cases, {failed} not as expected", cases.len()))?;
    Ok(failed == 0)
}

fn decide(case: &Case, rules: &Rules, bound: Vec<SenderId>, now: Timestamp) -> Decision {
    let now = case.at.unwrap_or(now);
    let connection = Connection { ip: case.ip, account: case.account.clone(), senders: bound };
    let envelope = EnvelopeFacts { reverse_path: reverse_path(case) };
    let mut headers = case.headers.clone();
    headers.push(("from".to_owned(), case.from.to_string()));
    let external = usize::from(rules.owner_of(case.to.domain()).is_none());
    let message = MessageFacts {
        from: Some(case.from.clone()),
        list_id: case.list_id.clone(),
        automatic: headers.iter().any(|(name, value)| name == "auto-submitted" && value != "no"),
        headers,
        recipient_count: case.recipients,
        external_recipients: case.recipients * external,
        visible_external: case.visible,
        ..MessageFacts::default()
    };
    let profile = profile(&case.on_record, now);
    let profiles = rules.senders.iter().map(|sender| {
        let known = case.sender.as_ref().is_none_or(|id| *id == sender.id);
        (sender.id.clone(), Ok(if known { profile.clone() } else { Profile::default() }))
    });
    let profiles = Profiles(profiles.collect());
    let facts = Facts {
        connection: &connection,
        envelope: &envelope,
        recipient: &case.to,
        message: Some(&message),
        profiles: &profiles,
        unsubscribe_fault: None,
        now,
    };
    evaluate(rules, &facts)
}

fn reverse_path(case: &Case) -> ReversePath {
    match case.envelope_from.as_deref() {
        Some("" | "<>") => ReversePath::Null,
        Some(text) => Address::parse(text).map_or(ReversePath::Null, ReversePath::Address),
        None => ReversePath::Address(case.from.clone()),
    }
}

/// The profile that a case speaks of.
fn profile(on_record: &OnRecord, now: Timestamp) -> Profile {
    let mut profile = Profile::default();
    if let Some((purpose, grade, at)) = &on_record.consent {
        let event = |kind, at, evidence| ConsentEvent { kind, at, recorded_at: at, evidence };
        let mut events = vec![event(ConsentEventKind::Grant, *at, evidence(*grade))];
        if *grade == Grade::A {
            events.push(event(ConsentEventKind::Confirm, *at, Evidence::default()));
        }
        if let Some(withdrawn) = on_record.withdrawn {
            events.push(event(ConsentEventKind::Withdraw, withdrawn, Evidence::default()));
        }
        profile.consents.push(ConsentHistory { purpose: purpose.clone(), events });
    }
    if let Some((product, last_purchase, opt_out_offered, given_in_sale)) = &on_record.customer {
        profile.relations.push(Relation {
            product: product.clone(),
            last_purchase: *last_purchase,
            recorded_at: *last_purchase,
            opt_out_offered: *opt_out_offered,
            given_in_sale: *given_in_sale,
            source: None,
        });
    }
    if let Some((purpose, captured_at, review_by)) = &on_record.published {
        let published = Published {
            url: "https://example.org/".to_owned(),
            quote: "a sentence that invites such mail".to_owned(),
            captured_at: *captured_at,
            recorded_at: *captured_at,
            page_sha256: "00".to_owned(),
            review_by: review_by.unwrap_or_else(|| Published::review_after(*captured_at)),
        };
        profile.published.push((purpose.clone(), published));
    }
    if let Some((reason, since)) = on_record.suppressed {
        let since = since.min(now);
        profile.suppressions.push(Suppression { reason, since, source: "case".to_owned() });
    }
    profile
}

fn evidence(grade: Grade) -> Evidence {
    match grade {
        Grade::A | Grade::B => Evidence {
            text_sha256: Some("00".to_owned()),
            act: Some(Act::TickedBox),
            source: Some("case".to_owned()),
            ..Evidence::default()
        },
        Grade::C => Evidence { attestation: Some("case".to_owned()), ..Evidence::default() },
        Grade::D => Evidence::default(),
    }
}

/// In what a decision is not what a case expects.
fn differs(case: &Case, decision: &Decision) -> Option<String> {
    let expected = &case.expected;
    let (word, told, clause, basis) = match &decision.answer {
        Answer::Forward(permit) => ("forward", permit.basis().to_string(), None, word(permit.basis())),
        Answer::Refuse(refusal) => ("refuse", refusal.reason(), Some(&refusal.clause), "none"),
        Answer::Defer(why) => ("defer", why.clone(), None, "none"),
    };
    let told = format!("{word} ({}{told})", clause.map(|c| format!("{}: ", c.word())).unwrap_or_default());
    if expected.decision != word {
        return Some(format!("expected {}, found {told}", expected.decision));
    }
    if let Some(rule) = &expected.rule
        && rule != decision.rule.as_deref().unwrap_or_default()
    {
        let found = decision.rule.as_deref().map_or("none".to_owned(), |rule| format!("{rule:?}"));
        return Some(format!("expected the rule {rule:?} to decide, found {found}; {told}"));
    }
    if let Some(class) = expected.class.filter(|class| *class != decision.class) {
        return Some(format!("expected class {class}, found {}; {told}", decision.class));
    }
    if let Some(expected) = expected.basis.filter(|expected| *expected != basis) {
        return Some(format!("expected the basis {expected}, found {told}"));
    }
    match (&expected.clause, clause) {
        (Some(expected), Some(found)) if *expected != found.word() && *expected != found.rule() => {
            Some(format!("expected the clause {expected}, found {told}"))
        }
        (Some(expected), None) => Some(format!("expected the clause {expected}, found {told}")),
        _ => None,
    }
}

fn word(basis: &Basis) -> &'static str {
    match basis {
        Basis::Consent { .. } => "consent",
        Basis::Customer { .. } => "customer",
        Basis::Published { .. } => "published",
        Basis::Allowed { .. } => "allowed",
        Basis::NotNeeded | Basis::Missing => "none",
    }
}
