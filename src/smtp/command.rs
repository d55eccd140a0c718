//! Commands and their parameters (RFC 5321 4.1, 1870, 3030, 3461, 4954, 6152, 6531).
//!
//! Takes what real tools send (lower-case verbs, `MAIL FROM: <a@b>`, trailing blanks, `EHLO my_pc`,
//! `ORCPT=rfc822;a@b`) and refuses what could be read in two ways: source routes (RULES L17),
//! parameters given twice, control characters. An address keeps its spelling. Deliberately absent:
//! whether a command may come now, which is the session's question.

use crate::mail::{Address, AddressError, Body, Notify, OriginalRecipient, Recipient, Ret, ReversePath};
use crate::secret::Secret;

/// Longest EHLO or HELO argument in octets (RFC 5321 4.5.3.1.2).
const MAX_HELO: usize = 255;
/// Longest ENVID in octets (RFC 3461 4.4).
const MAX_ENVID: usize = 100;
/// Longest ORCPT in octets (RFC 3461 4.2).
const MAX_ORCPT: usize = 500;

/// A command.
#[derive(Debug, Clone)]
pub enum Command {
    /// `EHLO name`.
    Ehlo(String),
    /// `HELO name`.
    Helo(String),
    /// `LHLO name` (RFC 2033).
    Lhlo(String),
    /// `MAIL FROM:<..>`.
    Mail(Mail),
    /// `RCPT TO:<..>`.
    Rcpt(Recipient),
    /// `DATA`.
    Data,
    /// `BDAT size [LAST]` (RFC 3030).
    Bdat {
        /// Octets that follow.
        size: u64,
        /// Whether it is the last chunk.
        last: bool,
    },
    /// `RSET`.
    Rset,
    /// `NOOP`.
    Noop,
    /// `VRFY`.
    Vrfy,
    /// `EXPN`.
    Expn,
    /// `HELP`.
    Help,
    /// `QUIT`.
    Quit,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954).
    Auth {
        /// Upper-case name.
        mechanism: String,
        /// The initial response as sent: base64, or `=` for an empty one.
        initial: Option<Secret>,
    },
}

/// MAIL and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where bounces go.
    pub reverse_path: ReversePath,
    /// `SIZE=` in octets.
    pub size: Option<u64>,
    /// `BODY=`.
    pub body: Body,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=` as sent.
    pub envid: Option<String>,
}

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such verb.
    #[error("unknown command")]
    Unknown,
    /// Not UTF-8, or control characters in it.
    #[error("the command has characters that are not allowed in it")]
    NotText,
    /// A known verb, wrongly written; the text shows how it is written.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// A parameter that is not offered (RFC 5321 4.1.1.11).
    #[error("parameter {0} is not known here")]
    UnknownParameter(String),
    /// A known parameter with a wrong value, or given twice.
    #[error("parameter {0} has a wrong value")]
    BadParameter(&'static str),
    /// The MAIL path is no address.
    #[error("sender: {0}")]
    BadSender(AddressError),
    /// The RCPT path is no address.
    #[error("recipient: {0}")]
    BadRecipient(AddressError),
    /// BDAT without a readable size: nobody knows where its octets end, so the session must end.
    #[error("syntax: BDAT size [LAST]")]
    ChunkSize,
}

impl Command {
    /// Read one line, without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        // A BDAT that cannot be read ends the session whatever is wrong with it.
        let chunk = is_bdat(line);
        let unread = |error| Err(if chunk { CommandError::ChunkSize } else { error });
        let Ok(line) = std::str::from_utf8(line) else { return unread(CommandError::NotText) };
        let line = line.trim_end_matches([' ', '\t']);
        if line.chars().any(char::is_control) {
            return unread(CommandError::NotText);
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let argument = rest.trim_start_matches(' ');
        match verb.as_str() {
            "EHLO" => helo(argument).map(Self::Ehlo).ok_or(CommandError::Syntax("EHLO hostname")),
            "HELO" => helo(argument).map(Self::Helo).ok_or(CommandError::Syntax("HELO hostname")),
            "LHLO" => helo(argument).map(Self::Lhlo).ok_or(CommandError::Syntax("LHLO hostname")),
            "MAIL" => mail(argument).map(Self::Mail),
            "RCPT" => rcpt(argument).map(Self::Rcpt),
            "DATA" => alone(argument, Self::Data, "DATA"),
            "BDAT" => bdat(argument),
            "RSET" => alone(argument, Self::Rset, "RSET"),
            "NOOP" => Ok(Self::Noop),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Ok(Self::Expn),
            "HELP" => Ok(Self::Help),
            "QUIT" => alone(argument, Self::Quit, "QUIT"),
            "STARTTLS" => alone(argument, Self::StartTls, "STARTTLS"),
            "AUTH" => auth(argument),
            _ => unread(CommandError::Unknown),
        }
    }
}

/// Whether its sender will go on with the octets of a chunk, however it wrote the line.
fn is_bdat(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
        && !line.get(4).is_some_and(u8::is_ascii_alphanumeric)
}

fn alone(argument: &str, command: Command, syntax: &'static str) -> Result<Command, CommandError> {
    if argument.is_empty() { Ok(command) } else { Err(CommandError::Syntax(syntax)) }
}

/// Whatever the client calls itself (RFC 5321 4.1.4: nothing is refused because of it).
fn helo(argument: &str) -> Option<String> {
    (!argument.is_empty() && argument.len() <= MAX_HELO).then(|| argument.to_owned())
}

fn bdat(argument: &str) -> Result<Command, CommandError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let size = words.next().filter(|size| size.bytes().all(|digit| digit.is_ascii_digit()));
    let size = size.and_then(|size| size.parse().ok()).ok_or(CommandError::ChunkSize)?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat { size, last: false }),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat { size, last: true }),
        _ => Err(CommandError::ChunkSize),
    }
}

fn auth(argument: &str) -> Result<Command, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("AUTH mechanism [initial-response]");
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(SYNTAX)?.to_ascii_uppercase();
    let initial = words.next().map(|initial| Secret::new(initial.as_bytes()));
    if words.next().is_some() { Err(SYNTAX) } else { Ok(Command::Auth { mechanism, initial }) }
}

fn mail(argument: &str) -> Result<Mail, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("MAIL FROM:<address> [parameters]");
    let (path, parameters) = path(argument, "FROM:").ok_or(SYNTAX)?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        path => ReversePath::Address(Address::parse(path).map_err(CommandError::BadSender)?),
    };
    let mut mail =
        Mail { reverse_path, size: None, body: Body::SevenBit, smtputf8: false, ret: None, envid: None };
    let mut seen = Vec::new();
    for (name, value) in parameters_of(parameters) {
        let name = once(name, &mut seen)?;
        match (name.as_str(), value) {
            ("SIZE", Some(value)) => mail.size = Some(size(value)?),
            ("BODY", Some(value)) => mail.body = body(value)?,
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("RET", Some(value)) => mail.ret = Some(ret(value)?),
            ("ENVID", Some(value)) => mail.envid = Some(envid(value)?),
            // RFC 4954 5: from a client that is not fully trusted it counts as `<>`; it is not kept.
            ("AUTH", Some(value)) if is_xtext(value) => {}
            ("AUTH", Some(_)) => return Err(CommandError::BadParameter("AUTH")),
            ("SIZE", None) => return Err(CommandError::BadParameter("SIZE")),
            ("BODY", None) => return Err(CommandError::BadParameter("BODY")),
            ("SMTPUTF8", Some(_)) => return Err(CommandError::BadParameter("SMTPUTF8")),
            _ => return Err(CommandError::UnknownParameter(shown(&name))),
        }
    }
    Ok(mail)
}

fn rcpt(argument: &str) -> Result<Recipient, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("RCPT TO:<address> [parameters]");
    let (path, parameters) = path(argument, "TO:").ok_or(SYNTAX)?;
    // This also refuses `<Postmaster>` without a domain: a submission server has no mailboxes.
    let mut recipient = Recipient::new(Address::parse(path).map_err(CommandError::BadRecipient)?);
    let mut seen = Vec::new();
    for (name, value) in parameters_of(parameters) {
        let name = once(name, &mut seen)?;
        match (name.as_str(), value) {
            ("NOTIFY", Some(value)) => recipient.notify = Some(notify(value)?),
            ("ORCPT", Some(value)) => recipient.orcpt = Some(orcpt(value)?),
            ("NOTIFY", None) => return Err(CommandError::BadParameter("NOTIFY")),
            ("ORCPT", None) => return Err(CommandError::BadParameter("ORCPT")),
            _ => return Err(CommandError::UnknownParameter(shown(&name))),
        }
    }
    Ok(recipient)
}

/// `FROM:<path> rest` or `TO: <path> rest`: what is between the brackets, and the rest.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (given, rest) = argument.split_at_checked(keyword.len())?;
    if !given.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = rest.trim_start_matches(' ').strip_prefix('<')?;
    let end = closing_bracket(rest)?;
    let parameters = &rest[end + 1..];
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((&rest[..end], parameters))
}

/// Where the `>` is that is not inside a quoted local part.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn parameters_of(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    })
}

/// The parameter's name in upper case, if it was not given before.
fn once(name: &str, seen: &mut Vec<String>) -> Result<String, CommandError> {
    let name = name.to_ascii_uppercase();
    if seen.contains(&name) {
        return Err(CommandError::UnknownParameter(format!("{}, given twice,", shown(&name))));
    }
    seen.push(name.clone());
    Ok(name)
}

/// A name that the client chose, short enough to be repeated to it.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

fn size(value: &str) -> Result<u64, CommandError> {
    // RFC 1870 3: 1 to 20 digits.
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_digit());
    if !digits {
        return Err(CommandError::BadParameter("SIZE"));
    }
    // 20 digits may be more than u64 holds; that is too large for every limit all the same.
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<Body, CommandError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        // RFC 3030 3: BINARYMIME is not offered, so this value is not known.
        "BINARYMIME" => Err(CommandError::UnknownParameter("BODY=BINARYMIME".to_owned())),
        _ => Err(CommandError::BadParameter("BODY")),
    }
}

fn ret(value: &str) -> Result<Ret, CommandError> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Ret::Full),
        "HDRS" => Ok(Ret::Headers),
        _ => Err(CommandError::BadParameter("RET")),
    }
}

fn envid(value: &str) -> Result<String, CommandError> {
    if value.is_empty() || value.len() > MAX_ENVID || !is_xtext(value) {
        return Err(CommandError::BadParameter("ENVID"));
    }
    Ok(value.to_owned())
}

fn notify(value: &str) -> Result<Notify, CommandError> {
    const WRONG: CommandError = CommandError::BadParameter("NOTIFY");
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in value.split(',') {
        let flag = match word.to_ascii_uppercase().as_str() {
            "FAILURE" => &mut notify.failure,
            "SUCCESS" => &mut notify.success,
            "DELAY" => &mut notify.delay,
            _ => return Err(WRONG),
        };
        if std::mem::replace(flag, true) {
            return Err(WRONG);
        }
    }
    Ok(notify)
}

fn orcpt(value: &str) -> Result<OriginalRecipient, CommandError> {
    const WRONG: CommandError = CommandError::BadParameter("ORCPT");
    let (kind, address) = value.split_once(';').ok_or(WRONG)?;
    let kind_is_atom =
        !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // RFC 6533 3: `utf-8;` addresses may hold UTF-8; `=` and `+` unencoded are met in practice.
    let sound = !address.is_empty() && !address.chars().any(|c| c.is_control() || c.is_whitespace());
    if value.len() > MAX_ORCPT || !kind_is_atom || !sound {
        return Err(WRONG);
    }
    Ok(OriginalRecipient(value.to_owned()))
}

/// RFC 3461 4: visible ASCII, `+` only as `+XX`, no `=`.
fn is_xtext(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        let sound = match byte {
            b'+' => hex(bytes.next()) && hex(bytes.next()),
            b'=' => false,
            _ => byte.is_ascii_graphic(),
        };
        if !sound {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(line: &str) -> Result<Mail, CommandError> {
        match Command::parse(line.as_bytes())? {
            Command::Mail(mail) => Ok(mail),
            other => panic!("{other:?}"),
        }
    }

    fn rcpt(line: &str) -> Result<Recipient, CommandError> {
        match Command::parse(line.as_bytes())? {
            Command::Rcpt(recipient) => Ok(recipient),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_real_tools_send() {
        for line in [
            "EHLO my_pc",
            "EHLO [IPv6:::1]",
            "EHLO [192.168.1.2]",
            "ehlo Jan's-PC van thuis",
            "helo x",
            "EHLO b\u{fc}ro",
            "MAIL FROM:<a@b>",
            "MAIL FROM: <a@b>",
            "mail from:<a@b> ",
            "Mail From:<a@b> body=8bitmime size=1000",
            "MAIL FROM:<>",
            "MAIL FROM:<a@b> AUTH=<>",
            "MAIL FROM:<a@b> AUTH=e+3Dmc2@example.com RET=HDRS ENVID=QQ314159",
            "RCPT TO:<a@b> ORCPT=rfc822;a@b NOTIFY=SUCCESS,FAILURE",
            "RCPT TO:<a@b> ORCPT=rfc822;a+2Bx@b",
            "RCPT TO:<a@b> NOTIFY=NEVER",
            "rcpt to: <\"a>b c\"@d>",
            "DATA \t",
            "NOOP anything at all",
            "BDAT 0 LAST",
            "bdat 12 last",
            "AUTH PLAIN AGEAYg==",
            "auth plain =",
            "AUTH LOGIN",
        ] {
            assert!(Command::parse(line.as_bytes()).is_ok(), "{line}: {:?}", Command::parse(line.as_bytes()));
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        use CommandError as E;
        let unknown = |name: &str| E::UnknownParameter(name.to_owned());
        for (line, error) in [
            ("", E::Unknown),
            ("EHLO", E::Syntax("EHLO hostname")),
            ("HELLO x", E::Unknown),
            ("MAIL FROM:a@b", E::Syntax("MAIL FROM:<address> [parameters]")),
            ("MAIL FROM:<a@b", E::Syntax("MAIL FROM:<address> [parameters]")),
            ("MAIL FROM:<a@b>SIZE=1", E::Syntax("MAIL FROM:<address> [parameters]")),
            ("MAIL TO:<a@b>", E::Syntax("MAIL FROM:<address> [parameters]")),
            ("MAIL FROM:<a@b> FOO=1", unknown("FOO")),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", unknown("BODY=BINARYMIME")),
            ("MAIL FROM:<a@b> BODY=9BIT", E::BadParameter("BODY")),
            ("MAIL FROM:<a@b> SIZE=-1", E::BadParameter("SIZE")),
            ("MAIL FROM:<a@b> SIZE", E::BadParameter("SIZE")),
            ("MAIL FROM:<a@b> SIZE=1 size=2", unknown("SIZE, given twice,")),
            ("MAIL FROM:<a@b> ENVID=a+3", E::BadParameter("ENVID")),
            ("MAIL FROM:<a@b> SMTPUTF8=1", E::BadParameter("SMTPUTF8")),
            ("RCPT TO:<a@b> SIZE=1", unknown("SIZE")),
            ("RCPT TO:<a@b> NOTIFY=NEVER,DELAY", E::BadParameter("NOTIFY")),
            ("RCPT TO:<a@b> ORCPT=a@b", E::BadParameter("ORCPT")),
            ("RCPT TO:<>", E::BadRecipient(AddressError::NoDomain)),
            ("RCPT TO:<Postmaster>", E::BadRecipient(AddressError::NoDomain)),
            ("DATA now", E::Syntax("DATA")),
            ("BDAT", E::ChunkSize),
            ("BDAT -1", E::ChunkSize),
            ("BDAT 1 LAST 2", E::ChunkSize),
            ("BDAT 1\0", E::ChunkSize),
            ("BDAT\t1 LAST", E::ChunkSize),
            ("bdat\u{a0}1", E::ChunkSize),
            ("BDATA 1", E::Unknown),
            ("BDAT 99999999999999999999999", E::ChunkSize),
            ("NOOP \0", E::NotText),
            ("RCPT TO:<a\t@b>", E::NotText),
        ] {
            assert_eq!(Command::parse(line.as_bytes()).unwrap_err(), error, "{line:?}");
        }
        assert_eq!(Command::parse(b"EHLO \xff").unwrap_err(), E::NotText);
        assert_eq!(Command::parse(b"BDAT 5 \xff").unwrap_err(), E::ChunkSize);
    }

    #[test]
    fn l17_source_routes_are_refused() {
        for line in ["RCPT TO:<@a,@b:bob@x.nl>", "RCPT TO:<@a:bob@x.nl>"] {
            assert_eq!(rcpt(line), Err(CommandError::BadRecipient(AddressError::SourceRoute)));
        }
        let route = mail("MAIL FROM:<@a:bob@x.nl>");
        assert_eq!(route, Err(CommandError::BadSender(AddressError::SourceRoute)));
    }

    #[test]
    fn quoted_local_parts_are_kept_exactly() {
        let recipient = rcpt("RCPT TO:<\"b\\\"o b>\"@x.nl> NOTIFY=DELAY").unwrap();
        assert_eq!(recipient.address.as_str(), "\"b\\\"o b>\"@x.nl");
        assert!(recipient.notify.unwrap().delay);
    }

    #[test]
    fn a_size_no_number_can_hold_is_the_largest_one() {
        assert_eq!(mail("MAIL FROM:<a@b> SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
    }
}
