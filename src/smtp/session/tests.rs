//! Tests of the room `smtp`: what it promises, rule by rule.

use super::*;
use crate::smtp::line::LineError;
use crate::smtp::sasl::Mechanism;

fn terms() -> Terms {
    Terms {
        hostname: "gate.example".to_owned(),
        starttls: true,
        auth: Mechanism::PASSWORD.to_vec(),
        auth_without_tls: false,
        auth_required: false,
        smtputf8: true,
        lmtp: false,
        chunking: true,
        size_limit: 1000,
        recipients: 100,
        tolerance: Tolerance { errors: 10, ..Tolerance::default() },
    }
}

/// A session that is walked through by lines; screening says yes.
struct Walk(Option<Session>);

impl Walk {
    fn new(terms: Terms) -> Self {
        Self(Some(Session::new(Arc::new(terms), false)))
    }

    fn give(&mut self, input: Input) -> Action {
        let (session, action) = self.0.take().unwrap().step(input);
        self.0 = Some(session);
        action
    }

    fn line(&mut self, line: &str) -> Action {
        match self.give(Input::Command(Command::parse(line.as_bytes()))) {
            Action::Screen { .. } => self.give(Input::Screened(Ok(()))),
            action => action,
        }
    }

    fn code(&mut self, line: &str) -> u16 {
        code(&self.line(line))
    }

    fn lines(&mut self, lines: &[&str]) -> Vec<u16> {
        lines.iter().map(|line| self.code(line)).collect()
    }
}

fn code(action: &Action) -> u16 {
    match action {
        Action::Reply(reply)
        | Action::Close(reply)
        | Action::StartTls(reply)
        | Action::ReceiveData { reply, .. }
        | Action::ReceiveChunk { then: Chunk::Keep(reply) | Chunk::Discard(reply), .. } => reply.code,
        Action::ReceiveChunk { then: Chunk::Deliver(_), .. } => 0,
        Action::SignIn(_) | Action::Screen { .. } | Action::Listen => 1,
    }
}

#[test]
fn a_transaction_is_moved_out_by_data() {
    let mut walk = Walk::new(terms());
    assert_eq!(walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>"]), [250, 250, 250]);
    let Action::ReceiveData { envelope, reply } = walk.line("DATA") else { panic!() };
    assert_eq!(reply.code, 354);
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(walk.code("DATA"), 503, "nothing of it is left");
    assert_eq!(walk.code("RCPT TO:<c@d.nl>"), 503);
    assert_eq!(walk.code("MAIL FROM:<>"), 250);
}

#[test]
fn what_comes_at_the_wrong_time_is_503() {
    for (before, line) in [
        (&[][..], "MAIL FROM:<a@b.nl>"),
        (&[], "AUTH PLAIN"),
        (&[], "DATA"),
        (&["EHLO x"], "RCPT TO:<c@d.nl>"),
        (&["EHLO x"], "DATA"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>"], "MAIL FROM:<a@b.nl>"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>"], "DATA"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>"], "BDAT 3"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>"], "STARTTLS"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>"], "AUTH PLAIN"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>", "RSET"], "RCPT TO:<c@d.nl>"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>", "EHLO y"], "RCPT TO:<c@d.nl>"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>", "BDAT 3"], "DATA"),
        (&["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>", "BDAT 3"], "RCPT TO:<e@f.nl>"),
    ] {
        let mut walk = Walk::new(terms());
        walk.lines(before);
        assert_eq!(walk.code(line), 503, "{before:?} then {line}");
    }
}

#[test]
fn p3_starttls_starts_the_session_over() {
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO before", "RSET"]);
    assert_eq!(walk.code("AUTH PLAIN AGEAYg=="), 538);
    assert!(matches!(walk.line("STARTTLS"), Action::StartTls(_)));
    walk.give(Input::TlsStarted);
    assert_eq!(walk.code("MAIL FROM:<a@b.nl>"), 503, "EHLO is forgotten");
    assert_eq!(walk.0.as_ref().unwrap().helo(), "");
    let Action::Reply(reply) = walk.line("EHLO after") else { panic!() };
    assert!(!reply.lines.contains(&"STARTTLS".to_owned()));
    assert!(reply.lines.contains(&"AUTH PLAIN LOGIN".to_owned()));
    assert_eq!(walk.code("STARTTLS"), 503);
}

#[test]
fn p3_no_sign_in_without_tls_unless_the_terms_say_so() {
    let mut walk = Walk::new(Terms { auth_required: true, ..terms() });
    walk.code("EHLO x");
    assert!(
        matches!(walk.line("MAIL FROM:<a@b.nl>"), Action::Reply(reply) if reply == Reply::starttls_first())
    );
    let mut walk = Walk::new(Terms { auth_required: true, auth_without_tls: true, ..terms() });
    walk.code("EHLO x");
    assert!(
        matches!(walk.line("MAIL FROM:<a@b.nl>"), Action::Reply(reply) if reply == Reply::sign_in_first())
    );
    assert!(matches!(walk.line("AUTH PLAIN AGEAYg=="), Action::SignIn(_)));
    let identity = Identity { account: "a".to_owned(), senders: vec![] };
    assert_eq!(code(&walk.give(Input::SignedIn(Ok(identity)))), 235);
    assert_eq!(walk.code("AUTH PLAIN AGEAYg=="), 503);
    assert_eq!(walk.code("MAIL FROM:<a@b.nl>"), 250);
    assert_eq!(walk.0.as_ref().unwrap().protocol(false), "ESMTPA");
}

#[test]
fn p4_the_third_failed_sign_in_closes() {
    let mut walk = Walk::new(Terms { auth_without_tls: true, ..terms() });
    walk.code("EHLO x");
    for expected in [535, 535, 421] {
        assert_eq!(walk.code("AUTH PLAIN AGEAYg=="), 1);
        assert_eq!(code(&walk.give(Input::SignedIn(Err(Reply::sign_in_failed("wrong"))))), expected);
    }
}

#[test]
fn p4_a_cancelled_or_overlong_exchange_ends_it() {
    let mut walk = Walk::new(Terms { auth_without_tls: true, ..terms() });
    walk.code("EHLO x");
    assert_eq!(walk.code("AUTH LOGIN"), 334);
    assert_eq!(walk.0.as_ref().unwrap().expects(), Expect::AuthResponse);
    assert_eq!(code(&walk.give(Input::AuthResponse(b"*".to_vec()))), 501);
    assert_eq!(walk.0.as_ref().unwrap().expects(), Expect::Command);
    assert_eq!(walk.code("AUTH LOGIN"), 334);
    assert_eq!(code(&walk.give(Input::BadLine(LineError::TooLong))), 500);
    assert_eq!(walk.code("AUTH GSSAPI"), 504);
    assert_eq!(walk.code("MAIL FROM:<a@b.nl>"), 250);
}

#[test]
fn p5_sizes_and_smtputf8_are_checked_at_mail_and_rcpt() {
    let mut walk = Walk::new(Terms { smtputf8: false, ..terms() });
    assert_eq!(
        walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl> SIZE=1001", "MAIL FROM:<a@b.nl> SMTPUTF8"]),
        [250, 552, 550]
    );
    assert_eq!(walk.lines(&["MAIL FROM:<\u{e9}@b.nl>", "MAIL FROM:<a@b.nl> SIZE=1000"]), [550, 250]);
    assert_eq!(walk.code("RCPT TO:<\u{e9}@b.nl>"), 553);
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO x", "MAIL FROM:<\u{e9}@b.nl> SMTPUTF8"]);
    assert_eq!(walk.code("RCPT TO:<\u{e9}@b.nl>"), 250);
}

#[test]
fn p1_a_hundred_recipients_and_no_more_than_the_limit() {
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>"]);
    for n in 0..100 {
        assert_eq!(walk.code(&format!("RCPT TO:<r{n}@b.nl>")), 250);
    }
    assert_eq!(walk.code("RCPT TO:<one-more@b.nl>"), 452);
    let Action::ReceiveData { envelope, .. } = walk.line("DATA") else { panic!() };
    assert_eq!(envelope.recipients.len(), 100);
}

#[test]
fn promise_10_refused_recipients_count_toward_the_limit() {
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>"]);
    for n in 0..100 {
        assert_eq!(walk.code(&format!("RCPT TO:<\u{e9}{n}@b.nl>")), 553);
    }
    assert_eq!(walk.code("RCPT TO:<c@d.nl>"), 452);
    assert_eq!(walk.lines(&["RSET", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>"]), [250, 250, 250]);
}

#[test]
fn when_all_recipients_were_refused_there_is_no_data() {
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>"]);
    let asked = walk.give(Input::Command(Command::parse(b"RCPT TO:<c@d.nl>")));
    assert!(matches!(asked, Action::Screen { .. }));
    assert_eq!(code(&walk.give(Input::Screened(Err(Reply::refused("no"))))), 550);
    assert_eq!(walk.code("DATA"), 554);
    assert!(matches!(
        walk.line("BDAT 5 LAST"),
        Action::ReceiveChunk { size: 5, then: Chunk::Discard(_), .. }
    ));
    assert_eq!(walk.code("RCPT TO:<e@f.nl>"), 250, "the transaction is still there");
}

#[test]
fn p5_chunks_are_counted_and_refused_ones_are_read() {
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>"]);
    assert!(matches!(walk.line("BDAT 600"), Action::ReceiveChunk { size: 600, then: Chunk::Keep(_), .. }));
    assert_eq!(walk.0.as_ref().unwrap().chunks_of(), Some(1));
    let over = walk.line("BDAT 401");
    assert!(
        matches!(&over, Action::ReceiveChunk { size: 401, then: Chunk::Discard(r), .. } if r.code == 552)
    );
    assert_eq!(walk.0.as_ref().unwrap().chunks_of(), None, "the octets kept so far can be let go");
    assert!(
        matches!(walk.line("BDAT 1"), Action::ReceiveChunk { then: Chunk::Discard(r), .. } if r.code == 552)
    );
    assert_eq!(walk.code("MAIL FROM:<a@b.nl>"), 503);
    assert!(
        matches!(walk.line("BDAT 0 LAST"), Action::ReceiveChunk { then: Chunk::Discard(r), .. } if r.code == 552)
    );
    assert_eq!(walk.lines(&["MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>"]), [250, 250]);
    let Action::ReceiveChunk { transaction: 2, size: 1000, then: Chunk::Deliver(envelope) } =
        walk.line("BDAT 1000 LAST")
    else {
        panic!()
    };
    assert_eq!(envelope.recipients.len(), 1);
    assert!(
        matches!(walk.line("BDAT 7"), Action::ReceiveChunk { size: 7, then: Chunk::Discard(r), .. } if r.code == 503)
    );
}

#[test]
fn promise_9_a_bdat_without_a_size_ends_the_session() {
    let mut walk = Walk::new(terms());
    walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>"]);
    assert!(matches!(walk.line("BDAT many"), Action::Close(_)));
    assert!(matches!(walk.line("NOOP"), Action::Close(_)));
}

#[test]
fn promise_10_a_client_that_only_makes_mistakes_is_closed_out() {
    let mut walk = Walk::new(terms());
    for _ in 0..10 {
        assert!(matches!(walk.line("FOO"), Action::Reply(_)));
    }
    assert!(matches!(walk.line("BDAT 1"), Action::Close(reply) if reply.code == 421));
}

#[test]
fn unknown_parameters_do_not_close() {
    let mut walk = Walk::new(terms());
    assert_eq!(walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl> FOO=1", "MAIL FROM:<a@b.nl>"]), [250, 555, 250]);
}

#[test]
fn the_helo_name_cannot_disturb_a_header() {
    let mut walk = Walk::new(terms());
    walk.code("EHLO my_pc (x) <y>;\u{e9}");
    assert_eq!(walk.0.as_ref().unwrap().helo(), "my_pc??x???y???");
}

#[test]
fn promise_10_ten_thousand_messages_on_one_session_reach_no_limit() {
    // A newsletter tool: a third of its list is refused, and now and then an address is none.
    let mut walk = Walk::new(Terms { tolerance: Tolerance::default(), ..terms() });
    assert_eq!(walk.code("EHLO tool"), 250);
    for n in 0..10_000 {
        assert_eq!(walk.code("MAIL FROM:<news@b.nl>"), 250, "message {n}");
        let parsed = Command::parse(format!("RCPT TO:<r{n}@d.nl>").as_bytes());
        assert!(matches!(walk.give(Input::Command(parsed)), Action::Screen { .. }));
        if n % 3 == 0 {
            let refusal = Reply::refused("no consent");
            assert_eq!(code(&walk.give(Input::Screened(Err(refusal)))), 550);
            assert_eq!(walk.lines(&["DATA", "RSET"]), [554, 250]);
        } else {
            assert_eq!(code(&walk.give(Input::Screened(Ok(())))), 250);
            assert_eq!(walk.code("DATA"), 354);
            assert!(matches!(walk.give(Input::Taken), Action::Listen));
        }
        if n % 100 == 0 {
            assert_eq!(
                walk.lines(&["MAIL FROM:<news@b.nl>", "RCPT TO:<no address>", "RSET"]),
                [250, 501, 250]
            );
        }
    }
    assert_eq!(walk.code("QUIT"), 221);
}

#[test]
fn promise_10_starttls_does_not_forgive() {
    let tolerance = Tolerance { errors: 2, ..Tolerance::default() };
    let mut walk = Walk::new(Terms { tolerance, ..terms() });
    assert_eq!(walk.lines(&["FOO", "FOO", "STARTTLS"]), [500, 500, 220]);
    assert!(matches!(walk.give(Input::TlsStarted), Action::Listen));
    assert_eq!(walk.code("FOO"), 421);
}

#[test]
fn promise_10_what_is_put_off_is_not_counted_as_refused() {
    let tolerance = Tolerance { refused_recipients: 1, ..Tolerance::default() };
    let mut walk = Walk::new(Terms { tolerance, ..terms() });
    assert_eq!(walk.lines(&["EHLO x", "MAIL FROM:<a@b.nl>"]), [250, 250]);
    for (answer, expected) in
        [(Reply::deferred("later"), 451), (Reply::deferred("later"), 451), (Reply::refused("no"), 550)]
    {
        walk.give(Input::Command(Command::parse(b"RCPT TO:<c@d.nl>")));
        assert_eq!(code(&walk.give(Input::Screened(Err(answer)))), expected);
    }
    assert_eq!(walk.code("RCPT TO:<c@d.nl>"), 421);
}
