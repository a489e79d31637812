/* Fibers, barriers, warps and shared memory of an emulated GPU. See gpu_emulation.h. */
#include "gpu_emulation.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "device_memory.h"
#include "graphs.h"
#include "streams.h"

namespace
{

enum { WARP = 32, MAX_THREADS = 1024 };
const size_t STACK_BYTES = 256 << 10, SHARED_BYTES = 227 << 10, STATIC_SHARED_BYTES = 48 << 10;

enum fiber_state { READY, AT_BLOCK_BARRIER, AT_WARP, DONE };

struct fiber {
    struct tdbg_emulated_thread id;
    fiber_state state;
    const char *file; /* of the barrier that it waits at */
    int line;
    unsigned mask;
    uint64_t given, seen[WARP];
    jmp_buf at;
    ucontext_t first;
    char *stack; /* NULL: was never run */
};

struct shared_piece {
    const void *key;
    size_t at, bytes;
};

fiber fibers[MAX_THREADS];
int n_fibers;
fiber *running;
jmp_buf scheduler;
const std::function<void()> *thread_body;
const char *kernel_name;
alignas(128) unsigned char shared_memory[SHARED_BYTES];
std::vector<shared_piece> shared_pieces;
size_t static_shared, dynamic_shared;
uint64_t random_state;

uint32_t random_below(uint32_t n)
{
    if (random_state == 0) {
        const char *seed = getenv("TDBG_EMULATED_GPU_SEED");
        random_state = (seed ? strtoull(seed, NULL, 0) : 1) * 2 + 1;
    }
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 32) * n >> 32);
}

[[noreturn]] void fail(const fiber *f, const char *what)
{
    fprintf(stderr, "emulated GPU: %s", kernel_name);
    if (f)
        fprintf(stderr, ", block (%u, %u, %u), thread (%u, %u, %u)", f->id.block.x, f->id.block.y,
                f->id.block.z, f->id.thread.x, f->id.thread.y, f->id.thread.z);
    fprintf(stderr, ": %s\n", what);
    for (int i = 0, shown = 0; f && i < n_fibers && shown < 8; i++) {
        static const char *const text[] = {"can run", "block barrier", "warp operation", "ended"};
        const fiber *o = &fibers[i];
        if (i > 0 && o->state == fibers[i - 1].state && o->line == fibers[i - 1].line)
            continue; /* as the one before it */
        fprintf(stderr, "  from thread %d on: %s %s:%d\n", i, text[o->state],
                o->file ? o->file : "", o->line);
        shown++;
    }
    abort();
}

void stop_running()
{
    fiber *self = running;
    if (_setjmp(self->at) == 0)
        _longjmp(scheduler, 1);
}

/* A fiber's whole life: one thread's body after another. */
void fiber_main()
{
    for (;;) {
        (*thread_body)();
        running->state = DONE;
        running->file = NULL;
        running->line = 0;
        stop_running();
    }
}

void run(fiber *f)
{
    running = f;
    tdbg_emulated_now = &f->id;
    if (_setjmp(scheduler) != 0)
        return;
    if (f->stack)
        _longjmp(f->at, 1);
    f->stack = (char *)mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->stack == MAP_FAILED)
        fail(NULL, "no memory for stacks");
    getcontext(&f->first);
    f->first.uc_stack.ss_sp = f->stack;
    f->first.uc_stack.ss_size = STACK_BYTES;
    f->first.uc_link = NULL;
    makecontext(&f->first, fiber_main, 0);
    setcontext(&f->first);
}

/* Lets the lanes of f's operation go if all of them are there. */
void try_warp(fiber *f)
{
    const int warp = (int)(f - fibers) / WARP * WARP;
    for (int lane = 0; lane < WARP; lane++) {
        const fiber *o = &fibers[warp + lane];
        if (!(f->mask >> lane & 1))
            continue;
        if (warp + lane >= n_fibers)
            fail(f, "a warp operation names lanes that the block does not have");
        if (o->state == DONE)
            fail(f, "a warp operation names a lane that has ended");
        if (o->state != AT_WARP)
            return;
        if (o->line != f->line || o->mask != f->mask)
            fail(f, "lanes of one warp are at different warp operations");
    }
    for (int lane = 0; lane < WARP; lane++) {
        fiber *o = &fibers[warp + lane];
        if (!(f->mask >> lane & 1))
            continue;
        for (int from = 0; from < WARP; from++)
            o->seen[from] =
                f->mask >> from & 1 ? fibers[warp + from].given : UINT64_C(0x7fa5a5a57fa5a5a5);
        o->state = READY;
    }
}

/* Lets all go if all are at the block's barrier, and says so; says who is missing when nobody can
 * run. */
bool try_block()
{
    const fiber *at = NULL;
    int waiting = 0, ended = 0;
    for (int i = 0; i < n_fibers; i++) {
        const fiber *f = &fibers[i];
        if (f->state == READY)
            return false;
        ended += f->state == DONE;
        if (f->state != AT_BLOCK_BARRIER)
            continue;
        if (at && (at->line != f->line || at->file != f->file))
            fail(f, "threads of one block are at different barriers");
        at = f;
        waiting++;
    }
    if (ended == n_fibers)
        return false;
    if (!at || waiting + ended != n_fibers)
        fail(at ? at : &fibers[0], "a barrier that not all threads reach");
    if (ended > 0)
        fail(at, "some threads end before a barrier that others wait at");
    for (int i = 0; i < n_fibers; i++)
        fibers[i].state = READY;
    return true;
}

/* Warps that wait until the others can do no more, by bit: a warp may be ahead of another by all
 * that lies between two barriers. In every second case none. */
unsigned draw_held_back()
{
    return random_below(2) ? random_below(~0u) : 0;
}

void run_block(dim3 block_index, dim3 grid, dim3 block, size_t dynamic_bytes)
{
    int order[MAX_THREADS];
    for (int i = 0; i < n_fibers; i++) {
        const unsigned u = (unsigned)i;
        fibers[i].id = {dim3(u % block.x, u / block.x % block.y, u / block.x / block.y),
                        block_index, block, grid};
        fibers[i].state = READY;
        order[i] = i;
    }
    shared_pieces.clear();
    static_shared = 0;
    dynamic_shared = dynamic_bytes;
    if (dynamic_bytes > 0)
        memset(shared_memory + SHARED_BYTES - dynamic_bytes, 0xa5, dynamic_bytes);
    unsigned held_back = draw_held_back();
    for (int left = n_fibers; left > 0;) {
        bool any = false;
        for (int i = n_fibers - 1; i > 0; i--)
            std::swap(order[i], order[random_below((uint32_t)i + 1)]);
        for (int i = 0; i < n_fibers; i++) {
            fiber *f = &fibers[order[i]];
            if (f->state != READY || (held_back >> order[i] / WARP & 1))
                continue;
            any = true;
            run(f);
            left -= f->state == DONE;
            if (f->state == AT_WARP)
                try_warp(f);
        }
        if (!any)
            held_back = 0;
        if (try_block())
            held_back = draw_held_back();
    }
}

} // namespace

const struct tdbg_emulated_thread *tdbg_emulated_now;

static void run_kernel(const char *kernel, dim3 grid, dim3 block, size_t dynamic_bytes,
                       const std::function<void()> &thread)
{
    const uint32_t n_blocks = grid.x * grid.y * grid.z;
    kernel_name = kernel;
    n_fibers = (int)(block.x * block.y * block.z);
    thread_body = &thread;
    std::vector<uint32_t> order(n_blocks);
    for (uint32_t i = 0; i < n_blocks; i++) {
        const uint32_t to = random_below(i + 1);
        order[i] = order[to];
        order[to] = i;
    }
    for (uint32_t b : order)
        run_block(dim3(b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y), grid, block,
                  dynamic_bytes);
    tdbg_emulated_now = NULL;
}

/* --- kernels that are known, and launches of them --- */

uint32_t tdbg_emulated_random(uint32_t n)
{
    return random_below(n);
}

static std::unordered_map<const void *, tdbg_emulated_kernel> known_kernels;
static std::unordered_map<const void *, size_t> more_shared; /* that a kernel was promised */

void tdbg_emulated_know(const void *kernel, const tdbg_emulated_kernel &known)
{
    const std::lock_guard<std::recursive_mutex> only(tdbg_emulated_lock());
    known_kernels.emplace(kernel, known);
}

/* Copies of the arguments, at places for any type. */
static std::vector<char> pack(const tdbg_emulated_kernel &known, void *const *args,
                              std::vector<size_t> *places)
{
    const size_t align = alignof(max_align_t);
    size_t bytes = 0;
    for (size_t i = 0; i < known.n_args; i++) {
        places->push_back(bytes);
        bytes += (known.arg_bytes[i] + align - 1) / align * align;
    }
    std::vector<char> packed(bytes);
    for (size_t i = 0; i < known.n_args; i++)
        memcpy(packed.data() + (*places)[i], args[i], known.arg_bytes[i]);
    return packed;
}

bool tdbg_emulated_make_launch(const void *function, dim3 grid, dim3 block, void *const *args,
                               size_t dynamic_bytes, tdbg_emulated_operation *out)
{
    const auto found = known_kernels.find(function);
    if (found == known_kernels.end())
        return false;
    const tdbg_emulated_kernel known = found->second;
    const size_t threads = (size_t)block.x * block.y * block.z;
    kernel_name = known.name;
    if (threads == 0 || threads > MAX_THREADS || dynamic_bytes > SHARED_BYTES || grid.y > 65535 ||
        grid.z > 65535 || grid.x == 0 || grid.y == 0 || grid.z == 0)
        fail(NULL, "a block or grid beyond what a GPU has");
    const auto promised = more_shared.find(function);
    if (dynamic_bytes > (promised == more_shared.end() ? STATIC_SHARED_BYTES : promised->second))
        fail(NULL, "more dynamic shared memory than the kernel was promised");
    std::vector<size_t> places;
    const auto packed = std::make_shared<std::vector<char>>(pack(known, args, &places));
    *out = [=]() {
        std::vector<void *> at;
        for (size_t place : places)
            at.push_back(packed->data() + place);
        run_kernel(known.name, grid, block, dynamic_bytes,
                   [&]() { known.call(function, at.data()); });
        return true;
    };
    return true;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args,
                             size_t shared_bytes, cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> only(tdbg_emulated_lock());
    tdbg_emulated_operation launch;
    if (!tdbg_emulated_make_launch(function, grid, block, args, shared_bytes, &launch))
        return cudaErrorInvalidDeviceFunction;
    if (!tdbg_emulated_stream_is_here(stream))
        fail(NULL, "launched to a stream of another GPU than the thread's");
    tdbg_emulated_put(stream, launch, true);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute, int value)
{
    const std::lock_guard<std::recursive_mutex> only(tdbg_emulated_lock());
    if (known_kernels.count(function) == 0)
        return cudaErrorInvalidDeviceFunction;
    if (value < 0 || (size_t)value > SHARED_BYTES)
        return cudaErrorInvalidValue;
    more_shared[function] = (size_t)value;
    return cudaSuccess;
}

void *tdbg_emulated_shared(const void *key, size_t bytes)
{
    for (const shared_piece &piece : shared_pieces) {
        if (piece.key == key)
            return shared_memory + piece.at;
    }
    const size_t at = (static_shared + 127) / 128 * 128;
    if (at + bytes > STATIC_SHARED_BYTES || at + bytes + dynamic_shared > SHARED_BYTES)
        fail(running, "more shared memory than a block has");
    memset(shared_memory + at, 0xa5, bytes);
    static_shared = at + bytes;
    shared_pieces.push_back({key, at, bytes});
    return shared_memory + at;
}

void *tdbg_emulated_dynamic(size_t bytes)
{
    if (bytes > dynamic_shared)
        fail(running, "more dynamic shared memory than the launch gave");
    return shared_memory + (SHARED_BYTES - dynamic_shared) / 128 * 128;
}

void tdbg_emulated_block_barrier(const char *file, int line)
{
    running->state = AT_BLOCK_BARRIER;
    running->file = file;
    running->line = line;
    stop_running();
}

const uint64_t *tdbg_emulated_exchange(unsigned mask, uint64_t given, const char *file, int line)
{
    fiber *self = running;
    self->state = AT_WARP;
    self->file = file;
    self->line = line;
    self->mask = mask;
    self->given = given;
    if (!(mask >> tdbg_emulated_lane() & 1))
        fail(self, "a warp operation whose mask leaves out the lane itself");
    stop_running();
    return self->seen;
}

int tdbg_emulated_lane(void)
{
    return (int)((running - fibers) % WARP);
}
