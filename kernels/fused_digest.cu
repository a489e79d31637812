/* Digest and statistics of a tensor on a GPU, in one pass. Definitions: base/digest.h.
 *
 * A warp has a block of TDBG_STATS_BLOCK_ELEMS elements and goes through it by rows of 32, an
 * element for each of its lanes. What has no order (digest, counts, minimum, maximum) every lane
 * adds up for the elements that it has. The sums have virtual lanes: lane l adds up elements l mod
 * 16, those below 16 the values and the others their squares, so that a row is two terms of each:
 *
 *     row           e0 e1 ... e15 e16 ... e31
 *     lane 0        sum += e0,        sum += e16
 *     lane 16       square += e0 * e0, square += e16 * e16
 *
 * A second kernel adds the blocks' results in order. */
#include <math.h>
#include <stdlib.h>

#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "base/digest_block.h"
#include "kernels/fused_digest.h"
}

enum {
    BLOCK = TDBG_STATS_BLOCK_ELEMS,
    AT_ONCE = 8, /* rows that are read before any is used */
    MAX_WARPS = 4,
    ADD_THREADS = 256,
    SQUARE_THREAD = TDBG_GPU_WARP, /* who adds squares; thread 0 adds the values */
};

static_assert(TDBG_STATS_LANES == 16 && TDBG_GPU_WARP == 32, "a row is two terms of every lane");

/* ---- element types: bits as they are in memory, and numbers that compare -----------------------
 */

template <typename To, typename From> static __device__ __forceinline__ To same_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

struct as_f32 {
    typedef uint32_t bits;
    typedef float number;
    static __device__ __forceinline__ number value(bits b)
    {
        return tdbg_strict_float(b);
    }
};

struct as_bf16 {
    typedef uint16_t bits;
    typedef float number;
    static __device__ __forceinline__ number value(bits b)
    {
        return tdbg_strict_float((uint32_t)b << 16);
    }
};

struct as_f16 {
    typedef uint16_t bits;
    typedef float number;
    static __device__ __forceinline__ number value(bits b)
    {
        /* Exponent and fraction in place, then the bias 127 - 15; denormals come out right. */
        const float size =
            TDBG_STRICT_MUL(tdbg_strict_float((uint32_t)(b & 0x7fff) << 13), 0x1p112f);
        const uint32_t with_sign = tdbg_strict_bits(size) | (uint32_t)(b & 0x8000) << 16;
        return tdbg_strict_float((b & 0x7c00) == 0x7c00 ? with_sign | 0x7f800000u : with_sign);
    }
};

struct as_f64 {
    typedef uint64_t bits;
    typedef double number;
    static __device__ __forceinline__ number value(bits b)
    {
        return same_bits<double>(b);
    }
};

struct as_u8 {
    typedef uint8_t bits;
    typedef int32_t number;
    static __device__ __forceinline__ number value(bits b)
    {
        return b;
    }
};

struct as_i32 {
    typedef uint32_t bits;
    typedef int32_t number;
    static __device__ __forceinline__ number value(bits b)
    {
        return (int32_t)b;
    }
};

struct as_i64 {
    typedef uint64_t bits;
    typedef long long number;
    static __device__ __forceinline__ number value(bits b)
    {
        return (long long)b;
    }
};

/* The largest number of a type, and the smallest; what minimum and maximum start from. */
static __device__ __forceinline__ void set_limits(float *most, float *least)
{
    *most = __builtin_inff();
    *least = -__builtin_inff();
}

static __device__ __forceinline__ void set_limits(double *most, double *least)
{
    *most = __builtin_inf();
    *least = -__builtin_inf();
}

static __device__ __forceinline__ void set_limits(int32_t *most, int32_t *least)
{
    *most = INT32_MAX;
    *least = INT32_MIN;
}

static __device__ __forceinline__ void set_limits(long long *most, long long *least)
{
    *most = INT64_MAX;
    *least = INT64_MIN;
}

/* Integers are finite. */
template <typename Number> static __device__ __forceinline__ bool is_infinite(Number)
{
    return false;
}

static __device__ __forceinline__ bool is_infinite(float v)
{
    return v == __builtin_inff() || v == -__builtin_inff();
}

static __device__ __forceinline__ bool is_infinite(double v)
{
    return v == __builtin_inf() || v == -__builtin_inf();
}

/* ---- a block -----------------------------------------------------------------------------------
 */

/* What a lane of the warp has so far. */
template <typename Number> struct lane_part {
    unsigned long long digest;
    double sum; /* of values, or of squares in the upper lanes */
    Number min, max;
    uint32_t zeros, nans, infs;
};

template <typename Bits>
static __device__ __forceinline__ unsigned long long mix_element(int64_t i, Bits b)
{
    if constexpr (sizeof b == 8)
        return tdbg_digest_mix(2 * (uint64_t)i, (uint32_t)b) +
               tdbg_digest_mix(2 * (uint64_t)i + 1, (uint32_t)(b >> 32));
    else
        return tdbg_digest_mix((uint64_t)i, b);
}

/* One row: v is the lane's element, or nothing where it does not exist. nvcc has -fmad=false, so
 * that the square is rounded before it is added. */
template <typename Number>
static __device__ __forceinline__ void add_row(Number v, bool exists, struct lane_part<Number> *p)
{
    const int lane = (int)(threadIdx.x % TDBG_GPU_WARP), virtual_lane = lane % TDBG_STATS_LANES;
    const bool nan = v != v, inf = is_infinite(v), finite = exists && !nan && !inf;
    p->zeros += exists && v == 0;
    p->nans += exists && nan;
    p->infs += exists && inf;
    p->min = finite && v < p->min ? v : p->min;
    p->max = finite && v > p->max ? v : p->max;
    const Number term = finite ? v : 0; /* +0 changes no sum: a lane never is -0 */
    for (int half = 0; half < 2; half++) {
        const double d =
            (double)__shfl_sync(TDBG_GPU_ALL_LANES, term, half * TDBG_STATS_LANES + virtual_lane);
        p->sum += d * (lane < TDBG_STATS_LANES ? 1.0 : d);
    }
}

template <typename Number>
static __device__ __forceinline__ void fold_part(struct lane_part<Number> *p)
{
    for (int width = TDBG_STATS_LANES / 2; width > 0; width /= 2)
        p->sum += __shfl_xor_sync(TDBG_GPU_ALL_LANES, p->sum, width);
    for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2) {
        const Number min = __shfl_xor_sync(TDBG_GPU_ALL_LANES, p->min, width);
        const Number max = __shfl_xor_sync(TDBG_GPU_ALL_LANES, p->max, width);
        p->min = min < p->min ? min : p->min;
        p->max = max > p->max ? max : p->max;
        p->zeros += __shfl_xor_sync(TDBG_GPU_ALL_LANES, p->zeros, width);
        p->nans += __shfl_xor_sync(TDBG_GPU_ALL_LANES, p->nans, width);
        p->infs += __shfl_xor_sync(TDBG_GPU_ALL_LANES, p->infs, width);
    }
}

/* A warp per block; parts (blocks). WANT: bits of TDBG_PART_... */
template <class Type, int WANT>
static __global__ void digest_blocks(int64_t n_elems, const typename Type::bits *data,
                                     struct tdbg_digest_part *parts)
{
    typedef typename Type::number number;
    const int lane = (int)(threadIdx.x % TDBG_GPU_WARP), warps = (int)(blockDim.x / TDBG_GPU_WARP);
    const int64_t blocks = (n_elems + BLOCK - 1) / BLOCK, step = (int64_t)gridDim.x * warps;
    for (int64_t b = (int64_t)blockIdx.x * warps + threadIdx.x / TDBG_GPU_WARP; b < blocks;
         b += step) {
        const int64_t first = b * BLOCK;
        const int n = n_elems - first < BLOCK ? (int)(n_elems - first) : BLOCK;
        struct lane_part<number> p;
        memset(&p, 0, sizeof p);
        set_limits(&p.min, &p.max);
        for (int row = 0; row < n; row += AT_ONCE * TDBG_GPU_WARP) {
            typename Type::bits bits[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                const int i = row + k * TDBG_GPU_WARP + lane;
                bits[k] = i < n ? data[first + i] : 0;
            }
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                const int i = row + k * TDBG_GPU_WARP + lane;
                if ((WANT & TDBG_PART_DIGEST) && i < n)
                    p.digest += mix_element(first + i, bits[k]);
                if (WANT & TDBG_PART_STATS)
                    add_row(Type::value(bits[k]), i < n, &p);
            }
        }
        for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2)
            p.digest += __shfl_xor_sync(TDBG_GPU_ALL_LANES, p.digest, width);
        if (WANT & TDBG_PART_STATS)
            fold_part(&p);
        const double square = __shfl_sync(TDBG_GPU_ALL_LANES, p.sum, TDBG_STATS_LANES);
        const struct tdbg_digest_part part = {p.digest,      p.sum,   square, (double)p.min,
                                              (double)p.max, p.zeros, p.nans, p.infs};
        if (lane == 0)
            parts[b] = part;
    }
}

/* ---- all blocks --------------------------------------------------------------------------------
 */

struct adding {
    double sum[ADD_THREADS], square[ADD_THREADS];
    struct tdbg_digest_part lane[ADD_THREADS];
};

TDBG_HOST_DEVICE static inline struct tdbg_digest_part no_part(void)
{
    const struct tdbg_digest_part none = {0, 0, 0, __builtin_inf(), -__builtin_inf(), 0, 0, 0};
    return none;
}

static __device__ __forceinline__ struct tdbg_digest_part
load_part(int64_t n, const struct tdbg_digest_part *parts, int64_t i)
{
    return i < n ? parts[i] : no_part();
}

/* All that has no order. */
static __device__ __forceinline__ void join_parts(struct tdbg_digest_part *into,
                                                  const struct tdbg_digest_part *from)
{
    into->digest += from->digest;
    into->min = from->min < into->min ? from->min : into->min;
    into->max = from->max > into->max ? from->max : into->max;
    into->zeros += from->zeros;
    into->nans += from->nans;
    into->infs += from->infs;
}

/* One block of threads. Two of them add the sums in order, while the others wait for the next
 * parts. */
static __global__ void add_parts(int64_t n, const struct tdbg_digest_part *parts,
                                 struct tdbg_digest_part *total)
{
    TDBG_SHARED(struct adding, shared);
    const int t = (int)threadIdx.x;
    struct tdbg_digest_part own = no_part(), next = load_part(n, parts, t);
    double sum = 0;
    for (int64_t first = 0; first < n; first += ADD_THREADS) {
        const int here = n - first < ADD_THREADS ? (int)(n - first) : ADD_THREADS;
        shared.sum[t] = next.sum;
        shared.square[t] = next.square;
        join_parts(&own, &next);
        next = load_part(n, parts, first + ADD_THREADS + t);
        __syncthreads();
        if (t == 0 || t == SQUARE_THREAD) {
            const double *terms = t == 0 ? shared.sum : shared.square;
#pragma unroll 8
            for (int i = 0; i < here; i++)
                sum += terms[i];
        }
        __syncthreads();
    }
    own.sum = own.square = sum;
    shared.lane[t] = own;
    __syncthreads();
    for (int width = ADD_THREADS / 2; width > 0; width /= 2) {
        if (t < width)
            join_parts(&shared.lane[t], &shared.lane[t + width]);
        __syncthreads();
    }
    if (t == 0) {
        own = shared.lane[0];
        own.square = shared.lane[SQUARE_THREAD].square;
        *total = own;
    }
}

template <class Type>
static void launch_blocks(struct tdbg_gpu *gpu, int64_t n_elems, const void *data, int want,
                          struct tdbg_digest_part *parts)
{
    const typename Type::bits *from = (const typename Type::bits *)data;
    const int64_t blocks = (n_elems + BLOCK - 1) / BLOCK;
    /* few blocks: one on each multiprocessor */
    const int warps = blocks < 2 * gpu->multiprocessors ? 1 : MAX_WARPS;
    const unsigned grid = tdbg_gpu_blocks(blocks, warps), threads = (unsigned)warps * TDBG_GPU_WARP;
    if (want == TDBG_PART_DIGEST)
        TDBG_LAUNCH(gpu, (digest_blocks<Type, TDBG_PART_DIGEST>), grid, threads, n_elems, from,
                    parts);
    else if (want == TDBG_PART_STATS)
        TDBG_LAUNCH(gpu, (digest_blocks<Type, TDBG_PART_STATS>), grid, threads, n_elems, from,
                    parts);
    else
        TDBG_LAUNCH(gpu, (digest_blocks<Type, (TDBG_PART_DIGEST | TDBG_PART_STATS)>), grid, threads,
                    n_elems, from, parts);
}

/* Puts all on the stream: the sum over the blocks of n_elems > 0 elements comes to *total, on the
 * device. parts (blocks): overwritten; may be total if there is one block. */
static void put_digest(struct tdbg_gpu *gpu, const void *data, enum tdbg_dtype dtype,
                       int64_t n_elems, int want, struct tdbg_digest_part *parts,
                       struct tdbg_digest_part *total)
{
    const int64_t blocks = (n_elems + BLOCK - 1) / BLOCK;
    struct tdbg_digest_part *to = blocks == 1 ? total : parts;
    switch (dtype) {
    case TDBG_DTYPE_F32:
        launch_blocks<struct as_f32>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_F64:
        launch_blocks<struct as_f64>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_BF16:
        launch_blocks<struct as_bf16>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_F16:
        launch_blocks<struct as_f16>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_U8:
        launch_blocks<struct as_u8>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_I32:
        launch_blocks<struct as_i32>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_I64:
        launch_blocks<struct as_i64>(gpu, n_elems, data, want, to);
        break;
    case TDBG_DTYPE_COUNT:
        TDBG_BUG("no such dtype");
    }
    if (blocks > 1)
        TDBG_LAUNCH(gpu, add_parts, 1, ADD_THREADS, blocks, parts, total);
}

extern "C" enum tdbg_status tdbg_cuda_digest(void *context, const void *data, enum tdbg_dtype dtype,
                                             int64_t n_elems, uint64_t *digest,
                                             struct tdbg_stats *stats, struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const int want = (digest ? TDBG_PART_DIGEST : 0) | (stats ? TDBG_PART_STATS : 0);
    const int64_t blocks = (n_elems + BLOCK - 1) / BLOCK;
    struct tdbg_digest_part sum = no_part();
    if (blocks > 0 && want) {
        struct tdbg_digest_part *total =
            (struct tdbg_digest_part *)tdbg_gpu_scratch(gpu, (size_t)(blocks + 1) * sizeof *total);
        if (!total)
            return tdbg_gpu_report(gpu, err);
        put_digest(gpu, data, dtype, n_elems, want, total + 1, total);
        tdbg_gpu_fetch(gpu, &sum, total, sizeof sum);
    }
    tdbg_digest_part_finish(&sum, dtype, n_elems, digest, stats);
    return tdbg_gpu_report(gpu, err);
}

/* Room for `slots` slots; those that are asked for stay. */
static bool grow_owed(struct tdbg_gpu *gpu, int32_t slots)
{
    const size_t width = sizeof(struct tdbg_digest_part);
    struct tdbg_gpu_owed *owed = gpu->owed, grown = {0, NULL, NULL, NULL};
    if (!owed) {
        owed = gpu->owed = (struct tdbg_gpu_owed *)calloc(1, sizeof *owed);
        if (!owed)
            return false;
    }
    grown.room = 2 * slots + 256;
    grown.of = (struct tdbg_gpu_owed_shape *)calloc((size_t)grown.room, sizeof *grown.of);
    if (!grown.of || cudaMalloc(&grown.on_device, (size_t)grown.room * width) != cudaSuccess ||
        cudaMallocHost(&grown.on_host, (size_t)grown.room * width) != cudaSuccess) {
        cudaFree(grown.on_device);
        free(grown.of);
        return false;
    }
    if (owed->room > 0) {
        memcpy(grown.of, owed->of, (size_t)owed->room * sizeof *grown.of);
        tdbg_gpu_note(gpu,
                      cudaMemcpyAsync(grown.on_device, owed->on_device, (size_t)owed->room * width,
                                      cudaMemcpyDeviceToDevice, gpu->stream),
                      "a copy on the GPU");
    }
    tdbg_gpu_note(gpu, cudaFree(owed->on_device), "cudaFree"); /* waits for the copy */
    tdbg_gpu_note(gpu, cudaFreeHost(owed->on_host), "cudaFreeHost");
    free(owed->of);
    *owed = grown;
    return true;
}

extern "C" enum tdbg_status tdbg_cuda_digest_later(void *context, const void *data,
                                                   enum tdbg_dtype dtype, int64_t n_elems,
                                                   int32_t slot, struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const int64_t blocks = (n_elems + BLOCK - 1) / BLOCK;
    if ((!gpu->owed || slot >= gpu->owed->room) && !grow_owed(gpu, slot + 1))
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the digests of a step");
    struct tdbg_gpu_owed_shape *of = &gpu->owed->of[slot];
    of->dtype = dtype;
    of->n_elems = n_elems;
    of->is_asked = true;
    if (blocks > 0) {
        struct tdbg_digest_part *total = (struct tdbg_digest_part *)gpu->owed->on_device + slot;
        struct tdbg_digest_part *parts = NULL;
        if (blocks > 1) {
            parts =
                (struct tdbg_digest_part *)tdbg_gpu_scratch(gpu, (size_t)blocks * sizeof *parts);
            if (!parts)
                return tdbg_gpu_report(gpu, err);
        }
        put_digest(gpu, data, dtype, n_elems, TDBG_PART_DIGEST | TDBG_PART_STATS, parts, total);
    }
    return tdbg_gpu_report(gpu, err);
}

extern "C" enum tdbg_status tdbg_cuda_digests_take(void *context, int32_t n_slots,
                                                   uint64_t *digests, struct tdbg_stats *stats,
                                                   struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const struct tdbg_gpu_owed *owed = gpu->owed;
    const int32_t n = !owed ? 0 : n_slots < owed->room ? n_slots : owed->room;
    const struct tdbg_digest_part none = no_part();
    if (n > 0)
        tdbg_gpu_fetch(gpu, owed->on_host, owed->on_device,
                       (size_t)n * sizeof(struct tdbg_digest_part));
    const enum tdbg_status st = tdbg_gpu_report(gpu, err);
    for (int32_t i = 0; i < n; i++) {
        struct tdbg_gpu_owed_shape *of = &owed->of[i];
        const struct tdbg_digest_part *part = (const struct tdbg_digest_part *)owed->on_host + i;
        if (st == TDBG_OK && of->is_asked)
            tdbg_digest_part_finish(of->n_elems > 0 ? part : &none, (enum tdbg_dtype)of->dtype,
                                    of->n_elems, &digests[i], &stats[i]);
        of->is_asked = false;
    }
    return st;
}
