//! A message as it comes in: never more in memory than it may be, and thrown away as soon as it is
//! clear that it will be refused.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::limits::{Held, Limits};
use crate::smtp::data::{Defects, defects};
use crate::smtp::reply::Reply;

use super::Timeouts;

/// First allocation for a message of unknown size, in octets.
const FIRST: usize = 16 << 10;
/// Room beside the announced SIZE, which counts without dots but may be a little off.
const SLACK: usize = 1 << 10;

/// A message that is coming in.
#[derive(Debug)]
pub(super) struct Body {
    octets: BytesMut,
    held: Held,
    limit: u64,
    announced: Option<usize>,
    /// Octets that came, kept or not.
    received: u64,
    /// When it has to be there.
    pub(super) deadline: Instant,
    /// Time spent waiting for its octets.
    pub(super) waited: Duration,
    /// Why nothing is kept any more.
    refusal: Option<Reply>,
}

/// A message that is there, with its share of the memory budget.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) message: Bytes,
    pub(super) held: Held,
}

impl Body {
    /// An empty one; `announced` is the SIZE of MAIL.
    pub(super) fn new(limits: &Limits, limit: u64, announced: Option<u64>, deadline: Instant) -> Self {
        Self {
            octets: BytesMut::new(),
            held: limits.memory().share(),
            limit,
            announced: announced.and_then(|size| usize::try_from(size).ok()),
            received: 0,
            deadline,
            waited: Duration::ZERO,
            refusal: None,
        }
    }

    /// Get room for `more` octets; if there is none, the message is given up.
    pub(super) async fn reserve(&mut self, more: usize) {
        if self.refusal.is_some() {
            return;
        }
        let needed = self.octets.len() + more;
        if needed > self.octets.capacity() {
            let doubled = (self.octets.capacity() * 2).max(FIRST);
            let guess = self.announced.map_or(doubled, |size| doubled.min(size + SLACK));
            let capacity = needed.max(guess);
            if self.held.cover(capacity).await.is_err() {
                self.give_up(Reply::out_of_memory());
                return;
            }
            self.octets.reserve(capacity - self.octets.len());
        }
    }

    /// Add octets for which [`Body::reserve`] got room.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.received = self.received.saturating_add(octets.len() as u64);
        if self.received > self.limit {
            self.give_up(Reply::too_large(self.limit));
        }
        if self.refusal.is_none() {
            self.octets.extend_from_slice(octets);
        }
    }

    /// Octets that came and are not part of it.
    pub(super) fn pass(&mut self, octets: usize) {
        self.received = self.received.saturating_add(octets as u64);
    }

    /// How long its client may take for the next octets: up to `data_block`, and in all no longer than the
    /// deadline and the least rate allow.
    pub(super) fn patience(&self, timeouts: &Timeouts) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wait = timeouts.data_block.min(left);
        if timeouts.data_rate == 0 {
            return wait;
        }
        let earned = Duration::from_secs(self.received / timeouts.data_rate);
        wait.min((timeouts.data_block + earned).saturating_sub(self.waited))
    }

    /// Octets that came, kept or not.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Why the message will be refused, as far as it is known.
    pub(super) fn refusal(&self) -> Option<&Reply> {
        self.refusal.as_ref()
    }

    fn give_up(&mut self, reply: Reply) {
        if self.refusal.is_none() {
            self.octets = BytesMut::new();
            self.held.release();
            self.refusal = Some(reply);
        }
    }

    /// The message, or why it is refused. `defects` is what its reader found wrong with its lines.
    pub(super) fn finish(self, defects: Defects) -> Result<Whole, Reply> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        if let Some(defect) = defects.describe() {
            return Err(Reply::malformed(defect));
        }
        Ok(Whole { message: self.octets.freeze(), held: self.held })
    }

    /// The message that came in chunks (RFC 3030). A last line without CRLF gets one here, before
    /// anything is decided or hashed: the next hop may only take DATA, where there is no other form.
    pub(super) async fn finish_chunks(mut self) -> Result<Whole, Reply> {
        if !self.octets.is_empty() && !self.octets.ends_with(b"\r\n") {
            self.reserve(2).await;
            self.push(b"\r\n");
        }
        let defects = defects(&self.octets);
        self.finish(defects)
    }
}
