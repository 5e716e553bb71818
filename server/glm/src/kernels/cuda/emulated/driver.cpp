// As much of NVIDIA's driver as `driver.rs` calls, over the emulation, so that what goes through the driver can be tested
// where there is none: the same library, found under the driver's name.
//
// Takes calls of the driver's interface by their C names, and what is to go wrong from the environment; gives what a
// driver gives. Streams do everything at once, or record it; what cannot be recorded spoils the recording.

#include "../common.cuh"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

using emulated::Argument;
using emulated::Kernel;

extern "C" {
void* emulated_open();
void* emulated_allocate(void* machine, std::size_t bytes);
void emulated_free(void* machine, void* begin);
int emulated_launch(void* machine, const char* name, const u32 grid[3], u32 threads, const Argument* arguments, u32 count,
                    char* why, std::size_t room);
}

namespace {

// Of the driver's codes.
enum Code : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    UNSUPPORTED_PTX = 222,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
};

void* machine() {
    static void* const only = emulated_open();
    return only;
}

// A number of the environment, or what it is without one.
long said(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
}

thread_local void* current = nullptr;
// What went wrong for good: a context does nothing any more after a kernel has failed.
std::atomic<int> broken{SUCCESS};
std::atomic<long> launches{0};

int state() {
    return current ? broken.load() : INVALID_CONTEXT;
}

// A launch, with its arguments as they were, or a copy, which has no kernel.
struct Node {
    const Kernel* kernel;
    std::array<u32, 3> grid;
    u32 threads;
    std::vector<std::array<unsigned char, 8>> values;
    u64 to, from;
    std::size_t bytes;
};

int run(const Node& node) {
    if (state() != SUCCESS) return state();
    if (!node.kernel) {
        std::memcpy(reinterpret_cast<void*>(node.to), reinterpret_cast<const void*>(node.from), node.bytes);
        return SUCCESS;
    }
    if (launches++ == said("EMULATED_LAUNCHES", -1)) broken = LAUNCH_FAILED;
    if (state() != SUCCESS) return state();
    std::vector<Argument> arguments;
    for (u32 parameter = 0; parameter < node.kernel->parameters; parameter++)
        // The driver knows a parameter's size from the kernel, and its type does not matter.
        for (const Argument& as : {Argument{nullptr, 8, 0}, {nullptr, 8, 1}, {nullptr, 4, 1}, {nullptr, 4, 2}})
            if (node.kernel->fits(parameter, as)) {
                arguments.push_back({node.values[parameter].data(), as.bytes, as.kind});
                break;
            }
    char why[512];
    const u32 count = static_cast<u32>(arguments.size());
    if (emulated_launch(machine(), node.kernel->name, node.grid.data(), node.threads, arguments.data(), count, why,
                        sizeof why)) {
        std::fprintf(stderr, "%s: %s\n", node.kernel->name, why);
        broken = ILLEGAL_ADDRESS;
    }
    return state();
}

// What is being recorded, if anything is, and whether it is spoilt.
struct Capture {
    std::vector<Node> nodes;
    bool is_spoilt = false;
};
std::unique_ptr<Capture> capture;

int ask(Node node) {
    if (!capture) return run(node);
    capture->nodes.push_back(std::move(node));
    return state();
}

// The state, for calls that a recording does not take.
int unrecorded() {
    if (!capture) return state();
    capture->is_spoilt = true;
    return CAPTURE_UNSUPPORTED;
}

}  // namespace

extern "C" {

int cuInit(u32) {
    return SUCCESS;
}
int cuDriverGetVersion(int* version) {
    *version = static_cast<int>(said("EMULATED_CUDA", 13000));
    return SUCCESS;
}
int cuDeviceGetCount(int* count) {
    *count = static_cast<int>(said("EMULATED_GPUS", 1));
    return SUCCESS;
}
int cuDeviceGet(int* device, int number) {
    *device = number;
    return SUCCESS;
}
int cuDeviceGetName(char* name, int room, int) {
    std::snprintf(name, static_cast<std::size_t>(room), "Emulated");
    return SUCCESS;
}
int cuDeviceGetAttribute(int* value, int which, int) {
    // Capability's two parts, and whether memory comes out of pools.
    *value = which == 75 ? static_cast<int>(said("EMULATED_CAPABILITY", 9)) : which == 115 ? said("EMULATED_POOLS", 1) != 0 : 0;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
    *context = machine();
    return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    return SUCCESS;
}
int cuCtxSetCurrent(void* context) {
    current = context;
    return SUCCESS;
}
int cuCtxGetCurrent(void** context) {
    *context = current;
    return SUCCESS;
}
int cuCtxSynchronize() {
    return unrecorded();
}
int cuStreamCreate(void** stream, u32) {
    *stream = machine();
    return state();
}
int cuStreamDestroy_v2(void*) {
    return state();
}
int cuStreamSynchronize(void*) {
    return unrecorded();
}
int cuStreamQuery(void*) {
    return unrecorded();
}
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    *free = *total = static_cast<std::size_t>(said("EMULATED_FREE", 1L << 30));
    return state();
}
int cuMemAlloc_v2(u64* address, std::size_t bytes) {
    if (bytes == 0) return INVALID_VALUE;
    if (const int code = unrecorded()) return code;
    void* begin = bytes < std::size_t{1} << 40 ? emulated_allocate(machine(), bytes) : nullptr;
    *address = reinterpret_cast<u64>(begin);
    return begin ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemAllocAsync(u64* address, std::size_t bytes, void*) {
    return cuMemAlloc_v2(address, bytes);
}
int cuMemFree_v2(u64 address) {
    if (const int code = unrecorded()) return code;
    emulated_free(machine(), reinterpret_cast<void*>(address));
    return SUCCESS;
}
int cuMemFreeAsync(u64 address, void*) {
    return cuMemFree_v2(address);
}
int cuMemcpyHtoDAsync_v2(u64 to, const void* from, std::size_t bytes, void*) {
    const int code = unrecorded();
    if (code == SUCCESS) std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return code;
}
int cuMemcpyDtoHAsync_v2(void* to, u64 from, std::size_t bytes, void*) {
    const int code = unrecorded();
    if (code == SUCCESS) std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return code;
}
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, std::size_t bytes, void*) {
    return ask({nullptr, {}, 0, {}, to, from, bytes});
}
int cuModuleLoadData(void** module, const void* text) {
    if (said("EMULATED_OLD_COMPILER", 0)) return UNSUPPORTED_PTX;
    if (!std::strstr(static_cast<const char*>(text), ".target sm_80")) return INVALID_VALUE;
    *module = machine();
    return state();
}
int cuModuleUnload(void*) {
    return state();
}
int cuModuleGetFunction(void** function, void*, const char* name) {
    const Kernel* kernel = emulated::find(name);
    *function = const_cast<Kernel*>(kernel);
    return kernel ? state() : NOT_FOUND;
}
int cuLaunchKernel(void* function, u32 x, u32 y, u32 z, u32 threads, u32 more, u32 most, u32 shared, void*, void** values,
                   void**) {
    if (state() != SUCCESS) return state();
    if (more != 1 || most != 1 || shared != 0) return INVALID_VALUE;
    const auto* kernel = static_cast<const Kernel*>(function);
    Node node{kernel, {x, y, z}, threads, {}, 0, 0, 0};
    for (u32 parameter = 0; parameter < kernel->parameters; parameter++) {
        std::array<unsigned char, 8> value{};
        const Argument wide[] = {{nullptr, 8, 0}, {nullptr, 8, 1}};
        const bool is_wide = kernel->fits(parameter, wide[0]) || kernel->fits(parameter, wide[1]);
        std::memcpy(value.data(), values[parameter], is_wide ? 8 : 4);
        node.values.push_back(value);
    }
    return ask(std::move(node));
}
int cuStreamBeginCapture_v2(void*, int) {
    if (said("EMULATED_GRAPHS", 1) == 0) return NOT_SUPPORTED;
    if (const int code = unrecorded()) return code;
    capture = std::make_unique<Capture>();
    return SUCCESS;
}
int cuStreamEndCapture(void*, void** graph) {
    if (!capture) return INVALID_VALUE;
    const std::unique_ptr<Capture> mine = std::move(capture);
    *graph = nullptr;
    if (mine->is_spoilt) return CAPTURE_INVALIDATED;
    *graph = new std::vector<Node>(std::move(mine->nodes));
    return state();
}
int cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long) {
    *ready = new std::vector<Node>(*static_cast<const std::vector<Node>*>(graph));
    return state();
}
int cuGraphLaunch(void* ready, void*) {
    if (const int code = unrecorded()) return code;
    const auto& nodes = *static_cast<const std::vector<Node>*>(ready);
    if (said("EMULATED_TELLS", 0)) std::fprintf(stderr, "a graph of %zu after %ld launches\n", nodes.size(), launches.load());
    // What goes wrong in it is told later, as a driver tells it.
    for (const Node& node : nodes)
        if (run(node) != SUCCESS) break;
    return SUCCESS;
}
int cuGraphExecDestroy(void* ready) {
    delete static_cast<std::vector<Node>*>(ready);
    return state();
}
int cuGraphDestroy(void* graph) {
    delete static_cast<std::vector<Node>*>(graph);
    return state();
}
int cuGetErrorName(int, const char** name) {
    *name = "EMULATED";
    return SUCCESS;
}
int cuGetErrorString(int, const char** words) {
    *words = "an emulated error";
    return SUCCESS;
}

}  // extern "C"
