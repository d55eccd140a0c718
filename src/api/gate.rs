//! Who may ask what.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::problem::Problem;
use crate::limits::Limits;
use crate::mail::{Sender, SenderId};
use crate::net::http::Visitor;
use crate::policy::Rules;
use crate::secret::{Entropy, Secret};
use crate::smtp::sasl::{Credentials, Mechanism};
use crate::submission::{Account, Accounts, BadHash, CheckError};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Ask for decisions.
    Check,
    /// Read what is on record.
    Read,
    /// Add consents.
    Consents,
    /// Add customer relations.
    Relations,
    /// Add suppressions.
    Suppressions,
    /// Take down what was sent.
    Sent,
}

impl Scope {
    /// All of them, with the word of the config.
    pub const ALL: [(&'static str, Self); 6] = [
        ("check", Self::Check),
        ("read", Self::Read),
        ("consents", Self::Consents),
        ("relations", Self::Relations),
        ("suppressions", Self::Suppressions),
        ("sent", Self::Sent),
    ];

    /// The word of the config.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, scope)| *scope == self).map_or("", |(word, _)| word)
    }
}

/// A token of the config.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its name: what stands before the first dot.
    pub name: String,
    /// The argon2 hash of its secret, in PHC form.
    pub hash: Secret,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// For whom; empty: for any sender.
    pub senders: Vec<SenderId>,
}

/// Knows the tokens.
#[derive(Debug)]
pub struct Gate {
    accounts: Accounts,
    tokens: Vec<Token>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// As the ledger calls it: `api NAME`, or `api` for who comes over the admin socket.
    pub(super) name: String,
    /// `None`: whoever runs the gateway, who may do anything.
    token: Option<Token>,
}

/// Put into the requests of the admin socket, where the kernel has said who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl Gate {
    /// A gate for `tokens`; every hash is looked at.
    pub fn new(tokens: Vec<Token>, entropy: &dyn Entropy) -> Result<Self, BadHash> {
        let account = |token: &Token| Account {
            name: token.name.clone(),
            hash: token.hash.clone(),
            senders: Vec::new(),
        };
        let accounts = Accounts::new(tokens.iter().map(account).collect(), entropy)?;
        Ok(Self { accounts, tokens })
    }

    /// Who sent these headers. Wrong secrets are counted as wrong passwords are, by client and by name.
    pub(super) async fn caller(
        &self,
        headers: &HeaderMap,
        visitor: &Visitor,
        limits: &Limits,
    ) -> Result<Caller, Problem> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.split_once(' '));
        let token =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let Some((name, secret)) = token.and_then(|token| token.split_once('.')) else {
            return Err(Problem::unknown_token());
        };
        let counted = format!("api/{name}");
        if limits.may_sign_in(visitor.ip, &counted).is_err() {
            return Err(Problem::busy("too many wrong tokens; try again later"));
        }
        let credentials =
            Credentials { name: name.to_owned(), password: Secret::new(secret), mechanism: Mechanism::Plain };
        match self.accounts.check(credentials).await {
            Ok(Some(_)) => {
                limits.signed_in(visitor.ip, &counted);
                let token = self.tokens.iter().find(|token| token.name.eq_ignore_ascii_case(name));
                let token = token.cloned().ok_or_else(Problem::unknown_token)?;
                Ok(Caller { name: format!("api {}", token.name), token: Some(token) })
            }
            Ok(None) => {
                limits.sign_in_failed(visitor.ip, &counted);
                Err(Problem::unknown_token())
            }
            Err(CheckError::Busy) => Err(Problem::busy("too many tokens are being checked")),
            Err(CheckError::Failed) => Err(Problem::unavailable("the token could not be checked")),
        }
    }
}

impl Caller {
    /// Whoever came over the admin socket.
    pub(super) fn local() -> Self {
        Self { name: "api".to_owned(), token: None }
    }

    /// Whether it is the administrator, whose word is taken as that of the command line.
    pub(super) fn is_local(&self) -> bool {
        self.token.is_none()
    }

    /// That it may do `scope`.
    pub(super) fn may(&self, scope: Scope) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !token.scopes.contains(&scope) => {
                let word = scope.word();
                Err(Problem::forbidden(format!("the token {} lacks the scope \"{word}\"", token.name)))
            }
            _ => Ok(()),
        }
    }

    /// The sender called `name`, or the only one that it may ask about.
    pub(super) fn sender(&self, rules: &Rules, name: Option<&str>) -> Result<Arc<Sender>, Problem> {
        let own: Vec<&Arc<Sender>> =
            rules.senders.iter().filter(|sender| self.may_ask_for(&sender.id)).collect();
        let names = || own.iter().map(|sender| format!("\"{}\"", sender.name)).collect::<Vec<_>>().join(", ");
        match (name, own.as_slice()) {
            (Some(name), own) => own
                .iter()
                .find(|sender| sender.name == name || sender.id.0 == name)
                .map(|sender| Arc::clone(sender))
                .ok_or_else(|| {
                    Problem::wrong(format!("sender: there is no \"{name}\" here; it may be {}", names()))
                }),
            (None, [only]) => Ok(Arc::clone(only)),
            (None, _) => Err(Problem::wrong(format!("sender: is missing; one of {}", names()))),
        }
    }

    /// Whether it may ask about `sender`.
    pub(super) fn may_ask_for(&self, sender: &SenderId) -> bool {
        self.token.as_ref().is_none_or(|token| token.senders.is_empty() || token.senders.contains(sender))
    }
}
