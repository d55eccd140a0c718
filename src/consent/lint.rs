//! What else a consent text lacks, as far as a program can see it (RULES L2): told to whoever writes it.

use super::ConsentError;
use super::text::{check_text, has_any, plain};

/// Something that is wrong with a consent text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lint {
    /// It cannot be a consent text of this sender at all.
    #[error("{0}")]
    Unfit(ConsentError),
    /// Doing nothing counts as a yes.
    #[error("L2: \"{0}\" takes silence for consent; consent is an act")]
    Silence(&'static str),
    /// It is part of something else.
    #[error("L2: it speaks of \"{0}\"; consent is asked for on its own, not together with terms")]
    Bundled(&'static str),
    /// Several things in one box.
    #[error("L2: it asks for several things in one box ({0}); each needs a box of its own")]
    SeveralPurposes(String),
    /// No word on how to take it back.
    #[error("L2: it does not say that consent can be withdrawn, and how")]
    NoWithdrawal,
    /// No word on how often.
    #[error("L2: it does not say how often mail will come")]
    NoFrequency,
}

impl Lint {
    /// Whether a text with this fault is refused whatever the config says.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Unfit(_) | Self::Silence(_) | Self::Bundled(_) => true,
            Self::SeveralPurposes(_) | Self::NoWithdrawal | Self::NoFrequency => false,
        }
    }
}

const SILENCE: &[&str] = &[
    "tenzij je",
    "tenzij u",
    "als je niets doet",
    "als u niets doet",
    "stilzwijgend",
    "unless you",
    "if you do nothing",
    "by continuing",
    "door verder te gaan",
    "sofern sie nicht widersprechen",
    "sauf opposition",
];

const TERMS: &[&str] = &[
    "algemene voorwaarden",
    "terms and conditions",
    "terms of service",
    "terms of use",
    "allgemeinen geschäftsbedingungen",
    "agb",
    "conditions générales",
];

/// What a text can ask for, each with the words that show it.
const PURPOSES: &[(&str, &[&str])] = &[
    (
        "mail",
        &[
            "nieuwsbrief",
            "nieuwsbrieven",
            "e-mail",
            "email",
            "mailen",
            "mailt",
            "mail",
            "newsletter",
            "e-mails",
        ],
    ),
    (
        "telephone",
        &[
            "telefonisch",
            "bellen",
            "belt",
            "opbellen",
            "telephone",
            "phone",
            "call me",
            "téléphone",
            "anrufen",
        ],
    ),
    ("text messages", &["sms", "whatsapp", "tekstbericht", "text message", "text messages"]),
    ("post", &["per post", "by post", "brievenbus", "courrier postal"]),
    (
        "profiles",
        &["profiel opbouwen", "profileren", "klantprofiel", "profiling", "klickverhalten", "klikgedrag"],
    ),
    ("sharing", &["delen met", "doorgeven aan", "verstrekken aan", "share with", "weitergeben"]),
];

const WITHDRAWAL: &[&str] = &[
    "afmelden",
    "afmeld",
    "uitschrijven",
    "uitschrijf",
    "intrekken",
    "opzeggen",
    "stopzetten",
    "unsubscribe",
    "withdraw",
    "opt out",
    "opt-out",
    "abmelden",
    "widerrufen",
    "désinscrire",
    "désabonner",
    "retirer",
];

const FREQUENCY: &[&str] = &[
    "dagelijks",
    "dagelijkse",
    "wekelijks",
    "wekelijkse",
    "maandelijks",
    "maandelijkse",
    "per dag",
    "per week",
    "per maand",
    "per jaar",
    "per kwartaal",
    "elke dag",
    "elke week",
    "elke maand",
    "elk kwartaal",
    "jaarlijks",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "a week",
    "a month",
    "a year",
    "every day",
    "every week",
    "every month",
    "täglich",
    "wöchentlich",
    "monatlich",
    "im monat",
    "quotidien",
    "hebdomadaire",
    "mensuel",
    "mensuelle",
    "par semaine",
    "par mois",
    "par an",
];

/// Everything that is wrong with `text` as a consent text of a sender with these `names`; the worst first.
pub fn lint(text: &str, names: &[&str]) -> Vec<Lint> {
    let mut found: Vec<Lint> = check_text(text, names).err().map(Lint::Unfit).into_iter().collect();
    let plain = plain(text);
    found.extend(has_any(&plain, SILENCE).map(Lint::Silence));
    found.extend(has_any(&plain, TERMS).map(Lint::Bundled));
    let asked: Vec<&str> = PURPOSES
        .iter()
        .filter(|(_, words)| has_any(&plain, words).is_some())
        .map(|(purpose, _)| *purpose)
        .collect();
    if asked.len() > 1 {
        found.push(Lint::SeveralPurposes(asked.join(", ")));
    }
    if has_any(&plain, WITHDRAWAL).is_none() {
        found.push(Lint::NoWithdrawal);
    }
    if has_any(&plain, FREQUENCY).is_none() {
        found.push(Lint::NoFrequency);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "Ja, stuur mij maandelijks de nieuwsbrief van Jansen over polissen. Afmelden kan in elke mail.";

    #[test]
    fn l2_a_text_that_says_everything_has_nothing_wrong() {
        assert_eq!(lint(GOOD, &["Jansen"]), []);
        let english = "Yes, Jansen may send me its newsletter once a month. I can unsubscribe at any time.";
        assert_eq!(lint(english, &["Jansen"]), []);
    }

    #[test]
    fn l2_each_thing_that_is_wrong_is_named() {
        let one = |text: &str, expected: Lint| {
            let found = lint(text, &["Jansen"]);
            assert!(found.contains(&expected), "{text}: {found:?}");
        };
        one("Ja, stuur mij de nieuwsbrief van Jansen. Afmelden kan altijd.", Lint::NoFrequency);
        one("Ja, stuur mij maandelijks de nieuwsbrief van Jansen.", Lint::NoWithdrawal);
        one(
            "Jansen mag mij maandelijks mailen en bellen. Afmelden kan altijd.",
            Lint::SeveralPurposes("mail, telephone".to_owned()),
        );
        one("Ik ga akkoord met de algemene voorwaarden van Jansen.", Lint::Bundled("algemene voorwaarden"));
        one("Jansen mailt u maandelijks, tenzij u zich afmeldt.", Lint::Silence("tenzij u"));
        assert!(lint(GOOD, &["Pietersen"])[0].is_fatal(), "another sender");
        assert!(lint("Jansen en partners mogen mij mailen", &["Jansen"])[0].is_fatal());
        assert!(!Lint::NoFrequency.is_fatal() && !Lint::NoWithdrawal.is_fatal());
    }
}
