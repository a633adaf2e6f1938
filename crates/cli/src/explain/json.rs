//! The answer, for a program.

use super::Explain;
use super::text::verdict;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Explained, Heard};
use pairwatch_engine::signals::Side;
use serde_json::{Value, json};

impl Explain {
    /// One JSON object, as indented text.
    pub fn to_json(&self) -> String {
        let incidents: Vec<Value> = self
            .told()
            .map(|told| json!({"raised": told.raised, "written": told.written, "last": told.alert}))
            .collect();
        let answer = json!({
            "source": self.source,
            "destination": self.destination,
            "at": self.at.map(Time::rfc3339),
            "requests": self.requests,
            "first_seen": self.first.map(Time::rfc3339),
            "incidents": incidents,
            "more_alert_lines": self.more,
            "turned_off": self.disabled,
            "windows": self.windows.iter().map(window).collect::<Vec<_>>(),
        });
        // Writing strings and numbers can't fail.
        let mut text = serde_json::to_string_pretty(&answer).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn window(window: &Explained) -> Value {
    json!({
        "start": window.start.rfc3339(),
        "seconds": window.length.as_secs_f64(),
        "requests": window.requests,
        "whole": window.whole,
        "incident": window.incident,
        "odd_elsewhere": window.odd_elsewhere,
        "maintenance": window.maintained,
        "signals": window.heard.iter().map(heard).collect::<Vec<_>>(),
    })
}

fn heard(heard: &Heard) -> Value {
    let [volume, ratio, share] = heard.needs;
    json!({
        "signal": heard.signal,
        "side": match heard.side { Side::Up => "up", Side::Down => "down" },
        "kind": heard.kind,
        "unit": heard.unit,
        "actual": heard.effect.actual,
        "typical": heard.effect.typical,
        "volume": heard.effect.volume,
        "band": heard.band,
        "p": heard.p,
        "since": heard.since.rfc3339(),
        "evidence": {
            "spike": heard.spike,
            "drift": heard.drift,
            "mean": heard.evidence,
            "needed": heard.threshold,
        },
        "gates": {
            "volume": heard.gates.volume,
            "effect": heard.gates.effect,
            "mature": heard.gates.mature,
            "needs": {"volume": volume, "ratio": ratio, "share": share},
        },
        "maturity": heard.maturity,
        "believed": heard.believed,
        "alarmed": heard.alarmed(),
        "verdict": verdict(heard),
    })
}
