// Many rows of activations times a matrix: what reading a prompt does. Bound by operations of the tensor cores. Weights are
// brought to f16 in shared memory, a tile at a time and once for all rows of a block, multiplied by activations in f16
// (mma m16n8k16) and summed in f32. The next tile is on its way while this one is multiplied: activations by cp.async,
// weights in registers, since they have to be unpacked. (The tiling is that of "CUTLASS", Kerr et al., 2017.)
//
// A sum goes through the inputs in their order, 16 at a time, whatever the tiles' size.

#include "packed.cuh"

namespace gemm_cu {

// Inputs of a tile, and from one row of it to the next: eight more, so that rows begin in different banks.
constexpr u32 DEPTH = BLOCK;
constexpr u32 APART = DEPTH + 8;

// x (rows, columns) in f16, times a power of two a row that makes its largest number between 1024 and 2048, so that none
// is too large and few are too small; `units` is what undoes that. Rows are filled up with zeros to whole blocks of 32. A
// block a row.
KERNEL(halves, 256)(const float* x, Half* out, float* units, u32 columns) {
    SHARED(float, parts, 8);
    const float* row = x + static_cast<u64>(blockIdx.x) * columns;
    float largest = 0.0f;
    for (u32 column = threadIdx.x; column < columns; column += 256) largest = fmaxf(largest, fabsf(row[column]));
    largest = warp_max(largest);
    if (lane_index() == 0) parts[warp_index()] = largest;
    __syncthreads();
    UNROLL for (u32 warp = 0; warp < 8; warp++) largest = fmaxf(largest, parts[warp]);
    // The exponent alone, turned round. Rows of numbers that are not finite stay as they are, and so do zeros.
    const u32 exponent = __float_as_uint(largest) >> 23;
    const bool is_usual = exponent > 20 && exponent < 240;
    const float factor = is_usual ? __uint_as_float((127 + 10 + 127 - exponent) << 23) : 1.0f;
    if (threadIdx.x == 0) units[blockIdx.x] = 1.0f / factor;
    const u32 padded = (columns + DEPTH - 1) / DEPTH * DEPTH;
    for (u32 column = threadIdx.x; column < padded; column += 256)
        out[static_cast<u64>(blockIdx.x) * padded + column] = to_half(column < columns ? row[column] * factor : 0.0f);
}
EXPORT(halves)

// What a thread has of a tile of packed weights: one quad of a quarter of a panel, 16 weights. A warp has a panel.
template <Packing p>
struct PackedWeights {
    const u8* panel;
    uint4 lower, upper;
    Worth<p> worth;

    MEMBER PackedWeights(const void* weights, u32 columns, u32 outputs, u32 first) {
        // Panels that are not there are the last one again; nobody looks at their sums.
        const u32 index = min(first / PANEL + warp_index(), (outputs - 1) / PANEL);
        const u32 groups = (columns + inputs(p) - 1) / inputs(p);
        panel = static_cast<const u8*>(weights) + static_cast<u64>(index) * groups * group_bytes(p);
    }

    MEMBER void load(u32 step) {
        const u32 quad = lane_index() / 4, quarter = lane_index() % 4;
        const BlockPlace<p> place(panel, step);
        const uint4* loads = reinterpret_cast<const uint4*>(place.block()) + quarter;
        lower = __ldg(loads + 4 * (is_bytes(p) ? quad : quad / 2));
        if constexpr (upper_bits(p) == 1) upper = __ldg(loads + 16);
        if constexpr (upper_bits(p) == 2) upper = __ldg(loads + 16 + 4 * (quad / 4));
        worth.load(place.group, place.index, quarter);
    }

    MEMBER void store(Half* tile) const {
        const u32 quad = lane_index() / 4, quarter = lane_index() % 4;
        UNROLL for (u32 output = 0; output < 4; output++) {
            u32 codes = part(lower, output);
            if constexpr (is_bytes(p)) {
                codes ^= 0x80808080u;
            } else {
                codes = codes >> 4 * (quad % 2) & 0x0f0f0f0fu;
                if constexpr (upper_bits(p) == 1) codes |= (part(upper, output) >> quad & 0x01010101u) << 4;
                if constexpr (upper_bits(p) == 2) codes |= (part(upper, output) >> 2 * (quad % 4) & 0x03030303u) << 4;
            }
            const float scale = worth.scale(quad / (QUADS / 2), output), minimum = worth.minimum(output);
            float numbers[4];
            UNROLL for (u32 input = 0; input < 4; input++) {
                numbers[input] = scale * static_cast<float>(static_cast<s8>(codes >> 8 * input) - offset(p)) - minimum;
            }
            const uint2 four{to_halves(numbers[0], numbers[1]), to_halves(numbers[2], numbers[3])};
            *reinterpret_cast<uint2*>(tile + (warp_index() * PANEL + 4 * quarter + output) * APART + 4 * quad) = four;
        }
    }
};

// The same of plain weights: 16 inputs of one output.
template <typename Number>
struct PlainWeights {
    const Number* row;
    u32 columns;
    bool exists;
    alignas(16) Number numbers[16];

    MEMBER PlainWeights(const void* weights, u32 columns, u32 outputs, u32 first) : columns(columns) {
        const u32 output = first + threadIdx.x / 2;
        row = static_cast<const Number*>(weights) + static_cast<u64>(output) * columns;
        exists = output < outputs;
    }

    MEMBER void load(u32 step) {
        const u32 column = step * DEPTH + threadIdx.x % 2 * 16;
        constexpr u32 FOUR = sizeof(Number) * 16 / sizeof(uint4);
        // Rows of other lengths do not begin at multiples of 16 bytes.
        if (exists && columns % 8 == 0 && column + 16 <= columns) {
            UNROLL for (u32 at = 0; at < FOUR; at++)
                reinterpret_cast<uint4*>(numbers)[at] = __ldg(reinterpret_cast<const uint4*>(row + column) + at);
            return;
        }
        UNROLL for (u32 at = 0; at < 16; at++)
            numbers[at] = exists && column + at < columns ? row[column + at] : Number{};
    }

    MEMBER void store(Half* tile) const {
        u32* to = reinterpret_cast<u32*>(tile + threadIdx.x / 2 * APART + threadIdx.x % 2 * 16);
        UNROLL for (u32 at = 0; at < 8; at++) to[at] = to_halves(to_float(numbers[2 * at]), to_float(numbers[2 * at + 1]));
    }
};

// out(row, n) = Σ x(row, k) · weight(n, k) · units(row) · scales(n) + bias(n) for a tile of 32 · DOWN rows and ACROSS · WIDE
// outputs; DOWN × ACROSS warps have 32 rows and WIDE outputs each. Grid: (tiles of rows, tiles of outputs), so that
// the blocks that run at the same time share weights.
template <typename Weights, u32 DOWN, u32 ACROSS, u32 WIDE>
DEVICE void gemm(const Half* x, const float* units, const void* weights, const float* row_scales, const float* bias,
                 float* out, u32 rows, u32 columns, u32 outputs, u32 stride) {
    constexpr u32 THREADS = DOWN * ACROSS * WARP, ROWS = 32 * DOWN, OUTPUTS = ACROSS * WIDE;
    SHARED(Half, left, 2 * ROWS * APART);
    SHARED(Half, right, 2 * OUTPUTS * APART);
    const u32 lane = lane_index(), g = lane / 4, t = lane % 4;
    const u32 first_row = blockIdx.x * ROWS, first_output = blockIdx.y * OUTPUTS;
    const u32 my_row = warp_index() / ACROSS * 32, my_output = warp_index() % ACROSS * WIDE;
    const u32 steps = (columns + DEPTH - 1) / DEPTH, padded = steps * DEPTH;

    const auto fetch = [&](u32 step) {
        UNROLL for (u32 at = threadIdx.x; at < ROWS * DEPTH / 8; at += THREADS) {
            // Rows that are not there are the last one again; nobody looks at their sums.
            const u32 row = at / (DEPTH / 8), column = at % (DEPTH / 8) * 8;
            const Half* from = x + static_cast<u64>(min(first_row + row, rows - 1)) * padded + step * DEPTH + column;
            copy_ahead(left + (step % 2 * ROWS + row) * APART + column, from);
        }
        close_copies();
    };
    Weights next(weights, columns, outputs, first_output);
    float sums[2][WIDE / 8][4] = {};
    fetch(0);
    next.load(0);
    next.store(right);
    for (u32 step = 0; step < steps; step++) {
        await_copies<0>();
        // This tile is there for all, and nobody reads the other one any more.
        __syncthreads();
        if (step + 1 < steps) {
            fetch(step + 1);
            next.load(step + 1);
        }
        const Half* these_rows = left + (step % 2 * ROWS + my_row) * APART;
        const Half* these_outputs = right + (step % 2 * OUTPUTS + my_output) * APART;
        UNROLL for (u32 k = 0; k < DEPTH; k += 16) {
            u32 a[2][4];
            UNROLL for (u32 half = 0; half < 2; half++)
                UNROLL for (u32 i = 0; i < 4; i++)
                    a[half][i] = *reinterpret_cast<const u32*>(these_rows + (16 * half + g + i % 2 * 8) * APART + k + i / 2 * 8 + 2 * t);
            UNROLL for (u32 eight = 0; eight < WIDE / 8; eight++) {
                const Half* b = these_outputs + (8 * eight + g) * APART + k + 2 * t;
                const u32 b0 = *reinterpret_cast<const u32*>(b), b1 = *reinterpret_cast<const u32*>(b + 8);
                UNROLL for (u32 half = 0; half < 2; half++) multiply_tiles(sums[half][eight], a[half], b0, b1);
            }
        }
        if (step + 1 < steps) next.store(right + (step + 1) % 2 * OUTPUTS * APART);
    }
    UNROLL for (u32 half = 0; half < 2; half++)
        UNROLL for (u32 lower = 0; lower < 2; lower++) {
            const u32 row = first_row + my_row + 16 * half + 8 * lower + g;
            if (row >= rows) continue;
            const float unit = units[row];
            UNROLL for (u32 eight = 0; eight < WIDE / 8; eight++)
                UNROLL for (u32 i = 0; i < 2; i++) {
                    const u32 output = first_output + my_output + 8 * eight + 2 * t + i;
                    if (output >= outputs) continue;
                    float number = sums[half][eight][2 * lower + i] * unit;
                    if (row_scales) number *= row_scales[output];
                    if (bias) number += bias[output];
                    out[static_cast<u64>(row) * stride + output] = number;
                }
        }
}

#define GEMM(Weights, name, size, DOWN, ACROSS, WIDE)                                                                   \
    KERNEL(gemm_##name##_##size, DOWN* ACROSS* WARP)(const Half* x, const float* units, const void* weights,            \
                                                     const float* scales, const float* bias, float* out, u32 rows,      \
                                                     u32 columns, u32 outputs, u32 stride) {                            \
        gemm<Weights, DOWN, ACROSS, WIDE>(x, units, weights, scales, bias, out, rows, columns, outputs, stride);        \
    }                                                                                                                   \
    EXPORT(gemm_##name##_##size)
// Large tiles, and small ones for where large ones would leave processors idle: 128 and 64 rows and outputs.
#define GEMMS(Weights, name)            \
    GEMM(Weights, name, 128, 4, 2, 64)  \
    GEMM(Weights, name, 64, 2, 2, 32)
GEMMS(PackedWeights<Q8_0>, q8_0)
GEMMS(PackedWeights<Q4_0>, q4_0)
GEMMS(PackedWeights<Q4K>, q4k)
GEMMS(PackedWeights<Q5K>, q5k)
GEMMS(PackedWeights<Q6K>, q6k)
GEMMS(PackedWeights<INT8>, int8)
GEMMS(PackedWeights<INT4>, int4)
GEMMS(PlainWeights<Half>, f16)
GEMMS(PlainWeights<Bf16>, bf16)
GEMMS(PlainWeights<float>, f32)

}  // namespace gemm_cu
