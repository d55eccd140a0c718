//! `sluis erase`: one person's data go, as far as the law lets them, and a letter says what stayed (RULES L18).

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::args::EraseArgs;
use super::export::Output;
use super::link::unexpected;
use super::print::{Out, note};
use super::{connect, load};
use crate::admin::{Answer, LedgerAnswer, LedgerRequest, Request};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Settings;
use crate::ledger::keeping::{Erasure, Tally};
use crate::mail::Sender;
use crate::notify;

pub(super) fn run(args: &EraseArgs, config: &Path, out: &mut Out) -> Result<bool> {
    let settings = load(config)?;
    let sender = writer(&settings, args.sender.as_deref())?;
    // A letter that cannot be written must not be found out about afterwards.
    let mut letter = args.letter.as_deref().map(|path| Output::open(Some(path))).transpose()?;
    let address = args.address.key();
    let request = LedgerRequest::Erase { address: address.clone(), dry_run: args.dry_run };
    let (erasure, originals) = match connect(config)?.ask(Request::Ledger(request))? {
        Answer::Ledger(LedgerAnswer::Erased { erasure, originals }) => (erasure, originals),
        other => return Err(unexpected(&other)),
    };
    let done = !args.dry_run && erasure.holds.is_empty();
    summary(&erasure, args, done, out)?;
    let now = SystemClock.now();
    let text = notify::erasure_letter(&erasure, address, sender, originals.len(), now, !args.dry_run);
    match letter.take() {
        Some(mut file) => {
            file.write_all(text.as_bytes())?;
            file.finish()?;
        }
        None => {
            out.line("")?;
            out.bytes(text.as_bytes())?;
        }
    }
    for sha256 in &originals {
        note(&format!(
            "note: the original of an import has the address in it: {}",
            settings.data.join("imports").join(sha256).display()
        ));
    }
    if done {
        note("note: backups made before this still have it, until they are replaced");
    }
    Ok(erasure.holds.is_empty())
}

/// Who writes the letter.
fn writer<'s>(settings: &'s Settings, named: Option<&str>) -> Result<&'s Sender> {
    let senders = &settings.rules.senders;
    let names = || senders.iter().map(|sender| format!("\"{}\"", sender.name)).collect::<Vec<_>>().join(", ");
    match (named, senders.as_slice()) {
        (Some(name), _) => senders
            .iter()
            .find(|sender| sender.name == name || sender.id.0 == name)
            .map(AsRef::as_ref)
            .ok_or_else(|| anyhow!("the config has no sender \"{name}\"; it has {}", names())),
        (None, [only]) => Ok(only),
        (None, []) => bail!("the config has no sender to write the letter"),
        (None, _) => bail!("who writes the letter? --sender with one of {}", names()),
    }
}

fn summary(erasure: &Erasure, args: &EraseArgs, done: bool, out: &mut Out) -> Result<()> {
    let address = &args.address;
    if !erasure.holds.is_empty() {
        let holds: Vec<String> = erasure.holds.iter().map(|hold| format!("#{hold}")).collect();
        return out.line(format_args!(
            "{address}: nothing was erased, a hold stands ({}); see: sluis ledger hold list",
            holds.join(", ")
        ));
    }
    let verb = if done { "erased" } else { "would be erased" };
    out.line(format_args!(
        "{address}: {} entries {verb}{}",
        Erasure::total(&erasure.erased),
        kinds(&erasure.erased)
    ))?;
    if let Some(until) = erasure.kept_until {
        let kept = &erasure.kept;
        out.line(format_args!(
            "  proof of mail sent stays until {}: {} entries{}",
            until.strftime("%Y-%m-%d"),
            Erasure::total(kept),
            kinds(kept)
        ))?;
    }
    for one in &erasure.suppressed {
        let reason = one.suppression.reason.as_str();
        out.line(format_args!("  suppression stays, as a keyed hash: {reason}, for {}", one.sender))?;
    }
    if erasure.senders.len() > 1 {
        let senders: Vec<String> = erasure.senders.iter().map(ToString::to_string).collect();
        out.line(format_args!("  with {}", senders.join(", ")))?;
    }
    Ok(())
}

fn kinds(tallies: &[Tally]) -> String {
    if tallies.is_empty() {
        return String::new();
    }
    let kinds: Vec<String> = tallies.iter().map(|tally| format!("{} {}", tally.count, tally.kind)).collect();
    format!(" ({})", kinds.join(", "))
}
