//! Text formats, token by token.

/// What is left of a line of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a>(pub(super) &'a str);

impl<'a> Tokens<'a> {
    /// Up to the next occurrence of `end`, which is dropped.
    pub(super) fn until(&mut self, end: &str) -> Option<&'a str> {
        let (token, rest) = self.0.split_once(end)?;
        self.0 = rest;
        Some(token)
    }

    /// Up to the next space, or all that is left.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (token, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        Some(token)
    }

    /// Drops `text`, which must come next.
    pub(super) fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// Text in quotes in which a backslash hides the byte after it, and one space behind it.
    pub(super) fn quoted(&mut self) -> Option<&'a str> {
        let inside = self.0.strip_prefix('"')?;
        let bytes = inside.as_bytes();
        let mut at = 0;
        loop {
            let found = memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
            at = at.saturating_add(found);
            if bytes.get(at) == Some(&b'"') {
                break;
            }
            at = at.saturating_add(2);
        }
        let rest = inside.get(at.saturating_add(1)..)?;
        self.0 = rest.strip_prefix(' ').unwrap_or(rest);
        inside.get(..at)
    }
}

/// `-` is how text formats write that there is nothing.
pub(super) fn known(token: &str) -> &str {
    if token == "-" { "" } else { token }
}
