//! Base64 with padding (RFC 4648, section 4): how a snapshot stands in a configuration, which is text.
//!
//! White space is skipped, because tools break long lines; anything else out of place is refused, so that a cut or
//! mangled text does not become other bytes.

use std::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why a text is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base64Error(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letter { at: usize },
    Length { letters: usize },
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Letter { at } => write!(f, "what stands at byte {at} does not belong there"),
            Kind::Length { letters } => write!(f, "{letters} letters are no whole bytes"),
        }
    }
}

impl std::error::Error for Base64Error {}

/// The bytes a text stands for.
///
/// # Errors
/// A letter outside the alphabet, padding in the middle, or a text that was cut.
pub fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    let mut out = Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3));
    let (mut bits, mut held, mut letters, mut padding) = (0u32, 0u32, 0usize, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        letters = letters.saturating_add(1);
        if byte == b'=' {
            padding = padding.saturating_add(1);
            continue;
        }
        let value = value(byte).filter(|_| padding == 0);
        let value = value.ok_or(Base64Error(Kind::Letter { at }))?;
        bits = (bits << 6) | u32::from(value);
        held = held.saturating_add(6);
        if held >= 8 {
            held = held.saturating_sub(8);
            out.push(((bits >> held) & 0xFF) as u8);
            bits &= (1u32 << held).saturating_sub(1);
        }
    }
    // Three bytes are four letters; what is left over is filled up by one or two signs, and says nothing in its last bits.
    if !letters.is_multiple_of(4) || padding > 2 || bits != 0 || held == 6 {
        return Err(Base64Error(Kind::Length { letters }));
    }
    Ok(out)
}

/// The text that stands for these bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (place, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            let index = usize::try_from((bits >> shift) & 0x3F).unwrap_or(0);
            let letter = ALPHABET.get(index).filter(|_| place <= chunk.len());
            out.push(char::from(letter.copied().unwrap_or(b'=')));
        }
    }
    out
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(byte.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0').wrapping_add(52)),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_vectors_of_rfc_4648_are_read_and_written() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Ok(bytes.as_bytes()));
        }
    }

    #[test]
    fn broken_lines_are_read_and_anything_else_out_of_place_is_refused() {
        assert_eq!(decode("Zm9v\n YmFy\r\n").as_deref(), Ok(&b"foobar"[..]));
        for text in ["Zg", "Zg=", "Z===", "Z", "Zg==Zg==", "Zm9-", "Zh==", "===="] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn all_bytes_come_back(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            if let Ok(bytes) = decode(&text) {
                let plain: String = text.split_ascii_whitespace().collect();
                prop_assert_eq!(encode(&bytes), plain);
            }
        }
    }
}
