// Runs launches of emulated kernels: memory with guards, blocks one after another, threads as fibers.
//
// Takes what `emulated_*` below say, from Rust by `dlopen`; gives 0, or 1 and words that say what the kernel did wrong.
// Nothing is shared between two machines, so that tests run side by side.

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include "../common.cuh"

namespace emulated {
namespace {

constexpr unsigned char POISON = 0xff;
constexpr std::size_t ALIGNMENT = 16;
constexpr std::size_t STACK = 128 << 10;
constexpr u32 MOST_THREADS = 1024;
constexpr std::size_t MOST_SHARED = 48 << 10;

const Kernel* kernels = nullptr;

std::size_t page() {
    static const std::size_t size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

// Bytes that end, but for at most 15, where a page begins that nobody may touch; before the first page lies another such.
class Memory {
public:
    explicit Memory(std::size_t size) : size(size) {
        room = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        pages = (room + page() - 1) / page() * page();
        void* got = mmap(nullptr, pages + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (got == MAP_FAILED) return;
        whole = static_cast<unsigned char*>(got);
        if (pages > 0 && mprotect(whole + page(), pages, PROT_READ | PROT_WRITE) != 0) {
            munmap(whole, pages + 2 * page());
            whole = nullptr;
            return;
        }
        poison();
    }
    ~Memory() {
        if (whole) munmap(whole, pages + 2 * page());
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    void poison() { std::memset(whole + page(), POISON, pages); }
    unsigned char* begin() const { return whole + page() + pages - room; }
    bool exists() const { return whole != nullptr; }
    bool is_near(const unsigned char* at) const { return whole <= at && at < whole + pages + 2 * page(); }
    // Bytes from the beginning; negative before it.
    long offset(const unsigned char* at) const { return at - begin(); }
    // Where somebody wrote beside the bytes that there are, if anywhere.
    const unsigned char* overwritten() const {
        for (const unsigned char* at = whole + page(); at < begin(); at++)
            if (*at != POISON) return at;
        for (const unsigned char* at = begin() + size; at < begin() + room; at++)
            if (*at != POISON) return at;
        return nullptr;
    }

    const std::size_t size;

private:
    std::size_t room = 0, pages = 0;
    unsigned char* whole = nullptr;
};

// Fibers.

#if defined(__x86_64__)
struct Context {
    void* stack = nullptr;
};
// Keeps the registers that a call has to keep on the one stack and takes them from the other.
asm(R"(
.text
.local emulated_switch
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
extern "C" void emulated_switch(Context* from, Context* to);
void prepare(Context& context, unsigned char* stack, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + STACK - 64);
    *--top = nullptr;  // where entry would return to; it does not
    *--top = reinterpret_cast<void*>(entry);
    for (int kept = 0; kept < 6; kept++) *--top = nullptr;
    context.stack = top;
}
void change(Context& from, Context& to) {
    emulated_switch(&from, &to);
}
#else
struct Context {
    ucontext_t registers;
};
void prepare(Context& context, unsigned char* stack, void (*entry)()) {
    getcontext(&context.registers);
    context.registers.uc_stack.ss_sp = stack;
    context.registers.uc_stack.ss_size = STACK;
    context.registers.uc_link = nullptr;
    makecontext(&context.registers, entry, 0);
}
void change(Context& from, Context& to) {
    swapcontext(&from.registers, &to.registers);
}
#endif

enum class State { Ready, Waiting, Done };

struct Copy {
    unsigned char* to;
    const unsigned char* from;
    unsigned group;
};

struct Warp {
    u32 arrived = 0, mask = 0, generation = 0;
    const char* what = nullptr;
    alignas(16) unsigned char slots[2][WARP][SLOT];
};

struct Fiber {
    Context context;
    State state;
    // What it waits for, for the message of one that waits for ever.
    const char* waits;
    Place place;
    u32 number;
    unsigned group;
    std::deque<Copy> copies;
};

struct Machine {
    // Whoever allocates, frees or launches has it.
    std::mutex mutex;
    std::vector<std::unique_ptr<Memory>> buffers;
    std::map<const void*, std::unique_ptr<Memory>> shared;
    unsigned launches = 0;
};

// A launch, and where its fibers are.
struct Launch {
    Machine* machine;
    const Kernel* kernel;
    const Argument* arguments;
    std::vector<Warp> warps;
    u32 threads, arrived, done;
    // What the block has asked for so far.
    std::vector<const void*> shared;
    Fiber* running = nullptr;
    Context scheduler;
    std::string why;
    sigjmp_buf end;
};

thread_local Launch* launch = nullptr;

// Fibers and their stacks, kept from one launch of this thread to the next.
struct Pool {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<unsigned char*> stacks;
    ~Pool() {
        for (unsigned char* stack : stacks) munmap(stack - page(), STACK + page());
    }
    void grow(u32 count) {
        while (stacks.size() < count) {
            void* got = mmap(nullptr, STACK + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (got == MAP_FAILED || mprotect(got, page(), PROT_NONE) != 0) fail("there is no memory for the stacks");
            stacks.push_back(static_cast<unsigned char*>(got) + page());
            fibers.push_back(std::make_unique<Fiber>());
        }
    }
};
thread_local Pool pool;

void run_thread() {
    launch->kernel->call(launch->arguments);
    launch->running->state = State::Done;
    launch->done++;
    change(launch->running->context, launch->scheduler);
}

void wait(const char* what) {
    Fiber* fiber = launch->running;
    fiber->state = State::Waiting;
    fiber->waits = what;
    change(fiber->context, launch->scheduler);
}

std::string at(const Place& place) {
    char text[128];
    std::snprintf(text, sizeof text, "thread %u of block (%u, %u, %u)", place.thread.x, place.block.x, place.block.y,
                  place.block.z);
    return text;
}

// Says what lies at the address that a kernel may not touch.
std::string whose(const unsigned char* address) {
    char text[128];
    const auto say = [&](const Memory& memory, const char* kind) {
        std::snprintf(text, sizeof text, "byte %ld of %s of %zu bytes", memory.offset(address), kind, memory.size);
        return std::string(text);
    };
    for (const auto& buffer : launch->machine->buffers)
        if (buffer->is_near(address)) return say(*buffer, "a buffer");
    for (const auto& [key, memory] : launch->machine->shared)
        if (memory->is_near(address)) return say(*memory, "shared memory");
    std::snprintf(text, sizeof text, "address %p, where nothing is", static_cast<const void*>(address));
    return text;
}

struct sigaction other_fault, other_trap;

// A kernel's access to a guard page and its illegal instruction end the launch, any other goes to whom it went before.
void on_fault(int signal, siginfo_t* info, void* context) {
    if (launch && launch->running) {
        launch->why = at(launch->running->place);
        if (signal == SIGILL) {
            launch->why += " touched memory that is not aligned";
        } else {
            launch->why += " touched " + whose(static_cast<const unsigned char*>(info->si_addr));
        }
        siglongjmp(launch->end, 1);
    }
    const struct sigaction& other = signal == SIGILL ? other_trap : other_fault;
    if (other.sa_flags & SA_SIGINFO && other.sa_sigaction) return other.sa_sigaction(signal, info, context);
    sigaction(signal, &other, nullptr);
}

void watch_faults() {
    static const bool once = [] {
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        // On the thread's other stack, since a fiber's own may be what is used up.
        action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        return sigaction(SIGSEGV, &action, &other_fault) == 0 && sigaction(SIGILL, &action, &other_trap) == 0;
    }();
    if (!once) fail("faults cannot be watched");
}

// One block. A warp goes on until it has to wait for another one, and warps and lanes take turns in the order of their
// numbers or against it: so they are as far apart as barriers let them be, and one that is missing shows.
void run_block(uint3 block, uint3 block_size, uint3 grid_size, bool backwards) {
    launch->warps.assign((launch->threads + WARP - 1) / WARP, Warp());
    launch->arrived = launch->done = 0;
    launch->shared.clear();
    for (u32 number = 0; number < launch->threads; number++) {
        Fiber& fiber = *pool.fibers[number];
        fiber.state = State::Ready;
        fiber.number = number;
        fiber.place = {{number, 0, 0}, block, block_size, grid_size};
        fiber.group = 0;
        fiber.copies.clear();
        prepare(fiber.context, pool.stacks[number], run_thread);
    }
    const u32 warps = static_cast<u32>(launch->warps.size());
    while (launch->done < launch->threads) {
        bool moved = false;
        for (u32 turn = 0; turn < warps; turn++) {
            const u32 first = (backwards ? warps - 1 - turn : turn) * WARP;
            for (bool again = true; again;) {
                again = false;
                for (u32 lane = 0; lane < WARP; lane++) {
                    Fiber& fiber = *pool.fibers[first + (backwards ? WARP - 1 - lane : lane)];
                    if (fiber.state != State::Ready) continue;
                    moved = again = true;
                    launch->running = &fiber;
                    place = &fiber.place;
                    change(launch->scheduler, fiber.context);
                    launch->running = nullptr;
                }
            }
        }
        if (moved) continue;
        for (u32 number = 0; number < launch->threads; number++) {
            const Fiber& fiber = *pool.fibers[number];
            if (fiber.state != State::Waiting) continue;
            launch->why = at(fiber.place) + " waits for ever at " + fiber.waits;
            siglongjmp(launch->end, 1);
        }
    }
    for (const void* key : launch->shared)
        if (const unsigned char* byte = launch->machine->shared[key]->overwritten()) {
            launch->why = "a thread wrote " + whose(byte);
            siglongjmp(launch->end, 1);
        }
}

}  // namespace

thread_local const Place* place = nullptr;

void add(Kernel* kernel) {
    kernel->next = kernels;
    kernels = kernel;
}

const Kernel* find(const char* name) {
    const Kernel* kernel = kernels;
    while (kernel && std::strcmp(kernel->name, name) != 0) kernel = kernel->next;
    return kernel;
}

void fail(const char* why) {
    launch->why = launch->running ? at(launch->running->place) + ": " + why : why;
    siglongjmp(launch->end, 1);
}

void meet_block() {
    if (++launch->arrived < launch->threads) return wait("a barrier of the block");
    launch->arrived = 0;
    for (u32 number = 0; number < launch->threads; number++) {
        Fiber& fiber = *pool.fibers[number];
        if (&fiber != launch->running && fiber.waits != std::string("a barrier of the block"))
            fail("the block meets at a barrier while a warp meets elsewhere");
        fiber.state = State::Ready;
    }
}

const unsigned char* meet_warp(u32 mask, const char* what, const void* brought, std::size_t bytes) {
    const u32 number = launch->running->number, lane = number % WARP;
    Warp& warp = launch->warps[number / WARP];
    if (!(mask >> lane & 1)) fail("a lane is not in its own mask");
    if (warp.arrived == 0) {
        warp.mask = mask;
        warp.what = what;
    } else if (warp.mask != mask || std::strcmp(warp.what, what) != 0) {
        fail("lanes of one warp meet at different places");
    }
    // Who goes on first may come to the next meeting before the others have read, and finds the other slots there.
    unsigned char(*slots)[SLOT] = warp.slots[warp.generation % 2];
    if (bytes > 0) std::memcpy(slots[lane], brought, bytes);
    warp.arrived |= 1u << lane;
    if (warp.arrived != mask) {
        wait(what);
    } else {
        warp.arrived = 0;
        warp.generation++;
        for (u32 other = 0; other < WARP; other++)
            if (mask >> other & 1) pool.fibers[number / WARP * WARP + other]->state = State::Ready;
    }
    return slots[0];
}

void* shared(const void* key, std::size_t bytes) {
    auto& memories = launch->machine->shared;
    for (const void* known : launch->shared)
        if (known == key) return memories[key]->begin();
    auto& memory = memories[key];
    if (!memory) memory = std::make_unique<Memory>(bytes);
    if (!memory->exists()) fail("there is no memory for what is shared");
    memory->poison();
    launch->shared.push_back(key);
    std::size_t all = 0;
    for (const void* known : launch->shared) all += memories[known]->size;
    if (all > MOST_SHARED) fail("the block shares more than 48 KiB");
    return memory->begin();
}

void copy_ahead(void* to, const void* from) {
    if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
        fail("a copy is not aligned to 16 bytes");
    Fiber& fiber = *launch->running;
    auto* target = static_cast<unsigned char*>(to);
    std::memset(target, POISON, 16);
    fiber.copies.push_back({target, static_cast<const unsigned char*>(from), fiber.group});
}

void close_copies() {
    launch->running->group++;
}

void await_copies(unsigned pending) {
    Fiber& fiber = *launch->running;
    while (!fiber.copies.empty() && fiber.copies.front().group + pending < fiber.group) {
        const Copy copy = fiber.copies.front();
        fiber.copies.pop_front();
        std::memcpy(copy.to, copy.from, 16);
    }
}

float half_to_float(u16 bits) {
    const u32 sign = static_cast<u32>(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    if (exponent == 0) {
        const float size = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -size : size;
    }
    const u32 wide = exponent == 31 ? 0x7f800000 : (exponent + 112) << 23;
    return __uint_as_float(sign | wide | fraction << 13);
}

u16 float_to_half(float number) {
    const u32 bits = __float_as_uint(number);
    const u16 sign = static_cast<u16>(bits >> 16 & 0x8000);
    const float size = std::fabs(number);
    if (std::isnan(number)) return sign | 0x7e00;
    // Halfway to the number after the largest is rounded up, to infinity.
    if (size >= 65520.0f) return sign | 0x7c00;
    // Adding a number whose last place is that of the result rounds to it, to even as the processor does.
    if (size < 0x1p-14f) return sign | static_cast<u16>(__float_as_uint(size + 0.5f) - __float_as_uint(0.5f));
    const u32 rest = bits & 0x7fffffff, last = rest >> 13 & 1;
    return sign | static_cast<u16>((rest + 0xfff + last - (112u << 23)) >> 13);
}

}  // namespace emulated

using namespace emulated;

extern "C" {

void* emulated_open() {
    return new Machine();
}

void emulated_close(void* machine) {
    delete static_cast<Machine*>(machine);
}

// Poisoned bytes; null if there is no room.
void* emulated_allocate(void* machine, std::size_t bytes) {
    auto memory = std::make_unique<Memory>(bytes);
    if (!memory->exists()) return nullptr;
    void* begin = memory->begin();
    auto& mine = *static_cast<Machine*>(machine);
    const std::lock_guard<std::mutex> lock(mine.mutex);
    mine.buffers.push_back(std::move(memory));
    return begin;
}

void emulated_free(void* machine, void* begin) {
    auto& mine = *static_cast<Machine*>(machine);
    const std::lock_guard<std::mutex> lock(mine.mutex);
    for (auto buffer = mine.buffers.begin(); buffer != mine.buffers.end(); buffer++)
        if ((*buffer)->begin() == begin) {
            mine.buffers.erase(buffer);
            return;
        }
}

int emulated_launch(void* machine, const char* name, const u32 grid[3], u32 threads, const Argument* arguments,
                    u32 count, char* why, std::size_t room) {
    Launch mine{};
    mine.machine = static_cast<Machine*>(machine);
    mine.arguments = arguments;
    mine.threads = threads;
    // Held by hand, since a jump out of a kernel runs no destructors.
    mine.machine->mutex.lock();
    launch = &mine;
    volatile int failed = 1;
    if (sigsetjmp(mine.end, 1) == 0) {
        mine.kernel = find(name);
        if (!mine.kernel) fail("there is no such kernel");
        if (threads != mine.kernel->threads || threads > MOST_THREADS || threads % WARP != 0)
            fail("the block does not have as many threads as the kernel says, or they are not whole warps");
        if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || grid[1] > 65535 || grid[2] > 65535)
            fail("there is no such grid");
        if (count != mine.kernel->parameters) fail("the kernel has another number of parameters");
        for (u32 parameter = 0; parameter < count; parameter++)
            if (!mine.kernel->fits(parameter, arguments[parameter])) {
                static thread_local char text[64];
                std::snprintf(text, sizeof text, "parameter %u has another type", parameter);
                fail(text);
            }
        watch_faults();
        pool.grow(threads);
        bool backwards = mine.machine->launches++ % 2 != 0;
        for (u32 z = 0; z < grid[2]; z++)
            for (u32 y = 0; y < grid[1]; y++)
                for (u32 x = 0; x < grid[0]; x++) {
                    run_block({x, y, z}, {threads, 1, 1}, {grid[0], grid[1], grid[2]}, backwards);
                    backwards = !backwards;
                }
        for (const auto& buffer : mine.machine->buffers)
            if (const unsigned char* byte = buffer->overwritten()) {
                mine.why = "a thread wrote " + whose(byte);
                siglongjmp(mine.end, 1);
            }
        failed = 0;
    }
    launch = nullptr;
    place = nullptr;
    mine.machine->mutex.unlock();
    if (failed) std::snprintf(why, room, "%s", mine.why.c_str());
    return failed;
}

}  // extern "C"
