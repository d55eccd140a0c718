//! What can go wrong with a copy, by the questions an operator asks: is it this message, and would
//! another try help.

use super::Answer;

/// Where in the dialog it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Resolving and connecting.
    Connect,
    /// TLS handshake, STARTTLS included.
    Tls,
    /// The greeting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, or the message on its way.
    Data,
    /// The answer to the end of the message.
    End,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Tls => "starting TLS",
            Self::Greeting => "waiting for the greeting",
            Self::Hello => "EHLO",
            Self::Auth => "signing in",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "sending the message",
            Self::End => "waiting for the answer to the message",
        }
    }
}

impl std::fmt::Display for Phase {
    /// In words, for our own replies.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a recipient did not get a copy, or a connection could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No address, refused, unreachable.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// Every connection was busy for too long.
    #[error("no connection became free in time")]
    Busy,
    /// It takes no more messages in this minute.
    #[error("as many messages as it takes in a minute were sent")]
    OutOfTurn,
    /// The phase took too long.
    #[error("no answer in time while {0}")]
    Timeout(Phase),
    /// The connection was closed or reset.
    #[error("connection lost while {0}: {1}")]
    Lost(Phase, String),
    /// Not a reply of RFC 5321 4.2, or longer than our bounds.
    #[error("unreadable reply while {0}: {1}")]
    Malformed(Phase, String),
    /// A 2xx or 3xx that has no place here (RULES P15).
    #[error("unexpected reply while {0}: {1}")]
    Unexpected(Phase, Answer),
    /// TLS failed, or its certificate is not believed.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// STARTTLS is required and not offered (never downgraded).
    #[error("the next hop does not offer STARTTLS")]
    NoStartTls,
    /// Plain text came together with the answer to STARTTLS: somebody may be injecting replies.
    #[error("plain text after STARTTLS")]
    Injected,
    /// Credentials are configured and the next hop offers no mechanism that we may use.
    #[error("the next hop offers no way to sign in that may be used: {0}")]
    NoAuth(&'static str),
    /// It takes mail of accounts that sign in through us, and none of them is there for this copy.
    #[error("the account of this message is not signed in")]
    NobodySignedIn,
    /// A 4xx or 5xx before MAIL: about us, never about this message.
    #[error("the next hop said no while {0}: {1}")]
    Turned(Phase, Answer),
    /// A 4xx or 5xx to MAIL, RCPT, DATA or the message: the next hop's own words.
    #[error("{0}")]
    Said(Answer),
    /// The answer to the end of the message never came.
    #[error("the answer to the message was lost: {0}")]
    InDoubt(String),
    /// The envelope or header needs SMTPUTF8 and the next hop lacks it (RFC 6531).
    #[error("the next hop does not support SMTPUTF8")]
    LacksSmtpUtf8,
    /// The message has 8-bit octets and the next hop lacks 8BITMIME (RFC 6152).
    #[error("the next hop does not support 8BITMIME")]
    LacksEightBit,
    /// Larger than the next hop's SIZE (RFC 1870).
    #[error("the message is larger than the {0} octets that the next hop takes")]
    TooLarge(u64),
    /// The bytes of the copy are not fit to be sent (promise 9); nothing was sent.
    #[error("the copy is not fit to be sent: {0}")]
    Unfit(String),
    /// DNS knows no such domain, for good.
    #[error("there is no domain {0}")]
    NoSuchDomain(String),
    /// The domain says that it takes no mail (RFC 7505).
    #[error("{0} takes no mail (null MX)")]
    NullMx(String),
    /// It has no server that can be connected to, for good.
    #[error("{0}")]
    NoHost(String),
    /// The best server of the domain is this gateway.
    #[error("the mail for {0} would come back to this gateway")]
    Loop(String),
    /// DNS could not say, this time.
    #[error("DNS: {0}")]
    Dns(String),
    /// A folder that is the next hop cannot be written.
    #[error("cannot write to the folder: {0}")]
    Disk(String),
}

impl Failure {
    /// Whether the message or its recipient is at fault, so that another message may well go through.
    pub fn due_to_message(&self) -> bool {
        match self {
            Self::Said(answer) => answer.code != 421,
            Self::LacksSmtpUtf8 | Self::LacksEightBit | Self::TooLarge(_) | Self::Unfit(_) => true,
            // Mail to other domains goes.
            Self::NoSuchDomain(_) | Self::NullMx(_) | Self::NoHost(_) | Self::Loop(_) => true,
            Self::Connect(_)
            | Self::Dns(_)
            | Self::Busy
            | Self::OutOfTurn
            | Self::Timeout(_)
            | Self::Lost(..)
            | Self::Malformed(..)
            | Self::Unexpected(..)
            | Self::Tls(_)
            | Self::NoStartTls
            | Self::Injected
            | Self::NoAuth(_)
            | Self::NobodySignedIn
            | Self::Turned(..)
            | Self::InDoubt(_)
            | Self::Disk(_) => false,
        }
    }

    /// Whether the same copy may go through later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Said(answer) => answer.code < 500,
            Self::LacksSmtpUtf8 | Self::LacksEightBit | Self::TooLarge(_) => false,
            Self::NoSuchDomain(_) | Self::NullMx(_) | Self::NoHost(_) | Self::Loop(_) => false,
            Self::Connect(_)
            | Self::Dns(_)
            | Self::Busy
            | Self::OutOfTurn
            | Self::Timeout(_)
            | Self::Lost(..)
            | Self::Malformed(..)
            | Self::Unexpected(..)
            | Self::Tls(_)
            | Self::NoStartTls
            | Self::Injected
            | Self::NoAuth(_)
            | Self::NobodySignedIn
            | Self::Turned(..)
            | Self::InDoubt(_)
            | Self::Unfit(_)
            | Self::Disk(_) => true,
        }
    }

    /// What the client, the entry and the DSN are told: the next hop's words where it spoke of the copy,
    /// else our own (RULES P15; codes of RFC 3463).
    pub fn answer(&self) -> Answer {
        let ours = |code, enhanced: &str| Answer::new(code, enhanced, format!("next hop: {self}"));
        match self {
            Self::Said(answer) => answer.clone(),
            Self::Connect(_) => ours(451, "4.4.1"),
            Self::Busy | Self::OutOfTurn => ours(451, "4.3.2"),
            Self::Timeout(_) | Self::Lost(..) | Self::InDoubt(_) => ours(451, "4.4.2"),
            Self::Malformed(..) | Self::Unexpected(..) => ours(451, "4.5.0"),
            Self::Tls(_) | Self::NoStartTls | Self::Injected => ours(451, "4.7.5"),
            Self::NoAuth(_) | Self::NobodySignedIn | Self::Turned(Phase::Auth, _) => ours(451, "4.7.0"),
            Self::Turned(..) => ours(451, "4.4.0"),
            Self::LacksSmtpUtf8 => ours(550, "5.6.7"),
            Self::LacksEightBit => ours(554, "5.6.3"),
            Self::TooLarge(_) => ours(552, "5.3.4"),
            Self::NoSuchDomain(_) => ours(550, "5.1.2"),
            Self::NullMx(_) => ours(556, "5.1.10"),
            Self::NoHost(_) => ours(550, "5.4.4"),
            Self::Loop(_) => ours(554, "5.4.6"),
            Self::Dns(_) => ours(451, "4.4.3"),
            Self::Unfit(_) => ours(451, "4.6.0"),
            Self::Disk(_) => ours(452, "4.3.1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p15_the_questions_an_operator_asks() {
        let said = |code, enhanced| Failure::Said(Answer::new(code, enhanced, "no"));
        for (failure, due_to_message, retryable, code) in [
            (Failure::Connect("refused".to_owned()), false, true, "451 4.4.1"),
            (Failure::Turned(Phase::Greeting, Answer::new(554, "5.7.1", "no")), false, true, "451 4.4.0"),
            (Failure::Turned(Phase::Auth, Answer::new(535, "5.7.8", "no")), false, true, "451 4.7.0"),
            (Failure::Unexpected(Phase::Mail, Answer::new(354, "", "go")), false, true, "451 4.5.0"),
            (said(550, "5.1.1"), true, false, "550 5.1.1"),
            (said(450, "4.2.0"), true, true, "450 4.2.0"),
            (said(421, "4.3.2"), false, true, "421 4.3.2"),
            (Failure::LacksSmtpUtf8, true, false, "550 5.6.7"),
            (Failure::LacksEightBit, true, false, "554 5.6.3"),
            (Failure::TooLarge(10), true, false, "552 5.3.4"),
            (Failure::NoSuchDomain("x".to_owned()), true, false, "550 5.1.2"),
            (Failure::NullMx("x".to_owned()), true, false, "556 5.1.10"),
            (Failure::NoHost("x".to_owned()), true, false, "550 5.4.4"),
            (Failure::Loop("x".to_owned()), true, false, "554 5.4.6"),
            (Failure::Dns("x".to_owned()), false, true, "451 4.4.3"),
            (Failure::Unfit("bare LF".to_owned()), true, true, "451 4.6.0"),
        ] {
            assert_eq!(failure.due_to_message(), due_to_message, "{failure}");
            assert_eq!(failure.retryable(), retryable, "{failure}");
            let answer = failure.answer();
            assert_eq!(format!("{} {}", answer.code, answer.status()), code, "{failure}");
            assert_eq!(answer.code < 500, retryable, "a code says whether to come again: {failure}");
        }
    }
}
