//! Reads a mail that came to the unsubscribe address: a wish, a complaint, a returned message, or nothing of
//! the kind (RULES P9, P14). Reads only; what follows from it is the mailroom's.

// Long because what a mail is, what it says and who vouches for it are read from the same few fields, and a third
// of it is the tests with mails of each kind.

use mail_parser::{Message, MessageParser};

use super::report::{self, Failure};
use super::wish;
use crate::mail::Address;

/// Texts in a mail that may be tokens: more are not looked at (promise 10).
const CANDIDATES: usize = 64;
/// Shortest text that can be a token.
const SHORTEST: usize = 60;
/// Message-IDs that are looked up.
const REFERENCES: usize = 8;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// What it is.
    pub kind: Kind,
    /// What may be tokens of ours, the likeliest first.
    pub tokens: Vec<String>,
    /// Who says it is from them.
    pub from: Option<Address>,
    /// Whether they can be believed: a server that the config trusts has checked.
    pub credible: bool,
    /// Whether there is one From field with one address in it, so that whoever signed it means that one.
    pub one_from: bool,
    /// Message-IDs it answers, with their angle brackets.
    pub references: Vec<String>,
    /// Its subject.
    pub subject: String,
}

/// What a mail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A machine wrote it: it is nobody's wish (RULES P9).
    Automatic(&'static str),
    /// An abuse report (RFC 5965) about what a person complained of: abuse, or fraud.
    Complaint,
    /// A report that somebody wants to get no more, and does not call it abuse.
    OptOut,
    /// A report that a person has to read, for this reason.
    Unclear(&'static str),
    /// A DSN (RFC 3464) about recipients that were not reached.
    Returned(Vec<Failure>),
    /// Somebody wants to get no more; `plain` when it is said in words, and not by a token in the subject.
    Wish {
        /// Whether words say so.
        plain: bool,
    },
    /// Something else: a person has to read it.
    Other,
}

/// Read `bytes`. `null_path` says whether it came from `<>`; `trusted` are the servers whose
/// Authentication-Results are believed.
pub(super) fn read(bytes: &[u8], null_path: bool, trusted: &[String]) -> Option<Letter> {
    let message = MessageParser::default().parse(bytes)?;
    let subject = message.subject().unwrap_or_default().to_owned();
    let from = message.from().and_then(|from| from.first()).and_then(|from| from.address());
    let from = from.and_then(|from| Address::parse(from).ok());
    let fields = message.headers_raw().filter(|(name, _)| name.eq_ignore_ascii_case("from")).count();
    let one_from = fields == 1 && message.from().is_some_and(|from| from.iter().count() == 1);
    let credible = one_from && from.as_ref().is_some_and(|from| is_credible(&message, from, trusted));
    let squeezed: String = subject.split_whitespace().collect();
    let in_subject = subject.split_whitespace().chain([squeezed.as_str()]).any(looks_like_a_token);
    let kind = kind(&message, &subject, in_subject, null_path);
    let mut tokens: Vec<String> = [squeezed.as_str()]
        .into_iter()
        .chain(subject.split_whitespace())
        .filter(|word| looks_like_a_token(word))
        .map(str::to_owned)
        .collect();
    tokens.extend(links(bytes));
    tokens.truncate(CANDIDATES);
    let references = references(&message);
    Some(Letter { kind, tokens, from, credible, one_from, references, subject })
}

fn kind(message: &Message<'_>, subject: &str, token_in_subject: bool, null_path: bool) -> Kind {
    if let Some(report) = report::read(message) {
        return report;
    }
    if null_path {
        return Kind::Automatic("it came from <>");
    }
    if let Some(why) = automatic(message) {
        return Kind::Automatic(why);
    }
    if token_in_subject {
        return Kind::Wish { plain: false };
    }
    let text = message.body_text(0).unwrap_or_default();
    if wish::is_said(subject, &text) { Kind::Wish { plain: true } } else { Kind::Other }
}

/// Why a machine wrote it (RFC 3834 5).
fn automatic(message: &Message<'_>) -> Option<&'static str> {
    for (name, value) in message.headers_raw() {
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        let why = match name.as_str() {
            "auto-submitted" if !value.starts_with("no") => "it says that it was sent automatically",
            "precedence" if ["bulk", "junk", "list", "auto_reply"].contains(&value.as_str()) => {
                "it says that it was sent in bulk"
            }
            "x-autoreply" | "x-autorespond" | "x-autoresponse" | "list-id" => {
                "it says that a machine sent it"
            }
            _ => continue,
        };
        return Some(why);
    }
    None
}

fn looks_like_a_token(word: &str) -> bool {
    word.len() >= SHORTEST && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// What follows `/u/` anywhere in a mail, quoted or returned messages included; soft line breaks of
/// quoted-printable are no breaks.
fn links(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).replace("=\r\n", "").replace("=\n", "");
    let mut found: Vec<String> = Vec::new();
    for (_, rest) in text.match_indices("/u/").map(|(at, link)| (at, &text[at + link.len()..])) {
        let token: String =
            rest.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).take(2_048).collect();
        if looks_like_a_token(&token) && !found.contains(&token) {
            found.push(token);
        }
        if found.len() >= CANDIDATES {
            break;
        }
    }
    found
}

fn references(message: &Message<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for name in ["In-Reply-To", "References"] {
        let text = message.header_raw(name).unwrap_or_default();
        for id in text.split_whitespace().filter(|id| id.starts_with('<') && id.ends_with('>')) {
            if !all.iter().any(|known| known == id) && all.len() < REFERENCES {
                all.push(id.to_owned());
            }
        }
    }
    all
}

/// Whether the topmost Authentication-Results (RFC 8601) is of a server that is trusted, and says that the From
/// domain was checked. Only the topmost: whoever wrote the mail can have put others below it.
fn is_credible(message: &Message<'_>, from: &Address, trusted: &[String]) -> bool {
    let mut fields = message.headers_raw();
    let field = fields.find(|(name, _)| name.eq_ignore_ascii_case("authentication-results"));
    let Some((_, value)) = field else { return false };
    let Some(parts) = results(value) else { return false };
    let mut parts = parts.iter();
    let server = parts.next().and_then(|words| words.first());
    if !server.is_some_and(|server| trusted.iter().any(|one| server.is(one))) {
        return false;
    }
    parts.any(|words| {
        let mut properties = words.iter().filter_map(Word::property);
        let Some((method, result)) = properties.next().filter(|_| words[0].property().is_some()) else {
            return false;
        };
        let says = |known: &str| method.eq_ignore_ascii_case(known) && result.eq_ignore_ascii_case("pass");
        let value = |names: &[&str]| {
            let is_one = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
            properties.clone().find(|(name, _)| is_one(name)).map(|(_, value)| value)
        };
        if says("dmarc") {
            value(&["header.from"]).is_some_and(|of| of.eq_ignore_ascii_case(from.domain().ascii()))
        } else if says("dkim") {
            value(&["header.d", "header.i"])
                .is_some_and(|of| speaks_for(of.rsplit('@').next().unwrap_or_default(), from))
        } else {
            false
        }
    })
}

/// A word of an Authentication-Results field: what stands between white space, comments and semicolons.
#[derive(Debug, Default)]
struct Word {
    /// What it says, without quotation marks and backslashes.
    text: String,
    /// Where its first `=` outside quotation marks is.
    equals: Option<usize>,
    /// Whether any of it stood in quotation marks before a `=` did.
    quoted: bool,
}

impl Word {
    fn is(&self, text: &str) -> bool {
        self.equals.is_none() && self.text.eq_ignore_ascii_case(text)
    }

    /// `name=value`: the name is a keyword, and never in quotation marks (RFC 8601 2.2).
    fn property(&self) -> Option<(&str, &str)> {
        let at = self.equals.filter(|_| !self.quoted)?;
        Some((&self.text[..at], &self.text[at + 1..]))
    }
}

/// The words of an Authentication-Results field, in the parts that semicolons make (RFC 8601 2.2): quoted strings
/// and comments (RFC 5322 3.2.2, 3.2.4) keep what is in them to themselves. `None` when one of them has no end:
/// then nobody can tell what the server said, and what others said to it. White space and comments around `=`
/// belong to no word.
fn results(value: &str) -> Option<Vec<Vec<Word>>> {
    let mut parts = vec![Vec::new()];
    // The word that is being read, and whether white space came after it.
    let (mut word, mut ended) = (None::<Word>, false);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let piece = match c {
            '(' => {
                skip_comment(&mut chars)?;
                ended = true;
                continue;
            }
            ' ' | '\t' | '\r' | '\n' => {
                ended = true;
                continue;
            }
            // Neither stands anywhere else.
            ')' | '\\' => return None,
            ';' => {
                parts.last_mut()?.extend(word.take());
                parts.push(Vec::new());
                continue;
            }
            '"' => quoted(&mut chars)?,
            _ => c.to_string(),
        };
        let after_equals =
            word.as_ref().is_some_and(|word| word.equals == Some(word.text.len().wrapping_sub(1)));
        if ended && c != '=' && !after_equals {
            parts.last_mut()?.extend(word.take());
        }
        ended = false;
        let word = word.get_or_insert_default();
        if c == '=' && word.equals.is_none() {
            word.equals = Some(word.text.len());
        }
        word.quoted |= c == '"' && word.equals.is_none();
        word.text.push_str(&piece);
    }
    parts.last_mut()?.extend(word);
    Some(parts)
}

/// The rest of a quoted string, as it is meant; `None` when it has no end.
fn quoted(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(chars.next()?),
            // A fold is no part of it (RFC 5322 3.2.4).
            '\r' | '\n' => {}
            c => text.push(c),
        }
    }
}

/// Go past the rest of a comment and those in it; `None` when one has no end.
fn skip_comment(chars: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1usize;
    while depth > 0 {
        match chars.next()? {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => drop(chars.next()?),
            _ => {}
        }
    }
    Some(())
}

/// Whether a signature of `signer` vouches for `from`: it is of that domain, or of one above it.
pub(super) fn speaks_for(signer: &str, from: &Address) -> bool {
    let (domain, signer) = (from.domain().ascii().to_ascii_lowercase(), signer.to_ascii_lowercase());
    signer.contains('.')
        && (domain == signer || domain.strip_suffix(signer.as_str()).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "aeqaabcdefghijklmnopqrstuvwxyz234567aeqaabcdefghijklmnopqrstuvwxyz234567";

    fn kind_of(text: &str) -> Kind {
        read(text.replace('\n', "\r\n").as_bytes(), false, &[]).unwrap().kind
    }

    #[test]
    fn p9_a_token_in_the_subject_is_a_wish_however_it_was_folded() {
        for subject in
            [TOKEN.to_owned(), format!("Re: {TOKEN}"), format!("{}\n {}", &TOKEN[..30], &TOKEN[30..])]
        {
            let text = format!("From: a@b.nl\nSubject: {subject}\n\n").replace('\n', "\r\n");
            let letter = read(text.as_bytes(), false, &[]).unwrap();
            assert_eq!(letter.kind, Kind::Wish { plain: false }, "{subject}");
            assert_eq!(letter.tokens[0], TOKEN, "{subject}");
        }
    }

    #[test]
    fn p9_what_a_machine_wrote_is_nobodys_wish() {
        for header in
            ["Auto-Submitted: auto-replied", "Precedence: bulk", "X-Autoreply: yes", "List-Id: <x.y>"]
        {
            let text = format!("From: a@b.nl\nSubject: {TOKEN}\n{header}\n\nstop\n");
            assert!(matches!(kind_of(&text), Kind::Automatic(_)), "{header}");
        }
        let text = format!("From: a@b.nl\r\nSubject: {TOKEN}\r\n\r\nstop\r\n");
        assert!(matches!(read(text.as_bytes(), true, &[]).unwrap().kind, Kind::Automatic(_)), "from <>");
        assert_eq!(
            kind_of(&format!("Auto-Submitted: no\nSubject: {TOKEN}\n\n")),
            Kind::Wish { plain: false }
        );
    }

    #[test]
    fn p9_from_is_believed_only_from_the_topmost_trusted_server() {
        let trusted = ["mx.example.nl".to_owned()];
        let credible = |results: &str, from: &str| {
            let text = format!("{results}From: {from}\r\nSubject: stop\r\n\r\n");
            read(text.as_bytes(), false, &trusted).unwrap().credible
        };
        let own = "Authentication-Results: mx.example.nl; dmarc=pass (p=none) header.from=b.nl\r\n";
        let dkim = "Authentication-Results: mx.example.nl 1;\r\n spf=fail; dkim=pass header.i=@b.nl\r\n";
        let forged = "Authentication-Results: evil.example; dmarc=pass header.from=b.nl\r\n";
        assert!(credible(own, "a@b.nl") && credible(dkim, "a@b.nl") && credible(dkim, "a@news.b.nl"));
        assert!(!credible(own, "a@c.nl") && !credible(dkim, "a@evilb.nl"));
        assert!(!credible(forged, "a@b.nl") && !credible("", "a@b.nl"));
        assert!(!credible(&format!("{forged}{own}"), "a@b.nl"), "only the topmost");
        let failed = "Authentication-Results: mx.example.nl; dkim=fail (dkim=pass header.d=b.nl)\r\n";
        assert!(!credible(failed, "a@b.nl"), "a comment says nothing");
        assert!(!credible(&format!("{own}From: a@b.nl\r\n"), "a@b.nl"), "which of two?");
        assert!(!credible(own, "a@b.nl, c@b.nl"), "which of two?");
    }

    #[test]
    fn p9_what_a_quoted_string_or_a_comment_says_is_no_result() {
        let trusted = ["mx.b.nl".to_owned()];
        let credible = |results: &str| {
            let text =
                format!("Authentication-Results: {results}\r\nFrom: a@example.org\r\nSubject: stop\r\n\r\n");
            read(text.as_bytes(), false, &trusted).unwrap().credible
        };
        for believed in [
            "mx.b.nl; dmarc=pass header.from=example.org",
            "mx.b.nl; dmarc = pass (\\) ; dmarc=fail \") header.from (=x)= \"example.org\"",
            "\"mx.b.nl\" 1; spf=pass smtp.mailfrom=\"a;(b\\\"c\"@x.nl; DKIM=Pass header.i=\"a b\"@example.org",
            "mx.b.nl;\r\n\tdkim=pass (1024-bit key; unprotected) header.d=example.org\r\n\theader.b=AbC=",
            "mx.b.nl; dkim=fail header.d=x.nl; dkim=pass reason=\"a good signature\" header.d=example.org;",
        ] {
            assert!(credible(believed), "{believed}");
        }
        for not_believed in [
            "mx.b.nl; spf=pass smtp.mailfrom=\"x; dmarc=pass header.from=example.org y\"@evil.example; \
             dmarc=fail header.from=example.org",
            "mx.b.nl; spf=pass smtp.mailfrom=\"x\\\"; dmarc=pass header.from=example.org y\"@evil.example",
            "mx.b.nl; spf=pass (\\) ; dmarc=pass header.from=example.org ) smtp.mailfrom=x@evil.example",
            "mx.b.nl; spf=pass (( ) ; dmarc=pass header.from=example.org ) smtp.mailfrom=x@evil.example",
            "mx.b.nl; spf=pass smtp.mailfrom=\"(\"@x; dmarc=fail (\") header.from=example.org; dmarc=pass\")",
            "mx.b.nl; dmarc=pass header.from=\"example.org",
            "mx.b.nl; dmarc=pass header.from=example.org (",
            "mx.b.nl; dmarc=pass header.from=example.org )",
            "mx.b.nl; dmarc=pass header.from=example.org; spf=pass \"x\\\"",
            "mx.b.nl; dmarc=pass \"header.from=example.org\"",
            "mx.b.nl; \"dmarc=pass\" header.from=example.org",
            "mx.b.nl; dmarc=pass smtp.mailfrom=\"x header.from=example.org\"@evil.example",
            "mx.b.nl; dmarc=\"pass header.from=example.org\"",
            "mx.b.nl; spf dmarc=pass header.from=example.org",
            "\"evil.example; x\"; dmarc=pass header.from=example.org",
            "mx.b.nl",
            "",
        ] {
            assert!(!credible(not_believed), "{not_believed}");
        }
    }

    #[test]
    fn whatever_is_cut_off_or_garbled_is_read_to_its_end() {
        let text = format!(
            "From: a@b.nl\r\nSubject: =?utf-8?q?st=6Fp?= {TOKEN}\r\nAuthentication-Results: mx;\r\n dkim=pass header.d\r\n\
             Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Final-Recipient: rfc822\r\nAction: failed\r\n\r\n--b--\r\n"
        );
        for at in 0..text.len() {
            read(&text.as_bytes()[..at], false, &["mx".to_owned()]);
            let mut garbled = text.clone().into_bytes();
            garbled[at] ^= 0x83;
            read(&garbled, false, &["mx".to_owned()]);
        }
    }
}
