//! How many mails to the unsubscribe address may come by which nothing changes (RULES P9), and how many of one network
//! may wait for a person. Whoever wants to leave is not counted.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::rate::Rate;
use super::{Limits, Reached, reached};
use crate::clock::SharedClock;

/// How many are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailLimits {
    /// Mails by which nothing changes, from one network (an IPv4 /24, an IPv6 /48), in an hour.
    pub idle_per_network: NonZeroU32,
    /// The same, from everywhere.
    pub idle: NonZeroU32,
    /// Mails from one network that wait for a person, in 24 hours.
    pub held_per_network: NonZeroU32,
}

impl Default for MailLimits {
    fn default() -> Self {
        Self {
            idle_per_network: NonZeroU32::MIN.saturating_add(999),
            idle: NonZeroU32::MIN.saturating_add(9_999),
            held_per_network: NonZeroU32::MIN.saturating_add(19),
        }
    }
}

/// The counters.
#[derive(Debug)]
pub(super) struct Mails {
    idle_by_network: Arc<Rate<IpAddr>>,
    idle: Arc<Rate<()>>,
    held_by_network: Arc<Rate<IpAddr>>,
}

impl Mails {
    /// Counters for `settings`; those of `before` go on where their own settings are the same.
    pub(super) fn new(most: MailLimits, keys: usize, before: Option<&Self>, clock: &SharedClock) -> Self {
        let hour = Duration::from_secs(3600);
        let by_network = before.map(|b| &b.idle_by_network);
        let held = before.map(|b| &b.held_by_network);
        Self {
            idle_by_network: Rate::again(by_network, most.idle_per_network, hour, keys, clock),
            idle: Rate::again(before.map(|b| &b.idle), most.idle, hour, keys, clock),
            held_by_network: Rate::again(held, most.held_per_network, hour * 24, keys, clock),
        }
    }
}

impl Limits {
    /// Count a mail by which nothing changes, from `ip` or from a server of our own, unless there were too many in the
    /// last hour.
    pub fn idle_mail(&self, ip: Option<IpAddr>) -> Result<(), Reached> {
        let in_force = self.in_force();
        let mails = &in_force.mails;
        if ip.is_some_and(|ip| !mails.idle_by_network.take(network(ip))) {
            return Err(reached("unsubscribe_mails_per_network"));
        }
        if mails.idle.take(()) { Ok(()) } else { Err(reached("unsubscribe_mails_per_hour")) }
    }

    /// Count a mail that would wait for a person, unless the network of `ip` sent too many in 24 hours.
    pub fn held_mail(&self, ip: Option<IpAddr>) -> Result<(), Reached> {
        match ip {
            Some(ip) if !self.in_force().mails.held_by_network.take(network(ip)) => {
                Err(reached("inbox_per_network"))
            }
            _ => Ok(()),
        }
    }
}

/// What counts as one network: what a household or a small office is given, and its neighbours.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() >> 8 << 8).into()),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::LimitSettings;
    use super::super::tests::{count, ip, limits};
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn p9_idle_mails_are_counted_by_network_and_in_all_and_one_network_cannot_fill_the_inbox() {
        let (limits, clock) = limits(LimitSettings {
            mails: MailLimits { idle_per_network: count(2), idle: count(4), held_per_network: count(1) },
            ..LimitSettings::default()
        });
        let idle = |from: &str| limits.idle_mail(Some(ip(from)));
        assert!(idle("192.0.2.1").is_ok() && idle("192.0.2.9").is_ok());
        assert_eq!(idle("192.0.2.77"), Err(Reached("unsubscribe_mails_per_network")));
        assert!(idle("198.51.100.1").is_ok());
        assert_eq!(limits.idle_mail(None), Ok(()), "a server of our own has no network");
        assert_eq!(limits.idle_mail(None), Err(Reached("unsubscribe_mails_per_hour")));
        assert!(limits.held_mail(Some(ip("192.0.2.1"))).is_ok() && limits.held_mail(None).is_ok());
        assert_eq!(limits.held_mail(Some(ip("192.0.2.2"))), Err(Reached("inbox_per_network")));
        clock.set(Timestamp::from_second(1_700_000_000 + 24 * 3600).unwrap());
        assert!(limits.held_mail(Some(ip("192.0.2.2"))).is_ok() && idle("192.0.2.77").is_ok());
    }
}
