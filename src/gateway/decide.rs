//! Classify, gather, decide: from a message and its envelope to permits and refusals.

use jiff::Timestamp;

use super::{Client, Gateway};
use crate::limits::Counted;
use crate::mail::{Address, Envelope};
use crate::message::Message;
use crate::metrics;
use crate::policy::{
    self, Answer, Connection, EnvelopeFacts, Facts, MessageFacts, Permit, Profiles, Refusal, Rules,
};

/// The recipients of one message, sorted by what was decided. Indexes are positions in the envelope.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// May go.
    pub permits: Vec<(usize, Permit)>,
    /// May not.
    pub refusals: Vec<(usize, Refusal)>,
    /// Cannot be decided now: why.
    pub deferred: Option<String>,
    /// The place of a personal message among those like it; kept if it is taken.
    pub counted: Option<Counted>,
}

impl Gateway {
    /// Decide for each recipient of the envelope.
    pub(super) fn decide(
        &self,
        rules: &Rules,
        client: &Client,
        envelope: &Envelope,
        message: &Message,
        now: Timestamp,
    ) -> Verdicts {
        let mut known = MessageFacts::of(rules, envelope.recipients.iter().map(|one| &one.address), message);
        let facts = EnvelopeFacts { reverse_path: envelope.reverse_path.clone() };
        let counted = self.count_alike(rules, client, envelope, &facts, &known, message);
        known.alike = counted.as_ref().map_or(0, |counted| counted.count);
        let message = known;
        let mut verdicts = Verdicts { counted, ..Verdicts::default() };
        for (index, recipient) in envelope.recipients.iter().enumerate() {
            let address = &recipient.address;
            let profiles = self.gather(rules, &client.connection, &facts, address, Some(&message));
            let facts = self.facts(&client.connection, &facts, address, Some(&message), &profiles, now);
            let decision = policy::evaluate(rules, &facts);
            let answer = match decision.answer {
                Answer::Forward(permit) => {
                    verdicts.permits.push((index, permit));
                    "forward"
                }
                Answer::Refuse(refusal) => {
                    verdicts.refusals.push((index, refusal));
                    "refuse"
                }
                Answer::Defer(reason) => {
                    verdicts.deferred.get_or_insert(reason);
                    "defer"
                }
            };
            metrics::recipient_decided(decision.class.as_str(), answer);
        }
        verdicts
    }

    /// Count a message that is personal to anybody among those that say nearly the same (RULES L13).
    fn count_alike(
        &self,
        rules: &Rules,
        client: &Client,
        envelope: &Envelope,
        facts: &EnvelopeFacts,
        known: &MessageFacts,
        message: &Message,
    ) -> Option<Counted> {
        let (nothing, now) = (Profiles::default(), self.parts.clock.now());
        let personal = envelope.recipients.iter().any(|one| {
            let facts = self.facts(&client.connection, facts, &one.address, Some(known), &nothing, now);
            policy::is_personal(rules, &facts)
        });
        let words = personal.then(|| message.fingerprint()).flatten()?;
        let from = known.from.as_ref().map_or("", |from| from.as_str());
        let connection = &client.connection;
        Some(self.parts.limits.alike(connection.account.as_deref(), connection.ip, from, words))
    }

    /// Read the register for every sender that the decision may ask about: the only reads of a decision.
    pub(super) fn gather(
        &self,
        rules: &Rules,
        connection: &Connection,
        envelope: &EnvelopeFacts,
        recipient: &Address,
        message: Option<&MessageFacts>,
    ) -> Profiles {
        let nothing = Profiles::default();
        let facts = self.facts(connection, envelope, recipient, message, &nothing, self.parts.clock.now());
        let senders = policy::senders_asked(rules, &facts);
        Profiles(
            senders
                .into_iter()
                .map(|sender| {
                    let profile = self.parts.register.profile(&sender, recipient.key());
                    (sender, profile)
                })
                .collect(),
        )
    }

    pub(super) fn facts<'a>(
        &self,
        connection: &'a Connection,
        envelope: &'a EnvelopeFacts,
        recipient: &'a Address,
        message: Option<&'a MessageFacts>,
        profiles: &'a Profiles,
        now: Timestamp,
    ) -> Facts<'a> {
        Facts {
            connection,
            envelope,
            recipient,
            message,
            profiles,
            unsubscribe_fault: self.unsubscribe_fault(),
            now,
        }
    }
}
