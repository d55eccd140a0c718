//! The page of an evidence pack: what happened, in order, with the legal rule beside each step, in the language of
//! the sender. What somebody was told at the time (a refusal, an answer of the next hop) is quoted as it was said.

mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::checkpoint::Checkpoint;
use super::event::{Admitted, AdmittedRecipient, Consented, Entry, EntryNumber, Event, Handover, Outcome};
use super::keeping::Keeping;
use super::outbox::Telling;
use super::pack::{PAGE_WITH_FACTS, entry_name, message_name};
use crate::consent::ConsentEventKind;
use crate::mail::{CopyId, Language};
use crate::policy::Basis;
use words::{self as w, Tongue, Words};

const STYLE: &str = "body{font:11pt/1.5 Georgia,serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111}\
h1{font-size:1.5em}h2{font-size:1.05em;margin:1.6em 0 .2em}.when{color:#555;font-size:.9em}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.4em 0}dt{color:#555}\
dd{margin:0;overflow-wrap:anywhere}.law{border-left:3px solid #1a5;padding-left:.8em;margin:.5em 0}\
section{break-inside:avoid}@page{size:A4;margin:20mm}code{font-size:.9em}";

/// What came with the page that shows all facts: a signature is longer than a line of A4.
const STYLE_OF_FACTS: &str = "pre{white-space:pre-wrap;overflow-wrap:anywhere}";

/// What the page tells, all of it from the signed files of the pack: so a check can render it anew.
pub(super) struct Story<'a> {
    /// Which version: an older one is rendered as its release did, so that its packs can be checked.
    pub page: u32,
    /// In which language.
    pub language: Language,
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
    /// The entries that hold the public halves of keys, as [`keys_in`] finds them.
    pub keys: BTreeMap<String, EntryNumber>,
    /// The copies of which something is kept, and whether that is all of it.
    pub kept: BTreeMap<CopyId, bool>,
    /// The files that its entries name as evidence, by their SHA-256; none in a pack that was made before packs held them.
    pub shown: BTreeMap<String, Shown>,
}

/// What a pack shows of a file, and under which name.
pub(super) enum Shown {
    /// The file.
    Here(String),
    /// The words that say why it is not.
    Missing(String),
}

impl Story<'_> {
    /// Whether its version shows all facts of a send.
    fn has_facts(&self) -> bool {
        self.page >= PAGE_WITH_FACTS
    }

    /// Links to those of the entries `numbers` that are in the pack; of the others, their numbers.
    fn links(&self, numbers: &[EntryNumber]) -> Markup {
        let is_here = |number| self.entries.binary_search_by_key(number, |(number, _)| *number).is_ok();
        html! {
            @for number in numbers {
                @if is_here(number) { a href=(entry_name(*number)) { (number) } } @else { (number) }
                " "
            }
        }
    }
}

/// The entries that say that a key came into use, by its label.
pub(super) fn keys_in(entries: &[(EntryNumber, Entry)]) -> BTreeMap<String, EntryNumber> {
    let mut keys = BTreeMap::new();
    for (number, entry) in entries {
        if let Event::KeyInForce(key) = &entry.event {
            keys.entry(key.label()).or_insert(*number);
        }
    }
    keys
}

/// The page, complete.
pub(super) fn render(story: &Story<'_>) -> String {
    let t = Tongue(story.language);
    let (signed, entries) = (story.signed, story.entries);
    let origin: [&dyn std::fmt::Display; 4] = [&signed.origin, &story.made_at, &signed.size, &entries.len()];
    html! {
        (DOCTYPE)
        html lang=(story.language.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (t.with(&w::EVIDENCE, &[&story.about])) }
                style {
                    (maud::PreEscaped(STYLE))
                    @if story.has_facts() { (maud::PreEscaped(STYLE_OF_FACTS)) }
                }
            }
            body {
                h1 { (t.with(&w::WHAT_HAPPENED, &[&story.about])) }
                p {
                    (t.with(&w::FROM_LEDGER, &origin)) " " a href="VERIFY.md" { "VERIFY.md" } " "
                    (t.say(&w::HOW_TO_CHECK))
                }
                @if story.has_facts() { p { (t.say(&w::WHAT_IT_IS)) } }
                @for (number, entry) in entries { (step(*number, entry, story)) }
                h2 { (t.say(&w::SIGNED_ROOT)) }
                pre { code { (story.note) } }
            }
        }
    }
    .into_string()
}

fn step(number: EntryNumber, entry: &Entry, story: &Story<'_>) -> Markup {
    let t = Tongue(story.language);
    html! {
        section {
            h2 { (title(&entry.event, t)) }
            p.when { (entry.at) ", " a href=(entry_name(number)) { (t.with(&w::ENTRY, &[&number])) } }
            (details(&entry.event, story))
            @if let Some(law) = law(&entry.event) { p.law { (t.say(law)) } }
        }
    }
}

fn title(event: &Event, t: Tongue) -> String {
    match event {
        Event::ConfigInForce { mode, .. } => t.with(&w::CONFIG, &[mode]),
        Event::KeyInForce(key) => t.with(&w::KEY, &[&key.label()]),
        Event::ConsentText { .. } => t.say(&w::TEXT).to_owned(),
        Event::Consent(it) => t.with(consent_words(it.event.kind), &[&it.address]),
        Event::Evidence(it) => t.with(&w::EVIDENCE_KEPT, &[&it.address]),
        Event::Relation(it) => t.with(&w::RELATION, &[&it.address]),
        Event::Published(it) => t.with(&w::PUBLISHED, &[&it.address]),
        Event::Undeliverable(it) => t.with(&w::UNDELIVERABLE, &[&it.address]),
        Event::ImportBegun(it) => t.with(&w::IMPORT_BEGUN, &[&it.file]),
        Event::ImportEnded(_) => t.say(&w::IMPORT_ENDED).to_owned(),
        Event::TakenBack(it) => t.with(&w::TAKEN_BACK, &[&it.fact.word(), &it.address]),
        Event::ImportUndone(_) => t.say(&w::IMPORT_UNDONE).to_owned(),
        Event::Suppression(it) => t.with(&w::SUPPRESSED, &[&it.address]),
        Event::Unsubscribed(it) => t.with(&w::UNSUBSCRIBED, &[&it.address]),
        Event::Corrected(it) => t.with(&w::CORRECTED, &[&it.address]),
        Event::Explained(it) => t.with(&w::EXPLAINED, &[&it.address]),
        Event::Returned(it) => t.with(&w::RETURNED, &[&it.address]),
        Event::Unblocked(it) => t.with(&w::UNBLOCKED, &[&it.address]),
        Event::Ignored(it) => t.with(&w::IGNORED, &[&it.address]),
        Event::Held(_) => t.say(&w::WAITED).to_owned(),
        Event::Answered(it) => t.with(&w::ANSWERED, &[&it.held]),
        Event::Told(it) => match it.outcome {
            Telling::Told => t.with(&w::TOLD, &[&it.target, &it.channel, &it.fact]),
            Telling::GivenUp => t.with(&w::NOT_TOLD, &[&it.target, &it.channel, &it.fact]),
            Telling::NotNeeded => t.with(&w::NOT_NEEDED, &[&it.target, &it.channel]),
        },
        Event::Admitted(it) => t.with(&w::ADMITTED, &[&it.class]),
        Event::SentElsewhere(it) => t.with(&w::SENT_ELSEWHERE, &[&it.channel]),
        Event::Refused { .. } => t.say(&w::REFUSED).to_owned(),
        Event::Relayed(_) => t.say(&w::RELAYED).to_owned(),
        Event::Bounced(_) => t.say(&w::BOUNCED).to_owned(),
        Event::Delayed(_) => t.say(&w::DELAYED).to_owned(),
        Event::InDoubt(_) => t.say(&w::IN_DOUBT).to_owned(),
        Event::Cancelled(_) => t.say(&w::CANCELLED).to_owned(),
        Event::NoticeSent { about, to, .. } => t.with(&w::NOTICE, &[about, to]),
        Event::Keeping(it) => t
            .say(match it {
                Keeping::Held { .. } => &w::HELD,
                Keeping::Released { .. } => &w::RELEASED,
                Keeping::Purged { .. } => &w::PURGED,
                Keeping::Erased { .. } => &w::ERASED,
            })
            .to_owned(),
        Event::Anchored(it) if it.missed.is_some() => t.say(&w::ANCHOR_MISSED).to_owned(),
        Event::Anchored(_) => t.say(&w::ANCHORED).to_owned(),
        Event::Checkpoint { size, .. } => t.with(&w::CHECKPOINT, &[size]),
    }
}

fn consent_words(kind: ConsentEventKind) -> &'static Words {
    match kind {
        ConsentEventKind::Request => &w::REQUESTED,
        ConsentEventKind::Grant => &w::GRANTED,
        ConsentEventKind::Confirm => &w::CONFIRMED,
        ConsentEventKind::Withdraw => &w::WITHDREW,
        ConsentEventKind::Correct => &w::CORRECT,
        ConsentEventKind::Expire => &w::EXPIRED,
        ConsentEventKind::Import => &w::TAKEN_OVER,
    }
}

fn details(event: &Event, story: &Story<'_>) -> Markup {
    let t = Tongue(story.language);
    let list = match event {
        Event::ConfigInForce { rules_sha256, version, .. } => html! {
            (t.row(&w::RULES, sha(rules_sha256))) (t.row(&w::PROGRAM, version))
        },
        Event::KeyInForce(key) => html! {
            @if let Some(public) = &key.public { (t.row(&w::PUBLIC_KEY, html! { code { (public) } })) }
            @if let Some(why) = key.lost.as_ref().filter(|_| story.has_facts()) { (t.row(&w::NOBODY_VOUCHES, why)) }
        },
        Event::ConsentText { sha256, text, .. } => html! {
            (t.row(&w::WORDING, text)) dt { "SHA-256" } dd { code { (sha256) } }
        },
        Event::Consent(it) => consent(it, story),
        Event::Evidence(it) => html! {
            (t.row(&w::FOR, html! { (it.sender) ", " (it.purpose) }))
            (t.row(&w::FILE, html! { (it.file.name) ", SHA-256 " code { (it.file.sha256) } }))
            @match story.shown.get(&it.file.sha256) {
                Some(Shown::Here(name)) => { dt {} dd { a href=(name) { (t.say(&w::FILE_HERE)) } } }
                Some(Shown::Missing(name)) => { dt {} dd { a href=(name) { (t.say(&w::FILE_MISSING)) } } }
                None => {}
            }
            (t.row(&w::KNOWN_FROM, &it.source))
        },
        Event::Relation(it) => html! {
            (t.row(&w::OF, &it.sender.0))
            (t.row(&w::BOUGHT, t.with(&w::LAST_ON, &[&it.relation.product, &it.relation.last_purchase])))
            (t.row(&w::OPT_OUT_OFFERED, t.say(yes_or_no(it.relation.opt_out_offered))))
            @if story.has_facts() {
                (t.row(&w::GIVEN_IN_SALE, t.say(yes_or_no(it.relation.given_in_sale))))
                @if let Some(source) = &it.relation.source { (t.row(&w::SOURCE, source)) }
            }
            (t.row(&w::KNOWN_FROM, &it.source))
        },
        Event::Published(it) => html! {
            (t.row(&w::FOR, html! { (it.sender) ", " (it.purpose) }))
            (t.row(&w::PUBLISHED_AT, t.with(&w::CAPTURED, &[&it.published.url, &it.published.captured_at])))
            (t.row(&w::SENTENCE, &it.published.quote))
            (t.row(&w::PAGE, sha(&it.published.page_sha256)))
            (t.row(&w::REVIEW_BY, html! { (it.published.review_by) }))
            (t.row(&w::KNOWN_FROM, &it.source))
        },
        Event::Undeliverable(it) => html! { (t.row(&w::KNOWN_FROM, &it.block.reply)) },
        Event::ImportBegun(it) => html! {
            (t.row(&w::IMPORT, t.with(&w::READ_AS, &[&it.id, &it.format, &it.zone])))
            (t.row(&w::FILE, t.with(&w::OCTETS, &[&it.size, &it.sha256])))
            @if let Some(attestation) = &it.attestation { (t.row(&w::ATTESTED, attestation)) }
        },
        Event::ImportEnded(it) => html! {
            (t.row(&w::IMPORT, &it.id))
            (t.row(&w::ROWS, t.with(&w::ROW_COUNTS, &[&it.added, &it.already, &it.rejected])))
        },
        Event::TakenBack(it) => html! {
            (t.row(&w::IMPORT, &it.import)) (t.row(&w::SENDER, &it.sender.0))
        },
        Event::ImportUndone(it) => html! {
            (t.row(&w::IMPORT, &it.id))
            (t.row(&w::FACTS, t.with(&w::FACT_COUNTS, &[&it.taken_back, &it.kept])))
        },
        Event::Suppression(it) => html! {
            (t.row(&w::SENDER, &it.sender.0))
            (t.row(&w::REASON, it.suppression.reason.as_str()))
            (t.row(&w::SOURCE, &it.suppression.source))
        },
        Event::Unsubscribed(it) => html! {
            (t.row(&w::FROM, t.with(&w::EVERYTHING, &[&it.sender])))
            (t.row(&w::BY_ACT, it.way.as_str()))
            @if let Some(ip) = &it.ip { (t.row(&w::IP, ip)) }
        },
        Event::Corrected(it) => html! {
            (t.row(&w::OF, t.with(&w::THE_UNSUBSCRIBE, &[&it.sender, &it.since])))
            @if let Some(ip) = &it.ip { (t.row(&w::IP, ip)) }
        },
        Event::Explained(it) => html! {
            (t.row(&w::FROM, &it.sender.0)) (t.row(&w::WHY, it.why.as_str()))
        },
        Event::Told(it) => html! {
            (t.row(&w::ANSWER, &it.answer)) (t.row(&w::TRIES, it.attempt))
        },
        Event::Returned(it) => html! {
            dt { "status" }
            dd { (it.status) " (" (t.say(if it.hard { &w::NO_MAILBOX } else { &w::MAY_WORK })) ")" }
            (t.row(&w::FAR_SERVER, &it.diagnostic))
        },
        Event::Unblocked(it) => html! { (t.row(&w::OF, &it.sender.0)) (t.row(&w::WHY, &it.why)) },
        Event::Ignored(it) => t.row(&w::WHY, &it.why),
        Event::Held(it) => html! { (t.row(&w::SUBJECT, &it.subject)) (t.row(&w::WHY, &it.why)) },
        Event::Answered(it) => t.row(&w::DONE, &it.how),
        Event::Admitted(it) => admitted(it, story),
        Event::SentElsewhere(it) => html! {
            (t.row(&w::BEHALF, &it.sender.name)) (t.row(&w::PURPOSE, &it.purpose.0))
            (t.row(&w::SENT_AT, html! { (it.sent_at) " (" (it.tool) ")" }))
            dt { "SHA-256" } dd { code { (it.text_sha256) }
                @if let Some(reference) = &it.reference { ", " (reference) } }
            @for one in &it.recipients {
                dt { (one.address) }
                dd { (one.basis.to_string()) @if let Some(refusal) = &one.observed { ": " (refusal.reason()) } }
            }
        },
        Event::Refused { handover, reverse_path, recipients, message_id, .. } => html! {
            (handed_over(handover, story))
            (t.row(&w::ENVELOPE, html! { "<" (reverse_path) ">" }))
            @if let Some(id) = message_id { dt { "Message-ID" } dd { (id) } }
            @for one in recipients {
                dt { (one.recipient) } dd { (t.say(&w::SAID)) ": " (one.refusal.reason()) }
            }
        },
        Event::Relayed(it)
        | Event::Bounced(it)
        | Event::Delayed(it)
        | Event::InDoubt(it)
        | Event::Cancelled(it) => outcome(it, t),
        Event::NoticeSent { copy, .. } => t.row(&w::COPY, html! { (copy) }),
        Event::Keeping(it) => t.row(&w::WHAT, it.summary()),
        Event::Anchored(_) => t.row(&w::WHAT, event.summary()),
        Event::Checkpoint { root, counts, .. } => html! {
            (t.row(&w::ROOT, html! { code { (root) } })) (t.row(&w::RECIPIENTS, html! { (counts) }))
        },
    };
    html! { dl { (list) } }
}

fn sha(hash: &str) -> Markup {
    html! { "SHA-256 " code { (hash) } }
}

fn consent(it: &Consented, story: &Story<'_>) -> Markup {
    let (t, evidence) = (Tongue(story.language), &it.event.evidence);
    html! {
        (t.row(&w::FOR, html! { (it.sender) ", " (it.purpose) }))
        (t.row(&w::GIVEN_AT, html! { (it.event.at) }))
        @if let Some(act) = &evidence.act {
            // Older pages had the program's own word for it.
            (t.row(&w::BY_ACT, if story.has_facts() { act.as_str().to_owned() } else { format!("{act:?}") }))
        }
        @if let Some(text) = &evidence.text_sha256 { (t.row(&w::TEXT_SHOWN, sha(text))) }
        @if let Some(version) = &evidence.privacy_version { (t.row(&w::PRIVACY, version)) }
        @if let Some(source) = &evidence.source { (t.row(&w::WHERE, source)) }
        @if let Some(ip) = &evidence.ip { (t.row(&w::IP, ip)) }
        @if story.has_facts() {
            @if let Some(ticked) = evidence.pre_ticked { (t.row(&w::PRE_TICKED, t.say(yes_or_no(ticked)))) }
            @if let Some(bundled) = evidence.bundled { (t.row(&w::BUNDLED, t.say(yes_or_no(bundled)))) }
            (t.row(&w::LEARNED_AT, html! { (it.event.recorded_at) }))
        }
        @if let Some(attestation) = &evidence.attestation { (t.row(&w::ATTESTED, attestation)) }
        (t.row(&w::KNOWN_FROM, &it.source))
    }
}

fn yes_or_no(holds: bool) -> &'static Words {
    if holds { &w::YES } else { &w::NO }
}

fn admitted(it: &Admitted, story: &Story<'_>) -> Markup {
    let t = Tongue(story.language);
    let kept = story.kept.get(&it.copy);
    html! {
        @for one in &it.recipients { (basis(one, story)) }
        @if let Some(sender) = &it.sender { (t.row(&w::BEHALF, html! { (sender.name) " (" (sender.id) ")" })) }
        @if let Some(purpose) = &it.purpose { (t.row(&w::PURPOSE, html! { (purpose) })) }
        @if let Some(handover) = &it.handover { (handed_over(handover, story)) }
        @if let Some(tool) = &it.tool { (t.row(&w::MADE_WITH, tool)) }
        (t.row(&w::RULE, it.rule.as_deref().unwrap_or(t.say(&w::NO_RULE))))
        @if story.has_facts() {
            (t.row(&w::RULES, sha(&it.rules_sha256)))
            (t.row(&w::ENVELOPE, html! { "<" (it.reverse_path) ">" }))
            (t.row(&w::AS_HANDED, sha(&it.original_sha256)))
        }
        @if let Some(id) = &it.message_id { dt { "Message-ID" } dd { (id) } }
        dt { (t.say(&w::COPY)) }
        dd {
            (t.with(&w::SIZE, &[&it.copy, &it.size, &it.sent_sha256]))
            @if let Some(&whole) = kept {
                ", " a href=(message_name(it.copy, whole)) {
                    (t.say(if whole { &w::AS_SENT } else { &w::ITS_HEADER }))
                }
            }
        }
        @if !it.edits.is_empty() { (t.row(&w::EDITED, it.edits.join("; "))) }
        @if !it.dkim.is_empty() {
            dt { (t.say(&w::SIGNED_BY)) }
            dd {
                @for one in &it.dkim {
                    (one.name) " (" (one.key) ") "
                    @if let Some(number) = story.keys.get(&one.label()).filter(|_| story.has_facts()) {
                        a href=(entry_name(*number)) { (t.say(&w::PUBLIC_KEY)) } " "
                    }
                }
            }
        }
        @if story.has_facts() {
            @if let Some(token) = &it.token { (t.row(&w::LINK, &token.0)) }
            @if !it.next_hop.is_empty() { (t.row(&w::NEXT_HOP, &it.next_hop)) }
        }
    }
}

/// Why somebody could be written to.
fn basis(one: &AdmittedRecipient, story: &Story<'_>) -> Markup {
    let t = Tongue(story.language);
    let words = match &one.basis {
        Basis::Consent { grade, since, .. } => t.with(&w::BY_CONSENT, &[&format!("{grade:?}"), since]),
        Basis::Customer { product, last_purchase, .. } => t.with(&w::BY_CUSTOMER, &[product, last_purchase]),
        Basis::Published { url, captured_at, .. } => t.with(&w::BY_PUBLISHED, &[url, captured_at]),
        Basis::Allowed { rule, reason } => t.with(&w::BY_ALLOWED, &[rule, reason]),
        Basis::NotNeeded => t.say(&w::BY_NOTHING).to_owned(),
        Basis::Missing => t.say(&w::BY_MISSING).to_owned(),
    };
    let (source, text) = match &one.basis {
        Basis::Consent { source, text_sha256, .. } => (source.as_ref(), text_sha256.as_ref()),
        Basis::Customer { source, .. } => (source.as_ref(), None),
        _ => (None, None),
    };
    html! {
        dt { (one.recipient) }
        dd {
            (words)
            @if let Some(refusal) = &one.observed { " " (t.with(&w::OBSERVED, &[&refusal.reason()])) }
        }
        @if story.has_facts() {
            @if let Some(source) = source { (t.row(&w::SOURCE, source)) }
            @if let Some(text) = text { (t.row(&w::TEXT_SHOWN, sha(text))) }
            @if !one.basis.entries().is_empty() { (t.row(&w::RESTS_ON, story.links(one.basis.entries()))) }
        }
    }
}

fn handed_over(handover: &Handover, story: &Story<'_>) -> Markup {
    let t = Tongue(story.language);
    let account = handover.account.as_deref().unwrap_or(t.say(&w::TRUSTED));
    let tls = handover.tls.as_deref().unwrap_or(t.say(&w::NO_TLS));
    html! {
        (t.row(&w::HANDED_BY, t.with(&w::HANDED, &[&account, &handover.ip, &tls, &handover.session])))
        @if story.has_facts() { dt { "EHLO" } dd { (handover.helo) } }
    }
}

fn outcome(it: &Outcome, t: Tongue) -> Markup {
    html! {
        (t.row(&w::COPY, html! { (it.copy) }))
        (t.row(&w::FOR, html! { @for one in &it.recipients { (one) " " } }))
        (t.row(&w::ANSWER, &it.reply))
        @if !it.next_hop.is_empty() {
            (t.row(&w::FROM, html! { (it.next_hop) @if let Some(tls) = &it.tls { ", " (tls) } }))
        }
        @if it.attempt > 1 { (t.row(&w::TRY, it.attempt)) }
    }
}

/// The rule of law beside a step.
fn law(event: &Event) -> Option<&'static Words> {
    match event {
        Event::Consent(_) => Some(&w::LAW_CONSENT),
        Event::Relation(_) => Some(&w::LAW_CUSTOMER),
        Event::Admitted(it) => it.recipients.iter().find_map(|one| match one.basis {
            Basis::Consent { .. } => Some(&w::LAW_BY_CONSENT),
            Basis::Customer { .. } => Some(&w::LAW_BY_CUSTOMER),
            Basis::Published { .. } => Some(&w::LAW_BY_PUBLISHED),
            Basis::Allowed { .. } | Basis::NotNeeded | Basis::Missing => None,
        }),
        Event::Refused { .. } => Some(&w::LAW_REFUSED),
        Event::Unsubscribed(_) | Event::Suppression(_) | Event::Cancelled(_) => Some(&w::LAW_STOP),
        _ => None,
    }
}
