//! `infill shards`: a corpus of source files to the training examples that `pretrain/train.py` reads.
//!
//! Walks `CORPUS/SPLIT/PACKAGE/…`, draws examples from every file (`prompt::example`) and writes
//! them as ids, so that whoever trains never lays out a prompt. The same corpus, options and seed
//! give the same bytes. What is in the corpus is not judged here beyond what cannot be used at all.
//! With `--neighbours`, a share of the examples shows excerpts of other files of the same package, chosen as the server
//! chooses them. With `--pairs`, the examples are questions for a translation and their answers, each once.
//!
//! A shard is a run of records, packed by gzip, all numbers u16, little-endian: `n` tokens in all, `a` of them in
//! Part A, then `ids[n]`, `row0[n]`, `row1[n]`, `targets[n - a]`. A target of 65535 is none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

mod pairs;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use fastrand::Rng;
use flate2::{Compression, write::GzEncoder};
use grammars::Language;
use prompt::example::{Beside, Example, Mix, NO_LOSS, Source};
use prompt::{Neighbour, Template};
use serde::Serialize;
use text::Snapshot;
use vocab::Vocab;

use crate::corpus::{Packages, SourceFile, source_files};

/// Languages get tokens in proportion to their bytes to this power, so that the large ones do not
/// crowd out the small ones.
const BALANCE: f64 = 0.7;
/// Files that are read together before their examples go on, by all threads.
const BATCH: usize = 64;
/// A file that is read at all gives about this many examples or more: reading one costs as much as
/// drawing several.
const FILE_EXAMPLES: f64 = 4.0;
/// Draws in a row that may find no place in a text before the text is left.
const MISSES: usize = 8;

/// The options of `infill shards`.
#[derive(Args, Debug, Clone)]
pub struct ShardsArgs {
    /// Folder of the corpus, with a folder for each split and in it one for each package.
    #[arg(required_unless_present = "pairs")]
    pub corpus: Option<PathBuf>,
    /// Translations to learn instead: a list with a JSON object a line, keys `from`, `to`, `code`, `translation`, and
    /// where they are wanted `context`, `declaration` and `attempts`, each of `code` and `complaint`. Makes one split,
    /// `train`. May be repeated.
    #[arg(long, value_name = "FILE", requires = "template", conflicts_with_all = ["corpus", "splits"])]
    pub pairs: Vec<PathBuf>,
    /// How the model that learns the pairs will be asked.
    #[arg(long, value_name = "NAME", requires = "pairs")]
    pub template: Option<String>,
    /// Folder to write the shards, `manifest.json` and the tokenizer to.
    #[arg(long)]
    pub out: PathBuf,
    /// The `tokenizer.json` to encode with.
    #[arg(long)]
    pub tokenizer: PathBuf,
    /// A split and how many tokens of examples to draw from it, as `train:25000000`. May be
    /// repeated.
    #[arg(long = "split", value_name = "NAME:TOKENS", required_unless_present = "pairs", value_parser = parse_split)]
    pub splits: Vec<Split>,
    /// Most tokens of an example, Part A and Part B together.
    #[arg(long, default_value_t = 512)]
    pub max_len: usize,
    /// Tokens of one shard file, about; examples are shuffled within it.
    #[arg(long, default_value_t = 16_000_000)]
    pub shard_tokens: usize,
    /// How often each kind of example is drawn, as weights: `tokens` ([MASK] over short runs), `statements` ([sMASK] over
    /// whole ones), `lines` (second halves of them), `tail` and `block` ([gMASK]), `cursor` (what editing leaves open);
    /// as `tail:1,cursor:2`, where a kind that is not named is not drawn
    #[arg(long, value_parser = parse_mix, conflicts_with = "pairs")]
    pub mix: Option<Mix>,
    /// What share of the examples with a cursor shows excerpts of other files of their package, 0 to 1; above 0, the model
    /// that learns from them is asked as `infill_v2`
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share, conflicts_with = "pairs")]
    pub neighbours: f32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads to work with.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
}

/// A split of the corpus and the tokens to draw from it.
#[derive(Debug, Clone)]
pub struct Split {
    /// The split's folder in the corpus, and the start of its shards' names.
    pub name: String,
    /// Tokens of examples to draw, Part A included.
    pub tokens: usize,
}

fn parse_split(value: &str) -> Result<Split> {
    let Some((name, tokens)) = value.split_once(':') else {
        bail!("expected NAME:TOKENS, as in train:25000000");
    };
    let tokens = tokens
        .replace('_', "")
        .parse()
        .context("TOKENS is not a number")?;
    Ok(Split {
        name: name.to_owned(),
        tokens,
    })
}

fn parse_mix(value: &str) -> Result<Mix> {
    let mut mix = Mix::NONE;
    for part in value.split(',') {
        let (kind, weight) = part
            .split_once(':')
            .with_context(|| format!("`{part}` is not KIND:WEIGHT, as in cursor:2"))?;
        let weight: f32 = weight
            .parse()
            .ok()
            .filter(|weight| (0.0..=1e6).contains(weight))
            .with_context(|| format!("the weight `{weight}` of `{kind}` is no number from 0 on"))?;
        *mix.weight(kind)
            .with_context(|| format!("there is no kind of example called `{kind}`"))? = weight;
    }
    ensure!(mix != Mix::NONE, "no kind has a weight");
    Ok(mix)
}

fn parse_share(value: &str) -> Result<f32> {
    let share = value.parse().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.with_context(|| format!("`{value}` is no number from 0 to 1"))
}

/// Makes the shards of every split, the manifest, and a copy of the tokenizer beside them.
///
/// # Errors
/// If the tokenizer or the corpus cannot be read, if a split has no source file, or if the output
/// cannot be written.
pub fn run(args: &ShardsArgs) -> Result<()> {
    let json = fs::read(&args.tokenizer)
        .with_context(|| format!("cannot read the tokenizer {}", args.tokenizer.display()))?;
    let vocab = Vocab::from_json(&json).with_context(|| args.tokenizer.display().to_string())?;
    let template = match &args.template {
        Some(name) => Template::from_name(name)?,
        None if args.neighbours > 0.0 => Template::InfillV2,
        None => Template::InfillV1,
    };
    template
        .check(&vocab, vocab.len())
        .with_context(|| args.tokenizer.display().to_string())?;
    ensure!(
        vocab.len() < 1 << 16,
        "ids of {} tokens do not fit 16 bits",
        vocab.len()
    );
    ensure!(
        (64..=1 << 15).contains(&args.max_len),
        "--max-len {} is not between 64 and 32768",
        args.max_len
    );
    fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let path = args.out.join("tokenizer.json");
    fs::write(&path, &json).with_context(|| format!("cannot write {}", path.display()))?;
    let mut splits = BTreeMap::new();
    match &args.corpus {
        Some(corpus) => {
            for split in &args.splits {
                let figures = write_split(args, corpus, split, &vocab)?;
                splits.insert(split.name.clone(), figures);
            }
        }
        None => {
            splits.insert("train".to_owned(), write_pairs(args, template, &vocab)?);
        }
    }
    let manifest = Manifest {
        template: template.name(),
        vocab: vocab.len(),
        max_len: args.max_len,
        seed: args.seed,
        splits,
    };
    let path = args.out.join("manifest.json");
    let json = serde_json::to_string_pretty(&manifest).context("cannot write the manifest")?;
    fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// What `manifest.json` says.
#[derive(Serialize)]
struct Manifest {
    template: &'static str,
    vocab: usize,
    max_len: usize,
    seed: u64,
    splits: BTreeMap<String, Figures>,
}

/// What came of one split.
#[derive(Serialize, Default)]
struct Figures {
    files: usize,
    examples: usize,
    tokens: usize,
    loss_tokens: usize,
    /// Masks in Part A by kind: an example may have several.
    masks: BTreeMap<&'static str, usize>,
    /// Tokens by language.
    languages: BTreeMap<&'static str, usize>,
}

impl Figures {
    fn count(&mut self, language: Language, example: &Example, vocab: &Vocab) {
        self.examples += 1;
        self.tokens += example.ids.len();
        let targets = example.targets.iter();
        self.loss_tokens += targets.filter(|&&target| target != NO_LOSS).count();
        *self.languages.entry(language.name()).or_default() += example.ids.len();
        let part_a = &example.ids[..example.part_a];
        for name in ["[MASK]", "[sMASK]", "[gMASK]"] {
            let mask = vocab.id(name);
            let count = part_a.iter().filter(|&&id| Some(id) == mask).count();
            *self.masks.entry(name).or_default() += count;
        }
    }
}

/// A source file and how many tokens of examples to draw from it, about.
struct Owed {
    file: SourceFile,
    quota: f64,
}

/// Draws and writes the examples of one split.
fn write_split(args: &ShardsArgs, corpus: &Path, split: &Split, vocab: &Vocab) -> Result<Figures> {
    let folder = corpus.join(&split.name);
    let sources = source_files(&folder)?;
    let mut files = share_out(sources.clone(), split.tokens as f64);
    let packages = (args.neighbours > 0.0).then(|| Packages::new(&folder, &sources));
    let mut rng = Rng::with_seed(args.seed);
    rng.shuffle(&mut files);
    let mut figures = Figures::default();
    let mut shard = Shard {
        split: &split.name,
        out: &args.out,
        number: 0,
        records: Vec::new(),
        tokens: 0,
    };
    for batch in files.chunks(BATCH) {
        let seed = rng.u64(..);
        let drawn = draw_all(batch, packages.as_ref(), args, vocab, seed)?;
        for (Owed { file, .. }, examples) in batch.iter().zip(drawn) {
            figures.files += usize::from(!examples.is_empty());
            for example in &examples {
                figures.count(file.language, example, vocab);
                shard.push(example);
            }
        }
        if shard.tokens >= args.shard_tokens {
            shard.write(&mut rng)?;
        }
        tracing::debug!(
            split = split.name,
            tokens = figures.tokens,
            "drawing examples"
        );
    }
    shard.write(&mut rng)?;
    Ok(figures)
}

/// Writes the examples of all pairs, as one split.
fn write_pairs(args: &ShardsArgs, template: Template, vocab: &Vocab) -> Result<Figures> {
    let mut figures = Figures {
        files: args.pairs.len(),
        ..Figures::default()
    };
    let mut shard = Shard {
        split: "train",
        out: &args.out,
        number: 0,
        records: Vec::new(),
        tokens: 0,
    };
    for list in &args.pairs {
        for (language, example) in pairs::examples(list, template, vocab, args.max_len)? {
            figures.count(language, &example, vocab);
            shard.push(&example);
        }
    }
    shard.write(&mut Rng::with_seed(args.seed))?;
    Ok(figures)
}

/// Shares the tokens out among the languages, and in each among its files by their size.
fn share_out(files: Vec<SourceFile>, tokens: f64) -> Vec<Owed> {
    let mut bytes: BTreeMap<&str, f64> = BTreeMap::new();
    for file in &files {
        *bytes.entry(file.language.name()).or_default() += file.bytes as f64;
    }
    let sum: f64 = bytes.values().map(|bytes| bytes.powf(BALANCE)).sum();
    let owed = |file: SourceFile| {
        let of_language = bytes[file.language.name()];
        let share = of_language.powf(BALANCE) / sum;
        let quota = tokens * share * file.bytes as f64 / of_language;
        Owed { file, quota }
    };
    files.into_iter().map(owed).collect()
}

/// The examples of each file, in the order of the files, whatever thread draws them.
fn draw_all(
    files: &[Owed],
    packages: Option<&Packages>,
    args: &ShardsArgs,
    vocab: &Vocab,
    seed: u64,
) -> Result<Vec<Vec<Example>>> {
    let threads = args.threads.max(1);
    let work = |first: usize| {
        (first..files.len())
            .step_by(threads)
            .map(|index| {
                let seed = seed.wrapping_add(index as u64);
                (index, draw(&files[index], packages, args, vocab, seed))
            })
            .collect::<Vec<_>>()
    };
    let mut drawn = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || work(first)))
            .collect();
        let parts: Result<Vec<_>, _> = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        parts
    })
    .map_err(|_| anyhow::anyhow!("a thread that draws examples has panicked"))?
    .concat();
    drawn.sort_by_key(|&(index, _)| index);
    Ok(drawn.into_iter().map(|(_, examples)| examples).collect())
}

/// The examples of one file; none if it is not a text to learn from.
fn draw(
    owed: &Owed,
    packages: Option<&Packages>,
    args: &ShardsArgs,
    vocab: &Vocab,
    seed: u64,
) -> Vec<Example> {
    let mut rng = Rng::with_seed(seed);
    // Rounding at random keeps the share of small files, most of which are owed less than they
    // would give.
    let least = FILE_EXAMPLES * args.max_len as f64;
    let quota = (owed.quota / least + rng.f64()).floor() * least;
    if quota <= 0.0 {
        return Vec::new();
    }
    let Some(text) = owed.file.text() else {
        return Vec::new();
    };
    let snapshot = Snapshot::new(&text, owed.file.language);
    let syntax = snapshot.syntax(&mut || false);
    let mut source = Source::new(&snapshot, syntax.as_ref(), vocab)
        .expect("`run` has checked that the vocabulary has all that examples are made of");
    let place = packages.map_or_else(String::new, |packages| packages.place(&owed.file.path));
    let neighbours = packages.map_or_else(Vec::new, |packages| neighbours(packages, &owed.file));
    let neighbours: Vec<&Neighbour> = neighbours.iter().collect();
    if !neighbours.is_empty() {
        source = source.beside(Beside {
            path: &place,
            neighbours: &neighbours,
            share: args.neighbours,
        });
    }
    let mix = args.mix.unwrap_or_default();
    let mut examples = Vec::new();
    let mut tokens = 0;
    let mut misses = 0;
    // Half an example under the quota on average, as often as half of one over it.
    while tokens as f64 + args.max_len as f64 / 2.0 < quota && misses < MISSES {
        match source.draw(&mix, args.max_len, &mut rng) {
            Some(example) => {
                misses = 0;
                tokens += example.ids.len();
                examples.push(example);
            }
            None => misses += 1,
        }
    }
    examples
}

/// The files that stand beside this one.
fn neighbours(packages: &Packages, file: &SourceFile) -> Vec<Neighbour> {
    let cut = |other: &SourceFile| {
        let snapshot = Snapshot::new(&other.text()?, other.language);
        Some(Neighbour::new(&packages.place(&other.path), &snapshot))
    };
    let others = packages.beside(&file.path);
    others.into_iter().filter_map(cut).collect()
}

/// The shard file that is being filled.
struct Shard<'a> {
    split: &'a str,
    out: &'a Path,
    number: usize,
    records: Vec<Vec<u8>>,
    tokens: usize,
}

impl Shard<'_> {
    fn push(&mut self, example: &Example) {
        let Example {
            ids,
            positions: [row_0, row_1],
            part_a,
            targets,
        } = example;
        let lengths = [ids.len() as u32, *part_a as u32];
        let numbers = [&lengths[..], ids, row_0, row_1, targets].concat();
        // Ids and lengths fit 16 bits: `run` has checked the vocabulary and the longest example. `NO_LOSS` becomes the
        // largest number, which is no id.
        let record = numbers
            .iter()
            .flat_map(|&number| (number as u16).to_le_bytes())
            .collect();
        self.records.push(record);
        self.tokens += ids.len();
    }

    /// Writes what there is as the next file, shuffled, and starts anew.
    fn write(&mut self, rng: &mut Rng) -> Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        rng.shuffle(&mut self.records);
        let path = self
            .out
            .join(format!("{}-{:03}.bin.gz", self.split, self.number));
        let packed = || {
            let mut packed = GzEncoder::new(File::create(&path)?, Compression::default());
            packed.write_all(&self.records.concat())?;
            packed.finish()
        };
        packed().with_context(|| format!("cannot write {}", path.display()))?;
        self.records.clear();
        self.tokens = 0;
        self.number += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    const SOURCE: &str = "def area(width, height):\n    if width < 0:\n        raise ValueError(\"negative\")\n    return width * height\n\n\n";

    /// A corpus of a few files in a fresh folder of the system's own.
    fn corpus(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("infill-shards-{name}-{}", std::process::id()));
        let package = folder.join("corpus/train/package");
        fs::create_dir_all(&package).unwrap();
        for index in 0..5 {
            fs::write(package.join(format!("{index}.py")), SOURCE.repeat(40)).unwrap();
        }
        fs::write(package.join("README"), "no source file").unwrap();
        fs::write(package.join("broken.py"), b"x = '\xff\xfe'\n").unwrap();
        fs::write(
            folder.join("tokenizer.json"),
            vocab::fixture::tokenizer_json(),
        )
        .unwrap();
        folder
    }

    fn args(folder: &Path, out: &str, threads: usize) -> ShardsArgs {
        ShardsArgs {
            corpus: Some(folder.join("corpus")),
            pairs: Vec::new(),
            template: None,
            out: folder.join(out),
            tokenizer: folder.join("tokenizer.json"),
            splits: vec![parse_split("train:20_000").unwrap()],
            max_len: 128,
            shard_tokens: 8_000,
            mix: None,
            neighbours: 0.0,
            seed: 3,
            threads,
        }
    }

    /// The numbers of the records of a shard, each a slice of `n, a, ids, row0, row1, targets`.
    fn records(bytes: &[u8]) -> Vec<Vec<u16>> {
        let numbers: Vec<u16> = bytes
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let mut rest = &numbers[..];
        let mut records = Vec::new();
        while let [n, a, ..] = *rest {
            let len = 2 + 4 * usize::from(n) - usize::from(a);
            records.push(rest[..len].to_vec());
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        records
    }

    #[test]
    fn shards_hold_what_the_manifest_says_whatever_the_threads() {
        let folder = corpus("same");
        for (out, threads) in [("one", 1), ("three", 3)] {
            run(&args(&folder, out, threads)).unwrap();
        }
        let read = |out: &str, name: &str| fs::read(folder.join(out).join(name)).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&read("one", "manifest.json")).unwrap();
        assert_eq!(read("one", "manifest.json"), read("three", "manifest.json"));
        let name = "train-000.bin.gz";
        assert_eq!(read("one", name), read("three", name));

        let mut bytes = Vec::new();
        GzDecoder::new(&read("one", name)[..])
            .read_to_end(&mut bytes)
            .unwrap();
        let records = records(&bytes);
        let tokens: usize = records.iter().map(|record| usize::from(record[0])).sum();
        let loss: usize = records
            .iter()
            .map(|record| usize::from(record[0] - record[1]))
            .sum();
        let train = &manifest["splits"]["train"];
        assert_eq!(manifest["template"], "infill_v1");
        assert_eq!(train["files"], 5);
        assert_eq!(train["examples"], records.len());
        assert_eq!(train["tokens"], tokens);
        assert_eq!(train["loss_tokens"], loss);
        assert!((15_000..25_000).contains(&tokens), "{tokens}");
        assert!(
            records
                .iter()
                .all(|record| record[1] < record[0] && record[0] <= 128)
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    /// The ids of all examples, each as a text.
    fn texts(folder: &Path) -> Vec<String> {
        let vocab = Vocab::from_json(vocab::fixture::tokenizer_json().as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let file = fs::read(folder.join("train-000.bin.gz")).unwrap();
        GzDecoder::new(&file[..]).read_to_end(&mut bytes).unwrap();
        let records = records(&bytes);
        let ids = |record: &Vec<u16>| {
            let ids = record[2..2 + usize::from(record[0])].iter();
            ids.map(|&id| u32::from(id)).collect::<Vec<u32>>()
        };
        records
            .iter()
            .map(|record| vocab.decode(&ids(record)))
            .collect()
    }

    #[test]
    fn examples_show_files_of_their_own_package_as_often_as_asked() {
        let folder = corpus("beside");
        let other = folder.join("corpus/train/other");
        fs::create_dir_all(&other).unwrap();
        fs::write(
            other.join("stranger.py"),
            SOURCE.replace("area", "stranger"),
        )
        .unwrap();
        let package = folder.join("corpus/train/package");
        let sides = "def sides(width, height):\n    return [width, height]\n";
        fs::write(package.join("sides.py"), sides).unwrap();
        let draw = |out: &str, neighbours, threads| {
            let args = ShardsArgs {
                neighbours,
                max_len: 512,
                ..args(&folder, out, threads)
            };
            run(&args).unwrap();
            let manifest = fs::read(folder.join(out).join("manifest.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            (manifest["template"].clone(), texts(&folder.join(out)))
        };
        let shown = |texts: &[String]| {
            let excerpt = format!("# package/sides.py\n{sides}\n");
            let with = texts.iter().filter(|text| text.contains(&excerpt));
            with.count() * 100 / texts.len()
        };
        let (template, none) = draw("none", 0.0, 1);
        assert_eq!((template, shown(&none)), ("infill_v1".into(), 0));
        let (template, all) = draw("all", 1.0, 1);
        assert_eq!(template, "infill_v2");
        assert!(shown(&all) > 20, "{}", shown(&all));
        let (_, half) = draw("half", 0.5, 3);
        assert!(
            shown(&half) > 5 && shown(&half) < shown(&all),
            "{}",
            shown(&half)
        );
        assert_eq!(draw("again", 0.5, 1).1, half, "whatever the threads");
        let is_strange = |text: &&String| text.contains("stranger") && text.contains("package/");
        assert!(!all.iter().any(|text| is_strange(&text)));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_mix_is_what_it_says() {
        let mix = parse_mix("cursor:2,tail:0.5").unwrap();
        let want = Mix {
            cursor: 2.0,
            tail: 0.5,
            ..Mix::NONE
        };
        assert_eq!(mix, want);
        for wrong in ["", "cursor", "cursor:-1", "cursor:nan", "words:1", "tail:0"] {
            assert!(parse_mix(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let folder = corpus("mistakes");
        let error = |change: fn(&mut ShardsArgs)| {
            let mut args = args(&folder, "out", 1);
            change(&mut args);
            format!("{:#}", run(&args).unwrap_err())
        };
        assert!(error(|args| args.tokenizer.push("none")).starts_with("cannot read the tokenizer"));
        assert!(error(|args| args.max_len = 8).starts_with("--max-len 8 is not between"));
        assert!(error(|args| args.corpus = Some("nowhere".into())).contains("cannot walk"));
        assert!(parse_split("train").is_err());
        assert!(parse_split("train:many").is_err());
        for wrong in ["", "half", "-0.1", "1.5", "nan"] {
            let error = parse_share(wrong).unwrap_err().to_string();
            assert!(error.contains("no number from 0 to 1"), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
