/* What a tensor's elements are in a GPU's memory: f32, or bf16 where the engine keeps activations
 * in 16 bits (bf16_entries.h). Kernels that are templates over one of these read and write elements
 * with the functions here and compute in f32, so that both forms give the same values: those of
 * bf16 are what tdbg_bf16_round_bits() makes of the others. Included by .cu files behind gpu.h. */
#ifndef TDBG_KERNELS_GPU_ELEM_H
#define TDBG_KERNELS_GPU_ELEM_H

#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16.h"
}

struct tdbg_gpu_bf16 {
    uint16_t bits;
};

/* Four neighbours, at a multiple of their size. */
struct alignas(8) tdbg_gpu_bf16_quad {
    struct tdbg_gpu_bf16 of[4];
};

static __device__ __forceinline__ float tdbg_gpu_get(const float *x)
{
    return *x;
}

static __device__ __forceinline__ float tdbg_gpu_get(const struct tdbg_gpu_bf16 *x)
{
    return tdbg_strict_float((uint32_t)x->bits << 16);
}

/* The same of memory that nobody writes while the kernel runs. */
static __device__ __forceinline__ float tdbg_gpu_get_const(const float *x)
{
    return __ldg(x);
}

static __device__ __forceinline__ float tdbg_gpu_get_const(const struct tdbg_gpu_bf16 *x)
{
    return tdbg_strict_float((uint32_t)__ldg(&x->bits) << 16);
}

static __device__ __forceinline__ void tdbg_gpu_put(float *y, float value)
{
    *y = value;
}

static __device__ __forceinline__ void tdbg_gpu_put(struct tdbg_gpu_bf16 *y, float value)
{
    y->bits = (uint16_t)(tdbg_bf16_round_bits(tdbg_strict_bits(value)) >> 16);
}

/* Elements 4 q to 4 q + 3, which lie at a multiple of four elements' size. */
static __device__ __forceinline__ float4 tdbg_gpu_get_quad(const float *x, int64_t q)
{
    return ((const float4 *)x)[q];
}

static __device__ __forceinline__ float4 tdbg_gpu_get_quad(const struct tdbg_gpu_bf16 *x, int64_t q)
{
    const struct tdbg_gpu_bf16_quad v = ((const struct tdbg_gpu_bf16_quad *)x)[q];
    return make_float4(tdbg_gpu_get(&v.of[0]), tdbg_gpu_get(&v.of[1]), tdbg_gpu_get(&v.of[2]),
                       tdbg_gpu_get(&v.of[3]));
}

static __device__ __forceinline__ void tdbg_gpu_put_quad(float *y, int64_t q, float4 v)
{
    ((float4 *)y)[q] = v;
}

static __device__ __forceinline__ void tdbg_gpu_put_quad(struct tdbg_gpu_bf16 *y, int64_t q,
                                                         float4 v)
{
    struct tdbg_gpu_bf16_quad to;
    tdbg_gpu_put(&to.of[0], v.x);
    tdbg_gpu_put(&to.of[1], v.y);
    tdbg_gpu_put(&to.of[2], v.z);
    tdbg_gpu_put(&to.of[3], v.w);
    ((struct tdbg_gpu_bf16_quad *)y)[q] = to;
}

/* Whether quads of these elements can be read and written in one piece. */
template <typename T> static __device__ __forceinline__ bool tdbg_gpu_has_quads(const T *x)
{
    return ((uintptr_t)x & (4 * sizeof(T) - 1)) == 0;
}

/* What the backend table calls float, where it is bf16 in memory. */
static inline const struct tdbg_gpu_bf16 *tdbg_gpu_bf16_of(const float *x)
{
    return (const struct tdbg_gpu_bf16 *)(const void *)x;
}

static inline struct tdbg_gpu_bf16 *tdbg_gpu_bf16_of(float *x)
{
    return (struct tdbg_gpu_bf16 *)(void *)x;
}

#endif
