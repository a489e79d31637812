/* The shape that all optimizers' steps have on a GPU: each element by itself, with up to three
 * state tensors; one launch for all ranges. Included by .cu files behind gpu.h. A step is a struct,
 * given to the kernel by value, with
 *
 *     __device__ void operator()(float grad, float *param, float *state) const
 *
 * on the element's values, state[k] that of tensor k. What it leaves there is stored canonical. */
#ifndef TDBG_KERNELS_GPU_OPTIMIZER_H
#define TDBG_KERNELS_GPU_OPTIMIZER_H

#include "kernels/gpu.h"
#include "kernels/gpu_ranges.h"
#include "kernels/strict_exp.h"
#include "kernels/strict_math.h"

enum { TDBG_OPTIMIZER_THREADS = 256 };

/* State tensors, flat as the parameters; NULL for one that this configuration does not have:
 * neither read nor written. */
template <int STATES> struct tdbg_optimizer_state {
    float *at[STATES];
};

/* One tile, n elements. EACH elements of a thread are a block's width apart: parameters lie at any
 * multiple of 4 bytes, and all loads are under way before the first result is needed. */
template <int STATES, int EACH, typename Step>
static __device__ __forceinline__ void step_tile(int n, const float *grad, float *param,
                                                 const struct tdbg_optimizer_state<STATES> &state,
                                                 const Step &step)
{
    for (int base = (int)threadIdx.x; base < n; base += EACH * TDBG_OPTIMIZER_THREADS) {
        float g[EACH], p[EACH], s[EACH][STATES];
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            const int i = base + e * TDBG_OPTIMIZER_THREADS;
            g[e] = i < n ? grad[i] : 0.0f;
            p[e] = i < n ? param[i] : 0.0f;
#pragma unroll
            for (int k = 0; k < STATES; k++)
                s[e][k] = i < n && state.at[k] ? state.at[k][i] : 0.0f;
        }
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            const int i = base + e * TDBG_OPTIMIZER_THREADS;
            step(g[e], &p[e], s[e]);
            if (i >= n)
                continue;
            param[i] = tdbg_strict_canonical(p[e]);
#pragma unroll
            for (int k = 0; k < STATES; k++)
                if (state.at[k])
                    state.at[k][i] = tdbg_strict_canonical(s[e][k]);
        }
    }
}

template <int STATES, int EACH, typename Step>
static __global__ void optimizer_step(struct tdbg_ranges ranges, const float *grad, float *param,
                                      struct tdbg_optimizer_state<STATES> state, Step step)
{
    tdbg_gpu_each_tile(ranges, blockIdx.x, gridDim.x, [=](int64_t, int64_t first, int n) {
        struct tdbg_optimizer_state<STATES> here;
#pragma unroll
        for (int k = 0; k < STATES; k++)
            here.at[k] = state.at[k] ? state.at[k] + first : NULL;
        step_tile<STATES, EACH>(n, grad + first, param + first, here, step);
    });
}

template <int STATES, typename Step>
static void tdbg_optimizer_run(void *gpu, const struct tdbg_ranges *ranges, const float *grad,
                               float *param, const struct tdbg_optimizer_state<STATES> &state,
                               const Step &step)
{
    enum { EACH = STATES > 1 ? 2 : 4 };
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const struct tdbg_ranges there = tdbg_gpu_ranges(g, ranges);
    TDBG_LAUNCH(g, (optimizer_step<STATES, EACH, Step>), tdbg_gpu_ranges_blocks(g, &there, 1),
                TDBG_OPTIMIZER_THREADS, there, grad, param, state, step);
}

#endif
