//! Where a token stands: two learned tables, added to the token embedding.
//!
//! Takes the two position rows of a chunk, gives their embeddings' sum. Row 0 is the place in Part A (for Part B the
//! place of its mask), row 1 is 0 in Part A and counts from 1 in Part B.

use crate::{Config, Error, checkpoint::Checkpoint};
use candle_core::Tensor;

/// The two position tables, each (context + 1, width).
pub(crate) struct Positions {
    tables: [Tensor; 2],
}

impl Positions {
    pub(crate) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<Positions, Error> {
        let table = |name| checkpoint.table(name, config.context + 1, config.width);
        let tables = [
            table("position_embd.weight")?,
            table("block_position_embd.weight")?,
        ];
        Ok(Positions { tables })
    }

    /// Adds the embeddings of both rows of positions to `x` (T, width).
    pub(crate) fn add(&self, x: &Tensor, rows: [&[u32]; 2]) -> Result<Tensor, Error> {
        let mut sum = x.clone();
        for (table, positions) in self.tables.iter().zip(rows) {
            let rows = table.dim(0)?;
            if let Some(position) = positions
                .iter()
                .find(|&&position| position as usize >= rows)
            {
                return Err(Error::Input(format!(
                    "position {position} is past the model's context of {} tokens; shorten the prompt or the answer",
                    rows - 1
                )));
            }
            let positions = Tensor::new(positions, x.device())?;
            sum = (sum + table.index_select(&positions, 0)?)?;
        }
        Ok(sum)
    }
}
