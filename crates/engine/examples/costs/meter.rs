//! What runs an operation's rounds, and looks at a clock or lets valgrind count.

use std::hint::black_box;
use std::time::Instant;

/// Rounds before any that counts: tables grow, caches and predictors fill.
const WARM_UP: u32 = 3;

/// Runs rounds of one operation.
pub(crate) struct Meter {
    rounds: u32,
    timed: bool,
    /// Nanoseconds a unit of each round.
    times: Vec<f64>,
    units: u64,
    round: u32,
}

impl Meter {
    /// For the median of nanoseconds.
    pub(crate) fn timing() -> Self {
        Self::new(30, true)
    }

    /// For instructions. The first round that counts would do, but what an operation does is not the same in each: hash tables
    /// grow, models learn.
    pub(crate) fn counting() -> Self {
        Self::new(3, false)
    }

    fn new(rounds: u32, timed: bool) -> Self {
        Self {
            rounds: rounds + WARM_UP,
            timed,
            times: Vec::new(),
            units: 0,
            round: 0,
        }
    }

    /// Whether another round is wanted.
    pub(crate) fn again(&mut self) -> bool {
        self.round += 1;
        self.round <= self.rounds
    }

    /// The part of a round that counts, which does so many units of the operation.
    pub(crate) fn measure<T>(&mut self, units: u64, work: impl FnOnce() -> T) {
        let mut work = Some(work);
        let mut out = None;
        let mut once = || out = work.take().map(|work| work());
        if self.round <= WARM_UP {
            once();
        } else {
            self.units += units;
            let began = self.timed.then(Instant::now);
            counted_by_callgrind(&mut once);
            if let Some(began) = began {
                let spent = began.elapsed().as_nanos() as f64;
                self.times.push(spent / units as f64);
            }
        }
        // Freed outside.
        drop(black_box(out));
    }

    /// Median nanoseconds a unit.
    pub(crate) fn median(mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }

    /// Units that counted.
    pub(crate) fn units(&self) -> u64 {
        self.units
    }
}

/// Callgrind counts what happens in this function, found by its name.
#[inline(never)]
fn counted_by_callgrind(work: &mut dyn FnMut()) {
    black_box(work)();
    // Not a tail call, after which this function would be over.
    black_box(());
}
