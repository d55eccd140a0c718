//! Seven years of sending, unsubscribing, holding, purging and proving, with the clock in our hands (RULES L11,
//! L18).

use std::io::Cursor;

use super::*;
use crate::consent::{Act, ConsentEvent, ConsentEventKind, Evidence};
use crate::ledger::keeping::{Erasure, Keeping, months_after};
use crate::ledger::verify::verify_pack;
use crate::ledger::{
    Consented, Corrected, Explained, Handover, NotKept, RefusedRecipient, Stage, Telling, Told, Why, pack,
};
use crate::mail::{Purpose, SessionId};
use crate::policy::{Clause, Refusal};

const MONTHS: u32 = 84;

fn month(number: u32) -> Timestamp {
    months_after(at(0), number)
}

fn consent(who: &str, now: Timestamp) -> Event {
    Event::Consent(Consented {
        sender: sender(),
        purpose: Purpose("nieuwsbrief".to_owned()),
        address: key(who),
        event: ConsentEvent {
            kind: ConsentEventKind::Grant,
            at: now,
            recorded_at: now,
            evidence: Evidence {
                text_sha256: Some("7".repeat(64)),
                act: Some(Act::TickedBox),
                source: Some("https://voorbeeld.nl".to_owned()),
                ..Evidence::default()
            },
        },
        source: "test".to_owned(),
    })
}

fn refused(who: &str) -> Event {
    let refusal = Refusal { clause: Clause::NoBasis, rule: None, sender: None, purpose: None };
    Event::Refused {
        reference: None,
        handover: Handover {
            session: SessionId::new([1; 8]),
            ip: "192.0.2.1".to_owned(),
            account: None,
            helo: "tool".to_owned(),
            tls: None,
        },
        reverse_path: String::new(),
        stage: Stage::Rcpt,
        message_id: None,
        recipients: vec![RefusedRecipient { recipient: address(who), refusal }],
    }
}

/// A send that went straight through, with its bytes kept.
fn send(store: &Store, submission: u8, index: u32, who: &str) {
    let copy = copy(submission, index);
    let mut record = spooling(copy, &[who], SpoolState::Held, Keep::Full);
    record.sides.pop();
    record.events.push(Event::Relayed(outcome(copy, &[who])));
    store.write(vec![record]).unwrap();
}

fn kinds(store: &Store, who: &str) -> Vec<(Timestamp, &'static str)> {
    let found = store.by_address(&key(who), usize::MAX).unwrap();
    found.iter().map(|one| (one.entry.at, one.entry.event.kind().0)).collect()
}

#[test]
fn l11_seven_years_of_sending_unsubscribing_holding_purging_and_proving() {
    let rig = Rig::new();
    let store = rig.open();
    let mut anchors = Vec::new();
    for now in 0..MONTHS {
        rig.clock.set(month(now));
        if now == 0 {
            let people = ["vast@example.org", "kort@example.org", "zaak@example.org"];
            let facts = people.iter().map(|who| Record::of(consent(who, month(0)))).collect();
            store.write(facts).unwrap();
        }
        send(&store, now as u8, 0, "vast@example.org");
        store.write(vec![Record::of(refused("vreemd@example.org"))]).unwrap();
        if now < 2 {
            send(&store, now as u8, 1, "kort@example.org");
            send(&store, now as u8, 2, "zaak@example.org");
        }
        if now == 2 {
            store.write(vec![Record::of(unsubscribed("kort@example.org"))]).unwrap();
        }
        if now == 50 {
            let why = "zaak 2030/12 bij de rechtbank".to_owned();
            let held = Keeping::Held { about: Some(key("zaak@example.org")), why };
            store.write(vec![Record::of(Event::Keeping(held))]).unwrap();
        }
        store.checkpoint().unwrap();
        anchors.push(store.latest_checkpoint().unwrap().unwrap().1);
        store.purge(&|| false).unwrap();
        if now % 12 == 11 {
            let found = store.verify_all(&anchors).unwrap();
            assert_eq!(found.problems, Vec::<String>::new(), "after {now} months");
        }
    }
    // Five years from each send, and not a month longer.
    let sent: Vec<Timestamp> = kinds(&store, "vast@example.org")
        .into_iter()
        .filter_map(|(at, kind)| (kind == "admitted").then_some(at))
        .collect();
    assert_eq!(sent.first(), Some(&month(MONTHS - 60)));
    assert_eq!(sent.len(), 60);
    // The consent stays as long as a send that rests on it.
    assert_eq!(kinds(&store, "vast@example.org")[0], (month(0), "consent"));
    // Whoever unsubscribed: the sends and the consent are gone, the suppression has no end (L16).
    assert_eq!(kinds(&store, "kort@example.org"), [(month(2), "unsubscribed")]);
    assert_eq!(store.rebuild(copy(0, 1)).unwrap(), None, "the bytes went with the entry");
    let profile = store.profile(&sender(), &key("kort@example.org")).unwrap();
    assert_eq!((profile.suppressions.len(), profile.consents.len()), (1, 0));
    // Refusals: thirteen months.
    assert_eq!(kinds(&store, "vreemd@example.org").len(), 13);
    // The hold kept everything about its case, message included.
    let held: Vec<&str> = kinds(&store, "zaak@example.org").into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(held, ["consent", "admitted", "relayed", "admitted", "relayed", "keeping"]);
    assert!(matches!(store.rebuild(copy(0, 2)).unwrap(), Some(Archived::Whole(_))));
    let found = store.by_address(&key("zaak@example.org"), 100).unwrap();
    let pack = store.pack("zaak@example.org", found).unwrap();
    let zip = pack::write(
        &pack,
        &|copy| store.sent(copy),
        &|_| Err(NotKept::Missing),
        store.signer(),
        Cursor::new(Vec::new()),
    )
    .unwrap()
    .sink
    .into_inner();
    let report = verify_pack(Cursor::new(zip), rig.signer.verifier()).unwrap();
    assert_eq!((report.problems, report.messages.len()), (Vec::new(), 2));
    // The tree continues every checkpoint there ever was.
    for old in anchors.iter().step_by(7) {
        let proof = store.consistency(old, None).unwrap().unwrap();
        proof.check(&[rig.signer.verifier()]).unwrap();
    }
    // Once the hold ends, its time has long passed.
    let hold = store.holds().unwrap()[0].number;
    let released = Keeping::Released { hold, why: "uitspraak".to_owned() };
    store.write(vec![Record::of(Event::Keeping(released))]).unwrap();
    // First the sends, then the consent that nothing rests on any more.
    store.purge(&|| false).unwrap();
    store.purge(&|| false).unwrap();
    assert_eq!(kinds(&store, "zaak@example.org").len(), 1, "the hold itself");
    let found = store.verify_all(&anchors).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    // 71 refusals, 24 sends and their outcomes to the first, two of each and a consent to both others.
    assert_eq!(found.erased, 129);
}

#[test]
fn l11_a_hold_on_everything_stops_the_purge() {
    let rig = Rig::new();
    let store = rig.open();
    send(&store, 1, 0, "a@x.nl");
    let held = Keeping::Held { about: None, why: "onderzoek".to_owned() };
    store.write(vec![Record::of(Event::Keeping(held))]).unwrap();
    rig.clock.set(month(61));
    assert_eq!(store.purge(&|| false).unwrap(), 0);
    let hold = store.holds().unwrap()[0].number;
    let released = Keeping::Released { hold, why: "klaar".to_owned() };
    store.write(vec![Record::of(Event::Keeping(released))]).unwrap();
    assert_eq!(store.purge(&|| true).unwrap(), 0, "asked to stop");
    assert_eq!(store.purge(&|| false).unwrap(), 2);
    sound(&store);
}

#[test]
fn l18_a_person_is_erased_and_the_suppression_stays_without_the_name() {
    let rig = Rig::new();
    let store = rig.open();
    store
        .write(vec![
            Record::of(consent("nooit@example.org", at(0))),
            Record::of(refused("nooit@example.org")),
            Record::of(unsubscribed("nooit@example.org")),
            Record::of(consent("gemaild@example.org", at(0))),
        ])
        .unwrap();
    send(&store, 1, 0, "gemaild@example.org");
    store.write(vec![Record::of(unsubscribed("gemaild@example.org"))]).unwrap();
    store.checkpoint().unwrap();
    let anchor = store.latest_checkpoint().unwrap().unwrap().1;

    // Never mailed: everything goes at once, and nothing in the store spells the address any more.
    let erasure = store.erase_person(&key("nooit@example.org")).unwrap();
    let counts = |erasure: &Erasure| (Erasure::total(&erasure.erased), Erasure::total(&erasure.kept));
    assert_eq!((counts(&erasure), erasure.suppressed.len()), ((3, 0), 1));
    assert_eq!(kinds(&store, "nooit@example.org"), []);
    let all = store.entries(0..store.size().unwrap()).unwrap();
    assert!(!all.iter().any(|one| String::from_utf8_lossy(&one.bytes).contains("nooit@")));
    let profile = store.profile(&sender(), &key("nooit@example.org")).unwrap();
    assert_eq!((profile.consents.len(), profile.suppressions.len()), (0, 1), "still not to be mailed");
    let tagged = store.profile(&sender(), &key("nooit+x@example.org")).unwrap();
    assert_eq!(tagged.suppressions.len(), 1, "L17: the base address covers the tag");

    // Mailed: the proof stays until its date, the profile goes.
    let erasure = store.erase_person(&key("gemaild@example.org")).unwrap();
    assert_eq!(counts(&erasure), (0, 3));
    assert_eq!(erasure.kept_until, Some(month(60)));
    let profile = store.profile(&sender(), &key("gemaild@example.org")).unwrap();
    assert_eq!((profile.consents.len(), profile.suppressions.len()), (0, 1));
    assert_eq!(store.verify_all(std::slice::from_ref(&anchor)).unwrap().problems, Vec::<String>::new());

    // A new consent after the erasure counts; what stood before it does not come back.
    store.write(vec![Record::of(consent("gemaild@example.org", at(10)))]).unwrap();
    let profile = store.profile(&sender(), &key("gemaild@example.org")).unwrap();
    assert_eq!(profile.consents[0].events.len(), 1);
    // A hold stops an erasure, and is named.
    let held = Keeping::Held { about: Some(key("gemaild@example.org")), why: "klacht".to_owned() };
    let hold = store.write(vec![Record::of(Event::Keeping(held))]).unwrap()[0];
    assert_eq!(store.erase_person(&key("gemaild@example.org")).unwrap().holds, [hold]);
    drop(store);
    let store = rig.open();
    assert_eq!(store.verify_all(&[anchor]).unwrap().problems, Vec::<String>::new());
}

#[test]
fn l18_of_somebody_who_was_erased_nothing_outlives_the_proof_of_mail_sent() {
    let rig = Rig::new();
    let store = rig.open();
    let held = Keeping::Held { about: Some(key("weg@example.org")), why: "klacht".to_owned() };
    let hold = store.write(vec![Record::of(Event::Keeping(held))]).unwrap()[0];
    let released = Keeping::Released { hold, why: "klaar".to_owned() };
    store.write(vec![Record::of(Event::Keeping(released))]).unwrap();
    for who in ["weg@example.org", "blijft@example.org"] {
        store.write(vec![Record::of(consent(who, at(0)))]).unwrap();
    }
    send(&store, 1, 0, "weg@example.org");
    rig.clock.set(month(30));
    store.write(vec![Record::of(consent("weg@example.org", month(30)))]).unwrap();
    for who in ["weg@example.org", "blijft@example.org"] {
        store.write(vec![Record::of(unsubscribed(who))]).unwrap();
    }
    let erasure = store.erase_person(&key("weg@example.org")).unwrap();
    assert_eq!(erasure.kept_until, Some(month(60)));
    let words = |who| kinds(&store, who).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>();
    let kept = words("weg@example.org");
    assert_eq!(kept.iter().filter(|kind| **kind == "consent").count(), 2, "{kept:?}");
    assert!(kept.contains(&"admitted") && !kept.contains(&"keeping"), "{kept:?}");
    // The later consent would otherwise be kept for five years of its own, and the opt-out for ever.
    rig.clock.set(month(61));
    store.purge(&|| false).unwrap();
    store.purge(&|| false).unwrap();
    assert_eq!(words("weg@example.org"), Vec::<&str>::new());
    let all = store.entries(0..store.size().unwrap()).unwrap();
    assert!(!all.iter().any(|one| String::from_utf8_lossy(&one.bytes).contains("weg@")));
    assert_eq!(words("blijft@example.org").last(), Some(&"unsubscribed"));
    for who in ["weg@example.org", "blijft@example.org"] {
        assert_eq!(store.profile(&sender(), &key(who)).unwrap().suppressions.len(), 1, "{who}");
    }
    sound(&store);
}

#[test]
fn l11_why_somebody_left_goes_after_a_year_that_it_was_told_after_five_and_a_correction_stays() {
    let rig = Rig::new();
    let store = rig.open();
    let (who, reference) = (key("lezer@example.org"), Some(copy(1, 0).reference));
    store.write(vec![Record::of(unsubscribed("lezer@example.org"))]).unwrap();
    let explained =
        Explained { sender: sender(), address: who.clone(), why: Why::TooOften, token: None, reference };
    let told = Told {
        sender: sender(),
        address: who.clone(),
        fact: 0,
        index: 0,
        channel: "webhook".to_owned(),
        target: "crm".to_owned(),
        outcome: Telling::Told,
        answer: "200".to_owned(),
        attempt: 1,
    };
    let corrected = Corrected {
        sender: sender(),
        address: who.clone(),
        since: at(0),
        before: None,
        token: None,
        reference,
        ip: None,
        user_agent: None,
    };
    let events = vec![Event::Explained(explained), Event::Told(told), Event::Corrected(corrected)];
    store.write(vec![Record { events, sides: Vec::new() }]).unwrap();
    store.checkpoint().unwrap();
    let left = || {
        let all = store.entries(0..4).unwrap();
        all.iter().map(|found| found.entry.event.kind().0).collect::<Vec<_>>()
    };
    let mut purged = Vec::new();
    for months in [12, 14, 59, 61, 200] {
        rig.clock.set(month(months));
        purged.push(store.purge(&|| false).unwrap());
    }
    assert_eq!(purged, [0, 1, 0, 1, 0]);
    assert_eq!(left(), ["unsubscribed", "corrected"], "one without the other would tell another story");
    assert_eq!(store.profile(&sender(), &who).unwrap().suppressions, []);
    sound(&store);
}

#[test]
fn promise_2_a_clock_that_jumps_purges_nothing_of_itself_and_loses_nothing() {
    let rig = Rig::new();
    let store = rig.open();
    let day = |number: i64| at(number * 86_400);
    let fact = || vec![Record::of(unsubscribed("lezer@example.org"))];
    for number in 0..30 {
        rig.clock.set(day(number));
        store.write(vec![Record::of(admitted(copy(1, number as u32), &["bob@example.org"]))]).unwrap();
    }
    assert_eq!(store.jump().unwrap(), None);
    // Ten years ahead, and a day back: what is recorded stands in its order, and the tree does not mind.
    rig.clock.set(month(120));
    let (before, after) = store.jump().unwrap().expect("nobody would believe it");
    assert_eq!((before.duration_since(day(29)).as_hours(), after), (0, month(120)));
    store.write(fact()).unwrap();
    assert!(store.jump().unwrap().is_some(), "an entry of that time makes it no better");
    rig.clock.set(day(29));
    store.write(fact()).unwrap();
    rig.clock.set(day(28));
    store.write(fact()).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.jump().unwrap(), None, "what is ahead of the clock does not count");
    let all = store.entries(0..store.size().unwrap()).unwrap();
    assert_eq!(all.iter().filter(|found| matches!(found.entry.event, Event::Unsubscribed(_))).count(), 3);
    assert!(all.windows(2).all(|pair| pair[0].number + 1 == pair[1].number));
    sound(&store);
    // A rest that was one: once the ledger has gone on for three months, it is believed.
    for number in [200, 220, 240, 260, 280] {
        rig.clock.set(day(number));
        store.write(fact()).unwrap();
        assert!(store.jump().unwrap().is_some(), "day {number}");
    }
    rig.clock.set(day(295));
    store.write(fact()).unwrap();
    assert_eq!(store.jump().unwrap(), None);
}
