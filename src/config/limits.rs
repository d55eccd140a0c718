//! Every bound (promise 10).

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::Section;
use super::settings::Limits;
use super::value::{count, seconds};

/// Read `[limits]`.
pub(super) fn limits(section: Section<'_>) -> Limits {
    let d = Limits::default();
    let octets = |key, range, default| section.size(key, range).unwrap_or(default);
    let small = |key, range, default: usize| octets(key, range, default as u64) as usize;
    let many = |key, range: RangeInclusive<u64>, default| count(&section, key, range, default);
    let rate = |key, default: u32| section.number(key, 1..=u64::from(u32::MAX)).map_or(default, |n| n as u32);
    let wait =
        |key, default: Duration| section.duration(key, seconds(1)..=seconds(86_400)).unwrap_or(default);
    let limits = Limits {
        message_size: octets("message_size", 64 << 10..=2 << 30, d.message_size),
        message_memory: octets("message_memory", 1 << 20..=1 << 40, d.message_memory),
        recipients: many("recipients", 100..=100_000, d.recipients),
        connections: many("connections", 1..=100_000, d.connections),
        connections_per_ip: many("connections_per_ip", 1..=100_000, d.connections_per_ip),
        bad_commands: rate("bad_commands", d.bad_commands),
        refused_recipients: rate("refused_recipients", d.refused_recipients),
        idle_commands: rate("idle_commands", d.idle_commands),
        commands: section.number("commands", 100..=u64::from(u32::MAX)).unwrap_or(d.commands),
        command_timeout: wait("command_timeout", d.command_timeout),
        data_timeout: wait("data_timeout", d.data_timeout),
        message_timeout: wait("message_timeout", d.message_timeout),
        data_rate: octets("data_rate", 0..=1 << 30, d.data_rate),
        write_timeout: wait("write_timeout", d.write_timeout),
        handshake_timeout: wait("handshake_timeout", d.handshake_timeout),
        decision_timeout: wait("decision_timeout", d.decision_timeout),
        memory_wait: wait("memory_wait", d.memory_wait),
        header: small("header", 1 << 10..=16 << 20, d.header),
        header_fields: many("header_fields", 50..=100_000, d.header_fields),
        parts: many("parts", 1..=100_000, d.parts),
        depth: many("depth", 1..=100, d.depth),
        placeholders: many("placeholders", 1..=100_000, d.placeholders),
        received: many("received", 5..=1_000, d.received),
        sign_in_failures_per_session: rate("sign_in_failures_per_session", d.sign_in_failures_per_session),
        sign_in_failures_per_ip: rate("sign_in_failures_per_ip", d.sign_in_failures_per_ip),
        sign_in_failures_per_account: rate("sign_in_failures_per_account", d.sign_in_failures_per_account),
        sign_in_window: wait("sign_in_window", d.sign_in_window),
        messages_per_hour: rate("messages_per_hour", d.messages_per_hour),
        refusals_per_hour: rate("refusals_per_hour", d.refusals_per_hour),
        form_mails_per_address: rate("form_mails_per_address", d.form_mails_per_address),
        forms_per_network: rate("forms_per_network", d.forms_per_network),
        forms_per_hour: rate("forms_per_hour", d.forms_per_hour),
        remembered: many("remembered", 100..=10_000_000, d.remembered),
        spool_copies: section.number("spool_copies", 1..=100_000_000).unwrap_or(d.spool_copies),
        ledger_queue: many("ledger_queue", 1..=1_000_000, d.ledger_queue),
        ledger_batch: many("ledger_batch", 1..=100_000, d.ledger_batch),
        ledger_pack_entries: many("ledger_pack_entries", 1..=100_000, d.ledger_pack_entries),
        http_connections: many("http_connections", 1..=100_000, d.http_connections),
        http_body: small("http_body", 1 << 10..=16 << 20, d.http_body),
        http_timeout: wait("http_timeout", d.http_timeout),
        http_idle: wait("http_idle", d.http_idle),
        http_pending: many("http_pending", 1..=1_000_000, d.http_pending),
        unsubscribe_mail: octets("unsubscribe_mail", 64 << 10..=1 << 30, d.unsubscribe_mail),
        unsubscribe_connections: many("unsubscribe_connections", 1..=100_000, d.unsubscribe_connections),
        unsubscribe_mails_per_network: rate("unsubscribe_mails_per_network", d.unsubscribe_mails_per_network),
        unsubscribe_mails_per_hour: rate("unsubscribe_mails_per_hour", d.unsubscribe_mails_per_hour),
        inbox_per_network: rate("inbox_per_network", d.inbox_per_network),
        reply_search: many("reply_search", 1..=100_000, d.reply_search),
        dns_timeout: wait("dns_timeout", d.dns_timeout),
        inbox: section.number("inbox", 1..=1_000_000).unwrap_or(d.inbox),
        api_connections: many("api_connections", 1..=10_000, d.api_connections),
        api_body: small("api_body", 1 << 10..=64 << 20, d.api_body),
        api_at_once: many("api_at_once", 1..=1_000, d.api_at_once),
        admin_connections: many("admin_connections", 1..=1_000, d.admin_connections),
        admin_wait: section.duration("admin_wait", Duration::ZERO..=seconds(600)).unwrap_or(d.admin_wait),
        admin_message: small("admin_message", 1 << 20..=1 << 30, d.admin_message),
    };
    if limits.message_memory < limits.message_size {
        section.error("message_memory", "is less than message_size: not even one message would fit");
    }
    if limits.connections_per_ip > limits.connections && section.has("connections_per_ip") {
        section.error("connections_per_ip", "is more than connections");
    }
    for (key, value, least) in
        [("command_timeout", limits.command_timeout, 5), ("data_timeout", limits.data_timeout, 3)]
    {
        if value < seconds(least * 60) {
            section.warn(key, format!("is less than the {least} minutes that RFC 5321 4.5.3.2 asks for"));
        }
    }
    section.finish();
    limits
}
