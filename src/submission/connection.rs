//! One connection: what the session asks for, done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::gateway::{Client, Submission};
use crate::mail::{Address, Envelope, ReversePath, SessionId};
use crate::policy;
use crate::relay::Login;
use crate::secret::random;
use crate::shutdown::Shutdown;
use crate::smtp::command::Command;
use crate::smtp::data::DotDecoder;
use crate::smtp::line::{Expect, LineSplitter};
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{Credentials, Mechanism};
use crate::smtp::session::{Action, Chunk, Identity, Input, Session, Terms};

use super::body::{Body, Whole};
use super::wire::{DATA_READ, Lost, Wire};
use super::{Journey, Settings, Tls};

/// Octets of a refused message that are read all the same, beyond twice the limit, before the
/// connection is closed.
const PATIENCE: u64 = 16 << 20;

/// Serve one client to its end. `ip` is its address. Never fails: what goes wrong is logged.
pub async fn serve<T, J>(stream: T, ip: IpAddr, settings: Arc<Settings>, journey: J, shutdown: Shutdown)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    J: Journey,
{
    let ip = ip.to_canonical();
    let id = SessionId::new(random(settings.entropy.as_ref()));
    let span = tracing::info_span!("session", %id, listener = %settings.name, %ip);
    let terms = Arc::new(terms(&settings, ip, &journey));
    let normalise = settings.normalise_bare_lf && terms.auth_required;
    let connection = Connection {
        wire: Wire::new(stream, normalise, settings.timeouts.write),
        id,
        ip,
        terms,
        settings,
        journey,
        shutdown,
        tls: None,
        chunks: None,
        failures: 0,
        login: None,
    };
    connection.run().instrument(span).await;
}

/// What the session is held to, by who the client is and what the next hop can do.
fn terms<J: Journey>(settings: &Settings, ip: IpAddr, journey: &J) -> Terms {
    let abilities = journey.abilities();
    let auth_required = !settings.trusts(ip);
    let next_hop = abilities.size.map_or(u64::MAX, |size| size.saturating_sub(settings.edit_room));
    Terms {
        hostname: settings.hostname.clone(),
        lmtp: settings.lmtp,
        starttls: matches!(settings.tls, Tls::StartTls(_)),
        auth: match (settings.pass_through, &settings.accounts) {
            (true, _) => journey.mechanisms(),
            (false, Some(_)) => Mechanism::PASSWORD.to_vec(),
            (false, None) => Vec::new(),
        },
        auth_without_tls: settings.loopback_auth_without_tls && ip.is_loopback(),
        auth_required,
        smtputf8: abilities.smtputf8,
        chunking: !(settings.lmtp || settings.normalise_bare_lf && auth_required),
        size_limit: settings.size_limit.min(next_hop),
        recipients: settings.recipients,
        tolerance: settings.tolerance,
    }
}

struct Connection<T, J> {
    wire: Wire<T>,
    id: SessionId,
    ip: IpAddr,
    terms: Arc<Terms>,
    settings: Arc<Settings>,
    journey: J,
    shutdown: Shutdown,
    /// TLS version.
    tls: Option<String>,
    /// The chunks of one transaction, and its number.
    chunks: Option<(u64, Body)>,
    /// Failed sign-ins.
    failures: u32,
    /// The client's account at the next hop.
    login: Option<Login>,
}

/// What follows an action.
enum Next {
    /// Take the next line.
    Listen,
    /// Take this step first.
    Step(Input),
    /// The connection is over.
    Close(Farewell),
}

/// How a connection ends from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// The client said QUIT.
    Bye,
    /// It did not.
    SentAway,
}

impl<T, J> Connection<T, J>
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    J: Journey,
{
    async fn run(mut self) {
        tracing::debug!("session opened");
        let outcome = self.converse().await;
        if matches!(outcome, Err(Lost::Timeout)) {
            self.wire.say(&Reply::timeout(&self.settings.hostname), false);
        }
        // After QUIT the client closes; after anything else it may still be sending.
        self.wire.close(!matches!(outcome, Ok(Farewell::Bye) | Err(Lost::Closed))).await;
        match outcome {
            Ok(_) => tracing::debug!("session closed"),
            Err(lost) => tracing::info!(reason = %lost, "session lost"),
        }
    }

    async fn converse(&mut self) -> Result<Farewell, Lost> {
        if let Tls::Implicit(config) = &self.settings.tls {
            let config = Arc::clone(config);
            self.tls = Box::pin(self.wire.start_tls(config, self.settings.timeouts.handshake)).await?;
        }
        let implicit = matches!(self.settings.tls, Tls::Implicit(_));
        let mut session = Session::new(Arc::clone(&self.terms), implicit);
        let mut splitter = LineSplitter::default();
        self.wire.say(&Reply::greeting(&self.settings.hostname), false);
        while let Some(first) = self.next_input(&session, &mut splitter).await? {
            let mut pending = Some(first);
            while let Some(input) = pending.take() {
                let (after, action) = session.step(input);
                session = after;
                if session.chunks_of() != self.chunks.as_ref().map(|(number, _)| *number)
                    && !matches!(action, Action::ReceiveChunk { .. })
                {
                    self.chunks = None;
                }
                match self.act(&session, action).await? {
                    Next::Listen => {}
                    Next::Step(input) => pending = Some(input),
                    Next::Close(farewell) => return Ok(farewell),
                }
            }
            if self.wire.is_full() {
                self.wire.flush().await?;
            }
        }
        Ok(Farewell::SentAway)
    }

    /// The next line; `None` when the connection is to end because a stop was requested.
    async fn next_input(
        &mut self,
        session: &Session,
        splitter: &mut LineSplitter,
    ) -> Result<Option<Input>, Lost> {
        let deadline = Instant::now() + self.settings.timeouts.command;
        loop {
            let idle = !session.in_transaction();
            if idle && self.shutdown.is_requested() {
                self.wire.say(&Reply::shutting_down(&self.settings.hostname), false);
                return Ok(None);
            }
            let expect = session.expects();
            match splitter.next(&mut self.wire.input, expect) {
                Some(Err(error)) => return Ok(Some(Input::BadLine(error))),
                Some(Ok(line)) if expect == Expect::AuthResponse => {
                    return Ok(Some(Input::AuthResponse(line.to_vec())));
                }
                Some(Ok(line)) => return Ok(Some(Input::Command(Command::parse(&line)))),
                None => {}
            }
            self.wire.flush().await?;
            tokio::select! {
                biased;
                () = self.shutdown.requested(), if idle => {}
                received = self.wire.receive(deadline.saturating_duration_since(Instant::now()), false) => received?,
            }
        }
    }

    /// What takes long is boxed: most of a session's life is waiting for its client, and the room that a message,
    /// a handshake or a sign-in needs is many times what that takes.
    async fn act(&mut self, session: &Session, action: Action) -> Result<Next, Lost> {
        match action {
            Action::Reply(reply) => {
                self.say(&reply, session.smtputf8());
                Ok(Next::Listen)
            }
            Action::Listen => Ok(Next::Listen),
            Action::Close(reply) => {
                self.say(&reply, false);
                let bye = reply.is_positive();
                Ok(Next::Close(if bye { Farewell::Bye } else { Farewell::SentAway }))
            }
            Action::StartTls(reply) => Box::pin(self.start_tls(&reply)).await,
            Action::SignIn(credentials) => {
                Ok(Next::Step(Input::SignedIn(Box::pin(self.sign_in(credentials)).await)))
            }
            Action::Screen { reverse_path, recipient } => {
                let verdict = Box::pin(self.screen(session, &reverse_path, &recipient)).await;
                Ok(Next::Step(Input::Screened(verdict)))
            }
            Action::ReceiveData { envelope, reply } => {
                Box::pin(self.receive_data(session, *envelope, &reply)).await
            }
            Action::ReceiveChunk { transaction, size, then } => {
                Box::pin(self.receive_chunk(session, transaction, size, then)).await
            }
        }
    }

    /// Put a reply on the wire, and into the log if it is no good news.
    fn say(&mut self, reply: &Reply, utf8: bool) {
        if !reply.is_positive() {
            let log = reply.log.as_deref().unwrap_or_default();
            tracing::info!(%reply, log, "refused");
        }
        self.wire.say(reply, utf8);
    }

    /// The answer to a whole message: in LMTP one for each recipient that was accepted (RFC 2033 4.2).
    fn say_of_message(&mut self, reply: &Reply, recipients: usize, utf8: bool) {
        self.say(reply, utf8);
        for _ in 1..if self.terms.lmtp { recipients } else { 1 } {
            self.wire.say(reply, utf8);
        }
    }

    async fn start_tls(&mut self, reply: &Reply) -> Result<Next, Lost> {
        let Tls::StartTls(config) = &self.settings.tls else {
            // The session offers STARTTLS only where there is a configuration for it.
            return Ok(Next::Close(Farewell::SentAway));
        };
        let config = Arc::clone(config);
        self.wire.say(reply, false);
        self.tls = self.wire.start_tls(config, self.settings.timeouts.handshake).await?;
        Ok(Next::Step(Input::TlsStarted))
    }

    async fn sign_in(&mut self, credentials: Credentials) -> Result<Identity, Reply> {
        let settings = Arc::clone(&self.settings);
        let limits = &settings.limits;
        let name = credentials.name.clone();
        if let Err(reached) = limits.may_sign_in(self.ip, &name) {
            return Err(Reply::sign_in_throttled().logged(format!("account {name:?}: {reached}")));
        }
        let outcome = match settings.pass_through {
            true => self.pass_on(credentials).await,
            false => self.check(credentials).await,
        };
        match &outcome {
            Ok(identity) => {
                tracing::info!(account = %identity.account, "signed in");
                limits.signed_in(self.ip, &name);
            }
            Err(reply) if reply.is_permanent() => {
                limits.sign_in_failed(self.ip, &name);
                self.failures += 1;
                tokio::time::sleep(settings.timeouts.sign_in_failure * self.failures).await;
            }
            Err(_) => {}
        }
        outcome
    }

    async fn check(&self, credentials: Credentials) -> Result<Identity, Reply> {
        let Some(accounts) = &self.settings.accounts else {
            return Err(Reply::sign_in_unavailable("no accounts"));
        };
        let name = credentials.name.clone();
        match accounts.check(credentials).await {
            Ok(Some(identity)) => Ok(identity),
            Ok(None) => Err(Reply::sign_in_failed(format!("account {name:?}"))),
            Err(error) => Err(Reply::sign_in_unavailable(error.to_string())),
        }
    }

    /// The session is bound to the account, and holds it until its end.
    async fn pass_on(&mut self, credentials: Credentials) -> Result<Identity, Reply> {
        let account = credentials.name.clone();
        self.login = Some(self.journey.sign_in(credentials).await?);
        Ok(Identity { account, senders: Vec::new() })
    }

    async fn screen(
        &self,
        session: &Session,
        reverse_path: &ReversePath,
        recipient: &Address,
    ) -> Result<(), Reply> {
        let account = session.identity().map(|identity| identity.account.as_str());
        let limits = &self.settings.limits;
        if let Err(reached) = limits.may_be_refused(account, self.ip) {
            return Err(Reply::too_many_refusals().logged(reached.to_string()));
        }
        let client = self.client(session, session.smtputf8());
        let answer = self.journey.screen(&client, reverse_path, recipient);
        match timeout(self.settings.timeouts.screen, answer).await {
            Ok(verdict) => {
                if verdict.as_ref().is_err_and(Reply::is_permanent) {
                    limits.recipient_refused(account, self.ip);
                }
                verdict
            }
            Err(_) => Err(Reply::unavailable("this recipient cannot be checked now", "screen timed out")),
        }
    }

    fn client(&self, session: &Session, smtputf8: bool) -> Client {
        let identity = session.identity();
        Client {
            session: self.id,
            connection: policy::Connection {
                ip: self.ip,
                account: identity.map(|identity| identity.account.clone()),
                senders: identity.map_or_else(
                    || self.settings.trusted_senders.clone(),
                    |identity| identity.senders.clone(),
                ),
            },
            helo: session.helo(),
            protocol: session.protocol(smtputf8),
            tls: self.tls.clone(),
            login: identity.and_then(|_| self.login.clone()),
        }
    }

    /// Whether the account, or the address in a trusted network, may send one more message; counted when
    /// it may.
    fn message_allowed(&self, session: &Session) -> Result<(), Reply> {
        let limits = &self.settings.limits;
        let account = session.identity().map(|identity| identity.account.as_str());
        limits
            .message(account, self.ip)
            .map_err(|reached| Reply::too_many_messages().logged(reached.to_string()))
    }

    async fn receive_data(
        &mut self,
        session: &Session,
        envelope: Envelope,
        go_on: &Reply,
    ) -> Result<Next, Lost> {
        if let Err(reply) = self.message_allowed(session) {
            self.say(&reply, envelope.smtputf8);
            return Ok(Next::Listen);
        }
        self.wire.say(go_on, false);
        let mut body = self.empty_body(envelope.size);
        let mut decoder = DotDecoder::new();
        loop {
            if self.wire.input.is_empty() {
                self.fill_message(&mut body).await?;
            }
            let piece = self.wire.input.len().min(DATA_READ);
            // One more than the piece: a CR that the decoder held back.
            body.reserve(piece + 1).await;
            let done = decoder.decode(&self.wire.input[..piece], |octets| body.push(octets));
            self.wire.input.advance(done.consumed);
            if done.end {
                break;
            }
            if let Some(reply) = self.out_of_patience(&body) {
                self.say(&reply, false);
                return Ok(Next::Close(Farewell::SentAway));
            }
        }
        let whole = body.finish(decoder.defects());
        Ok(self.admit(session, envelope, whole).await)
    }

    fn empty_body(&self, announced: Option<u64>) -> Body {
        let deadline = Instant::now() + self.settings.timeouts.message;
        Body::new(&self.settings.limits, self.terms.size_limit, announced, deadline)
    }

    /// The refusal to close with, when a client goes on and on with what will be refused.
    fn out_of_patience(&self, body: &Body) -> Option<Reply> {
        let enough = self.terms.size_limit.saturating_mul(2).saturating_add(PATIENCE);
        (body.received() > enough).then(|| body.refusal().cloned()).flatten()
    }

    /// Wait for more of a message, for as long as its client may still take.
    async fn fill_message(&mut self, body: &mut Body) -> Result<(), Lost> {
        let wait = body.patience(&self.settings.timeouts);
        if wait == Duration::ZERO {
            return Err(Lost::Timeout);
        }
        self.wire.flush().await?;
        let began = Instant::now();
        let received = self.wire.receive(wait, true).await;
        body.waited += began.elapsed();
        received
    }

    async fn receive_chunk(
        &mut self,
        session: &Session,
        transaction: u64,
        size: u64,
        then: Chunk,
    ) -> Result<Next, Lost> {
        let kept = match self.chunks.take() {
            Some((number, body)) if number == transaction => Some(body),
            _ => None,
        };
        let (announced, keep) = match &then {
            Chunk::Keep(_) => (None, true),
            // The last chunk is often the only one: its size is the message's.
            Chunk::Deliver(_) => (Some(size), true),
            Chunk::Discard(_) => (None, false),
        };
        let mut body = kept.unwrap_or_else(|| self.empty_body(announced));
        if body.deadline <= Instant::now() {
            return Err(Lost::Timeout);
        }
        if !self.read_chunk(size, &mut body, keep).await? {
            self.say(&Reply::too_large(self.terms.size_limit), false);
            return Ok(Next::Close(Farewell::SentAway));
        }
        match then {
            Chunk::Discard(reply) => self.say(&reply, false),
            Chunk::Keep(reply) => {
                if let Some(refusal) = body.refusal() {
                    let refusal = refusal.clone();
                    return Ok(Next::Step(Input::ChunkLost(refusal)));
                }
                self.chunks = Some((transaction, body));
                self.say(&reply, false);
            }
            Chunk::Deliver(envelope) => {
                let whole = match self.message_allowed(session) {
                    Ok(()) => body.finish_chunks().await,
                    Err(reply) => Err(reply),
                };
                return Ok(self.admit(session, *envelope, whole).await);
            }
        }
        Ok(Next::Listen)
    }

    /// Read exactly `size` octets into `body`, or away. False: they are more than will be read.
    async fn read_chunk(&mut self, size: u64, body: &mut Body, keep: bool) -> Result<bool, Lost> {
        if size > self.terms.size_limit.saturating_mul(2).saturating_add(PATIENCE) {
            return Ok(false);
        }
        let mut left = size;
        while left > 0 {
            if self.wire.input.is_empty() {
                self.fill_message(body).await?;
            }
            let available = self.wire.input.len().min(DATA_READ);
            let piece = usize::try_from(left).map_or(available, |left| left.min(available));
            if keep {
                body.reserve(piece).await;
                body.push(&self.wire.input[..piece]);
            } else {
                body.pass(piece);
            }
            self.wire.input.advance(piece);
            left -= piece as u64;
        }
        Ok(true)
    }

    /// Hand the message over and send what becomes of it. The journey is a task of its own: the client
    /// may hang up, the message goes its way.
    async fn admit(&mut self, session: &Session, envelope: Envelope, whole: Result<Whole, Reply>) -> Next {
        let (utf8, recipients) = (envelope.smtputf8, envelope.recipients.len());
        let Whole { message, held } = match whole {
            Ok(whole) => whole,
            Err(reply) => {
                self.say_of_message(&reply, recipients, utf8);
                return Next::Listen;
            }
        };
        let submission = Submission { client: self.client(session, utf8), envelope, message };
        let journey = self.journey.clone();
        let admit = async move {
            let reply = journey.admit(submission).await;
            drop(held);
            reply
        };
        let reply = match self.shutdown.spawn(admit.in_current_span()).await {
            Ok(reply) => reply,
            Err(error) => Reply::interrupted().logged(error.to_string()),
        };
        self.say_of_message(&reply, recipients, utf8);
        if reply.is_positive() { Next::Step(Input::Taken) } else { Next::Listen }
    }
}
