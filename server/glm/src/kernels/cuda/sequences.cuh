// How the rows of a pass belong to sequences, where those have their caches, and what keys and values are there. The tables
// lie in memory and not in arguments, so that one recorded step serves all tokens.
#pragma once

#include "common.cuh"

// A sequence's cache: for each layer the keys of `capacity` tokens and then their values, each a run of rows as `F16Rows` or
// `Q8Rows` have them, a row a token, its heads side by side.
struct Sequence {
    u8* cache;
    u64 capacity;
};

// A row of a pass: a token at `place` of its sequence, which sees the first `visible` keys.
struct Row {
    u32 sequence, place, visible, spare;
};

// Which of a sequence's runs has a layer's keys or values.
DEVICE u32 run_of(u32 layer, bool is_value) {
    return 2 * layer + is_value;
}

// Keys or values of one head, from `column` of a row of `width` numbers on, as f16.
struct F16Rows {
    // Numbers that are read at once, 16 bytes. Heads of sizes that are no multiple do not begin at such a place.
    static constexpr u32 PIECE = 8;
    Half* numbers;
    u32 width;

    MEMBER F16Rows(const Sequence& sequence, u32 run, u32 width, u32 column)
        : numbers(reinterpret_cast<Half*>(sequence.cache) + run * sequence.capacity * width + column), width(width) {}

    MEMBER Half* at(u32 token, u32 column) const { return numbers + static_cast<u64>(token) * width + column; }

    MEMBER void piece(u32 token, u32 column, float (&out)[PIECE]) const {
        const uint4 eight = *reinterpret_cast<const uint4*>(at(token, column));
        const u32 pairs[4] = {eight.x, eight.y, eight.z, eight.w};
        UNROLL for (u32 i = 0; i < PIECE; i++) out[i] = i % 2 == 0 ? low_half(pairs[i / 2]) : high_half(pairs[i / 2]);
    }
    MEMBER float2 pair(u32 token, u32 column) const {
        const u32 both = *reinterpret_cast<const u32*>(at(token, column));
        return make_float2(low_half(both), high_half(both));
    }
    MEMBER void write(u32 token, u32 column, float number) const { *at(token, column) = to_half(number); }
};

// Numbers that share a scale where they are kept as integers; a head's size is a multiple.
constexpr u32 SCALED = 32;

// One of four signed bytes. There is an instruction that converts, but it is slow: with its sign bit flipped a byte is the
// last bits of 2^23 + 128 + itself.
DEVICE float byte_of(u32 four, u32 index) {
    const u32 bits = (four ^ 0x80808080u) >> 8 * index & 0xff;
    return __uint_as_float(0x4b000000u | bits) - 8388736.0f;
}

// The same as integers from −127 to 127, one byte each: first those of all `capacity` rows, then their scales, f16, likewise in
// rows. A number is its integer times its scale. `capacity` is a multiple of 8, so that every run begins at 16 bytes.
struct Q8Rows {
    static constexpr u32 PIECE = SCALED;
    u8* numbers;
    Half* scales;
    u32 width;

    MEMBER Q8Rows(const Sequence& sequence, u32 run, u32 width, u32 column) : width(width) {
        const u64 all = sequence.capacity * width;
        u8* first = sequence.cache + run * (all + all / SCALED * sizeof(Half));
        numbers = first + column;
        scales = reinterpret_cast<Half*>(first + all) + column / SCALED;
    }

    MEMBER u8* at(u32 token, u32 column) const { return numbers + static_cast<u64>(token) * width + column; }
    MEMBER Half& scale(u32 token, u32 column) const {
        return scales[static_cast<u64>(token) * (width / SCALED) + column / SCALED];
    }

    MEMBER void piece(u32 token, u32 column, float (&out)[PIECE]) const {
        const uint4* from = reinterpret_cast<const uint4*>(at(token, column));
        const uint4 left = from[0], right = from[1];
        const u32 fours[8] = {left.x, left.y, left.z, left.w, right.x, right.y, right.z, right.w};
        const float unit = to_float(scale(token, column));
        UNROLL for (u32 i = 0; i < PIECE; i++) out[i] = byte_of(fours[i / 4], i % 4) * unit;
    }
    MEMBER float2 pair(u32 token, u32 column) const {
        const u32 both = *reinterpret_cast<const u16*>(at(token, column));
        const float unit = to_float(scale(token, column));
        return make_float2(byte_of(both, 0) * unit, byte_of(both, 1) * unit);
    }
    // All lanes of a warp bring one number each, those that share a scale.
    MEMBER void write(u32 token, u32 column, float number) const {
        // By its bits, by which what is no number is larger than all numbers, and spoils the scale.
        u32 largest = __float_as_uint(number) & 0x7fffffffu;
        UNROLL for (u32 apart = WARP / 2; apart > 0; apart /= 2)
            largest = max(largest, __shfl_xor_sync(ALL, largest, apart));
        const Half unit = to_half(__uint_as_float(largest) / 127.0f);
        // The scale has been rounded, so that the largest may be a little more than 127; with a scale of 0 all are.
        const float steps = fminf(fmaxf(rintf(number / to_float(unit)), -127.0f), 127.0f);
        *at(token, column) = static_cast<u8>(static_cast<s32>(steps));
        if (column % SCALED == 0) scale(token, column) = unit;
    }
};
