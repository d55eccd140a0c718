//! The words of the pages, in four languages. `{sender}` and `{purpose}` stand where the page puts the two names.

use crate::mail::Language;

/// What the pages say.
#[derive(Debug)]
pub(super) struct Words {
    /// Heading of the form.
    pub sign_up: &'static str,
    /// Beside the field for the address.
    pub email: &'static str,
    /// Beside the field that nobody sees.
    pub trap: &'static str,
    /// The link to the privacy text.
    pub privacy: &'static str,
    /// What happens next, under the form.
    pub next: &'static str,
    /// The word on the button of the form.
    pub send: &'static str,
    /// Heading once the form was sent in.
    pub look: &'static str,
    /// What to do now.
    pub look_text: &'static str,
    /// If nothing comes.
    pub nothing: &'static str,
    /// Heading of the page with the button.
    pub confirm: &'static str,
    /// Above the consent text.
    pub agree: &'static str,
    /// Who it is about; before the address.
    pub about: &'static str,
    /// The word on the button.
    pub yes: &'static str,
    /// Under the button.
    pub no: &'static str,
    /// Heading once it is confirmed.
    pub done: &'static str,
    /// What that means.
    pub done_text: &'static str,
    /// Heading of a link that is too old.
    pub expired: &'static str,
    /// What to do about it.
    pub expired_text: &'static str,
    /// Heading when the address left meanwhile.
    pub barred: &'static str,
    /// What to do about it.
    pub barred_text: &'static str,
    /// Heading when it was not taken.
    pub wrong: &'static str,
    /// The field holds no address.
    pub wrong_address: &'static str,
    /// The box was not ticked.
    pub not_ticked: &'static str,
    /// The form shows another text.
    pub outdated: &'static str,
    /// The form is somebody else's.
    pub elsewhere: &'static str,
    /// Too often.
    pub too_many: &'static str,
    /// It could not be recorded.
    pub failed: &'static str,
    /// Before the contact address.
    pub questions: &'static str,
}

/// The words of `language`.
pub(super) fn words(language: Language) -> &'static Words {
    language.of([&NL, &EN, &DE, &FR])
}

const NL: Words = Words {
    sign_up: "Aanmelden: {purpose}",
    email: "E-mailadres",
    trap: "Laat dit veld leeg",
    privacy: "Privacyverklaring",
    next: "U krijgt een e-mail met een link. Pas als u daarmee bevestigt, bent u aangemeld.",
    send: "Aanmelden",
    look: "Kijk nu in uw e-mail",
    look_text: "Als wij dit adres mogen mailen, ligt daar nu een bericht van {sender} met een link. Pas als u op die link \
                klikt en bevestigt, bent u aangemeld. U kunt deze pagina sluiten.",
    nothing: "Niets ontvangen? Kijk bij de ongewenste e-mail en of het adres klopt. Wie al is aangemeld, of zich \
              eerder bij {sender} afmeldde, krijgt geen bericht; schrijf dan naar het adres hieronder.",
    confirm: "Bevestig uw aanmelding",
    agree: "Met de knop zegt u ja tegen deze tekst:",
    about: "Dit gaat over het e-mailadres",
    yes: "Ja, ik bevestig",
    no: "Hebt u zich niet aangemeld? Dan hoeft u niets te doen: zonder bevestiging krijgt u geen e-mail.",
    done: "U bent aangemeld",
    done_text: "Uw aanmelding voor “{purpose}” van {sender} is bevestigd. Afmelden kan altijd, met de link in elke e-mail. \
                U kunt deze pagina sluiten.",
    expired: "Deze link is verlopen",
    expired_text: "Een aanmelding moet binnen de genoemde tijd worden bevestigd. Vul het formulier opnieuw in; dan krijgt u \
                   een nieuwe link.",
    barred: "Er is niets veranderd",
    barred_text: "Voor dit adres is e-mail van {sender} inmiddels stopgezet, en dat gaat voor. Wilt u toch e-mail ontvangen, \
                  schrijf dan naar het adres hieronder.",
    wrong: "Het is nog niet gelukt",
    wrong_address: "Dit is geen e-mailadres. Ga terug en vul een adres in zoals naam@voorbeeld.nl.",
    not_ticked: "Het vakje voor de toestemming is niet aangevinkt. Ga terug en vink het aan, als u akkoord bent.",
    outdated: "Dit formulier is niet meer actueel. Laad de pagina opnieuw; helpt dat niet, meld het dan op het adres \
               hieronder.",
    elsewhere: "Dit formulier staat op een website die daar niet voor is aangewezen.",
    too_many: "Er zijn nu te veel aanmeldingen. Probeer het over een uur opnieuw.",
    failed: "Het kon niet worden vastgelegd. Probeer het over een paar minuten opnieuw.",
    questions: "Vragen?",
};

const EN: Words = Words {
    sign_up: "Sign up: {purpose}",
    email: "Email address",
    trap: "Leave this field empty",
    privacy: "Privacy statement",
    next: "You will get an email with a link. You are signed up only once you confirm with it.",
    send: "Sign up",
    look: "Now look at your email",
    look_text: "If we may mail this address, a message from {sender} with a link is there now. You are signed up only once \
                you follow the link and confirm. You can close this page.",
    nothing: "Nothing there? Look in the junk folder, and whether the address is right. Whoever is signed up already, or \
              unsubscribed from {sender} before, gets no message; please write to the address below.",
    confirm: "Confirm that you sign up",
    agree: "With the button you say yes to this text:",
    about: "This is about the email address",
    yes: "Yes, I confirm",
    no: "You did not sign up? Then there is nothing to do: without confirmation you get no email.",
    done: "You are signed up",
    done_text: "You have signed up for “{purpose}” from {sender}. You can unsubscribe at any time, with the link in every \
                email. You can close this page.",
    expired: "This link has expired",
    expired_text: "Signing up has to be confirmed within the time that the message says. Fill in the form again, and you get \
                   a new link.",
    barred: "Nothing was changed",
    barred_text: "Email from {sender} to this address has been stopped in the meantime, and that comes first. To get email \
                  all the same, please write to the address below.",
    wrong: "That did not work yet",
    wrong_address: "This is no email address. Go back and fill in one such as name@example.com.",
    not_ticked: "The box for your consent is not ticked. Go back and tick it, if you agree.",
    outdated: "This form is out of date. Load the page again; if that does not help, please tell the address below.",
    elsewhere: "This form is on a website that it was not made for.",
    too_many: "Too many people are signing up at this moment. Please try again in an hour.",
    failed: "It could not be recorded. Please try again in a few minutes.",
    questions: "Questions?",
};

const DE: Words = Words {
    sign_up: "Anmelden: {purpose}",
    email: "E-Mail-Adresse",
    trap: "Dieses Feld leer lassen",
    privacy: "Datenschutzerklärung",
    next: "Sie erhalten eine E-Mail mit einem Link. Erst wenn Sie damit bestätigen, sind Sie angemeldet.",
    send: "Anmelden",
    look: "Sehen Sie jetzt in Ihre E-Mails",
    look_text: "Wenn wir an diese Adresse schreiben dürfen, liegt dort jetzt eine Nachricht von {sender} mit einem Link. Erst \
                wenn Sie dem Link folgen und bestätigen, sind Sie angemeldet. Sie können diese Seite schließen.",
    nothing: "Nichts erhalten? Sehen Sie im Spam-Ordner nach, und ob die Adresse stimmt. Wer schon angemeldet ist oder sich \
              früher von {sender} abgemeldet hat, erhält keine Nachricht; schreiben Sie dann an die Adresse unten.",
    confirm: "Bestätigen Sie Ihre Anmeldung",
    agree: "Mit der Schaltfläche sagen Sie Ja zu diesem Text:",
    about: "Es geht um die E-Mail-Adresse",
    yes: "Ja, ich bestätige",
    no: "Sie haben sich nicht angemeldet? Dann müssen Sie nichts tun: Ohne Bestätigung erhalten Sie keine E-Mail.",
    done: "Sie sind angemeldet",
    done_text: "Ihre Anmeldung für „{purpose}“ von {sender} ist bestätigt. Abmelden können Sie sich jederzeit, mit dem Link in \
                jeder E-Mail. Sie können diese Seite schließen.",
    expired: "Dieser Link ist abgelaufen",
    expired_text: "Eine Anmeldung muss in der genannten Zeit bestätigt werden. Füllen Sie das Formular noch einmal aus; dann \
                   erhalten Sie einen neuen Link.",
    barred: "Es wurde nichts geändert",
    barred_text: "E-Mail von {sender} an diese Adresse wurde inzwischen gestoppt, und das geht vor. Möchten Sie trotzdem \
                  E-Mail erhalten, schreiben Sie an die Adresse unten.",
    wrong: "Das hat noch nicht geklappt",
    wrong_address: "Das ist keine E-Mail-Adresse. Gehen Sie zurück und geben Sie eine ein wie name@beispiel.de.",
    not_ticked: "Das Kästchen für die Einwilligung ist nicht angekreuzt. Gehen Sie zurück und kreuzen Sie es an, wenn Sie \
                 einverstanden sind.",
    outdated: "Dieses Formular ist nicht mehr aktuell. Laden Sie die Seite neu; hilft das nicht, melden Sie es bitte an die \
               Adresse unten.",
    elsewhere: "Dieses Formular steht auf einer Website, die dafür nicht vorgesehen ist.",
    too_many: "Im Moment melden sich zu viele an. Bitte versuchen Sie es in einer Stunde noch einmal.",
    failed: "Es konnte nicht festgehalten werden. Bitte versuchen Sie es in einigen Minuten noch einmal.",
    questions: "Fragen?",
};

const FR: Words = Words {
    sign_up: "Inscription : {purpose}",
    email: "Adresse e-mail",
    trap: "Laissez ce champ vide",
    privacy: "Politique de confidentialité",
    next: "Vous recevrez un e-mail avec un lien. Vous ne serez inscrit qu’après avoir confirmé.",
    send: "S’inscrire",
    look: "Consultez maintenant vos e-mails",
    look_text: "Si nous pouvons écrire à cette adresse, un message de {sender} avec un lien s’y trouve maintenant. Vous ne serez \
                inscrit qu’après avoir suivi ce lien et confirmé. Vous pouvez fermer cette page.",
    nothing: "Rien reçu ? Regardez dans les indésirables et vérifiez l’adresse. Qui est déjà inscrit, ou s’est désabonné de \
              {sender} auparavant, ne reçoit pas de message ; écrivez alors à l’adresse ci-dessous.",
    confirm: "Confirmez votre inscription",
    agree: "Avec le bouton, vous dites oui à ce texte :",
    about: "Cela concerne l’adresse e-mail",
    yes: "Oui, je confirme",
    no: "Vous ne vous êtes pas inscrit ? Vous n’avez rien à faire : sans confirmation, vous ne recevrez pas d’e-mail.",
    done: "Vous êtes inscrit",
    done_text: "Votre inscription à « {purpose} » de {sender} est confirmée. Vous pouvez vous désabonner à tout moment, avec le \
                lien de chaque e-mail. Vous pouvez fermer cette page.",
    expired: "Ce lien a expiré",
    expired_text: "Une inscription doit être confirmée dans le délai indiqué. Remplissez de nouveau le formulaire : vous recevrez \
                   un nouveau lien.",
    barred: "Rien n’a été modifié",
    barred_text: "Les e-mails de {sender} à cette adresse ont été arrêtés entre-temps, et cela prime. Pour en recevoir malgré \
                  tout, écrivez à l’adresse ci-dessous.",
    wrong: "Cela n’a pas encore abouti",
    wrong_address: "Ce n’est pas une adresse e-mail. Revenez en arrière et saisissez-en une comme nom@exemple.fr.",
    not_ticked: "La case du consentement n’est pas cochée. Revenez en arrière et cochez-la si vous êtes d’accord.",
    outdated: "Ce formulaire n’est plus à jour. Rechargez la page ; si cela n’aide pas, signalez-le à l’adresse ci-dessous.",
    elsewhere: "Ce formulaire se trouve sur un site pour lequel il n’a pas été fait.",
    too_many: "Il y a trop d’inscriptions en ce moment. Veuillez réessayer dans une heure.",
    failed: "La demande n’a pas pu être enregistrée. Veuillez réessayer dans quelques minutes.",
    questions: "Des questions ?",
};
