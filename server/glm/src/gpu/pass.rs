//! A pass through the layers that are on a GPU.
//!
//! Takes the looked-up rows of all parts and their caches, gives the rows after the last layer there, or the logits that
//! are wanted. Everything is asked for in one queue and waited for once, at the end; so `between` is heard before each
//! layer is asked for, which is long before it runs. A pass of many rows waits for each layer before it asks for the next,
//! and so stops within one.

use super::{
    Cache,
    rooms::{Room, Rooms},
    weights::{Layer, Linear, OnGpu},
};
use crate::{
    Error, Part,
    kernels::{
        cpu::Pool,
        cuda::{
            Device, DeviceError, HeadNorms, Norm, Row, Sequence, Sum, Tables, View, activate, add,
            attend, attention_room, bytes_of, bytes_of_mut, gate, rotate_and_cache,
        },
    },
    layer::Pass,
    vram,
    workspace::{Workspace, room},
};

/// Rows of a sequence up to which attention needs room for their parts, and rows of a tile, as in `attention.rs`.
const FEW_ROWS: usize = 16;
const TILE: usize = 64;
/// Rows of a pass from which on its layers take so much longer than it takes to wait for one, some 10 µs, that each is
/// waited for.
const LONG: usize = vram::CHUNK / 2;

impl OnGpu {
    /// An empty cache for the layers that are here.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(&self.gpu, self.layers.len(), self.sizes.heads.keys())
    }

    /// Runs the layers on the rows of `work.states.x`, and puts there what comes out: all rows, or after the model's last
    /// layer those that are kept. With the head here, it is their logits that come out, into `work.logits`. All keys and
    /// values are cached.
    pub(crate) fn forward(
        &self,
        parts: &mut [Part<'_>],
        work: &mut Workspace,
        rows: usize,
        pool: &Pool,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        let sizes = &self.sizes;
        let width = sizes.width;
        let Workspace {
            spans,
            turns,
            states,
            asking,
            logits,
            gpus,
            ..
        } = work;
        let rooms = &mut gpus[self.stage];
        let pass = Pass {
            spans,
            rows,
            width,
            last: sizes.layers - 1,
            turns: None,
            pool,
        };
        let kept = pass.kept(pass.last);
        // The queries of the last layer, if that is here and they are learned.
        let asking = match self.has_last() {
            true => &asking[..],
            false => &[],
        };
        for (span, part) in spans.iter().zip(&mut *parts) {
            let past = span.mask.past();
            let tokens = past + span.mask.new_tokens();
            part.kv.gpu(self.stage).grow(tokens, past)?;
        }
        let sequences = parts
            .iter_mut()
            .map(|part| part.kv.gpu(self.stage).sequence());
        let [all, last] = self.tables(&pass, &sequences.collect::<Vec<_>>())?;
        self.make_room(rooms, &pass, turns.cosines.len(), asking.len())?;
        for (numbers, room) in [
            (&states.x[..rows * width], Room::X),
            (&turns.cosines, Room::Cosines),
            (&turns.sines, Room::Sines),
            (asking, Room::Asking),
        ] {
            let view = rooms.view(room, numbers.len());
            self.gpu.upload(bytes_of(numbers), view)?;
        }
        let run = Run {
            on: self,
            device: &*self.gpu.device,
            pass: &pass,
            rooms,
            all: &all,
            last: if kept < rows { &last } else { &all },
            angles: turns.cosines.len(),
            is_asked: !asking.is_empty(),
        };
        for (index, layer) in (self.first..).zip(&self.layers) {
            if rows >= LONG {
                self.gpu.said(self.gpu.device.synchronize())?;
            }
            if between() {
                return Err(Error::Halted);
            }
            self.gpu.said(run.layer(index, layer))?;
        }
        let download = |room, numbers: &mut [f32]| {
            let view = rooms.view(room, numbers.len());
            let device = &self.gpu.device;
            self.gpu.said(device.download(view, bytes_of_mut(numbers)))
        };
        match &self.head {
            Some(head) if kept > 0 => {
                self.gpu.said(run.head(head, kept))?;
                download(Room::Logits, room(logits, kept * sizes.vocabulary))
            }
            None if !self.has_last() => download(Room::X, &mut states.x[..rows * width]),
            None if kept > 0 => download(Room::X, &mut states.x[..kept * width]),
            // The tokens only went into the caches; what went wrong is told now.
            _ => self.gpu.said(self.gpu.device.synchronize()),
        }
    }

    /// The tables of all rows, and of those that come out of the last layer.
    fn tables(&self, pass: &Pass, sequences: &[Sequence]) -> Result<[Tables; 2], Error> {
        let device = &*self.gpu.device;
        let rows = |part: usize, from: usize| {
            let mask = pass.spans[part].mask;
            // A sequence that is cached has fewer tokens than a `u32` counts.
            (from..mask.new_tokens()).map(move |row| {
                let (place, visible) = (mask.past() + row, mask.visible(row));
                Row::new(part as u32, place as u32, visible as u32)
            })
        };
        let all: Vec<Row> = (0..sequences.len())
            .flat_map(|part| rows(part, 0))
            .collect();
        let runs = pass.runs(pass.last);
        let last: Vec<Row> = runs.flat_map(|run| rows(run.part, run.skipped)).collect();
        let all = self.gpu.said(Tables::new(device, sequences, &all))?;
        let last = self.gpu.said(Tables::new(device, sequences, &last))?;
        Ok([all, last])
    }

    fn make_room(
        &self,
        rooms: &mut Rooms,
        pass: &Pass,
        angles: usize,
        asking: usize,
    ) -> Result<(), Error> {
        let sizes = &self.sizes;
        let (rows, width) = (pass.rows, sizes.width);
        let kept = pass.kept(pass.last);
        let products = |layer: &Layer| {
            let products = [
                &layer.query_key_value,
                &layer.output,
                &layer.up,
                &layer.down,
            ];
            products.map(|linear| linear.room(rows))
        };
        let products = self.layers.iter().flat_map(products);
        let head = self.head.as_ref().map(|head| head.room(kept));
        let products = products.chain(head).max().unwrap_or(0);
        let spans = pass.spans.iter();
        let visible = spans.map(|span| span.mask.past() + span.mask.new_tokens());
        // Rows of attention that go through parts: all of a set, or none.
        let few = |counts: &mut dyn Iterator<Item = usize>| {
            let (mut rows, mut tiles) = (0, 0);
            for count in counts {
                rows += count;
                tiles += count.div_ceil(TILE);
            }
            let has_few = rows <= FEW_ROWS * tiles || !sizes.has_tiles();
            if has_few { rows } else { 0 }
        };
        let mut all = pass.spans.iter().map(|span| span.mask.new_tokens());
        let mut last = pass.runs(pass.last).map(|run| run.count);
        let few = few(&mut all).max(few(&mut last));
        let parts = attention_room(few, sizes.shape(), visible.max().unwrap_or(0));
        let logits = if self.head.is_some() { kept } else { 0 };
        let asked = if self.has_last() { kept } else { 0 };
        for (room, numbers) in [
            (Room::X, rows * width),
            (Room::Normed, rows * width),
            (Room::Out, rows * width),
            (Room::Spare, kept * width),
            (Room::Fused, rows * sizes.fused()),
            (Room::Asking, asking),
            (Room::Asked, asked * sizes.fused()),
            (Room::Mixed, rows * sizes.heads.queries()),
            (Room::Up, rows * sizes.up()),
            (Room::Gated, rows * sizes.inner),
            (Room::Logits, logits * sizes.vocabulary),
            (Room::Cosines, angles),
            (Room::Sines, angles),
        ] {
            rooms.make(&self.gpu, room, numbers * size_of::<f32>())?;
        }
        rooms.make(&self.gpu, Room::Products, products)?;
        rooms.make(&self.gpu, Room::Parts, parts)
    }
}

/// A pass under way.
struct Run<'a> {
    on: &'a OnGpu,
    device: &'a dyn Device,
    pass: &'a Pass<'a>,
    rooms: &'a Rooms,
    /// All rows.
    all: &'a Tables,
    /// The rows that come out of the last layer.
    last: &'a Tables,
    /// Cosines of all rows.
    angles: usize,
    /// Whether the model's last queries are learned, and the last layer is here.
    is_asked: bool,
}

impl Run<'_> {
    /// The first rows of hidden states in a room.
    fn states(&self, room: Room, rows: usize) -> View<'_> {
        self.rooms.view(room, rows * self.on.sizes.width)
    }

    /// Asks for the block, the model's `index`-th. Its rows are normed already, but for the first's, and those that come
    /// out of it are normed for what comes next.
    fn layer(&self, index: usize, layer: &Layer) -> Result<(), DeviceError> {
        let (rows, kept) = (self.pass.rows, self.pass.kept(index));
        let x = self.states(Room::X, rows);
        let is_asked = self.is_asked && index == self.pass.last;
        if let (true, Some(norm)) = (is_asked, &self.on.norm) {
            // The norm that closes other models comes before the layer whose queries are learned.
            norm.forward(self.device, Sum::of(x), x)?;
        }
        if index == self.on.first || is_asked {
            let normed = self.states(Room::Normed, rows);
            layer.before[0].forward(self.device, Sum::of(x), normed)?;
        }
        self.attention(index, layer, is_asked)?;
        if kept == 0 {
            return Ok(());
        }
        if kept < rows {
            // No later layer needs the other rows.
            self.gather(index, Room::X)?;
            if self.on.sizes.alpha.is_some() {
                self.gather(index, Room::Normed)?;
            }
        }
        self.sum(layer, 0, Some(&layer.before[1]), kept)?;
        self.feed_forward(layer, kept)?;
        self.sum(layer, 1, self.next(index), kept)
    }

    /// The norm that comes right after a layer, if one does.
    fn next(&self, index: usize) -> Option<&Norm> {
        let on = self.on;
        match on.layers.get(index + 1 - on.first) {
            // Another norm comes between.
            _ if self.is_asked && index + 1 >= self.pass.last => None,
            Some(layer) => Some(&layer.before[0]),
            None if on.head.is_some() => on.norm.as_ref(),
            None => None,
        }
    }

    /// Leaves of a room's hidden states those rows that come out of a layer, the first of them first.
    fn gather(&self, index: usize, room: Room) -> Result<(), DeviceError> {
        let all = self.states(room, self.pass.rows);
        let spare = self.states(Room::Spare, self.pass.kept(index));
        self.pick(index, all, spare, self.on.sizes.width)?;
        self.device.copy(spare, all.slice(0, spare.bytes()))
    }

    /// Copies those rows, of `width` numbers, that come out of a layer.
    fn pick(&self, index: usize, from: View, to: View, width: usize) -> Result<(), DeviceError> {
        let row = width * size_of::<f32>();
        self.pass.runs(index).try_for_each(|run| {
            let from = from.slice(run.from * row, run.count * row);
            self.device
                .copy(from, to.slice(run.to * row, run.count * row))
        })
    }

    /// Norms, turns and caches the keys and values of all rows, then gives what the rows that come out attend to.
    fn attention(&self, index: usize, layer: &Layer, is_asked: bool) -> Result<(), DeviceError> {
        let (device, sizes) = (self.device, &self.on.sizes);
        let (rows, kept) = (self.pass.rows, self.pass.kept(index));
        let width = sizes.fused();
        let view = |room, numbers| self.rooms.view(room, numbers);
        let fused = view(Room::Fused, rows * width);
        let normed = self.states(Room::Normed, rows);
        self.multiply(&layer.query_key_value, normed, rows, fused)?;
        let norms = layer.head_norms.as_ref();
        let norms = norms.map(|[query, key]| HeadNorms {
            query: query.view(),
            key: key.view(),
            epsilon: sizes.epsilon,
        });
        let angles = [Room::Cosines, Room::Sines].map(|room| view(room, self.angles));
        let turns = sizes.turns(angles);
        // Its number among those here.
        let cached = index - self.on.first;
        rotate_and_cache(device, fused, sizes.shape(), norms, turns, self.all, cached)?;
        if kept == 0 {
            return Ok(());
        }
        let (asking, tables) = if index < self.pass.last || (kept == rows && !is_asked) {
            (fused, self.all)
        } else {
            // Only these rows' queries are needed, and lie one after the other.
            let asked = view(Room::Asked, kept * width);
            if is_asked {
                let learned = self.states(Room::Asking, kept);
                self.multiply(&layer.query_key_value, learned, kept, asked)?;
            } else {
                self.pick(index, fused, asked, width)?;
            }
            (asked, self.last)
        };
        let mixed = view(Room::Mixed, kept * sizes.heads.queries());
        let room = self.rooms.whole(Room::Parts);
        attend(
            device,
            asking,
            width,
            sizes.shape(),
            tables,
            cached,
            mixed,
            room,
        )?;
        self.multiply(&layer.output, mixed, kept, self.states(Room::Out, kept))
    }

    fn feed_forward(&self, layer: &Layer, rows: usize) -> Result<(), DeviceError> {
        let sizes = &self.on.sizes;
        let up = self.rooms.view(Room::Up, rows * sizes.up());
        self.multiply(&layer.up, self.states(Room::Normed, rows), rows, up)?;
        let inner = if sizes.gated {
            let gated = self.rooms.view(Room::Gated, rows * sizes.inner);
            gate(self.device, sizes.activation, up, sizes.inner, gated)?;
            gated
        } else {
            activate(self.device, sizes.activation, up)?;
            up
        };
        self.multiply(&layer.down, inner, rows, self.states(Room::Out, rows))
    }

    /// x ← what a half gave, added to what it was given; normed for what comes `next`, if something does.
    fn sum(
        &self,
        layer: &Layer,
        half: usize,
        next: Option<&Norm>,
        rows: usize,
    ) -> Result<(), DeviceError> {
        let device = self.device;
        let [x, normed, out] =
            [Room::X, Room::Normed, Room::Out].map(|room| self.states(room, rows));
        let mut added = out;
        if let Some(after) = &layer.after {
            after[half].forward(device, Sum::of(out), normed)?;
            added = normed;
        }
        let (base, alpha) = match self.on.sizes.alpha {
            Some(alpha) => (normed, alpha),
            None => (x, 1.0),
        };
        match next {
            Some(next) => {
                let sum = Sum {
                    base,
                    added: Some((added, x)),
                    alpha,
                };
                next.forward(device, sum, normed)
            }
            None => add(device, base, added, alpha, x),
        }
    }

    fn multiply(
        &self,
        linear: &Linear,
        x: View,
        rows: usize,
        out: View,
    ) -> Result<(), DeviceError> {
        let room = self.rooms.whole(Room::Products);
        linear.multiply(self.device, x, rows, out, room)
    }

    /// The logits of the rows that are kept.
    fn head(&self, head: &Linear, kept: usize) -> Result<(), DeviceError> {
        // The norm of models whose last queries are learned came before the last layer.
        let x = if self.is_asked { Room::X } else { Room::Normed };
        let logits = kept * self.on.sizes.vocabulary;
        let logits = self.rooms.view(Room::Logits, logits);
        self.multiply(head, self.states(x, kept), kept, logits)
    }
}
