//! Kept connections: reused, bounded, and never the reason that a message is lost or sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluis::relay::{Abilities, PoolSettings, Relay};
use tokio::net::TcpListener;

use super::support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use super::{MESSAGE, brief, copy_of, free, plain, relay_to, settings};

#[tokio::test]
async fn connections_are_kept_and_reused() {
    let mut hop = NextHop::start().await;
    let relay = relay_to(hop.address);
    for _ in 0..5 {
        let delivery = relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
        assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0");
        assert_eq!(hop.next().await.connection, 0);
    }
    assert_eq!(relay.abilities(), Abilities { eight_bit: true, smtputf8: true, size: None });
}

#[tokio::test]
async fn a_refused_message_leaves_the_connection_usable() {
    for extensions in [EVERYTHING, &["PIPELINING"], &["CHUNKING"], &[]] {
        let script = |moment, line: &str| {
            let refused = line.contains("nobody") || line.contains("MAIL FROM:<bad");
            (moment == Moment::Command && refused).then(|| Answer::Say("550 5.1.1 no\r\n".to_owned()))
        };
        let mut hop = NextHop::scripted(extensions, script).await;
        let relay = relay_to(hop.address);
        let mut bad_sender = copy_of(MESSAGE, &["a@example.org"]);
        bad_sender.reverse_path = sluis::mail::ReversePath::Address(super::support::address("bad@x.example"));
        for copy in [copy_of(MESSAGE, &["nobody@example.org"]), bad_sender] {
            assert_eq!(
                brief(&relay.deliver(&copy, &free).await.fates[0]),
                "refused 550 5.1.1",
                "{extensions:?}"
            );
            let delivery = relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
            assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0", "{extensions:?}");
            assert_eq!(hop.next().await.connection, 0, "{extensions:?}");
        }
    }
}

#[tokio::test]
async fn promise_10_no_more_connections_and_messages_than_allowed() {
    let mut hop = NextHop::start().await;
    let mut settings = settings(plain(hop.address));
    settings.pool = PoolSettings { connections: 2, messages: 3, ..PoolSettings::default() };
    let relay = Relay::new(settings).unwrap();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let relay = relay.clone();
            tokio::spawn(async move { relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(brief(&task.await.unwrap().fates[0]), "relayed 250 2.0.0");
    }
    let mut per_connection = vec![0; hop.connections()];
    while let Some(captured) = hop.try_next() {
        per_connection[captured.connection] += 1;
    }
    assert_eq!(per_connection.iter().sum::<usize>(), 12);
    assert!(per_connection.iter().all(|&messages| messages <= 3), "{per_connection:?}");
}

#[tokio::test]
async fn a_connection_that_went_stale_costs_no_message() {
    // After each message it hangs up, once with 421 and once without a word.
    for last_words in ["", "421 4.4.2 idle for too long\r\n"] {
        let count = Arc::new(AtomicUsize::new(0));
        let script = move |moment, line: &str| {
            let second = line.starts_with("MAIL") && count.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            (moment == Moment::Command && second).then(|| Answer::SayAndHangUp(last_words.to_owned()))
        };
        // Without CHUNKING nothing of the message goes out before an answer came.
        let mut hop = NextHop::scripted(&["PIPELINING"], script).await;
        let relay = relay_to(hop.address);
        for _ in 0..3 {
            let delivery = relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
            assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0", "{last_words:?}");
            hop.next().await;
        }
        assert!(hop.try_next().is_none(), "nothing was sent twice");
        assert!(hop.connections() > 1);
    }
}

#[tokio::test]
async fn rfc_5321_4_5_3_1_10_who_is_one_too_many_goes_in_another_transaction() {
    for (refusal, extensions) in [
        ("452 4.5.3 too many recipients\r\n", EVERYTHING),
        ("452 too many recipients\r\n", &["PIPELINING", "DSN"][..]),
        ("552 5.5.3 too many recipients\r\n", &[]),
    ] {
        let taken = AtomicUsize::new(0);
        let two_at_once = move |_, line: &str| {
            if line.starts_with("MAIL") {
                taken.store(0, Ordering::SeqCst);
            }
            let is_over = line.starts_with("RCPT") && taken.fetch_add(1, Ordering::SeqCst) >= 2;
            is_over.then(|| Answer::Say(refusal.to_owned()))
        };
        let mut hop = NextHop::scripted(extensions, two_at_once).await;
        let relay = relay_to(hop.address);
        let recipients = ["1@a.example", "2@a.example", "3@a.example", "4@a.example", "5@a.example"];
        let delivery = relay.deliver(&copy_of(MESSAGE, &recipients), &free).await;
        let fates: Vec<_> = delivery.fates.iter().map(brief).collect();
        assert_eq!(fates, ["relayed 250 2.0.0"; 5], "{refusal}");
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(hop.next().await.rcpt.len());
        }
        assert_eq!((seen, hop.connections()), (vec![2, 2, 1], 1), "{refusal}");
    }
}

#[tokio::test]
async fn rfc_5321_4_5_3_1_10_more_transactions_only_as_long_as_they_get_somewhere() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let only_the_first = move |_, line: &str| {
        counted.fetch_add(usize::from(line.starts_with("MAIL")), Ordering::SeqCst);
        let other = line.starts_with("RCPT") && !line.contains("1@");
        other.then(|| Answer::Say("552 5.5.3 too many recipients\r\n".to_owned()))
    };
    let mut hop = NextHop::scripted(EVERYTHING, only_the_first).await;
    let copy = copy_of(MESSAGE, &["1@a.example", "2@a.example", "3@a.example"]);
    let delivery = relay_to(hop.address).deliver(&copy, &free).await;
    let fates: Vec<_> = delivery.fates.iter().map(brief).collect();
    // Whoever is one too many is never refused for it.
    assert_eq!(fates, ["relayed 250 2.0.0", "deferred 452 4.5.3", "deferred 452 4.5.3"]);
    assert_eq!(hop.next().await.rcpt.len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn rfc_2920_3_1_replies_are_read_before_they_are_too_many_to_be_sent() {
    // More commands, and more replies, than the system keeps for two ends that do not read.
    let many: Vec<String> = (0..60_000).map(|n| format!("{}{n}@example.org", "r".repeat(58))).collect();
    let long = |_, line: &str| {
        let text = format!("250 2.1.5 {}\r\n", "x".repeat(100));
        line.starts_with("RCPT").then_some(Answer::Say(text))
    };
    let mut hop = NextHop::cramped(&["PIPELINING"], long).await;
    let mut own = settings(plain(hop.address));
    own.timeouts.data_block = Duration::from_secs(10);
    let recipients: Vec<&str> = many.iter().map(String::as_str).collect();
    let delivery = Relay::new(own).unwrap().deliver(&copy_of(MESSAGE, &recipients), &free).await;
    assert!(
        delivery.fates.iter().all(|fate| brief(fate) == "relayed 250 2.0.0"),
        "{}",
        brief(&delivery.fates[0])
    );
    assert_eq!(hop.next().await.rcpt.len(), many.len());
}

#[tokio::test]
async fn promise_10_idle_connections_are_not_used_for_ever() {
    let mut hop = NextHop::start().await;
    let mut settings = settings(plain(hop.address));
    settings.pool.idle = Duration::ZERO;
    let relay = Relay::new(settings).unwrap();
    for connection in 0..3 {
        relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
        assert_eq!(hop.next().await.connection, connection);
    }
}

#[tokio::test]
async fn p15_a_next_hop_that_is_down_is_our_own_451_and_tried_once() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let relay = relay_to(address);
    let delivery = relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
    assert_eq!(brief(&delivery.fates[0]), "deferred 451 4.4.1");
    assert!(delivery.down);
    assert!(relay.probe().await.is_err());
    assert_eq!(relay.abilities(), Abilities::default(), "nothing is claimed of a next hop never seen");
}

#[tokio::test]
async fn promise_10_the_wait_for_a_connection_is_bounded() {
    let script = |moment, _: &str| (moment == Moment::End).then_some(Answer::Silence);
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let mut settings = settings(plain(hop.address));
    settings.pool.connections = 1;
    settings.pool.wait = Duration::from_millis(20);
    let relay = Relay::new(settings).unwrap();
    let first = tokio::spawn({
        let relay = relay.clone();
        async move { relay.deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await }
    });
    // The first has the only connection, and will not give it back.
    hop.next().await;
    let second = relay.deliver(&copy_of(MESSAGE, &["b@example.org"]), &free).await;
    assert_eq!(brief(&second.fates[0]), "deferred 451 4.3.2");
    assert!(second.down);
    first.abort();
}
