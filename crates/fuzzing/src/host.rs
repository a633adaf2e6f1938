//! What the proxy hands over: lists of attributes, made of what clients sent.

use pairwatch_engine::exchange::address;
use pairwatch_engine::exchange::attributes::{List, amount, integer, text};

/// A list as the proxy encodes it, out of these elements.
fn encoded<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let elements: Vec<&[u8]> = elements.collect();
    let length = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut out = length(elements.len()).to_vec();
    for element in &elements {
        out.extend(length(element.len()));
        out.extend([0; 4]);
    }
    for element in &elements {
        out.extend(*element);
        out.extend([0, 0]);
    }
    out
}

/// The bytes as they stand: elements are parts of them and end where the encoding does not hold. And a list of the pieces
/// between zero bytes, which is read as it was written.
pub fn attributes(bytes: &[u8]) {
    if let Some(list) = List::read(bytes) {
        let mut size = 0;
        for element in list {
            size += element.len();
            look(element);
        }
        assert!(size <= bytes.len(), "{size} bytes out of {}", bytes.len());
    }
    let pieces = || bytes.split(|b| *b == 0);
    let list = encoded(pieces());
    let read = List::read(&list).expect("what was written is read");
    assert!(read.eq(pieces()), "a list is read as it was written");
    look(bytes);
}

/// An element as each kind of attribute.
fn look(element: &[u8]) {
    let said = text(element);
    assert!(
        element.starts_with(said.as_bytes()),
        "a text is not made up"
    );
    assert_eq!(integer(element).is_some(), element.len() == 8);
    assert!(amount(element) <= u64::MAX / 2, "no amount is negative");
    if let Some(address) = address::of(said) {
        assert_eq!(
            address::of(&address.to_string()),
            Some(address),
            "an address is read as it is written"
        );
    }
}
