/* A GPU as kernels/ sees it, and the one place where kernels meet the compiler.
 *
 * Every .cu file of kernels/ is compiled twice: by nvcc for the device, and by g++ alone against
 * tests/gpu/emulation/, where blocks and threads are fibers of one process. So kernels use the
 * built-in names of CUDA (threadIdx, __syncthreads(), __shfl_xor_sync(), ...) but only those that
 * tests/gpu/emulation/gpu_emulation.h has; they are launched by TDBG_LAUNCH alone, take shared
 * memory by TDBG_SHARED alone, and hold no inline assembly: that is in gpu_mma.h alone.
 *
 * A .cu file begins with this header, then its contract header inside of extern "C". What it
 * exports are launchers, extern "C", named as the entry of the backend table that they are:
 *
 *     extern "C" void tdbg_cuda_relu_forward(void *gpu, int64_t n, const float *x, float *y)
 *
 * with a struct tdbg_gpu behind `gpu`. Launchers only put work on the GPU's stream (gpu_launch.h)
 * and never wait, unless they return a number that was computed on the device. */
#ifndef TDBG_KERNELS_GPU_H
#define TDBG_KERNELS_GPU_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "base/status.h"
#ifdef __cplusplus
}
#endif

struct tdbg_gpu_table; /* what a table of the host became on the device */

struct tdbg_gpu {
    cudaStream_t own_stream;            /* of gpu.c and gpu_launch.c alone: see tdbg_gpu_stream() */
    struct tdbg_gpu_launches *launches; /* what is held back: gpu_launch.c */
    int device;                         /* its number */
    int multiprocessors;
    char name[256];      /* as the driver calls it */
    char uuid[16];       /* no other GPU has the same */
    int capability;      /* 90: compute capability 9.0 */
    int code;            /* that of the code which runs on it: the newest of the build's that can */
    size_t shared_bytes; /* shared memory that a block can have */
    int driver, runtime; /* CUDA versions, 13000: 13.0 */
    cudaError_t error;   /* the first that any call or launch gave, until it is reported */
    const char *error_at; /* the call or kernel */
    void *scratch;
    size_t scratch_bytes;
    struct tdbg_gpu_table *tables;
    struct tdbg_gpu_digests *digests; /* that are not waited for: gpu_digests.h */
    int waiting_digests;              /* those that are not on the stream yet */
    struct tdbg_gpu_queue *queue;     /* copies that are not waited for: gpu_queue.h */
    size_t queue_bytes;
    struct tdbg_blas *blas; /* engine.math = "fast"; or NULL: see blas.h */
    void (*close_blas)(struct tdbg_blas *blas);
};

#ifdef __cplusplus
extern "C" {
#endif

/* GPUs that this process may use; 0 where there are none, or no driver. TDBG_DEVICE where there is
 * a driver that does not work. */
enum tdbg_status tdbg_gpu_count(int *n, struct tdbg_err *err);

/* Takes the device with that number. TDBG_DEVICE where there is none, or none that works, with what
 * the driver says. */
enum tdbg_status tdbg_gpu_open(int device, struct tdbg_gpu *gpu, struct tdbg_err *err);
void tdbg_gpu_close(struct tdbg_gpu *gpu); /* {0} is fine */

/* Makes the calling thread one that uses this GPU. */
void tdbg_gpu_use(struct tdbg_gpu *gpu);

/* Remembers a failure; what follows goes on, and tdbg_gpu_report() tells. */
void tdbg_gpu_note(struct tdbg_gpu *gpu, cudaError_t error, const char *what);

/* TDBG_DEVICE if anything failed since the last report. */
enum tdbg_status tdbg_gpu_report(struct tdbg_gpu *gpu, struct tdbg_err *err);

/* The stream, for all that is not a launch, a call, a copy or a clear (gpu_launch.h and below),
 * with everything on it that was asked for. Not to be kept: what is asked for later may be held
 * back. */
cudaStream_t tdbg_gpu_stream(struct tdbg_gpu *gpu);

/* Frees device memory (NULL is fine), which waits for what uses it. */
void tdbg_gpu_free(struct tdbg_gpu *gpu, void *data);

/* Device memory for the launches of one call, not shared with other calls: what comes next on the
 * stream may overwrite it. NULL when there is none, and noted. */
void *tdbg_gpu_scratch(struct tdbg_gpu *gpu, size_t bytes);

/* A copy on the device of a table that the host keeps unchanged until tdbg_gpu_forget_tables().
 * NULL when there is no memory, and noted. */
const void *tdbg_gpu_table(struct tdbg_gpu *gpu, const void *host, size_t bytes);
void tdbg_gpu_forget_tables(struct tdbg_gpu *gpu);

/* Copies a few results to the host and waits for them. */
void tdbg_gpu_fetch(struct tdbg_gpu *gpu, void *host, const void *device, size_t bytes);

/* The same, but requests for digests that wait go on waiting: for who only looks at tensors. */
void tdbg_gpu_fetch_between(struct tdbg_gpu *gpu, void *host, const void *device, size_t bytes);

/* On the device: a copy, and bytes of 0. */
void tdbg_gpu_copy(struct tdbg_gpu *gpu, void *to, const void *from, size_t bytes);
void tdbg_gpu_clear(struct tdbg_gpu *gpu, void *data, size_t bytes);

/* The copy of who only looks at tensors, as tdbg_gpu_fetch_between(). */
void tdbg_gpu_copy_between(struct tdbg_gpu *gpu, void *to, const void *from, size_t bytes);

/* Launches what is collected of requests for digests. */
void tdbg_gpu_put_digests(struct tdbg_gpu *gpu);

/* To be called before anything else is done with the stream that may change a tensor, or that waits
 * for it. Launches, calls, copies and clears do it, and so does tdbg_gpu_fetch(). */
static inline void tdbg_gpu_before_work(struct tdbg_gpu *gpu)
{
    if (gpu->waiting_digests > 0)
        tdbg_gpu_put_digests(gpu);
}

#ifdef __cplusplus
}

#ifdef __CUDACC__

/* `name` is a struct of that type in the block's shared memory. A kernel may have several, but only
 * one dynamic one. */
#define TDBG_SHARED(type, name) __shared__ type name
#define TDBG_SHARED_DYNAMIC(type, name)                                                            \
    extern __shared__ __align__(16) unsigned char tdbg_dynamic_shared[];                           \
    type &name = *(type *)tdbg_dynamic_shared

#else
#include "gpu_emulation.h"
#endif

#endif
#include "kernels/gpu_launch.h"
#ifdef __cplusplus

enum { TDBG_GPU_WARP = 32 };
#define TDBG_GPU_ALL_LANES 0xffffffffu

/* Blocks of `per_block` that cover n, as a grid's x; never beyond what a grid may have. Kernels
 * step by gridDim.x where n may be larger. */
static inline unsigned tdbg_gpu_blocks(int64_t n, int64_t per_block)
{
    const int64_t blocks = (n + per_block - 1) / per_block, most = 0x7fffffff;
    return (unsigned)(blocks < most ? blocks : most);
}

#endif
#endif
