//! The soak's short form: a moment of `make soak`, which is too short to judge memory and cost.

use pairwatch_testbed::soak::{Options, soak};
use pairwatch_testbed::{Result, run};
use std::time::Duration;

#[test]
fn every_request_of_mixed_traffic_is_in_a_window_or_counted_as_dropped() -> Result<()> {
    let options = Options {
        length: Duration::from_secs(20),
        workers: 3,
        rate: 120.0,
        callers: 60,
        // Long enough for the callers to have gone twice, and the cap to be reached.
        lifetime: Duration::from_secs(5),
        seed: 1,
    };
    let report = run(soak(&options, |_, _| {}))?;
    println!("{}", report.table());
    assert_eq!(report.failures(), Vec::<String>::new());
    Ok(())
}
