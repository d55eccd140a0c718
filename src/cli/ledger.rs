//! Commands on the ledger as a whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{HoldCommand, LedgerCommand};
use super::link::{Link, unexpected};
use super::print::{self, Out};
use super::{connect, done, load, proof};
use crate::admin::{Answer, LedgerAnswer, LedgerRequest, Request};
use crate::ledger::consistency::Consistency;

/// Longest file with a checkpoint or a proof.
const MAX_NOTE: u64 = 256 * 1024;
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(250);

pub(super) fn run(command: LedgerCommand, config: &Path, out: &mut Out) -> Result<bool> {
    match command {
        LedgerCommand::Fsck { checkpoint } => fsck(&checkpoint, config, out),
        LedgerCommand::Checkpoint => {
            match ask(&mut connect(config)?, LedgerRequest::Checkpoint)? {
                Answer::Ledger(LedgerAnswer::Checkpoint { note }) => out.line(note.trim_end())?,
                other => return Err(unexpected(&other)),
            }
            Ok(true)
        }
        LedgerCommand::Hold(command) => hold(command, &mut connect(config)?, out),
        LedgerCommand::Purge => {
            match ask(&mut connect(config)?, LedgerRequest::Purge)? {
                Answer::Ledger(LedgerAnswer::Purged { entries }) => {
                    out.line(format_args!("{entries} entries were purged: their time had passed"))?;
                }
                other => return Err(unexpected(&other)),
            }
            Ok(true)
        }
        LedgerCommand::Consistency { old, new, output } => {
            let (old, new) = (read_note(&old)?, new.as_deref().map(read_note).transpose()?);
            let proof = match ask(&mut connect(config)?, LedgerRequest::Consistency { old, new })? {
                Answer::Ledger(LedgerAnswer::Consistency(proof)) => proof,
                other => return Err(unexpected(&other)),
            };
            let text = serde_json::to_string_pretty(&proof)?;
            match output {
                None => out.line(text)?,
                Some(path) => {
                    proof::write_new(&path, |file| writeln!(file, "{text}"))?;
                    out.line(format_args!(
                        "{}: the proof; check it with: sluis ledger check {}",
                        path.display(),
                        path.display()
                    ))?;
                }
            }
            Ok(true)
        }
        LedgerCommand::Check { proof, key } => {
            let keys = match key {
                keys if keys.is_empty() => {
                    vec![load(config)?.data.join("keys/ledger.pub").display().to_string()]
                }
                keys => keys,
            };
            let keys = keys.iter().map(|key| proof::public_key(key)).collect::<Result<Vec<_>>>()?;
            check(&proof, &keys, out)
        }
    }
}

fn hold(command: HoldCommand, link: &mut Link, out: &mut Out) -> Result<bool> {
    match command {
        HoldCommand::Add { address, why, .. } => {
            let about = address.map(|address| address.key().clone());
            done(ask(link, LedgerRequest::Hold { about, why })?, out)
        }
        HoldCommand::End { hold, why } => done(ask(link, LedgerRequest::Release { hold, why })?, out),
        HoldCommand::List => {
            match ask(link, LedgerRequest::Holds)? {
                Answer::Ledger(LedgerAnswer::Holds { holds }) => holds.iter().try_for_each(|hold| {
                    let about =
                        hold.about.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
                    out.line(format_args!("#{}\t{about}", hold.number))
                })?,
                other => return Err(unexpected(&other)),
            }
            Ok(true)
        }
    }
}

/// Copy the store and the files beside it; the process that has it open writes the file.
pub(super) fn backup(file: &Path, config: &Path, out: &mut Out) -> Result<bool> {
    let file = std::path::absolute(file)?;
    match ask(&mut connect(config)?, LedgerRequest::Backup { file: file.clone() })? {
        Answer::Ledger(LedgerAnswer::Verified(verified)) => {
            out.line(format_args!(
                "{}: {} entries, {} checkpoints, {} files beside the store, checked; the keys are not in it: back up \
                 the keys folder as well",
                file.display(),
                verified.entries,
                verified.checkpoints,
                verified.files
            ))?;
            for missing in &verified.findings {
                print::note(&format!("NOT IN THE BACKUP: {missing}"));
            }
            Ok(verified.findings.is_empty())
        }
        other => Err(unexpected(&other)),
    }
}

fn ask(link: &mut Link, request: LedgerRequest) -> Result<Answer> {
    link.ask(Request::Ledger(request))
}

fn read_note(path: &Path) -> Result<String> {
    proof::read_bounded(path, MAX_NOTE)
        .and_then(|bytes| Ok(String::from_utf8(bytes)?))
        .with_context(|| format!("the checkpoint {} cannot be read", path.display()))
}

/// The checkpoints that are named: files, or folders of them.
pub(super) fn anchors(paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut files = std::fs::read_dir(path)
                .and_then(|entries| {
                    entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()
                })
                .with_context(|| path.display().to_string())?;
            files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
            files.sort();
            for file in files {
                notes.push(read_note(&file)?);
            }
        } else {
            notes.push(read_note(path)?);
        }
    }
    Ok(notes)
}

/// Check everything; a bar shows how far it is.
pub(super) fn fsck(checkpoints: &[PathBuf], config: &Path, out: &mut Out) -> Result<bool> {
    let anchors = anchors(checkpoints)?;
    let given = anchors.len();
    let settings = load(config)?;
    let mut link = connect(config)?;
    let mut watch = link.watch(&settings)?;
    let done = AtomicBool::new(false);
    let verified = std::thread::scope(|scope| {
        let bar = scope.spawn(|| {
            let bar = ProgressBar::hidden();
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} entries, {eta}")
            {
                bar.set_style(style);
            }
            while !done.load(Ordering::Relaxed) {
                std::thread::park_timeout(TICK);
                if let Some((at, all)) = watch() {
                    bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                    bar.set_length(all);
                    bar.set_position(at);
                }
            }
            bar.finish_and_clear();
        });
        let verified = ask(&mut link, LedgerRequest::Verify { anchors });
        done.store(true, Ordering::Relaxed);
        bar.thread().unpark();
        verified
    })?;
    let Answer::Ledger(LedgerAnswer::Verified(verified)) = verified else {
        return Err(unexpected(&verified));
    };
    for finding in &verified.findings {
        out.line(format_args!("WRONG         {finding}"))?;
    }
    let sound = verified.findings.is_empty();
    let verdict = if sound { "the ledger is sound" } else { "the ledger is NOT sound" };
    out.line(format_args!("{verdict}: {} entries, {} checkpoints", verified.entries, verified.checkpoints))?;
    if verified.files > 0 {
        out.line(format_args!("{} files beside the store are what the entries say", verified.files))?;
    }
    for note in &verified.notes {
        print::note(note);
    }
    if verified.erased > 0 {
        out.line(format_args!("{} entries are erased; their leaf hashes stand", verified.erased))?;
    }
    out.line(format_args!("recipients: {}", verified.counts))?;
    if given > 0 {
        let words = if sound { "it continues each of the" } else { "looked at beside the" };
        out.line(format_args!("{words} {given} checkpoints given"))?;
    } else {
        print::note(
            "give a checkpoint that was kept elsewhere (--checkpoint) to see that no end was cut off",
        );
    }
    Ok(sound)
}

fn check(path: &Path, keys: &[String], out: &mut Out) -> Result<bool> {
    let bytes = proof::read_bounded(path, MAX_NOTE)?;
    let proof: Consistency =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is no proof", path.display()))?;
    match proof.check(keys) {
        Ok((old, new)) => {
            out.line(format_args!(
                "the ledger of {} entries of {} begins with the {} that were signed earlier",
                new.size, new.origin, old.size
            ))?;
            Ok(true)
        }
        Err(error) => {
            out.line(format_args!("WRONG         {error}"))?;
            Ok(false)
        }
    }
}
