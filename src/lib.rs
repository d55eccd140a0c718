//! Sluis: an SMTP relay and compliance gateway.
//!
//! The house has six storeys and its stairs only go down; `docs/ARCHITECTURE.md` is the map and
//! `tests/architecture.rs` holds the walls. From the ground up:
//!
//! * **0 words**: [`mail`], [`clock`], [`secret`], [`metrics`], [`shutdown`]
//! * **1 grammar**: [`smtp`], [`message`] (pure, sans-IO)
//! * **2 registers**: [`consent`], [`suppression`], [`policy`], [`ledger`], [`limits`], [`token`]
//! * **3 machines**: [`net`], [`relay`], [`store`], [`notify`] (sockets and disk live here)
//! * **4 journeys**: [`gateway`], [`submission`], [`unsubscribe`], [`subscribe`], [`admin`], [`api`]
//! * **5 doors**: [`config`], [`telemetry`], [`cli`], [`app`]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// A panic in a session is an outage for somebody; an invariant that holds is an `expect` with its reason.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::panic))]

pub mod clock;
pub mod mail;
pub mod metrics;
pub mod secret;
pub mod shutdown;

pub mod message;
pub mod smtp;

pub mod consent;
pub mod ledger;
pub mod limits;
pub mod policy;
pub mod suppression;
pub mod token;

pub mod net;
pub mod notify;
pub mod relay;
pub mod store;

pub mod admin;
pub mod api;
pub mod gateway;
pub mod submission;
pub mod subscribe;
pub mod unsubscribe;

pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;
