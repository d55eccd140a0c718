//! `sluis restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::link::Link;
use super::print::{Out, note};
use super::{ledger, load};
use crate::app;
use crate::clock::SystemClock;
use crate::secret::SystemEntropy;

/// Check the backup and put it in its place; say what is not in it.
pub(super) fn run(file: &Path, checkpoints: &[PathBuf], config: &Path, out: &mut Out) -> Result<bool> {
    let (settings, anchors) = (load(config)?, ledger::anchors(checkpoints)?);
    // A gateway whose store file was moved away still writes to it: what it writes from now on would be lost.
    if Link::gateway(&settings)?.is_some() {
        bail!(
            "a gateway is running: it answers at {}; stop it first, a restore is for a gateway that stands still",
            settings.admin_socket().display()
        );
    }
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let restored = app::restore(&settings, file, &anchors, clock, entropy, &mut |at, all| {
        bar.set_length(all);
        bar.set_position(at);
    });
    bar.finish_and_clear();
    let restored = restored?;
    out.line(format_args!(
        "{}: restored, {} entries, {} checkpoints, checked, and {} files beside it",
        restored.file.display(),
        restored.entries,
        restored.checkpoints,
        restored.files
    ))?;
    for missing in &restored.missing {
        note(&format!("NOT IN THE BACKUP: {missing}"));
    }
    if let Some(until) = restored.until {
        out.line(format_args!(
            "It ends at {until:.0}. Opt-outs that came afterwards are not in it: take them in from the notices that your \
             senders got, before the gateway starts (sluis suppress import FILE)."
        ))?;
    }
    if restored.held > 0 {
        out.line(format_args!(
            "{} copies waited in the spool then; they may have gone since, so they are held: sluis queue list",
            restored.held
        ))?;
    }
    Ok(restored.missing.is_empty())
}
