//! That a later ledger begins with an earlier one: two checkpoints and the hashes between them, checked
//! offline with the public keys alone (RFC 6962 2.1.2).

use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Checkpoint, NoteError};
use super::tree::{self, Hash, Hashes, TreeError};
use crate::mail::{hex, unhex};

/// Two signed checkpoints of one gateway and the proof between them, as it is written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consistency {
    /// The signed note of the earlier one.
    pub old: String,
    /// The signed note of the later one.
    pub new: String,
    /// The proof, hashes in hex.
    pub proof: Vec<String>,
}

/// Why it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// A checkpoint is not signed by the key.
    #[error("{which} checkpoint: {error}")]
    Note {
        /// `the earlier` or `the later`.
        which: &'static str,
        /// What is wrong with it.
        error: NoteError,
    },
    /// They are the other way round.
    #[error("the checkpoint said to be earlier covers {old} entries, and the later one {new}")]
    Order {
        /// Entries of the earlier one.
        old: u64,
        /// Entries of the later one.
        new: u64,
    },
    /// A hash that is none.
    #[error("the proof is not made of hashes")]
    Malformed,
    /// The later ledger does not begin with the earlier one.
    #[error("the ledger of {new} entries does not begin with the {old} entries that were signed earlier")]
    Rewritten {
        /// Entries of the earlier one.
        old: u64,
        /// Entries of the later one.
        new: u64,
    },
}

/// The proof between two checkpoints of a tree whose hashes can be read.
pub fn prove(
    old: &Checkpoint,
    new: &Checkpoint,
    hashes: &(impl Hashes + ?Sized),
) -> Result<Vec<String>, TreeError> {
    between(old.size, new.size, hashes)
}

/// The proof between the first `old` and the first `new` entries, hashes in hex.
pub fn between(old: u64, new: u64, hashes: &(impl Hashes + ?Sized)) -> Result<Vec<String>, TreeError> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let proof = tree::prove_consistency(new, old, hashes)?;
    Ok(proof.iter().map(|hash| hex(&hash.0)).collect())
}

impl Consistency {
    /// Check it against the public `keys`, of which any may have signed either; gives what the checkpoints say.
    pub fn check<K: AsRef<str>>(&self, keys: &[K]) -> Result<(Checkpoint, Checkpoint), ConsistencyError> {
        let open = |which, note: &str| {
            let mut error = NoteError::Signature("no key was given".to_owned());
            for key in keys {
                match checkpoint::verify(note, key.as_ref()) {
                    Ok(signed) => return Ok(signed),
                    Err(found) => error = found,
                }
            }
            Err(ConsistencyError::Note { which, error })
        };
        let (old, new) = (open("the earlier", &self.old)?, open("the later", &self.new)?);
        if old.size > new.size {
            return Err(ConsistencyError::Order { old: old.size, new: new.size });
        }
        let proof = self.proof.iter().map(|hash| unhex(hash).map(Hash)).collect::<Option<Vec<_>>>();
        let proof = proof.ok_or(ConsistencyError::Malformed)?;
        let holds = if old.size == new.size {
            old.root == new.root && proof.is_empty()
        } else {
            old.size == 0 || tree::check_consistency(&proof, new.size, new.root, old.size, old.root).is_ok()
        };
        if holds { Ok((old, new)) } else { Err(ConsistencyError::Rewritten { old: old.size, new: new.size }) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ledger::Counts;
    use crate::ledger::checkpoint::{Signer, sign};
    use crate::ledger::tree::{Edge, leaf};
    use crate::secret::SystemEntropy;

    #[test]
    fn promise_8_any_two_checkpoints_are_proven_and_a_rewritten_ledger_is_not() {
        let signer = Signer::generate("poort", &SystemEntropy).unwrap();
        let (mut edge, mut other) = (Edge::empty(), Edge::empty());
        let (mut hashes, mut forged) = (BTreeMap::new(), BTreeMap::new());
        let (mut notes, mut forgeries) = (Vec::new(), Vec::new());
        for number in 0..7u8 {
            hashes.extend(edge.append(leaf(&[number; 32], &[b"entry"])).unwrap());
            // One entry early on is another.
            let bytes: &[u8] = if number == 3 { b"forged" } else { b"entry" };
            forged.extend(other.append(leaf(&[number; 32], &[bytes])).unwrap());
            let counts = Counts::default();
            notes.push(sign(&signer, edge.size(), edge.root().unwrap(), &counts).unwrap());
            forgeries.push(sign(&signer, other.size(), other.root().unwrap(), &counts).unwrap());
        }
        let key = signer.verifier();
        let open = |note: &String| checkpoint::verify(note, key).unwrap();
        for old in 0..notes.len() {
            for new in old..notes.len() {
                let proof = prove(&open(&notes[old]), &open(&notes[new]), &hashes).unwrap();
                let sound = Consistency { old: notes[old].clone(), new: notes[new].clone(), proof };
                let (a, b) = sound.check(&[key]).unwrap();
                assert_eq!((a.size, b.size), (old as u64 + 1, new as u64 + 1));
                let proof = prove(&open(&notes[old]), &open(&forgeries[new]), &forged).unwrap();
                let rewritten = Consistency { old: notes[old].clone(), new: forgeries[new].clone(), proof };
                assert_eq!(rewritten.check(&[key]).is_ok(), old < 3, "{old} to {new}");
            }
        }
        let swapped = Consistency { old: notes[5].clone(), new: notes[2].clone(), proof: Vec::new() };
        assert_eq!(swapped.check(&[key]), Err(ConsistencyError::Order { old: 6, new: 3 }));
    }
}
