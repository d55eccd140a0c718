//! Who is owed what when there is news (RULES L10, P8).

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::outbox::Settings;
use crate::ledger::{Channel, News, Owed, OwedState, Way};
use crate::mail::{Address, Sender};

/// How long whoever unsubscribed on the page can take it back there: no tool is told before, as it could not
/// be told otherwise afterwards. Our own gate is shut at once in any case.
const TAKEN_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// When the daily mails go.
#[derive(Debug, Clone, PartialEq)]
pub struct Daily {
    /// The time of day.
    pub at: Time,
    /// In this zone.
    pub zone: TimeZone,
}

impl Daily {
    /// The next time it is that time, strictly after `now`.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let today = now.to_zoned_datetime(self.zone.clone()).date();
        for days in 0..=2 {
            let day = today.checked_add(days.days()).ok().map(|day| day.to_datetime(self.at));
            // A time that a change of the clock leaves out is the one after the gap.
            let moment = day.and_then(|day| self.zone.to_ambiguous_timestamp(day).compatible().ok());
            if let Some(moment) = moment.filter(|moment| *moment > now) {
                return moment;
            }
        }
        now
    }
}

/// What `news` about one of `sender`'s recipients is owed to whom, besides the mails that go at once. A mailbox that
/// does not work is never worth a mail of its own (a newsletter finds hundreds of them in a minute), nor is one that
/// works again.
pub fn owed(news: News<'_>, sender: &Sender, settings: &Settings, now: Timestamp) -> Vec<Owed> {
    let one = |channel, next| Owed {
        sender: sender.id.clone(),
        address: news.address().clone(),
        channel,
        state: OwedState::Waiting { next },
        since: now,
        attempts: 0,
        last_answer: String::new(),
    };
    let mut all = Vec::new();
    for webhook in settings.webhooks.iter().filter(|webhook| webhook.wants(&sender.id)) {
        all.push(one(Channel::Webhook(webhook.name.clone()), now));
    }
    if let News::Unsubscribed(unsubscribed) = news
        && unsubscribed.reference.is_some()
        && settings.one_click.is_some()
    {
        let wait = if unsubscribed.way == Way::Page { TAKEN_BACK_WITHIN } else { SignedDuration::ZERO };
        all.push(one(Channel::OneClick, now.checked_add(wait).unwrap_or(now)));
    }
    if is_for_the_day(news, settings.daily_for.contains(&sender.id)) {
        let next = settings.daily.next(now);
        let digest = |to: &Address| one(Channel::Digest(to.clone()), next);
        all.extend(sender.notify.iter().map(digest));
    }
    all
}

/// Whether news stands in the mail of the day. A sign-up is for the tool that mails: a person would only count them.
fn is_for_the_day(news: News<'_>, daily: bool) -> bool {
    match news {
        News::Blocked(_) | News::Unblocked(_) => true,
        News::Consented { lifts, .. } => lifts,
        News::Unsubscribed(_) | News::Corrected(_) | News::Explained(_) | News::Complained(_) => daily,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l10_the_digest_goes_at_its_time_whatever_the_clock_does() {
        let daily =
            |at: &str| Daily { at: at.parse().unwrap(), zone: TimeZone::get("Europe/Amsterdam").unwrap() };
        for (at, now, next) in [
            ("07:00", "2026-11-24T05:00:00Z", "2026-11-24T06:00:00Z"),
            ("07:00", "2026-11-24T06:00:00Z", "2026-11-25T06:00:00Z"),
            ("07:00", "2026-07-24T06:00:00Z", "2026-07-25T05:00:00Z"),
            // Summer time begins: there is no half past two.
            ("02:30", "2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z"),
            // Summer time ends: the first of two.
            ("02:30", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            let now: Timestamp = now.parse().unwrap();
            assert_eq!(daily(at).next(now), next.parse::<Timestamp>().unwrap(), "{at} after {now}");
        }
    }
}
