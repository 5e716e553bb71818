//! How the rows of a pass belong to sequences, and where those have their caches; as `sequences.cuh` has it.
//!
//! Takes the sequences' caches and for each row its place and how many keys it sees; gives the bytes of tables, and the
//! tables once their bytes are on the device. What changes from one step to the next lies in these tables alone, so that a
//! recorded step serves all.

use super::device::{Plain, View, bytes_of};
use crate::KvType;

/// Rows of a tile at most: queries of a block of `flash.cu`.
const TILE: usize = 64;
/// Numbers that share a scale in a q8 cache. Heads are of a multiple.
pub const SCALED: usize = 32;
/// Tokens that a q8 cache has room for are a multiple of this, so that whatever is in it begins at 16 bytes.
const ALIGNED: usize = 8;

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

/// A sequence's cache: for each layer the keys of `capacity` tokens and then their values. Either are rows of f16, or rows of
/// 8-bit integers and then as many rows of their scales, f16, one for each [`SCALED`] integers.
#[derive(Debug, Clone, Copy)]
pub struct Sequence {
    kv: KvType,
    place: Place,
}

/// A sequence as the kernels have it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Place {
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
unsafe impl Plain for Place {}
// SAFETY: as above.
unsafe impl Plain for Tile {}

/// Bytes of a row of `width` numbers: of themselves, and of their scales.
pub fn row_bytes(kv: KvType, width: usize) -> [usize; 2] {
    match kv {
        KvType::F16 => [2 * width, 0],
        KvType::Q8 => [width, 2 * width / SCALED],
    }
}

/// Bytes of a cache for so many tokens, of `width` numbers for a token's keys (heads · size) and as many for its values.
pub fn cache_bytes(kv: KvType, layers: usize, capacity: usize, width: usize) -> usize {
    let row: usize = row_bytes(kv, width).iter().sum();
    layers * 2 * capacity * row
}

impl Sequence {
    /// The cache in this memory, which stays where it is as long as a table has the sequence.
    ///
    /// # Panics
    /// If it has not the size that [`cache_bytes`] says, or integers would not be aligned.
    pub fn new(kv: KvType, cache: View, layers: usize, capacity: usize, width: usize) -> Sequence {
        assert_eq!(cache.bytes(), cache_bytes(kv, layers, capacity, width));
        let is_aligned = width.is_multiple_of(SCALED) && capacity.is_multiple_of(ALIGNED);
        assert!(kv == KvType::F16 || is_aligned, "whole scales and rows");
        Sequence {
            kv,
            place: Place {
                cache: cache.address(),
                capacity: capacity as u64,
            },
        }
    }
}

/// The tables of a set of rows, as they are to be copied to the device: sequences, then rows, then tiles.
#[derive(Debug)]
pub struct Listing {
    bytes: Vec<u8>,
    kv: KvType,
    sequences: usize,
    rows: usize,
    tiles: usize,
    most_visible: usize,
}

impl Listing {
    /// Rows of one sequence that follow one another see more and more keys.
    ///
    /// # Panics
    /// If caches are of several types, or a row has no sequence, lies behind its cache's end, sees nothing, more than there is
    /// room for or less than the row before it.
    pub fn new(sequences: &[Sequence], rows: &[Row]) -> Listing {
        let kv = sequences.first().map_or(KvType::F16, |first| first.kv);
        assert!(sequences.iter().all(|it| it.kv == kv), "one type of cache");
        for (at, row) in rows.iter().enumerate() {
            let capacity = sequences[row.sequence as usize].place.capacity;
            assert!(u64::from(row.place) < capacity, "a place in the cache");
            let visible = u64::from(row.visible);
            assert!((1..=capacity).contains(&visible), "keys to see");
            let before = at.checked_sub(1).map(|before| rows[before]);
            let before = before.filter(|before| before.sequence == row.sequence);
            assert!(before.is_none_or(|before| before.visible <= row.visible));
        }
        let tiles = tiles(rows);
        let places: Vec<Place> = sequences.iter().map(|it| it.place).collect();
        let most = rows.iter().map(|row| row.visible as usize).max();
        Listing {
            bytes: [bytes_of(&places), bytes_of(rows), bytes_of(&tiles)].concat(),
            kv,
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
        let sequences = self.sequences * size_of::<Place>();
        let rows = self.rows * size_of::<Row>();
        Tables {
            kv: self.kv,
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
    /// What the caches are of.
    pub(super) kv: KvType,
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
