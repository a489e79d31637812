/* The strict matrix product: the choice of a plan, packing, blocking and threads, and the plain
 * reference. The inner kernels are in gemm_cpu.c. Nothing in a plan can move a bit: each output's
 * terms are added in the one order that gemm.h states, whatever the plan. */
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm_isa.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"

enum {
    /* Rows of s at a time: MC * TDBG_K_SLICE floats stay in the second-level cache while the
     * columns' panels pass by. */
    MC = 168,
    NC = 1024, /* columns of v packed at a time, one slice of k deep */
    /* Elements of v packed at a time when the result is turned: for the first-level cache if the
     * rows can be read again and again from the second-level one, else for the latter. */
    TURNED_ELEMS = 1 << 12,
    TURNED_ELEMS_LARGE = 1 << 18,
    LINE_FLOATS = 16, /* 64 bytes: parts of a workspace start at multiples of it */
};

/* Work that is worth another thread: waking one costs a few microseconds. */
static const double thread_fmas = 1 << 20;

/* A product seen from the register tile: rows are broadcast, columns are vectors. Turned, the rows
 * are C's columns, so that C comes out transposed and is turned on its way to memory; that is
 * cheaper when the columns' operand would have to be turned otherwise and is larger than C and the
 * other operand, or when C has fewer columns than a vector. */
struct plan {
    const struct tdbg_gemm_isa *isa;
    int64_t rows, cols, k;
    const float *s; /* s(i, t) = s[i * s_i + t * s_t] */
    int64_t s_i, s_t;
    const float *v; /* v(t, j) = v[t * v_t + j * v_j] */
    int64_t v_t, v_j;
    float *c; /* c(i, j) = c[i * c_i + j * c_j] */
    int64_t c_i, c_j;
    const float *bias; /* over columns, or over rows when turned */
    bool turned, pack_s, pack_v;
    int mr;                             /* rows of a tile, isa->mr at most */
    int64_t mc, nc;                     /* rows and columns packed at a time */
    int parts_down, parts_across;       /* one part per thread */
    int64_t s_pack_elems, v_pack_elems; /* of one part's workspace */
    float *workspace;
};

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t to)
{
    return ceil_div(a, to) * to;
}

const struct tdbg_gemm_isa *tdbg_gemm_isa_of(const struct tdbg_cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->isa == TDBG_ISA_AVX512)
        return &tdbg_gemm_isa_avx512;
    if (cpu->isa == TDBG_ISA_AVX2)
        return &tdbg_gemm_isa_avx2;
#else
    (void)cpu;
#endif
    return &tdbg_gemm_isa_portable;
}

/* Rows cut into panels as evenly as possible: the first `longer` have one row more. */
struct panels {
    int64_t count, longer;
    int rows;
};

static struct panels cut_rows(int64_t rows, int mr)
{
    int64_t count = ceil_div(rows, mr);
    return (struct panels){count, rows % count, (int)(rows / count)};
}

/* Start of part `part` when n units are cut into `parts` as evenly as possible. */
static int64_t cut(int64_t n, int64_t parts, int64_t part)
{
    return parts == 1 ? n * part : n / parts * part + min_i64(n % parts, part);
}

static void look_straight(struct plan *p, const struct tdbg_gemm *g)
{
    p->turned = false;
    p->rows = g->m;
    p->cols = g->n;
    p->s = g->a;
    p->s_i = g->trans_a ? 1 : g->lda;
    p->s_t = g->trans_a ? g->lda : 1;
    p->v = g->b;
    p->v_t = g->trans_b ? 1 : g->ldb;
    p->v_j = g->trans_b ? g->ldb : 1;
    p->c_i = g->ldc;
    p->c_j = 1;
}

static void look_turned(struct plan *p, const struct tdbg_gemm *g)
{
    p->turned = true;
    p->rows = g->n;
    p->cols = g->m;
    p->s = g->b;
    p->s_i = g->trans_b ? g->ldb : 1;
    p->s_t = g->trans_b ? 1 : g->ldb;
    p->v = g->a;
    p->v_t = g->trans_a ? g->lda : 1;
    p->v_j = g->trans_a ? 1 : g->lda;
    p->c_i = 1;
    p->c_j = g->ldc;
}

/* Rows of a tile when they are read where they lie. Rows a multiple of 4 KiB apart share one set of
 * the first-level cache, which has 8 ways on older processors: more rows than that would evict one
 * another between two terms. */
static int rows_in_place(const struct plan *p)
{
    bool crowded = p->s_t == 1 && p->s_i * (int64_t)sizeof(float) % 4096 == 0;
    return crowded && p->isa->mr > 8 ? 8 : p->isa->mr;
}

/* Whether to pack, for a product that is one part of `rows` by `cols`. */
static void choose_packing(struct plan *p)
{
    int64_t down = ceil_div(p->rows, p->isa->mr), across = ceil_div(p->cols, p->isa->nr);
    p->pack_v = p->v_j != 1 || down > 6;
    p->pack_s = !p->turned && across > 8;
    p->mr = p->pack_s ? p->isa->mr : rows_in_place(p);
}

/* Estimated time of a plan, in fused multiply-adds of a whole vector: what the tiles do (tiles one
 * vector wide wait for their loads) and, per element, what packing and turning were measured to
 * cost. */
static double cost(const struct plan *p)
{
    double rows = (double)p->rows, cols = (double)p->cols, k = (double)p->k;
    double fmas = rows * (double)ceil_div(p->cols, p->isa->lanes) * k;
    if (p->cols <= p->isa->lanes)
        fmas *= 1.2;
    if (p->pack_v)
        fmas += k * cols * (p->v_j == 1 ? 0.1 : 0.35);
    if (p->pack_s)
        fmas += k * rows * (p->s_i == 1 ? 0.1 : 0.35);
    if (p->turned)
        fmas += rows * cols * 1.5;
    return fmas;
}

/* Cuts the product into parts, as square as it goes, because each part packs for itself. */
static void choose_parts(struct plan *p, int threads)
{
    double fmas = (double)p->rows * (double)p->cols * (double)p->k / p->isa->lanes * 16;
    if (fmas / thread_fmas < threads)
        threads = (int)(fmas / thread_fmas);
    int64_t units = ceil_div(p->cols, p->isa->nr), least = INT64_MAX;
    for (int down = 1; down <= threads && down <= p->rows; down++) {
        int across = (int)min_i64(threads / down, units);
        int64_t rows = ceil_div(p->rows, down), cols = ceil_div(units, across) * p->isa->nr;
        int64_t time = rows * cols + 4 * (rows + cols);
        if (time < least) {
            least = time;
            p->parts_down = down;
            p->parts_across = across;
        }
    }
}

static void choose_workspace(struct plan *p)
{
    const struct tdbg_gemm_isa *isa = p->isa;
    int64_t depth = p->turned ? p->k : min_i64(p->k, TDBG_K_SLICE);
    int64_t turned = p->rows * p->k > TURNED_ELEMS_LARGE ? TURNED_ELEMS_LARGE : TURNED_ELEMS;
    int64_t nc = p->turned ? turned / depth / isa->nr * isa->nr : NC;
    p->nc = nc < isa->nr ? isa->nr : nc;
    p->mc = MC;
    if (!p->pack_s && !p->pack_v)
        return;
    int64_t units = ceil_div(ceil_div(p->cols, isa->nr), p->parts_across);
    int64_t rows = ceil_div(p->rows, p->parts_down), cols = min_i64(units * isa->nr, p->cols);
    if (p->pack_v)
        p->v_pack_elems = round_up(min_i64(p->nc, round_up(cols, isa->lanes)) * depth, LINE_FLOATS);
    if (p->pack_s) /* a vector more than the panels: see tdbg_gemm_isa.pack */
        p->s_pack_elems = round_up(min_i64(p->mc, rows) * depth + isa->lanes, LINE_FLOATS);
}

static void choose_plan(struct plan *p, const struct tdbg_cpu *cpu, const struct tdbg_gemm *g)
{
    *p = (struct plan){.isa = tdbg_gemm_isa_of(cpu), .k = g->k, .c = g->c, .bias = g->bias};
    p->parts_down = p->parts_across = 1;
    look_straight(p, g);
    choose_packing(p);
    if (g->trans_b || g->n < p->isa->lanes) {
        double straight = cost(p);
        look_turned(p, g);
        choose_packing(p);
        if (cost(p) >= straight) {
            look_straight(p, g);
            choose_packing(p);
        }
    }
    if (cpu->threads > 1)
        choose_parts(p, cpu->threads);
    choose_workspace(p);
}

/* Packs columns j0..j1-1, terms t0..t1-1: one panel of nr columns, rounded up to whole vectors,
 * after the other. */
static void pack_columns(const struct plan *p, int64_t j0, int64_t j1, int64_t t0, int64_t t1,
                         float *out)
{
    for (int64_t j = j0; j < j1; j += p->isa->nr) {
        struct tdbg_gemm_pack pack = {.x = p->v + j * p->v_j + t0 * p->v_t,
                                      .lane_stride = p->v_j,
                                      .t_stride = p->v_t,
                                      .k = t1 - t0,
                                      .lanes = (int)min_i64(p->isa->nr, j1 - j),
                                      .out = out};
        pack.out_stride = round_up(pack.lanes, p->isa->lanes);
        p->isa->pack(&pack);
        out += pack.out_stride * pack.k;
    }
}

/* Packs rows i0..i1-1, terms t0..t1-1, cut into panels as evenly as possible. */
static void pack_rows(const struct plan *p, int64_t i0, int64_t i1, int64_t t0, int64_t t1,
                      float *out)
{
    const struct panels panels = cut_rows(i1 - i0, p->mr);
    struct tdbg_gemm_pack pack = {.x = p->s + i0 * p->s_i + t0 * p->s_t,
                                  .lane_stride = p->s_i,
                                  .t_stride = p->s_t,
                                  .k = t1 - t0,
                                  .out = out};
    for (int64_t panel = 0; panel < panels.count; panel++) {
        pack.lanes = panels.rows + (panel < panels.longer);
        pack.out_stride = pack.lanes;
        p->isa->pack(&pack);
        pack.x += pack.lanes * p->s_i;
        pack.out += pack.out_stride * pack.k;
    }
}

/* Where a part finds its operands: packed or in place. */
struct block {
    int64_t i0, i1, j0, j1; /* rows and columns */
    int64_t t0, t1;         /* terms: one slice, or all when turned */
    float *s_pack, *v_pack;
};

/* Columns j0.. of a block as tiles see them; stride is of t. */
static const float *columns_at(const struct plan *p, const struct block *b, int64_t j,
                               int64_t width, int64_t *stride)
{
    if (!p->pack_v) {
        *stride = p->v_t;
        return p->v + j * p->v_j + b->t0 * p->v_t;
    }
    *stride = round_up(width, p->isa->lanes);
    return b->v_pack + (j - b->j0) * (b->t1 - b->t0);
}

/* All tiles of a block of C over one slice of k. */
static void run_slice(const struct plan *p, const struct block *b)
{
    struct tdbg_gemm_tile tile = {.s_i = p->s_i, .s_t = p->s_t, .c_i = p->c_i};
    tile.k = b->t1 - b->t0;
    tile.first = b->t0 == 0;
    tile.last = b->t1 == p->k;
    const struct panels panels = cut_rows(b->i1 - b->i0, p->mr);
    for (int64_t j = b->j0; j < b->j1; j += p->isa->nr) {
        tile.cols = (int)min_i64(p->isa->nr, b->j1 - j);
        tile.v = columns_at(p, b, j, tile.cols, &tile.v_t);
        tile.bias = p->bias ? p->bias + j : NULL;
        tile.c = p->c + b->i0 * p->c_i + j;
        tile.s = p->pack_s ? b->s_pack : p->s + b->i0 * p->s_i + b->t0 * p->s_t;
        for (int64_t panel = 0; panel < panels.count; panel++) {
            tile.rows = panels.rows + (panel < panels.longer);
            if (p->pack_s) {
                tile.s_i = 1;
                tile.s_t = tile.rows;
            }
            p->isa->tile(&tile);
            tile.c += tile.rows * p->c_i;
            tile.s += tile.rows * (p->pack_s ? tile.k : p->s_i);
        }
    }
}

static void run_straight(const struct plan *p, const struct block *part)
{
    struct block b = *part;
    for (b.j0 = part->j0; b.j0 < part->j1; b.j0 = b.j1) {
        b.j1 = min_i64(b.j0 + p->nc, part->j1);
        for (b.t0 = 0; b.t0 < p->k; b.t0 = b.t1) {
            b.t1 = min_i64(b.t0 + TDBG_K_SLICE, p->k);
            if (p->pack_v)
                pack_columns(p, b.j0, b.j1, b.t0, b.t1, b.v_pack);
            for (b.i0 = part->i0; b.i0 < part->i1; b.i0 = b.i1) {
                b.i1 = min_i64(b.i0 + p->mc, part->i1); /* packed or not: s stays near */
                if (p->pack_s)
                    pack_rows(p, b.i0, b.i1, b.t0, b.t1, b.s_pack);
                run_slice(p, &b);
            }
        }
    }
}

/* One tile over all slices, into a small buffer, and from there turned into C. */
static void run_turned_tile(const struct plan *p, const struct block *b, struct tdbg_gemm_tile tile,
                            int64_t i, int64_t j)
{
    _Alignas(64) float sum[TDBG_GEMM_MAX_MR * TDBG_GEMM_MAX_NR];
    const float *s = tile.s, *v = tile.v;
    tile.c = sum;
    tile.c_i = p->isa->nr;
    for (int64_t t = b->t0; t < b->t1; t += TDBG_K_SLICE) {
        tile.s = s + t * p->s_t;
        tile.v = v + t * tile.v_t;
        tile.k = min_i64(TDBG_K_SLICE, b->t1 - t);
        tile.first = t == b->t0;
        p->isa->tile(&tile);
    }
    p->isa->turn(&(struct tdbg_gemm_turn){.x = sum,
                                          .x_i = p->isa->nr,
                                          .rows = tile.rows,
                                          .cols = tile.cols,
                                          .bias = p->bias ? p->bias + i : NULL,
                                          .c = p->c + i + j * p->c_j,
                                          .c_j = p->c_j});
}

static void run_turned(const struct plan *p, const struct block *part)
{
    struct block b = *part;
    struct tdbg_gemm_tile tile = {.s_i = p->s_i, .s_t = p->s_t};
    const struct panels panels = cut_rows(b.i1 - b.i0, p->mr);
    b.t0 = 0;
    b.t1 = p->k;
    for (b.j0 = part->j0; b.j0 < part->j1; b.j0 = b.j1) {
        b.j1 = min_i64(b.j0 + p->nc, part->j1);
        if (p->pack_v)
            pack_columns(p, b.j0, b.j1, b.t0, b.t1, b.v_pack);
        int64_t i = b.i0;
        for (int64_t panel = 0; panel < panels.count; panel++, i += tile.rows) {
            tile.rows = panels.rows + (panel < panels.longer);
            tile.s = p->s + i * p->s_i;
            for (int64_t j = b.j0; j < b.j1; j += p->isa->nr) {
                tile.cols = (int)min_i64(p->isa->nr, b.j1 - j);
                tile.v = columns_at(p, &b, j, tile.cols, &tile.v_t);
                run_turned_tile(p, &b, tile, i, j);
            }
        }
    }
}

static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    const struct plan *p = ctx;
    int64_t units = ceil_div(p->cols, p->isa->nr);
    for (int64_t part = lo; part < hi; part++) {
        int64_t down = part / p->parts_across, across = part % p->parts_across;
        float *space =
            p->workspace ? p->workspace + part * (p->s_pack_elems + p->v_pack_elems) : NULL;
        struct block b = {
            .i0 = cut(p->rows, p->parts_down, down),
            .i1 = cut(p->rows, p->parts_down, down + 1),
            .j0 = cut(units, p->parts_across, across) * p->isa->nr,
            .j1 = min_i64(cut(units, p->parts_across, across + 1) * p->isa->nr, p->cols),
            .v_pack = p->pack_v ? space : NULL,
            .s_pack = p->pack_s ? space + p->v_pack_elems : NULL,
        };
        if (p->turned)
            run_turned(p, &b);
        else
            run_straight(p, &b);
    }
}

size_t tdbg_gemm_workspace_bytes(const struct tdbg_cpu *cpu, const struct tdbg_gemm *gemm)
{
    if (gemm->m == 0 || gemm->n == 0 || gemm->k == 0)
        return 0;
    struct plan p;
    choose_plan(&p, cpu, gemm);
    int64_t elems = (p.s_pack_elems + p.v_pack_elems) * p.parts_down * p.parts_across;
    return (size_t)elems * sizeof(float);
}

void tdbg_gemm_run(const struct tdbg_cpu *cpu, const struct tdbg_gemm *gemm, void *workspace)
{
    if (gemm->m == 0 || gemm->n == 0)
        return;
    if (gemm->k == 0) { /* nothing but the bias */
        tdbg_gemm_reference(gemm);
        return;
    }
    struct plan p;
    choose_plan(&p, cpu, gemm);
    p.workspace = workspace;
    int parts = p.parts_down * p.parts_across;
    if (parts > 1)
        tdbg_parallel_for(parts, parts, 1, run_parts, &p);
    else
        run_parts(&p, 0, 1);
}

void tdbg_gemm_reference(const struct tdbg_gemm *g)
{
    static const uint32_t canonical = 0x7fc00000;
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) {
            float sum = 0.0f;
            for (int64_t slice = 0; slice < g->k; slice += TDBG_K_SLICE) {
                float p = 0.0f;
                for (int64_t t = slice; t < g->k && t < slice + TDBG_K_SLICE; t++)
                    p = fmaf(g->trans_a ? g->a[t * g->lda + i] : g->a[i * g->lda + t],
                             g->trans_b ? g->b[j * g->ldb + t] : g->b[t * g->ldb + j], p);
                sum = slice == 0 ? p : sum + p;
            }
            if (g->bias)
                sum = sum + g->bias[j];
            if (isnan(sum))
                memcpy(&sum, &canonical, sizeof sum);
            g->c[i * g->ldc + j] = sum;
        }
    }
}
