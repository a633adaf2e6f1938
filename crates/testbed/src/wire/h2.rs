//! HTTP/2 frames, by hand: enough to say what no well-behaved client would, and to hold two recordings against each other.
//!
//! Header blocks are written with literals only (RFC 7541, 6.2.2), so that they need no table. What comes back is not
//! decoded: two proxies with the same encoder write the same bytes for the same fields. Only the field `date` must go, and
//! for that it is enough to walk from field to field.

/// What a client begins with (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113, 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// Flags.
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// `SETTINGS_HEADER_TABLE_SIZE` of 0: the other side's encoder keeps no table. With one, what it writes would depend on
/// whether two answers were of the same second.
pub(super) const NO_TABLE: [u8; 6] = [0, 1, 0, 0, 0, 0];

/// `date` in HPACK's static table (RFC 7541, appendix A).
const DATE: usize = 33;

/// One frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// A frame's bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals that no table remembers.
pub(super) fn block<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(text.len(), &mut bytes);
            bytes.extend(text);
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn length(mut value: usize, bytes: &mut Vec<u8>) {
    const FULL: usize = 0x7f;
    if value < FULL {
        bytes.push(value as u8);
        return;
    }
    bytes.push(FULL as u8);
    value -= FULL;
    while value >= 0x80 {
        bytes.push((value % 0x80) as u8 | 0x80);
        value /= 0x80;
    }
    bytes.push(value as u8);
}

/// The whole frames at the beginning of `bytes`, behind a client's preface where there is one.
pub(super) fn frames(bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut all = Vec::new();
    while let Some((&[a, b, c, kind, flags, stream @ ..], tail)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, a, b, c]);
        let Some((payload, tail)) = tail.split_at_checked(length as usize) else {
            break;
        };
        all.push(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        });
        rest = tail;
    }
    all
}

/// What a connection's bytes say, without what is not the streams': settings, pings, windows, and where DATA was cut.
pub(super) fn render(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut open_data = None;
    for frame in frames(bytes) {
        if frame.stream == 0 || frame.kind == WINDOW_UPDATE {
            continue;
        }
        if frame.kind == DATA {
            if open_data != Some(frame.stream) {
                text.push_str(&format!("\nDATA {}: ", frame.stream));
            }
            text.push_str(&frame.payload.escape_ascii().to_string());
            open_data = Some(frame.stream);
        } else {
            let payload = match frame.kind {
                HEADERS => undated(frame.payload),
                _ => frame.payload.escape_ascii().to_string(),
            };
            let name = match frame.kind {
                HEADERS => "HEADERS",
                RST_STREAM => "RST_STREAM",
                _ => "FRAME",
            };
            text.push_str(&format!("\n{name} {}: {payload}", frame.stream));
            open_data = None;
        }
        if frame.kind <= HEADERS && frame.flags & END_STREAM != 0 {
            text.push_str(" END");
            open_data = None;
        }
    }
    text
}

/// A header block, field by field, without `date`.
fn undated(block: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = block;
    while let Some(&first) = rest.first() {
        let (prefix, literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let Some((index, mut tail)) = integer(rest, prefix) else {
            break;
        };
        if literal {
            for _ in 0..if index == 0 { 2 } else { 1 } {
                tail = skip_string(tail);
            }
        }
        let (field, behind) = rest.split_at(rest.len() - tail.len());
        if !(literal && index == DATE) {
            text.push_str(&format!("[{}]", field.escape_ascii()));
        }
        rest = behind;
    }
    text
}

fn integer(bytes: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let full = (1usize << prefix) - 1;
    let (&first, mut rest) = bytes.split_first()?;
    let mut value = usize::from(first) & full;
    if value == full {
        let mut shift = 0;
        loop {
            let (&next, tail) = rest.split_first()?;
            rest = tail;
            value += usize::from(next & 0x7f) << shift;
            shift += 7;
            if next & 0x80 == 0 || shift > 28 {
                break;
            }
        }
    }
    Some((value, rest))
}

fn skip_string(bytes: &[u8]) -> &[u8] {
    integer(bytes, 7)
        .and_then(|(length, rest)| rest.get(length..))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame, render};

    #[test]
    fn frames_written_are_read_again_and_the_date_is_left_out() {
        let dated = [&[0x88][..], &[0x61, 3], b"now", &[0x0f, 0x12, 2], b"xy"].concat();
        let bytes = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, END_HEADERS, 1, &dated),
            frame(DATA, 0, 1, b"o"),
            frame(DATA, END_STREAM, 1, b"k"),
        ]
        .concat();
        assert_eq!(render(&bytes), "\nHEADERS 1: [\\x88]\nDATA 1: ok END");
    }

    #[test]
    fn long_literals_are_skipped_whole() {
        let long = vec![b'a'; 5000];
        let fields: [(&[u8], &[u8]); 2] = [(b"x-long", &long), (b"x", b"y")];
        let text = render(&frame(HEADERS, END_HEADERS, 3, &block(fields.into_iter())));
        assert!(text.ends_with("[\\x00\\x01x\\x01y]"), "{text}");
        assert_eq!(text.matches('[').count(), 2);
    }
}
