//! What holds for any rules, any facts and any message.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use super::day;
use super::world::*;
use crate::consent::{ConsentEvent, Relation};
use crate::mail::{Class, Purpose, ReversePath};
use crate::suppression::{DeliveryBlock, Reason, Suppression};

fn patterns(all: &'static [&'static str]) -> impl Strategy<Value = Vec<Pattern>> {
    // Mostly no condition: rules that never match prove little.
    prop_oneof![3 => Just(vec![]), 1 => vec(select(all).prop_map(pattern), 1..3)]
}

fn any_match() -> impl Strategy<Value = Match> {
    let account =
        prop_oneof![6 => Just(vec![]), 1 => select(&["crm", "shop"][..]).prop_map(|a| vec![a.to_owned()])];
    let header = prop_oneof![6 => Just(vec![]), 1 => Just(vec![("x-kind".to_owned(), "bu*".to_owned())])];
    let list_id = prop_oneof![6 => Just(vec![]), 1 => Just(vec!["news.a.test".to_owned()])];
    (
        patterns(&["nieuws@a.test", "*@a.test", "*@b.test", "*@*.test", "*", "*@c.test"]),
        patterns(&["<>", "*@a.test", "*@b.test", "*"]),
        patterns(&["lezer@example.org", "*@example.org", "*@elders.test"]),
        account,
        header,
        list_id,
        option::weighted(0.1, 1usize..4),
        option::weighted(0.1, 1usize..4),
    )
        .prop_map(|(from, envelope_from, recipient, account, header, list_id, min, max)| Match {
            from,
            envelope_from,
            recipient,
            account,
            network: vec![],
            header,
            list_id,
            min_recipients: min,
            max_recipients: max,
        })
}

fn any_effect() -> impl Strategy<Value = Effect> {
    let named = option::weighted(0.4, select(&[0usize, 1][..]));
    let named = named.prop_map(|index| index.map(|index| World::new().rules.senders[index].clone()));
    let purpose = option::weighted(0.8, select(&[NEWS, OTHER][..]));
    let classes = select(
        &[
            Class::Marketing,
            Class::Marketing,
            Class::Marketing,
            Class::Service,
            Class::Personal,
            Class::System,
        ][..],
    );
    let until = option::of(select(&[-1i64, 1][..]));
    prop_oneof![
        6 => (classes, named.clone(), purpose, any::<bool>()).prop_map(|(class, sender, purpose, similar)| {
            Effect::Class {
                class,
                sender,
                purpose: purpose.map(|purpose| Purpose(purpose.into())),
                similar_to: if similar { vec!["hypotheek".into()] } else { vec![] },
            }
        }),
        1 => (named, until).prop_map(|(sender, until)| Effect::Allow {
            sender,
            reason: "contract".into(),
            until: until.map(day),
        }),
        1 => Just(Effect::Refuse { reason: "no".into() }),
    ]
}

fn any_event() -> impl Strategy<Value = ConsentEvent> {
    let make =
        select(&[grant, attested_grant, bare_grant, confirm, withdraw][..] as &[fn(i64) -> ConsentEvent]);
    (make, -9i64..2).prop_map(|(make, days)| make(days))
}

fn any_relation() -> impl Strategy<Value = Relation> {
    let product = select(&["hypotheek", "hypotheek", "fiets"][..]);
    (product, select(&[-2000i64, -100, -1, 1][..]), any::<bool>(), any::<bool>()).prop_map(
        |(product, days, offered, in_sale)| Relation {
            product: product.into(),
            last_purchase: day(days),
            recorded_at: day(days),
            opt_out_offered: offered,
            given_in_sale: in_sale,
            source: None,
        },
    )
}

fn any_suppression() -> impl Strategy<Value = Suppression> {
    let reason = select(
        &[Reason::Unsubscribed, Reason::Unsubscribed, Reason::Complaint, Reason::Objection, Reason::Manual][..],
    );
    (reason, -9i64..1).prop_map(|(reason, days)| suppression(reason, days))
}

fn any_profile() -> impl Strategy<Value = Result<Profile, Unavailable>> {
    let consents = vec((select(&[NEWS, OTHER][..]), vec(any_event(), 1..5)), 0..4);
    let published = vec((select(&[NEWS, OTHER][..]), select(&[-1i64, 30][..])), 0..2);
    let profile = (
        consents,
        vec(any_relation(), 0..2),
        published,
        prop_oneof![3 => Just(vec![]), 1 => vec(any_suppression(), 1..3)],
        option::weighted(0.1, Just(DeliveryBlock { since: day(-1), reply: "550".into() })),
    )
        .prop_map(|(mut consents, relations, published, suppressions, block)| {
            consents.dedup_by_key(|(purpose, _)| *purpose);
            Profile {
                consents: consents.into_iter().map(|(purpose, events)| consent(purpose, events)).collect(),
                relations,
                published: published
                    .into_iter()
                    .map(|(p, days)| (Purpose(p.into()), super::published(days)))
                    .collect(),
                suppressions,
                block,
                recorded: Vec::new(),
            }
        });
    prop_oneof![9 => profile.prop_map(Ok), 1 => Just(Err(Unavailable("disk".into())))]
}

fn any_message() -> impl Strategy<Value = MessageFacts> {
    let from = option::weighted(
        0.9,
        select(&["nieuws@a.test", "nieuws@a.test", "jan@a.test", "x@b.test", "y@sub.b.test", "z@c.test"][..]),
    );
    let alike = select(&[0usize, 0, 20, 21][..]);
    (from, any::<bool>(), any::<bool>(), 1usize..9, select(&[0usize, 1, 1, 2][..]), any::<bool>(), alike)
        .prop_map(|(from, bulk, listed, count, visible, automatic, alike)| MessageFacts {
            from: from.map(address),
            from_name: None,
            list_id: listed.then(|| "news.a.test".to_owned()),
            headers: if bulk { vec![("x-kind".into(), "Bulk".into())] } else { vec![] },
            recipient_count: count,
            external_recipients: count,
            visible_external: visible,
            automatic,
            alike,
        })
}

/// Senders that an account is bound to.
const BOUND: &[&[&str]] = &[&[], &[], &[], &[], &[A], &[B], &[A, B]];

fn any_world() -> impl Strategy<Value = World> {
    let senders = select(BOUND);
    let path = select(&["", "bounces@a.test", "x@b.test", "y@c.test"][..]);
    (
        vec((any_match(), any_effect()), 0..5),
        senders,
        select(&["crm", "shop", ""][..]),
        path,
        any_message(),
        (any_profile(), any_profile()),
        proptest::bool::weighted(0.85),
    )
        .prop_map(|(rules, bound, account, path, message, (a, b), healthy)| {
            let mut world = World::new();
            let numbered = rules.into_iter().enumerate();
            world.rules.rules =
                numbered.map(|(n, (matches, effect))| rule(&format!("rule {n}"), matches, effect)).collect();
            world.connection.senders = bound.iter().map(|number| id(number)).collect();
            world.connection.account = (!account.is_empty()).then(|| account.to_owned());
            world.envelope.reverse_path = match path {
                "" => ReversePath::Null,
                path => ReversePath::Address(address(path)),
            };
            world.message = message;
            world.profiles = Profiles(vec![(id(A), a), (id(B), b)]);
            world.healthy = healthy;
            world
        })
}

fn goes(decision: &Decision) -> bool {
    matches!(decision.answer, Answer::Forward(_))
}

/// Do something to every profile that can be read.
fn each_profile(world: &mut World, change: impl Fn(&mut Profile)) {
    for (_, profile) in &mut world.profiles.0 {
        if let Ok(profile) = profile {
            change(profile);
        }
    }
}

proptest! {
    /// What RCPT refuses, no message could have got through.
    #[test]
    fn what_is_screened_out_no_message_gets_through(
        world in any_world(),
        messages in vec(any_message(), 1..12),
    ) {
        let Some(screened) = world.screen() else { return Ok(()) };
        prop_assert!(!goes(&screened));
        for message in messages {
            let decision = World { message, ..world.clone() }.evaluate();
            prop_assert!(!goes(&decision), "{screened:?}\n{decision:?}");
            if matches!(screened.answer, Answer::Refuse(_)) {
                prop_assert!(matches!(decision.answer, Answer::Refuse(_)), "{screened:?}\n{decision:?}");
            }
        }
    }

    /// The profiles that were asked for are all that a decision looks at.
    #[test]
    fn what_was_not_asked_for_changes_nothing(world in any_world()) {
        let gathered = world.evaluate();
        let all = evaluate(&world.rules, &world.facts());
        prop_assert_eq!(format!("{gathered:?}"), format!("{all:?}"));
    }

    #[test]
    fn same_facts_same_decision(world in any_world()) {
        prop_assert_eq!(format!("{:?}", world.evaluate()), format!("{:?}", world.clone().evaluate()));
        prop_assert_eq!(format!("{:?}", world.screen()), format!("{:?}", world.clone().screen()));
    }

    #[test]
    fn l16_adding_a_suppression_never_turns_refuse_into_forward(
        world in any_world(),
        added in any_suppression(),
    ) {
        let before = world.evaluate();
        let mut after = world;
        each_profile(&mut after, |profile| profile.suppressions.push(added.clone()));
        let after = after.evaluate();
        prop_assert!(goes(&before) || !goes(&after), "{before:?}\n{after:?}");
        let Answer::Forward(permit) = &after.answer else { return Ok(()) };
        if permit.class() == Class::Marketing {
            prop_assert_eq!(added.reason, Reason::Unsubscribed, "only an unsubscribe can be lifted");
        }
    }

    #[test]
    fn l1_adding_evidence_never_turns_forward_into_refuse(
        world in any_world(),
        purpose in select(&[NEWS, OTHER][..]),
        event in any_event(),
        relation in any_relation(),
        review in select(&[-1i64, 30][..]),
    ) {
        if event.kind == crate::consent::ConsentEventKind::Withdraw {
            return Ok(());
        }
        let before = world.evaluate();
        let mut after = world;
        each_profile(&mut after, |profile| {
            match profile.consents.iter_mut().find(|history| history.purpose.0 == purpose) {
                Some(history) => history.events.push(event.clone()),
                None => profile.consents.push(consent(purpose, vec![event.clone()])),
            }
            profile.relations.push(relation.clone());
            profile.published.push((Purpose(purpose.into()), published(review)));
        });
        let after = after.evaluate();
        prop_assert!(!goes(&before) || goes(&after), "{before:?}\n{after:?}");
    }

    /// Marketing goes only with a basis, to whom nobody suppressed, while there is a way out.
    #[test]
    fn l1_no_marketing_goes_without_a_basis(world in any_world()) {
        let decision = world.evaluate();
        let Answer::Forward(permit) = &decision.answer else { return Ok(()) };
        prop_assert_eq!(permit.class(), decision.class);
        if permit.class() == Class::Marketing {
            prop_assert!(!matches!(permit.basis(), Basis::NotNeeded | Basis::Missing));
            prop_assert!(permit.sender().is_some() && world.healthy);
            prop_assert!(world.message.visible_external <= 1);
        } else {
            prop_assert_eq!(permit.basis(), &Basis::NotNeeded);
        }
    }

    #[test]
    fn l20_the_register_has_no_say_in_service_mail(world in any_world(), other in any_profile()) {
        let before = world.evaluate();
        if before.class == Class::Marketing {
            return Ok(());
        }
        let mut after = world;
        after.profiles = Profiles(vec![(id(A), other.clone()), (id(B), other)]);
        after.healthy = !after.healthy;
        prop_assert_eq!(format!("{before:?}"), format!("{:?}", after.evaluate()));
    }

    /// Observe says what enforcement would, and lets go whatever can be decided.
    #[test]
    fn observe_tells_what_enforcement_would_have_done(world in any_world()) {
        let enforced = world.evaluate();
        let mut observing = world;
        observing.rules.mode = Mode::Observe;
        prop_assert!(observing.screen().is_none());
        match (enforced.answer, observing.evaluate().answer) {
            (Answer::Forward(_), Answer::Forward(permit)) => prop_assert_eq!(permit.observed(), None),
            (Answer::Refuse(refusal), Answer::Forward(permit)) => {
                prop_assert_eq!(permit.observed(), Some(&refusal));
            }
            (Answer::Defer(why), Answer::Forward(permit)) => {
                prop_assert_eq!(permit.observed().map(|r| &r.clause), Some(&Clause::Undecided { why }));
            }
            (Answer::Defer(why), Answer::Defer(again)) => prop_assert_eq!(why, again),
            (enforced, observed) => prop_assert!(false, "{enforced:?}\n{observed:?}"),
        }
    }

    /// A copy that may go may still go when nothing happened, and may not once a suppression came.
    #[test]
    fn promise_6_a_permit_is_asked_for_again(world in any_world()) {
        let decision = world.evaluate();
        let Answer::Forward(permit) = decision.answer else { return Ok(()) };
        let again = world.reconsider(&permit);
        let Answer::Forward(renewed) = &again.answer else { panic!("{again:?}") };
        prop_assert_eq!(format!("{permit:?}"), format!("{renewed:?}"));
        let mut world = world;
        let since = suppression(Reason::Objection, 0);
        each_profile(&mut world, |profile| profile.suppressions.push(since.clone()));
        prop_assert_eq!(goes(&world.reconsider(&permit)), permit.class() != Class::Marketing);
    }
}

#[test]
fn the_worlds_are_worth_trying() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut gone, mut refused, mut deferred, mut screened) = (0, 0, 0, 0);
    for _ in 0..1_000 {
        let world = any_world().new_tree(&mut runner).unwrap().current();
        match world.evaluate().answer {
            Answer::Forward(permit) if permit.class() == Class::Marketing => gone += 1,
            Answer::Forward(_) => {}
            Answer::Refuse(_) => refused += 1,
            Answer::Defer(_) => deferred += 1,
        }
        screened += usize::from(world.screen().is_some());
    }
    let seen = format!("{gone} gone, {refused} refused, {deferred} deferred, {screened} screened");
    assert!(gone > 30 && refused > 100 && deferred > 10 && screened > 50, "{seen}");
}
