//! A prompt that stays while the user types: the anchored blank.
//!
//! With a mask at the cursor every key would move the mask, and a model that reads its question both
//! ways would have to read all of it anew; with the prefix first, every key would shift the suffix.
//! So the question is built once, for the place where the cursor came to rest, and what is typed
//! there is given to the model as the beginning of its own answer: a few tokens a key, and a
//! backspace takes them back. Closing brackets that an editor has put behind the cursor are left out
//! of the question; the answer may say them itself.
//!
//! Takes the text as it is now and says whether the question is still about it, and what its answer
//! begins with. When to anchor anew is for the caller.

use std::ops::Range;

use text::{Snapshot, closers_tail};
use vocab::Vocab;

use crate::{Around, Budget, Prompt, Situation, Template, Why, boundary, lay_out, window::Kept};

/// Bytes that may have been typed since the blank was anchored.
pub const HEAD_BYTES: usize = 1024;

/// A question about one place in a text.
#[derive(Debug, Clone)]
pub struct Anchor {
    prompt: Prompt,
    hole: Range<usize>,
    /// The text that is shown before the blank, and whether the text begins with it.
    left: String,
    reaches_start: bool,
    /// The text that is shown after the blank, and whether the text ends with it.
    right: String,
    reaches_end: bool,
}

/// A question with what was typed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The question and the settled tokens of what was typed.
    pub prompt: Prompt,
    /// Tokens of what was typed.
    pub head: usize,
    /// What the answer has to begin with: the end of what was typed, whose tokens are not settled.
    pub open: String,
}

impl Anchor {
    /// Anchors the blank at the cursor, or right before it, so that it is between two tokens.
    ///
    /// With `earlier`, the anchor before this one, the window stays the same as long as it fits the
    /// cursor and the budget; after a jump it still starts at the same place, if it has a mask token
    /// and the sides get their shares. This is for models that go on from what they have read.
    ///
    /// # Errors
    /// As [`build`](crate::build).
    pub fn new(
        snapshot: &Snapshot,
        situation: &Situation,
        vocab: &Vocab,
        template: Template,
        around: &Around,
        budget: Budget,
        earlier: Option<&Anchor>,
    ) -> Result<Anchor, Why> {
        let cursor = situation.offset;
        let line = snapshot.slice(situation.line_left.clone());
        let hole = situation.line_left.start + boundary::settled(vocab, &line)
            ..cursor + tail(snapshot, cursor);
        let keep = earlier.and_then(|anchor| anchor.kept(snapshot, cursor, &hole));
        let prompt = lay_out(
            snapshot, situation, &hole, vocab, template, around, budget, keep,
        )?;
        let Range { start, end } = prompt.window;
        // A template that shows the left side alone asks nothing about what follows.
        let both = template.sides(situation.mask)? == crate::window::Sides::Both;
        Ok(Anchor {
            left: snapshot.slice(start..hole.start),
            reaches_start: start == 0,
            right: if both {
                snapshot.slice(hole.end..end)
            } else {
                String::new()
            },
            reaches_end: both && end == snapshot.len(),
            prompt,
            hole,
        })
    }

    /// What a blank for this cursor shows of the window.
    fn kept(&self, snapshot: &Snapshot, cursor: usize, hole: &Range<usize>) -> Option<Kept> {
        if let Some(head) = self.fits(snapshot, cursor) {
            let end = hole.end + self.right.len();
            return Some(Kept::Whole(head.start - self.left.len()..end));
        }
        self.prompt.mask_at?;
        let start = self.prompt.window.start;
        let first = self.left.split_inclusive('\n').next()?;
        (snapshot.slice(start..start + first.len()) == first).then_some(Kept::Start(start))
    }

    /// The question, as the model reads it once: without anything typed.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// What the question leaves out, in the text that it was made for: from the blank to where the text goes on.
    pub fn hole(&self) -> &Range<usize> {
        &self.hole
    }

    /// What was typed since, if all else that the question shows is as it was and `cursor` is where
    /// the typing ends. Edits outside of the window do not matter.
    pub fn fits(&self, snapshot: &Snapshot, cursor: usize) -> Option<Range<usize>> {
        let rest = cursor + tail(snapshot, cursor);
        let end = rest + self.right.len();
        if self.reaches_end && end != snapshot.len() || snapshot.slice(rest..end) != self.right {
            return None;
        }
        let reach = self.left.len() + HEAD_BYTES;
        let before = snapshot.slice(cursor.saturating_sub(reach)..cursor);
        let head = if self.reaches_start {
            let is_whole = before.len() == cursor && before.starts_with(&self.left);
            is_whole.then_some(self.left.len())?
        } else {
            cursor - before.len() + before.rfind(&self.left)? + self.left.len()
        };
        Some(head..cursor)
    }

    /// The question with what was typed since, `head`, as the beginning of the answer. Typed along the answer that the
    /// model has `written`, it keeps the model's tokens, which are not always those that the text is encoded to.
    pub fn ask(&self, vocab: &Vocab, head: &str, written: &[u32]) -> Asked {
        let settled = boundary::settled(vocab, head);
        let (settled, ids) = along(vocab, head, settled, written)
            .unwrap_or_else(|| (settled, vocab.encode(&head[..settled])));
        let open = &head[settled..];
        let mut prompt = self.prompt.clone();
        prompt.extend(&ids);
        Asked {
            prompt,
            head: ids.len(),
            open: open.to_owned(),
        }
    }
}

/// Of the tokens that were written, as many as lie within the first `settled` bytes of `head`, and where the last of them
/// ends; none if the text is not how theirs begins.
fn along(vocab: &Vocab, head: &str, settled: usize, written: &[u32]) -> Option<(usize, Vec<u32>)> {
    let mut text = Vec::new();
    let mut within = (0, 0);
    for (place, &id) in written.iter().enumerate() {
        text.extend_from_slice(vocab.bytes(id));
        if text.len() <= settled && head.is_char_boundary(text.len()) {
            within = (text.len(), place + 1);
        }
        if text.len() >= head.len() {
            break;
        }
    }
    let (end, count) = within;
    text.starts_with(head.as_bytes())
        .then(|| (end, written[..count].to_vec()))
}

/// Bytes of closing brackets and the like that are all that follows the cursor on its line.
fn tail(snapshot: &Snapshot, cursor: usize) -> usize {
    let line = snapshot.line_range(snapshot.line_of(cursor));
    let rest = snapshot.slice(cursor.min(line.end)..line.end);
    closers_tail(&rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situation::classify;
    use grammars::Language;
    use text::{Region, fixture::cursor};
    use vocab::fixture;

    const BUDGET: Budget = Budget {
        part_a: 200,
        part_b: 40,
    };

    struct Scene {
        vocab: Vocab,
        anchor: Anchor,
    }

    impl Scene {
        fn new(marked: &str, template: Template) -> Scene {
            let vocab = fixture::with_special(&[
                "[gMASK]",
                "<sop>",
                "<|user|>",
                "<|assistant|>",
                "<|code_suffix|>",
                "<|code_prefix|>",
                "<|code_middle|>",
                "<|endoftext|>",
                "<|observation|>",
            ]);
            let vocab = match template {
                Template::InfillV1 => fixture::vocab(),
                _ => vocab,
            };
            let (text, offset) = cursor(marked);
            let snapshot = Snapshot::new(&text, Language::PLAIN);
            let situation = classify(&snapshot, Region::Code, offset).unwrap();
            let around = Around::default();
            let anchor = Anchor::new(
                &snapshot, &situation, &vocab, template, &around, BUDGET, None,
            )
            .unwrap();
            Scene { vocab, anchor }
        }

        /// What was typed since, at the cursor of this text.
        fn head(&self, marked: &str) -> Option<String> {
            let (text, offset) = cursor(marked);
            let snapshot = Snapshot::new(&text, Language::PLAIN);
            let head = self.anchor.fits(&snapshot, offset)?;
            Some(snapshot.slice(head))
        }

        fn text(&self, ids: &[u32]) -> String {
            self.vocab.decode(ids)
        }
    }

    #[test]
    fn what_is_typed_becomes_the_head_of_the_answer_and_the_question_stays() {
        for template in [Template::InfillV1, Template::CodeGeex4] {
            let scene = Scene::new("a = 1\nb = ‸\nc = 3\n", template);
            for (now, head) in [
                ("a = 1\nb = ‸\nc = 3\n", Some(" ")),
                ("a = 1\nb = f‸\nc = 3\n", Some(" f")),
                ("a = 1\nb = f(‸)\nc = 3\n", Some(" f(")),
                ("a = 1\nb = f(x)\n‸\nc = 3\n", Some(" f(x)\n")),
                ("a = 1\nb =‸\nc = 3\n", Some("")),
                ("a = 1\nb ‸\nc = 3\n", None),
                ("a = 2\nb = ‸\nc = 3\n", None),
                ("a = 1\nb = ‸\nc = 4\n", None),
                ("a = 1\nb = ‸\nc = 3\n\n", None),
                ("a‸ = 1\nb = \nc = 3\n", None),
            ] {
                assert_eq!(scene.head(now).as_deref(), head, "{now:?}");
            }
            let question = scene.anchor.prompt();
            let asked = scene.anchor.ask(&scene.vocab, " f(x", &[]);
            assert!(asked.prompt.ids.starts_with(&question.ids));
            assert_eq!(asked.prompt.part_a, question.part_a);
            let added = &asked.prompt.ids[question.ids.len()..];
            assert_eq!(
                (scene.text(added).as_str(), asked.open.as_str()),
                (" f", "(x")
            );
            assert_eq!(added.len(), asked.head);
            assert_eq!(asked.prompt.positions[0].len(), asked.prompt.ids.len());
        }
    }

    #[test]
    fn what_is_typed_along_an_answer_keeps_its_tokens() {
        let scene = Scene::new("a = 1\nb = ‸\nc = 3\n", Template::InfillV1);
        let bytewise: Vec<u32> = " fact(x"
            .chars()
            .flat_map(|c| scene.vocab.encode(&c.to_string()))
            .collect();
        let ask = |head: &str| {
            let asked = scene.anchor.ask(&scene.vocab, head, &bytewise);
            let start = asked.prompt.ids.len() - asked.head;
            (asked.prompt.ids[start..].to_vec(), asked.open)
        };
        let plain = |head: &str| {
            let asked = scene.anchor.ask(&scene.vocab, head, &[]);
            let start = asked.prompt.ids.len() - asked.head;
            (asked.prompt.ids[start..].to_vec(), asked.open)
        };
        let (ids, open) = ask(" fact(");
        assert_eq!(format!("{}{open}", scene.text(&ids)), " fact(");
        assert!(!ids.is_empty() && bytewise.starts_with(&ids));
        assert_ne!(ids, plain(" fact(").0);
        assert_eq!(ask(" fact(y"), plain(" fact(y"), "another way");
        assert_eq!(ask(" fact(x, y"), plain(" fact(x, y"), "beyond its end");
    }

    #[test]
    fn the_editors_own_brackets_are_left_out() {
        let scene = Scene::new("f(‸)\nend\n", Template::InfillV1);
        assert!(!scene.text(&scene.anchor.prompt().ids).contains(')'));
        assert_eq!(scene.head("f(‸)\nend\n").as_deref(), Some("("));
        assert_eq!(scene.head("f(a, [‸])\nend\n").as_deref(), Some("(a, ["));
        assert_eq!(scene.head("f(a)‸\nend\n").as_deref(), Some("(a)"));
        let amid = Scene::new("f(‸, b)\nend\n", Template::InfillV1);
        assert!(amid.text(&amid.anchor.prompt().ids).contains(", b)"));
        assert_eq!(amid.head("f(a‸, b)\nend\n").as_deref(), Some("(a"));
    }

    #[test]
    fn edits_outside_of_the_window_do_not_matter() {
        let lines: String = (0..200).map(|n| format!("{n} + {n}\n")).collect();
        let (above, below) = lines.split_at(lines.find("100").unwrap());
        let scene = Scene::new(&format!("{above}x = ‸\n{below}"), Template::InfillV1);
        let far = format!("new\n{above}x = y‸\n{below}new\n");
        assert_eq!(scene.head(&far).as_deref(), Some(" y"));
        let near = format!("{above}new\nx = y‸\n{below}");
        assert_eq!(scene.head(&near), None);
    }

    #[test]
    fn positions_go_on_as_the_model_counts_them() {
        let scene = Scene::new("a = ‸\n", Template::InfillV1);
        let question = scene.anchor.prompt().clone();
        let asked = scene.anchor.ask(&scene.vocab, " b c", &[]).prompt;
        let n = question.ids.len();
        assert!(asked.ids.len() > n);
        let mask = question.mask_at.unwrap() as u32;
        assert!(asked.positions[0][n - 1..].iter().all(|&row| row == mask));
        let spans: Vec<u32> = (1..).take(asked.ids.len() - n + 1).collect();
        assert_eq!(asked.positions[1][n - 1..], spans);
        let causal = Scene::new("a = ‸\n", Template::CodeGeex4);
        let asked = causal.anchor.ask(&causal.vocab, " b c", &[]).prompt;
        let places: Vec<u32> = (0..).take(asked.ids.len()).collect();
        assert_eq!(asked.positions[0], places);
    }

    #[test]
    fn a_window_is_kept_by_models_that_read_from_left_to_right() {
        let lines: String = (0..60).map(|n| format!("{n} + {n}\n")).collect();
        let (above, below) = lines.split_at(lines.find("30").unwrap());
        let scene = Scene::new(&format!("{above}x = ‸\n{below}"), Template::CodeGeex4);
        let (text, offset) = cursor(&format!("{above}x = y\n‸\n{below}"));
        let snapshot = Snapshot::new(&text, Language::PLAIN);
        let situation = classify(&snapshot, Region::Code, offset).unwrap();
        let again = |part_a| {
            let budget = Budget { part_a, ..BUDGET };
            let (around, earlier) = (Around::default(), Some(&scene.anchor));
            let template = Template::CodeGeex4;
            Anchor::new(
                &snapshot,
                &situation,
                &scene.vocab,
                template,
                &around,
                budget,
                earlier,
            )
            .unwrap()
        };
        let kept = again(BUDGET.part_a + 8);
        let question = &scene.anchor.prompt().ids;
        let same = |other: &Anchor| {
            let pairs = question.iter().zip(&other.prompt().ids);
            pairs.take_while(|(a, b)| a == b).count()
        };
        assert_eq!(
            kept.prompt().window.start,
            scene.anchor.prompt().window.start
        );
        assert!(
            same(&kept) > question.len() - 8,
            "{} of {}",
            same(&kept),
            question.len()
        );
        let cut = again(BUDGET.part_a);
        assert!(cut.prompt().ids.len() <= BUDGET.part_a - BUDGET.part_a / 16);
    }

    #[test]
    fn after_a_jump_a_window_starts_where_it_did() {
        let lines: Vec<String> = (0..90).map(|n| format!("{n} + {n}\n")).collect();
        let blank = |at: usize| {
            let (above, below) = lines.split_at(at);
            format!("{}x = ‸\n{}", above.concat(), below.concat())
        };
        let scene = Scene::new(&blank(45), Template::InfillV1);
        let start = scene.anchor.prompt().window.start;
        assert!(start > 0);
        let anchored = |marked: &str, earlier: Option<&Anchor>| {
            let (text, offset) = cursor(marked);
            let snapshot = Snapshot::new(&text, Language::PLAIN);
            let situation = classify(&snapshot, Region::Code, offset).unwrap();
            let (template, around) = (Template::InfillV1, Around::default());
            let (vocab, budget) = (&scene.vocab, BUDGET);
            Anchor::new(
                &snapshot, &situation, vocab, template, &around, budget, earlier,
            )
            .unwrap()
        };
        for (at, is_kept) in [
            (41, true),
            (48, true),
            (10, false),
            (30, false),
            (80, false),
        ] {
            let jumped = anchored(&blank(at), Some(&scene.anchor));
            let prompt = jumped.prompt();
            assert_eq!(prompt.window.start == start, is_kept, "a jump to line {at}");
            assert!(prompt.part_a <= BUDGET.part_a, "{} tokens", prompt.part_a);
            let before = prompt.mask_at.unwrap();
            let pairs = prompt.ids[..before].iter().zip(&scene.anchor.prompt().ids);
            let same = pairs.take_while(|(a, b)| a == b).count();
            assert_eq!(
                same > BUDGET.part_a / 3,
                is_kept,
                "{same} tokens are the same"
            );
        }
        // Where other text stands there now, it is a window like any other.
        let text = blank(48).replacen("30 + 30", "30 - 30 - 30", 1);
        let other = anchored(&format!("# more\n{text}"), Some(&scene.anchor));
        let alone = anchored(&format!("# more\n{text}"), None);
        assert!(other.prompt().window.start >= alone.prompt().window.start);
        assert_ne!(other.prompt().window.start, start);
    }
}
