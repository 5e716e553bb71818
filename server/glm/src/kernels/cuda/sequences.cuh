// How the rows of a pass belong to sequences, and where those have their caches. The tables lie in memory and not in
// arguments, so that one recorded step serves all tokens.
#pragma once

#include "common.cuh"

// A sequence's cache: for each layer the keys of `capacity` tokens and then their values, f16, a token's heads side by side.
struct Sequence {
    Half* cache;
    u64 capacity;
};

// A row of a pass: a token at `place` of its sequence, which sees the first `visible` keys.
struct Row {
    u32 sequence, place, visible, spare;
};

// The keys of a layer from the first token on, and the values after them.
DEVICE Half* keys_of(const Sequence& sequence, u32 layer, u32 width) {
    return sequence.cache + 2 * static_cast<u64>(layer) * sequence.capacity * width;
}
DEVICE Half* values_of(const Sequence& sequence, u32 layer, u32 width) {
    return keys_of(sequence, layer, width) + sequence.capacity * width;
}
