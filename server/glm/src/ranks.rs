//! How the layers of a model are cut for GPUs that work on each of them together: tensor parallelism.
//!
//! Takes a model's sizes and how its matrices are packed, gives each GPU, a *rank*, its heads and its part of the
//! feed-forward, or why there are none; counts what a rank needs of its memory. As in Megatron-LM: matrices into heads and
//! inner states are cut between rows, those out of them between columns, where a block of packed weights ends; what the
//! ranks make of them is added up.

use crate::{
    Attention, Config, Grouped, KvType, Split, Vram,
    checkpoint::{Need, needs},
    kernels::PANEL,
    vram::refusal,
};
use std::{collections::BTreeMap, ops::Range};

/// Plain numbers that a feed-forward is cut into at least: kernels read so many at once.
const PLAIN: usize = 8;

/// What a matrix takes on a GPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// None if a GPU cannot multiply by it.
    pub(crate) bytes: Option<u64>,
    /// Numbers of a row that are packed together, so that it can be cut between them and nowhere else.
    pub(crate) block: usize,
}

/// What one GPU has of each layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rank {
    /// Which of the GPUs that share a layer this is. The first has, besides, what is not cut.
    pub(crate) number: usize,
    /// Those heads of queries, and of keys and values, among the model's.
    heads: Range<usize>,
    kv_heads: Range<usize>,
    /// Those inner states of the feed-forward.
    inner: Range<usize>,
}

impl Rank {
    /// All of each layer of a model with such heads.
    pub(crate) fn whole(config: &Config, sizes: Grouped) -> Rank {
        Rank {
            number: 0,
            heads: 0..sizes.heads,
            kv_heads: 0..sizes.kv_heads,
            inner: 0..config.inner,
        }
    }

    /// As many heads as are here, of those of the model.
    pub(crate) fn heads(&self, whole: Grouped) -> Grouped {
        Grouped {
            heads: self.heads.len(),
            kv_heads: self.kv_heads.len(),
            ..whole
        }
    }

    /// The rows of queries, keys and values that are here, of a model with such heads.
    pub(crate) fn fused(&self, whole: Grouped) -> [Range<usize>; 3] {
        let rows = |first: usize, heads: &Range<usize>| {
            let size = whole.head_size;
            first + heads.start * size..first + heads.end * size
        };
        let (queries, keys) = (whole.queries(), whole.keys());
        [
            rows(0, &self.heads),
            rows(queries, &self.kv_heads),
            rows(queries + keys, &self.kv_heads),
        ]
    }

    /// The columns of what attention gives that are here.
    pub(crate) fn mixed(&self, whole: Grouped) -> Range<usize> {
        self.heads.start * whole.head_size..self.heads.end * whole.head_size
    }

    /// The inner states that are here, of the feed-forward's.
    pub(crate) fn inner(&self) -> Range<usize> {
        self.inner.clone()
    }

    /// The rows of the matrix into inner states that are here, of a model of these sizes.
    pub(crate) fn up(&self, whole: &Config) -> Vec<Range<usize>> {
        let halves = if whole.gated { 2 } else { 1 };
        let rows = |half: usize| {
            let first = half * whole.inner;
            first + self.inner.start..first + self.inner.end
        };
        (0..halves).map(rows).collect()
    }

    /// What it needs of its GPU's memory.
    fn vram(
        &self,
        whole: &Config,
        heads: Grouped,
        kv: KvType,
        held: &dyn Fn(&Need) -> Held,
    ) -> Result<Vram, String> {
        let here = Config {
            attention: Attention::Grouped(self.heads(heads)),
            inner: self.inner.len(),
            ..*whole
        };
        let all: BTreeMap<String, Need> = needs(whole)
            .into_iter()
            .map(|need| (need.name.clone(), need))
            .collect();
        let mut vram = Vram::new(&here, kv, |need| {
            let whole = all.get(&need.name)?;
            Some(self.part(need, whole, held(whole).bytes?))
        })?;
        // The processor looks tokens up, for what each rank needs of them is little.
        vram.lookup = 0;
        if self.number > 0 {
            vram.head = 0;
        }
        Ok(vram)
    }

    /// About how many bytes the part that is here takes of a matrix that takes `bytes` as a whole.
    fn part(&self, mine: &Need, whole: &Need, bytes: u64) -> u64 {
        let ((rows, columns), (all_rows, all_columns)) =
            (mine.shape.matrix(), whole.shape.matrix());
        let share = |part: usize, all: usize| {
            let share = u128::from(bytes) * part as u128;
            u64::try_from(share.div_ceil(all.max(1) as u128)).unwrap_or(u64::MAX)
        };
        if rows < all_rows {
            // The last panel of each of up to three runs of rows is filled up.
            let more = match rows.is_multiple_of(PANEL) {
                true => 0,
                false => 3 * PANEL,
            };
            share(rows + more, all_rows)
        } else if columns < all_columns {
            // A scale a row is there on each rank.
            share(columns, all_columns) + 4 * rows as u64
        } else {
            bytes
        }
    }
}

/// The GPUs that share the layers of a model.
pub(crate) struct Ranks {
    pub(crate) ranks: Vec<Rank>,
    /// What each needs of its GPU's memory.
    pub(crate) vrams: Vec<Vram>,
}

impl Ranks {
    /// Cuts the layers for so many GPUs, with such caches where they can be. The error says why they cannot be cut so.
    pub(crate) fn new(
        config: &Config,
        gpus: usize,
        kv: KvType,
        held: impl Fn(&Need) -> Held,
    ) -> Result<Ranks, String> {
        if let Some(why) = refusal(config) {
            return Err(why);
        }
        let Attention::Grouped(sizes) = config.attention else {
            return Err("it has no heads".to_owned());
        };
        // Types differ from layer to layer: the largest block fits them all.
        let block = |name: &str| {
            let all = needs(config);
            let named = all.iter().filter(|need| need.name.ends_with(name));
            named.map(|need| held(need).block).max().unwrap_or(1)
        };
        let heads = cut_heads(sizes, gpus)?;
        let block_of_heads = block("attn_output.weight");
        let mixed = sizes.queries() / gpus;
        if !mixed.is_multiple_of(block_of_heads) {
            return Err(format!(
                "the heads of each of {gpus} GPUs have {mixed} numbers together, no whole blocks of {block_of_heads}"
            ));
        }
        let inner = cut_inner(config.inner, block("ffn_down.weight").max(PLAIN), gpus)?;
        let ranks = heads.into_iter().zip(inner).enumerate();
        let ranks = ranks.map(|(number, ([heads, kv_heads], inner))| Rank {
            number,
            heads,
            kv_heads,
            inner,
        });
        let ranks: Vec<Rank> = ranks.collect();
        let vrams = ranks.iter().map(|rank| rank.vram(config, sizes, kv, &held));
        Ok(Ranks {
            vrams: vrams.collect::<Result<_, _>>()?,
            ranks,
        })
    }

    /// How many layers fit into so many bytes of each GPU, with so many tokens cached. The error says why it is better that
    /// the GPUs take layers one after the other, as in `apart`.
    pub(crate) fn fit(
        &self,
        rooms: &[u64],
        tokens: usize,
        apart: &[Split],
    ) -> Result<Split, String> {
        let fits = self.vrams.iter().zip(rooms);
        let fits: Vec<Split> = fits
            .map(|(vram, &room)| vram.fit(0, room, tokens))
            .collect();
        let layers = fits.iter().map(|fit| fit.layers).min().unwrap_or(0);
        let of_apart: usize = apart.iter().map(|split| split.layers).sum();
        if layers < of_apart || layers == 0 {
            return Err(format!(
                "only {layers} of the layers fit on all {} GPUs at once, and {of_apart} on one after the other",
                rooms.len()
            ));
        }
        let has_all = self.vrams.iter().all(|vram| vram.layers.len() == layers);
        Ok(Split {
            layers,
            head: has_all && fits.first().is_some_and(|fit| fit.head),
        })
    }
}

/// The heads of queries of each of so many GPUs, and the heads of keys and values that these look at.
fn cut_heads(sizes: Grouped, gpus: usize) -> Result<Vec<[Range<usize>; 2]>, String> {
    let Grouped {
        heads, kv_heads, ..
    } = sizes;
    let uneven = || {
        format!("{heads} heads over {kv_heads} of keys cannot be shared out evenly to {gpus} GPUs")
    };
    if gpus == 0 || !heads.is_multiple_of(gpus) {
        return Err(uneven());
    }
    let (share, group) = (heads / gpus, heads / kv_heads);
    let ranks = (0..gpus).map(|rank| {
        let queries = rank * share..(rank + 1) * share;
        let keys = queries.start / group..(queries.end - 1) / group + 1;
        // As many queries look at each of the keys here, else the kernels would not find them.
        let mine = share.is_multiple_of(keys.len()).then(|| share / keys.len());
        let is_even = |mine: usize| {
            let mut heads = queries.clone();
            heads.all(|head| keys.start + (head - queries.start) / mine == head / group)
        };
        match mine.is_some_and(is_even) {
            true => Ok([queries, keys]),
            false => Err(uneven()),
        }
    });
    ranks.collect()
}

/// The inner states of each of so many GPUs: as many whole blocks as of any other, or one less.
fn cut_inner(inner: usize, block: usize, gpus: usize) -> Result<Vec<Range<usize>>, String> {
    let blocks = inner.div_ceil(block);
    if blocks < gpus {
        return Err(format!(
            "its feed-forward of {inner} numbers in blocks of {block} is not enough for {gpus} GPUs"
        ));
    }
    let end = |rank: usize| (rank * blocks / gpus * block).min(inner);
    Ok((0..gpus).map(|rank| end(rank)..end(rank + 1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checkpoint::Shape, fixture};

    /// CodeGeeX4's sizes, with these heads.
    fn config(heads: usize, kv_heads: usize) -> Config {
        let small = fixture::members()[3];
        let Attention::Grouped(sizes) = small.attention else {
            panic!("it has heads");
        };
        Config {
            layers: 2,
            width: 4096,
            inner: 13_696,
            vocabulary: 1000,
            attention: Attention::Grouped(Grouped {
                heads,
                kv_heads,
                head_size: 128,
                ..sizes
            }),
            ..small
        }
    }

    /// As if every number took `bytes`, packed in so many.
    fn held(bytes: u64, block: usize) -> impl Fn(&Need) -> Held {
        move |need| {
            let (rows, columns) = need.shape.matrix();
            Held {
                bytes: Some(bytes * (rows * columns) as u64),
                block,
            }
        }
    }

    #[test]
    fn ranks_have_all_of_it_once_and_keys_where_queries_look() {
        for (heads, kv_heads, gpus) in [
            (32, 2, 1),
            (32, 2, 2),
            (32, 2, 4),
            (32, 2, 8),
            (32, 32, 8),
            (48, 8, 4),
            (12, 4, 6),
        ] {
            let config = config(heads, kv_heads);
            let Attention::Grouped(sizes) = config.attention else {
                panic!("it has heads");
            };
            let Ranks { ranks, .. } = Ranks::new(&config, gpus, KvType::F16, held(1, 32)).unwrap();
            let [mut queries, mut ups, mut downs] = [0, 0, 0];
            for rank in &ranks {
                let [mine, keys, values] = rank.fused(sizes);
                assert_eq!(mine, rank.mixed(sizes));
                assert_eq!(mine.start, queries);
                queries = mine.end;
                assert_eq!(values.start - keys.start, sizes.keys());
                let of_head = |query: usize| query / (heads / kv_heads);
                let keys = keys.start - sizes.queries()..keys.end - sizes.queries();
                let first = of_head(mine.start / 128);
                assert_eq!(keys, 128 * first..128 * (of_head(mine.end / 128 - 1) + 1));
                assert_eq!(rank.inner().start, downs);
                assert!(rank.inner().start.is_multiple_of(32));
                downs = rank.inner().end;
                let [gate, up] = &rank.up(&config)[..] else {
                    panic!("it is gated");
                };
                assert_eq!(
                    (gate.clone(), up.start),
                    (rank.inner(), 13_696 + gate.start)
                );
                ups += gate.len() + up.len();
                // One block more than another has at most.
                let even = 13_696 / gpus;
                assert!(rank.inner().len().abs_diff(even) <= 32, "{rank:?}");
            }
            assert_eq!((queries, downs), (sizes.queries(), 13_696));
            assert_eq!(ups, 2 * 13_696);
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused_with_its_sizes() {
        let why = |heads, kv_heads, gpus, block| {
            let cut = Ranks::new(&config(heads, kv_heads), gpus, KvType::F16, held(1, block));
            cut.map(|_| ()).unwrap_err()
        };
        let uneven = "32 heads over 2 of keys cannot be shared out evenly to 3 GPUs";
        assert_eq!(why(32, 2, 3, 1), uneven);
        let uneven = "12 heads over 3 of keys cannot be shared out evenly to 2 GPUs";
        assert_eq!(why(12, 3, 2, 1), uneven);
        assert_eq!(
            why(32, 2, 32, 256),
            "the heads of each of 32 GPUs have 128 numbers together, no whole blocks of 256"
        );
        let lite = Ranks::new(&fixture::members()[7], 2, KvType::F16, held(1, 1)).map(|_| ());
        let lite = lite.unwrap_err();
        assert!(lite.ends_with("which only the processor runs"), "{lite}");
    }

    #[test]
    fn a_rank_needs_its_part_of_weights_and_caches() {
        let config = config(32, 2);
        let bytes = |need: &Need| held(2, 32)(need).bytes;
        let whole = Vram::new(&config, KvType::F16, bytes).unwrap();
        let norms: u64 = needs(&config)
            .iter()
            .filter(|need| matches!(need.shape, Shape::Vector(_)))
            .filter(|need| need.name.starts_with("blk.0.") && need.name.contains("norm"))
            .map(|need| 4 * need.shape.matrix().0 as u64)
            .sum();
        let Ranks { vrams, .. } = Ranks::new(&config, 2, KvType::F16, held(2, 32)).unwrap();
        let all: u64 = vrams.iter().map(|vram| vram.layers[0]).sum();
        // Norms are on both, and a scale a row may be.
        let twice = norms + 2 * 4 * 2 * 4096;
        let most = whole.layers[0] + twice;
        assert!(
            (whole.layers[0]..=most).contains(&all),
            "{all} of {whole:?}"
        );
        let tokens = vrams.iter().map(|vram| vram.token).sum::<u64>();
        assert_eq!(tokens, whole.token);
        assert_eq!((vrams[0].head, vrams[1].head), (whole.head, 0));
        assert!(vrams[0].workspace < whole.workspace);
        // Of four, two have the same keys.
        let Ranks { vrams, .. } = Ranks::new(&config, 4, KvType::F16, held(2, 32)).unwrap();
        assert_eq!(vrams[0].token, whole.token / 2);
    }

    #[test]
    fn gpus_share_layers_unless_more_fit_in_turn() {
        let config = config(32, 2);
        let ranks = Ranks::new(&config, 2, KvType::F16, held(2, 32)).unwrap();
        let room = |layers: usize| {
            let vram = &ranks.vrams[0];
            vram.workspace + layers as u64 * (vram.layers[0] + 100 * vram.token)
        };
        let split = |layers| Split {
            layers,
            head: false,
        };
        let all = room(2) + ranks.vrams[0].head;
        let fit = |rooms: [u64; 2], apart: usize| ranks.fit(&rooms, 100, &[split(apart), split(0)]);
        let whole = fit([all, room(2)], 2).unwrap();
        assert_eq!((whole.layers, whole.head), (2, true));
        let without_head = fit([all - 1, all], 2).unwrap();
        assert_eq!((without_head.layers, without_head.head), (2, false));
        let one = fit([room(1), room(2)], 1).unwrap();
        assert_eq!((one.layers, one.head), (1, false));
        assert_eq!(
            fit([room(1), room(2)], 2).unwrap_err(),
            "only 1 of the layers fit on all 2 GPUs at once, and 2 on one after the other"
        );
        assert!(fit([0, 0], 0).is_err());
    }
}
