//! What the pages for signing up have in common with those for leaving.

pub(crate) use super::desk::printable;
pub(crate) use super::detached::Detached;
pub(crate) use super::http::{
    again, closing, field, html, is_ours, not_found, other_method, read, text, with,
};
pub(crate) use super::page::{imprint, masked, shell};
pub(crate) use super::proxy::client;
