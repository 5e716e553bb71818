// Rotary positions (Su et al., "RoFormer", 2021), with the norm of each head before them where a model has it, and the way
// of keys and values into the cache. Bound by latency, and by bytes where rows are many: each number is read and written
// once. A warp has one head of one token.

#include "sequences.cuh"

namespace rotary_cu {

constexpr u32 WARPS = 4;
// Numbers of the largest head.
constexpr u32 MOST = 256;

// Rows of x are queries, keys and values of one token, `heads` and twice `key_heads` heads of `size` numbers. Queries and
// keys are normed (if there are weights), and their first 2 · sections · pairs numbers are turned: each section has angles of
// its own, and its pair i is the numbers i and i + pairs, or, if `interleaved`, 2i and 2i + 1. Queries stay in x; keys
// and values go to the cache. The angles are a row of sections · pairs numbers a token; there are none if `pairs` is 0.
// Grid: (heads / 4, rows).
template <typename Rows>
DEVICE void rotate(float* x, const float* cosines, const float* sines, const float* query_norm, const float* key_norm,
                   float epsilon, const Row* rows, const Sequence* sequences, u32 layer, u32 heads, u32 key_heads, u32 size,
                   u32 sections, u32 pairs, u32 interleaved) {
    SHARED(float, all_heads, WARPS * MOST);
    float* numbers = all_heads + warp_index() * MOST;
    const u32 head = blockIdx.x * WARPS + warp_index(), row = blockIdx.y, lane = lane_index();
    if (head >= heads + 2 * key_heads) return;
    float* from = x + (static_cast<u64>(row) * (heads + 2 * key_heads) + head) * size;
    const bool is_query = head < heads, is_value = head >= heads + key_heads;
    const float* norm = is_query ? query_norm : is_value ? nullptr : key_norm;

    float squares = 0.0f;
    for (u32 at = lane; at < size; at += WARP) {
        numbers[at] = from[at];
        squares += numbers[at] * numbers[at];
    }
    if (norm) {
        const float scale = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(size) + epsilon);
        for (u32 at = lane; at < size; at += WARP) numbers[at] = numbers[at] * scale * norm[at];
    }
    __syncwarp();

    const u32 end = is_value ? 0 : 2 * sections * pairs;
    const auto turned = [&](u32 at) {
        const float number = numbers[at];
        if (at >= end) return number;
        const u32 section = at / (2 * pairs), within = at % (2 * pairs);
        const u32 pair = interleaved ? within / 2 : within % pairs;
        const bool is_second = interleaved ? within % 2 != 0 : within >= pairs;
        const u32 apart = interleaved ? 1 : pairs;
        const u64 angle = (static_cast<u64>(row) * sections + section) * pairs + pair;
        const float cosine = cosines[angle], sine = sines[angle];
        return is_second ? number * cosine + numbers[at - apart] * sine : number * cosine - numbers[at + apart] * sine;
    };
    if (is_query) {
        for (u32 at = lane; at < size; at += WARP) from[at] = turned(at);
        return;
    }
    const Row place = rows[row];
    const u32 key_head = head - heads - (is_value ? key_heads : 0);
    const Rows cached(sequences[place.sequence], run_of(layer, is_value), key_heads * size, key_head * size);
    for (u32 at = lane; at < size; at += WARP) cached.write(place.place, at, turned(at));
}

#define ROTATE(name, Rows)                                                                                               \
    KERNEL(name, WARPS* WARP)(float* x, const float* cosines, const float* sines, const float* query_norm,                \
                              const float* key_norm, float epsilon, const Row* rows, const Sequence* sequences,          \
                              u32 layer, u32 heads, u32 key_heads, u32 size, u32 sections, u32 pairs, u32 interleaved) { \
        rotate<Rows>(x, cosines, sines, query_norm, key_norm, epsilon, rows, sequences, layer, heads, key_heads, size,   \
                     sections, pairs, interleaved);                                                                      \
    }
ROTATE(rotate_and_cache, F16Rows)
EXPORT(rotate_and_cache)
ROTATE(rotate_and_cache_q8, Q8Rows)
EXPORT(rotate_and_cache_q8)

}  // namespace rotary_cu
