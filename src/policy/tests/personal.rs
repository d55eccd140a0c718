//! RULES L13: personal mail is free, but watched.

use super::*;

#[test]
fn l13_personal_mail_to_many_is_marketing() {
    let mut world = World::new();
    world.rules.rules = vec![rule("people", Match::default(), class(Class::Personal))];
    world.message.external_recipients = 5;
    assert_eq!(world.permit().class(), Class::Personal);
    world.message.external_recipients = 6;
    let decision = world.evaluate();
    assert_eq!(decision.class, Class::Marketing);
    assert_eq!(world.clause(), Some(Clause::PersonalToMany { count: 6 }));
    world.rules.personal_max_recipients = 6;
    assert_eq!(world.permit().class(), Class::Personal);
}

#[test]
fn l13_many_personal_messages_that_say_the_same_are_marketing() {
    let mut world = World::new();
    world.rules.rules = vec![rule("people", Match::default(), class(Class::Personal))];
    world.message.alike = 20;
    assert_eq!(world.permit().class(), Class::Personal);
    world.message.alike = 21;
    assert_eq!(world.evaluate().class, Class::Marketing);
    assert_eq!(world.clause(), Some(Clause::PersonalAlike { count: 21 }));
    world.rules.personal_max_alike = 21;
    assert_eq!(world.permit().class(), Class::Personal);
    world.rules.personal_max_alike = 20;
    world.message.external_recipients = 0;
    assert_eq!(world.permit().class(), Class::Personal, "a round among colleagues");
    world.message.external_recipients = 1;
    world.rules.rules = vec![rule("invoices", Match::default(), class(Class::Service))];
    assert_eq!(world.permit().class(), Class::Service, "only personal mail is watched");
}
