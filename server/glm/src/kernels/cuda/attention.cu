// Attention of few queries over long caches: what decoding does. Bound by the bytes of keys and values, and by having too few
// blocks: so the keys of a row are shared out over blocks, each of which has a softmax of its own, and a second kernel
// brings these together ("Flash-Decoding", Dao et al., 2023; the softmax as it goes is Milakov and Gimelshein, 2018).
// How a row's keys are shared out depends on how many it sees and on nothing else, and the parts are added in one order:
// a row gets the same bits in every company.

#include "sequences.cuh"

namespace attention_cu {

constexpr u32 THREADS = 128;
// Keys that a block scores at a time, two threads each.
constexpr u32 KEYS = 64;
// Heads of queries of a block; they share one head of keys.
constexpr u32 HEADS = 8;
// From the weights of one key to those of the next: the heads lie together, to be read at once, and keys begin in
// different banks.
constexpr u32 APART = HEADS + 4;
// Parts of a row's keys at most.
constexpr u32 MOST_PARTS = 64;
// Numbers of the largest head.
constexpr u32 MOST = 256;

// How many keys each part of a row has.
DEVICE u32 keys_of_part(u32 visible) {
    const u32 tiles = (visible + KEYS - 1) / KEYS;
    return (tiles + MOST_PARTS - 1) / MOST_PARTS * KEYS;
}

// query · key of `size` numbers.
template <typename Rows>
DEVICE void score(const float* queries, const Rows& keys, u32 token, u32 size, float (&scores)[HEADS / 2]) {
    u32 at = 0;
    if (size % Rows::PIECE == 0) {
        for (; at < size; at += Rows::PIECE) {
            float key[Rows::PIECE];
            keys.piece(token, at, key);
            UNROLL for (u32 head = 0; head < HEADS / 2; head++)
                UNROLL for (u32 four = 0; four < Rows::PIECE; four += 4) {
                    const float4 query = *reinterpret_cast<const float4*>(queries + head * MOST + at + four);
                    scores[head] += query.x * key[four] + query.y * key[four + 1] + query.z * key[four + 2] +
                                    query.w * key[four + 3];
                }
        }
    }
    for (; at < size; at += 2) {
        const float2 key = keys.pair(token, at);
        UNROLL for (u32 head = 0; head < HEADS / 2; head++) {
            scores[head] += queries[head * MOST + at] * key.x;
            scores[head] += queries[head * MOST + at + 1] * key.y;
        }
    }
}

// For each head of each row and each part of its keys: the values weighted by e^(score − largest), the largest score, and
// the sum of the weights, size + 2 numbers of `parts_out` (rows, heads, MOST_PARTS or `parts`, size + 2). A row of x has
// its queries first and is `stride` numbers long; `size` is even. Grid: (parts, heads of keys × blocks of 8 heads, rows).
template <typename Rows>
DEVICE void attend(const float* x, u32 stride, const Row* rows, const Sequence* sequences, u32 layer, u32 heads, u32 key_heads,
                   u32 size, float scale, float* out) {
    SHARED(float, queries, HEADS * MOST);
    SHARED(float, weights, KEYS * APART);
    SHARED(float, largest, HEADS);
    SHARED(float, sums, HEADS);
    SHARED(float, shrinks, HEADS);
    const u32 thread = threadIdx.x, row = blockIdx.z;
    const Row place = rows[row];
    const u32 length = keys_of_part(place.visible), first = blockIdx.x * length;
    if (first >= place.visible) return;
    const u32 end = min(first + length, place.visible);

    const u32 group = heads / key_heads, shares = (group + HEADS - 1) / HEADS;
    const u32 key_head = blockIdx.y / shares, first_head = blockIdx.y % shares * HEADS;
    const u32 count = min(HEADS, group - first_head), head = key_head * group + first_head;
    const Sequence sequence = sequences[place.sequence];
    const u32 width = key_heads * size;
    const Rows keys(sequence, run_of(layer, false), width, key_head * size);
    const Rows values(sequence, run_of(layer, true), width, key_head * size);

    const float* from = x + static_cast<u64>(row) * stride + head * size;
    for (u32 at = thread; at < HEADS * size; at += THREADS) {
        const u32 of = at / size;
        queries[of * MOST + at % size] = of < count ? from[at] * scale : 0.0f;
    }
    if (thread < HEADS) {
        largest[thread] = lowest();
        sums[thread] = 0.0f;
    }
    // A thread mixes two columns of values, and every so manieth key of a tile.
    const u32 pairs = size / 2, mixers = THREADS / pairs;
    const u32 column = 2 * (thread % pairs), mixer = thread / pairs;
    float mixed[HEADS][2] = {};
    __syncthreads();

    for (u32 tile = first; tile < end; tile += KEYS) {
        {
            const u32 key = thread % KEYS, half = thread / KEYS * (HEADS / 2);
            float scores[HEADS / 2] = {};
            if (tile + key < end) score(queries + half * MOST, keys, tile + key, size, scores);
            UNROLL for (u32 of = 0; of < HEADS / 2; of++)
                weights[key * APART + half + of] = tile + key < end ? scores[of] : lowest();
        }
        __syncthreads();
        for (u32 of = warp_index(); of < HEADS; of += THREADS / WARP) {
            float* mine = weights + lane_index() * APART + of;
            const float before = largest[of], here = warp_max(fmaxf(mine[0], mine[WARP * APART]));
            const float now = fmaxf(before, here);
            // Before the first tile the largest is −∞, and e^−∞ is 0.
            const float shrink = expf(before - now);
            mine[0] = expf(mine[0] - now);
            mine[WARP * APART] = expf(mine[WARP * APART] - now);
            const float sum = warp_sum(mine[0] + mine[WARP * APART]);
            // All lanes have read what one writes now.
            if (lane_index() == 0) {
                largest[of] = now;
                sums[of] = sums[of] * shrink + sum;
                shrinks[of] = shrink;
            }
        }
        __syncthreads();
        UNROLL for (u32 of = 0; of < HEADS; of++) mixed[of][0] *= shrinks[of], mixed[of][1] *= shrinks[of];
        if (mixer < mixers)
            for (u32 key = mixer; key < KEYS && tile + key < end; key += mixers) {
                const float2 value = values.pair(tile + key, column);
                const float4* four = reinterpret_cast<const float4*>(weights + key * APART);
                const float4 low = four[0], high = four[1];
                const float of_key[HEADS] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                UNROLL for (u32 of = 0; of < HEADS; of++) {
                    mixed[of][0] += of_key[of] * value.x;
                    mixed[of][1] += of_key[of] * value.y;
                }
            }
        __syncthreads();
    }

    // The queries are not needed any more; the mixers of a column lie one after the other in their place.
    UNROLL for (u32 of = 0; of < HEADS; of++) {
        if (of >= count) break;
        if (mixer < mixers) {
            queries[mixer * size + column] = mixed[of][0];
            queries[mixer * size + column + 1] = mixed[of][1];
        }
        __syncthreads();
        float* to = out + ((static_cast<u64>(row) * heads + head + of) * gridDim.x + blockIdx.x) * (size + 2);
        for (u32 at = thread; at < size; at += THREADS) {
            float sum = 0.0f;
            for (u32 part = 0; part < mixers; part++) sum += queries[part * size + at];
            to[at] = sum;
        }
        if (thread == 0) {
            to[size] = largest[of];
            to[size + 1] = sums[of];
        }
        __syncthreads();
    }
}

#define ATTEND(name, Rows)                                                                                             \
    KERNEL(name, THREADS)(const float* x, u32 stride, const Row* rows, const Sequence* sequences, u32 layer, u32 heads, \
                          u32 key_heads, u32 size, float scale, float* out) {                                          \
        attend<Rows>(x, stride, rows, sequences, layer, heads, key_heads, size, scale, out);                           \
    }
ATTEND(attend_parts, F16Rows)
EXPORT(attend_parts)
ATTEND(attend_parts_q8, Q8Rows)
EXPORT(attend_parts_q8)

// out (rows, heads · size) = what the parts of each row and head come to together; there is room for `parts` of them.
// Grid: (heads, rows).
KERNEL(attend_join, THREADS)(const float* of_parts, const Row* rows, u32 size, u32 parts, float* out) {
    const u32 head = blockIdx.x, heads = gridDim.x, row = blockIdx.y;
    const u32 visible = rows[row].visible, length = keys_of_part(visible);
    const u32 count = (visible + length - 1) / length;
    const float* from = of_parts + (static_cast<u64>(row) * heads + head) * parts * (size + 2);
    float largest = lowest(), sum = 0.0f;
    for (u32 part = 0; part < count; part++) largest = fmaxf(largest, from[part * (size + 2) + size]);
    for (u32 part = 0; part < count; part++) {
        const float* of = from + part * (size + 2) + size;
        sum += of[1] * expf(of[0] - largest);
    }
    for (u32 at = threadIdx.x; at < size; at += THREADS) {
        float mixed = 0.0f;
        for (u32 part = 0; part < count; part++) {
            const float* of = from + part * (size + 2);
            mixed += of[at] * expf(of[size] - largest);
        }
        out[(static_cast<u64>(row) * heads + head) * size + at] = mixed / sum;
    }
}
EXPORT(attend_join)

}  // namespace attention_cu
