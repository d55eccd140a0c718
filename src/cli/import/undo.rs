//! What was imported, and taking it back.

use anyhow::{Result, bail};

use super::expect_done;
use crate::admin::{Answer, MAX_PAGE, Request};
use crate::cli::link::{Link, unexpected};
use crate::cli::print::Out;
use crate::ledger::ImportUndone;

/// List the imports, oldest first.
pub(super) fn list(link: &mut Link, out: &mut Out) -> Result<bool> {
    let mut after = None;
    loop {
        let imports = match link.ask(Request::Imports { after, limit: MAX_PAGE })? {
            Answer::Imports { imports } => imports,
            other => return Err(unexpected(&other)),
        };
        for one in &imports {
            let became = match (one.undone, &one.result) {
                (true, _) => "undone".to_owned(),
                (false, Some((added, already, rejected))) => {
                    format!("{added} added, {already} already there, {rejected} rejected")
                }
                (false, None) => "not finished: run it again, or undo it".to_owned(),
            };
            out.line(format_args!("{}\t{}\t{}\t{}\t{became}", one.id, one.at, one.format, one.file))?;
        }
        match imports.last() {
            Some(last) if imports.len() >= MAX_PAGE => after = Some(last.id.clone()),
            _ => return Ok(true),
        }
    }
}

/// Take back what the import `id` added, a stretch at a time. Stopped half-way, it is simply run again.
pub(super) fn undo(id: &str, opt_outs: bool, dry_run: bool, link: &mut Link, out: &mut Out) -> Result<bool> {
    let (mut taken_back, mut kept, mut after) = (0, 0, None);
    loop {
        let request = Request::Undo { id: id.to_owned(), opt_outs, dry_run, after };
        let undone = match link.ask(request)? {
            Answer::Undone(undone) => undone,
            other => return Err(unexpected(&other)),
        };
        taken_back += undone.taken_back;
        kept += undone.kept;
        match (undone.next, after) {
            (None, _) => break,
            (next, before) if next == before => bail!("the ledger does not go on after entry {before:?}"),
            (next, _) => after = next,
        }
    }
    if !dry_run {
        let done = ImportUndone { id: id.to_owned(), taken_back, kept };
        expect_done(link.ask(Request::EndUndo(done))?)?;
    }
    let verb = if dry_run { "would be taken back" } else { "taken back" };
    out.line(format_args!("{taken_back} facts {verb}, {kept} opt-outs kept"))?;
    if kept > 0 {
        out.line("an opt-out always wins; --opt-outs takes those back, too")?;
    }
    Ok(true)
}
