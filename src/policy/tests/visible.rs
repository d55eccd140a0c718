//! Whom a message shows to its readers.

use super::*;
use crate::message::{Limits, Message};

#[test]
fn l14_who_stands_twice_in_to_and_cc_is_one() {
    let world = World::new();
    for (fields, shown) in [
        ("To: a@x.test\r\nCc: A <a@x.test>, a@X.test\r\n", 1),
        ("To: a@x.test, a@x.test, b@x.test\r\n", 2),
        ("To: a@x.test, nieuws@a.test\r\n", 1),
        ("To: a@x.test, @@\r\n", 2),
    ] {
        let text = format!("From: nieuws@a.test\r\n{fields}\r\nx\r\n");
        let message = Message::parse(text.into(), &Limits::default());
        let facts = MessageFacts::of(&world.rules, std::iter::empty(), &message);
        assert_eq!(facts.visible_external, shown, "{fields}");
    }
}
