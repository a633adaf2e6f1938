//! What an Envoy uses, as the kernel counts it (Linux): CPU time, and the linear memory of each Wasm VM.
//!
//! Envoy tells neither how large a VM's memory is nor lets a module's host ask. But V8 reserves a fixed space of addresses for
//! each memory and makes its beginning accessible as the memory grows, so that the process's memory map shows it: accessible
//! pages, and right after them inaccessible ones that fill up the 8 GiB which V8 reserves on 64 bits for a memory of up to 4 GiB
//! and its guard.

use std::time::Duration;

use anyhow::{Context, Result};

/// What V8 reserves for one linear memory, in bytes.
const RESERVED: u64 = 8 << 30;

/// The CPU time of all threads of a process so far. The kernel counts it in nanoseconds, where `stat` has ticks of 10 ms.
///
/// # Errors
/// When there is no such process, or no Linux.
pub fn cpu_time(process: u32) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let mut sum = 0_u64;
    for thread in std::fs::read_dir(&folder).with_context(|| folder.clone())? {
        let path = thread?.path().join("schedstat");
        // A thread may end while we look.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let spent = text
            .split_ascii_whitespace()
            .next()
            .and_then(|first| first.parse::<u64>().ok());
        let spent = spent.with_context(|| format!("{}: no time in {text:?}", path.display()))?;
        sum = sum.saturating_add(spent);
    }
    Ok(Duration::from_nanos(sum))
}

/// The bytes of each linear memory in a process, smallest first.
///
/// # Errors
/// When there is no such process, or no Linux.
pub fn linear_memories(process: u32) -> Result<Vec<u64>> {
    let path = format!("/proc/{process}/maps");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    Ok(read(&text))
}

fn read(maps: &str) -> Vec<u64> {
    let areas = maps.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        Some((address(from)?, address(to)?, fields.next()?))
    });
    let mut memories = Vec::new();
    let mut before: Option<(u64, u64, &str)> = None;
    for area in areas {
        if let Some((from, to, "rw-p")) = before
            && area.2 == "---p"
            && area.0 == to
            && area.1 - from == RESERVED
        {
            memories.push(to - from);
        }
        before = Some(area);
    }
    memories.sort_unstable();
    memories
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_memory_is_what_is_accessible_of_eight_gibibytes() {
        let maps = "\
            10000000-10100000 rw-p 00000000 00:00 0\n\
            10100000-10200000 ---p 00000000 00:00 0\n\
            200000000-200130000 rw-p 00000000 00:00 0\n\
            200130000-400000000 ---p 00000000 00:00 0\n\
            500000000-500010000 r-xp 00000000 00:00 0 /some/file\n\
            500010000-700000000 ---p 00000000 00:00 0\n";
        assert_eq!(read(maps), [0x130000]);
    }
}
