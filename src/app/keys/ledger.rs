//! The key that signs checkpoints and packs, and those that did before it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::{KeyFolder, NOTE, folder_of, lock, read_private, utf8, write_new, write_private, write_public};
use crate::ledger::checkpoint::{LOST, Signer};
use crate::secret::{Entropy, Secret};

impl KeyFolder {
    /// The key that signs checkpoints, made for the gateway `name` when there is none.
    pub fn ledger(&self, name: &str, entropy: &dyn Entropy) -> Result<Signer> {
        let path = self.data.join("keys/ledger.key");
        let signer = match read_private(&path)? {
            Some(text) => Signer::parse_file(utf8(&path, &text)?)
                .with_context(|| format!("{}: cannot be used", path.display()))?,
            None => {
                let signer = Signer::generate(name, entropy)?;
                write_new(&path, &[signer.key_text().expose(), b"\n"].concat())?;
                signer
            }
        };
        let public = self.data.join("keys/ledger.pub");
        let line = format!("{}\n", signer.verifier());
        if fs::read(&public).ok().as_deref() != Some(line.as_bytes()) {
            write_public(&public, line.as_bytes())?;
        }
        belongs(&path, &signer, name)?;
        Ok(signer)
    }

    /// Make the key that signs checkpoints from the next start on, in front of those that did before; gives its public
    /// half. With `lost` it is not vouched for, and a file that cannot be read any more is moved aside.
    pub fn rotate_ledger(
        &self,
        name: &str,
        lost: Option<&str>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<String> {
        let path = self.data.join("keys/ledger.key");
        let _lock = lock(folder_of(&path))?;
        let text = match (read_private(&path)?, lost) {
            (Some(text), _) => text,
            (None, Some(_)) => Secret::new(Vec::new()),
            (None, None) => bail!(
                "{}: no such file; `sluis serve` makes the first key at its first start. If it was there and is \
                 lost: sluis keys rotate ledger --lost WHY",
                path.display()
            ),
        };
        let text = utf8(&path, &text)?;
        if !text.trim().is_empty() {
            let before = Signer::parse_file(text).with_context(|| path.display().to_string())?;
            belongs(&path, &before, name)?;
            let kept = self.data.join(format!("keys/ledger-{}.pub", before.in_force().id));
            write_public(&kept, format!("{}\n", before.verifier()).as_bytes())?;
        }
        let made = Signer::generate(name, entropy)?;
        let mut content = format!("{NOTE}{now:.0}\n").into_bytes();
        if let Some(why) = lost {
            let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            content.extend_from_slice(format!("{LOST}{why}\n").as_bytes());
        }
        content.extend_from_slice(made.key_text().expose());
        content.push(b'\n');
        content.extend_from_slice(text.as_bytes());
        let content = Secret::new(content);
        let written = Signer::parse_file(utf8(&path, &content)?)?;
        if written.verifier() != made.verifier() {
            bail!("{}: a key could not be added; nothing was changed", path.display());
        }
        write_private(&path, content.expose())?;
        Ok(made.verifier().to_owned())
    }
}

/// Refuse the key of another gateway.
fn belongs(path: &Path, signer: &Signer, name: &str) -> Result<()> {
    if signer.name() != name {
        bail!(
            "{}: belongs to the gateway {:?}, but the config says {name:?}; put the old name back, or begin a new \
             data folder",
            path.display(),
            signer.name()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn the_ledger_key_belongs_to_one_gateway() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::open(home.path()).unwrap();
        folder.ledger("old.example", &SystemEntropy).unwrap();
        let error = folder.ledger("new.example", &SystemEntropy).unwrap_err().to_string();
        assert!(error.contains("old.example") && error.contains("new.example"), "{error}");
    }
}
