//! Checkpoints: the signed root over all entries so far.
//!
//! The text is a C2SP tlog-checkpoint (origin, size, root), the envelope a C2SP signed note with an
//! Ed25519 signature; the origin is the name of the gateway, which is also the name of its key. A key
//! file holds one line, the note signer key (`PRIVATE+KEY+name+id+base64`); its public half is the note
//! verifier key (`name+id+base64`), which is all that checking needs.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use signed_note::{Note, Signer as _, StandardSigner, StandardVerifier, VerifierList};

use super::counts::Counts;
use super::event::{KeyInForce, KeyUse};
use super::succession;
use super::tree::Hash;
use crate::secret::{Entropy, Secret, random};

/// Begins the line of a key file that says why the key below it is not vouched for.
pub const LOST: &str = "# lost: ";

/// The algorithm octet of Ed25519 in C2SP signed-note keys.
const ED25519: u8 = 1;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a name for a gateway.
    #[error("{0:?} cannot name a gateway: it must not be empty or have spaces or a plus in it")]
    Name(String),
    /// Not a signer key.
    #[error("not a signing key: expected one line PRIVATE+KEY+name+id+base64 ({0})")]
    Signer(String),
    /// A file without a key in it.
    #[error("there is no key in it: expected a line PRIVATE+KEY+name+id+base64")]
    Empty,
    /// Not a verifier key.
    #[error("not a public key: expected one line name+id+base64 ({0})")]
    Verifier(String),
}

/// Why a note does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The key to check it with is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not signed by this key, or changed since.
    #[error("not signed by this key, or changed since: {0}")]
    Signature(String),
    /// Signed, but not what it should be.
    #[error("the signed text is not a checkpoint")]
    Malformed,
}

/// The key that signs checkpoints.
#[derive(Clone)]
pub struct Signer {
    inner: StandardSigner,
    text: Secret,
    verifier: String,
    /// Those that signed before, newest first.
    older: Vec<Signer>,
    /// Why no key before vouches for this one.
    lost: Option<String>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

impl Signer {
    /// A new key for the gateway called `name`.
    pub fn generate(name: &str, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        if !signed_note::is_key_name_valid(name) {
            return Err(KeyError::Name(name.to_owned()));
        }
        let seed = Secret::new(random::<32>(entropy));
        let public = public_of(seed.expose())?;
        let private = Secret::new([&[ED25519], seed.expose()].concat());
        let id = signed_note::key_id(name, &public);
        Self::parse(&format!("PRIVATE+KEY+{name}+{id:08x}+{}", BASE64_STANDARD.encode(private.expose())))
    }

    /// Read the one line of a key file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let inner = StandardSigner::new(text).map_err(|error| KeyError::Signer(error.to_string()))?;
        // Base64 may itself contain '+': all that follows the fourth one is the key.
        let encoded = text.splitn(5, '+').nth(4).unwrap_or_default();
        let private = Secret::new(
            BASE64_STANDARD.decode(encoded).map_err(|error| KeyError::Signer(error.to_string()))?,
        );
        let seed = private.expose().get(1..).unwrap_or_default();
        let verifier =
            format!("{}+{:08x}+{}", inner.name(), inner.key_id(), BASE64_STANDARD.encode(public_of(seed)?));
        Ok(Self { inner, text: Secret::new(text.as_bytes()), verifier, older: Vec::new(), lost: None })
    }

    /// Read a key file: one line for each key, of which the first signs and the others did before. A line that
    /// begins with `# lost: ` above a key says why none of those below vouches for it; other lines with `#` are
    /// notes.
    pub fn parse_file(text: &str) -> Result<Self, KeyError> {
        let (mut keys, mut lost) = (Vec::new(), None);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(why) = line.strip_prefix(LOST) {
                lost = Some(why.to_owned());
            } else if !line.starts_with('#') {
                keys.push(Self { lost: lost.take(), ..Self::parse(line)? });
            }
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeyError::Empty)?;
        Ok(Self { older: keys.collect(), ..first })
    }

    /// Those that signed before, newest first.
    pub fn older(&self) -> &[Self] {
        &self.older
    }

    /// Why no key before vouches for this one, when that is so.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// The note by which it and the older key `verifier` vouch for each other, if that one is at hand.
    pub fn vouched_by(&self, verifier: &str) -> Option<String> {
        if self.lost.is_some() {
            return None;
        }
        let old = self.older.iter().find(|old| old.verifier == verifier)?;
        succession::vouch(old, self).ok()
    }

    /// The line for the key file.
    pub fn key_text(&self) -> &Secret {
        &self.text
    }

    /// The public key: `name+id+base64`.
    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    /// The key, as the ledger tells of it.
    pub fn in_force(&self) -> KeyInForce {
        KeyInForce {
            does: KeyUse::Ledger,
            name: self.name().to_owned(),
            id: format!("{:08x}", self.inner.key_id()),
            public: Some(self.verifier.clone()),
            succeeds: None,
            lost: None,
        }
    }

    /// The name of the gateway.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Sign `text` (which ends in a newline) as a note.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        signed(text, &[&self.inner])
    }

    /// The same, with the signature of `other` under it as well.
    pub fn sign_with(&self, other: &Self, text: &str) -> Result<String, NoteError> {
        signed(text, &[&self.inner, &other.inner])
    }
}

fn signed(text: &str, signers: &[&dyn signed_note::Signer]) -> Result<String, NoteError> {
    let failed = |error: signed_note::NoteError| NoteError::Signature(error.to_string());
    let mut note = Note::new(text.as_bytes(), &[]).map_err(failed)?;
    note.add_sigs(signers).map_err(failed)?;
    String::from_utf8(note.to_bytes()).map_err(|_| NoteError::Malformed)
}

fn public_of(seed: &[u8]) -> Result<Vec<u8>, KeyError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| KeyError::Signer("the seed does not have 32 octets".to_owned()))?;
    Ok([&[ED25519], pair.public_key().as_ref()].concat())
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The gateway.
    pub origin: String,
    /// Entries it covers.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// Recipients by fate in these entries.
    pub counts: Option<Counts>,
}

/// The signed note of a checkpoint; its origin is the signer's name. The counts stand in an extension line.
pub fn sign(signer: &Signer, size: u64, root: Hash, counts: &Counts) -> Result<String, NoteError> {
    let text = tlog_tiles::Checkpoint::new(signer.name(), size, root, &counts.line())
        .map_err(|_| NoteError::Malformed)?
        .to_bytes();
    signer.sign(std::str::from_utf8(&text).map_err(|_| NoteError::Malformed)?)
}

/// Check that `note` was signed by the verifier key `key`; gives the text that was signed.
pub fn open_note(note: &str, key: &str) -> Result<String, NoteError> {
    let verifier =
        StandardVerifier::new(key.trim()).map_err(|error| KeyError::Verifier(error.to_string()))?;
    let failed = |error: signed_note::NoteError| NoteError::Signature(error.to_string());
    let note = Note::from_bytes(note.as_bytes()).map_err(failed)?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(failed)?;
    String::from_utf8(note.text().to_vec()).map_err(|_| NoteError::Malformed)
}

/// Check that `note` is a checkpoint signed by the verifier key `key`, whose name is its origin.
pub fn verify(note: &str, key: &str) -> Result<Checkpoint, NoteError> {
    let text = open_note(note, key)?;
    let parsed = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).map_err(|_| NoteError::Malformed)?;
    if Some(parsed.origin()) != key.trim().split('+').next() {
        return Err(NoteError::Malformed);
    }
    Ok(Checkpoint {
        origin: parsed.origin().to_owned(),
        size: parsed.size(),
        root: *parsed.hash(),
        counts: Counts::in_lines(parsed.extension()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn keys_round_trip_and_show_nothing() {
        let signer = Signer::generate("sluis.voorbeeld.nl", &SystemEntropy).unwrap();
        let text = String::from_utf8(signer.key_text().expose().to_vec()).unwrap();
        let again = Signer::parse(&format!("{text}\n")).unwrap();
        assert_eq!(again.verifier(), signer.verifier());
        assert_eq!(again.name(), "sluis.voorbeeld.nl");
        // Base64 may have a '+' near its end: what follows that may stand anywhere.
        assert!(!format!("{signer:?}").contains(text.splitn(5, '+').nth(4).unwrap()));
        for name in ["", "a b", "a+b"] {
            assert_eq!(Signer::generate(name, &SystemEntropy).unwrap_err(), KeyError::Name(name.to_owned()));
        }
        assert!(Signer::parse(signer.verifier()).is_err());
    }

    #[test]
    fn a_published_key_pair_of_the_note_format_is_read_alike() {
        // The example pair of the Go module `golang.org/x/mod/sumdb/note`.
        let signer =
            Signer::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
                .unwrap();
        assert_eq!(signer.verifier(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    }

    #[test]
    fn promise_8_a_checkpoint_holds_for_its_key_and_text_only() {
        let signer = Signer::generate("poort", &SystemEntropy).unwrap();
        let counts = Counts { accepted: 2, sent: 2, ..Counts::default() };
        let note = sign(&signer, 7, Hash([9; 32]), &counts).unwrap();
        let checkpoint = verify(&note, signer.verifier()).unwrap();
        assert_eq!(
            checkpoint,
            Checkpoint { origin: "poort".to_owned(), size: 7, root: Hash([9; 32]), counts: Some(counts) }
        );
        assert!(verify(&note.replacen("sent=2", "sent=3", 1), signer.verifier()).is_err());
        assert!(verify(&note.replacen("\n7\n", "\n8\n", 1), signer.verifier()).is_err());
        let other = Signer::generate("poort", &SystemEntropy).unwrap();
        assert!(verify(&note, other.verifier()).is_err());
        let foreign = signer.sign("elders\n7\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n").unwrap();
        assert_eq!(verify(&foreign, signer.verifier()), Err(NoteError::Malformed));
    }
}
