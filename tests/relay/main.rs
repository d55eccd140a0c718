//! The relay against next hops that do anything a bad server does, and against a real one.

#[path = "../support/mod.rs"]
mod support;

mod dialog;
mod folder;
mod hops;
mod journey;
mod mx;
mod pool;
mod proven;
mod samotop;
mod secure;
mod spool;
mod trail;
mod unproven;

use std::net::SocketAddr;

use bytes::Bytes;
use sluis::mail::{CopyId, Reference, ReversePath};
use sluis::message::Rope;
use sluis::policy;
use sluis::relay::{Copy, CopyRecipient, Fate, Held, NextHop, Relay, Route, Settings, SmtpHop, TlsMode};
use support::address;

/// A short message with a dot that has to be stuffed.
const MESSAGE: &str = "From: a@voorbeeldhypotheken.nl\r\nSubject: hi\r\n\r\nHello\r\n.\r\n..dots\r\n";

/// A next hop at `address`, without TLS.
fn plain(address: SocketAddr) -> SmtpHop {
    SmtpHop { tls: TlsMode::None, ..SmtpHop::new(address.ip().to_string(), address.port()) }
}

fn settings(hop: SmtpHop) -> Settings {
    Settings::new(NextHop::Smtp(hop), "gateway.example")
}

fn relay_to(address: SocketAddr) -> Relay {
    Relay::new(settings(plain(address))).unwrap()
}

/// A copy of `message` to `recipients`.
fn copy_of(message: impl Into<Bytes>, recipients: &[&str]) -> Copy {
    let message = message.into();
    let eight_bit = !message.is_ascii();
    Copy {
        id: copy_id(0),
        reverse_path: ReversePath::Address(address("nieuws@voorbeeldhypotheken.nl")),
        recipients: recipients
            .iter()
            .map(|text| CopyRecipient {
                permit: policy::system(address(text), None),
                notify: None,
                orcpt: None,
            })
            .collect(),
        rope: Rope::whole(message),
        eight_bit,
        smtputf8: false,
        ret: None,
        envid: None,
        route: Route::default(),
        login: None,
    }
}

/// Nothing stands in the way of a copy.
fn free() -> Result<(), Held> {
    Ok(())
}

fn copy_id(index: u32) -> CopyId {
    let now = "2026-03-01T10:00:00Z".parse().unwrap();
    CopyId { reference: Reference::new(now, [1; 10]), index }
}

/// `relayed 250 2.0.0`, `in doubt 451 4.4.2`: the kind of a fate and its codes.
fn brief(fate: &Fate) -> String {
    let kind = match fate {
        Fate::Relayed(_) => "relayed",
        Fate::Refused(_) => "refused",
        Fate::Deferred(_) => "deferred",
        Fate::InDoubt(_) => "in doubt",
        Fate::Cancelled(_) => "cancelled",
    };
    let answer = fate.answer();
    match &answer.enhanced {
        Some(enhanced) => format!("{kind} {} {enhanced}", answer.code),
        None => format!("{kind} {}", answer.code),
    }
}
