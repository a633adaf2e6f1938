//! Lines in time order, where the logs have them nearly so.
//!
//! A proxy writes a line when the request is over, with the time it began, and flushes its buffer every ten seconds;
//! collectors shuffle what several proxies wrote. So lines wait, second by second, until a line has come that is
//! [`WINDOW`] younger; then a second's lines are handed on together, sorted. What comes later than that is handed on as
//! it comes, for the replay to judge. The number of lines that wait is bounded: past [`HELD`] the oldest second goes.

use super::cursor::Place;
use super::merge::Merged;
use crate::Failure;
use pairwatch_engine::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long lines wait for older ones: Envoy's flush interval of 10 s and its default route timeout of 15 s, rounded up.
pub const WINDOW: Duration = Duration::from_secs(30);
/// Lines that wait at most. With their blocks they take some 40 MB.
const HELD: usize = 100_000;

const SECOND: Duration = Duration::from_secs(1);

/// Logs, merged and put in order.
pub struct Ordered {
    logs: Merged,
    /// Lines that wait, by the second they began in.
    seconds: BTreeMap<Time, Vec<Place>>,
    held: usize,
    newest: Time,
    /// The last second that was handed on.
    given: Option<Time>,
}

impl Ordered {
    /// The lines of these logs.
    ///
    /// # Errors
    /// None of them has a line that can be read.
    pub fn new(logs: Merged) -> Result<Self, Failure> {
        if logs.is_over() {
            let empty = logs.empty().iter().map(|name| format!("  {name}: empty\n"));
            let why = format!("{}{}", empty.collect::<String>(), logs.bad());
            return Err(Failure::list("no line that can be read", &why));
        }
        Ok(Self {
            logs,
            seconds: BTreeMap::new(),
            held: 0,
            newest: Time::default(),
            given: None,
        })
    }

    /// The logs they come from.
    pub fn logs(&self) -> &Merged {
        &self.logs
    }

    /// The same, to reject a line.
    pub fn logs_mut(&mut self) -> &mut Merged {
        &mut self.logs
    }

    /// The lines that come next: those of one second in time order, or one that is late.
    pub fn advance(&mut self) -> Option<Vec<Place>> {
        loop {
            if let Some((&oldest, _)) = self.seconds.first_key_value()
                && (self.newest.since(oldest) > WINDOW || self.held > HELD)
            {
                return self.give();
            }
            let Some(place) = self.logs.advance() else {
                return self.give();
            };
            let second = place.time.floor(SECOND);
            if self.given.is_some_and(|given| second <= given) {
                return Some(vec![place]);
            }
            self.newest = self.newest.max(second);
            self.held = self.held.saturating_add(1);
            self.seconds.entry(second).or_default().push(place);
        }
    }

    fn give(&mut self) -> Option<Vec<Place>> {
        let (second, mut places) = self.seconds.pop_first()?;
        self.given = Some(second);
        self.held = self.held.saturating_sub(places.len());
        // Stable: lines of one time stay as they came.
        places.sort_by_key(|p| p.time);
        Some(places)
    }
}
