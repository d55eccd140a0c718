//! `sluis outbox`: what is owed to those who must know.

use anyhow::{Result, bail};

use super::args::OutboxCommand;
use super::link::{Link, unexpected};
use super::print::{self, Out};
use crate::admin::{Answer, MAX_PAGE, OwedAction, OwedLine, Request};
use crate::ledger::OwedId;

pub(super) fn run(command: OutboxCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    match command {
        OutboxCommand::List { dead } => each(link, |_, telling| {
            if !dead || telling.state == "dead" {
                out.line(line(&telling))?;
            }
            Ok(true)
        }),
        OutboxCommand::Retry { all: true, .. } => each(link, |link, telling| match telling.state.as_str() {
            "dead" => change(link, telling.telling, OwedAction::Retry, out),
            _ => Ok(true),
        }),
        OutboxCommand::Retry { tellings, all: false } => change_all(link, &tellings, OwedAction::Retry, out),
        OutboxCommand::Drop { tellings } => change_all(link, &tellings, OwedAction::Drop, out),
    }
}

/// Page through the outbox; whether `each` did what it was asked to for all.
fn each(link: &mut Link, mut each: impl FnMut(&mut Link, OwedLine) -> Result<bool>) -> Result<bool> {
    let (mut after, mut all) = (None, true);
    loop {
        let Answer::Outbox { tellings } = link.ask(Request::Outbox { after, limit: MAX_PAGE })? else {
            bail!("the gateway gave another kind of answer; is it of the same version as this command?");
        };
        let last = tellings.len() < MAX_PAGE;
        for telling in tellings {
            after = Some(telling.telling);
            all &= each(link, telling)?;
        }
        if last {
            return Ok(all);
        }
    }
}

fn change_all(link: &mut Link, tellings: &[OwedId], action: OwedAction, out: &mut Out) -> Result<bool> {
    tellings.iter().try_fold(true, |all, telling| Ok(change(link, *telling, action, out)? && all))
}

/// One telling; one that cannot be changed is told and does not stop the others.
fn change(link: &mut Link, telling: OwedId, action: OwedAction, out: &mut Out) -> Result<bool> {
    match link.ask(Request::Settle { telling, action }) {
        Ok(Answer::Done { text }) => out.line(text).map(|()| true),
        Ok(other) => Err(unexpected(&other)),
        Err(error) => {
            print::note(&format!("sluis: {error:#}"));
            Ok(false)
        }
    }
}

fn line(telling: &OwedLine) -> String {
    let next = telling.next.map_or_else(String::new, |next| format!(" until {next}"));
    let answer = if telling.last_answer.is_empty() { "not tried yet" } else { &telling.last_answer };
    format!(
        "{} {}{next}, {} tries, {} about {} of {}: {answer}",
        telling.telling, telling.state, telling.attempts, telling.channel, telling.address, telling.sender
    )
}
