//! The mail that tells a sender of one unsubscribe.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;

use crate::ledger::{Unsubscribed, Way};
use crate::mail::{Address, Language, Sender};

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

/// Tell `to`, one of `sender.notify`, who unsubscribed, when, by which way, and from which message. In the
/// sender's language; the same facts stand in it as `Name: value` lines for programs.
pub fn unsubscribed(
    what: &Unsubscribed,
    sender: &Sender,
    to: &Address,
    letterhead: &Letterhead<'_>,
) -> Notice {
    let words = Words::of(sender.language);
    let message_id = format!("{}@{}", letterhead.id, letterhead.hostname);
    let mut bytes = Vec::new();
    MessageBuilder::new()
        .header("Date", Date::new(letterhead.now.as_second()))
        .from(Mailbox::new_address(Some(words.from), letterhead.postmaster.as_str()))
        .to(Mailbox::new_address(None::<&str>, to.as_str()))
        .subject(format!("{}: {}", words.subject, what.address))
        .header("Message-ID", MessageId::new(message_id.as_str()))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(text(what, sender, letterhead.now, &words))
        .serialize(&mut bytes);
    Notice { to: to.clone(), message_id: format!("<{message_id}>"), bytes }
}

fn text(what: &Unsubscribed, sender: &Sender, now: Timestamp, words: &Words) -> String {
    let way = match what.way {
        Way::OneClick => words.one_click,
        Way::Page => words.page,
        Way::Mailto => words.mailto,
    };
    let mut text = format!("{}\r\n\r\n", words.opening.replace("{sender}", &one_line(&sender.name)));
    let mut line = |name: &str, value: &str| {
        let _ = write!(text, "{name}: {}\r\n", one_line(value));
    };
    line(words.address, what.address.as_str());
    line(words.sender, &sender.name);
    line(words.at, &now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    line(words.way, way);
    if let Some(purpose) = &what.purpose {
        line(words.purpose, &purpose.0);
    }
    if let Some(reference) = &what.reference {
        line(words.reference, &reference.to_string());
    }
    let _ = write!(text, "\r\n{}\r\n", words.closing);
    text
}

/// Names from the config and purposes stay on their line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The texts, in one language.
struct Words {
    from: &'static str,
    subject: &'static str,
    opening: &'static str,
    address: &'static str,
    sender: &'static str,
    at: &'static str,
    way: &'static str,
    purpose: &'static str,
    reference: &'static str,
    one_click: &'static str,
    page: &'static str,
    mailto: &'static str,
    closing: &'static str,
}

impl Words {
    fn of(language: Language) -> Self {
        match language {
            Language::Nl => Self {
                from: "Mailgateway",
                subject: "Afmelding",
                opening: "Iemand heeft zich afgemeld voor alle commerciële berichten van {sender}.",
                address: "Adres",
                sender: "Afzender",
                at: "Tijdstip",
                way: "Manier",
                purpose: "Doel van het bericht",
                reference: "Kenmerk van het bericht",
                one_click: "afmeldknop van het mailprogramma",
                page: "afmeldpagina",
                mailto: "e-mail aan het afmeldadres",
                closing: "De afmelding werkt direct: de gateway houdt commerciële berichten aan dit adres \
                          tegen.\r\nWerk ook uw eigen lijsten bij. Facturen en andere servicemail gaan door.",
            },
            Language::En => Self {
                from: "Mail gateway",
                subject: "Unsubscribed",
                opening: "Somebody unsubscribed from all commercial messages of {sender}.",
                address: "Address",
                sender: "Sender",
                at: "Time",
                way: "Way",
                purpose: "Purpose of the message",
                reference: "Reference of the message",
                one_click: "unsubscribe button of the mail program",
                page: "unsubscribe page",
                mailto: "mail to the unsubscribe address",
                closing: "It works at once: the gateway stops commercial messages to this address.\r\n\
                          Please update your own lists, too. Invoices and other service mail still go out.",
            },
            Language::De => Self {
                from: "Mail-Gateway",
                subject: "Abmeldung",
                opening: "Jemand hat sich von allen kommerziellen Nachrichten von {sender} abgemeldet.",
                address: "Adresse",
                sender: "Absender",
                at: "Zeitpunkt",
                way: "Weg",
                purpose: "Zweck der Nachricht",
                reference: "Zeichen der Nachricht",
                one_click: "Abmeldeknopf des Mailprogramms",
                page: "Abmeldeseite",
                mailto: "E-Mail an die Abmeldeadresse",
                closing: "Die Abmeldung wirkt sofort: Das Gateway hält kommerzielle Nachrichten an diese \
                          Adresse auf.\r\nBitte pflegen Sie auch Ihre eigenen Listen. Rechnungen und andere \
                          Servicemails gehen weiter hinaus.",
            },
            Language::Fr => Self {
                from: "Passerelle de courrier",
                subject: "Désinscription",
                opening: "Quelqu'un s'est désinscrit de tous les messages commerciaux de {sender}.",
                address: "Adresse",
                sender: "Expéditeur",
                at: "Date",
                way: "Moyen",
                purpose: "Objet du message",
                reference: "Référence du message",
                one_click: "bouton de désinscription du logiciel de messagerie",
                page: "page de désinscription",
                mailto: "courriel à l'adresse de désinscription",
                closing: "La désinscription est immédiate : la passerelle arrête les messages commerciaux \
                          vers cette adresse.\r\nMettez aussi vos propres listes à jour. Les factures et \
                          autres messages de service continuent de partir.",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;
    use crate::mail::{Purpose, Reference, SenderId};

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
            let notice = unsubscribed(&what, &sender, &sender.notify[0], &letterhead);
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
}
