//! Promises 1, 2, 6 and the projections.

use proptest::prelude::*;

use super::*;
use crate::consent::{ConsentEvent, ConsentEventKind, Evidence, Relation};
use crate::ledger::{
    Channel, Consented, OutboxView as _, Owed, OwedState, Related, Returned, Suppressed, Unblocked,
};
use crate::mail::Purpose;
use crate::suppression::{Reason, Suppression};

#[test]
fn promise_1_an_admission_without_an_outcome_is_in_doubt_at_start_up() {
    let rig = Rig::new();
    let store = rig.open();
    store
        .write(vec![
            Record::of(admitted(copy(1, 0), &["a@x.nl", "b@x.nl"])),
            Record::of(admitted(copy(2, 0), &["c@x.nl"])),
            Record::of(admitted(copy(3, 0), &["d@x.nl"])),
            Record::of(Event::Relayed(outcome(copy(1, 0), &["a@x.nl"]))),
            Record::of(Event::Relayed(outcome(copy(2, 0), &["c@x.nl"]))),
            // The client of a straight-through copy was told to try again: that is an outcome.
            Record::of(Event::Delayed(outcome(copy(3, 0), &["d@x.nl"]))),
        ])
        .unwrap();
    drop(store);
    let store = rig.open();
    let recovered = store.recover(InDoubt::Retry).unwrap();
    assert_eq!(recovered, Recovered { in_doubt: vec![copy(1, 0)], interrupted: Vec::new(), spooled: 0 });
    let last = store.by_copy(copy(1, 0), 10).unwrap().pop().unwrap().entry.event;
    let Event::InDoubt(outcome) = last else { panic!("{last:?}") };
    assert_eq!(outcome.recipients, [address("b@x.nl")], "only the one nothing is known of");
    assert_eq!(store.recover(InDoubt::Retry).unwrap(), Recovered::default(), "said once");
    sound(&store);
}

#[test]
fn promise_2_a_copy_that_was_being_sent_waits_again_or_is_held() {
    for (setting, state) in
        [(InDoubt::Retry, SpoolState::Waiting { next: at(500) }), (InDoubt::Hold, SpoolState::Held)]
    {
        let rig = Rig::new();
        let store = rig.open();
        store
            .write(vec![
                spooling(copy(1, 0), &["a@x.nl"], SpoolState::Trying, Keep::Hash),
                spooling(copy(1, 1), &["b@x.nl"], SpoolState::Waiting { next: at(900) }, Keep::Hash),
            ])
            .unwrap();
        drop(store);
        rig.clock.set(at(500));
        let store = rig.open();
        let recovered = store.recover(setting).unwrap();
        assert_eq!(recovered, Recovered { in_doubt: Vec::new(), interrupted: vec![copy(1, 0)], spooled: 2 });
        let (spooled, bytes) = store.load(copy(1, 0)).unwrap().unwrap();
        assert_eq!((spooled.state, spooled.attempts), (state, 1));
        assert_eq!(bytes.to_vec(), rope("X-Own: 1\r\n").to_vec());
        let last = store.by_copy(copy(1, 0), 10).unwrap().pop().unwrap().entry.event;
        let Event::InDoubt(outcome) = last else { panic!("{last:?}") };
        assert_eq!(outcome.attempt, 1, "the try that was interrupted");
        assert_eq!(store.open_copies().unwrap(), 2, "both still have to come to an outcome");
        sound(&store);
    }
}

#[test]
fn promise_1_leaving_the_spool_is_no_outcome_for_whom_nothing_was_said_of() {
    let rig = Rig::new();
    let store = rig.open();
    let waiting = SpoolState::Waiting { next: at(1) };
    store.write(vec![spooling(copy(1, 0), &["a@x.nl", "b@x.nl"], waiting, Keep::Hash)]).unwrap();
    store.write(vec![Record::of(Event::Delayed(outcome(copy(1, 0), &["a@x.nl"])))]).unwrap();
    store.write(vec![Record { events: Vec::new(), sides: vec![Side::Unspool(copy(1, 0))] }]).unwrap();
    sound(&store);
    assert_eq!(store.recover(InDoubt::Retry).unwrap().in_doubt, [copy(1, 0)]);
    let last = store.by_copy(copy(1, 0), 10).unwrap().pop().unwrap().entry.event;
    assert_eq!(last.outcome().unwrap().recipients, [address("b@x.nl")]);
}

#[test]
fn l10_a_mailbox_that_two_tries_find_dead_at_once_is_told_once() {
    let rig = Rig::new();
    let store = rig.open();
    let returned = |blocked| {
        Event::Returned(Returned {
            sender: sender(),
            address: key("weg@x.nl"),
            reference: Reference::from_bytes([7; 16]),
            status: "5.1.1".to_owned(),
            copy: None,
            hard: true,
            blocked,
            diagnostic: "no such user".to_owned(),
        })
    };
    let owed = Owed {
        sender: sender(),
        address: key("weg@x.nl"),
        channel: Channel::Webhook("crm".to_owned()),
        state: OwedState::Waiting { next: at(0) },
        since: at(0),
        attempts: 0,
        last_answer: String::new(),
    };
    // Neither saw the other's block when it was made.
    let told = || Record { events: vec![returned(true)], sides: vec![Side::Owe(0, Box::new(owed.clone()))] };
    let count = || store.list_owed(None, 10).unwrap().len();
    store.write(vec![told(), told()]).unwrap();
    assert_eq!(count(), 1, "in one commit");
    store.write(vec![told()]).unwrap();
    assert_eq!(count(), 1, "and in the next");
    // Once it was lifted, it is news again.
    let why = "telephone".to_owned();
    let unblocked = Unblocked { sender: sender(), address: key("weg@x.nl"), why };
    store.write(vec![Record::of(Event::Unblocked(unblocked)), told()]).unwrap();
    assert_eq!(count(), 2);
    sound(&store);
}

#[tokio::test]
async fn promise_6_an_unsubscribe_shows_in_the_register_when_record_returns() {
    let rig = Rig::new();
    let store = rig.open();
    let (scribe, _closing) = store.start().unwrap();
    let purpose = Purpose("nieuwsbrief".to_owned());
    let grant = consented("bob@example.org", &purpose, ConsentEventKind::Grant, 0);
    scribe.record(Record::of(grant)).await.unwrap();
    rig.clock.set(at(77));
    scribe.record(Record::of(unsubscribed("bob@example.org"))).await.unwrap();
    let profile = store.profile(&sender(), &key("BOB@example.org")).unwrap();
    let suppression = &profile.suppressions[0];
    assert_eq!((suppression.reason, suppression.since), (Reason::Unsubscribed, at(77)));
    let last = profile.consent(&purpose).last().unwrap();
    assert_eq!((last.kind, last.at), (ConsentEventKind::Withdraw, at(77)));

    // RULES P7: a second click changes nothing but the date; the profile does not grow.
    rig.clock.set(at(99));
    scribe.record(Record::of(unsubscribed("bob@example.org"))).await.unwrap();
    let again = store.profile(&sender(), &key("bob@example.org")).unwrap();
    assert_eq!((again.suppressions.len(), again.consent(&purpose).len()), (1, 2));
    let stranger = SenderId("87654321".to_owned());
    assert_eq!(store.profile(&stranger, &key("bob@example.org")).unwrap().suppressions, []);
}

#[test]
fn l17_a_suppression_covers_the_tagged_address_and_a_consent_does_not() {
    let rig = Rig::new();
    let store = rig.open();
    let purpose = Purpose("nieuwsbrief".to_owned());
    store
        .write(vec![
            Record::of(consented("bob@x.nl", &purpose, ConsentEventKind::Grant, 0)),
            Record::of(unsubscribed("bob@x.nl")),
            Record::of(consented("eva+tag@x.nl", &purpose, ConsentEventKind::Grant, 0)),
            Record::of(unsubscribed("eva+tag@x.nl")),
        ])
        .unwrap();
    let profile = |who: &str| store.profile(&sender(), &key(who)).unwrap();
    assert_eq!(profile("bob+news@x.nl").suppressions.len(), 1);
    assert_eq!(profile("bob+news@x.nl").consents, []);
    assert_eq!(profile("eva@x.nl"), Default::default(), "a tag speaks for itself only");
}

#[test]
fn l19_the_same_fact_twice_is_one_fact() {
    let rig = Rig::new();
    let store = rig.open();
    let purpose = Purpose("nieuwsbrief".to_owned());
    let grant = || Record::of(consented("bob@x.nl", &purpose, ConsentEventKind::Grant, 0));
    let bought = |recorded| Record::of(related("bob@x.nl", recorded));
    store.write(vec![grant(), grant(), bought(1), bought(2)]).unwrap();
    let profile = store.profile(&sender(), &key("bob@x.nl")).unwrap();
    assert_eq!((profile.consent(&purpose).len(), profile.relations.len()), (1, 1));
    assert_eq!(profile.relations[0].recorded_at, at(1), "known since the first time");
}

#[test]
fn suppressions_are_listed_from_an_index_that_an_older_store_gets_at_its_next_start() {
    use redb::ReadableTableMetadata as _;
    let rig = Rig::new();
    {
        let store = rig.open();
        let suppressed = |who: &str, of: &str| {
            let suppression = Suppression { reason: Reason::Manual, since: at(0), source: "x".to_owned() };
            Event::Suppression(crate::ledger::Suppressed {
                sender: SenderId(of.to_owned()),
                address: key(who),
                suppression,
                reference: None,
            })
        };
        let purpose = Purpose("nieuws".to_owned());
        let consents =
            (0..50).map(|n| consented(&format!("p{n}@x.nl"), &purpose, ConsentEventKind::Grant, 0));
        let optouts = ["c@x.nl", "a@x.nl", "b@x.nl"].map(|who| suppressed(who, "1"));
        let other = [suppressed("a@x.nl", "2")];
        let events = consents.chain(optouts).chain(other).collect();
        store.write(vec![Record { events, sides: Vec::new() }]).unwrap();
        let names = |rows: Vec<Known>| rows.iter().map(|row| row.address.to_string()).collect::<Vec<_>>();
        let one = SenderId("1".to_owned());
        assert_eq!(names(store.suppressed(Some(&one), None, 2).unwrap()), ["a@x.nl", "b@x.nl"]);
        let after = key("b@x.nl");
        assert_eq!(names(store.suppressed(Some(&one), Some((&one, &after)), 2).unwrap()), ["c@x.nl"]);
        assert_eq!(store.suppressed(None, None, 10).unwrap().len(), 4);
    }
    // A store of the version before.
    let database = redb::Database::open(rig.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(super::super::tables::SUPPRESSED).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = rig.open();
    assert_eq!(store.suppressed(None, None, 10).unwrap().len(), 4);
    let reading = store.transaction().unwrap();
    assert_eq!(reading.open_table(super::super::tables::SUPPRESSED).unwrap().len().unwrap(), 4);
    assert!(store.verify_all(&[]).unwrap().is_sound());
}

fn consented(who: &str, purpose: &Purpose, kind: ConsentEventKind, when: i64) -> Event {
    Event::Consent(Consented {
        sender: sender(),
        purpose: purpose.clone(),
        address: key(who),
        event: ConsentEvent { kind, at: at(when), recorded_at: at(when), evidence: Evidence::default() },
        source: "test".to_owned(),
    })
}

fn related(who: &str, recorded: i64) -> Event {
    Event::Relation(Related {
        sender: sender(),
        address: key(who),
        relation: Relation {
            product: "hypotheek".to_owned(),
            last_purchase: at(0),
            recorded_at: at(recorded),
            opt_out_offered: true,
            given_in_sale: true,
            source: None,
        },
        source: "test".to_owned(),
    })
}

/// Any record about a handful of people and copies.
fn any_record() -> impl Strategy<Value = Record> {
    const PEOPLE: [&str; 4] = ["a@x.nl", "b@x.nl", "b+t@x.nl", "\"c d\"@x.nl"];
    (0..12u8, 0..3u8, 0..2u32, 0..4usize, 0..50i64).prop_map(|(what, submission, index, who, when)| {
        let (copy, who) = (copy(submission, index), PEOPLE[who]);
        let purpose = Purpose(format!("doel {index}"));
        let waiting = SpoolState::Waiting { next: at(when) };
        let unspool = |event| Record { events: vec![event], sides: vec![Side::Unspool(copy)] };
        match what {
            0 => Record::of(consented(who, &purpose, ConsentEventKind::Grant, when)),
            1 => Record::of(consented(who, &purpose, ConsentEventKind::Correct, when)),
            2 => Record::of(related(who, when)),
            3 => Record::of(unsubscribed(who)),
            4 => Record::of(Event::Suppression(Suppressed {
                sender: sender(),
                address: key(who),
                suppression: Suppression {
                    reason: if index == 0 { Reason::Complaint } else { Reason::Unsubscribed },
                    since: at(when),
                    source: "test".to_owned(),
                },
                reference: (index == 0).then_some(copy.reference),
            })),
            5 => Record::of(admitted(copy, &PEOPLE)),
            6 => spooling(copy, &PEOPLE, waiting, [Keep::Full, Keep::Headers, Keep::Hash][who.len() % 3]),
            7 => Record::of(Event::Relayed(outcome(copy, &[who]))),
            8 => Record::of(Event::Delayed(outcome(copy, &[who]))),
            9 => Record::of(Event::InDoubt(outcome(copy, &[who]))),
            10 => unspool(Event::Bounced(outcome(copy, &[who]))),
            _ => unspool(Event::Delayed(outcome(copy, &PEOPLE))),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// What the entries add up to is the same, whether applied one by one as they came or all anew.
    #[test]
    fn projections_follow_from_the_entries(records in prop::collection::vec(any_record(), 1..40), batch in 1..8usize) {
        let rig = Rig::new();
        let store = rig.open();
        let mut records = records.into_iter();
        loop {
            let batch: Vec<Record> = records.by_ref().take(batch).collect();
            if batch.is_empty() {
                break;
            }
            store.write(batch).unwrap();
        }
        store.checkpoint().unwrap();
        prop_assert_eq!(store.verify_all(&[]).unwrap().problems, Vec::<String>::new());
        drop(store);
        let store = rig.open();
        store.recover(InDoubt::Retry).unwrap();
        prop_assert_eq!(store.verify_all(&[]).unwrap().problems, Vec::<String>::new());
    }
}
