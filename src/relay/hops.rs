//! The next hops, who uses which, and what happens when one is down.
//!
//! A copy goes to the first of its next hops that can be used. One that is down is left alone while there
//! is another: it is looked at again in the background, so no client waits for it. Whatever a next hop says
//! about a copy is final for this try; only one that could not be used, or lacks what the copy needs, is
//! passed over, so no copy reaches two of them. A reload swaps all next hops at once: those that stay as
//! they were keep their connections, and copies under way end where they began.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::directory::Directory;
use super::failure::Failure;
use super::login::{Login, Logins, NotSignedIn};
use super::mx::{Direct, Room};
use super::pool::Pool;
use super::{Abilities, Answer, Copy, Delivery, Fate, Handed, MayGo, NextHop, Routes, Settings};
use crate::mail::{Address, Class, Domain, Recipient, ReversePath, SenderId};
use crate::net::tls::{TlsError, Trust};
use crate::smtp::sasl::{Credentials, Mechanism};
use crate::token::Keys;

/// Copies that a folder takes at once.
const FOLDER_SLOTS: usize = 8;

/// A handle on the next hops; clones share their connections.
#[derive(Debug, Clone)]
pub struct Relay {
    network: Arc<RwLock<Arc<Network>>>,
    returns: Arc<RwLock<Option<Arc<Returns>>>>,
}

/// Where what comes back is taken: each marketing copy gets an envelope sender of its own there.
#[derive(Debug)]
pub struct Returns {
    /// What marks it.
    pub keys: Keys,
    /// Its domain.
    pub domain: Domain,
}

#[derive(Debug)]
struct Network {
    hops: Vec<Arc<Hop>>,
    rules: HashMap<String, Route>,
    accounts: HashMap<String, Route>,
    senders: HashMap<SenderId, Route>,
    default: Route,
}

/// The next hops that a copy may go to, in order of preference. The default one is that of the config.
#[derive(Clone, Default)]
pub struct Route(Option<Arc<[Arc<Hop>]>>);

#[derive(Debug)]
struct Hop {
    settings: Settings,
    way: Way,
    logins: Logins,
}

#[derive(Debug)]
enum Way {
    Directory(Directory),
    Smtp(Pool),
    Mx(Direct),
}

/// How a next hop fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopStatus {
    /// What the config calls it.
    pub label: String,
    /// Its name in entries: `host:port` or `directory var/outbox`.
    pub name: String,
    /// Why it cannot be used, when it could not be the last time.
    pub down: Option<String>,
}

impl Relay {
    /// One next hop for everything; connects to nothing yet. Fails when certificates cannot be read.
    pub fn new(settings: Settings) -> Result<Self, TlsError> {
        Self::with_routes(vec![settings], &Routes { default: vec![0], ..Routes::default() })
    }

    /// Several next hops, and who uses which. Positions that there are not are left out.
    pub fn with_routes(hops: Vec<Settings>, routes: &Routes) -> Result<Self, TlsError> {
        let network = Network::new(hops, routes, &[])?;
        Ok(Self { network: Arc::new(RwLock::new(Arc::new(network))), returns: Arc::default() })
    }

    /// Swap the next hops, all or none.
    pub fn replace(&self, hops: Vec<Settings>, routes: &Routes) -> Result<(), TlsError> {
        let old = self.network();
        let new = Arc::new(Network::new(hops, routes, &old.hops)?);
        for hop in new.hops.iter().filter(|hop| !old.hops.iter().any(|kept| Arc::ptr_eq(kept, hop))) {
            hop.take_over(&old.hops);
            hop.look_again();
        }
        *self.network.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        let gone = old.hops.iter().filter(|hop| !new.hops.iter().any(|kept| Arc::ptr_eq(kept, hop)));
        let gone: Vec<_> = gone.cloned().collect();
        tokio::spawn(async move {
            for hop in gone {
                hop.close().await;
            }
        });
        Ok(())
    }

    /// From now on, marketing copies come back to `returns`; with none, to whom the client said.
    pub fn return_to(&self, returns: Option<Returns>) {
        *self.returns.write().unwrap_or_else(PoisonError::into_inner) = returns.map(Arc::new);
    }

    /// `copy` with an envelope sender of its own, if it is to have one. Mail to nobody else and mail that is no
    /// marketing keeps its own, and so does what goes by a client's own account: that may send as itself only.
    fn with_own_return(&self, copy: &Copy) -> Option<Copy> {
        let returns = self.returns.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let [only] = &copy.recipients[..] else { return None };
        if only.permit.class() != Class::Marketing || copy.login.is_some() {
            return None;
        }
        copy.reverse_path.address()?;
        let address = returns.keys.bounce_address(copy.id, &returns.domain)?;
        Some(Copy { reverse_path: ReversePath::Address(address), ..copy.clone() })
    }

    fn network(&self) -> Arc<Network> {
        self.network.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next hops for what was handed over so.
    pub fn route(&self, handed: Handed<'_>) -> Route {
        let network = self.network();
        let by_rule = handed.rule.and_then(|rule| network.rules.get(rule));
        let by_account = || handed.account.and_then(|account| network.accounts.get(account));
        let by_sender = || handed.sender.and_then(|sender| network.senders.get(sender));
        by_rule.or_else(by_account).or_else(by_sender).unwrap_or(&network.default).clone()
    }

    /// The ways to sign in that can be passed on. As long as nobody has seen the next hop: those with a
    /// password, which nearly all have.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let network = self.network();
        let Some((_, pool)) = network.pass_through() else { return Mechanism::PASSWORD.to_vec() };
        pool.mechanisms().unwrap_or_else(|| {
            // It was not there at the start; the next client shall have the others.
            pool.look_again();
            Mechanism::PASSWORD.to_vec()
        })
    }

    /// Sign in at the next hop that takes its clients' own accounts. Takes no longer than a connect may.
    pub async fn sign_in(&self, credentials: Credentials) -> Result<Login, NotSignedIn> {
        let network = self.network();
        let Some((hop, pool)) = network.pass_through() else {
            return Err(NotSignedIn::Unavailable("no next hop takes its clients' own accounts".to_owned()));
        };
        hop.logins.sign_in(pool, credentials).await
    }

    /// The login of an account that has a session now.
    pub(super) fn login_of(&self, account: &str) -> Option<Login> {
        self.network().pass_through()?.0.logins.of(account)
    }

    /// Connect to each next hop once and learn what it can do; the connections are kept. Until this or a
    /// delivery has succeeded, [`Relay::abilities`] claims nothing. Fails with our own words when none
    /// answers; takes no longer than a connect may.
    pub async fn probe(&self) -> Result<Abilities, Answer> {
        let mut probes = tokio::task::JoinSet::new();
        for hop in &self.network().hops {
            let hop = hop.clone();
            probes.spawn(async move { hop.probe().await });
        }
        let mut failed = None;
        let mut answers = false;
        for probed in probes.join_all().await {
            match probed {
                Ok(()) => answers = true,
                Err(answer) => failed = failed.or(Some(answer)),
            }
        }
        match failed {
            Some(answer) if !answers => Err(answer),
            _ => Ok(self.abilities()),
        }
    }

    /// What all next hops can do, as last seen: what EHLO may offer before anybody knows where a message
    /// will go.
    pub fn abilities(&self) -> Abilities {
        abilities_of(&self.network().hops, None)
    }

    /// What all next hops of `route` can do, so that any of them can take what is made for it; with direct
    /// delivery, what the servers of `to`'s domain can.
    pub fn abilities_for(&self, route: &Route, to: Option<&Address>) -> Abilities {
        abilities_of(&self.hops_of(route), to)
    }

    /// Whether some next hop of `route` is the recipients' own domain: a copy for it has recipients of one.
    pub fn is_by_domain(&self, route: &Route) -> bool {
        self.hops_of(route).iter().any(|hop| matches!(hop.way, Way::Mx(_)))
    }

    /// The name of the preferred one in entries and logs.
    pub fn name_for(&self, route: &Route) -> String {
        self.hops_of(route).first().map_or_else(|| "none".to_owned(), |hop| hop.name().to_owned())
    }

    /// How all of them fare, in the order of the config.
    pub fn status(&self) -> Vec<HopStatus> {
        self.network().hops.iter().map(|hop| hop.status()).collect()
    }

    /// Send one copy in one transaction, to the first of its next hops that can be used. `may_go` is asked
    /// once the connection is there, right before the first byte leaves. Never fails: what went wrong is in
    /// the fates.
    pub async fn deliver(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        let own = self.with_own_return(copy);
        let copy = own.as_ref().unwrap_or(copy);
        let hops = self.hops_of(&copy.route);
        let (mut down, mut unable) = (None, None);
        for (at, hop) in hops.iter().enumerate() {
            let is_last = at + 1 == hops.len();
            let delivery = match hop.failed_before(copy) {
                Some(failed) if !is_last => {
                    hop.look_again();
                    failed
                }
                _ => hop.deliver(copy, may_go).await,
            };
            if delivery.down {
                down = down.or(Some(delivery));
            } else if delivery.unable {
                unable = unable.or(Some(delivery));
            } else {
                return delivery;
            }
        }
        // One that may come back is worth another try, whatever the others lack.
        down.or(unable).unwrap_or_else(|| nowhere(copy))
    }

    /// How long a copy to `recipients` by this route had better wait: none of its next hops could be used a moment
    /// ago.
    pub(super) fn rest(&self, route: &Route, recipients: &[Recipient]) -> Option<Duration> {
        let mut rests = Vec::new();
        for hop in self.hops_of(route).iter() {
            rests.push(hop.rest(recipients)?);
        }
        rests.into_iter().min()
    }

    /// Room for one more waiting copy to `recipients`, beside those that the spool is trying: `None` when their domain
    /// has as many under way as it has connections, so that the worker is there for others.
    pub(super) fn room(&self, route: &Route, recipients: &[Recipient]) -> Option<Room> {
        match self.hops_of(route).first().map(|hop| &hop.way) {
            Some(Way::Mx(direct)) => direct.room(recipients.iter().map(|recipient| &recipient.address)),
            _ => Some(Room::default()),
        }
    }

    /// Whoever was down may be there again: the next copy finds out, without waiting for the end of a rest.
    pub fn rouse(&self) {
        self.network().hops.iter().for_each(|hop| hop.rouse());
    }

    /// How many copies they take at once.
    pub(super) fn connections(&self) -> usize {
        self.network().hops.iter().map(|hop| hop.connections()).sum::<usize>().max(1)
    }

    /// Say QUIT on the connections that are idle.
    pub async fn close(&self) {
        for hop in &self.network().hops {
            hop.close().await;
        }
    }

    fn hops_of(&self, route: &Route) -> Arc<[Arc<Hop>]> {
        let hops = route.0.clone().or_else(|| self.network().default.0.clone());
        hops.unwrap_or_else(|| Arc::from([]))
    }
}

impl PartialEq for Route {
    /// The same next hops in the same order.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => {
                one.len() == two.len() && one.iter().zip(two.iter()).all(|(one, two)| Arc::ptr_eq(one, two))
            }
            (None, None) => true,
            _ => false,
        }
    }
}

impl fmt::Debug for Route {
    /// `[newsletters, backup]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hops = self.0.iter().flat_map(|hops| hops.iter());
        f.debug_list().entries(hops.map(|hop| &hop.settings.label)).finish()
    }
}

impl Network {
    fn new(settings: Vec<Settings>, routes: &Routes, old: &[Arc<Hop>]) -> Result<Self, TlsError> {
        let mut hops = Vec::with_capacity(settings.len());
        for one in settings {
            let known = old.iter().find(|hop| hop.settings == one && !hop.settings.reads_files());
            hops.push(match known {
                Some(hop) => hop.clone(),
                None => Arc::new(Hop::new(one)?),
            });
        }
        let route = |positions: &Vec<usize>| {
            Route(Some(positions.iter().filter_map(|&at| hops.get(at).cloned()).collect()))
        };
        let by_name = |routes: &HashMap<String, Vec<usize>>| {
            routes.iter().map(|(name, hops)| (name.clone(), route(hops))).collect()
        };
        Ok(Self {
            rules: by_name(&routes.rules),
            accounts: by_name(&routes.accounts),
            senders: routes.senders.iter().map(|(id, hops)| (id.clone(), route(hops))).collect(),
            default: route(&routes.default),
            hops,
        })
    }
}

impl Network {
    /// The one whose clients sign in with their accounts there.
    fn pass_through(&self) -> Option<(&Hop, &Pool)> {
        self.hops.iter().find_map(|hop| match &hop.way {
            Way::Smtp(pool) if hop.settings.pass_through => Some((&**hop, pool)),
            _ => None,
        })
    }
}

impl Settings {
    /// Whether something may have changed that the settings do not show.
    fn reads_files(&self) -> bool {
        match &self.next_hop {
            NextHop::Directory(_) => false,
            NextHop::Smtp(hop) => hop.identity.is_some() || matches!(hop.trust, Trust::CaFile(_)),
            NextHop::Mx(hop) => matches!(hop.trust, Trust::CaFile(_)) || hop.dns.anchors.is_some(),
        }
    }
}

impl Hop {
    fn new(settings: Settings) -> Result<Self, TlsError> {
        let way = match settings.next_hop.clone() {
            NextHop::Directory(folder) => Way::Directory(Directory::new(folder)),
            NextHop::Smtp(smtp) => {
                Way::Smtp(Pool::new(smtp, settings.helo.clone(), settings.timeouts, settings.pool)?)
            }
            NextHop::Mx(mx) => Way::Mx(Direct::new(mx, &settings)?),
        };
        Ok(Self { settings, way, logins: Logins::default() })
    }

    fn name(&self) -> &str {
        match &self.way {
            Way::Directory(directory) => directory.name(),
            Way::Smtp(pool) => pool.name(),
            Way::Mx(direct) => direct.name(),
        }
    }

    fn status(&self) -> HopStatus {
        let down = match &self.way {
            Way::Directory(_) | Way::Mx(_) => None,
            Way::Smtp(pool) => pool.down().map(|failure| failure.to_string()),
        };
        HopStatus { label: self.settings.label.clone(), name: self.name().to_owned(), down }
    }

    async fn probe(&self) -> Result<(), Answer> {
        match &self.way {
            Way::Directory(_) | Way::Mx(_) => Ok(()),
            Way::Smtp(pool) => pool.probe().await.map_err(|failure| failure.answer()),
        }
    }

    /// `None` as long as nobody has seen it.
    fn abilities(&self, to: Option<&Address>) -> Option<Abilities> {
        match &self.way {
            Way::Directory(_) => Some(Abilities { eight_bit: true, smtputf8: true, size: None }),
            Way::Smtp(pool) => pool.abilities(),
            Way::Mx(direct) => Some(direct.abilities(to.map(|to| to.domain().ascii()))),
        }
    }

    async fn deliver(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        match &self.way {
            Way::Directory(directory) => directory.deliver(copy, may_go).await,
            Way::Mx(direct) => direct.deliver(copy, may_go).await,
            Way::Smtp(pool) => match self.connections_of(copy) {
                Some(own) => own.deliver(copy, may_go).await,
                None => pool.failed(copy, &Failure::NobodySignedIn, false),
            },
        }
    }

    /// Whose connections a copy goes over: those of its account, or the gateway's own. `None` when it would
    /// have to go without signing in where everybody has to.
    fn connections_of<'a>(&'a self, copy: &'a Copy) -> Option<&'a Pool> {
        let (Way::Smtp(pool), NextHop::Smtp(smtp)) = (&self.way, &self.settings.next_hop) else {
            return None;
        };
        let login = copy.login.as_ref().filter(|login| self.logins.has(login));
        match login {
            Some(login) => Some(login.pool()),
            None if self.settings.pass_through && smtp.credentials.is_none() => None,
            None => Some(pool),
        }
    }

    /// What a copy would meet there, as long as nobody has got through since it failed.
    fn failed_before(&self, copy: &Copy) -> Option<Delivery> {
        match &self.way {
            Way::Directory(_) | Way::Mx(_) => None,
            Way::Smtp(_) => {
                let pool = self.connections_of(copy)?;
                pool.down().map(|failure| pool.failed(copy, &failure, true))
            }
        }
    }

    /// What one of `before` has seen of the same server: a reload makes nobody forget how to sign in.
    fn take_over(&self, before: &[Arc<Hop>]) {
        let Way::Smtp(pool) = &self.way else { return };
        let known = before.iter().find_map(|hop| match &hop.way {
            Way::Smtp(known) if known.name() == pool.name() => Some(known),
            _ => None,
        });
        if let Some(known) = known {
            pool.learn_from(known);
        }
    }

    /// See in the background whether it is there again, unless somebody does, or did a moment ago.
    fn look_again(&self) {
        match &self.way {
            Way::Directory(_) | Way::Mx(_) => {}
            Way::Smtp(pool) => pool.look_again(),
        }
    }

    fn rest(&self, recipients: &[Recipient]) -> Option<Duration> {
        match &self.way {
            Way::Directory(_) => None,
            Way::Smtp(pool) => pool.rest(),
            Way::Mx(direct) => direct.rest(recipients.iter().map(|recipient| &recipient.address)),
        }
    }

    fn rouse(&self) {
        match &self.way {
            Way::Directory(_) => {}
            Way::Smtp(pool) => pool.rouse(),
            Way::Mx(direct) => direct.rouse(),
        }
    }

    fn connections(&self) -> usize {
        match &self.way {
            Way::Directory(_) => FOLDER_SLOTS,
            Way::Smtp(pool) => pool.connections(),
            Way::Mx(direct) => direct.connections(),
        }
    }

    async fn close(&self) {
        match &self.way {
            Way::Directory(_) => {}
            Way::Smtp(pool) => pool.close().await,
            Way::Mx(direct) => direct.close().await,
        }
    }
}

/// What all can do, of those that somebody has seen.
fn abilities_of(hops: &[Arc<Hop>], to: Option<&Address>) -> Abilities {
    hops.iter().filter_map(|hop| hop.abilities(to)).reduce(Abilities::and).unwrap_or_default()
}

/// The config names at least one next hop for everything; without any, nothing leaves.
fn nowhere(copy: &Copy) -> Delivery {
    let fate = Fate::Deferred(Answer::new(451, "4.3.5", "there is no next hop"));
    Delivery {
        fates: vec![fate; copy.recipients.len()],
        next_hop: "none".to_owned(),
        tls: None,
        down: true,
        unable: false,
        dsn_passed_on: false,
    }
}
