/* The strict matrix product on a GPU: the choice of tiles and of how slices of k are shared out.
 * Definition: gemm.h; what a block does: gpu_gemm.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/gemm.h"
#include "kernels/gemm_cuda.h"
}
#include "kernels/gpu_gemm.h"

typedef void (*tile_kernel)(struct tdbg_gpu_gemm);

struct tile_kind {
    const char *text;
    int m, n, threads, resident, total_bytes;
    double speed; /* of FMAs on a multiprocessor that is full, as a part of its peak */
    tile_kernel kernel[2][2][2]; /* A' along k, B' along k, wide */
};

template <class S> static struct tile_kind kind_of(const char *text, double speed)
{
    return {
        text,
        S::M,
        S::N,
        S::THREADS,
        S::RESIDENT,
        S::TOTAL_BYTES,
        speed,
        {{{tdbg_gpu_gemm_tile<S, false, false, false>, tdbg_gpu_gemm_tile<S, false, false, true>},
          {tdbg_gpu_gemm_tile<S, false, true, false>, tdbg_gpu_gemm_tile<S, false, true, true>}},
         {{tdbg_gpu_gemm_tile<S, true, false, false>, tdbg_gpu_gemm_tile<S, true, false, true>},
          {tdbg_gpu_gemm_tile<S, true, true, false>, tdbg_gpu_gemm_tile<S, true, true, true>}}}};
}

/* What a thread has, warps down and across, terms at a time, blocks on a multiprocessor. */
static const struct tile_kind kinds[] = {
    kind_of<tdbg_gpu_gemm_shape<8, 8, 4, 2, 16, 2>>("128x128", 0.66),
    kind_of<tdbg_gpu_gemm_shape<8, 8, 4, 1, 8, 4>>("128x64", 0.66),
    kind_of<tdbg_gpu_gemm_shape<8, 4, 2, 2, 16, 4>>("64x64", 0.60),
    kind_of<tdbg_gpu_gemm_shape<4, 4, 4, 1, 16, 6>>("64x32", 0.53),
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- the choice ---- */

/* Fitted, with the speeds above, to the times of all cuts of 32 products on an H200 (bench-gpu-gemm
 * all). In cycles: what a launch costs; and how many warps make a multiprocessor half as fast as it
 * gets. */
static const double launch_cycles = 7000, half_warps = 7.2;
static const double bytes_per_cycle = 2900; /* of scratch memory, all multiprocessors together */
static const int64_t most_scratch_elems = 32 << 20;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t tiles_of(const struct tile_kind *kind, const struct tdbg_gemm *g)
{
    return ceil_div(g->m, kind->m) * ceil_div(g->n, kind->n);
}

/* Cycles of so many blocks with `k` terms each. A multiprocessor with few warps waits for them. */
static double time_of_blocks(int multiprocessors, const struct tile_kind *kind, int64_t blocks,
                             int64_t k)
{
    const int64_t each = ceil_div(blocks, multiprocessors);
    const double at_once = (double)(each < kind->resident ? each : kind->resident);
    const double warps = at_once * kind->threads / TDBG_GPU_WARP;
    const double full = (double)kind->resident * kind->threads / TDBG_GPU_WARP;
    const double speed =
        kind->speed * 128 * warps / (warps + half_warps) * (full + half_warps) / full;
    return (double)each * (double)kind->m * (double)kind->n * (double)k / speed;
}

static double time_of_cut(int multiprocessors, const struct tdbg_gemm *g, struct tdbg_gemm_cut cut)
{
    const struct tile_kind *kind = &kinds[cut.tile];
    const int64_t tiles = tiles_of(kind, g), slices = ceil_div(g->k, TDBG_K_SLICE);
    if (cut.slices_at_once == 0)
        return launch_cycles + time_of_blocks(multiprocessors, kind, tiles, g->k);
    const double rounds = (double)ceil_div(slices, cut.slices_at_once);
    const double bytes = 4.0 * (double)g->m * (double)g->n * (2.0 * (double)slices + 2.0 * rounds);
    const double round =
        time_of_blocks(multiprocessors, kind, tiles * cut.slices_at_once, TDBG_K_SLICE);
    return rounds * (2 * launch_cycles + round) + bytes / bytes_per_cycle;
}

/* Slices at once that leave few multiprocessors idle at the end of a round. */
static void choose_split(int multiprocessors, const struct tdbg_gemm *g, int tile, double *least,
                         struct tdbg_gemm_cut *best)
{
    const int64_t slices = ceil_div(g->k, TDBG_K_SLICE);
    int64_t most = g->m * g->n <= most_scratch_elems ? most_scratch_elems / (g->m * g->n) : 0;
    most = most < slices ? most : slices;
    for (int64_t at_once = 2; at_once <= most; at_once++) {
        const int64_t rounds = ceil_div(slices, at_once);
        if (at_once > 2 && ceil_div(slices, at_once - 1) == rounds)
            continue; /* fewer at once take as many rounds */
        const struct tdbg_gemm_cut cut = {tile, at_once};
        const double time = time_of_cut(multiprocessors, g, cut);
        if (time < *least) {
            *least = time;
            *best = cut;
        }
    }
}

/* Whether a block has room for what it has to remember of all slices: Turing has 64 KiB. */
static bool fits(int capability, const struct tile_kind *kind, const struct tdbg_gemm *g)
{
    return capability >= 80 || g->k <= TDBG_K_SLICE || kind->total_bytes <= 32 << 10;
}

extern "C" struct tdbg_gemm_cut tdbg_cuda_gemm_choose(int multiprocessors, int capability,
                                                      const struct tdbg_gemm *g)
{
    struct tdbg_gemm_cut best = {KINDS - 1, 0};
    if (g->m == 0 || g->n == 0)
        return best;
    double least = time_of_cut(multiprocessors, g, best);
    for (int tile = 0; tile < KINDS; tile++) {
        const struct tdbg_gemm_cut plain = {tile, 0};
        const double time = time_of_cut(multiprocessors, g, plain);
        if (time < least && fits(capability, &kinds[tile], g)) {
            least = time;
            best = plain;
        }
        /* where a launch fills the GPU several times, parallel slices gain nothing */
        if (tiles_of(&kinds[tile], g) < 8 * (int64_t)multiprocessors)
            choose_split(multiprocessors, g, tile, &least, &best);
    }
    return best;
}

extern "C" int tdbg_cuda_gemm_tile_count(void)
{
    return KINDS;
}

extern "C" const char *tdbg_cuda_gemm_tile_text(int tile)
{
    return kinds[tile].text;
}

/* ---- running ---- */

enum { THREADS = 256 };

/* c = [c +] part 0 + part 1 + ..., a part being (m, n); and at the end what gemm.h says. */
static __global__ void add_parts(int64_t m, int64_t n, int parts, const float *part, bool first,
                                 bool end, const float *bias, float *c, int64_t ldc)
{
    const int64_t elems = m * n, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < elems; i += step) {
        const int64_t row = i / n, col = i - row * n;
        float *to = c + row * ldc + col;
        float sum = first ? part[i] : *to;
#pragma unroll 8
        for (int p = first; p < parts; p++)
            sum = TDBG_STRICT_ADD(sum, part[p * elems + i]);
        if (end && bias)
            sum = TDBG_STRICT_ADD(sum, bias[col]);
        *to = end ? tdbg_strict_canonical(sum) : sum;
    }
}

static bool is_wide(const float *x, int64_t ld)
{
    return (uintptr_t)x % sizeof(float4) == 0 && ld % 4 == 0;
}

/* Whether all quads of an operand can be read at once, and none is partly there. */
static bool operand_is_wide(const float *x, int64_t ld, bool along_k, int64_t rows)
{
    return is_wide(x, ld) && (along_k || rows % 4 == 0);
}

static void run_tiles(struct tdbg_gpu *gpu, const struct tdbg_gemm *g, const struct tile_kind *kind,
                      int64_t slices)
{
    struct tdbg_gpu_gemm p = {};
    p.m = g->m;
    p.n = g->n;
    p.k = g->k;
    p.a = g->a;
    p.b = g->b;
    p.bias = g->bias;
    p.lda = g->lda;
    p.ldb = g->ldb;
    p.c = g->c;
    p.ldc = g->ldc;
    p.tiles_m = (unsigned)ceil_div(g->m, kind->m);
    p.tiles_n = (unsigned)ceil_div(g->n, kind->n);
    p.split = slices > 0;
    p.wide_c = is_wide(g->c, g->ldc) && (!p.split || g->m * g->n % 4 == 0);
    const bool wide = operand_is_wide(g->a, g->lda, !g->trans_a, g->m) &&
                      operand_is_wide(g->b, g->ldb, g->trans_b, g->n);
    const tile_kernel gemm_tile = kind->kernel[!g->trans_a][g->trans_b][wide];
    const int64_t blocks = (int64_t)p.tiles_m * p.tiles_n * (p.split ? slices : 1);
    TDBG_LAUNCH_DYNAMIC(gpu, gemm_tile, (unsigned)blocks, (unsigned)kind->threads,
                        !p.split && g->k > TDBG_K_SLICE ? (size_t)kind->total_bytes : 0, p);
}

/* Each slice by itself into scratch memory, `at_once` of them, then these added in order. */
static void run_split(struct tdbg_gpu *gpu, const struct tdbg_gemm *g, const struct tile_kind *kind,
                      int64_t at_once)
{
    const int64_t slices = ceil_div(g->k, TDBG_K_SLICE);
    float *parts = (float *)tdbg_gpu_scratch(gpu, (size_t)(at_once * g->m * g->n) * sizeof(float));
    if (!parts)
        return;
    for (int64_t slice = 0; slice < slices; slice += at_once) {
        const int64_t n = slices - slice < at_once ? slices - slice : at_once;
        const int64_t from = slice * TDBG_K_SLICE, left = g->k - from;
        struct tdbg_gemm part = *g;
        part.k = left < n * TDBG_K_SLICE ? left : n * TDBG_K_SLICE;
        part.a += g->trans_a ? from * g->lda : from;
        part.b += g->trans_b ? from : from * g->ldb;
        part.bias = NULL;
        part.c = parts;
        part.ldc = g->n;
        run_tiles(gpu, &part, kind, n);
        TDBG_LAUNCH(gpu, add_parts, tdbg_gpu_blocks(g->m * g->n, THREADS), THREADS, g->m, g->n,
                    (int)n, parts, slice == 0, slice + n == slices, g->bias, g->c, g->ldc);
    }
}

extern "C" void tdbg_cuda_gemm_run(void *gpu, const struct tdbg_gemm *g, struct tdbg_gemm_cut cut)
{
    if (g->m == 0 || g->n == 0)
        return;
    if (cut.slices_at_once > 0 && g->k > 0)
        run_split((struct tdbg_gpu *)gpu, g, &kinds[cut.tile], cut.slices_at_once);
    else
        run_tiles((struct tdbg_gpu *)gpu, g, &kinds[cut.tile], 0);
}

extern "C" size_t tdbg_cuda_gemm_workspace_bytes(void *, const struct tdbg_gemm *)
{
    return 0; /* what it needs differs with m: scratch memory */
}

extern "C" void tdbg_cuda_gemm(void *gpu, const struct tdbg_gemm *g, void *)
{
    const struct tdbg_gpu *on = (const struct tdbg_gpu *)gpu;
    tdbg_cuda_gemm_run(gpu, g, tdbg_cuda_gemm_choose(on->multiprocessors, on->capability, g));
}
