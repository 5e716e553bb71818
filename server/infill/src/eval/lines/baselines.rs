//! Answers that need no model: what a model has to be better than.
//!
//! Both take the text before the cursor and behind it, and give the rest of a line, empty if they know none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// Most tokens before the cursor that are looked for elsewhere.
const CONTEXT: usize = 5;
/// Most tokens of an answer.
const TOKENS: usize = 40;
/// Stands where the blank is: no run of tokens goes beyond it.
const HOLE: &str = "";

/// The commonest continuation of the last few tokens elsewhere in the text, token by token to the line's end.
///
/// Of one to five tokens before the cursor, as many count as occur elsewhere; of continuations that are equally common,
/// the one that is nearest to the cursor is taken. A word that is half typed decides how the first token begins.
pub fn ngram(before: &str, after: &str) -> String {
    let mut context = tokens(before);
    let mut head = "";
    if let Some(word) = context.last().filter(|word| word.starts_with(is_word)) {
        head = *word;
        context.pop();
    }
    let text = Tokens::new(&context, &tokens(after));
    let mut answer = String::new();
    for _ in 0..TOKENS {
        let next = text.commonest(&context, head);
        let Some(next) = next.filter(|next| !next.starts_with(['\n', '\r'])) else {
            break;
        };
        answer += &next[head.len()..];
        head = "";
        context.push(next);
    }
    without_rest(&answer, after)
}

/// The rest of the line that is most similar up to the cursor.
///
/// That is the line in which the longest piece of text occurs that is typed before the cursor, and best at its beginning.
/// If the line is empty yet, it is the line below the one that begins most like the line above the cursor. Of equally
/// similar lines the nearest above the cursor is taken, else the nearest below.
pub fn similar_line(before: &str, after: &str) -> String {
    let (above, typed) = before.rsplit_once('\n').unwrap_or(("", before));
    let below = after.split_once('\n').map_or("", |(_, below)| below);
    let above = above.lines().rev().map(str::trim);
    let below = below.lines().map(str::trim);
    let found = match typed.trim_start() {
        "" => {
            let above: Vec<&str> = above.filter(|line| !line.is_empty()).collect();
            let previous = above.first().copied().unwrap_or_default();
            let below: Vec<&str> = below.filter(|line| !line.is_empty()).collect();
            let pairs = above.windows(2).map(|pair| (pair[1], pair[0]));
            let pairs = pairs.chain(below.windows(2).map(|pair| (pair[0], pair[1])));
            let alike = pairs.map(|(line, next)| (common_beginning(line, previous), next));
            first_best(alike)
        }
        typed => first_best(above.chain(below).filter_map(|line| rest_of(line, typed))),
    };
    without_rest(found.unwrap_or_default(), after)
}

/// The best match, the first of equally good ones; none that has nothing in common.
fn first_best<'a>(found: impl Iterator<Item = (usize, &'a str)>) -> Option<&'a str> {
    let alike = found.filter(|(common, _)| *common > 0).enumerate();
    let best = alike.max_by_key(|(place, (common, _))| (*common, Reverse(*place)));
    best.map(|(_, (_, text))| text)
}

/// What follows in `line` where it is most like the end of `typed`, and how many bytes are alike; one more if nothing
/// else is before them.
fn rest_of<'a>(line: &'a str, typed: &str) -> Option<(usize, &'a str)> {
    let places = line.char_indices().map(|(at, _)| at).skip(1);
    let matches = places.map(|at| {
        let (left, rest) = line.split_at(at);
        let ends = left.bytes().rev().zip(typed.bytes().rev());
        let common = ends.take_while(|(one, other)| one == other).count();
        let is_all = common == left.len() && common == typed.len();
        (common + usize::from(is_all), rest)
    });
    matches.max_by_key(|(common, _)| *common)
}

/// Twice the bytes with which both begin, and one more if they are the same.
fn common_beginning(one: &str, other: &str) -> usize {
    let pairs = one.bytes().zip(other.bytes());
    let common = pairs.take_while(|(one, other)| one == other).count();
    2 * common + usize::from(one == other)
}

/// The answer without the end that stands behind the cursor already.
fn without_rest(answer: &str, after: &str) -> String {
    let rest = after.lines().next().unwrap_or_default().trim_end();
    let answer = answer.trim_end();
    answer.strip_suffix(rest).unwrap_or(answer).to_owned()
}

/// The tokens of a text with a hole in it, and where each occurs.
struct Tokens<'a> {
    all: Vec<&'a str>,
    hole: usize,
    places: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Tokens<'a> {
    fn new(before: &[&'a str], after: &[&'a str]) -> Tokens<'a> {
        let all = [before, &[HOLE], after].concat();
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, token) in all.iter().enumerate() {
            places.entry(token).or_default().push(place);
        }
        let hole = before.len();
        Tokens { all, hole, places }
    }

    /// The commonest token that begins with `head` behind as many tokens of the context's end as occur before any.
    fn commonest(&self, context: &[&str], head: &str) -> Option<&'a str> {
        let mut longest = 0;
        let mut found: BTreeMap<&str, (usize, Reverse<usize>)> = BTreeMap::new();
        for &place in self.places.get(context.last()?)? {
            let next = self.all.get(place + 1).filter(|next| **next != HOLE);
            let Some(next) = next.filter(|next| next.starts_with(head)) else {
                continue;
            };
            let here = self.all[..=place].iter().rev().zip(context.iter().rev());
            let alike = here.take(CONTEXT).take_while(|(one, other)| one == other);
            let length = alike.count();
            if length > longest {
                found.clear();
                longest = length;
            }
            if length == longest {
                let distance = Reverse(place.abs_diff(self.hole));
                let (count, nearest) = found.entry(next).or_insert((0, distance));
                *count += 1;
                *nearest = distance.max(*nearest);
            }
        }
        let best = found.into_iter().max_by_key(|(_, rank)| *rank);
        best.map(|(token, _)| token)
    }
}

/// Words and numbers, runs of blanks, line ends, and all else a character each.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if is_blank(first) {
            rest.find(|c| !is_blank(c)).unwrap_or(rest.len())
        } else if rest.starts_with("\r\n") {
            2
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text before `‸` and behind it.
    fn ask(answer: fn(&str, &str) -> String, text: &str) -> String {
        let (before, after) = text.split_once('‸').unwrap();
        answer(before, after)
    }

    #[test]
    fn tokens_are_words_blanks_line_ends_and_marks() {
        assert_eq!(
            tokens("a_1  +=é\r\n\t)\n"),
            ["a_1", "  ", "+", "=", "é", "\r\n", "\t", ")", "\n"]
        );
        assert!(tokens("").is_empty());
    }

    #[test]
    fn what_follows_most_often_is_the_answer() {
        let text = "f(a, b);\nf(a, c);\nf(a, c);\nf(a, ‸\nend\n";
        assert_eq!(ask(ngram, text), "c);");
        assert_eq!(
            ask(ngram, "log(x);\nlog(y);\nlo‸\n"),
            "g(y);",
            "the nearest of two"
        );
        assert_eq!(ask(ngram, "one\nloop\nl‸;\n"), "oop");
        assert_eq!(ask(ngram, "f(a)\nf(‸)\n"), "a", "the closer is there");
        assert_eq!(
            ask(ngram, "call(first, ‸\ncall(first, second)\n"),
            "second)",
            "from behind"
        );
    }

    #[test]
    fn longer_contexts_go_first() {
        let text = "x = 1\nx = 1\nx = 1\nlong_name = 2\nlong_name = ‸\n";
        assert_eq!(ask(ngram, text), "2");
    }

    #[test]
    fn nothing_goes_through_the_hole() {
        assert_eq!(ask(ngram, "a‸ b\n"), "");
        assert_eq!(ask(ngram, "‸"), "");
        assert_eq!(ask(similar_line, "‸"), "");
    }

    #[test]
    fn the_most_similar_line_is_copied() {
        let text = "\tcount += 1\n\ttotal += price\n\tother_total += ‸\n";
        assert_eq!(ask(similar_line, text), "price");
        assert_eq!(ask(similar_line, "  return a + b\n  return ‸\n"), "a + b");
        assert_eq!(
            ask(similar_line, "f(‸)\n\ng(f(x))\n"),
            "x)",
            "one closer is there"
        );
    }

    #[test]
    fn below_the_line_like_the_one_above_is_what_an_empty_line_gets() {
        let text = "if err != nil {\n\treturn err\n}\nx()\nif err != nil {\n\t‸\n}\n";
        assert_eq!(ask(similar_line, text), "return err");
        assert_eq!(
            ask(similar_line, "open(a)\n‸\n\nopen(b)\nclose(b)\n"),
            "close(b)"
        );
    }
}
