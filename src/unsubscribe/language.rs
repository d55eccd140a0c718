//! The words of the page, in four languages, and which of them to use.
//!
//! `{sender}` and `{address}` stand where the page puts the two names.

use crate::mail::Language;

/// What the page says.
#[derive(Debug)]
pub(super) struct Words {
    /// For `lang`.
    pub code: &'static str,
    /// Title of the page with the button, and the word on the button.
    pub unsubscribe: &'static str,
    /// Heading above the button.
    pub heading: &'static str,
    /// Who it is about.
    pub whom: &'static str,
    /// What stops.
    pub stops: &'static str,
    /// What does not (RULES L20).
    pub stays: &'static str,
    /// Heading once it is done.
    pub done: &'static str,
    /// What was done.
    pub done_text: &'static str,
    /// That the sender is told, and the page can be closed.
    pub told: &'static str,
    /// Before the button that takes it back.
    pub mistake: &'static str,
    /// The word on that button.
    pub undo: &'static str,
    /// Heading once it was taken back.
    pub undone: &'static str,
    /// What that means.
    pub undone_text: &'static str,
    /// It can no longer be taken back here.
    pub too_late: &'static str,
    /// The question afterwards, which nobody has to answer.
    pub why: &'static str,
    /// The answers, in the order of [`Why::ALL`](crate::ledger::Why::ALL).
    pub reasons: [&'static str; 4],
    /// The word on its button.
    pub send: &'static str,
    /// It was answered.
    pub thanks: &'static str,
    /// Heading when a link does not open.
    pub unknown: &'static str,
    /// What to do about it.
    pub unknown_text: &'static str,
    /// Heading when it could not be recorded.
    pub failed: &'static str,
    /// What to do about it.
    pub failed_text: &'static str,
    /// Before the contact address.
    pub questions: &'static str,
    /// A sender that is no longer known by name.
    pub somebody: &'static str,
}

/// The words of `language`.
pub(super) fn words(language: Language) -> &'static Words {
    language.of([&NL, &EN, &DE, &FR])
}

/// The language that `accept` (an Accept-Language value, RFC 9110 12.5.4) likes best of those we have;
/// `fallback` when it names none of them.
pub(super) fn choose(accept: &str, fallback: Language) -> Language {
    let mut best = (0, fallback);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
        let primary = tag.split('-').next().unwrap_or_default();
        let language = match primary.to_ascii_lowercase().as_str() {
            "nl" => Language::Nl,
            "en" => Language::En,
            "de" => Language::De,
            "fr" => Language::Fr,
            "*" => fallback,
            _ => continue,
        };
        if weight > best.0 {
            best = (weight, language);
        }
    }
    best.1
}

/// A weight between 0 and 1, in thousandths; what is no weight counts as none.
fn thousandths(text: &str) -> u32 {
    match text.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as u32,
        _ => 0,
    }
}

const NL: Words = Words {
    code: "nl",
    unsubscribe: "Afmelden",
    heading: "Geen commerciële e‑mail meer van {sender}",
    whom: "Dit gaat over het e‑mailadres {address}.",
    stops: "Na één klik op de knop stopt alle commerciële e‑mail van {sender} aan dit adres: nieuwsbrieven, \
            aanbiedingen en andere promotie, over welk onderwerp dan ook.",
    stays: "Berichten die bij een bestelling, contract of account horen, zoals een factuur of een nieuw \
            wachtwoord, blijven komen.",
    done: "U bent afgemeld",
    done_text: "{address} krijgt vanaf nu geen commerciële e‑mail meer van {sender}.",
    told: "De afzender krijgt hiervan bericht. U hoeft verder niets te doen en kunt deze pagina sluiten.",
    mistake: "Was dit een vergissing? Dan kunt u de afmelding hier nu ongedaan maken.",
    undo: "Afmelding ongedaan maken",
    undone: "Uw afmelding is ongedaan gemaakt",
    undone_text: "Voor {address} geldt weer wat vóór de afmelding gold: {sender} mag weer e‑mail sturen waar u \
                  toestemming voor gaf. Afmelden kan altijd, met de link in elke e‑mail.",
    too_late: "Ongedaan maken kan alleen kort na de afmelding. Wilt u toch e‑mail ontvangen, meld u dan opnieuw \
               aan bij de afzender.",
    why: "Wilt u zeggen waarom? Het hoeft niet.",
    reasons: [
        "Ik heb hier nooit om gevraagd",
        "Ik krijg te vaak e‑mail",
        "Het is niet (meer) interessant voor mij",
        "Een andere reden",
    ],
    send: "Reden versturen",
    thanks: "Dank u. De afzender krijgt uw reden te zien.",
    unknown: "Deze link werkt niet",
    unknown_text: "De link is niet compleet of hoort niet bij deze site. Open de link opnieuw vanuit de \
                   e‑mail, of kopieer hem in zijn geheel.",
    failed: "Het is nog niet gelukt",
    failed_text: "De afmelding kon niet worden vastgelegd. Probeer het over een paar minuten opnieuw met de \
                  knop hieronder of met de link in de e‑mail.",
    questions: "Vragen?",
    somebody: "deze afzender",
};

const EN: Words = Words {
    code: "en",
    unsubscribe: "Unsubscribe",
    heading: "No more commercial email from {sender}",
    whom: "This is about the email address {address}.",
    stops: "One click on the button stops all commercial email from {sender} to this address: newsletters, \
            offers and any other promotion, whatever the subject.",
    stays: "Messages that belong to an order, a contract or an account, such as an invoice or a new password, \
            will still arrive.",
    done: "You are unsubscribed",
    done_text: "{address} gets no more commercial email from {sender}, starting now.",
    told: "The sender is told. There is nothing else you have to do; you can close this page.",
    mistake: "Was this a mistake? You can undo it here, now.",
    undo: "Undo unsubscribing",
    undone: "You are no longer unsubscribed",
    undone_text: "What held for {address} before holds again: {sender} may send the email you agreed to. You can \
                  unsubscribe at any time, with the link in every email.",
    too_late: "It can be undone only shortly after unsubscribing. To get email again, please sign up with the \
               sender.",
    why: "Would you like to say why? You do not have to.",
    reasons: [
        "I never asked for this",
        "There is too much email",
        "It does not interest me (any more)",
        "Another reason",
    ],
    send: "Send reason",
    thanks: "Thank you. The sender will see your reason.",
    unknown: "This link does not work",
    unknown_text: "The link is not complete, or does not belong to this site. Open it from the email again, or \
                   copy all of it.",
    failed: "It has not worked yet",
    failed_text: "Your choice could not be recorded. Please try again in a few minutes, with the button below \
                  or with the link in the email.",
    questions: "Questions?",
    somebody: "this sender",
};

const DE: Words = Words {
    code: "de",
    unsubscribe: "Abmelden",
    heading: "Keine Werbe-E‑Mails mehr von {sender}",
    whom: "Es geht um die E‑Mail-Adresse {address}.",
    stops: "Ein Klick auf die Schaltfläche beendet alle Werbe-E‑Mails von {sender} an diese Adresse: \
            Newsletter, Angebote und jede andere Werbung, gleich zu welchem Thema.",
    stays: "Nachrichten, die zu einer Bestellung, einem Vertrag oder einem Konto gehören, etwa eine Rechnung \
            oder ein neues Passwort, kommen weiterhin an.",
    done: "Sie sind abgemeldet",
    done_text: "{address} erhält ab sofort keine Werbe-E‑Mails mehr von {sender}.",
    told: "Der Absender wird benachrichtigt. Sie müssen nichts weiter tun und können diese Seite schließen.",
    mistake: "War das ein Versehen? Dann können Sie die Abmeldung hier jetzt rückgängig machen.",
    undo: "Abmeldung rückgängig machen",
    undone: "Ihre Abmeldung ist rückgängig gemacht",
    undone_text: "Für {address} gilt wieder, was vor der Abmeldung galt: {sender} darf die E‑Mails senden, denen \
                  Sie zugestimmt haben. Abmelden können Sie sich jederzeit, mit dem Link in jeder E‑Mail.",
    too_late: "Rückgängig machen geht nur kurz nach der Abmeldung. Möchten Sie doch E‑Mails erhalten, melden Sie \
               sich bitte beim Absender neu an.",
    why: "Möchten Sie sagen, warum? Sie müssen es nicht.",
    reasons: [
        "Ich habe das nie bestellt",
        "Es sind zu viele E‑Mails",
        "Es interessiert mich nicht (mehr)",
        "Ein anderer Grund",
    ],
    send: "Grund senden",
    thanks: "Danke. Der Absender sieht Ihren Grund.",
    unknown: "Dieser Link funktioniert nicht",
    unknown_text: "Der Link ist unvollständig oder gehört nicht zu dieser Seite. Öffnen Sie ihn noch einmal aus \
                   der E‑Mail, oder kopieren Sie ihn ganz.",
    failed: "Es hat noch nicht geklappt",
    failed_text: "Die Abmeldung konnte nicht festgehalten werden. Bitte versuchen Sie es in einigen Minuten \
                  noch einmal, mit der Schaltfläche unten oder mit dem Link in der E‑Mail.",
    questions: "Fragen?",
    somebody: "diesem Absender",
};

const FR: Words = Words {
    code: "fr",
    unsubscribe: "Se désabonner",
    heading: "Ne plus recevoir d’e‑mails commerciaux de {sender}",
    whom: "Cela concerne l’adresse e‑mail {address}.",
    stops: "Un clic sur le bouton met fin à tous les e‑mails commerciaux de {sender} à cette adresse : lettres \
            d’information, offres et toute autre promotion, quel qu’en soit le sujet.",
    stays: "Les messages liés à une commande, un contrat ou un compte, comme une facture ou un nouveau mot de \
            passe, continueront d’arriver.",
    done: "Vous êtes désabonné",
    done_text: "{address} ne recevra désormais plus d’e‑mails commerciaux de {sender}.",
    told: "L’expéditeur en est informé. Vous n’avez rien d’autre à faire et pouvez fermer cette page.",
    mistake: "C’était une erreur ? Vous pouvez l’annuler ici, maintenant.",
    undo: "Annuler le désabonnement",
    undone: "Votre désabonnement est annulé",
    undone_text: "Pour {address}, ce qui valait avant vaut de nouveau : {sender} peut envoyer les e‑mails que vous \
                  aviez acceptés. Vous pouvez vous désabonner à tout moment, avec le lien de chaque e‑mail.",
    too_late: "L’annulation n’est possible que peu après le désabonnement. Pour recevoir de nouveau des e‑mails, \
               inscrivez-vous auprès de l’expéditeur.",
    why: "Souhaitez-vous dire pourquoi ? Ce n’est pas obligatoire.",
    reasons: [
        "Je n’ai jamais demandé ces e‑mails",
        "Il y a trop d’e‑mails",
        "Cela ne m’intéresse pas (ou plus)",
        "Une autre raison",
    ],
    send: "Envoyer la raison",
    thanks: "Merci. L’expéditeur verra votre raison.",
    unknown: "Ce lien ne fonctionne pas",
    unknown_text: "Le lien est incomplet ou n’appartient pas à ce site. Ouvrez-le de nouveau depuis l’e‑mail, ou \
                   copiez-le en entier.",
    failed: "Cela n’a pas encore abouti",
    failed_text: "Votre demande n’a pas pu être enregistrée. Réessayez dans quelques minutes, avec le bouton \
                  ci-dessous ou avec le lien dans l’e‑mail.",
    questions: "Des questions ?",
    somebody: "cet expéditeur",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l9_the_language_the_reader_asked_for() {
        use Language::{De, En, Fr, Nl};
        for (accept, fallback, language) in [
            ("", Nl, Nl),
            ("en", Nl, En),
            ("de-AT,de;q=0.9,en;q=0.8", Nl, De),
            ("fr;q=0.1, nl;q=0.2", En, Nl),
            ("pl, en;q=0.5", Nl, En),
            ("pl,cs", De, De),
            ("*", Fr, Fr),
            ("en;q=0", Nl, Nl),
            ("EN-gb", Nl, En),
            ("en;q=banana,de;q=0.1", Nl, De),
            ("en;q=9", Nl, Nl),
            (";;;,,,q=", Nl, Nl),
        ] {
            assert_eq!(choose(accept, fallback), language, "{accept:?}");
        }
    }

    #[test]
    fn l9_each_language_says_who_stops_what_for_whom() {
        for language in [Language::Nl, Language::En, Language::De, Language::Fr] {
            let words = words(language);
            assert!(words.heading.contains("{sender}"), "{}", words.code);
            assert!(words.stops.contains("{sender}"), "{}", words.code);
            assert!(words.whom.contains("{address}"), "{}", words.code);
            for text in [words.done_text, words.undone_text] {
                assert!(text.contains("{sender}") && text.contains("{address}"), "{text}");
            }
        }
    }
}
