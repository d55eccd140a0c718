//! The letter to somebody who was erased (RULES L18): what went, what stays, why and until when. In the sender's
//! language; it is handed to the administrator and not mailed, as mailing it would put the address on record again.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::ledger::keeping::{Erasure, Tally};
use crate::mail::{AddressKey, Language, Sender, one_line};

struct Words {
    subject: &'static str,
    done: &'static str,
    would: &'static str,
    erased: &'static str,
    nothing_erased: &'static str,
    kept: &'static str,
    why_kept: &'static str,
    opt_out: &'static str,
    files: &'static str,
    nothing_kept: &'static str,
    entry: &'static str,
    rights: &'static str,
    held: &'static str,
    /// Consents, purchases, published addresses, opt-outs, refused messages, messages sent, other notes.
    kinds: [&'static str; 7],
}

/// The letter about `erasure` of `address`, dated `now`; `done` says whether it was carried out. `files` are the
/// originals of imports in which the address stands.
pub fn erasure_letter(
    erasure: &Erasure,
    address: &AddressKey,
    sender: &Sender,
    files: usize,
    now: Timestamp,
    done: bool,
) -> String {
    let words = words(sender.language);
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let fill = |text: &str| {
        let until = erasure.kept_until.map(day).unwrap_or_default();
        let files = files.to_string();
        let name = one_line(&sender.name);
        fill(
            text,
            &[
                ("{address}", address.as_str()),
                ("{sender}", &name),
                ("{day}", &day(now)),
                ("{until}", &until),
                ("{files}", &files),
            ],
        )
    };
    let mut letter = format!(
        "{}\n{}\n{}\n\n{}\n\n{}\n\n",
        one_line(&sender.name),
        one_line(&sender.address),
        sender.contact,
        day(now),
        fill(words.subject)
    );
    let mut paragraph = |text: &str| {
        let _ = write!(letter, "{}\n\n", fill(text));
    };
    if !erasure.holds.is_empty() {
        paragraph(words.held);
        paragraph(words.rights);
        return letter;
    }
    paragraph(if done { words.done } else { words.would });
    if erasure.erased.is_empty() {
        paragraph(words.nothing_erased);
    } else {
        paragraph(&format!("{}\n{}", words.erased, list(&erasure.erased, &words)));
    }
    if !erasure.kept.is_empty() {
        paragraph(&format!("{}\n{}", words.kept, list(&erasure.kept, &words)));
        paragraph(words.why_kept);
    }
    if !erasure.suppressed.is_empty() {
        paragraph(words.opt_out);
    }
    if files > 0 {
        paragraph(words.files);
    }
    if erasure.kept.is_empty() && erasure.suppressed.is_empty() && files == 0 {
        paragraph(words.nothing_kept);
    }
    paragraph(words.entry);
    paragraph(words.rights);
    letter
}

/// `text` with its placeholders filled in; what stands in a value is not looked at.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, value) =
            values.iter().find(|(name, _)| rest.starts_with(name)).copied().unwrap_or(("{", "{"));
        out.push_str(value);
        rest = &rest[name.len()..];
    }
    out + rest
}

/// One line for each kind, in the words of people.
fn list(tallies: &[Tally], words: &Words) -> String {
    let mut counts = [0; 7];
    for tally in tallies {
        let kind = match tally.kind.as_str() {
            "consent" => 0,
            "relation" => 1,
            "published" => 2,
            "suppression" | "unsubscribed" | "corrected" | "explained" => 3,
            "refused" => 4,
            "admitted" | "sent_elsewhere" => 5,
            _ => 6,
        };
        counts[kind] += tally.count;
    }
    let lines = counts.iter().zip(words.kinds).filter(|(count, _)| **count > 0);
    lines.map(|(count, kind)| format!("* {kind}: {count}")).collect::<Vec<_>>().join("\n")
}

fn words(language: Language) -> Words {
    match language {
        Language::Nl => Words {
            subject: "Betreft: verwijdering van de gegevens over {address}",
            done: "U vroeg ons de gegevens over het e-mailadres {address} te verwijderen. Dat hebben wij op {day} gedaan.",
            would: "Dit is een proef: er is nog niets verwijderd. Bij een verwijdering op {day} van de gegevens over {address} \
                    zou het volgende gelden.",
            erased: "Verwijderd, en niet meer terug te halen:",
            nothing_erased: "Er was niets dat meteen verwijderd kon worden.",
            kept: "Wat blijft bewaard, tot {until}:",
            why_kept: "Dit is het bewijs van de berichten die wij u stuurden, en van de toestemming of aankoop waarop die berusten. Wij \
                       moeten dat vijf jaar lang kunnen laten zien (Telecommunicatiewet art. 11.7; AVG art. 17 lid 3 onder b en e). Het \
                       wordt voor niets anders gebruikt, en daarna vernietigd. Marketing kan er niet meer op worden gebaseerd.",
            opt_out: "Dat u geen commerciële berichten wilt, onthouden wij zonder uw adres: als een versleutelde afdruk ervan, waaruit het \
                      adres niet is af te leiden. Anders zou u opnieuw benaderd kunnen worden. Daarvoor is geen einddatum (AVG art. 21 \
                      lid 3 en art. 17 lid 3 onder b).",
            files: "Ook de oorspronkelijke bestanden waarin uw adres aan ons is overgedragen ({files}) blijven afgesloten bewaard, als bewijs \
                    van de herkomst.",
            nothing_kept: "Verder is niets over u bewaard.",
            entry: "Dat er op {day} een verwijdering is uitgevoerd, is vastgelegd zonder uw adres.",
            rights: "Bent u het hier niet mee eens, schrijf ons dan. U kunt ook een klacht indienen bij de Autoriteit \
                     Persoonsgegevens.",
            held: "U vroeg ons de gegevens over het e-mailadres {address} te verwijderen. Dat kan nu niet: zij zijn nodig voor een lopende \
                   rechtsvordering of een onderzoek (AVG art. 17 lid 3 onder e). Er is niets verwijderd. Wij bewaren ze voor niets \
                   anders, en verwijderen ze zodra dat kan.",
            kinds: [
                "toestemmingen",
                "aankopen",
                "gepubliceerde adressen",
                "afmeldingen",
                "tegengehouden berichten",
                "verzonden berichten",
                "andere aantekeningen",
            ],
        },
        Language::En => Words {
            subject: "Subject: erasure of the data about {address}",
            done: "You asked us to erase the data about the email address {address}. We did so on {day}.",
            would: "This is a rehearsal: nothing was erased yet. Of an erasure of the data about {address} on {day}, this would be \
                    the result.",
            erased: "Erased, and beyond recovery:",
            nothing_erased: "There was nothing that could be erased at once.",
            kept: "What is kept, until {until}:",
            why_kept: "This is the proof of the messages that we sent you, and of the consent or purchase that they rest on. We have to be \
                       able to show it for five years (Dutch Telecommunications Act art. 11.7; GDPR art. 17(3)(b) and (e)). It is used for \
                       nothing else, and destroyed afterwards. No marketing can be based on it any more.",
            opt_out: "That you want no commercial messages we remember without your address: as a keyed fingerprint of it, from which the \
                      address cannot be found. Otherwise you could be approached again. This has no end date (GDPR art. 21(3) and art. \
                      17(3)(b)).",
            files: "The original files in which your address was handed to us ({files}) are kept as well, closed off, as evidence of where it \
                    came from.",
            nothing_kept: "Nothing else about you is kept.",
            entry: "That an erasure was carried out on {day} is on record, without your address.",
            rights: "If you do not agree, please write to us. You can also complain to the data protection authority.",
            held: "You asked us to erase the data about the email address {address}. That is not possible now: they are needed for a legal \
                   claim or an investigation (GDPR art. 17(3)(e)). Nothing was erased. We keep them for nothing else, and erase them as \
                   soon as we can.",
            kinds: [
                "consents",
                "purchases",
                "published addresses",
                "opt-outs",
                "messages stopped",
                "messages sent",
                "other notes",
            ],
        },
        Language::De => Words {
            subject: "Betreff: Löschung der Daten zu {address}",
            done: "Sie baten uns, die Daten zur E-Mail-Adresse {address} zu löschen. Das haben wir am {day} getan.",
            would: "Dies ist eine Probe: Es wurde noch nichts gelöscht. Bei einer Löschung der Daten zu {address} am {day} würde \
                    Folgendes gelten.",
            erased: "Gelöscht, und nicht wiederherstellbar:",
            nothing_erased: "Es gab nichts, was sofort gelöscht werden konnte.",
            kept: "Was aufbewahrt wird, bis {until}:",
            why_kept: "Dies ist der Nachweis der Nachrichten, die wir Ihnen gesandt haben, und der Einwilligung oder des Kaufs, auf dem sie \
                       beruhen. Wir müssen ihn fünf Jahre lang vorlegen können (niederländisches Telekommunikationsgesetz Art. 11.7; DSGVO \
                       Art. 17 Abs. 3 lit. b und e). Er dient keinem anderen Zweck und wird danach vernichtet. Werbung kann sich nicht \
                       mehr darauf stützen.",
            opt_out: "Dass Sie keine Werbung möchten, merken wir uns ohne Ihre Adresse: als verschlüsselten Abdruck, aus dem sich die Adresse \
                      nicht ableiten lässt. Sonst könnten Sie erneut angeschrieben werden. Dafür gibt es kein Enddatum (DSGVO Art. 21 Abs. \
                      3 und Art. 17 Abs. 3 lit. b).",
            files: "Auch die ursprünglichen Dateien, in denen uns Ihre Adresse übergeben wurde ({files}), bleiben verschlossen aufbewahrt, als \
                    Nachweis der Herkunft.",
            nothing_kept: "Weiteres über Sie ist nicht aufbewahrt.",
            entry: "Dass am {day} eine Löschung stattfand, ist ohne Ihre Adresse festgehalten.",
            rights: "Sind Sie damit nicht einverstanden, schreiben Sie uns bitte. Sie können sich auch bei der Datenschutzbehörde \
                     beschweren.",
            held: "Sie baten uns, die Daten zur E-Mail-Adresse {address} zu löschen. Das ist derzeit nicht möglich: Sie werden für einen \
                   Rechtsanspruch oder eine Untersuchung benötigt (DSGVO Art. 17 Abs. 3 lit. e). Es wurde nichts gelöscht. Wir bewahren \
                   sie zu keinem anderen Zweck auf und löschen sie, sobald es möglich ist.",
            kinds: [
                "Einwilligungen",
                "Käufe",
                "veröffentlichte Adressen",
                "Abmeldungen",
                "zurückgehaltene Nachrichten",
                "gesendete Nachrichten",
                "andere Vermerke",
            ],
        },
        Language::Fr => Words {
            subject: "Objet : effacement des données concernant {address}",
            done: "Vous nous avez demandé d’effacer les données concernant l’adresse e-mail {address}. Nous l’avons fait le {day}.",
            would: "Ceci est un essai : rien n’a encore été effacé. Un effacement des données concernant {address} le {day} aurait \
                    le résultat suivant.",
            erased: "Effacé, sans récupération possible :",
            nothing_erased: "Rien ne pouvait être effacé immédiatement.",
            kept: "Ce qui est conservé, jusqu’au {until} :",
            why_kept: "C’est la preuve des messages que nous vous avons envoyés, et du consentement ou de l’achat sur lequel ils reposent. Nous \
                       devons pouvoir la montrer pendant cinq ans (loi néerlandaise sur les télécommunications, art. 11.7 ; RGPD art. 17(3)(b) \
                       et (e)). Elle ne sert à rien d’autre, et est détruite ensuite. Aucune prospection ne peut plus s’y fonder.",
            opt_out: "Que vous ne voulez pas de messages commerciaux, nous le retenons sans votre adresse : sous forme d’une empreinte à clé, dont \
                      l’adresse ne peut être déduite. Sinon vous pourriez être sollicité à nouveau. Cela n’a pas de date de fin (RGPD art. 21(3) \
                      et art. 17(3)(b)).",
            files: "Les fichiers d’origine dans lesquels votre adresse nous a été remise ({files}) sont également conservés, sous clé, comme preuve \
                    de la provenance.",
            nothing_kept: "Rien d’autre n’est conservé à votre sujet.",
            entry: "Qu’un effacement a eu lieu le {day} est consigné, sans votre adresse.",
            rights: "Si vous n’êtes pas d’accord, écrivez-nous. Vous pouvez aussi saisir l’autorité de protection des données.",
            held: "Vous nous avez demandé d’effacer les données concernant l’adresse e-mail {address}. Ce n’est pas possible maintenant : elles \
                   sont nécessaires à une action en justice ou à une enquête (RGPD art. 17(3)(e)). Rien n’a été effacé. Nous ne les gardons \
                   pour rien d’autre, et les effacerons dès que possible.",
            kinds: [
                "consentements",
                "achats",
                "adresses publiées",
                "désabonnements",
                "messages retenus",
                "messages envoyés",
                "autres notes",
            ],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::keeping::Forgotten;
    use crate::mail::{Address, SenderId};
    use crate::suppression::{Reason, Suppression};

    fn sender(language: Language) -> Sender {
        Sender {
            id: SenderId("12345678".to_owned()),
            name: "Voorbeeld {until} B.V.".to_owned(),
            trade_names: Vec::new(),
            kvk: "12345678".to_owned(),
            address: "Dorpsstraat 1, 1234 AB Ons Dorp".to_owned(),
            contact: Address::parse("info@voorbeeldhypotheken.nl").unwrap(),
            domains: Vec::new(),
            notify: Vec::new(),
            language,
        }
    }

    fn tally(kind: &str, count: u64) -> Tally {
        Tally { kind: kind.to_owned(), count }
    }

    #[test]
    fn l18_the_letter_says_what_went_what_stays_why_and_until_when() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let address = Address::parse("lezer@example.org").unwrap().key().clone();
        let suppression = Suppression { reason: Reason::Unsubscribed, since: now, source: "page".to_owned() };
        let whole = Erasure {
            erased: vec![tally("refused", 2), tally("told", 1)],
            kept: vec![tally("consent", 3), tally("admitted", 4), tally("unsubscribed", 1)],
            kept_until: Some("2031-02-28T10:00:00Z".parse().unwrap()),
            suppressed: vec![Forgotten { sender: SenderId("12345678".to_owned()), suppression }],
            ..Erasure::default()
        };
        let mut letters = Vec::new();
        for language in Language::ALL {
            let sender = sender(language);
            let letter = erasure_letter(&whole, &address, &sender, 1, now, true);
            for fact in ["lezer@example.org", "2026-03-01", "2031-02-28", ": 4\n", ": 2\n", "17", "21"] {
                assert!(letter.contains(fact), "{language:?}: {fact} is missing in {letter}");
            }
            assert!(letter.starts_with("Voorbeeld {until} B.V."), "a name is no template: {letter}");
            let nothing = Erasure { erased: vec![tally("consent", 1)], ..Erasure::default() };
            let nothing = erasure_letter(&nothing, &address, &sender, 0, now, true);
            assert!(nothing.contains(words(language).nothing_kept) && !nothing.contains("11.7"), "{nothing}");
            let held = Erasure { holds: vec![7], ..whole.clone() };
            let held = erasure_letter(&held, &address, &sender, 0, now, true);
            assert!(!held.contains(": 2\n") && held.contains("17"), "{held}");
            let trial = erasure_letter(&whole, &address, &sender, 0, now, false);
            letters.extend([letter, nothing, held, trial]);
        }
        letters.sort();
        letters.dedup();
        assert_eq!(letters.len(), 16);
    }
}
