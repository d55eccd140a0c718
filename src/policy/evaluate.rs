//! The decision about one recipient.

use jiff::Timestamp;

use super::case::{Case, Ground, Watched};
use super::decision::{Answer, Basis, Clause, Decision, Permit, Refusal};
use super::facts::{Facts, Profile, Profiles};
use super::rule::{Mode, Rules};
use super::screen::screen;
use crate::consent::{ConsentEvent, ConsentEventKind, ConsentState, Grade, Relation, RelationGap, fold};
use crate::mail::{Address, Class, Purpose, SenderId};
use crate::suppression;

/// Decide for one recipient of a message that is there (`facts.message` is `Some`). Without it, what cannot
/// be refused is deferred.
///
/// Under [`Mode::Observe`] whatever enforcement would refuse is forwarded, with the refusal in the permit.
/// Only a register that cannot be read still defers: that is no decision, and the send could not be
/// recorded either (promise 5).
pub fn evaluate(rules: &Rules, facts: &Facts<'_>) -> Decision {
    let Some(message) = facts.message else {
        return screen(rules, facts).unwrap_or_else(|| Decision {
            rule: None,
            class: Class::Marketing,
            answer: Answer::Defer("the message is not there yet".to_owned()),
        });
    };
    let case = Case::of(rules, facts, message);
    let verdict = if !case.is_handed_over_by(facts.connection) {
        Verdict::Refuse(Clause::NotYourSender)
    } else if case.class == Class::Marketing && message.visible_external > 1 && case.can_go() {
        // RULES L14
        Verdict::Refuse(Clause::VisibleRecipients { count: message.visible_external })
    } else {
        judge(rules, &case, &Circumstances::of(facts))
    };
    conclude(rules, &case, facts.recipient, verdict)
}

/// A copy that waits in the spool, as far as its permit depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// What it is.
    pub class: Class,
    /// Whom it is sent for.
    pub sender: Option<&'a SenderId>,
    /// What it is about.
    pub purpose: Option<&'a Purpose>,
    /// The rule that decided.
    pub rule: Option<&'a str>,
}

/// Ask for the permit of a waiting copy again, before each try (promise 6). `profiles` holds the recipient's
/// profile for the copy's sender.
///
/// For marketing everything is judged anew: an unsubscribe, a withdrawal or a changed rule since it was
/// admitted refuses it. A rule that is no longer in the config refuses nothing and carries nothing: without
/// a consent that stands on its own, the copy waits (promise 5). Other classes go as they were admitted.
pub fn reconsider(
    rules: &Rules,
    waiting: &Waiting<'_>,
    recipient: &Address,
    profiles: &Profiles,
    unsubscribe_fault: Option<&str>,
    now: Timestamp,
) -> Decision {
    let rule = waiting.rule.and_then(|name| rules.rules.iter().find(|rule| rule.name == name));
    let mut case = match rule {
        Some(rule) if waiting.class == Class::Marketing => Case::by_rule(rule),
        _ => Case::unmatched(),
    };
    case.class = waiting.class;
    case.rule = waiting.rule;
    case.sender = waiting.sender.and_then(|id| rules.sender(id));
    if let Ground::Register { purpose, .. } = &mut case.ground {
        *purpose = waiting.purpose;
    }
    let circumstances = Circumstances { profiles, unsubscribe_fault, now };
    let mut verdict = judge(rules, &case, &circumstances);
    if let (Some(name), None, Verdict::Refuse(clause)) = (waiting.rule, rule, &verdict)
        && clause.is_about_basis()
    {
        verdict = Verdict::Unknown(format!("the rule {name} is no longer in the config"));
    }
    conclude(rules, &case, recipient, verdict)
}

/// What a case is judged by, besides itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub profiles: &'a Profiles,
    pub unsubscribe_fault: Option<&'a str>,
    pub now: Timestamp,
}

impl<'a> Circumstances<'a> {
    pub fn of(facts: &'a Facts<'_>) -> Self {
        let unsubscribe_fault = facts.unsubscribe_fault.as_deref();
        Self { profiles: facts.profiles, unsubscribe_fault, now: facts.now }
    }
}

/// The answer to a case, before the mode has its say.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may go.
    Go(Basis),
    /// It may not.
    Refuse(Clause),
    /// It could go, but not while nobody could unsubscribe (RULES L8).
    NoWayOut(Basis, String),
    /// The register cannot be read, or the rule cannot be decided (promise 5).
    Unknown(String),
}

/// Judge a case: what the rule says, then suppression, which stands above every basis (RULES L16), then the
/// basis, then the way out.
pub(super) fn judge(rules: &Rules, case: &Case<'_>, circumstances: &Circumstances<'_>) -> Verdict {
    if let Ground::Refused { reason } = case.ground {
        return Verdict::Refuse(Clause::Rule { reason: reason.to_owned() });
    }
    if case.class != Class::Marketing {
        // RULES L20: neither an unsubscribe nor anything else in the register stops it.
        return Verdict::Go(Basis::NotNeeded);
    }
    let Some(sender) = case.sender else {
        return Verdict::Refuse(Clause::UnknownSender);
    };
    if !case.asks_register(circumstances.now) {
        return Verdict::Refuse(hopeless(case));
    }
    let profile = match circumstances.profiles.of(&sender.id) {
        Ok(Some(profile)) => profile,
        Ok(None) => return Verdict::Unknown(format!("the register was not asked for {}", sender.name)),
        Err(unavailable) => return Verdict::Unknown(unavailable.to_string()),
    };
    match stand(rules, case, profile, circumstances.now) {
        Ok(basis) => match circumstances.unsubscribe_fault {
            None => Verdict::Go(basis),
            Some(fault) => Verdict::NoWayOut(basis, no_way_out(fault)),
        },
        Err(clause) => Verdict::Refuse(case.worded(clause)),
    }
}

/// Why nothing in the register could help a case.
fn hopeless(case: &Case<'_>) -> Clause {
    match case.ground {
        Ground::Allowed { until: Some(until), .. } => Clause::AllowEnded { until },
        _ => case.worded(Clause::NoPurpose),
    }
}

impl Case<'_> {
    /// Where personal mail became marketing, that is what its author needs to hear (RULES L13).
    fn worded(&self, clause: Clause) -> Clause {
        match (self.watched, clause) {
            (Some(Watched::ToMany(count)), Clause::NoPurpose | Clause::NoBasis) => {
                Clause::PersonalToMany { count }
            }
            (Some(Watched::Alike(count)), Clause::NoPurpose | Clause::NoBasis) => {
                Clause::PersonalAlike { count }
            }
            (_, clause) => clause,
        }
    }
}

/// What a marketing case stands on, or the clause by which it falls.
pub(super) fn stand(
    rules: &Rules,
    case: &Case<'_>,
    profile: &Profile,
    now: Timestamp,
) -> Result<Basis, Clause> {
    let history = case.purpose().map_or(&[][..], |purpose| profile.consent(purpose));
    let consent = fold(history, now);
    if let Some(suppression) = suppression::standing(&profile.suppressions, &consent) {
        return Err(Clause::Suppressed { reason: suppression.reason, since: suppression.since });
    }
    if profile.block.is_some() {
        return Err(Clause::Blocked);
    }
    match case.ground {
        Ground::Register { purpose, similar_to } => {
            let relation = |relation: &Relation| relation.gap(similar_to, rules.customer_window_months, now);
            from_register(profile, history, &consent, purpose, relation, now)
        }
        Ground::Allowed { reason, .. } => {
            Ok(Basis::Allowed { rule: case.rule.unwrap_or_default().to_owned(), reason: reason.to_owned() })
        }
        Ground::Refused { reason } => Err(Clause::Rule { reason: reason.to_owned() }),
    }
}

/// The best basis on record: consent with its text, a customer relation, attested consent, a publication;
/// or the most telling of the clauses that failed.
fn from_register(
    profile: &Profile,
    history: &[ConsentEvent],
    consent: &ConsentState,
    purpose: Option<&Purpose>,
    relation_gap: impl Fn(&Relation) -> Option<RelationGap>,
    now: Timestamp,
) -> Result<Basis, Clause> {
    let granted = |least: Grade| match consent {
        ConsentState::Granted { grade, since, event, .. } if *grade >= least => {
            let evidence = history.get(*event).map(|event| &event.evidence);
            Some(Basis::Consent {
                grade: *grade,
                since: *since,
                text_sha256: evidence.and_then(|evidence| evidence.text_sha256.clone()),
                source: evidence.and_then(|evidence| evidence.source.clone()),
                entries: profile.entries_of(&rests_on(history, *event, now)),
            })
        }
        _ => None,
    };
    if let Some(basis) = granted(Grade::B) {
        return Ok(basis);
    }
    // Whoever took a consent back has objected to this purpose, as a customer too (RULES L3, L4).
    if let ConsentState::Withdrawn { since } = consent {
        return Err(Clause::Withdrawn { since: *since });
    }
    let (mut customer, mut gap): (Option<&Relation>, _) = (None, None);
    for relation in &profile.relations {
        match relation_gap(relation) {
            None if customer.is_none_or(|best| relation.last_purchase > best.last_purchase) => {
                customer = Some(relation);
            }
            None => {}
            failed => gap = gap.max(failed),
        }
    }
    if let Some(relation) = customer {
        return Ok(Basis::Customer {
            product: relation.product.clone(),
            last_purchase: relation.last_purchase,
            source: relation.source.clone(),
            entries: profile.entries_of(&[relation.recorded_at]),
        });
    }
    if let Some(basis) = granted(Grade::C) {
        return Ok(basis);
    }
    let published = || {
        profile.published.iter().filter(|(about, _)| Some(about) == purpose).map(|(_, published)| published)
    };
    if let Some(published) =
        published().filter(|published| published.usable(now)).max_by_key(|p| p.captured_at)
    {
        return Ok(Basis::Published {
            url: published.url.clone(),
            captured_at: published.captured_at,
            entries: profile.entries_of(&[published.captured_at]),
        });
    }
    let published_gap = published().filter_map(|published| published.gap(now)).max();
    Err(match (gap, consent, published_gap) {
        (Some(gap), _, _) => Clause::Relation { gap },
        (None, ConsentState::Granted { .. }, _) => Clause::GradeTooLow,
        (None, _, Some(gap)) => Clause::Published { gap },
        (None, _, None) => Clause::NoBasis,
    })
}

/// When the grant at `event` and what confirmed it were recorded.
fn rests_on(history: &[ConsentEvent], event: usize, now: Timestamp) -> Vec<Timestamp> {
    let confirms = |one: &&ConsentEvent| one.kind == ConsentEventKind::Confirm && one.recorded_at <= now;
    let (grant, after) = match history.get(event..) {
        Some([grant, after @ ..]) => (Some(grant), after),
        _ => (None, &[][..]),
    };
    grant.into_iter().chain(after.iter().filter(confirms)).map(|one| one.recorded_at).collect()
}

/// The decision that a verdict comes to under the mode in force.
pub(super) fn conclude(rules: &Rules, case: &Case<'_>, recipient: &Address, verdict: Verdict) -> Decision {
    let observe = rules.mode == Mode::Observe;
    let permit = |basis| {
        Permit::new(recipient.clone(), case.class, basis).with_case(
            case.sender.cloned(),
            case.purpose().cloned(),
            case.rule.map(str::to_owned),
        )
    };
    let answer = match verdict {
        Verdict::Go(basis) => Answer::Forward(permit(basis)),
        Verdict::Refuse(clause) if observe => {
            Answer::Forward(permit(Basis::Missing).with_observed(case.refusal(clause)))
        }
        Verdict::Refuse(clause) => Answer::Refuse(case.refusal(clause)),
        Verdict::NoWayOut(basis, why) if observe => {
            let refusal = case.refusal(Clause::Undecided { why });
            Answer::Forward(permit(basis).with_observed(refusal))
        }
        Verdict::NoWayOut(_, why) | Verdict::Unknown(why) => Answer::Defer(why),
    };
    Decision { rule: case.rule.map(str::to_owned), class: case.class, answer }
}

fn no_way_out(fault: &str) -> String {
    format!("the unsubscribe address does not answer its own health check: {fault}")
}

impl Case<'_> {
    pub(super) fn refusal(&self, clause: Clause) -> Refusal {
        Refusal {
            clause,
            rule: self.rule.map(str::to_owned),
            sender: self.sender.map(|sender| sender.name.clone()),
            purpose: self.purpose().cloned(),
        }
    }
}
