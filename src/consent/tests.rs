//! Tests of the room `consent`: what it promises, rule by rule.

use jiff::Timestamp;
use proptest::prelude::*;

use super::ConsentEventKind::{Confirm, Correct, Grant, Request, Withdraw};
use super::*;

/// A day in 2024 and days after it.
fn day(days: i64) -> Timestamp {
    Timestamp::constant(1_720_000_000 + days * 86_400, 0)
}

fn full() -> Evidence {
    Evidence {
        text_sha256: Some("ab".repeat(32)),
        privacy_version: Some("2024-01".into()),
        act: Some(Act::TickedBox),
        source: Some("https://example.nl/form".into()),
        ..Evidence::default()
    }
}

fn attested() -> Evidence {
    Evidence { attestation: Some("asked at the counter, A. de Vries".into()), ..Evidence::default() }
}

fn event(kind: ConsentEventKind, days: i64, evidence: Evidence) -> ConsentEvent {
    ConsentEvent { kind, at: day(days), recorded_at: day(days), evidence }
}

fn grade_of(events: &[ConsentEvent], now: Timestamp) -> Option<Grade> {
    match fold(events, now) {
        ConsentState::Granted { grade, .. } => Some(grade),
        _ => None,
    }
}

#[test]
fn l2_grades_come_from_the_evidence() {
    let grant = |evidence| event(Grant, 0, evidence);
    let confirm = event(Confirm, 1, Evidence::default());
    let grade = |events: &[ConsentEvent]| grade_of(events, day(9));
    assert_eq!(grade(&[grant(full())]), Some(Grade::B));
    assert_eq!(grade(&[grant(full()), confirm.clone()]), Some(Grade::A));
    assert_eq!(grade(&[grant(attested())]), Some(Grade::C));
    assert_eq!(grade(&[grant(attested()), confirm.clone()]), Some(Grade::C), "a click shows no text");
    assert_eq!(grade(&[grant(Evidence::default())]), Some(Grade::D));
    for missing in [
        Evidence { text_sha256: None, ..full() },
        Evidence { text_sha256: Some(" ".into()), ..full() },
        Evidence { act: None, ..full() },
        Evidence { source: None, ..full() },
        Evidence { pre_ticked: Some(true), ..full() },
        Evidence { bundled: Some(true), ..full() },
    ] {
        assert_eq!(grade(&[grant(missing), confirm.clone()]), Some(Grade::D));
    }
    let denied = Evidence { pre_ticked: Some(false), bundled: Some(false), ..full() };
    assert_eq!(grade(&[grant(denied)]), Some(Grade::B));
}

#[test]
fn a_confirmation_needs_a_grant_before_it() {
    assert_eq!(fold(&[event(Confirm, 0, full())], day(9)), ConsentState::None);
    let events = [event(Confirm, 0, full()), event(Grant, 1, full())];
    assert_eq!(grade_of(&events, day(9)), Some(Grade::B));
}

#[test]
fn l1_what_is_dated_or_recorded_later_does_not_count() {
    let grant = event(Grant, 2, full());
    assert_eq!(fold(std::slice::from_ref(&grant), day(1)), ConsentState::None);
    assert_eq!(grade_of(std::slice::from_ref(&grant), day(2)), Some(Grade::B));
    let backdated = ConsentEvent { at: day(0), recorded_at: day(5), ..grant };
    assert_eq!(fold(std::slice::from_ref(&backdated), day(4)), ConsentState::None);
    assert_eq!(grade_of(&[backdated], day(5)), Some(Grade::B));
}

#[test]
fn l3_a_withdrawal_ends_every_grant_and_the_order_is_that_of_the_world() {
    let withdraw = event(Withdraw, 3, Evidence::default());
    let withdrawn = ConsentState::Withdrawn { since: day(3) };
    let before = [event(Grant, 0, full()), event(Confirm, 1, full()), event(Grant, 2, full())];
    let mut events = before.to_vec();
    events.push(withdraw.clone());
    assert_eq!(fold(&events, day(9)), withdrawn);
    events.rotate_right(1);
    assert_eq!(fold(&events, day(9)), withdrawn, "recorded first, happened last");
    events.push(event(Confirm, 4, full()));
    assert_eq!(fold(&events, day(9)), withdrawn, "a confirmation brings nothing back");
    events.push(event(Request, 4, full()));
    assert_eq!(fold(&events, day(9)), withdrawn, "asking is not giving");
    events.push(event(Grant, 5, Evidence::default()));
    assert_eq!(fold(&events, day(9)), withdrawn, "an address without evidence takes nothing back");
    events.push(event(Grant, 6, full()));
    assert_eq!(
        fold(&events, day(9)),
        ConsentState::Granted { grade: Grade::B, since: day(6), event: 7, by_person: true }
    );
    assert_eq!(fold(&[withdraw], day(2)), ConsentState::None);
}

#[test]
fn l3_a_withdrawal_from_a_clock_that_runs_ahead_counts_at_once() {
    let ahead = ConsentEvent { at: day(400), ..event(Withdraw, 3, Evidence::default()) };
    let events = [event(Grant, 0, full()), ahead];
    assert_eq!(fold(&events, day(3)), ConsentState::Withdrawn { since: day(3) });
}

#[test]
fn events_of_one_moment_count_as_recorded() {
    let (grant, withdraw) = (event(Grant, 1, full()), event(Withdraw, 1, Evidence::default()));
    let state = fold(&[grant.clone(), withdraw.clone()], day(9));
    assert_eq!(state, ConsentState::Withdrawn { since: day(1) });
    assert_eq!(grade_of(&[withdraw, grant], day(9)), Some(Grade::B));
}

#[test]
fn a_correction_wipes_what_stands_before_it() {
    let correct = event(Correct, 2, Evidence::default());
    let events = [event(Withdraw, 1, Evidence::default()), correct.clone()];
    assert_eq!(fold(&events, day(9)), ConsentState::None);
    let events = [event(Grant, 1, full()), correct, event(Grant, 3, attested())];
    assert_eq!(grade_of(&events, day(9)), Some(Grade::C));
    assert_eq!(fold(&[event(Request, 1, full())], day(9)), ConsentState::Requested);
}

#[test]
fn l3_l16_an_attestation_ends_no_withdrawal_and_the_person_does() {
    let before = [event(Grant, 0, attested()), event(Withdraw, 1, Evidence::default())];
    let after = |later: &[ConsentEvent]| fold(&[&before[..], later].concat(), day(9));
    let withdrawn = ConsentState::Withdrawn { since: day(1) };
    let sworn = Evidence { attestation: Some("sworn".into()), ..full() };
    for word in [attested(), sworn.clone()] {
        assert_eq!(after(&[event(Grant, 2, word.clone())]), withdrawn);
        let confirm = event(Confirm, 3, sworn.clone());
        assert_eq!(after(&[event(Grant, 2, word), confirm]), withdrawn, "nor twice the same word");
    }
    // A form without a confirmation mail, and with one.
    let own = ConsentState::Granted { grade: Grade::B, since: day(2), event: 2, by_person: true };
    assert_eq!(after(&[event(Grant, 2, full())]), own);
    let confirm = event(Confirm, 3, Evidence::default());
    let confirmed = ConsentState::Granted { grade: Grade::A, since: day(2), event: 2, by_person: true };
    assert_eq!(after(&[event(Grant, 2, full()), confirm]), confirmed);
    // The slip of whoever put the withdrawal on record.
    let slip = [event(Correct, 2, Evidence::default()), event(Grant, 3, attested())];
    assert!(matches!(after(&slip), ConsentState::Granted { grade: Grade::C, .. }));
}

#[test]
fn lesser_evidence_never_takes_away_better() {
    let confirmed = [event(Grant, 0, full()), event(Confirm, 1, full())];
    for later in [full(), attested(), Evidence::default()] {
        let mut events = confirmed.to_vec();
        events.push(event(Grant, 2, later.clone()));
        assert_eq!(grade_of(&events, day(9)), Some(Grade::A), "after: {later:?}");
        let events = [event(Grant, 0, full()), event(Grant, 0, later), event(Confirm, 1, full())];
        assert_eq!(grade_of(&events, day(9)), Some(Grade::A));
    }
}

#[test]
fn l16_a_grant_by_the_importers_word_is_told_from_one_by_the_person() {
    let by_person = |evidence: Evidence| match fold(&[event(Grant, 0, evidence)], day(9)) {
        ConsentState::Granted { by_person, .. } => by_person,
        state => panic!("{state:?}"),
    };
    assert!(by_person(full()));
    assert!(!by_person(attested()));
    assert!(!by_person(Evidence { attestation: Some("sworn".into()), ..full() }));
}

#[test]
fn l2_what_may_be_taken_into_the_register() {
    let check = |kind, days, evidence| event(kind, days, evidence).check(day(0));
    assert_eq!(check(Grant, 0, full()), Ok(()));
    assert_eq!(check(Grant, 0, attested()), Ok(()));
    assert_eq!(check(Grant, 1, full()), Err(ConsentError::Future { at: day(1) }));
    assert_eq!(
        check(Grant, 0, Evidence { pre_ticked: Some(true), ..attested() }),
        Err(ConsentError::PreTicked)
    );
    assert_eq!(check(Grant, 0, Evidence { bundled: Some(true), ..full() }), Err(ConsentError::Bundled));
    let incomplete = check(Grant, 0, Evidence { act: None, source: None, ..full() }).unwrap_err();
    assert_eq!(incomplete, ConsentError::Incomplete { missing: "act, source".into() });
    assert!(incomplete.to_string().starts_with("L2: act, source missing"));
    assert_eq!(check(Confirm, 1, full()), Err(ConsentError::Future { at: day(1) }));
    assert_eq!(check(Withdraw, 1, Evidence::default()), Ok(()), "an opt-out always goes in");
    let epoch = ConsentEvent { at: Timestamp::UNIX_EPOCH, ..event(Grant, 0, full()) };
    assert_eq!(epoch.check(day(0)), Err(ConsentError::Implausible { at: Timestamp::UNIX_EPOCH }));
}

#[test]
fn l19_the_same_fact_is_known_until_it_is_corrected() {
    let grant = event(Grant, 0, full());
    let later = ConsentEvent { recorded_at: day(3), ..grant.clone() };
    assert!(is_known(std::slice::from_ref(&grant), &later), "whenever it was recorded");
    assert!(!is_known(&[grant.clone(), event(Correct, 1, Evidence::default())], &later));
    assert!(!is_known(std::slice::from_ref(&grant), &event(Grant, 0, attested())));
}

#[test]
fn l19_a_row_of_a_file_is_vouched_for_and_not_improved() {
    let lifted = fold(&[event(Grant, 0, full().from_file()), event(Confirm, 1, full())], day(2));
    assert!(
        matches!(lifted, ConsentState::Granted { grade: Grade::A, by_person: false, .. }),
        "complete, and still no word of the person: {lifted:?}"
    );
    assert_eq!(Evidence::default().from_file(), Evidence::default(), "nothing to vouch for stays nothing");
    assert_eq!(attested().from_file(), attested());
}

#[test]
fn l16_l19_what_somebody_vouches_for_ends_no_withdrawal_and_confirms_no_act() {
    let withdraw = event(Withdraw, 0, Evidence::default());
    let file = event(Grant, 1, full().from_file());
    let confirm = |days| event(Confirm, days, Evidence::default().from_file_confirming());
    let withdrawn = ConsentState::Withdrawn { since: day(0) };
    assert_eq!(fold(&[withdraw.clone(), file.clone(), confirm(2)], day(9)), withdrawn);
    let again = event(Grant, 3, full());
    assert_eq!(
        fold(&[withdraw, file.clone(), again.clone(), confirm(4)], day(9)),
        ConsentState::Granted { grade: Grade::B, since: day(3), event: 2, by_person: true }
    );
    assert_eq!(grade_of(&[again, confirm(4)], day(9)), Some(Grade::B));
    assert_eq!(grade_of(&[file, confirm(2)], day(9)), Some(Grade::A), "a file confirms what it brings");
}

#[test]
fn l2_only_active_acts_are_acts() {
    for act in [Act::TickedBox, Act::Typed, Act::Signed, Act::ClickedConfirm, Act::SpokenRecorded] {
        assert_eq!(Act::parse(act.as_str()), Ok(act));
        assert_eq!(serde_json::to_value(act).unwrap(), act.as_str(), "the ledger has the same word");
    }
    assert_eq!(Act::parse(" Clicked-Confirm "), Ok(Act::ClickedConfirm));
    assert_eq!(Act::parse("spoken recorded"), Ok(Act::SpokenRecorded));
    for given in ["pre_ticked", "silence", "Business card", "bought-list", "terms"] {
        assert_eq!(Act::parse(given), Err(ConsentError::Passive { given: given.into() }));
    }
    for given in ["", "yes"] {
        assert_eq!(Act::parse(given), Err(ConsentError::UnknownAct { given: given.into() }));
    }
}

#[test]
fn l2_a_text_names_the_sender_and_nobody_unnamed() {
    let names = ["Jansen & Partners B.V.", "Jansen Verzekeringen"];
    let check = |text| check_text(text, &names);
    assert_eq!(check("Ja, JANSEN\n  Verzekeringen mag mij mailen over polissen."), Ok(()));
    assert_eq!(check("Jansen & Partners B.V. mag mij mailen."), Ok(()), "a name is not a stranger");
    assert!(matches!(check("Ja, mail mij maar."), Err(ConsentError::SenderNotNamed { .. })));
    assert_eq!(
        check("Jansen Verzekeringen en (geselecteerde) partners mogen mij mailen."),
        Err(ConsentError::Partners { word: "partners".into() })
    );
    assert!(matches!(
        check("Jansen Verzekeringen and selected third parties may mail me."),
        Err(ConsentError::Partners { .. })
    ));
    assert_eq!(check("Jansen Verzekeringen mailt u over partnerschapsvoorwaarden."), Ok(()));
    assert!(matches!(check_text("anything", &[]), Err(ConsentError::SenderNotNamed { .. })));
    assert!(matches!(check_text("anything", &[""]), Err(ConsentError::SenderNotNamed { .. })));
}

fn relation() -> Relation {
    Relation {
        product: "hypotheek".into(),
        last_purchase: "2021-01-31T10:00:00Z".parse().unwrap(),
        recorded_at: "2021-02-01T00:00:00Z".parse().unwrap(),
        opt_out_offered: true,
        given_in_sale: true,
        source: Some("order 17".into()),
    }
}

#[test]
fn l4_every_clause_must_hold() {
    let now: Timestamp = "2022-01-01T00:00:00Z".parse().unwrap();
    let similar = ["Hypotheek ".to_owned(), "verzekering".to_owned()];
    let gap = |relation: Relation| relation.gap(&similar, 36, now);
    assert_eq!(gap(relation()), None);
    assert_eq!(gap(Relation { given_in_sale: false, ..relation() }), Some(RelationGap::NotInSale));
    assert_eq!(gap(Relation { opt_out_offered: false, ..relation() }), Some(RelationGap::NoOptOutOffered));
    assert_eq!(gap(Relation { product: "auto".into(), ..relation() }), Some(RelationGap::NotSimilar));
    assert_eq!(relation().gap(&[], 36, now), Some(RelationGap::NotSimilar));
    let late = now + jiff::SignedDuration::from_secs(1);
    assert_eq!(gap(Relation { last_purchase: late, ..relation() }), Some(RelationGap::Future));
    assert_eq!(gap(Relation { recorded_at: late, ..relation() }), Some(RelationGap::Future));
    assert_eq!(gap(Relation { last_purchase: now, recorded_at: now, ..relation() }), None);
}

#[test]
fn l4_the_window_ends_with_its_last_moment_in_calendar_months() {
    let similar = ["hypotheek".to_owned()];
    for (months, last, first_outside) in [
        (36, "2024-01-31T10:00:00Z", "2024-01-31T10:00:00.000000001Z"),
        // February has no 31st.
        (1, "2021-02-28T10:00:00Z", "2021-02-28T10:00:00.000000001Z"),
        (37, "2024-02-29T10:00:00Z", "2024-02-29T10:00:00.000000001Z"),
    ] {
        let at = |text: &str| relation().gap(&similar, months, text.parse().unwrap());
        assert_eq!(at(last), None, "{months} months");
        assert_eq!(at(first_outside), Some(RelationGap::TooLongAgo), "{months} months");
    }
    let late = "2999-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(relation().gap(&similar, u32::MAX, late), None, "a window without end");
}

#[test]
fn l4_what_is_a_relation() {
    let now = relation().last_purchase;
    assert_eq!(relation().check(now), Ok(()));
    assert_eq!(Relation { product: " ".into(), ..relation() }.check(now), Err(RelationError::NoProduct));
    let before = now - jiff::SignedDuration::from_secs(1);
    assert_eq!(relation().check(before), Err(RelationError::Future { at: now }));
}

#[test]
fn l5_a_publication_needs_its_proof_and_more_than_an_address() {
    let published = Published {
        url: "https://example.nl/contact".into(),
        quote: "Aanbiedingen over papier ontvangen wij graag op inkoop@example.nl".into(),
        captured_at: day(0),
        recorded_at: day(0),
        page_sha256: "cd".repeat(32),
        review_by: day(365),
    };
    let gap = |published: &Published, days| published.gap(day(days));
    assert!(published.usable(day(0)) && published.usable(day(365)));
    assert_eq!(gap(&published, 366), Some(PublishedGap::Overdue));
    assert_eq!(gap(&published, -1), Some(PublishedGap::Future));
    for bare in [
        "info@example.nl",
        "E-mail: info@example.nl",
        "Contact: info@example.nl - (020) 123",
        "Mail ons: info@example.nl",
    ] {
        let bare = Published { quote: bare.into(), ..published.clone() };
        assert_eq!(gap(&bare, 1), Some(PublishedGap::BareAddress), "{}", bare.quote);
        assert!(!bare.usable(day(1)));
    }
    for incomplete in [
        Published { url: String::new(), ..published.clone() },
        Published { quote: " ".into(), ..published.clone() },
        Published { page_sha256: String::new(), ..published.clone() },
    ] {
        assert_eq!(gap(&incomplete, 1), Some(PublishedGap::Incomplete));
    }
}

fn any_event() -> impl Strategy<Value = ConsentEvent> {
    let kinds =
        prop_oneof![Just(Request), Just(Grant), Just(Grant), Just(Confirm), Just(Withdraw), Just(Correct)];
    let evidence = prop_oneof![Just(full()), Just(attested()), Just(Evidence::default())];
    (kinds, 0i64..8, 0i64..8, evidence).prop_map(|(kind, at, recorded, evidence)| ConsentEvent {
        kind,
        at: day(at),
        recorded_at: day(recorded),
        evidence,
    })
}

proptest! {
    #[test]
    fn adding_a_grant_never_lowers_the_grade(
        events in proptest::collection::vec(any_event(), 0..7),
        grant in any_event(),
        at in 0usize..8,
    ) {
        let grant = ConsentEvent { kind: Grant, ..grant };
        let before = grade_of(&events, day(6));
        let mut more = events;
        more.insert(at.min(more.len()), grant);
        prop_assert!(grade_of(&more, day(6)) >= before);
    }

    #[test]
    fn l1_the_future_changes_nothing(
        events in proptest::collection::vec(any_event(), 0..7),
        later in any_event(),
    ) {
        let now = day(4);
        let mut more = events.clone();
        more.push(ConsentEvent { recorded_at: day(5), ..later });
        prop_assert_eq!(fold(&more, now), fold(&events, now));
    }

    #[test]
    fn l3_nothing_is_granted_after_a_last_withdrawal(
        events in proptest::collection::vec(any_event(), 0..7),
    ) {
        let mut events = events;
        events.push(event(Withdraw, 9, Evidence::default()));
        prop_assert_eq!(fold(&events, day(9)), ConsentState::Withdrawn { since: day(9) });
    }
}
