//! The internet itself: DNS by hickory, policies by HTTPS.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::Method;

use super::{Asked, Internet};
use crate::net::call::{Caller, Reach, Target};
use crate::net::dane::Tlsa;
use crate::net::dns::{self, DnsError, Found, Mx, Resolver};
use crate::net::tls::Trust;

/// How long the fetch of a policy may take, all in all (RFC 8461 3.3 suggests a minute).
const FETCH: Duration = Duration::from_secs(30);

/// DNS and HTTPS.
#[derive(Debug)]
pub struct Online {
    resolver: Resolver,
    /// Why there is none, when there is none.
    caller: Result<Caller, String>,
}

impl Online {
    /// Asks as `settings` say. Fails when the system's name servers cannot be read. Must be called within a runtime.
    pub fn new(settings: &dns::Settings) -> Result<Self, DnsError> {
        let caller = Caller::new(&Trust::System, Reach::Public, FETCH).map_err(|error| error.to_string());
        Ok(Self { resolver: Resolver::new(settings)?, caller })
    }

    async fn fetch(&self, domain: &str) -> Result<String, String> {
        let caller = self.caller.as_ref().map_err(Clone::clone)?;
        let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
        let target = Target::parse(&url).ok_or_else(|| format!("{url} cannot be asked"))?;
        let reply = caller.call(&target, None, Method::GET, &[], Vec::new()).await;
        let reply = reply.map_err(|error| error.to_string())?;
        // RFC 8461 3.3: redirects are not followed, and nothing else than 200 is a policy.
        match reply.status {
            200 => String::from_utf8(reply.body.to_vec()).map_err(|_| "the policy is no text".to_owned()),
            status => Err(format!("its web server answers {status}")),
        }
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
