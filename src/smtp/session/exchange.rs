//! What a session and its caller say to each other.

use crate::mail::{Address, Envelope, ReversePath, SenderId};
use crate::smtp::command::{Command, CommandError};
use crate::smtp::line::LineError;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{Credentials, Mechanism};

/// What a session is held to. Fixed when the connection opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Our name in greeting and EHLO.
    pub hostname: String,
    /// Whether it is LMTP that is spoken (RFC 2033).
    pub lmtp: bool,
    /// Whether STARTTLS can be had.
    pub starttls: bool,
    /// The ways to sign in; none when there is nothing to sign in to.
    pub auth: Vec<Mechanism>,
    /// Whether signing in is allowed without TLS (RULES P3: from loopback, if the config says so).
    pub auth_without_tls: bool,
    /// Whether MAIL needs a sign-in; false for clients of a trusted network.
    pub auth_required: bool,
    /// Whether SMTPUTF8 is offered: only when the next hop has it (RULES P5).
    pub smtputf8: bool,
    /// Whether BDAT can be had; without it, a BDAT ends the session, since its octets follow.
    pub chunking: bool,
    /// Largest message in octets.
    pub size_limit: u64,
    /// Most recipients of one message; RFC 5321 4.5.3.1.8 asks for at least 100.
    pub recipients: usize,
    /// What it may do before it is sent away.
    pub tolerance: Tolerance,
}

/// How much of what brings no message forward a session may do before it is closed with 421 (promise 10).
///
/// All but `commands` and `sign_in_failures` count from the last message that was taken: a session may
/// carry any number of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// Wrong commands.
    pub errors: u32,
    /// Recipients that were refused for good: each costs a look at the register and an entry.
    pub refused_recipients: u32,
    /// NOOP, RSET, VRFY, EXPN, HELP, EHLO and HELO. A RSET after a refused recipient is not counted: that
    /// is how a tool goes on to the next one, and `refused_recipients` bounds it.
    pub idle_commands: u32,
    /// Commands in all.
    pub commands: u64,
    /// Failed sign-ins.
    pub sign_in_failures: u32,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            errors: 20,
            refused_recipients: 1_000,
            idle_commands: 100,
            commands: 1_000_000,
            sign_in_failures: 3,
        }
    }
}

/// Who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The senders it is bound to; empty means any.
    pub senders: Vec<SenderId>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A command line came.
    Command(Result<Command, CommandError>),
    /// Something came that is no line.
    BadLine(LineError),
    /// A line came while [`super::Session::expects`] said [`crate::smtp::line::Expect::AuthResponse`].
    AuthResponse(Vec<u8>),
    /// The answer to [`Action::Screen`].
    Screened(Result<(), Reply>),
    /// The answer to [`Action::SignIn`].
    SignedIn(Result<Identity, Reply>),
    /// The octets of a chunk that was to be kept could not be kept.
    ChunkLost(Reply),
    /// A message of this session was taken.
    Taken,
    /// The handshake after [`Action::StartTls`] is done.
    TlsStarted,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Send this reply.
    Reply(Reply),
    /// Say nothing, take the next line.
    Listen,
    /// Send this reply and close.
    Close(Reply),
    /// Send this reply, drop what else was received, do the handshake, come back with
    /// [`Input::TlsStarted`].
    StartTls(Reply),
    /// Check these, come back with [`Input::SignedIn`].
    SignIn(Credentials),
    /// Ask whether this recipient may be accepted, come back with [`Input::Screened`].
    Screen {
        /// The transaction's sender.
        reverse_path: ReversePath,
        /// The recipient.
        recipient: Address,
    },
    /// Send this reply (354), read to the true end, admit the message, send the answer.
    ReceiveData {
        /// Whom it is for; the session has let go of it.
        envelope: Box<Envelope>,
        /// The 354.
        reply: Reply,
    },
    /// Read exactly `size` octets that follow the command, then do as `then` says.
    ReceiveChunk {
        /// The transaction they belong to: octets kept under another number are not part of it.
        transaction: u64,
        /// How many octets.
        size: u64,
        /// What to do with them.
        then: Chunk,
    },
}

/// What becomes of a chunk.
#[derive(Debug)]
pub enum Chunk {
    /// Add it to the transaction's octets and send this reply.
    Keep(Reply),
    /// Add it, admit the message, send the answer.
    Deliver(Box<Envelope>),
    /// Throw it away and send this reply.
    Discard(Reply),
}
