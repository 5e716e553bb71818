// Norms of rows, each with the sum before it. Bound by latency: a row is a few thousand numbers, read from the second-level
// cache, and the whole block waits for its sum. A block a row; sums are formed in one order whatever else is computed.

#include "common.cuh"

namespace norm_cu {

constexpr u32 THREADS = 256;

// The sum that comes before a norm: base · alpha + added, written to `sum`, or the base alone if nothing is added.
// Returns the total of the thread's numbers.
struct Summed {
    const float* base;
    const float* added;
    float* sum;
    float alpha;

    MEMBER float at(u32 column) const { return added ? base[column] * alpha + added[column] : base[column]; }
};

DEVICE Summed of_row(const float* base, const float* added, float* sum, float alpha, u32 width) {
    const u64 first = static_cast<u64>(blockIdx.x) * width;
    return {base + first, added ? added + first : nullptr, sum ? sum + first : nullptr, alpha};
}

// normed = v / √(mean of v² + epsilon) · weight with v = base · alpha + added, which goes to `sum`. Without `added`, v is the
// base. `sum` may be missing, be the base or be what is added; `normed` may be the base if `sum` is not, or what is added.
KERNEL(rms_norm, THREADS)(const float* base, const float* added, float alpha, float* sum, const float* weight, float epsilon,
                          float* normed, u32 width) {
    SHARED(float, parts, THREADS / WARP);
    const Summed row = of_row(base, added, sum, alpha, width);
    float squares = 0.0f;
    for (u32 column = threadIdx.x; column < width; column += THREADS) {
        const float v = row.at(column);
        squares += v * v;
    }
    const float mean = block_sum<THREADS>(squares, parts) / static_cast<float>(width);
    const float scale = 1.0f / sqrtf(mean + epsilon);
    float* out = normed + static_cast<u64>(blockIdx.x) * width;
    for (u32 column = threadIdx.x; column < width; column += THREADS) {
        // Each thread writes what it alone reads.
        const float v = row.at(column);
        if (row.sum) row.sum[column] = v;
        out[column] = v * scale * weight[column];
    }
}
EXPORT(rms_norm)

// The same with normed = (v − mean) / √(variance + epsilon) · weight + bias.
KERNEL(layer_norm, THREADS)(const float* base, const float* added, float alpha, float* sum, const float* weight,
                            const float* bias, float epsilon, float* normed, u32 width) {
    SHARED(float, parts, THREADS / WARP);
    SHARED(float, more_parts, THREADS / WARP);
    const Summed row = of_row(base, added, sum, alpha, width);
    float total = 0.0f;
    for (u32 column = threadIdx.x; column < width; column += THREADS) total += row.at(column);
    const float mean = block_sum<THREADS>(total, parts) / static_cast<float>(width);
    float squares = 0.0f;
    for (u32 column = threadIdx.x; column < width; column += THREADS) {
        const float v = row.at(column) - mean;
        squares += v * v;
    }
    const float variance = block_sum<THREADS>(squares, more_parts) / static_cast<float>(width);
    const float scale = 1.0f / sqrtf(variance + epsilon);
    float* out = normed + static_cast<u64>(blockIdx.x) * width;
    for (u32 column = threadIdx.x; column < width; column += THREADS) {
        const float v = row.at(column);
        if (row.sum) row.sum[column] = v;
        out[column] = (v - mean) * scale * weight[column] + bias[column];
    }
}
EXPORT(layer_norm)

// sum = base · alpha + added, number by number; `sum` may be either.
KERNEL(add, THREADS)(const float* base, const float* added, float alpha, float* sum, u32 count) {
    const u64 at = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
    if (at < count) sum[at] = base[at] * alpha + added[at];
}
EXPORT(add)

}  // namespace norm_cu
