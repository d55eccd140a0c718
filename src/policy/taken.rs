//! What the rules take a message for, whatever the register says.

use std::sync::Arc;

use super::case::Case;
use super::facts::Facts;
use super::rule::Rules;
use crate::mail::{Class, Purpose, Sender};

/// What a message is by the rules alone: for a preview, which asks no register and sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Name of the rule that decided; `None` when none matched.
    pub rule: Option<String>,
    /// Its class.
    pub class: Class,
    /// Whose it is.
    pub sender: Option<Arc<Sender>>,
    /// What it is about.
    pub purpose: Option<Purpose>,
    /// Whether a refuse-rule stands in the way.
    pub refused: bool,
}

/// What `facts.message` is taken for; `None` without a message. `facts.profiles` is not looked at.
pub fn taken_for(rules: &Rules, facts: &Facts<'_>) -> Option<Taken> {
    let case = Case::of(rules, facts, facts.message?);
    Some(Taken {
        rule: case.rule.map(str::to_owned),
        class: case.class,
        sender: case.sender.cloned(),
        purpose: case.purpose().cloned(),
        refused: !case.can_go(),
    })
}
