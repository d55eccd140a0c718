//! A small world: two senders, one newsletter rule, one recipient.

use std::sync::Arc;

use super::super::*;
use super::day;
use crate::consent::{Act, ConsentEvent, ConsentEventKind, Evidence, Published, Relation};
use crate::mail::{Address, Class, Domain, Language, Purpose, ReversePath, Sender, SenderId};
use crate::suppression::{Reason, Suppression};

pub const A: &str = "1";
pub const B: &str = "2";
pub const NEWS: &str = "nieuwsbrief";
pub const OTHER: &str = "aanbiedingen";

/// What is wrong with the unsubscribe address of a world that is not healthy.
const FAULT: &str = "its certificate has run out";

#[derive(Debug, Clone)]
pub struct World {
    pub rules: Rules,
    pub connection: Connection,
    pub envelope: EnvelopeFacts,
    pub recipient: Address,
    pub message: MessageFacts,
    pub profiles: Profiles,
    pub healthy: bool,
    pub now: jiff::Timestamp,
}

impl World {
    pub fn new() -> Self {
        let senders = vec![sender(A, "A Hypotheken B.V.", &["a.test"]), sender(B, "B", &["b.test"])];
        Self {
            rules: Rules {
                senders,
                rules: vec![news_rule()],
                mode: Mode::Enforce,
                on_refused: OnRefused::Reject,
                customer_window_months: 36,
                personal_max_recipients: 5,
                personal_max_alike: 20,
                strict_texts: false,
                hash: String::new(),
            },
            connection: Connection {
                ip: "192.0.2.1".parse().unwrap(),
                account: Some("crm".into()),
                senders: vec![],
            },
            envelope: EnvelopeFacts { reverse_path: ReversePath::Address(address("bounces@a.test")) },
            recipient: address("lezer@example.org"),
            message: MessageFacts {
                from: Some(address("nieuws@a.test")),
                recipient_count: 1,
                external_recipients: 1,
                visible_external: 1,
                ..MessageFacts::default()
            },
            profiles: Profiles(vec![(id(A), Ok(Profile::default())), (id(B), Ok(Profile::default()))]),
            healthy: true,
            now: day(0),
        }
    }

    pub fn facts(&self) -> Facts<'_> {
        Facts {
            connection: &self.connection,
            envelope: &self.envelope,
            recipient: &self.recipient,
            message: Some(&self.message),
            profiles: &self.profiles,
            unsubscribe_fault: (!self.healthy).then(|| FAULT.into()),
            now: self.now,
        }
    }

    fn at_rcpt(&self) -> Facts<'_> {
        Facts { message: None, ..self.facts() }
    }

    /// Only what was asked for, as the gateway gathers it.
    fn gathered(&self, asked: &[SenderId]) -> Profiles {
        Profiles(self.profiles.0.iter().filter(|(id, _)| asked.contains(id)).cloned().collect())
    }

    pub fn evaluate(&self) -> Decision {
        let profiles = self.gathered(&senders_asked(&self.rules, &self.facts()));
        evaluate(&self.rules, &Facts { profiles: &profiles, ..self.facts() })
    }

    pub fn senders_asked_at_rcpt(&self) -> Vec<SenderId> {
        senders_asked(&self.rules, &self.at_rcpt())
    }

    pub fn screen(&self) -> Option<Decision> {
        let profiles = self.gathered(&self.senders_asked_at_rcpt());
        screen(&self.rules, &Facts { profiles: &profiles, ..self.at_rcpt() })
    }

    pub fn reconsider(&self, permit: &Permit) -> Decision {
        let waiting = Waiting {
            class: permit.class(),
            sender: permit.sender().map(|sender| &sender.id),
            purpose: permit.purpose(),
            rule: permit.rule(),
        };
        reconsider(
            &self.rules,
            &waiting,
            &self.recipient,
            &self.profiles,
            (!self.healthy).then_some(FAULT),
            self.now,
        )
    }

    /// The clause it is refused for.
    pub fn clause(&self) -> Option<Clause> {
        refused(self.evaluate())
    }

    pub fn screen_clause(&self) -> Option<Clause> {
        self.screen().and_then(refused)
    }

    pub fn permit(&self) -> Permit {
        match self.evaluate().answer {
            Answer::Forward(permit) => permit,
            answer => panic!("{answer:?}"),
        }
    }

    pub fn deferred(&self) -> String {
        match self.evaluate().answer {
            Answer::Defer(why) => why,
            answer => panic!("{answer:?}"),
        }
    }

    pub fn profile(&mut self, sender: &str) -> &mut Profile {
        let found = self.profiles.0.iter_mut().find(|(id, _)| id.0 == sender);
        found.unwrap().1.as_mut().unwrap()
    }

    pub fn unreadable(&mut self, sender: &str) {
        self.profiles.0.retain(|(id, _)| id.0 != sender);
        self.profiles.0.push((id(sender), Err(Unavailable("disk".into()))));
    }
}

pub fn refused(decision: Decision) -> Option<Clause> {
    match decision.answer {
        Answer::Refuse(refusal) => {
            assert_eq!(refusal.rule, decision.rule);
            Some(refusal.clause)
        }
        _ => None,
    }
}

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

pub fn id(text: &str) -> SenderId {
    SenderId(text.to_owned())
}

pub fn sender(number: &str, name: &str, domains: &[&str]) -> Arc<Sender> {
    Arc::new(Sender {
        id: id(number),
        name: name.into(),
        trade_names: vec![],
        kvk: "12345678".into(),
        address: "Dorpsstraat 1, 1234 AB Ons Dorp".into(),
        contact: address("info@a.test"),
        domains: domains.iter().map(|domain| Domain::parse(domain).unwrap()).collect(),
        notify: vec![],
        language: Language::Nl,
    })
}

pub fn rule(name: &str, matches: Match, effect: Effect) -> Rule {
    Rule { name: name.into(), matches, effect }
}

pub fn news_rule() -> Rule {
    let matches = Match { from: vec![pattern("nieuws@a.test")], ..Match::default() };
    rule("news", matches, marketing(None, NEWS))
}

pub fn marketing(sender: Option<Arc<Sender>>, purpose: &str) -> Effect {
    Effect::Class {
        class: Class::Marketing,
        sender,
        purpose: Some(Purpose(purpose.into())),
        similar_to: vec!["hypotheek".into()],
    }
}

pub fn class(class: Class) -> Effect {
    Effect::Class { class, sender: None, purpose: None, similar_to: vec![] }
}

pub fn allow(until: Option<jiff::Timestamp>) -> Effect {
    Effect::Allow { sender: None, reason: "contract of 2024-03-01, art. 4".into(), until }
}

pub fn consent(purpose: &str, events: Vec<ConsentEvent>) -> ConsentHistory {
    ConsentHistory { purpose: Purpose(purpose.into()), events }
}

fn event(kind: ConsentEventKind, days: i64, evidence: Evidence) -> ConsentEvent {
    ConsentEvent { kind, at: day(days), recorded_at: day(days), evidence }
}

pub fn grant(days: i64) -> ConsentEvent {
    let evidence = Evidence {
        text_sha256: Some("ab".repeat(32)),
        act: Some(Act::TickedBox),
        source: Some("https://a.test/form".into()),
        ..Evidence::default()
    };
    event(ConsentEventKind::Grant, days, evidence)
}

pub fn attested_grant(days: i64) -> ConsentEvent {
    let evidence = Evidence { attestation: Some("asked at the counter".into()), ..Evidence::default() };
    event(ConsentEventKind::Grant, days, evidence)
}

pub fn bare_grant(days: i64) -> ConsentEvent {
    event(ConsentEventKind::Grant, days, Evidence::default())
}

pub fn confirm(days: i64) -> ConsentEvent {
    event(ConsentEventKind::Confirm, days, Evidence::default())
}

pub fn withdraw(days: i64) -> ConsentEvent {
    event(ConsentEventKind::Withdraw, days, Evidence::default())
}

pub fn relation() -> Relation {
    Relation {
        product: "hypotheek".into(),
        last_purchase: day(-100),
        recorded_at: day(-99),
        opt_out_offered: true,
        given_in_sale: true,
        source: Some("order 17".into()),
    }
}

pub fn published(review_by: i64) -> Published {
    Published {
        url: "https://example.org/contact".into(),
        quote: "Nieuws over hypotheken ontvangen wij graag op inkoop@example.org".into(),
        captured_at: day(-300),
        recorded_at: day(-300),
        page_sha256: "cd".repeat(32),
        review_by: day(review_by),
    }
}

pub fn suppression(reason: Reason, days: i64) -> Suppression {
    Suppression { reason, since: day(days), source: "one_click".into() }
}
