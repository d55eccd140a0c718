//! Replies: the only place where reply text is spelled.

/// A reply to the client, with what the log keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Enhanced status code (RFC 2034), where one is due.
    pub enhanced: Option<String>,
    /// One or more lines of text for the peer; no CR or LF in any.
    pub lines: Vec<String>,
    /// What the log keeps beside it.
    pub log: Option<String>,
}
