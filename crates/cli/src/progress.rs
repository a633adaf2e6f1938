//! How far reading is, on a terminal; nothing where nobody looks.

use crate::input::Meter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks at how far it is: often enough to move, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(100);

/// A line on the terminal that says how far reading is.
pub struct Progress {
    bar: ProgressBar,
    meter: Arc<Meter>,
    began: Instant,
    shown: Duration,
}

impl Progress {
    /// A line on standard error where that is a terminal and `wanted`.
    pub fn new(meter: Arc<Meter>, wanted: bool) -> Self {
        let bar = match meter.total() {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let target = if wanted {
            // Draws nothing where standard error is no terminal.
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        bar.set_draw_target(target);
        let template = if meter.total().is_some() {
            "{bar:30} {percent:>3} %  {msg}, {eta} left"
        } else {
            "{spinner} {msg}, {bytes} read"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            meter,
            began: Instant::now(),
            shown: Duration::ZERO,
        }
    }

    /// Says that so many lines were read.
    pub fn update(&mut self, lines: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let elapsed = self.began.elapsed();
        if elapsed.saturating_sub(self.shown) < EVERY {
            return;
        }
        self.shown = elapsed;
        self.bar.set_position(self.meter.read());
        self.bar.set_message(rate(lines, elapsed));
    }

    /// Takes the line away, and says how long it all took.
    pub fn finish(&self, lines: u64) -> String {
        self.bar.finish_and_clear();
        let elapsed = self.began.elapsed();
        let speed = lines as f64 / elapsed.as_secs_f64().max(1e-9);
        format!("{:.2} s, {speed:.0} lines a second", elapsed.as_secs_f64())
    }
}

fn rate(lines: u64, elapsed: Duration) -> String {
    let speed = lines as f64 / elapsed.as_secs_f64().max(1e-9);
    format!("{lines} lines, {speed:.0} a second")
}
