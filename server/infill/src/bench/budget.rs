//! Limits for the figures of a report, from a file, so that a test run fails when one is broken.
//!
//! ```toml
//! [max]                          # figures that must not be larger
//! rss_mb = 250
//! latency_ms = { p50 = 25, p95 = 120 }
//! [min]                          # figures that must not be smaller
//! zero_decode_share = 0.5
//! ```
//!
//! The keys are those of the report's JSON; a file that ends in `.json` says the same in JSON.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The limits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    max: Map<String, Value>,
    min: Map<String, Value>,
}

/// A limit that is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The figure's key, with dots.
    figure: String,
    /// What it is; none if it was not measured.
    is: Option<f64>,
    /// What it may be at most, or at least.
    limit: f64,
    is_maximum: bool,
}

impl Budget {
    /// Reads a file of limits.
    ///
    /// # Errors
    /// If it cannot be read or is not of that form.
    pub fn read(path: &Path) -> anyhow::Result<Budget> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let budget = match path.extension() {
            Some(end) if end == "json" => {
                serde_json::from_str(&text).map_err(|error| anyhow!("{error}"))
            }
            _ => toml::from_str(&text).map_err(|error| anyhow!("{error}")),
        };
        budget.with_context(|| format!("{} is no budget", path.display()))
    }

    /// The limits that a report breaks. A figure that was not measured breaks any.
    ///
    /// # Errors
    /// If a limit is for a figure that no report has.
    pub fn breaches(&self, report: &Value) -> anyhow::Result<Vec<Breach>> {
        let mut breaches = Vec::new();
        for (limits, is_maximum) in [(&self.max, true), (&self.min, false)] {
            for (key, limit) in limits {
                let figure = report.get(key);
                let figure = figure.with_context(|| format!("there is no figure `{key}`"))?;
                compare(key, figure, limit, is_maximum, &mut breaches)?;
            }
        }
        Ok(breaches)
    }
}

fn compare(
    key: &str,
    figure: &Value,
    limit: &Value,
    is_maximum: bool,
    breaches: &mut Vec<Breach>,
) -> anyhow::Result<()> {
    if let Some(limits) = limit.as_object() {
        for (name, limit) in limits {
            let key = format!("{key}.{name}");
            let part = match figure {
                Value::Null => figure,
                _ => figure
                    .get(name)
                    .with_context(|| format!("there is no figure `{key}`"))?,
            };
            compare(&key, part, limit, is_maximum, breaches)?;
        }
        return Ok(());
    }
    let limit = limit
        .as_f64()
        .with_context(|| format!("the limit of `{key}` is not a number"))?;
    if !figure.is_null() && figure.as_f64().is_none() {
        bail!("`{key}` is not one figure; name one of its parts");
    }
    let is = figure.as_f64();
    let is_kept = is.is_some_and(|is| if is_maximum { is <= limit } else { is >= limit });
    if !is_kept {
        let figure = key.to_owned();
        breaches.push(Breach {
            figure,
            is,
            limit,
            is_maximum,
        });
    }
    Ok(())
}

impl Display for Breach {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bound = if self.is_maximum {
            "at most"
        } else {
            "at least"
        };
        match self.is {
            Some(is) => write!(f, "{:<28} {is:>9} {bound} {}", self.figure, self.limit),
            None => write!(
                f,
                "{:<28} {:>9} {bound} {}",
                self.figure, "unknown", self.limit
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken(budget: &str) -> Vec<String> {
        let report = json!({
            "latency_ms": { "p50": 20.0, "p95": 130.0 },
            "zero_decode_share": 0.6,
            "tokens_prefilled": null,
            "rss_mb": 100,
        });
        let budget: Budget = toml::from_str(budget).unwrap();
        match budget.breaches(&report) {
            Ok(breaches) => breaches.into_iter().map(|breach| breach.figure).collect(),
            Err(error) => vec![format!("error: {error}")],
        }
    }

    #[test]
    fn limits_are_kept_or_broken() {
        assert!(broken("").is_empty());
        assert!(
            broken("[max]\nrss_mb = 100\nlatency_ms.p50 = 20\n[min]\nzero_decode_share = 0.6")
                .is_empty()
        );
        let all = "[max]\nrss_mb = 99.5\nlatency_ms = { p50 = 25, p95 = 120 }\n[min]\nzero_decode_share = 0.7";
        assert_eq!(
            broken(all),
            ["latency_ms.p95", "rss_mb", "zero_decode_share"]
        );
    }

    #[test]
    fn what_was_not_measured_breaks_its_limit() {
        assert_eq!(
            broken("[max.tokens_prefilled]\np50 = 3"),
            ["tokens_prefilled.p50"]
        );
        assert_eq!(broken("[min]\ntokens_prefilled = 0"), ["tokens_prefilled"]);
    }

    #[test]
    fn limits_of_nothing_are_errors() {
        for (budget, expected) in [
            ("[max]\nrss = 1", "no figure `rss`"),
            ("[max.latency_ms]\np51 = 1", "no figure `latency_ms.p51`"),
            ("[max]\nlatency_ms = 1", "not one figure"),
            ("[max]\nrss_mb = \"1\"", "not a number"),
        ] {
            assert!(broken(budget)[0].contains(expected), "{:?}", broken(budget));
        }
        assert!(toml::from_str::<Budget>("[most]\nrss_mb = 1").is_err());
    }
}
