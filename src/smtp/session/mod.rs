//! The automaton of a submission session, without IO (RFC 5321 4.1.4; RULES P1 to P5).
//!
//! [`Session::step`] takes what happened and says what to do; the caller has no choice but to do it and
//! to come back with the outcome. The transaction is an owned value: MAIL makes it, RCPT fills it, DATA
//! or the last BDAT moves it out, so that nothing of it can be left for the next one (promise 9).
//!
//! Whatever a client sends is answered; a client that only makes mistakes is closed out (promise 10).
//! A BDAT whose size cannot be read ends the session, because nobody knows where its octets end.
//! Deliberately absent: sockets, timeouts, passwords, and policy; a recipient is accepted when the
//! answer to [`Action::Screen`] says so.

mod exchange;

use std::sync::Arc;

use crate::mail::{Address, Envelope, Recipient};

use super::capability::Capabilities;
use super::command::{Command, CommandError, Mail};
use super::line::Expect;
use super::reply::{Excess, Reply};
use super::sasl::{Exchange, SaslError, Step};

pub use exchange::{Action, Chunk, Identity, Input, Terms, Tolerance};

/// A session between two steps.
#[derive(Debug)]
pub struct Session {
    terms: Arc<Terms>,
    state: State,
    /// What EHLO or HELO said, and whether it was EHLO.
    helo: Option<(String, bool)>,
    tls: bool,
    identity: Option<Identity>,
    counts: Counts,
    /// Transactions begun so far: the number of the present one.
    transactions: u64,
}

/// What [`Tolerance`] bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    errors: u32,
    refused_recipients: u32,
    idle_commands: u32,
    commands: u64,
    sign_in_failures: u32,
}

#[derive(Debug)]
enum State {
    /// Nobody said EHLO yet.
    Start,
    /// Between transactions.
    Ready,
    /// After MAIL.
    Mail(Transaction),
    /// Waiting for the answer about one recipient.
    Screening(Transaction, Recipient),
    /// After a first BDAT; how many octets came so far.
    Chunks(Transaction, u64),
    /// A BDAT was refused: the ones that follow get the same answer, up to LAST or RSET.
    ChunksRefused(Reply),
    /// In an AUTH exchange, waiting for a line.
    Answering(Exchange),
    /// Waiting for the password check.
    Checking,
    /// Waiting for the TLS handshake.
    Handshake,
    /// Nothing more will be said.
    Closed,
}

#[derive(Debug)]
struct Transaction {
    envelope: Envelope,
    refused: usize,
}

impl Session {
    /// A session that was just opened; `tls` for a listener with implicit TLS.
    pub fn new(terms: Arc<Terms>, tls: bool) -> Self {
        Self {
            terms,
            state: State::Start,
            helo: None,
            tls,
            identity: None,
            counts: Counts::default(),
            transactions: 0,
        }
    }

    /// Take the next step.
    #[must_use]
    pub fn step(mut self, input: Input) -> (Self, Action) {
        if matches!(input, Input::Command(_) | Input::BadLine(_) | Input::AuthResponse(_)) {
            self.counts.commands += 1;
            if self.counts.commands > self.terms.tolerance.commands {
                return self.send_away(Excess::Commands);
            }
        }
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, input) {
            (State::Closed, _) => {
                let bye = Reply::bye(&self.terms.hostname);
                (self, Action::Close(bye))
            }
            (State::Screening(transaction, recipient), Input::Screened(verdict)) => {
                self.screened(transaction, recipient, verdict)
            }
            (State::Answering(exchange), Input::AuthResponse(line)) => {
                self.sign_in_step(exchange.respond(&line))
            }
            (State::Answering(_), Input::BadLine(_)) => {
                self.state = State::Ready;
                self.mistake(Reply::sasl_line_too_long())
            }
            (State::Checking, Input::SignedIn(outcome)) => self.signed_in(outcome),
            (State::Chunks(..) | State::ChunksRefused(_), Input::ChunkLost(reply)) => {
                self.state = State::ChunksRefused(reply.clone());
                (self, Action::Reply(reply))
            }
            (_, Input::ChunkLost(reply)) => {
                self.state = State::Ready;
                (self, Action::Reply(reply))
            }
            (state, Input::Taken) => {
                self.state = state;
                let Counts { commands, sign_in_failures, .. } = self.counts;
                self.counts = Counts { commands, sign_in_failures, ..Counts::default() };
                (self, Action::Listen)
            }
            (State::Handshake, Input::TlsStarted) => {
                let fresh = Self { counts: self.counts, ..Self::new(Arc::clone(&self.terms), true) };
                (fresh, Action::Listen)
            }
            (state, Input::BadLine(error)) => {
                self.state = state;
                self.mistake(Reply::bad_line(error))
            }
            (state, Input::Command(Err(error))) => {
                if error == CommandError::ChunkSize {
                    return (self, Action::Close(Reply::bad_command(&error)));
                }
                self.state = state;
                self.mistake(Reply::bad_command(&error))
            }
            (state, Input::Command(Ok(command))) => self.command(state, command),
            // The caller answered a question that was not asked: it lost track, and so must we.
            (_, Input::Screened(_) | Input::SignedIn(_) | Input::AuthResponse(_) | Input::TlsStarted) => {
                (self, Action::Close(Reply::interrupted()))
            }
        }
    }

    fn command(mut self, state: State, command: Command) -> (Self, Action) {
        if is_idle(&state, &command) {
            self.counts.idle_commands += 1;
            if self.counts.idle_commands > self.terms.tolerance.idle_commands {
                return self.send_away(Excess::IdleCommands);
            }
        }
        match (state, command) {
            (_, Command::Quit) => {
                let bye = Reply::bye(&self.terms.hostname);
                (self, Action::Close(bye))
            }
            (_, Command::Lhlo(name)) if self.terms.lmtp => self.hello(name, true),
            // RFC 2033 4.1: whoever says the other one takes us for something else.
            (state, Command::Ehlo(_) | Command::Helo(_)) if self.terms.lmtp => self.no_such(state),
            (state, Command::Lhlo(_)) => self.no_such(state),
            (_, Command::Ehlo(name)) => self.hello(name, true),
            (_, Command::Helo(name)) => self.hello(name, false),
            (State::Start, Command::Rset) => self.say(State::Start, Reply::ok()),
            (_, Command::Rset) => self.say(State::Ready, Reply::ok()),
            (state, Command::Noop) => self.say(state, Reply::ok()),
            (state, Command::Help) => self.say(state, Reply::help()),
            (state, Command::Vrfy) => self.say(state, Reply::vrfy()),
            (state, Command::Expn) => self.say(state, Reply::not_offered()),
            (state @ (State::Start | State::Ready), Command::StartTls) => self.start_tls(state),
            (state @ State::Ready, Command::Auth { mechanism, initial }) => {
                if let Some(reply) = self.sign_in_objection() {
                    self.state = state;
                    return self.mistake(reply);
                }
                let step = Exchange::begin(&mechanism, &self.terms.auth, initial.as_ref());
                self.sign_in_step(step)
            }
            (State::Ready, Command::Mail(mail)) => self.mail(mail),
            (State::Mail(transaction), Command::Rcpt(recipient)) => self.rcpt(transaction, recipient),
            (State::Mail(transaction), Command::Data) => self.data(transaction),
            (_, Command::Bdat { .. }) if !self.terms.chunking => (self, Action::Close(Reply::not_offered())),
            (state, Command::Bdat { size, last }) => self.bdat(state, size, last),
            (state, command) => {
                let hint = hint(&state, &command);
                self.state = state;
                self.mistake(Reply::out_of_order(hint))
            }
        }
    }

    fn say(mut self, state: State, reply: Reply) -> (Self, Action) {
        self.state = state;
        (self, Action::Reply(reply))
    }

    fn no_such(mut self, state: State) -> (Self, Action) {
        self.state = state;
        self.mistake(Reply::bad_command(&CommandError::Unknown))
    }

    /// Answer a mistake; after too many of them, close.
    fn mistake(mut self, reply: Reply) -> (Self, Action) {
        self.counts.errors += 1;
        if self.counts.errors > self.terms.tolerance.errors {
            return self.send_away(Excess::Errors);
        }
        (self, Action::Reply(reply))
    }

    /// Close, as the client does too much of something.
    fn send_away(mut self, excess: Excess) -> (Self, Action) {
        self.state = State::Closed;
        let reply = Reply::too_many(&self.terms.hostname, excess);
        (self, Action::Close(reply))
    }

    fn hello(mut self, name: String, extended: bool) -> (Self, Action) {
        let reply = if extended {
            Reply::capabilities(self.capabilities().lines(&self.terms.hostname))
        } else {
            Reply::hello(&self.terms.hostname)
        };
        self.helo = Some((name, extended));
        self.say(State::Ready, reply)
    }

    fn capabilities(&self) -> Capabilities {
        let auth = if self.tls || self.terms.auth_without_tls { &self.terms.auth[..] } else { &[] };
        Capabilities {
            pipelining: true,
            eight_bit: true,
            smtputf8: self.terms.smtputf8,
            chunking: self.terms.chunking,
            enhanced: true,
            dsn: true,
            starttls: self.terms.starttls && !self.tls,
            size_offered: true,
            size: Some(self.terms.size_limit),
            auth: auth.iter().map(|mechanism| mechanism.as_str().to_owned()).collect(),
        }
    }

    fn start_tls(mut self, state: State) -> (Self, Action) {
        self.state = state;
        if self.tls {
            return self.mistake(Reply::out_of_order("TLS is on already"));
        }
        if !self.terms.starttls {
            return self.mistake(Reply::not_offered());
        }
        self.state = State::Handshake;
        (self, Action::StartTls(Reply::start_tls()))
    }

    fn sign_in_objection(&self) -> Option<Reply> {
        if self.identity.is_some() {
            Some(Reply::out_of_order("signed in already"))
        } else if self.terms.auth.is_empty() {
            Some(Reply::not_offered())
        } else if !self.tls && !self.terms.auth_without_tls {
            Some(Reply::auth_needs_tls())
        } else {
            None
        }
    }

    fn sign_in_step(mut self, step: Result<Step, SaslError>) -> (Self, Action) {
        self.state = State::Ready;
        match step {
            Ok(Step::Challenge(exchange, challenge)) => {
                self.say(State::Answering(exchange), Reply::challenge(challenge))
            }
            Ok(Step::Credentials(credentials)) => {
                self.state = State::Checking;
                (self, Action::SignIn(credentials))
            }
            Err(SaslError::Mechanism) => self.mistake(Reply::unknown_mechanism()),
            Err(SaslError::Cancelled) => self.mistake(Reply::sign_in_cancelled()),
            Err(SaslError::Malformed) => self.mistake(Reply::bad_sasl_response()),
            Err(error @ SaslError::Authorization) => self.mistake(Reply::sign_in_failed(error.to_string())),
        }
    }

    fn signed_in(mut self, outcome: Result<Identity, Reply>) -> (Self, Action) {
        let reply = match outcome {
            Ok(identity) => {
                self.identity = Some(identity);
                return self.say(State::Ready, Reply::signed_in());
            }
            Err(reply) => reply,
        };
        self.counts.sign_in_failures += u32::from(reply.is_permanent());
        if reply.code == 421 {
            return (self, Action::Close(reply));
        }
        if self.counts.sign_in_failures >= self.terms.tolerance.sign_in_failures {
            let log = reply.to_string();
            return (self, Action::Close(Reply::sign_in_throttled().logged(log)));
        }
        self.say(State::Ready, reply)
    }

    fn mail(mut self, mail: Mail) -> (Self, Action) {
        self.state = State::Ready;
        if self.terms.auth_required && self.identity.is_none() {
            let tls_first = self.terms.starttls && !self.tls && !self.terms.auth_without_tls;
            let reply = if tls_first { Reply::starttls_first() } else { Reply::sign_in_first() };
            return self.mistake(reply);
        }
        if mail.size.is_some_and(|size| size > self.terms.size_limit) {
            let limit = self.terms.size_limit;
            return self.say(State::Ready, Reply::announced_too_large(limit));
        }
        if mail.smtputf8 && !self.terms.smtputf8 {
            return self.say(State::Ready, Reply::needs_smtputf8());
        }
        if !mail.smtputf8 && mail.reverse_path.address().is_some_and(Address::is_internationalized) {
            return self.say(State::Ready, Reply::address_needs_smtputf8(false));
        }
        self.transactions += 1;
        let envelope = Envelope {
            reverse_path: mail.reverse_path,
            recipients: Vec::new(),
            body: mail.body,
            smtputf8: mail.smtputf8,
            size: mail.size,
            ret: mail.ret,
            envid: mail.envid,
        };
        self.say(State::Mail(Transaction { envelope, refused: 0 }), Reply::sender_ok())
    }

    fn rcpt(mut self, mut transaction: Transaction, recipient: Recipient) -> (Self, Action) {
        if self.counts.refused_recipients >= self.terms.tolerance.refused_recipients {
            return self.send_away(Excess::RefusedRecipients);
        }
        let envelope = &transaction.envelope;
        // Refused ones count, too: each costs a look at the register and an entry (promise 10).
        if envelope.recipients.len() + transaction.refused >= self.terms.recipients {
            let limit = self.terms.recipients;
            return self.say(State::Mail(transaction), Reply::too_many_recipients(limit));
        }
        if recipient.address.is_internationalized() && !envelope.smtputf8 {
            transaction.refused += 1;
            self.counts.refused_recipients += 1;
            return self.say(State::Mail(transaction), Reply::address_needs_smtputf8(true));
        }
        let (reverse_path, address) = (envelope.reverse_path.clone(), recipient.address.clone());
        self.state = State::Screening(transaction, recipient);
        (self, Action::Screen { reverse_path, recipient: address })
    }

    fn screened(
        mut self,
        mut transaction: Transaction,
        recipient: Recipient,
        verdict: Result<(), Reply>,
    ) -> (Self, Action) {
        match verdict {
            Ok(()) => {
                transaction.envelope.recipients.push(recipient);
                self.say(State::Mail(transaction), Reply::recipient_ok())
            }
            Err(reply) => {
                transaction.refused += 1;
                self.counts.refused_recipients += u32::from(reply.is_permanent());
                self.say(State::Mail(transaction), reply)
            }
        }
    }

    fn data(mut self, transaction: Transaction) -> (Self, Action) {
        if let Some(reply) = no_recipients(&transaction) {
            let refused = transaction.refused > 0;
            self.state = State::Mail(transaction);
            // A client that pipelines asks before it can know that nobody is left (RFC 2920 3.1).
            return if refused { (self, Action::Reply(reply)) } else { self.mistake(reply) };
        }
        self.state = State::Ready;
        let envelope = Box::new(transaction.envelope);
        (self, Action::ReceiveData { envelope, reply: Reply::start_data() })
    }

    /// A chunk's octets follow whatever the answer is, so every path reads them.
    fn bdat(mut self, state: State, size: u64, last: bool) -> (Self, Action) {
        let (transaction, received) = match state {
            State::Mail(transaction) => match no_recipients(&transaction) {
                None => (transaction, 0),
                // As for DATA.
                Some(reply) if transaction.refused > 0 => {
                    return self.discard(State::Mail(transaction), size, reply);
                }
                Some(reply) => return self.refuse_chunk(State::Mail(transaction), size, reply),
            },
            State::Chunks(transaction, received) => (transaction, received),
            State::ChunksRefused(reply) => {
                let next = if last { State::Ready } else { State::ChunksRefused(reply.clone()) };
                return self.discard(next, size, reply);
            }
            state => return self.refuse_chunk(state, size, Reply::out_of_order("MAIL and RCPT first")),
        };
        let total = received.saturating_add(size);
        if total > self.terms.size_limit {
            let reply = Reply::too_large(self.terms.size_limit);
            let next = if last { State::Ready } else { State::ChunksRefused(reply.clone()) };
            return self.discard(next, size, reply);
        }
        let number = self.transactions;
        let then = if last {
            self.state = State::Ready;
            Chunk::Deliver(Box::new(transaction.envelope))
        } else {
            self.state = State::Chunks(transaction, total);
            Chunk::Keep(Reply::chunk_ok(size))
        };
        (self, Action::ReceiveChunk { transaction: number, size, then })
    }

    fn discard(mut self, state: State, size: u64, reply: Reply) -> (Self, Action) {
        self.state = state;
        let transaction = self.transactions;
        (self, Action::ReceiveChunk { transaction, size, then: Chunk::Discard(reply) })
    }

    fn refuse_chunk(mut self, state: State, size: u64, reply: Reply) -> (Self, Action) {
        self.state = state;
        match self.mistake(reply) {
            (session, Action::Reply(reply)) => {
                let transaction = session.transactions;
                (session, Action::ReceiveChunk { transaction, size, then: Chunk::Discard(reply) })
            }
            closing => closing,
        }
    }
}

/// What the caller needs to know between steps.
impl Session {
    /// What the next line is.
    pub fn expects(&self) -> Expect {
        match self.state {
            State::Answering(_) => Expect::AuthResponse,
            _ => Expect::Command,
        }
    }

    /// Whether a transaction has begun and was not moved out: a stopping server lets it finish.
    pub fn in_transaction(&self) -> bool {
        matches!(self.state, State::Mail(_) | State::Screening(..) | State::Chunks(..))
    }

    /// The transaction whose chunks are being kept; octets of any other one can be let go.
    pub fn chunks_of(&self) -> Option<u64> {
        matches!(self.state, State::Chunks(..)).then_some(self.transactions)
    }

    /// What EHLO or HELO said, with `?` for characters that could mean something in a Received header.
    pub fn helo(&self) -> String {
        let name = self.helo.as_ref().map_or("", |(name, _)| name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        name.chars().map(|c| if plain(c) { c } else { '?' }).collect()
    }

    /// Who signed in.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether the session runs under TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether replies of the present transaction may hold UTF-8 (RFC 6531 3.7.4.2).
    pub fn smtputf8(&self) -> bool {
        match &self.state {
            State::Mail(transaction) | State::Screening(transaction, _) | State::Chunks(transaction, _) => {
                transaction.envelope.smtputf8
            }
            _ => false,
        }
    }

    /// The protocol for Received (RFC 3848, RFC 6531 4.3).
    pub fn protocol(&self, smtputf8: bool) -> &'static str {
        let extended = self.helo.as_ref().is_some_and(|(_, extended)| *extended);
        match (smtputf8, self.tls, self.identity.is_some()) {
            (true, false, false) => "UTF8SMTP",
            (true, true, false) => "UTF8SMTPS",
            (true, false, true) => "UTF8SMTPA",
            (true, true, true) => "UTF8SMTPSA",
            (false, false, false) if !extended => "SMTP",
            (false, false, false) => "ESMTP",
            (false, true, false) => "ESMTPS",
            (false, false, true) => "ESMTPA",
            (false, true, true) => "ESMTPSA",
        }
    }
}

fn no_recipients(transaction: &Transaction) -> Option<Reply> {
    match (transaction.envelope.recipients.is_empty(), transaction.refused) {
        (false, _) => None,
        (true, 0) => Some(Reply::out_of_order("RCPT first")),
        (true, _) => Some(Reply::no_valid_recipients()),
    }
}

/// Whether a command is one that brings no message forward. A RSET that ends a transaction with a refused
/// recipient is how a tool goes on to the next one.
fn is_idle(state: &State, command: &Command) -> bool {
    match command {
        Command::Noop | Command::Vrfy | Command::Expn | Command::Help => true,
        Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_) | Command::Rset => {
            !matches!(state, State::Mail(transaction) if transaction.refused > 0)
        }
        _ => false,
    }
}

/// What should have come first.
fn hint(state: &State, command: &Command) -> &'static str {
    match (state, command) {
        (State::Start, _) => "EHLO first",
        (State::Chunks(..) | State::ChunksRefused(_), _) => "BDAT has begun: BDAT LAST or RSET first",
        (_, Command::Mail(_)) => "a transaction has begun: RSET first",
        (_, Command::Rcpt(_) | Command::Data) => "MAIL first",
        (_, Command::StartTls | Command::Auth { .. }) => "not during a transaction",
        _ => "not now",
    }
}

#[cfg(test)]
mod tests;
