//! What the program runs with: plain, checked values, with the default of each.

// Long because it is declarations only: every value there is, in the order of the file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::Problem;
use crate::api::Token;
use crate::ledger::Archive;
use crate::ledger::keeping::Retention;
use crate::mail::{Address, Domain, SenderId};
use crate::message::Templates;
use crate::net::call::Target;
use crate::net::dns;
use crate::net::socks::Proxy;
use crate::policy::Rules;
use crate::relay::{Credentials, InDoubt, IpVersions, Routes, TlsMode};
use crate::secret::Secret;
use crate::subscribe::Form;
use crate::unsubscribe::Look;

/// Everything the config file says, checked. Relative paths are resolved: against the data folder for
/// `relay.directory`, and for all else against the working directory.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file it was read from.
    pub file: PathBuf,
    /// Host name of the gateway: its banner, its EHLO, its `Received` fields, and the origin of its
    /// checkpoints.
    pub name: Domain,
    /// From address of the gateway's own notices and DSNs (default `postmaster@<name>`).
    pub postmaster: Address,
    /// The data folder: store, keys, admin socket, development certificates (default `var`).
    pub data: PathBuf,
    /// How long a stop waits for open sessions (default 30 s).
    pub stop_within: Duration,
    /// Where submissions come in; at least one.
    pub listeners: Vec<Listener>,
    /// Certificate and key; `None`: development certificates, made at first start.
    pub tls: Option<TlsFiles>,
    /// Who may sign in.
    pub accounts: Vec<Account>,
    /// Who need not sign in.
    pub trusted: Trusted,
    /// Where copies go.
    pub relay: RelaySettings,
    /// The way out.
    pub unsubscribe: UnsubscribeSettings,
    /// Ways to sign up (RULES L12).
    pub forms: Vec<Arc<Form>>,
    /// The register for other programs.
    pub api: ApiSettings,
    /// Who is told of unsubscribes, and how (RULES L10).
    pub tell: Tell,
    /// Who signs (RULES P11).
    pub dkim: Dkim,
    /// Every bound (promise 10).
    pub limits: Limits,
    /// The footer templates of each sender.
    pub footers: BTreeMap<SenderId, Templates>,
    /// Senders, rules, mode and windows.
    pub rules: Rules,
    /// How the ledger is kept.
    pub ledger: LedgerSettings,
    /// How it logs.
    pub log: LogSettings,
    /// Where metrics are read over HTTP; `None` (default): nowhere.
    pub metrics: Option<SocketAddr>,
    /// What is allowed but probably not meant; to be printed.
    pub warnings: Vec<Problem>,
}

impl Settings {
    /// The Unix socket of `admin`: `sluis.sock` in the data folder.
    pub fn admin_socket(&self) -> PathBuf {
        self.data.join("sluis.sock")
    }
}

/// One SMTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name in logs and metrics (default: its address).
    pub name: String,
    /// Address and port.
    pub address: SocketAddr,
    /// How TLS starts.
    pub tls: ListenerTls,
    /// Whether clients from trusted networks must sign in, too (all others always must).
    pub auth_required: bool,
    /// Clients sign in with their own accounts at the next hop (RULES P4), rather than with those of the
    /// config.
    pub pass_through: bool,
    /// Bare LF becomes CRLF before anything is parsed (RULES P1); only where `auth_required`.
    pub normalise_bare_lf: bool,
    /// AUTH is offered without TLS to clients on loopback (RULES P3).
    pub auth_without_tls_on_loopback: bool,
}

/// How TLS starts on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerTls {
    /// RFC 3207, offered in EHLO.
    Starttls,
    /// RFC 8314, from the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// An account that may sign in (RULES P4).
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub name: String,
    /// Argon2 hash of the password, as a PHC string that parses.
    pub password_hash: String,
    /// The senders it may send for; empty: any.
    pub senders: Vec<SenderId>,
}

impl std::fmt::Debug for Account {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("senders", &self.senders).finish()
    }
}

/// Clients that need not sign in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Their networks; never the whole internet.
    pub networks: Vec<IpNet>,
    /// The senders they may send for; empty: any.
    pub senders: Vec<SenderId>,
}

/// The next hops, and how the spool uses them.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// At least one.
    pub hops: Vec<HopSettings>,
    /// Who uses which.
    pub routes: Routes,
    /// How long a client with several copies is kept waiting for their outcome (default 30 s).
    pub patience: Duration,
    /// Take mail into the spool while the next hop is down, rather than answer 451 (default false).
    pub queue_when_down: bool,
    /// What happens to a spooled copy whose answer was lost (default retry).
    pub in_doubt: InDoubt,
    /// Waits between tries from the spool; the last one repeats.
    pub retry: Vec<Duration>,
    /// When the sender of a waiting copy is told, if it asked for that (default 4 h).
    pub delay_notice: Duration,
    /// When a waiting copy is given up (default 5 days).
    pub expire_after: Duration,
    /// Copies from the spool that are tried at once (default 10).
    pub background: usize,
}

/// One next hop and how it is used.
#[derive(Debug, Clone)]
pub struct HopSettings {
    /// Its name in the config; `relay` for the one that `[relay]` is itself.
    pub name: String,
    /// Where copies go.
    pub next_hop: NextHop,
    /// How TLS starts there (default: implicit on port 465, else STARTTLS).
    pub tls: TlsMode,
    /// Whether its certificate is checked (default true).
    pub verify: bool,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The SHA-256 of the certificates, or of their public keys, that are believed, and no others.
    pub pins: Vec<[u8; 32]>,
    /// The name its certificate must have (default: the host of `next_hop`).
    pub tls_name: Option<String>,
    /// The certificate that the gateway shows.
    pub client_certificate: Option<TlsFiles>,
    /// How the gateway signs in there.
    pub credentials: Option<Credentials>,
    /// The SOCKS5 proxy on the way there.
    pub proxy: Option<Proxy>,
    /// Clients of some listener sign in with accounts that they have there.
    pub pass_through: bool,
    /// Messages in a minute (default: any number).
    pub messages_per_minute: Option<NonZeroU32>,
    /// The rest of its bounds.
    pub limits: HopLimits,
}

/// Bounds on the use of one next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopLimits {
    /// Connections at once (default 20).
    pub connections: usize,
    /// Messages over one connection (default 100).
    pub messages_per_connection: usize,
    /// How long a copy waits for a free connection, or for its turn in the minute (default 60 s).
    pub connection_wait: Duration,
    /// How long an idle connection is kept (default 30 s).
    pub idle_timeout: Duration,
    /// TCP connect and TLS handshake (default 30 s).
    pub connect_timeout: Duration,
    /// Greeting and the answer to each command (RFC 5321 4.5.3.2; default 5 min).
    pub command_timeout: Duration,
    /// Writing each block of the message (default 3 min).
    pub data_timeout: Duration,
    /// The answer to the final dot (default 10 min).
    pub final_timeout: Duration,
}

impl Default for HopLimits {
    fn default() -> Self {
        Self {
            connections: 20,
            messages_per_connection: 100,
            connection_wait: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(180),
            final_timeout: Duration::from_secs(600),
        }
    }
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// Each copy becomes an `.eml` file in this folder.
    Directory(PathBuf),
    /// An SMTP server.
    Server {
        /// Host name or IP address.
        host: String,
        /// Port.
        port: u16,
    },
    /// The servers of each recipient's domain.
    Mx(MxSettings),
}

/// Direct delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MxSettings {
    /// Port of mail servers (25).
    pub port: u16,
    /// Whether MTA-STS is honoured (default true).
    pub mta_sts: bool,
    /// Which addresses are connected to (default both).
    pub ip_versions: IpVersions,
    /// Whether private addresses are connected to (default false).
    pub private: bool,
    /// Connections to one domain at once (default 5).
    pub per_domain: usize,
    /// Domains whose connections, failures and policies are remembered (default 10,000).
    pub domains: usize,
    /// All questions about a domain for one connection (default 60 s).
    pub lookups: Duration,
    /// Name servers, and whether DNSSEC is asked for.
    pub dns: dns::Settings,
}

/// The unsubscribe page and links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubscribeSettings {
    /// Where the page listens.
    pub listen: SocketAddr,
    /// Certificate and key of the page; `None`: plain HTTP, and a reverse proxy adds TLS.
    pub tls: Option<TlsFiles>,
    /// The same for host names that have their own.
    pub named_tls: Vec<(String, TlsFiles)>,
    /// Public address that links begin with, without a slash at the end; https unless on loopback.
    pub url: String,
    /// Address of the mailto link (RULES P9); `None`: no mailto link.
    pub mailto: Option<Address>,
    /// The same for senders whose links begin with an address of their own.
    pub urls: Vec<(SenderId, String)>,
    /// Whether the health check asks the public address (default) or, where nothing leads back in, the
    /// listener itself.
    pub check_public: bool,
    /// Where the public address is found from here, when its name does not lead here from inside.
    pub check_via: Option<SocketAddr>,
    /// Certificates that the health check believes instead of the system's.
    pub check_ca_file: Option<PathBuf>,
    /// How the pages of some senders look.
    pub looks: Vec<(SenderId, Look)>,
    /// Domain of the envelope senders of copies; `None`: they keep what the client said.
    pub bounce_domain: Option<Domain>,
    /// Whether what comes back there goes on to what the client said.
    pub pass_bounces_on: bool,
    /// Days with a soft bounce after which a mailbox gets no marketing.
    pub soft_bounce_days: usize,
    /// Where mail to `mailto` comes in over LMTP; `None`: not here.
    pub lmtp_listen: Option<SocketAddr>,
    /// Whether DKIM signatures of such mail are checked.
    pub check_dkim: bool,
    /// The DNS server that is asked for keys; `None`: those of the system.
    pub resolver: Option<SocketAddr>,
    /// Where mail to `mailto` comes in over SMTP; `None`: not here.
    pub mail_listen: Option<SocketAddr>,
    /// Servers whose Authentication-Results are believed (RFC 8601): their names there.
    pub trusted_results: Vec<String>,
    /// Host names that the page answers to; empty: any.
    pub hosts: Vec<Domain>,
    /// Reverse proxies whose `Forwarded` or `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for UnsubscribeSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8025),
            tls: None,
            named_tls: Vec::new(),
            url: "http://127.0.0.1:8025".to_owned(),
            mailto: None,
            mail_listen: None,
            bounce_domain: None,
            pass_bounces_on: true,
            soft_bounce_days: 5,
            lmtp_listen: None,
            check_dkim: true,
            resolver: None,
            trusted_results: Vec::new(),
            urls: Vec::new(),
            check_public: true,
            check_via: None,
            check_ca_file: None,
            looks: Vec::new(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// The register for other programs.
#[derive(Debug, Clone, Default)]
pub struct ApiSettings {
    /// Where it listens, besides the admin socket; `None` (default): nowhere.
    pub listen: Option<SocketAddr>,
    /// Its certificate and key; `None` only on loopback.
    pub tls: Option<TlsFiles>,
    /// Who may ask, there.
    pub tokens: Vec<Token>,
}

/// Who is told of unsubscribes besides the mails that go at once (RULES L10, P8).
#[derive(Debug, Clone)]
pub struct Tell {
    /// The senders who get one mail a day instead of one for each unsubscribe.
    pub daily_for: Vec<SenderId>,
    /// The time of day of those mails (default 07:00).
    pub digest_at: Time,
    /// In this zone (default Europe/Amsterdam).
    pub zone: TimeZone,
    /// Hosts whose one-click links are called; `.tool.example` means all below it too. Empty: none.
    pub one_click_hosts: Vec<String>,
    /// Where the news goes as JSON.
    pub webhooks: Vec<WebhookSettings>,
    /// Waits between tries; the last one repeats.
    pub retry: Vec<Duration>,
    /// When a telling is given up (default 3 days).
    pub expire_after: Duration,
    /// One request in all (default 15 s).
    pub timeout: Duration,
    /// Requests to one target at a time (default 4).
    pub at_once: usize,
}

/// One webhook.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Its name.
    pub name: String,
    /// Its URL.
    pub target: Target,
    /// The key of its signatures.
    pub secret: Secret,
    /// The senders whose news it gets; empty: all.
    pub senders: Vec<SenderId>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Who signs with DKIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dkim {
    /// The gateway, with these keys; none: unsigned.
    Keys(Vec<DkimKey>),
    /// The next hop (`dkim = "next-hop"`).
    NextHop,
}

/// One DKIM key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// `d=`.
    pub domain: Domain,
    /// `s=`.
    pub selector: String,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// PEM file (PKCS#8, or PKCS#1 for RSA).
    pub key_file: PathBuf,
}

/// DKIM algorithms (RFC 6376, RFC 8463).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// rsa-sha256.
    RsaSha256,
    /// ed25519-sha256.
    Ed25519Sha256,
}

impl Algorithm {
    /// As the config and DKIM write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }
}

/// Every bound, by name (promise 10). Sizes are octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One message.
    pub message_size: u64,
    /// Message bytes buffered in all sessions together.
    pub message_memory: u64,
    /// Recipients of one message (RULES P1: at least 100).
    pub recipients: usize,
    /// SMTP connections in all.
    pub connections: usize,
    /// SMTP connections of one IP address.
    pub connections_per_ip: usize,
    /// Wrong commands of one session since its last message that was taken, before it is closed.
    pub bad_commands: u32,
    /// Recipients of one session refused since its last message that was taken, before it is closed.
    pub refused_recipients: u32,
    /// NOOP, RSET, VRFY, EXPN, HELP, EHLO and HELO of one session since its last message that was taken, before
    /// it is closed.
    pub idle_commands: u32,
    /// Commands of one session, before it is closed.
    pub commands: u64,
    /// Wait for the next command.
    pub command_timeout: Duration,
    /// Wait for the next block of a message.
    pub data_timeout: Duration,
    /// Wait for the whole of a message.
    pub message_timeout: Duration,
    /// Octets of a message in a second, on average, once `data_timeout` was spent waiting for it; 0: any.
    pub data_rate: u64,
    /// Wait for a client to take a reply.
    pub write_timeout: Duration,
    /// Wait for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Wait for the register's answer about one recipient.
    pub decision_timeout: Duration,
    /// Wait for room in `message_memory`.
    pub memory_wait: Duration,
    /// Octets of one header block.
    pub header: usize,
    /// Header fields in all.
    pub header_fields: usize,
    /// MIME parts in all.
    pub parts: usize,
    /// Nesting of MIME parts.
    pub depth: usize,
    /// Placeholders such as `{{unsubscribe_url}}` in one part.
    pub placeholders: usize,
    /// `Received` fields, against loops (RFC 5321 6.3).
    pub received: usize,
    /// Failed sign-ins of one session, before it is closed.
    pub sign_in_failures_per_session: u32,
    /// Failed sign-ins of one IP address within `sign_in_window`.
    pub sign_in_failures_per_ip: u32,
    /// Failed sign-ins of one account within `sign_in_window`.
    pub sign_in_failures_per_account: u32,
    /// In which time failed sign-ins are forgiven.
    pub sign_in_window: Duration,
    /// Messages of one account (or trusted address) in an hour.
    pub messages_per_hour: u32,
    /// Recipients of one account (or trusted address) refused at RCPT in an hour.
    pub refusals_per_hour: u32,
    /// Confirmation mails to one address in 24 hours, under all forms.
    pub form_mails_per_address: u32,
    /// Forms sent in from one network (an IPv4 /24, an IPv6 /48) in an hour.
    pub forms_per_network: u32,
    /// How often one form is sent in, in an hour.
    pub forms_per_hour: u32,
    /// IP addresses and accounts that are remembered for the counts above.
    pub remembered: usize,
    /// Copies in the spool.
    pub spool_copies: u64,
    /// Records that wait for the pen.
    pub ledger_queue: usize,
    /// Records in one commit.
    pub ledger_batch: usize,
    /// Entries of one evidence pack.
    pub ledger_pack_entries: usize,
    /// HTTP connections to the unsubscribe page.
    pub http_connections: usize,
    /// One HTTP request body.
    pub http_body: usize,
    /// One HTTP request body, and one request header.
    pub http_timeout: Duration,
    /// An HTTP connection without a request.
    pub http_idle: Duration,
    /// Unsubscribes that wait for the ledger.
    pub http_pending: usize,
    /// One mail to the unsubscribe address.
    pub unsubscribe_mail: u64,
    /// Connections to the listeners for it.
    pub unsubscribe_connections: usize,
    /// What the DNS may take about one mail.
    pub dns_timeout: Duration,
    /// Mails to the unsubscribe address that wait for a person.
    pub inbox: u64,
    /// Mails to the unsubscribe address by which nothing changes, from one network, in an hour.
    pub unsubscribe_mails_per_network: u32,
    /// The same, from everywhere.
    pub unsubscribe_mails_per_hour: u32,
    /// Mails from one network that wait for a person, in 24 hours.
    pub inbox_per_network: u32,
    /// Entries about one address among which the message is looked for that a plain "stop" answers.
    pub reply_search: usize,
    /// Connections to the listener of the API.
    pub api_connections: usize,
    /// One request body of the API.
    pub api_body: usize,
    /// Requests of the API that are worked on at one time.
    pub api_at_once: usize,
    /// Connections to the admin socket.
    pub admin_connections: usize,
    /// Wait of a command for a gateway that starts, or for another command.
    pub admin_wait: Duration,
    /// One request or answer on the admin socket.
    pub admin_message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 35 << 20,
            message_memory: 256 << 20,
            recipients: 1_000,
            connections: 1_000,
            connections_per_ip: 100,
            bad_commands: 20,
            refused_recipients: 1_000,
            idle_commands: 100,
            commands: 1_000_000,
            command_timeout: Duration::from_secs(5 * 60),
            data_timeout: Duration::from_secs(3 * 60),
            message_timeout: Duration::from_secs(3_600),
            data_rate: 1 << 10,
            write_timeout: Duration::from_secs(2 * 60),
            handshake_timeout: Duration::from_secs(30),
            decision_timeout: Duration::from_secs(60),
            memory_wait: Duration::from_secs(20),
            header: 256 << 10,
            header_fields: 2_000,
            parts: 512,
            depth: 16,
            placeholders: 1_000,
            received: 50,
            sign_in_failures_per_session: 3,
            sign_in_failures_per_ip: 20,
            sign_in_failures_per_account: 10,
            sign_in_window: Duration::from_secs(15 * 60),
            messages_per_hour: 10_000,
            refusals_per_hour: 10_000,
            form_mails_per_address: 4,
            forms_per_network: 30,
            forms_per_hour: 1_000,
            remembered: 10_000,
            spool_copies: 100_000,
            ledger_queue: 1_024,
            ledger_batch: 512,
            ledger_pack_entries: 50_000,
            http_connections: 512,
            http_body: 64 << 10,
            http_timeout: Duration::from_secs(20),
            http_idle: Duration::from_secs(30),
            http_pending: 4_096,
            unsubscribe_mail: 10 << 20,
            unsubscribe_connections: 50,
            dns_timeout: Duration::from_secs(10),
            inbox: 1_000,
            unsubscribe_mails_per_network: 1_000,
            unsubscribe_mails_per_hour: 10_000,
            inbox_per_network: 20,
            reply_search: 1_000,
            api_connections: 64,
            api_body: 4 << 20,
            api_at_once: 8,
            admin_connections: 8,
            admin_wait: Duration::from_secs(5),
            admin_message: 64 << 20,
        }
    }
}

/// How the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSettings {
    /// A checkpoint is signed at least this often, while anything happens.
    pub checkpoint_every: Duration,
    /// Octets of the store that may be kept in memory.
    pub cache: u64,
    /// From this size of the store on, in octets, each commit saves what a start after a crash needs.
    pub quick_repair: u64,
    /// What is kept of each copy's bytes, by class.
    pub archive: Archive,
    /// How long entries are kept, in months.
    pub retention: Retention,
    /// Where checkpoints go outside.
    pub anchor: Anchor,
}

/// Where checkpoints go, so that nobody can rewrite what they cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// A folder, best on another machine: one file for each.
    pub folder: Option<PathBuf>,
    /// Addresses of people who keep the mail.
    pub mail: Vec<Address>,
    /// Time-stamping services (RFC 3161): as written, and as called.
    pub time_stamp: Vec<(String, Target)>,
    /// Who vouches for their signers: PEM. Without it, any signer will do.
    pub time_stamp_ca_file: Option<PathBuf>,
    /// How often (default a day).
    pub every: Duration,
    /// How long a time-stamping service may take (default 30 s).
    pub timeout: Duration,
}

impl Default for Anchor {
    fn default() -> Self {
        Self {
            folder: None,
            mail: Vec::new(),
            time_stamp: Vec::new(),
            time_stamp_ca_file: None,
            every: Duration::from_secs(86_400),
            timeout: Duration::from_secs(30),
        }
    }
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_secs(60),
            cache: 32 << 20,
            quick_repair: 1 << 30,
            archive: Archive::default(),
            retention: Retention::default(),
            anchor: Anchor::default(),
        }
    }
}

/// How it logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Human or JSON.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,sluis::relay=debug`.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Human, level: "info".to_owned() }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Human,
    /// One JSON object per line.
    Json,
}
