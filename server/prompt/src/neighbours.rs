//! Excerpts of other files that are worth showing beside a text.
//!
//! A file is cut once a version ([`Neighbour::new`]) into runs of lines that belong together, each with the words in it;
//! lines and their indentation decide where, not a tree, so that the same text always gives the same excerpts and cutting
//! costs no parse. [`choose`] ranks the excerpts of several files by the words that they share with the text around a
//! cursor, and gives the best of them. Which files may be shown at all is [`Gate`](crate::Gate)'s, which are asked about is
//! the caller's, and how they are laid out is the template's.

use std::cmp::Ordering;
use std::ops::Range;

use grammars::Language;
use text::Snapshot;

use crate::Reference;

/// Most lines of an excerpt: some 130 tokens, so that a small model's window has room for one or two.
const LINES_MOST: usize = 12;

/// Fewest lines of an excerpt that is cut where the text goes on.
const LINES_LEAST: usize = 4;

/// Most bytes of an excerpt. A longer line is data and is in none.
const EXCERPT_BYTES: usize = 1024;

/// Bytes of a file that are cut, from its start.
const FILE_BYTES: usize = 128 << 10;

/// Bytes before and behind the cursor whose words count. With eight times as many, excerpts have fewer of the words that come
/// next, and half as many of the lines.
const NEAR: [usize; 2] = [256, 128];

/// Bytes at the start of a text in which its imports are looked for.
const IMPORTS: usize = 8 << 10;

/// Words one of which stands in any line that imports something, whatever the language.
const IMPORTING: &[&str] = &[
    "import",
    "from",
    "use",
    "using",
    "mod",
    "include",
    "require",
    "require_relative",
    "source",
];

/// Names of files that go by the name of their folder.
const FOLDERS_OWN: &[&str] = &["__init__", "index", "lib", "mod"];

/// Bytes of code that are a token, at the least: what is chosen should fit.
const TOKEN_BYTES: usize = 3;

/// How many words two excerpts may share, of all that they have, before one of them is enough.
const TOO_ALIKE: f32 = 0.6;

/// Words that an excerpt shares with the text at least.
const SHARED_LEAST: usize = 2;

/// What it is worth to an excerpt that the text imports its file, that it lies in the same folder, and that it is the
/// file that was edited last, each as a part of what its words are worth.
const IMPORTED: f32 = 0.5;
const SAME_FOLDER: f32 = 0.6;
const LATEST: f32 = 0.2;

/// What is left of an excerpt's worth in a text of another language.
const FOREIGN: f32 = 0.5;

/// A file, cut into excerpts.
#[derive(Debug)]
pub struct Neighbour {
    path: String,
    language: Language,
    text: String,
    excerpts: Vec<Excerpt>,
    /// The words of the excerpts, one after the other, each once in its excerpt.
    words: Vec<u32>,
    /// The words of the name by which others import it.
    name: Vec<u32>,
}

/// A run of lines of a file.
#[derive(Debug)]
struct Excerpt {
    bytes: Range<usize>,
    words: Range<usize>,
}

/// Where the excerpts are to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// The file's path, its folders parted by `/`.
    pub path: &'a str,
    /// Its text.
    pub snapshot: &'a Snapshot,
    /// The cursor, in bytes.
    pub offset: usize,
}

impl Neighbour {
    /// Cuts a file; of a very long one, the beginning. Its path has folders parted by `/`.
    pub fn new(path: &str, snapshot: &Snapshot) -> Neighbour {
        let text = snapshot.slice(0..FILE_BYTES);
        let mut words = Vec::new();
        let excerpts = cut(&text).into_iter().map(|bytes| {
            let start = words.len();
            words.extend(words_of(&text[bytes.clone()]));
            let words = start..words.len();
            Excerpt { bytes, words }
        });
        Neighbour {
            excerpts: excerpts.collect(),
            path: path.to_owned(),
            language: snapshot.language(),
            name: words_of(name(path)),
            text,
            words,
        }
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes of memory that it takes, about.
    pub fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.words.as_slice()) + size_of_val(self.excerpts.as_slice())
    }

    fn words(&self, excerpt: usize) -> &[u32] {
        &self.words[self.excerpts[excerpt].words.clone()]
    }
}

/// The best excerpts of these files for this place, the best first, of at most `tokens` tokens together, about.
/// `neighbours` are told with the file that was edited last first; each excerpt comes with the place of its file among them.
/// The same texts give the same excerpts.
///
/// An excerpt is worth the words that it shares with the text near the cursor, of all the words in either (Jaccard's index),
/// a word weighing the less the more excerpts have it.
pub fn choose<'a>(
    here: &Here,
    neighbours: &[&'a Neighbour],
    tokens: usize,
) -> Vec<(usize, Reference<'a>)> {
    let ranked = rank(here, neighbours);
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut left = tokens.saturating_mul(TOKEN_BYTES);
    for Ranked { file, excerpt, .. } in ranked {
        let neighbour = neighbours[file];
        let words = neighbour.words(excerpt);
        let needed = neighbour.excerpts[excerpt].bytes.len() + label(&neighbour.path).len();
        let is_known = |other: &Chosen| {
            let file = neighbours[other.file];
            (other.first..=other.last).any(|known| alike(words, file.words(known)) > TOO_ALIKE)
        };
        if needed > left || chosen.iter().any(is_known) {
            continue;
        }
        left -= needed;
        // What follows one another in the file is shown as one.
        let follows = |other: &&mut Chosen| other.file == file && other.touches(excerpt);
        match chosen.iter_mut().find(follows) {
            Some(other) => {
                other.first = other.first.min(excerpt);
                other.last = other.last.max(excerpt);
            }
            None => chosen.push(Chosen {
                file,
                first: excerpt,
                last: excerpt,
            }),
        }
    }
    let reference = |Chosen { file, first, last }| {
        let Neighbour {
            path,
            text,
            excerpts,
            ..
        } = neighbours[file];
        let text = &text[excerpts[first].bytes.start..excerpts[last].bytes.end];
        let path = label(path);
        (file, Reference { path, text })
    };
    chosen.into_iter().map(reference).collect()
}

/// Excerpts of a file that follow one another.
struct Chosen {
    file: usize,
    first: usize,
    last: usize,
}

impl Chosen {
    fn touches(&self, excerpt: usize) -> bool {
        excerpt + 1 == self.first || excerpt == self.last + 1
    }
}

/// An excerpt and what it is worth.
struct Ranked {
    worth: f32,
    file: usize,
    excerpt: usize,
}

/// The excerpts that are worth something, the best first.
fn rank(here: &Here, neighbours: &[&Neighbour]) -> Vec<Ranked> {
    let near = Near::new(here);
    // Which of the near words each excerpt has, one excerpt after the other.
    let mut hits: Vec<usize> = Vec::new();
    let mut shared: Vec<(usize, usize, Range<usize>)> = Vec::new();
    let mut frequency = vec![0u32; near.words.len()];
    for (file, neighbour) in neighbours.iter().enumerate() {
        for excerpt in 0..neighbour.excerpts.len() {
            let start = hits.len();
            let words = neighbour.words(excerpt).iter();
            hits.extend(words.filter_map(|&word| near.find(word)));
            if hits.len() - start >= SHARED_LEAST {
                hits[start..].iter().for_each(|&word| frequency[word] += 1);
                shared.push((file, excerpt, start..hits.len()));
            } else {
                hits.truncate(start);
            }
        }
    }
    // A square root and not a logarithm: it is rounded alike on all machines.
    let weight = |&word: &usize| 1.0 / (frequency[word] as f32).sqrt();
    let preference: Vec<f32> = neighbours
        .iter()
        .enumerate()
        .map(|(file, neighbour)| near.preference(here, neighbour, file))
        .collect();
    let mut ranked: Vec<Ranked> = shared
        .into_iter()
        .map(|(file, excerpt, own)| {
            let words = neighbours[file].words(excerpt).len() + near.words.len() - own.len();
            let shared: f32 = hits[own].iter().map(weight).sum();
            Ranked {
                worth: preference[file] * shared / words as f32,
                file,
                excerpt,
            }
        })
        .collect();
    // No worth is a NaN: words are shared, so there are some.
    ranked.sort_by(|a, b| {
        let worth = b.worth.partial_cmp(&a.worth).unwrap_or(Ordering::Equal);
        worth.then((a.file, a.excerpt).cmp(&(b.file, b.excerpt)))
    });
    ranked
}

/// What is known of the text around the cursor.
struct Near {
    /// The words near the cursor, sorted.
    words: Vec<u32>,
    /// A bit for each word by its last bits: most words of excerpts are not near and need not be looked for.
    filter: [u64; 128],
    /// The words of the lines that import something, sorted.
    imports: Vec<u32>,
}

impl Near {
    fn new(here: &Here) -> Near {
        let Here {
            snapshot, offset, ..
        } = *here;
        let text = snapshot.slice(offset.saturating_sub(NEAR[0])..offset + NEAR[1]);
        let words = words_of(&text);
        let mut filter = [0; 128];
        for word in &words {
            let (place, bit) = bit(*word);
            filter[place] |= bit;
        }
        let importing: Vec<u32> = IMPORTING.iter().map(|word| hash(word)).collect();
        let mut imports: Vec<u32> = Vec::new();
        for line in snapshot.slice(0..IMPORTS).lines() {
            let words = words_of(line);
            if words.iter().any(|word| importing.contains(word)) {
                imports.extend(words);
            }
        }
        imports.sort_unstable();
        Near {
            words,
            filter,
            imports,
        }
    }

    /// The place of a word among those near the cursor.
    fn find(&self, word: u32) -> Option<usize> {
        let (place, bit) = bit(word);
        if self.filter[place] & bit == 0 {
            return None;
        }
        self.words.binary_search(&word).ok()
    }

    /// How much more, or less, the excerpts of this file are worth than their words.
    fn preference(&self, here: &Here, neighbour: &Neighbour, place: usize) -> f32 {
        let Neighbour {
            path,
            language,
            name,
            ..
        } = neighbour;
        let is_known = |word: &u32| self.imports.binary_search(word).is_ok();
        let imported = !name.is_empty() && name.iter().all(is_known);
        let preference = 1.0
            + IMPORTED * f32::from(u8::from(imported))
            + SAME_FOLDER / (1 + steps(here.path, path)) as f32
            + LATEST / (1 + place) as f32;
        match *language == here.snapshot.language() {
            true => preference,
            false => preference * FOREIGN,
        }
    }
}

fn bit(word: u32) -> (usize, u64) {
    let low = word as usize % (128 * 64);
    (low / 64, 1 << (low % 64))
}

/// Cuts a text at blank lines and where its indentation is least.
fn cut(text: &str) -> Vec<Range<usize>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = end;
        end += line.len();
        lines.push(Line::new(line, start));
    }
    let mut excerpts = Vec::new();
    let mut first = 0;
    while first < lines.len() {
        if lines[first].is_left_out() {
            first += 1;
            continue;
        }
        let end = first + length(&lines[first..]);
        let last = lines[first..end].iter().rev().find(|line| !line.is_blank);
        // The first line has text.
        let last = last.unwrap_or(&lines[first]);
        excerpts.push(lines[first].start..last.start + last.bytes);
        first = end;
    }
    excerpts
}

/// A line of a file.
struct Line {
    start: usize,
    /// Bytes without the blank text at its end.
    bytes: usize,
    /// Bytes of blank text at its start.
    indent: usize,
    is_blank: bool,
}

impl Line {
    fn new(line: &str, start: usize) -> Line {
        let text = line.trim_end();
        Line {
            start,
            bytes: text.len(),
            indent: text.len() - text.trim_start().len(),
            is_blank: text.is_empty(),
        }
    }

    fn is_left_out(&self) -> bool {
        self.is_blank || self.bytes > EXCERPT_BYTES
    }
}

/// How many of these lines the first excerpt has.
fn length(lines: &[Line]) -> usize {
    let first = &lines[0];
    let fits = |line: &Line| line.start + line.bytes - first.start <= EXCERPT_BYTES;
    let most = lines.iter().take(LINES_MOST).take_while(|line| fits(line));
    let most = most.count();
    // Where what follows stands further left than anything else that could; behind a blank line if there is one, else as
    // late as can be.
    let cuts = LINES_LEAST.min(most)..=most;
    let worth = |&end: &usize| {
        let next = lines[end..].iter().find(|line| !line.is_blank);
        let indent = next.map_or(0, |line| line.indent);
        let is_apart = end == lines.len() || lines[end - 1].is_blank || lines[end].is_blank;
        (std::cmp::Reverse(indent), is_apart, end)
    };
    cuts.max_by_key(worth).unwrap_or(most)
}

/// The different words of a text, sorted by their hashes: letters, digits and underscores that do not begin with a digit,
/// two of them at least.
fn words_of(text: &str) -> Vec<u32> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    let words =
        words.filter(|word| word.len() > 1 && !word.starts_with(|c: char| c.is_ascii_digit()));
    let mut hashes: Vec<u32> = words.map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// FNV-1a of 32 bits, the same on all machines. Two words that share a hash do little harm.
fn hash(word: &str) -> u32 {
    word.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The words that both have, of those that either has; both are sorted.
fn alike(a: &[u32], b: &[u32]) -> f32 {
    let shared = a
        .iter()
        .filter(|word| b.binary_search(word).is_ok())
        .count();
    shared as f32 / (a.len() + b.len() - shared).max(1) as f32
}

/// How a model is told of a file: its name and its folder's.
fn label(path: &str) -> &str {
    let second = path.rmatch_indices('/').nth(1);
    let start = second.map_or(0, |(slash, _)| slash + 1);
    path[start..].trim_start_matches('/')
}

/// The name by which other files import this one.
fn name(path: &str) -> &str {
    let mut parts = path.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let file = file.split('.').next().unwrap_or_default();
    match FOLDERS_OWN.contains(&file) {
        true => parts.next().unwrap_or_default(),
        false => file,
    }
}

/// How many folders one goes up and down from one file to the other.
fn steps(from: &str, to: &str) -> usize {
    let (from, to) = (folders(from), folders(to));
    let same = from.clone().zip(to.clone()).take_while(|(a, b)| a == b);
    from.count() + to.count() - 2 * same.count()
}

/// The folders of a path, outermost first.
fn folders(path: &str) -> impl Iterator<Item = &str> + Clone {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.split('/').filter(|part| !part.is_empty())
}
