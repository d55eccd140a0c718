//! The Merkle tree of RFC 6962 over all entries, by the `tlog_tiles` crate.
//!
//! Hashes of complete subtrees are kept by *stored hash index* (Crosby and Wallach's order), so that any
//! proof reads a few dozen of them. [`Edge`] is the right edge of the tree: all that appending needs.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use tlog_tiles::{HashReader, stored_hash_index};

pub use tlog_tiles::Hash;

/// Random octets before an entry's bytes: without them a leaf hash says nothing about a guessed payload,
/// so destroying salt and payload together erases the entry (promise 8).
pub type Salt = [u8; 32];

/// A proof does not hold, or hashes are missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TreeError(String);

impl From<tlog_tiles::Error> for TreeError {
    fn from(error: tlog_tiles::Error) -> Self {
        Self(error.to_string())
    }
}

/// The leaf of an entry: `SHA-256(0x00 ‖ salt ‖ bytes)`, the bytes given in pieces.
pub fn leaf(salt: &Salt, bytes: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[0]);
    context.update(salt);
    bytes.iter().for_each(|piece| context.update(piece));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}

/// Where a stored hash can be read.
pub trait Hashes {
    /// The hash at a stored hash index; `None` when it is not there.
    fn hash(&self, index: u64) -> Result<Option<Hash>, TreeError>;
}

struct Reader<'a, H: Hashes + ?Sized>(&'a H);

impl<H: Hashes + ?Sized> HashReader for Reader<'_, H> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        indexes
            .iter()
            .map(|&index| match self.0.hash(index) {
                Ok(Some(hash)) => Ok(hash),
                Ok(None) => Err(tlog_tiles::Error::IndexesNotInTree),
                Err(error) => Err(tlog_tiles::Error::InvalidInput(error.0)),
            })
            .collect()
    }
}

impl TreeError {
    /// An error of whatever holds the hashes.
    pub fn reading(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Hashes for BTreeMap<u64, Hash> {
    fn hash(&self, index: u64) -> Result<Option<Hash>, TreeError> {
        Ok(self.get(&index).copied())
    }
}

/// The right edge of a tree: its size and the roots of its largest complete subtrees.
#[derive(Debug, Clone)]
pub struct Edge {
    size: u64,
    hashes: BTreeMap<u64, Hash>,
}

impl Edge {
    /// The edge of an empty tree.
    pub fn empty() -> Self {
        Self { size: 0, hashes: BTreeMap::new() }
    }

    /// Read the edge of a tree of `size` entries.
    pub fn restore(size: u64, hashes: &impl Hashes) -> Result<Self, TreeError> {
        let mut edge = BTreeMap::new();
        for index in tlog_tiles::sub_tree_index(0, size, Vec::new()) {
            let hash = hashes
                .hash(index)?
                .ok_or_else(|| TreeError(format!("hash {index} of the tree of {size} entries is missing")))?;
            edge.insert(index, hash);
        }
        Ok(Self { size, hashes: edge })
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Append a leaf; gives the hashes to store, each with its index.
    pub fn append(&mut self, leaf: Hash) -> Result<Vec<(u64, Hash)>, TreeError> {
        let number = self.size;
        let hashes = tlog_tiles::stored_hashes_for_record_hash(number, leaf, &Reader(&self.hashes))?;
        let stored: Vec<(u64, Hash)> = (stored_hash_index(0, number)..).zip(hashes).collect();
        self.hashes.extend(stored.iter().copied());
        self.size = number + 1;
        let needed = tlog_tiles::sub_tree_index(0, self.size, Vec::new());
        self.hashes.retain(|index, _| needed.contains(index));
        Ok(stored)
    }

    /// The root over all entries.
    pub fn root(&self) -> Result<Hash, TreeError> {
        Ok(tlog_tiles::tree_hash(self.size, &Reader(&self.hashes))?)
    }
}

/// Where the leaf of entry `number` is stored.
pub fn leaf_index(number: u64) -> u64 {
    stored_hash_index(0, number)
}

/// The root over the first `size` entries.
pub fn root(size: u64, hashes: &(impl Hashes + ?Sized)) -> Result<Hash, TreeError> {
    Ok(tlog_tiles::tree_hash(size, &Reader(hashes))?)
}

/// The audit path (RFC 6962 2.1.1) of entry `number` in the tree of `size` entries.
pub fn prove_inclusion(
    size: u64,
    number: u64,
    hashes: &(impl Hashes + ?Sized),
) -> Result<Vec<Hash>, TreeError> {
    Ok(tlog_tiles::prove_record(size, number, &Reader(hashes))?)
}

/// Check an audit path.
pub fn check_inclusion(
    path: &[Hash],
    size: u64,
    root: Hash,
    number: u64,
    leaf: Hash,
) -> Result<(), TreeError> {
    Ok(tlog_tiles::check_record(&path.to_vec(), size, root, number, leaf)?)
}

/// The proof (RFC 6962 2.1.2) that the tree of `old` entries is a prefix of the tree of `size`.
pub fn prove_consistency(
    size: u64,
    old: u64,
    hashes: &(impl Hashes + ?Sized),
) -> Result<Vec<Hash>, TreeError> {
    Ok(tlog_tiles::prove_tree(size, old, &Reader(hashes))?)
}

/// Check a consistency proof.
pub fn check_consistency(
    proof: &[Hash],
    size: u64,
    root: Hash,
    old: u64,
    old_root: Hash,
) -> Result<(), TreeError> {
    Ok(tlog_tiles::check_tree(&proof.to_vec(), size, root, old, old_root)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 2.1, written down a second time as it stands there.
    fn by_the_book(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => tlog_tiles::EMPTY_HASH,
            [one] => *one,
            many => {
                let k = 1 << (many.len() - 1).ilog2();
                tlog_tiles::node_hash(by_the_book(&many[..k]), by_the_book(&many[k..]))
            }
        }
    }

    #[test]
    fn the_edge_gives_the_roots_of_rfc_6962() {
        let mut edge = Edge::empty();
        let mut all = BTreeMap::new();
        let mut leaves = Vec::new();
        let mut roots = vec![edge.root().unwrap()];
        for number in 0..70u8 {
            let leaf = leaf(&[number; 32], &[b"entry ", &[number]]);
            leaves.push(leaf);
            all.extend(edge.append(leaf).unwrap());
            assert_eq!(edge.root().unwrap(), by_the_book(&leaves));
            assert_eq!(Edge::restore(edge.size(), &all).unwrap().root().unwrap(), edge.root().unwrap());
            roots.push(edge.root().unwrap());
        }
        let size = edge.size();
        let root = edge.root().unwrap();
        for (number, leaf) in (0..).zip(&leaves) {
            let path = prove_inclusion(size, number, &all).unwrap();
            check_inclusion(&path, size, root, number, *leaf).unwrap();
            assert!(check_inclusion(&path, size, root, (number + 1) % size, *leaf).is_err());
        }
        for old in 1..=size {
            let proof = prove_consistency(size, old, &all).unwrap();
            check_consistency(&proof, size, root, old, roots[old as usize]).unwrap();
            assert!(check_consistency(&proof, size, root, old, Hash([7; 32])).is_err());
        }
    }

    #[test]
    fn a_leaf_is_the_salted_hash_of_its_bytes() {
        let whole = leaf(&[1; 32], &[b"ab"]);
        assert_eq!(whole, leaf(&[1; 32], &[b"a", b"b"]));
        assert_eq!(whole, tlog_tiles::record_hash(&[&[1u8; 32][..], b"ab"].concat()));
        assert_ne!(whole, leaf(&[2; 32], &[b"ab"]));
        // The test vector of docs/ledger-format.md.
        let vector = "efc1d5951a2a37f60df9277c4c0ae408877a9ce27f3bde9709d06662391c5836";
        assert_eq!(whole.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), vector);
    }
}
