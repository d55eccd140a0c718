//! The mails that tell a sender who unsubscribed or complained: one at once, or one a day with all of them, and with
//! the mailboxes that do not work.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;

use super::words::Words;
use crate::ledger::{Explained, News, Returned, Unblocked, Unsubscribed, Way, Why};
use crate::mail::{Address, Sender, one_line};

/// What every notice of the gateway carries.
#[derive(Debug, Clone, Copy)]
pub struct Letterhead<'a> {
    /// Its From address.
    pub postmaster: &'a Address,
    /// The gateway's host name: right side of the Message-ID.
    pub hostname: &'a str,
    /// Left side of the Message-ID: unique, without `@` or spaces.
    pub id: &'a str,
    /// The moment of the notice and of what it tells.
    pub now: Timestamp,
}

/// A finished notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// To whom.
    pub to: Address,
    /// Its Message-ID, with angle brackets.
    pub message_id: String,
    /// Its exact bytes, lines ending in CRLF.
    pub bytes: Vec<u8>,
}

/// Tell `to`, one of `sender.notify`, who unsubscribed, took it back or complained, when, by which way, and from
/// which message. In the sender's language; the same facts stand in it as `Name: value` lines for programs. A reason
/// alone is not worth a mail of its own, and neither is a mailbox that does not work or works again, or a consent.
pub fn at_once(news: News<'_>, sender: &Sender, to: &Address, letterhead: &Letterhead<'_>) -> Option<Notice> {
    let words = Words::of(sender.language);
    let (subject, opening, closing) = match news {
        News::Unsubscribed(_) => (words.subject, words.opening, words.closing),
        News::Corrected(_) => (words.taken_back, words.taken_back_opening, words.taken_back_closing),
        News::Complained(_) => (words.complaint, words.complaint_opening, words.complaint_closing),
        News::Explained(_) | News::Blocked(_) | News::Unblocked(_) | News::Consented { .. } => return None,
    };
    let subject = format!("{subject}: {}", news.address());
    let mut text = format!("{}\r\n\r\n", opening.replace("{sender}", &one_line(&sender.name)));
    facts(&mut text, news, sender, letterhead.now, &words);
    let _ = write!(text, "\r\n{closing}\r\n");
    Some(letter(to, subject, text, &words, letterhead))
}

/// One day's news for `to`, in order, each with the moment it was recorded.
pub fn digest(
    news: &[(Timestamp, News<'_>)],
    sender: &Sender,
    to: &Address,
    letterhead: &Letterhead<'_>,
) -> Notice {
    let words = Words::of(sender.language);
    let count = |of: fn(&News<'_>) -> bool| news.iter().filter(|(_, news)| of(news)).count();
    let mut subject = format!("{}: {}", words.digest, count(|news| matches!(news, News::Unsubscribed(_))));
    for (what, count) in [
        (words.complaints, count(|news| matches!(news, News::Complained(_)))),
        (words.blocks, count(|news| matches!(news, News::Blocked(_)))),
    ] {
        if count > 0 {
            let _ = write!(subject, ", {what}: {count}");
        }
    }
    let mut text = format!("{}\r\n", words.digest_opening.replace("{sender}", &one_line(&sender.name)));
    for (at, news) in news {
        let title = match news {
            News::Unsubscribed(_) => words.subject,
            News::Corrected(_) => words.taken_back,
            News::Explained(_) => words.explained,
            News::Complained(_) => words.complaint,
            News::Blocked(_) => words.blocked,
            News::Unblocked(_) => words.unblocked,
            News::Consented { .. } => words.consented,
        };
        let _ = write!(text, "\r\n* {title}\r\n");
        facts(&mut text, *news, sender, *at, &words);
    }
    let _ = write!(text, "\r\n{}\r\n", words.closing);
    letter(to, subject, text, &words, letterhead)
}

fn letter(to: &Address, subject: String, text: String, words: &Words, letterhead: &Letterhead<'_>) -> Notice {
    let message_id = format!("{}@{}", letterhead.id, letterhead.hostname);
    let mut bytes = Vec::new();
    MessageBuilder::new()
        .header("Date", Date::new(letterhead.now.as_second()))
        .from(Mailbox::new_address(Some(words.from), letterhead.postmaster.as_str()))
        .to(Mailbox::new_address(None::<&str>, to.as_str()))
        .subject(subject)
        .header("Message-ID", MessageId::new(message_id.as_str()))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(text)
        .serialize(&mut bytes);
    Notice { to: to.clone(), message_id: format!("<{message_id}>"), bytes }
}

/// The facts of one piece of news, one to a line.
fn facts(text: &mut String, news: News<'_>, sender: &Sender, at: Timestamp, words: &Words) {
    let mut line = |name: &str, value: &str| {
        let _ = write!(text, "{name}: {}\r\n", one_line(value));
    };
    line(words.address, news.address().as_str());
    line(words.sender, &sender.name);
    line(words.at, &at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    match news {
        News::Unsubscribed(Unsubscribed { way, purpose, .. }) => {
            line(
                words.way,
                match way {
                    Way::OneClick => words.one_click,
                    Way::Page => words.page,
                    Way::Mailto => words.mailto,
                },
            );
            if let Some(purpose) = purpose {
                line(words.purpose, &purpose.0);
            }
        }
        News::Corrected(_) | News::Complained(_) => {}
        News::Blocked(Returned { status, diagnostic, .. }) => {
            line(words.answer, format!("{status} {diagnostic}").trim_end());
        }
        News::Unblocked(Unblocked { why, .. }) => line(words.note, why),
        News::Consented { what, .. } => {
            line(words.purpose_of_consent, &what.purpose.0);
            line(words.note, &what.source);
        }
        News::Explained(Explained { why, .. }) => line(
            words.reason,
            match why {
                Why::NeverAsked => words.never_asked,
                Why::TooOften => words.too_often,
                Why::NotRelevant => words.not_relevant,
                Why::Other => words.other,
            },
        ),
    }
    if let Some(reference) = news.reference() {
        line(words.reference, &reference.to_string());
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;
    use crate::consent::{ConsentEvent, ConsentEventKind, Evidence};
    use crate::ledger::{Consented, Corrected};
    use crate::mail::{Language, Purpose, Reference, SenderId};

    fn sender(language: Language) -> Sender {
        Sender {
            id: SenderId("12345678".to_owned()),
            name: "Voorbeeld Hypotheken B.V.".to_owned(),
            trade_names: Vec::new(),
            kvk: "12345678".to_owned(),
            address: "Dorpsstraat 1, 1234 AB Ons Dorp".to_owned(),
            contact: Address::parse("info@voorbeeldhypotheken.nl").unwrap(),
            domains: Vec::new(),
            notify: vec![Address::parse("beheer@voorbeeldhypotheken.nl").unwrap()],
            language,
        }
    }

    #[test]
    fn l10_the_sender_is_told_who_when_how_and_from_what() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let reference = Reference::new(now, [7; 10]);
        let what = Unsubscribed {
            sender: SenderId("12345678".to_owned()),
            address: Address::parse("O'Neill@example.org").unwrap().key().clone(),
            way: Way::OneClick,
            token: None,
            reference: Some(reference),
            purpose: Some(Purpose("nieuwsbrief\r\nBcc: x@example.org".to_owned())),
            ip: Some("192.0.2.7".to_owned()),
            user_agent: None,
        };
        let postmaster = Address::parse("postmaster@mail.example").unwrap();
        let letterhead = Letterhead { postmaster: &postmaster, hostname: "mail.example", id: "n1", now };
        let mut subjects = Vec::new();
        for language in [Language::Nl, Language::En, Language::De, Language::Fr] {
            let sender = sender(language);
            let news = News::Unsubscribed(&what);
            let notice = at_once(news, &sender, &sender.notify[0], &letterhead).unwrap();
            crate::smtp::data::check([&notice.bytes[..]]).expect("fit to be sent");
            let parsed = MessageParser::new().parse(&notice.bytes).unwrap();
            assert_eq!(parsed.message_id(), Some("n1@mail.example"));
            assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
            assert!(parsed.bcc().is_none(), "a purpose cannot add a header");
            assert!(notice.bytes.is_ascii(), "it goes to any next hop");
            let text = parsed.body_text(0).unwrap();
            for fact in [
                "o'neill@example.org",
                "Voorbeeld Hypotheken B.V.",
                "2026-03-01 10:00:00 UTC",
                "nieuwsbrief  Bcc: x@example.org",
                &reference.to_string(),
            ] {
                assert!(text.contains(fact), "{language:?}: {fact} is missing in {text}");
            }
            assert!(!text.contains("192.0.2.7"), "the sender need not know more than who and how");
            subjects.push(parsed.subject().unwrap().to_owned());
        }
        subjects.dedup();
        assert_eq!(subjects.len(), 4);
    }

    #[test]
    fn l10_a_digest_has_the_whole_day_in_order() {
        let now: Timestamp = "2026-03-02T06:00:00Z".parse().unwrap();
        let early: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let address = Address::parse("lezer@example.org").unwrap().key().clone();
        let sender_id = SenderId("12345678".to_owned());
        let left = Unsubscribed {
            sender: sender_id.clone(),
            address: address.clone(),
            way: Way::Page,
            token: None,
            reference: None,
            purpose: None,
            ip: None,
            user_agent: None,
        };
        let why = Explained {
            sender: sender_id.clone(),
            address: address.clone(),
            why: Why::TooOften,
            token: None,
            reference: None,
        };
        let works = Unblocked {
            sender: sender_id.clone(),
            address: address.clone(),
            why: "telephone\r\nBcc: x@example.org".to_owned(),
        };
        let event = ConsentEvent {
            kind: ConsentEventKind::Confirm,
            at: early,
            recorded_at: early,
            evidence: Evidence::default(),
        };
        let anew = Consented {
            sender: sender_id.clone(),
            purpose: Purpose("nieuwsbrief".to_owned()),
            address: address.clone(),
            event,
            source: "counter".to_owned(),
        };
        let back = Corrected {
            sender: sender_id,
            address,
            since: early,
            before: None,
            token: None,
            reference: None,
            ip: None,
            user_agent: None,
        };
        let news = [
            (early, News::Unsubscribed(&left)),
            (early, News::Explained(&why)),
            (early, News::Corrected(&back)),
            (early, News::Unblocked(&works)),
            (early, News::Consented { what: &anew, lifts: true }),
        ];
        let postmaster = Address::parse("postmaster@mail.example").unwrap();
        let letterhead = Letterhead { postmaster: &postmaster, hostname: "mail.example", id: "n1", now };
        for language in [Language::Nl, Language::En, Language::De, Language::Fr] {
            let sender = sender(language);
            let notice = digest(&news, &sender, &sender.notify[0], &letterhead);
            crate::smtp::data::check([&notice.bytes[..]]).expect("fit to be sent");
            let parsed = MessageParser::new().parse(&notice.bytes).unwrap();
            assert!(parsed.subject().unwrap().ends_with(": 1"), "one left");
            let text = parsed.body_text(0).unwrap();
            let words = Words::of(language);
            let at = |word: &str| text.find(&format!("* {word}")).unwrap_or_else(|| panic!("{word}: {text}"));
            assert!(at(words.subject) < at(words.explained) && at(words.explained) < at(words.taken_back));
            assert!(at(words.taken_back) < at(words.unblocked) && at(words.unblocked) < at(words.consented));
            for line in [
                format!("{}: telephone  Bcc: x@example.org\n", words.note),
                format!("{}: nieuwsbrief\n", words.purpose_of_consent),
                format!("{}: counter\n", words.note),
            ] {
                assert!(text.replace('\r', "").contains(&line), "{line:?}: {text}");
            }
            assert!(text.contains(words.too_often) && text.contains("2026-03-01 10:00:00 UTC"), "{text}");
        }
    }
}
