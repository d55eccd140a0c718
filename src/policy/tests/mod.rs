//! The law, number by number; what holds for any rules and facts is in `properties`.

mod personal;
mod properties;
mod visible;
mod world;

use jiff::Timestamp;

use super::*;
use crate::consent::RelationGap;
use crate::mail::{Class, Purpose, ReversePath};
use crate::suppression::{DeliveryBlock, Reason};
use world::*;

#[test]
fn l1_marketing_needs_a_basis_for_this_sender_and_purpose() {
    let mut world = World::new();
    assert_eq!(world.clause(), Some(Clause::NoBasis));
    world.profile(A).consents = vec![consent(OTHER, vec![grant(-1)])];
    assert_eq!(world.clause(), Some(Clause::NoBasis), "another purpose");
    world.profile(B).consents = vec![consent(NEWS, vec![grant(-1)])];
    assert_eq!(world.clause(), Some(Clause::NoBasis), "another sender");
    world.profile(A).consents.push(consent(NEWS, vec![grant(-1)]));
    let permit = world.permit();
    assert!(matches!(permit.basis(), Basis::Consent { source: Some(_), text_sha256: Some(_), .. }));
    assert_eq!(permit.sender().map(|sender| &sender.id), Some(&id(A)));
    assert_eq!(permit.purpose(), Some(&Purpose(NEWS.into())));
    assert_eq!((permit.rule(), permit.class()), (Some("news"), Class::Marketing));
    assert_eq!(permit.recipient(), &world.recipient);
    assert_eq!(permit.observed(), None);
}

#[test]
fn l1_a_grant_after_the_send_does_not_count() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(1)])];
    assert_eq!(world.clause(), Some(Clause::NoBasis));
}

#[test]
fn l1_what_no_rule_matches_is_marketing_that_nobody_can_have_consented_to() {
    let mut world = World::new();
    world.rules.rules.clear();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    let decision = world.evaluate();
    assert_eq!((decision.class, decision.rule.as_deref()), (Class::Marketing, None));
    assert_eq!(world.clause(), Some(Clause::NoPurpose));
    assert_eq!(world.screen_clause(), Some(Clause::NoPurpose), "and no message could change that");
}

#[test]
fn l2_an_address_without_evidence_is_no_basis_and_an_attested_one_is() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![bare_grant(-1)])];
    assert_eq!(world.clause(), Some(Clause::GradeTooLow));
    world.profile(A).consents = vec![consent(NEWS, vec![attested_grant(-1)])];
    assert!(matches!(world.permit().basis(), Basis::Consent { grade: crate::consent::Grade::C, .. }));
}

#[test]
fn l3_a_withdrawal_is_named_and_stands_in_the_way_of_a_customer_relation_too() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-9), withdraw(-2)])];
    world.profile(A).relations = vec![relation()];
    assert_eq!(world.clause(), Some(Clause::Withdrawn { since: day(-2) }));
    world.profile(A).consents[0].events.push(grant(-1));
    assert!(matches!(world.permit().basis(), Basis::Consent { .. }));
}

#[test]
fn l4_a_customer_relation_counts_only_if_every_clause_holds() {
    let mut world = World::new();
    world.profile(A).relations = vec![relation()];
    assert!(matches!(world.permit().basis(), Basis::Customer { .. }));
    let failing = |change: fn(&mut crate::consent::Relation)| {
        let mut relation = relation();
        change(&mut relation);
        relation
    };
    for (relation, gap) in [
        (failing(|r| r.given_in_sale = false), RelationGap::NotInSale),
        (failing(|r| r.opt_out_offered = false), RelationGap::NoOptOutOffered),
        (failing(|r| r.product = "fiets".into()), RelationGap::NotSimilar),
        (failing(|r| r.last_purchase = day(-1200)), RelationGap::TooLongAgo),
        (failing(|r| r.last_purchase = day(1)), RelationGap::Future),
    ] {
        world.profile(A).relations = vec![relation];
        assert_eq!(world.clause(), Some(Clause::Relation { gap }));
    }
    world.profile(A).relations =
        vec![failing(|r| r.given_in_sale = false), failing(|r| r.last_purchase = day(-1200))];
    let nearest = Clause::Relation { gap: RelationGap::TooLongAgo };
    assert_eq!(world.clause(), Some(nearest), "the one nearest to a basis is told");
    world.profile(A).relations.push(relation());
    assert!(matches!(world.permit().basis(), Basis::Customer { .. }));
    world.rules.customer_window_months = 1;
    world.profile(A).relations = vec![failing(|r| r.last_purchase = day(-40))];
    assert_eq!(world.clause(), Some(Clause::Relation { gap: RelationGap::TooLongAgo }));
}

#[test]
fn l5_a_published_address_counts_for_its_purpose_until_its_review() {
    let mut world = World::new();
    world.profile(A).published = vec![(Purpose(OTHER.into()), published(30))];
    assert_eq!(world.clause(), Some(Clause::NoBasis));
    world.profile(A).published.push((Purpose(NEWS.into()), published(30)));
    assert!(matches!(world.permit().basis(), Basis::Published { .. }));
    world.profile(A).published[1].1 = published(-1);
    assert_eq!(world.clause(), Some(Clause::Published { gap: crate::consent::PublishedGap::Overdue }));
}

#[test]
fn the_best_basis_is_the_one_recorded() {
    let mut world = World::new();
    world.profile(A).published = vec![(Purpose(NEWS.into()), published(30))];
    world.profile(A).consents = vec![consent(NEWS, vec![attested_grant(-1)])];
    assert!(matches!(world.permit().basis(), Basis::Consent { .. }));
    world.profile(A).relations = vec![relation()];
    assert!(matches!(world.permit().basis(), Basis::Customer { .. }));
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    assert!(matches!(world.permit().basis(), Basis::Consent { .. }));
}

#[test]
fn l6_auto_submitted_is_no_way_round() {
    let mut world = World::new();
    world.rules.rules.clear();
    world.message.automatic = true;
    assert_eq!(world.clause(), Some(Clause::NoPurpose), "a header alone");
    world.envelope.reverse_path = ReversePath::Null;
    assert_eq!(world.clause(), Some(Clause::NoPurpose), "neither a report nor an answer");
    for (name, value) in [("in-reply-to", "<1@x>"), ("content-type", "Multipart/Report; report-type=x")] {
        world.message.headers = vec![(name.into(), value.into())];
        assert_eq!(world.permit().class(), Class::System, "as real bounces and auto-replies come");
        world.message.headers.push(("list-unsubscribe".into(), "<https://x.test/>".into()));
        assert_eq!(world.clause(), Some(Clause::NoPurpose), "no bounce comes from a list");
        world.message.headers.pop();
    }
    world.message.recipient_count = 2;
    assert_eq!(world.clause(), Some(Clause::NoPurpose), "those go to one recipient");
    world.message.recipient_count = 1;
    world.message.automatic = false;
    assert_eq!(world.clause(), Some(Clause::NoPurpose), "the null path alone");
    let mut world = World::new();
    world.message.automatic = true;
    world.envelope.reverse_path = ReversePath::Null;
    assert_eq!(world.clause(), Some(Clause::NoBasis), "a rule that calls it marketing stands");
}

#[test]
fn l7_marketing_needs_a_sender_that_owns_the_from_domain() {
    let mut world = World::new();
    world.rules.rules = vec![rule("any", Match::default(), marketing(None, NEWS))];
    for from in [Some("nieuws@stranger.test"), None] {
        world.message.from = from.map(address);
        assert_eq!(world.clause(), Some(Clause::UnknownSender), "{from:?}");
    }
    world.message.from = Some(address("nieuws@sub.a.test"));
    assert_eq!(world.clause(), Some(Clause::NoBasis), "below a domain of its own");
}

#[test]
fn l7_the_nearest_owner_of_a_domain_is_its_owner() {
    let mut world = World::new();
    let shop = sender("9", "Shop", &["shop.a.test"]);
    world.rules.senders.push(shop);
    let owner = |domain: &str| {
        let domain = crate::mail::Domain::parse(domain).unwrap();
        world.rules.owner_of(&domain).map(|sender| sender.id.0.clone())
    };
    assert_eq!(owner("a.test").as_deref(), Some(A));
    assert_eq!(owner("mail.shop.a.test").as_deref(), Some("9"));
    assert_eq!(owner("workshop.a.test").as_deref(), Some(A));
    assert_eq!(owner("nota.test"), None);
}

#[test]
fn l8_without_a_way_out_marketing_waits() {
    let mut world = World::new();
    world.healthy = false;
    assert_eq!(world.clause(), Some(Clause::NoBasis), "what may not go at all is refused");
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    assert!(world.deferred().contains("unsubscribe"));
    assert!(world.screen().is_none(), "a message that is no newsletter would be refused");
    world.rules.rules = vec![only_news(&world)];
    assert!(matches!(world.screen().unwrap().answer, Answer::Defer(_)), "already at RCPT");
    world.rules.rules = vec![rule("all", Match::default(), class(Class::Service))];
    assert_eq!(world.permit().class(), Class::Service);
}

#[test]
fn l14_recipients_of_marketing_do_not_see_each_other() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    world.message.visible_external = 1;
    world.permit();
    world.message.visible_external = 2;
    assert_eq!(world.clause(), Some(Clause::VisibleRecipients { count: 2 }));
    world.rules.rules = vec![rule("all", Match::default(), class(Class::Personal))];
    world.permit();
}

#[test]
fn l15_a_bound_account_sends_for_its_own_senders_only() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    world.connection.senders = vec![id(A)];
    world.permit();
    world.connection.senders = vec![id(B)];
    assert_eq!(world.clause(), Some(Clause::NotYourSender));
    assert_eq!(world.screen_clause(), Some(Clause::NotYourSender));
    world.rules.rules = vec![rule("people", Match::default(), class(Class::Personal))];
    assert_eq!(world.clause(), Some(Clause::NotYourSender), "whatever the class");
    world.message.from = Some(address("ceo@stranger.test"));
    assert_eq!(world.clause(), Some(Clause::NotYourSender), "nor for a name that is nobody's");
    world.rules.rules = vec![rule("bounces", Match::default(), class(Class::System))];
    world.permit();
}

#[test]
fn l15_a_bound_account_writes_as_nobody_else_whatever_sender_the_rule_names() {
    let mut world = World::new();
    let named = Some(world.rules.senders[0].clone());
    world.connection.senders = vec![id(A)];
    for class in [Class::Service, Class::Personal] {
        let effect = Effect::Class { class, sender: named.clone(), purpose: None, similar_to: vec![] };
        world.rules.rules = vec![rule("invoices", Match::default(), effect)];
        world.message.from = Some(address("ceo@b.test"));
        assert_eq!(world.clause(), Some(Clause::NotYourSender), "{class}");
        world.message.from = Some(address("ceo@a.test"));
        world.permit();
        world.message.from = Some(address("desk@stranger.test"));
        world.permit();
    }
}

#[test]
fn l16_suppression_stands_above_every_basis() {
    let mut world = World::new();
    let profile = world.profile(A);
    profile.consents = vec![consent(NEWS, vec![grant(-9), confirm(-8)])];
    profile.relations = vec![relation()];
    profile.published = vec![(Purpose(NEWS.into()), published(30))];
    for reason in [Reason::Unsubscribed, Reason::Complaint, Reason::Objection, Reason::Manual] {
        world.profile(A).suppressions = vec![suppression(reason, -5)];
        let suppressed = Some(Clause::Suppressed { reason, since: day(-5) });
        world.rules.rules = vec![news_rule()];
        assert_eq!(world.clause(), suppressed);
        assert_eq!(world.screen_clause(), suppressed, "already at RCPT");
        world.rules.rules = vec![rule("desk", Match::default(), allow(None))];
        assert_eq!(world.clause(), suppressed, "above an allow-rule too");
    }
}

#[test]
fn l16_only_a_newer_grade_a_grant_lifts_an_unsubscribe_and_for_its_purpose_only() {
    let mut world = World::new();
    world.profile(A).suppressions = vec![suppression(Reason::Unsubscribed, -5)];
    let suppressed = Some(Clause::Suppressed { reason: Reason::Unsubscribed, since: day(-5) });
    for events in [vec![grant(-4)], vec![grant(-6), confirm(-4)], vec![attested_grant(-4), confirm(-3)]] {
        world.profile(A).consents = vec![consent(NEWS, events)];
        assert_eq!(world.clause(), suppressed);
    }
    world.profile(A).consents = vec![consent(OTHER, vec![grant(-4), confirm(-3)])];
    assert_eq!(world.clause(), suppressed, "for another purpose");
    world.profile(A).consents.push(consent(NEWS, vec![grant(-4), confirm(-3)]));
    world.permit();
    world.profile(A).suppressions.push(suppression(Reason::Complaint, -9));
    assert_eq!(world.clause(), Some(Clause::Suppressed { reason: Reason::Complaint, since: day(-9) }));
}

#[test]
fn l17_rules_see_one_form_of_a_mailbox() {
    let mut world = World::new();
    let refuse = Effect::Refuse { reason: "not him".into() };
    let recipient = Match { recipient: vec![pattern("bob@x.test")], ..Match::default() };
    world.rules.rules =
        vec![rule("bob", recipient, refuse), rule("rest", Match::default(), class(Class::Service))];
    for spelling in ["bob@x.test", "BOB@X.TEST", "\"bob\"@x.test", "\"b\\ob\"@x.test"] {
        world.recipient = address(spelling);
        assert_eq!(world.clause(), Some(Clause::Rule { reason: "not him".into() }), "{spelling}");
    }
    for other in ["b.ob@x.test", "bob+news@x.test"] {
        world.recipient = address(other);
        world.permit();
    }
}

#[test]
fn l20_service_mail_is_stopped_by_nothing_in_the_register() {
    let mut world = World::new();
    world.rules.rules = vec![rule("invoices", Match::default(), class(Class::Service))];
    let profile = world.profile(A);
    profile.suppressions = vec![suppression(Reason::Unsubscribed, -5), suppression(Reason::Complaint, -5)];
    profile.block = Some(DeliveryBlock { since: day(-5), reply: "550 5.1.1 unknown".into() });
    world.healthy = false;
    assert!(matches!(world.permit().basis(), Basis::NotNeeded));
    world.unreadable(A);
    world.permit();
}

#[test]
fn p14_a_mailbox_that_does_not_work_gets_no_marketing() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    world.profile(A).block = Some(DeliveryBlock { since: day(-5), reply: "550 5.1.1 unknown".into() });
    assert_eq!(world.clause(), Some(Clause::Blocked));
}

#[test]
fn promise_5_a_register_that_cannot_be_read_defers_marketing() {
    let mut world = World::new();
    world.unreadable(A);
    assert!(world.deferred().contains("disk"));
    let mut only = world.clone();
    only.rules.rules = vec![only_news(&world)];
    assert!(matches!(only.screen().unwrap().answer, Answer::Defer(_)));
    world.rules.mode = Mode::Observe;
    assert!(world.deferred().contains("disk"), "under observe too: it is no decision");
    world.rules.mode = Mode::Enforce;
    world.profiles.0.clear();
    assert!(world.deferred().contains("not asked"), "a profile nobody gathered is not an empty one");
    world.rules.rules = vec![rule("desk", Match::default(), allow(None))];
    assert!(world.deferred().contains("not asked"), "nor is it under an allow-rule");
}

#[test]
fn promise_6_a_waiting_copy_is_refused_after_an_unsubscribe() {
    let mut world = World::new();
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-9)])];
    let permit = world.permit();
    let again = |world: &World| world.reconsider(&permit);
    assert!(matches!(again(&world).answer, Answer::Forward(_)));
    world.profile(A).suppressions = vec![suppression(Reason::Unsubscribed, 0)];
    let suppressed = Clause::Suppressed { reason: Reason::Unsubscribed, since: day(0) };
    assert_eq!(refused(again(&world)), Some(suppressed));
    world.profile(A).suppressions.clear();
    world.profile(A).consents[0].events.push(withdraw(0));
    assert_eq!(refused(again(&world)), Some(Clause::Withdrawn { since: day(0) }));
    world.profile(A).consents[0].events.pop();
    world.healthy = false;
    assert!(matches!(again(&world).answer, Answer::Defer(_)));
    world.unreadable(A);
    assert!(matches!(again(&world).answer, Answer::Defer(_)));
}

#[test]
fn promise_6_a_waiting_copy_follows_the_rules_in_force() {
    let mut world = World::new();
    world.profile(A).relations = vec![relation()];
    let permit = world.permit();
    world.rules.rules[0].effect = Effect::Refuse { reason: "campaign stopped".into() };
    assert_eq!(refused(world.reconsider(&permit)), Some(Clause::Rule { reason: "campaign stopped".into() }));
    world.rules.rules.clear();
    let Answer::Defer(why) = world.reconsider(&permit).answer else { panic!("a lost rule decides nothing") };
    assert!(why.contains("news"), "{why}");
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-9)])];
    assert!(matches!(world.reconsider(&permit).answer, Answer::Forward(_)), "a consent needs no rule");
    world.rules.senders.clear();
    assert_eq!(refused(world.reconsider(&permit)), Some(Clause::UnknownSender));
}

#[test]
fn promise_6_waiting_service_mail_is_left_alone() {
    let mut world = World::new();
    world.rules.rules = vec![rule("all", Match::default(), class(Class::Service))];
    let permit = world.permit();
    world.unreadable(A);
    world.rules.rules = vec![rule("all", Match::default(), Effect::Refuse { reason: "new".into() })];
    assert!(matches!(world.reconsider(&permit).answer, Answer::Forward(_)));
}

#[test]
fn an_allow_rule_lets_go_until_its_last_moment() {
    let mut world = World::new();
    world.rules.rules = vec![rule("desk", Match::default(), allow(Some(day(0))))];
    assert!(matches!(world.permit().basis(), Basis::Allowed { rule, .. } if rule == "desk"));
    world.now = day(0) + jiff::SignedDuration::from_nanos(1);
    assert_eq!(world.clause(), Some(Clause::AllowEnded { until: day(0) }));
}

#[test]
fn observe_decides_everything_and_blocks_nothing() {
    let mut world = World::new();
    world.rules.mode = Mode::Observe;
    assert!(world.screen().is_none());
    let permit = world.permit();
    assert_eq!(permit.observed().map(|refusal| &refusal.clause), Some(&Clause::NoBasis));
    assert_eq!(permit.basis(), &Basis::Missing);
    world.profile(A).consents = vec![consent(NEWS, vec![grant(-1)])];
    assert_eq!(world.permit().observed(), None);
    world.healthy = false;
    let permit = world.permit();
    assert!(matches!(permit.observed().map(|r| &r.clause), Some(Clause::Undecided { .. })));
    assert!(matches!(permit.basis(), Basis::Consent { .. }));
    world.connection.senders = vec![id(B)];
    assert_eq!(world.permit().observed().map(|r| &r.clause), Some(&Clause::NotYourSender));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut world = World::new();
    let no = |name: &str, matches: Match| rule(name, matches, Effect::Refuse { reason: name.into() });
    let network = |text: &str| vec![text.parse().unwrap()];
    world.connection.ip = "::ffff:192.0.2.7".parse().unwrap();
    world.message.headers =
        vec![("x-mailer".into(), "  Mail Tool 7.1".into()), ("precedence".into(), "bulk".into())];
    world.message.list_id = Some("news.a.test".into());
    world.message.recipient_count = 3;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let matching = [
        Match::default(),
        Match { from: vec![pattern("x@y.test"), pattern("*@a.test")], ..Match::default() },
        Match { envelope_from: vec![pattern("bounce*@a.test")], ..Match::default() },
        Match { account: vec!["crm".into()], ..Match::default() },
        Match { network: network("192.0.2.0/24"), ..Match::default() },
        Match { header: vec![header("X-Mailer", "mail TOOL*")], ..Match::default() },
        Match { header: vec![header("x-mailer", "no"), header("x-mailer", "*7.1")], ..Match::default() },
        Match { list_id: vec!["NEWS.a.test".into()], ..Match::default() },
        Match { min_recipients: Some(3), max_recipients: Some(3), ..Match::default() },
    ];
    for matches in matching {
        world.rules.rules = vec![no("first", matches.clone()), no("second", Match::default())];
        assert_eq!(world.evaluate().rule.as_deref(), Some("first"), "{matches:?}");
    }
    let others = [
        Match { from: vec![pattern("*@b.test")], ..Match::default() },
        Match { envelope_from: vec![pattern("<>")], ..Match::default() },
        Match { account: vec!["CRM".into()], ..Match::default() },
        Match { network: network("198.51.100.0/24"), ..Match::default() },
        Match { header: vec![header("x-mailer", "mail tool")], ..Match::default() },
        Match { header: vec![header("x-mailer", "*"), header("precedence", "list")], ..Match::default() },
        Match { list_id: vec!["a.test".into()], ..Match::default() },
        Match { min_recipients: Some(4), ..Match::default() },
        Match { max_recipients: Some(2), ..Match::default() },
        Match { account: vec!["crm".into()], from: vec![pattern("*@b.test")], ..Match::default() },
    ];
    for matches in others {
        world.rules.rules = vec![no("first", matches.clone()), no("second", Match::default())];
        assert_eq!(world.evaluate().rule.as_deref(), Some("second"), "{matches:?}");
    }
    world.envelope.reverse_path = ReversePath::Null;
    let null = Match { envelope_from: vec![pattern("<>")], ..Match::default() };
    world.rules.rules = vec![no("null", null), no("second", Match::default())];
    assert_eq!(world.evaluate().rule.as_deref(), Some("null"));
}

#[test]
fn rcpt_is_answered_when_no_message_could_change_the_answer() {
    let mut world = World::new();
    // A newsletter known by its From header: whatever else the message is, nothing lets it go.
    let Some(Decision { answer: Answer::Refuse(refusal), .. }) = world.screen() else { panic!("refused") };
    assert_eq!(
        refusal.text(&world.recipient),
        "<lezer@example.org> no consent or customer relation on record for A Hypotheken B.V. (\"nieuwsbrief\")"
    );
    // Its own mailbox may also send invoices: that depends on the message.
    world.rules.rules.push(rule(
        "invoices",
        Match { from: vec![pattern("facturen@a.test")], ..Match::default() },
        class(Class::Service),
    ));
    assert_eq!(world.screen_clause(), None);
    // Not for an account that only the newsletter rule is open to.
    world.rules.rules[1].matches.account = vec!["shop".into()];
    assert_eq!(world.screen_clause(), Some(Clause::NoBasis));
    // A bounce may come from the null path.
    world.envelope.reverse_path = ReversePath::Null;
    assert_eq!(world.screen_clause(), None);
}

#[test]
fn rcpt_names_nothing_that_the_message_may_turn_out_not_to_be() {
    let mut world = World::new();
    world.rules.rules = vec![rule("any", Match::default(), marketing(None, NEWS))];
    let decision = world.screen().unwrap();
    let Answer::Refuse(refusal) = decision.answer else { panic!("{decision:?}") };
    assert_eq!((refusal.clause, refusal.sender), (Clause::NoBasis, None));
    assert_eq!(refusal.purpose, Some(Purpose(NEWS.into())));
    assert_eq!(refusal.rule.as_deref(), Some("any"));
    // With consent for one of the senders it may be, it waits.
    world.profile(B).consents = vec![consent(NEWS, vec![grant(-1)])];
    assert!(world.screen().is_none());
    assert_eq!(world.clause(), Some(Clause::NoBasis), "the message turned out to be from the other");
}

#[test]
fn a_gateway_for_very_many_senders_reads_no_register_of_profiles_at_rcpt() {
    let mut world = World::new();
    world.rules.rules = vec![rule("any", Match::default(), marketing(None, NEWS))];
    for number in 0..100 {
        world.rules.senders.push(sender(&format!("n{number}"), "N", &[&format!("n{number}.test")]));
    }
    assert_eq!(world.senders_asked_at_rcpt(), vec![]);
    assert!(world.screen().is_none());
    world.connection.senders = vec![id(A)];
    assert_eq!(world.senders_asked_at_rcpt(), vec![id(A)], "those of a bound account are few");
    assert_eq!(world.screen_clause(), Some(Clause::NoBasis));
}

#[test]
fn a_permit_of_the_gateways_own() {
    let permit = system(address("beheer@a.test"), None);
    assert_eq!((permit.class(), permit.basis()), (Class::System, &Basis::NotNeeded));
}

#[test]
fn without_a_message_nothing_is_forwarded() {
    let world = World::new();
    let decision = evaluate(&world.rules, &Facts { message: None, ..world.facts() });
    assert!(matches!(decision.answer, Answer::Refuse(_)));
    let open = World {
        rules: Rules { rules: vec![rule("s", Match::default(), class(Class::Service))], ..world.rules },
        ..World::new()
    };
    let decision = evaluate(&open.rules, &Facts { message: None, ..open.facts() });
    assert!(matches!(decision.answer, Answer::Defer(_)));
}

#[test]
fn a_refusal_in_the_ledger_reads_back() {
    let refusal = Refusal {
        clause: Clause::Relation { gap: RelationGap::TooLongAgo },
        rule: Some("news".into()),
        sender: Some("A".into()),
        purpose: Some(Purpose(NEWS.into())),
    };
    let json = serde_json::to_value(&refusal).unwrap();
    assert_eq!(json["clause"], "relation");
    assert_eq!(json["gap"], "too_long_ago");
    assert_eq!(serde_json::from_value::<Refusal>(json).unwrap(), refusal);
    let rule = Refusal { clause: Clause::Rule { reason: "no".into() }, ..refusal };
    let json = serde_json::to_value(&rule).unwrap();
    assert_eq!(
        (&json["clause"], &json["rule"], &json["reason"]),
        (&"rule".into(), &"news".into(), &"no".into())
    );
    assert_eq!(serde_json::from_value::<Refusal>(json).unwrap(), rule);
}

/// Whatever comes is the newsletter of A.
fn only_news(world: &World) -> Rule {
    rule("all", Match::default(), marketing(Some(world.rules.senders[0].clone()), NEWS))
}

/// The moment of every decision here, and days around it.
pub(super) fn day(days: i64) -> Timestamp {
    Timestamp::constant(1_720_000_000 + days * 86_400, 0)
}
