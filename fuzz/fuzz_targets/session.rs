//! The session, from several states it was driven to: it answers everything, keeps its limits, hands out
//! a transaction once, and says nothing more once it is closed.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sluis::smtp::command::Command;
use sluis::smtp::line::Expect;
use sluis::smtp::reply::Reply;
use sluis::smtp::session::{Action, Chunk, Identity, Input, Session, Terms, Tolerance};

const RECIPIENTS: usize = 3;
const SIZE_LIMIT: u64 = 1000;

const BEFORE: &[&[&str]] = &[
    &[],
    &["EHLO x"],
    &["EHLO x", "MAIL FROM:<a@b.nl>"],
    &["EHLO x", "MAIL FROM:<a@b.nl> SMTPUTF8", "RCPT TO:<c@d.nl>"],
    &["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>", "BDAT 10"],
    &["EHLO x", "MAIL FROM:<a@b.nl>", "RCPT TO:<c@d.nl>", "BDAT 1001"],
    &["EHLO x", "AUTH LOGIN"],
    &["EHLO x", "STARTTLS", "EHLO x"],
];

struct Walk {
    session: Session,
    /// Transactions begun and not handed out or ended, and octets of the present one.
    octets: u64,
    coin: u8,
}

impl Walk {
    fn line(mut self, line: &[u8]) -> Option<Self> {
        let input = match self.session.expects() {
            Expect::AuthResponse => Input::AuthResponse(line.to_vec()),
            Expect::Command => Input::Command(Command::parse(line)),
        };
        let mut pending = Some(input);
        while let Some(input) = pending.take() {
            let (session, action) = self.session.step(input);
            self.session = session;
            pending = self.answer(action)?;
        }
        Some(self)
    }

    fn yes(&mut self) -> bool {
        self.coin = self.coin.rotate_left(1);
        self.coin & 1 == 1
    }

    /// `None` when the session is over.
    fn answer(&mut self, action: Action) -> Option<Option<Input>> {
        let next = match action {
            Action::Reply(reply) => {
                let bytes = reply.to_bytes();
                assert!(bytes.ends_with(b"\r\n") && bytes.len() > 5);
                None
            }
            Action::Listen => None,
            Action::Close(_) => return None,
            Action::StartTls(_) => {
                assert!(!self.session.is_tls());
                Some(Input::TlsStarted)
            }
            Action::SignIn(credentials) => {
                assert!(self.session.is_tls(), "no password in the clear");
                Some(Input::SignedIn(if self.yes() {
                    Ok(Identity { account: credentials.name, senders: vec![] })
                } else {
                    Err(Reply::sign_in_failed("no"))
                }))
            }
            Action::Screen { .. } => {
                assert!(self.session.in_transaction());
                let verdict = if self.yes() { Ok(()) } else { Err(Reply::refused("no")) };
                Some(Input::Screened(verdict))
            }
            Action::ReceiveData { envelope, .. } => {
                assert!((1..=RECIPIENTS).contains(&envelope.recipients.len()));
                assert!(!self.session.in_transaction());
                None
            }
            Action::ReceiveChunk { transaction, size, then } => self.chunk(transaction, size, then),
        };
        if self.session.chunks_of().is_none() {
            self.octets = 0;
        }
        Some(next)
    }

    fn chunk(&mut self, transaction: u64, size: u64, then: Chunk) -> Option<Input> {
        match then {
            Chunk::Discard(reply) => assert!(!reply.is_positive()),
            Chunk::Keep(_) => {
                self.octets += size;
                assert!(self.octets <= SIZE_LIMIT);
                assert_eq!(self.session.chunks_of(), Some(transaction));
                if !self.yes() {
                    return Some(Input::ChunkLost(Reply::out_of_memory()));
                }
            }
            Chunk::Deliver(envelope) => {
                assert!(self.octets + size <= SIZE_LIMIT);
                assert!((1..=RECIPIENTS).contains(&envelope.recipients.len()));
                assert!(!self.session.in_transaction());
            }
        }
        None
    }
}

fuzz_target!(|data: &[u8]| {
    let [start, coin, input @ ..] = data else { return };
    let terms = Terms {
        hostname: "gate.example".to_owned(),
        starttls: true,
        auth: sluis::smtp::sasl::Mechanism::ALL.to_vec(),
        auth_without_tls: false,
        auth_required: false,
        smtputf8: true,
        lmtp: false,
        chunking: true,
        size_limit: SIZE_LIMIT,
        recipients: RECIPIENTS,
        tolerance: Tolerance::default(),
    };
    let before = BEFORE[usize::from(*start) % BEFORE.len()];
    let session = Session::new(Arc::new(terms), before.contains(&"AUTH LOGIN"));
    let mut walk = Walk { session, octets: 0, coin: 0xff };
    for line in before {
        walk = walk.line(line.as_bytes()).expect("the way there is open");
    }
    walk.coin = *coin;
    for line in input.split(|&octet| octet == b'\n') {
        match walk.line(line) {
            Some(next) => walk = next,
            None => return,
        }
    }
});
