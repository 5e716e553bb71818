//! Norms of heads, rotary positions, and the way of keys and values into the caches.
//!
//! Takes the product of hidden states with the matrix of queries, keys and values; gives queries in their place, and
//! keys and values in the caches of their sequences.

use super::{
    device::{Arg, Device, DeviceError, Launch, View},
    sequences::Tables,
};
use crate::{Pairs, kernels::cpu::Heads};

/// Heads of a block, and numbers of the largest head, as in `rotary.cu`.
const HEADS: usize = 4;
const MOST: usize = 256;

/// The angles of a pass's rows.
#[derive(Debug, Clone, Copy)]
pub struct Turns<'a> {
    /// Cosines (rows, sections, pairs).
    pub cosines: View<'a>,
    /// Sines, likewise.
    pub sines: View<'a>,
    /// Sections of a head, one after the other, each with angles of its own.
    pub sections: usize,
    /// Pairs of a section; it has twice as many numbers.
    pub pairs: usize,
    /// Which two numbers of a section make a pair.
    pub layout: Pairs,
}

/// The norms of each head's query and key.
#[derive(Debug, Clone, Copy)]
pub struct HeadNorms<'a> {
    /// Weights (size) of queries' heads.
    pub query: View<'a>,
    /// Weights (size) of keys' heads.
    pub key: View<'a>,
    /// Added to the mean square.
    pub epsilon: f32,
}

/// Norms and turns the queries and keys of each row of x (rows, queries | keys | values), and writes keys and values to the
/// layer's part of the caches. The queries stay in x.
///
/// # Panics
/// If a size is wrong.
pub fn rotate_and_cache(
    device: &dyn Device,
    x: View,
    heads: Heads,
    norms: Option<HeadNorms>,
    turns: Option<Turns>,
    tables: &Tables,
    layer: usize,
) -> Result<(), DeviceError> {
    let Heads {
        queries,
        keys,
        size,
        ..
    } = heads;
    let (rows, all) = (tables.row_count, queries + 2 * keys);
    assert!(size <= MOST, "a head that fits");
    assert_eq!(x.bytes(), 4 * rows * all * size, "rows of all heads");
    if let Some(turns) = &turns {
        let angles = 4 * rows * turns.sections * turns.pairs;
        assert!(2 * turns.sections * turns.pairs <= size, "a head's pairs");
        assert!(turns.cosines.bytes() == angles && turns.sines.bytes() == angles);
    }
    if let Some(norms) = &norms {
        assert!(norms.query.bytes() == 4 * size && norms.key.bytes() == 4 * size);
    }
    if rows == 0 {
        return Ok(());
    }
    let sizes = turns.map_or([0, 0, 0], |turns| {
        let interleaved = turns.layout == Pairs::Interleaved;
        [turns.sections, turns.pairs, interleaved.into()]
    });
    let mut args = vec![
        x.into(),
        turns.map(|turns| turns.cosines).into(),
        turns.map(|turns| turns.sines).into(),
        norms.map(|norms| norms.query).into(),
        norms.map(|norms| norms.key).into(),
        norms.map_or(0.0, |norms| norms.epsilon).into(),
        tables.rows.into(),
        tables.sequences.into(),
    ];
    let sizes = [layer, queries, keys, size].into_iter().chain(sizes);
    args.extend(sizes.map(|size| Arg::U32(size as u32)));
    let launch = Launch {
        kernel: "rotate_and_cache",
        grid: [all.div_ceil(HEADS) as u32, rows as u32, 1],
        threads: 32 * HEADS as u32,
        args: &args,
    };
    // SAFETY: the sizes have been checked, and each row's place lies in its sequence's cache, as the tables have checked.
    unsafe { device.launch(&launch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::Random,
        kernels::{
            Rows,
            cuda::{
                Buffer,
                emulated::Emulated,
                sequences::{Row, Sequence, cache_bytes},
                testing::{download, listed, upload},
            },
            reference,
        },
    };
    use half::f16;

    /// Rows of two sequences in the second of three layers, beside plain code.
    #[track_caller]
    fn check(heads: Heads, sections: usize, pairs: usize, layout: Pairs, has_norms: bool) {
        const LAYERS: usize = 3;
        let (device, mut random) = (Emulated::new(), Random::new(7));
        let (size, width) = (heads.size, heads.keys * heads.size);
        let row_width = (heads.queries + 2 * heads.keys) * size;
        let capacities = [5, 9];
        let places = [(1, 6), (1, 7), (0, 4), (1, 8), (0, 0)];
        let caches = capacities.map(|capacity| -> Buffer {
            let count = cache_bytes(LAYERS, capacity, width) / 2;
            upload(&device, &vec![f16::NAN; count])
        });
        let sequences: Vec<Sequence> = caches
            .iter()
            .zip(capacities)
            .map(|(cache, capacity)| Sequence::new(cache.view(), LAYERS, capacity, width))
            .collect();
        let rows = places.map(|(sequence, place)| Row::new(sequence, place, place + 1));
        let rows_apart: Vec<Row> = rows.to_vec();
        let (listing, memory) = listed(&device, &sequences, &rows_apart);
        let tables = listing.at(memory.view());
        let x = random.normal(rows.len() * row_width);
        let angles = random.normal(rows.len() * sections * pairs);
        let cosines: Vec<f32> = angles.iter().map(|x| x.cos()).collect();
        let sines: Vec<f32> = angles.iter().map(|x| x.sin()).collect();
        let weights = [random.normal(size), random.normal(size)];
        let there = upload(&device, &x);
        let (cosines_there, sines_there) = (upload(&device, &cosines), upload(&device, &sines));
        let weights_there = [upload(&device, &weights[0]), upload(&device, &weights[1])];
        let norms = has_norms.then(|| HeadNorms {
            query: weights_there[0].view(),
            key: weights_there[1].view(),
            epsilon: 1e-5,
        });
        let turns = (pairs > 0).then(|| Turns {
            cosines: cosines_there.view(),
            sines: sines_there.view(),
            sections,
            pairs,
            layout,
        });
        rotate_and_cache(&device, there.view(), heads, norms, turns, &tables, 1).unwrap();

        let mut want = x.clone();
        for (row, want) in want.chunks_exact_mut(row_width).enumerate() {
            for (head, want) in want.chunks_exact_mut(size).enumerate() {
                if head >= heads.queries + heads.keys {
                    continue;
                }
                if has_norms {
                    let weight = &weights[usize::from(head >= heads.queries)];
                    let normed = reference::rms_norm(Rows::new(want, size), weight, 1e-5);
                    want.copy_from_slice(&normed);
                }
                for section in 0..sections {
                    let angle = (row * sections + section) * pairs;
                    reference::rotate(
                        &mut want[2 * section * pairs..2 * (section + 1) * pairs],
                        layout,
                        &cosines[angle..angle + pairs],
                        &sines[angle..angle + pairs],
                    );
                }
            }
        }
        let got: Vec<f32> = download(&device, &there);
        let caches = caches.map(|cache| download::<f16>(&device, &cache));
        let written: usize = caches.iter().flatten().filter(|x| !x.is_nan()).count();
        assert_eq!(written, rows.len() * 2 * width, "nothing else");
        for (row, want) in want.chunks_exact(row_width).enumerate() {
            let queries = heads.queries * size;
            reference::assert_close(&got[row * row_width..][..queries], &want[..queries], 1e-5);
            let (sequence, place) = places[row];
            let (cache, capacity) = (&caches[sequence as usize], capacities[sequence as usize]);
            for half in 0..2 {
                let at = ((2 + half) * capacity + place as usize) * width;
                let got: Vec<f32> = cache[at..at + width].iter().map(|x| x.to_f32()).collect();
                reference::assert_close(&got, &want[queries + half * width..][..width], 1e-3);
            }
        }
    }

    #[test]
    fn close_to_the_reference() {
        let heads = |queries, keys, size| Heads {
            queries,
            keys,
            size,
            scale: 1.0,
        };
        check(heads(4, 2, 64), 1, 16, Pairs::Interleaved, false);
        check(heads(3, 3, 20), 2, 4, Pairs::Half, false);
        check(heads(2, 1, 128), 1, 32, Pairs::Half, true);
        check(heads(1, 1, 7), 1, 3, Pairs::Interleaved, true);
        check(heads(5, 1, 256), 1, 0, Pairs::Half, false);
    }
}
