// The activations of feed-forwards. Bound by bytes, which lie in the second-level cache mostly: four in or eight, four out,
// and one exponential a number.

#include "common.cuh"

namespace activation_cu {

constexpr u32 THREADS = 256;

// In the order of `Activation`.
enum Activation : u32 { GELU_TANH, GELU, QUICK_GELU, SILU };

// All but one of them are x times the logistic function of something: x / (1 + e^-u).
DEVICE float activated(u32 activation, float x) {
    switch (activation) {
        case GELU_TANH:
            // 2 √(2/π): since (1 + tanh u)/2 = 1/(1 + e^-2u), one exponential is enough.
            return x / (1.0f + expf(-1.595769f * (x + 0.044715f * x * x * x)));
        case GELU:
            return x * 0.5f * (1.0f + erff(x * 0.70710678f));
        case QUICK_GELU:
            return x / (1.0f + expf(-1.702f * x));
        default:
            return x / (1.0f + expf(-x));
    }
}

// out (rows, width) = activation of the first half of each row of x (rows, 2 · width), times the second. Grid: (columns, rows).
KERNEL(gate, THREADS)(const float* x, float* out, u32 width, u32 activation) {
    const u32 column = blockIdx.x * THREADS + threadIdx.x;
    if (column >= width) return;
    const float* row = x + static_cast<u64>(blockIdx.y) * 2 * width;
    out[static_cast<u64>(blockIdx.y) * width + column] = activated(activation, row[column]) * row[width + column];
}
EXPORT(gate)

// x = activation of x, number by number.
KERNEL(activate, THREADS)(float* x, u32 count, u32 activation) {
    const u32 at = blockIdx.x * THREADS + threadIdx.x;
    if (at < count) x[at] = activated(activation, x[at]);
}
EXPORT(activate)

}  // namespace activation_cu
