//! Whether somebody says in words that they want to get no more (RULES P9).
//!
//! Promises: only what says so plainly counts, in nl, en, de and fr: a text all of whose words are those of such a
//! wish. A negation, a question and any other sense has a word more, and waits for a person. Deliberately absent:
//! guessing.

// Long because the words of four languages stand in it, and a third of it is the tests with wishes of each kind.

/// Words of one wish at most.
const LONGEST: usize = 14;
/// Lines that are looked at for the first one with something in it.
const LINES: usize = 40;

/// Words that are a wish of their own.
const ALONE: &[&str] = &[
    "stop",
    "stoppen",
    "stopp",
    "stopt",
    "stoppe",
    "afmelden",
    "afmelding",
    "uitschrijven",
    "uitschrijving",
    "opzeggen",
    "opzegging",
    "unsubscribe",
    "unsubscribing",
    "optout",
    "abmelden",
    "abmeldung",
    "abbestellen",
    "abbestellung",
    "austragen",
    "désabonner",
    "desabonner",
    "désabonnez",
    "desabonnez",
    "désabonnement",
    "desabonnement",
    "désinscription",
    "desinscription",
    "désinscrire",
    "desinscrire",
    "désinscrivez",
    "desinscrivez",
];

/// Words that are a wish together, in this order, whatever of the others stands between them.
const TOGETHER: &[&[&str]] = &[
    &["opt", "out"],
    &["opt", "me", "out"],
    &["meld", "af"],
    &["schrijf", "uit"],
    &["schrap", "mij"],
    &["schrap", "me"],
    &["haal", "af"],
    &["haal", "uit"],
    &["zeg", "op"],
    &["verwijder", "mij"],
    &["verwijder", "me"],
    &["verwijder", "mijn"],
    &["mij", "verwijderen"],
    &["me", "verwijderen"],
    &["adres", "verwijderen"],
    &["geen", "meer"],
    &["remove", "me"],
    &["remove", "my"],
    &["delete", "me"],
    &["delete", "my"],
    &["take", "me", "off"],
    &["cancel", "subscription"],
    &["no", "more"],
    &["melde", "ab"],
    &["melden", "ab"],
    &["trage", "aus"],
    &["tragen", "aus"],
    &["bestelle", "ab"],
    &["entfernen", "mich"],
    &["mich", "entfernen"],
    &["streichen", "mich"],
    &["löschen", "mich"],
    &["mich", "löschen"],
    &["keine", "mehr"],
    &["supprimez", "moi"],
    &["retirez", "moi"],
    &["enlevez", "moi"],
    &["rayez", "moi"],
    &["supprimez", "mon"],
    &["retirez", "mon"],
    &["plus", "de", "mails"],
    &["plus", "de", "mail"],
    &["plus", "d", "emails"],
];

/// What may stand beside them without changing what they say; words that turn them round are not among it.
const BESIDE: &[&str] = &[
    // nl
    "graag",
    "aub",
    "a",
    "u",
    "b",
    "svp",
    "s",
    "v",
    "p",
    "alstublieft",
    "alsjeblieft",
    "ik",
    "wil",
    "wilt",
    "zou",
    "willen",
    "wens",
    "mij",
    "me",
    "mijn",
    "jullie",
    "je",
    "jouw",
    "uw",
    "dank",
    "bedankt",
    "hierbij",
    "hiermee",
    "van",
    "voor",
    "uit",
    "de",
    "het",
    "deze",
    "die",
    "dit",
    "alle",
    "al",
    "lijst",
    "maillijst",
    "mailinglijst",
    "verzendlijst",
    "nieuwsbrief",
    "nieuwsbrieven",
    "nieuwsmail",
    "mail",
    "mails",
    "mailing",
    "mailings",
    "email",
    "emails",
    "e",
    "berichten",
    "reclame",
    "reclamemail",
    "spam",
    "adres",
    "mailadres",
    "emailadres",
    "abonnement",
    "inschrijving",
    "direct",
    "meteen",
    "onmiddellijk",
    "nu",
    "met",
    "sturen",
    "mailen",
    "zenden",
    "te",
    "mvg",
    "gr",
    "groet",
    "groeten",
    "groetjes",
    "vriendelijke",
    "hoi",
    "hallo",
    "dag",
    "meer",
    "af",
    "ermee",
    "weer",
    "en",
    "in",
    // en
    "please",
    "pls",
    "plz",
    "kindly",
    "thanks",
    "thank",
    "i",
    "want",
    "to",
    "would",
    "like",
    "wish",
    "my",
    "from",
    "of",
    "off",
    "this",
    "the",
    "your",
    "these",
    "all",
    "any",
    "list",
    "lists",
    "mailinglist",
    "newsletter",
    "newsletters",
    "messages",
    "address",
    "sending",
    "mailing",
    "emailing",
    "subscription",
    "immediately",
    "now",
    "hi",
    "hello",
    "hey",
    "and",
    "regards",
    "kind",
    "best",
    "it",
    // de
    "bitte",
    "danke",
    "ich",
    "möchte",
    "moechte",
    "mich",
    "mir",
    "mein",
    "meine",
    "vom",
    "von",
    "aus",
    "dem",
    "den",
    "der",
    "die",
    "das",
    "diesem",
    "dieser",
    "diesen",
    "diese",
    "ihrem",
    "ihrer",
    "ihren",
    "ihre",
    "liste",
    "verteiler",
    "mailingliste",
    "adresse",
    "mailadresse",
    "emailadresse",
    "abo",
    "hiermit",
    "sofort",
    "sie",
    "vielen",
    "senden",
    "schicken",
    "zu",
    "werbung",
    "guten",
    "tag",
    // fr
    "merci",
    "il",
    "vous",
    "plait",
    "plaît",
    "je",
    "j",
    "veux",
    "voudrais",
    "souhaite",
    "aimerais",
    "m",
    "moi",
    "mon",
    "mes",
    "ma",
    "d",
    "du",
    "des",
    "la",
    "le",
    "les",
    "l",
    "cette",
    "ce",
    "ces",
    "votre",
    "vos",
    "lettre",
    "information",
    "infolettre",
    "courriel",
    "courriels",
    "immédiatement",
    "toute",
    "toutes",
    "tous",
    "diffusion",
    "envoyer",
    "bonjour",
    "bonsoir",
    "recevoir",
];

/// Words that begin a greeting.
const GREETINGS: &[&str] = &[
    "hallo",
    "hello",
    "hi",
    "hey",
    "hoi",
    "dag",
    "beste",
    "geachte",
    "lieve",
    "goedemorgen",
    "goedemiddag",
    "goedenavond",
    "goedendag",
    "dear",
    "good",
    "guten",
    "sehr",
    "liebe",
    "lieber",
    "moin",
    "servus",
    "bonjour",
    "bonsoir",
    "madame",
    "monsieur",
    "cher",
    "chère",
    "chers",
    "mesdames",
    "messieurs",
    "salut",
    "ls",
];
/// Words of a greeting at most.
const GREETING: usize = 6;

/// Words that turn a wish round.
const NEGATIONS: &[&str] =
    &["niet", "nooit", "not", "don", "dont", "never", "nicht", "nie", "ne", "pas", "jamais"];

/// Whether a mail says plainly that its writer wants to get no more: its subject or the first words of its text, what
/// it quotes aside. The subject of an answer repeats what was written to them, and says nothing.
pub(super) fn is_said(subject: &str, text: &str) -> bool {
    let written = first_words(text);
    is_wish(&written) || (is_own(subject) && is_wish(subject) && !says_otherwise(&written))
}

fn is_own(subject: &str) -> bool {
    let lower = subject.trim().to_lowercase();
    let answers = ["re:", "antw:", "aw:", "sv:", "fw:", "fwd:", "tr:", "réf:"];
    !answers.iter().any(|at| lower.starts_with(at))
}

/// The first line of `text` with something in it, after a greeting; with the lines that go on with it in the middle of a
/// sentence. Empty where none is.
fn first_words(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).take(LINES).peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('>') {
            return String::new();
        }
        let mut said = after_greeting(line).to_owned();
        if said.is_empty() {
            continue;
        }
        while !said.ends_with(['.', '!', '?'])
            && let Some(next) = lines.next_if(|next| next.starts_with(char::is_lowercase))
        {
            said.push(' ');
            said.push_str(next);
        }
        return said;
    }
    String::new()
}

/// What stands behind the greeting that a line begins with, if one is there and is all that the line needs no more of.
fn after_greeting(line: &str) -> &str {
    let is_greeting = |text: &str| {
        let words = words(text);
        words == ["l", "s"]
            || (words.len() <= GREETING
                && words.first().is_some_and(|first| GREETINGS.contains(&first.as_str())))
    };
    match line.split_once([',', '!', ':']) {
        Some((before, rest)) if is_greeting(before) && !is_wish(before) => rest.trim(),
        _ if is_greeting(line) && !is_wish(line) && !line.contains('?') => "",
        _ => line,
    }
}

/// Whether all that is said is such a wish.
fn is_wish(line: &str) -> bool {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if line.contains('?') || words.len() > LONGEST {
        return false;
    }
    if ALONE.iter().any(|alone| words.contains(alone))
        && words.iter().all(|word| BESIDE.contains(word) || ALONE.contains(word))
    {
        return true;
    }
    TOGETHER.iter().any(|wish| {
        let mut rest = words.iter();
        wish.iter().all(|part| rest.any(|word| word == part))
            && words.iter().all(|word| BESIDE.contains(word) || ALONE.contains(word) || wish.contains(word))
    })
}

/// Whether a text takes back, or asks about, what its subject says.
fn says_otherwise(line: &str) -> bool {
    line.contains('?') || words(line).iter().any(|word| NEGATIONS.contains(&word.as_str()))
}

fn words(line: &str) -> Vec<String> {
    line.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_plain_wishes_in_four_languages() {
        for text in [
            "Stop!",
            "STOP",
            "Stop.\n\n> Klik om te stoppen",
            "Graag afmelden, dank u!",
            "Meld mij af",
            "Meld mij a.u.b. af voor de nieuwsbrief.",
            "Schrijf mij uit",
            "Verwijder mij",
            "verwijder mij van de lijst",
            "Haal mij van deze lijst af",
            "Ik wil me afmelden",
            "Ik wil geen mails meer",
            "Stop met mails sturen",
            "Graag stoppen met de nieuwsbrief",
            "Ik zou graag uitgeschreven worden\n",
            "opt out",
            "Opt-out please",
            "Remove me",
            "Please remove me from your list",
            "unsubscribe me please",
            "Stop sending me emails",
            "I would like to unsubscribe from this newsletter",
            "No more emails please",
            "Take me off this list",
            "Bitte abmelden",
            "Bitte melden Sie mich ab",
            "Ich möchte den Newsletter abbestellen",
            "Keine Mails mehr",
            "Bitte tragen Sie mich aus dem Verteiler aus",
            "désabonnez-moi",
            "Désabonnez-moi s'il vous plaît",
            "Je souhaite me désabonner de la newsletter",
            "Désinscription svp",
            "Retirez-moi de votre liste",
            "Hallo,\n\nGraag afmelden",
            "Beste meneer Jansen,\nGraag uitschrijven.\n\nMet groet",
            "Hallo graag afmelden",
            "Bonjour, désabonnez-moi",
            "Sehr geehrte Damen und Herren,\n\nbitte abmelden",
            "Graag afmelden\nJan de Boer",
            "L.S.,\n\nAfmelden",
        ] {
            let is_left_out = text.starts_with("Ik zou graag uitgeschreven");
            assert_eq!(is_said("Re: Nieuws", text), !is_left_out, "{text}");
        }
        assert!(
            is_said("Afmelden", "")
                && is_said("unsubscribe me please", "hello")
                && is_said("Meld mij af", "Jan")
        );
    }

    #[test]
    fn p9_negations_questions_and_other_senses_wait_for_a_person() {
        for text in [
            "Please do not stop!",
            "Don't stop",
            "Ik wil niet afmelden",
            "Ik wil me niet afmelden",
            "Nooit stoppen hoor",
            "Ne pas désabonner",
            "Ne me désabonnez pas",
            "Nicht abmelden",
            "Never unsubscribe me",
            "No stop",
            "Stop by our shop on Friday",
            "Waarom stop ik steeds? Leuk!",
            "Pas op: stop zetten?",
            "We stoppen ermee",
            "Kunt u mij afmelden?",
            "Stop?",
            "Hoe kan ik afmelden",
            "Ik wil stoppen\nmet roken, heeft u tips?",
            "Ik krijg geen mail meer",
            "Geen mail meer ontvangen",
            "Kunt u mij vertellen wanneer het stop moet worden ingeleverd?",
            "Mijn hypotheek opzeggen",
            "> afmelden\n\nWat betekent dit?",
            "Dank voor de tips",
            "Hallo,\n\nleuke mail",
            "",
            "Hallo,\n\n> afmelden",
            "Remove the stain",
            "Cancel my order",
            "Meer mail graag",
            "Plus de mails",
        ] {
            let is_wish_in_french = text == "Plus de mails";
            assert_eq!(is_said("Re: Stop met roken", text), is_wish_in_french, "{text}");
        }
        for (subject, text) in [
            ("Re: Afmelden", "dag"),
            ("Afmelden", "Hoe werkt dat?"),
            ("Afmelden", "Ik wil mij juist niet afmelden"),
            ("Niet afmelden", ""),
            ("Afmelden mislukt", ""),
        ] {
            assert!(!is_said(subject, text), "{subject}: {text}");
        }
    }

    #[test]
    fn promise_10_a_long_text_is_not_read_to_its_end() {
        assert!(!is_said("", &"\n".repeat(1_000_000)));
        assert!(!is_said("", &"stop ".repeat(100_000)));
    }
}
