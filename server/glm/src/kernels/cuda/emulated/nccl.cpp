// As much of NVIDIA's NCCL as `driver/nccl.rs` calls, over the emulation: the same library, found under NCCL's name.
//
// Takes calls of NCCL's interface by their C names, and what is to go wrong from the environment; gives what NCCL gives.
// Streams of the emulated driver do everything at once, so a sum is made when its group ends.

#include "../common.cuh"

#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

// Of NCCL's codes, types and operations.
enum Code : int { SUCCESS = 0, INTERNAL_ERROR = 3, INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };
constexpr int FLOAT32 = 7, SUM = 0;

long said(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
}

// The GPUs that were joined, and how many of them still are.
struct Clique {
    int size, left;
};
struct Communicator {
    Clique* clique;
    int rank;
};

// A GPU's part of a sum.
struct Part {
    const Communicator* communicator;
    const float* from;
    float* to;
    std::size_t count;
};
std::vector<Part> group;
bool is_open = false;
long sums = 0;

int add_up() {
    if (group.empty()) return SUCCESS;
    const Clique* clique = group[0].communicator->clique;
    if (static_cast<int>(group.size()) != clique->size) return INVALID_USAGE;
    std::vector<float> sum(group[0].count);
    for (std::size_t rank = 0; rank < group.size(); rank++) {
        const Part& part = group[rank];
        // A real one would wait for ever.
        if (part.communicator->clique != clique || part.communicator->rank != static_cast<int>(rank)) return INVALID_USAGE;
        if (part.count != sum.size()) return INVALID_USAGE;
        for (std::size_t i = 0; i < sum.size(); i++) sum[i] += part.from[i];
    }
    if (sums++ == said("EMULATED_SUMS", -1)) return INTERNAL_ERROR;
    if (said("EMULATED_WRONG_SUM", 0)) sum[0] += 1.0f;
    for (const Part& part : group) std::memcpy(part.to, sum.data(), sum.size() * sizeof(float));
    return SUCCESS;
}

}  // namespace

extern "C" {

int ncclCommInitAll(Communicator** communicators, int count, const int* devices) {
    if (said("EMULATED_UNJOINED", 0)) return INTERNAL_ERROR;
    auto* clique = new Clique{count, count};
    for (int rank = 0; rank < count; rank++) {
        for (int other = 0; other < rank; other++)
            if (devices[other] == devices[rank]) return INVALID_USAGE;
        communicators[rank] = new Communicator{clique, rank};
    }
    return SUCCESS;
}
int ncclGroupStart() {
    if (is_open) return INVALID_USAGE;
    is_open = true;
    return SUCCESS;
}
int ncclAllReduce(const void* from, void* to, std::size_t count, int type, int operation, Communicator* communicator,
                  void* stream) {
    if (!is_open || type != FLOAT32 || operation != SUM || !stream) return INVALID_ARGUMENT;
    group.push_back({communicator, static_cast<const float*>(from), static_cast<float*>(to), count});
    return SUCCESS;
}
int ncclGroupEnd() {
    if (!is_open) return INVALID_USAGE;
    is_open = false;
    const int code = add_up();
    group.clear();
    return code;
}
int ncclCommGetAsyncError(Communicator* communicator, int* code) {
    if (!communicator) return INVALID_ARGUMENT;
    *code = SUCCESS;
    return SUCCESS;
}
int ncclCommAbort(Communicator* communicator) {
    if (--communicator->clique->left == 0) delete communicator->clique;
    delete communicator;
    return SUCCESS;
}
const char* ncclGetErrorString(int) {
    return "an emulated error of NCCL";
}

}  // extern "C"
