//! Attention over the caches of several sequences.
//!
//! Takes queries and tables that say what each sees, gives the mixed values. Rows that are few in their sequences go through
//! `attention.cu`, which shares out a row's keys, many through `flash.cu`, on the tensor cores.

use super::{
    device::{Arg, Device, DeviceError, Launch, View},
    sequences::{SCALED, Tables},
};
use crate::{KvType, kernels::cpu::Heads};

/// Threads of a block in both files.
const THREADS: u32 = 128;
/// Keys of a part at least, parts of a row at most, heads of a block, numbers of the largest head, as in `attention.cu`.
const KEYS: usize = 64;
const MOST_PARTS: usize = 64;
const TOGETHER: usize = 8;
const MOST: usize = 256;
/// Rows of a tile, on average, up to which they are few: a draft's rows get the same bits as single ones.
const FEW_ROWS: usize = 16;

/// Whether heads of this size can be computed on the device: even, and at most 256.
pub fn has_size(size: usize) -> bool {
    size > 0 && size.is_multiple_of(2) && size <= MOST
}

/// Bytes of room that [`attend`] needs, if rows see so many keys at most.
pub fn attention_room(rows: usize, heads: Heads, most_visible: usize) -> usize {
    rows * heads.queries * parts(most_visible) * (heads.size + 2) * size_of::<f32>()
}

/// Room for the parts that a row's keys are shared out into. It grows by doubling, so that a recorded launch serves until a
/// sequence is twice as long: a block that finds no keys ends at once.
fn parts(most_visible: usize) -> usize {
    let parts = most_visible.div_ceil(KEYS).next_power_of_two();
    parts.min(MOST_PARTS)
}

impl Tables<'_> {
    /// How the keys of its rows are shared out, which launches of attention have in their arguments.
    pub fn parts(&self) -> usize {
        parts(self.most_visible)
    }
}

/// out (rows, heads · size) ← for each head of each row, the values weighted by softmax(query · key · scale) over the first
/// keys of its sequence, in the layer's part of the caches. A row of x begins with its queries and has `stride` numbers.
/// `room` is scratch memory.
///
/// # Panics
/// If a size is wrong.
#[expect(clippy::too_many_arguments, reason = "the sizes of one attention")]
pub fn attend(
    device: &dyn Device,
    x: View,
    stride: usize,
    heads: Heads,
    tables: &Tables,
    layer: usize,
    out: View,
    room: View,
) -> Result<(), DeviceError> {
    let Heads {
        queries,
        keys,
        size,
        scale,
    } = heads;
    let (rows, tiles) = (tables.row_count, tables.tile_count);
    assert!(has_size(size) && queries.is_multiple_of(keys), "heads");
    let is_q8 = tables.kv == KvType::Q8;
    assert!(!is_q8 || size.is_multiple_of(SCALED), "whole scales");
    assert!(
        stride >= queries * size && x.bytes() == 4 * rows * stride,
        "rows of queries"
    );
    assert_eq!(
        out.bytes(),
        4 * rows * queries * size,
        "a place for each mixed value"
    );
    let numbers = |numbers: &[usize]| -> Vec<Arg> {
        let numbers = numbers.iter();
        numbers.map(|&number| Arg::U32(number as u32)).collect()
    };
    let tail = numbers(&[layer, queries, keys, size]);
    if rows == 0 {
        return Ok(());
    }
    if rows > FEW_ROWS * tiles && size.is_multiple_of(8) && size <= 128 {
        let mut args = vec![x.into(), Arg::U32(stride as u32)];
        args.extend([tables.tiles, tables.rows, tables.sequences].map(Arg::from));
        args.extend(tail);
        args.extend([Arg::from(scale), out.into()]);
        let launch = Launch {
            kernel: match (size <= 64, is_q8) {
                (true, false) => "flash_64",
                (false, false) => "flash_128",
                (true, true) => "flash_64_q8",
                (false, true) => "flash_128_q8",
            },
            grid: [tiles as u32, queries as u32, 1],
            threads: THREADS,
            args: &args,
        };
        // SAFETY: the sizes have been checked, and rows see keys that their caches have.
        return unsafe { device.launch(&launch) };
    }
    let needed = attention_room(rows, heads, tables.most_visible);
    assert!(room.bytes() >= needed, "room for all parts");
    let parts = tables.parts();
    let mut args = vec![x.into(), Arg::U32(stride as u32)];
    args.extend([tables.rows, tables.sequences].map(Arg::from));
    args.extend(tail);
    args.extend([Arg::from(scale), room.into()]);
    let shares = keys * (queries / keys).div_ceil(TOGETHER);
    let launch = Launch {
        kernel: if is_q8 {
            "attend_parts_q8"
        } else {
            "attend_parts"
        },
        grid: [parts as u32, shares as u32, rows as u32],
        threads: THREADS,
        args: &args,
    };
    // SAFETY: as above, and there is room for the parts of every row.
    unsafe { device.launch(&launch) }?;
    let mut args = vec![room.into(), tables.rows.into()];
    args.extend(numbers(&[size, parts]));
    args.push(out.into());
    let launch = Launch {
        kernel: "attend_join",
        grid: [queries as u32, rows as u32, 1],
        threads: THREADS,
        args: &args,
    };
    // SAFETY: the parts have been written, as many as each row has.
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
                testing::{PlainCache, download, listed, room, upload},
            },
            reference,
        },
    };

    const LAYERS: usize = 2;
    const F16: KvType = KvType::F16;
    const Q8: KvType = KvType::Q8;

    /// A sequence with random keys and values of its first tokens in the last layer; behind them lies nothing.
    struct Cached {
        buffer: Buffer,
        capacity: usize,
        keys: Vec<f32>,
        values: Vec<f32>,
    }

    fn cached(
        device: &dyn Device,
        random: &mut Random,
        kv: KvType,
        tokens: usize,
        width: usize,
    ) -> Cached {
        let capacity = match kv {
            KvType::F16 => tokens + 3,
            KvType::Q8 => (tokens + 3).next_multiple_of(8),
        };
        let mut plain = PlainCache::new(kv, LAYERS, capacity, width);
        let mut fill = |run: usize| -> Vec<f32> {
            let numbers: Vec<f32> = random.normal(tokens * width);
            let numbers: Vec<f32> = numbers.into_iter().map(|x| 2.0 * x).collect();
            for (token, row) in numbers.chunks_exact(width).enumerate() {
                plain.write(run, token, row);
            }
            (0..tokens)
                .flat_map(|token| plain.read(run, token))
                .collect()
        };
        let (keys, values) = (fill(2 * (LAYERS - 1)), fill(2 * LAYERS - 1));
        Cached {
            buffer: upload(device, &plain.bytes),
            capacity,
            keys,
            values,
        }
    }

    /// What a sequence has cached, and what each of its new rows sees.
    type Asked<'a> = (usize, &'a [u32]);

    #[track_caller]
    fn check(kv: KvType, heads: (usize, usize), size: usize, asked: &[Asked], tolerance: f32) {
        let (device, mut random) = (Emulated::new(), Random::new(9));
        let heads = Heads {
            queries: heads.0,
            keys: heads.1,
            size,
            scale: 0.3,
        };
        let (width, query_width) = (heads.keys * size, heads.queries * size);
        let caches: Vec<Cached> = asked
            .iter()
            .map(|asked| cached(&device, &mut random, kv, asked.0, width))
            .collect();
        let sequences: Vec<Sequence> = caches
            .iter()
            .map(|it| Sequence::new(kv, it.buffer.view(), LAYERS, it.capacity, width))
            .collect();
        let rows: Vec<Row> = asked
            .iter()
            .enumerate()
            .flat_map(|(sequence, (_, visible))| {
                visible
                    .iter()
                    .map(move |&visible| Row::new(sequence as u32, 0, visible))
            })
            .collect();
        let (listing, memory) = listed(&device, &sequences, &rows);
        let tables = listing.at(memory.view());
        let stride = query_width + 5;
        let x = random.normal(rows.len() * stride);
        let there = upload(&device, &x);
        let out = room(&device, rows.len() * query_width);
        let bytes = attention_room(rows.len(), heads, tables.most_visible);
        let scratch = device.allocate(bytes).unwrap();
        let (x_view, scratch) = (there.view(), scratch.view());
        let layer = LAYERS - 1;
        attend(
            &device,
            x_view,
            stride,
            heads,
            &tables,
            layer,
            out.view(),
            scratch,
        )
        .unwrap();
        let got: Vec<f32> = download(&device, &out);
        let mut first = 0;
        for (cache, (_, visible)) in caches.iter().zip(asked) {
            let queries = Rows::new(&x, stride).columns(0, query_width);
            let want = reference::attend(
                queries.slice(first, visible.len()),
                Rows::new(&cache.keys, width),
                Rows::new(&cache.values, width),
                heads,
                |row| visible[row] as usize,
            );
            let got = &got[first * query_width..][..want.len()];
            reference::assert_close(got, &want, tolerance);
            first += visible.len();
        }
    }

    #[test]
    fn few_queries() {
        check(F16, (1, 1), 8, &[(1, &[1])], 1e-5);
        check(F16, (4, 4), 64, &[(41, &[41])], 1e-5);
        check(F16, (2, 2), 6, &[(300, &[1, 63, 64, 65, 129, 300])], 1e-5);
        check(
            F16,
            (12, 1),
            16,
            &[(70, &[70, 70]), (5, &[3]), (140, &[7, 140])],
            1e-5,
        );
        check(F16, (16, 2), 128, &[(200, &[199, 200])], 1e-5);
        check(F16, (3, 3), 250, &[(70, &[70])], 1e-5);
        // More keys than parts of the least size.
        check(F16, (1, 1), 2, &[(4300, &[4096, 4097, 4300])], 1e-5);
        check(F16, (1, 1), 8, &[(4200, &[4200])], 1e-5);
    }

    #[test]
    fn few_queries_of_integers() {
        check(Q8, (1, 1), 32, &[(1, &[1])], 1e-5);
        check(Q8, (4, 4), 64, &[(41, &[41])], 1e-5);
        check(Q8, (2, 2), 32, &[(300, &[1, 63, 64, 65, 129, 300])], 1e-5);
        check(
            Q8,
            (12, 1),
            96,
            &[(70, &[70, 70]), (5, &[3]), (140, &[7, 140])],
            1e-5,
        );
        check(Q8, (16, 2), 128, &[(200, &[199, 200])], 1e-5);
        check(Q8, (3, 3), 224, &[(70, &[70])], 1e-5);
        check(Q8, (1, 1), 256, &[(9, &[8])], 1e-5);
        // More keys than parts of the least size.
        check(Q8, (1, 1), 32, &[(4300, &[4096, 4097, 4300])], 1e-5);
    }

    #[test]
    fn many_queries() {
        let causal = |from: u32, count: u32| (from..from + count).collect::<Vec<u32>>();
        check(F16, (2, 2), 64, &[(80, &causal(1, 80))], 3e-3);
        check(F16, (4, 2), 128, &[(70, &causal(4, 67))], 3e-3);
        check(
            F16,
            (2, 1),
            16,
            &[(33, &causal(1, 33)), (90, &causal(71, 20))],
            3e-3,
        );
        check(F16, (3, 3), 72, &[(40, &causal(24, 17))], 3e-3);
        // A prefix that sees itself both ways, and what follows.
        let mut visible = vec![30; 30];
        visible.extend(causal(31, 10));
        check(F16, (1, 1), 24, &[(40, &visible)], 3e-3);
        // Heads that tensor cores do not take.
        check(F16, (2, 2), 20, &[(40, &causal(1, 40))], 1e-5);
    }

    #[test]
    fn many_queries_of_integers() {
        let causal = |from: u32, count: u32| (from..from + count).collect::<Vec<u32>>();
        check(Q8, (2, 2), 64, &[(80, &causal(1, 80))], 3e-3);
        check(Q8, (4, 2), 128, &[(70, &causal(4, 67))], 3e-3);
        check(
            Q8,
            (2, 1),
            32,
            &[(33, &causal(1, 33)), (90, &causal(71, 20))],
            3e-3,
        );
        check(Q8, (3, 3), 96, &[(40, &causal(24, 17))], 3e-3);
        // A prefix that sees itself both ways, and what follows.
        let mut visible = vec![30; 30];
        visible.extend(causal(31, 10));
        check(Q8, (1, 1), 32, &[(40, &visible)], 3e-3);
        // Heads that tensor cores do not take.
        check(Q8, (2, 2), 160, &[(40, &causal(1, 40))], 1e-5);
    }
}
