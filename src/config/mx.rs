//! A next hop that is the recipients' own servers: `"mx"`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::next_hop::readable;
use super::reader::Section;
use super::settings::{HopLimits, HopSettings, MxSettings, NextHop};
use super::value::count;
use crate::net::dns;
use crate::relay::{IpVersions, TlsMode};

/// All questions about a domain, when the file does not say.
const LOOKUPS: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// Keys that mean nothing for any other next hop.
const OF_MX: [&str; 9] = [
    "connections_per_domain",
    "dns_servers",
    "dnssec",
    "dnssec_anchors_file",
    "ip_versions",
    "lookup_timeout",
    "mta_sts",
    "private_mx",
    "remembered_domains",
];
/// Keys of a server that mean nothing for this one.
const OF_A_SERVER: [&str; 8] = [
    "directory",
    "verify",
    "certificate_pins",
    "tls_name",
    "client_certificate_file",
    "client_key_file",
    "credentials_file",
    "proxy",
];

/// The port, when `text` is this kind of next hop: `mx`, or `mx:2525` for a try.
pub(super) fn port(text: &str) -> Option<u16> {
    match text.strip_prefix("mx")? {
        "" => Some(25),
        rest => rest.strip_prefix(':')?.parse().ok().filter(|port| *port > 0),
    }
}

/// Keys of direct delivery beside another next hop are mistakes.
pub(super) fn only_elsewhere(section: &Section<'_>, address: &'static str) {
    for key in OF_MX {
        if section.has(key) {
            section.error(key, format!("is only used with {address} = \"mx\""));
        }
    }
}

pub(super) fn hop(section: &Section<'_>, name: &str, port: u16, limits: HopLimits) -> Option<HopSettings> {
    for key in OF_A_SERVER {
        if section.has(key) {
            section.error(key, "means nothing for the servers of recipients; leave it out");
        }
    }
    let modes =
        [("opportunistic", TlsMode::Opportunistic), ("starttls", TlsMode::StartTls), ("none", TlsMode::None)];
    let tls = section.choice("tls", &modes).unwrap_or(TlsMode::Opportunistic);
    if tls == TlsMode::None {
        section.warn("tls", "mail crosses the internet in the clear; leave it out");
    }
    let versions = [("both", IpVersions::Both), ("4", IpVersions::V4), ("6", IpVersions::V6)];
    let per_minute = section.number("messages_per_minute", 1..=1_000_000);
    let mx = MxSettings {
        port,
        mta_sts: section.flag("mta_sts").unwrap_or(true),
        ip_versions: section.choice("ip_versions", &versions).unwrap_or_default(),
        private: section.flag("private_mx").unwrap_or(false),
        per_domain: count(section, "connections_per_domain", 1..=1_000, 5),
        domains: count(section, "remembered_domains", 10..=1_000_000, 10_000),
        lookups: section.duration("lookup_timeout", SHORTEST..=LONGEST).unwrap_or(LOOKUPS),
        dns: dns::Settings {
            servers: section.list("dns_servers", server),
            dnssec: section.flag("dnssec").unwrap_or(false),
            anchors: section.parsed("dnssec_anchors_file", |file| {
                dns::anchors(Path::new(file)).map(|_| PathBuf::from(file))
            }),
        },
    };
    Some(HopSettings {
        name: name.to_owned(),
        next_hop: NextHop::Mx(mx),
        tls,
        verify: true,
        ca_file: section.parsed("ca_file", readable),
        pins: Vec::new(),
        tls_name: None,
        client_certificate: None,
        credentials: None,
        proxy: None,
        pass_through: false,
        messages_per_minute: per_minute.and_then(|count| std::num::NonZeroU32::new(count as u32)),
        limits,
    })
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse().map(|ip| SocketAddr::new(ip, 53));
    bare.or_else(|_| text.parse()).map_err(|_| {
        format!(
            "\"{text}\" is no name server; write its address: \"127.0.0.1\", or \"[::1]:5353\" with a port"
        )
    })
}
