//! Names and help texts of all metrics, so that a dashboard has one page to read.
//!
//! Rooms count through these functions; the exporter is installed by `telemetry`. Without an exporter
//! every call is a no-op.

use ::metrics::{counter, gauge, histogram};

/// Sessions opened, by listener.
pub fn session_opened(listener: &str) {
    counter!("sluis_sessions_total", "listener" => listener.to_owned()).increment(1);
}

/// Sessions that are open now.
pub fn sessions_open(count: usize) {
    gauge!("sluis_sessions_open").set(count as f64);
}

/// Recipients decided, by class and answer (`forward`, `refuse`, `defer`).
pub fn recipient_decided(class: &'static str, answer: &'static str) {
    counter!("sluis_recipients_decided_total", "class" => class, "answer" => answer).increment(1);
}

/// Recipients whose copy has an outcome (`relayed`, `bounced`, `delayed`, `in_doubt`, `cancelled`).
pub fn recipient_outcome(outcome: &'static str) {
    counter!("sluis_recipient_outcomes_total", "outcome" => outcome).increment(1);
}

/// One durable commit of the ledger: how many records it carried, and how long it took in seconds.
pub fn ledger_commit(records: usize, seconds: f64) {
    counter!("sluis_ledger_records_total").increment(records as u64);
    histogram!("sluis_ledger_commit_seconds").record(seconds);
}

/// Copies waiting in the spool.
pub fn spool_waiting(count: u64) {
    gauge!("sluis_spool_copies").set(count as f64);
}

/// Unsubscribes that took effect, by way (`one_click`, `page`, `mailto`).
pub fn unsubscribed(way: &'static str) {
    counter!("sluis_unsubscribes_total", "way" => way).increment(1);
}

/// Unsubscribes that whoever made them took back.
pub fn unsubscribe_corrected() {
    counter!("sluis_unsubscribe_corrections_total").increment(1);
}

/// Sign-ups by form, by what became of them (`mailed`, `not_mailed`, `elsewhere`, `confirmed`).
pub fn form_answered(outcome: &'static str) {
    counter!("sluis_forms_total", "outcome" => outcome).increment(1);
}

/// Tries to tell those who must know, by channel (`webhook`, `one_click`) and outcome (`told`, `given_up`,
/// `not_needed`, `failed`).
pub fn told(channel: &'static str, outcome: &'static str) {
    counter!("sluis_tellings_total", "channel" => channel, "outcome" => outcome).increment(1);
}

/// Mails to the unsubscribe address, by what became of them (`unsubscribed`, `complained`, `returned_hard`,
/// `returned_soft`, `ignored`, `held`).
pub fn unsubscribe_mail(handled: &'static str) {
    counter!("sluis_unsubscribe_mails_total", "handled" => handled).increment(1);
}

/// Whether the unsubscribe endpoint answers its own health check.
pub fn unsubscribe_healthy(healthy: bool) {
    gauge!("sluis_unsubscribe_healthy").set(if healthy { 1.0 } else { 0.0 });
}

/// A limit turned somebody away.
pub fn limit_hit(limit: &'static str) {
    counter!("sluis_limit_hits_total", "limit" => limit).increment(1);
}

/// Message bytes buffered now.
pub fn message_memory(bytes: u64) {
    gauge!("sluis_message_memory_bytes").set(bytes as f64);
}
