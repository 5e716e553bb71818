//! The figures of a replay, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::bench::process::Usage;
use crate::bench::replay::{Cost, Kind, Played, Stroke};

/// Tiers that are named even if no answer came from there.
const TIERS: [&str; 4] = ["exact", "adopted", "miss", "none"];

/// What a replay has shown. A figure that the server or the system does not give is null.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many keys were pressed that ask for a completion.
    keystrokes: usize,
    /// How many documents were typed in at once.
    editors: usize,
    /// Share of requests that were answered before the next key; all of them without a pace.
    answered_share: f64,
    /// Milliseconds from the keystroke to its answer.
    latency_ms: Option<Spread>,
    /// The same, of those that had something to show.
    first_text_ms: Option<Spread>,
    /// Milliseconds from a jump to the first answer at the new place.
    jump_ms: Option<Spread>,
    /// Tokens that the model read for a keystroke.
    tokens_prefilled: Option<Spread>,
    /// Tokens that the model wrote for a keystroke.
    tokens_decoded: Option<Spread>,
    /// Share of answered keystrokes for which the model wrote nothing.
    zero_decode_share: Option<f64>,
    /// The same, of those that had something to show.
    zero_decode_shown_share: Option<f64>,
    /// Share of keystrokes that the suggestion before them showed: only the model can make it greater.
    foreseen_share: f64,
    /// Share of these for which the model wrote nothing.
    zero_decode_foreseen_share: Option<f64>,
    /// Share of keystrokes that had something to show.
    shown_share: f64,
    /// Completion golf: the share of keys that taking every right suggestion at once would save.
    keystrokes_saved_share: f64,
    /// Share of keystrokes by where the answer came from: `exact` and `adopted` are hits of the cache, `miss` is the
    /// model, `none` is a place where no completion is sensible.
    tiers: Option<BTreeMap<String, f64>>,
    /// The same by what was done.
    kinds: BTreeMap<&'static str, Sort>,
    /// What the engine did in all, by the server's own counters, work ahead of any request included.
    engine: Option<BTreeMap<String, f64>>,
    /// The most memory that the server held, in MB.
    rss_mb: Option<f64>,
    /// Seconds of a core that the server used until the last key.
    cpu_s: Option<f64>,
    /// Share of a core that it used when nobody typed any more.
    idle_cpu_share: Option<f64>,
}

/// What was measured beside the requests.
#[derive(Debug, Default)]
pub struct Around {
    /// How many documents were typed in at once.
    pub editors: usize,
    /// The engine's counters.
    pub engine: Option<BTreeMap<String, f64>>,
    /// What the server had taken by the last key.
    pub usage: Option<Usage>,
    /// Share of a core that it used afterwards.
    pub idle_cpu_share: Option<f64>,
}

/// The figures of one kind of key.
#[derive(Debug, Serialize)]
struct Sort {
    count: usize,
    latency_ms: Option<Spread>,
    tokens_prefilled: Option<Spread>,
    tokens_decoded: Option<Spread>,
}

/// The middle and the tail of many figures.
#[derive(Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub p50: f64,
    /// What 95 of 100 do not exceed.
    pub p95: f64,
    /// What 99 of 100 do not exceed.
    pub p99: f64,
}

impl Report {
    /// Sums up a replay.
    pub fn new(played: &Played, around: Around) -> Report {
        let strokes: Vec<&Stroke> = played.strokes.iter().collect();
        let of_kind = |is: &dyn Fn(Kind) -> bool| -> Vec<&Stroke> {
            strokes
                .iter()
                .copied()
                .filter(|stroke| is(stroke.kind))
                .collect()
        };
        let keys = of_kind(&|kind| kind != Kind::Jump);
        let shown: Vec<&Stroke> = keys.iter().copied().filter(|stroke| stroke.shown).collect();
        let answered: Vec<&Stroke> = keys
            .iter()
            .copied()
            .filter(|stroke| stroke.latency.is_some())
            .collect();
        let foreseen: Vec<&Stroke> = answered
            .iter()
            .copied()
            .filter(|stroke| stroke.foreseen)
            .collect();
        let kinds = Kind::ALL
            .into_iter()
            .map(|kind| (kind.name(), Sort::new(&of_kind(&|one| one == kind))));
        Report {
            keystrokes: keys.len(),
            editors: around.editors,
            answered_share: share(&keys, |stroke| stroke.latency.is_some()),
            latency_ms: latency(&keys),
            first_text_ms: latency(&shown),
            jump_ms: latency(&of_kind(&|kind| kind == Kind::Jump)),
            tokens_prefilled: tokens(&keys, |cost| cost.prefilled),
            tokens_decoded: tokens(&keys, |cost| cost.decoded),
            zero_decode_share: zero_decode(&answered),
            zero_decode_shown_share: zero_decode(&shown),
            foreseen_share: share(&answered, |stroke| stroke.foreseen),
            zero_decode_foreseen_share: zero_decode(&foreseen),
            shown_share: share(&answered, |stroke| stroke.shown),
            keystrokes_saved_share: thousandths(played.saved as f64 / played.keys.max(1) as f64),
            tiers: tiers(&answered),
            kinds: kinds.filter(|(_, sort)| sort.count > 0).collect(),
            engine: around.engine,
            rss_mb: around.usage.map(|usage| thousandths(usage.rss_mb)),
            cpu_s: around.usage.map(|usage| thousandths(usage.cpu_s)),
            idle_cpu_share: around.idle_cpu_share.map(thousandths),
        }
    }
}

impl Sort {
    fn new(strokes: &[&Stroke]) -> Sort {
        Sort {
            count: strokes.len(),
            latency_ms: latency(strokes),
            tokens_prefilled: tokens(strokes, |cost| cost.prefilled),
            tokens_decoded: tokens(strokes, |cost| cost.decoded),
        }
    }
}

impl Spread {
    /// Sums up figures, if there are any.
    pub fn new(mut figures: Vec<f64>) -> Option<Spread> {
        figures.sort_by(f64::total_cmp);
        let last = figures.len().checked_sub(1)?;
        // The nearest rank: the smallest figure that so many percent do not exceed.
        let at = |percent: usize| thousandths(figures[((last + 1) * percent).div_ceil(100) - 1]);
        Some(Spread {
            p50: at(50),
            p95: at(95),
            p99: at(99),
        })
    }
}

fn latency(strokes: &[&Stroke]) -> Option<Spread> {
    let answered = strokes.iter().filter_map(|stroke| stroke.latency);
    Spread::new(
        answered
            .map(|latency| latency.as_secs_f64() * 1000.0)
            .collect(),
    )
}

fn costs<'a>(strokes: &[&'a Stroke]) -> Option<Vec<&'a Cost>> {
    let costs: Vec<&Cost> = strokes
        .iter()
        .filter_map(|stroke| stroke.cost.as_ref())
        .collect();
    (!costs.is_empty()).then_some(costs)
}

fn tokens(strokes: &[&Stroke], count: fn(&Cost) -> u64) -> Option<Spread> {
    let costs = costs(strokes)?;
    Spread::new(costs.into_iter().map(|cost| count(cost) as f64).collect())
}

fn zero_decode(strokes: &[&Stroke]) -> Option<f64> {
    Some(share(&costs(strokes)?, |cost| cost.decoded == 0))
}

fn tiers(strokes: &[&Stroke]) -> Option<BTreeMap<String, f64>> {
    let costs = costs(strokes)?;
    let names = TIERS
        .into_iter()
        .chain(costs.iter().map(|cost| cost.tier.as_str()));
    let tiers = names.map(|name| (name.to_owned(), share(&costs, |cost| cost.tier == name)));
    Some(tiers.collect())
}

fn share<T>(all: &[&T], is: impl Fn(&T) -> bool) -> f64 {
    let count = all.iter().filter(|one| is(one)).count();
    thousandths(count as f64 / all.len().max(1) as f64)
}

fn thousandths(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1}%", share * 100.0);
        let head = "per keystroke";
        writeln!(f, "{head:<28} {:>9} {:>9} {:>9}", "p50", "p95", "p99")?;
        let mut spread = |name: &str, spread: &Option<Spread>| match spread {
            Some(Spread { p50, p95, p99 }) => {
                writeln!(f, "{name:<28} {p50:>9.1} {p95:>9.1} {p99:>9.1}")
            }
            None => Ok(()),
        };
        spread("ms to the answer", &self.latency_ms)?;
        spread("ms to an answer with text", &self.first_text_ms)?;
        spread("ms to the answer at a jump", &self.jump_ms)?;
        spread("tokens prefilled", &self.tokens_prefilled)?;
        spread("tokens decoded", &self.tokens_decoded)?;
        for (kind, sort) in &self.kinds {
            spread(&format!("  ms, {kind} ({})", sort.count), &sort.latency_ms)?;
            spread("  tokens prefilled", &sort.tokens_prefilled)?;
        }
        let mut line = |name: &str, figure: Option<String>| match figure {
            Some(figure) => writeln!(f, "{name:<28} {figure:>9}"),
            None => Ok(()),
        };
        line("keystrokes", Some(self.keystrokes.to_string()))?;
        line("typed in at once", Some(self.editors.to_string()))?;
        line("answered in time", Some(percent(self.answered_share)))?;
        line("with something to show", Some(percent(self.shown_share)))?;
        line(
            "keys saved, at golf",
            Some(percent(self.keystrokes_saved_share)),
        )?;
        line("without a decode step", self.zero_decode_share.map(percent))?;
        line(
            "  of those with text",
            self.zero_decode_shown_share.map(percent),
        )?;
        line("foreseen", Some(percent(self.foreseen_share)))?;
        line(
            "  of those without a step",
            self.zero_decode_foreseen_share.map(percent),
        )?;
        for (tier, share) in self.tiers.iter().flatten() {
            line(&format!("cache {tier}"), Some(percent(*share)))?;
        }
        for (name, count) in self.engine.iter().flatten() {
            line(
                &format!("engine {}", name.replace('_', " ")),
                Some(count.to_string()),
            )?;
        }
        line("peak memory, MB", self.rss_mb.map(|mb| format!("{mb:.1}")))?;
        line(
            "CPU, seconds",
            self.cpu_s.map(|seconds| format!("{seconds:.2}")),
        )?;
        line("CPU when idle", self.idle_cpu_share.map(percent))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_are_figures_that_occurred() {
        let spread = Spread::new((1..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((spread.p50, spread.p95, spread.p99), (50.0, 95.0, 99.0));
        let one = Spread::new(vec![7.0]).unwrap();
        assert_eq!((one.p50, one.p95, one.p99), (7.0, 7.0, 7.0));
        assert_eq!(Spread::new(Vec::new()), None);
    }

    fn stroke(kind: Kind, milliseconds: Option<u64>, cost: Option<(u64, u64, &str)>) -> Stroke {
        Stroke {
            kind,
            latency: milliseconds.map(Duration::from_millis),
            shown: milliseconds.is_some_and(|time| time >= 10),
            foreseen: milliseconds == Some(10),
            cost: cost.map(|(prefilled, decoded, tier)| Cost {
                prefilled,
                decoded,
                tier: tier.to_owned(),
            }),
        }
    }

    /// The median and the very end.
    fn spread(spread: &Option<Spread>) -> (f64, f64) {
        let spread = spread.as_ref().expect("something was measured");
        (spread.p50, spread.p99)
    }

    #[test]
    fn shares_count_strokes_by_what_answered_them() {
        let played = Played {
            strokes: vec![
                stroke(Kind::Jump, Some(500), Some((440, 9, "miss"))),
                stroke(Kind::Forward, Some(20), Some((3, 5, "miss"))),
                stroke(Kind::Forward, Some(10), Some((0, 0, "adopted"))),
                stroke(Kind::Backspace, Some(10), Some((0, 0, "adopted"))),
                stroke(Kind::Forward, Some(1), Some((0, 0, "none"))),
                stroke(Kind::Forward, None, None),
            ],
            keys: 8,
            saved: 2,
        };
        let report = Report::new(&played, Around::default());
        assert_eq!((report.keystrokes, report.answered_share), (5, 0.8));
        assert_eq!(
            (report.zero_decode_share, report.shown_share),
            (Some(0.75), 0.75)
        );
        assert_eq!(report.zero_decode_shown_share, Some(0.667));
        assert_eq!(
            (report.foreseen_share, report.zero_decode_foreseen_share),
            (0.5, Some(1.0))
        );
        assert_eq!(report.keystrokes_saved_share, 0.25);
        let tiers = report.tiers.as_ref().unwrap();
        assert_eq!((tiers["adopted"], tiers["exact"]), (0.5, 0.0));
        assert_eq!(spread(&report.latency_ms), (10.0, 20.0));
        assert_eq!(spread(&report.first_text_ms), (10.0, 20.0));
        assert_eq!(spread(&report.jump_ms), (500.0, 500.0));
        assert_eq!(spread(&report.tokens_prefilled), (0.0, 3.0));
        assert_eq!(report.kinds["backspace"].count, 1);
        assert!(report.to_string().contains("cache adopted"));
    }

    #[test]
    fn what_a_server_does_not_say_is_null() {
        let strokes = vec![stroke(Kind::Forward, Some(3), None)];
        let played = Played {
            strokes,
            keys: 1,
            saved: 0,
        };
        let report = serde_json::to_value(Report::new(&played, Around::default())).unwrap();
        for key in [
            "tokens_prefilled",
            "tokens_decoded",
            "zero_decode_share",
            "tiers",
            "rss_mb",
        ] {
            assert!(report[key].is_null(), "{key}: {}", report[key]);
        }
        assert_eq!(report["latency_ms"]["p50"], 3.0);
    }
}
