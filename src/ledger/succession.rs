//! That one key follows another: a note that both of them signed.
//!
//! Whoever trusts one of the two may trust the other, so checkpoints and packs of any age can be checked with any key
//! that a gateway ever had. A key that was lost cannot vouch for the next one: then nothing here does, and the next
//! key has to be made known anew.

use super::checkpoint::{self, NoteError, Signer};

/// First line of the note. A gateway's name has no spaces, so this is no checkpoint.
const TITLE: &str = "sluis ledger keys v1";

/// The note by which `old` and `new` vouch for each other.
pub fn vouch(old: &Signer, new: &Signer) -> Result<String, NoteError> {
    old.sign_with(new, &format!("{TITLE}\n{}\n{}\n", old.verifier(), new.verifier()))
}

/// The two public keys that vouch for each other in `note`, the older one first.
pub fn open(note: &str) -> Option<[String; 2]> {
    let mut lines = note.lines();
    let (title, old, new) = (lines.next()?, lines.next()?, lines.next()?);
    // A checkpoint or a list of files, too, is signed by these keys: only the title makes it a change of keys.
    let text = format!("{TITLE}\n{old}\n{new}\n");
    let signed = |key| checkpoint::open_note(note, key).is_ok_and(|signed| signed == text);
    (title == TITLE && signed(old) && signed(new)).then(|| [old.to_owned(), new.to_owned()])
}

/// The public key `trusted`, and all that it leads to by `notes`, one after the other.
pub fn family<'a>(trusted: &str, notes: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut pairs: Vec<[String; 2]> = notes.into_iter().filter_map(open).collect();
    let mut keys = vec![trusted.trim().to_owned()];
    while let Some(at) = pairs.iter().position(|pair| pair.iter().any(|key| keys.contains(key))) {
        let pair = pairs.swap_remove(at);
        keys.extend(pair.into_iter().filter(|key| !keys.contains(key)).collect::<Vec<_>>());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn promise_8_keys_vouch_for_each_other_along_any_number_of_changes_and_strangers_do_not() {
        let keys: Vec<Signer> = (0..4).map(|_| Signer::generate("poort", &SystemEntropy).unwrap()).collect();
        let notes: Vec<String> = keys.windows(2).map(|pair| vouch(&pair[0], &pair[1]).unwrap()).collect();
        let mut turned: Vec<&str> = notes.iter().map(String::as_str).collect();
        for _ in 0..2 {
            turned.reverse();
            for key in &keys {
                assert_eq!(family(key.verifier(), turned.iter().copied()).len(), 4);
            }
        }
        let stranger = Signer::generate("poort", &SystemEntropy).unwrap();
        assert_eq!(family(stranger.verifier(), turned.iter().copied()).len(), 1);
        // A stranger that says so by itself, or that has only its own signature under it, is none of the family.
        let text = format!("{TITLE}\n{}\n{}\n", keys[0].verifier(), stranger.verifier());
        let forged = stranger.sign(&text).unwrap();
        assert_eq!(open(&forged), None);
        assert_eq!(family(keys[0].verifier(), [forged.as_str()]).len(), 1);
        // Nor does another text of both make it so.
        let other = keys[0].sign_with(&keys[1], &text).unwrap();
        assert_eq!(open(&other), None);
        assert_eq!(open(&notes[0].replacen(TITLE, "something else", 1)), None);
    }
}
