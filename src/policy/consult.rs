//! What would be decided about marketing that is not there: for tools that ask before they send, by whatever way.

use std::sync::Arc;

use jiff::Timestamp;

use super::case::{Case, Ground};
use super::decision::{Basis, Refusal};
use super::evaluate::stand;
use super::facts::Profile;
use super::rule::{Effect, Rules};
use crate::mail::{Class, Purpose, Sender};

/// Whether marketing of `sender` about `purpose` may go to whom `profile` is about: suppression, then the basis, as for
/// a message of a rule with this purpose (RULES L1 to L5, L16). What only a message can tell (L7, L8, L14) is not asked,
/// and the mode has no say: what would be refused is told as refused.
pub fn consult(
    rules: &Rules,
    sender: &Arc<Sender>,
    purpose: &Purpose,
    profile: &Profile,
    now: Timestamp,
) -> Result<Basis, Refusal> {
    let fitting = rules.rules.iter().filter(|rule| match &rule.effect {
        Effect::Class { class: Class::Marketing, purpose: Some(own), sender: named, .. } => {
            own == purpose && named.as_ref().is_none_or(|named| named.id == sender.id)
        }
        _ => false,
    });
    let mut cases: Vec<Case<'_>> = fitting.map(Case::by_rule).collect();
    if cases.is_empty() {
        cases.push(Case::unmatched());
    }
    let mut refusal = None;
    for case in cases {
        let similar_to = match case.ground {
            Ground::Register { similar_to, .. } => similar_to,
            Ground::Allowed { .. } | Ground::Refused { .. } => &[],
        };
        let ground = Ground::Register { purpose: Some(purpose), similar_to };
        let case = Case { sender: Some(sender), ground, ..case };
        match stand(rules, &case, profile, now) {
            Ok(basis) => return Ok(basis),
            Err(clause) => refusal = Some(case.refusal(clause)),
        }
    }
    // There is at least one case, and each that does not stand leaves a refusal.
    Err(refusal.unwrap_or_else(|| Case::unmatched().refusal(super::Clause::NoPurpose)))
}
