// The words of CUDA C++ that the kernels use, for a plain C++ compiler. Test code: nothing of it is in a shipped binary.
//
// Takes the same `.cu` files as NVRTC, through `common.cuh`. Each thread of a block is a fiber; where threads wait for one
// another, at barriers and in what a warp does together, fibers meet (`meet_block`, `meet_warp`). `runtime.cpp` runs
// them. What a GPU leaves undefined is an error here: a thread that misses a barrier, lanes of one warp that meet at
// different places, an access outside of a buffer or not aligned. Memory that nobody wrote is NaN, and a copy that was
// not waited for has not arrived.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

struct alignas(8) uint2 {
    u32 x, y;
};
struct uint3 {
    u32 x, y, z;
};
struct alignas(16) uint4 {
    u32 x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) {
    return {x, y, z, w};
}
inline float2 make_float2(float x, float y) {
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}

namespace emulated {

// Where the running fiber is.
struct Place {
    uint3 thread, block, block_size, grid_size;
};
extern thread_local const Place* place;

// Bytes that a lane can show to its warp at once.
constexpr std::size_t SLOT = 64;

// Waits for all threads of the block.
void meet_block();
// Waits for the lanes of `mask`, which all have to come with the same words; gives what they bring, SLOT bytes a lane.
const unsigned char* meet_warp(u32 mask, const char* what, const void* brought, std::size_t bytes);
// The memory of a block that goes by this key, poisoned when the block begins.
void* shared(const void* key, std::size_t bytes);
// Copies that arrive when they are waited for.
void copy_ahead(void* to, const void* from);
void close_copies();
void await_copies(unsigned pending);
// Ends the launch with these words.
[[noreturn]] void fail(const char* why);

// What a launch brings for one parameter: 0 an address, 1 an integer, 2 a floating-point number.
struct Argument {
    const void* value;
    u32 bytes;
    u32 kind;
};

// A kernel by its name, and how it is called.
struct Kernel {
    const char* name;
    u32 threads;
    u32 parameters;
    bool (*fits)(u32 parameter, const Argument& argument);
    void (*call)(const Argument* arguments);
    const Kernel* next;
};
void add(Kernel* kernel);
// The kernel of that name; null if there is none.
const Kernel* find(const char* name);

template <typename T>
bool fits_one(const Argument& argument) {
    const u32 kind = std::is_pointer_v<T> ? 0 : std::is_floating_point_v<T> ? 2 : 1;
    return argument.bytes == sizeof(T) && argument.kind == kind;
}

template <auto function, u32 block, typename Type = decltype(function)>
struct Exported;

template <auto function, u32 block, typename... Parameters>
struct Exported<function, block, void (*)(Parameters...)> : Kernel {
    explicit Exported(const char* name)
        : Kernel{name, block, sizeof...(Parameters), fits_this, call_this, nullptr} {
        add(this);
    }
    static bool fits_this(u32 parameter, const Argument& argument) {
        bool (*const all[])(const Argument&) = {fits_one<Parameters>...};
        return all[parameter](argument);
    }
    static void call_this(const Argument* arguments) {
        call_with(arguments, std::make_index_sequence<sizeof...(Parameters)>());
    }
    template <std::size_t... at>
    static void call_with(const Argument* arguments, std::index_sequence<at...>) {
        function(*static_cast<const Parameters*>(arguments[at].value)...);
    }
};

template <typename T>
T shuffled(u32 mask, const char* what, T number, u32 from) {
    const unsigned char* all = meet_warp(mask, what, &number, sizeof number);
    if (!(mask >> from & 1)) fail("a lane reads from one that is not there");
    std::memcpy(&number, all + SLOT * from, sizeof number);
    return number;
}

float half_to_float(u16 bits);
u16 float_to_half(float number);

}  // namespace emulated

#define threadIdx (emulated::place->thread)
#define blockIdx (emulated::place->block)
#define blockDim (emulated::place->block_size)
#define gridDim (emulated::place->grid_size)


// How many blocks there are at once is of no concern here.
template <typename... Counts>
constexpr u32 first_of(u32 threads, Counts...) {
    return threads;
}
#define KERNEL(name, ...)                                 \
    constexpr u32 threads_of_##name = first_of(__VA_ARGS__); \
    static void name
#define EXPORT(name) static emulated::Exported<&name, threads_of_##name> export_##name(#name);
#define SHARED(type, name, count)   \
    static const char key_##name{}; \
    type* const name = static_cast<type*>(emulated::shared(&key_##name, sizeof(type) * (count)))
// Files may have functions of one name, but what belongs to a struct is in a header.
#define DEVICE static inline
#define MEMBER inline
#define UNROLL

DEVICE void __syncthreads() {
    emulated::meet_block();
}
DEVICE void __syncwarp(u32 mask = ALL) {
    emulated::meet_warp(mask, "__syncwarp", nullptr, 0);
}
// Threads are made to run one after another between two meetings, so that what one wrote is there for the next.
DEVICE void __threadfence() {}

template <typename T>
DEVICE T __shfl_xor_sync(u32 mask, T number, u32 bits) {
    return emulated::shuffled(mask, "__shfl_xor_sync", number, threadIdx.x % WARP ^ bits);
}
template <typename T>
DEVICE T __shfl_sync(u32 mask, T number, u32 lane) {
    return emulated::shuffled(mask, "__shfl_sync", number, lane % WARP);
}
// The lanes at the end, which none lies behind, keep their own.
template <typename T>
DEVICE T __shfl_up_sync(u32 mask, T number, u32 lanes) {
    const u32 lane = threadIdx.x % WARP;
    return emulated::shuffled(mask, "__shfl_up_sync", number, lane < lanes ? lane : lane - lanes);
}
DEVICE u32 __ballot_sync(u32 mask, bool holds) {
    const unsigned char mine = holds;
    const unsigned char* all = emulated::meet_warp(mask, "__ballot_sync", &mine, 1);
    u32 ballot = 0;
    for (u32 lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1 && all[emulated::SLOT * lane]) ballot |= 1u << lane;
    return ballot;
}

DEVICE float __uint_as_float(u32 bits) {
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}
DEVICE u32 __float_as_uint(float number) {
    u32 bits;
    std::memcpy(&bits, &number, 4);
    return bits;
}
DEVICE float __int_as_float(s32 bits) {
    return __uint_as_float(static_cast<u32>(bits));
}
DEVICE s32 __float_as_int(float number) {
    return static_cast<s32>(__float_as_uint(number));
}
DEVICE float rsqrtf(float number) {
    return 1.0f / std::sqrt(number);
}
template <typename T>
DEVICE T min(T a, T b) {
    return a < b ? a : b;
}
template <typename T>
DEVICE T max(T a, T b) {
    return a > b ? a : b;
}
template <typename T>
DEVICE T __ldg(const T* at) {
    return *at;
}

DEVICE float to_float(Half number) {
    return emulated::half_to_float(number.bits);
}
DEVICE Half to_half(float number) {
    return Half{emulated::float_to_half(number)};
}
DEVICE u32 to_halves(float first, float second) {
    return to_half(first).bits | static_cast<u32>(to_half(second).bits) << 16;
}

DEVICE s32 dot4(u32 a, u32 b, s32 sum) {
    for (u32 shift = 0; shift < 32; shift += 8)
        sum += static_cast<s32>(static_cast<s8>(a >> shift)) * static_cast<s8>(b >> shift);
    return sum;
}

DEVICE void multiply_tiles(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    const u32 mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const unsigned char* all = emulated::meet_warp(ALL, "multiply_tiles", mine, sizeof mine);
    const auto half = [&](u32 lane, u32 part, u32 upper) {
        u32 bits;
        std::memcpy(&bits, all + emulated::SLOT * lane + 4 * part, 4);
        return emulated::half_to_float(static_cast<u16>(bits >> 16 * upper));
    };
    const u32 g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    for (u32 i = 0; i < 4; i++) {
        const u32 column = 2 * t + i % 2, lower = i / 2;
        for (u32 k = 0; k < 16; k++) {
            const u32 right = k / 8, pair = k % 8 / 2;
            sum[i] += half(4 * g + pair, 2 * right + lower, k % 2) * half(4 * column + pair, 4 + right, k % 2);
        }
    }
}

DEVICE void load_transposed(u32 (&tiles)[4], const Half* row) {
    const unsigned char* all = emulated::meet_warp(ALL, "load_transposed", &row, sizeof row);
    const u32 g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    for (u32 tile = 0; tile < 4; tile++) {
        u32 both = 0;
        for (u32 i = 0; i < 2; i++) {
            const Half* from;
            std::memcpy(&from, all + emulated::SLOT * (8 * tile + 2 * t + i), sizeof from);
            if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0) emulated::fail("a row is not aligned to 16 bytes");
            both |= static_cast<u32>(from[g].bits) << 16 * i;
        }
        tiles[tile] = both;
    }
    // The rows are read when the last lane has them, as the instruction reads them for all lanes at once.
    emulated::meet_warp(ALL, "load_transposed's end", nullptr, 0);
}

DEVICE void copy_ahead(void* shared, const void* global) {
    emulated::copy_ahead(shared, global);
}
DEVICE void close_copies() {
    emulated::close_copies();
}
template <int pending>
DEVICE void await_copies() {
    emulated::await_copies(pending);
}
