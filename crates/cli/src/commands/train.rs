//! `pairwatch train`: the engine's own snapshot after a replay, which the plugin can start from.

use super::logs::Opened;
use super::save;
use crate::Failure;
use crate::args::Train;
use pairwatch_engine::aggregator::Aggregator;
use std::io;
use std::path::Path;

/// Learns from the logs.
pub(super) fn run(args: &Train) -> Result<(), Failure> {
    let logs = Opened::new(&args.logs)?;
    let replayed = logs.replay(&mut io::sink(), Vec::new(), false)?;
    if args.base64 {
        let text = base64(&replayed.engine.snapshot(0));
        save(&args.out, format!("{text}\n").as_bytes())?;
    } else {
        write(&replayed.engine, &args.out)?;
    }
    let totals = replayed.engine.totals();
    super::tell(&format!(
        "{} pairs learned, {:.0} % mature on average: {}\n",
        totals.pairs,
        totals.maturity * 100.0,
        args.out.display()
    ));
    Ok(())
}

/// Writes what an engine learned.
pub(super) fn write(engine: &Aggregator, file: &Path) -> Result<(), Failure> {
    // No journal goes with it.
    save(file, &engine.snapshot(0))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get(((bits >> shift) & 63) as usize);
            text.push(match digit {
                Some(digit) if place <= chunk.len() => char::from(*digit),
                _ => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_as_the_standard_has_it() {
        // The test vectors of RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
