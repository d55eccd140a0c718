//! The answer at RCPT, where no message could change it.

use super::case::Case;
use super::decision::{Answer, Clause, Decision};
use super::evaluate::{Circumstances, Verdict, conclude, judge};
use super::facts::{Connection, Facts};
use super::rule::{Holds, Mode, Rule, Rules};
use crate::mail::{Class, ReversePath, SenderId};

/// Cases looked at for one RCPT, and so profiles read (promise 10). A gateway for more senders than this,
/// whose rules leave the sender to the From header, answers after DATA.
const MAX_CASES: usize = 16;

/// The senders whose profile of the recipient a decision may need: all that a rule which can still match
/// leads to. `facts.profiles` is not looked at.
pub fn senders_asked(rules: &Rules, facts: &Facts<'_>) -> Vec<SenderId> {
    let cases = match facts.message {
        Some(message) => vec![Case::of(rules, facts, message)],
        None => open_cases(rules, facts).unwrap_or_default(),
    };
    let mut senders: Vec<SenderId> = Vec::new();
    for case in &cases {
        if let Some(sender) = case.sender
            && case.is_handed_over_by(facts.connection)
            && case.asks_register(facts.now)
            && !senders.contains(&sender.id)
        {
            senders.push(sender.id.clone());
        }
    }
    senders
}

/// Decide at RCPT: `Some` refusal or deferral when no message could change the answer, `None` when it
/// has to wait for the message. Never returns `Forward`.
///
/// Every case that the message can still turn out to be is judged; all must be refused, or all deferred.
/// What is told is about the likeliest cases, without what these do not agree on.
pub fn screen(rules: &Rules, facts: &Facts<'_>) -> Option<Decision> {
    let cases = open_cases(rules, facts)?;
    let circumstances = Circumstances::of(facts);
    let mut judged = Vec::with_capacity(cases.len());
    for case in &cases {
        let verdict = if !case.is_handed_over_by(facts.connection) {
            Verdict::Refuse(Clause::NotYourSender)
        } else if case.rule.is_none() {
            Verdict::Refuse(Clause::NoPurpose)
        } else {
            judge(rules, case, &circumstances)
        };
        if let Verdict::Go(_) = verdict {
            return None;
        }
        judged.push((case, verdict));
    }
    let refused = judged.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Refuse(_))).count();
    if refused != 0 && refused != judged.len() {
        return None;
    }
    let first = judged.iter().map(|(case, verdict)| likeness(case, verdict)).min()?;
    judged.retain(|(case, verdict)| likeness(case, verdict) == first);
    let likely: Vec<Case<'_>> = judged.iter().map(|(case, _)| **case).collect();
    let (case, verdict) = judged.swap_remove(0);
    let mut decision = conclude(rules, case, facts.recipient, verdict);
    keep_what_all_agree_on(&mut decision, case, &likely);
    Some(decision)
}

/// Which cases a reply should speak of: those of a rule and a sender that fit each other, before messages of
/// another sender, messages that no rule knows, and messages of nobody.
fn likeness(case: &Case<'_>, verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Refuse(Clause::UnknownSender) => 3,
        _ if case.rule.is_none() => 2,
        Verdict::Refuse(Clause::NotYourSender) => 1,
        _ => 0,
    }
}

/// Of several cases a reply names the sender, the purpose and the rule only as far as they are the same.
fn keep_what_all_agree_on(decision: &mut Decision, chosen: &Case<'_>, cases: &[Case<'_>]) {
    if cases.iter().any(|case| case.rule != chosen.rule) {
        decision.rule = None;
    }
    if let Answer::Refuse(refusal) = &mut decision.answer {
        refusal.rule.clone_from(&decision.rule);
        if cases.iter().any(|case| case.sender.map(|s| &s.id) != chosen.sender.map(|s| &s.id)) {
            refusal.sender = None;
        }
        if cases.iter().any(|case| case.purpose() != chosen.purpose()) {
            refusal.purpose = None;
        }
    }
}

/// Every case that the message may turn out to be, the most lenient of its kind; `None` when one of them can
/// go whatever the register says, when there are too many, or when nothing is ever blocked.
fn open_cases<'a>(rules: &'a Rules, facts: &Facts<'_>) -> Option<Vec<Case<'a>>> {
    if rules.mode == Mode::Observe {
        return None;
    }
    let mut cases = Vec::new();
    for rule in &rules.rules {
        let holds = match facts.message {
            // The message is there: it is not asked at RCPT, but the answer must hold all the same.
            Some(_) => rule.matches.holds(&Facts { message: None, ..facts.clone() }),
            None => rule.matches.holds(facts),
        };
        if holds == Holds::No {
            continue;
        }
        for case in cases_of(rules, rule, facts.connection) {
            if case.class != Class::Marketing && case.is_handed_over_by(facts.connection) && case.can_go() {
                return None;
            }
            cases.push(case);
            if cases.len() > MAX_CASES {
                return None;
            }
        }
        if holds == Holds::Yes {
            return Some(cases);
        }
    }
    // A message that no rule matches may still be a bounce or an automatic reply.
    if facts.envelope.reverse_path == ReversePath::Null {
        return None;
    }
    cases.push(Case::unmatched());
    Some(cases)
}

/// The cases a rule can lead to: one for each sender that the From header can still mean, and one for none.
/// Senders that the account is not bound to are left out: with them every answer is a refusal.
fn cases_of<'a>(rules: &'a Rules, rule: &'a Rule, connection: &Connection) -> Vec<Case<'a>> {
    let case = Case::by_rule(rule);
    if case.sender.is_some() || !case.can_go() {
        return vec![case];
    }
    let from = &rule.matches.from;
    let domains: Option<Vec<&str>> = from.iter().map(|pattern| pattern.domain()).collect();
    match domains {
        Some(domains) if !domains.is_empty() => {
            domains.into_iter().map(|domain| case.with_sender(rules.owner_of_ascii(domain))).collect()
        }
        _ => {
            let open = |id| connection.senders.is_empty() || connection.senders.contains(id);
            let owners = rules.senders.iter().filter(|sender| open(&sender.id)).take(MAX_CASES);
            owners.map(|owner| case.with_sender(Some(owner))).chain([case]).collect()
        }
    }
}
