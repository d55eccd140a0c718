//! The command line: commands in, one line per error out.
//!
//! Commands that read or write state ask the gateway that runs on the data folder, or open the store
//! themselves when none does; the answers are the same. Exit status: 0 done, 1 not done (or rows of an
//! import were rejected), 64 wrong usage, 78 wrong config; and of `unsubscribe-mail`, which a mail server runs, 65 for a
//! mail that never can be taken, 75 for one that may be another time, whatever keeps it now. Deliberately absent: what commands do (`admin`,
//! `app`), and colours.

mod args;
mod complaint;
mod erase;
mod explain;
mod export;
mod fields;
mod import;
mod inbox;
mod keys;
mod ledger;
mod link;
mod outbox;
mod preview;
mod print;
mod proof;
mod register;
mod restore;
mod rules;
mod table;
mod text;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;

use crate::admin::{Answer, MAX_PAGE, QueueAction, Request};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Environment, LogFormat, Settings};
use crate::mail::CopyId;
use crate::secret::{Secret, SystemEntropy};
use crate::{app, store, submission, subscribe, telemetry};
use args::{Cli, Command, ImportCommand, QueueCommand, RulesCommand};
use link::{Link, unexpected};
use print::Out;

/// sysexits.h: the command was used wrongly.
const USAGE: u8 = 64;
/// It failed.
const FAILURE: u8 = 1;
/// sysexits.h: it is not what the command takes.
const DATA: u8 = 65;
/// sysexits.h: what takes mail from a pipe cannot take it now.
const TRY_AGAIN: u8 = 75;
/// sysexits.h: something is wrong with the config.
const CONFIG: u8 = 78;
/// Longest password, in octets (RULES P4: what SASL PLAIN takes).
const MAX_PASSWORD: usize = 1_024;

/// Do what the arguments (program name first) say.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    quiet_in_the_store();
    let mut out = Out::new();
    let done = dispatch(cli, &mut out).and_then(|done| out.finish().map(|()| done));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if print::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<config::Problems>() {
            Some(problems) if !error.is::<inbox::TryAgain>() => {
                problems.warnings.iter().for_each(|warning| print::note(&format!("warning: {warning}")));
                print::note(&problems.to_string());
                ExitCode::from(CONFIG)
            }
            _ => {
                print::note(&format!("sluis: {error:#}"));
                ExitCode::from(match () {
                    () if error.is::<inbox::TryAgain>() => TRY_AGAIN,
                    () if error.is::<inbox::TooLarge>() => DATA,
                    () => FAILURE,
                })
            }
        },
    }
}

/// A panic that the store catches is told by it, in words that say what to do: the stack is for the log.
fn quiet_in_the_store() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if store::is_guarded() {
            tracing::error!(%panic, "the store's file is damaged")
        } else {
            before(panic)
        }
    }));
}

/// Whether everything was done as asked.
fn dispatch(cli: Cli, out: &mut Out) -> Result<bool> {
    let path = config_path(cli.config);
    match cli.command {
        Command::Serve => serve(&path),
        Command::Demo => runtime()?.block_on(app::demo::run()).map(|()| true),
        Command::Check => check(&path, out),
        Command::Import(import) => {
            let ImportCommand { command, file } = *import;
            import::command(command, file, &path, out)
        }
        Command::Consent(command) => register::consent(command, &path, out),
        Command::Customer(command) => register::customer(command, &path, out),
        Command::Published(command) => register::published(command, &path, out),
        Command::Suppress(command) => register::suppression(command, &path, out),
        Command::Text(command) => text::run(command, &mut connect(&path)?, out),
        Command::Export(command) => export::run(command, &path),
        Command::Form { name } => form(&name, &load(&path)?, out),
        Command::Rules(RulesCommand::Test { cases }) => rules::test(&cases, &path, out),
        Command::Explain(asked) => explain::explain(*asked, &path, out),
        Command::Preview(asked) => preview::run(&asked, &load(&path)?, out),
        Command::Report(command) => explain::report(command, &mut connect(&path)?, out),
        Command::Proof(command) => proof::run(command, &path, out),
        Command::Ledger(command) => ledger::run(command, &path, out),
        Command::Erase(args) => erase::run(&args, &path, out),
        Command::Backup { file } => ledger::backup(&file, &path, out),
        Command::Restore { file, checkpoints } => restore::run(&file, &checkpoints, &path, out),
        Command::Queue(command) => queue(command, &mut connect(&path)?, out),
        Command::UnsubscribeMail(command) => inbox::mail(command, &path, out),
        Command::Inbox(command) => inbox::inbox(command, &mut connect(&path)?, out),
        Command::Outbox(command) => outbox::run(command, &mut connect(&path)?, out),
        Command::Keys(command) => keys::run(command, &path, out),
        Command::Status => status(&mut connect(&path)?, out),
        Command::Reload => done(connect(&path)?.ask(Request::Reload)?, out),
        Command::Password => password(out),
    }
}

/// A form for signing up, as HTML.
fn form(name: &str, settings: &Settings, out: &mut Out) -> Result<bool> {
    let Some(form) = settings.forms.iter().find(|form| form.name == name) else {
        let names: Vec<&str> = settings.forms.iter().map(|form| form.name.as_str()).collect();
        match names.as_slice() {
            [] => bail!("the config has no [[form]]"),
            names => bail!("the config has no form \"{name}\"; it has {}", names.join(", ")),
        }
    };
    out.bytes(subscribe::embedded(form).as_bytes())?;
    Ok(true)
}

fn config_path(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| std::env::var_os("SLUIS_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("config/sluis.toml"))
}

fn load(path: &Path) -> Result<Settings> {
    Ok(config::load(path, &Environment::of_process(SystemClock.now()))?)
}

/// The gateway or the store; from here on what goes wrong inside is logged.
fn connect(path: &Path) -> Result<Link> {
    let settings = load(path)?;
    telemetry::log_to_stderr(telemetry::Format::Human, "warn")?;
    Link::open(&settings)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")
}

fn serve(path: &Path) -> Result<bool> {
    let settings = load(path)?;
    settings.warnings.iter().for_each(|warning| print::note(&format!("warning: {warning}")));
    let format = match settings.log.format {
        LogFormat::Human => telemetry::Format::Human,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::log_to_stderr(format, &settings.log.level)?;
    // Before there are threads: it reads the environment and takes out of it what it used.
    let sockets = app::Sockets::of_process()?;
    runtime()?.block_on(app::serve(settings, sockets)).map(|()| true)
}

fn check(path: &Path, out: &mut Out) -> Result<bool> {
    let settings = load(path)?;
    settings.warnings.iter().for_each(|warning| print::note(&format!("warning: {warning}")));
    out.line(format_args!(
        "{}: sound; {} listeners, {} senders, {} rules, {} accounts; rules {}",
        path.display(),
        settings.listeners.len(),
        settings.rules.senders.len(),
        settings.rules.rules.len(),
        settings.accounts.len(),
        settings.rules.hash
    ))?;
    Ok(true)
}

/// From the terminal without showing it, twice; or the first line of a pipe.
fn password(out: &mut Out) -> Result<bool> {
    let password = if std::io::stdin().is_terminal() {
        let terminal = console::Term::stderr();
        let ask = |prompt: &str| -> Result<Secret> {
            terminal.write_str(prompt)?;
            Ok(Secret::new(terminal.read_secure_line()?))
        };
        let (first, again) = (ask("Password: ")?, ask("Again: ")?);
        if first.expose() != again.expose() {
            bail!("the two passwords differ");
        }
        first
    } else {
        let mut text = Vec::with_capacity(MAX_PASSWORD + 2);
        std::io::stdin().take(MAX_PASSWORD as u64 + 2).read_to_end(&mut text)?;
        let text = Secret::new(text);
        let line = text.expose().split(|byte| *byte == b'\n').next().unwrap_or_default();
        Secret::new(line.strip_suffix(b"\r").unwrap_or(line))
    };
    if password.expose().is_empty() || password.expose().len() > MAX_PASSWORD {
        bail!("a password has 1 to {MAX_PASSWORD} octets");
    }
    out.line(submission::hash_password(password.expose(), &SystemEntropy))?;
    Ok(true)
}

fn status(link: &mut Link, out: &mut Out) -> Result<bool> {
    match link.ask(Request::Status)? {
        Answer::Status(status) => print::status(out, &status, link.is_gateway())?,
        other => return Err(unexpected(&other)),
    }
    Ok(true)
}

fn queue(command: QueueCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    match command {
        QueueCommand::List => each_copy(link, |_, line| print::copy(out, &line).map(|()| true)),
        QueueCommand::Show { copy } => match link.ask(Request::Copy { copy })? {
            Answer::Queue { copies } => {
                copies.iter().try_for_each(|copy| print::copy_in_full(out, copy)).map(|()| true)
            }
            other => Err(unexpected(&other)),
        },
        QueueCommand::Retry { all: true, .. } => {
            each_copy(link, |link, line| change(link, line.copy, QueueAction::Retry, out))
        }
        QueueCommand::Retry { copies, all: false } => change_all(link, &copies, QueueAction::Retry, out),
        QueueCommand::Hold { copies } => change_all(link, &copies, QueueAction::Hold, out),
        QueueCommand::Drop { copies } => change_all(link, &copies, QueueAction::Drop, out),
    }
}

/// Page through the spool; whether `each` did what it was asked to for all.
fn each_copy(
    link: &mut Link,
    mut each: impl FnMut(&mut Link, crate::admin::CopyLine) -> Result<bool>,
) -> Result<bool> {
    let (mut after, mut all) = (None, true);
    loop {
        let Answer::Queue { copies } = link.ask(Request::Queue { after, limit: MAX_PAGE })? else {
            bail!("the gateway gave another kind of answer; is it of the same version as this command?");
        };
        let last = copies.len() < MAX_PAGE;
        for copy in copies {
            after = Some(copy.copy);
            all &= each(link, copy)?;
        }
        if last {
            return Ok(all);
        }
    }
}

fn change_all(link: &mut Link, copies: &[CopyId], action: QueueAction, out: &mut Out) -> Result<bool> {
    copies.iter().try_fold(true, |all, copy| Ok(change(link, *copy, action, out)? && all))
}

/// One copy; one that cannot be changed is told and does not stop the others.
fn change(link: &mut Link, copy: CopyId, action: QueueAction, out: &mut Out) -> Result<bool> {
    match link.ask(Request::Change { copy, action }) {
        Ok(answer) => done(answer, out),
        Err(error) => {
            print::note(&format!("sluis: {error:#}"));
            Ok(false)
        }
    }
}

fn done(answer: Answer, out: &mut Out) -> Result<bool> {
    match answer {
        Answer::Done { text } => out.line(text).map(|()| true),
        other => Err(unexpected(&other)),
    }
}
