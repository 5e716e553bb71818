//! The GPUs that a model's first layers are on, in the order of the layers.
//!
//! Takes a checkpoint and GPUs, gives each its layers, or its part of every layer; takes a pass, leads its hidden states
//! from one stage to the next, by way of the processor's memory. Tokens are looked up on the GPU if one holds the whole
//! model, else by the processor.

use super::{
    Cache, Gpu, Rooms, Steps,
    stage::Stage,
    weights::{Loader, OnGpu},
};
use crate::{
    Attention, Config, Error, Grouped, KvType, Part,
    checkpoint::{Checkpoint, Need},
    kernels::{cpu::Pool, cuda::AllReduce},
    ranks::{Held, Rank, Ranks},
    vram::{CACHED, KEPT, Split, Vram},
    workspace::Workspace,
};
use std::sync::Arc;

/// A model's part on GPUs.
pub(crate) struct Stages {
    /// At least one, each with at least one layer.
    stages: Vec<Stage>,
    /// Most bytes of caches that are to be kept, on all GPUs together.
    kv_room: u64,
    /// The weights in the processor's memory, while the GPUs have none: for each GPU its buffers.
    away: Option<Vec<Vec<Vec<u8>>>>,
    /// Why the GPUs take layers one after the other though they were to work on every layer together.
    apart: Option<String>,
}

impl Stages {
    /// Loads as much of a model as the GPUs may hold: of every layer a part on each if something is there to add up with
    /// and the model can be cut, else layers one after the other. The inner error says why that is nothing.
    pub(crate) fn load(
        gpus: &[Gpu],
        all_reduce: Option<&Result<Arc<dyn AllReduce>, String>>,
        checkpoint: &Checkpoint,
        config: &Config,
        progress: &dyn Fn(f32),
    ) -> Result<Result<Stages, String>, Error> {
        let kv = gpus.first().map(|gpu| gpu.kv).unwrap_or_default();
        let vram = match checkpoint.vram(config, kv)? {
            Ok(vram) => vram,
            Err(why) => return Ok(Err(why)),
        };
        let Attention::Grouped(heads) = config.attention else {
            return Ok(Err("it has no heads".to_owned()));
        };
        let loading = Loading {
            gpus,
            rooms: gpus.iter().map(|gpu| gpu.room).collect(),
            checkpoint,
            config,
            heads,
            kv,
            progress,
        };
        let splits = vram.spread(&loading.rooms, loading.tokens());
        let apart = match all_reduce {
            None => None,
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(all_reduce)) => match loading.cut(&splits)? {
                Ok((ranks, split)) => {
                    return loading.together(&ranks, split, all_reduce).map(Ok);
                }
                Err(why) => Some(why),
            },
        };
        let loaded = loading.in_turn(&vram, &splits)?;
        Ok(loaded.map(|stages| Stages { apart, ..stages }))
    }

    /// Layers that are on GPUs, the first of the model.
    pub(crate) fn layers(&self) -> usize {
        let stages = self.stages.iter();
        stages.map(|stage| stage.lead().layers.len()).sum()
    }

    /// Whether tokens are looked up on a GPU.
    pub(crate) fn looks_up(&self) -> bool {
        let mut stages = self.stages.iter();
        stages.any(|stage| stage.lead().lookup.is_some())
    }

    /// Whether nothing is left for the processor but looking up embeddings.
    pub(crate) fn is_whole(&self) -> bool {
        let mut stages = self.stages.iter();
        stages.any(|stage| stage.lead().head.is_some())
    }

    /// The GPUs' names, for people, and how many there are. Those with a `+` between them share layers.
    pub(crate) fn names(&self) -> (String, usize) {
        let shared = |stage: &Stage| {
            let names: Vec<&str> = stage.ranks.iter().map(|on| on.gpu.name()).collect();
            names.join(" + ")
        };
        let names: Vec<String> = self.stages.iter().map(shared).collect();
        (names.join(", "), self.gpus().count())
    }

    /// Why the GPUs take layers one after the other though they were to work on every layer together.
    pub(crate) fn apart(&self) -> Option<&str> {
        self.apart.as_deref()
    }

    fn gpus(&self) -> impl Iterator<Item = &OnGpu> {
        self.stages.iter().flat_map(|stage| &stage.ranks)
    }

    fn gpus_mut(&mut self) -> impl Iterator<Item = &mut OnGpu> {
        self.stages.iter_mut().flat_map(|stage| &mut stage.ranks)
    }

    /// Bytes that are left for caches, as far as they are to be kept.
    pub(crate) fn kv_room(&self) -> usize {
        usize::try_from(self.kv_room.min(KEPT)).unwrap_or(usize::MAX)
    }

    /// Whether the weights are in the processor's memory and none are on the GPUs.
    pub(crate) fn is_suspended(&self) -> bool {
        self.away.is_some()
    }

    /// Moves the weights into the processor's memory. If there is no room for them, they stay.
    pub(crate) fn suspend(&mut self) -> Result<(), Error> {
        if self.is_suspended() {
            return Ok(());
        }
        // All of them first, so that nothing is lost if the last does not fit.
        let copies = self.gpus_mut().map(OnGpu::copy_out);
        self.away = Some(copies.collect::<Result<_, _>>()?);
        self.gpus_mut().try_for_each(OnGpu::release)
    }

    /// Moves the weights back. After an error the model cannot be run on the GPUs.
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        let Some(away) = self.away.take() else {
            return Ok(());
        };
        let resumed = self
            .gpus_mut()
            .zip(&away)
            .try_for_each(|(on, copies)| on.copy_in(copies));
        if resumed.is_err() {
            self.away = Some(away);
        }
        resumed
    }

    /// An empty cache for each GPU.
    pub(crate) fn caches(&self) -> Vec<Cache> {
        self.gpus().map(OnGpu::cache).collect()
    }

    /// Runs the layers on all parts' tokens, as [`Stage::forward`] does, one stage after the other.
    pub(crate) fn forward(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        rows: usize,
        pool: &Pool,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let gpus = self.gpus().count();
        work.gpus.resize_with(gpus, Rooms::default);
        work.steps.resize_with(gpus, Steps::default);
        let mut stages = self.stages.iter();
        stages.try_for_each(|stage| stage.forward(parts, work, rows, pool, between))
    }
}

/// What is loaded, and onto what.
struct Loading<'a, 'b> {
    gpus: &'a [Gpu],
    /// Bytes that the model may take of each.
    rooms: Vec<u64>,
    checkpoint: &'a Checkpoint<'b>,
    config: &'a Config,
    heads: Grouped,
    /// What caches are to be of.
    kv: KvType,
    progress: &'a dyn Fn(f32),
}

impl Loading<'_, '_> {
    /// Tokens that caches are to have room for.
    fn tokens(&self) -> usize {
        CACHED.min(self.config.context)
    }

    /// Cuts the layers for all GPUs, and says how many fit. The inner error says why they cannot be cut, or why it is
    /// better that the GPUs take them in turn, as in `apart`.
    fn cut(&self, apart: &[Split]) -> Result<Result<(Ranks, Split), String>, Error> {
        let held = self.checkpoint.held(self.config)?;
        let held = |need: &Need| {
            let held = held.get(&need.name).copied();
            held.unwrap_or(Held {
                bytes: None,
                block: 1,
            })
        };
        let ranks = match Ranks::new(self.config, self.gpus.len(), self.kv, held) {
            Ok(ranks) => ranks,
            Err(why) => return Ok(Err(why)),
        };
        let split = ranks.fit(&self.rooms, self.tokens(), apart);
        Ok(split.map(|split| (ranks, split)))
    }

    /// One stage, whose layers all GPUs share.
    fn together(
        &self,
        Ranks { ranks, vrams }: &Ranks,
        split: Split,
        all_reduce: &Arc<dyn AllReduce>,
    ) -> Result<Stages, Error> {
        let ranks = self.part(self.gpus, ranks, [0, 0], split)?;
        let all = vrams.iter().map(|vram| vram.token).sum();
        let rooms = vrams.iter().zip(&self.rooms);
        let rooms = rooms.map(|(vram, &room)| kv_room(room, vram, 0, split, [vram.token, all]));
        Ok(Stages {
            kv_room: rooms.min().unwrap_or(0),
            stages: vec![Stage {
                ranks,
                all_reduce: Some(all_reduce.clone()),
            }],
            away: None,
            apart: None,
        })
    }

    /// A stage for each GPU that has layers. The inner error says why none has.
    fn in_turn(&self, vram: &Vram, splits: &[Split]) -> Result<Result<Stages, String>, Error> {
        let whole = [Rank::whole(self.config, self.heads)];
        let mut stages = Vec::new();
        let mut kv_room = u64::MAX;
        let mut first = 0;
        let on_gpus: u64 = splits.iter().map(|split| split.layers as u64).sum();
        for (gpu, &split) in self.gpus.iter().zip(splits) {
            if split.layers == 0 {
                continue;
            }
            let place = [stages.len(), first];
            let gpus = std::slice::from_ref(gpu);
            stages.push(Stage {
                ranks: self.part(gpus, &whole, place, split)?,
                all_reduce: None,
            });
            let share = [split.layers as u64, on_gpus];
            kv_room = kv_room.min(self::kv_room(gpu.room, vram, first, split, share));
            first += split.layers;
        }
        if stages.is_empty() {
            let largest = self.gpus.iter().max_by_key(|gpu| gpu.room);
            let (name, room) = largest.map_or(("no GPU", 0), |gpu| (gpu.name(), gpu.room));
            let first = vram.layers.first().copied().unwrap_or(0);
            let least = vram.workspace + first + vram.token * self.tokens() as u64;
            return Ok(Err(format!(
                "no layer of the model fits on {name}: the first needs {} MiB and the model may take {}",
                least.div_ceil(1 << 20),
                room >> 20,
            )));
        }
        Ok(Ok(Stages {
            stages,
            kv_room,
            away: None,
            apart: None,
        }))
    }

    /// Loads the layers of a split onto the GPUs that share them, as [`Loader::load`] does.
    fn part(
        &self,
        gpus: &[Gpu],
        ranks: &[Rank],
        place: [usize; 2],
        split: Split,
    ) -> Result<Vec<OnGpu>, Error> {
        let loader = Loader {
            gpus,
            ranks,
            checkpoint: self.checkpoint,
            config: self.config,
            heads: self.heads,
        };
        loader.load(place, split, self.progress)
    }
}

/// How many bytes of caches there can be on all GPUs together, as far as one is concerned on which so many of all lie: they
/// lie everywhere in the same proportion.
fn kv_room(room: u64, vram: &Vram, first: usize, split: Split, [mine, all]: [u64; 2]) -> u64 {
    let weights: u64 = vram.layers[first..first + split.layers].iter().sum();
    let end = if split.head { vram.end(first) } else { 0 };
    let left = u128::from(room.saturating_sub(vram.workspace + weights + end));
    let together = left * u128::from(all) / u128::from(mine.max(1));
    u64::try_from(together).unwrap_or(u64::MAX)
}
