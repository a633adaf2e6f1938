//! The envelope around everything that leaves a VM as bytes: batches on the queue, limits and snapshots in shared data.
//!
//! | bytes | what |
//! |---|---|
//! | 0–3 | magic: `PW` and two letters for what is inside |
//! | 4–5 | version of what is inside, little-endian |
//! | 6–9 | length of the payload, little-endian |
//! | 10–13 | CRC-32 (IEEE) of the payload, little-endian |
//! | 14– | payload: the value in the postcard wire format |
//!
//! Two VMs that share a queue may run different versions of the module for the length of an upgrade, and under a
//! WasmPlugin the shared data is open to every other plugin of the proxy: so what does not match is refused whole, with
//! the reason, and never guessed at. A version is raised whenever the payload's fields change.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// A value that travels in an envelope of its own.
pub trait Framed: Serialize + DeserializeOwned {
    /// What is inside, as the last two letters of the magic.
    const TAG: [u8; 2];
    /// Raised whenever the fields change.
    const VERSION: u16;

    /// The value in its envelope. Empty only where the value can't be written at all, which no type here allows.
    fn to_frame(&self) -> Vec<u8> {
        seal::<Self>(self, 0)
    }

    /// The value out of its envelope.
    ///
    /// # Errors
    /// What does not match: magic, version, length, checksum, or the payload itself.
    fn from_frame(bytes: &[u8]) -> Result<Self, FrameError> {
        let (header, payload) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(FrameError(Kind::Short(bytes.len())))?;
        let &[p, w, t0, t1, v0, v1, l0, l1, l2, l3, c0, c1, c2, c3] = header;
        if [p, w, t0, t1] != [b'P', b'W', Self::TAG[0], Self::TAG[1]] {
            return Err(FrameError(Kind::Magic));
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != Self::VERSION {
            return Err(FrameError(Kind::Version {
                found: version,
                known: Self::VERSION,
            }));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if usize::try_from(length) != Ok(payload.len()) {
            return Err(FrameError(Kind::Length {
                said: length,
                found: payload.len(),
            }));
        }
        if crc32fast::hash(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(FrameError(Kind::Checksum));
        }
        postcard::from_bytes(payload).map_err(|e| FrameError(Kind::Payload(e)))
    }
}

/// Anything that is written like a `T`, in a `T`'s envelope: a value that borrows what a `T` would own. There is room for `payload`
/// bytes from the start, and for more when it is needed.
///
/// Header and payload are written into one buffer: linear memory never shrinks, so that a second copy of the largest snapshot
/// ever taken would be paid for until the VM ends.
pub(crate) fn seal<T: Framed>(value: &impl Serialize, payload: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.saturating_add(HEADER));
    out.extend_from_slice(&[0; HEADER]);
    let Ok(mut out) = postcard::serialize_with_flavor(value, Behind(out)) else {
        return Vec::new();
    };
    let Some((header, payload)) = out.split_first_chunk_mut::<HEADER>() else {
        return Vec::new();
    };
    let Ok(length) = u32::try_from(payload.len()) else {
        return Vec::new();
    };
    let [t0, t1] = T::TAG;
    let [v0, v1] = T::VERSION.to_le_bytes();
    let [l0, l1, l2, l3] = length.to_le_bytes();
    let [c0, c1, c2, c3] = crc32fast::hash(payload).to_le_bytes();
    *header = [b'P', b'W', t0, t1, v0, v1, l0, l1, l2, l3, c0, c1, c2, c3];
    out
}

/// Writes behind what a buffer holds. Postcard's own way to do so takes half as many instructions again for each byte.
struct Behind(Vec<u8>);

impl Flavor for Behind {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

const HEADER: usize = 14;

/// Why bytes were refused as a frame.
#[derive(Debug)]
pub struct FrameError(Kind);

#[derive(Debug)]
enum Kind {
    Short(usize),
    Magic,
    Version { found: u16, known: u16 },
    Length { said: u32, found: usize },
    Checksum,
    Payload(postcard::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Short(n) => write!(
                f,
                "{n} bytes are too few for a frame's {HEADER}-byte header"
            ),
            Kind::Magic => f.write_str("not a frame of this kind (magic differs)"),
            Kind::Version { found, known } => {
                write!(f, "version {found}, this module knows version {known}")
            }
            Kind::Length { said, found } => {
                write!(f, "header says {said} payload bytes, found {found}")
            }
            Kind::Checksum => f.write_str("checksum differs"),
            Kind::Payload(e) => write!(f, "payload: {e}"),
        }
    }
}

impl std::error::Error for FrameError {}
