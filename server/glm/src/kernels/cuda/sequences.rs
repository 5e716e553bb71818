//! How the rows of a pass belong to sequences, and where those have their caches; as `sequences.cuh` has it.
//!
//! Takes the sequences' caches and for each row its place and how many keys it sees; gives the bytes of tables, and the
//! tables once their bytes are on the device. What changes from one step to the next lies in these tables alone, so that a
//! recorded step serves all.

use super::device::{Plain, View, bytes_of};

/// Rows of a tile at most: queries of a block of `flash.cu`.
const TILE: usize = 64;

/// A row of a pass: one token.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The number of its sequence in the table.
    pub sequence: u32,
    /// Its place in the sequence: the tokens before it.
    pub place: u32,
    /// How many keys, from the first on, it sees; at least one.
    pub visible: u32,
    spare: u32,
}

impl Row {
    /// A row with these numbers.
    pub fn new(sequence: u32, place: u32, visible: u32) -> Row {
        Row {
            sequence,
            place,
            visible,
            spare: 0,
        }
    }
}

/// A sequence's cache: for each layer the keys of `capacity` tokens and then their values, f16.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Sequence {
    cache: u64,
    capacity: u64,
}

/// Rows that follow one another in one sequence.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    first: u32,
    count: u32,
}

// SAFETY: numbers without gaps between them.
unsafe impl Plain for Row {}
// SAFETY: as above.
unsafe impl Plain for Sequence {}
// SAFETY: as above.
unsafe impl Plain for Tile {}

/// Bytes of a cache for so many tokens, of `width` numbers for a token's keys (heads · size) and as many for its values.
pub fn cache_bytes(layers: usize, capacity: usize, width: usize) -> usize {
    layers * 2 * capacity * width * size_of::<u16>()
}

impl Sequence {
    /// The cache in this memory, which stays where it is as long as a table has the sequence.
    ///
    /// # Panics
    /// If it has not the size that [`cache_bytes`] says.
    pub fn new(cache: View, layers: usize, capacity: usize, width: usize) -> Sequence {
        assert_eq!(cache.bytes(), cache_bytes(layers, capacity, width));
        Sequence {
            cache: cache.address(),
            capacity: capacity as u64,
        }
    }
}

/// The tables of a set of rows, as they are to be copied to the device: sequences, then rows, then tiles.
#[derive(Debug)]
pub struct Listing {
    bytes: Vec<u8>,
    sequences: usize,
    rows: usize,
    tiles: usize,
    most_visible: usize,
}

impl Listing {
    /// Rows of one sequence that follow one another see more and more keys.
    ///
    /// # Panics
    /// If a row has no sequence, lies behind its cache's end, sees nothing, more than there is room for or less than the row
    /// before it.
    pub fn new(sequences: &[Sequence], rows: &[Row]) -> Listing {
        for (at, row) in rows.iter().enumerate() {
            let capacity = sequences[row.sequence as usize].capacity;
            assert!(u64::from(row.place) < capacity, "a place in the cache");
            let visible = u64::from(row.visible);
            assert!((1..=capacity).contains(&visible), "keys to see");
            let before = at.checked_sub(1).map(|before| rows[before]);
            let before = before.filter(|before| before.sequence == row.sequence);
            assert!(before.is_none_or(|before| before.visible <= row.visible));
        }
        let tiles = tiles(rows);
        let most = rows.iter().map(|row| row.visible as usize).max();
        Listing {
            bytes: [bytes_of(sequences), bytes_of(rows), bytes_of(&tiles)].concat(),
            sequences: sequences.len(),
            rows: rows.len(),
            tiles: tiles.len(),
            most_visible: most.unwrap_or(0),
        }
    }

    /// What is to be copied to the device, to a multiple of 16 bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tables, whose bytes are there, or will be when they are looked at.
    ///
    /// # Panics
    /// If there is not as much memory.
    pub fn at<'a>(&self, memory: View<'a>) -> Tables<'a> {
        assert_eq!(memory.bytes(), self.bytes.len(), "as many bytes");
        let sequences = self.sequences * size_of::<Sequence>();
        let rows = self.rows * size_of::<Row>();
        Tables {
            sequences: memory.slice(0, sequences),
            rows: memory.slice(sequences, rows),
            tiles: memory.slice(sequences + rows, self.tiles * size_of::<Tile>()),
            row_count: self.rows,
            tile_count: self.tiles,
            most_visible: self.most_visible,
        }
    }
}

/// The tables of a set of rows, on the device.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    pub(super) sequences: View<'a>,
    pub(super) rows: View<'a>,
    pub(super) tiles: View<'a>,
    pub(super) row_count: usize,
    pub(super) tile_count: usize,
    /// The most keys that a row may see.
    pub(super) most_visible: usize,
}

/// The runs of rows of one sequence, at most [`TILE`] each.
fn tiles(rows: &[Row]) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match tiles.last_mut() {
            Some(tile)
                if (tile.count as usize) < TILE
                    && rows[tile.first as usize].sequence == row.sequence =>
            {
                tile.count += 1;
            }
            _ => tiles.push(Tile {
                first: at as u32,
                count: 1,
            }),
        }
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_runs_of_one_sequence() {
        let run = |sequence, count| (0..count).map(move |at| Row::new(sequence, at, at + 1));
        let rows: Vec<Row> = run(1, 70).chain(run(0, 1)).chain(run(2, 64)).collect();
        let got: Vec<(u32, u32)> = tiles(&rows).iter().map(|t| (t.first, t.count)).collect();
        assert_eq!(got, [(0, 64), (64, 6), (70, 1), (71, 64)]);
        assert!(tiles(&[]).is_empty());
    }
}
