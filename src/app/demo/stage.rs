//! What the tour prints: colour on a terminal, plain text in a pipe.

use std::io::{IsTerminal as _, Write as _};

/// Where the tour is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    colour: bool,
    step: u32,
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    Plain,
    Dim,
    Good,
    Bad,
    Strong,
}

impl Stage {
    /// Standard output; colour if it is a terminal and `NO_COLOR` is not set.
    pub(super) fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, step: 0 }
    }

    /// A numbered heading.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        self.line(Look::Plain, "");
        self.line(Look::Strong, &format!("{}. {title}", self.step));
    }

    /// One line.
    pub(super) fn line(&self, look: Look, text: &str) {
        let code = match look {
            Look::Plain => None,
            Look::Dim => Some("2"),
            Look::Good => Some("32"),
            Look::Bad => Some("31"),
            Look::Strong => Some("1"),
        };
        let mut out = std::io::stdout().lock();
        // A reader that went away (`sluis demo | head`) is no reason to stop the tour half-way.
        let _ = match code.filter(|_| self.colour) {
            Some(code) => writeln!(out, "\x1b[{code}m{text}\x1b[0m"),
            None => writeln!(out, "{text}"),
        };
    }
}
