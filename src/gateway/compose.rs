//! Compose: from permits to finished copies.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::admit::{Journey, Rejected};
use super::{Gateway, Settings, Signers};
use crate::mail::{Class, CopyId, Purpose, SenderId, TokenId};
use crate::message::{Brief, ComposeError, Composed, Message, Plan, Signer, Unsubscribe, date_time};
use crate::policy::{Clause, Mode, Permit, Refusal};
use crate::relay::{Handed, Route};
use crate::token::{self, Claim};

/// What is worked out once per message for all copies of one class, sender and purpose, for next hops that
/// take 8-bit octets or do not.
#[derive(Debug, Default)]
struct Plans(Vec<(Alike, Result<Plan, ComposeError>)>);

/// What copies must agree in to share a plan.
type Alike = (Class, Option<SenderId>, Option<Purpose>, bool);

impl Plans {
    fn plan(&mut self, message: &Message, brief: &Brief<'_>) -> Result<&Plan, ComposeError> {
        let sender = brief.sender.map(|sender| sender.id.clone());
        let key = (brief.class, sender, brief.purpose.cloned(), brief.next_hop_8bit);
        let at = match self.0.iter().position(|(known, _)| *known == key) {
            Some(at) => at,
            None => {
                self.0.push((key, Plan::new(message, brief)));
                self.0.len() - 1
            }
        };
        self.0[at].1.as_ref().map_err(Clone::clone)
    }
}

/// One copy that is ready, before it is recorded.
#[derive(Debug)]
pub(super) struct Draft {
    pub id: CopyId,
    pub class: Class,
    /// Positions in the envelope, with the permits.
    pub recipients: Vec<(usize, Permit)>,
    pub composed: Composed,
    /// SHA-256 of what is sent.
    pub sha256: [u8; 32],
    pub token: Option<TokenId>,
    /// Where it may go.
    pub route: Route,
    /// Under observe: what kept it from being edited as marketing.
    pub observed: Option<Refusal>,
}

/// What is the same for all attempts at one copy.
#[derive(Debug, Clone, Copy)]
struct Attempt<'a> {
    id: CopyId,
    permit: &'a Permit,
    next_hop_8bit: bool,
}

impl Gateway {
    /// Make all copies: one per recipient for marketing, one for all alike for every other class. `Err`
    /// is a failure of ours; refusals for the message's own sake come back beside the drafts.
    pub(super) fn compose_all(
        &self,
        journey: &Journey<'_>,
        permits: Vec<(usize, Permit)>,
    ) -> Result<(Vec<Draft>, Vec<Rejected>), String> {
        let mut drafts = Vec::new();
        let mut rejected = Vec::new();
        let mut plans = Plans::default();
        let relay = &self.parts.relay;
        let route = |permit: &Permit| relay.route(handed(journey, permit));
        let groups = grouped(permits, route, |route| relay.is_by_domain(route));
        let octets = journey.message.original().len().saturating_mul(groups.len());
        aside(octets, || {
            for (index, (route, group)) in (0..).zip(groups) {
                let id = CopyId { reference: journey.reference, index };
                match self.compose_one(journey, &mut plans, id, route, group)? {
                    Ok(draft) => drafts.push(draft),
                    Err(refused) => rejected.extend(refused),
                }
            }
            Ok((drafts, rejected))
        })
    }

    fn compose_one(
        &self,
        journey: &Journey<'_>,
        plans: &mut Plans,
        id: CopyId,
        route: Route,
        recipients: Vec<(usize, Permit)>,
    ) -> Result<Result<Draft, Vec<Rejected>>, String> {
        // Groups are never empty, and all permits of one agree in class and sender.
        let permit = recipients[0].1.clone();
        let class = permit.class();
        let (unsubscribe, token) = self.way_out(journey, &permit);
        let next_hop_8bit = self.parts.relay.abilities_for(&route, Some(permit.recipient())).eight_bit;
        let attempt = Attempt { id, permit: &permit, next_hop_8bit };
        let mut compose = |class, unsubscribe| self.compose_as(journey, plans, &attempt, class, unsubscribe);
        let (composed, observed) = match compose(class, unsubscribe.as_ref()) {
            Ok(composed) => (composed, None),
            Err(ComposeError::Failed(reason)) => return Err(reason),
            Err(error) => {
                let (refusal, malformed) = refusal(error, &permit);
                if journey.in_force.rules.mode == Mode::Enforce {
                    return Ok(Err(rejected(recipients, &refusal, malformed)));
                }
                // Observe blocks nothing: what enforcement would have refused goes out as it came, unless
                // the next hop could not take it in any form.
                match compose(Class::Personal, None) {
                    Ok(plain) => (plain, Some(refusal)),
                    Err(ComposeError::Failed(reason)) => return Err(reason),
                    Err(error) => {
                        let (refusal, malformed) = self::refusal(error, &permit);
                        return Ok(Err(rejected(recipients, &refusal, malformed)));
                    }
                }
            }
        };
        let token = if observed.is_none() { token } else { None };
        let sha256 = composed.rope.sha256();
        Ok(Ok(Draft { id, class, recipients, composed, sha256, token, route, observed }))
    }

    fn compose_as(
        &self,
        journey: &Journey<'_>,
        plans: &mut Plans,
        attempt: &Attempt<'_>,
        class: Class,
        unsubscribe: Option<&Unsubscribe>,
    ) -> Result<Composed, ComposeError> {
        let Attempt { id, permit, next_hop_8bit } = *attempt;
        let settings = &journey.in_force.settings;
        let is_ours = |candidate: &str| is_ours(settings, permit, candidate);
        let trace = trace(id, class, permit, settings);
        let brief = Brief {
            class,
            sender: permit.sender().map(Arc::as_ref),
            purpose: permit.purpose(),
            templates: permit.sender().and_then(|sender| settings.footers.get(&sender.id)),
            unsubscribe,
            trace: &trace,
            received: Some(&received(journey)),
            message_id: &format!("<{}@{}>", journey.reference, settings.hostname),
            now: journey.now,
            next_hop_8bit,
            is_ours: &is_ours,
        };
        let signers = signers_for(&settings.signers, journey.message);
        plans.plan(journey.message, &brief)?.copy(&brief, signers)
    }

    /// The opt-out of a marketing copy; the token names the sender, the recipient and this submission.
    fn way_out(&self, journey: &Journey<'_>, permit: &Permit) -> (Option<Unsubscribe>, Option<TokenId>) {
        let (Class::Marketing, Some(sender)) = (permit.class(), permit.sender()) else {
            return (None, None);
        };
        let settings = &journey.in_force.settings;
        let token = settings.tokens.mint(
            &Claim {
                sender: sender.id.clone(),
                address: permit.recipient().key().clone(),
                reference: journey.reference,
                purpose: permit.purpose().cloned(),
            },
            &*self.parts.entropy,
        );
        let unsubscribe = Unsubscribe {
            url: format!("{}/u/{token}", settings.url_of(&sender.id)),
            mailto: settings
                .unsubscribe_mailto
                .as_ref()
                .map(|mailbox| format!("mailto:{mailbox}?subject={token}")),
            list_id: list_id(permit, &settings.hostname),
        };
        (Some(unsubscribe), Some(token::id(&token)))
    }
}

/// The value of `Sluis-Trace`: copy, gateway, class, sender, and a mark over these.
fn trace(id: CopyId, class: Class, permit: &Permit, settings: &Settings) -> String {
    let sender = permit.sender().map_or("-", |sender| sender.id.0.as_str());
    let text = format!("{id} {} {class} {sender}", settings.hostname);
    let mark = settings.tokens.mark(&text);
    format!("{text}\r\n\t{mark}")
}

/// Whether an earlier run of ours did this already (RULES P12): a link that opts this very recipient out of this
/// sender, or our own trace on service mail of this sender.
fn is_ours(settings: &Settings, permit: &Permit, candidate: &str) -> bool {
    let Some(sender) = permit.sender() else { return false };
    let ours = candidate.strip_prefix(settings.url_of(&sender.id));
    if let Some(token) = ours.and_then(|rest| rest.strip_prefix("/u/")) {
        let claim = settings.tokens.open(token);
        return claim
            .is_ok_and(|claim| claim.sender == sender.id && claim.address == *permit.recipient().key());
    }
    let words: Vec<&str> = candidate.split_ascii_whitespace().collect();
    let [copy, hostname, class, of, mark] = words[..] else { return false };
    class == Class::Service.as_str()
        && of == sender.id.0
        && settings.tokens.is_marked(&format!("{copy} {hostname} {class} {of}"), mark)
}

/// Octets in all copies together above which the work leaves the asynchronous workers to others: signing and
/// hashing them takes milliseconds, and of a large message to many, seconds.
const LARGE: usize = 1 << 20;

/// Do `work` on this thread; when it is about many octets, other tasks go on elsewhere meanwhile.
fn aside<T>(octets: usize, work: impl FnOnce() -> T) -> T {
    let several = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if several && octets > LARGE { tokio::task::block_in_place(work) } else { work() }
}

/// Marketing gets a copy per recipient; recipients of any other class, sender and route share one, or, where the
/// route leads to the recipients' own servers, those of one domain.
fn grouped(
    permits: Vec<(usize, Permit)>,
    route: impl Fn(&Permit) -> Route,
    by_domain: impl Fn(&Route) -> bool,
) -> Vec<(Route, Vec<(usize, Permit)>)> {
    let mut groups: Vec<(Route, Vec<(usize, Permit)>)> = Vec::new();
    for (index, permit) in permits {
        let own = route(&permit);
        let apart = by_domain(&own);
        let alike = |(route, group): &&mut (Route, Vec<(usize, Permit)>)| {
            let first = &group[0].1;
            permit.class() != Class::Marketing
                && first.class() == permit.class()
                && first.sender().map(|s| &s.id) == permit.sender().map(|s| &s.id)
                && *route == own
                && (!apart || first.recipient().domain() == permit.recipient().domain())
        };
        match groups.iter_mut().find(alike) {
            Some((_, group)) => group.push((index, permit)),
            None => groups.push((own, vec![(index, permit)])),
        }
    }
    groups
}

/// What the choice of next hops depends on.
fn handed<'a>(journey: &'a Journey<'_>, permit: &'a Permit) -> Handed<'a> {
    Handed {
        rule: permit.rule(),
        account: journey.submission.client.connection.account.as_deref(),
        sender: permit.sender().map(|sender| &sender.id),
    }
}

fn rejected(recipients: Vec<(usize, Permit)>, refusal: &Refusal, malformed: bool) -> Vec<Rejected> {
    let one = |(index, _)| Rejected { index, refusal: refusal.clone(), malformed };
    recipients.into_iter().map(one).collect()
}

fn refusal(error: ComposeError, permit: &Permit) -> (Refusal, bool) {
    let (clause, malformed) = match error {
        ComposeError::Identity(why) => (Clause::Identity { why }, false),
        ComposeError::NoOptOut(why) => (Clause::NoOptOut { why }, false),
        ComposeError::Malformed(why) | ComposeError::Failed(why) => (Clause::Malformed { why }, true),
    };
    let refusal = Refusal {
        clause,
        rule: permit.rule().map(str::to_owned),
        sender: permit.sender().map(|sender| sender.name.clone()),
        purpose: permit.purpose().cloned(),
    };
    (refusal, malformed)
}

/// The keys of the nearest domain that is the From domain or above it (DMARC relaxed alignment).
fn signers_for<'a>(signers: &'a [Signers], message: &Message) -> &'a [Signer] {
    let Some(from) = message.from() else { return &[] };
    signers
        .iter()
        .filter(|one| from.address.domain().is_within(&one.domain))
        .max_by_key(|one| one.domain.ascii().len())
        .map_or(&[], |one| &one.keys)
}

/// A List-Id that is stable per sender and purpose (RULES P10; RFC 2919): a label made from the purpose,
/// under our own name.
fn list_id(permit: &Permit, hostname: &str) -> String {
    let purpose = permit.purpose().map_or("", |purpose| purpose.0.as_str());
    let mut label = String::new();
    for c in purpose.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => label.push(c),
            _ if label.ends_with('-') || label.is_empty() => {}
            _ => label.push('-'),
        }
        if label.len() >= 48 {
            break;
        }
    }
    let label = label.trim_matches('-');
    let sender = permit.sender().map_or("", |sender| sender.id.0.as_str());
    match label {
        "" => format!("{sender}.{hostname}"),
        label => format!("{label}.{sender}.{hostname}"),
    }
}

/// The value of our Received field (RFC 5321 4.4), folded.
fn received(journey: &Journey<'_>) -> String {
    let client = &journey.submission.client;
    let helo: String =
        client.helo.chars().filter(|c| c.is_ascii_graphic() && !"()<>;\\\"".contains(*c)).take(255).collect();
    format!(
        "from {helo} ({ip})\r\n\tby {by} (Sluis) with {protocol} id {reference};\r\n\t{at}",
        ip = match client.connection.ip {
            IpAddr::V4(ip) => format!("[{ip}]"),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        },
        by = journey.in_force.settings.hostname,
        protocol = client.protocol,
        reference = journey.reference,
        at = date_time(journey.now),
    )
}
