//! The linear memory of an Envoy's Wasm VMs, as the operating system sees it (Linux).
//!
//! V8 reserves 4 GiB and more of addresses for each memory, so that it need not check bounds, and makes the part in use
//! writable. Nothing else in Envoy reserves so much at once: a writable mapping that begins where such a reservation does is a
//! VM's memory, and its size is what `memory.size` would say in the VM.

use anyhow::{Context, Result};

/// A reservation that only a Wasm memory makes.
const RESERVED: u64 = 3 << 30;

/// The sizes of the memories in a process's map, in bytes.
///
/// # Errors
/// When the process is gone.
pub(crate) fn memories(process: u32) -> Result<Vec<u64>> {
    let map = std::fs::read_to_string(format!("/proc/{process}/maps"))
        .context("asking for Envoy's memory map")?;
    Ok(sizes(&map))
}

fn sizes(map: &str) -> Vec<u64> {
    let regions: Vec<(u64, u64, bool, bool)> = map.lines().filter_map(region).collect();
    regions
        .windows(2)
        .filter_map(|pair| {
            let [(from, to, writable, _), (next, end, _, inaccessible)] = *pair else {
                return None;
            };
            let memory = writable && inaccessible && to == next && end - next >= RESERVED;
            memory.then_some(to - from)
        })
        .collect()
}

/// Beginning, end, whether it can be written, whether it can't be touched.
fn region(line: &str) -> Option<(u64, u64, bool, bool)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let from = u64::from_str_radix(from, 16).ok()?;
    let to = u64::from_str_radix(to, 16).ok()?;
    Some((from, to, rest.starts_with("rw"), rest.starts_with("---")))
}

#[cfg(test)]
mod tests {
    use super::sizes;

    #[test]
    fn a_memory_is_what_is_writable_before_a_large_reservation() {
        let map = "\
            100000000-100130000 rw-p 00000000 00:00 0\n\
            100130000-300000000 ---p 00000000 00:00 0\n\
            7f0000000000-7f0000001000 rw-p 00000000 00:00 0\n\
            7f0000001000-7f0000002000 ---p 00000000 00:00 0\n";
        assert_eq!(sizes(map), [0x130000]);
    }
}
