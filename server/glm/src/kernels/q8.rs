//! A Q8_0 matrix, packed for the kernels.
//!
//! Takes the blocks of a GGUF tensor, gives the same weights in panels. In the file, a row of the matrix (the
//! weights of one output) is a run of blocks, each a scale (f16) and 32 signed bytes. Here 16 rows lie together: for
//! each block column, their 16 scales, then for each pair of inputs the 16 rows' two bytes. So one load brings the
//! same two inputs' weights for eight outputs, and the sums of 16 outputs never have to be added across a register.
//! The packed form has the size of the file's.

use super::Unpack;
use half::f16;

/// Rows (outputs) in a panel.
pub(crate) const PANEL: usize = 16;
/// Weights in a block.
pub(crate) const BLOCK: usize = 32;
/// Bytes of the scales of one block column of a panel.
pub(crate) const SCALES: usize = 2 * PANEL;
/// Bytes of one block column of a panel.
pub(crate) const COLUMN: usize = SCALES + PANEL * BLOCK;
/// Bytes of a block in the file.
const FILE_BLOCK: usize = 2 + BLOCK;

/// A matrix (rows, columns) of Q8_0 weights in panels; the last panel is filled up with zeros.
#[derive(Debug)]
pub struct Q8Matrix {
    rows: usize,
    columns: usize,
    panels: Vec<u8>,
}

impl Q8Matrix {
    /// Packs the blocks of a GGUF tensor. `blocks` has exactly rows × columns / 32 × 34 bytes.
    pub fn pack(blocks: &[u8], rows: usize, columns: usize) -> Q8Matrix {
        Q8Matrix::of_panels(Q8Matrix::panels_of(blocks, columns), rows, columns)
    }

    /// The panels of some rows, the first of them the first of a panel. The panels of all rows, one after the other,
    /// are the matrix's.
    pub(crate) fn panels_of(blocks: &[u8], columns: usize) -> Vec<u8> {
        let row_blocks = columns / BLOCK;
        let rows = blocks.len() / FILE_BLOCK / row_blocks;
        let mut panels = vec![0; Q8Matrix::size(rows, columns)];
        for (index, block) in blocks.chunks_exact(FILE_BLOCK).enumerate() {
            let (row, at) = (index / row_blocks, index % row_blocks);
            let (panel, lane) = (row / PANEL, row % PANEL);
            let column = &mut panels[(panel * row_blocks + at) * COLUMN..][..COLUMN];
            column[2 * lane..][..2].copy_from_slice(&block[..2]);
            for (pair, weights) in block[2..].chunks_exact(2).enumerate() {
                column[SCALES + pair * 2 * PANEL + 2 * lane..][..2].copy_from_slice(weights);
            }
        }
        panels
    }

    /// The matrix of these panels.
    ///
    /// # Panics
    /// If there are not exactly the panels of that many rows.
    pub(crate) fn of_panels(panels: Vec<u8>, rows: usize, columns: usize) -> Q8Matrix {
        assert_eq!(panels.len(), Q8Matrix::size(rows, columns), "all panels");
        Q8Matrix {
            rows,
            columns,
            panels,
        }
    }

    /// Bytes of the panels of that many rows.
    pub(crate) fn size(rows: usize, columns: usize) -> usize {
        rows.div_ceil(PANEL) * (columns / BLOCK) * COLUMN
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        self.panels.len()
    }

    /// Panels of 16 outputs, the last one partly of zeros.
    pub(crate) fn panel_count(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// One panel: columns / 32 block columns of [`COLUMN`] bytes.
    pub(crate) fn panel(&self, panel: usize) -> &[u8] {
        let size = self.columns / BLOCK * COLUMN;
        &self.panels[panel * size..][..size]
    }
}

impl Unpack for Q8Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let lane = row % PANEL;
        let columns = self.panel(row / PANEL).chunks_exact(COLUMN);
        for (column, out) in columns.zip(out.chunks_exact_mut(BLOCK)) {
            let scale = f16::from_le_bytes([column[2 * lane], column[2 * lane + 1]]).to_f32();
            for (pair, out) in out.chunks_exact_mut(2).enumerate() {
                let weights = &column[SCALES + pair * 2 * PANEL + 2 * lane..][..2];
                out[0] = scale * f32::from(weights[0] as i8);
                out[1] = scale * f32::from(weights[1] as i8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_gives_the_weights_of_the_file() {
        let (rows, columns) = (19, 64);
        let weight = |row: usize, column: usize| ((row * 7 + column * 3) % 255) as u8 as i8;
        let scale = |row: usize, block: usize| f16::from_f32(0.25 * (1 + row + block) as f32);
        let mut blocks = Vec::new();
        for row in 0..rows {
            for block in 0..columns / BLOCK {
                blocks.extend(scale(row, block).to_le_bytes());
                blocks.extend((0..BLOCK).map(|i| weight(row, block * BLOCK + i) as u8));
            }
        }
        let matrix = Q8Matrix::pack(&blocks, rows, columns);
        let mut out = vec![f32::NAN; columns];
        for row in 0..rows {
            matrix.unpack_row(row, &mut out);
            for (column, &got) in out.iter().enumerate() {
                let want = scale(row, column / BLOCK).to_f32() * f32::from(weight(row, column));
                assert_eq!(got, want, "row {row}, column {column}");
            }
        }
    }
}
