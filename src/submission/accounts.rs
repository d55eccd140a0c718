//! Local accounts: names, argon2 hashes, and the senders they are bound to (RULES P4).
//!
//! A check costs the same whether the account exists or not, runs on a blocking thread, and only a few
//! run at once. Whoever was right a moment ago is not hashed again: a keyed digest of name and password
//! is kept for a while, under a key of this process. Deliberately absent: throttling (`limits`).

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use aws_lc_rs::hmac;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::mail::SenderId;
use crate::secret::{Entropy, Secret, random};
use crate::smtp::sasl::Credentials;
use crate::smtp::session::Identity;

/// Hashes computed at once: each takes 19 MiB and a core.
const CONCURRENT: usize = 2;
/// How long a successful check is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Successful checks remembered.
const MAX_REMEMBERED: usize = 4096;
/// How long a sign-in waits for its turn to be hashed.
const TURN: Duration = Duration::from_secs(30);

/// One account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name; compared without regard to case.
    pub name: String,
    /// Its password's argon2 hash, in PHC form (`$argon2id$v=19$...`).
    pub hash: Secret,
    /// The senders it may send for; empty means any.
    pub senders: Vec<SenderId>,
}

/// All accounts of a gateway.
#[derive(Debug)]
pub struct Accounts {
    by_name: HashMap<String, Account>,
    /// What is checked for a name that does not exist.
    decoy: Secret,
    key: hmac::Key,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    turns: Semaphore,
}

/// What a password is held against where there is no account: as costly as what [`hash_password`] makes, and made by nobody.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2x1aXMgZGVjb3kgc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A hash that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("account {name}: the password hash is not an argon2 hash in PHC form ($argon2id$...)")]
pub struct BadHash {
    /// The account.
    pub name: String,
}

/// The password could not be checked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Too many wait for it.
    #[error("too many sign-ins at once")]
    Busy,
    /// The check itself failed.
    #[error("the check was not carried out")]
    Failed,
}

impl Accounts {
    /// Take the accounts; every hash is looked at.
    pub fn new(accounts: Vec<Account>, entropy: &dyn Entropy) -> Result<Self, BadHash> {
        for account in &accounts {
            let sound = std::str::from_utf8(account.hash.expose())
                .ok()
                .and_then(|text| PasswordHash::new(text).ok())
                .is_some_and(|hash| hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some());
            if !sound {
                return Err(BadHash { name: account.name.clone() });
            }
        }
        // The decoy costs what the first real account costs: it is that hash, and never matches
        // because the outcome is thrown away.
        let decoy = match accounts.first() {
            Some(account) => account.hash.clone(),
            None => Secret::new(DECOY),
        };
        Ok(Self {
            by_name: accounts.into_iter().map(|account| (account.name.to_lowercase(), account)).collect(),
            decoy,
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>(entropy)),
            remembered: Mutex::default(),
            turns: Semaphore::new(CONCURRENT),
        })
    }

    /// Who these credentials belong to; `None` when they are wrong.
    pub async fn check(&self, credentials: Credentials) -> Result<Option<Identity>, CheckError> {
        let account = self.by_name.get(&credentials.name.to_lowercase());
        let digest = self.digest(&credentials);
        if let Some(account) = account
            && self.remembers(&digest)
        {
            return Ok(Some(identity(account)));
        }
        let turn = tokio::time::timeout(TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(CheckError::Busy);
        };
        let hash = account.map_or(&self.decoy, |account| &account.hash).clone();
        let matches = tokio::task::spawn_blocking(move || verify(&credentials.password, &hash))
            .await
            .map_err(|_| CheckError::Failed)?;
        match account {
            Some(account) if matches => {
                self.remember(digest);
                Ok(Some(identity(account)))
            }
            _ => Ok(None),
        }
    }

    fn digest(&self, credentials: &Credentials) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(credentials.name.to_lowercase().as_bytes());
        context.update(&[0]);
        context.update(credentials.password.expose());
        let mut digest = [0; 32];
        // HMAC_SHA256 gives 32 octets.
        digest.copy_from_slice(&context.sign().as_ref()[..32]);
        digest
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        self.remembered().get(digest).is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut remembered = self.remembered();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, since| since.elapsed() < REMEMBERED);
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(digest, Instant::now());
        }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn identity(account: &Account) -> Identity {
    Identity { account: account.name.clone(), senders: account.senders.clone() }
}

fn verify(password: &Secret, hash: &Secret) -> bool {
    let Ok(text) = std::str::from_utf8(hash.expose()) else {
        return false;
    };
    let Ok(hash) = PasswordHash::new(text) else {
        return false;
    };
    Argon2::default().verify_password(password.expose(), &hash).is_ok()
}

/// The argon2id hash of `password` in PHC form, for the config. Slow on purpose: about a tenth of a
/// second and 19 MiB.
pub fn hash_password(password: &[u8], entropy: &dyn Entropy) -> String {
    let salt = random::<16>(entropy);
    Argon2::default()
        .hash_password_with_salt(password, &salt)
        // The default parameters and a salt of 16 octets are within argon2's limits, and no SASL
        // password is near its limit of 4 GiB.
        .expect("argon2 takes a 16-octet salt under its default parameters")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    fn accounts() -> Accounts {
        let account = |name: &str, password: &str| Account {
            name: name.to_owned(),
            hash: Secret::new(hash_password(password.as_bytes(), &SystemEntropy)),
            senders: vec![SenderId("12345678".to_owned())],
        };
        Accounts::new(vec![account("Anna", "geheim"), account("bob", "anders")], &SystemEntropy).unwrap()
    }

    fn credentials(name: &str, password: &str) -> Credentials {
        Credentials {
            name: name.to_owned(),
            password: Secret::new(password.as_bytes()),
            mechanism: crate::smtp::sasl::Mechanism::Plain,
        }
    }

    #[test]
    fn p4_the_decoy_costs_what_a_real_hash_costs() {
        let real = hash_password(b"geheim", &SystemEntropy);
        let (real, decoy) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(DECOY).unwrap());
        assert_eq!(
            (real.algorithm, real.version, &real.params),
            (decoy.algorithm, decoy.version, &decoy.params)
        );
        let octets = |hash: &PasswordHash| hash.hash.as_ref().map(|hash| hash.as_bytes().len());
        assert_eq!(octets(&real), octets(&decoy));
        // It is computed, and not refused before that.
        let refused = Argon2::default().verify_password(b"geheim", &decoy).unwrap_err();
        assert_eq!(refused, argon2::password_hash::Error::PasswordInvalid);
    }

    #[tokio::test]
    async fn p4_only_the_right_password_of_the_right_account() {
        let accounts = accounts();
        let found = accounts.check(credentials("anna", "geheim")).await.unwrap().unwrap();
        assert_eq!(found.account, "Anna");
        assert_eq!(found.senders, [SenderId("12345678".to_owned())]);
        for (name, password) in [("anna", "anders"), ("bob", "geheim"), ("carol", "geheim"), ("anna", "")] {
            assert_eq!(accounts.check(credentials(name, password)).await.unwrap(), None, "{name} {password}");
        }
    }

    #[tokio::test]
    async fn a_right_password_is_remembered_and_a_wrong_one_is_not() {
        let accounts = accounts();
        accounts.check(credentials("anna", "geheim")).await.unwrap().unwrap();
        accounts.check(credentials("anna", "fout")).await.unwrap();
        assert_eq!(accounts.remembered().len(), 1);
        // With no turns left only what is remembered can be answered.
        accounts.turns.close();
        assert!(accounts.check(credentials("ANNA", "geheim")).await.unwrap().is_some());
        assert_eq!(accounts.check(credentials("anna", "fout")).await, Err(CheckError::Busy));
    }

    #[test]
    fn a_hash_that_is_none_is_named() {
        for hash in ["geheim", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ"]
        {
            let account =
                Account { name: "anna".to_owned(), hash: Secret::new(hash.as_bytes()), senders: vec![] };
            assert_eq!(
                Accounts::new(vec![account], &SystemEntropy).unwrap_err(),
                BadHash { name: "anna".to_owned() },
                "{hash}"
            );
        }
    }
}
