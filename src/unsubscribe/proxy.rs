//! Where a request came from, behind reverse proxies (RFC 7239).

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Hops that are looked at; a chain longer than this is made up.
const HOPS: usize = 16;

/// The client's address: `peer`, unless that is a trusted proxy. Then it is the last address in `Forwarded` or
/// `X-Forwarded-For` that is no trusted proxy itself: whatever stands before it is only what a client says. Where the
/// two do not agree, one of them is: many proxies write one and let the other through as it came. Then nothing is known
/// beyond `peer`.
pub(crate) fn client(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|network| network.contains(ip));
    if !is_trusted(&peer) {
        return peer;
    }
    let nearest = |name: &str| {
        let hops = list(headers, name);
        let mut nearest = None;
        for hop in hops.iter().rev().take(HOPS) {
            // A hop that cannot be read ends what is known.
            let Some(ip) = address(hop) else { break };
            nearest = Some(ip);
            if !is_trusted(&ip) {
                break;
            }
        }
        hops.iter().any(|hop| !hop.trim().is_empty()).then(|| nearest.unwrap_or(peer))
    };
    match (nearest("forwarded"), nearest("x-forwarded-for")) {
        (Some(one), Some(other)) if one != other => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

/// The elements of all fields called `name`, in order.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let fields = headers.get_all(name).iter();
    fields.flat_map(|value| value.to_str().unwrap_or_default().split(',')).map(str::to_owned).collect()
}

/// `192.0.2.1`, `[2001:db8::1]:4711`, or the `for=` of a `Forwarded` element.
fn address(element: &str) -> Option<IpAddr> {
    let node = element
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
        .map_or(element, |(_, node)| node);
    let node = node.trim().trim_matches('"');
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let ip: IpAddr = match bare.parse() {
        Ok(ip) => ip,
        Err(_) => node.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn seen(peer: &str, fields: &[(&'static str, &str)]) -> String {
        let trusted = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        client(&headers, peer.parse().unwrap(), &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let claimed = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(seen("192.0.2.1", &claimed), "192.0.2.1");
        assert_eq!(seen("127.0.0.1", &claimed), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_last_stranger_in_the_chain_is_the_client() {
        for (value, client) in [
            ("6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
            ("6.6.6.6, rubbish, 10.1.2.3", "10.1.2.3"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("203.0.113.9:80", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(seen("127.0.0.1", &[("x-forwarded-for", value)]), client, "{value}");
        }
        assert_eq!(
            seen("10.0.0.1", &[("forwarded", "for=\"[2001:db8::7]:99\";proto=https, For=10.9.9.9")]),
            "2001:db8::7"
        );
        // One of these the proxy let through as its client wrote it.
        for (forwarded, listed, client) in [
            ("for=6.6.6.6", "203.0.113.9", "127.0.0.1"),
            ("for=203.0.113.9", "6.6.6.6", "127.0.0.1"),
            ("for=unknown", "203.0.113.9", "127.0.0.1"),
            ("for=\"[2001:db8::7]:99\"", "2001:db8::7", "2001:db8::7"),
            ("", "203.0.113.9", "203.0.113.9"),
        ] {
            let both = [("forwarded", forwarded), ("x-forwarded-for", listed)];
            assert_eq!(seen("127.0.0.1", &both), client, "{both:?}");
        }
        let split = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(seen("10.0.0.1", &split), "203.0.113.9");
    }
}
