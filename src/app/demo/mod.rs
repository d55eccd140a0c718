//! `sluis demo`: the whole journey in ten seconds, on free loopback ports and in a folder that is gone
//! afterwards. Each step checks that it did what it says; the exit status is 0 only if all did.

mod client;
mod next_hop;
mod samples;
mod stage;

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use similar::{ChangeTag, TextDiff};

use self::client::{Answers, Client};
use self::next_hop::Mailbox;
use self::samples as s;
use self::stage::{Look, Stage};
use super::Running;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config;
use crate::consent::{Act, ConsentEvent, ConsentEventKind, Evidence, Relation};
use crate::ledger::{Consented, Event, Record, Related, Suppressed, verify};
use crate::mail::{Address, Purpose, SenderId};
use crate::secret::SystemEntropy;
use crate::shutdown::Shutdown;
use crate::suppression::{Reason, Suppression};

/// No single step of the tour takes longer than this on the slowest machine.
const STEP: Duration = Duration::from_secs(30);

/// Give the tour.
pub async fn run() -> Result<()> {
    let mut stage = Stage::new();
    stage.line(Look::Strong, "Sluis: nothing commercial leaves without a basis; what leaves can be proven.");
    let folder = tempfile::tempdir().context("making a folder for the tour")?;
    let shutdown = Shutdown::new();
    let (next_hop, mailbox) = next_hop::start(&shutdown).await?;
    let running = start_gateway(folder.path(), next_hop).await?;
    let tour = Tour { running: &running, mailbox: &mailbox, folder: folder.path() };
    let result = tour.give(&mut stage).await;
    running.stop().await;
    shutdown.request();
    result?;
    stage.line(Look::Plain, "");
    stage.line(Look::Good, "Every step did what it says. Next: `sluis serve`, and point a mail tool at it.");
    Ok(())
}

async fn start_gateway(folder: &Path, next_hop: SocketAddr) -> Result<Running> {
    // Links must name the port before the page is bound: take a free one, and give it to the config.
    let page = std::net::TcpListener::bind("127.0.0.1:0").context("a free port")?.local_addr()?;
    let data = folder.join("var");
    let source = s::config(&data.display().to_string(), &next_hop.to_string(), &page.to_string());
    let file = folder.join("sluis.toml");
    std::fs::write(&file, source)?;
    let environment = config::Environment::of_process(SystemClock.now());
    let settings = config::load(&file, &environment).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    Running::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await
}

struct Tour<'a> {
    running: &'a Running,
    mailbox: &'a Mailbox,
    folder: &'a Path,
}

impl Tour<'_> {
    async fn give(&self, stage: &mut Stage) -> Result<()> {
        let gateway = self.running.submission()[0].address;
        stage.step("A gateway stands between the mail tools and the next hop");
        stage.line(Look::Dim, &format!("   mail tools -> {gateway} -> next hop (both on this machine)"));

        stage.step("The register knows one consent, one customer and one objection");
        self.fill_register(stage).await?;

        let mut client = Client::connect(gateway).await?;
        stage.step("A newsletter goes to a reader, a customer, a stranger and somebody who objected");
        self.newsletter(stage, &mut client).await?;

        stage.step("An invoice and a personal mail go to people who never consented");
        self.other_mail(stage, &mut client).await?;

        stage.step("The newsletter as the tool sent it, and as the reader got it");
        let got = self.mailbox.find(s::CONSENTING).context("the reader's copy")?;
        let got = String::from_utf8(got.message)?;
        show_difference(stage, &s::newsletter(), &got)?;

        stage.step("The reader's mail program sends the one-click POST");
        self.unsubscribe(stage, &mut client, &got).await?;

        stage.step("The proof: an evidence pack, verified with the public key alone");
        self.prove(stage).await
    }

    async fn fill_register(&self, stage: &Stage) -> Result<()> {
        let now = SystemClock.now();
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let before = now.checked_sub(jiff::SignedDuration::try_from(year)?)?;
        let record = Record {
            events: vec![consent(before, now)?, purchase(before, now)?, objection(before)?],
            sides: vec![],
        };
        self.running.scribe().record(record).await?;
        stage.line(Look::Plain, &format!("   consent    {} for \"{}\"", s::CONSENTING, s::PURPOSE));
        stage.line(Look::Plain, &format!("   customer   {} bought a \"hypotheek\" a year ago", s::CUSTOMER));
        stage.line(Look::Plain, &format!("   objection  {}", s::SUPPRESSED));
        Ok(())
    }

    async fn newsletter(&self, stage: &Stage, client: &mut Client) -> Result<()> {
        let to = [s::CONSENTING, s::CUSTOMER, s::UNKNOWN, s::SUPPRESSED];
        let answers = within(client.submit(s::NEWS, &to, &s::newsletter())).await?;
        show_answers(stage, &to, &answers);
        let codes: Vec<_> = answers.recipients.iter().map(|said| said.code).collect();
        ensure!(codes == [250, 250, 550, 550], "expected the reader and the customer only, got {codes:?}");
        ensure!(answers.data.is_some_and(|said| said.code == 250), "the newsletter was not relayed");
        for (to, allowed) in to.iter().zip([true, true, false, false]) {
            ensure!(self.mailbox.find(to).is_some() == allowed, "the next hop disagrees about {to}");
        }
        Ok(())
    }

    async fn other_mail(&self, stage: &Stage, client: &mut Client) -> Result<()> {
        for (from, to, message) in
            [(s::INVOICES, s::SUPPRESSED, s::invoice()), (s::PERSON, s::UNKNOWN, s::letter())]
        {
            let answers = within(client.submit(from, &[to], &message)).await?;
            show_answers(stage, &[to], &answers);
            ensure!(answers.data.is_some_and(|said| said.code == 250), "mail from {from} was not relayed");
        }
        let letter = self.mailbox.find(s::UNKNOWN).context("the personal mail")?;
        ensure!(
            letter.message.ends_with(s::letter().as_bytes()),
            "the personal mail did not arrive byte for byte"
        );
        stage.line(Look::Dim, "   the personal mail arrived byte for byte, under our trace header");
        Ok(())
    }

    async fn unsubscribe(&self, stage: &Stage, client: &mut Client, got: &str) -> Result<()> {
        let page = self.running.unsubscribe();
        let path = link_of(got, page).context("no unsubscribe link in the reader's copy")?;
        stage.line(Look::Plain, "   POST /u/<token>, List-Unsubscribe=One-Click");
        let status = within(client::one_click(page, &path)).await?;
        ensure!(status == 200, "the page answered {status}");
        stage.line(Look::Good, &format!("   {status}: and from this moment on"));
        let answers = within(client.submit(s::NEWS, &[s::CONSENTING], &s::newsletter())).await?;
        show_answers(stage, &[s::CONSENTING], &answers);
        ensure!(answers.recipients[0].code == 550, "the next RCPT was not refused");
        let notice = within(async { Ok(self.mailbox.wait_for(s::DESK).await) }).await?;
        ensure!(String::from_utf8_lossy(&notice.message).contains(s::CONSENTING), "the notice names nobody");
        stage.line(Look::Dim, &format!("   {} was told by mail", s::DESK));
        Ok(())
    }

    async fn prove(&self, stage: &Stage) -> Result<()> {
        let key = self.running.ledger_key();
        let pack = self.running.pack_of(&Address::parse(s::CONSENTING)?).await?;
        let file = self.folder.join("evidence.zip");
        std::fs::write(&file, &pack)?;
        stage.line(Look::Plain, &format!("   evidence.zip: {} octets", pack.len()));
        stage.line(Look::Dim, &format!("   public key: {key}"));
        let report = verify::verify_pack(Cursor::new(std::fs::read(&file)?), &key)?;
        ensure!(report.is_sound(), "the pack does not verify: {}", report.problems.join("; "));
        let (entries, messages) = (report.entries.len(), report.messages.len());
        ensure!(entries > 0 && messages > 0, "the pack is empty");
        stage.line(Look::Good, &format!("   {entries} entries are in the signed ledger as they stand here"));
        stage.line(Look::Good, &format!("   {messages} message is byte for byte what was sent"));
        let mut altered = pack;
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        if verify::verify_pack(Cursor::new(altered), &key).is_ok_and(|report| report.is_sound()) {
            bail!("a pack with one bit changed verified all the same");
        }
        stage.line(Look::Good, "   the same pack with one bit changed does not verify");
        Ok(())
    }
}

async fn within<T>(step: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(STEP, step).await.context("the step did not end in time")?
}

fn consent(at: Timestamp, now: Timestamp) -> Result<Event> {
    Ok(Event::Consent(Consented {
        sender: SenderId(s::SENDER_ID.to_owned()),
        purpose: Purpose(s::PURPOSE.to_owned()),
        address: Address::parse(s::CONSENTING)?.key().clone(),
        event: ConsentEvent {
            kind: ConsentEventKind::Grant,
            at,
            recorded_at: now,
            evidence: Evidence {
                text_sha256: Some(crate::mail::hex(&crate::mail::sha256(s::CONSENT_TEXT.as_bytes()))),
                privacy_version: Some("2025-1".to_owned()),
                act: Some(Act::TickedBox),
                source: Some("https://voorbeeldhypotheken.example/nieuwsbrief".to_owned()),
                ip: Some("192.0.2.7".to_owned()),
                ..Evidence::default()
            },
        },
        source: "tour".to_owned(),
    }))
}

fn purchase(at: Timestamp, now: Timestamp) -> Result<Event> {
    Ok(Event::Relation(Related {
        sender: SenderId(s::SENDER_ID.to_owned()),
        address: Address::parse(s::CUSTOMER)?.key().clone(),
        relation: Relation {
            product: "hypotheek".to_owned(),
            last_purchase: at,
            recorded_at: now,
            opt_out_offered: true,
            given_in_sale: true,
            source: Some("contract 2025-204".to_owned()),
        },
        source: "tour".to_owned(),
    }))
}

fn objection(since: Timestamp) -> Result<Event> {
    Ok(Event::Suppression(Suppressed {
        sender: SenderId(s::SENDER_ID.to_owned()),
        address: Address::parse(s::SUPPRESSED)?.key().clone(),
        suppression: Suppression {
            reason: Reason::Objection,
            since,
            source: "letter of last year".to_owned(),
        },
        reference: None,
    }))
}

fn show_answers(stage: &Stage, to: &[&str], answers: &Answers) {
    for (to, said) in to.iter().zip(&answers.recipients) {
        let look = if said.code == 250 { Look::Good } else { Look::Bad };
        stage.line(look, &format!("   RCPT {to:<26} {} {}", said.code, said.text));
    }
    if let Some(said) = &answers.data {
        let look = if said.code == 250 { Look::Good } else { Look::Bad };
        stage.line(look, &format!("   DATA {:<26} {} {}", "", said.code, said.text));
    }
}

/// Print the lines that changed, with one line around them.
fn show_difference(stage: &Stage, before: &str, after: &str) -> Result<()> {
    let difference = TextDiff::from_lines(before, after);
    let mut added = 0;
    for group in difference.grouped_ops(1) {
        for change in group.iter().flat_map(|op| difference.iter_changes(op)) {
            let (look, mark) = match change.tag() {
                ChangeTag::Equal => (Look::Dim, ' '),
                ChangeTag::Delete => (Look::Bad, '-'),
                ChangeTag::Insert => {
                    added += 1;
                    (Look::Good, '+')
                }
            };
            stage.line(look, &format!("   {mark} {}", change.value().trim_end()));
        }
    }
    ensure!(added > 0, "nothing was added to the newsletter");
    Ok(())
}

/// The path of our link in List-Unsubscribe.
fn link_of(message: &str, page: SocketAddr) -> Option<String> {
    let header = message.split("\r\n\r\n").next()?;
    let base = format!("<http://{page}");
    let (_, rest) = header.split_once("List-Unsubscribe:")?.1.split_once(&base)?;
    rest.split_once('>').map(|(path, _)| path.to_owned())
}
