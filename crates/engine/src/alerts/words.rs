//! Numbers and times as a sentence needs them.

use crate::Time;
use std::time::Duration;

/// A number in at most three digits that matter: `0.05`, `4.2`, `38`, `1 240`, `3.1 M`.
pub fn number(x: f64) -> String {
    let size = x.abs();
    let text = match size {
        _ if !x.is_finite() => return "?".to_owned(),
        _ if size >= 1e9 => return format!("{:.1} G", x / 1e9),
        _ if size >= 1e6 => return format!("{:.1} M", x / 1e6),
        _ if size >= 1e4 => return format!("{:.0} k", x / 1e3),
        _ if size >= 20.0 => format!("{x:.0}"),
        _ if size >= 1.0 => format!("{x:.1}"),
        _ if size >= 0.1 => format!("{x:.2}"),
        _ if size >= 0.01 || size <= 0.0 => format!("{x:.3}"),
        // Two digits, wherever they stand.
        _ => format!(
            "{x:.0$}",
            (1.0 - size.log10().floor()).clamp(3.0, 12.0) as usize
        ),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A rate of requests a second, in the unit in which it is not a tiny fraction, and another as a number in the same unit:
/// `254 requests/s` and `14.6`, `2.7 requests/min` and `0.5`.
pub fn rate(a_second: f64, other: f64) -> (String, String) {
    let (unit, of) = match a_second {
        a if a >= 0.5 => ("s", 1.0),
        a if a >= 0.5 / 60.0 => ("min", 60.0),
        _ => ("h", 3600.0),
    };
    let text = format!("{} requests/{unit}", number(a_second * of));
    (text, number(other * of))
}

/// A share of requests: `0.3 %`, `62 %`.
pub fn share(x: f64) -> String {
    format!("{} %", number(x * 100.0))
}

/// A time of day: `04:13:08 UTC`. The line's own fields have the date.
pub fn clock(at: Time) -> String {
    let text = at.rfc3339();
    format!("{} UTC", text.get(11..19).unwrap_or(&text))
}

/// A length of time in at most two units: `40 s`, `3 min`, `2 h 10 min`, `3 days`.
pub fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{minutes} min"),
        5400..172_800 if minutes.is_multiple_of(60) => format!("{hours} h"),
        5400..172_800 => format!(
            "{hours} h {} min",
            minutes.saturating_sub(hours.saturating_mul(60))
        ),
        _ => format!("{days} days"),
    }
}

/// A ratio against the typical: `20 ×`, `0.1 ×`. Beyond a thousand it says only that next to nothing is typical.
pub fn times(actual: f64, typical: f64) -> String {
    const MOST: f64 = 1000.0;
    match actual / typical.max(1e-9) {
        ratio if ratio > MOST => format!("more than {} ×", number(MOST)),
        ratio => format!("{} ×", number(ratio)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_rate_is_told_in_the_unit_in_which_it_can_be_pictured() {
        for (a_second, other, want) in [
            (254.0, 14.6, ("254 requests/s", "14.6")),
            (0.045, 0.0083, ("2.7 requests/min", "0.5")),
            (0.001, 0.0, ("3.6 requests/h", "0")),
        ] {
            let (text, other) = rate(a_second, other);
            assert_eq!((text.as_str(), other.as_str()), want);
        }
    }

    #[test]
    fn a_ratio_says_no_more_than_what_is_known() {
        assert_eq!(times(5.0, 0.5), "10 ×");
        assert_eq!(times(0.06, 1e-9), "more than 1000 ×");
    }

    #[test]
    fn a_length_of_time_reads_as_a_person_would_say_it() {
        let cases = [
            (0, "0 s"),
            (89, "89 s"),
            (90, "1 min"),
            (600, "10 min"),
            (7200, "2 h"),
            (7800, "2 h 10 min"),
            (300_000, "3 days"),
        ];
        for (seconds, want) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let cases = [
            (0.0, "0"),
            (0.05, "0.05"),
            (0.000_312, "0.00031"),
            (4.2, "4.2"),
            (3.0, "3"),
            (38.4, "38"),
            (1240.0, "1240"),
            (52_300.0, "52 k"),
            (3_140_000.0, "3.1 M"),
        ];
        for (x, want) in cases {
            assert_eq!(number(x), want);
        }
    }
}
