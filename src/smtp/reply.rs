//! Replies: the only place where reply text is spelled.
//!
//! A [`Reply`] has two texts: what the peer reads and what the log keeps. Whatever text goes in, what
//! goes out is a well-formed reply (RFC 5321 4.2): lines of at most 512 octets, at most
//! [`MAX_LINES`] of them, the enhanced code on each (RFC 2034), and no CR, LF or control character of
//! somebody else's text among them, so that a reply cannot be split in two (promise 9).
//!
//! Policy refusals are 5.7.1, never 5.1.1: tools would mark the mailbox as dead (RULES P6).

// Long because every reply is spelled here and nowhere else.

use std::fmt;

use crate::mail::{Address, Reference};

use super::command::CommandError;
use super::line::LineError;

/// Longest reply line in octets, CRLF included (RFC 5321 4.5.3.1.5).
pub const MAX_LINE: usize = 512;
/// Most lines of one reply; what does not fit is cut off.
pub const MAX_LINES: usize = 100;
/// Most refused recipients that one reply names, each with its reason.
pub const MAX_NAMED: usize = 20;

/// A reply to the client, with what the log keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Enhanced status code (RFC 2034), where one is due.
    pub enhanced: Option<String>,
    /// One or more lines of text for the peer. Control characters in them go out as spaces.
    pub lines: Vec<String>,
    /// What the log keeps beside it.
    pub log: Option<String>,
}

/// What a session did too often to go on (promise 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Wrong commands.
    Errors,
    /// Recipients that were refused.
    RefusedRecipients,
    /// Commands that bring no message forward.
    IdleCommands,
    /// Commands.
    Commands,
}

impl Reply {
    fn new(code: u16, enhanced: &str, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced.to_owned()), lines: vec![text.into()], log: None }
    }

    fn bare(code: u16, text: impl Into<String>) -> Self {
        Self { code, enhanced: None, lines: vec![text.into()], log: None }
    }

    /// The same reply, with `log` as what the log keeps beside it.
    #[must_use]
    pub fn logged(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// Whether it says yes: 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Whether it says never: 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Append its bytes to `out`. `utf8` tells whether the peer may be sent UTF-8 (RFC 6531 3.7.4.2);
    /// otherwise characters beyond ASCII go out as `\x{..}` (RFC 6533 3).
    pub fn write_to(&self, out: &mut Vec<u8>, utf8: bool) {
        let enhanced = self.enhanced.as_deref().filter(|code| is_enhanced(code));
        let prefix = enhanced.map_or(String::new(), |code| format!("{code} "));
        let room = MAX_LINE - "250-\r\n".len() - prefix.len();
        let mut texts = Vec::with_capacity(self.lines.len());
        for line in self.lines.iter().take(MAX_LINES) {
            wrap(&clean(line, utf8), room, &mut texts);
        }
        texts.truncate(MAX_LINES);
        if texts.is_empty() {
            texts.push(String::new());
        }
        let last = texts.len() - 1;
        for (at, text) in texts.iter().enumerate() {
            let dash = if at == last { ' ' } else { '-' };
            let line = format!("{}{dash}{prefix}{text}", self.code.clamp(200, 599));
            out.extend_from_slice(line.trim_end_matches(' ').as_bytes());
            // `250-` and `250 ` keep their separator when there is no text.
            if line.trim_end_matches(' ').len() < 4 {
                out.push(b' ');
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Its bytes, ASCII only.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.write_to(&mut out, false);
        out
    }
}

/// What the client gets for a message.
impl Reply {
    /// 250: the next hop has the message; `text` is what it said.
    pub fn accepted(reference: Reference, text: &str) -> Self {
        Self::new(
            250,
            "2.0.0",
            if text.is_empty() { format!("ok {reference}") } else { format!("{reference} {text}") },
        )
    }

    /// 250: the message is durable in the spool.
    pub fn queued(reference: Reference) -> Self {
        Self::new(250, "2.0.0", format!("queued as {reference}"))
    }

    /// 550 5.7.1: policy refuses this one recipient (RULES P6).
    pub fn refused_recipient(recipient: &Address, reason: &str) -> Self {
        Self::new(550, "5.7.1", format!("<{recipient}> {reason}"))
    }

    /// 550 5.7.1: policy refuses these recipients, each with its reason; nothing was sent. At most
    /// [`MAX_NAMED`] are named, the others are counted.
    pub fn refused_recipients(refused: &[(Address, String)]) -> Self {
        let mut lines = naming(refused);
        if lines.is_empty() {
            lines.push("refused by policy".to_owned());
        }
        Self { code: 550, enhanced: Some("5.7.1".to_owned()), lines, log: None }
    }

    /// The same reply with the reference under which `sluis explain` tells the whole of it.
    #[must_use]
    pub fn referring(mut self, reference: Reference) -> Self {
        if let Some(last) = self.lines.last_mut() {
            last.push_str(&format!(" (reference {reference})"));
        }
        self
    }

    /// 550 5.7.1: policy refuses the message as a whole.
    pub fn refused(reason: &str) -> Self {
        Self::new(550, "5.7.1", reason)
    }

    /// 451 4.7.1: policy cannot decide now (promise 5).
    pub fn deferred(reason: &str) -> Self {
        Self::new(451, "4.7.1", reason)
    }

    /// 451 4.3.0: something of ours does not work now. The peer learns `reason`; `log` stays here.
    pub fn unavailable(reason: &str, log: impl Into<String>) -> Self {
        Self::new(451, "4.3.0", reason).logged(log)
    }

    /// 550 5.6.0: the message is not one.
    pub fn malformed(reason: &str) -> Self {
        Self::new(550, "5.6.0", reason)
    }

    /// 552 5.3.4: the message is larger than `limit` octets.
    pub fn too_large(limit: u64) -> Self {
        Self::new(552, "5.3.4", format!("the message is larger than {limit} octets"))
    }

    /// 550 5.6.7: the message or its envelope needs SMTPUTF8, which the next hop lacks or the client
    /// did not ask for (RFC 6531 3.5).
    pub fn needs_smtputf8() -> Self {
        Self::new(550, "5.6.7", "this needs SMTPUTF8, which is not available for it")
    }

    /// 554 5.4.6: the message went through here too often.
    pub fn loop_detected() -> Self {
        Self::new(554, "5.4.6", "mail loop: the message has too many Received headers")
    }

    /// What a next hop said, in its own words. A code that is no 2xx, 4xx or 5xx becomes our own 451
    /// (RULES P15), and so does 421, which is about its connection and would say that ours is closing.
    pub fn next_hop(code: u16, enhanced: Option<&str>, text: &str) -> Self {
        if !matches!(code, 200..=299 | 400..=599) {
            return Self::new(451, "4.3.0", "the next hop gave an unexpected reply")
                .logged(format!("next hop: {code} {text}"));
        }
        let code = if code == 421 { 451 } else { code };
        let class = code / 100;
        let enhanced = match enhanced {
            Some(given) if given.starts_with(&format!("{class}.")) => given.to_owned(),
            _ => format!("{class}.0.0"),
        };
        Self::new(code, &enhanced, text)
    }

    /// 550 5.0.0: the next hop refused all recipients for good, each in its own words.
    pub fn refused_by_next_hop(refused: &[(Address, String)]) -> Self {
        Self { code: 550, enhanced: Some("5.0.0".to_owned()), lines: naming(refused), log: None }
    }

    /// The same reply, naming those who do not get the message (promise 2).
    #[must_use]
    pub fn but_not(mut self, not_sent: &[(Address, String)]) -> Self {
        if !not_sent.is_empty() {
            self.lines.push(format!("not sent to {} of the recipients:", not_sent.len()));
            self.lines.extend(naming(not_sent));
        }
        self
    }

    /// 452 4.3.1: the budget of buffered message bytes is used up.
    pub fn out_of_memory() -> Self {
        Self::new(452, "4.3.1", "too many messages at once, try again later")
    }

    /// 452 4.3.1: the spool holds as many copies as it may.
    pub fn spool_full() -> Self {
        Self::new(452, "4.3.1", "too many copies wait for the next hop, try again later")
    }

    /// 451 4.4.2-like end of a journey that could not be followed to its end: the message is not ours.
    pub fn interrupted() -> Self {
        Self::new(451, "4.3.0", "the message could not be handled, try again later")
    }
}

/// One line per recipient with its reason; at most [`MAX_NAMED`], the others are counted.
fn naming(refused: &[(Address, String)]) -> Vec<String> {
    let mut lines: Vec<String> =
        refused.iter().take(MAX_NAMED).map(|(address, reason)| format!("<{address}> {reason}")).collect();
    if refused.len() > MAX_NAMED {
        lines.push(format!("and {} more", refused.len() - MAX_NAMED));
    }
    lines
}

/// What the session says.
impl Reply {
    /// 220, the greeting.
    pub fn greeting(hostname: &str) -> Self {
        Self::bare(220, format!("{hostname} ESMTP Sluis"))
    }

    /// 250 to HELO.
    pub fn hello(hostname: &str) -> Self {
        Self::bare(250, hostname)
    }

    /// 250 to EHLO, one line per keyword.
    pub fn capabilities(lines: Vec<String>) -> Self {
        Self { code: 250, enhanced: None, lines, log: None }
    }

    /// 250 to MAIL.
    pub fn sender_ok() -> Self {
        Self::new(250, "2.1.0", "sender ok")
    }

    /// 250 to RCPT.
    pub fn recipient_ok() -> Self {
        Self::new(250, "2.1.5", "recipient ok")
    }

    /// 354 to DATA.
    pub fn start_data() -> Self {
        Self::bare(354, "end with a line that holds one dot")
    }

    /// 250 to a BDAT that is not the last.
    pub fn chunk_ok(octets: u64) -> Self {
        Self::new(250, "2.0.0", format!("{octets} octets received"))
    }

    /// 250 to RSET and NOOP.
    pub fn ok() -> Self {
        Self::new(250, "2.0.0", "ok")
    }

    /// 252 to VRFY: nobody is looked up.
    pub fn vrfy() -> Self {
        Self::new(252, "2.1.5", "not looked up; send and see")
    }

    /// 214 to HELP.
    pub fn help() -> Self {
        Self {
            code: 214,
            enhanced: Some("2.0.0".to_owned()),
            lines: vec![
                "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH".to_owned(),
                "a 550 5.7.1 names the recipient and the rule; ask the administrator about it".to_owned(),
            ],
            log: None,
        }
    }

    /// 221 to QUIT.
    pub fn bye(hostname: &str) -> Self {
        Self::new(221, "2.0.0", format!("{hostname} closing"))
    }

    /// 502: known, and not offered.
    pub fn not_offered() -> Self {
        Self::new(502, "5.5.1", "this command is not offered here")
    }

    /// 503: the right command at the wrong time; `hint` says what comes first.
    pub fn out_of_order(hint: &str) -> Self {
        Self::new(503, "5.5.1", hint)
    }

    /// The answer to a line that is no command line.
    pub fn bad_line(error: LineError) -> Self {
        Self::new(500, "5.5.2", error.to_string())
    }

    /// The answer to a command that cannot be read.
    pub fn bad_command(error: &CommandError) -> Self {
        let (code, enhanced) = match error {
            CommandError::Unknown | CommandError::NotText => (500, "5.5.2"),
            CommandError::Syntax(_) | CommandError::BadParameter(_) | CommandError::ChunkSize => {
                (501, "5.5.4")
            }
            CommandError::UnknownParameter(_) => (555, "5.5.4"),
            CommandError::BadSender(_) => (501, "5.1.7"),
            CommandError::BadRecipient(_) => (501, "5.1.3"),
        };
        Self::new(code, enhanced, error.to_string())
    }

    /// 552 5.3.4 to MAIL with a SIZE over the limit.
    pub fn announced_too_large(limit: u64) -> Self {
        Self::new(552, "5.3.4", format!("messages over {limit} octets are not accepted"))
    }

    /// 452 4.5.3: enough recipients for one message; send the others in another one.
    pub fn too_many_recipients(limit: usize) -> Self {
        Self::new(452, "4.5.3", format!("{limit} recipients are the limit for one message"))
    }

    /// 550 5.6.7 (MAIL) or 553 5.6.7 (RCPT): a non-ASCII address without SMTPUTF8 (RFC 6531 3.5).
    pub fn address_needs_smtputf8(at_rcpt: bool) -> Self {
        let code = if at_rcpt { 553 } else { 550 };
        Self::new(code, "5.6.7", "a non-ASCII address needs SMTPUTF8")
    }

    /// 554 5.5.1 to DATA when every recipient was refused.
    pub fn no_valid_recipients() -> Self {
        Self::new(554, "5.5.1", "no valid recipients")
    }

    /// 220 to STARTTLS.
    pub fn start_tls() -> Self {
        Self::new(220, "2.0.0", "ready for TLS")
    }

    /// 530 5.7.0: STARTTLS first.
    pub fn starttls_first() -> Self {
        Self::new(530, "5.7.0", "STARTTLS first")
    }

    /// 530 5.7.0: sign in first (RFC 4954 6).
    pub fn sign_in_first() -> Self {
        Self::new(530, "5.7.0", "sign in first")
    }

    /// 538 5.7.11: this mechanism only under TLS (RULES P3).
    pub fn auth_needs_tls() -> Self {
        Self::new(538, "5.7.11", "signing in needs TLS: STARTTLS first")
    }

    /// 504 5.5.4: no such mechanism.
    pub fn unknown_mechanism() -> Self {
        Self::new(504, "5.5.4", "mechanisms here: PLAIN LOGIN")
    }

    /// 334 with a challenge in base64.
    pub fn challenge(base64: &str) -> Self {
        Self::bare(334, base64)
    }

    /// 235: signed in.
    pub fn signed_in() -> Self {
        Self::new(235, "2.7.0", "signed in")
    }

    /// 535 5.7.8: wrong name or password; which of them is not told.
    pub fn sign_in_failed(log: impl Into<String>) -> Self {
        Self::new(535, "5.7.8", "wrong name or password").logged(log)
    }

    /// 501 5.7.0: the client took its sign-in back with `*`.
    pub fn sign_in_cancelled() -> Self {
        Self::new(501, "5.7.0", "sign-in cancelled")
    }

    /// 501 5.5.2: the response is not base64, or not what the mechanism asks for.
    pub fn bad_sasl_response() -> Self {
        Self::new(501, "5.5.2", "that is no answer to the challenge")
    }

    /// 500 5.5.6: the sign-in line is too long (RFC 4954 4).
    pub fn sasl_line_too_long() -> Self {
        Self::new(500, "5.5.6", "the line is too long")
    }

    /// 454 4.7.0: the password cannot be checked now.
    pub fn sign_in_unavailable(log: impl Into<String>) -> Self {
        Self::new(454, "4.7.0", "signing in is not possible now").logged(log)
    }

    /// 421 4.7.0: too many failed sign-ins; closing.
    pub fn sign_in_throttled() -> Self {
        Self::new(421, "4.7.0", "too many failed sign-ins, try again later")
    }

    /// 421 4.7.0: too many connections; closing.
    pub fn too_many_connections(hostname: &str) -> Self {
        Self::new(421, "4.7.0", format!("{hostname} too many connections, try again later"))
    }

    /// 450 4.7.1: the account sent as many messages as it may in an hour.
    pub fn too_many_messages() -> Self {
        Self::new(450, "4.7.1", "too many messages in this hour, try again later")
    }

    /// 421 4.7.0: the session does too much of something; closing.
    pub fn too_many(hostname: &str, excess: Excess) -> Self {
        let (limit, text) = match excess {
            Excess::Errors => ("bad_commands", "too many errors"),
            Excess::RefusedRecipients => ("refused_recipients", "too many refused recipients in one session"),
            Excess::IdleCommands => ("idle_commands", "too many commands without a message"),
            Excess::Commands => ("commands", "too many commands in one session"),
        };
        Self::new(421, "4.7.0", format!("{hostname} {text}")).logged(format!("limits.{limit} reached"))
    }

    /// 451 4.7.1: the client had as many recipients refused as it may in an hour.
    pub fn too_many_refusals() -> Self {
        Self::new(451, "4.7.1", "too many refused recipients in this hour, try again later")
    }

    /// 421 4.4.2: nothing was heard for too long; closing.
    pub fn timeout(hostname: &str) -> Self {
        Self::new(421, "4.4.2", format!("{hostname} timeout"))
    }

    /// 421 4.3.2: stopping; closing.
    pub fn shutting_down(hostname: &str) -> Self {
        Self::new(421, "4.3.2", format!("{hostname} is stopping, try again later"))
    }
}

impl fmt::Display for Reply {
    /// On one line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = &self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.lines {
            write!(f, " {}", clean(line, true))?;
        }
        Ok(())
    }
}

/// RFC 3463 2: `5.7.1`, each number at most three digits.
pub(super) fn is_enhanced(code: &str) -> bool {
    let mut numbers = code.split('.');
    let class = numbers.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let detail = numbers
        .by_ref()
        .take(2)
        .filter(|n| (1..=3).contains(&n.len()) && n.bytes().all(|digit| digit.is_ascii_digit()));
    class && detail.count() == 2 && numbers.next().is_none()
}

/// `text` without control characters, and without anything beyond ASCII unless `utf8`.
fn clean(text: &str, utf8: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            clean.push(' ');
        } else if c.is_ascii() || utf8 {
            clean.push(c);
        } else {
            clean.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
        }
    }
    clean
}

/// Cut `text` into pieces of at most `room` octets, at a space where there is one.
fn wrap(text: &str, room: usize, pieces: &mut Vec<String>) {
    let mut rest = text;
    while rest.len() > room && pieces.len() < MAX_LINES {
        let mut cut = room;
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        // A space in the second half keeps the pieces few.
        let cut = rest[..cut].rfind(' ').filter(|&space| space > room / 2).unwrap_or(cut);
        pieces.push(rest[..cut].to_owned());
        rest = rest[cut..].trim_start_matches(' ');
    }
    pieces.push(rest.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn p6_a_refusal_names_recipient_and_reason() {
        let reply = Reply::refused_recipient(&address("bob@example.org"), "no consent on record");
        assert_eq!(reply.to_bytes(), b"550 5.7.1 <bob@example.org> no consent on record\r\n");
    }

    #[test]
    fn p6_many_refusals_are_counted_after_twenty() {
        let refused: Vec<_> =
            (0..25).map(|n| (address(&format!("r{n}@example.org")), "no".to_owned())).collect();
        let text = String::from_utf8(Reply::refused_recipients(&refused).to_bytes()).unwrap();
        assert_eq!(text.lines().count(), MAX_NAMED + 1);
        assert!(text.ends_with("550 5.7.1 and 5 more\r\n"), "{text}");
        assert!(text.starts_with("550-5.7.1 <r0@example.org> no\r\n"), "{text}");
    }

    #[test]
    fn promise_9_no_text_splits_a_reply() {
        let reply = Reply::refused("one\r\n250 2.0.0 ok\nthree\u{85}");
        assert_eq!(reply.to_bytes(), b"550 5.7.1 one  250 2.0.0 ok three\r\n");
    }

    #[test]
    fn p15_unexpected_replies_become_our_own() {
        assert_eq!(Reply::next_hop(354, None, "go on").code, 451);
        assert_eq!(Reply::next_hop(0, None, "").code, 451);
        let closing = Reply::next_hop(421, Some("4.3.2"), "shutting down");
        assert_eq!((closing.code, closing.enhanced.as_deref()), (451, Some("4.3.2")));
        let passed = Reply::next_hop(550, Some("5.1.1"), "no such user");
        assert_eq!(passed.to_bytes(), b"550 5.1.1 no such user\r\n");
        assert_eq!(Reply::next_hop(452, Some("5.1.1"), "full").enhanced.as_deref(), Some("4.0.0"));
    }

    #[test]
    fn utf8_only_where_it_was_asked_for() {
        let reply = Reply::refused("geen toestemming voor café");
        assert_eq!(reply.to_bytes(), b"550 5.7.1 geen toestemming voor caf\\x{E9}\r\n");
        let mut out = Vec::new();
        reply.write_to(&mut out, true);
        assert_eq!(out, "550 5.7.1 geen toestemming voor café\r\n".as_bytes());
    }

    proptest! {
        #[test]
        fn promise_10_every_reply_is_well_formed(
            code in 0u16..1000,
            enhanced in proptest::option::of(".{0,40}"),
            lines in proptest::collection::vec("(?s).{0,700}", 0..120),
            utf8: bool,
        ) {
            let reply = Reply { code, enhanced, lines, log: None };
            let mut out = Vec::new();
            reply.write_to(&mut out, utf8);
            let text = String::from_utf8(out).unwrap();
            let rest = text.strip_suffix("\r\n").unwrap();
            let lines: Vec<_> = rest.split("\r\n").collect();
            prop_assert!(lines.len() <= MAX_LINES);
            for (at, line) in lines.iter().enumerate() {
                prop_assert!(line.len() + 2 <= MAX_LINE, "{}", line.len());
                prop_assert!(!line.contains(['\r', '\n', '\0']));
                prop_assert_eq!(line.as_bytes()[3], if at + 1 == lines.len() { b' ' } else { b'-' });
            }
        }
    }
}
