//! Values that several sections have: addresses, networks, names, counts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Section;
use crate::mail::{Address, Domain};

pub(super) fn socket(section: &Section<'_>, key: &'static str) -> Option<SocketAddr> {
    section.parsed(key, |text| {
        text.parse().map_err(|_| {
            format!("\"{text}\" is not an IP address and port; write \"127.0.0.1:2525\" or \"[::1]:2525\"")
        })
    })
}

/// A network such as `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse::<IpNet>()).map(|network| network.trunc()).map_err(|_| {
        format!("\"{text}\" is not a network; write \"10.0.0.0/8\", \"2001:db8::/32\" or one address")
    })
}

/// A domain name, not an address literal.
pub(super) fn host_name(text: &str) -> Result<Domain, String> {
    match Domain::parse(text) {
        Ok(domain) if !text.starts_with('[') => Ok(domain),
        Ok(_) => Err(format!("\"{text}\" is an address literal; write a host name: \"mail.example.nl\"")),
        Err(error) => Err(format!("\"{text}\" is no host name ({error}); write \"mail.example.nl\"")),
    }
}

/// A mailbox without angle brackets.
pub(super) fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse(text)
        .map_err(|error| format!("\"{text}\" is no e-mail address ({error}); write \"info@example.nl\""))
}

pub(super) fn count(
    section: &Section<'_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u64>,
    default: usize,
) -> usize {
    section.number(key, range).map_or(default, |number| number as usize)
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}
