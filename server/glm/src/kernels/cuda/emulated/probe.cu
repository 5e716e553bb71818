// Kernels that show that the emulation is right: what threads do together, and what they must not do.

#include "../common.cuh"

// out[block] = the sum of the block's 64 numbers, by shuffles, shared memory and a barrier.
KERNEL(probe_sum, 64)(const float* x, float* out) {
    SHARED(float, parts, 2);
    const float sum = block_sum<64>(x[blockIdx.x * 64 + threadIdx.x], parts);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}
EXPORT(probe_sum)

// out = x turned round within each block, through shared memory; without the barrier if `careless` says so.
KERNEL(probe_reverse, 64)(const float* x, float* out, u32 careless) {
    SHARED(float, numbers, 64);
    numbers[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
    if (!careless) __syncthreads();
    out[blockIdx.x * 64 + threadIdx.x] = numbers[63 - threadIdx.x];
}
EXPORT(probe_reverse)

// out (16, 8) = a (16, 16) · b (16, 8), all row by row; a and b in f16, b through shared memory, copied ahead. Without
// waiting for the copy if `careless` says so.
KERNEL(probe_tiles, 32)(const Half* a, const Half* b, float* out, u32 careless) {
    SHARED(Half, rows, 16 * 8);
    const u32 lane = threadIdx.x, g = lane / 4, t = lane % 4;
    if (lane < 16) copy_ahead(rows + 8 * lane, b + 8 * lane);
    close_copies();
    if (!careless) await_copies<0>();
    __syncthreads();
    const auto pair = [&](u32 row, u32 column) {
        return a[16 * row + column].bits | static_cast<u32>(a[16 * row + column + 1].bits) << 16;
    };
    const u32 left[4] = {pair(g, 2 * t), pair(g + 8, 2 * t), pair(g, 2 * t + 8), pair(g + 8, 2 * t + 8)};
    u32 right[4];
    load_transposed(right, rows + 8 * (lane % 16));
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    multiply_tiles(sum, left, right[0], right[1]);
    for (u32 i = 0; i < 4; i++) out[8 * (g + i / 2 * 8) + 2 * t + i % 2] = sum[i];
}
EXPORT(probe_tiles)

// Writes a number at out[at], the second thread alone.
KERNEL(probe_write, 32)(float* out, s32 at) {
    if (threadIdx.x == 1) out[at] = 1.0f;
}
EXPORT(probe_write)

// Reads x[at].
KERNEL(probe_read, 32)(const float* x, float* out, s32 at) {
    if (threadIdx.x == 1) out[0] = x[at];
}
EXPORT(probe_read)

// Reads four numbers at once from x[at].
KERNEL(probe_vector, 32)(const float* x, float* out, s32 at) {
    if (threadIdx.x == 0) *reinterpret_cast<float4*>(out) = *reinterpret_cast<const float4*>(x + at);
}
EXPORT(probe_vector)

// A barrier that half of the threads miss.
KERNEL(probe_barrier, 64)(float* out) {
    if (threadIdx.x < 32) __syncthreads();
    out[threadIdx.x] = 0.0f;
}
EXPORT(probe_barrier)

// A shuffle that some lanes miss.
KERNEL(probe_shuffle, 32)(float* out) {
    float sum = 1.0f;
    if (threadIdx.x < 20) sum = warp_sum(sum);
    out[threadIdx.x] = sum;
}
EXPORT(probe_shuffle)

// narrow = x rounded to f16, out = the same as f32.
KERNEL(probe_halves, 32)(const float* x, float* out, Half* narrow, u32 count) {
    for (u32 i = threadIdx.x; i < count; i += 32) {
        narrow[i] = to_half(x[i]);
        out[i] = to_float(narrow[i]);
    }
}
EXPORT(probe_halves)
