// Attention of many queries: what reading a prompt does. Bound by operations of the tensor cores; scores never leave the
// registers ("FlashAttention-2", Dao, 2023). A block has 64 queries of one head, a warp 16 of them; keys and values come 32 at
// a time, the next ones while these are multiplied. How many keys a query sees is its own affair: the prefix of a GLM
// sees itself both ways, what follows looks back.

#include "sequences.cuh"

namespace flash_cu {

constexpr u32 THREADS = 128;
// Keys of a tile.
constexpr u32 KEYS = 32;
// Queries of a block.
constexpr u32 QUERIES = 64;

// From a row of a tile to the next: eight numbers more than it has, so that rows begin in different banks.
template <u32 D>
constexpr u32 APART = D + 8;

// Queries that follow one another in one sequence, at most 64.
struct Tile {
    u32 first, count;
};

// The keys or values of a tile on their way into shared memory; those from `end` on become zeros, since nothing times what
// happens to lie there need not be nothing. Between `begin` and `finish` others can be multiplied.
template <typename Rows, u32 D>
struct Fetch;

// f16 goes there as it is, past the registers, and is there when the copies were waited for.
template <u32 D>
struct Fetch<F16Rows, D> {
    MEMBER void begin(Half* to, const F16Rows& from, u32 tile, u32 end, u32 size) {
        const u32 pieces = size / 8;
        for (u32 at = threadIdx.x; at < KEYS * pieces; at += THREADS) {
            const u32 key = at / pieces, column = at % pieces * 8;
            Half* place = to + key * APART<D> + column;
            if (tile + key < end) {
                copy_ahead(place, from.at(tile + key, column));
            } else {
                *reinterpret_cast<uint4*>(place) = make_uint4(0, 0, 0, 0);
            }
        }
    }
    MEMBER void finish(Half*) {}
};

// Integers wait in registers, and become f16 on their way from there; 16 of a row are a thread's.
template <u32 D>
struct Fetch<Q8Rows, D> {
    static constexpr u32 PIECES = D / 16, MINE = KEYS * PIECES / THREADS;
    uint4 numbers[MINE];
    Half scales[MINE];

    MEMBER void begin(Half*, const Q8Rows& from, u32 tile, u32 end, u32 size) {
        UNROLL for (u32 i = 0; i < MINE; i++) {
            const u32 at = threadIdx.x + i * THREADS, token = tile + at / PIECES, column = at % PIECES * 16;
            const bool is_there = token < end && column < size;
            numbers[i] = is_there ? *reinterpret_cast<const uint4*>(from.at(token, column)) : make_uint4(0, 0, 0, 0);
            scales[i] = is_there ? from.scale(token, column) : Half{0};
        }
    }
    // Columns that a head does not have become zeros, which they are.
    MEMBER void finish(Half* to) {
        UNROLL for (u32 i = 0; i < MINE; i++) {
            const u32 at = threadIdx.x + i * THREADS;
            const float unit = to_float(scales[i]);
            const auto halves = [&](u32 four, u32 first) {
                return to_halves(byte_of(four, first) * unit, byte_of(four, first + 1) * unit);
            };
            const uint4 from = numbers[i];
            uint4* place = reinterpret_cast<uint4*>(to + at / PIECES * APART<D> + at % PIECES * 16);
            place[0] = make_uint4(halves(from.x, 0), halves(from.x, 2), halves(from.y, 0), halves(from.y, 2));
            place[1] = make_uint4(halves(from.z, 0), halves(from.z, 2), halves(from.w, 0), halves(from.w, 2));
        }
    }
};

// out (rows, heads · size), for heads of at most D numbers, a multiple of 8. A row of x has its queries first and is `stride`
// numbers long. Grid: (tiles, heads).
template <u32 D, typename Rows>
DEVICE void flash(const float* x, u32 stride, const Tile* tiles, const Row* rows, const Sequence* sequences, u32 layer,
                  u32 heads, u32 key_heads, u32 size, float scale, float* out) {
    constexpr u32 ROW = APART<D>, STEPS = D / 16;
    SHARED(Half, keys, 2 * KEYS * ROW);
    SHARED(Half, values, 2 * KEYS * ROW);
    const u32 lane = lane_index(), g = lane / 4, t = lane % 4;
    const Tile queries = tiles[blockIdx.x];
    const u32 head = blockIdx.y, key_head = head / (heads / key_heads);
    const Sequence sequence = sequences[rows[queries.first].sequence];
    const u32 width = key_heads * size;
    const Rows key_rows(sequence, run_of(layer, false), width, key_head * size);
    const Rows value_rows(sequence, run_of(layer, true), width, key_head * size);
    const u32 end = rows[queries.first + queries.count - 1].visible;

    // Columns that a head does not have stay zeros.
    for (u32 at = threadIdx.x; at < 2 * KEYS * ROW; at += THREADS) keys[at] = values[at] = Half{0};
    __syncthreads();
    Fetch<Rows, D> more_keys, more_values;
    more_keys.begin(keys, key_rows, 0, end, size);
    more_values.begin(values, value_rows, 0, end, size);
    close_copies();
    more_keys.finish(keys);
    more_values.finish(values);

    // The lane's two rows, and the softmax of each as it goes.
    u32 visible[2];
    u32 query[STEPS][4] = {};
    UNROLL for (u32 half = 0; half < 2; half++) {
        const u32 row = warp_index() * 16 + g + 8 * half;
        visible[half] = row < queries.count ? rows[queries.first + row].visible : 0;
        if (row >= queries.count) continue;
        const float* from = x + static_cast<u64>(queries.first + row) * stride + head * size;
        UNROLL for (u32 step = 0; step < STEPS; step++)
            UNROLL for (u32 right = 0; right < 2; right++) {
                const u32 column = 16 * step + 8 * right + 2 * t;
                if (column < size) query[step][2 * right + half] = to_halves(from[column] * scale, from[column + 1] * scale);
            }
    }
    float largest[2] = {lowest(), lowest()}, sums[2] = {0.0f, 0.0f};
    float mixed[2 * STEPS][4] = {};

    for (u32 tile = 0, turn = 0; tile < end; tile += KEYS, turn ^= 1) {
        Half* next_keys = keys + (turn ^ 1) * KEYS * ROW;
        Half* next_values = values + (turn ^ 1) * KEYS * ROW;
        if (tile + KEYS < end) {
            more_keys.begin(next_keys, key_rows, tile + KEYS, end, size);
            more_values.begin(next_values, value_rows, tile + KEYS, end, size);
        }
        // A group of nothing, if that was the last tile, so that the count is right.
        close_copies();
        await_copies<1>();
        __syncthreads();
        const Half* these_keys = keys + turn * KEYS * ROW;
        const Half* these_values = values + turn * KEYS * ROW;

        float scores[KEYS / 8][4] = {};
        UNROLL for (u32 step = 0; step < STEPS; step++)
            UNROLL for (u32 eight = 0; eight < KEYS / 8; eight++) {
                const Half* key = these_keys + (8 * eight + g) * ROW + 16 * step + 2 * t;
                multiply_tiles(scores[eight], query[step], *reinterpret_cast<const u32*>(key),
                               *reinterpret_cast<const u32*>(key + 8));
            }
        UNROLL for (u32 half = 0; half < 2; half++) {
            float now = largest[half];
            UNROLL for (u32 eight = 0; eight < KEYS / 8; eight++)
                UNROLL for (u32 i = 2 * half; i < 2 * half + 2; i++) {
                    if (tile + 8 * eight + 2 * t + i % 2 >= visible[half]) scores[eight][i] = lowest();
                    now = fmaxf(now, scores[eight][i]);
                }
            now = fmaxf(now, __shfl_xor_sync(ALL, now, 1));
            now = fmaxf(now, __shfl_xor_sync(ALL, now, 2));
            // A row that has seen nothing yet has no largest; −∞ less −∞ would be no number.
            const float least = now == lowest() ? 0.0f : now;
            const float shrink = expf(largest[half] - least);
            largest[half] = now;
            float sum = 0.0f;
            UNROLL for (u32 eight = 0; eight < KEYS / 8; eight++)
                UNROLL for (u32 i = 2 * half; i < 2 * half + 2; i++) {
                    scores[eight][i] = expf(scores[eight][i] - least);
                    sum += scores[eight][i];
                }
            sums[half] = sums[half] * shrink + sum;
            UNROLL for (u32 eight = 0; eight < 2 * STEPS; eight++)
                mixed[eight][2 * half] *= shrink, mixed[eight][2 * half + 1] *= shrink;
        }
        // The weights lie in the lanes as the tensor cores want their left side.
        UNROLL for (u32 sixteen = 0; sixteen < KEYS / 16; sixteen++) {
            const auto& left = scores[2 * sixteen];
            const auto& right = scores[2 * sixteen + 1];
            const u32 weights[4] = {to_halves(left[0], left[1]), to_halves(left[2], left[3]), to_halves(right[0], right[1]),
                                    to_halves(right[2], right[3])};
            UNROLL for (u32 step = 0; step < STEPS; step++) {
                u32 pairs[4];
                load_transposed(pairs, these_values + (16 * sixteen + lane % 16) * ROW + 16 * step + lane / 16 * 8);
                multiply_tiles(mixed[2 * step], weights, pairs[0], pairs[1]);
                multiply_tiles(mixed[2 * step + 1], weights, pairs[2], pairs[3]);
            }
        }
        if (tile + KEYS < end) {
            more_keys.finish(next_keys);
            more_values.finish(next_values);
        }
        // The next turn writes where this one has read.
        __syncthreads();
    }

    UNROLL for (u32 half = 0; half < 2; half++) {
        float sum = sums[half];
        sum += __shfl_xor_sync(ALL, sum, 1);
        sum += __shfl_xor_sync(ALL, sum, 2);
        const u32 row = warp_index() * 16 + g + 8 * half;
        if (row >= queries.count) continue;
        float* to = out + static_cast<u64>(queries.first + row) * heads * size + head * size;
        UNROLL for (u32 eight = 0; eight < 2 * STEPS; eight++) {
            const u32 column = 8 * eight + 2 * t;
            if (column >= size) continue;
            to[column] = mixed[eight][2 * half] / sum;
            to[column + 1] = mixed[eight][2 * half + 1] / sum;
        }
    }
}

#define FLASH(name, D, Rows)                                                                                       \
    KERNEL(name, THREADS)(const float* x, u32 stride, const Tile* tiles, const Row* rows, const Sequence* sequences, \
                          u32 layer, u32 heads, u32 key_heads, u32 size, float scale, float* out) {                \
        flash<D, Rows>(x, stride, tiles, rows, sequences, layer, heads, key_heads, size, scale, out);               \
    }
FLASH(flash_64, 64, F16Rows)
EXPORT(flash_64)
FLASH(flash_128, 128, F16Rows)
EXPORT(flash_128)
FLASH(flash_64_q8, 64, Q8Rows)
EXPORT(flash_64_q8)
FLASH(flash_128_q8, 128, Q8Rows)
EXPORT(flash_128_q8)

}  // namespace flash_cu
