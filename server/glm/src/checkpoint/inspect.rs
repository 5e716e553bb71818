//! What a checkpoint is, without loading it, and whether it is whole.
//!
//! Takes a [`Source`], gives sizes, types and the memory that a model of it needs; or the list of what is wrong.

use super::{
    Checkpoint, GgufTokenizer, Source,
    load::{self, Form},
    needs::{Need, Shape, needs},
    view::View,
};
use crate::{
    Config, Error, KvType, Split, Vram, Weights, candle,
    ranks::{Held, Ranks},
    vram::{self, CACHED},
};

/// Numbers that are looked at together.
const PANEL: usize = 1 << 20;

/// What a checkpoint is.
#[derive(Debug, Clone)]
pub struct Info {
    /// The sizes and choices of the model.
    pub config: Config,
    /// The model's name, for people.
    pub name: String,
    /// The container: GGUF, safetensors, PyTorch or SAT.
    pub format: &'static str,
    /// The prompt template, if the checkpoint names one.
    pub template: Option<String>,
    /// The `tokenizer.json` that the checkpoint carries.
    pub tokenizer_json: Option<String>,
    /// The tokenizer in the metadata of a GGUF file.
    pub gguf_tokenizer: Option<GgufTokenizer>,
    /// The model's tensors by our names.
    pub tensors: Vec<TensorInfo>,
    /// Bytes that they take in the files.
    pub bytes: u64,
}

/// One tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Our name.
    pub name: String,
    /// Outermost dimension first; of stacked experts, all their rows.
    pub shape: Vec<usize>,
    /// The types of its parts, as in `q4_k` or `f16+q8_0`.
    pub kind: String,
    /// Bytes in the files.
    pub bytes: u64,
    /// Bytes in memory, once it is loaded in these types.
    pub held: u64,
    /// Bytes in a GPU's memory, likewise; none if a GPU cannot multiply by it.
    pub on_device: Option<u64>,
    /// Numbers of a row that are packed together in memory, likewise.
    pub block: usize,
    /// Bytes in the memory of Apple's GPU, likewise.
    pub on_metal: Option<u64>,
}

/// Bytes that a model needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// For its weights.
    pub weights: u64,
    /// For the keys and values of a whole context.
    pub kv: u64,
}

impl Info {
    /// Bytes that the model needs with its matrices in the type of `weights` and `context` tokens cached.
    pub fn memory(&self, weights: Weights, context: usize) -> Memory {
        let stored = |name: &str| {
            let found = self.tensors.iter().find(|tensor| tensor.name == name);
            found.map_or(0, |tensor| tensor.held)
        };
        let sizes = needs(&self.config).into_iter().map(|need| {
            let form = |columns| Form::of(weights, &need.name, columns);
            match need.shape {
                Shape::Vector(length) => 4 * length as u64,
                Shape::Table(rows, columns) => Form::F32.bytes(rows as u64, columns as u64, 0),
                Shape::Matrix(rows, columns) => {
                    form(columns).bytes(rows as u64, columns as u64, stored(&need.name))
                }
                Shape::Experts(count, rows, columns) => match form(columns) {
                    Form::Stored => stored(&need.name),
                    form => {
                        (count as u64).saturating_mul(form.bytes(rows as u64, columns as u64, 0))
                    }
                },
            }
        });
        let token = 4 * self.config.layers as u64 * self.config.attention.cached() as u64;
        Memory {
            weights: sizes.fold(0, u64::saturating_add),
            kv: token.saturating_mul(context as u64),
        }
    }

    /// How the model is spread over GPUs, of each of which it may take so many bytes.
    ///
    /// # Errors
    /// Why no GPU runs it.
    pub fn spread(
        &self,
        weights: Weights,
        kv: KvType,
        rooms: &[u64],
    ) -> Result<Vec<Split>, String> {
        let tokens = CACHED.min(self.config.context);
        Ok(self.vram(weights, kv)?.spread(rooms, tokens))
    }

    /// How much of the model is on GPUs that work on every layer together, of each of which it may take so many bytes.
    ///
    /// # Errors
    /// Why its layers cannot be cut for so many, or better are not.
    pub fn together(&self, weights: Weights, kv: KvType, rooms: &[u64]) -> Result<Split, String> {
        let tokens = CACHED.min(self.config.context);
        let apart = self.spread(weights, kv, rooms)?;
        self.ranks(weights, kv, rooms.len())?
            .fit(rooms, tokens, &apart)
    }

    /// What the model needs of the memory of each of so many GPUs that work on every layer together.
    ///
    /// # Errors
    /// Why its layers cannot be cut for so many.
    pub fn vram_together(
        &self,
        weights: Weights,
        kv: KvType,
        gpus: usize,
    ) -> Result<Vec<Vram>, String> {
        Ok(self.ranks(weights, kv, gpus)?.vrams)
    }

    fn ranks(&self, weights: Weights, kv: KvType, gpus: usize) -> Result<Ranks, String> {
        Ranks::new(&self.config, gpus, kv, |need| self.held(weights, need))
    }

    /// Why caches on a GPU would be f16 although they are to be of this type, if they would.
    pub fn kv_refusal(&self, kv: KvType) -> Option<String> {
        vram::kv_refusal(&self.config, kv)
    }

    /// What the model needs of a GPU's memory with its matrices in the type of `weights` and, where it can have them, caches
    /// of type `kv`.
    ///
    /// # Errors
    /// Why no GPU runs it.
    pub fn vram(&self, weights: Weights, kv: KvType) -> Result<Vram, String> {
        Vram::new(&self.config, kv, |need| self.held(weights, need).bytes)
    }

    /// What a matrix takes on a GPU, brought to the type of `weights`.
    fn held(&self, weights: Weights, need: &Need) -> Held {
        let (rows, columns) = need.shape.matrix();
        let form = Form::of(weights, &need.name, columns);
        let mut tensors = self.tensors.iter();
        let stored = tensors.find(|tensor| tensor.name == need.name);
        Held {
            bytes: match form {
                Form::Stored => stored.and_then(|tensor| tensor.on_device),
                form => Some(form.bytes(rows as u64, columns as u64, 0)),
            },
            block: form.block(stored.map_or(1, |tensor| tensor.block)),
        }
    }

    /// Bytes that the model needs of the memory of Apple's GPU, its caches apart, with its matrices in the type of `weights`.
    ///
    /// # Errors
    /// Why that GPU does not run it.
    pub fn metal(&self, weights: Weights) -> Result<u64, String> {
        candle::needed(&self.config, |need| {
            let (rows, columns) = need.shape.matrix();
            match Form::of(weights, &need.name, columns) {
                Form::Stored => {
                    let mut tensors = self.tensors.iter();
                    tensors.find(|tensor| tensor.name == need.name)?.on_metal
                }
                form => load::converted_for_candle(form, rows, columns),
            }
        })
    }
}

/// Reads what a checkpoint is. No weights are read, only headers and descriptions.
pub fn inspect(source: &Source) -> Result<Info, Error> {
    source.read(Weights::AsStored, |mut checkpoint| {
        let config = Config::read(&checkpoint)?;
        checkpoint.arrange(&config);
        let mut tensors = Vec::new();
        for need in needs(&config) {
            let Ok(Some(view)) = checkpoint.find(&need.name) else {
                continue;
            };
            let (_, columns) = need.shape.matrix();
            let parts = match need.shape {
                Shape::Experts(count, ..) => count,
                _ => 1,
            };
            tensors.push(TensorInfo {
                kind: kind(&view),
                bytes: view.bytes(),
                held: load::held_as_stored(&view, columns, parts),
                on_device: load::held_on_device(&view, columns, Form::Stored),
                block: load::block_as_stored(&view, columns),
                on_metal: load::held_by_candle(&view, columns, Form::Stored),
                shape: view.shape,
                name: need.name,
            });
        }
        Ok(Info {
            name: checkpoint.name(),
            format: checkpoint.format(),
            template: checkpoint
                .optional_text("infill.template")?
                .map(str::to_owned),
            tokenizer_json: checkpoint
                .optional_text("tokenizer.huggingface.json")?
                .map(str::to_owned),
            gguf_tokenizer: checkpoint.tokenizer(),
            bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
            tensors,
            config,
        })
    })
}

/// Looks at every tensor: whether it is there, has the right shape, and holds finite numbers alone. The list is what
/// is wrong; an error means that the description or the container cannot be read.
pub fn verify(source: &Source) -> Result<Vec<String>, Error> {
    source.read(Weights::AsStored, |mut checkpoint| {
        let config = Config::read(&checkpoint)?;
        checkpoint.arrange(&config);
        let wrong = needs(&config)
            .iter()
            .filter_map(|need| fault(&checkpoint, need))
            .collect();
        Ok(wrong)
    })
}

fn fault(checkpoint: &Checkpoint, need: &Need) -> Option<String> {
    if need.optional && !checkpoint.has(&need.name) {
        return None;
    }
    let (rows, columns) = need.shape.matrix();
    let view = match checkpoint.checked(&need.name, rows, columns) {
        Ok(view) => view,
        Err(error) => return Some(error.to_string()),
    };
    let panel = (PANEL / columns.max(1)).max(1);
    let mut numbers = Vec::new();
    for first in (0..rows).step_by(panel) {
        let count = panel.min(rows - first);
        numbers.resize(count * columns, 0.0f32);
        view.unpack(first..first + count, columns, &mut numbers);
        if let Some(place) = numbers.iter().position(|number| !number.is_finite()) {
            return Some(format!(
                "tensor `{}` has {} in row {}, column {}",
                need.name,
                numbers[place],
                first + place / columns,
                place % columns
            ));
        }
    }
    checkpoint.release(&view);
    None
}

/// The types of the view's parts.
fn kind(view: &View) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for sheet in view.sheets() {
        let name = sheet.kind.name();
        if !kinds.contains(&name) {
            kinds.push(name);
        }
    }
    kinds.join("+")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_whole_model_has_no_faults_and_a_wrong_number_is_found() {
        let config = fixture::tiny(20);
        let mut bytes = fixture::gguf(&config, fixture::Weights::F32, 1, None);
        let source = Source::Static(bytes.clone().leak());
        assert_eq!(verify(&source).unwrap(), Vec::<String>::new());

        let info = inspect(&source).unwrap();
        assert_eq!((info.config, info.format), (config, "GGUF"));
        // Every number is an f32, stored and loaded.
        let memory = info.memory(Weights::AsStored, 10);
        assert_eq!(memory.weights, info.bytes);
        assert_eq!(memory.kv, 10 * 2 * 2 * 64 * 4);
        assert!(info.memory(Weights::F16, 10).weights < info.bytes);

        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        let faults = verify(&Source::Static(bytes.leak())).unwrap();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("`output_norm.bias` has NaN in row 63"),
            "{faults:?}"
        );
    }
}
