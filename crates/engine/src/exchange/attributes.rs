//! The attributes a proxy hands over, as it encodes them.
//!
//! A list comes as a u32 count, then for each element the u32 lengths of key and value, then the keys and values
//! themselves, each with a zero byte behind it. A list's elements stand in the key places; the values are empty. Integers
//! are little-endian. (Seen on Envoy 1.40; proxy-wasm calls it a serialised map.)
//!
//! The bytes come from the host, but hold what clients sent: everything is checked, nothing is copied.

/// The elements of an encoded list, in order. Ends early where the encoding does not hold.
#[derive(Clone, Debug)]
pub struct List<'a> {
    lengths: &'a [u8],
    data: &'a [u8],
}

impl<'a> List<'a> {
    /// Reads an encoded list; `None` where it is too short to be one.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let lengths = usize::try_from(u32::from_le_bytes(*count))
            .ok()?
            .checked_mul(8)?;
        let (lengths, data) = rest.split_at_checked(lengths)?;
        Some(Self { lengths, data })
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&[k0, k1, k2, k3, v0, v1, v2, v3], rest) = self.lengths.split_first_chunk::<8>()?;
        self.lengths = rest;
        let key = usize::try_from(u32::from_le_bytes([k0, k1, k2, k3])).ok()?;
        let value = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).ok()?;
        let (element, rest) = self.data.split_at_checked(key)?;
        // The zero bytes behind either.
        self.data = rest.get(value.checked_add(2)?..)?;
        Some(element)
    }
}

/// An integer attribute; `None` where it is absent or no integer.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}

/// A size or duration: an integer that can't be negative. Absent is 0.
pub fn amount(bytes: &[u8]) -> u64 {
    integer(bytes)
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0)
}

/// A text attribute; what is no UTF-8 is cut there.
pub fn text(bytes: &[u8]) -> &str {
    // Nearly all is, and told to be so several bytes at a time.
    std::str::from_utf8(bytes)
        .unwrap_or_else(|_| bytes.utf8_chunks().next().map_or("", |c| c.valid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn encode(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut out = u32::try_from(elements.len())
            .unwrap()
            .to_le_bytes()
            .to_vec();
        for e in elements {
            out.extend(u32::try_from(e.len()).unwrap().to_le_bytes());
            out.extend([0; 4]);
        }
        for e in elements {
            out.extend(e);
            out.extend([0, 0]);
        }
        out
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12)) {
            let bytes = encode(&elements);
            let read: Vec<Vec<u8>> = List::read(&bytes).unwrap().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(read, elements);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(list) = List::read(&bytes) {
                prop_assert!(list.count() <= 25);
            }
        }
    }

    #[test]
    fn a_text_that_is_no_utf8_is_cut_there() {
        assert_eq!(text(b"front\xffend"), "front");
        assert_eq!(text(b"\xff"), "");
    }
}
