// The next token of each row of logits: the greatest, or one drawn by a number, with its logarithm of the probability and
// that of the best other one, so that no row of logits has to leave the device. What is chosen is what `choice.rs` of this
// crate chooses where all tokens are allowed. Bound by the bytes of the logits, read once by many blocks; drawing goes over
// them again and again with one block, some 30 times if only the likeliest count, and from the second-level cache.

#include "common.cuh"

namespace choose_cu {

constexpr u32 THREADS = 256;
constexpr u32 WARPS = THREADS / WARP;
// Logits of a thread and of a block in the first kernel.
constexpr u32 EACH = 16;
constexpr u32 PART = THREADS * EACH;
// No token.
constexpr u32 NONE = 0xffffffffu;

// What a part of a row comes to: its greatest logit and that one's id, the greatest of the others (−∞ if there is none), and
// Σ e^(logit − greatest).
struct Best {
    float logit;
    u32 id;
    float second, sum;
};

// How the token of a row is chosen. With a temperature of 0 it is the greatest.
struct Draw {
    double number;
    float temperature, top_p;
};

// The token chosen, NONE where no logit is finite, its logarithm of the probability, and that of the best other one.
struct Choice {
    u32 id;
    float logprob, runner_up;
    u32 spare;
};

DEVICE bool is_finite(float number) {
    return (__float_as_uint(number) & 0x7fffffffu) < 0x7f800000u;
}

// Whether the first is better: greater, or as great and of a smaller id.
DEVICE bool is_better(float logit, u32 id, float than_logit, u32 than_id) {
    return logit > than_logit || (logit == than_logit && id < than_id);
}

// The best and the second of two sets that have nothing in common.
DEVICE void join(Best& mine, float logit, u32 id, float second) {
    if (is_better(logit, id, mine.logit, mine.id)) {
        mine.second = fmaxf(mine.logit, second);
        mine.logit = logit, mine.id = id;
    } else {
        mine.second = fmaxf(mine.second, logit);
    }
}

// The best and the second of what the threads of the block have, for all of them. `all` is room for one a warp.
DEVICE void block_best(Best& mine, Best* all) {
    UNROLL for (u32 apart = WARP / 2; apart > 0; apart /= 2) {
        const float logit = __shfl_xor_sync(ALL, mine.logit, apart), second = __shfl_xor_sync(ALL, mine.second, apart);
        join(mine, logit, __shfl_xor_sync(ALL, mine.id, apart), second);
    }
    if (lane_index() == 0) all[warp_index()] = mine;
    __syncthreads();
    mine = all[0];
    UNROLL for (u32 warp = 1; warp < WARPS; warp++) join(mine, all[warp].logit, all[warp].id, all[warp].second);
}

// What each part of each row (rows, vocabulary) comes to. Grid: (parts, rows).
KERNEL(choose_parts, THREADS)(const float* logits, u32 vocabulary, Best* out) {
    SHARED(Best, bests, WARPS);
    SHARED(float, sums, WARPS);
    const float* row = logits + static_cast<u64>(blockIdx.y) * vocabulary;
    float numbers[EACH];
    Best best = {lowest(), NONE, lowest(), 0.0f};
    UNROLL for (u32 at = 0; at < EACH; at++) {
        const u32 place = blockIdx.x * PART + at * THREADS + threadIdx.x;
        numbers[at] = place < vocabulary ? row[place] : lowest();
        // What is no number is greater than nothing.
        if (numbers[at] > best.second) join(best, numbers[at], place, lowest());
    }
    block_best(best, bests);
    float sum = 0.0f;
    // If nothing is finite here, the differences are no numbers, and nobody asks for them.
    UNROLL for (u32 at = 0; at < EACH; at++) sum += numbers[at] == lowest() ? 0.0f : expf(numbers[at] - best.logit);
    best.sum = block_sum<THREADS>(sum, sums);
    if (threadIdx.x == 0) out[static_cast<u64>(blockIdx.y) * gridDim.x + blockIdx.x] = best;
}
EXPORT(choose_parts)

// Sums over the block in one order, in 64 bits.
DEVICE double block_total(double number, double* parts) {
    // The room may still be read from the last time.
    __syncthreads();
    UNROLL for (u32 apart = WARP / 2; apart > 0; apart /= 2) number += __shfl_xor_sync(ALL, number, apart);
    if (lane_index() == 0) parts[warp_index()] = number;
    __syncthreads();
    double sum = 0.0;
    UNROLL for (u32 warp = 0; warp < WARPS; warp++) sum += parts[warp];
    return sum;
}

// The numbers of the threads before this one, added in their order.
DEVICE double total_before(double number, double* all) {
    __syncthreads();
    all[threadIdx.x] = number;
    __syncthreads();
    double sum = 0.0;
    for (u32 thread = 0; thread < threadIdx.x; thread++) sum += all[thread];
    return sum;
}

// How likely all tokens are beside the likeliest, which has 1.
struct Candidates {
    const float* weights;
    u32 count;

    // The weights of all that weigh at least so much.
    MEMBER double heavier(float least, double* parts) const {
        double sum = 0.0;
        for (u32 at = threadIdx.x; at < count; at += THREADS)
            if (weights[at] >= least) sum += weights[at];
        return block_total(sum, parts);
    }
};

// The candidate that the draw hits: the likeliest ones that together have the probability `top_p` (at least one,
// and of equals those of smaller ids) lie one behind the other in the order of their ids, each as long as it is likely,
// and the number is a place there.
DEVICE u32 drawn(const Candidates& all, const Draw& draw) {
    SHARED(double, parts, WARPS);
    SHARED(double, of_threads, THREADS);
    SHARED(u32, found, THREADS);
    SHARED(u32, last, THREADS);
    // What counts weighs more than `floor`, or as much and is one of the first `equals` of those.
    float floor = 0.0f;
    double equals = 0.0;
    if (draw.top_p < 1.0f) {
        const double enough = static_cast<double>(draw.top_p) * all.heavier(0.0f, parts);
        // The heaviest weighs 1, and floats from 0 to 1 are ordered as their bits: halve what lies between.
        u32 low = 0, high = __float_as_uint(1.0f);
        while (low < high) {
            const u32 middle = low + (high - low + 1) / 2;
            if (all.heavier(__uint_as_float(middle), parts) >= enough) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        floor = __uint_as_float(low);
        if (low > 0) {
            const double above = all.heavier(__uint_as_float(low + 1), parts);
            equals = fmax(ceil((enough - above) / floor), 1.0);
        }
    }
    // A run of candidates a thread, so that runs are in the order of ids.
    const u32 run = (all.count + THREADS - 1) / THREADS;
    const u32 first = min(threadIdx.x * run, all.count), end = min(first + run, all.count);
    double heavier = 0.0, equal = 0.0;
    for (u32 at = first; at < end; at++) {
        const float weight = all.weights[at];
        if (weight > floor) heavier += weight;
        if (weight == floor) equal += 1.0;
    }
    double to_take = fmin(fmax(equals - total_before(equal, of_threads), 0.0), equal);
    const double mine = heavier + to_take * floor;
    const double passed = total_before(mine, of_threads);
    double left = draw.number * block_total(mine, parts) - passed;
    u32 hit = NONE, behind = NONE;
    for (u32 at = first; at < end && hit == NONE; at++) {
        const float weight = all.weights[at];
        if (weight < floor || weight == 0.0f || (weight == floor && to_take <= 0.0)) continue;
        if (weight == floor) to_take -= 1.0;
        behind = at;
        left -= weight;
        if (left < 0.0) hit = at;
    }
    found[threadIdx.x] = hit;
    last[threadIdx.x] = behind;
    __syncthreads();
    // Sums are rounded, so that the last place may lie behind all of them: then it is the last that counts.
    hit = behind = NONE;
    for (u32 thread = 0; thread < THREADS; thread++) {
        if (hit == NONE) hit = found[thread];
        if (last[thread] != NONE) behind = last[thread];
    }
    return hit == NONE ? behind : hit;
}

// The choice of each row, whose parts have been looked at. `weights` is room for as many numbers as there are logits, of use
// where a token is drawn. A block a row.
KERNEL(choose, THREADS)(const float* logits, u32 vocabulary, const Best* parts, u32 part_count, const Draw* draws,
                        float* weights, Choice* out) {
    SHARED(Best, bests, WARPS);
    SHARED(float, sums, WARPS);
    const float* row = logits + static_cast<u64>(blockIdx.x) * vocabulary;
    parts += static_cast<u64>(blockIdx.x) * part_count;
    const Draw draw = draws[blockIdx.x];

    Best best = {lowest(), NONE, lowest(), 0.0f};
    for (u32 at = threadIdx.x; at < part_count; at += THREADS) join(best, parts[at].logit, parts[at].id, parts[at].second);
    block_best(best, bests);
    float sum = 0.0f;
    for (u32 at = threadIdx.x; at < part_count; at += THREADS)
        sum += parts[at].logit == lowest() ? 0.0f : parts[at].sum * expf(parts[at].logit - best.logit);
    const float logarithm = best.logit + logf(block_sum<THREADS>(sum, sums));

    u32 chosen = best.id;
    if (!is_finite(best.logit)) {
        chosen = NONE;
    } else if (draw.temperature != 0.0f) {
        float* of_row = weights + static_cast<u64>(blockIdx.x) * vocabulary;
        for (u32 id = threadIdx.x; id < vocabulary; id += THREADS)
            of_row[id] = is_finite(row[id]) ? expf((row[id] - best.logit) / draw.temperature) : 0.0f;
        __syncthreads();
        chosen = drawn({of_row, vocabulary}, draw);
    }
    if (threadIdx.x != 0) return;
    if (chosen == NONE) {
        out[blockIdx.x] = {NONE, 0.0f, 0.0f, 0};
        return;
    }
    const float logprob = row[chosen] - logarithm, other = chosen == best.id ? best.second : best.logit;
    out[blockIdx.x] = {chosen, logprob, other - row[chosen] + logprob, 0};
}
EXPORT(choose)

}  // namespace choose_cu
