//! The figures of a replay, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::bench::replay::Stroke;

/// What a replay has shown.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many keys were pressed.
    keystrokes: usize,
    /// Milliseconds from the keystroke to its answer.
    latency_ms: Spread,
    /// Tokens that the model read for a keystroke.
    tokens_prefilled: Spread,
    /// Tokens that the model wrote for a keystroke.
    tokens_decoded: Spread,
    /// Share of keystrokes for which the model wrote nothing.
    zero_decode_share: f64,
    /// Share of keystrokes that had something to show.
    shown_share: f64,
    /// Share of keystrokes by where the answer came from: `exact` and `adopted` are hits of the
    /// cache, `miss` is the model, `none` is a place where no completion is sensible.
    tiers: BTreeMap<String, f64>,
}

/// The middle and the tail of many figures.
#[derive(Debug, Serialize)]
struct Spread {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl Report {
    /// Sums up a replay.
    pub fn new(strokes: &[Stroke]) -> Report {
        let spread = |figure: fn(&Stroke) -> f64| Spread::new(strokes.iter().map(figure).collect());
        let share = |is: &dyn Fn(&Stroke) -> bool| {
            let count = strokes.iter().filter(|stroke| is(stroke)).count();
            thousandths(count as f64 / strokes.len().max(1) as f64)
        };
        let tiers = ["exact", "adopted", "miss", "none"].map(|tier| {
            (
                tier.to_owned(),
                share(&|stroke| stroke.record.cache == tier),
            )
        });
        Report {
            keystrokes: strokes.len(),
            latency_ms: spread(|stroke| stroke.latency.as_secs_f64() * 1000.0),
            tokens_prefilled: spread(|stroke| stroke.record.tokens_prefilled as f64),
            tokens_decoded: spread(|stroke| stroke.record.tokens_decoded as f64),
            zero_decode_share: share(&|stroke| stroke.record.tokens_decoded == 0),
            shown_share: share(&|stroke| stroke.shown),
            tiers: tiers.into(),
        }
    }
}

impl Spread {
    fn new(mut figures: Vec<f64>) -> Spread {
        figures.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            // The nearest rank: the smallest figure that so many percent do not exceed.
            let rank = (figures.len() * percent).div_ceil(100).max(1);
            thousandths(figures.get(rank - 1).copied().unwrap_or_default())
        };
        Spread {
            p50: at(50),
            p95: at(95),
            p99: at(99),
        }
    }
}

fn thousandths(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report {
            latency_ms,
            tokens_prefilled,
            tokens_decoded,
            tiers,
            ..
        } = self;
        let percent = |share: f64| format!("{:.1}%", share * 100.0);
        writeln!(
            f,
            "{:<24} {:>9} {:>9} {:>9}",
            "per keystroke", "p50", "p95", "p99"
        )?;
        for (name, spread) in [
            ("ms to the answer", latency_ms),
            ("tokens prefilled", tokens_prefilled),
            ("tokens decoded", tokens_decoded),
        ] {
            let Spread { p50, p95, p99 } = spread;
            writeln!(f, "{name:<24} {p50:>9.1} {p95:>9.1} {p99:>9.1}")?;
        }
        writeln!(f)?;
        writeln!(f, "keystrokes               {:>9}", self.keystrokes)?;
        writeln!(
            f,
            "with something to show   {:>9}",
            percent(self.shown_share)
        )?;
        writeln!(
            f,
            "without a decode step    {:>9}",
            percent(self.zero_decode_share)
        )?;
        for (tier, share) in tiers {
            writeln!(f, "cache {tier:<18} {:>9}", percent(*share))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::complete::Record;

    #[test]
    fn percentiles_are_figures_that_occurred() {
        let spread = Spread::new((1..=100).rev().map(f64::from).collect());
        assert_eq!((spread.p50, spread.p95, spread.p99), (50.0, 95.0, 99.0));
        let one = Spread::new(vec![7.0]);
        assert_eq!((one.p50, one.p95, one.p99), (7.0, 7.0, 7.0));
        assert_eq!(Spread::new(Vec::new()).p50, 0.0);
    }

    #[test]
    fn shares_count_strokes_by_what_answered_them() {
        let stroke = |cache: &str, tokens_decoded| Stroke {
            latency: Duration::from_millis(10),
            shown: cache != "none",
            record: Record {
                cache: cache.to_owned(),
                tokens_decoded,
                ..Record::default()
            },
        };
        let strokes = [
            stroke("miss", 5),
            stroke("adopted", 0),
            stroke("adopted", 0),
            stroke("none", 0),
        ];
        let report = Report::new(&strokes);
        assert_eq!(report.zero_decode_share, 0.75);
        assert_eq!(report.shown_share, 0.75);
        assert_eq!(report.tiers["adopted"], 0.5);
        assert_eq!(report.tiers["exact"], 0.0);
        assert_eq!(report.latency_ms.p99, 10.0);
    }
}
