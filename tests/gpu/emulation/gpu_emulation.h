/* A GPU's blocks, threads, warps and shared memory on the CPU, for kernels that g++ compiles
 * (kernels/gpu.h). Every thread of a block is a fiber with a stack of its own, that runs until it
 * meets a barrier. What a GPU leaves open is drawn at random, from TDBG_EMULATED_GPU_SEED: the
 * order of blocks, of threads and warps between two barriers. So a missing barrier shows.
 *
 * What fails, with kernel, block and thread: barriers that not all threads reach, or not the same
 * one; warp operations whose lanes are not all there; shared memory beyond what a block has. Shared
 * memory begins as rubbish in every block, and so does device memory when it is given out. */
#ifndef TDBG_TESTS_GPU_EMULATION_GPU_EMULATION_H
#define TDBG_TESTS_GPU_EMULATION_GPU_EMULATION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utility>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline float2 make_float2(float x, float y)
{
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
static inline int4 make_int4(int x, int y, int z, int w)
{
    return {x, y, z, w};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

/* The thread that runs. */
struct tdbg_emulated_thread {
    dim3 thread, block, block_size, grid_size;
};
extern const struct tdbg_emulated_thread *tdbg_emulated_now;
#define threadIdx (tdbg_emulated_now->thread)
#define blockIdx  (tdbg_emulated_now->block)
#define blockDim  (tdbg_emulated_now->block_size)
#define gridDim   (tdbg_emulated_now->grid_size)

/* What there is to know of a kernel before it can be launched: call(kernel, args) runs one thread.
 */
struct tdbg_emulated_kernel {
    const char *name;
    void (*call)(const void *kernel, void *const *args);
    size_t n_args;
    const uint32_t *arg_bytes; /* (n_args), stays */
};
void tdbg_emulated_know(const void *kernel, const struct tdbg_emulated_kernel &known);

template <typename... Params, size_t... Place>
static inline void tdbg_emulated_call_with(const void *kernel, void *const *args,
                                           std::index_sequence<Place...>)
{
    ((void (*)(Params...))kernel)(*(const Params *)args[Place]...);
}

template <typename... Params>
static inline void tdbg_emulated_call(const void *kernel, void *const *args)
{
    tdbg_emulated_call_with<Params...>(kernel, args, std::index_sequence_for<Params...>());
}

template <typename... Params>
static inline void tdbg_emulated_know_kernel(void (*kernel)(Params...), const char *name)
{
    static const uint32_t bytes[] = {(uint32_t)sizeof(Params)..., 0};
    tdbg_emulated_know((const void *)kernel,
                       {name, tdbg_emulated_call<Params...>, sizeof...(Params), bytes});
}
#define TDBG_GPU_KNOW_KERNEL(kernel, name) tdbg_emulated_know_kernel((kernel), (name))

void *tdbg_emulated_shared(const void *key, size_t bytes);
void *tdbg_emulated_dynamic(size_t bytes);
void tdbg_emulated_block_barrier(const char *file, int line);
/* What every lane of `mask` gave, by lane. */
const uint64_t *tdbg_emulated_exchange(unsigned mask, uint64_t given, const char *file, int line);
int tdbg_emulated_lane(void);

#define TDBG_SHARED(type, name)                                                                    \
    static const char tdbg_key_of_##name = 0;                                                      \
    type &name = *(type *)tdbg_emulated_shared(&tdbg_key_of_##name, sizeof(type))
#define TDBG_SHARED_DYNAMIC(type, name) type &name = *(type *)tdbg_emulated_dynamic(sizeof(type))

#define __syncthreads()                 tdbg_emulated_block_barrier(__FILE__, __LINE__)
#define __syncwarp(...)                 tdbg_emulated_warp_barrier(__FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(mask, value, lane)                                                             \
    tdbg_emulated_shuffle((mask), (value), (int)(lane), __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, lanes)                                                        \
    tdbg_emulated_shuffle((mask), (value), tdbg_emulated_lane() ^ (int)(lanes), __FILE__, __LINE__)
#define __shfl_down_sync(mask, value, lanes)                                                       \
    tdbg_emulated_shuffle((mask), (value),                                                         \
                          tdbg_emulated_lane() + (int)(lanes) < 32                                 \
                              ? tdbg_emulated_lane() + (int)(lanes)                                \
                              : tdbg_emulated_lane(),                                              \
                          __FILE__, __LINE__)
#define __ballot_sync(mask, condition) tdbg_emulated_ballot((mask), (condition), __FILE__, __LINE__)

static inline void tdbg_emulated_warp_barrier(const char *file, int line, unsigned mask = ~0u)
{
    tdbg_emulated_exchange(mask, 0, file, line);
}

template <typename T>
static inline T tdbg_emulated_shuffle(unsigned mask, T value, int from, const char *file, int line)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "what a lane can give");
    uint64_t given = 0;
    memcpy(&given, &value, sizeof value);
    const uint64_t *all = tdbg_emulated_exchange(mask, given, file, line);
    memcpy(&value, &all[from & 31], sizeof value);
    return value;
}

static inline unsigned tdbg_emulated_ballot(unsigned mask, bool condition, const char *file,
                                            int line)
{
    const uint64_t *all = tdbg_emulated_exchange(mask, condition, file, line);
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        bits |= mask >> lane & (unsigned)all[lane] & 1 ? 1u << lane : 0;
    return bits;
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

/* Integers only: an atomic sum of floats has no order. */
template <typename T> static inline T atomicAdd(T *at, T value)
{
    static_assert((T)1 / (T)2 == 0, "integers only");
    const T before = *at;
    *at = before + value;
    return before;
}
template <typename T> static inline T atomicMin(T *at, T value)
{
    static_assert((T)1 / (T)2 == 0, "integers only");
    const T before = *at;
    *at = value < before ? value : before;
    return before;
}
template <typename T> static inline T atomicMax(T *at, T value)
{
    static_assert((T)1 / (T)2 == 0, "integers only");
    const T before = *at;
    *at = value > before ? value : before;
    return before;
}

template <typename T> static inline T __ldg(const T *at)
{
    return *at;
}

#endif
