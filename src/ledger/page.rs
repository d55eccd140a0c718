//! The page of an evidence pack: what happened, in order, with the legal rule beside each step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::checkpoint::Checkpoint;
use super::event::{Admitted, Entry, EntryNumber, Event, Handover, Outcome};
use super::keeping::Keeping;
use super::outbox::Telling;
use super::pack::{entry_name, message_name};
use crate::mail::CopyId;
use crate::policy::Basis;

const STYLE: &str = "body{font:11pt/1.5 Georgia,serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111}\
h1{font-size:1.5em}h2{font-size:1.05em;margin:1.6em 0 .2em}.when{color:#555;font-size:.9em}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.4em 0}dt{color:#555}\
dd{margin:0;overflow-wrap:anywhere}.law{border-left:3px solid #1a5;padding-left:.8em;margin:.5em 0}\
section{break-inside:avoid}@page{size:A4;margin:20mm}code{font-size:.9em}";

/// What the page tells, all of it from the signed files of the pack: so a check can render it anew.
pub(super) struct Story<'a> {
    /// What the pack is about.
    pub about: &'a str,
    /// When it was made.
    pub made_at: Timestamp,
    /// The signed note.
    pub note: &'a str,
    /// The same, understood.
    pub signed: &'a Checkpoint,
    /// The entries, in order.
    pub entries: &'a [(EntryNumber, Entry)],
    /// The copies of which something is kept, and whether that is all of it.
    pub kept: BTreeMap<CopyId, bool>,
}

/// The page, complete.
pub(super) fn render(story: &Story<'_>) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Evidence: " (story.about) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { "What happened: " (story.about) }
                p {
                    "From the ledger of the mail gateway " strong { (story.signed.origin) } ", made on " (story.made_at)
                    ". All times are UTC. The ledger held " (story.signed.size) " entries when its root was signed; "
                    "the " (story.entries.len()) " that matter here follow in the order in which they were written. "
                    "This page helps you read them; " a href="VERIFY.md" { "VERIFY.md" }
                    " says how to check that they were not changed since."
                }
                @for (number, entry) in story.entries { (step(*number, entry, story)) }
                h2 { "The signed root" }
                pre { code { (story.note) } }
            }
        }
    }
    .into_string()
}

fn step(number: EntryNumber, entry: &Entry, story: &Story<'_>) -> Markup {
    html! {
        section {
            h2 { (title(&entry.event)) }
            p.when { (entry.at) ", " a href=(entry_name(number)) { "entry " (number) } }
            (details(&entry.event, story))
            @if let Some(law) = law(&entry.event) { p.law { (law) } }
        }
    }
}

fn title(event: &Event) -> String {
    match event {
        Event::ConfigInForce { mode, .. } => format!("The rules in force were recorded ({mode})"),
        Event::KeyInForce(key) => format!("A key came into use: {}", key.label()),
        Event::ConsentText { .. } => "The text by which consent was asked for".to_owned(),
        Event::Consent(it) => format!("Consent of {}: {:?}", it.address, it.event.kind).to_lowercase_first(),
        Event::Relation(it) => format!("{} was recorded as a customer", it.address),
        Event::Published(it) => format!("{} was recorded as published for being mailed", it.address),
        Event::ImportBegun(it) => format!("The file {} was about to be taken in", it.file),
        Event::ImportEnded(_) => "A file was taken in".to_owned(),
        Event::TakenBack(it) => {
            format!("A {} of {} was taken back with its import", it.fact.word(), it.address)
        }
        Event::ImportUndone(_) => "An import was undone".to_owned(),
        Event::Suppression(it) => format!("{} was put on the list of those who get no marketing", it.address),
        Event::Unsubscribed(it) => format!("{} unsubscribed", it.address),
        Event::Corrected(it) => format!("{} took back an unsubscribe made by mistake", it.address),
        Event::Explained(it) => format!("{} said why", it.address),
        Event::Returned(it) => format!("A message to {} came back", it.address),
        Event::Unblocked(it) => format!("{} works after all", it.address),
        Event::Ignored(it) => format!("An automatic mail about a message to {} changed nothing", it.address),
        Event::Held(_) => "A mail to the unsubscribe address waited for a person".to_owned(),
        Event::Answered(it) => format!("The mail of entry {} was answered", it.held),
        Event::Told(it) => match it.outcome {
            Telling::Told => format!("{} ({}) was told of entry {}", it.target, it.channel, it.fact),
            Telling::GivenUp => {
                format!("{} ({}) could not be told of entry {}", it.target, it.channel, it.fact)
            }
            Telling::NotNeeded => format!("{} ({}) had not to be told", it.target, it.channel),
        },
        Event::Admitted(it) => format!("A {} message was admitted", it.class),
        Event::SentElsewhere(it) => format!("A message by {} was reported as sent", it.channel),
        Event::Refused { .. } => "The gateway refused to send".to_owned(),
        Event::Relayed(_) => "The receiving side accepted the message".to_owned(),
        Event::Bounced(_) => "The message was refused for good by the receiving side".to_owned(),
        Event::Delayed(_) => "The message could not be delivered yet".to_owned(),
        Event::InDoubt(_) => "It is not known whether the message arrived".to_owned(),
        Event::Cancelled(_) => "The message was cancelled before it went out".to_owned(),
        Event::NoticeSent { about, to, .. } => format!("A notice ({about}) was sent to {to}"),
        Event::Keeping(it) => match it {
            Keeping::Held { .. } => "A legal hold was put on".to_owned(),
            Keeping::Released { .. } => "A legal hold ended".to_owned(),
            Keeping::Purged { .. } => "Entries were purged: their time had passed".to_owned(),
            Keeping::Erased { .. } => "Data of a person were erased on request".to_owned(),
        },
        Event::Checkpoint { size, .. } => format!("The root over {size} entries was signed"),
    }
}

trait LowerCaseFirst {
    fn to_lowercase_first(self) -> String;
}

impl LowerCaseFirst for String {
    /// `Consent of x: Grant` → `Consent of x: grant`.
    fn to_lowercase_first(mut self) -> String {
        if let Some(at) = self.rfind(": ") {
            let tail = self.split_off(at);
            self.push_str(&tail.to_lowercase());
        }
        self
    }
}

fn details(event: &Event, story: &Story<'_>) -> Markup {
    match event {
        Event::ConfigInForce { rules_sha256, version, .. } => html! {
            dl { dt { "rules" } dd { "SHA-256 " code { (rules_sha256) } } dt { "program" } dd { (version) } }
        },
        Event::KeyInForce(key) => html! { dl {
            @if let Some(public) = &key.public { dt { "public key" } dd { code { (public) } } }
        } },
        Event::ConsentText { sha256, text, .. } => html! { dl {
            dt { "text" } dd { (text) }
            dt { "SHA-256" } dd { code { (sha256) } }
        } },
        Event::Consent(it) => html! { dl {
            dt { "for" } dd { (it.sender) ", " (it.purpose) }
            dt { "given at" } dd { (it.event.at) }
            @if let Some(act) = &it.event.evidence.act { dt { "by" } dd { (format!("{act:?}")) } }
            @if let Some(text) = &it.event.evidence.text_sha256 {
                dt { "text shown" } dd { "SHA-256 " code { (text) } }
            }
            @if let Some(source) = &it.event.evidence.source { dt { "at" } dd { (source) } }
            dt { "known from" } dd { (it.source) }
        } },
        Event::Relation(it) => html! { dl {
            dt { "of" } dd { (it.sender) }
            dt { "bought" } dd { (it.relation.product) ", last on " (it.relation.last_purchase) }
            dt { "opt-out offered" } dd { (if it.relation.opt_out_offered { "yes" } else { "no" }) }
            dt { "known from" } dd { (it.source) }
        } },
        Event::Published(it) => html! { dl {
            dt { "for" } dd { (it.sender) ", " (it.purpose) }
            dt { "published at" } dd { (it.published.url) ", captured " (it.published.captured_at) }
            dt { "sentence" } dd { (it.published.quote) }
            dt { "page" } dd { "SHA-256 " code { (it.published.page_sha256) } }
            dt { "review by" } dd { (it.published.review_by) }
            dt { "known from" } dd { (it.source) }
        } },
        Event::ImportBegun(it) => html! { dl {
            dt { "import" } dd { (it.id) ", read as " (it.format) ", times in " (it.zone) }
            dt { "file" } dd { (it.size) " octets, SHA-256 " code { (it.sha256) } }
            @if let Some(attestation) = &it.attestation { dt { "attested" } dd { (attestation) } }
        } },
        Event::ImportEnded(it) => html! { dl {
            dt { "import" } dd { (it.id) }
            dt { "rows" } dd { (it.added) " added, " (it.already) " already there, " (it.rejected) " rejected" }
        } },
        Event::TakenBack(it) => html! { dl {
            dt { "import" } dd { (it.import) }
            dt { "sender" } dd { (it.sender) }
        } },
        Event::ImportUndone(it) => html! { dl {
            dt { "import" } dd { (it.id) }
            dt { "facts" } dd { (it.taken_back) " taken back, " (it.kept) " opt-outs kept" }
        } },
        Event::Suppression(it) => html! { dl {
            dt { "sender" } dd { (it.sender) }
            dt { "reason" } dd { (format!("{:?}", it.suppression.reason)) }
            dt { "source" } dd { (it.suppression.source) }
        } },
        Event::Unsubscribed(it) => html! { dl {
            dt { "from" } dd { "everything commercial from " (it.sender) }
            dt { "by" } dd { (it.way.as_str()) }
            @if let Some(ip) = &it.ip { dt { "IP address" } dd { (ip) } }
        } },
        Event::Corrected(it) => html! { dl {
            dt { "of" } dd { "the unsubscribe from " (it.sender) " at " (it.since) }
            @if let Some(ip) = &it.ip { dt { "IP address" } dd { (ip) } }
        } },
        Event::Explained(it) => html! { dl {
            dt { "from" } dd { (it.sender) }
            dt { "why" } dd { (it.why.as_str()) }
        } },
        Event::Returned(it) => html! { dl {
            dt { "status" } dd { (it.status) " (" (if it.hard { "no such mailbox" } else { "it may still work" }) ")" }
            @if it.blocked { dt { "what followed" } dd { "no marketing is sent there any more" } }
            dt { "the far server" } dd { (it.diagnostic) }
        } },
        Event::Unblocked(it) => html! { dl {
            dt { "for" } dd { (it.sender) }
            dt { "why" } dd { (it.why) }
        } },
        Event::Ignored(it) => html! { dl { dt { "why" } dd { (it.why) } } },
        Event::Held(it) => html! { dl {
            dt { "subject" } dd { (it.subject) }
            dt { "why" } dd { (it.why) }
        } },
        Event::Answered(it) => html! { dl { dt { "what was done" } dd { (it.how) } } },
        Event::Told(it) => html! { dl {
            dt { "answer" } dd { (it.answer) }
            dt { "tries" } dd { (it.attempt) }
        } },
        Event::Admitted(it) => admitted(it, story),
        Event::SentElsewhere(it) => html! { dl {
            dt { "of" } dd { (it.sender.name) ", " (it.purpose) }
            dt { "sent at" } dd { (it.sent_at) ", by the word of " (it.tool) }
            dt { "message" } dd { "SHA-256 " code { (it.text_sha256) }
                @if let Some(reference) = &it.reference { ", " (reference) } }
            @for one in &it.recipients {
                dt { (one.address) }
                dd { (one.basis.to_string()) @if let Some(refusal) = &one.observed { ": " (refusal.reason()) } }
            }
        } },
        Event::Refused { handover, reverse_path, recipients, message_id, .. } => html! {
            dl {
                (handed_over(handover))
                dt { "envelope sender" } dd { "<" (reverse_path) ">" }
                @if let Some(id) = message_id { dt { "Message-ID" } dd { (id) } }
                @for one in recipients { dt { (one.recipient) } dd { (one.refusal.reason()) } }
            }
        },
        Event::Relayed(it)
        | Event::Bounced(it)
        | Event::Delayed(it)
        | Event::InDoubt(it)
        | Event::Cancelled(it) => outcome(it),
        Event::NoticeSent { copy, .. } => html! { dl { dt { "copy" } dd { (copy) } } },
        Event::Keeping(it) => html! { dl { dt { "what" } dd { (it.summary()) } } },
        Event::Checkpoint { root, counts, .. } => html! { dl {
            dt { "root" } dd { code { (root) } }
            dt { "recipients" } dd { (counts) }
        } },
    }
}

fn admitted(it: &Admitted, story: &Story<'_>) -> Markup {
    let kept = story.kept.get(&it.copy);
    html! { dl {
        @for one in &it.recipients {
            dt { (one.recipient) }
            dd {
                (one.basis)
                @if let Some(refusal) = &one.observed {
                    " (observing only: enforcement would have refused, " (refusal.reason()) ")"
                }
            }
        }
        @if let Some(sender) = &it.sender { dt { "on behalf of" } dd { (sender.name) " (" (sender.id) ")" } }
        @if let Some(purpose) = &it.purpose { dt { "purpose" } dd { (purpose) } }
        @if let Some(handover) = &it.handover { (handed_over(handover)) }
        @if let Some(tool) = &it.tool { dt { "made with" } dd { (tool) } }
        dt { "rule" } dd { (it.rule.as_deref().unwrap_or("none matched: treated as marketing")) }
        @if let Some(id) = &it.message_id { dt { "Message-ID" } dd { (id) } }
        dt { "copy" } dd {
            (it.copy) ", " (it.size) " octets, SHA-256 " code { (it.sent_sha256) }
            @if let Some(&whole) = kept {
                ", " a href=(message_name(it.copy, whole)) {
                    (if whole { "as it was sent" } else { "its header" })
                }
            }
        }
        @if !it.edits.is_empty() { dt { "edited" } dd { (it.edits.join("; ")) } }
        @if !it.dkim.is_empty() { dt { "signed by" } dd { @for one in &it.dkim { (one.name) " (key " (one.key) ") " } } }
    } }
}

fn handed_over(handover: &Handover) -> Markup {
    html! {
        dt { "handed over by" }
        dd {
            (handover.account.as_deref().unwrap_or("a trusted network")) " from " (handover.ip)
            @if let Some(tls) = &handover.tls { ", " (tls) }
            ", session " (handover.session)
        }
    }
}

fn outcome(it: &Outcome) -> Markup {
    html! { dl {
        dt { "copy" } dd { (it.copy) }
        dt { "for" } dd { @for one in &it.recipients { (one) " " } }
        dt { "answer" } dd { (it.reply) }
        @if !it.next_hop.is_empty() {
            dt { "from" } dd { (it.next_hop) @if let Some(tls) = &it.tls { ", " (tls) } }
        }
        @if it.attempt > 1 { dt { "try" } dd { (it.attempt) } }
    } }
}

/// The rule of law beside a step.
fn law(event: &Event) -> Option<&'static str> {
    match event {
        Event::Consent(_) => Some(
            "Telecommunicatiewet art. 11.7(1) and GDPR art. 4(11), 7: commercial mail needs prior, free, \
             specific, informed and active consent, and the sender must be able to show it.",
        ),
        Event::Relation(_) => Some(
            "Telecommunicatiewet art. 11.7(3): customers may be mailed about similar products of the same \
             seller, if they could object when the address was taken and in every message.",
        ),
        Event::Admitted(it) => it.recipients.iter().find_map(|one| match one.basis {
            Basis::Consent { .. } => Some(
                "Telecommunicatiewet art. 11.7(1): sent with prior consent. Art. 11.7(4): the message names \
                 its sender and carries a way to stop it.",
            ),
            Basis::Customer { .. } => Some(
                "Telecommunicatiewet art. 11.7(3): sent to a customer, about similar products. Art. 11.7(4): \
                 the message names its sender and carries a way to stop it.",
            ),
            Basis::Published { .. } => Some(
                "Telecommunicatiewet art. 11.7(2): sent to an address that was published for this purpose.",
            ),
            Basis::Allowed { .. } | Basis::NotNeeded | Basis::Missing => None,
        }),
        Event::Refused { .. } => {
            Some("Telecommunicatiewet art. 11.7(1): without a basis that can be shown, nothing was sent.")
        }
        Event::Unsubscribed(_) | Event::Suppression(_) | Event::Cancelled(_) => Some(
            "Telecommunicatiewet art. 11.7(4) and GDPR art. 7(3), 21(2): objecting is free and easy, and \
             works at once.",
        ),
        _ => None,
    }
}
