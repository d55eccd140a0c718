//! Wiring: what is made at start, handed to whom, and in which order it stops.

pub mod keys;
