//! How a sender wants to be shown and told: the keys of `[[sender]]` that are no part of its legal identity.

use std::path::Path;

use super::inbound::certificate_in;
use super::outbound::base_url;
use super::place;
use super::reader::Section;
use super::settings::TlsFiles;
use crate::unsubscribe::{Colour, Logo, Look, MAX_LOGO};

/// What a `[[sender]]` table says besides who the sender is.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// How its unsubscribe page looks; `None`: like everybody's.
    pub(super) look: Option<Look>,
    /// What its links begin with; `None`: what everybody's do.
    pub(super) url: Option<String>,
    /// Certificate and key of the host in `url`; `None`: those of the page.
    pub(super) tls: Option<TlsFiles>,
    /// Whether it is told of unsubscribes once a day, and not of each at once.
    pub(super) daily: bool,
}

/// Read it.
pub(super) fn manner(section: &Section<'_>) -> Manner {
    let colour = section.parsed("color", |text| Colour::parse(text).map_err(|error| error.to_string()));
    let logo = section.parsed("logo_file", |file| {
        let bytes = place::bytes(Path::new(file), MAX_LOGO + 1)?;
        Logo::new(bytes).map_err(|error| format!("{file} {error}"))
    });
    let look = (colour.is_some() || logo.is_some()).then(|| Look::new(colour, logo.as_ref()));
    let daily = section.choice("notify_by", &[("mail", false), ("digest", true)]).unwrap_or(false);
    let url = section
        .parsed("unsubscribe_url", |text| base_url(text).map(|()| text.trim_end_matches('/').to_owned()));
    let tls = certificate_in(section, "unsubscribe_certificate_file", "unsubscribe_key_file");
    if tls.is_some() && url.is_none() {
        section.error(
            "unsubscribe_certificate_file",
            "for which host? write unsubscribe_url = \"https://afmelden.example.nl\"",
        );
    }
    Manner { look, url, tls, daily }
}
