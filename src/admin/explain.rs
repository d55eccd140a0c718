//! Why a message may or may not go to one recipient, told as the gateway would decide it now.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Services;
use super::wire::{Answer, Explain, Explained};
use crate::clock::Timestamp;
use crate::mail::{Address, Class, ReversePath};
use crate::message::{self, Brief, ComposeError, Message, Plan, Unsubscribe};
use crate::policy::{
    self, Answer as Decided, Clause, Connection, EnvelopeFacts, Explanation, Facts, Mark, MessageFacts, Mode,
    Permit, Profiles, Refusal, Rules, Step, Unavailable,
};

/// Explain the decision on `asked`.
pub(super) fn explain(services: &Services, asked: &Explain) -> Result<Answer, Unavailable> {
    let rules = services.control.rules();
    let message = match asked.message.as_ref().map(|text| BASE64.decode(text)) {
        None => None,
        Some(Ok(bytes)) => Some(Message::parse(bytes.into(), &message::Limits::default())),
        Some(Err(error)) => {
            return Ok(Answer::Failed { error: format!("the message is no base64: {error}") });
        }
    };
    let reverse_path = match reverse_path(asked, message.as_ref()) {
        Ok(path) => path,
        Err(error) => return Ok(Answer::Failed { error }),
    };
    let told = match &message {
        Some(message) => MessageFacts::of(&rules, std::iter::once(&asked.to), message),
        None => of_envelope(&rules, asked, &reverse_path),
    };
    let connection = connection(asked.ip, asked);
    let envelope = EnvelopeFacts { reverse_path };
    let nothing = Profiles::default();
    let now = services.clock.now();
    let facts = Facts {
        connection: &connection,
        envelope: &envelope,
        recipient: &asked.to,
        message: Some(&told),
        profiles: &nothing,
        // Without a gateway nobody can ask the page; what is explained is what a sound gateway would do.
        unsubscribe_fault: services
            .control
            .status()
            .and_then(|status| status.unsubscribe_fault)
            .map(Into::into),
        now,
    };
    let senders = policy::senders_asked(&rules, &facts);
    let read = |sender| {
        let profile = services.register.profile(&sender, asked.to.key());
        (sender, profile)
    };
    let profiles = Profiles(senders.into_iter().map(read).collect());
    // Judged under enforce: what would be refused is what somebody asks for.
    let strict = Rules { mode: Mode::Enforce, ..(*rules).clone() };
    let Explanation { mut steps, decision } =
        policy::explain(&strict, &Facts { profiles: &profiles, ..facts });
    let answer = match decision.answer {
        Decided::Forward(permit) => edited(message.as_ref(), permit, now, &mut steps),
        other => other,
    };
    Ok(Answer::Explained(told_of(answer, decision.rule, rules.mode == Mode::Observe, steps)))
}

fn connection(ip: IpAddr, asked: &Explain) -> Connection {
    Connection { ip, account: asked.account.clone(), senders: asked.senders.clone() }
}

fn reverse_path(asked: &Explain, message: Option<&Message>) -> Result<ReversePath, String> {
    match asked.envelope_from.as_deref() {
        Some("" | "<>") => Ok(ReversePath::Null),
        Some(text) => Address::parse(text)
            .map(ReversePath::Address)
            .map_err(|error| format!("the envelope sender \"{text}\": {error}")),
        None => {
            let from = asked.from.clone().or_else(|| Some(message?.from()?.address.clone()));
            from.map(ReversePath::Address).ok_or_else(|| {
                "the From address is missing: give --from, or a message that has one".to_owned()
            })
        }
    }
}

/// A message of which only the envelope is there: plain, from one address, to one.
fn of_envelope(rules: &Rules, asked: &Explain, reverse_path: &ReversePath) -> MessageFacts {
    let external = usize::from(rules.owner_of(asked.to.domain()).is_none());
    MessageFacts {
        from: asked.from.clone().or_else(|| reverse_path.address().cloned()),
        recipient_count: 1,
        external_recipients: external,
        visible_external: external,
        ..MessageFacts::default()
    }
}

/// What is checked where marketing is edited: who it says it is from, and whether it can carry an opt-out
/// (RULES L7, L8). Nothing is made.
fn edited(message: Option<&Message>, permit: Permit, now: Timestamp, steps: &mut Vec<Step>) -> Decided {
    let (Some(message), Class::Marketing) = (message, permit.class()) else {
        return Decided::Forward(permit);
    };
    let unsubscribe = Unsubscribe {
        url: "https://sluis.invalid/u/link".to_owned(),
        mailto: None,
        list_id: "sluis.invalid".to_owned(),
    };
    let brief = Brief {
        class: permit.class(),
        sender: permit.sender().map(Arc::as_ref),
        purpose: permit.purpose(),
        templates: None,
        unsubscribe: Some(&unsubscribe),
        trace: "explained",
        received: None,
        message_id: "<explained@sluis.invalid>",
        now,
        next_hop_8bit: true,
        is_ours: &|_| false,
    };
    let clause = match Plan::new(message, &brief).and_then(|plan| plan.copy(&brief, &[])) {
        Ok(_) => {
            let text = "From name, From domain and Reply-To are the sender's; an opt-out can be put in";
            steps.push(Step::new(Mark::Passed, "L7", text));
            return Decided::Forward(permit);
        }
        Err(ComposeError::Identity(why)) => Clause::Identity { why },
        Err(ComposeError::NoOptOut(why)) => Clause::NoOptOut { why },
        Err(ComposeError::Malformed(why)) => Clause::Malformed { why },
        Err(ComposeError::Failed(why)) => return Decided::Defer(why),
    };
    let refusal = Refusal {
        clause,
        rule: permit.rule().map(str::to_owned),
        sender: permit.sender().map(|sender| sender.name.clone()),
        purpose: permit.purpose().cloned(),
    };
    steps.push(Step::new(Mark::Failed, refusal.clause.rule(), refusal.reason()));
    Decided::Refuse(refusal)
}

fn told_of(answer: Decided, rule: Option<String>, observe: bool, steps: Vec<Step>) -> Explained {
    let (decision, why, refusal) = match answer {
        Decided::Forward(permit) => ("forward", permit.basis().to_string(), None),
        Decided::Refuse(refusal) => ("refuse", refusal.reason(), Some(refusal)),
        Decided::Defer(why) => ("defer", why, None),
    };
    let clause = refusal.as_ref().map(|refusal| &refusal.clause);
    Explained {
        decision: decision.to_owned(),
        observe,
        rule,
        why,
        number: clause.map(|clause| clause.rule().to_owned()),
        law: clause.map(|clause| clause.law().to_owned()),
        remedy: clause.map(|clause| clause.remedy().to_owned()),
        steps,
    }
}
