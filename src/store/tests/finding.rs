//! Lookups: pages, times, and what a clock that jumps does to them.

use super::*;

fn numbers(page: &Page) -> Vec<u64> {
    page.found.iter().map(|one| one.number).collect()
}

fn ask(store: &Store, about: About<'_>, window: &Window) -> Page {
    store.page(about, window).unwrap()
}

#[test]
fn a_long_listing_comes_page_by_page_and_complete() {
    let rig = Rig::new();
    let store = rig.open();
    for index in 0..25 {
        store
            .write(vec![
                Record::of(admitted(copy(1, index), &["bob@example.org"])),
                Record::of(Event::Relayed(outcome(copy(1, index), &["bob@example.org"]))),
            ])
            .unwrap();
    }
    let bob = key("bob@example.org");
    let abouts = [About::Address(&bob), About::Reference(copy(1, 0).reference), About::Everything];
    for (about, in_all) in abouts.into_iter().zip([50, 50, 50]) {
        let (mut seen, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = ask(&store, about, &Window { after, limit: 10, ..Window::default() });
            seen.extend(numbers(&page));
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..in_all).collect::<Vec<_>>(), "{about:?}");
        assert!(pages >= 3, "{about:?} in {pages} pages");
    }
}

#[test]
fn entries_are_found_by_time_though_the_clock_jumped() {
    let rig = Rig::new();
    let store = rig.open();
    let write = |seconds| {
        rig.clock.set(at(seconds));
        store.write(vec![Record::of(unsubscribed("bob@example.org"))]).unwrap()
    };
    // A day back, ten years forward, and home again: the number is the order, the time is what the clock said.
    const DAY: i64 = 86_400;
    let times = [0, 30, 90, -DAY, -DAY + 5, 3_650 * DAY, 120, 125];
    for seconds in times {
        write(seconds);
    }
    let between = |since: i64, until: i64| {
        let window =
            Window { since: Some(at(since)), until: Some(at(until)), limit: 100, ..Window::default() };
        let found = ask(&store, About::Everything, &window).found;
        found
            .iter()
            .filter(|one| matches!(one.entry.event, Event::Unsubscribed(_)))
            .map(|one| one.entry.at.as_second() - at(0).as_second())
            .collect::<Vec<_>>()
    };
    assert_eq!(between(0, 121), [0, 30, 90, 120]);
    assert_eq!(between(-2 * DAY, 0), [-DAY, -DAY + 5]);
    assert_eq!(between(3_649 * DAY, 3_651 * DAY), [3_650 * DAY]);
    assert_eq!(between(31, 90), [] as [i64; 0], "until is not included");
    assert_eq!(between(50, 10), [] as [i64; 0]);
    sound(&store);
    drop(store);
    sound(&rig.open());
}

#[test]
fn the_last_of_a_reference_s_copies_is_not_the_submission_as_a_whole() {
    let rig = Rig::new();
    let store = rig.open();
    let last = copy(1, u32::MAX);
    store.write(vec![Record::of(admitted(last, &["a@x.nl"])), Record::of(unsubscribed("a@x.nl"))]).unwrap();
    assert_eq!(store.by_copy(last, 10).unwrap().len(), 1);
    assert_eq!(store.by_reference(last.reference, 10).unwrap().len(), 2);
    sound(&store);
}

#[test]
fn each_checkpoint_says_how_many_were_accepted_sent_refused_bounced_and_cancelled() {
    let rig = Rig::new();
    let store = rig.open();
    let refused = Event::Refused {
        reference: None,
        handover: crate::ledger::Handover {
            session: crate::mail::SessionId::new([1; 8]),
            ip: "192.0.2.1".to_owned(),
            account: None,
            helo: "tool".to_owned(),
            tls: None,
        },
        reverse_path: String::new(),
        stage: crate::ledger::Stage::Rcpt,
        message_id: None,
        recipients: Vec::new(),
    };
    store
        .write(vec![
            Record::of(admitted(copy(1, 0), &["a@x.nl", "b@x.nl", "c@x.nl"])),
            Record::of(Event::Relayed(outcome(copy(1, 0), &["a@x.nl"]))),
            Record::of(Event::Bounced(outcome(copy(1, 0), &["b@x.nl"]))),
            Record::of(Event::Cancelled(outcome(copy(1, 0), &["c@x.nl"]))),
            Record::of(refused),
        ])
        .unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let store = rig.open();
    store.write(vec![Record::of(admitted(copy(2, 0), &["a@x.nl"]))]).unwrap();
    store.checkpoint().unwrap();
    let (_, note) = store.latest_checkpoint().unwrap().unwrap();
    assert!(note.contains("\ncounts accepted=4 sent=1 refused=0 bounced=1 cancelled=1\n"), "{note}");
    sound(&store);
}
