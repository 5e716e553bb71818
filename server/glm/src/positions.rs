//! Where a token stands: learned tables, added to its embedding, or angles by which queries and keys are turned.
//!
//! Takes the two position rows of a chunk, gives the embeddings' sum or the angles; a model with one row looks at row 0
//! alone. Angles are formed for each chunk anew: they cost a few numbers a token, no table has to be bounded, and
//! positions may be as large as the caller likes.

use crate::{
    Config, Error, Positions as Kind, Rotary as Sizes, Yarn,
    checkpoint::Checkpoint,
    kernels::{FloatMatrix, Unpack, cpu},
};
use std::f64::consts::PI;

/// How places reach a model.
pub(crate) enum Positions {
    /// Tables (places, width), one a row of positions.
    Learned(Vec<FloatMatrix>),
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
        let tables = tables.map(|name| table(checkpoint, name, config));
        Ok(Positions::Learned(tables.collect::<Result<_, _>>()?))
    }

    /// Adds the embeddings of the positions to `x`, a row of `width` numbers a token, where there are tables.
    pub(crate) fn add(&self, x: &mut [f32], width: usize, rows: [&[u32]; 2]) -> Result<(), Error> {
        let Positions::Learned(tables) = self else {
            return Ok(());
        };
        for (table, positions) in tables.iter().zip(rows) {
            for (x, &position) in x.chunks_exact_mut(width).zip(positions) {
                let row = look_up(table, position)?;
                x.iter_mut().zip(row).for_each(|(x, place)| *x += place);
            }
        }
        Ok(())
    }

    /// Whether the tables have all positions, where there are tables.
    pub(crate) fn check(&self, rows: [&[u32]; 2]) -> Result<(), Error> {
        let Positions::Learned(tables) = self else {
            return Ok(());
        };
        let mut places = tables.iter().zip(rows);
        places.try_for_each(|(table, positions)| {
            let mut positions = positions.iter();
            positions.try_for_each(|&position| look_up(table, position).map(|_| ()))
        })
    }

    /// Appends the angles of the positions, where queries and keys are turned.
    pub(crate) fn turn(&self, rows: [&[u32]; 2], turns: &mut Turns) {
        if let Positions::Rotary(rotary) = self {
            rotary.turn(rows, turns);
        }
    }

    /// Angles for the kernels, where queries and keys are turned.
    pub(crate) fn view<'a>(&self, turns: &'a Turns) -> Option<cpu::Turns<'a>> {
        match self {
            Positions::Learned(_) => None,
            Positions::Rotary(Rotary { sizes, .. }) => Some(cpu::Turns {
                cosines: &turns.cosines,
                sines: &turns.sines,
                sections: sizes.rows,
                pairs: sizes.size / sizes.rows / 2,
                layout: sizes.pairs,
            }),
        }
    }
}

/// A table (places, width) of the model's positions.
pub(crate) fn table(
    checkpoint: &Checkpoint,
    name: &str,
    config: &Config,
) -> Result<FloatMatrix, Error> {
    let numbers = checkpoint.table(name, config.places(), config.width)?;
    Ok(FloatMatrix::new(numbers, config.places(), config.width))
}

/// The row of a table at this position.
pub(crate) fn look_up(table: &FloatMatrix, position: u32) -> Result<&[f32], Error> {
    if position as usize >= table.rows() {
        return Err(Error::Input(format!(
            "position {position} is past the model's last, {}; shorten the prompt or the answer",
            table.rows() - 1
        )));
    }
    Ok(table.row(position as usize))
}

/// The frequencies of a model's rotation.
pub(crate) struct Rotary {
    sizes: Sizes,
    /// Radians a place, one for each pair of a section.
    frequencies: Vec<f32>,
    /// What cosines and sines are multiplied by.
    factor: f32,
}

/// The cosines and sines of a pass's tokens.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) cosines: Vec<f32>,
    pub(crate) sines: Vec<f32>,
}

impl Turns {
    pub(crate) fn clear(&mut self) {
        self.cosines.clear();
        self.sines.clear();
    }
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

    fn turn(&self, rows: [&[u32]; 2], turns: &mut Turns) {
        let rows = &rows[..self.sizes.rows];
        for token in 0..rows[0].len() {
            for row in rows {
                let place = row[token] as f32;
                for frequency in &self.frequencies {
                    // The product is rounded to f32 as the makers' code rounds it; f16 or bf16 would lose whole turns.
                    let angle = place * frequency;
                    turns.cosines.push(self.factor * angle.cos());
                    turns.sines.push(self.factor * angle.sin());
                }
            }
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
