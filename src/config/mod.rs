//! The config file: one TOML file in, checked [`Settings`] out, or every problem at once.
//!
//! [`load`] reads the file with the position of each value, checks all of it, and collects what is wrong
//! rather than stopping at the first mistake: each [`Problem`] names file, line, column, dotted key and
//! what would be right. Unknown keys are errors. A value of `Settings` is consistent for as long as it
//! lives: files exist and are closed to others, names refer to something, limits are within bounds.
//!
//! `Settings` are plain values of this room; `app` maps them to the rooms. Secrets come from `*_file` keys or
//! from environment variables and never stand in the file. Deliberately absent: making anything (keys,
//! certificates, folders) and anything that listens or connects.

mod check;
mod hash;
mod inbound;
mod limits;
mod manner;
mod outbound;
mod place;
mod problem;
mod quantity;
mod reader;
mod rules;
mod settings;
mod tell;
mod value;

pub use check::{Environment, MAX_FILE, load, parse};
pub use problem::{Problem, Problems};
pub use settings::{
    Account, Algorithm, Dkim, DkimKey, LedgerSettings, Limits, Listener, ListenerTls, LogFormat, LogSettings,
    NextHop, RelaySettings, Settings, Tell, TlsFiles, Trusted, UnsubscribeSettings, WebhookSettings,
};

#[cfg(test)]
mod tests;
