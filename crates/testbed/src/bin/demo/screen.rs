//! What the demo says: lines that stay, and on a terminal one line below them that shows where it is.

use std::io::{IsTerminal, Write, stdout};

/// Clears the line the cursor is on.
const CLEAR: &str = "\r\x1b[K";

pub(crate) struct Screen {
    terminal: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            terminal: stdout().is_terminal(),
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        let clear = if self.terminal { CLEAR } else { "" };
        self.write(&format!("{clear}{text}\n"));
    }

    /// Where it is: replaced by what comes next. Not shown where there's no terminal.
    pub(crate) fn progress(&self, text: &str) {
        if self.terminal {
            self.write(&format!("{CLEAR}… {text} "));
        }
    }

    fn write(&self, text: &str) {
        let mut out = stdout().lock();
        // Nobody reads: the demo goes on, and its exit code still tells.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
