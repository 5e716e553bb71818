// Packed weights as `kernels/packed.rs` lays them out: panels of 16 outputs, in each panel groups of a header and blocks of
// 32 inputs, a block eight quads of 4 inputs × 16 outputs. What the processor's kernels read is what lies on the device.
//
// A quarter of a panel is four neighbouring outputs: 16 bytes of each 64, so that four threads read 64 bytes that lie
// together, and each byte that comes from memory is used.
#pragma once

#include "common.cuh"

constexpr u32 PANEL = 16;
constexpr u32 BLOCK = 32;
constexpr u32 QUADS = 8;

// The packings, in the order of `Packing`.
enum Packing : u32 { Q8_0, Q4_0, Q4K, Q5K, Q6K, INT8, INT4 };

// The functions of the same names in `packed.rs`.
DEVICE constexpr u32 inputs(Packing p) {
    return p == Q4K || p == Q5K || p == Q6K ? 256 : BLOCK;
}
DEVICE constexpr u32 header(Packing p) {
    return p == Q8_0 || p == Q4_0 ? 2 * PANEL : p == Q4K || p == Q5K ? 20 * PANEL : p == Q6K ? 18 * PANEL : 0;
}
DEVICE constexpr u32 upper_bits(Packing p) {
    return p == Q5K ? 1 : p == Q6K ? 2 : 0;
}
DEVICE constexpr bool is_bytes(Packing p) {
    return p == Q8_0 || p == INT8;
}
DEVICE constexpr u32 block_bytes(Packing p) {
    return is_bytes(p) ? 512 : 256 + 64 * upper_bits(p);
}
DEVICE constexpr u32 blocks_of_group(Packing p) {
    return inputs(p) / BLOCK;
}
DEVICE constexpr u32 group_bytes(Packing p) {
    return header(p) + blocks_of_group(p) * block_bytes(p);
}
DEVICE constexpr s32 offset(Packing p) {
    return p == Q4_0 || p == INT4 ? 8 : p == Q6K ? 32 : 0;
}
DEVICE constexpr bool has_minima(Packing p) {
    return p == Q4K || p == Q5K;
}
// Scales of a block and output.
DEVICE constexpr u32 scales(Packing p) {
    return p == Q6K ? 2 : 1;
}

DEVICE u32 part(const uint4& four, u32 at) {
    return at == 0 ? four.x : at == 1 ? four.y : at == 2 ? four.z : four.w;
}

// A block's bytes for a quarter of its outputs, as they lie in memory.
template <Packing p>
struct Raw {
    static constexpr u32 PLAIN = is_bytes(p) ? 8 : 4;
    static constexpr u32 UPPER = upper_bits(p);
    uint4 loads[PLAIN + UPPER];

    MEMBER void load(const u8* block, u32 quarter) {
        UNROLL for (u32 at = 0; at < PLAIN + UPPER; at++)
            loads[at] = __ldg(reinterpret_cast<const uint4*>(block + 64 * at + 16 * quarter));
    }

    // The stored numbers of one quad and output, four bytes: with their signs if the type has bytes, else from 0 on.
    MEMBER u32 codes(u32 quad, u32 output) const {
        if constexpr (is_bytes(p)) return part(loads[quad], output) ^ 0x80808080u;
        u32 codes = part(loads[quad / 2], output) >> 4 * (quad % 2) & 0x0f0f0f0fu;
        if constexpr (UPPER == 1) codes |= (part(loads[PLAIN], output) >> quad & 0x01010101u) << 4;
        if constexpr (UPPER == 2) codes |= (part(loads[PLAIN + quad / 4], output) >> 2 * (quad % 4) & 0x03030303u) << 4;
        return codes;
    }
};

// What the codes of a block are worth, for a quarter of its outputs: scale · (code − offset) − minimum. Kept as it lies in
// memory until it is asked for, so that nobody waits for it sooner.
template <Packing p>
struct Worth {
    uint2 factors, lows;
    u32 steps[2];

    // `index` is the block's place in its group.
    MEMBER void load(const u8* group, u32 index, u32 quarter) {
        const auto four_halves = [&](u32 at) { return __ldg(reinterpret_cast<const uint2*>(group + at + 8 * quarter)); };
        const auto four_bytes = [&](u32 at) { return __ldg(reinterpret_cast<const u32*>(group + at + 4 * quarter)); };
        if constexpr (header(p) > 0) factors = four_halves(0);
        if constexpr (has_minima(p)) lows = four_halves(2 * PANEL);
        constexpr u32 FIRST = has_minima(p) ? 4 : 2;
        if constexpr (header(p) > 2 * PANEL)
            UNROLL for (u32 at = 0; at < 2; at++) steps[at] = four_bytes((FIRST + 2 * index + at) * PANEL);
    }

    // For the inputs of part `at` of the block: there are as many as scales.
    MEMBER float scale(u32 at, u32 output) const {
        if constexpr (header(p) == 0) return 1.0f;
        const float factor = one_of(factors, output);
        if constexpr (has_minima(p)) return factor * static_cast<float>(steps[0] >> 8 * output & 0xff);
        if constexpr (p == Q6K) return factor * static_cast<float>(static_cast<s8>((at == 0 ? steps[0] : steps[1]) >> 8 * output));
        return factor;
    }

    MEMBER float minimum(u32 output) const {
        if constexpr (!has_minima(p)) return 0.0f;
        return one_of(lows, output) * static_cast<float>(steps[1] >> 8 * output & 0xff);
    }

private:
    static MEMBER float one_of(uint2 halves, u32 output) {
        const u32 both = output < 2 ? halves.x : halves.y;
        return output % 2 == 0 ? low_half(both) : high_half(both);
    }
};

// A block of activations as integers: 32 bytes, what one is worth, and the sums of both halves.
struct Integers {
    uint4 numbers[2];
    float unit;
    s32 halves[2];
    float spare;
};

// Where block `block` of a panel's row of blocks begins, its group and its place there.
template <Packing p>
struct BlockPlace {
    const u8* group;
    u32 index;

    MEMBER BlockPlace(const u8* panel, u32 block)
        : group(panel + static_cast<u64>(block / blocks_of_group(p)) * group_bytes(p)), index(block % blocks_of_group(p)) {}
    MEMBER const u8* block() const { return group + header(p) + index * block_bytes(p); }
};
