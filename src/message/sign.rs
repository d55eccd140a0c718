//! DKIM signatures (RFC 6376, 8463; RULES P11): made last, over the exact bytes that go out.
//!
//! relaxed/relaxed, no `l=`, From, To, Subject and Date oversigned, on marketing List-Unsubscribe and
//! List-Unsubscribe-Post too. Keys, algorithms and the wording of the field are mail-auth's. The body is
//! canonicalised here, in one pass over the pieces of the copy and once for all keys; mail-auth would take the
//! time stamp from the system clock. Verifiers differ on two things, and what is signed must verify with all of
//! them: some keep a last line of nothing but white space, which RFC 6376 3.4.4 ignores, so a body with such an
//! end is signed relaxed/simple; and some take `From :` for another field than `From:`, so a header with that
//! is not signed. Deliberately absent: DNS, and which key signs for whom.

use aws_lc_rs::digest::{Context, SHA256};
use mail_auth::common::crypto::SigningKey as _;
use mail_auth::dkim::{Canonicalization, Signature};

use super::header::{Block, Bounds, Field, scan, structured};
use super::{Signer, SigningKey};
use crate::mail::Class;

/// Signed once more than they occur, so that nobody can add one.
const OVERSIGNED: [&str; 4] = ["From", "To", "Subject", "Date"];
/// The same, on marketing.
const OVERSIGNED_MARKETING: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];
/// Signed as often as they occur.
const SIGNED: [&str; 11] = [
    "Cc",
    "Reply-To",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// A body's hash, and the canonicalisation it is made under.
pub(crate) struct HashedBody {
    sha256: Vec<u8>,
    canonicalization: Canonicalization,
}

impl HashedBody {
    /// Hash a body that comes in chunks.
    pub fn of(chunks: &[&[u8]]) -> Self {
        let (white, breaks) = ending(chunks);
        if white {
            return Self { sha256: simple(chunks, breaks), canonicalization: Canonicalization::Simple };
        }
        let mut hash = BodyHash::new();
        chunks.iter().for_each(|chunk| hash.update(chunk));
        Self { sha256: hash.finish(), canonicalization: Canonicalization::Relaxed }
    }
}

/// How a body ends: whether the last line that is not empty has nothing but white space, and how many octets of
/// line ends stand at the end.
fn ending(chunks: &[&[u8]]) -> (bool, usize) {
    let octets = || chunks.iter().rev().flat_map(|chunk| chunk.iter().rev().copied());
    let breaks = octets().zip(b"\n\r".iter().cycle()).take_while(|(octet, wanted)| octet == *wanted).count();
    // Half a line end is none.
    let breaks = breaks - breaks % 2;
    let mut rest = octets().skip(breaks).peekable();
    let white = matches!(rest.peek(), Some(b' ' | b'\t'))
        && rest.find(|octet| !matches!(octet, b' ' | b'\t')).is_none_or(|octet| octet == b'\n');
    (white, breaks)
}

/// SHA-256 of a body under simple canonicalisation (RFC 6376 3.4.3): `breaks` octets at its end become one CRLF.
fn simple(chunks: &[&[u8]], breaks: usize) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    let mut left = chunks.iter().map(|chunk| chunk.len()).sum::<usize>() - breaks;
    for chunk in chunks {
        let take = chunk.len().min(left);
        context.update(&chunk[..take]);
        left -= take;
    }
    context.update(b"\r\n");
    context.finish().as_ref().to_vec()
}

/// SHA-256 of a body under relaxed canonicalisation (RFC 6376 3.4.4), fed in chunks.
struct BodyHash {
    context: Context,
    /// Line ends that count only if something follows.
    breaks: usize,
    /// White space that counts only if something follows on the line.
    space: bool,
    carriage: bool,
    any: bool,
}

impl BodyHash {
    fn new() -> Self {
        Self { context: Context::new(&SHA256), breaks: 0, space: false, carriage: false, any: false }
    }

    fn update(&mut self, chunk: &[u8]) {
        let mut at = 0;
        while at < chunk.len() {
            let run = plain_run(&chunk[at..]);
            if run > 0 {
                if self.carriage {
                    self.content(b'\r');
                }
                self.flush();
                self.context.update(&chunk[at..at + run]);
                self.any = true;
                at += run;
                continue;
            }
            let octet = chunk[at];
            at += 1;
            if self.carriage && octet != b'\n' {
                self.content(b'\r');
            }
            match octet {
                b' ' | b'\t' => self.space = true,
                b'\r' => self.carriage = true,
                b'\n' if self.carriage => {
                    self.breaks += 1;
                    self.space = false;
                    self.carriage = false;
                }
                other => self.content(other),
            }
        }
    }

    /// An octet that is no white space: a control character, or a CR or LF alone.
    fn content(&mut self, octet: u8) {
        self.carriage = false;
        self.flush();
        self.context.update(&[octet]);
        self.any = true;
    }

    fn flush(&mut self) {
        const LINES: [u8; 64] = {
            let mut lines = [b'\r'; 64];
            let mut at = 1;
            while at < 64 {
                lines[at] = b'\n';
                at += 2;
            }
            lines
        };
        while self.breaks > 0 {
            let take = self.breaks.min(LINES.len() / 2);
            self.context.update(&LINES[..take * 2]);
            self.breaks -= take;
        }
        if self.space {
            self.context.update(b" ");
            self.space = false;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.carriage {
            self.content(b'\r');
        }
        if self.any {
            self.context.update(b"\r\n");
        }
        self.context.finish().as_ref().to_vec()
    }
}

/// How much of `chunk` goes into the hash as it is: words, single spaces and single line ends between
/// them.
fn plain_run(chunk: &[u8]) -> usize {
    let mut at = 0;
    loop {
        // Sixteen at a time: base64 has long lines.
        while let Some(sixteen) = chunk.get(at..at + 16)
            && !sixteen.iter().fold(false, |any, b| any | (*b <= b' '))
        {
            at += 16;
        }
        at += chunk[at..].iter().position(|b| *b <= b' ').unwrap_or(chunk.len() - at);
        match &chunk[at..] {
            [b' ', next, ..] if at > 0 && *next > b' ' => at += 2,
            [b'\r', b'\n', next, ..] if at > 0 && *next > b' ' => at += 3,
            [b' ' | b'\t' | b'\r' | b'\n', ..] | [] => return at,
            _ => at += 1,
        }
    }
}

/// Sign `head` (header and the empty line) with `body`: one DKIM-Signature field per signer, and its name for
/// the ledger; none when a field to be signed has white space before its colon. `now` in seconds since 1970.
pub(crate) fn sign(
    head: &[u8],
    block: &Block,
    body: &HashedBody,
    class: Class,
    now: u64,
    signers: &[Signer],
) -> Result<Vec<(Vec<u8>, String)>, String> {
    if has_odd_name(head, block) {
        return Ok(Vec::new());
    }
    let (names, fields) = choose(head, block, class);
    let mut canonical = Vec::with_capacity(2048);
    Canonicalization::Relaxed.canonicalize_headers(fields.into_iter(), &mut canonical);
    let mut made = Vec::with_capacity(signers.len());
    for signer in signers {
        let algorithm = match &signer.key {
            SigningKey::Rsa(key) => key.algorithm(),
            SigningKey::Ed25519(key) => key.algorithm(),
        };
        let mut signature = Signature {
            v: 1,
            a: algorithm,
            d: signer.domain.clone(),
            s: signer.selector.clone(),
            bh: body.sha256.clone(),
            h: names.clone(),
            t: now,
            ch: Canonicalization::Relaxed,
            cb: body.canonicalization,
            ..Signature::default()
        };
        let mut input = canonical.clone();
        signature.write(&mut input, false);
        let signed = match &signer.key {
            SigningKey::Rsa(key) => key.sign(input.as_slice()),
            SigningKey::Ed25519(key) => key.sign(input.as_slice()),
        };
        signature.b = signed.map_err(|e| format!("signing with {signer:?}: {e}"))?;
        let mut field = Vec::with_capacity(700);
        signature.write(&mut field, true);
        unfold_end(&mut field);
        made.push((field, format!("{}._domainkey.{}", signer.selector, signer.domain)));
    }
    Ok(made)
}

/// Take the fold away that may stand before the last semicolon: white space there belongs to `b=` and counts for
/// nothing (RFC 6376 3.5), but dkimpy counts it.
fn unfold_end(field: &mut Vec<u8>) {
    if let Some(kept) = field.strip_suffix(b"\r\n\t;\r\n").map(<[u8]>::len) {
        field.truncate(kept);
        field.extend_from_slice(b";\r\n");
    }
}

/// Whether white space stands between the name and the colon of a field that would be signed (RFC 5322 4.5.8).
fn has_odd_name(head: &[u8], block: &Block) -> bool {
    let odd = |field: &&Field| field.value.start != field.name.end + 1;
    block
        .fields
        .iter()
        .filter(odd)
        .any(|field| OVERSIGNED.iter().chain(&SIGNED).any(|name| field.is(head, name)))
}

/// Sign a whole message of our own: its bytes with the signatures on top, and their names for the ledger. One
/// whose header cannot be read, or without signers, stays as it is.
pub fn seal(message: &[u8], now: u64, signers: &[Signer]) -> Result<(Vec<u8>, Vec<String>), String> {
    let bounds = Bounds { fields: usize::MAX, bytes: usize::MAX };
    let block = scan(message, 0..message.len(), bounds);
    if signers.is_empty() || block.junk || block.over {
        return Ok((message.to_vec(), Vec::new()));
    }
    let body = HashedBody::of(&[&message[block.body..]]);
    let made = sign(message, &block, &body, Class::System, now, signers)?;
    let (mut fields, names): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    fields.push(message.to_vec());
    Ok((fields.concat(), names))
}

/// The names for `h=` and the fields they mean, each taken from the bottom up (RFC 6376 5.4.2).
#[allow(clippy::type_complexity, reason = "a list of names, and a list of name and value")]
fn choose<'a>(head: &'a [u8], block: &Block, class: Class) -> (Vec<String>, Vec<(&'a [u8], &'a [u8])>) {
    let over: Vec<&str> = match class {
        Class::Marketing => OVERSIGNED.iter().chain(&OVERSIGNED_MARKETING).copied().collect(),
        _ => OVERSIGNED.to_vec(),
    };
    let more = SIGNED.iter().copied().filter(|name| !over.contains(name));
    let mut names = Vec::with_capacity(20);
    let mut fields = Vec::with_capacity(20);
    for (name, oversign) in over.iter().map(|n| (*n, true)).chain(more.map(|n| (n, false))) {
        let mut found = 0;
        for field in block.fields.iter().rev().filter(|f| f.is(head, name)) {
            fields.push((&head[field.name.clone()], &head[field.value.start..field.all.end]));
            found += 1;
        }
        names.extend(std::iter::repeat_n(name.to_owned(), found + usize::from(oversign)));
    }
    (names, fields)
}

/// What an existing DKIM-Signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Covered {
    /// `d=`, lower-case.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `h=`, lower-case, with repetitions.
    pub headers: Vec<String>,
}

/// Read the tags of a DKIM-Signature value that matter here.
pub(crate) fn covered(value: &[u8]) -> Covered {
    // A tag list is a parameter list whose first item is one too.
    let line = [b"x;".as_slice(), value].concat();
    let (_, tags) = structured(&line);
    let tag = |name: &str| {
        tags.iter().find(|t| t.name == name).map(|t| {
            let raw = &line[t.range.clone()];
            String::from_utf8_lossy(raw).split_whitespace().collect::<String>()
        })
    };
    Covered {
        domain: tag("d").unwrap_or_default().to_ascii_lowercase(),
        selector: tag("s").unwrap_or_default(),
        headers: tag("h").unwrap_or_default().split(':').map(str::to_ascii_lowercase).collect(),
    }
}

impl Covered {
    /// Whether adding one field called `name` breaks it, `present` being there already (oversigning).
    pub fn breaks_when_added(&self, name: &str, present: usize) -> bool {
        self.headers.iter().filter(|h| h.as_str() == name).count() > present
    }

    /// Whether changing or removing a field called `name` may break it.
    pub fn covers(&self, name: &str) -> bool {
        self.headers.iter().any(|h| h == name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p11_a_body_that_ends_in_white_space_is_signed_as_it_is() {
        for (body, canonical) in [
            ("abc\r\n \r\n", "abc\r\n \r\n"),
            ("abc\r\n\t \r\n\r\n\r\n", "abc\r\n\t \r\n"),
            ("abc  d \r\n  ", "abc  d \r\n  \r\n"),
            (" \r\n", " \r\n"),
            ("  ", "  \r\n"),
        ] {
            for cut in 0..=body.len() {
                let (one, other) = body.as_bytes().split_at(cut);
                let hashed = HashedBody::of(&[one, b"", other]);
                assert!(matches!(hashed.canonicalization, Canonicalization::Simple), "{body:?}");
                assert_eq!(hashed.sha256, sha(canonical.as_bytes()), "{body:?} cut at {cut}");
            }
        }
        for body in ["", "\r\n", "abc", "abc \r\n", "abc\t\r\n\r\n", " a\r\n", "a\r\n \r\nb\r\n"] {
            let hashed = HashedBody::of(&[body.as_bytes()]);
            assert!(matches!(hashed.canonicalization, Canonicalization::Relaxed), "{body:?}");
            assert_eq!(hashed.sha256, hash(body.as_bytes()), "{body:?}");
        }
    }

    fn hash(body: &[u8]) -> Vec<u8> {
        let mut hash = BodyHash::new();
        hash.update(body);
        hash.finish()
    }

    fn sha(bytes: &[u8]) -> Vec<u8> {
        aws_lc_rs::digest::digest(&SHA256, bytes).as_ref().to_vec()
    }

    #[test]
    fn p11_relaxed_body_of_rfc_6376_3_4_5() {
        for (body, canonical) in [
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("", ""),
            ("\r\n\r\n", ""),
            (" \t\r\n", ""),
            ("abc", "abc\r\n"),
            ("abc\r\n \r\n", "abc\r\n"),
            ("abc\r\n \r\ndef\r\n", "abc\r\n\r\ndef\r\n"),
            ("\r\n\r\nabc\r\n", "\r\n\r\nabc\r\n"),
            ("a  b\tc", "a b c\r\n"),
        ] {
            assert_eq!(hash(body.as_bytes()), sha(canonical.as_bytes()), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn p11_chunks_do_not_matter(body in "([a-c \t]|\r\n){0,60}", cuts in proptest::collection::vec(0..60_usize, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(body.len())).collect();
            cuts.push(body.len());
            cuts.sort_unstable();
            let mut pieces = BodyHash::new();
            let mut from = 0;
            for cut in cuts {
                pieces.update(&body.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(pieces.finish(), hash(body.as_bytes()));
        }

        #[test]
        fn p11_relaxed_body_is_the_simple_definition(body in "([a-c \t]|\r\n){0,60}") {
            let mut lines: Vec<String> = body.split("\r\n").map(|line| {
                let mut out = String::new();
                for c in line.chars() {
                    if c == ' ' || c == '\t' {
                        if !out.ends_with(' ') { out.push(' '); }
                    } else { out.push(c); }
                }
                out.trim_end().to_owned()
            }).collect();
            while lines.last().is_some_and(String::is_empty) { lines.pop(); }
            let mut canonical = lines.join("\r\n");
            if !canonical.is_empty() { canonical.push_str("\r\n"); }
            prop_assert_eq!(hash(body.as_bytes()), sha(canonical.as_bytes()));
        }
    }

    #[test]
    fn p11_what_an_old_signature_covers() {
        let value = b" v=1; a=rsa-sha256; d=Example.COM; s=Sel;\r\n\th=From:To :\r\n\t Subject:to; bh=x; b=y";
        let covered = covered(value);
        assert_eq!((covered.domain.as_str(), covered.selector.as_str()), ("example.com", "Sel"));
        assert_eq!(covered.headers, ["from", "to", "subject", "to"]);
        assert!(covered.breaks_when_added("to", 1) && !covered.breaks_when_added("from", 1));
        assert!(covered.covers("subject") && !covered.covers("date"));
    }
}
