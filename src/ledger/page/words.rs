//! What the page says, in the languages of its readers. `{}` stands where a value goes, in this order in all of them.

use std::fmt::Display;

use maud::{Markup, html};

use crate::mail::Language;

/// The same words in Dutch, English, German and French.
pub(super) type Words = [&'static str; 4];

/// Says them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tongue(pub(super) Language);

impl Tongue {
    pub(super) fn say(self, words: &Words) -> &'static str {
        self.0.of(*words)
    }

    /// With `values` in the places of `{}`.
    pub(super) fn with(self, words: &Words, values: &[&dyn Display]) -> String {
        let mut text = String::new();
        let mut values = values.iter();
        for (place, piece) in self.say(words).split("{}").enumerate() {
            if place > 0
                && let Some(value) = values.next()
            {
                text.push_str(&value.to_string());
            }
            text.push_str(piece);
        }
        text
    }

    /// One line of a list: what it is, and the value.
    pub(super) fn row(self, words: &Words, value: impl maud::Render) -> Markup {
        html! { dt { (self.say(words)) } dd { (value.render()) } }
    }
}

macro_rules! words {
    ($($name:ident = $nl:literal, $en:literal, $de:literal, $fr:literal;)*) => {
        $(pub(super) const $name: Words = [$nl, $en, $de, $fr];)*
        #[cfg(test)]
        pub(super) const ALL: &[Words] = &[$($name),*];
    };
}

words! {
    EVIDENCE = "Bewijs: {}", "Evidence: {}", "Nachweis: {}", "Preuves : {}";
    WHAT_HAPPENED = "Wat er gebeurde: {}", "What happened: {}", "Was geschah: {}", "Ce qui s'est passé : {}";
    FROM_LEDGER = "Uit het grootboek van de mailgateway {}, gemaakt op {}. Alle tijden zijn UTC. Het grootboek telde {} \
        regels toen de wortel ervan werd ondertekend; de {} die hier van belang zijn volgen in de volgorde waarin ze \
        werden geschreven. Deze pagina helpt u ze te lezen;",
        "From the ledger of the mail gateway {}, made on {}. All times are UTC. The ledger held {} entries when its root \
        was signed; the {} that matter here follow in the order in which they were written. This page helps you read \
        them;",
        "Aus dem Hauptbuch des Mail-Gateways {}, erstellt am {}. Alle Zeiten sind UTC. Das Hauptbuch hatte {} Einträge, \
        als seine Wurzel unterzeichnet wurde; die {}, auf die es hier ankommt, folgen in der Reihenfolge, in der sie \
        geschrieben wurden. Diese Seite hilft, sie zu lesen;",
        "Extrait du registre de la passerelle de courriel {}, établi le {}. Toutes les heures sont UTC. Le registre \
        comptait {} entrées lorsque sa racine a été signée ; les {} qui importent ici suivent dans l'ordre où elles ont \
        été écrites. Cette page aide à les lire ;";
    HOW_TO_CHECK = "zegt (in het Engels) hoe na te gaan dat ze sindsdien niet zijn veranderd.",
        "says how to check that they were not changed since.",
        "sagt (auf Englisch), wie zu prüfen ist, dass sie seither nicht verändert wurden.",
        "dit (en anglais) comment vérifier qu'elles n'ont pas été modifiées depuis.";
    WHAT_IT_IS = "Het zijn de eigen aantekeningen van de gateway. Na te rekenen is dat ze er in deze vorm stonden toen de \
        wortel werd ondertekend, en voor elk ankerpunt buitenshuis dat ze er toen al stonden; niet dat alles wat erin staat \
        waar is, en niet dat er geen andere zijn. VERIFY.md zegt waar de grens ligt en wat daarover te vragen is.",
        "These are the gateway's own notes. What can be computed is that they stood there in this form when the root was \
        signed, and for each anchor outside that they stood there by then; not that all they say is true, and not that \
        there are no others. VERIFY.md says where that line runs and what to ask for beyond it.",
        "Dies sind die eigenen Aufzeichnungen des Gateways. Nachrechnen lässt sich, dass sie in dieser Form dort standen, als \
        die Wurzel unterzeichnet wurde, und zu jedem Anker außerhalb, dass sie damals schon dort standen; nicht, dass alles \
        darin wahr ist, und nicht, dass es keine anderen gibt. VERIFY.md sagt, wo die Grenze liegt und was man darüber \
        hinaus verlangen kann.",
        "Ce sont les notes de la passerelle elle-même. On peut recalculer qu'elles figuraient sous cette forme lorsque la \
        racine a été signée et, pour chaque ancre extérieure, qu'elles y figuraient déjà ; non que tout ce qu'elles disent \
        est vrai, ni qu'il n'y en a pas d'autres. VERIFY.md dit où passe cette limite et que demander au-delà.";
    SIGNED_ROOT = "De ondertekende wortel", "The signed root", "Die unterzeichnete Wurzel", "La racine signée";
    ENTRY = "regel {}", "entry {}", "Eintrag {}", "entrée {}";

    CONFIG = "De geldende regels werden vastgelegd ({})", "The rules in force were recorded ({})",
        "Die geltenden Regeln wurden festgehalten ({})", "Les règles en vigueur ont été consignées ({})";
    KEY = "Een sleutel kwam in gebruik: {}", "A key came into use: {}", "Ein Schlüssel kam in Gebrauch: {}",
        "Une clé est entrée en usage : {}";
    TEXT = "De tekst waarmee om toestemming werd gevraagd", "The text by which consent was asked for",
        "Der Text, mit dem um Einwilligung gebeten wurde", "Le texte par lequel le consentement a été demandé";
    REQUESTED = "{} vroeg om een bevestiging te krijgen", "{} asked to be sent a confirmation",
        "{} bat um eine Bestätigung", "{} a demandé à recevoir une confirmation";
    GRANTED = "{} gaf toestemming", "{} gave consent", "{} willigte ein", "{} a donné son consentement";
    CONFIRMED = "{} bevestigde de toestemming", "{} confirmed the consent", "{} bestätigte die Einwilligung",
        "{} a confirmé son consentement";
    WITHDREW = "{} trok de toestemming in", "{} withdrew the consent", "{} widerrief die Einwilligung",
        "{} a retiré son consentement";
    CORRECT = "Een toestemming van {} was bij vergissing vastgelegd", "A consent of {} had been recorded by mistake",
        "Eine Einwilligung von {} war irrtümlich festgehalten worden",
        "Un consentement de {} avait été consigné par erreur";
    EXPIRED = "De toestemming van {} kreeg een einde", "The consent of {} was given an end",
        "Die Einwilligung von {} bekam ein Ende", "Le consentement de {} a reçu une fin";
    TAKEN_OVER = "De toestemming van {} werd overgenomen uit een ander systeem",
        "The consent of {} was taken over from another tool", "Die Einwilligung von {} wurde aus einem anderen System übernommen",
        "Le consentement de {} a été repris d'un autre outil";
    EVIDENCE_KEPT = "Er is een bestand bewaard dat de toestemming van {} laat zien",
        "A file was kept that shows the consent of {}", "Eine Datei wurde aufbewahrt, die die Einwilligung von {} zeigt",
        "Un fichier a été conservé qui montre le consentement de {}";
    FILE_HERE = "het bestand", "the file", "die Datei", "le fichier";
    FILE_MISSING = "dit bestand kon niet worden bijgevoegd", "this file could not be put in",
        "diese Datei konnte nicht beigelegt werden", "ce fichier n'a pas pu être joint";
    UNDELIVERABLE = "De mailbox van {} werd vastgelegd als een die niet werkt",
        "The mailbox of {} was recorded as one that does not work",
        "Das Postfach von {} wurde als nicht funktionierend festgehalten",
        "La boîte de {} a été consignée comme ne fonctionnant pas";
    RELATION = "{} werd als klant vastgelegd", "{} was recorded as a customer", "{} wurde als Kunde festgehalten",
        "{} a été consigné comme client";
    PUBLISHED = "{} werd vastgelegd als bekendgemaakt om op gemaild te worden",
        "{} was recorded as published for being mailed", "{} wurde als für Zusendungen veröffentlicht festgehalten",
        "{} a été consignée comme publiée pour recevoir des envois";
    IMPORT_BEGUN = "Het bestand {} stond op het punt te worden ingelezen", "The file {} was about to be taken in",
        "Die Datei {} sollte eingelesen werden", "Le fichier {} allait être importé";
    IMPORT_ENDED = "Een bestand werd ingelezen", "A file was taken in", "Eine Datei wurde eingelesen",
        "Un fichier a été importé";
    TAKEN_BACK = "Een gegeven ({}) van {} werd met zijn import teruggenomen",
        "A fact ({}) of {} was taken back with its import",
        "Eine Angabe ({}) zu {} wurde mit ihrem Import zurückgenommen",
        "Une donnée ({}) de {} a été annulée avec son importation";
    IMPORT_UNDONE = "Een import werd ongedaan gemaakt", "An import was undone", "Ein Import wurde rückgängig gemacht",
        "Une importation a été annulée";
    SUPPRESSED = "{} kwam op de lijst van wie geen reclame krijgt",
        "{} was put on the list of those who get no marketing",
        "{} kam auf die Liste derer, die keine Werbung bekommen",
        "{} a été ajouté à la liste de ceux qui ne reçoivent pas de prospection";
    UNSUBSCRIBED = "{} meldde zich af", "{} unsubscribed", "{} meldete sich ab", "{} s'est désabonné";
    CORRECTED = "{} nam een afmelding terug die een vergissing was", "{} took back an unsubscribe made by mistake",
        "{} nahm eine versehentliche Abmeldung zurück", "{} a annulé un désabonnement fait par erreur";
    EXPLAINED = "{} zei waarom", "{} said why", "{} sagte, warum", "{} a dit pourquoi";
    TOLD = "{} ({}) kreeg bericht van regel {}", "{} ({}) was told of entry {}",
        "{} ({}) wurde von Eintrag {} unterrichtet", "{} ({}) a été informé de l'entrée {}";
    NOT_TOLD = "{} ({}) kon geen bericht krijgen van regel {}", "{} ({}) could not be told of entry {}",
        "{} ({}) konnte von Eintrag {} nicht unterrichtet werden", "{} ({}) n'a pas pu être informé de l'entrée {}";
    NOT_NEEDED = "{} ({}) hoefde geen bericht te krijgen", "{} ({}) had not to be told",
        "{} ({}) musste nicht unterrichtet werden", "{} ({}) n'avait pas à être informé";
    RETURNED = "Een bericht aan {} kwam terug", "A message to {} came back", "Eine Nachricht an {} kam zurück",
        "Un message à {} est revenu";
    UNBLOCKED = "{} blijkt toch te werken", "{} works after all", "{} funktioniert doch", "{} fonctionne finalement";
    IGNORED = "Een automatische mail over een bericht aan {} veranderde niets",
        "An automatic mail about a message to {} changed nothing",
        "Eine automatische Mail zu einer Nachricht an {} änderte nichts",
        "Un courriel automatique au sujet d'un message à {} n'a rien changé";
    WAITED = "Een mail aan het afmeldadres wachtte op een mens", "A mail to the unsubscribe address waited for a person",
        "Eine Mail an die Abmeldeadresse wartete auf einen Menschen",
        "Un courriel à l'adresse de désabonnement attendait une personne";
    ANSWERED = "De mail van regel {} werd beantwoord", "The mail of entry {} was answered",
        "Die Mail von Eintrag {} wurde beantwortet", "Le courriel de l'entrée {} a reçu sa réponse";
    ADMITTED = "Een bericht ({}) werd toegelaten", "A message ({}) was admitted", "Eine Nachricht ({}) wurde zugelassen",
        "Un message ({}) a été admis";
    SENT_ELSEWHERE = "Een bericht per {} werd als verzonden gemeld", "A message by {} was reported as sent",
        "Eine Nachricht per {} wurde als gesendet gemeldet", "Un message par {} a été signalé comme envoyé";
    REFUSED = "De gateway weigerde te versturen", "The gateway refused to send",
        "Das Gateway weigerte sich zu senden", "La passerelle a refusé d'envoyer";
    RELAYED = "De ontvangende kant nam het bericht aan", "The receiving side accepted the message",
        "Die empfangende Seite nahm die Nachricht an", "Le côté destinataire a accepté le message";
    BOUNCED = "De ontvangende kant weigerde het bericht voorgoed",
        "The message was refused for good by the receiving side",
        "Die empfangende Seite lehnte die Nachricht endgültig ab",
        "Le côté destinataire a refusé définitivement le message";
    DELAYED = "Het bericht kon nog niet worden bezorgd", "The message could not be delivered yet",
        "Die Nachricht konnte noch nicht zugestellt werden", "Le message n'a pas encore pu être remis";
    IN_DOUBT = "Het is niet bekend of het bericht aankwam", "It is not known whether the message arrived",
        "Ob die Nachricht ankam, ist nicht bekannt", "On ignore si le message est arrivé";
    CANCELLED = "Het bericht werd geannuleerd voordat het uitging", "The message was cancelled before it went out",
        "Die Nachricht wurde storniert, bevor sie hinausging", "Le message a été annulé avant son envoi";
    NOTICE = "Een mededeling ({}) ging naar {}", "A notice ({}) was sent to {}", "Eine Mitteilung ({}) ging an {}",
        "Un avis ({}) a été envoyé à {}";
    HELD = "Een bewaarplicht werd opgelegd", "A legal hold was put on", "Eine Aufbewahrungspflicht wurde verhängt",
        "Une obligation de conservation a été imposée";
    RELEASED = "Een bewaarplicht eindigde", "A legal hold ended", "Eine Aufbewahrungspflicht endete",
        "Une obligation de conservation a pris fin";
    PURGED = "Regels werden gewist: hun tijd was voorbij", "Entries were purged: their time had passed",
        "Einträge wurden gelöscht: ihre Frist war abgelaufen", "Des entrées ont été purgées : leur délai était écoulé";
    ERASED = "Gegevens van een persoon werden op verzoek gewist", "Data of a person were erased on request",
        "Daten einer Person wurden auf Verlangen gelöscht", "Les données d'une personne ont été effacées à sa demande";
    ANCHORED = "Een controlepunt ging naar buiten", "A checkpoint was sent outside",
        "Ein Kontrollpunkt wurde nach außen gegeben", "Un point de contrôle a été déposé à l'extérieur";
    ANCHOR_MISSED = "Een controlepunt kon niet naar buiten", "A checkpoint could not be sent outside",
        "Ein Kontrollpunkt konnte nicht nach außen gegeben werden",
        "Un point de contrôle n'a pas pu être déposé à l'extérieur";
    CHECKPOINT = "De wortel over {} regels werd ondertekend", "The root over {} entries was signed",
        "Die Wurzel über {} Einträge wurde unterzeichnet", "La racine sur {} entrées a été signée";

    RULES = "regels", "rules", "Regeln", "règles";
    PROGRAM = "programma", "program", "Programm", "programme";
    PUBLIC_KEY = "openbare sleutel", "public key", "öffentlicher Schlüssel", "clé publique";
    WORDING = "tekst", "text", "Text", "texte";
    FOR = "voor", "for", "für", "pour";
    GIVEN_AT = "op", "at", "am", "le";
    BY_ACT = "door", "by", "durch", "par";
    TEXT_SHOWN = "getoonde tekst", "text shown", "gezeigter Text", "texte affiché";
    PRIVACY = "privacytekst", "privacy text", "Datenschutztext", "texte de confidentialité";
    WHERE = "waar", "where", "wo", "où";
    KNOWN_FROM = "bekend uit", "known from", "bekannt aus", "connu par";
    OF = "van", "of", "von", "de";
    BOUGHT = "kocht", "bought", "kaufte", "a acheté";
    LAST_ON = "{}, laatst op {}", "{}, last on {}", "{}, zuletzt am {}", "{}, en dernier le {}";
    OPT_OUT_OFFERED = "afmelden aangeboden", "opt-out offered", "Widerspruch angeboten", "opposition proposée";
    YES = "ja", "yes", "ja", "oui";
    NO = "nee", "no", "nein", "non";
    PUBLISHED_AT = "bekendgemaakt op", "published at", "veröffentlicht auf", "publiée sur";
    CAPTURED = "{}, vastgelegd op {}", "{}, captured {}", "{}, erfasst am {}", "{}, relevée le {}";
    SENTENCE = "zin", "sentence", "Satz", "phrase";
    PAGE = "pagina", "page", "Seite", "page";
    REVIEW_BY = "nakijken voor", "review by", "zu prüfen bis", "à revoir avant le";
    IMPORT = "import", "import", "Import", "importation";
    READ_AS = "{}, gelezen als {}, tijden in {}", "{}, read as {}, times in {}", "{}, gelesen als {}, Zeiten in {}",
        "{}, lu comme {}, heures de {}";
    FILE = "bestand", "file", "Datei", "fichier";
    OCTETS = "{} octetten, SHA-256 {}", "{} octets, SHA-256 {}", "{} Oktette, SHA-256 {}", "{} octets, SHA-256 {}";
    ATTESTED = "verklaard", "attested", "bestätigt", "attesté";
    ROWS = "rijen", "rows", "Zeilen", "lignes";
    ROW_COUNTS = "{} toegevoegd, {} waren er al, {} afgekeurd", "{} added, {} already there, {} rejected",
        "{} aufgenommen, {} schon vorhanden, {} abgelehnt", "{} ajoutées, {} déjà là, {} rejetées";
    FACTS = "gegevens", "facts", "Angaben", "données";
    FACT_COUNTS = "{} teruggenomen, {} afmeldingen behouden", "{} taken back, {} opt-outs kept",
        "{} zurückgenommen, {} Abmeldungen behalten", "{} annulées, {} oppositions conservées";
    SENDER = "afzender", "sender", "Absender", "expéditeur";
    REASON = "reden", "reason", "Grund", "motif";
    SOURCE = "bron", "source", "Quelle", "source";
    FROM = "van", "from", "von", "de";
    EVERYTHING = "alle reclame van {}", "everything commercial from {}", "alle Werbung von {}",
        "toute prospection de {}";
    IP = "IP-adres", "IP address", "IP-Adresse", "adresse IP";
    THE_UNSUBSCRIBE = "de afmelding bij {} van {}", "the unsubscribe from {} at {}", "die Abmeldung bei {} vom {}",
        "le désabonnement de {} du {}";
    WHY = "waarom", "why", "warum", "pourquoi";
    ANSWER = "antwoord", "answer", "Antwort", "réponse";
    NO_MAILBOX = "zo'n postvak is er niet", "no such mailbox", "kein solches Postfach", "aucune boîte de ce nom";
    MAY_WORK = "het kan nog lukken", "it may still work", "es kann noch gelingen", "cela peut encore aboutir";
    FAR_SERVER = "de andere server", "the far server", "der ferne Server", "le serveur distant";
    SUBJECT = "onderwerp", "subject", "Betreff", "objet";
    DONE = "wat er werd gedaan", "what was done", "was getan wurde", "ce qui a été fait";
    TRIES = "pogingen", "tries", "Versuche", "essais";
    ENVELOPE = "envelopafzender", "envelope sender", "Umschlagabsender", "expéditeur d'enveloppe";
    SAID = "gezegd tegen wie het aanbood", "said to whoever handed it over", "gesagt zu dem, der sie übergab",
        "dit à qui l'a remis";
    COPY = "exemplaar", "copy", "Exemplar", "exemplaire";
    SENT_AT = "verzonden", "sent at", "gesendet", "envoyé";
    WHAT = "wat", "what", "was", "quoi";
    ROOT = "wortel", "root", "Wurzel", "racine";
    RECIPIENTS = "ontvangers", "recipients", "Empfänger", "destinataires";
    BEHALF = "namens", "on behalf of", "im Namen von", "au nom de";
    PURPOSE = "doel", "purpose", "Zweck", "finalité";
    MADE_WITH = "gemaakt met", "made with", "erstellt mit", "créé avec";
    RULE = "regel", "rule", "Regel", "règle";
    NO_RULE = "geen enkele paste: als reclame behandeld", "none matched: treated as marketing",
        "keine passte: als Werbung behandelt", "aucune ne s'appliquait : traité comme prospection";
    SIZE = "{}, {} octetten, SHA-256 {}", "{}, {} octets, SHA-256 {}", "{}, {} Oktette, SHA-256 {}",
        "{}, {} octets, SHA-256 {}";
    AS_SENT = "zoals verzonden", "as it was sent", "wie gesendet", "tel qu'envoyé";
    ITS_HEADER = "de kop ervan", "its header", "ihr Kopf", "son en-tête";
    EDITED = "bewerkt", "edited", "bearbeitet", "modifié";
    SIGNED_BY = "ondertekend met", "signed by", "signiert mit", "signé par";
    HANDED_BY = "aangeboden door", "handed over by", "übergeben von", "remis par";
    HANDED = "{} vanaf {}, {}, sessie {}", "{} from {}, {}, session {}", "{} von {}, {}, Sitzung {}",
        "{} depuis {}, {}, session {}";
    TRUSTED = "een vertrouwd netwerk", "a trusted network", "ein vertrautes Netz", "un réseau de confiance";
    NO_TLS = "zonder TLS", "without TLS", "ohne TLS", "sans TLS";
    TRY = "poging", "try", "Versuch", "essai";

    AS_HANDED = "zoals aangeboden", "as handed over", "wie übergeben", "tel que remis";
    LINK = "afmeldlink", "unsubscribe link", "Abmeldelink", "lien de désabonnement";
    NEXT_HOP = "bestemd voor server", "meant for server", "bestimmt für Server", "destiné au serveur";
    RESTS_ON = "steunt op regel", "rests on entry", "beruht auf Eintrag", "repose sur l'entrée";
    PRE_TICKED = "vooraf aangevinkt", "ticked beforehand", "vorab angekreuzt", "coché d'avance";
    BUNDLED = "deel van voorwaarden", "part of terms", "Teil von Bedingungen", "inclus dans des conditions";
    LEARNED_AT = "bij de gateway bekend sinds", "known to the gateway since", "dem Gateway bekannt seit",
        "connu de la passerelle depuis";
    GIVEN_IN_SALE = "adres gegeven bij de verkoop", "address given in the sale", "Adresse beim Verkauf gegeben",
        "adresse donnée lors de la vente";
    NOBODY_VOUCHES = "geen eerdere sleutel staat ervoor in", "no earlier key vouches for it",
        "kein früherer Schlüssel bürgt dafür", "aucune clé antérieure ne la garantit";

    BY_CONSENT = "toestemming van graad {}, gegeven op {}", "consent of grade {}, given on {}",
        "Einwilligung vom Grad {}, gegeben am {}", "consentement de degré {}, donné le {}";
    BY_CUSTOMER = "klant: kocht {}, laatst op {}", "customer: bought {}, last on {}",
        "Kunde: kaufte {}, zuletzt am {}", "client : a acheté {}, en dernier le {}";
    BY_PUBLISHED = "adres daarvoor bekendgemaakt op {}, vastgelegd op {}",
        "address published for this at {}, captured {}", "Adresse dafür veröffentlicht auf {}, erfasst am {}",
        "adresse publiée à cette fin sur {}, relevée le {}";
    BY_ALLOWED = "toegestaan door de regel {}: {}", "allowed by the rule {}: {}", "erlaubt durch die Regel {}: {}",
        "autorisé par la règle {} : {}";
    BY_NOTHING = "geen reclame: geen grondslag nodig", "no marketing: no basis is needed",
        "keine Werbung: keine Grundlage nötig", "pas de prospection : aucun fondement requis";
    BY_MISSING = "geen grondslag vastgelegd", "no basis on record", "keine Grundlage festgehalten",
        "aucun fondement consigné";
    OBSERVED = "(alleen waargenomen: bij handhaving geweigerd, {})",
        "(observing only: enforcement would have refused, {})",
        "(nur beobachtet: bei Durchsetzung abgelehnt, {})", "(observation seule : aurait été refusé, {})";

    LAW_CONSENT = "Telecommunicatiewet art. 11.7 lid 1 en AVG art. 4(11) en 7: reclame per e-mail vraagt voorafgaande, \
        vrije, specifieke, geïnformeerde en actieve toestemming, en de afzender moet die kunnen aantonen.",
        "Telecommunicatiewet art. 11.7(1) and GDPR art. 4(11), 7: commercial mail needs prior, free, specific, informed \
        and active consent, and the sender must be able to show it.",
        "Telecommunicatiewet Art. 11.7 Abs. 1 und DSGVO Art. 4 Nr. 11, Art. 7: Werbung per E-Mail braucht vorherige, \
        freie, bestimmte, informierte und aktive Einwilligung, und der Absender muss sie nachweisen können.",
        "Telecommunicatiewet art. 11.7(1) et RGPD art. 4(11) et 7 : la prospection par courriel exige un consentement \
        préalable, libre, spécifique, éclairé et actif, et l'expéditeur doit pouvoir le démontrer.";
    LAW_CUSTOMER = "Telecommunicatiewet art. 11.7 lid 3: klanten mogen worden gemaild over soortgelijke producten van \
        dezelfde verkoper, als zij bezwaar konden maken toen het adres werd verkregen en in elk bericht.",
        "Telecommunicatiewet art. 11.7(3): customers may be mailed about similar products of the same seller, if they \
        could object when the address was taken and in every message.",
        "Telecommunicatiewet Art. 11.7 Abs. 3: Kunden darf zu ähnlichen Produkten desselben Verkäufers geschrieben \
        werden, wenn sie bei der Erhebung der Adresse und in jeder Nachricht widersprechen konnten.",
        "Telecommunicatiewet art. 11.7(3) : les clients peuvent recevoir des envois sur des produits analogues du même \
        vendeur s'ils ont pu s'y opposer à la collecte de l'adresse et dans chaque message.";
    LAW_BY_CONSENT = "Telecommunicatiewet art. 11.7 lid 1: verzonden met voorafgaande toestemming. Lid 4: het bericht \
        noemt zijn afzender en biedt een manier om het te stoppen.",
        "Telecommunicatiewet art. 11.7(1): sent with prior consent. Art. 11.7(4): the message names its sender and carries \
        a way to stop it.",
        "Telecommunicatiewet Art. 11.7 Abs. 1: mit vorheriger Einwilligung gesendet. Abs. 4: die Nachricht nennt ihren \
        Absender und bietet einen Weg, sie abzubestellen.",
        "Telecommunicatiewet art. 11.7(1) : envoyé avec consentement préalable. Art. 11.7(4) : le message nomme son \
        expéditeur et offre un moyen d'y mettre fin.";
    LAW_BY_CUSTOMER = "Telecommunicatiewet art. 11.7 lid 3: verzonden aan een klant, over soortgelijke producten. Lid 4: \
        het bericht noemt zijn afzender en biedt een manier om het te stoppen.",
        "Telecommunicatiewet art. 11.7(3): sent to a customer, about similar products. Art. 11.7(4): the message names its \
        sender and carries a way to stop it.",
        "Telecommunicatiewet Art. 11.7 Abs. 3: an einen Kunden gesendet, zu ähnlichen Produkten. Abs. 4: die Nachricht \
        nennt ihren Absender und bietet einen Weg, sie abzubestellen.",
        "Telecommunicatiewet art. 11.7(3) : envoyé à un client, sur des produits analogues. Art. 11.7(4) : le message nomme \
        son expéditeur et offre un moyen d'y mettre fin.";
    LAW_BY_PUBLISHED = "Telecommunicatiewet art. 11.7 lid 2: verzonden naar een adres dat daarvoor was bekendgemaakt.",
        "Telecommunicatiewet art. 11.7(2): sent to an address that was published for this purpose.",
        "Telecommunicatiewet Art. 11.7 Abs. 2: an eine Adresse gesendet, die dafür veröffentlicht war.",
        "Telecommunicatiewet art. 11.7(2) : envoyé à une adresse publiée à cette fin.";
    LAW_REFUSED = "Telecommunicatiewet art. 11.7 lid 1: zonder grondslag die kan worden aangetoond werd niets verzonden.",
        "Telecommunicatiewet art. 11.7(1): without a basis that can be shown, nothing was sent.",
        "Telecommunicatiewet Art. 11.7 Abs. 1: ohne nachweisbare Grundlage wurde nichts gesendet.",
        "Telecommunicatiewet art. 11.7(1) : sans fondement démontrable, rien n'a été envoyé.";
    LAW_STOP = "Telecommunicatiewet art. 11.7 lid 4 en AVG art. 7(3) en 21(2): bezwaar maken is gratis en makkelijk, en \
        werkt meteen.",
        "Telecommunicatiewet art. 11.7(4) and GDPR art. 7(3), 21(2): objecting is free and easy, and works at once.",
        "Telecommunicatiewet Art. 11.7 Abs. 4 und DSGVO Art. 7 Abs. 3, Art. 21 Abs. 2: der Widerspruch ist kostenlos und \
        einfach und wirkt sofort.",
        "Telecommunicatiewet art. 11.7(4) et RGPD art. 7(3) et 21(2) : s'opposer est gratuit et facile, avec effet immédiat.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_languages_say_all_and_have_the_same_places() {
        for words in ALL {
            let places = |text: &str| text.matches("{}").count();
            for one in words {
                assert!(!one.is_empty() && places(one) == places(words[1]), "{words:?}");
            }
        }
        assert_eq!(
            Tongue(Language::Fr).with(&TOLD, &[&"crm", &"webhook", &7]),
            "crm (webhook) a été informé de l'entrée 7"
        );
        // What stands in a value is not looked at.
        assert_eq!(Tongue(Language::En).with(&LAST_ON, &[&"{}", &"x"]), "{}, last on x");
    }
}
