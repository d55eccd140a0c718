//! `POST /v1/check`: what the gateway would decide, for up to 10,000 people at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::body::By;
use super::gate::Caller;
use super::problem::Problem;
use crate::admin::Services;
use crate::clock::Timestamp;
use crate::mail::{Address, Purpose, Sender};
use crate::policy::{Basis, Clause, Refusal, Rules, Unavailable, consult};

/// People of one question.
pub(super) const MAX_PEOPLE: usize = 10_000;
/// Octets of a purpose.
const MAX_PURPOSE: usize = 300;

/// The question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    #[serde(default)]
    sender: Option<String>,
    purpose: String,
    #[serde(default)]
    channel: By,
    addresses: Vec<String>,
}

/// The answer: in the order of the question, and every clause that occurs in it once.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    decisions: Vec<Decided>,
    clauses: BTreeMap<&'static str, Law>,
}

/// The decision on one person.
#[derive(Debug, Serialize)]
pub(super) struct Decided {
    address: String,
    /// `allow` or `refuse`.
    decision: &'static str,
    /// Why it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<&'static str>,
    /// Why it may not, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    clause: Option<&'static str>,
    /// The same for people.
    reason: String,
}

/// A clause, for people.
#[derive(Debug, Serialize)]
pub(super) struct Law {
    rule: &'static str,
    law: &'static str,
    remedy: &'static str,
}

/// What a question is about.
pub(super) struct Subject {
    pub(super) rules: Arc<Rules>,
    pub(super) sender: Arc<Sender>,
    pub(super) purpose: Purpose,
    pub(super) channel: By,
    pub(super) now: Timestamp,
    /// Why mail may not go to anybody at the moment (RULES L8).
    pub(super) no_way_out: bool,
}

impl Subject {
    pub(super) fn of(
        services: &Services,
        caller: &Caller,
        sender: Option<&str>,
        purpose: &str,
        channel: By,
    ) -> Result<Self, Problem> {
        let rules = services.control.rules();
        let sender = caller.sender(&rules, sender)?;
        let purpose = purpose.trim();
        if purpose.is_empty() || purpose.len() > MAX_PURPOSE {
            return Err(Problem::wrong(format!(
                "purpose: 1 to {MAX_PURPOSE} octets, in the words of the rule"
            )));
        }
        let healthy = services.control.status().is_none_or(|status| status.unsubscribe_healthy);
        Ok(Self {
            rules,
            sender,
            purpose: Purpose(purpose.to_owned()),
            channel,
            now: services.clock.now(),
            no_way_out: channel == By::Email && !healthy,
        })
    }

    /// What the register says about one person.
    pub(super) fn judge(
        &self,
        services: &Services,
        whom: &Address,
    ) -> Result<Result<Basis, Refusal>, Unavailable> {
        let mut profile = services.register.profile(&self.sender.id, whom.key())?;
        if self.channel != By::Email {
            // That the mailbox does not work says nothing about another way.
            profile.block = None;
        }
        Ok(consult(&self.rules, &self.sender, &self.purpose, &profile, self.now))
    }
}

/// Answer `check`. Reads; runs on a blocking thread.
pub(super) fn check(services: &Services, caller: &Caller, check: &Check) -> Result<Checked, Problem> {
    if check.addresses.len() > MAX_PEOPLE {
        let count = check.addresses.len();
        return Err(Problem::wrong(format!(
            "addresses: {count} of them; at most {MAX_PEOPLE} in one request"
        )));
    }
    let subject = Subject::of(services, caller, check.sender.as_deref(), &check.purpose, check.channel)?;
    if subject.no_way_out {
        return Err(Problem::unavailable(
            "the unsubscribe address does not answer its own health check (L8)",
        ));
    }
    let mut checked =
        Checked { decisions: Vec::with_capacity(check.addresses.len()), clauses: BTreeMap::new() };
    for text in &check.addresses {
        let address = text.clone();
        let decided = match subject.channel.whom(text) {
            Err(reason) => {
                Decided { address, decision: "refuse", basis: None, clause: Some("no_address"), reason }
            }
            Ok(whom) => {
                match subject.judge(services, &whom).map_err(|error| Problem::unavailable(error.0))? {
                    Ok(basis) => Decided {
                        address,
                        decision: "allow",
                        basis: Some(word(&basis)),
                        clause: None,
                        reason: basis.to_string(),
                    },
                    Err(refusal) => {
                        let clause = &refusal.clause;
                        checked.clauses.entry(clause.word()).or_insert_with(|| law(clause));
                        let reason = refusal.reason();
                        Decided {
                            address,
                            decision: "refuse",
                            basis: None,
                            clause: Some(clause.word()),
                            reason,
                        }
                    }
                }
            }
        };
        checked.decisions.push(decided);
    }
    Ok(checked)
}

fn law(clause: &Clause) -> Law {
    Law { rule: clause.rule(), law: clause.law(), remedy: clause.remedy() }
}

/// One word for a basis.
pub(super) fn word(basis: &Basis) -> &'static str {
    match basis {
        Basis::Consent { .. } => "consent",
        Basis::Customer { .. } => "customer",
        Basis::Published { .. } => "published",
        Basis::Allowed { .. } => "allowed",
        Basis::NotNeeded => "not_needed",
        Basis::Missing => "missing",
    }
}
