//! What is owed to those who must know, as an administrator sees and changes it (RULES L10).

use super::Services;
use super::wire::{Answer, OwedAction, OwedLine};
use crate::clock::Timestamp;
use crate::ledger::{Event, Owed, OwedId, OwedState, Record, Side, Telling, Told};
use crate::policy::Unavailable;

/// A page of the outbox.
pub(super) fn list(services: &Services, after: Option<OwedId>, limit: usize) -> Result<Answer, Unavailable> {
    let tellings = services.outbox.list_owed(after, limit)?;
    Ok(Answer::Outbox { tellings: tellings.iter().map(|(id, owed)| line(*id, owed)).collect() })
}

/// What doing `action` to a telling means: what is to be written, and what to tell once it is.
pub(super) fn change(
    services: &Services,
    id: OwedId,
    action: OwedAction,
    now: Timestamp,
) -> Result<Result<(Record, String), Answer>, Unavailable> {
    let Some(owed) = services.outbox.find_owed(id)? else {
        let error = format!("{id} is not in the outbox: it was told, or dropped");
        return Ok(Err(Answer::Failed { error }));
    };
    Ok(Ok(match action {
        OwedAction::Retry => {
            // Its time begins anew: what was given up may be told after all.
            let again = Owed { state: OwedState::Waiting { next: now }, since: now, ..owed };
            let record = Record { events: Vec::new(), sides: vec![Side::Defer(id, Box::new(again))] };
            (record, format!("{id} is told now"))
        }
        OwedAction::Drop => {
            let told = Told {
                channel: owed.channel.kind().to_owned(),
                target: owed.channel.to_string(),
                sender: owed.sender,
                address: owed.address,
                fact: id.fact,
                index: id.index,
                outcome: Telling::GivenUp,
                answer: "dropped by the administrator".to_owned(),
                attempt: owed.attempts,
            };
            let record = Record { events: vec![Event::Told(told)], sides: vec![Side::Paid(id)] };
            (record, format!("{id} is dropped"))
        }
    }))
}

fn line(id: OwedId, owed: &Owed) -> OwedLine {
    let (state, next) = match owed.state {
        OwedState::Waiting { next } => ("waiting", Some(next)),
        OwedState::Dead => ("dead", None),
    };
    OwedLine {
        telling: id,
        channel: owed.channel.to_string(),
        sender: owed.sender.clone(),
        address: owed.address.clone(),
        state: state.to_owned(),
        next,
        since: owed.since,
        attempts: owed.attempts,
        last_answer: owed.last_answer.clone(),
    }
}
