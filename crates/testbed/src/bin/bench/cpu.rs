//! What a process has spent.

use std::time::Duration;

use pairwatch_testbed::{Context, Result};

/// The CPU time, user and system, of all threads of a process so far. The kernel counts it in nanoseconds, where `stat` has
/// ticks of 10 ms.
pub(crate) fn spent(process: u32) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let mut sum = 0_u64;
    for thread in
        std::fs::read_dir(&folder).with_context(|| format!("{folder} (this needs Linux)"))?
    {
        let path = thread?.path().join("schedstat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let spent = text
            .split_ascii_whitespace()
            .next()
            .and_then(|first| first.parse::<u64>().ok());
        sum = sum.saturating_add(
            spent.with_context(|| format!("{}: no time in {text:?}", path.display()))?,
        );
    }
    Ok(Duration::from_nanos(sum))
}
