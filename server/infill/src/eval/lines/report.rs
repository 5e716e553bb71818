//! What came of the blanks: over all, by language and by kind, beside the baselines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::eval::lines::blanks::Kind;
use crate::eval::lines::figures::{Figures, Threshold, Verdict, thresholds};

/// The names of the baselines, in the order of their verdicts.
pub const BASELINES: [&str; 2] = ["ngram", "similar_line"];

/// What the model's answer to a blank is worth, then those of [`BASELINES`].
pub type Verdicts = [Verdict; 1 + BASELINES.len()];

/// The figures of the model and of the baselines over the same blanks.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    model: Figures,
    baselines: [Figures; BASELINES.len()],
}

impl Group {
    fn count(&mut self, verdicts: &Verdicts, threshold: Option<f32>) {
        let [model, baselines @ ..] = verdicts;
        self.model.count(model, threshold);
        for (figures, verdict) in self.baselines.iter_mut().zip(baselines) {
            figures.count(verdict, None);
        }
    }

    fn json(&self) -> Value {
        let baselines = BASELINES.iter().zip(&self.baselines);
        let baselines = baselines.map(|(name, figures)| ((*name).to_owned(), figures.json()));
        let mut object = self.model.json();
        object["baselines"] = Value::Object(baselines.collect());
        object
    }

    /// All shares in percent; of the baselines the matches of the whole and of the first line.
    fn text(&self) -> String {
        let percent = |share: Option<f64>| match share {
            Some(share) => format!("{:.1}", 100.0 * share),
            None => "-".to_owned(),
        };
        let mut line = format!("{:>7}", self.model.n());
        for (_, share) in self.model.shares() {
            let _ = write!(line, "{:>8}", percent(share));
        }
        for figures in &self.baselines {
            let [(_, exact), (_, first_line), ..] = figures.shares();
            let _ = write!(line, "{:>9}{:>7}", percent(exact), percent(first_line));
        }
        line
    }
}

/// All that came of it.
#[derive(Debug)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// The least score of what is shown unasked.
    pub threshold: Option<f32>,
    overall: Group,
    languages: BTreeMap<&'static str, Group>,
    kinds: BTreeMap<Kind, Group>,
    verdicts: Vec<Verdict>,
}

impl Report {
    /// A report of nothing yet.
    pub fn new(model: &str, threshold: Option<f32>) -> Report {
        Report {
            model: model.to_owned(),
            threshold,
            overall: Group::default(),
            languages: BTreeMap::new(),
            kinds: BTreeMap::new(),
            verdicts: Vec::new(),
        }
    }

    /// A blank was filled.
    pub fn count(&mut self, language: &'static str, kind: Kind, verdicts: &Verdicts) {
        let of_language = self.languages.entry(language).or_default();
        let of_kind = self.kinds.entry(kind).or_default();
        for group in [&mut self.overall, of_language, of_kind] {
            group.count(verdicts, self.threshold);
        }
        self.verdicts.push(verdicts[0]);
    }

    /// As an object.
    pub fn json(&self) -> Value {
        let languages = self.languages.iter();
        let languages = languages.map(|(name, group)| ((*name).to_owned(), group.json()));
        let kinds = self.kinds.iter();
        let kinds = kinds.map(|(kind, group)| (kind.name().to_owned(), group.json()));
        let thresholds = thresholds(&self.verdicts);
        json!({
            "model": self.model,
            "threshold": self.threshold,
            "overall": self.overall.json(),
            "languages": languages.collect::<Map<_, _>>(),
            "kinds": kinds.collect::<Map<_, _>>(),
            "thresholds": thresholds.iter().map(Threshold::json).collect::<Vec<_>>(),
        })
    }

    /// As tables, shares in percent.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<14}{:>7}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>16}{:>16}\n",
            "%",
            "blanks",
            "exact",
            "1st",
            "similar",
            "adds",
            "leaves",
            "shown",
            "right",
            "saved",
            "n-gram",
            "similar line",
        );
        let _ = writeln!(
            text,
            "{:>94}{:>7}{:>9}{:>7}",
            "exact", "1st", "exact", "1st"
        );
        let languages = self.languages.iter().map(|(name, group)| (*name, group));
        let kinds = self.kinds.iter();
        let kinds = kinds.map(|(kind, group)| (kind.name(), group));
        let rows = [("overall", &self.overall)].into_iter();
        for (name, group) in rows.chain(languages).chain(kinds) {
            let _ = writeln!(text, "{name:<14}{}", group.text());
        }
        let thresholds = thresholds(&self.verdicts);
        if !thresholds.is_empty() {
            let _ = writeln!(text, "\nthreshold   shown   right");
        }
        for Threshold {
            threshold,
            shown_share,
            right_when_shown,
        } in thresholds
        {
            let (shown, right) = (100.0 * shown_share, 100.0 * right_when_shown);
            let _ = writeln!(text, "{threshold:>9.3}{shown:>8.1}{right:>8.1}");
        }
        text
    }
}
