//! What a model needs of a GPU's memory, and how much of the model fits into what there is.
//!
//! Takes a model's sizes and the bytes of its matrices, before anything is loaded; gives bytes, and how many layers can
//! be on the GPU. The layers that cannot run on the processor.

use crate::{
    Attention, Config, KvType, PartA,
    checkpoint::{Need, Shape, needs},
    kernels::{
        cpu::Heads,
        cuda::{SCALED, attention_room, cache_bytes, choice_room, has_size},
    },
};

/// Tokens of a prompt in a pass on a GPU: enough for the tensor cores, few enough that an urgent job waits little.
pub(crate) const CHUNK: usize = 512;
/// Sequences in a pass on a GPU, and so rows of logits.
pub(crate) const SIDE_BY_SIDE: usize = 32;
/// Most bytes of caches that are kept on a GPU for what may come: others use it, too.
pub(crate) const KEPT: u64 = 2 << 30;
/// Tokens that caches are to have room for when a model is placed: four windows of an editor.
pub(crate) const CACHED: usize = 8192;

/// Numbers of a row that say which token it is and where it stands, its angles apart.
const INPUTS: usize = 32;

/// Bytes that a model needs of a GPU's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vram {
    /// For the weights of each layer.
    pub layers: Vec<u64>,
    /// For the head and the norm before it.
    pub head: u64,
    /// For the tables that tokens are looked up in besides the head, where that is the token embedding and all layers are
    /// on one GPU; elsewhere the processor looks them up.
    pub lookup: u64,
    /// For the keys and values of one token in one layer.
    pub token: u64,
    /// For what a pass computes in.
    pub workspace: u64,
}

/// How much of a model is on a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Split {
    /// Layers, one after the other.
    pub layers: usize,
    /// Whether the head is there, too; only with the last layer.
    pub head: bool,
}

/// Why no GPU runs models of this kind, if none does.
pub(crate) fn refusal(config: &Config) -> Option<String> {
    let what = match (config.attention, config.experts) {
        (Attention::Latent(_), _) => "latent attention".to_owned(),
        (_, Some(_)) => "experts".to_owned(),
        (Attention::Grouped(sizes), None) if has_size(sizes.head_size) => return None,
        (Attention::Grouped(sizes), None) => format!("heads of {} numbers", sizes.head_size),
    };
    let name = config.architecture.name();
    Some(format!("{name} has {what}, which only the processor runs"))
}

/// Why the caches of such a model are f16 on a GPU although this type is wanted, if they are.
pub(crate) fn kv_refusal(config: &Config, kv: KvType) -> Option<String> {
    match (kv, config.attention) {
        (KvType::Q8, Attention::Grouped(sizes)) if !sizes.head_size.is_multiple_of(SCALED) => {
            Some(format!(
                "{} has heads of {} numbers, and q8 caches have whole blocks of {SCALED}; its caches are f16",
                config.architecture.name(),
                sizes.head_size
            ))
        }
        _ => None,
    }
}

/// What the caches of such a model are of on a GPU, where this type is wanted.
pub(crate) fn kv_type(config: &Config, kv: KvType) -> KvType {
    match kv_refusal(config, kv) {
        Some(_) => KvType::F16,
        None => kv,
    }
}

/// Whether attention of many rows goes through tiles with heads of this size.
pub(crate) fn has_tiles(head_size: usize) -> bool {
    head_size.is_multiple_of(8) && head_size <= 128
}

impl Vram {
    /// What a model needs whose matrices take `matrix(need)` bytes, none where a GPU cannot multiply by one, and whose caches
    /// are to be of this type. The error says why it cannot run on a GPU at all.
    pub(crate) fn new(
        config: &Config,
        kv: KvType,
        matrix: impl Fn(&Need) -> Option<u64>,
    ) -> Result<Vram, String> {
        if let Some(why) = refusal(config) {
            return Err(why);
        }
        let Attention::Grouped(sizes) = config.attention else {
            return Err("it has no heads".to_owned());
        };
        let mut layers = vec![0u64; config.layers];
        let (mut head, mut lookup) = (0u64, 0u64);
        for need in needs(config) {
            let bytes = match need.shape {
                _ if need.name.ends_with("_embd.weight") && !config.tied => continue,
                Shape::Table(places, width) => 4 * (places * width) as u64,
                Shape::Vector(length) => 4 * length as u64,
                _ => matrix(&need)
                    .ok_or_else(|| format!("`{}` has parts with scales of their own", need.name))?,
            };
            let layer = need.name.strip_prefix("blk.").and_then(|rest| {
                let (number, _) = rest.split_once('.')?;
                number.parse::<usize>().ok()
            });
            let sum = match layer.and_then(|layer| layers.get_mut(layer)) {
                Some(layer) => layer,
                None if matches!(need.shape, Shape::Table(..)) => &mut lookup,
                None => &mut head,
            };
            *sum = sum.saturating_add(bytes);
        }
        let rows = match config.part_a {
            PartA::Causal => CHUNK + CHUNK / 4,
            // Part A is run at once; with zones, what follows the mask token may be most of it.
            PartA::Whole | PartA::Zones { .. } => config.context.clamp(CHUNK, 4 * CHUNK),
        };
        let fused = sizes.queries() + 2 * sizes.keys();
        let up = if config.gated { 2 } else { 1 } * config.inner;
        // The last are ids, positions, angles and places in tables.
        let row = 4 * config.width + 2 * fused + sizes.queries() + up + config.inner;
        let row = row + sizes.head_size + INPUTS;
        // Activations in f16 for the widest product.
        let widest = config.width.max(sizes.queries()).max(config.inner);
        let products = rows * (2 * widest.next_multiple_of(32) + 4);
        let shape = Heads {
            queries: sizes.heads,
            keys: sizes.kv_heads,
            size: sizes.head_size,
            scale: 1.0,
        };
        // Many rows need no room, where there is a kernel of tiles for such heads.
        let parted = if has_tiles(sizes.head_size) {
            SIDE_BY_SIDE
        } else {
            rows
        };
        let attention = attention_room(parted, shape, config.context);
        // Logits, and how likely they are beside the likeliest.
        let numbers = rows * row + 2 * SIDE_BY_SIDE * config.vocabulary;
        let choices = choice_room(SIDE_BY_SIDE, config.vocabulary);
        Ok(Vram {
            layers,
            head,
            lookup,
            token: cache_bytes(kv_type(config, kv), 1, 1, sizes.keys()) as u64,
            workspace: (4 * numbers + choices + products + attention) as u64,
        })
    }

    /// The keys and values of so many tokens in all layers.
    pub fn caches(&self, tokens: usize) -> u64 {
        let layers = self.layers.len() as u64;
        let token = self.token.saturating_mul(layers);
        token.saturating_mul(tokens as u64)
    }

    /// All of it, with so many tokens cached.
    pub fn total(&self, tokens: usize) -> u64 {
        let fixed = self.head.saturating_add(self.lookup);
        let fixed = fixed.saturating_add(self.workspace);
        let layers = self.layers.iter().copied();
        let weights = layers.fold(fixed, u64::saturating_add);
        weights.saturating_add(self.caches(tokens))
    }

    /// What comes with the last layer on a GPU that has those from layer `first` on: the head, and the tables that tokens
    /// are looked up in if that is all of the model.
    pub(crate) fn end(&self, first: usize) -> u64 {
        let lookup = if first == 0 { self.lookup } else { 0 };
        self.head.saturating_add(lookup)
    }

    /// How much of the model from layer `first` on fits into so many bytes, with so many tokens cached. The head comes
    /// with the last layer or not at all.
    pub fn fit(&self, first: usize, bytes: u64, tokens: usize) -> Split {
        let kv = self.token.saturating_mul(tokens as u64);
        let mut used = self.workspace;
        let fits = |layer: &&u64| {
            used = used.saturating_add(**layer).saturating_add(kv);
            used <= bytes
        };
        let rest = &self.layers[first..];
        let layers = rest.iter().take_while(fits).count();
        let has_last = layers == rest.len() && layers > 0;
        Split {
            layers,
            head: has_last && used.saturating_add(self.end(first)) <= bytes,
        }
    }

    /// How the model is spread over GPUs with so many bytes each, with so many tokens cached. The first that holds all of
    /// it does; else each takes as many layers as fit, and the next goes on.
    pub fn spread(&self, rooms: &[u64], tokens: usize) -> Vec<Split> {
        let all = self.layers.len();
        let mut splits = vec![Split::default(); rooms.len()];
        let whole = |&room: &u64| self.fit(0, room, tokens).head;
        if let Some(index) = rooms.iter().position(whole) {
            splits[index] = self.fit(0, rooms[index], tokens);
            return splits;
        }
        let mut first = 0;
        for (index, split) in splits.iter_mut().enumerate() {
            *split = self.fit(first, rooms[index], tokens);
            let closes = |&room: &u64| self.fit(all - 1, room, tokens).head;
            let has_all = split.layers > 0 && first + split.layers == all && !split.head;
            if has_all && rooms[index + 1..].iter().any(closes) {
                // Where the head fits besides, the last layer goes, too.
                split.layers -= 1;
            }
            first += split.layers;
        }
        splits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn layers_are_placed_as_long_as_they_fit() {
        let vram = Vram {
            layers: vec![100; 4],
            head: 45,
            lookup: 5,
            token: 2,
            workspace: 20,
        };
        assert_eq!(vram.total(10), 4 * (100 + 20) + 45 + 5 + 20);
        let fit = |bytes| {
            let Split { layers, head } = vram.fit(0, bytes, 10);
            (layers, head)
        };
        assert_eq!(fit(550), (4, true));
        assert_eq!(fit(549), (4, false));
        assert_eq!(fit(500), (4, false));
        assert_eq!(fit(499), (3, false));
        assert_eq!(fit(139), (0, false));
        assert_eq!(fit(0), (0, false));
        assert_eq!(vram.fit(0, u64::MAX - 1, usize::MAX).layers, 0);
    }

    #[test]
    fn layers_are_spread_over_gpus_in_their_order() {
        let vram = Vram {
            layers: vec![100; 4],
            head: 45,
            lookup: 5,
            token: 2,
            workspace: 20,
        };
        let spread = |rooms: &[u64]| {
            let splits = vram.spread(rooms, 10);
            let pair = |split: Split| (split.layers, split.head);
            splits.into_iter().map(pair).collect::<Vec<_>>()
        };
        // A layer takes 120 with its caches, all take 550 on one GPU, and 545 apart from what a second computes in.
        assert_eq!(spread(&[]), []);
        assert_eq!(spread(&[600, 600]), [(4, true), (0, false)]);
        // One that holds all is better than two.
        assert_eq!(spread(&[300, 600]), [(0, false), (4, true)]);
        assert_eq!(spread(&[380, 200]), [(3, false), (1, true)]);
        assert_eq!(
            spread(&[260, 100, 380]),
            [(2, false), (0, false), (2, true)]
        );
        // What is left is the processor's.
        assert_eq!(spread(&[260, 140]), [(2, false), (1, false)]);
        // The head goes where there is room for it, and takes the last layer along.
        assert_eq!(spread(&[500, 200]), [(3, false), (1, true)]);
        assert_eq!(spread(&[500, 185]), [(3, false), (1, true)]);
        assert_eq!(spread(&[500, 184]), [(4, false), (0, false)]);
        // Tables for tokens are only where all is.
        assert_eq!(spread(&[549]), [(4, false)]);
        assert_eq!(spread(&[10, 10]), [(0, false), (0, false)]);
    }

    #[test]
    fn members_are_counted_by_layer_or_refused_by_name() {
        let mut refused = Vec::new();
        for config in fixture::members() {
            let bytes = |need: &Need| {
                let (rows, columns) = need.shape.matrix();
                Some(4 * (rows * columns) as u64)
            };
            match Vram::new(&config, KvType::F16, bytes) {
                Err(why) => refused.push(why),
                Ok(vram) => {
                    assert_eq!(vram.layers.len(), config.layers);
                    // All are of one kind.
                    assert!(vram.layers.iter().all(|&layer| layer == vram.layers[0]));
                    let head = 4 * (config.vocabulary * config.width) as u64;
                    assert!(vram.head > head && vram.head < head + head / 2);
                }
            }
        }
        assert_eq!(
            refused,
            [
                "glm4moe has experts, which only the processor runs",
                "glm4moelite has latent attention, which only the processor runs",
                "glm4moelite has latent attention, which only the processor runs",
            ]
        );
    }
}
