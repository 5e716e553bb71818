//! A pass on one GPU: what is asked of it for each half of each layer.
//!
//! Takes the tokens of all parts, or their rows where the processor or the GPU before has made them, and their caches; gives
//! the rows after the last layer there, or the logits or tokens that are wanted. Everything is asked for in one queue.
//! `stage.rs` says when, and waits.

use super::{
    Cache,
    inputs::{Inputs, Layout},
    rooms::{Room, Rooms},
    steps::{Shape, Steps},
    weights::{Layer, Linear, OnGpu},
};
use crate::{
    Choice, Draw, Error, Part,
    kernels::cuda::{
        ChoiceRow, Device, DeviceError, DrawRow, HeadNorms, Norm, Sum, Tables, View, activate, add,
        attend, attention_room, bytes_of, bytes_of_mut, choice_room, choose, gate, gather,
        rotate_and_cache,
    },
    layer::Pass,
    positions::Turns,
    workspace::room,
};
use std::ops::Range;

/// Rows of a sequence up to which attention needs room for their parts, and rows of a tile, as in `attention.rs`.
const FEW_ROWS: usize = 16;
const TILE: usize = 64;

impl OnGpu {
    /// An empty cache for the layers that are here.
    pub(crate) fn cache(&self) -> Cache {
        let sizes = &self.sizes;
        Cache::new(&self.gpu, sizes.kv, self.layers.len(), sizes.heads.keys())
    }

    /// Makes room for a pass, also in the caches of its parts, and lists its inputs; gives where they will lie.
    pub(super) fn prepare(
        &self,
        pass: &Pass,
        parts: &mut [Part<'_>],
        turns: &Turns,
        choosing: &Choosing,
        rooms: &mut Rooms,
    ) -> Result<Layout, Error> {
        for (span, part) in pass.spans.iter().zip(&mut *parts) {
            let past = span.mask.past();
            let tokens = past + span.mask.new_tokens();
            part.kv.gpu(self.stage).grow(tokens, past)?;
        }
        let sequences = parts
            .iter_mut()
            .map(|part| part.kv.gpu(self.stage).sequence());
        let sequences: Vec<_> = sequences.collect();
        let staged = &mut rooms.staged;
        let layout = Layout::new(pass, parts, &sequences, turns, &choosing.draws, staged);
        self.make_room(rooms, pass, choosing)?;
        Ok(layout)
    }

    /// The pass on this GPU, in the rooms that were made for it; its inputs are on their way there.
    pub(super) fn begin<'a>(
        &'a self,
        pass: &'a Pass<'a>,
        layout: &Layout,
        choosing: &'a Choosing,
        rooms: &'a Rooms,
    ) -> Result<Run<'a>, Error> {
        let memory = rooms.first(Room::Inputs, rooms.staged.len());
        self.gpu.upload(&rooms.staged, memory)?;
        let kept = pass.kept(pass.last);
        Ok(Run {
            on: self,
            device: &*self.gpu.device,
            pass,
            rooms,
            inputs: layout.at(memory),
            choosing,
            is_asked: self.sizes.top_query && self.has_last() && kept > 0,
        })
    }

    /// The numbers in the model of the layers that are here.
    pub(super) fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.layers.len()
    }

    /// The model's `index`-th layer, which is here.
    fn layer(&self, index: usize) -> &Layer {
        &self.layers[index - self.first]
    }

    fn make_room(&self, rooms: &mut Rooms, pass: &Pass, choosing: &Choosing) -> Result<(), Error> {
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
        let drawn = if choosing.is_drawn { kept } else { 0 };
        let choices = choice_room(choosing.draws.len(), sizes.vocabulary);
        let asked = if self.has_last() { kept } else { 0 };
        let asking = if sizes.top_query { asked * width } else { 0 };
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
            (Room::Weights, drawn * sizes.vocabulary),
        ] {
            rooms.make(&self.gpu, room, numbers * size_of::<f32>())?;
        }
        rooms.make(&self.gpu, Room::Choices, choices)?;
        rooms.make(&self.gpu, Room::Inputs, rooms.staged.len())?;
        rooms.make(&self.gpu, Room::Products, products)?;
        rooms.make(&self.gpu, Room::Parts, parts)
    }
}

/// How tokens are chosen from the rows of logits here.
pub(super) struct Choosing {
    /// One a row; none if no token is chosen here.
    draws: Vec<DrawRow>,
    /// Whether any is drawn and not the likeliest.
    is_drawn: bool,
}

impl Choosing {
    /// For these rows, if there is a head to make logits.
    pub(super) fn new(draws: &[Option<Draw>], has_head: bool) -> Choosing {
        let chooses = has_head && draws.iter().any(Option::is_some);
        let rows = draws.iter().filter(|_| chooses);
        let mut chosen = draws.iter().flatten();
        Choosing {
            // A row whose logits are wanted is chosen from besides.
            draws: rows
                .map(|draw| draw.unwrap_or(Draw::GREEDY).into())
                .collect(),
            is_drawn: chooses && chosen.any(|draw| !draw.is_greedy()),
        }
    }
}

/// A pass under way on a GPU.
pub(super) struct Run<'a> {
    pub(super) on: &'a OnGpu,
    device: &'a dyn Device,
    pass: &'a Pass<'a>,
    rooms: &'a Rooms,
    inputs: Inputs<'a>,
    choosing: &'a Choosing,
    /// Whether the model's last queries are learned, and the last layer is here.
    is_asked: bool,
}

impl Run<'_> {
    /// The first rows of hidden states in a room.
    pub(super) fn states(&self, room: Room, rows: usize) -> View<'_> {
        self.rooms.view(room, rows * self.on.sizes.width)
    }

    /// Takes the rows that come out of the layers before, or were looked up, and those that the last layer's queries come
    /// from, unless all of that is done here.
    pub(super) fn take(&self, x: &[f32], asking: &[f32]) -> Result<(), Error> {
        if self.on.lookup.is_some() {
            return Ok(());
        }
        let (gpu, rows) = (&self.on.gpu, self.pass.rows);
        let x = &x[..rows * self.on.sizes.width];
        gpu.upload(bytes_of(x), self.states(Room::X, rows))?;
        if self.is_asked {
            let to = self.states(Room::Asking, self.pass.kept(self.pass.last));
            gpu.upload(bytes_of(asking), to)?;
        }
        Ok(())
    }

    /// Asks for all of it as a whole, which is recorded if there are more such passes.
    pub(super) fn ask_whole(
        &self,
        steps: &mut Steps,
        between: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        if between() {
            return Err(Error::Halted);
        }
        let inputs = &self.inputs;
        let shape = Shape {
            sequences: self.pass.spans.len(),
            rows: self.pass.rows,
            kept: self.pass.kept(self.pass.last),
            chosen: self.choosing.draws.len(),
            parts: [&inputs.all, &inputs.last].map(Tables::parts),
        };
        let mut ask = || {
            self.look_up()?;
            for index in self.on.numbers() {
                self.first_half(index)?;
                if self.pass.kept(index) > 0 {
                    self.second_half(index)?;
                    self.close(index)?;
                }
            }
            self.head()
        };
        steps.keep_for(&self.on.loaded, self.rooms.moves);
        let asked = steps.ask(self.device, shape, &mut ask);
        self.on.gpu.said(asked)
    }

    /// Waits for all of it; brings the logits or tokens that are wanted, or else the rows that go on.
    pub(super) fn finish(
        &self,
        draws: &[Option<Draw>],
        choices: &mut Vec<Option<Choice>>,
        logits: &mut Vec<f32>,
        x: &mut [f32],
    ) -> Result<(), Error> {
        let kept = self.pass.kept(self.pass.last);
        let out = if self.on.has_last() {
            kept
        } else {
            self.pass.rows
        };
        self.on.gpu.said(match self.on.head {
            // The tokens only went into the caches; what went wrong is told now.
            _ if out == 0 => self.device.synchronize(),
            Some(_) => self.fetch(draws, choices, logits),
            None => {
                let x = bytes_of_mut(&mut x[..out * self.on.sizes.width]);
                self.device.download(self.states(Room::X, out), x)
            }
        })
    }

    /// Looks tokens up, if that is done here.
    pub(super) fn look_up(&self) -> Result<(), DeviceError> {
        let (on, inputs) = (self.on, &self.inputs);
        let embedding = on.head.as_ref().and_then(Linear::whole);
        let (Some(lookup), Some(embedding)) = (&on.lookup, embedding) else {
            return Ok(());
        };
        let place = |row: usize| {
            let table = lookup.places.get(row)?;
            Some((table.view(), inputs.positions[row]))
        };
        let places = [place(0), place(1)];
        let x = self.states(Room::X, self.pass.rows);
        embedding.embed(self.device, inputs.ids, places, x)?;
        match &lookup.top_query {
            Some(table) if self.is_asked => {
                let to = self.states(Room::Asking, self.pass.kept(self.pass.last));
                let width = on.sizes.width;
                gather(self.device, table.view(), inputs.asking, width, to)
            }
            _ => Ok(()),
        }
    }

    /// Asks for the attention of the block, the model's `index`-th; what it gives is to be added up over the GPUs that
    /// share the layer, if rows come out of it. Its rows are normed already, but for the first's.
    pub(super) fn first_half(&self, index: usize) -> Result<(), DeviceError> {
        let (layer, rows) = (self.on.layer(index), self.pass.rows);
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
        self.attention(index, layer, is_asked)
    }

    /// Asks for the sum after attention and for the feed-forward, whose part is to be added up, too.
    pub(super) fn second_half(&self, index: usize) -> Result<(), DeviceError> {
        let (layer, kept) = (self.on.layer(index), self.pass.kept(index));
        if kept < self.pass.rows {
            // No later layer needs the other rows.
            self.gather(Room::X)?;
            if self.on.sizes.alpha.is_some() {
                self.gather(Room::Normed)?;
            }
        }
        self.sum(layer, 0, Some(&layer.before[1]), kept)?;
        self.feed_forward(layer, kept)
    }

    /// Asks for the sum after the feed-forward; its rows are normed for what comes next.
    pub(super) fn close(&self, index: usize) -> Result<(), DeviceError> {
        let (layer, kept) = (self.on.layer(index), self.pass.kept(index));
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

    /// Leaves of a room's hidden states those rows that come out of the last layer, the first of them first.
    fn gather(&self, room: Room) -> Result<(), DeviceError> {
        let all = self.states(room, self.pass.rows);
        let spare = self.states(Room::Spare, self.pass.kept(self.pass.last));
        self.pick(all, spare, self.on.sizes.width)?;
        self.device.copy(spare, all.slice(0, spare.bytes()))
    }

    /// Copies those rows, of `width` numbers, that come out of the last layer.
    fn pick(&self, from: View, to: View, width: usize) -> Result<(), DeviceError> {
        gather(self.device, from, self.inputs.kept, width, to)
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
        let inputs = &self.inputs;
        let turns = sizes.turns(inputs.angles);
        let shape = sizes.shape();
        // Its number among those here.
        let cached = index - self.on.first;
        rotate_and_cache(device, fused, shape, norms, turns, &inputs.all, cached)?;
        if kept == 0 {
            return Ok(());
        }
        let (asking, tables) = if index < self.pass.last || (kept == rows && !is_asked) {
            (fused, &inputs.all)
        } else {
            // Only these rows' queries are needed, and lie one after the other.
            let asked = view(Room::Asked, kept * width);
            if is_asked {
                let learned = self.states(Room::Asking, kept);
                self.multiply(&layer.query_key_value, learned, kept, asked)?;
            } else {
                self.pick(fused, asked, width)?;
            }
            (asked, &inputs.last)
        };
        let mixed = view(Room::Mixed, kept * sizes.heads.queries());
        let room = self.rooms.whole(Room::Parts);
        attend(device, asking, width, shape, tables, cached, mixed, room)?;
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

    /// The logits of the rows that are kept, and the tokens chosen from them, if the head is here.
    pub(super) fn head(&self) -> Result<(), DeviceError> {
        let kept = self.pass.kept(self.pass.last);
        let (Some(head), 1..) = (&self.on.head, kept) else {
            return Ok(());
        };
        // The norm of models whose last queries are learned came before the last layer.
        let x = if self.is_asked { Room::X } else { Room::Normed };
        let vocabulary = self.on.sizes.vocabulary;
        let logits = self.rooms.view(Room::Logits, kept * vocabulary);
        self.multiply(head, self.states(x, kept), kept, logits)?;
        if self.choosing.draws.is_empty() {
            return Ok(());
        }
        let weights = if self.choosing.is_drawn { kept } else { 0 };
        let weights = self.rooms.view(Room::Weights, weights * vocabulary);
        let room = self.rooms.whole(Room::Choices);
        let draws = self.inputs.draws;
        choose(self.device, logits, vocabulary, draws, weights, room).map(|_| ())
    }

    /// Waits, and brings what is wanted of the rows of logits: the tokens chosen from them, or they themselves.
    fn fetch(
        &self,
        draws: &[Option<Draw>],
        choices: &mut Vec<Option<Choice>>,
        logits: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let (kept, row) = (draws.len(), self.on.sizes.vocabulary);
        if !self.choosing.draws.is_empty() {
            let mut rows = vec![ChoiceRow::default(); kept];
            let from = self.rooms.first(Room::Choices, size_of_val(&rows[..]));
            self.device.download(from, bytes_of_mut(&mut rows))?;
            choices.extend(rows.into_iter().map(ChoiceRow::choice));
        }
        let all = self.rooms.view(Room::Logits, kept * row);
        let mut first = 0;
        for rows in draws.chunk_by(|one, other| one.is_some() == other.is_some()) {
            let end = first + rows.len();
            if rows[0].is_none() {
                let from = all.slice(4 * first * row, 4 * (end - first) * row);
                let to = &mut room(logits, kept * row)[first * row..end * row];
                self.device.download(from, bytes_of_mut(to))?;
            }
            first = end;
        }
        Ok(())
    }
}
