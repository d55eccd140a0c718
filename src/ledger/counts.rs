//! How many recipients met which fate since the ledger began: signed with each checkpoint, so that an entry
//! that is missing shows even to somebody who holds nothing but two checkpoints.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Event;

/// Recipients by fate, from the first entry on. What is purged later stays counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Admitted: a copy for them was about to go.
    pub accepted: u64,
    /// The next hop took it for them.
    pub sent: u64,
    /// Refused by policy.
    pub refused: u64,
    /// Refused for good by the next hop, or given up.
    pub bounced: u64,
    /// Cancelled while they waited.
    pub cancelled: u64,
}

/// Begins the line in the signed text of a checkpoint.
const WORD: &str = "counts ";

impl Counts {
    /// What one entry adds.
    pub fn of(event: &Event) -> Self {
        let mut counts = Self::default();
        match event {
            Event::Admitted(it) => counts.accepted = it.recipients.len() as u64,
            Event::Relayed(it) => counts.sent = it.recipients.len() as u64,
            Event::Refused { recipients, .. } => counts.refused = recipients.len() as u64,
            Event::Bounced(it) => counts.bounced = it.recipients.len() as u64,
            Event::Cancelled(it) => counts.cancelled = it.recipients.len() as u64,
            _ => {}
        }
        counts
    }

    /// Add what another entry adds.
    pub fn add(&mut self, other: Self) {
        for (sum, more) in self.fields_mut().into_iter().zip(other.fields()) {
            *sum = sum.saturating_add(more.1);
        }
    }

    /// The line of a checkpoint, `counts accepted=2 sent=1 …`, with its newline.
    pub fn line(&self) -> String {
        format!("{WORD}{self}\n")
    }

    /// Find the line among the extension lines of a checkpoint.
    pub fn in_lines(lines: &str) -> Option<Self> {
        let words = lines.lines().find_map(|line| line.strip_prefix(WORD))?;
        let mut counts = Self::default();
        let mut seen = 0;
        for word in words.split(' ') {
            let (name, number) = word.split_once('=')?;
            let at = counts.fields().iter().position(|(known, _)| *known == name)?;
            *counts.fields_mut()[at] = number.parse().ok()?;
            seen += 1;
        }
        (seen == counts.fields().len()).then_some(counts)
    }

    fn fields(&self) -> [(&'static str, u64); 5] {
        [
            ("accepted", self.accepted),
            ("sent", self.sent),
            ("refused", self.refused),
            ("bounced", self.bounced),
            ("cancelled", self.cancelled),
        ]
    }

    fn fields_mut(&mut self) -> [&mut u64; 5] {
        [&mut self.accepted, &mut self.sent, &mut self.refused, &mut self.bounced, &mut self.cancelled]
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, number)) in self.fields().into_iter().enumerate() {
            write!(f, "{}{name}={number}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_back_whole_or_not_at_all() {
        let counts = Counts { accepted: 12, sent: 9, refused: 3, bounced: 1, cancelled: 2 };
        assert_eq!(counts.line(), "counts accepted=12 sent=9 refused=3 bounced=1 cancelled=2\n");
        assert_eq!(Counts::in_lines(&format!("other line\n{}", counts.line())), Some(counts));
        for line in ["", "counts accepted=12", "counts accepted=x sent=9 refused=3 bounced=1 cancelled=2"] {
            assert_eq!(Counts::in_lines(line), None, "{line}");
        }
    }
}
