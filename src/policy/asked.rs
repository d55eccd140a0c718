//! Whether somebody may get the mail that asks them to confirm a consent (RULES L12).

use jiff::Timestamp;

use super::decision::Clause;
use super::facts::Profile;
use crate::consent::{ConsentEventKind, ConsentState};
use crate::mail::Purpose;
use crate::suppression::standing;

/// The clause that keeps the mail for a request of `asked_at` from its recipient, if one does: a suppression for any
/// reason, a mailbox that does not work, a withdrawal since. It holds under observe, too: that mail is the gateway's own.
pub fn may_be_asked(profile: &Profile, purpose: &Purpose, asked_at: Timestamp) -> Result<(), Clause> {
    // A consent that came another way makes nobody ask for another one.
    if let Some(suppression) = standing(&profile.suppressions, &ConsentState::None) {
        return Err(Clause::Suppressed { reason: suppression.reason, since: suppression.since });
    }
    if profile.block.is_some() {
        return Err(Clause::Blocked);
    }
    let left = |event: &&crate::consent::ConsentEvent| {
        event.kind == ConsentEventKind::Withdraw && event.recorded_at >= asked_at
    };
    match profile.consent(purpose).iter().rev().find(left) {
        Some(withdrawn) => Err(Clause::Withdrawn { since: withdrawn.at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{ConsentEvent, Evidence};
    use crate::policy::ConsentHistory;
    use crate::suppression::{DeliveryBlock, Reason, Suppression};

    const ASKED: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn event(kind: ConsentEventKind, seconds: i64) -> ConsentEvent {
        let at = Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        ConsentEvent { kind, at, recorded_at: at, evidence: Evidence::default() }
    }

    #[test]
    fn l12_nobody_is_asked_who_left_or_cannot_be_reached() {
        let purpose = Purpose("nieuws".to_owned());
        let asked = |profile: &Profile| may_be_asked(profile, &purpose, ASKED);
        let mut profile = Profile::default();
        assert_eq!(asked(&profile), Ok(()));
        for reason in [Reason::Unsubscribed, Reason::Complaint, Reason::Objection, Reason::Manual] {
            profile.suppressions = vec![Suppression { reason, since: ASKED, source: "test".to_owned() }];
            assert_eq!(asked(&profile), Err(Clause::Suppressed { reason, since: ASKED }));
        }
        profile.suppressions.clear();
        profile.block = Some(DeliveryBlock { since: ASKED, reply: "5.1.1".to_owned() });
        assert_eq!(asked(&profile), Err(Clause::Blocked));
        profile.block = None;
        let history = |events| vec![ConsentHistory { purpose: purpose.clone(), events }];
        profile.consents = history(vec![event(ConsentEventKind::Withdraw, -1)]);
        assert_eq!(asked(&profile), Ok(()), "who left before asks anew");
        profile.consents =
            history(vec![event(ConsentEventKind::Request, 0), event(ConsentEventKind::Withdraw, 1)]);
        assert!(matches!(asked(&profile), Err(Clause::Withdrawn { .. })));
        profile.consents[0].purpose = Purpose("iets anders".to_owned());
        assert_eq!(asked(&profile), Ok(()));
    }
}
