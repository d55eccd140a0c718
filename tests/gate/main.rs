//! The front gate, driven over real streams with a scripted journey behind it: dialogs that an
//! administrator can read (`tests/dialogs/`), and what a dialog cannot show (waits, stops, TLS, memory).

mod behaviour;
mod dialogs;
mod oracle;
mod script;
