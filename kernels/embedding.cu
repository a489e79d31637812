/* Embedding on a GPU. Definitions: embedding.h.
 *
 * Backward without atomics on floats: the positions are sorted by their token, stably, so that a
 * token's are in ascending order. That is a radix sort of DIGIT_BITS at a time: counts per tile of
 * positions and digit, their prefix sums in order of digit and tile, and then each tile puts its
 * positions where they belong. Slices of TDBG_K_SLICE positions of tokens that have more are summed
 * side by side first:
 *
 *     order  | positions of token 0 | token 1 | | token 3 ... |      start[v]: where v begins
 *     slices | of token 0, dim each |    -    | |    ...      |      start[v] / SLOT: v's first */
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/embedding.h"
}

enum {
    THREADS = 256, /* also of a tile; as many as there are digits */
    WARPS = THREADS / TDBG_GPU_WARP,
    DIGIT_BITS = 8,
    DIGITS = 1 << DIGIT_BITS,
    ROUNDS = 4, /* of THREADS positions: a tile */
    TILE = ROUNDS * THREADS,
    SCAN_THREADS = 1024,
    SLOT = TDBG_K_SLICE / 2,
    MAX_COL_THREADS = 256,
    ALIGNED = 16, /* floats: parts of the workspace begin at multiples of it */
};

static_assert((int)DIGITS == (int)THREADS, "a thread for each digit");

/* The workspace. */
struct space {
    int32_t *start;         /* (vocab + 1) */
    int32_t *order, *spare; /* (n): positions, sorted and on the way to it */
    int32_t *counts;        /* (DIGITS, tiles) */
    float *slices;          /* (n / SLOT, dim) */
};

static int64_t count_tiles(const struct tdbg_embedding *e)
{
    return (e->n + TILE - 1) / TILE;
}

static size_t part_bytes(int64_t elems)
{
    return (size_t)(elems + ALIGNED - 1) / ALIGNED * ALIGNED * sizeof(int32_t);
}

extern "C" size_t tdbg_cuda_embedding_workspace_bytes(void *gpu, const struct tdbg_embedding *e)
{
    (void)gpu;
    return part_bytes(e->vocab + 1) + 2 * part_bytes(e->n) + part_bytes(DIGITS * count_tiles(e)) +
           part_bytes(e->n / SLOT * e->dim);
}

static struct space space_of(const struct tdbg_embedding *e, void *workspace)
{
    char *order = (char *)workspace + part_bytes(e->vocab + 1), *spare = order + part_bytes(e->n),
         *counts = spare + part_bytes(e->n), *slices = counts + part_bytes(DIGITS * count_tiles(e));
    return {(int32_t *)workspace, (int32_t *)order, (int32_t *)spare, (int32_t *)counts,
            (float *)slices};
}

/* ---- forward ---- */

/* A block for each position. */
template <typename T>
static __global__ void gather_rows(struct tdbg_embedding e, const T *table, T *y)
{
    for (int64_t p = blockIdx.x; p < e.n; p += gridDim.x) {
        const T *row = table + e.tokens[p] * e.dim;
        for (int64_t c = threadIdx.x; c < e.dim; c += blockDim.x)
            tdbg_gpu_put(y + p * e.dim + c, tdbg_strict_canonical(tdbg_gpu_get(row + c)));
    }
}

static unsigned column_threads(int64_t dim)
{
    const int64_t warps = (dim + TDBG_GPU_WARP - 1) / TDBG_GPU_WARP;
    return (unsigned)(warps * TDBG_GPU_WARP < MAX_COL_THREADS ? warps * TDBG_GPU_WARP
                                                              : (int64_t)MAX_COL_THREADS);
}

extern "C" void tdbg_cuda_embedding_forward(void *gpu, const struct tdbg_embedding *embedding,
                                            const float *table, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (gather_rows<float>), tdbg_gpu_blocks(embedding->n, 1),
                column_threads(embedding->dim), *embedding, table, y);
}

extern "C" void tdbg_cuda_bf16_embedding_forward(void *gpu, const struct tdbg_embedding *embedding,
                                                 const float *table, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (gather_rows<struct tdbg_gpu_bf16>),
                tdbg_gpu_blocks(embedding->n, 1), column_threads(embedding->dim), *embedding,
                tdbg_gpu_bf16_of(table), tdbg_gpu_bf16_of(y));
}

/* ---- sorting ---- */

/* One step of the sort: positions as `from` has them (NULL: ascending), by a digit. */
struct sort_step {
    const int32_t *tokens, *from;
    int32_t *to, *counts;
    int64_t n, tiles;
    int shift;
};

static __device__ __forceinline__ int32_t position_at(const struct sort_step &s, int64_t i)
{
    return s.from ? s.from[i] : (int32_t)i;
}

static __device__ __forceinline__ int digit_of(const struct sort_step &s, int32_t position)
{
    return s.tokens[position] >> s.shift & (DIGITS - 1);
}

struct count_shared {
    int32_t digit[DIGITS];
};

static __global__ void __launch_bounds__(THREADS) count_digits(struct sort_step s)
{
    TDBG_SHARED(struct count_shared, shared);
    for (int64_t tile = blockIdx.x; tile < s.tiles; tile += gridDim.x) {
        shared.digit[threadIdx.x] = 0;
        __syncthreads();
        for (int round = 0; round < ROUNDS; round++) {
            const int64_t i = tile * TILE + round * THREADS + threadIdx.x;
            if (i < s.n)
                atomicAdd(&shared.digit[digit_of(s, position_at(s, i))], 1);
        }
        __syncthreads();
        s.counts[threadIdx.x * s.tiles + tile] = shared.digit[threadIdx.x];
        __syncthreads();
    }
}

struct scan_shared {
    int32_t warp[SCAN_THREADS / TDBG_GPU_WARP];
};

/* The sum of what the lanes up to this one give. */
static __device__ __forceinline__ int32_t add_lanes_before(int32_t x)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    for (int width = 1; width < TDBG_GPU_WARP; width *= 2) {
        const int32_t before =
            __shfl_sync(TDBG_GPU_ALL_LANES, x, lane >= width ? lane - width : lane);
        x += lane >= width ? before : 0;
    }
    return x;
}

/* x (n) becomes the sums of the elements before each. One block. */
static __global__ void __launch_bounds__(SCAN_THREADS) scan(int64_t n, int32_t *x)
{
    TDBG_SHARED(struct scan_shared, shared);
    const int warp = (int)threadIdx.x / TDBG_GPU_WARP, lane = (int)threadIdx.x % TDBG_GPU_WARP;
    int32_t done = 0;
    for (int64_t first = 0; first < n; first += SCAN_THREADS) {
        const int64_t i = first + threadIdx.x;
        const int32_t own = i < n ? x[i] : 0, up_to = add_lanes_before(own);
        if (lane == TDBG_GPU_WARP - 1)
            shared.warp[warp] = up_to;
        __syncthreads();
        const int32_t of_warps = add_lanes_before(shared.warp[lane]);
        const int32_t before = __shfl_sync(TDBG_GPU_ALL_LANES, of_warps, warp > 0 ? warp - 1 : 0);
        if (i < n)
            x[i] = done + (warp > 0 ? before : 0) + up_to - own;
        done += __shfl_sync(TDBG_GPU_ALL_LANES, of_warps, TDBG_GPU_WARP - 1);
        __syncthreads();
    }
}

/* The lanes of the warp that hold the same digit; none of those without one (-1). */
static __device__ __forceinline__ unsigned lanes_alike(int digit)
{
    unsigned alike = __ballot_sync(TDBG_GPU_ALL_LANES, digit >= 0);
#pragma unroll
    for (int bit = 0; bit < DIGIT_BITS; bit++) {
        const unsigned set = __ballot_sync(TDBG_GPU_ALL_LANES, digit >> bit & 1);
        alike &= digit >> bit & 1 ? set : ~set;
    }
    return alike;
}

struct place_shared {
    int32_t next[DIGITS]; /* where the digit's next position goes */
    int32_t count[WARPS][DIGITS];
};

/* Where each warp's positions of a digit begin, after those of the warps before it. A thread for
 * each digit. */
static __device__ __forceinline__ void place_warps(struct place_shared &shared)
{
    int32_t next = shared.next[threadIdx.x];
    for (int w = 0; w < WARPS; w++) {
        const int32_t count = shared.count[w][threadIdx.x];
        shared.count[w][threadIdx.x] = next;
        next += count;
    }
    shared.next[threadIdx.x] = next;
}

static __global__ void __launch_bounds__(THREADS) place_digits(struct sort_step s)
{
    TDBG_SHARED(struct place_shared, shared);
    const int warp = (int)threadIdx.x / TDBG_GPU_WARP, lane = (int)threadIdx.x % TDBG_GPU_WARP;
    for (int64_t tile = blockIdx.x; tile < s.tiles; tile += gridDim.x) {
        shared.next[threadIdx.x] = s.counts[threadIdx.x * s.tiles + tile];
        for (int round = 0; round < ROUNDS; round++) {
            const int64_t i = tile * TILE + round * THREADS + threadIdx.x;
            const int32_t position = i < s.n ? position_at(s, i) : 0;
            const int digit = i < s.n ? digit_of(s, position) : -1;
            const unsigned alike = lanes_alike(digit);
            const int before = __popc(alike & ((1u << lane) - 1));
            for (int w = 0; w < WARPS; w++)
                shared.count[w][threadIdx.x] = 0;
            __syncthreads();
            if (digit >= 0 && before == 0)
                shared.count[warp][digit] = __popc(alike);
            __syncthreads();
            place_warps(shared);
            __syncthreads();
            if (digit >= 0)
                s.to[shared.count[warp][digit] + before] = position;
            __syncthreads();
        }
    }
}

/* start[v] = how many sorted positions hold tokens below v. */
static __global__ void find_starts(struct tdbg_embedding e, const int32_t *order, int32_t *start)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t v = (int64_t)blockIdx.x * THREADS + threadIdx.x; v <= e.vocab; v += step) {
        int64_t lo = 0, hi = e.n;
        while (lo < hi) {
            const int64_t middle = lo + (hi - lo) / 2;
            if (e.tokens[order[middle]] < v)
                lo = middle + 1;
            else
                hi = middle;
        }
        start[v] = (int32_t)lo;
    }
}

static void sort_positions(struct tdbg_gpu *gpu, const struct tdbg_embedding *e, struct space *s)
{
    struct sort_step step = {e->tokens, NULL, s->order, s->counts, e->n, count_tiles(e), 0};
    const unsigned blocks = tdbg_gpu_blocks(step.tiles, 1);
    do {
        TDBG_LAUNCH(gpu, count_digits, blocks, THREADS, step);
        TDBG_LAUNCH(gpu, scan, 1, SCAN_THREADS, DIGITS * step.tiles, s->counts);
        TDBG_LAUNCH(gpu, place_digits, blocks, THREADS, step);
        s->order = step.to;
        step.to = step.from == NULL ? s->spare : (int32_t *)step.from;
        step.from = s->order;
        step.shift += DIGIT_BITS;
    } while (step.shift < 31 && (e->vocab - 1) >> step.shift > 0);
    TDBG_LAUNCH(gpu, find_starts, tdbg_gpu_blocks(e->vocab + 1, THREADS), THREADS, *e, s->order,
                s->start);
}

/* ---- sums ---- */

/* Column c over count sorted positions, in one slice. */
template <typename T>
static __device__ __forceinline__ float sum_slice(int64_t count, const int32_t *order, int64_t dim,
                                                  const T *dy, int64_t c)
{
    float sum = 0;
#pragma unroll 8
    for (int64_t i = 0; i < count; i++)
        sum = TDBG_STRICT_ADD(sum, tdbg_gpu_get(dy + order[i] * dim + c));
    return sum;
}

/* Slices of the tokens that have more than one. A token's s-th slice is at place start[v] / SLOT +
 * s: as a slice has two SLOTs and the last of several has at least half as many places as it needs,
 * those of two tokens never meet, and sorted position SLOT * (place + 1) - 1 holds the token. */
template <typename T>
static __global__ void sum_slices(struct tdbg_embedding e, struct space s, const T *dy)
{
    for (int64_t place = blockIdx.x; place < e.n / SLOT; place += gridDim.x) {
        const int32_t v = e.tokens[s.order[SLOT * (place + 1) - 1]];
        const int64_t start = s.start[v], count = s.start[v + 1] - start;
        const int64_t first = (place - start / SLOT) * TDBG_K_SLICE, left = count - first;
        if (count <= TDBG_K_SLICE || first < 0 || left <= 0 || v == e.padding_idx)
            continue;
        for (int64_t c = threadIdx.x; c < e.dim; c += blockDim.x)
            s.slices[place * e.dim + c] =
                sum_slice(left < TDBG_K_SLICE ? left : (int64_t)TDBG_K_SLICE,
                          s.order + start + first, e.dim, dy, c);
    }
}

/* A block for each row of the table. */
template <typename T>
static __global__ void sum_rows(struct tdbg_embedding e, struct space s, const T *dy, float *dtable)
{
    for (int64_t v = blockIdx.x; v < e.vocab; v += gridDim.x) {
        const int64_t start = s.start[v];
        const int64_t count = v == e.padding_idx ? 0 : s.start[v + 1] - start;
        const float *slice = s.slices + start / SLOT * e.dim;
        for (int64_t c = threadIdx.x; c < e.dim; c += blockDim.x) {
            float sum = 0;
            if (count <= TDBG_K_SLICE) {
                sum = sum_slice(count, s.order + start, e.dim, dy, c);
            } else {
#pragma unroll 8
                for (int64_t i = 0; i < (count + TDBG_K_SLICE - 1) / TDBG_K_SLICE; i++)
                    sum = TDBG_STRICT_ADD(sum, slice[i * e.dim + c]);
            }
            dtable[v * e.dim + c] = tdbg_strict_canonical(sum);
        }
    }
}

template <typename T>
static void backward(struct tdbg_gpu *gpu, const struct tdbg_embedding *e, const T *dy,
                     float *dtable, void *workspace)
{
    struct space s = space_of(e, workspace);
    sort_positions(gpu, e, &s);
    TDBG_LAUNCH(gpu, (sum_slices<T>), tdbg_gpu_blocks(e->n / SLOT, 1), column_threads(e->dim), *e,
                s, dy);
    TDBG_LAUNCH(gpu, (sum_rows<T>), tdbg_gpu_blocks(e->vocab, 1), column_threads(e->dim), *e, s, dy,
                dtable);
}

extern "C" void tdbg_cuda_embedding_backward(void *gpu, const struct tdbg_embedding *embedding,
                                             const float *dy, float *dtable, void *workspace)
{
    backward((struct tdbg_gpu *)gpu, embedding, dy, dtable, workspace);
}

extern "C" void tdbg_cuda_bf16_embedding_backward(void *gpu, const struct tdbg_embedding *embedding,
                                                  const float *dy, float *dtable, void *workspace)
{
    backward((struct tdbg_gpu *)gpu, embedding, tdbg_gpu_bf16_of(dy), dtable, workspace);
}
