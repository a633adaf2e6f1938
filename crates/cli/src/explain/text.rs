//! The answer, for a person.

use super::{Explain, Told};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Explained, Heard};
use pairwatch_engine::alerts::{number, share, span};
use pairwatch_engine::signals::Side;
use std::fmt::{self, Write};

/// Heads of the table's columns.
const HEADS: [&str; 10] = [
    "signal",
    "window",
    "actual",
    "typical",
    "usual band",
    "p",
    "spike",
    "drift",
    "needed",
    "verdict",
];

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", shown(&self.source), shown(&self.destination))?;
        if let Some(at) = self.at {
            write!(f, " at {}", at.rfc3339())?;
        }
        let first = self.first.unwrap_or_default();
        let s = if self.requests == 1 { "" } else { "s" };
        writeln!(
            f,
            ": {} request{s} in the log, the first at {}",
            self.requests,
            first.rfc3339()
        )?;
        self.tell_incidents(f)?;
        if self.windows.is_empty() {
            let why = match self.at {
                Some(at) if at < first => "it was not known yet",
                _ => "the log has a hole there, or ends before they do",
            };
            writeln!(f, "No window of it was judged then: {why}.")?;
            return Ok(());
        }
        self.tell_windows(f)?;
        table(f, &self.heard())?;
        self.tell_notes(f)
    }
}

impl Explain {
    fn tell_incidents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<&Told> = self.told().collect();
        if told.is_empty() {
            let then = if self.at.is_some() { " then" } else { "" };
            write!(f, "\nIt did not alert{then}")?;
            if let (Some(first), Some(last)) = (self.incidents.first(), self.incidents.last()) {
                let n = self.incidents.len();
                let s = if n == 1 { "" } else { "s" };
                write!(
                    f,
                    "; it has {n} incident{s} at other times, the first at {}, the last at {}",
                    first.raised, last.raised
                )?;
            }
            writeln!(f, ".")?;
        }
        for Told {
            alert,
            raised,
            written,
        } in told
        {
            writeln!(
                f,
                "\nIt alerted at {raised}: {}, {}, score {} (incident {})\n  {}",
                alert.kind, alert.severity, alert.score, alert.id, alert.message
            )?;
            match &alert.suppressed {
                Some(reason) => writeln!(f, "  hidden by a rule: {}", shown(reason))?,
                None if !written => writeln!(f, "  hidden: below alerts.min_severity")?,
                None => {}
            }
        }
        if self.more > 0 {
            writeln!(f, "  and {} alert lines of more incidents", self.more)?;
        }
        Ok(())
    }

    fn tell_windows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_none() {
            return writeln!(
                f,
                "\nOf each signal, the window that came nearest to an alarm:"
            );
        }
        writeln!(f, "\nThe windows that hold this time:")?;
        for window in &self.windows {
            write!(
                f,
                "  {} of {}: {} requests",
                window.start.rfc3339(),
                span(window.length),
                window.requests
            )?;
            for (is_so, what) in [
                (
                    !window.whole,
                    "not watched whole, so that its rate says nothing",
                ),
                (
                    window.requests == 0,
                    "silent, so that only its rate says something",
                ),
                (window.incident, "during an incident"),
                (
                    window.odd_elsewhere,
                    "its source acts oddly elsewhere: less evidence is needed",
                ),
                (window.maintained, "under maintenance"),
            ] {
                if is_so {
                    write!(f, "; {what}")?;
                }
            }
            writeln!(f)?;
        }
        writeln!(f)
    }

    fn tell_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nspike and drift are the evidence of the two recursions; their mean has to reach what is needed, and all gates be passed.\nactual and typical are over the run of windows that the evidence grew in; p is of the window alone."
        )?;
        if !self.disabled.is_empty() {
            writeln!(
                f,
                "Turned off in the configuration: {}.",
                self.disabled.join(", ")
            )?;
        }
        let first = self.first.unwrap_or_default();
        if self.at.is_some_and(|at| at.since(first) < self.warmup) {
            writeln!(
                f,
                "The pair was younger than learning.warmup ({}): its new routes are not told so early.",
                span(self.warmup)
            )?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, heard: &[(&Explained, &Heard)]) -> fmt::Result {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(heard.iter().map(|(window, heard)| row(window, heard)));
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ")?;
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn row(window: &Explained, heard: &Heard) -> [String; 10] {
    let arrow = match heard.side {
        Side::Up => '↑',
        Side::Down => '↓',
    };
    let value = |x: f64| valued(x, heard.unit);
    [
        format!("{} {arrow}", heard.signal),
        format!("{} {}", clock(window.start), span(window.length)),
        value(heard.effect.actual),
        value(heard.effect.typical),
        heard.band.map_or_else(String::new, |[low, high]| {
            format!("{} – {}", value(low), value(high))
        }),
        small(heard.p),
        small(heard.spike),
        small(heard.drift),
        small(heard.threshold),
        verdict(heard),
    ]
}

/// Why it alarmed, or did not.
pub(super) fn verdict(heard: &Heard) -> String {
    if heard.alarmed() {
        return format!("ALARM: {}", heard.kind);
    }
    let enough = heard.evidence >= heard.threshold;
    let matters = heard.gates.volume && heard.gates.effect;
    if !enough && !matters {
        return "usual".to_owned();
    }
    let mut why = Vec::new();
    if !enough {
        why.push(format!(
            "evidence {} of the {} needed",
            small(heard.evidence),
            small(heard.threshold)
        ));
    }
    let [volume, ratio, least] = heard.needs;
    if !heard.gates.volume {
        let (has, of) = (number(heard.effect.volume), number(volume));
        why.push(match heard.unit {
            "share" => format!("{has} events, {of} are worth an alert"),
            "requests/s" => format!("{has} requests off, {of} are worth an alert"),
            _ => format!("{has} requests are too few at this size of effect"),
        });
    }
    if !heard.gates.effect {
        let times = heard.effect.actual / heard.effect.typical.max(1e-9);
        let far = match heard.side {
            Side::Up => times >= ratio,
            Side::Down => times <= ratio,
        };
        why.push(if far {
            format!(
                "{} of requests, {} are worth an alert",
                share(heard.effect.actual),
                share(least)
            )
        } else {
            format!(
                "{} × typical, {} × is worth an alert",
                number(times),
                number(ratio)
            )
        });
    }
    if !heard.gates.mature {
        why.push(format!("known to {} only", share(heard.maturity)));
    }
    if heard.believed {
        why.push("taken for the new normal".to_owned());
    }
    let held = if enough { "held back: " } else { "not yet: " };
    format!("{held}{}", why.join("; "))
}

/// A value in its unit.
fn valued(x: f64, unit: &str) -> String {
    match unit {
        "share" => share(x),
        "requests/s" => format!("{}/s", number(x)),
        // Logarithms know no nothing: what is less than one byte is none.
        "bytes" if x < 0.5 => "0 bytes".to_owned(),
        _ => format!("{} {unit}", number(x)),
    }
}

/// Two digits that matter, whatever the scale.
fn small(x: f64) -> String {
    if (0.001..100_000.0).contains(&x) || x == 0.0 {
        number(x)
    } else {
        format!("{x:.1e}")
    }
}

/// Day and time of day.
fn clock(at: Time) -> String {
    let text = at.rfc3339();
    let day = text.get(5..10).unwrap_or_default();
    format!("{day} {}", text.get(11..19).unwrap_or_default())
}

/// A name that clients may have made up, safe for a terminal.
pub(super) fn shown(name: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    name.chars().map(escape).collect()
}
