//! Delivery status notifications (RFC 3461, 3464, 6522; RULES P13).
//!
//! Pure: from what became of recipients to the exact bytes of a `multipart/report`. Whether one is due is
//! asked in [`super::Spool::bounce`]. Deliberately absent: delay notices, which RFC 3461 leaves to us.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use memchr::memmem;

use super::{Answer, Delivery};
use crate::mail::{
    Address, Language, Recipient, Reference, Ret, ReversePath, utf8_addr_xtext, xtext_decoded,
};

/// Most octets of the original header that a DSN returns.
const MAX_HEADER: usize = 64 * 1024;
/// Most octets of a diagnostic text that a DSN repeats.
const MAX_DIAGNOSTIC: usize = 900;

/// What a DSN tells of the message it is about.
#[derive(Debug, Clone)]
pub struct Returned {
    /// Our reference of it.
    pub reference: Reference,
    /// Where the DSN goes; nowhere for the null path.
    pub reverse_path: ReversePath,
    /// `ENVID=`, in xtext as it came.
    pub envid: Option<String>,
    /// `RET=`; `None` returns the header only.
    pub ret: Option<Ret>,
    /// When it came to us.
    pub arrived_at: Timestamp,
    /// The message as the client gave it.
    pub message: Bytes,
    /// A DSN, an MDN or an automatic reply: no DSN is sent for it.
    pub automatic: bool,
}

/// A recipient who will not get the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who, with the DSN wishes of the client.
    pub recipient: Recipient,
    /// Why.
    pub answer: Answer,
    /// The next hop that said so, as `host:port`; `None`: we did.
    pub next_hop: Option<String>,
    /// Nobody knows whether it arrived: the answer to the last try was lost (promise 1).
    pub in_doubt: bool,
}

impl Failure {
    /// By ourselves.
    pub fn own(recipient: Recipient, answer: Answer) -> Self {
        Self { recipient, answer, next_hop: None, in_doubt: false }
    }

    /// Refused by policy: an enhanced code (`5.7.1`) and the text of the failing clause.
    pub fn by_policy(recipient: Recipient, enhanced: &str, text: String) -> Self {
        Self::own(recipient, Answer::new(550, enhanced, text))
    }

    /// Refused by the next hop, in its own words.
    pub fn by_next_hop(recipient: Recipient, answer: &Answer, next_hop: &str) -> Self {
        Self { next_hop: Some(next_hop.to_owned()), ..Self::own(recipient, answer.clone()) }
    }

    pub(super) fn into_report(self) -> Report {
        Report {
            recipient: self.recipient,
            answer: self.answer,
            next_hop: self.next_hop,
            action: if self.in_doubt { Action::InDoubt } else { Action::Failed },
            until: None,
        }
    }
}

/// What became of a recipient (RFC 3464 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Failed,
    /// It may have arrived or not, and is not tried again. RFC 3464 has no word for that; `failed` would be one that
    /// programs act upon.
    InDoubt,
    /// Still waiting (RFC 3461 4.1, `NOTIFY=DELAY`).
    Delayed,
    /// Handed to a next hop that sends no DSNs (RFC 3461 5.2.7 d).
    Relayed,
}

/// One recipient of a DSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub recipient: Recipient,
    pub answer: Answer,
    pub next_hop: Option<String>,
    pub action: Action,
    /// Until when it is tried again, for one that waits.
    pub until: Option<Timestamp>,
}

impl Report {
    /// `relayed`, for a recipient who wanted to know and will not hear it from the next hop.
    pub(super) fn relayed(recipient: &Recipient, answer: &Answer, delivery: &Delivery) -> Option<Self> {
        let wanted = recipient.notify.is_some_and(|notify| notify.success) && !delivery.dsn_passed_on;
        wanted.then(|| Self {
            recipient: recipient.clone(),
            answer: answer.clone(),
            next_hop: Some(delivery.next_hop.clone()),
            action: Action::Relayed,
            until: None,
        })
    }

    /// `delayed`, for a recipient who waits; `answer` is from the last try.
    pub(super) fn delayed(recipient: &Recipient, answer: &Answer, until: Timestamp) -> Self {
        let (recipient, answer) = (recipient.clone(), answer.clone());
        Self { recipient, answer, next_hop: None, action: Action::Delayed, until: Some(until) }
    }
}

/// How a DSN is written; everything variable comes in here.
#[derive(Debug, Clone)]
pub(super) struct Style<'a> {
    pub hostname: &'a str,
    pub postmaster: &'a Address,
    pub language: Language,
    /// Without angle brackets.
    pub message_id: String,
    pub boundary: String,
    pub now: Timestamp,
    /// `RET=FULL` is honoured up to this many octets.
    pub full_up_to: usize,
    /// Whether the next hop takes 8BITMIME: a DSN cannot be recoded or bounce, so it must fit.
    pub eight_bit: bool,
}

/// Make the DSN: a text for people, `message/delivery-status`, and the message or its header.
pub(super) fn compose(returned: &Returned, reports: &[Report], style: &Style<'_>) -> Vec<u8> {
    // The gravest comes first.
    let has = |action| reports.iter().any(|report| report.action == action);
    let words = Words::of(style.language);
    let to = returned.reverse_path.to_string();
    let report = ContentType::new("multipart/report")
        .attribute("report-type", "delivery-status")
        .attribute("boundary", style.boundary.clone());
    let parts = vec![
        MimePart::new("text/plain", human(returned, reports, &words)),
        raw_part("message/delivery-status", "7bit", machine(returned, reports, style).into_bytes()),
        // RFC 3461 4.3: a message that still waits, or went on, is nothing to send again.
        original(returned, style, has(Action::Failed) || has(Action::InDoubt)),
    ];
    let mut bytes = Vec::new();
    MessageBuilder::new()
        .header("Date", Date::new(style.now.as_second()))
        .from(Mailbox::new_address(Some(words.from), style.postmaster.as_str()))
        .to(Mailbox::new_address(None::<&str>, to.as_str()))
        .subject(if has(Action::Failed) {
            words.failed
        } else if has(Action::InDoubt) {
            words.in_doubt
        } else if has(Action::Delayed) {
            words.delayed
        } else {
            words.relayed
        })
        .header("Message-ID", MessageId::new(style.message_id.as_str()))
        .header("Auto-Submitted", Raw::new("auto-replied"))
        .body(MimePart::new(report, parts))
        .serialize(&mut bytes);
    bytes
}

fn raw_part(kind: &'static str, encoding: &'static str, bytes: Vec<u8>) -> MimePart<'static> {
    MimePart::new(kind, BodyPart::Binary(bytes.into())).transfer_encoding(encoding)
}

/// The part for people: our clause texts and the next hop's words.
fn human(returned: &Returned, reports: &[Report], words: &Words) -> String {
    let mut text = String::new();
    for (action, heading) in [
        (Action::Failed, words.failed_text),
        (Action::InDoubt, words.in_doubt_text),
        (Action::Delayed, words.delayed_text),
        (Action::Relayed, words.relayed_text),
    ] {
        let mut of_this = reports.iter().filter(|report| report.action == action).peekable();
        if of_this.peek().is_none() {
            continue;
        }
        text.push_str(heading);
        text.push_str("\r\n\r\n");
        for report in of_this {
            let _ = write!(text, "  {}\r\n", report.recipient.address);
            match &report.next_hop {
                Some(hop) => {
                    let _ =
                        write!(text, "    {} ({hop}): {}\r\n", words.said, clean(&report.answer.to_string()));
                }
                None => {
                    let _ = write!(text, "    {}\r\n", clean(&report.answer.text));
                }
            }
        }
        text.push_str("\r\n");
    }
    let _ = write!(text, "{} {}\r\n", words.reference, returned.reference);
    text
}

/// The part for machines (RFC 3464 2.2, 2.3).
fn machine(returned: &Returned, reports: &[Report], style: &Style<'_>) -> String {
    let mut text = format!("Reporting-MTA: dns; {}\r\n", style.hostname);
    if let Some(envid) = &returned.envid {
        field(&mut text, "Original-Envelope-Id", &xtext_decoded(envid));
    }
    field(&mut text, "Arrival-Date", &date(returned.arrived_at));
    for report in reports {
        text.push_str("\r\n");
        if let Some(orcpt) = &report.recipient.orcpt {
            let (kind, address) = orcpt.decoded();
            let value = if kind.eq_ignore_ascii_case("utf-8") || !address.is_ascii() {
                format!("utf-8;{}", utf8_addr_xtext(&address))
            } else {
                format!("{kind};{address}")
            };
            field(&mut text, "Original-Recipient", &value);
        }
        field(&mut text, "Final-Recipient", &typed(&report.recipient.address));
        field(
            &mut text,
            "Action",
            match report.action {
                Action::Failed => "failed",
                Action::InDoubt | Action::Delayed => "delayed",
                Action::Relayed => "relayed",
            },
        );
        field(&mut text, "Status", &report.answer.status());
        if let Some(hop) = &report.next_hop {
            let host = hop.rsplit_once(':').map_or(hop.as_str(), |(host, _)| host);
            field(&mut text, "Remote-MTA", &format!("dns; {host}"));
        }
        field(&mut text, "Diagnostic-Code", &format!("smtp; {}", report.answer));
        field(&mut text, "Last-Attempt-Date", &date(style.now));
        if let Some(until) = report.until {
            field(&mut text, "Will-Retry-Until", &date(until));
        }
    }
    text
}

/// One field on one line: no CR or LF from outside, ASCII only, within RFC 5322's 998 octets.
fn field(text: &mut String, name: &str, value: &str) {
    let value = clean(value);
    let ascii: String = value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    let _ = write!(text, "{name}: {ascii}\r\n");
}

/// `text` without control characters, cut to a bound.
fn clean(text: &str) -> String {
    text.chars().take(MAX_DIAGNOSTIC).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An address with its type; UTF-8 as utf-8-addr-xtext, which is ASCII (RFC 6533 3).
fn typed(address: &Address) -> String {
    if !address.is_internationalized() {
        return format!("rfc822; {address}");
    }
    format!("utf-8; {}", utf8_addr_xtext(address.as_str()))
}

fn date(at: Timestamp) -> String {
    // As a zoned time: a bare timestamp would be printed with `-0000`, "no zone known".
    let utc = at.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&utc).unwrap_or_else(|_| at.to_string())
}

/// What the sender gets back: the whole message if it asked for it, may need it and it fits, else its header.
fn original(returned: &Returned, style: &Style<'_>, is_over: bool) -> MimePart<'static> {
    let message = &returned.message;
    let eight_bit = !message.is_ascii();
    let fits = message.len() <= style.full_up_to && (style.eight_bit || !eight_bit);
    if returned.ret == Some(Ret::Full) && is_over && fits {
        let encoding = if eight_bit { "8bit" } else { "7bit" };
        return raw_part("message/rfc822", encoding, message.to_vec());
    }
    let end = memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let mut header = &message[..end.min(MAX_HEADER)];
    if end > MAX_HEADER {
        // Cut at a line, so that no field is shown half.
        header = &header[..memmem::rfind(header, b"\r\n").map_or(0, |at| at + 2)];
    }
    if header.is_ascii() {
        raw_part("text/rfc822-headers", "7bit", header.to_vec())
    } else {
        // RFC 6522 4 lets this part be encoded; mail-builder chooses quoted-printable for text.
        let kind = ContentType::new("text/rfc822-headers").attribute("charset", "utf-8");
        MimePart::new(kind, BodyPart::Binary(header.to_vec().into()))
    }
}

/// The texts for people, in one language.
struct Words {
    from: &'static str,
    failed: &'static str,
    in_doubt: &'static str,
    delayed: &'static str,
    relayed: &'static str,
    failed_text: &'static str,
    in_doubt_text: &'static str,
    delayed_text: &'static str,
    relayed_text: &'static str,
    said: &'static str,
    reference: &'static str,
}

impl Words {
    fn of(language: Language) -> Self {
        match language {
            Language::Nl => Self {
                from: "Mailgateway",
                failed: "Niet bezorgd",
                in_doubt: "Misschien bezorgd",
                delayed: "Vertraagd",
                relayed: "Doorgegeven",
                failed_text: "Uw bericht is niet bezorgd bij:",
                in_doubt_text: "Het antwoord van de ontvangende server ging verloren. Uw bericht is misschien bezorgd, misschien niet, en wordt niet opnieuw geprobeerd, bij:",
                delayed_text: "Uw bericht wacht nog; u hoeft niets te doen. Het is nog niet bezorgd bij:",
                relayed_text: "Uw bericht is doorgegeven aan een server die zelf geen ontvangst meldt, voor:",
                said: "antwoord van de volgende server",
                reference: "Ons kenmerk:",
            },
            Language::En => Self {
                from: "Mail gateway",
                failed: "Not delivered",
                in_doubt: "Perhaps delivered",
                delayed: "Delayed",
                relayed: "Relayed",
                failed_text: "Your message was not delivered to:",
                in_doubt_text: "The answer of the receiving server was lost. Your message may have been delivered or not, and is not tried again, to:",
                delayed_text: "Your message still waits, and you need do nothing. It was not delivered yet to:",
                relayed_text: "Your message was handed to a server that does not report delivery itself, for:",
                said: "the next server said",
                reference: "Our reference:",
            },
            Language::De => Self {
                from: "Mail-Gateway",
                failed: "Nicht zugestellt",
                in_doubt: "Vielleicht zugestellt",
                delayed: "Verzögert",
                relayed: "Weitergeleitet",
                failed_text: "Ihre Nachricht wurde nicht zugestellt an:",
                in_doubt_text: "Die Antwort des empfangenden Servers ging verloren. Ihre Nachricht wurde vielleicht zugestellt, vielleicht nicht, und wird nicht erneut versucht, an:",
                delayed_text: "Ihre Nachricht wartet noch, Sie müssen nichts tun. Noch nicht zugestellt ist sie an:",
                relayed_text: "Ihre Nachricht ging an einen Server, der die Zustellung nicht selbst meldet, für:",
                said: "Antwort des nächsten Servers",
                reference: "Unser Zeichen:",
            },
            Language::Fr => Self {
                from: "Passerelle de courrier",
                failed: "Non remis",
                in_doubt: "Peut-être remis",
                delayed: "Retardé",
                relayed: "Transmis",
                failed_text: "Votre message n'a pas été remis à :",
                in_doubt_text: "La réponse du serveur destinataire s'est perdue. Votre message a peut-être été remis, peut-être pas, et ne sera pas renvoyé, à :",
                delayed_text: "Votre message attend encore, vous n'avez rien à faire. Il n'a pas encore été remis à :",
                relayed_text: "Votre message a été transmis à un serveur qui ne signale pas la remise, pour :",
                said: "réponse du serveur suivant",
                reference: "Notre référence :",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;
    use crate::mail::{Notify, OriginalRecipient};

    const ORIGINAL: &str = "From: a@example.nl\r\nSubject: Prijs\r\n\r\nDe inhoud\r\n";

    fn returned(message: &str, ret: Option<Ret>) -> Returned {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        Returned {
            reference: Reference::new(now, [1; 10]),
            reverse_path: ReversePath::Address(Address::parse("a@example.nl").unwrap()),
            envid: Some("QQ+2B1".to_owned()),
            ret,
            arrived_at: now,
            message: Bytes::copy_from_slice(message.as_bytes()),
            automatic: false,
        }
    }

    fn made(returned: &Returned, recipient: Recipient, language: Language, eight_bit: bool) -> String {
        let answer = Answer::new(550, "5.1.1", "no such user\r\nX-Injected: yes \u{e9}");
        let failure = Failure::by_next_hop(recipient, &answer, "mx.example.org:25");
        made_of(returned, &[failure.into_report()], language, eight_bit)
    }

    fn made_of(returned: &Returned, reports: &[Report], language: Language, eight_bit: bool) -> String {
        let postmaster = Address::parse("postmaster@mail.example").unwrap();
        let style = Style {
            hostname: "mail.example",
            postmaster: &postmaster,
            language,
            message_id: "n1@mail.example".to_owned(),
            boundary: "=n1=".to_owned(),
            now: returned.arrived_at,
            full_up_to: 1000,
            eight_bit,
        };
        let bytes = compose(returned, reports, &style);
        crate::smtp::data::check([&bytes[..]]).expect("fit to be sent");
        assert!(eight_bit || bytes.is_ascii(), "it fits a 7-bit next hop");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn p13_the_fields_of_rfc_3464() {
        let recipient = Recipient {
            notify: Some(Notify { failure: true, ..Notify::NEVER }),
            orcpt: Some(OriginalRecipient("rfc822;b+2Bx@example.org".to_owned())),
            ..Recipient::new(Address::parse("b@example.org").unwrap())
        };
        for language in [Language::Nl, Language::En, Language::De, Language::Fr] {
            let text = made(&returned(ORIGINAL, None), recipient.clone(), language, false);
            for line in [
                "Original-Envelope-Id: QQ+1\r\n",
                "Arrival-Date: Sun, 1 Mar 2026 10:00:00 +0000\r\n",
                "Original-Recipient: rfc822;b+x@example.org\r\n",
                "Final-Recipient: rfc822; b@example.org\r\n",
                "Status: 5.1.1\r\n",
                "Remote-MTA: dns; mx.example.org\r\n",
                "Diagnostic-Code: smtp; 550 5.1.1 no such user  X-Injected: yes ?\r\n",
            ] {
                assert!(text.contains(line), "{line} is missing in {text}");
            }
            let parsed = MessageParser::new().parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.parts.len(), 4, "the report and its three parts");
            assert!(parsed.body_text(0).unwrap().contains("b@example.org"));
            assert!(!text.contains("De inhoud"));
        }
    }

    #[test]
    fn p13_an_internationalized_recipient_fits_in_ascii() {
        let recipient = Recipient::new(Address::parse("j\u{fc}rgen@example.org").unwrap());
        let text = made(&returned(ORIGINAL, None), recipient, Language::De, false);
        assert!(text.contains("Final-Recipient: utf-8; j\\x{FC}rgen@example.org\r\n"), "{text}");
    }

    #[test]
    fn p13_ret_full_is_honoured_where_it_fits() {
        let recipient = Recipient::new(Address::parse("b@example.org").unwrap());
        let long = format!("{ORIGINAL}{}", "x\r\n".repeat(1000));
        let eight_bit = "Subject: caf\u{e9}\r\n\r\nDe inhoud \u{e9}\r\n";
        for (message, ret, able, full) in [
            (ORIGINAL, Some(Ret::Full), false, true),
            (ORIGINAL, Some(Ret::Headers), true, false),
            (long.as_str(), Some(Ret::Full), true, false),
            (eight_bit, Some(Ret::Full), true, true),
            (eight_bit, Some(Ret::Full), false, false),
        ] {
            let text = made(&returned(message, ret), recipient.clone(), Language::En, able);
            assert_eq!(text.contains("De inhoud"), full, "{ret:?} {able}");
            let parsed = MessageParser::new().parse(text.as_bytes()).unwrap();
            let last = parsed.parts.last().unwrap();
            let kind = last.content_type().unwrap();
            let kind = (kind.ctype(), kind.subtype().unwrap());
            assert_eq!(kind, if full { ("message", "rfc822") } else { ("text", "rfc822-headers") });
        }
    }

    #[test]
    fn rfc_3461_4_3_what_waits_or_went_on_is_not_sent_back_whole() {
        let recipient = Recipient::new(Address::parse("b@example.org").unwrap());
        let returned = returned(ORIGINAL, Some(Ret::Full));
        let report = |action| Report {
            recipient: recipient.clone(),
            answer: Answer::new(451, "4.7.1", "greylisted"),
            next_hop: None,
            action,
            until: None,
        };
        for (actions, full) in [
            (&[Action::Failed][..], true),
            (&[Action::Relayed, Action::Failed], true),
            (&[Action::InDoubt], true),
            (&[Action::Delayed], false),
            (&[Action::Relayed], false),
        ] {
            let reports: Vec<_> = actions.iter().map(|action| report(*action)).collect();
            let text = made_of(&returned, &reports, Language::En, false);
            assert_eq!(text.contains("De inhoud"), full, "{actions:?}");
        }
    }

    #[test]
    fn what_is_no_xtext_stays() {
        for (text, decoded) in [("a+2Bb", "a+b"), ("a+", "a+"), ("+zz", "+zz"), ("+2", "+2"), ("", "")] {
            assert_eq!(xtext_decoded(text), decoded);
        }
    }
}
