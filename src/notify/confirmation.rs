//! The mail that asks whoever signed up to confirm it (RULES L12): what was asked, by whom, and one link; no promotion.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::date::Date;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;

use super::unsubscribed::{Letterhead, Notice};
use crate::mail::{Address, Language, Purpose, Sender, one_line};

/// What is asked to be confirmed.
#[derive(Debug, Clone, Copy)]
pub struct Confirmation<'a> {
    /// Who would mail.
    pub sender: &'a Sender,
    /// What about.
    pub purpose: &'a Purpose,
    /// The consent text as it was shown.
    pub text: &'a str,
    /// Where the button is.
    pub link: &'a str,
    /// When the form was sent in.
    pub asked_at: Timestamp,
    /// From which IP address.
    pub ip: Option<&'a str>,
    /// How long the link is good for.
    pub until: Timestamp,
    /// Language of the text.
    pub language: Language,
}

struct Words {
    subject: &'static str,
    opening: &'static str,
    link: &'static str,
    until: &'static str,
    stranger: &'static str,
    address: &'static str,
    at: &'static str,
    ip: &'static str,
}

/// The mail to `to`; From is `letterhead.postmaster`, under the sender's name.
pub fn confirmation(asked: &Confirmation<'_>, to: &Address, letterhead: &Letterhead<'_>) -> Notice {
    let words = words(asked.language);
    let sender = asked.sender;
    let name = one_line(&sender.name);
    let moment = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let mut text = format!("{}\r\n\r\n", words.opening.replace("{sender}", &name));
    for line in asked.text.lines() {
        let _ = write!(text, "> {}\r\n", one_line(line));
    }
    let until = words.until.replace("{until}", &moment(asked.until));
    let _ = write!(text, "\r\n{}\r\n\r\n{}\r\n\r\n{until}\r\n\r\n", words.link, asked.link);
    let _ = write!(text, "{}: {to}\r\n{}: {}\r\n", words.address, words.at, moment(asked.asked_at));
    if let Some(ip) = asked.ip {
        let _ = write!(text, "{}: {}\r\n", words.ip, one_line(ip));
    }
    let address = one_line(&sender.address);
    let _ = write!(
        text,
        "\r\n{}\r\n\r\n{name}\r\n{address}\r\nKvK {}\r\n{}\r\n",
        words.stranger, sender.kvk, sender.contact
    );
    let subject = format!("{}: {}", words.subject, one_line(&asked.purpose.0));
    let message_id = format!("{}@{}", letterhead.id, letterhead.hostname);
    let mut bytes = Vec::new();
    MessageBuilder::new()
        .header("Date", Date::new(letterhead.now.as_second()))
        .from(Mailbox::new_address(Some(name.as_str()), letterhead.postmaster.as_str()))
        .to(Mailbox::new_address(None::<&str>, to.as_str()))
        .subject(subject)
        .header("Message-ID", MessageId::new(message_id.as_str()))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(text)
        .serialize(&mut bytes);
    Notice { to: to.clone(), message_id: format!("<{message_id}>"), bytes }
}

fn words(language: Language) -> Words {
    match language {
        Language::Nl => Words {
            subject: "Bevestig uw aanmelding",
            opening: "Met dit adres is een formulier van {sender} ingevuld. Daarbij stond deze tekst:",
            link: "Was u dat, en bent u het ermee eens? Open dan deze link en bevestig:",
            until: "De link werkt tot {until}.",
            stranger: "Was u het niet? Dan hoeft u niets te doen. Zonder bevestiging krijgt u geen e-mail.",
            address: "Adres",
            at: "Ingevuld op",
            ip: "Vanaf IP-adres",
        },
        Language::En => Words {
            subject: "Please confirm that you sign up",
            opening: "A form of {sender} was filled in with this address. It showed this text:",
            link: "Was that you, and do you agree? Then open this link and confirm:",
            until: "The link works until {until}.",
            stranger: "It was not you? Then there is nothing to do. Without confirmation you get no email.",
            address: "Address",
            at: "Filled in on",
            ip: "From IP address",
        },
        Language::De => Words {
            subject: "Bitte bestätigen Sie Ihre Anmeldung",
            opening: "Mit dieser Adresse wurde ein Formular von {sender} ausgefüllt. Dabei stand dieser Text:",
            link: "Waren Sie das, und sind Sie einverstanden? Dann öffnen Sie diesen Link und bestätigen Sie:",
            until: "Der Link gilt bis {until}.",
            stranger: "Sie waren es nicht? Dann müssen Sie nichts tun. Ohne Bestätigung erhalten Sie keine E-Mail.",
            address: "Adresse",
            at: "Ausgefüllt am",
            ip: "Von IP-Adresse",
        },
        Language::Fr => Words {
            subject: "Confirmez votre inscription",
            opening: "Un formulaire de {sender} a été rempli avec cette adresse. Il affichait ce texte :",
            link: "Était-ce vous, et êtes-vous d’accord ? Ouvrez alors ce lien et confirmez :",
            until: "Le lien est valable jusqu’au {until}.",
            stranger: "Ce n’était pas vous ? Vous n’avez rien à faire. Sans confirmation, vous ne recevrez pas d’e-mail.",
            address: "Adresse",
            at: "Rempli le",
            ip: "Depuis l’adresse IP",
        },
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;
    use crate::mail::SenderId;

    #[test]
    fn l12_it_says_who_asks_what_of_whom_until_when_and_nothing_else() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let contact = Address::parse("info@voorbeeldhypotheken.nl").unwrap();
        let sender = Sender {
            id: SenderId("12345678".to_owned()),
            name: "Voorbeeld Hypotheken B.V.".to_owned(),
            trade_names: Vec::new(),
            kvk: "12345678".to_owned(),
            address: "Dorpsstraat 1, 1234 AB Ons Dorp".to_owned(),
            contact: contact.clone(),
            domains: Vec::new(),
            notify: Vec::new(),
            language: Language::Nl,
        };
        let link = format!("https://afmelden.voorbeeld.nl/c/{}", "a1".repeat(60));
        let to = Address::parse("Lezer@example.org").unwrap();
        let letterhead = Letterhead { postmaster: &contact, hostname: "mail.example", id: "n1", now };
        for language in Language::ALL {
            let asked = Confirmation {
                sender: &sender,
                purpose: &Purpose("nieuwsbrief\r\nBcc: x@example.org".to_owned()),
                text: "Ja, ik wil elke maand een nieuwsbrief.\nAfmelden kan.\r\n.\r\n",
                link: &link,
                asked_at: now,
                ip: Some("192.0.2.7"),
                until: "2026-03-04T10:00:00Z".parse().unwrap(),
                language,
            };
            let notice = confirmation(&asked, &to, &letterhead);
            crate::smtp::data::check([&notice.bytes[..]]).expect("fit to be sent");
            assert!(notice.bytes.is_ascii(), "it goes to any next hop");
            let parsed = MessageParser::new().parse(&notice.bytes).unwrap();
            assert!(parsed.bcc().is_none(), "a purpose cannot add a header");
            assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Voorbeeld Hypotheken B.V."));
            let text = parsed.body_text(0).unwrap();
            for fact in [
                "> Ja, ik wil elke maand een nieuwsbrief.",
                "> Afmelden kan.",
                "Lezer@example.org",
                "2026-03-01 10:00 UTC",
                "2026-03-04 10:00 UTC",
                "192.0.2.7",
                "Dorpsstraat 1, 1234 AB Ons Dorp",
                "KvK 12345678",
            ] {
                assert!(text.contains(fact), "{language:?}: {fact} is missing in {text}");
            }
            assert!(text.lines().any(|line| line == link), "the link stands on a line of its own: {text}");
            assert_eq!(text.matches("://").count(), 1, "one link: {text}");
        }
    }
}
