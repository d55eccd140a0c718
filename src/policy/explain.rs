//! The way of one decision, for a person: the rules looked at, the facts found, the clauses passed and failed.
//!
//! What is decided comes from [`evaluate`], and each step asks the same functions as it does; nothing is judged
//! twice in two ways. Deliberately absent: what happens to the message itself (identity and opt-out are checked
//! where it is edited).

use serde::{Deserialize, Serialize};

use super::case::{Case, Ground, Watched};
use super::decision::Decision;
use super::evaluate::evaluate;
use super::facts::{Facts, Profile};
use super::rule::{Holds, Match, Rule, Rules};
use crate::consent::{ConsentState, Grade, Published, PublishedGap, Relation, RelationGap, fold};
use crate::mail::{Class, Purpose};
use crate::suppression;

/// Rules of which it is told why they do not match (promise 10); the config may have any number.
const MAX_RULES: usize = 200;

/// A decision and the way to it.
#[derive(Debug)]
pub struct Explanation {
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
    /// What it comes to.
    pub decision: Decision,
}

/// One step on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whether it speaks for the message.
    pub mark: Mark,
    /// What it is about: a RULES number, `rule`, `class`.
    pub about: String,
    /// One line.
    pub text: String,
}

/// What a step comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Neither: a fact that was found.
    Noted,
}

impl Step {
    /// A step that was taken.
    pub fn new(mark: Mark, about: &str, text: impl Into<String>) -> Self {
        Self { mark, about: about.to_owned(), text: text.into() }
    }
}

/// Decide as [`evaluate`] does, and tell why. Without a message (`facts.message` is `None`) only the rules are
/// looked at.
pub fn explain(rules: &Rules, facts: &Facts<'_>) -> Explanation {
    let decision = evaluate(rules, facts);
    let mut steps = Vec::new();
    rules_looked_at(rules, facts, decision.rule.as_deref(), &mut steps);
    if let Some(message) = facts.message {
        let case = Case::of(rules, facts, message);
        class(&case, &mut steps);
        if !case.is_handed_over_by(facts.connection) {
            steps.push(Step::new(Mark::Failed, "L15", "the account is not bound to this sender"));
        }
        if case.class == Class::Marketing {
            let visible = message.visible_external;
            steps.push(check(
                visible <= 1,
                "L14",
                format!("{visible} outside addresses visible in To and Cc; at most 1"),
            ));
            ground(rules, &case, facts, &mut steps);
            let text = match &facts.unsubscribe_fault {
                None => "the unsubscribe address answers its own health check".to_owned(),
                Some(fault) => {
                    format!("the unsubscribe address does not answer its own health check: {fault}")
                }
            };
            steps.push(check(facts.unsubscribe_fault.is_none(), "L8", text));
        }
    }
    Explanation { steps, decision }
}

fn check(holds: bool, about: &str, text: impl Into<String>) -> Step {
    Step::new(if holds { Mark::Passed } else { Mark::Failed }, about, text)
}

fn rules_looked_at(rules: &Rules, facts: &Facts<'_>, decided: Option<&str>, steps: &mut Vec<Step>) {
    for (at, rule) in rules.rules.iter().enumerate() {
        if decided == Some(rule.name.as_str()) {
            steps.push(Step::new(Mark::Passed, "rule", format!("{:?} matches", rule.name)));
            return;
        }
        if at == MAX_RULES {
            let rest = rules.rules.len() - at;
            steps.push(Step::new(Mark::Noted, "rule", format!("{rest} more rules were looked at")));
        } else if at < MAX_RULES {
            let why = unmet(rule, facts).unwrap_or("depends on the message");
            steps.push(Step::new(Mark::Noted, "rule", format!("{:?} does not match: {why}", rule.name)));
        }
    }
    let text = "none matched: it counts as marketing without a purpose, the strict case";
    steps.push(Step::new(Mark::Failed, "rule", text));
}

/// Which condition of a rule does not hold: each is asked on its own, in the words of the config.
fn unmet(rule: &Rule, facts: &Facts<'_>) -> Option<&'static str> {
    let all = rule.matches.clone();
    let none = Match::default;
    [
        ("recipient", Match { recipient: all.recipient, ..none() }),
        ("account", Match { account: all.account, ..none() }),
        ("network", Match { network: all.network, ..none() }),
        ("envelope_from", Match { envelope_from: all.envelope_from, ..none() }),
        ("from", Match { from: all.from, ..none() }),
        ("header", Match { header: all.header, ..none() }),
        ("list_id", Match { list_id: all.list_id, ..none() }),
        ("min_recipients", Match { min_recipients: all.min_recipients, ..none() }),
        ("max_recipients", Match { max_recipients: all.max_recipients, ..none() }),
    ]
    .into_iter()
    .find(|(_, one)| one.holds(facts) != Holds::Yes)
    .map(|(key, _)| key)
}

fn class(case: &Case<'_>, steps: &mut Vec<Step>) {
    let whom = case.sender.map_or("no sender of this gateway", |sender| &sender.name);
    let mut text = format!("{} for {whom}", case.class);
    if let Some(purpose) = case.purpose() {
        text.push_str(&format!(", about \"{purpose}\""));
    }
    if let Some(watched) = case.watched {
        let why = match watched {
            Watched::ToMany(count) => {
                format!("personal mail to {count} outside recipients counts as marketing")
            }
            Watched::Alike(count) => {
                format!("{count} personal messages that say nearly the same count as marketing")
            }
        };
        steps.push(Step::new(Mark::Noted, "L13", why));
    }
    steps.push(Step::new(Mark::Noted, "class", text));
    if case.class == Class::Marketing {
        steps.push(check(case.sender.is_some(), "L7", "the From domain belongs to a sender of the config"));
    } else {
        steps.push(Step::new(Mark::Passed, "L20", format!("{} mail needs no basis", case.class)));
    }
}

/// What marketing can stand on: suppression first, which stands above every basis (RULES L16).
fn ground(rules: &Rules, case: &Case<'_>, facts: &Facts<'_>, steps: &mut Vec<Step>) {
    if let Ground::Refused { reason } = case.ground {
        steps.push(Step::new(Mark::Failed, "config", format!("the rule refuses: {reason}")));
        return;
    }
    let Some(sender) = case.sender else { return };
    let profile = match facts.profiles.of(&sender.id) {
        Ok(Some(profile)) => profile,
        Ok(None) => return,
        Err(unavailable) => {
            steps.push(Step::new(Mark::Failed, "register", unavailable.to_string()));
            return;
        }
    };
    let history = case.purpose().map_or(&[][..], |purpose| profile.consent(purpose));
    let state = fold(history, facts.now);
    suppressions(profile, &state, steps);
    match case.ground {
        Ground::Allowed { reason, until } => {
            steps.push(Step::new(
                Mark::Passed,
                "L1",
                format!("an allow-rule, for a written reason: {reason}"),
            ));
            if let Some(until) = until {
                steps.push(check(facts.now <= until, "L1", format!("the exception holds until {until}")));
            }
        }
        Ground::Register { purpose, similar_to } => {
            consent(purpose, &state, profile, steps);
            for relation in &profile.relations {
                self::relation(relation, similar_to, rules.customer_window_months, facts, steps);
            }
            if profile.relations.is_empty() {
                steps.push(Step::new(Mark::Failed, "L4", "no purchase on record"));
            }
            for (_, published) in profile.published.iter().filter(|(about, _)| Some(about) == purpose) {
                self::published(published, facts, steps);
            }
        }
        Ground::Refused { .. } => {}
    }
}

fn suppressions(profile: &Profile, state: &ConsentState, steps: &mut Vec<Step>) {
    let standing = suppression::standing(&profile.suppressions, state);
    for suppressed in &profile.suppressions {
        let (reason, since) = (suppressed.reason.as_str(), suppressed.since);
        let text = format!("{reason} on {since} ({})", suppressed.source);
        steps.push(match standing {
            Some(_) => Step::new(Mark::Failed, "L16", text),
            None => Step::new(Mark::Passed, "L16", format!("{text}: lifted by a newer grade A consent")),
        });
    }
    if profile.suppressions.is_empty() {
        steps.push(Step::new(Mark::Passed, "L16", "not suppressed for this sender"));
    }
    if let Some(block) = &profile.block {
        let text = format!("earlier mail failed for good on {}: {}", block.since, block.reply);
        steps.push(Step::new(Mark::Failed, "P14", text));
    }
}

fn consent(purpose: Option<&Purpose>, state: &ConsentState, profile: &Profile, steps: &mut Vec<Step>) {
    let Some(purpose) = purpose else {
        steps.push(Step::new(Mark::Failed, "L2", "the rule has no purpose, so no consent can match"));
        return;
    };
    steps.push(match state {
        ConsentState::Granted { grade, since, .. } => check(
            *grade > Grade::D,
            if *grade > Grade::D { "L1" } else { "L2" },
            format!("consent for \"{purpose}\" of grade {grade:?}, given {since}"),
        ),
        ConsentState::Withdrawn { since } => {
            Step::new(Mark::Failed, "L3", format!("consent for \"{purpose}\" was withdrawn on {since}"))
        }
        ConsentState::Expired { since } => {
            Step::new(Mark::Failed, "L1", format!("consent for \"{purpose}\" ended on {since}"))
        }
        ConsentState::Requested => {
            Step::new(Mark::Failed, "L1", format!("consent for \"{purpose}\" was asked for, not given"))
        }
        ConsentState::None => {
            Step::new(Mark::Failed, "L1", format!("no consent for \"{purpose}\" on record"))
        }
    });
    let others = profile.consents.iter().filter(|history| history.purpose != *purpose);
    for history in others {
        let text = format!("there is a consent history for another purpose, \"{}\"", history.purpose);
        steps.push(Step::new(Mark::Noted, "L2", text));
    }
}

fn relation(
    relation: &Relation,
    similar_to: &[String],
    window_months: u32,
    facts: &Facts<'_>,
    steps: &mut Vec<Step>,
) {
    let product = &relation.product;
    for clause in RelationGap::ALL {
        let text = match clause {
            RelationGap::Future => format!("bought {product:?} on {}, before now", relation.last_purchase),
            RelationGap::NotInSale => format!("{product:?}: the customer gave the address in the sale"),
            RelationGap::NoOptOutOffered => {
                format!("{product:?}: opting out was offered when the address was taken")
            }
            RelationGap::NotSimilar => {
                format!("{product:?} is among what the rule is similar to: {}", similar_to.join(", "))
            }
            RelationGap::TooLongAgo => format!("{product:?}: within {window_months} months of the purchase"),
        };
        steps.push(check(relation.holds(clause, similar_to, window_months, facts.now), "L4", text));
    }
}

fn published(published: &Published, facts: &Facts<'_>, steps: &mut Vec<Step>) {
    let url = &published.url;
    for clause in PublishedGap::ALL {
        let text = match clause {
            PublishedGap::Incomplete => format!("{url}: page, sentence and page hash are on record"),
            PublishedGap::BareAddress => format!("{url}: the sentence says what the address is for"),
            PublishedGap::Future => format!("{url}: captured on {}, before now", published.captured_at),
            PublishedGap::Overdue => format!("{url}: to be reviewed by {}", published.review_by),
        };
        steps.push(check(published.holds(clause, facts.now), "L5", text));
    }
}
