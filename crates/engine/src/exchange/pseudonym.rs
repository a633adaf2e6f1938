//! Pseudonyms: what stands in alerts and logs for a user's name.
//!
//! The same user has the same pseudonym for as long as the key stays, so that habits can be learned and alerts be told apart;
//! without the key nobody can say whose it is, nor find out by trying names. SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein,
//! "SipHash: a fast short-input PRF", 2012) is made for that, and takes less than a microsecond. Sixty-four bits are kept:
//! of a million users two share a pseudonym once in forty million installations.

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24Wide};
use std::hash::Hasher;

const PREFIX: &[u8; 5] = b"user-";
const DIGITS: usize = 16;
const LEN: usize = PREFIX.len() + DIGITS;

/// Makes pseudonyms by one key.
#[derive(Clone, Debug)]
pub struct Pseudonyms(SipHasher24);

/// `user-` and sixteen hexadecimal digits, on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pseudonym([u8; LEN]);

impl Pseudonyms {
    /// Of a key of any length: its hash is the key in use. A key that can be guessed protects nobody.
    pub fn new(key: &[u8]) -> Self {
        let mut hasher = SipHasher24Wide::new();
        hasher.write(key);
        Self(SipHasher24::new_with_key(&hasher.finish128().as_bytes()))
    }

    /// The pseudonym of a user.
    pub fn of(&self, user: &str) -> Pseudonym {
        let hash = self.0.hash(user.as_bytes());
        let mut text = [b'0'; LEN];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        let mut rest = hash;
        for digit in digits.iter_mut().rev() {
            *digit = match (rest & 15) as u8 {
                n @ 0..=9 => b'0'.saturating_add(n),
                n => b'a'.saturating_add(n.saturating_sub(10)),
            };
            rest >>= 4;
        }
        Pseudonym(text)
    }
}

impl Pseudonym {
    /// As text.
    pub fn as_str(&self) -> &str {
        // ASCII by construction.
        std::str::from_utf8(&self.0).unwrap_or("user")
    }
}

/// Puts «a user» in the place of every pseudonym in a text.
pub fn conceal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("user-") {
        out.push_str(before);
        let digits = after.get(..DIGITS).filter(|d| {
            d.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        rest = match digits.and(after.get(DIGITS..)) {
            Some(rest) => {
                out.push_str("a user");
                rest
            }
            None => {
                out.push_str("user-");
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn a_pseudonym_is_the_users_own_and_the_keys(a: String, b: String, key: Vec<u8>, other: Vec<u8>) {
            prop_assume!(a != b && key != other);
            let names = Pseudonyms::new(&key);
            prop_assert_eq!(names.of(&a), Pseudonyms::new(&key).of(&a));
            prop_assert_ne!(names.of(&a), names.of(&b));
            prop_assert_ne!(names.of(&a), Pseudonyms::new(&other).of(&a));
            prop_assert!(names.of(&a).as_str().starts_with("user-"));
        }

        #[test]
        fn no_pseudonym_is_left_in_what_was_concealed(before: String, user: String, after: String) {
            let name = Pseudonyms::new(b"key").of(&user);
            let text = format!("{before}{}{after}", name.as_str());
            let concealed = conceal(&text);
            prop_assert!(!concealed.contains(name.as_str()), "{}", concealed);
        }
    }

    #[test]
    fn a_pseudonym_stays_the_same_from_version_to_version() {
        assert_eq!(
            Pseudonyms::new(b"a key of many letters")
                .of("alice")
                .as_str(),
            "user-6b1187d211d65c02"
        );
    }

    #[test]
    fn a_text_without_a_pseudonym_is_left_as_it_is() {
        for text in ["", "user-", "user-agent", "superuser-0123456789abcdeg"] {
            assert_eq!(conceal(text), text);
        }
    }
}
