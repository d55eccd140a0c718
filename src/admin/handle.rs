//! One request, one answer: the same for the socket and for a command that opened the store itself.

use super::wire::{
    Answer, ConsentLine, Import, MAX_PAGE, MAX_ROWS, OwedAction, ProfileView, Query, QueueAction,
    RegisterRow, Request, Status, TextRow,
};
use super::{Services, explain, inbox, ledger, outbox, queue, rows, text, undo};
use crate::clock::Timestamp;
use crate::consent::{ConsentState, fold};
use crate::ledger::{EntryNumber, Event, OwedId, Record, Side};
use crate::mail::{Address, AddressKey, CopyId, Language, SenderId};
use crate::policy::{ConsentHistory, Profile, Unavailable};

/// Answer one request. Reads run on a blocking thread; what is written is durable when this returns.
pub async fn handle(request: Request, services: &Services) -> Answer {
    match request {
        Request::Import(import) => import_rows(import, services).await,
        Request::BeginImport(begun) => note(services, Event::ImportBegun(begun)).await,
        Request::EndImport(ended) => note(services, Event::ImportEnded(ended)).await,
        Request::EndUndo(undone) => note(services, Event::ImportUndone(undone)).await,
        Request::Imports { after, limit } => {
            ask(services, move |services| {
                Ok(Answer::Imports { imports: services.books.imports(after.as_deref(), page(limit))? })
            })
            .await
        }
        Request::Undo { id, opt_outs, dry_run, after } => undo(id, opt_outs, dry_run, after, services).await,
        Request::Change { copy, action } => change(copy, action, services).await,
        Request::Show { address, sender } => {
            ask(services, move |services| show(services, &address, sender.as_deref())).await
        }
        Request::Explain(asked) => ask(services, move |services| explain::explain(services, &asked)).await,
        Request::Refusals { from, to, observed, after } => {
            if after.is_none() {
                catch_up(services).await;
            }
            ask(services, move |services| {
                let (tallies, next) = services.books.refusals(from, to, observed, after)?;
                Ok(Answer::Refusals { tallies, next })
            })
            .await
        }
        Request::AddText(row) => add_text(*row, services).await,
        Request::Texts { after, limit } => {
            ask(services, move |services| {
                Ok(Answer::Texts { texts: services.books.texts(after.as_deref(), page(limit))? })
            })
            .await
        }
        Request::Register { sender, after, limit } => {
            ask(services, move |services| register(services, sender.as_deref(), after, page(limit))).await
        }
        Request::Suppressions { sender, after, limit } => {
            ask(services, move |services| suppressions(services, sender.as_deref(), after, page(limit))).await
        }
        Request::Entries { query, after, limit } => {
            if after.is_none() {
                catch_up(services).await;
            }
            let page = move |services: &Services| services.books.entries(&query, after, page(limit));
            ask(services, move |services| {
                page(services).map(|(entries, next)| Answer::Entries { entries, next })
            })
            .await
        }
        Request::Pack { query, language } => {
            // A pack proves what a checkpoint covers: one is signed over the newest entries first.
            let wish = Record { events: Vec::new(), sides: vec![Side::Checkpoint] };
            match write(services, wish, false).await {
                Ok(()) => ask(services, move |services| pack(services, &query, language)).await,
                Err(answer) => answer,
            }
        }
        Request::Ledger(request) => ledger::handle(request, services).await,
        Request::Queue { after, limit } => {
            ask(services, move |services| queue::list(services, after, page(limit))).await
        }
        Request::Mail { null_path, recipient, message } => {
            inbox::take(services, null_path, recipient, &message).await
        }
        Request::Unblock { address, sender, why } => {
            make(services, move |services| inbox::unblock(services, &address, sender.as_deref(), why)).await
        }
        Request::Inbox { after, limit } => {
            ask(services, move |services| inbox::list(services, after, page(limit))).await
        }
        Request::Letter { letter } => ask(services, move |services| inbox::show(services, letter)).await,
        Request::Leave { letter, address, sender } => {
            inbox::unsubscribe(services, letter, address, sender.as_deref()).await
        }
        Request::File { letter } => {
            make(services, move |services| inbox::drop_letter(services, letter)).await
        }
        Request::Outbox { after, limit } => {
            ask(services, move |services| outbox::list(services, after, page(limit))).await
        }
        Request::Settle { telling, action } => settle(telling, action, services).await,
        Request::Copy { copy } => ask(services, move |services| queue::show(services, copy)).await,
        Request::Status => ask(services, |services| Ok(Answer::Status(status(services)?))).await,
        Request::Reload => ask(services, |services| Ok(reload(services))).await,
    }
}

async fn import_rows(import: Import, services: &Services) -> Answer {
    let count = import.rows.len();
    if count > MAX_ROWS {
        return Answer::Failed { error: format!("{count} rows in one request; at most {MAX_ROWS}") };
    }
    let dry_run = import.dry_run;
    let judge = move |services: &Services| {
        let rules = services.control.rules();
        rows::judge(import, &rules, &*services.register, &*services.books, services.clock.now())
    };
    let judged = match read(services, judge).await {
        Ok(judged) => judged,
        Err(answer) => return answer,
    };
    let mut record = Record { events: judged.events, sides: Vec::new() };
    for place in judged.lifting {
        if let Err(error) = services.control.tell_lifted(&mut record, place) {
            return Answer::Failed { error: error.to_string() };
        }
    }
    let owes = !record.sides.is_empty();
    match write(services, record, dry_run).await {
        Ok(()) => {
            if owes {
                services.control.wake();
            }
            Answer::Imported(judged.imported)
        }
        Err(answer) => answer,
    }
}

/// Wait until everything that was answered before this is on record, what was posted and not waited for (refusals at
/// RCPT) as well: whoever holds a reference finds what it stands for.
async fn catch_up(services: &Services) {
    // A pen that cannot write keeps nobody from reading.
    if let Err(error) = services.scribe.record(Record::default()).await {
        tracing::warn!(%error, "the newest entries may be missing from what is shown");
    }
}

/// Record one entry that changes nothing but itself.
async fn note(services: &Services, event: Event) -> Answer {
    match write(services, Record::of(event), false).await {
        Ok(()) => Answer::Done { text: "on record".to_owned() },
        Err(answer) => answer,
    }
}

async fn add_text(row: TextRow, services: &Services) -> Answer {
    match read(services, move |services| text::judge(services, row)).await {
        Ok((record, answer)) => match write(services, record, false).await {
            Ok(()) => answer,
            Err(failed) => failed,
        },
        Err(answer) => answer,
    }
}

async fn undo(
    id: String,
    opt_outs: bool,
    dry_run: bool,
    after: Option<EntryNumber>,
    services: &Services,
) -> Answer {
    let plan = move |services: &Services| undo::plan(services, &id, opt_outs, after);
    match read(services, plan).await {
        Ok(Ok((record, undone))) => match write(services, record, dry_run).await {
            Ok(()) => Answer::Undone(undone),
            Err(answer) => answer,
        },
        Ok(Err(answer)) | Err(answer) => answer,
    }
}

async fn change(copy: CopyId, action: QueueAction, services: &Services) -> Answer {
    // Held until the change is durable, so that the worker neither tries nor forgets it meanwhile.
    let Some(claim) = services.control.claim(copy) else {
        return Answer::Failed { error: format!("{copy} is being tried at this moment; ask again") };
    };
    let plan = move |services: &Services| queue::change(services, copy, action, services.clock.now());
    let found = read(services, plan).await;
    let (record, text) = match found {
        Ok(Ok(change)) => change,
        Ok(Err(answer)) | Err(answer) => return answer,
    };
    if let Err(answer) = write(services, record, false).await {
        return answer;
    }
    drop(claim);
    if action == QueueAction::Retry {
        services.control.rouse();
    }
    services.control.wake();
    Answer::Done { text }
}

async fn settle(telling: OwedId, action: OwedAction, services: &Services) -> Answer {
    make(services, move |services| outbox::change(services, telling, action, services.clock.now())).await
}

/// Look, write what follows, and say so.
async fn make(
    services: &Services,
    plan: impl FnOnce(&Services) -> Result<Result<(Record, String), Answer>, Unavailable> + Send + 'static,
) -> Answer {
    let (record, text) = match read(services, plan).await {
        Ok(Ok(change)) => change,
        Ok(Err(answer)) | Err(answer) => return answer,
    };
    if let Err(answer) = write(services, record, false).await {
        return answer;
    }
    services.control.wake();
    Answer::Done { text }
}

/// Run `look` on a thread that may block.
pub(super) async fn read<T: Send + 'static>(
    services: &Services,
    look: impl FnOnce(&Services) -> Result<T, Unavailable> + Send + 'static,
) -> Result<T, Answer> {
    let services = services.clone();
    match tokio::task::spawn_blocking(move || look(&services)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Answer::Failed { error: error.to_string() }),
        Err(_) => {
            Err(Answer::Failed { error: "the request failed inside the gateway; see its log".to_owned() })
        }
    }
}

/// Make `record` durable, unless it is empty or nothing is to be written. A thousand facts are spelled out on a
/// thread that may block: sessions go on meanwhile.
pub(super) async fn write(services: &Services, record: Record, dry_run: bool) -> Result<(), Answer> {
    if dry_run || (record.events.is_empty() && record.sides.is_empty()) {
        return Ok(());
    }
    let scribe = services.scribe.clone();
    match tokio::task::spawn_blocking(move || scribe.record_blocking(record)).await {
        Ok(written) => written.map(drop).map_err(|error| Answer::Failed { error: error.to_string() }),
        Err(_) => {
            Err(Answer::Failed { error: "the record failed inside the gateway; see its log".to_owned() })
        }
    }
}

/// [`read`] for what is already an answer.
pub(super) async fn ask(
    services: &Services,
    look: impl FnOnce(&Services) -> Result<Answer, Unavailable> + Send + 'static,
) -> Answer {
    read(services, look).await.unwrap_or_else(|answer| answer)
}

fn page(limit: usize) -> usize {
    limit.clamp(1, MAX_PAGE)
}

fn reload(services: &Services) -> Answer {
    match services.control.reload() {
        Ok(text) => Answer::Done { text },
        Err(error) => Answer::Failed { error },
    }
}

fn pack(services: &Services, query: &Query, language: Option<Language>) -> Result<Answer, Unavailable> {
    Ok(match services.books.pack(query, language)? {
        Some(pack) => Answer::Pack(pack),
        None => Answer::Failed { error: format!("nothing is on record about {query}") },
    })
}

fn suppressions(
    services: &Services,
    sender: Option<&str>,
    after: Option<(SenderId, AddressKey)>,
    limit: usize,
) -> Result<Answer, Unavailable> {
    let sender = match sender.map(|name| rows::find_sender(&services.control.rules(), Some(name))).transpose()
    {
        Ok(sender) => sender.map(|sender| sender.id.clone()),
        Err(error) => return Ok(Answer::Failed { error }),
    };
    let suppressions = services.books.suppressions(sender.as_ref(), after.as_ref(), limit)?;
    Ok(Answer::Suppressions { suppressions })
}

fn show(services: &Services, address: &Address, sender: Option<&str>) -> Result<Answer, Unavailable> {
    let rules = services.control.rules();
    let senders = match sender {
        None => rules.senders.clone(),
        Some(name) => match rows::find_sender(&rules, Some(name)) {
            Ok(sender) => vec![sender],
            Err(error) => return Ok(Answer::Failed { error }),
        },
    };
    let now = services.clock.now();
    let profiles = senders
        .iter()
        .map(|sender| {
            let profile = services.register.profile(&sender.id, address.key())?;
            Ok(view(sender.id.clone(), sender.name.clone(), profile, now))
        })
        .collect::<Result<_, Unavailable>>()?;
    Ok(Answer::Profiles { profiles })
}

fn view(sender: SenderId, name: String, profile: Profile, now: Timestamp) -> ProfileView {
    ProfileView {
        sender,
        name,
        consents: profile.consents.into_iter().map(|history| consent_line(history, now)).collect(),
        relations: profile.relations,
        published: profile.published,
        suppressions: profile.suppressions,
        blocked: profile.block.map(|block| block.reply),
    }
}

fn register(
    services: &Services,
    sender: Option<&str>,
    after: Option<(SenderId, AddressKey)>,
    limit: usize,
) -> Result<Answer, Unavailable> {
    let rules = services.control.rules();
    let sender = match sender.map(|name| rows::find_sender(&rules, Some(name))).transpose() {
        Ok(sender) => sender.map(|sender| sender.id.clone()),
        Err(error) => return Ok(Answer::Failed { error }),
    };
    let now = services.clock.now();
    let rows = services.books.register(sender.as_ref(), after.as_ref(), limit)?;
    let row = |(sender, address, profile)| {
        let name = rules.sender(&sender).map_or_else(|| sender.to_string(), |sender| sender.name.clone());
        RegisterRow { address, profile: view(sender, name, profile, now) }
    };
    Ok(Answer::Register { rows: rows.into_iter().map(row).collect() })
}

fn consent_line(history: ConsentHistory, now: Timestamp) -> ConsentLine {
    let (state, grade, since) = match fold(&history.events, now) {
        ConsentState::None => ("none", None, None),
        ConsentState::Requested => ("requested", None, None),
        ConsentState::Granted { grade, since, .. } => ("granted", Some(grade), Some(since)),
        ConsentState::Withdrawn { since } => ("withdrawn", None, Some(since)),
        ConsentState::Expired { since } => ("expired", None, Some(since)),
    };
    ConsentLine { purpose: history.purpose, state: state.to_owned(), grade, since, events: history.events }
}

fn status(services: &Services) -> Result<Status, Unavailable> {
    let (spool, entries) = (services.spool.count()?, services.books.entry_count()?);
    if let Some(status) = services.control.status() {
        return Ok(Status { spool, entries, ..status });
    }
    let rules = services.control.rules();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: String::new(),
        mode: rules.mode.as_str().to_owned(),
        rules_sha256: rules.hash.clone(),
        since: services.clock.now(),
        listeners: Vec::new(),
        sessions: 0,
        next_hop: String::new(),
        unsubscribe_healthy: false,
        unsubscribe_fault: None,
        spool,
        entries,
    })
}
