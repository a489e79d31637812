/* One way to split work over the CPU threads. No result may depend on how a range is cut: callers
 * split over outputs or over fixed blocks, never inside one sum. */
#ifndef TDBG_KERNELS_PARALLEL_H
#define TDBG_KERNELS_PARALLEL_H

#include <stdint.h>

enum {
    /* Elements of light element-wise work that are worth handing to another thread: waking one
     * costs a few microseconds. */
    TDBG_GRAIN_ELEMS = 16384,
};

/* Calls fn(ctx, lo, hi) for ranges that together cover 0..n-1 once, at most one per thread, and
 * returns when all are done. Ranges start at multiples of grain (>= 1). Runs inside the calling
 * thread when n <= grain, when threads is 1 and inside another parallel region. */
void tdbg_parallel_for(int threads, int64_t n, int64_t grain,
                       void (*fn)(void *ctx, int64_t lo, int64_t hi), void *ctx);

#endif
