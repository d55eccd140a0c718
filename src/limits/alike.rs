//! How many near-identical messages one account sent (RULES L13).
//!
//! In memory, and so bounded and gone with the process: a restart lets an account begin anew
//! (docs/decisions/0061). A message counts once it was taken; until then its [`Counted`] holds the place.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::{SharedClock, Timestamp};
use crate::message::Fingerprint;

/// How long a message is remembered.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Texts remembered of one account.
const TEXTS: usize = 1_000;
/// Messages counted of one text; more are as many.
const TIMES: usize = 4_096;

/// The counters; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Alike {
    table: Arc<Mutex<Table>>,
    clock: SharedClock,
    /// Most texts, over all accounts.
    most: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Table {
    accounts: HashMap<String, Vec<Text>>,
    texts: usize,
    next: u64,
}

/// One text and when it was sent.
#[derive(Debug)]
struct Text {
    id: u64,
    words: Fingerprint,
    times: VecDeque<Timestamp>,
}

/// One message among those like it; given back when dropped, unless it was kept.
#[derive(Debug)]
pub struct Counted {
    alike: Alike,
    who: String,
    text: u64,
    at: Timestamp,
    /// How many there are within 24 hours, this one included.
    pub count: usize,
    kept: bool,
}

impl Counted {
    /// The message was taken: it counts.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.kept {
            self.alike.take_back(&self.who, self.text, self.at);
        }
    }
}

impl Alike {
    /// `most` texts are remembered in all.
    pub(super) fn new(most: usize, clock: &SharedClock) -> Self {
        let alike = Self { table: Arc::default(), clock: Arc::clone(clock), most: Arc::default() };
        alike.resize(most);
        alike
    }

    /// Remember `most` texts in all from now on; a table that holds more shrinks as it is used.
    pub(super) fn resize(&self, most: usize) {
        self.most.store(most.max(2), Ordering::Relaxed);
    }

    /// Count one more message of `who`.
    pub(super) fn count(&self, who: String, words: Fingerprint) -> Counted {
        let now = self.clock.now();
        let mut table = self.table();
        let texts = table.accounts.entry(who.clone()).or_default();
        let before = texts.len();
        texts.retain_mut(|text| {
            text.times.retain(|at| now.duration_since(*at).unsigned_abs() < DAY);
            !text.times.is_empty()
        });
        let gone = before - texts.len();
        let (text, count, new) = match texts.iter_mut().find(|text| text.words.is_near(&words)) {
            Some(text) => {
                text.times.push_back(now);
                if text.times.len() > TIMES {
                    text.times.pop_front();
                }
                (text.id, text.times.len(), None)
            }
            None => (table.next, 1, Some(Text { id: table.next, words, times: VecDeque::from([now]) })),
        };
        table.texts -= gone;
        if let Some(new) = new {
            table.next += 1;
            table.add(&who, new, self.most.load(Ordering::Relaxed));
        }
        drop(table);
        Counted { alike: self.clone(), who, text, at: now, count, kept: false }
    }

    fn take_back(&self, who: &str, id: u64, at: Timestamp) {
        let mut table = self.table();
        let Some(texts) = table.accounts.get_mut(who) else { return };
        let Some(place) = texts.iter().position(|text| text.id == id) else { return };
        let times = &mut texts[place].times;
        if let Some(this) = times.iter().position(|time| *time == at) {
            times.remove(this);
        }
        if times.is_empty() {
            texts.remove(place);
            let nothing_left = texts.is_empty();
            table.texts -= 1;
            if nothing_left {
                table.accounts.remove(who);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(test)]
    fn texts(&self) -> usize {
        let table = self.table();
        assert_eq!(table.texts, table.accounts.values().map(Vec::len).sum::<usize>());
        table.texts
    }
}

impl Table {
    fn add(&mut self, who: &str, text: Text, most: usize) {
        while self.texts >= most {
            self.forget_half();
        }
        let texts = self.accounts.entry(who.to_owned()).or_default();
        if texts.len() >= TEXTS {
            // Of the texts of one account, the one that was sent least.
            let least = texts.iter().enumerate().min_by_key(|(_, text)| text.times.len()).map(|(at, _)| at);
            if let Some(least) = least {
                texts.remove(least);
                self.texts -= 1;
            }
        }
        self.texts += 1;
        texts.push(text);
    }

    /// The half that was sent least goes, so that nobody washes a text away with others.
    fn forget_half(&mut self) {
        let mut counts: Vec<usize> = self.accounts.values().flatten().map(|text| text.times.len()).collect();
        let middle = counts.len() / 2;
        if counts.is_empty() {
            return;
        }
        let (_, &mut median, _) = counts.select_nth_unstable(middle);
        let mut excess = middle.max(1);
        self.accounts.retain(|_, texts| {
            texts.retain(|text| {
                let forget = text.times.len() <= median && excess > 0;
                excess -= usize::from(forget);
                !forget
            });
            !texts.is_empty()
        });
        self.texts = self.accounts.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const START: i64 = 1_700_000_000;

    fn rig(most: usize) -> (Alike, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_second(START).unwrap()));
        let shared: SharedClock = clock.clone();
        (Alike::new(most, &shared), clock)
    }

    fn text(words: &str) -> Fingerprint {
        Fingerprint::of_text(words).unwrap()
    }

    fn offer(name: &str) -> Fingerprint {
        text(&format!("beste {name}, deze maand is de rente op hypotheken lager dan ooit, bel ons even"))
    }

    fn send(alike: &Alike, who: &str, words: Fingerprint) -> usize {
        let counted = alike.count(who.to_owned(), words);
        let count = counted.count;
        counted.keep();
        count
    }

    #[test]
    fn l13_near_identical_messages_are_counted_by_account_for_a_day() {
        let (alike, clock) = rig(100);
        for (n, name) in (1..).zip(["Jan", "Piet", "Klaas", "Marie"]) {
            assert_eq!(send(&alike, "anna", offer(name)), n);
        }
        assert_eq!(send(&alike, "bob", offer("Jan")), 1, "another account");
        assert_eq!(
            send(&alike, "anna", text("de sleutel ligt onder de mat bij de achterdeur")),
            1,
            "another text"
        );
        clock.set(Timestamp::from_second(START + 24 * 3600 - 1).unwrap());
        assert_eq!(send(&alike, "anna", offer("Eva")), 5);
        clock.set(Timestamp::from_second(START + 24 * 3600).unwrap());
        assert_eq!(send(&alike, "anna", offer("Kim")), 2);
    }

    #[test]
    fn l13_a_message_that_was_not_taken_does_not_count() {
        let (alike, _) = rig(100);
        for _ in 0..50 {
            assert_eq!(alike.count("anna".to_owned(), offer("Jan")).count, 1);
        }
        assert_eq!(alike.texts(), 0);
        let (one, two) =
            (alike.count("anna".to_owned(), offer("Jan")), alike.count("anna".to_owned(), offer("Piet")));
        assert_eq!((one.count, two.count), (1, 2), "those on their way count for each other");
        two.keep();
        drop(one);
        assert_eq!(send(&alike, "anna", offer("Eva")), 2);
    }

    #[test]
    fn promise_10_texts_are_forgotten_and_what_was_sent_often_is_kept() {
        let (alike, _) = rig(50);
        for _ in 0..10 {
            send(&alike, "anna", offer("Jan"));
        }
        for n in 0..500 {
            let other: String = (0..12)
                .map(|word| format!("w{}x{} ", (b'a' + (n % 26) as u8) as char, n * 31 + word))
                .collect();
            let other = format!("{other} {}", "abcdefghij".chars().nth(n % 10).unwrap());
            send(&alike, &format!("account{n}"), text(&other));
        }
        assert!(alike.texts() <= 50);
        assert_eq!(send(&alike, "anna", offer("Piet")), 11);
    }
}
