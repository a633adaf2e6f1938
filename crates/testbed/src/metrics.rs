//! Prometheus metrics, as Envoy's admin shows them.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Vec<Series>);

/// One series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// `pairwatch_alerts_total`.
    pub name: String,
    /// `kind` → `rate_spike`.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Metrics {
    /// Reads Prometheus' text format. Comments and what isn't a series are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(series)
                .collect(),
        )
    }

    /// All series.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.0
    }

    /// The sum over the series of this name that have (at least) these labels; nothing where there's none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |series: &&Series| {
            series.name == name
                && labels.iter().all(|(label, value)| {
                    series
                        .labels
                        .get(*label)
                        .is_some_and(|found| found == value)
                })
        };
        self.0
            .iter()
            .filter(has)
            .map(|series| series.value)
            .reduce(|sum, value| sum + value)
    }
}

fn series(line: &str) -> Option<Series> {
    let (head, value) = line.trim_end().rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (name, self::labels(rest.strip_suffix('}')?)?),
        None => (head, BTreeMap::new()),
    };
    Some(Series {
        name: name.into(),
        labels,
        value: value.parse().ok()?,
    })
}

fn labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(match characters.next()? {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        labels.insert(name.into(), value);
        text = characters.as_str().trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn series_are_read_and_summed_over_the_labels_left_out() {
        let metrics = Metrics::parse(concat!(
            "# TYPE alerts counter\n",
            "alerts{kind=\"rate_spike\",severity=\"high\"} 2\n",
            "alerts{kind=\"rate_spike\",severity=\"low\"} 1\n",
            "alerts{kind=\"a \\\"b\\\", c\"} 5\n",
            "up 1\n",
        ));
        assert_eq!(metrics.sum("alerts", &[("kind", "rate_spike")]), Some(3.0));
        assert_eq!(
            metrics.sum("alerts", &[("kind", "a \"b\", c")]),
            Some(5.0),
            "quotes and commas are part of a value"
        );
        assert_eq!(metrics.sum("up", &[]), Some(1.0));
        assert_eq!(
            metrics.sum("alerts", &[("kind", "latency")]),
            None,
            "no series is not zero"
        );
    }
}
