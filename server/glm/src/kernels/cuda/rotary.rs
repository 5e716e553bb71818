//! Norms of heads, rotary positions, and the way of keys and values into the caches.
//!
//! Takes the product of hidden states with the matrix of queries, keys and values; gives queries in their place, and
//! keys and values in the caches of their sequences.

use super::{
    device::{Arg, Device, DeviceError, Launch, View},
    sequences::{SCALED, Tables},
};
use crate::{KvType, Pairs, kernels::cpu::Heads};

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
    let kernel = match tables.kv {
        KvType::F16 => "rotate_and_cache",
        KvType::Q8 => "rotate_and_cache_q8",
    };
    assert!(
        tables.kv == KvType::F16 || size.is_multiple_of(SCALED),
        "whole scales"
    );
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
        kernel,
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
                sequences::{Row, Sequence},
                testing::{PlainCache, download, listed, upload},
            },
            reference,
        },
    };

    /// Rows of two sequences in the second of three layers, beside plain code.
    const LAYERS: usize = 3;

    #[track_caller]
    fn check(
        kv: KvType,
        heads: Heads,
        sections: usize,
        pairs: usize,
        layout: Pairs,
        has_norms: bool,
    ) {
        let (device, mut random) = (Emulated::new(), Random::new(7));
        let (size, width) = (heads.size, heads.keys * heads.size);
        let row_width = (heads.queries + 2 * heads.keys) * size;
        let capacities = match kv {
            KvType::F16 => [5, 9],
            KvType::Q8 => [8, 16],
        };
        let places = [(1, 6), (1, 7), (0, 4), (1, 8), (0, 0)];
        let mut plain = capacities.map(|capacity| PlainCache::new(kv, LAYERS, capacity, width));
        let caches: [Buffer; 2] = [0, 1].map(|at: usize| upload(&device, &plain[at].bytes));
        let sequences: Vec<Sequence> = caches
            .iter()
            .zip(capacities)
            .map(|(cache, capacity)| Sequence::new(kv, cache.view(), LAYERS, capacity, width))
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
        let caches = [0, 1].map(|at: usize| {
            let mut cache = PlainCache::new(kv, LAYERS, capacities[at], width);
            cache.bytes = download(&device, &caches[at]);
            cache
        });
        for (row, want) in want.chunks_exact(row_width).enumerate() {
            let queries = heads.queries * size;
            reference::assert_close(&got[row * row_width..][..queries], &want[..queries], 1e-5);
            let (sequence, token) = (places[row].0 as usize, places[row].1 as usize);
            let (cache, plain) = (&caches[sequence], &mut plain[sequence]);
            let [keys, values] = [0, 1].map(|half| &want[queries + half * width..][..width]);
            let got = cache.read(2, token);
            match kv {
                KvType::F16 => reference::assert_close(&got, keys, 1e-3),
                KvType::Q8 => assert_nearest(&got, keys),
            }
            // Keys may differ in their last digits, and are taken as they are; values were turned by nothing.
            for place in cache.row(2, token) {
                plain.bytes[place.clone()].copy_from_slice(&cache.bytes[place]);
            }
            plain.write(3, token, values);
        }
        for (cache, plain) in caches.iter().zip(&plain) {
            assert!(
                cache.bytes == plain.bytes,
                "values to the bit, and nothing else"
            );
        }
    }

    /// No number is farther from what it is to be than half of a step, or than what the wanted ones are uncertain by.
    #[track_caller]
    fn assert_nearest(got: &[f32], want: &[f32]) {
        for (got, want) in got.chunks(32).zip(want.chunks(32)) {
            let largest = want
                .iter()
                .fold(0.0, |largest: f32, x| largest.max(x.abs()));
            // A scale is rounded to 11 bits.
            let step = largest / 127.0 * (1.0 + 1.0 / 2048.0);
            for (got, want) in got.iter().zip(want) {
                let error = (got - want).abs();
                assert!(error <= 0.5 * step + 1e-5 * largest, "{got}, not {want}");
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
        let f16 = KvType::F16;
        check(f16, heads(4, 2, 64), 1, 16, Pairs::Interleaved, false);
        check(f16, heads(3, 3, 20), 2, 4, Pairs::Half, false);
        check(f16, heads(2, 1, 128), 1, 32, Pairs::Half, true);
        check(f16, heads(1, 1, 7), 1, 3, Pairs::Interleaved, true);
        check(f16, heads(5, 1, 256), 1, 0, Pairs::Half, false);
        let q8 = KvType::Q8;
        check(q8, heads(4, 2, 64), 1, 16, Pairs::Interleaved, false);
        check(q8, heads(3, 3, 32), 2, 4, Pairs::Half, false);
        check(q8, heads(2, 1, 128), 1, 32, Pairs::Half, true);
        check(q8, heads(1, 3, 96), 1, 3, Pairs::Interleaved, true);
        check(q8, heads(5, 1, 256), 1, 0, Pairs::Half, false);
    }

    /// What scales cannot be made of: nothing, next to nothing, more than f16 has, and what is no number.
    #[test]
    fn blocks_of_extremes_are_kept_as_what_they_are() {
        let device = Emulated::new();
        let heads = Heads {
            queries: 1,
            keys: 1,
            size: 32,
            scale: 1.0,
        };
        for (fill, odd) in [
            (0.0, 0.0),
            (1e-9, -1e-9),
            (3e-6, -1e-6),
            (60_000.0, -65_000.0),
            (1.0, f32::NAN),
            (1.0, f32::INFINITY),
            (f32::NAN, f32::NAN),
        ] {
            let mut cache = PlainCache::new(KvType::Q8, LAYERS, 8, 32);
            let there = upload(&device, &cache.bytes);
            let sequence = Sequence::new(KvType::Q8, there.view(), LAYERS, 8, 32);
            let (listing, memory) = listed(&device, &[sequence], &[Row::new(0, 3, 4)]);
            let mut x = vec![fill; 96];
            x[75] = odd;
            let x = upload(&device, &x);
            let tables = listing.at(memory.view());
            rotate_and_cache(&device, x.view(), heads, None, None, &tables, 1).unwrap();
            cache.bytes = download(&device, &there);
            let got = cache.read(3, 3);
            if !odd.is_finite() {
                assert!(got.iter().all(|x| !x.is_finite()), "{fill}, {odd}: {got:?}");
                continue;
            }
            for (at, got) in got.into_iter().enumerate() {
                let want = if at == 11 { odd } else { fill };
                // The scale is a whole number of the least steps of f16, 2⁻²⁴, or is rounded to 11 bits.
                let bound = (odd.abs() / 254.0 * 1.001).max(127.0 * 2f32.powi(-25));
                assert!((got - want).abs() <= bound, "{got}, not {want}");
            }
        }
    }
}
