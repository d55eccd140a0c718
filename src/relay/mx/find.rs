//! Who takes the mail of a domain: MX in order, the domain itself where there is none, nobody where it says so.

use std::net::IpAddr;

use super::{Internet, IpVersions};
use crate::net::dns::{DnsError, Found, Mx};
use crate::net::public::is_public;
use crate::relay::failure::Failure;
use crate::secret::{Entropy, random};

/// Aliases of aliases that are followed, as many as for an address.
const ALIASES: usize = 8;

/// Servers of a domain that are looked at, the best first, however many it names.
const HOSTS: usize = 10;

/// A server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub name: String,
    /// Whether DNSSEC proves that it is the one (RFC 7672 2.2.1).
    pub secure: bool,
}

/// A server's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// What MX calls it.
    host: String,
    /// The name that it is an alias of, and that is none.
    end: Option<String>,
    /// Whether DNSSEC proves that it is an alias.
    first_proven: bool,
    /// Whether it proves all aliases on the way.
    all_proven: bool,
}

/// Its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// In the order to try them.
    pub ips: Vec<IpAddr>,
    /// Whether DNSSEC proves all of them.
    pub secure: bool,
}

/// The first servers of `domain` in order of preference, equals shuffled (RFC 5321 5.1). `own` is our name: of a domain that
/// we are a server of ourselves, only the better ones are left.
pub(super) async fn hosts(
    internet: &dyn Internet,
    domain: &str,
    own: &str,
    entropy: &dyn Entropy,
) -> Result<Vec<Host>, Failure> {
    let found = match internet.mx(domain).await {
        Ok(found) => found,
        Err(DnsError::NoName) => return Err(Failure::NoSuchDomain(domain.to_owned())),
        Err(DnsError::Failed(why)) => return Err(Failure::Dns(format!("MX of {domain}: {why}"))),
    };
    if found.records.is_empty() {
        // RFC 5321 5.1: the implicit MX.
        return Ok(vec![Host { name: domain.to_owned(), secure: found.secure }]);
    }
    in_order(found, domain, own, entropy)
}

fn in_order(found: Found<Mx>, domain: &str, own: &str, entropy: &dyn Entropy) -> Result<Vec<Host>, Failure> {
    // RFC 7505: a lone record for the root. Beside others it is a mistake, and leads nowhere.
    let mut servers: Vec<Mx> = found.records.into_iter().filter(|mx| !mx.host.is_empty()).collect();
    if servers.is_empty() {
        return Err(Failure::NullMx(domain.to_owned()));
    }
    let own_preference = servers.iter().filter(|mx| mx.host == own).map(|mx| mx.preference).min();
    if let Some(limit) = own_preference {
        servers.retain(|mx| mx.preference < limit);
        if servers.is_empty() {
            return Err(Failure::Loop(domain.to_owned()));
        }
    }
    shuffle(&mut servers, entropy);
    servers.sort_by_key(|mx| mx.preference);
    servers.truncate(HOSTS);
    Ok(servers.into_iter().map(|mx| Host { name: mx.host, secure: found.secure }).collect())
}

/// Fisher and Yates. The bias of the remainder over so few is nothing.
fn shuffle<T>(items: &mut [T], entropy: &dyn Entropy) {
    for last in (1..items.len()).rev() {
        let chance = u32::from_be_bytes(random(entropy)) as usize;
        items.swap(last, chance % (last + 1));
    }
}

/// The addresses of `host`. `Err` when there is none, or none that may be connected to.
pub(super) async fn addresses(
    internet: &dyn Internet,
    host: &str,
    versions: IpVersions,
    private: bool,
) -> Result<Addresses, Failure> {
    let none = || Found { records: Vec::new(), secure: true };
    let (v6, v4) = tokio::join!(
        async { if versions == IpVersions::V4 { Ok(none()) } else { internet.ipv6(host).await } },
        async { if versions == IpVersions::V6 { Ok(none()) } else { internet.ipv4(host).await } },
    );
    let failed = match (&v6, &v4) {
        (Err(DnsError::Failed(why)), _) | (_, Err(DnsError::Failed(why))) => Some(why.clone()),
        _ => None,
    };
    let (v6, v4) = (v6.unwrap_or_else(|_| none()), v4.unwrap_or_else(|_| none()));
    let secure = failed.is_none() && proven(&v6) && proven(&v4);
    let may_be = |ip: &IpAddr| private || is_public(*ip);
    let any = !v6.records.is_empty() || !v4.records.is_empty();
    let mut sixes = v6.records.into_iter().filter(may_be);
    let mut fours = v4.records.into_iter().filter(may_be);
    let mut ips = Vec::new();
    loop {
        match (sixes.next(), fours.next()) {
            (None, None) => break,
            (six, four) => ips.extend([six, four].into_iter().flatten()),
        }
    }
    match failed {
        _ if !ips.is_empty() => Ok(Addresses { ips, secure }),
        Some(why) => Err(Failure::Dns(format!("addresses of {host}: {why}"))),
        None if any => Err(Failure::NoHost(format!("{host} has only private addresses"))),
        None => Err(Failure::NoHost(format!("{host} has no address"))),
    }
}

/// What `host` is an alias of, and that of it, to the name that has addresses. Asked for name by name: the resolver proves
/// no answer that there is nothing at the end of an alias. `Err` when DNS cannot say.
pub(super) async fn follow(internet: &dyn Internet, host: &str) -> Result<Names, Failure> {
    let mut names = Names::own(host);
    for _ in 0..ALIASES {
        let (next, proven) = match internet.alias(names.end()).await {
            Ok(found) => match found.records.into_iter().next() {
                Some(next) => (next, found.secure),
                None => return Ok(names),
            },
            Err(DnsError::NoName) => return Ok(names),
            Err(DnsError::Failed(why)) => {
                return Err(Failure::Dns(format!("alias of {}: {why}", names.end())));
            }
        };
        names.first_proven = proven && (names.is_own() || names.first_proven);
        names.all_proven &= proven;
        names.end = Some(next);
    }
    Err(Failure::Dns(format!("{host}: its alias leads round in a circle, or too far")))
}

impl Names {
    /// Of a host that is no alias.
    pub(super) fn own(host: &str) -> Self {
        Self { host: host.to_owned(), end: None, first_proven: true, all_proven: true }
    }

    fn is_own(&self) -> bool {
        self.end.is_none()
    }

    /// The name that has its addresses.
    pub(super) fn end(&self) -> &str {
        self.end.as_deref().unwrap_or(&self.host)
    }

    /// Where its TLSA records may stand; the first name that has some counts (RFC 7672 2.2.3). That is the name at the
    /// end of its aliases, then its own; and its own alone when its addresses are not `proven` but that it is an alias is
    /// (RFC 7672 2.2.2).
    pub(super) fn bases(&self, proven: bool) -> Vec<&str> {
        match &self.end {
            Some(end) if proven && self.all_proven => vec![end, &self.host],
            Some(_) if self.first_proven => vec![&self.host],
            None if proven => vec![&self.host],
            _ => Vec::new(),
        }
    }
}

/// Of the addresses that there are, each is proven; a family without any says nothing.
fn proven(found: &Found<IpAddr>) -> bool {
    found.records.is_empty() || found.secure
}

/// `[192.0.2.1]` and `[ipv6:2001:db8::1]` as [`Domain::ascii`](crate::mail::Domain::ascii) writes them.
pub(super) fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("ipv6:").unwrap_or(inner).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chance that is none.
    #[derive(Debug)]
    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    fn ordered(records: &[(u16, &str)], chance: u8) -> Result<String, Failure> {
        let records =
            records.iter().map(|(preference, host)| Mx { preference: *preference, host: (*host).to_owned() });
        let found = Found { records: records.collect(), secure: false };
        let hosts = in_order(found, "example.org", "gateway.example", &Always(chance))?;
        Ok(hosts.into_iter().map(|host| host.name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn rfc_5321_5_1_by_preference_and_by_chance_among_equals() {
        let records = [(20, "c"), (10, "a"), (10, "b")];
        assert_eq!(ordered(&records, 0), Ok("a b c".to_owned()));
        assert_eq!(ordered(&records, 1), Ok("b a c".to_owned()));
    }

    #[test]
    fn rfc_5321_5_1_of_our_own_domains_only_better_servers_are_left() {
        let us = "gateway.example";
        assert_eq!(ordered(&[(10, "a"), (20, us), (20, "b"), (30, "c")], 0), Ok("a".to_owned()));
        let looped = Err(Failure::Loop("example.org".to_owned()));
        assert_eq!(ordered(&[(10, us), (20, "b")], 0), looped);
    }

    #[test]
    fn promise_10_of_however_many_servers_the_best_are_looked_at() {
        let records: Vec<_> = (0..1500).rev().map(|preference| (preference, "a")).collect();
        assert_eq!(ordered(&records, 0), Ok(["a"; HOSTS].join(" ")));
        let best = [&records[..], &[(0, "best")]].concat();
        assert!(ordered(&best, 0).unwrap().split(' ').take(2).any(|host| host == "best"));
    }

    #[test]
    fn rfc_7505_a_null_mx_takes_no_mail_and_beside_others_means_nothing() {
        assert_eq!(ordered(&[(0, "")], 0), Err(Failure::NullMx("example.org".to_owned())));
        assert_eq!(ordered(&[(0, ""), (10, "a")], 0), Ok("a".to_owned()));
    }

    #[test]
    fn literals() {
        for (domain, ip) in [("[192.0.2.1]", "192.0.2.1"), ("[ipv6:2001:db8::1]", "2001:db8::1")] {
            assert_eq!(literal(domain), Some(ip.parse().unwrap()));
        }
        assert_eq!(literal("example.org"), None);
    }
}
