//! The background: what is due is tried, within bounds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::super::dsn::{self, Returned};
use super::super::{Answer, Copy, CopyRecipient, Delivery, Held, Login, Route};
use super::outcome::{Terms, given_up, settle};
use super::{Flight, Spool, later};
use crate::ledger::{Event, Outcome, Record, Side, SpoolState, Spooled};
use crate::mail::{Class, CopyId, Recipient};
use crate::message::{Message, Rope};
use crate::metrics;
use crate::policy::{self, Permit, Profiles, Refusal, Rules, Waiting};

/// The worker looks at least this often, whatever the clock did.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Copies that are looked at in one go.
const PAGE: usize = 64;

/// When the domain of a copy has as many under way as it has connections, the copy is looked at again so much later.
const CROWDED: Duration = Duration::from_secs(10);

/// Whether a try was begun.
enum Started {
    /// It was, or somebody else has the copy.
    Yes,
    /// Its domain has no room now.
    Crowded,
    /// There is no use in starting more.
    Stop,
}

/// What the permits say, asked again.
pub(super) struct Asked {
    go: Vec<(Recipient, Permit)>,
    refused: Vec<(Recipient, Refusal)>,
}

impl Spool {
    /// Try what is due, until a stop is asked for. Tries under way are finished and recorded then.
    pub async fn run(&self) {
        let shutdown = &self.inner.parts.shutdown;
        let settings = &self.inner.parts.settings;
        let mut pause = settings.first_pause;
        while !shutdown.is_requested() {
            if self.inner.trouble.swap(false, Ordering::AcqRel) {
                if !self.rest(pause).await {
                    return;
                }
                pause = (pause * 2).min(settings.longest_pause.max(settings.first_pause));
            } else {
                pause = settings.first_pause;
            }
            let due = self.pick((2 * settings.concurrency).max(PAGE));
            if due.is_empty() {
                self.idle().await;
            }
            let mut crowded = Vec::new();
            for spooled in self.sift(due).await {
                match self.start(&spooled).await {
                    Started::Yes => {}
                    Started::Crowded => crowded.push(spooled.copy),
                    Started::Stop => break,
                }
            }
            self.put_off(crowded).await;
        }
    }

    /// Copies that are due and nobody is trying.
    fn pick(&self, limit: usize) -> Vec<CopyId> {
        let flying = self.inner.in_flight.lock().map_or(0, |in_flight| in_flight.len());
        match self.inner.parts.view.due(self.now(), limit + flying) {
            Ok(due) => due.into_iter().filter(|&copy| !self.is_in_flight(copy)).take(limit).collect(),
            Err(error) => {
                self.fail(&error);
                Vec::new()
            }
        }
    }

    /// Try a copy in a task of its own, once there is room.
    async fn start(&self, spooled: &Spooled) -> Started {
        let slot = tokio::select! {
            () = self.inner.parts.shutdown.requested() => return Started::Stop,
            slot = self.inner.slots.clone().acquire_owned() => slot,
        };
        if self.inner.trouble.load(Ordering::Acquire) {
            return Started::Stop;
        }
        let route = self.route_of(spooled);
        let Some(room) = self.inner.parts.relay.room(&route, &spooled.recipients) else {
            return Started::Crowded;
        };
        let Some(flight) = self.board(spooled.copy) else { return Started::Yes };
        let spool = self.clone();
        self.inner.parts.shutdown.spawn(async move {
            spool.attempt(flight).await;
            drop((slot, room));
        });
        Started::Yes
    }

    /// Give copies whose domain has no room now another turn soon, in one commit.
    async fn put_off(&self, crowded: Vec<CopyId>) {
        let now = self.now();
        let (mut record, mut flights) = (Record::default(), Vec::new());
        for copy in crowded {
            let Some(flight) = self.board(copy) else { continue };
            // Who changed it meanwhile knows better.
            if let Ok(Some(spooled)) = self.inner.parts.view.find(copy)
                && spooled.state.is_due(now)
            {
                let state = SpoolState::Waiting { next: later(now, CROWDED).min(spooled.expires_at) };
                record.sides.push(Side::Spool(Box::new(Spooled { state, ..spooled })));
                flights.push(flight);
            }
        }
        if !record.sides.is_empty()
            && let Err(error) = self.inner.parts.scribe.record(record).await
        {
            self.fail(&error);
        }
    }

    /// Those of `due` that have a next hop to go to. The others get another turn, in one commit: a next hop
    /// that is down costs a row each, and never holds up copies for one that is there.
    async fn sift(&self, due: Vec<CopyId>) -> Vec<Spooled> {
        let now = self.now();
        let (mut ready, mut record, mut flights) = (Vec::new(), Record::default(), Vec::new());
        for copy in due {
            let Some(flight) = self.board(copy) else { continue };
            match self.inner.parts.view.find(copy) {
                Ok(Some(spooled)) if self.has_to_rest(&spooled, now) => {
                    let state = SpoolState::Waiting { next: self.next_turn(&spooled, now) };
                    record.sides.push(Side::Spool(Box::new(Spooled { state, ..spooled })));
                    flights.push(flight);
                }
                Ok(Some(spooled)) => ready.push(spooled),
                // Gone meanwhile.
                Ok(None) => {}
                Err(error) => {
                    self.fail(&error);
                    return Vec::new();
                }
            }
        }
        if !record.sides.is_empty()
            && let Err(error) = self.inner.parts.scribe.record(record).await
        {
            self.fail(&error);
            return Vec::new();
        }
        ready
    }

    /// Whether it is due, its time is not over, and none of its next hops can be used.
    fn has_to_rest(&self, spooled: &Spooled, now: Timestamp) -> bool {
        spooled.state.is_due(now)
            && now < spooled.expires_at
            // A DSN about a delay needs a try to tell of.
            && !(self.is_late(spooled, now) && spooled.recipients.iter().any(Recipient::wants_delay_dsn))
            && self.inner.parts.relay.rest(&self.route_of(spooled), &spooled.recipients).is_some()
    }

    /// Sleep until a copy is due or something changes.
    async fn idle(&self) {
        let view = &self.inner.parts.view;
        if let Ok(count) = view.count() {
            metrics::spool_waiting(count);
        }
        let now = self.now();
        let wait = match view.next_due() {
            // Due, but somebody has it: the end of that flight wakes us.
            Ok(Some(at)) if at <= now => Duration::from_secs(1),
            Ok(Some(at)) => Duration::try_from(at.duration_since(now)).unwrap_or(LONGEST_SLEEP),
            Ok(None) => LONGEST_SLEEP,
            Err(error) => {
                self.fail(&error);
                self.inner.parts.settings.first_pause
            }
        };
        tokio::select! {
            () = self.inner.parts.shutdown.requested() => {}
            () = self.inner.work.notified() => {}
            () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
        }
    }

    /// Sleep; `false` when a stop was asked for.
    async fn rest(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.inner.parts.shutdown.requested() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    fn fail(&self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "the spool cannot be worked on");
        self.inner.trouble.store(true, Ordering::Release);
    }

    /// One try of one copy, from its permits to its outcome.
    async fn attempt(&self, flight: Flight) {
        let view = self.inner.parts.view.clone();
        let id = flight.copy;
        let loaded = tokio::task::spawn_blocking(move || view.load(id)).await;
        let (spooled, rope) = match loaded {
            Ok(Ok(Some(loaded))) => loaded,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return self.fail(&error),
            Err(error) => return self.fail(&error),
        };
        let now = self.now();
        // Somebody may have changed its state since it was picked.
        if !spooled.state.is_due(now) {
            return;
        }
        match self.ask(&spooled, now) {
            Err(reason) => self.put_back(spooled, &rope, &reason, now).await,
            Ok(asked) => {
                if let Some((copy, trying)) = self.begin(spooled, rope, asked, now).await {
                    let may_go = || self.ask_once_more(&trying);
                    let delivery = self.inner.parts.relay.deliver(&copy, &may_go).await;
                    self.finish(&copy, &trying, &delivery).await;
                }
            }
        }
    }

    /// Ask for the permits again (promise 6); `Err` when that cannot be decided now (promise 5).
    pub(super) fn ask(&self, spooled: &Spooled, now: Timestamp) -> Result<Asked, String> {
        let parts = &self.inner.parts;
        let rules = parts.rules.borrow().clone();
        let fault = parts.unsubscribe_fault.borrow().clone();
        let waiting = Waiting {
            class: spooled.class,
            sender: spooled.sender.as_ref(),
            purpose: spooled.purpose.as_ref(),
            rule: spooled.rule.as_deref(),
        };
        let mut asked = Asked { go: Vec::new(), refused: Vec::new() };
        for recipient in &spooled.recipients {
            let address = &recipient.address;
            let profiles = spooled
                .sender
                .iter()
                .map(|sender| (sender.clone(), parts.register.profile(sender, address.key())));
            let profiles = Profiles(profiles.collect());
            if spooled.class == Class::System {
                match keeps_back(spooled, &profiles, &rules)? {
                    Some(refusal) => asked.refused.push((recipient.clone(), refusal)),
                    None => asked.go.push((recipient.clone(), policy::system(address.clone(), None))),
                }
                continue;
            }
            match policy::reconsider(&rules, &waiting, address, &profiles, fault.as_deref(), now).answer {
                policy::Answer::Forward(permit) => asked.go.push((recipient.clone(), permit)),
                policy::Answer::Refuse(refusal) => asked.refused.push((recipient.clone(), refusal)),
                policy::Answer::Defer(reason) => return Err(reason),
            }
        }
        Ok(asked)
    }

    /// The permits once more, when the connection is there.
    pub(super) fn ask_once_more(&self, spooled: &Spooled) -> Result<(), Held> {
        let asked = self.ask(spooled, self.now()).map_err(Held::Undecided)?;
        // Only marketing and the mails of sign-ups are judged anew, and these have one recipient.
        match asked.refused.first() {
            Some((_, refusal)) => Err(Held::Refused(refusal.reason())),
            None => Ok(()),
        }
    }

    /// It cannot be decided now: later, or never when its time is over.
    async fn put_back(&self, spooled: Spooled, rope: &Rope, reason: &str, now: Timestamp) {
        let mut record = Record::default();
        if now >= spooled.expires_at {
            let answer = given_up(&Answer::new(451, "4.3.0", reason));
            record.events.push(Event::Bounced(self.outcome(&spooled, &spooled.recipients, &answer)));
            record.sides.push(Side::Unspool(spooled.copy));
            let failures = spooled
                .recipients
                .iter()
                .map(|recipient| dsn::Failure::own(recipient.clone(), answer.clone()));
            self.bounce(&mut record, &self.returned(&spooled, rope), failures.collect(), now);
        } else {
            let next = self.next_try(spooled.attempts.max(1), now).min(spooled.expires_at);
            let state = SpoolState::Waiting { next };
            let last_reply = format!("451 4.3.0 {reason}");
            record.sides.push(Side::Spool(Box::new(Spooled { state, last_reply, ..spooled })));
        }
        if let Err(error) = self.inner.parts.scribe.record(record).await {
            self.fail(&error);
        }
    }

    /// Record who is cancelled and that the others are being tried, durably, before the first byte goes
    /// (promise 1). `None` when nobody is left, or when it cannot be recorded.
    async fn begin(
        &self,
        spooled: Spooled,
        rope: Rope,
        asked: Asked,
        now: Timestamp,
    ) -> Option<(Copy, Spooled)> {
        let mut record = Record::default();
        let mut failures = Vec::new();
        for (recipient, refusal) in asked.refused {
            let answer = Answer::new(550, "5.7.1", refusal.reason());
            let outcome = self.outcome(&spooled, std::slice::from_ref(&recipient), &answer);
            record.events.push(Event::Cancelled(outcome));
            failures.push(dsn::Failure::own(recipient, answer));
        }
        let cancelled = failures.len();
        if cancelled > 0 {
            self.bounce(&mut record, &self.returned(&spooled, &rope), failures, now);
        }
        let (recipients, permits): (Vec<_>, Vec<_>) = asked.go.into_iter().unzip();
        let trying = Spooled {
            recipients,
            state: SpoolState::Trying,
            attempts: spooled.attempts.saturating_add(1),
            ..spooled
        };
        record.sides.push(if trying.recipients.is_empty() {
            Side::Unspool(trying.copy)
        } else {
            Side::Spool(Box::new(trying.clone()))
        });
        // A crash before this commit: nothing left, it still waits. After it: in doubt at start-up.
        if let Err(error) = self.inner.parts.scribe.record(record).await {
            self.fail(&error);
            return None;
        }
        (0..cancelled).for_each(|_| metrics::recipient_outcome("cancelled"));
        let route = self.route_of(&trying);
        (!trying.recipients.is_empty()).then(|| {
            let login =
                trying.account.as_deref().and_then(|account| self.inner.parts.relay.login_of(account));
            (copy(&trying, permits, rope, route, login), trying)
        })
    }

    /// Record what became of a try, and tell who is to be told, in one commit.
    pub(super) async fn finish(&self, copy: &Copy, trying: &Spooled, delivery: &Delivery) {
        let now = self.now();
        let settled = settle(trying, delivery, self.terms(trying, now));
        let told = !settled.failures.is_empty() || !settled.reports.is_empty();
        let returned = told.then(|| self.returned(trying, &copy.rope));
        let recorded = self
            .insist(|| {
                let mut record = Record { events: settled.events.clone(), sides: vec![settled.side()] };
                if let Some(returned) = &returned {
                    self.bounce(&mut record, returned, settled.failures.clone(), now);
                    self.report(&mut record, returned, settled.reports.clone(), now);
                }
                self.tell_blocks(&mut record);
                record
            })
            .await;
        if recorded {
            settled.count();
            self.wake();
        }
    }

    /// What a DSN tells of a spooled copy: the message as the client gave it.
    fn returned(&self, spooled: &Spooled, rope: &Rope) -> Returned {
        let message = rope.original().clone();
        let limits = &self.inner.parts.settings.structure;
        let automatic =
            spooled.class == Class::System || Message::parse(message.clone(), limits).is_automatic();
        Returned {
            reference: spooled.copy.reference,
            reverse_path: spooled.reverse_path.clone(),
            envid: spooled.envid.clone(),
            ret: spooled.ret,
            arrived_at: spooled.admitted_at,
            message,
            automatic,
        }
    }

    pub(super) fn terms(&self, trying: &Spooled, now: Timestamp) -> Terms {
        let next = self.next_try(trying.attempts, now);
        let late = self.is_late(trying, now);
        Terms { now, next, in_doubt: self.inner.parts.settings.in_doubt, late }
    }

    /// Whether the sender is to be told of a delay, if it wanted that.
    fn is_late(&self, spooled: &Spooled, now: Timestamp) -> bool {
        let age = Duration::try_from(now.duration_since(spooled.admitted_at)).unwrap_or_default();
        !spooled.delay_told && age >= self.inner.parts.settings.delay_notice
    }

    pub(super) fn outcome(&self, spooled: &Spooled, recipients: &[Recipient], answer: &Answer) -> Outcome {
        Outcome {
            copy: spooled.copy,
            recipients: addresses(recipients),
            reply: answer.to_string(),
            next_hop: self.inner.parts.relay.name_for(&self.route_of(spooled)),
            tls: None,
            attempt: spooled.attempts,
        }
    }
}

/// Why a mail of our own does not go, if it is that of a sign-up: its recipient left meanwhile, or cannot be reached
/// (RULES L12). `Err` when that cannot be decided now.
fn keeps_back(spooled: &Spooled, profiles: &Profiles, rules: &Rules) -> Result<Option<Refusal>, String> {
    let Some((sender, purpose)) = spooled.asks_for() else { return Ok(None) };
    let profile = profiles.of(sender).map_err(ToString::to_string)?;
    let profile = profile.ok_or_else(|| format!("the register was not asked for {sender}"))?;
    let Err(clause) = policy::may_be_asked(profile, purpose, spooled.admitted_at) else { return Ok(None) };
    Ok(Some(Refusal {
        clause,
        rule: None,
        sender: rules.sender(sender).map(|sender| sender.name.clone()),
        purpose: Some(purpose.clone()),
    }))
}

fn addresses(recipients: &[Recipient]) -> Vec<crate::mail::Address> {
    recipients.iter().map(|recipient| recipient.address.clone()).collect()
}

/// The copy as the next hop gets it.
fn copy(trying: &Spooled, permits: Vec<Permit>, rope: Rope, route: Route, login: Option<Login>) -> Copy {
    let pairs = permits.into_iter().zip(&trying.recipients);
    let recipients = pairs.map(|(permit, recipient)| CopyRecipient::new(permit, recipient));
    Copy {
        id: trying.copy,
        reverse_path: trying.reverse_path.clone(),
        recipients: recipients.collect(),
        rope,
        eight_bit: trying.eight_bit,
        smtputf8: trying.smtputf8,
        ret: trying.ret,
        envid: trying.envid.clone(),
        route,
        login,
    }
}
