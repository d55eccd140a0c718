//! Classify, gather, decide: from a message and its envelope to permits and refusals.

use jiff::Timestamp;

use super::{Client, Gateway};
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
        let message = MessageFacts::of(rules, envelope.recipients.iter().map(|one| &one.address), message);
        let facts = EnvelopeFacts { reverse_path: envelope.reverse_path.clone() };
        let mut verdicts = Verdicts::default();
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
            unsubscribe_healthy: self.unsubscribe_up(),
            now,
        }
    }
}
