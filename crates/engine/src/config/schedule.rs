//! Times of the week as people write them: `mon` to `fri`, `"08:00"` to `"18:00"`, at `"+01:00"`.
//!
//! A time zone is a fixed offset from UTC. Zones by name would need their tables, which change several times a year and are
//! larger than the plugin; where clocks are set forward in summer, write the wider of both times, or change the offset with
//! the clocks.

use crate::Time;
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use schemars::JsonSchema;

const MINUTE: u64 = 60_000;
const DAY_MINUTES: u16 = 1440;
/// Days from Monday to the epoch's, which was a Thursday.
const EPOCH_WEEKDAY: u64 = 3;
/// The farthest offset in use is +14:00.
const MAX_OFFSET: i16 = 14 * 60;

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are called what they are")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

const WEEK: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

/// A time of day to the minute, from `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^\d\d:\d\d$", "examples" = ["08:30"])))]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// When a day begins.
    pub const MIDNIGHT: Self = Self(0);
    /// When a day ends.
    pub const END: Self = Self(DAY_MINUTES);
}

/// How far local time is ahead of UTC: `+01:00`, `-05:30`, `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^(Z|[+-]\d\d:\d\d)$", "examples" = ["+01:00"])))]
#[serde(try_from = "String", into = "String")]
pub struct UtcOffset(i16);

/// `HH:MM` in minutes.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |t: &str| {
        (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit()))
            .then(|| t.parse::<u16>().ok())
            .flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60).then(|| hours.saturating_mul(60).saturating_add(minutes))
}

fn text(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        minutes(&text)
            .filter(|m| *m <= DAY_MINUTES)
            .map(Self)
            .ok_or_else(|| {
                format!("found {text:?}, allowed is a time of day from \"00:00\" to \"24:00\"")
            })
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        text(time.0)
    }
}

impl TryFrom<String> for UtcOffset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let signed = match (
            text.as_str(),
            text.strip_prefix('+'),
            text.strip_prefix('-'),
        ) {
            ("Z", ..) => Some(0),
            (_, Some(ahead), _) => minutes(ahead).and_then(|m| i16::try_from(m).ok()),
            (_, _, Some(behind)) => {
                minutes(behind).and_then(|m| i16::try_from(m).ok()?.checked_neg())
            }
            _ => None,
        };
        signed
            .filter(|m| (-MAX_OFFSET..=MAX_OFFSET).contains(m))
            .map(Self)
            .ok_or_else(|| {
                format!("found {text:?}, allowed is an offset from UTC such as \"+01:00\", \"-05:30\" or \"Z\"")
            })
    }
}

impl From<UtcOffset> for String {
    fn from(offset: UtcOffset) -> Self {
        let sign = if offset.0 < 0 { '-' } else { '+' };
        format!("{sign}{}", text(offset.0.unsigned_abs()))
    }
}

/// Times of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    days: u8,
    from: u16,
    until: u16,
    offset: UtcOffset,
}

impl Schedule {
    /// The times from `from` to `until` of `days` (none: all), where local time is `offset` ahead of UTC. Where `until` is
    /// not after `from` it is on the next day, and belongs to the day it began on.
    pub fn new(days: &[Weekday], from: TimeOfDay, until: TimeOfDay, offset: UtcOffset) -> Self {
        let all = days.is_empty();
        let days = WEEK.iter().enumerate().fold(0u8, |set, (i, day)| {
            if all || days.contains(day) {
                set | 1u8.checked_shl(u32::try_from(i).unwrap_or(0)).unwrap_or(0)
            } else {
                set
            }
        });
        Self {
            days,
            from: from.0,
            until: until.0,
            offset,
        }
    }

    /// Whether a time is one of them.
    pub fn holds(&self, at: Time) -> bool {
        let utc = at.0 / MINUTE;
        let local = utc.saturating_add_signed(i64::from(self.offset.0));
        let day = (local / 1440).wrapping_add(EPOCH_WEEKDAY) % 7;
        let minute = u16::try_from(local % 1440).unwrap_or(0);
        let on = |day: u64| {
            self.days
                .checked_shr(u32::try_from(day).unwrap_or(0))
                .unwrap_or(0)
                & 1
                == 1
        };
        if self.from < self.until {
            return on(day) && (self.from..self.until).contains(&minute);
        }
        let yesterday = day.wrapping_add(6) % 7;
        (on(day) && minute >= self.from) || (on(yesterday) && minute < self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn schedule(days: &[Weekday], from: &str, until: &str, offset: &str) -> Schedule {
        let time = |t: &str| TimeOfDay::try_from(t.to_owned()).unwrap();
        let offset = UtcOffset::try_from(offset.to_owned()).unwrap();
        Schedule::new(days, time(from), time(until), offset)
    }

    fn holds(schedule: &Schedule, at: &str) -> bool {
        schedule.holds(Time::parse(at).unwrap())
    }

    #[test]
    fn office_hours_are_those_of_the_local_clock() {
        // 2026-11-20 was a Friday.
        let office = schedule(&WEEK[..5], "08:00", "18:00", "+01:00");
        for (at, open) in [
            ("2026-11-20T07:00:00Z", true),
            ("2026-11-20T06:59:59Z", false),
            ("2026-11-20T16:59:59Z", true),
            ("2026-11-20T17:00:00Z", false),
            ("2026-11-21T10:00:00Z", false),
        ] {
            assert_eq!(holds(&office, at), open, "{at}");
        }
    }

    #[test]
    fn the_day_is_the_local_one() {
        let friday = schedule(&[Weekday::Fri], "00:00", "24:00", "-05:00");
        assert!(holds(&friday, "2026-11-21T04:59:00Z"), "23:59 there");
        assert!(!holds(&friday, "2026-11-20T04:59:00Z"), "Thursday there");
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began_on() {
        let night = schedule(&[Weekday::Fri], "22:00", "06:00", "Z");
        for (at, open) in [
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-21T05:59:00Z", true),
            ("2026-11-21T06:00:00Z", false),
            ("2026-11-20T05:00:00Z", false),
            ("2026-11-21T23:00:00Z", false),
        ] {
            assert_eq!(holds(&night, at), open, "{at}");
        }
    }

    #[test]
    fn what_is_no_time_or_offset_is_refused() {
        for wrong in ["", "8:00", "24:01", "12:60", "noon", "+1:00"] {
            assert!(TimeOfDay::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        for wrong in ["", "01:00", "+15:00", "+1", "UTC", "-14:01"] {
            assert!(UtcOffset::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        for right in ["+00:00", "-05:30", "+14:00"] {
            let read = UtcOffset::try_from(right.to_owned()).unwrap();
            assert_eq!(String::from(read), right);
        }
    }
}
