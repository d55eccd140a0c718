//! What tests of several rooms share: a ledger in memory, a next hop that captures, clients that speak
//! SMTP and HTTP octet by octet. Everything binds port 0 and waits for events, never for time, and none
//! without a limit ([`patience`]).
#![allow(dead_code, reason = "each test binary uses some of it")]

pub mod gateway;
pub mod hook;
pub mod house;
pub mod http;
pub mod ledger;
pub mod next_hop;
pub mod patience;
pub mod smtp;
pub mod tsa;

use std::sync::Arc;

use sluis::mail::{Address, Domain, Language, Sender, SenderId};

/// The address that `text` spells.
pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Tells nobody anything.
#[derive(Debug)]
pub struct Silence;

impl sluis::relay::Tidings for Silence {
    fn tell(
        &self,
        _: &mut sluis::ledger::Record,
        _: usize,
        _: sluis::ledger::News<'_>,
        _: &sluis::relay::Spool,
    ) {
    }

    fn recorded(&self) {}
}

/// The sender of the examples.
pub fn sender() -> Arc<Sender> {
    Arc::new(Sender {
        id: SenderId("12345678".to_owned()),
        name: "Voorbeeld Hypotheken B.V.".to_owned(),
        trade_names: vec!["Voorbeeld Hypotheken".to_owned()],
        kvk: "12345678".to_owned(),
        address: "Dorpsstraat 1, 1234 AB Ons Dorp".to_owned(),
        contact: address("info@voorbeeldhypotheken.nl"),
        domains: vec![Domain::parse("voorbeeldhypotheken.nl").unwrap()],
        notify: vec![address("beheer@voorbeeldhypotheken.nl")],
        language: Language::Nl,
    })
}
