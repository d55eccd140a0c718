//! `include = "rules.d/*.toml"`: more files with rules and senders, so that each can have an owner.
//!
//! A pattern is resolved against the folder of the config file, and only its last part may have `*`. Files are
//! taken in order of their names; hidden ones and editors' copies are left out. An included file has
//! `[[rule]]` and `[[sender]]` tables and nothing else, and includes nothing itself.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::check::MAX_FILE;
use super::reader::{Section, Spot};

/// Files that one config may include.
const MAX_FILES: usize = 500;

/// A file that was included.
pub(super) struct Included {
    /// Where it is.
    pub file: PathBuf,
    /// What stands in it.
    pub source: String,
}

/// Read every file that the key `include` of `root` names.
pub(super) fn files(root: &Section<'_>, config: &Path) -> Vec<Included> {
    let folder = config.parent().unwrap_or(Path::new(""));
    let mut all: Vec<Included> = Vec::new();
    for pattern in root.texts("include") {
        let found = match matching(folder, &pattern.value) {
            Ok(found) => found,
            Err(why) => {
                root.error_at(&pattern, why);
                continue;
            }
        };
        if found.is_empty() {
            root.warn("include", format!("\"{}\" names no file", pattern.value));
        }
        for file in found {
            if all.iter().all(|known| known.file != file) && !take(root, &pattern, file, &mut all) {
                return all;
            }
        }
    }
    all
}

/// Whether there is room for more.
fn take(root: &Section<'_>, pattern: &Spot<String>, file: PathBuf, all: &mut Vec<Included>) -> bool {
    if all.len() == MAX_FILES {
        root.error_at(pattern, format!("names more than {MAX_FILES} files"));
        return false;
    }
    match read(&file) {
        Ok(source) => all.push(Included { file, source }),
        Err(why) => root.error_at(pattern, format!("{}: {why}", file.display())),
    }
    true
}

fn read(file: &Path) -> Result<String, String> {
    let mut source = String::new();
    let opened = std::fs::File::open(file).map_err(|error| format!("cannot be opened: {error}"))?;
    opened
        .take(MAX_FILE + 1)
        .read_to_string(&mut source)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if source.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {MAX_FILE} octets"));
    }
    Ok(source)
}

/// The files that fit `pattern`, in order of their names. One without `*` must be there.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = folder.join(pattern);
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(format!("\"{pattern}\" names no file; write \"rules.d/*.toml\""));
    };
    let parent = path.parent().unwrap_or(Path::new(""));
    if parent.to_string_lossy().contains('*') {
        return Err(format!("\"{pattern}\": only the file name may have *; write \"rules.d/*.toml\""));
    }
    let Some((before, after)) = name.split_once('*') else { return Ok(vec![path]) };
    if after.contains('*') {
        return Err(format!("\"{pattern}\" has more than one *"));
    }
    let folder = if parent == Path::new("") { Path::new(".") } else { parent };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{} cannot be read: {error}", folder.display())),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
                && !name.starts_with('.')
                && !name.ends_with('~')
        })
        .collect();
    names.sort_unstable();
    Ok(names.into_iter().map(|name| parent.join(name)).filter(|path| path.is_file()).collect())
}
