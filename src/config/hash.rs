//! The hash of the rules in force, which is itself a ledger entry.
//!
//! SHA-256 over one JSON object with fixed key order, made from the checked rules: comments, layout and
//! the order of unrelated keys in the file do not change it; anything that can change a decision does.

use serde_json::{Value, json};

use crate::mail::{hex, sha256};
use crate::policy::{Effect, Match, OnRefused, Pattern, Rule, Rules};

/// SHA-256 in lower-case hex.
pub(super) fn of(rules: &Rules) -> String {
    hex(&sha256(canonical(rules).as_bytes()))
}

fn canonical(rules: &Rules) -> String {
    let senders: Vec<Value> = rules
        .senders
        .iter()
        .map(|sender| {
            json!({
                "id": sender.id,
                "name": sender.name,
                "trade_names": sender.trade_names,
                "kvk": sender.kvk,
                "address": sender.address,
                "contact": sender.contact,
                "domains": sender.domains.iter().map(|domain| domain.ascii()).collect::<Vec<_>>(),
                "notify": sender.notify,
                "language": sender.language,
            })
        })
        .collect();
    let on_refused = match rules.on_refused {
        OnRefused::Reject => "reject",
        OnRefused::DeliverRest => "deliver-rest",
    };
    json!({
        "v": 1,
        "mode": rules.mode.as_str(),
        "on_refused": on_refused,
        "customer_window_months": rules.customer_window_months,
        "personal_max_recipients": rules.personal_max_recipients,
        "personal_max_alike": rules.personal_max_alike,
        "strict_texts": rules.strict_texts,
        "senders": senders,
        "rules": rules.rules.iter().map(rule).collect::<Vec<_>>(),
    })
    .to_string()
}

fn rule(rule: &Rule) -> Value {
    let effect = match &rule.effect {
        Effect::Class { class, sender, purpose, similar_to } => json!({
            "class": class,
            "sender": sender.as_ref().map(|sender| &sender.id),
            "purpose": purpose,
            "similar_to": similar_to,
        }),
        Effect::Allow { sender, reason, until } => json!({
            "allow": reason,
            "sender": sender.as_ref().map(|sender| &sender.id),
            "until": until,
        }),
        Effect::Refuse { reason } => json!({ "refuse": reason }),
    };
    json!({ "name": rule.name, "match": matches(&rule.matches), "effect": effect })
}

fn matches(matches: &Match) -> Value {
    let patterns =
        |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.to_string()).collect::<Vec<_>>();
    json!({
        "from": patterns(&matches.from),
        "envelope_from": patterns(&matches.envelope_from),
        "recipient": patterns(&matches.recipient),
        "account": matches.account,
        "network": matches.network.iter().map(|network| network.to_string()).collect::<Vec<_>>(),
        "header": matches.header,
        "list_id": matches.list_id,
        "min_recipients": matches.min_recipients,
        "max_recipients": matches.max_recipients,
    })
}
