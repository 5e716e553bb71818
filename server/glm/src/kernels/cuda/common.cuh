// What all kernels share: conversions, integer dot products, sums over a warp and over a block, and the few instructions
// that CUDA C++ has no word for.
//
// Every kernel is written once. NVRTC compiles it for the GPU; with INFILL_EMULATED a C++ compiler makes a library of it
// that runs on the processor (`emulated/`), where each wrapper below has a twin of the same meaning. No header of the
// CUDA toolkit is needed: 16-bit numbers are their bits, in structs of one member.
//
// A kernel is KERNEL(name, threads)(parameters) { ... } and then EXPORT(name); it is always launched with that many threads
// a block. After the threads may come how many blocks a processor is to hold at once. All files are compiled as one for the GPU, so each has a namespace of its own. Shared memory is SHARED(type,
// name, count): its size is known when the kernel is compiled, and stays below the 48 KiB that every GPU gives without
// asking.
#pragma once

typedef unsigned char u8;
typedef signed char s8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;

// The bits of an f16 and of a bf16 number.
struct Half {
    u16 bits;
};
struct Bf16 {
    u16 bits;
};

// Threads of a warp, and the mask that names all of them.
constexpr u32 WARP = 32;
constexpr u32 ALL = 0xffffffffu;

#ifdef INFILL_EMULATED

#include "emulated/device.h"

#else

#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__) name
#define EXPORT(name)
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define DEVICE __device__ __forceinline__
#define MEMBER __device__ __forceinline__
#define UNROLL _Pragma("unroll")

DEVICE float to_float(Half number) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(number.bits));
    return wide;
}

// The nearest f16; of two equally near, the even one.
DEVICE Half to_half(float number) {
    Half narrow;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(number));
    return narrow;
}

// Two f16 in one register, the first in the lower half.
DEVICE u32 to_halves(float first, float second) {
    u32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}

// sum + four products of signed bytes of a and b.
DEVICE s32 dot4(u32 a, u32 b, s32 sum) {
    s32 out;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(out) : "r"(a), "r"(b), "r"(sum));
    return out;
}

// a · b + sum by the tensor cores. a is 16 × 16, b is 16 × 8, sum 16 × 8, f16 times f16 into f32. In the terms of the PTX
// manual, mma.m16n8k16: lane = 4 · g + t has of a the pairs (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), of b the pairs
// of rows (2t, g) and (2t + 8, g), of the sum (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
DEVICE void multiply_tiles(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 × 8 tiles of f16 from shared memory, transposed on their way. Lanes 0 to 7 give the addresses of the rows of the
// first tile, 8 to 15 of the second and so on, 16 bytes each; lane 4 · g + t gets (2t, g) and (2t + 1, g) of each tile.
DEVICE void load_transposed(u32 (&tiles)[4], const Half* row) {
    const u32 address = static_cast<u32>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(address)
                 : "memory");
}

// Begins to copy 16 bytes from global to shared memory, past the registers.
DEVICE void copy_ahead(void* shared, const void* global) {
    const u32 address = static_cast<u32>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}

// The copies that this thread began since the last call are one group.
DEVICE void close_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all but the last `pending` groups of this thread have arrived.
template <int pending>
DEVICE void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#endif

DEVICE float to_float(Bf16 number) {
    return __uint_as_float(static_cast<u32>(number.bits) << 16);
}

DEVICE float to_float(float number) {
    return number;
}

// −∞.
DEVICE float lowest() {
    return __uint_as_float(0xff800000u);
}

// The f16 in the lower and the upper half of a register.
DEVICE float low_half(u32 both) {
    return to_float(Half{static_cast<u16>(both)});
}
DEVICE float high_half(u32 both) {
    return to_float(Half{static_cast<u16>(both >> 16)});
}

// The warp of this thread in its block, and the thread's place in it.
DEVICE u32 warp_index() {
    return threadIdx.x / WARP;
}
DEVICE u32 lane_index() {
    return threadIdx.x % WARP;
}

// The sum over the warp; all lanes get the same bits, since each pair adds the same two numbers.
DEVICE float warp_sum(float number) {
    UNROLL for (u32 apart = WARP / 2; apart > 0; apart /= 2) number += __shfl_xor_sync(ALL, number, apart);
    return number;
}

DEVICE float warp_max(float number) {
    UNROLL for (u32 apart = WARP / 2; apart > 0; apart /= 2)
        number = fmaxf(number, __shfl_xor_sync(ALL, number, apart));
    return number;
}

// The sum over the block, the same bits for each thread. `parts` is room for a number a warp, which nobody else uses
// until the next __syncthreads.
template <u32 threads>
DEVICE float block_sum(float number, float* parts) {
    number = warp_sum(number);
    if (lane_index() == 0) parts[warp_index()] = number;
    __syncthreads();
    float sum = 0.0f;
    UNROLL for (u32 warp = 0; warp < threads / WARP; warp++) sum += parts[warp];
    return sum;
}
