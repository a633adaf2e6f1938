//! One line of JSON, whatever text is in it.
//!
//! JSON itself escapes what is below U+0020. Names come from callers, and a line is read by people and by tools that split text
//! where Unicode lets a line end (UAX #14) and turn it where it says so (UAX #9). So those characters are escaped, too: the value
//! stays what it was, and the line stays one and reads as it is written.

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// A value as one line, without the line break. Empty where it can't be written as JSON at all.
pub(crate) fn of<T: Serialize>(value: &T) -> String {
    let mut line = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut line, Visible);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(line).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| acts(*c)) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = from.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether a character ends lines, turns text or moves what follows, in place of being seen. All of them have four digits.
fn acts(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}'
        | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn whatever_the_text_it_is_one_line_that_says_it(text in "(\\PC|[\u{0}-\u{9f}\u{2000}-\u{206f}\u{feff}]){0,40}") {
            let line = of(&[&text]);
            prop_assert!(!line.chars().any(|c| c.is_control() || acts(c)), "{line:?}");
            let read: Vec<String> = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(read, [text]);
        }
    }
}
