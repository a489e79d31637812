/* What a GPU's tensor cores need beyond gpu.h: products of fragments of bfloat16, loads of
 * fragments from shared memory, copies to shared memory that go on meanwhile, and the GPU's own
 * exp2. The only place of inline assembly; tests/gpu/emulation/gpu_mma_emulation.h has the same
 * functions for g++.
 *
 * Needs compute capability 8.0: code for an older GPU stops where it calls one of these. All
 * lanes of a warp call tdbg_gpu_mma() and tdbg_gpu_load_four*() together.
 *
 * A fragment is a warp's share of a small matrix, in words of two bfloat16, the lower half first.
 * With g = lane / 4 and t = lane % 4 a lane has
 *
 *     a (16 x 16)  a[0]: row g, columns 2t, 2t+1    a[1]: row g + 8    a[2], a[3]: columns + 8
 *     b (16 x 8)   b0: rows 2t, 2t+1 of column g    b1: rows + 8
 *     c (16 x 8)   c[0], c[1]: row g, columns 2t, 2t+1    c[2], c[3]: row g + 8            (f32)
 *
 * (PTX ISA, mma.m16n8k16). */
#ifndef TDBG_KERNELS_GPU_MMA_H
#define TDBG_KERNELS_GPU_MMA_H

#include "kernels/gpu.h"

enum { TDBG_GPU_MMA_CAPABILITY = 80 }; /* the least */

#ifdef __CUDACC__

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TDBG_GPU_PTX(...)          asm(__VA_ARGS__)
#define TDBG_GPU_PTX_IN_ORDER(...) asm volatile(__VA_ARGS__)
#else
#define TDBG_GPU_PTX(...)          __trap()
#define TDBG_GPU_PTX_IN_ORDER(...) __trap()
#endif

static __device__ __forceinline__ unsigned tdbg_gpu_shared_address(const void *shared)
{
    return (unsigned)__cvta_generic_to_shared(shared);
}

/* c += a b. Sums are the GPU's: f32, in an order of its own, that is the same every time. */
static __device__ __forceinline__ void tdbg_gpu_mma(float (&c)[4], const uint32_t (&a)[4],
                                                    uint32_t b0, uint32_t b1)
{
    TDBG_GPU_PTX("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Four matrices of 8 x 8 bfloat16 in shared memory: lane l names row l % 8 of matrix l / 8, 8 of
 * them in 16 aligned bytes. x[i]: of matrix i, columns 2t and 2t+1 of row g. */
static __device__ __forceinline__ void tdbg_gpu_load_four(uint32_t (&x)[4], const uint16_t *row)
{
    TDBG_GPU_PTX_IN_ORDER("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                          : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                          : "r"(tdbg_gpu_shared_address(row)));
}

/* The same with each matrix transposed: x[i]: of matrix i, rows 2t and 2t+1 of column g. */
static __device__ __forceinline__ void tdbg_gpu_load_four_transposed(uint32_t (&x)[4],
                                                                     const uint16_t *row)
{
    TDBG_GPU_PTX_IN_ORDER("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                          : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                          : "r"(tdbg_gpu_shared_address(row)));
}

/* Two floats rounded to nearest even; a NaN is 0x7fff. */
static __device__ __forceinline__ uint32_t tdbg_gpu_pack_bf16(float low, float high)
{
    uint32_t pair = 0;
    TDBG_GPU_PTX("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* Eight of them at a multiple of 16 bytes, and a pair at one of 4, at once. */
static __device__ __forceinline__ uint4 tdbg_gpu_read_eight(const uint16_t *x)
{
    return *(const uint4 *)x;
}

static __device__ __forceinline__ void tdbg_gpu_write_eight(uint16_t *x, uint4 eight)
{
    *(uint4 *)x = eight;
}

static __device__ __forceinline__ void tdbg_gpu_write_pair(uint16_t *x, uint32_t pair)
{
    *(uint32_t *)x = pair;
}

/* 2^x within 2 ULP (PTX ISA, ex2.approx), denormals as 0. */
static __device__ __forceinline__ float tdbg_gpu_exp2(float x)
{
    float y = 0;
    TDBG_GPU_PTX("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* A thread's copies from global to shared memory, in groups. What is copied may be read when the
 * thread that copies has waited and a barrier stands in between. */
struct tdbg_gpu_copies {
    /* 16 bytes, aligned to 16; without `real` bytes of 0, and nothing is read. */
    __device__ __forceinline__ void start(void *shared, const void *global, bool real)
    {
        TDBG_GPU_PTX_IN_ORDER(
            "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(tdbg_gpu_shared_address(shared)),
            "l"(global), "r"(real ? 16 : 0));
    }

    /* Ends a group. */
    __device__ __forceinline__ void close_group(void)
    {
        TDBG_GPU_PTX_IN_ORDER("cp.async.commit_group;");
    }

    /* For all groups but the LAST that were closed last. */
    template <int LAST> __device__ __forceinline__ void wait(void)
    {
        TDBG_GPU_PTX_IN_ORDER("cp.async.wait_group %0;" ::"n"(LAST) : "memory");
    }
};

#undef TDBG_GPU_PTX
#undef TDBG_GPU_PTX_IN_ORDER

#else
#include "gpu_mma_emulation.h"
#endif

#endif
