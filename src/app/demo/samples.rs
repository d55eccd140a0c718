//! The tour's company, its register and its mail. All names are invented; the domains cannot exist.

/// Statutory name of the sender.
pub(super) const SENDER: &str = "Voorbeeld Hypotheken B.V.";
/// Its stable id.
pub(super) const SENDER_ID: &str = "12345678";
/// What its newsletter is about.
pub(super) const PURPOSE: &str = "nieuwsbrief hypotheken en verzekeringen";
/// The text people saw when they consented.
pub(super) const CONSENT_TEXT: &str = "Ja, Voorbeeld Hypotheken B.V. mag mij maandelijks de nieuwsbrief hypotheken en \
     verzekeringen mailen. Ik kan dit altijd stopzetten.";

/// From of the newsletter.
pub(super) const NEWS: &str = "nieuws@voorbeeldhypotheken.example";
/// From of the invoices.
pub(super) const INVOICES: &str = "facturen@voorbeeldhypotheken.example";
/// From of a person.
pub(super) const PERSON: &str = "sanne@voorbeeldhypotheken.example";
/// Who is told of unsubscribes.
pub(super) const DESK: &str = "beheer@voorbeeldhypotheken.example";

/// Gave consent.
pub(super) const CONSENTING: &str = "lezer@klant.example";
/// Bought a mortgage.
pub(super) const CUSTOMER: &str = "koper@klant.example";
/// Nobody knows.
pub(super) const UNKNOWN: &str = "onbekend@elders.example";
/// Objected once.
pub(super) const SUPPRESSED: &str = "nooitmeer@klant.example";

/// The config of the tour.
pub(super) fn config(data: &str, next_hop: &str, unsubscribe: &str) -> String {
    format!(
        r#"name = "sluis.voorbeeld.example"
data = "{data}"
on_refused = "reject"

[[listener]]
address = "127.0.0.1:0"
tls = "none"

[trusted]
networks = ["127.0.0.0/8"]

[relay]
next_hop = "{next_hop}"
tls = "none"

[unsubscribe]
listen = "{unsubscribe}"
url = "http://{unsubscribe}"

[[sender]]
name = "{SENDER}"
trade_names = ["Voorbeeld Hypotheken"]
kvk = "{SENDER_ID}"
address = "Dorpsstraat 1, 1234 AB Ons Dorp"
contact = "info@voorbeeldhypotheken.example"
domains = ["voorbeeldhypotheken.example"]
notify = ["{DESK}"]

[[rule]]
name = "monthly newsletter"
match = {{ envelope_from = "{NEWS}" }}
class = "marketing"
sender = "{SENDER}"
purpose = "{PURPOSE}"
similar_to = ["hypotheek", "verzekering"]

[[rule]]
name = "invoices"
match = {{ from = "{INVOICES}" }}
class = "service"

[[rule]]
name = "people"
match = {{ from = "{PERSON}" }}
class = "personal"
"#
    )
}

/// The newsletter, with an umlaut and an html alternative, as a newsletter program makes it.
pub(super) fn newsletter() -> String {
    message(
        "Voorbeeld Hypotheken",
        NEWS,
        "Abonnees <nieuws@voorbeeldhypotheken.example>",
        "Nieuwsbrief november",
        "Content-Type: multipart/alternative; boundary=\"deel\"\n\n\
         --deel\nContent-Type: text/plain; charset=utf-8\n\n\
         De rente daalt. Een vaste rente voor tien jaar kost nu 3,1 %.\n\n\
         --deel\nContent-Type: text/html; charset=utf-8\n\n\
         <html><body>\n<p>De rente daalt. Een vaste rente voor tien jaar kost nu <b>3,1 %</b>.</p>\n</body></html>\n\n\
         --deel--\n",
    )
}

/// An invoice: service mail.
pub(super) fn invoice() -> String {
    message(
        "Voorbeeld Hypotheken administratie",
        INVOICES,
        CUSTOMER,
        "Factuur 2026-117",
        "Content-Type: text/plain; charset=utf-8\n\nHierbij de factuur voor uw taxatie: EUR 650,00.\n",
    )
}

/// One person writing to someone.
pub(super) fn letter() -> String {
    message(
        "Sanne de Vries",
        PERSON,
        UNKNOWN,
        "Onze afspraak",
        "Content-Type: text/plain; charset=utf-8\n\nBeste Kees, donderdag om tien uur is goed.\n\nGroet, Sanne\n",
    )
}

fn message(name: &str, from: &str, to: &str, subject: &str, rest: &str) -> String {
    format!(
        "From: {name} <{from}>\nTo: {to}\nSubject: {subject}\nDate: Tue, 24 Nov 2026 10:00:00 +0100\n\
         Message-ID: <{subject_id}@voorbeeldhypotheken.example>\nMIME-Version: 1.0\n{rest}",
        subject_id = subject.replace(' ', "-").to_lowercase(),
    )
    .replace('\n', "\r\n")
}
