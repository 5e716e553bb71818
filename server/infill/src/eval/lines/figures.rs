//! How near answers are to what stood there, and how many of them are worth showing.
//!
//! A [`Verdict`] is one answer beside the truth, [`Figures`] are many of them, [`thresholds`] says what a threshold of
//! the score would leave. Trailing white space never counts.

use serde_json::{Value, json};

use crate::eval::shown::Answer;

/// One answer beside the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// All of it is what stood there.
    pub is_exact: bool,
    /// Its first line is the first line that stood there; what is shown is right then.
    pub is_right: bool,
    /// 1 less the edits between the two, in shares of the longer one.
    pub similarity: f64,
    /// Whether there was anything to show when asked by hand.
    pub is_shown: bool,
    /// How likely a model found its first line, 0 to 1, if one wrote it.
    pub score: Option<f32>,
    /// What it does to the syntax, if it was shown and the language has a grammar.
    pub errors: Option<Errors>,
    /// Characters of the truth.
    pub characters: usize,
    /// Those of them that need not be typed if it is shown: of what is right all, or of its first line, less the key
    /// that accepts it.
    pub saved: usize,
}

/// What an answer does to the syntax of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errors {
    /// There are more errors than with the truth and more than with nothing in the blank: the answer brought one.
    pub adds: bool,
    /// There are more errors than with the truth: the answer brought one, or left one for what is typed next to mend.
    pub leaves: bool,
}

impl Errors {
    /// By the errors of the text with the answer, with the truth, and with nothing in the blank.
    pub fn of(answered: usize, truth: usize, unfilled: usize) -> Errors {
        Errors {
            adds: answered > truth.max(unfilled),
            leaves: answered > truth,
        }
    }
}

impl Verdict {
    /// What the answer is worth.
    pub fn of(answer: &Answer, truth: &str, errors: Option<Errors>) -> Verdict {
        let (got, want) = (answer.text.trim_end(), truth.trim_end());
        let is_exact = answer.is_shown && got == want;
        let is_right = answer.is_shown && first_line(got) == first_line(want);
        let accepted = match (is_exact, is_right) {
            (true, _) => want,
            (false, true) => first_line(want),
            (false, false) => "",
        };
        Verdict {
            is_exact,
            is_right,
            similarity: strsim::normalized_levenshtein(got, want),
            is_shown: answer.is_shown,
            score: answer.score,
            errors: errors.filter(|_| answer.is_shown),
            characters: want.chars().count(),
            saved: accepted.chars().count().saturating_sub(1),
        }
    }

    /// Whether it would be shown unasked. What has no score is shown whenever it is there.
    fn reaches(&self, threshold: Option<f32>) -> bool {
        let is_sure = match (self.score, threshold) {
            (Some(score), Some(threshold)) => score >= threshold,
            _ => true,
        };
        self.is_shown && is_sure
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}

/// What came of many answers, in sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    n: usize,
    exact: usize,
    first_line: usize,
    similarity: f64,
    parsed: usize,
    adding: usize,
    leaving: usize,
    shown: usize,
    right: usize,
    characters: usize,
    saved: usize,
}

impl Figures {
    /// Counts an answer; `threshold` decides whether it is shown unasked.
    pub fn count(&mut self, verdict: &Verdict, threshold: Option<f32>) {
        let is_shown = verdict.reaches(threshold);
        let is_right = is_shown && verdict.is_right;
        self.n += 1;
        self.exact += usize::from(verdict.is_exact);
        self.first_line += usize::from(verdict.is_right);
        self.similarity += verdict.similarity;
        if let Some(errors) = verdict.errors {
            self.parsed += 1;
            self.adding += usize::from(errors.adds);
            self.leaving += usize::from(errors.leaves);
        }
        self.shown += usize::from(is_shown);
        self.right += usize::from(is_right);
        self.characters += verdict.characters;
        self.saved += if is_right { verdict.saved } else { 0 };
    }

    /// How many answers.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The figures by their names, each a share; none where there is nothing to have a share of.
    pub fn shares(&self) -> [(&'static str, Option<f64>); 8] {
        let share = |count: f64, of: usize| (of > 0).then(|| count / of as f64);
        let of_all = |count: usize| share(count as f64, self.n);
        let of_parsed = |count: usize| share(count as f64, self.parsed);
        [
            ("exact_match", of_all(self.exact)),
            ("first_line_exact_match", of_all(self.first_line)),
            ("edit_similarity", share(self.similarity, self.n)),
            ("adds_error_share", of_parsed(self.adding)),
            ("leaves_error_share", of_parsed(self.leaving)),
            ("shown_share", of_all(self.shown)),
            ("right_when_shown", share(self.right as f64, self.shown)),
            (
                "keystrokes_saved",
                share(self.saved as f64, self.characters),
            ),
        ]
    }

    /// The same as an object, with `n`.
    pub fn json(&self) -> Value {
        let mut object = json!({ "n": self.n });
        for (name, share) in self.shares() {
            object[name] = json!(share);
        }
        object
    }
}

/// What a threshold leaves of the answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The least score of an answer that is shown.
    pub threshold: f32,
    /// Share of all blanks at which something is shown.
    pub shown_share: f64,
    /// Share of what is shown that is right.
    pub right_when_shown: f64,
}

impl Threshold {
    /// The same as an object.
    pub fn json(&self) -> Value {
        json!({
            "threshold": self.threshold, "shown_share": self.shown_share, "right_when_shown": self.right_when_shown,
        })
    }
}

/// What the deciles of the scores of what was shown would leave as thresholds, from the lowest on.
pub fn thresholds(verdicts: &[Verdict]) -> Vec<Threshold> {
    let shown = verdicts.iter().filter(|verdict| verdict.is_shown);
    let scored = shown.filter_map(|verdict| Some((verdict.score?, verdict.is_right)));
    let mut scored: Vec<(f32, bool)> = scored.collect();
    scored.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut deciles: Vec<f32> = (0..10)
        .filter_map(|decile| scored.get(scored.len() * decile / 10))
        .map(|(score, _)| *score)
        .collect();
    deciles.dedup();
    let left = |threshold: f32| {
        let first = scored.partition_point(|(score, _)| *score < threshold);
        let kept = &scored[first..];
        let right = kept.iter().filter(|(_, is_right)| *is_right).count();
        Threshold {
            threshold,
            shown_share: kept.len() as f64 / verdicts.len() as f64,
            right_when_shown: right as f64 / kept.len() as f64,
        }
    };
    deciles.into_iter().map(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, truth: &str, score: Option<f32>) -> Verdict {
        let answer = Answer {
            score,
            ..Answer::known(text, "", "")
        };
        Verdict::of(&answer, truth, Some(Errors::of(text.len(), 3, 2)))
    }

    #[test]
    fn an_answer_is_held_against_the_truth() {
        let exact = verdict("abcd \n", "abcd", None);
        assert!(exact.is_exact && exact.is_right && exact.similarity == 1.0);
        assert_eq!((exact.characters, exact.saved), (4, 3));
        let begun = verdict("if é:\n  a", "if é: \n  b\n", None);
        assert!(!begun.is_exact && begun.is_right);
        assert_eq!((begun.characters, begun.saved), (10, 4));
        let wrong = verdict("abc", "abcd", None);
        assert!(!wrong.is_right && wrong.similarity == 0.75 && wrong.saved == 0);
        let none = verdict("", "abcd", None);
        assert!(!none.is_shown && !none.is_right && none.errors.is_none());
    }

    #[test]
    fn shares_are_of_all_or_of_what_is_shown() {
        let verdicts = [
            verdict("abcd", "abcd", Some(-0.1)),
            verdict("abd", "abcd", Some(-0.5)),
            verdict("", "abcd", None),
            verdict("abcd", "abcd", Some(-1.0)),
        ];
        let mut figures = Figures::default();
        for verdict in &verdicts {
            figures.count(verdict, Some(-0.5));
        }
        let want = json!({
            "n": 4, "exact_match": 0.5, "first_line_exact_match": 0.5, "edit_similarity": 0.6875,
            "leaves_error_share": 2.0 / 3.0,
            "adds_error_share": 2.0 / 3.0, "shown_share": 0.5, "right_when_shown": 0.5, "keystrokes_saved": 3.0 / 16.0,
        });
        assert_eq!(figures.json(), want);
        assert_eq!(Figures::default().json()["right_when_shown"], Value::Null);
    }

    #[test]
    fn an_error_that_was_there_is_not_added() {
        let errors = |answered| {
            let Errors { adds, leaves } = Errors::of(answered, 1, 2);
            (adds, leaves)
        };
        assert_eq!(
            [1, 2, 3].map(errors),
            [(false, false), (false, true), (true, true)]
        );
    }

    #[test]
    fn a_threshold_leaves_what_reaches_it() {
        let verdicts: Vec<Verdict> = (0..20u8)
            .map(|i| {
                verdict(
                    if i < 10 { "a" } else { "b" },
                    "b",
                    Some(f32::from(i) - 20.0),
                )
            })
            .chain([verdict("", "b", None)])
            .collect();
        let found = thresholds(&verdicts);
        assert_eq!(found.len(), 10);
        let want = Threshold {
            threshold: -20.0,
            shown_share: 20.0 / 21.0,
            right_when_shown: 0.5,
        };
        assert_eq!(found[0], want);
        assert_eq!(
            (found[5].threshold, found[5].right_when_shown),
            (-10.0, 1.0)
        );
        assert!(thresholds(&[]).is_empty());
    }
}
