/* Inner kernels of the strict matrix product, compiled once per instruction set: the register
 * tile, the packing of panels and the turning of a transposed tile. gemm.c cuts a product into
 * these; gemm_vec.h holds the few vector operations they are written in. */
#include "kernels/gemm_isa.h"

#include "kernels/gemm_vec.h"

#define VECS (NR / LANES) /* vectors in a tile's row */

/* Rows of s share a pointer by threes, so that a row's address is pointer + {0, 1, 2} * s_i, which
 * one x86 operand can express: 14 rows need 5 pointers and a stride. */
enum { SHARE = 3, POINTERS = (MR + SHARE - 1) / SHARE };

/* From this length of k on, C is fetched ahead: it is read and written at the end, all at once. */
enum { PREFETCH_K = 64 };

#define INLINE static inline __attribute__((always_inline))

/* Keeps the compiler from replacing one advancing pointer by many addresses, which spill. */
#define KEEP(pointer) __asm__("" : "+r"(pointer))

/* One step of k: every accumulator's chain grows by one term. */
#define STEP                                                                                       \
    do {                                                                                           \
        vec x[VECS];                                                                               \
        UNROLL(4) for (int j = 0; j < vecs; j++) x[j] = LOAD(v + j * LANES, j);                    \
        UNROLL(16) for (int i = 0; i < rows; i++)                                                  \
        {                                                                                          \
            vec y = v_set1(s[i / SHARE][(i % SHARE) * s_i]);                                       \
            UNROLL(4) for (int j = 0; j < vecs; j++) p[i][j] = v_fma(y, x[j], p[i][j]);            \
        }                                                                                          \
        UNROLL(16) for (int g = 0; g * SHARE < rows; g++)                                          \
        {                                                                                          \
            s[g] += s_t;                                                                           \
            KEEP(s[g]);                                                                            \
        }                                                                                          \
        v += v_t;                                                                                  \
        KEEP(v);                                                                                   \
    } while (0)

#define FOR_EACH_VEC(do_this)                                                                      \
    UNROLL(16) for (int i = 0; i < rows; i++) UNROLL(4) for (int j = 0; j < vecs; j++) do_this
#define FOR_EACH_VEC_OF_C(do_this)                                                                 \
    do {                                                                                           \
        float *c = t->c;                                                                           \
        UNROLL(16) for (int i = 0; i < rows; i++)                                                  \
        {                                                                                          \
            UNROLL(4) for (int j = 0; j < vecs; j++) do_this;                                      \
            c += c_i;                                                                              \
            KEEP(c);                                                                               \
        }                                                                                          \
    } while (0)
#define IS_PART(j)     (part && (j) == vecs - 1)
#define LOAD(x, j)     (IS_PART(j) ? v_load_part(x, mask) : v_load(x))
#define STORE(x, j, y) (IS_PART(j) ? v_store_part(x, y, mask) : v_store(x, y))

/* rows, vecs and part are constants at every call. part: the last vector's columns are not all
 * there, in v as well as in c. */
INLINE void tile_body(const struct tdbg_gemm_tile *t, const int rows, const int vecs,
                      const bool part)
{
    const int64_t s_i = t->s_i, s_t = t->s_t, v_t = t->v_t, c_i = t->c_i;
    const vmask mask = v_mask(t->cols - (vecs - 1) * LANES);
    const float *const bias = t->bias, *v = t->v, *s[POINTERS];
    vec p[MR][VECS];
    UNROLL(16)
    for (int g = 0; g < POINTERS; g++)
        s[g] = t->s + (g * SHARE < rows ? g * SHARE * s_i : 0);
    if (t->k >= PREFETCH_K)
        FOR_EACH_VEC_OF_C(__builtin_prefetch(c + j * LANES, 1, 3));
    FOR_EACH_VEC(p[i][j] = v_zero());
    int64_t left = t->k;
    for (; BY_FOURS && left >= 4; left -= 4) { /* the end of a short loop is predicted better */
        STEP;
        STEP;
        STEP;
        STEP;
    }
    if (BY_FOURS && left >= 2) {
        STEP;
        STEP;
        left -= 2;
    }
    for (; left > 0; left -= BY_FOURS ? left : 1)
        STEP;

    if (!t->first)
        FOR_EACH_VEC_OF_C(p[i][j] = v_add(LOAD(c + j * LANES, j), p[i][j]));
    if (t->last && bias)
        FOR_EACH_VEC(p[i][j] = v_add(p[i][j], LOAD(bias + j * LANES, j)));
    if (t->last && t->row_bias)
        FOR_EACH_VEC(p[i][j] = v_add(p[i][j], v_set1(t->row_bias[i])));
    if (t->last && t->scale)
        FOR_EACH_VEC(p[i][j] = v_mul(p[i][j], v_set1(*t->scale)));
    if (t->last) { /* one test for the whole tile: NaN is rare */
        vtest ordered = v_test_start();
        UNROLL(16)
        for (int i = 0; i < rows; i++)
            ordered = v_test(ordered, p[i][0], p[i][vecs - 1]);
        if (!v_test_passed(ordered))
            FOR_EACH_VEC(p[i][j] = v_canonical(p[i][j]));
    }
    FOR_EACH_VEC_OF_C(STORE(c + j * LANES, j, p[i][j]));
}

typedef void tile_fn(const struct tdbg_gemm_tile *t);

/* One function per number of rows, of vectors, and of whole or part last vector. */
#define TILE(rows, vecs)                                                                           \
    static void tile_##rows##x##vecs##_whole(const struct tdbg_gemm_tile *t)                       \
    {                                                                                              \
        tile_body(t, rows, vecs, false);                                                           \
    }                                                                                              \
    static void tile_##rows##x##vecs##_part(const struct tdbg_gemm_tile *t)                        \
    {                                                                                              \
        tile_body(t, rows, vecs, true);                                                            \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
FOR_EACH_ROWS(TILES)

static void run_tile(const struct tdbg_gemm_tile *t)
{
#define TILE_NAMES(rows)                                                                           \
    {{tile_##rows##x1_whole, tile_##rows##x1_part}, {tile_##rows##x2_whole, tile_##rows##x2_part}},
    static tile_fn *const table[MR][VECS][2] = {FOR_EACH_ROWS(TILE_NAMES)};
    int vecs = (t->cols + LANES - 1) / LANES;
    table[t->rows - 1][vecs - 1][t->cols % LANES != 0](t);
}

/* vecs vectors of each row, the last one of them by mask unless all of it is there. */
INLINE void pack_rows_of(const struct tdbg_gemm_pack *p, int first, const int vecs, const bool part)
{
    const vmask mask = v_mask(p->lanes - first - (vecs - 1) * LANES);
    const float *x = p->x + first;
    float *out = p->out + first;
    for (int64_t t = 0; t < p->k; t++, x += p->t_stride, out += p->out_stride) {
        vec row[VECS];
        UNROLL(4)
        for (int j = 0; j < vecs; j++)
            row[j] = LOAD(x + j * LANES, j);
        UNROLL(4)
        for (int j = 0; j < vecs; j++)
            v_store(out + j * LANES, row[j]);
    }
}

/* The lanes lie side by side: copy rows. */
static void pack_rows(const struct tdbg_gemm_pack *p)
{
    int first = 0;
    for (; p->lanes - first >= VECS * LANES; first += VECS * LANES)
        pack_rows_of(p, first, VECS, false);
    const int left = p->lanes - first;
    if (left > LANES)
        pack_rows_of(p, first, 2, true);
    else if (left == LANES)
        pack_rows_of(p, first, 1, false);
    else if (left > 0)
        pack_rows_of(p, first, 1, true);
}

/* Pointers to LANES rows of which `lanes` exist: those behind repeat the last one. */
static void point_at_rows(const float **row, const float *x, int64_t stride, int lanes)
{
    for (int l = 0; l < LANES; l++)
        row[l] = x + (l < lanes ? l : lanes - 1) * stride;
}

/* Up to LANES lanes, each of which is a row of the source: turns blocks of LANES by LANES. */
static void pack_turned(const struct tdbg_gemm_pack *p, int first, int lanes)
{
    const float *row[LANES];
    float *out = p->out + first;
    vec block[LANES];
    int64_t t = 0;
    point_at_rows(row, p->x + first * p->lane_stride, p->lane_stride, lanes);
    for (; t <= p->k - LANES; t += LANES) {
        v_load_turned(block, row, t);
        UNROLL(16)
        for (int i = 0; i < LANES; i++, out += p->out_stride)
            v_store(out, block[i]);
    }
    if (t == p->k)
        return;
    const int steps = (int)(p->k - t);
    v_load_turned_part(block, row, t, steps);
    UNROLL(16)
    for (int i = 0; i < LANES; i++, out += p->out_stride)
        if (i < steps)
            v_store(out, block[i]);
}

static void pack(const struct tdbg_gemm_pack *p)
{
    if (p->lane_stride == 1)
        pack_rows(p);
    else
        for (int first = 0; first < p->lanes; first += LANES)
            pack_turned(p, first, p->lanes - first < LANES ? p->lanes - first : LANES);
}

static void turn(const struct tdbg_gemm_turn *t)
{
    vmask mask = v_mask(t->rows);
    vec bias = t->bias ? v_load_part(t->bias, mask) : v_zero();
    const float *row[LANES];
    float *c = t->c;
    point_at_rows(row, t->x, t->x_i, t->rows);
    for (int first = 0; first < t->cols; first += LANES) {
        int cols = t->cols - first < LANES ? t->cols - first : LANES;
        vec block[LANES];
        v_load_turned_part(block, row, first, cols);
        UNROLL(16)
        for (int j = 0; j < LANES; j++, c += t->c_j) {
            vec x = t->bias ? v_add(block[j], bias) : block[j];
            if (j < cols)
                v_store_part(c, v_canonical(x), mask);
        }
    }
}

const struct tdbg_gemm_isa GEMM_ISA = {MR, NR, LANES, run_tile, pack, turn};
