/* The matrix product of both backends, bit for bit: all transposes, ragged shapes, strided and
 * unaligned operands, every cut into tiles and slices, and special values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../op/kernel_case.h"
#include "gpu_compare.h"
#include "gpu_open.h"
#include "kernels/gemm_cuda.h"

static struct tdbg_backend *cpu, *gpu;

/* SMALL: products so small that their sums round to zeros of both signs. */
enum fill { PLAIN, SPECIAL, SMALL };

struct layout {
    int64_t more[3];   /* of the strides of a, b, c: beyond a row */
    int64_t offset[3]; /* floats in front of them, from an aligned address */
    bool bias;
};

static const struct layout dense = {{0}, {0}, false};

/* ---- one product on both backends ---- */

struct matrix {
    int64_t offset, elems; /* with what is in front */
    float *host;
    float *on_gpu;
};

static struct matrix make_matrix(int64_t rows, int64_t stride, int64_t cols, int64_t offset,
                                 enum fill fill, uint64_t stream)
{
    struct matrix x = {.offset = offset};
    x.elems = offset + (rows > 0 ? (rows - 1) * stride + cols : 0);
    x.host = malloc((size_t)x.elems * sizeof(float) + 1);
    const uint64_t key = tdbg_philox_key(CASE_SEED, TDBG_RANDOM_TEST, stream);
    for (int64_t i = 0; i < x.elems; i++) {
        const struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, 0);
        x.host[i] = case_value(&r, CASE_PLAIN);
        if (fill == SMALL)
            x.host[i] *= 0x1p-80f;
        /* few enough that some outputs are numbers */
        if (fill == SPECIAL && r.word[3] % 64 == 0)
            x.host[i] = case_value(&r, CASE_SPECIAL);
    }
    x.on_gpu = gpu_place(gpu, x.host, (size_t)x.elems * sizeof(float));
    return x;
}

static void free_matrix(struct matrix *x)
{
    gpu->free(gpu->context, x->on_gpu);
    free(x->host);
}

static void run_on_cpu(const struct tdbg_gemm *g)
{
    const size_t bytes = cpu->gemm_workspace_bytes(cpu->context, g);
    void *workspace = bytes > 0 ? cpu->alloc(cpu->context, bytes) : NULL;
    cpu->gemm(cpu->context, g, workspace);
    if (workspace)
        cpu->free(cpu->context, workspace);
}

static void check_product(int64_t m, int64_t n, int64_t k, int trans, const struct layout *layout,
                          enum fill fill, const struct tdbg_gemm_cut *cut)
{
    char name[256];
    struct tdbg_gemm g = {.m = m, .n = n, .k = k, .trans_a = trans & 1, .trans_b = trans >> 1};
    const int64_t a_cols = g.trans_a ? m : k, b_cols = g.trans_b ? k : n;
    g.lda = a_cols + layout->more[0];
    g.ldb = b_cols + layout->more[1];
    g.ldc = n + layout->more[2];
    struct matrix a = make_matrix(g.trans_a ? k : m, g.lda, a_cols, layout->offset[0], fill, 1);
    struct matrix b = make_matrix(g.trans_b ? n : k, g.ldb, b_cols, layout->offset[1], fill, 2);
    struct matrix c = make_matrix(m, g.ldc, n, layout->offset[2], PLAIN, 3);
    struct matrix bias = make_matrix(1, n, n, 1, fill, 4);
    const size_t c_bytes = (size_t)c.elems * sizeof(float);
    float *got = malloc(c_bytes + 1);

    g.a = a.on_gpu + a.offset;
    g.b = b.on_gpu + b.offset;
    g.c = c.on_gpu + c.offset;
    g.bias = layout->bias ? bias.on_gpu + 1 : NULL;
    assert_int_equal(gpu->gemm_workspace_bytes(gpu->context, &g), 0);
    if (cut)
        tdbg_cuda_gemm_run(gpu->context, &g, *cut);
    else
        gpu->gemm(gpu->context, &g, NULL);
    gpu_fetch(gpu, got, c.on_gpu, c_bytes);

    g.a = a.host + a.offset;
    g.b = b.host + b.offset;
    g.c = c.host + c.offset;
    g.bias = layout->bias ? bias.host + 1 : NULL;
    run_on_cpu(&g);
    snprintf(name, sizeof name,
             "(%lld, %lld, %lld)%s%s strides %lld %lld %lld tile %s slices at once %lld",
             (long long)m, (long long)n, (long long)k, g.trans_a ? " A^T" : "",
             g.trans_b ? " B^T" : "", (long long)g.lda, (long long)g.ldb, (long long)g.ldc,
             cut ? tdbg_cuda_gemm_tile_text(cut->tile) : "chosen",
             cut ? (long long)cut->slices_at_once : -1);
    gpu_check_same(name, c.host, got, c.elems); /* what lies between the rows, too */
    free(got);
    free_matrix(&a);
    free_matrix(&b);
    free_matrix(&c);
    free_matrix(&bias);
}

/* ---- tests ---- */

static const struct layout layouts[] = {
    {{0, 0, 0}, {0, 0, 0}, false}, {{4, 8, 12}, {0, 4, 0}, true}, {{0, 0, 0}, {1, 0, 0}, true},
    {{0, 0, 0}, {0, 3, 2}, false}, {{3, 5, 1}, {0, 0, 0}, true},  {{1, 0, 7}, {2, 1, 3}, false},
};

enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static void test_shapes(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 7, 33, 127, 129, 200};
    static const int64_t depths[] = {0, 1, 255, 256, 257, 513, 1000};
    int at = 0;
    for (size_t m = 0; m < sizeof sizes / sizeof *sizes; m++) {
        for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
            for (size_t k = 0; k < sizeof depths / sizeof *depths; k++) {
                check_product(sizes[m], sizes[n], depths[k], at % 4, &layouts[at % LAYOUTS], PLAIN,
                              NULL);
                at++;
            }
        }
    }
}

static void test_nothing(void **state)
{
    (void)state;
    check_product(0, 5, 7, 0, &dense, PLAIN, NULL);
    check_product(5, 0, 7, 0, &dense, PLAIN, NULL);
    check_product(0, 0, 0, 3, &dense, PLAIN, NULL);
    check_product(70, 5, 0, 0, &layouts[1], PLAIN, NULL);
}

/* Every tile, with its slices in one block or in several: quads of operands at the edges, whole and
 * ragged tiles, terms that end within a tile's depth. */
static void test_cuts(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {128, 64, 16}, {130, 67, 259}, {5, 129, 530}, {64, 32, 768}, {97, 3, 1030}};
    for (int tile = 0; tile < tdbg_cuda_gemm_tile_count(); tile++) {
        int at = 0;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int trans = 0; trans < 4; trans++, at++) {
                static const int64_t at_once[] = {0, 5, 0, 1, 2, 3};
                const struct tdbg_gemm_cut cut = {tile, at_once[at % 6]};
                check_product(shapes[i][0], shapes[i][1], shapes[i][2], trans,
                              &layouts[(at + tile) % LAYOUTS], PLAIN, &cut);
            }
        }
    }
}

static void test_special_values(void **state)
{
    (void)state;
    for (int tile = 0; tile < tdbg_cuda_gemm_tile_count(); tile++) {
        for (int64_t at_once = 0; at_once <= 2; at_once += 2) {
            const struct tdbg_gemm_cut cut = {tile, at_once};
            check_product(33, 20, 301, tile % 4, &layouts[tile % 2], SPECIAL, &cut);
            check_product(33, 20, 3, tile % 4, &layouts[tile % 2], SPECIAL, &cut);
            check_product(20, 33, 301, (tile + 1) % 4, &dense, SMALL, &cut);
            check_product(20, 33, 1, (tile + 1) % 4, &dense, SMALL, &cut);
        }
    }
}

/* Whatever the shape and the GPU, a choice that can be run. */
static void test_choice(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 64, 128, 768, 3072, 32768, 1 << 20};
    for (int i = 0; i < 7 * 7 * 7; i++) {
        const struct tdbg_gemm g = {
            .m = sizes[i % 7], .n = sizes[i / 7 % 7], .k = sizes[i / 49], .ldc = 1};
        for (int multiprocessors = 1; multiprocessors < 200; multiprocessors += 33) {
            const struct tdbg_gemm_cut cut =
                tdbg_cuda_gemm_choose(multiprocessors, i % 2 ? 75 : 90, &g);
            assert_in_range(cut.tile, 0, tdbg_cuda_gemm_tile_count() - 1);
            assert_true(cut.slices_at_once >= 0 && cut.slices_at_once * 256 < g.k + 256);
            assert_true(cut.slices_at_once * g.m * g.n <= (int64_t)1 << 28);
            if (i % 2 && g.k > 256) /* no room for the sums of 128 x 128 outputs */
                assert_true(cut.tile > 0 || cut.slices_at_once > 0);
        }
    }
}

int main(void)
{
    gpu_open_both(&cpu, &gpu);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_special_values), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_choice),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    return failed;
}
