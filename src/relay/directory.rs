//! A next hop that is a folder: each copy becomes an `.eml` that any mail program opens, with its envelope
//! as `.json` beside it. A copy is durable before it counts as relayed (promise 2): both files are written
//! under another name, synced, renamed, and the folder is synced. Names are copy ids, so they sort by time,
//! and a copy that is tried twice is there once.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write as _};
use std::path::{Path, PathBuf};

use super::client::all_deferred;
use super::{Answer, Copy, Delivery, Failure, Fate, MayGo};

/// A folder.
#[derive(Debug)]
pub(super) struct Directory {
    folder: PathBuf,
    name: String,
}

impl Directory {
    pub(super) fn new(folder: PathBuf) -> Self {
        let name = format!("directory {}", folder.display());
        Self { folder, name }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn deliver(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        if let Err(held) = may_go() {
            return self.delivery(vec![Fate::from(held); copy.recipients.len()], false);
        }
        let (folder, owned) = (self.folder.clone(), copy.clone());
        let written = tokio::task::spawn_blocking(move || store(&folder, &owned)).await;
        let fates = match written {
            Ok(Ok(())) => {
                let answer = Answer::new(250, "2.0.0", format!("stored as {}.eml", copy.id));
                copy.recipients.iter().map(|_| Fate::Relayed(answer.clone())).collect()
            }
            Ok(Err(error)) => all_deferred(copy, &Failure::Disk(error.to_string())),
            Err(error) => all_deferred(copy, &Failure::Disk(error.to_string())),
        };
        let down = fates.iter().all(|fate| !matches!(fate, Fate::Relayed(_)));
        self.delivery(fates, down)
    }

    fn delivery(&self, fates: Vec<Fate>, down: bool) -> Delivery {
        let next_hop = self.name.clone();
        Delivery { fates, next_hop, tls: None, down, unable: false, dsn_passed_on: false }
    }
}

fn store(folder: &Path, copy: &Copy) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let envelope = serde_json::to_vec_pretty(&envelope(copy))?;
    // The message last: where there is an .eml, there is its envelope.
    place(folder, &format!("{}.json", copy.id), |file| file.write_all(&envelope))?;
    place(folder, &format!("{}.eml", copy.id), |file| {
        let mut slices: Vec<_> = copy.rope.chunks().map(IoSlice::new).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match file.write_vectored(rest)? {
                0 if rest.iter().all(|slice| slice.is_empty()) => break,
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
        Ok(())
    })?;
    File::open(folder)?.sync_all()
}

/// Write a file so that it is there whole or not at all.
fn place(folder: &Path, name: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let hidden = folder.join(format!(".{name}.tmp"));
    let mut file = File::create(&hidden)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&hidden, folder.join(name))
}

fn envelope(copy: &Copy) -> serde_json::Value {
    let recipients: Vec<_> = copy
        .recipients
        .iter()
        .map(|recipient| {
            serde_json::json!({
                "address": recipient.permit.recipient(),
                "notify": recipient.notify,
                "orcpt": recipient.orcpt,
            })
        })
        .collect();
    serde_json::json!({
        "copy": copy.id,
        "reverse_path": copy.reverse_path.to_string(),
        "recipients": recipients,
        "smtputf8": copy.smtputf8,
        "ret": copy.ret,
        "envid": copy.envid,
    })
}
