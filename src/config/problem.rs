//! What is wrong with a config file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The config file.
    pub file: PathBuf,
    /// Line, counting from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Column in characters, counting from 1.
    pub column: usize,
    /// Dotted key, entries of a list counting from 1: `rule[2].match.from`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Everything that is wrong with a config file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// At least one.
    pub errors: Vec<Problem>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
}

impl Problems {
    /// A problem with the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        let problem = Problem {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            message: message.into(),
        };
        Self { errors: vec![problem], warnings: Vec::new() }
    }
}

impl fmt::Display for Problem {
    /// `config/sluis.toml:12:5: rule[2].match.form: unknown key; did you mean "from"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Problems {
    /// One line for each error, without warnings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.errors.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
