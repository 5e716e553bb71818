//! The commands and flags of `infill`, as clap derives them.
//!
//! Only shapes and their parsing; what a command does is in [`crate::command`], [`crate::lsp`],
//! [`crate::shards`] and [`crate::bench`].

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use glm::{KvType, Quant};

use crate::eval::Eval;
use crate::http::ServeArgs;
use crate::models::pull;
use crate::models::settings::{Choice, Device};
use crate::sandbox::supervisor::SandboxedArgs;
use crate::shards::ShardsArgs;
use crate::translate::TranslateArgs;

/// Code completion in your editor, by a model that runs on your own machine.
#[derive(Debug, Parser)]
#[command(name = "infill", version, about, propagate_version = true)]
pub struct Flags {
    /// How much to say on standard error
    #[arg(
        long,
        value_enum,
        env = "INFILL_LOG",
        default_value = "warn",
        global = true
    )]
    pub log: LogLevel,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What `infill` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Complete a file at one place and print what would be shown there
    Complete(CompleteArgs),
    /// Say what this machine has, what the model needs, where it would run, and what stands in the way
    Doctor(DoctorArgs),
    /// Serve an editor: the Language Server Protocol over standard input and output
    Lsp(LspArgs),
    /// Write training examples from a corpus of source files
    Shards(ShardsArgs),
    /// Get, look at, convert and remove models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Let a model write on, greedily
    Generate(GenerateArgs),
    /// Serve this model over HTTP: OpenAI's endpoints, llama.cpp's /infill, metrics
    Serve(ServeArgs),
    /// Translate a code base from one language into another, each unit checked
    Translate(Box<TranslateArgs>),
    /// Measure how good a model is at a kind of work
    #[command(subcommand)]
    Eval(Eval),
    /// Measure this build on this machine
    #[command(subcommand)]
    Bench(Bench),
    /// Run a command with limits; for this program's own use
    #[command(hide = true)]
    Sandboxed(SandboxedArgs),
}

/// Which model to use; what is not said here, `infill.toml` says.
#[derive(Clone, Debug, Default, Args)]
pub struct ModelArgs {
    /// A model of the store by its name, or a file or folder, instead of the one that is built in
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// Quantize its matrices while loading: q8_0, q6_k, q5_k, q4_k, q4_0, int8 or int4
    #[arg(long)]
    pub quant: Option<Quant>,
    /// Threads to run it on; the default leaves room for the editor
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub threads: Option<usize>,
    /// Most tokens of text around the cursor that it reads
    #[arg(long, value_name = "TOKENS", value_parser = from_one)]
    pub window: Option<usize>,
    /// What to run it on: auto, cpu, metal, cuda:N or several as in cuda:0,1, which take layers in turn, or cuda:0+1,
    /// which share every layer; auto is what GPUs there are that this build can use, one if that is enough
    #[arg(long)]
    pub device: Option<Device>,
    /// Most memory of each GPU that it may take; layers that do not fit run on the processor
    #[arg(long, value_name = "MIB", value_parser = from_one)]
    pub vram: Option<usize>,
    /// What keys and values are kept as on GPUs, f16 or q8, which takes about half; f16 if nothing is said, and f32 on the
    /// processor in any case
    #[arg(long, value_name = "TYPE")]
    pub kv: Option<KvType>,
    /// Minutes without a question after which its weights leave GPUs for main memory; they come back for the next one
    #[arg(long, value_name = "MINUTES", value_parser = from_one)]
    pub idle: Option<usize>,
    /// Most memory that it may take, weights and caches together
    #[arg(long, value_name = "MIB", value_parser = from_one)]
    pub memory: Option<usize>,
}

/// A count.
pub(crate) fn from_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number from 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

impl ModelArgs {
    /// The choice of these flags.
    pub fn choice(&self) -> Choice {
        Choice {
            model: self.model.clone(),
            quant: self.quant,
            template: None,
            threads: self.threads,
            window: self.window,
            device: self.device.clone(),
            memory: self.memory,
            vram: self.vram,
            kv: self.kv,
            idle: self.idle,
        }
    }
}

/// What can be done with models. Only `pull` touches the network.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Get a model from the hub; goes on where an earlier pull stopped
    Pull(PullArgs),
    /// List the models in the store
    List(ListArgs),
    /// Say what a model is and how much memory it needs
    Info(InfoArgs),
    /// Check that all of a model is there: checksums, shapes, finite numbers
    Verify(VerifyArgs),
    /// Write a model as one GGUF file with quantized matrices
    Quantize(QuantizeArgs),
    /// Remove a model from the store
    Remove(RemoveArgs),
    /// Print the logits of a sequence of tokens
    Logits(LogitsArgs),
}

/// Arguments of `infill model pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// A known name such as codegeex4-all-9b, or OWNER/NAME of a repository; :QUANT for one GGUF file of several
    pub name: String,
    /// A branch, tag or commit
    #[arg(long, default_value = pull::NEWEST)]
    pub revision: String,
    /// Another hub, such as a mirror; also HF_ENDPOINT
    #[arg(long, value_name = "URL", env = "INFILL_ENDPOINT")]
    pub endpoint: Option<String>,
}

/// Arguments of `infill model list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print the records as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `infill model info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// A model of the store by its name, or a file or folder; the one that is built in if none is named
    #[arg(value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `infill model verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A model of the store by its name, or a file or folder
    #[arg(value_name = "NAME|PATH")]
    pub model: String,
}

/// Arguments of `infill model quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The model to read: a name in the store, or a file or folder
    #[arg(value_name = "IN")]
    pub model: String,
    /// The GGUF file to write
    pub out: PathBuf,
    /// The type of its matrices: q8_0, q6_k, q5_k, q4_k, q4_0, int8 or int4
    #[arg(long)]
    pub quant: Quant,
}

/// Arguments of `infill model remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The model's name in the store
    pub name: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `infill model logits`.
#[derive(Debug, Args)]
pub struct LogitsArgs {
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
    /// Token ids; no tokenizer is needed then
    #[arg(long, value_delimiter = ',', required_unless_present = "text")]
    pub tokens: Vec<u32>,
    /// A text, encoded by the model's tokenizer
    #[arg(long, conflicts_with = "tokens")]
    pub text: Option<String>,
    /// Where the tokens stand
    #[command(flatten)]
    pub places: PlacesArgs,
    /// The logits of every position instead of the last one's
    #[arg(long)]
    pub all: bool,
    /// The type that matrices are brought to
    #[arg(long, conflicts_with = "quant")]
    pub dtype: Option<Dtype>,
    /// Print JSON (the default and only form; accepted for scripts)
    #[arg(long, hide = true)]
    pub json: bool,
}

/// Where tokens stand, for models that are more than plain text from left to right.
#[derive(Clone, Debug, Default, Args)]
pub struct PlacesArgs {
    /// Two rows of positions instead of 0, 1, 2, … and zeros, such as "0,1,2;0,0,1"
    #[arg(long, value_name = "ROW;ROW")]
    pub positions: Option<String>,
    /// How many tokens at the start see one another, for models with a prefix
    #[arg(long, default_value_t = 0)]
    pub sep: usize,
    /// Index of the first mask token, for models that read what is far before it from left to right
    #[arg(long, value_name = "INDEX")]
    pub mask: Option<usize>,
}

/// Types of plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32 bits
    F32,
    /// 16 bits, IEEE half precision
    F16,
    /// 16 bits, the upper half of an f32
    Bf16,
}

/// Arguments of `infill generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
    /// What to say to the model: a message if it chats, else text to go on with
    #[arg(long, required_unless_present = "tokens")]
    pub prompt: Option<String>,
    /// Give it the prompt as it is, without the frame of its family
    #[arg(long, requires = "prompt")]
    pub raw: bool,
    /// Token ids instead of a prompt; no tokenizer is needed then
    #[arg(long, value_delimiter = ',', conflicts_with = "prompt")]
    pub tokens: Vec<u32>,
    /// Where the tokens stand; those that are written go on as the last one does
    #[command(flatten)]
    pub places: PlacesArgs,
    /// Most tokens to write
    #[arg(long, default_value_t = 128)]
    pub max_tokens: usize,
    /// Print JSON: `text`, `tokens` and why there are no more (`ended`)
    #[arg(long)]
    pub json: bool,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Replay typing on real files through a language server
    Latency(LatencyArgs),
    /// Measure how fast a model reads and writes, as llama-bench does
    Engine(EngineArgs),
}

/// Arguments of `infill complete`.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The file to complete; it is read, never written
    pub file: PathBuf,
    /// Where the cursor stands: line and column, both from 1, the column in characters
    #[arg(long, value_name = "LINE:COL")]
    pub at: Place,
    /// Print JSON: `text`, the `range` it replaces (lines and columns from 1, in characters), `mask`,
    /// `timings_ms`, `tokens_prefilled`, `tokens_decoded`, `cache`, and `why` if there is no text
    #[arg(long)]
    pub json: bool,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Arguments of `infill doctor`.
///
/// Loads nothing. The exit code is 1 if the server could not serve.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which model to look at
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Arguments of `infill lsp`.
#[derive(Debug, Args)]
pub struct LspArgs {
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
    /// Accepted because many clients add it; standard input and output are always used
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// Arguments of `infill bench latency`.
#[derive(Debug, Args)]
pub struct LatencyArgs {
    /// Source files to type into
    #[arg(required_unless_present = "recording")]
    pub files: Vec<PathBuf>,
    /// How many keystrokes to type in all, to the end of their lines
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    pub keystrokes: u32,
    /// Type what was recorded instead: a file of JSON lines
    #[arg(long, value_name = "FILE")]
    pub recording: Option<PathBuf>,
    /// Another server to measure, any that knows textDocument/inlineCompletion, as a command line
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["model", "quant", "threads", "window"])]
    pub server: Option<String>,
    /// Milliseconds between two keys, about; without it the next key is pressed when the answer is there
    #[arg(long, value_name = "MS")]
    pub pace: Option<u32>,
    /// Type in so many documents at once, over one connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub editors: u16,
    /// Have so many of the files open besides
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub open: usize,
    /// Cut each file to so many lines, or repeat it until it has them
    #[arg(long, value_name = "N")]
    pub lines: Option<usize>,
    /// Another number, other slips, pauses, pastes and jumps
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Fail if a figure breaks a limit of this file, TOML or JSON
    #[arg(long, value_name = "FILE")]
    pub budget: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Arguments of `infill bench engine`.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Which model to use
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tokens to read
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub prompt: u32,
    /// Tokens to write
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub generate: u32,
    /// Also write real code, with drafts of what followed the same tokens before
    #[arg(long)]
    pub lookup: bool,
    /// The code, instead of a file of this program's own
    #[arg(long, value_name = "FILE", requires = "lookup")]
    pub text: Option<PathBuf>,
    /// Places in it to write at
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub places: u16,
    /// Rounds that count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub repeat: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How much is written to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing at all
    Off,
    /// What failed
    Error,
    /// What failed or looks wrong
    Warn,
    /// Also what was loaded, and when
    Info,
    /// Also why each request got what it got
    Debug,
    /// Everything, protocol messages included
    Trace,
}

/// A place in a file as a person writes it: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The character on the line before which the cursor stands, from 1.
    pub column: u32,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let number = |part: &str, name: &str| match part.parse::<u32>() {
            Ok(0) => Err(format!("{name}s are counted from 1")),
            Ok(number) => Ok(number),
            Err(_) => Err(format!(
                "`{part}` is not a {name} number; write LINE:COL, such as 12:5"
            )),
        };
        let (line, column) = text
            .split_once(':')
            .ok_or_else(|| "expected LINE:COL, such as 12:5".to_owned())?;
        Ok(Place {
            line: number(line, "line")?,
            column: number(column, "column")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn places_are_two_numbers_from_one() {
        assert_eq!(
            "12:5".parse(),
            Ok(Place {
                line: 12,
                column: 5
            })
        );
        for wrong in [
            "",
            "12",
            "12:",
            ":5",
            "0:1",
            "1:0",
            "a:b",
            "1:2:3",
            "-1:2",
            "1:99999999999",
        ] {
            assert!(
                wrong.parse::<Place>().is_err(),
                "{wrong:?} was taken for a place"
            );
        }
    }
}
