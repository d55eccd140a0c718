//! MTA-STS (RFC 8461): a domain's own word, over HTTPS, on which servers take its mail and that they have
//! certificates. Kept for as long as the policy says, so that who controls the network later cannot take it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Internet;

/// After a fetch that failed, the next one waits for so long (RFC 8461 3.3).
const AFTER_FAILURE: Duration = Duration::from_secs(5 * 60);
/// A policy is fetched again when it is older, so that a change of web server shows before it expires.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that a policy may say it is kept (RFC 8461 3.2).
const LONGEST: u64 = 31_557_600;

/// What happens to mail that the policy forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It waits.
    Enforce,
    /// It goes, and the log says so.
    Testing,
    /// There is no policy any more.
    None,
}

/// A policy (RFC 8461 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub mode: Mode,
    /// Host names, or `*.example.org`.
    mx: Vec<String>,
    max_age: Duration,
}

impl Policy {
    /// Read a policy file. Unknown fields are skipped.
    fn parse(text: &str) -> Result<Self, String> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once(':') else {
                return Err(format!("the line \"{line}\" is no field"));
            };
            let value = value.trim();
            // Of several with one name the first counts, but for mx.
            match key.trim() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => mx.push(value.trim_end_matches('.').to_ascii_lowercase()),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err("its version is not STSv1".to_owned());
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err("its mode is none of enforce, testing and none".to_owned()),
        };
        let max_age = max_age.and_then(|value| value.parse().ok()).filter(|age| *age <= LONGEST);
        let max_age = max_age.ok_or_else(|| format!("its max_age is no number up to {LONGEST}"))?;
        if mx.is_empty() && mode != Mode::None {
            return Err("it names no mx".to_owned());
        }
        Ok(Self { mode, mx, max_age: Duration::from_secs(max_age) })
    }

    /// Whether `host` is one of the servers (RFC 8461 4.1).
    pub fn names(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => pattern == host,
        })
    }
}

/// The id of the policy in force, from the texts of `_mta-sts.<domain>` (RFC 8461 3.1): of exactly one that begins
/// as such a record does.
fn id_of(texts: &[String]) -> Option<String> {
    let mut ours = texts
        .iter()
        .filter(|text| text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start().starts_with(';')));
    let (Some(only), None) = (ours.next(), ours.next()) else { return None };
    let id = only.split(';').find_map(|field| field.trim().strip_prefix("id="))?.trim();
    let sound = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    sound.then(|| id.to_owned())
}

/// Policies that are known.
#[derive(Debug)]
pub(super) struct Policies {
    internet: Arc<dyn Internet>,
    /// At most so many.
    limit: usize,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    /// The id it was fetched for.
    id: String,
    /// None, when it could not be fetched so far.
    policy: Option<Policy>,
    fetched: Instant,
    /// The last fetch that failed, and the id it was for.
    failed: Option<(Instant, String)>,
}

impl Known {
    fn policy(self) -> Option<Policy> {
        self.policy.filter(|policy| self.fetched.elapsed() < policy.max_age)
    }

    fn is_fresh(&self, id: &str) -> bool {
        let age = self.fetched.elapsed();
        let fresh = |policy: &Policy| age < policy.max_age && age < STALE.min(policy.max_age / 2);
        self.id == id && self.policy.as_ref().is_some_and(fresh)
    }

    fn failed_lately(&self, id: &str) -> bool {
        self.failed.as_ref().is_some_and(|(at, for_id)| for_id == id && at.elapsed() < AFTER_FAILURE)
    }
}

impl Policies {
    pub(super) fn new(internet: Arc<dyn Internet>, limit: usize) -> Self {
        Self { internet, limit: limit.max(1), known: Mutex::default() }
    }

    /// The policy in force for `domain`.
    pub(super) async fn policy(&self, domain: &str) -> Option<Policy> {
        let known = self.known().get(domain).cloned();
        let texts = self.internet.txt(&format!("_mta-sts.{domain}")).await;
        let id = texts.ok().and_then(|found| id_of(&found.records));
        let policy = match (id, known) {
            // RFC 8461 5.1: what is kept counts, whatever DNS says or does not say.
            (None, known) => known.and_then(Known::policy),
            (Some(id), Some(known)) if known.is_fresh(&id) || known.failed_lately(&id) => known.policy(),
            (Some(id), known) => self.fetch(domain, id, known).await,
        };
        policy.filter(|policy| policy.mode != Mode::None)
    }

    async fn fetch(&self, domain: &str, id: String, known: Option<Known>) -> Option<Policy> {
        let now = Instant::now();
        let fetched = self.internet.policy(domain).await.and_then(|text| Policy::parse(&text));
        let known = match fetched {
            Ok(policy) => Known { id, policy: Some(policy), fetched: now, failed: None },
            Err(why) => {
                tracing::warn!(domain, why, "the MTA-STS policy cannot be fetched");
                let failed = Some((now, id));
                match known {
                    Some(known) => Known { failed, ..known },
                    None => Known { id: String::new(), policy: None, fetched: now, failed },
                }
            }
        };
        let policy = known.clone().policy();
        let mut all = self.known();
        if all.len() >= self.limit && !all.contains_key(domain) {
            all.retain(|_, known| known.clone().policy().is_some());
            if all.len() >= self.limit
                && let Some(oldest) =
                    all.iter().min_by_key(|(_, known)| known.fetched).map(|(k, _)| k.clone())
            {
                all.remove(&oldest);
            }
        }
        all.insert(domain.to_owned(), known);
        policy
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::net::dane::Tlsa;
    use crate::net::dns::{DnsError, Found, Mx};
    use crate::relay::mx::Asked;

    /// A policy, as long as its owner can say so.
    #[derive(Debug, Default)]
    struct Owner {
        record: Mutex<Option<&'static str>>,
        policy: Mutex<Option<&'static str>>,
        fetches: AtomicUsize,
    }

    fn no_name<'a, T: Send + 'a>() -> Asked<'a, Result<Found<T>, DnsError>> {
        Box::pin(std::future::ready(Err(DnsError::NoName)))
    }

    impl Internet for Owner {
        fn mx<'a>(&'a self, _: &'a str) -> Asked<'a, Result<Found<Mx>, DnsError>> {
            no_name()
        }

        fn ipv4<'a>(&'a self, _: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>> {
            no_name()
        }

        fn ipv6<'a>(&'a self, _: &'a str) -> Asked<'a, Result<Found<IpAddr>, DnsError>> {
            no_name()
        }

        fn alias<'a>(&'a self, _: &'a str) -> Asked<'a, Result<Found<String>, DnsError>> {
            no_name()
        }

        fn tlsa<'a>(&'a self, _: &'a str) -> Asked<'a, Result<Found<Tlsa>, DnsError>> {
            no_name()
        }

        fn txt<'a>(&'a self, _: &'a str) -> Asked<'a, Result<Found<String>, DnsError>> {
            let records = self.record.lock().unwrap().map(|text| vec![text.to_owned()]);
            let found = records.map(|records| Found { records, secure: false }).ok_or(DnsError::NoName);
            Box::pin(std::future::ready(found))
        }

        fn policy<'a>(&'a self, _: &'a str) -> Asked<'a, Result<String, String>> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let text = self.policy.lock().unwrap().map(str::to_owned).ok_or("no such file".to_owned());
            Box::pin(std::future::ready(text))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rfc_8461_3_2_a_policy_counts_until_its_max_age_and_no_longer() {
        const DAY: u64 = 24 * 60 * 60;
        let owner = Arc::new(Owner::default());
        let policies = Policies::new(owner.clone(), 10);
        let enforced = async || policies.policy("example.org").await.is_some();
        let at = async |seconds: u64| tokio::time::advance(Duration::from_secs(seconds)).await;
        let fetches = || owner.fetches.load(Ordering::SeqCst);
        *owner.record.lock().unwrap() = Some("v=STSv1; id=1;");
        *owner.policy.lock().unwrap() = Some(POLICY);
        assert!(enforced().await);
        at(DAY - 1).await;
        assert!(enforced().await);
        assert_eq!(fetches(), 1, "it is less than a day old");
        at(1).await;
        assert!(enforced().await);
        assert_eq!(fetches(), 2, "each day it is fetched again, and begins anew");
        // Its web server is gone, and then its record, too: it counts for the seven days that it said.
        *owner.policy.lock().unwrap() = None;
        at(6 * DAY).await;
        assert!(enforced().await);
        *owner.record.lock().unwrap() = None;
        at(DAY - 1).await;
        assert!(enforced().await);
        at(1).await;
        assert!(!enforced().await, "it is over");
        // The record alone is no policy; it is asked for, but not all the time.
        *owner.record.lock().unwrap() = Some("v=STSv1; id=1;");
        let before = fetches();
        assert!(!enforced().await && !enforced().await);
        assert_eq!(fetches(), before + 1);
        at(AFTER_FAILURE.as_secs()).await;
        *owner.policy.lock().unwrap() = Some(POLICY);
        assert!(enforced().await);
    }

    const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmx: *.Example.net.\r\n\
                          unknown: field\r\nmax_age: 604800\r\n";

    #[test]
    fn rfc_8461_3_2_a_policy_is_read_or_refused() {
        let policy = Policy::parse(POLICY).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
        assert_eq!(Policy::parse("version: STSv1\nmode: none\nmax_age: 1").unwrap().mode, Mode::None);
        for (wrong, why) in [
            ("", "version"),
            ("version: STSv2\nmode: none\nmax_age: 1", "version"),
            ("version: STSv1\nmode: maybe\nmax_age: 1", "mode"),
            ("version: STSv1\nmode: enforce\nmx: a", "max_age"),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: 31557601", "max_age"),
            ("version: STSv1\nmode: testing\nmax_age: 1", "mx"),
            ("<html>not found</html>", "no field"),
        ] {
            let error = Policy::parse(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn rfc_8461_4_1_a_star_stands_for_one_label() {
        let policy = Policy::parse(POLICY).unwrap();
        for (host, named) in [
            ("mx.example.org", true),
            ("mx2.example.org", false),
            ("a.example.net", true),
            ("example.net", false),
            ("a.b.example.net", false),
        ] {
            assert_eq!(policy.names(host), named, "{host}");
        }
    }

    #[test]
    fn rfc_8461_3_1_exactly_one_record_has_the_id() {
        let id = |texts: &[&str]| id_of(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]), Some("20160831085700Z".to_owned()));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=1"]), Some("1".to_owned()));
        for none in [
            &["v=STSv1; id=1", "v=STSv1; id=2"][..],
            &["v=STSv1"],
            &["v=STSv1; id=a b"],
            &["v=STSv10; id=1"],
            &[],
        ] {
            assert_eq!(id(none), None, "{none:?}");
        }
    }
}
