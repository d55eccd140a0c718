//! The internet itself: DNS by hickory, policies by HTTPS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::Method;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Asked, Internet};
use crate::net::call::{Caller, Reach, Target};
use crate::net::dane::Tlsa;
use crate::net::dns::{self, DnsError, Found, Mx, Resolver};
use crate::net::public::is_public;
use crate::net::tls::Trust;

/// How long the fetch of a policy may take, all in all (RFC 8461 3.3 suggests a minute).
const FETCH: Duration = Duration::from_secs(30);
/// Addresses of a policy's web server that are tried.
const ADDRESSES: usize = 3;

/// The web servers that policies are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Whether private addresses are called.
    pub private: bool,
    /// Their port: 443.
    pub port: u16,
}

impl Default for Web {
    /// Those of the internet.
    fn default() -> Self {
        Self { trust: Trust::System, private: false, port: 443 }
    }
}

/// DNS and HTTPS.
#[derive(Debug)]
pub struct Online {
    resolver: Resolver,
    web: Web,
    /// Why there is none, when there is none.
    caller: Result<Caller, String>,
}

impl Online {
    /// Asks as `settings` say. Fails when the system's name servers cannot be read. Must be called within a runtime.
    pub fn new(settings: &dns::Settings, web: Web) -> Result<Self, DnsError> {
        let reach = if web.private { Reach::Anybody } else { Reach::Public };
        let caller = Caller::new(&web.trust, reach, FETCH).map_err(|error| error.to_string());
        Ok(Self { resolver: Resolver::new(settings)?, web, caller })
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let (four, six) = tokio::join!(self.resolver.ipv4(host), self.resolver.ipv6(host));
        let mut ips = found(host, [four, six], self.web.private)?;
        ips.truncate(ADDRESSES);
        Ok(ips)
    }

    async fn fetch(&self, domain: &str) -> Result<String, String> {
        let caller = self.caller.as_ref().map_err(Clone::clone)?;
        let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
        let target = Target::parse(&url).ok_or_else(|| format!("{url} cannot be asked"))?;
        let deadline = Instant::now() + FETCH;
        // By the name servers of the config: the system may know others, or none.
        let asked = async {
            let mut last = format!("{} has no address", target.host());
            let ips = self.addresses(target.host()).await?;
            for (tried, ip) in ips.iter().enumerate() {
                // What is left is shared among those that are.
                let left = deadline.saturating_duration_since(Instant::now()) / (ips.len() - tried) as u32;
                let via = Some(SocketAddr::new(*ip, self.web.port));
                match timeout(left, caller.call(&target, via, Method::GET, &[], Vec::new())).await {
                    Ok(Ok(reply)) => return Ok(reply),
                    Ok(Err(error)) => last = error.to_string(),
                    Err(_) => last = format!("{ip} did not answer in time"),
                }
            }
            Err(last)
        };
        let reply =
            timeout_at(deadline, asked).await.map_err(|_| format!("{url} did not answer in time"))??;
        // RFC 8461 3.3: redirects are not followed, and nothing else than 200 is a policy.
        match reply.status {
            200 => String::from_utf8(reply.body.to_vec()).map_err(|_| "the policy is no text".to_owned()),
            status => Err(format!("its web server answers {status}")),
        }
    }
}

/// The addresses of `families`, IPv4 first; `Err` when one of them leads inside, unless it may: the name is played with.
fn found(
    host: &str,
    families: [Result<Found<IpAddr>, DnsError>; 2],
    private: bool,
) -> Result<Vec<IpAddr>, String> {
    let mut ips = Vec::new();
    let mut why = None;
    for family in families {
        match family {
            Ok(found) => ips.extend(found.records),
            Err(error) => why = why.or(Some(error)),
        }
    }
    if let Some(inside) = ips.iter().find(|ip| !private && !is_public(**ip)) {
        return Err(format!("{host}: {inside} is not a public address"));
    }
    match why {
        Some(error) if ips.is_empty() => Err(format!("{host}: {error}")),
        _ => Ok(ips),
    }
}

impl Internet for Online {
    fn mx<'a>(&'a self, domain: &'a str) -> Asked<'a, Result<Found<Mx>, DnsError>> {
        Box::pin(self.resolver.mx(domain))
    }

    fn ipv4<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>> {
        Box::pin(self.resolver.ipv4(host))
    }

    fn ipv6<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>> {
        Box::pin(self.resolver.ipv6(host))
    }

    fn alias<'a>(&'a self, host: &'a str) -> Asked<'a, Result<Found<String>, DnsError>> {
        Box::pin(self.resolver.alias(host))
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Asked<'a, Result<Found<Tlsa>, DnsError>> {
        Box::pin(self.resolver.tlsa(name))
    }

    fn txt<'a>(&'a self, name: &'a str) -> Asked<'a, Result<Found<String>, DnsError>> {
        Box::pin(self.resolver.txt(name))
    }

    fn policy<'a>(&'a self, domain: &'a str) -> Asked<'a, Result<String, String>> {
        Box::pin(self.fetch(domain))
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::rdata::A;
    use hickory_resolver::proto::rr::{RData, Record, RecordType};

    use super::*;

    /// Says that every name is at `ip`.
    async fn name_server(ip: [u8; 4]) -> SocketAddr {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..size]).unwrap();
                let query = asked.queries[0].clone();
                let mut reply =
                    Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
                reply.metadata.recursion_available = true;
                if query.query_type() == RecordType::A {
                    let data = RData::A(A::from(std::net::Ipv4Addr::from(ip)));
                    reply.add_answers([Record::from_rdata(query.name().clone(), 60, data)]);
                }
                reply.add_query(query);
                socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn rfc_8461_3_3_the_web_server_is_found_by_the_name_servers_of_the_config_and_never_inside() {
        let settings =
            dns::Settings { servers: vec![name_server([10, 0, 0, 7]).await], ..Default::default() };
        let error = Online::new(&settings, Web::default()).unwrap().fetch("example.org").await.unwrap_err();
        assert_eq!(error, "mta-sts.example.org: 10.0.0.7 is not a public address");
    }

    #[test]
    fn rfc_8461_3_3_one_private_address_among_several_is_reason_enough() {
        let there = |ips: &[&str]| {
            Ok(Found { records: ips.iter().map(|ip| ip.parse().unwrap()).collect(), secure: false })
        };
        let failed = || Err(DnsError::Failed("no answer".to_owned()));
        let ask = |four, six| found("h", [four, six], false).map(|ips| ips.len());
        assert_eq!(ask(there(&["9.9.9.9"]), there(&["2620:fe::fe"])), Ok(2));
        assert_eq!(ask(there(&["9.9.9.9"]), failed()), Ok(1));
        assert_eq!(ask(there(&[]), failed()), Err("h: no answer".to_owned()));
        assert_eq!(
            ask(there(&["9.9.9.9"]), there(&["::1"])),
            Err("h: ::1 is not a public address".to_owned())
        );
    }
}
