//! smtp-proto, another reader of SMTP commands, as an oracle: where both accept a command they must have
//! read the same one.
//!
//! Where they differ by intention, and the property looks away or translates:
//! * smtp-proto drops the quotes of a quoted local part; ours keeps them. Compared without.
//! * it decodes the xtext of ENVID and ORCPT; ours keeps it as it came. No `+` is generated.
//! * it accepts parameters that are not offered here (BY, MT-PRIORITY, BODY=BINARYMIME, ...), commands
//!   likewise (LHLO, ETRN, BURL), addresses without a domain, and a parameter given twice; ours refuses.
//! * it ends a line at a bare LF; our lines are cut before the parser sees them.

use proptest::prelude::*;
use sluis::mail::{Body, Recipient, Ret, ReversePath};
use sluis::smtp::command::{Command, Mail};
use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::{
    MAIL_BODY_8BITMIME, MAIL_RET_FULL, MAIL_RET_HDRS, MAIL_SMTPUTF8, MailFrom, RCPT_NOTIFY_DELAY,
    RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_NEVER, RCPT_NOTIFY_SUCCESS, RcptTo, Request,
};

/// The local part without quotes and escapes.
fn unquoted(address: &str) -> String {
    let Some(rest) = address.strip_prefix('"') else {
        return address.to_owned();
    };
    let mut plain = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            '"' => break,
            c => plain.push(c),
        }
    }
    plain + chars.as_str()
}

fn same_mail(ours: &Mail, theirs: &MailFrom<std::borrow::Cow<'_, str>>) -> Result<(), TestCaseError> {
    let address = match &ours.reverse_path {
        ReversePath::Null => String::new(),
        ReversePath::Address(address) => unquoted(address.as_str()),
    };
    prop_assert_eq!(address, theirs.address.as_ref());
    prop_assert_eq!(ours.size.unwrap_or(0), theirs.size as u64);
    prop_assert_eq!(ours.body == Body::EightBitMime, theirs.flags & MAIL_BODY_8BITMIME != 0);
    prop_assert_eq!(ours.smtputf8, theirs.flags & MAIL_SMTPUTF8 != 0);
    prop_assert_eq!(ours.ret == Some(Ret::Full), theirs.flags & MAIL_RET_FULL != 0);
    prop_assert_eq!(ours.ret == Some(Ret::Headers), theirs.flags & MAIL_RET_HDRS != 0);
    prop_assert_eq!(ours.envid.as_deref(), theirs.env_id.as_deref());
    Ok(())
}

fn same_rcpt(ours: &Recipient, theirs: &RcptTo<std::borrow::Cow<'_, str>>) -> Result<(), TestCaseError> {
    prop_assert_eq!(unquoted(ours.address.as_str()), theirs.address.as_ref());
    let flag = |bit| theirs.flags & bit != 0;
    match ours.notify {
        None => prop_assert!(!flag(RCPT_NOTIFY_NEVER) && !flag(RCPT_NOTIFY_FAILURE)),
        Some(notify) => {
            prop_assert_eq!(notify.success, flag(RCPT_NOTIFY_SUCCESS));
            prop_assert_eq!(notify.failure, flag(RCPT_NOTIFY_FAILURE));
            prop_assert_eq!(notify.delay, flag(RCPT_NOTIFY_DELAY));
        }
    }
    Ok(())
}

fn agree(line: &str) -> Result<(), TestCaseError> {
    let wire = format!("{line}\r\n");
    let theirs = Request::parse(&mut wire.as_bytes().iter());
    let ours = Command::parse(line.as_bytes());
    match (ours, theirs) {
        (Ok(Command::Mail(ours)), Ok(Request::Mail { from })) => same_mail(&ours, &from),
        (Ok(Command::Rcpt(ours)), Ok(Request::Rcpt { to })) => same_rcpt(&ours, &to),
        (Ok(Command::Bdat { size, last }), Ok(Request::Bdat { chunk_size, is_last })) => {
            prop_assert_eq!((size, last), (chunk_size as u64, is_last));
            Ok(())
        }
        (Ok(Command::Ehlo(ours)), Ok(Request::Ehlo { host }))
        | (Ok(Command::Helo(ours)), Ok(Request::Helo { host })) => {
            prop_assert_eq!(ours, host.trim());
            Ok(())
        }
        (Ok(ours), Ok(theirs)) => {
            let name = format!("{ours:?}").to_uppercase();
            prop_assert!(name.starts_with(theirs.name()), "{line:?}: {ours:?} and {theirs:?}");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z!#$%&'*+/=?^_`{|}~.-]{1,12}@[a-z0-9-]{1,8}\\.(nl|example)",
        "\"[a-z @<>.\\\\]{0,6}\"@[a-z]{1,6}\\.nl",
        "[a-z]{1,5}",
        "@[a-z]{1,3}(,@[a-z]{1,3})?:[a-z]{1,3}@[a-z]{1,3}",
        "[a-zéü日]{1,6}@[a-zéü]{1,6}\\.example",
        Just(String::new()),
    ]
}

fn parameter() -> impl Strategy<Value = String> {
    prop_oneof![
        "SIZE=[0-9]{0,12}",
        "(BODY|body)=(7BIT|8BITMIME|8bitmime|BINARYMIME|X)",
        "SMTPUTF8(=1)?",
        "RET=(FULL|HDRS|full|X)",
        "ENVID=[a-zA-Z0-9.]{0,8}",
        "NOTIFY=(NEVER|SUCCESS|FAILURE|DELAY)(,(SUCCESS|FAILURE|DELAY))?",
        "ORCPT=rfc822;[a-z]{1,4}@[a-z]{1,4}",
        "[A-Z]{2,6}(=[a-z0-9]{0,4})?",
    ]
}

fn line() -> impl Strategy<Value = String> {
    let path = |verb: &'static str| {
        (address(), proptest::collection::vec(parameter(), 0..4), "[ ]{0,2}").prop_map(
            move |(address, parameters, space)| {
                let mut line = format!("{verb}{space}<{address}>");
                for parameter in parameters {
                    line.push(' ');
                    line.push_str(&parameter);
                }
                line
            },
        )
    };
    prop_oneof![
        4 => path("MAIL FROM:"),
        4 => path("rcpt to:"),
        1 => "(EHLO|HELO|ehlo) [a-z0-9_.:\\[\\]-]{0,20}",
        1 => "BDAT +[0-9]{0,8}( LAST| last| X)?",
        1 => "(DATA|RSET|NOOP|QUIT|STARTTLS|VRFY|EXPN|HELP|noop|AUTH PLAIN|FOO)( [a-z]{0,5})?",
        1 => "[A-Za-z<>@: .=]{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_both_readers_accept_they_read_alike(line in line()) {
        agree(&line)?;
    }
}

#[test]
fn the_oracle_has_something_to_say() {
    for line in [
        "MAIL FROM:<a@b.nl> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=abc",
        "RCPT TO:<\"b b\"@c.nl> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b",
        "BDAT 12 LAST",
        "EHLO my.host",
    ] {
        let wire = format!("{line}\r\n");
        assert!(Command::parse(line.as_bytes()).is_ok(), "{line}");
        assert!(Request::parse(&mut wire.as_bytes().iter()).is_ok(), "{line}");
        agree(line).unwrap();
    }
}

/// docs/decisions/0001 rests on this: when it changes, look again.
#[test]
fn why_the_oracle_is_not_the_gate() {
    let address = |wire: &str| match Request::parse(&mut wire.as_bytes().iter()) {
        Ok(Request::Rcpt { to }) => to.address.into_owned(),
        other => panic!("{wire:?}: {other:?}"),
    };
    assert_eq!(address("RCPT TO:<\"b b\"@c.nl>\r\n"), "b b@c.nl", "the quotes are lost");
    assert_eq!(address("RCPT TO:<a@c.nl>\n"), "a@c.nl", "a bare LF ends a line");
    let mut rest = b"hi\r\n.\r\r\nMAIL FROM:<a@b.nl>\r\n".iter();
    assert!(DataReceiver::new().ingest(&mut rest, &mut Vec::new()), "CRLF . CR CRLF ends a message");
    assert_eq!(rest.as_slice(), b"MAIL FROM:<a@b.nl>\r\n");
}
