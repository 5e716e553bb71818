// Embeddings of tokens: rows of a matrix in whatever type it is stored, with the rows of up to two tables of positions
// added. Bound by the latency of a few reads; the bytes are a row a token.

#include "packed.cuh"

namespace embed_cu {

constexpr u32 THREADS = 128;

// The tables (places, width) whose rows are added, and where in them a token stands; both may be missing.
struct Places {
    const float* tables[2];
    const u32* positions[2];

    MEMBER float at(u32 token, u32 width, u32 column) const {
        float sum = 0.0f;
        UNROLL for (u32 row = 0; row < 2; row++)
            if (tables[row]) sum += tables[row][static_cast<u64>(positions[row][token]) * width + column];
        return sum;
    }
};

// One number of a packed matrix.
template <Packing p>
DEVICE float number(const u8* weights, u32 width, u32 row, u32 column) {
    const u32 groups = (width + inputs(p) - 1) / inputs(p);
    const BlockPlace<p> place(weights + static_cast<u64>(row / PANEL) * groups * group_bytes(p), column / BLOCK);
    const u32 lane = row % PANEL, quad = column % BLOCK / 4, input = column % 4;
    Raw<p> raw;
    raw.load(place.block(), lane / 4);
    Worth<p> worth;
    worth.load(place.group, place.index, lane / 4);
    u32 codes = 0, which = lane % 4;
    float scale = 0.0f, minimum = 0.0f;
    // Registers have no index.
    UNROLL for (u32 output = 0; output < 4; output++) {
        if (output != which) continue;
        UNROLL for (u32 at = 0; at < QUADS; at++)
            if (at == quad) codes = raw.codes(at, output);
        UNROLL for (u32 half = 0; half < scales(p); half++)
            if (half == quad * scales(p) / QUADS) scale = worth.scale(half, output);
        minimum = worth.minimum(output);
    }
    const s32 code = static_cast<s8>(codes >> 8 * input) - offset(p);
    return scale * static_cast<float>(code) - minimum;
}

template <Packing p>
DEVICE void embed_packed(const u8* weights, const float* row_scales, const u32* ids, Places places, float* out, u32 width) {
    const u32 token = blockIdx.x, row = ids[token];
    const float scale = row_scales ? row_scales[row] : 1.0f;
    for (u32 column = threadIdx.x; column < width; column += THREADS)
        out[static_cast<u64>(token) * width + column] =
            scale * number<p>(weights, width, row, column) + places.at(token, width, column);
}

template <typename Number>
DEVICE void embed_plain(const Number* weights, const u32* ids, Places places, float* out, u32 width) {
    const u32 token = blockIdx.x;
    const Number* row = weights + static_cast<u64>(ids[token]) * width;
    for (u32 column = threadIdx.x; column < width; column += THREADS)
        out[static_cast<u64>(token) * width + column] = to_float(row[column]) + places.at(token, width, column);
}

// out (tokens, width) = the rows of the tokens' ids, and of their positions. A block a token.
#define EMBED(packing, name)                                                                                           \
    KERNEL(embed_##name, THREADS)(const u8* weights, const float* scales, const u32* ids, const float* table,          \
                                  const u32* positions, const float* second_table, const u32* second_positions,        \
                                  float* out, u32 width) {                                                             \
        embed_packed<packing>(weights, scales, ids, {{table, second_table}, {positions, second_positions}}, out, width); \
    }                                                                                                                  \
    EXPORT(embed_##name)
EMBED(Q8_0, q8_0)
EMBED(Q4_0, q4_0)
EMBED(Q4K, q4k)
EMBED(Q5K, q5k)
EMBED(Q6K, q6k)
EMBED(INT8, int8)
EMBED(INT4, int4)

#define EMBED_PLAIN(Number, name)                                                                                      \
    KERNEL(embed_##name, THREADS)(const Number* weights, const u32* ids, const float* table, const u32* positions,     \
                                  const float* second_table, const u32* second_positions, float* out, u32 width) {     \
        embed_plain(weights, ids, {{table, second_table}, {positions, second_positions}}, out, width);                 \
    }                                                                                                                  \
    EXPORT(embed_##name)
EMBED_PLAIN(Half, f16)
EMBED_PLAIN(Bf16, bf16)
EMBED_PLAIN(float, f32)

// out (count, width) = rows of x, by their numbers. A block a row.
KERNEL(gather, THREADS)(const float* x, const u32* rows, float* out, u32 width) {
    const float* row = x + static_cast<u64>(rows[blockIdx.x]) * width;
    for (u32 column = threadIdx.x; column < width; column += THREADS)
        out[static_cast<u64>(blockIdx.x) * width + column] = row[column];
}
EXPORT(gather)

}  // namespace embed_cu
