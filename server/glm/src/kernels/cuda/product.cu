// A few rows of activations times a matrix: what decoding does. Bound by the bytes of the weights, which are read once
// for all rows; a row more costs a dot product of four bytes for each four weights, not a byte of memory.
//
// Packed weights meet activations as 8-bit integers, 32 with one unit, as in ggml's quantized dot products and in
// `kernels/cpu/packed.rs`: the sum over a block is an exact integer (dp4a), scales follow once a block. The makers' own
// integers meet three such numbers for each activation, 24 bits in all. A block of threads has a panel of 16 outputs and
// shares its inputs out over its threads (split-K); the parts are added in one order, whatever the number of rows, so
// that a row gets the same bits in every company.

#include "packed.cuh"

namespace product_cu {

constexpr u32 THREADS = 256;
constexpr u32 WARPS = THREADS / WARP;
// Blocks of inputs that the threads take at a time, four threads each.
constexpr u32 SLOTS = THREADS / 4;

// x (rows, columns) as integers: `limbs` of each row, one after the other, each what the ones before left over.
KERNEL(integers, 128)(const float* x, Integers* out, u32 columns, u32 limbs) {
    const u32 blocks = (columns + BLOCK - 1) / BLOCK;
    const u32 block = blockIdx.x * 4 + warp_index(), row = blockIdx.y, lane = lane_index();
    if (block >= blocks) return;
    const u32 column = block * BLOCK + lane;
    float left = column < columns ? x[static_cast<u64>(row) * columns + column] : 0.0f;
    for (u32 limb = 0; limb < limbs; limb++) {
        // Without their sign, the bits of floats are ordered as the floats are, what is not finite above all others.
        u32 largest_bits = __float_as_uint(left) & 0x7fffffffu;
        UNROLL for (u32 apart = WARP / 2; apart > 0; apart /= 2)
            largest_bits = max(largest_bits, __shfl_xor_sync(ALL, largest_bits, apart));
        const float largest = __uint_as_float(largest_bits);
        float unit = largest / 127.0f;
        s32 number = 0;
        if (largest_bits >= 0x7f800000u) {
            unit = largest;
        } else if (largest < 1e-30f) {
            unit = 0.0f;
        } else {
            number = static_cast<s32>(rintf(left * (127.0f / largest)));
        }
        left -= unit * static_cast<float>(number);
        s32 half = number;
        UNROLL for (u32 apart = 8; apart > 0; apart /= 2) half += __shfl_xor_sync(ALL, half, apart);
        const s32 upper = __shfl_sync(ALL, half, 16);
        Integers* to = out + (static_cast<u64>(row) * limbs + limb) * blocks + block;
        reinterpret_cast<s8*>(to->numbers)[lane] = static_cast<s8>(number);
        if (lane == 0) {
            to->unit = unit;
            to->halves[0] = half;
            to->halves[1] = upper;
            to->spare = 0.0f;
        }
    }
}
EXPORT(integers)

// Adds the totals of the threads that have the same outputs; the first 16 × M threads then have a number each.
template <u32 M>
DEVICE float add_totals(float (&totals)[M][4], float* parts) {
    const u32 lane = lane_index(), quarter = lane % 4;
    UNROLL for (u32 row = 0; row < M; row++)
        UNROLL for (u32 output = 0; output < 4; output++) {
            float total = totals[row][output];
            UNROLL for (u32 apart = 4; apart < WARP; apart *= 2) total += __shfl_xor_sync(ALL, total, apart);
            if (lane < 4) parts[(warp_index() * M + row) * PANEL + 4 * quarter + output] = total;
        }
    __syncthreads();
    float total = 0.0f;
    if (threadIdx.x < M * PANEL)
        UNROLL for (u32 warp = 0; warp < WARPS; warp++) total += parts[warp * M * PANEL + threadIdx.x];
    return total;
}

// out(row, n) = Σ x(row, k) · weight(n, k) · scales(n) + bias(n) for a panel of outputs and M rows, or as many as there are.
// Grid: (panels, rows / M); rows that are taken later find the weights in the second-level cache.
template <Packing p, u32 M>
DEVICE void product(const Integers* x, const u8* weights, const float* row_scales, const float* bias, float* out,
                    u32 all_rows, u32 columns, u32 outputs, u32 stride, u32 limbs) {
    SHARED(float, parts, WARPS * M * PANEL);
    const u32 blocks = (columns + BLOCK - 1) / BLOCK;
    const u32 groups = (columns + inputs(p) - 1) / inputs(p);
    const u32 first_row = blockIdx.y * M, rows = min(M, all_rows - first_row);
    x += static_cast<u64>(first_row) * limbs * blocks;
    out += static_cast<u64>(first_row) * stride;
    const u32 quarter = threadIdx.x % 4;
    const u8* panel = weights + static_cast<u64>(blockIdx.x) * groups * group_bytes(p);
    float totals[M][4] = {};
    Raw<p> raw, next;
    Worth<p> worth, next_worth;
    const auto load = [&](u32 block) {
        const BlockPlace<p> place(panel, block);
        next.load(place.block(), quarter);
        next_worth.load(place.group, place.index, quarter);
    };
    u32 block = threadIdx.x / 4;
    if (block < blocks) load(block);
    for (; block < blocks; block += SLOTS) {
        raw = next;
        worth = next_worth;
        // The next block is on its way while this one is multiplied.
        if (block + SLOTS < blocks) load(block + SLOTS);
        UNROLL for (u32 row = 0; row < M; row++) {
            // Rows that are not there are the last one again; their totals go nowhere.
            const Integers* of_row = x + static_cast<u64>(min(row, rows - 1)) * limbs * blocks + block;
            const u32 turns = limbs;
            for (u32 limb = 0; limb < turns; limb++, of_row += blocks) {
                const uint4 first = __ldg(&of_row->numbers[0]), second = __ldg(&of_row->numbers[1]);
                const uint4 rest = __ldg(reinterpret_cast<const uint4*>(&of_row->unit));
                const float unit = __uint_as_float(rest.x);
                const s32 halves[2] = {static_cast<s32>(rest.y), static_cast<s32>(rest.z)};
                UNROLL for (u32 output = 0; output < 4; output++) {
                    float worth_of_block = 0.0f;
                    constexpr u32 PARTS = scales(p);
                    UNROLL for (u32 part_of = 0; part_of < PARTS; part_of++) {
                        const s32 inputs_sum = PARTS == 2 ? halves[part_of] : halves[0] + halves[1];
                        s32 sum = -offset(p) * inputs_sum;
                        UNROLL for (u32 quad = part_of * QUADS / PARTS; quad < (part_of + 1) * QUADS / PARTS; quad++)
                            sum = dot4(raw.codes(quad, output), part(quad < 4 ? first : second, quad % 4), sum);
                        worth_of_block += worth.scale(part_of, output) * static_cast<float>(sum);
                        if constexpr (has_minima(p))
                            worth_of_block -= worth.minimum(output) * static_cast<float>(inputs_sum);
                    }
                    totals[row][output] += worth_of_block * unit;
                }
            }
        }
    }
    const float total = add_totals<M>(totals, parts);
    const u32 row = threadIdx.x / PANEL, output = blockIdx.x * PANEL + threadIdx.x % PANEL;
    if (row < rows && output < outputs) {
        float number = row_scales ? total * row_scales[output] : total;
        if (bias) number += bias[output];
        out[static_cast<u64>(row) * stride + output] = number;
    }
}

#define PRODUCT(packing, name, M)                                                                                    \
    KERNEL(product_##name##_##M, THREADS, 2)(const Integers* x, const u8* weights, const float* scales,                 \
                                          const float* bias, float* out, u32 rows, u32 columns, u32 outputs,         \
                                          u32 stride, u32 limbs) {                                                   \
        product<packing, M>(x, weights, scales, bias, out, rows, columns, outputs, stride, limbs);                   \
    }                                                                                                                \
    EXPORT(product_##name##_##M)
#define PRODUCTS(packing, name) \
    PRODUCT(packing, name, 1)   \
    PRODUCT(packing, name, 2)   \
    PRODUCT(packing, name, 4)   \
    PRODUCT(packing, name, 8)
PRODUCTS(Q8_0, q8_0)
PRODUCTS(Q4_0, q4_0)
PRODUCTS(Q4K, q4k)
PRODUCTS(Q5K, q5k)
PRODUCTS(Q6K, q6k)
PRODUCTS(INT8, int8)
PRODUCTS(INT4, int4)

// Eight weights of a row from a place that is a multiple of 8.
DEVICE void load_eight(const float* at, float (&eight)[8]) {
    const float4 first = __ldg(reinterpret_cast<const float4*>(at)), second = __ldg(reinterpret_cast<const float4*>(at) + 1);
    eight[0] = first.x, eight[1] = first.y, eight[2] = first.z, eight[3] = first.w;
    eight[4] = second.x, eight[5] = second.y, eight[6] = second.z, eight[7] = second.w;
}
template <typename Narrow>
DEVICE void load_eight(const Narrow* at, float (&eight)[8]) {
    const uint4 bits = __ldg(reinterpret_cast<const uint4*>(at));
    UNROLL for (u32 i = 0; i < 8; i++)
        eight[i] = to_float(Narrow{static_cast<u16>((i < 2 ? bits.x : i < 4 ? bits.y : i < 6 ? bits.z : bits.w) >> 16 * (i % 2))});
}

// The same for a matrix of plain numbers, row by row; activations stay f32. A warp has two outputs, which share the
// activations that it reads. Grid: (outputs / 8, rows / M).
template <typename Number, u32 M>
DEVICE void plain_product(const float* x, const Number* weights, const float* bias, float* out, u32 all_rows, u32 columns,
                          u32 outputs, u32 stride) {
    const u32 first_row = blockIdx.y * M, rows = min(M, all_rows - first_row);
    x += static_cast<u64>(first_row) * columns;
    out += static_cast<u64>(first_row) * stride;
    const u32 lane = lane_index(), first = (blockIdx.x * 4 + warp_index()) * 2;
    if (first >= outputs) return;
    const u32 second = min(first + 1, outputs - 1);
    const Number* of[2] = {weights + static_cast<u64>(first) * columns, weights + static_cast<u64>(second) * columns};
    float totals[M][2] = {};
    // Rows of other lengths do not begin at multiples of 16 bytes.
    const u32 wide = columns % 8 == 0 ? columns : 0;
    for (u32 column = 8 * lane; column < wide; column += 8 * WARP) {
        float weight[2][8];
        load_eight(of[0] + column, weight[0]);
        load_eight(of[1] + column, weight[1]);
        UNROLL for (u32 row = 0; row < M; row++) {
            float inputs[8];
            load_eight(x + static_cast<u64>(min(row, rows - 1)) * columns + column, inputs);
            UNROLL for (u32 i = 0; i < 8; i++)
                UNROLL for (u32 output = 0; output < 2; output++) totals[row][output] += inputs[i] * weight[output][i];
        }
    }
    for (u32 column = wide + lane; column < columns; column += WARP) {
        const float weight[2] = {to_float(of[0][column]), to_float(of[1][column])};
        UNROLL for (u32 row = 0; row < M; row++) {
            const float input = x[static_cast<u64>(min(row, rows - 1)) * columns + column];
            UNROLL for (u32 output = 0; output < 2; output++) totals[row][output] += input * weight[output];
        }
    }
    UNROLL for (u32 row = 0; row < M; row++)
        UNROLL for (u32 output = 0; output < 2; output++) {
            float total = warp_sum(totals[row][output]);
            if (lane == 0 && row < rows && first + output < outputs) {
                if (bias) total += bias[first + output];
                out[static_cast<u64>(row) * stride + first + output] = total;
            }
        }
}

#define PLAIN_PRODUCT(Number, name, M)                                                                               \
    KERNEL(product_##name##_##M, 128)(const float* x, const Number* weights, const float* bias, float* out, u32 rows, \
                                      u32 columns, u32 outputs, u32 stride) {                                        \
        plain_product<Number, M>(x, weights, bias, out, rows, columns, outputs, stride);                             \
    }                                                                                                                \
    EXPORT(product_##name##_##M)
#define PLAIN_PRODUCTS(Number, name) \
    PLAIN_PRODUCT(Number, name, 1)   \
    PLAIN_PRODUCT(Number, name, 2)   \
    PLAIN_PRODUCT(Number, name, 4)   \
    PLAIN_PRODUCT(Number, name, 8)
PLAIN_PRODUCTS(Half, f16)
PLAIN_PRODUCTS(Bf16, bf16)
PLAIN_PRODUCTS(float, f32)

}  // namespace product_cu
