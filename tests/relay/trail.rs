//! The trail of a message, in the log and in the ledger: client session, copy, and the next hop's queue id.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sluis::ledger::Event;
use tracing_subscriber::fmt::MakeWriter;

use super::support::gateway::{INVOICES, NEWS, TestGateway, message};
use super::support::next_hop::{Answer, EVERYTHING, Moment, NextHop};

/// Keeps what is logged on this thread.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Lines about facts of this kind.
    fn lines(&self, kind: &str) -> Vec<Value> {
        self.all().into_iter().filter(|line| line["fields"]["kind"] == kind).collect()
    }

    /// All of them so far.
    pub fn all(&self) -> Vec<Value> {
        let text = self.0.lock().unwrap().clone();
        let lines = text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()).collect()
    }

    /// Keep what is logged on this thread from now on, until what is returned is dropped.
    pub fn keep(&self) -> impl Sized {
        // As long as there is one alone, tracing asks only the thread that comes to a log line first whether anybody
        // wants it, and that may be the thread of another test.
        let second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
        let subscriber = tracing_subscriber::fmt().json().with_writer(self.clone()).finish();
        (tracing::subscriber::set_default(subscriber), second)
    }
}

#[tokio::test]
async fn a_line_and_an_entry_tie_session_copy_and_queue_id() {
    let log = Log::default();
    let _guard = log.keep();
    let queued = |moment, _: &str| {
        (moment == Moment::End).then(|| Answer::Say("250 2.0.0 Ok: queued as 4F2A\r\n".to_owned()))
    };
    let hop = NextHop::scripted(EVERYTHING, queued).await;
    let gateway = TestGateway::start(hop.address).await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    // Straight through, and by way of the spool.
    for (from, to) in [(INVOICES, &["a@example.org"][..]), (NEWS, &["a@example.org", "b@example.org"])] {
        let mut client = gateway.client().await;
        let reply = client.submit(from, to, message(from, "Dag")).await;
        assert_eq!((reply.code, reply.text().as_str()), (250, "2.0.0 Ok: queued as 4F2A"), "the client, too");
    }
    let events = gateway.events();
    let admitted = events.iter().filter_map(|event| match event {
        Event::Admitted(it) => Some((it.copy, it.handover.clone().unwrap().session.to_string())),
        _ => None,
    });
    let admitted: Vec<_> = admitted.collect();
    assert_eq!(admitted.len(), 3);
    assert!(admitted[0].1 != admitted[1].1 && admitted[1].1 == admitted[2].1, "two sessions: {admitted:?}");
    let lines = log.lines("relayed");
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (copy, session) in admitted {
        let relayed = events.iter().any(|event| match event {
            Event::Relayed(it) => it.copy == copy && it.reply == "250 2.0.0 Ok: queued as 4F2A",
            _ => false,
        });
        assert!(relayed, "the entry of {copy}: {events:?}");
        let line = lines.iter().find(|line| {
            line["fields"]["message"].as_str().is_some_and(|text| text.starts_with(&copy.to_string()))
        });
        let line = line.unwrap_or_else(|| panic!("no line about {copy}: {lines:?}"));
        let text = line["fields"]["message"].as_str().unwrap();
        assert!(text.ends_with(&format!("at {}: 250 2.0.0 Ok: queued as 4F2A", hop.address)), "{text}");
        assert_eq!(line["span"]["name"], "session", "{line}");
        assert_eq!(line["span"]["id"].as_str(), Some(session.as_str()), "{line}");
    }
}
