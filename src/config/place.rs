//! Files that the config names: they must be there, and secrets must be closed to others.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Largest file that holds a secret, a key or a certificate chain.
const MAX_SECRET: u64 = 256 << 10;

/// Check that `path` is a file that can be read.
pub(super) fn readable(path: &Path) -> Result<(), String> {
    open(path).map(|_| ())
}

/// Check that `path` is a readable file that only its owner may change and that the world may not read.
pub(super) fn closed(path: &Path) -> Result<std::fs::File, String> {
    let (file, metadata) = open(path)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o037 != 0 {
        return Err(format!(
            "{} holds a secret but is open to others (mode {mode:04o}); it must be 0600 or 0640: chmod 600 {}",
            path.display(),
            path.display()
        ));
    }
    Ok(file)
}

/// The content of a secret file.
pub(super) fn secret(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    closed(path)?
        .take(MAX_SECRET)
        .read_to_string(&mut text)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text)
}

/// At most `limit` octets of a file.
pub(super) fn bytes(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    open(path)?
        .0
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(bytes)
}

/// The content of a text file that is no secret.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    open(path)?
        .0
        .take(MAX_SECRET)
        .read_to_string(&mut text)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text)
}

fn open(path: &Path) -> Result<(std::fs::File, std::fs::Metadata), String> {
    let file =
        std::fs::File::open(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let metadata = file.metadata().map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    Ok((file, metadata))
}
