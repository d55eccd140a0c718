//! The config file: one TOML file in, checked [`Settings`] out, or every problem at once.
//!
//! [`load`] reads the file with the position of each value, checks all of it, and collects what is wrong
//! rather than stopping at the first mistake: each [`Problem`] names file, line, column, dotted key and
//! what would be right. Unknown keys are errors. Rules and senders may stand in files of
//! their own (`include`). A value of `Settings` is consistent for as long as it
//! lives: files exist and are closed to others, names refer to something, limits are within bounds.
//!
//! `Settings` are plain values of this room; `app` maps them to the rooms. Secrets come from `*_file` keys or
//! from environment variables and never stand in the file. Deliberately absent: making anything (keys,
//! certificates, folders) and anything that listens or connects.

mod api;
mod cases;
mod check;
mod footer;
mod form;
mod hash;
mod inbound;
mod include;
mod limits;
mod manner;
mod mx;
mod next_hop;
mod outbound;
mod place;
mod problem;
mod quantity;
mod reader;
mod rules;
mod settings;
mod tell;
mod value;

pub use cases::{Case, Expected, OnRecord, cases};
pub use check::{Environment, MAX_FILE, load, parse};
pub use problem::{Problem, Problems};
pub use settings::{
    Account, Algorithm, Dkim, DkimKey, HopLimits, HopSettings, LedgerSettings, Limits, Listener, ListenerTls,
    LogFormat, LogSettings, MxSettings, NextHop, RelaySettings, Settings, Tell, TlsFiles, Trusted,
    UnsubscribeSettings, WebhookSettings,
};

#[cfg(test)]
mod tests;
