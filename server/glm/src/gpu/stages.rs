//! The GPUs that a model's first layers are on, in the order of the layers.
//!
//! Takes a checkpoint and GPUs, gives each its layers; takes a pass, leads its hidden states from one to the next, by way
//! of the processor's memory. Tokens are looked up on the GPU if one holds the whole model, else by the processor.

use super::{Cache, Gpu, Rooms, Steps, weights::OnGpu};
use crate::{
    Attention, Config, Error, Part,
    checkpoint::Checkpoint,
    kernels::cpu::Pool,
    vram::{CACHED, KEPT, Split},
    workspace::Workspace,
};

/// A model's part on GPUs.
pub(crate) struct Stages {
    /// At least one, each with at least one layer.
    stages: Vec<OnGpu>,
    /// Most bytes of caches that are to be kept, in all stages together.
    kv_room: u64,
    /// The weights in the processor's memory, while the GPUs have none: for each stage its buffers.
    away: Option<Vec<Vec<Vec<u8>>>>,
}

impl Stages {
    /// Loads as much of a model as the GPUs may hold. The inner error says why that is nothing.
    pub(crate) fn load(
        gpus: &[Gpu],
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
        let tokens = CACHED.min(config.context);
        let rooms: Vec<u64> = gpus.iter().map(|gpu| gpu.room).collect();
        let splits = vram.spread(&rooms, tokens);
        let mut stages = Vec::new();
        let mut kv_room = u64::MAX;
        let mut first = 0;
        let on_gpus: u64 = splits.iter().map(|split| split.layers as u64).sum();
        for (gpu, &split) in gpus.iter().zip(&splits) {
            let Split { layers, head } = split;
            if layers == 0 {
                continue;
            }
            let place = [stages.len(), first];
            stages.push(OnGpu::load(
                gpu, checkpoint, config, heads, place, split, progress,
            )?);
            let weights: u64 = vram.layers[first..first + layers].iter().sum();
            let taken = vram.workspace + weights + if head { vram.end(first) } else { 0 };
            // Caches lie on all GPUs in proportion to their layers.
            let left = u128::from(gpu.room.saturating_sub(taken));
            let together = left * u128::from(on_gpus) / layers as u128;
            kv_room = kv_room.min(u64::try_from(together).unwrap_or(u64::MAX));
            first += layers;
        }
        if stages.is_empty() {
            let largest = gpus.iter().max_by_key(|gpu| gpu.room);
            let (name, room) = largest.map_or(("no GPU", 0), |gpu| (gpu.name(), gpu.room));
            let first = vram.layers.first().copied().unwrap_or(0);
            let least = vram.workspace + first + vram.token * tokens as u64;
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
        }))
    }

    /// Layers that are on GPUs, the first of the model.
    pub(crate) fn layers(&self) -> usize {
        self.stages.iter().map(|stage| stage.layers.len()).sum()
    }

    /// Whether tokens are looked up on a GPU.
    pub(crate) fn looks_up(&self) -> bool {
        self.stages.iter().any(|stage| stage.lookup.is_some())
    }

    /// Whether nothing is left for the processor but looking up embeddings.
    pub(crate) fn is_whole(&self) -> bool {
        self.stages.iter().any(|stage| stage.head.is_some())
    }

    /// The GPUs' names, for people, and how many there are.
    pub(crate) fn names(&self) -> (String, usize) {
        let names: Vec<&str> = self.stages.iter().map(|stage| stage.gpu.name()).collect();
        (names.join(", "), names.len())
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
        let copies = self.stages.iter_mut().map(OnGpu::copy_out);
        self.away = Some(copies.collect::<Result<_, _>>()?);
        self.stages.iter_mut().try_for_each(OnGpu::release)
    }

    /// Moves the weights back. After an error the model cannot be run on the GPUs.
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        if let Some(away) = &self.away {
            for (stage, copies) in self.stages.iter_mut().zip(away) {
                stage.copy_in(copies)?;
            }
            self.away = None;
        }
        Ok(())
    }

    /// An empty cache for each stage.
    pub(crate) fn caches(&self) -> Vec<Cache> {
        self.stages.iter().map(OnGpu::cache).collect()
    }

    /// Runs the layers on all parts' tokens, as [`OnGpu::forward`] does, one stage after the other.
    pub(crate) fn forward(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        rows: usize,
        pool: &Pool,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        work.gpus.resize_with(self.stages.len(), Rooms::default);
        work.steps.resize_with(self.stages.len(), Steps::default);
        let mut stages = self.stages.iter();
        stages.try_for_each(|stage| stage.forward(parts, work, rows, pool, between))
    }
}
