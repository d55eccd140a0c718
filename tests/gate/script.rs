//! A journey that does what a test says, and settings for a listener in front of it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use sluis::clock::{SharedClock, SystemClock};
use sluis::gateway::{Client, Submission};
use sluis::limits::{LimitSettings, Limits};
use sluis::mail::{Address, ReversePath};
use sluis::relay::Abilities;
use sluis::secret::{Secret, SystemEntropy};
use sluis::shutdown::Shutdown;
use sluis::smtp::reply::Reply;
use sluis::smtp::session::Tolerance;
use sluis::submission::{Account, Accounts, Journey, Settings, Timeouts, Tls, hash_password, serve};
use tokio::io::DuplexStream;
use tokio::sync::Semaphore;

/// Answers RCPT and DATA as told, and keeps what it was given.
#[derive(Debug, Clone)]
pub struct Script {
    pub smtputf8: bool,
    pub size: Option<u64>,
    /// Recipients that are refused, with the reason.
    pub refused: Vec<(String, String)>,
    /// What admitting a message answers.
    pub answer: Reply,
    pub admitted: Arc<Mutex<Vec<Submission>>>,
    /// One permit is taken for each message that is admitted.
    pub gate: Arc<Semaphore>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            smtputf8: true,
            size: None,
            refused: Vec::new(),
            answer: Reply::next_hop(250, Some("2.0.0"), "taken"),
            admitted: Arc::default(),
            gate: Arc::new(Semaphore::new(1000)),
        }
    }
}

impl Script {
    /// How many messages were admitted.
    pub fn count(&self) -> usize {
        self.admitted.lock().unwrap().len()
    }

    /// The oldest message admitted, taken out.
    pub fn take(&self) -> Option<Submission> {
        let mut admitted = self.admitted.lock().unwrap();
        (!admitted.is_empty()).then(|| admitted.remove(0))
    }
}

impl Journey for Script {
    fn abilities(&self) -> Abilities {
        Abilities { eight_bit: true, smtputf8: self.smtputf8, size: self.size }
    }

    async fn screen(&self, _: &Client, _: &ReversePath, recipient: &Address) -> Result<(), Reply> {
        match self.refused.iter().find(|(address, _)| address == recipient.as_str()) {
            Some((_, reason)) => Err(Reply::refused_recipient(recipient, reason)),
            None => Ok(()),
        }
    }

    async fn admit(&self, submission: Submission) -> Reply {
        self.gate.acquire().await.unwrap().forget();
        self.admitted.lock().unwrap().push(submission);
        self.answer.clone()
    }
}

/// A listener that trusts 127.0.0.0/8 and has no TLS.
pub fn settings(limits: LimitSettings) -> Settings {
    Settings {
        name: "test".to_owned(),
        hostname: "gate.example".to_owned(),
        tls: Tls::None,
        accounts: None,
        pass_through: false,
        loopback_auth_without_tls: false,
        trusted: vec!["127.0.0.0/8".parse().unwrap()],
        trusted_senders: Vec::new(),
        size_limit: 100_000,
        edit_room: 1000,
        recipients: 100,
        tolerance: Tolerance::default(),
        lmtp: false,
        normalise_bare_lf: false,
        timeouts: Timeouts::default(),
        limits: limits_of(limits),
        entropy: Arc::new(SystemEntropy),
    }
}

/// Counters at zero, under the system's clock.
pub fn limits_of(limits: LimitSettings) -> Limits {
    let clock: SharedClock = Arc::new(SystemClock);
    Limits::new(limits, &clock)
}

/// Accounts with these names and passwords.
pub fn accounts(pairs: &[(&str, &str)]) -> Arc<Accounts> {
    let accounts = pairs.iter().map(|(name, password)| Account {
        name: (*name).to_owned(),
        hash: Secret::new(hash_password(password.as_bytes(), &SystemEntropy)),
        senders: Vec::new(),
    });
    Arc::new(Accounts::new(accounts.collect(), &SystemEntropy).unwrap())
}

/// A session from `ip`; the client's end of it.
pub fn open(settings: Settings, script: &Script, ip: IpAddr, shutdown: &Shutdown) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 << 10);
    let session = serve(server, ip, Arc::new(settings), script.clone(), shutdown.clone());
    shutdown.spawn(session);
    client
}

/// The loopback address.
pub fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}
