//! The layers that one GPU has, or that several share, and a pass through them.
//!
//! Takes the tokens of all parts and their caches, as `pass.rs` does for each GPU; gives what comes out, which is the same
//! on each and so is taken from the first. GPUs that share a layer are asked for each half of it in turn, and what the
//! halves give is added up over all of them in between. Everything is waited for once, at the end; so `between` is heard
//! before each layer is asked for, which is long before it runs, and once where a pass of few rows is asked of one GPU as a
//! whole. A pass of many rows waits for each layer before it asks for the next, and so stops within one.

use super::{
    pass::{Choosing, Run},
    rooms::Room,
    weights::OnGpu,
};
use crate::{
    Error, Part,
    kernels::{
        cpu::Pool,
        cuda::{AllReduce, DeviceError, Failed, View},
    },
    layer::Pass,
    vram,
    workspace::Workspace,
};
use std::sync::Arc;

/// Rows up to which a pass is asked for as a whole: those of a step with a draft. To launch its kernels one by one takes
/// longer than to run them.
const FEW: usize = 8;
/// Rows of a pass from which on its layers take so much longer than it takes to wait for one, some 10 µs, that each is
/// waited for.
const LONG: usize = vram::CHUNK / 2;
// Nothing can be waited for in a recording.
const _: () = assert!(FEW < LONG);

/// Consecutive layers.
pub(super) struct Stage {
    /// What of them is on each GPU; at least one.
    pub(super) ranks: Vec<OnGpu>,
    /// What adds up over several.
    pub(super) all_reduce: Option<Arc<dyn AllReduce>>,
}

impl Stage {
    /// The GPU that has, besides, what is not shared.
    pub(super) fn lead(&self) -> &OnGpu {
        &self.ranks[0]
    }

    /// Runs the layers on all parts' tokens, whose rows are in `work.states.x` unless they are looked up here; puts there
    /// what comes out: all rows, or after the model's last layer those that are kept. With the head here, it is their
    /// logits that come out, into `work.logits`, or the tokens chosen from them, into `work.choices`. All keys and values
    /// are cached.
    ///
    /// A GPU that fails leaves none of the others waiting for it.
    pub(super) fn forward(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        rows: usize,
        pool: &Pool,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let outcome = self.run(parts, work, rows, pool, between);
        if let (Err(Error::Device { .. }), Some(all_reduce)) = (&outcome, &self.all_reduce) {
            all_reduce.abandon();
        }
        outcome
    }

    fn run(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        rows: usize,
        pool: &Pool,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let Workspace {
            spans,
            turns,
            states,
            asking,
            logits,
            draws,
            choices,
            gpus,
            steps,
            ..
        } = work;
        let lead = self.lead();
        let pass = Pass {
            spans,
            rows,
            width: lead.sizes.width,
            last: lead.sizes.layers - 1,
            turns: None,
            pool,
        };
        let choosing = |on: &OnGpu| Choosing::new(draws, on.head.is_some());
        let choosing: Vec<Choosing> = self.ranks.iter().map(choosing).collect();
        let mut layouts = Vec::with_capacity(self.ranks.len());
        for (on, choosing) in self.ranks.iter().zip(&choosing) {
            let rooms = &mut gpus[on.stage];
            layouts.push(on.prepare(&pass, parts, turns, choosing, rooms)?);
        }
        let mut ranks = Vec::with_capacity(self.ranks.len());
        for ((on, layout), choosing) in self.ranks.iter().zip(&layouts).zip(&choosing) {
            let run = on.begin(&pass, layout, choosing, &gpus[on.stage])?;
            run.take(&states.x, asking)?;
            ranks.push(run);
        }
        let runs = Runs {
            ranks,
            all_reduce: self.all_reduce.as_deref(),
        };
        match &runs.ranks[..] {
            [alone] if rows <= FEW => alone.ask_whole(&mut steps[alone.on.stage], between)?,
            _ => runs.ask(&pass, between)?,
        }
        if self.all_reduce.is_some() {
            runs.wait()?;
        }
        runs.lead().finish(draws, choices, logits, &mut states.x)
    }
}

/// A pass under way on all GPUs that share the layers. Of several, nothing is recorded: whether a driver records sums over
/// GPUs together with what is around them has not been tried on any.
struct Runs<'a> {
    ranks: Vec<Run<'a>>,
    all_reduce: Option<&'a dyn AllReduce>,
}

impl<'a> Runs<'a> {
    fn lead(&self) -> &Run<'a> {
        &self.ranks[0]
    }

    /// Asks each GPU for the same.
    fn each(&self, ask: impl Fn(&Run<'a>) -> Result<(), DeviceError>) -> Result<(), Error> {
        let mut ranks = self.ranks.iter();
        ranks.try_for_each(|run| run.on.gpu.said(ask(run)))
    }

    /// Asks for all of it, a layer at a time.
    fn ask(&self, pass: &Pass, between: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        self.each(Run::look_up)?;
        for index in self.lead().on.numbers() {
            if pass.rows >= LONG {
                self.wait()?;
            }
            if between() {
                return Err(Error::Halted);
            }
            self.each(|run| run.first_half(index))?;
            let kept = pass.kept(index);
            if kept > 0 {
                self.add_up(kept)?;
                self.each(|run| run.second_half(index))?;
                self.add_up(kept)?;
                self.each(|run| run.close(index))?;
            }
        }
        self.each(Run::head)
    }

    /// Asks for the sum of what a half of a layer gave on each GPU, in the place of each.
    fn add_up(&self, rows: usize) -> Result<(), Error> {
        let Some(all_reduce) = self.all_reduce else {
            return Ok(());
        };
        let ranks = self.ranks.iter();
        let parts: Vec<View> = ranks.map(|run| run.states(Room::Out, rows)).collect();
        self.said(all_reduce.add_up(&parts))
    }

    /// Waits until all GPUs have done what they were asked for.
    fn wait(&self) -> Result<(), Error> {
        match self.all_reduce {
            Some(all_reduce) => self.said(all_reduce.wait()),
            None => self.each(|run| run.on.gpu.device.synchronize()),
        }
    }

    /// What failed, as an error of ours that names the GPU.
    fn said(&self, result: Result<(), Failed>) -> Result<(), Error> {
        result.or_else(|Failed { rank, error }| self.ranks[rank].on.gpu.said(Err(error)))
    }
}
