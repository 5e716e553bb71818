//! Where a token stands: learned tables, added to its embedding, or angles by which queries and keys are turned.
//!
//! Takes the two position rows of a chunk, gives the embeddings' sum or the angles; a model with one row looks at row 0
//! alone. Angles are formed for each chunk anew: they cost a few numbers a token, no table has to be bounded, and
//! positions may be as large as the caller likes.

use crate::{
    Config, Error, Positions as Kind, Rotary as Sizes, Yarn, checkpoint::Checkpoint, kernels::cpu,
};
use candle_core::Tensor;
use std::f64::consts::PI;

/// How places reach a model.
pub(crate) enum Positions {
    /// Tables (places, width), one a row of positions.
    Learned(Vec<Tensor>),
    /// Rotation.
    Rotary(Rotary),
}

impl Positions {
    pub(crate) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<Positions, Error> {
        let rows = match config.positions {
            Kind::Rotary(sizes) => return Ok(Positions::Rotary(Rotary::new(sizes))),
            Kind::Learned { rows } => rows,
        };
        let names = ["position_embd.weight", "block_position_embd.weight"];
        let tables = names.iter().take(rows);
        let tables = tables.map(|name| checkpoint.table(name, config.places(), config.width));
        Ok(Positions::Learned(tables.collect::<Result<_, _>>()?))
    }

    /// Adds the embeddings of the positions to `x` (T, width), where there are tables.
    pub(crate) fn add(&self, x: Tensor, rows: [&[u32]; 2]) -> Result<Tensor, Error> {
        let Positions::Learned(tables) = self else {
            return Ok(x);
        };
        tables
            .iter()
            .zip(rows)
            .try_fold(x, |sum, (table, positions)| {
                Ok((sum + look_up(table, positions)?)?)
            })
    }

    /// The angles of the positions, where queries and keys are turned.
    pub(crate) fn turns(&self, rows: [&[u32]; 2]) -> Option<Turns> {
        match self {
            Positions::Learned(_) => None,
            Positions::Rotary(rotary) => Some(rotary.turns(rows)),
        }
    }
}

/// The rows of a table at these positions.
pub(crate) fn look_up(table: &Tensor, positions: &[u32]) -> Result<Tensor, Error> {
    let places = table.dim(0)?;
    if let Some(position) = positions
        .iter()
        .find(|&&position| position as usize >= places)
    {
        return Err(Error::Input(format!(
            "position {position} is past the model's last, {}; shorten the prompt or the answer",
            places - 1
        )));
    }
    Ok(table.index_select(&Tensor::new(positions, table.device())?, 0)?)
}

/// The frequencies of a model's rotation.
pub(crate) struct Rotary {
    sizes: Sizes,
    /// Radians a place, one for each pair of a section.
    frequencies: Vec<f32>,
    /// What cosines and sines are multiplied by.
    factor: f32,
}

/// The cosines and sines of a chunk's tokens.
pub(crate) struct Turns {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    sizes: Sizes,
}

impl Rotary {
    fn new(sizes: Sizes) -> Rotary {
        // A head with two rows of positions has two sections, each turned like a head of half the size.
        let section = sizes.size / sizes.rows;
        let slow = |pair: usize| sizes.base.powf((2 * pair) as f32 / section as f32);
        let pairs = 0..section / 2;
        let frequencies = match sizes.yarn {
            None => pairs.map(|pair| 1.0 / slow(pair)).collect(),
            Some(yarn) => {
                let [low, high] = mixed_pairs(&yarn, section, sizes.base);
                let mix = |pair: usize| {
                    let stretched = ((pair as f32 - low) / (high - low)).clamp(0.0, 1.0);
                    let (plain, interpolated) =
                        (1.0 / slow(pair), 1.0 / (yarn.factor * slow(pair)));
                    interpolated * stretched + plain * (1.0 - stretched)
                };
                pairs.map(mix).collect()
            }
        };
        let round = |x: f32| half::f16::from_f32(x).to_f32();
        Rotary {
            frequencies: if sizes.half_frequencies {
                Vec::into_iter(frequencies).map(round).collect()
            } else {
                frequencies
            },
            factor: sizes.yarn.map_or(1.0, |yarn| yarn.attention_factor),
            sizes,
        }
    }

    fn turns(&self, rows: [&[u32]; 2]) -> Turns {
        let rows = &rows[..self.sizes.rows];
        let angles = (0..rows[0].len()).flat_map(|token| {
            rows.iter().flat_map(move |row| {
                let place = row[token] as f32;
                // The product is rounded to f32 as the makers' code rounds it; f16 or bf16 would lose whole turns.
                self.frequencies.iter().map(move |x| place * x)
            })
        });
        let (cosines, sines) = angles
            .map(|angle| (self.factor * angle.cos(), self.factor * angle.sin()))
            .unzip();
        Turns {
            cosines,
            sines,
            sizes: self.sizes,
        }
    }
}

/// Between which pairs YaRN mixes: those faster than the first are left alone, those slower than the last are slowed
/// down by the whole factor. Peng et al., "YaRN", 2023, with the rounding of transformers.
fn mixed_pairs(yarn: &Yarn, size: usize, base: f32) -> [f32; 2] {
    let pair = |turns: f32| {
        let context = yarn.original as f64 / (f64::from(turns) * 2.0 * PI);
        size as f64 * context.ln() / (2.0 * f64::from(base).ln())
    };
    let (mut low, mut high) = (pair(yarn.beta_fast), pair(yarn.beta_slow));
    if yarn.truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, high) = (low.max(0.0), high.min(size as f64 - 1.0));
    // A ramp of no length would divide by zero.
    let high = if low == high { high + 0.001 } else { high };
    [low as f32, high as f32]
}

impl Turns {
    /// The angles for a kernel.
    pub(crate) fn view(&self) -> cpu::Turns<'_> {
        self.view_from(0)
    }

    /// The angles of the tokens from `first` on.
    pub(crate) fn view_from(&self, first: usize) -> cpu::Turns<'_> {
        let at = first * self.sizes.size / 2;
        cpu::Turns {
            cosines: &self.cosines[at..],
            sines: &self.sines[at..],
            sections: self.sizes.rows,
            pairs: self.sizes.size / self.sizes.rows / 2,
            layout: self.sizes.pairs,
        }
    }
}
