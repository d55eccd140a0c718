//! One message over one connection, and what became of it for each recipient.
//!
//! Three ways, by what the next hop can do: the whole transaction in one write (PIPELINING and CHUNKING,
//! small message, warm connection); the envelope in one write, then the message; or step by step. What
//! decides between *deferred* and *in doubt* is only this: whether the octets that end the message were
//! handed to the system in full. Without them no server has the message.

use std::io::IoSlice;
use std::time::Duration;

use tokio::time::timeout;

use super::{Connection, commands};
use crate::relay::failure::{Failure, Phase};
use crate::relay::{Answer, Copy, Fate};
use crate::smtp::data::{self, DotEncoder};

/// Messages up to this size go out with their envelope, in one write; larger ones wait until somebody
/// wants them.
const ONE_WRITE: usize = 256 * 1024;
/// Recipients whose replies may be outstanding (RFC 2920 3.1): with more, a next hop that cannot get rid of its replies
/// stops reading, and each side waits for the other.
const GROUP: usize = 100;
/// Octets written under one `data_block` timeout.
const BLOCK: usize = 64 * 1024;
/// How long we listen to a next hop that no longer reads.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What came of one transaction.
#[derive(Debug)]
pub(in crate::relay) struct Sent {
    /// In the order of the copy's recipients.
    pub fates: Vec<Fate>,
    /// Whether the connection may be used again.
    pub usable: bool,
    /// The next hop had already gone, or said 421, before it answered anything: nothing was taken, and a
    /// fresh connection may be tried at once.
    pub untouched: bool,
}

/// Where a recipient stands.
#[derive(Debug, Clone)]
enum Standing {
    /// Its RCPT is not answered yet.
    Asked,
    /// 2xx.
    Accepted,
    /// Answered with what is no answer to RCPT; the end of the message will tell.
    Odd(Failure),
    /// It will not get this message now.
    Out(Failure),
}

/// Why this copy cannot go to a next hop with these abilities at all.
pub(in crate::relay) fn obstacle(copy: &Copy, connection: &Connection) -> Option<Failure> {
    let able = &connection.capabilities;
    match able.size {
        _ if copy.smtputf8 && !able.smtputf8 => Some(Failure::LacksSmtpUtf8),
        _ if copy.eight_bit && !able.eight_bit => Some(Failure::LacksEightBit),
        Some(limit) if copy.rope.len() as u64 > limit => Some(Failure::TooLarge(limit)),
        _ => None,
    }
}

/// The same failure for every recipient.
pub(in crate::relay) fn all_deferred(copy: &Copy, failure: &Failure) -> Vec<Fate> {
    copy.recipients.iter().map(|_| fate(failure)).collect()
}

/// A failure as what it means for a recipient whose message was not taken.
fn fate(failure: &Failure) -> Fate {
    if failure.retryable() { Fate::Deferred(failure.answer()) } else { Fate::Refused(failure.answer()) }
}

/// After these the far side's state is unknown, or it is leaving.
fn is_fatal(failure: &Failure) -> bool {
    match failure {
        Failure::Said(answer) => answer.code == 421,
        _ => true,
    }
}

/// One transaction under way.
struct Transaction<'a> {
    connection: &'a mut Connection,
    copy: &'a Copy,
    standing: Vec<Standing>,
    /// The octets that end the message were written in full.
    handed_over: bool,
    /// Anything was answered, other than 421 to the first command.
    touched: bool,
}

impl Connection {
    /// Send `copy`. `warm`: the connection answered a moment ago, so the whole transaction may be risked in
    /// one write. The caller has asked [`obstacle`] and [`data::check`].
    pub(in crate::relay) async fn send(&mut self, copy: &Copy, warm: bool) -> Sent {
        self.messages += 1;
        let standing = vec![Standing::Asked; copy.recipients.len()];
        let able = &self.capabilities;
        let few = copy.recipients.len() <= GROUP;
        let whole = able.pipelining && able.chunking && warm && few && copy.rope.len() <= ONE_WRITE;
        let mut transaction =
            Transaction { connection: self, copy, standing, handed_over: false, touched: false };
        let end = if whole { transaction.whole().await } else { transaction.by_parts().await };
        transaction.close(end)
    }
}

impl Transaction<'_> {
    /// MAIL, RCPT, BDAT and the message in one write; then all replies. `Ok` is the answer to the message.
    async fn whole(&mut self) -> Result<Answer, Failure> {
        let copy = self.copy;
        let able = &self.connection.capabilities;
        let mut head = commands::mail(copy, able);
        copy.recipients.iter().for_each(|recipient| head.push_str(&commands::rcpt(recipient, able)));
        head.push_str(&format!("BDAT {} LAST\r\n", copy.rope.len()));
        let pieces: Vec<&[u8]> = std::iter::once(head.as_bytes()).chain(copy.rope.chunks()).collect();
        self.handed_over = write_block(self.connection, &pieces).await.is_ok();
        // A next hop that refuses and closes while we write may have said why: read on.
        let odd = match self.expect(Phase::Mail, 2).await {
            Ok(_) => None,
            Err(failure @ Failure::Unexpected(..)) => Some(failure),
            Err(failure) => {
                if !is_fatal(&failure) {
                    self.skip_replies(self.copy.recipients.len() + 1).await;
                    self.reset().await;
                }
                return Err(failure);
            }
        };
        self.read_recipients().await?;
        if let Some(odd) = odd {
            for standing in &mut self.standing {
                if !matches!(standing, Standing::Out(_)) {
                    *standing = Standing::Odd(odd.clone());
                }
            }
        }
        let end = self.expect(Phase::End, 2).await;
        match &end {
            // It says it took a message for nobody: its word is worth nothing.
            Ok(_) if !self.anybody() => self.connection.broken = true,
            Ok(_) => {}
            Err(_) => self.reset().await,
        }
        end
    }

    /// The envelope first, then the message, so that nothing is sent that nobody wants.
    async fn by_parts(&mut self) -> Result<Answer, Failure> {
        let chunking = self.connection.capabilities.chunking;
        let mut asked_data = false;
        if self.connection.capabilities.pipelining {
            asked_data = self.in_groups(!chunking).await?;
        } else {
            self.step_by_step().await?;
        }
        if let Some(refusal) = self.nobody() {
            self.forget_data(asked_data).await;
            self.reset().await;
            return Err(refusal);
        }
        let sent = if chunking { self.send_chunk().await } else { self.send_data(asked_data).await };
        if let Err(failure) = sent {
            return Err(self.last_words(failure).await);
        }
        self.handed_over = true;
        let end = self.expect(Phase::End, 2).await;
        if chunking && end.is_err() {
            self.reset().await;
        }
        end
    }

    /// A next hop that closes while the message is on its way may have said why.
    async fn last_words(&mut self, failure: Failure) -> Failure {
        if !matches!(failure, Failure::Lost(..)) {
            return failure;
        }
        match timeout(LAST_WORDS, self.expect(Phase::Data, 3)).await {
            Ok(Err(said @ Failure::Said(_))) => said,
            _ => failure,
        }
    }

    /// MAIL and the RCPTs, a group in one write. Says whether DATA went with the last one (RFC 2920 3.1: it may end a
    /// group), if it should.
    async fn in_groups(&mut self, with_data: bool) -> Result<bool, Failure> {
        let copy = self.copy;
        let mut lines = commands::mail(copy, &self.connection.capabilities);
        let mut asked_data = false;
        for (at, group) in (0..).step_by(GROUP).zip(copy.recipients.chunks(GROUP)) {
            let able = &self.connection.capabilities;
            group.iter().for_each(|recipient| lines.push_str(&commands::rcpt(recipient, able)));
            if with_data && at + group.len() == copy.recipients.len() {
                lines.push_str("DATA\r\n");
                asked_data = true;
            }
            self.write(lines.as_bytes()).await?;
            lines.clear();
            if at == 0
                && let Err(failure) = self.expect(Phase::Mail, 2).await
            {
                if !is_fatal(&failure) {
                    self.skip_replies(group.len()).await;
                    self.forget_data(asked_data).await;
                }
                return Err(failure);
            }
            for place in at..at + group.len() {
                self.read_recipient(place).await?;
            }
        }
        Ok(asked_data)
    }

    async fn step_by_step(&mut self) -> Result<(), Failure> {
        let mail = commands::mail(self.copy, &self.connection.capabilities);
        self.write(mail.as_bytes()).await?;
        self.expect(Phase::Mail, 2).await?;
        for at in 0..self.copy.recipients.len() {
            let rcpt = commands::rcpt(&self.copy.recipients[at], &self.connection.capabilities);
            self.write(rcpt.as_bytes()).await?;
            self.read_recipient(at).await?;
        }
        Ok(())
    }

    /// The replies to all RCPTs; `Err` when there is no use in reading on.
    async fn read_recipients(&mut self) -> Result<(), Failure> {
        for at in 0..self.copy.recipients.len() {
            self.read_recipient(at).await?;
        }
        Ok(())
    }

    async fn read_recipient(&mut self, at: usize) -> Result<(), Failure> {
        self.standing[at] = match self.expect(Phase::Rcpt, 2).await {
            Ok(_) => Standing::Accepted,
            // The message is on its way already, so its end will tell; else we stop before it.
            Err(failure @ Failure::Unexpected(..)) if self.handed_over => Standing::Odd(failure),
            Err(failure) if is_fatal(&failure) => return Err(failure),
            Err(failure) => Standing::Out(failure),
        };
        Ok(())
    }

    fn anybody(&self) -> bool {
        self.nobody().is_none()
    }

    /// When all recipients are refused: the first refusal.
    fn nobody(&self) -> Option<Failure> {
        let mut first = None;
        for standing in &self.standing {
            match standing {
                Standing::Out(failure) => first = first.or_else(|| Some(failure.clone())),
                Standing::Asked | Standing::Accepted | Standing::Odd(_) => return None,
            }
        }
        first
    }

    /// RFC 3030: the length first, then the octets as they are.
    async fn send_chunk(&mut self) -> Result<(), Failure> {
        let head = format!("BDAT {} LAST\r\n", self.copy.rope.len());
        let copy = self.copy;
        let pieces = copy.rope.chunks().flat_map(|chunk| chunk.chunks(BLOCK));
        let mut pending = vec![head.as_bytes()];
        let mut size = head.len();
        for piece in pieces {
            if size + piece.len() > BLOCK && size > head.len() {
                write_block(self.connection, &pending).await?;
                pending.clear();
                size = 0;
            }
            pending.push(piece);
            size += piece.len();
        }
        write_block(self.connection, &pending).await
    }

    /// DATA, then the message with its dots stuffed; its last lines and the final dot in one write.
    async fn send_data(&mut self, asked: bool) -> Result<(), Failure> {
        if !asked {
            self.write(b"DATA\r\n").await?;
        }
        self.expect_data().await?;
        let unfit = |error: data::Unsendable| Failure::Unfit(error.to_string());
        let mut encoder = DotEncoder::new();
        let mut block = Vec::with_capacity(self.copy.rope.len().min(BLOCK) + 1024);
        let copy = self.copy;
        for piece in copy.rope.chunks().flat_map(|chunk| chunk.chunks(BLOCK)) {
            if block.len() + piece.len() > BLOCK && !block.is_empty() {
                self.write(&block).await?;
                block.clear();
            }
            let encoded = encoder.encode(piece, |octets| block.extend_from_slice(octets));
            if let Err(error) = encoded {
                // Asked before the first octet, so this cannot be; if it is, the message is never ended.
                self.connection.broken = true;
                return Err(unfit(error));
            }
        }
        match encoder.finish() {
            Ok(end) => block.extend_from_slice(end),
            Err(error) => {
                self.connection.broken = true;
                return Err(unfit(error));
            }
        }
        self.write(&block).await
    }

    async fn expect_data(&mut self) -> Result<(), Failure> {
        match self.expect(Phase::Data, 3).await {
            Ok(_) => Ok(()),
            Err(failure) => {
                if !is_fatal(&failure) {
                    self.reset().await;
                }
                Err(failure)
            }
        }
    }

    /// DATA went out before it was known that nobody is accepted. RFC 2920 3.1: a server that answers 354
    /// all the same gets a lone dot.
    async fn forget_data(&mut self, asked: bool) {
        if !asked {
            return;
        }
        if self.expect(Phase::Data, 3).await.is_ok() {
            let took = self.write(b".\r\n").await.is_err() || self.expect(Phase::End, 2).await.is_ok();
            self.connection.broken |= took;
        }
    }

    /// RFC 3030 2: after a failed BDAT the state is indeterminate until RSET; and a MAIL that came to
    /// nothing is still open.
    async fn reset(&mut self) {
        if self.connection.broken {
            return;
        }
        if self.write(b"RSET\r\n").await.is_err() || self.expect(Phase::Rcpt, 2).await.is_err() {
            self.connection.broken = true;
        }
    }

    /// Read replies to commands that came to nothing.
    async fn skip_replies(&mut self, count: usize) {
        for _ in 0..count {
            match self.expect(Phase::Rcpt, 2).await {
                // It accepts what follows a MAIL that it refused: its state is not ours.
                Ok(_) => self.connection.broken = true,
                Err(failure) if is_fatal(&failure) => return,
                Err(_) => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for block in bytes.chunks(ONE_WRITE * 2) {
            write_block(self.connection, &[block]).await?;
        }
        Ok(())
    }

    /// The next reply, which should be of `class`.
    async fn expect(&mut self, phase: Phase, class: u16) -> Result<Answer, Failure> {
        let timeouts = self.connection.timeouts;
        let limit: Duration = match phase {
            Phase::End => timeouts.data_end,
            Phase::Data => timeouts.data_start,
            _ => timeouts.command,
        };
        let answer = Answer::from(self.connection.response(phase, limit).await?);
        let result = match answer.code {
            421 => Err(Failure::Said(answer)),
            code if code / 100 == class => Ok(answer),
            400..=599 => Err(Failure::Said(answer)),
            _ => Err(Failure::Unexpected(phase, answer)),
        };
        match &result {
            Err(Failure::Said(answer)) if answer.code == 421 => self.connection.broken = true,
            Err(Failure::Unexpected(..)) => {
                self.connection.broken = true;
                self.touched = true;
            }
            Ok(_) | Err(_) => self.touched = true,
        }
        result
    }

    /// What `end` means for each recipient.
    fn close(self, end: Result<Answer, Failure>) -> Sent {
        let fates = self.standing.iter().map(|standing| self.fate_of(standing, &end)).collect();
        let gone = match &end {
            Err(Failure::Lost(..)) => !self.handed_over,
            Err(Failure::Said(answer)) => answer.code == 421,
            _ => false,
        };
        Sent { fates, usable: !self.connection.broken, untouched: gone && !self.touched }
    }

    fn fate_of(&self, standing: &Standing, end: &Result<Answer, Failure>) -> Fate {
        match (standing, end) {
            (Standing::Out(failure), _) => fate(failure),
            (Standing::Odd(failure), Ok(_)) => in_doubt(failure),
            (Standing::Odd(failure), Err(Failure::Said(_))) => fate(failure),
            (Standing::Asked | Standing::Accepted, Ok(answer)) => Fate::Relayed(answer.clone()),
            (_, Err(failure @ Failure::Said(_))) => fate(failure),
            (_, Err(failure)) if self.handed_over => in_doubt(failure),
            (_, Err(failure)) => fate(failure),
        }
    }
}

fn in_doubt(failure: &Failure) -> Fate {
    Fate::InDoubt(Failure::InDoubt(failure.to_string()).answer())
}

/// Write up to a block, within its timeout, as few calls as the stream allows.
async fn write_block(connection: &mut Connection, pieces: &[&[u8]]) -> Result<(), Failure> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let limit = connection.timeouts.data_block;
    let failure = match timeout(limit, connection.link.write_slices(&mut slices)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => Failure::Lost(Phase::Data, error.to_string()),
        Err(_) => Failure::Timeout(Phase::Data),
    };
    connection.broken = true;
    Err(failure)
}
