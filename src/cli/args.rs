//! What can be typed.

// Long because it is everything that can be typed, as declarations; cut up, nobody would find a flag.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::import::Kind as ImportKind;
use super::import::dates::Order;
use crate::admin::Subject;
use crate::consent::ConsentEventKind;
use crate::ledger::OwedId;
use crate::mail::{Address, CopyId, Domain, Language};
use crate::suppression::Reason;

/// SMTP relay and compliance gateway: nothing commercial leaves without a legal basis, and what left can be
/// proven.
#[derive(Debug, Parser)]
#[command(name = "sluis", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// The config file [default: $SLUIS_CONFIG, else config/sluis.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve,
    /// Take the tour: a gateway, sample mail, refusals, an unsubscribe and the proof, in ten seconds
    Demo,
    /// Name everything that is wrong in the config file
    Check,
    /// Consents: who may be mailed about what
    #[command(subcommand)]
    Consent(ConsentCommand),
    /// Customers: who bought what
    #[command(subcommand)]
    Customer(CustomerCommand),
    /// Published business addresses: who invites such mail on a web page
    #[command(subcommand)]
    Published(PublishedCommand),
    /// Suppressions: who may not be mailed any more
    #[command(subcommand)]
    Suppress(SuppressCommand),
    /// Take in the export of a mailing tool or the orders of a shop
    Import(Box<ImportCommand>),
    /// Write what is on record: about one address, of a sender, or opt-outs for other tools
    #[command(subcommand)]
    Export(ExportCommand),
    /// Consent texts and privacy texts, stored once by their hash
    #[command(subcommand)]
    Text(TextCommand),
    /// Print a form for signing up as plain HTML, to be put into a page of your own site
    Form {
        /// Its name in the config
        name: String,
    },
    /// Rules: try them on cases of your own
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Tell why a message may or may not go: by its addresses, by the message itself, or by the reference of one
    /// that was answered
    Explain(Box<Explain>),
    /// Show what a recipient would get of a message, before anything is sent: before, after, and a page to look at
    Preview(PreviewArgs),
    /// Count what was refused
    #[command(subcommand)]
    Report(ReportCommand),
    /// Proof of what was sent, refused and recorded
    #[command(subcommand)]
    Proof(ProofCommand),
    /// The ledger as a whole: check it, sign it, show that it was only added to
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Erase one person's data, as far as the law lets it go, and write the letter about it
    Erase(EraseArgs),
    /// Copy the store to a file while the gateway runs, and check the copy
    Backup {
        /// The file; it must not be there yet
        file: PathBuf,
    },
    /// Put a backup in the place of a store that is gone, once it is found sound; nothing is written over
    Restore {
        /// The backup
        file: PathBuf,
        /// A checkpoint that was kept elsewhere, or a folder of them: the backup must continue each
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
    /// Copies that wait for the next hop
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Take a mail to the unsubscribe address from standard input: for the alias or pipe of a mail server
    UnsubscribeMail(UnsubscribeMail),
    /// Mails to the unsubscribe address that only a person can answer
    #[command(subcommand)]
    Inbox(InboxCommand),
    /// What is owed to those who must know of an unsubscribe
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Keys: make, list, rotate
    #[command(subcommand)]
    Keys(KeysCommand),
    /// What the gateway does now
    Status,
    /// Have the running gateway read its config file again
    Reload,
    /// Make the password hash of an account, from a password typed or piped in
    Password,
}

/// An erasure.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// Who
    pub address: Address,
    /// The sender who writes the letter, by name or id [default: the only one of the config]
    #[arg(long)]
    pub sender: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Write the letter to this file, which must not be there yet [default: print it]
    #[arg(long, value_name = "FILE")]
    pub letter: Option<PathBuf>,
}

/// Keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a DKIM key, and print the DNS record to publish; a key that is there is shown, never replaced
    Dkim(DkimKey),
    /// Every key: what it is known by, when it was made, what it does
    List,
    /// Make a new key beside the old ones, which go on opening what they sealed and proving what they signed
    Rotate {
        /// Which
        #[arg(value_enum)]
        kind: Rotated,
        /// Of the ledger's key: the one before is lost, so nobody vouches for the new one; and why that is so
        #[arg(long, value_name = "WHY")]
        lost: Option<String>,
    },
}

/// A DKIM key.
#[derive(Debug, Args)]
pub struct DkimKey {
    /// The domain that signs
    #[arg(long, value_parser = |text: &str| Domain::parse(text))]
    pub domain: Domain,
    /// The public key will stand in DNS under SELECTOR._domainkey.DOMAIN
    #[arg(long)]
    pub selector: String,
    /// The kind of key
    #[arg(long, value_enum, default_value_t = KeyKind::Rsa)]
    pub algorithm: KeyKind,
    /// Where to put it [default: keys/dkim/DOMAIN.SELECTOR.pem in the data folder]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Kinds of DKIM key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyKind {
    /// 2048 bits, for rsa-sha256: every receiver knows it
    #[value(name = "rsa-2048", alias = "rsa", alias = "rsa-sha256")]
    Rsa,
    /// For ed25519-sha256 (RFC 8463): short and fast; sign with an RSA key as well
    #[value(name = "ed25519", alias = "ed25519-sha256")]
    Ed25519,
}

/// Keys that rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rotated {
    /// The key that seals unsubscribe links
    Token,
    /// The key that signs checkpoints and packs; in force from the next start
    Ledger,
}

/// Consents.
#[derive(Debug, Subcommand)]
pub enum ConsentCommand {
    /// Put one consent event on record
    Add(Box<ConsentAdd>),
    /// Show what is on record for an address
    Show {
        /// Whose
        address: Address,
        /// One sender only, by name or id
        #[arg(long)]
        sender: Option<String>,
    },
    /// Take in a file of consent events
    Import(Import),
}

/// Who says that consent was given, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    /// The sender, by name or id [default: the only one of the config]
    #[arg(long)]
    pub sender: Option<String>,
    /// How it was given: ticked_box, typed, signed, clicked_confirm or spoken_recorded
    #[arg(long)]
    pub act: Option<String>,
    /// URL, form, scan or recording it was given at
    #[arg(long)]
    pub source: Option<String>,
    /// Your written word that consent was given, where the text is unknown (grade C)
    #[arg(long, value_name = "TEXT", alias = "attestation")]
    pub attest: Option<String>,
}

/// One consent event.
#[derive(Debug, Args)]
pub struct ConsentAdd {
    /// Whose
    pub address: Address,
    /// What for, in the words of the rule
    #[arg(long)]
    pub purpose: String,
    /// Who says so, and how it was given
    #[command(flatten)]
    pub given: Given,
    /// What happened
    #[arg(long, value_enum, default_value_t = Kind::Grant)]
    pub kind: Kind,
    /// The consent text as it was shown
    #[arg(long, conflicts_with_all = ["text_file", "text_sha256"])]
    pub text: Option<String>,
    /// A file with the consent text as it was shown
    #[arg(long, value_name = "FILE", conflicts_with = "text_sha256")]
    pub text_file: Option<PathBuf>,
    /// SHA-256 (hex) of the consent text, where the text itself is kept elsewhere
    #[arg(long, value_name = "HEX")]
    pub text_sha256: Option<String>,
    /// When it was given, RFC 3339 or YYYY-MM-DD [default: now]
    #[arg(long)]
    pub at: Option<String>,
    /// IP address it was given from
    #[arg(long)]
    pub ip: Option<String>,
    /// Version of the privacy text shown with it
    #[arg(long)]
    pub privacy_version: Option<String>,
    /// A file that shows it: a scan, a recording, the capture of a page; kept under its SHA-256
    #[arg(long, value_name = "FILE")]
    pub evidence: Vec<PathBuf>,
    /// Time zone of times without one
    #[arg(long, default_value = super::fields::ZONE)]
    pub zone: String,
}

/// The kinds of consent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The person asked to be asked
    Request,
    /// Consent was given
    Grant,
    /// A grant was confirmed
    Confirm,
    /// Consent was taken back
    Withdraw,
    /// What stands before was recorded by mistake
    Correct,
    /// It was given for a time that has passed, or will have
    Expire,
    /// It was taken over from another tool, by its word
    Import,
}

impl From<Kind> for ConsentEventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Request => Self::Request,
            Kind::Grant => Self::Grant,
            Kind::Confirm => Self::Confirm,
            Kind::Withdraw => Self::Withdraw,
            Kind::Correct => Self::Correct,
            Kind::Expire => Self::Expire,
            Kind::Import => Self::Import,
        }
    }
}

/// Customers.
#[derive(Debug, Subcommand)]
pub enum CustomerCommand {
    /// Put one purchase on record
    Add(CustomerAdd),
    /// Take in a file of purchases
    Import(Import),
}

/// One purchase.
#[derive(Debug, Args)]
pub struct CustomerAdd {
    /// Whose
    pub address: Address,
    /// The product group that was bought
    #[arg(long)]
    pub product: String,
    /// The last purchase, or the end of the contract
    #[arg(long, value_name = "DATE")]
    pub last_purchase: String,
    /// The sender, by name or id [default: the only one of the config]
    #[arg(long)]
    pub sender: Option<String>,
    /// Opting out was offered when the address was taken
    #[arg(long)]
    pub opt_out_offered: bool,
    /// The customer gave the address in the sale (not a quote, lead, download or contest)
    #[arg(long)]
    pub given_in_sale: bool,
    /// Order or contract number
    #[arg(long)]
    pub source: Option<String>,
    /// Time zone of times without one
    #[arg(long, default_value = super::fields::ZONE)]
    pub zone: String,
}

/// Published business addresses.
#[derive(Debug, Subcommand)]
pub enum PublishedCommand {
    /// Put one published address on record
    Add(Box<PublishedAdd>),
    /// Take in a file of published addresses
    Import(Import),
}

/// One published business address.
#[derive(Debug, Args)]
pub struct PublishedAdd {
    /// Whose
    pub address: Address,
    /// What it may be mailed about, in the words of the rule
    #[arg(long)]
    pub purpose: String,
    /// The page that publishes it
    #[arg(long)]
    pub url: String,
    /// The sentence on the page that says what the address is for
    #[arg(long)]
    pub quote: String,
    /// The page as it was saved; its SHA-256 goes on record
    #[arg(long, value_name = "FILE", required_unless_present = "page_sha256")]
    pub page_file: Option<PathBuf>,
    /// SHA-256 (hex) of the page as it was saved
    #[arg(long, value_name = "HEX", conflicts_with = "page_file")]
    pub page_sha256: Option<String>,
    /// When the page was saved [default: now]
    #[arg(long, value_name = "DATE")]
    pub captured_at: Option<String>,
    /// When the page must be looked at again [default: 12 months after it was saved]
    #[arg(long, value_name = "DATE")]
    pub review_by: Option<String>,
    /// The sender, by name or id [default: the only one of the config]
    #[arg(long)]
    pub sender: Option<String>,
    /// Time zone of times without one
    #[arg(long, default_value = super::fields::ZONE)]
    pub zone: String,
}

/// Suppressions.
#[derive(Debug, Subcommand)]
pub enum SuppressCommand {
    /// Suppress an address, from now on
    Add {
        /// Whose
        address: Address,
        /// The sender, by name or id [default: the only one of the config]
        #[arg(long)]
        sender: Option<String>,
        /// Why
        #[arg(long, value_enum, default_value_t = Why::Manual)]
        reason: Why,
        /// Where it is known from: a letter, a ticket
        #[arg(long, default_value = "command line")]
        source: String,
    },
    /// List suppressed addresses
    List {
        /// One sender only, by name or id
        #[arg(long)]
        sender: Option<String>,
    },
    /// Say that a mailbox works after all, to which mail had come back for good
    Unblock {
        /// Whose
        address: Address,
        /// The sender, by name or id [default: the only one of the config]
        #[arg(long)]
        sender: Option<String>,
        /// How that is known
        #[arg(long)]
        why: String,
    },
    /// Take in a file of suppressions
    Import(Import),
}

/// Why an address is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Why {
    /// The person unsubscribed
    Unsubscribed,
    /// The person complained
    Complaint,
    /// The person objected
    Objection,
    /// By hand
    Manual,
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Unsubscribed => Self::Unsubscribed,
            Why::Complaint => Self::Complaint,
            Why::Objection => Self::Objection,
            Why::Manual => Self::Manual,
        }
    }
}

/// A file of rows.
#[derive(Debug, Args)]
pub struct Import {
    /// CSV (with a header line) or JSON lines; "-" for standard input
    pub file: PathBuf,
    /// The form of the file [default: by its name, .jsonl or .ndjson; else CSV]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// For rows without one: a value for any column, as COLUMN=VALUE
    #[arg(long = "set", value_name = "COLUMN=VALUE")]
    pub set: Vec<String>,
    /// A column that is called otherwise in the file, as OURS=THEIRS
    #[arg(long = "map", value_name = "OURS=THEIRS")]
    pub map: Vec<String>,
    /// Time zone of times without one [default: asked for on a terminal, else Europe/Amsterdam]
    #[arg(long)]
    pub zone: Option<String>,
    /// Which number of 01/02/2026 is the day [default: as the file tells]
    #[arg(long, value_enum)]
    pub dates: Option<Order>,
    /// Where rows that are not taken go [default: FILE.rejects.csv]
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Judge every row and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Files of mailing tools and shops.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ImportCommand {
    /// What was imported before
    #[command(subcommand)]
    pub command: Option<ImportsCommand>,
    /// The file
    #[command(flatten)]
    pub file: ImportFile,
}

/// What was imported before.
#[derive(Debug, Subcommand)]
pub enum ImportsCommand {
    /// List the imports
    List,
    /// Take back what an import added
    Undo {
        /// Its id
        id: String,
        /// Opt-outs, too: they stay otherwise, because an opt-out always wins
        #[arg(long)]
        opt_outs: bool,
        /// Only tell how much would be taken back
        #[arg(long)]
        dry_run: bool,
    },
}

/// A file of a mailing tool or a shop, or with columns of our own.
#[derive(Debug, Args)]
pub struct ImportFile {
    /// CSV, JSON lines, or a zip of them; "-" for standard input
    #[arg(required = true)]
    pub file: Option<PathBuf>,
    /// Which tool made it
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// What the rows are, in a file with columns of our own
    #[arg(long = "as", value_enum, default_value_t = ImportKind::Consents, value_name = "KIND")]
    pub kind: ImportKind,
    /// A column that is called otherwise in the file, as OURS=THEIRS
    #[arg(long = "map", value_name = "OURS=THEIRS")]
    pub map: Vec<String>,
    /// For rows without one: a value for any column, as COLUMN=VALUE
    #[arg(long = "set", value_name = "COLUMN=VALUE")]
    pub set: Vec<String>,
    /// Who says so, and how it was given, for rows that do not say
    #[command(flatten)]
    pub given: Given,
    /// What the people on the list consented to, in the words of the rule
    #[arg(long)]
    pub purpose: Option<String>,
    /// A file with the consent text that the sign-up form showed
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// When consent was given, where the file does not know; with --attest
    #[arg(long, value_name = "DATE", requires = "attest")]
    pub given_at: Option<String>,
    /// The product group of every order [default: what the file says was bought]
    #[arg(long)]
    pub product: Option<String>,
    /// Opting out was offered at the checkout where the addresses were taken
    #[arg(long)]
    pub opt_out_offered: bool,
    /// Time zone of times without one [default: asked for on a terminal, else Europe/Amsterdam]
    #[arg(long)]
    pub zone: Option<String>,
    /// Which number of 01/02/2026 is the day [default: as the file tells]
    #[arg(long, value_enum)]
    pub dates: Option<Order>,
    /// Where rows that are not taken go [default: FILE.rejects.csv]
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Judge every row and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl ImportFile {
    /// A file with columns of our own, of which nothing is said but what `rows` says.
    pub fn of(rows: Import) -> Self {
        Self {
            file: Some(rows.file),
            format: Format::Csv,
            kind: ImportKind::Consents,
            map: rows.map,
            set: rows.set,
            given: Given::default(),
            purpose: None,
            text: None,
            given_at: None,
            product: None,
            opt_out_offered: false,
            zone: rows.zone,
            dates: rows.dates,
            rejects: rows.rejects,
            dry_run: rows.dry_run,
        }
    }
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// By its columns
    Auto,
    /// An audience export, or the zip of one
    Mailchimp,
    /// A subscriber export
    Mailerlite,
    /// A contact export
    Brevo,
    /// A subscriber export
    Listmonk,
    /// A relations export
    Laposta,
    /// A subscriber export
    Mailwizz,
    /// A contact export
    Hubspot,
    /// A subscriber export
    CampaignMonitor,
    /// An order export
    Shopify,
    /// An order export
    Woocommerce,
    /// Columns of our own, with a header line
    Csv,
    /// Columns of our own, one JSON object per line
    Jsonl,
}

impl Format {
    /// The tool that makes it.
    pub fn tool(self) -> Option<&'static str> {
        match self {
            Self::Mailchimp => Some("mailchimp"),
            Self::Mailerlite => Some("mailerlite"),
            Self::Brevo => Some("brevo"),
            Self::Listmonk => Some("listmonk"),
            Self::Laposta => Some("laposta"),
            Self::Mailwizz => Some("mailwizz"),
            Self::Hubspot => Some("hubspot"),
            Self::CampaignMonitor => Some("campaign-monitor"),
            Self::Shopify => Some("shopify"),
            Self::Woocommerce => Some("woocommerce"),
            Self::Auto | Self::Csv | Self::Jsonl => None,
        }
    }
}

/// Rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Decide every case of a file and name those that do not come out as expected
    Test {
        /// A TOML file with a [[case]] for each decision that is expected
        cases: PathBuf,
    },
}

/// Texts that people are shown.
#[derive(Debug, Subcommand)]
pub enum TextCommand {
    /// Say what is wrong with a text, and put it on record
    Add {
        /// A file with the text as it is shown
        file: PathBuf,
        /// What it asks consent for, in the words of the rule
        #[arg(long, required_unless_present = "privacy")]
        purpose: Option<String>,
        /// The sender, by name or id [default: the only one of the config]
        #[arg(long)]
        sender: Option<String>,
        /// It is a privacy text, shown beside a consent text
        #[arg(long)]
        privacy: bool,
        /// Only say what is wrong with it
        #[arg(long)]
        dry_run: bool,
    },
    /// List the texts on record by their SHA-256
    List,
}

/// What is written.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Everything about one address: the answer to an access request
    Address {
        /// Whose
        address: Address,
        /// As a page to read, rather than JSON
        #[arg(long)]
        html: bool,
        /// The file to write; it must not be there yet [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// A folder to copy the evidence files into; it must not be there yet
        #[arg(long, value_name = "FOLDER")]
        files: Option<PathBuf>,
    },
    /// The register, one line of CSV for each fact
    Register {
        /// One sender only, by name or id
        #[arg(long)]
        sender: Option<String>,
        /// The file to write; it must not be there yet [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Who may not be mailed, as other tools take them in
    Suppressions {
        /// One sender only, by name or id
        #[arg(long)]
        sender: Option<String>,
        /// For which tool
        #[arg(long, value_enum, default_value_t = ToolFormat::Csv)]
        format: ToolFormat,
        /// The file to write; it must not be there yet [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Tools that opt-outs are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToolFormat {
    /// Columns of our own, which sluis suppress import takes in
    Csv,
    /// To be imported as unsubscribed contacts
    Mailchimp,
    /// To be imported as blocklisted contacts
    Brevo,
    /// To be imported in the mode blocklist
    Listmonk,
}

/// A message to look at.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// The message, an .eml file
    pub message: PathBuf,
    /// The recipient
    #[arg(long)]
    pub to: Address,
    /// MAIL FROM [default: the From address]
    #[arg(long)]
    pub from: Option<Address>,
    /// The account that hands it over
    #[arg(long)]
    pub account: Option<String>,
    /// The folder for before.eml, after.eml and preview.html
    #[arg(long, value_name = "FOLDER", default_value = "preview")]
    pub out: PathBuf,
}

/// A message that is asked about.
#[derive(Debug, Args)]
pub struct Explain {
    /// One that was answered: its reference or its recipient's address
    #[arg(required_unless_present = "to", conflicts_with_all = ["to", "from", "message"])]
    pub subject: Option<Subject>,
    /// The From address [default: that of the message]
    #[arg(long, required_unless_present_any = ["message", "subject"])]
    pub from: Option<Address>,
    /// The recipient
    #[arg(long)]
    pub to: Option<Address>,
    /// The message, an .eml file; "-" for standard input
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
    /// MAIL FROM, "" for the null path [default: the From address]
    #[arg(long, value_name = "ADDRESS")]
    pub envelope_from: Option<String>,
    /// The account that hands it over
    #[arg(long)]
    pub account: Option<String>,
    /// The address that it comes from
    #[arg(long, default_value = "127.0.0.1")]
    pub ip: std::net::IpAddr,
}

/// Counts of what was refused.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// What enforcement would have refused, by rule, sender and clause [default: in the last 30 days]
    Observe(Period),
    /// What was refused, by rule, sender and clause [default: in the last 30 days]
    Refused(Period),
}

/// Proof.
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// Show what is on record: about an address, a reference, a Message-ID in <…> or an entry number
    Show {
        /// About what [default: everything of the time given]
        #[arg(required_unless_present_any = ["since", "until"])]
        subject: Option<Subject>,
        /// Of which time
        #[command(flatten)]
        period: Period,
        /// The entries as they stand in the ledger, one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Give back the exact bytes that one person got, to standard output
    Message {
        /// Of which message: its Message-ID in <…>, our reference, a copy, or an entry number
        subject: Subject,
        /// Who got it
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
    },
    /// Find what a complaint is about: the message as it was saved, forwarded as an attachment, or quoted
    Lookup {
        /// The mail file; "-" for standard input
        complaint: PathBuf,
        /// The entries as they stand in the ledger, one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Check an evidence pack with the public key alone; without one, the whole ledger
    Verify {
        /// The pack
        pack: Option<PathBuf>,
        /// The public key, or a file with it [default: keys/ledger.pub in the data folder]
        #[arg(long, requires = "pack")]
        key: Option<String>,
        /// The authorities (PEM) that the signers of its time stamps must lead to
        #[arg(long, requires = "pack", value_name = "FILE")]
        time_stamp_ca: Option<PathBuf>,
        /// A list of revocations (CRL, PEM or DER) of such an authority; may be given for each
        #[arg(long, requires = "time_stamp_ca", value_name = "FILE")]
        time_stamp_crl: Vec<PathBuf>,
    },
    /// Write an evidence pack
    Export {
        /// About what [default: everything of the time given]
        #[arg(required_unless_present_any = ["since", "until"])]
        subject: Option<Subject>,
        /// Of which time
        #[command(flatten)]
        period: Period,
        /// The zip file to write; it must not be there yet
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// The language of its page: nl, en, de, fr [default: that of the sender]
        #[arg(long, value_parser = language)]
        language: Option<Language>,
    },
}

/// The ledger as a whole.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Derive everything anew from the entries and say what differs
    Fsck {
        /// A checkpoint that was kept elsewhere, or a folder of them: the ledger must continue each
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
    },
    /// Sign what there is, and print the checkpoint
    Checkpoint,
    /// Legal holds: what is held is not purged
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Destroy now what was kept long enough; the gateway does so by itself every day
    Purge,
    /// Prove that the ledger continues an earlier checkpoint
    Consistency {
        /// The earlier checkpoint
        old: PathBuf,
        /// The later one [default: the newest]
        new: Option<PathBuf>,
        /// Where to write the proof; it must not be there yet [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check such a proof with the public key alone
    Check {
        /// The proof
        proof: PathBuf,
        /// The public key, or a file with it; after a change of keys, both [default: keys/ledger.pub in the data
        /// folder]
        #[arg(long)]
        key: Vec<String>,
    },
}

/// Legal holds.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Put one on a mailbox, or on everything
    Add {
        /// Whose entries
        #[arg(required_unless_present = "everything")]
        address: Option<Address>,
        /// The whole ledger
        #[arg(long, conflicts_with = "address")]
        everything: bool,
        /// The case, the claim, the letter
        #[arg(long)]
        why: String,
    },
    /// List those that stand
    List,
    /// End one
    End {
        /// The entry that holds
        hold: u64,
        /// Why it ends
        #[arg(long)]
        why: String,
    },
}

/// A time that entries were written in.
#[derive(Debug, Args)]
pub struct Period {
    /// From this moment on, RFC 3339 or YYYY-MM-DD
    #[arg(long)]
    pub since: Option<String>,
    /// Until before this moment
    #[arg(long)]
    pub until: Option<String>,
    /// Time zone of times without one
    #[arg(long, default_value = super::fields::ZONE)]
    pub zone: String,
}

/// Copies that wait.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List them
    List,
    /// Show one
    Show {
        /// Which
        #[arg(value_parser = CopyId::parse)]
        copy: CopyId,
    },
    /// Try now; releases held ones
    Retry {
        /// Which
        #[arg(required_unless_present = "all", value_parser = CopyId::parse)]
        copies: Vec<CopyId>,
        /// All of them
        #[arg(long, conflicts_with = "copies")]
        all: bool,
    },
    /// Keep until retry or drop
    Hold {
        /// Which
        #[arg(required = true, value_parser = CopyId::parse)]
        copies: Vec<CopyId>,
    },
    /// Give up, without telling the sender
    Drop {
        /// Which
        #[arg(required = true, value_parser = CopyId::parse)]
        copies: Vec<CopyId>,
    },
}

/// Tellings that are owed.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// List them
    List {
        /// Only those that were given up
        #[arg(long)]
        dead: bool,
    },
    /// Tell now; what was given up gets its whole time again
    Retry {
        /// Which
        #[arg(required_unless_present = "all", value_parser = owed_id)]
        tellings: Vec<OwedId>,
        /// All that were given up
        #[arg(long, conflicts_with = "tellings")]
        all: bool,
    },
    /// Give up
    Drop {
        /// Which
        #[arg(required = true, value_parser = owed_id)]
        tellings: Vec<OwedId>,
    },
}

fn language(text: &str) -> Result<Language, String> {
    let known = Language::ALL.into_iter().find(|language| language.code() == text);
    known.ok_or_else(|| "nl, en, de or fr".to_owned())
}

fn owed_id(text: &str) -> Result<OwedId, String> {
    OwedId::parse(text).ok_or_else(|| format!("\"{text}\" is no id from `sluis outbox list`, such as 4711-0"))
}

/// A mail to the unsubscribe address.
#[derive(Debug, Args)]
pub struct UnsubscribeMail {
    /// Its envelope sender; empty for a bounce [default: that of $SENDER, of a "From " line, or of Return-Path]
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// To whom it came, if that is the envelope sender of a copy [default: that of $ORIGINAL_RECIPIENT]
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<Address>,
}

/// Mails that wait for a person.
#[derive(Debug, Subcommand)]
pub enum InboxCommand {
    /// List them
    List,
    /// Show one
    Show {
        /// Which
        letter: u64,
    },
    /// Unsubscribe whoever it is from, and be done with it
    Apply {
        /// Which
        letter: u64,
        /// Another address than that in From
        #[arg(long)]
        address: Option<Address>,
        /// The sender, by name or id [default: the only one of the config]
        #[arg(long)]
        sender: Option<String>,
    },
    /// Be done with it without unsubscribing anybody
    Dismiss {
        /// Which
        letter: u64,
    },
}
