//! Small texts that stand in larger ones.

use pairwatch_engine::Time;
use pairwatch_engine::base64;
use pairwatch_engine::exchange::address;

/// Base64, times, addresses: what is read is written so that it is read as the same.
pub fn text(bytes: &[u8]) {
    assert_eq!(
        base64::decode(&base64::encode(bytes)).as_deref(),
        Ok(bytes),
        "all bytes come back"
    );
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(decoded) = base64::decode(text) {
        let plain: String = text.split_ascii_whitespace().collect();
        assert_eq!(
            base64::encode(&decoded),
            plain,
            "one text for the same bytes"
        );
    }
    if let Some(time) = Time::parse(text) {
        let written = time.rfc3339();
        let read = Time::parse(&written).expect("a time is written as one");
        // Offsets may lead beyond the last year that can be written.
        let last = Time::parse("9999-12-31T23:59:59.999Z");
        assert!(
            read == time || Some(read) == last,
            "{text} became {written}"
        );
    }
    if let Some(address) = address::of(text) {
        assert_eq!(address::of(&address.to_string()), Some(address), "{text}");
    }
}
