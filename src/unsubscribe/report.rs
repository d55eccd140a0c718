//! Reads reports that machines write about one of our messages: feedback (ARF, RFC 5965) and DSNs (RFC 3464).
//!
//! What counts as a complaint is decided here (RULES P14): that somebody called the message abuse, or a fraud. A
//! complaint is for good (L16), so nothing counts as one that a person may not have meant.

use mail_parser::{Message, MimeHeaders as _};

use super::letter::Kind;
use crate::mail::{Address, AddressKey};
use crate::suppression::says_no_mailbox;

/// A recipient that was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Original-Recipient and Final-Recipient.
    pub recipients: Vec<AddressKey>,
    /// Enhanced status code (RFC 3463).
    pub status: String,
    /// What the far server said.
    pub diagnostic: String,
}

impl Failure {
    /// Whether there is no mailbox `address`, and there will not be one tomorrow (RULES P14). What is full, too
    /// large, refused as spam or not reachable now says nothing about the mailbox; nor does what became of an
    /// address that it was sent on to.
    pub(super) fn is_hard(&self, address: &AddressKey) -> bool {
        self.recipients.contains(address) && says_no_mailbox(&self.status)
    }
}

/// What `message` is, if it is a report (RFC 6522).
pub(super) fn read(message: &Message<'_>) -> Option<Kind> {
    let kind = message.content_type()?;
    if !(kind.ctype().eq_ignore_ascii_case("multipart") && kind.subtype()?.eq_ignore_ascii_case("report")) {
        return None;
    }
    let part = |subtype: &str| {
        message.parts.iter().find(|part| {
            part.content_type().is_some_and(|kind| {
                kind.ctype().eq_ignore_ascii_case("message")
                    && kind.subtype().is_some_and(|known| known.eq_ignore_ascii_case(subtype))
            })
        })
    };
    if let Some(report) = part("feedback-report") {
        return Some(feedback(&fields(report.contents())));
    }
    let status = part("delivery-status").or_else(|| part("global-delivery-status"));
    Some(match status {
        Some(status) => Kind::Returned(failures(status.contents())),
        None => Kind::Automatic("it is a report"),
    })
}

/// What a feedback report says, by its type (RFC 5965 3.1 and the registry of 7.3). The opt-out types stood in the
/// drafts of RFC 5965, and are still sent.
fn feedback(fields: &[(String, String)]) -> Kind {
    let mut types = fields.iter().filter(|(name, _)| name == "feedback-type");
    let (Some((_, kind)), None) = (types.next(), types.next()) else {
        return Kind::Unclear("it is a report that does not say of what type it is");
    };
    match keyword(kind).to_ascii_lowercase().as_str() {
        "abuse" | "fraud" => Kind::Complaint,
        "opt-out" | "opt-out-list" => Kind::OptOut,
        // RFC 6430.
        "not-spam" => Kind::Automatic("it says that a message was no spam"),
        // RFC 6591: a server's word about signatures, often about a message that nobody saw.
        "auth-failure" => Kind::Automatic("it is about authentication, and nobody complained"),
        "virus" => Kind::Unclear("it is a report of a virus, which is nobody's complaint"),
        // `other`, and what is not registered: any feedback that fits no type.
        _ => Kind::Unclear("it is a report of a type that says neither complaint nor opt-out"),
    }
}

/// The recipients of a DSN that were given up (RFC 3464 2.3).
fn failures(status: &[u8]) -> Vec<Failure> {
    let text = String::from_utf8_lossy(status).replace("\r\n", "\n");
    let groups = text.split("\n\n").map(|group| fields(group.as_bytes()));
    groups
        .filter(|fields| {
            value(fields, "action").is_some_and(|action| keyword(action).eq_ignore_ascii_case("failed"))
        })
        .map(|fields| Failure {
            recipients: ["original-recipient", "final-recipient"]
                .iter()
                .filter_map(|name| recipient(value(&fields, name)?))
                .collect(),
            status: value(&fields, "status").map(keyword).unwrap_or("5.0.0").to_owned(),
            diagnostic: value(&fields, "diagnostic-code").unwrap_or_default().to_owned(),
        })
        .collect()
}

/// The first word of a value, without the comment that may follow it (RFC 3464 2.3.4).
fn keyword(value: &str) -> &str {
    value.split(|c: char| c == '(' || c == ';' || c.is_whitespace()).next().unwrap_or_default()
}

/// The address of `rfc822; x@example.nl` (RFC 3464 2.3.1, RFC 6533 for `utf-8`), with a comment or none.
fn recipient(value: &str) -> Option<AddressKey> {
    let value = value.split_once(';').map_or(value, |(_, address)| address);
    let address = |text: &str| {
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        Address::parse(text).ok().map(|address| address.key().clone())
    };
    // A parenthesis may stand in a quoted local part.
    address(value).or_else(|| address(value.rsplit_once(" (")?.0))
}

/// `Name: value` lines, unfolded; names in lower case.
fn fields(bytes: &[u8]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = all.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            all.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    all
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unsubscribe::letter;

    const TOKEN: &str = "aeqaabcdefghijklmnopqrstuvwxyz234567aeqaabcdefghijklmnopqrstuvwxyz234567";

    fn read(text: &str) -> letter::Letter {
        letter::read(text.replace('\n', "\r\n").as_bytes(), false, &[]).unwrap()
    }

    fn report(kind: &str, body: &str) -> String {
        format!(
            "From: fbl@provider.example\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type={kind}; boundary=b\n\n--b\n\
             Content-Type: text/plain\n\nreport\n--b\n{body}\n--b\nContent-Type: message/rfc822\n\n\
             List-Unsubscribe: <https://x.nl/u/{TOKEN}>\nSubject: Nieuws\n\nDag\n--b--\n"
        )
    }

    fn arf(fields: &str) -> letter::Letter {
        read(&report(
            "feedback-report",
            &format!("Content-Type: message/feedback-report\n\n{fields}Version: 1\n"),
        ))
    }

    fn key(text: &str) -> AddressKey {
        Address::parse(text).unwrap().key().clone()
    }

    #[test]
    fn p14_a_report_is_a_complaint_only_if_somebody_complained() {
        let kind = |kind: &str| arf(&format!("Feedback-Type: {kind}\n")).kind;
        for complaint in ["abuse", "Abuse", "fraud", "abuse (by its reader)"] {
            assert_eq!(kind(complaint), Kind::Complaint, "{complaint}");
        }
        for opt_out in ["opt-out", "Opt-Out", "opt-out-list"] {
            assert_eq!(kind(opt_out), Kind::OptOut, "{opt_out}");
        }
        for nothing in ["not-spam", "auth-failure"] {
            assert!(matches!(kind(nothing), Kind::Automatic(_)), "{nothing}");
        }
        for unclear in ["virus", "other", "dkim", "not-abuse", "abuser", ""] {
            assert!(matches!(kind(unclear), Kind::Unclear(_)), "{unclear}");
        }
        assert!(matches!(arf("").kind, Kind::Unclear(_)), "no type");
        let two = arf("Feedback-Type: auth-failure\nFeedback-Type: abuse\n");
        assert!(matches!(two.kind, Kind::Unclear(_)), "which of two?");
        assert_eq!(arf("Feedback-Type: abuse\n").tokens, [TOKEN]);
    }

    #[test]
    fn p14_a_dsn_says_who_was_given_up() {
        let dsn = report(
            "delivery-status",
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.b.nl\n\n\
             Final-Recipient: rfc822; a@b.nl\nAction: failed\nStatus: 5.1.1\n\
             Diagnostic-Code: smtp; 550 5.1.1\n no such user\n\n\
             Final-Recipient: rfc822; c@b.nl\nAction: delayed\nStatus: 4.2.2\n",
        );
        let Kind::Returned(failures) = read(&dsn).kind else { panic!("{dsn}") };
        assert_eq!(failures.len(), 1, "what is delayed was not given up");
        assert!(
            failures[0].is_hard(&key("a@b.nl")) && failures[0].diagnostic == "smtp; 550 5.1.1 no such user"
        );
        for (status, hard) in
            [("5.1.1", true), ("5.2.1", true), ("5.2.2", false), ("5.7.1", false), ("4.4.1", false)]
        {
            let (recipients, diagnostic) = (vec![key("a@b.nl")], String::new());
            let failure = Failure { recipients, status: status.to_owned(), diagnostic };
            assert_eq!(failure.is_hard(&key("A@b.nl")), hard, "{status}");
            assert!(
                !failure.is_hard(&key("c@b.nl")),
                "{status}: it was sent on to an address that is not there"
            );
        }
    }

    #[test]
    fn p14_comments_in_a_dsn_change_nothing() {
        for (recipient, action, status, hard) in [
            ("rfc822; a@b.nl", "failed", "5.1.1 (bad destination mailbox address)", true),
            ("rfc822; a@b.nl", "failed (permanently)", "5.1.1(no such user)", true),
            ("rfc822; <a@b.nl> (A. Jansen)", "Failed", "5.1.1\n (no such user)", true),
            ("rfc822; a@b.nl (was \"a (b)\")", "failed", "5.1.1", false),
            ("rfc822; a@b.nl", "failed", "5.2.2 (5.1.1)", false),
            ("rfc822; a@b.nl", "failed", "(5.1.1) 5.2.2", false),
            ("rfc822; a@b.nl", "failed", "5.1.1.1", false),
        ] {
            let group = format!("Final-Recipient: {recipient}\nAction: {action}\nStatus: {status}\n");
            let failures = failures(group.as_bytes());
            assert_eq!(failures.len(), 1, "{group}");
            assert_eq!(failures[0].is_hard(&key("a@b.nl")), hard, "{group}");
        }
        assert_eq!(
            failures(b"Final-Recipient: rfc822; a@b.nl\nAction: delayed (failed)\nStatus: 5.1.1\n"),
            []
        );
    }
}
