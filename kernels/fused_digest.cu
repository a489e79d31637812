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
 * A second kernel adds the blocks' results in order. Both take several tensors at a time: see
 * gpu_digests.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "base/digest_block.h"
#include "kernels/fused_digest.h"
#include "kernels/gpu_digests.h"
}

enum {
    BLOCK = TDBG_STATS_BLOCK_ELEMS,
    AT_ONCE = 8, /* rows that are read before any is used */
    MAX_WARPS = 4,
    FEW = 4, /* tensors: a launch takes longer with kilobytes of arguments */
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

/* Elements first .. first + n - 1 of a tensor, by a warp. WANT: bits of TDBG_PART_... */
template <class Type, int WANT>
static __device__ __forceinline__ struct tdbg_digest_part
digest_block(const typename Type::bits *data, int64_t first, int n)
{
    typedef typename Type::number number;
    const int lane = (int)(threadIdx.x % TDBG_GPU_WARP);
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
    return part;
}

/* Tensors whose blocks are numbered through: those of tensor k are first_block[k] and on. */
template <int MOST> struct batch {
    int64_t blocks;
    int n;
    int64_t first_block[MOST];
    struct tdbg_gpu_digest of[MOST];
};

template <int MOST>
static __device__ __forceinline__ int tensor_of(const struct batch<MOST> &batch, int64_t block)
{
    int low = 0, high = batch.n;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (batch.first_block[middle] <= block)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* A warp per block. */
template <class Type, int WANT, int MOST>
static __global__ void digest_blocks(const __grid_constant__ struct batch<MOST> batch)
{
    const int lane = (int)(threadIdx.x % TDBG_GPU_WARP), warps = (int)(blockDim.x / TDBG_GPU_WARP);
    const int64_t step = (int64_t)gridDim.x * warps;
    for (int64_t b = (int64_t)blockIdx.x * warps + threadIdx.x / TDBG_GPU_WARP; b < batch.blocks;
         b += step) {
        const int k = tensor_of(batch, b);
        const int64_t own = b - batch.first_block[k], first = own * BLOCK;
        const int64_t left = batch.of[k].n_elems - first;
        const struct tdbg_digest_part part = digest_block<Type, WANT>(
            (const typename Type::bits *)batch.of[k].data, first, left < BLOCK ? (int)left : BLOCK);
        if (lane == 0)
            batch.of[k].parts[own] = part;
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

struct sums {
    struct tdbg_gpu_digest_sum of[TDBG_GPU_DIGEST_SUMS];
};

/* A block of threads per tensor. Two of them add the sums in order, while the others wait for the
 * next parts. */
static __global__ void add_parts(const __grid_constant__ struct sums sums)
{
    TDBG_SHARED(struct adding, shared);
    const int64_t n = sums.of[blockIdx.x].n_parts;
    const struct tdbg_digest_part *parts = sums.of[blockIdx.x].parts;
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
        *sums.of[blockIdx.x].total = own;
    }
}

template <class Type, int WANT, int MOST>
static void launch_blocks(struct tdbg_gpu *gpu, int n, const struct tdbg_gpu_digest *of)
{
    struct batch<MOST> batch = {
    };
    batch.n = n;
    for (int k = 0; k < n; k++) {
        batch.first_block[k] = batch.blocks;
        batch.of[k] = of[k];
        batch.blocks += tdbg_gpu_digest_parts(of[k].n_elems);
    }
    /* few blocks: one on each multiprocessor */
    const int warps = batch.blocks < 2 * gpu->multiprocessors ? 1 : MAX_WARPS;
    const unsigned grid = tdbg_gpu_blocks(batch.blocks, warps);
    TDBG_LAUNCH(gpu, (digest_blocks<Type, WANT, MOST>), grid, (unsigned)warps * TDBG_GPU_WARP,
                batch);
}

template <class Type>
static void launch_type(struct tdbg_gpu *gpu, int want, int n, const struct tdbg_gpu_digest *of)
{
    if (want == TDBG_PART_DIGEST && n == 1)
        launch_blocks<Type, TDBG_PART_DIGEST, FEW>(gpu, n, of);
    else if (want == TDBG_PART_STATS && n == 1)
        launch_blocks<Type, TDBG_PART_STATS, FEW>(gpu, n, of);
    else if (n <= FEW)
        launch_blocks<Type, (TDBG_PART_DIGEST | TDBG_PART_STATS), FEW>(gpu, n, of);
    else
        launch_blocks<Type, (TDBG_PART_DIGEST | TDBG_PART_STATS), TDBG_GPU_DIGESTS>(gpu, n, of);
}

extern "C" void tdbg_gpu_digest_blocks(struct tdbg_gpu *gpu, enum tdbg_dtype dtype, int want, int n,
                                       const struct tdbg_gpu_digest *of)
{
    switch (dtype) {
    case TDBG_DTYPE_F32:
        launch_type<struct as_f32>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_F64:
        launch_type<struct as_f64>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_BF16:
        launch_type<struct as_bf16>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_F16:
        launch_type<struct as_f16>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_U8:
        launch_type<struct as_u8>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_I32:
        launch_type<struct as_i32>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_I64:
        launch_type<struct as_i64>(gpu, want, n, of);
        break;
    case TDBG_DTYPE_COUNT:
        TDBG_BUG("no such dtype");
    }
}

extern "C" void tdbg_gpu_digest_add(struct tdbg_gpu *gpu, int n,
                                    const struct tdbg_gpu_digest_sum *of)
{
    struct sums sums = {};
    memcpy(sums.of, of, (size_t)n * sizeof *of);
    TDBG_LAUNCH(gpu, add_parts, (unsigned)n, ADD_THREADS, sums);
}

extern "C" enum tdbg_status tdbg_cuda_digest(void *context, const void *data, enum tdbg_dtype dtype,
                                             int64_t n_elems, uint64_t *digest,
                                             struct tdbg_stats *stats, struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const int want = (digest ? TDBG_PART_DIGEST : 0) | (stats ? TDBG_PART_STATS : 0);
    const int64_t blocks = tdbg_gpu_digest_parts(n_elems);
    struct tdbg_digest_part sum = no_part();
    if (blocks > 0 && want) {
        struct tdbg_digest_part *total =
            (struct tdbg_digest_part *)tdbg_gpu_scratch(gpu, (size_t)(blocks + 1) * sizeof *total);
        if (!total)
            return tdbg_gpu_report(gpu, err);
        const struct tdbg_gpu_digest all = {data, n_elems, blocks > 1 ? total + 1 : total};
        const struct tdbg_gpu_digest_sum whole = {total + 1, blocks, total};
        tdbg_gpu_digest_blocks(gpu, dtype, want, 1, &all);
        if (blocks > 1)
            tdbg_gpu_digest_add(gpu, 1, &whole);
        tdbg_gpu_fetch(gpu, &sum, total, sizeof sum);
    }
    tdbg_digest_part_finish(&sum, dtype, n_elems, digest, stats);
    return tdbg_gpu_report(gpu, err);
}
