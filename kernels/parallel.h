/* One way to split work over the CPU threads. No result may depend on how a range is cut: callers
 * split over outputs or over fixed blocks, never inside one sum. */
#ifndef TDBG_KERNELS_PARALLEL_H
#define TDBG_KERNELS_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    /* Elements of light element-wise work that are worth handing to another thread: waking one
     * costs a few microseconds. */
    TDBG_GRAIN_ELEMS = 16384,
};

/* The grain for items that cost as much as so many elements each: 1 or more. */
static inline int64_t tdbg_grain_of(int64_t elems)
{
    return elems <= 1 ? TDBG_GRAIN_ELEMS : elems >= TDBG_GRAIN_ELEMS ? 1 : TDBG_GRAIN_ELEMS / elems;
}

/* Calls fn(ctx, lo, hi) for ranges that together cover 0..n-1 once, on up to `threads` threads, and
 * returns when all are done. Ranges start at multiples of grain (>= 1). Runs inside the calling
 * thread when n <= grain, when threads is 1, inside another such call, and while another thread has
 * one at work. */
void tdbg_parallel_for(int threads, int64_t n, int64_t grain,
                       void (*fn)(void *ctx, int64_t lo, int64_t hi), void *ctx);

/* Starts what is missing of so many threads. Returns how many, the caller among them, do not
 * compute in the strict floating-point mode. */
int tdbg_parallel_start(int threads);

/* Is this thread's floating point IEEE 754 to the letter: nearest-even, denormals kept? */
bool tdbg_parallel_mode_is_strict(void);

#endif
