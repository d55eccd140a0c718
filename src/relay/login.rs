//! Pass-through sign-in: the client's own account at the next hop (RULES P4).
//!
//! Who signs in here is signed in there, with the same credentials, and gets connections of its own, which no
//! other account ever uses. Credentials live in memory, in a [`Login`], as long as a session or a copy of
//! that account holds it; then the connections are closed and the credentials wiped. A copy that waits in the
//! spool goes when its account has a session again. Deliberately absent: anything durable.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Answer;
use super::failure::{Failure, Phase};
use super::pool::Pool;
use crate::smtp::sasl::Credentials;

/// An account that is signed in at a next hop, for as long as somebody holds this.
#[derive(Clone)]
pub struct Login(Arc<Signed>);

struct Signed {
    /// Where: that of the [`Logins`] it belongs to.
    home: Arc<()>,
    credentials: Credentials,
    pool: Pool,
}

impl fmt::Debug for Login {
    /// The name only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.0.credentials.name)
    }
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSignedIn {
    /// The next hop does not take these credentials: its own words.
    Refused(Answer),
    /// It could not be asked.
    Unavailable(String),
}

/// The accounts of one next hop that are signed in.
#[derive(Debug, Default)]
pub(super) struct Logins {
    home: Arc<()>,
    /// The latest of each account.
    all: Mutex<HashMap<String, Weak<Signed>>>,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(..)")
    }
}

impl Login {
    pub(super) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

impl Logins {
    /// The login of an account that has a session, or a copy under way.
    pub(super) fn of(&self, account: &str) -> Option<Login> {
        self.all().get(account).and_then(Weak::upgrade).map(Login)
    }

    /// Whether `login` is one of these.
    pub(super) fn has(&self, login: &Login) -> bool {
        Arc::ptr_eq(&self.home, &login.0.home)
    }

    /// Sign in over `pool`. Credentials that are in use were believed already, and are not asked about again.
    pub(super) async fn sign_in(&self, pool: &Pool, credentials: Credentials) -> Result<Login, NotSignedIn> {
        if let Some(login) = self.of(&credentials.name)
            && login.0.credentials == credentials
        {
            return Ok(login);
        }
        let home = pool;
        let Some(pool) = home.signing_in_with(credentials.clone()) else {
            return Err(NotSignedIn::Unavailable("nobody has an account there".to_owned()));
        };
        match pool.probe().await {
            Ok(()) => home.learn_from(&pool),
            Err(Failure::Turned(Phase::Auth, answer)) if answer.code >= 500 => {
                return Err(NotSignedIn::Refused(answer));
            }
            Err(failure) => return Err(NotSignedIn::Unavailable(failure.to_string())),
        }
        let signed = Arc::new(Signed { home: self.home.clone(), credentials, pool });
        let mut all = self.all();
        all.retain(|_, known| known.strong_count() > 0);
        all.insert(signed.credentials.name.clone(), Arc::downgrade(&signed));
        Ok(Login(signed))
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Signed>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
