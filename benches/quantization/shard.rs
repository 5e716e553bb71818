//! The examples of a shard, as `infill shards` writes them.
//!
//! Each record is a run of u16, little-endian: `n` tokens in all, `a` of them in Part A, then `ids[n]`, `row0[n]`,
//! `row1[n]`, `targets[n - a]`.

use anyhow::{Context, Result, ensure};

/// One example: Part A, the spans of Part B, and what should follow each token of Part B.
pub struct Example {
    /// All tokens.
    pub ids: Vec<u32>,
    /// Two positions a token.
    pub positions: [Vec<u32>; 2],
    /// Tokens of Part A.
    pub part_a: usize,
    /// A target for each token of Part B.
    pub targets: Vec<u32>,
}

impl Example {
    /// Index of the first mask token: each token of Part B has the place of its own.
    pub fn mask_at(&self) -> Option<usize> {
        let places = self.positions[0].iter().skip(self.part_a);
        places.min().map(|&place| place as usize)
    }
}

/// Reads all examples.
pub fn read(bytes: &[u8]) -> Result<Vec<Example>> {
    ensure!(
        bytes.len().is_multiple_of(2),
        "it has an odd number of bytes"
    );
    let mut numbers = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])));
    let mut examples = Vec::new();
    while let Some(n) = numbers.next() {
        let mut take = |count: u32| -> Result<Vec<u32>> {
            let run: Vec<u32> = numbers.by_ref().take(count as usize).collect();
            ensure!(
                run.len() == count as usize,
                "example {} is cut short",
                examples.len()
            );
            Ok(run)
        };
        let a = take(1)?[0];
        let loss = n
            .checked_sub(a)
            .context("an example's Part A is longer than the example")?;
        examples.push(Example {
            ids: take(n)?,
            positions: [take(n)?, take(n)?],
            part_a: a as usize,
            targets: take(loss)?,
        });
    }
    Ok(examples)
}
