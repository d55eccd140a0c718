//! Values that must not be printed, and the source of randomness.
//!
//! [`Secret`] is zeroised when dropped and shows nothing in `Debug`. [`Entropy`] is injected wherever
//! randomness is needed, so that a test can repeat a run.

use std::sync::Arc;

use aws_lc_rs::rand::SecureRandom as _;
use zeroize::Zeroizing;

/// Bytes that are wiped when dropped and never shown in logs.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Take ownership of `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Look at the bytes; the name makes every use easy to find.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    /// In a time that depends on the lengths only.
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A source of random bytes.
pub trait Entropy: Send + Sync + std::fmt::Debug + 'static {
    /// Fill `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// Randomness shared by many tasks.
pub type SharedEntropy = Arc<dyn Entropy>;

/// `N` random bytes from `entropy`.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // A machine whose kernel cannot give random bytes cannot salt, sign or seal anything.
        aws_lc_rs::rand::SystemRandom::new().fill(buffer).expect("the operating system gives random bytes");
    }
}
