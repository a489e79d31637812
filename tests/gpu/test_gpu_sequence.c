/* Embeddings, positions, attention, softmax and dropout on the GPU backend beside the CPU's, bit
 * for bit, at shapes around the widths of tiles, warps and slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"

static struct tdbg_backend *backends[2]; /* CPU, GPU */

/* n values of a stream in a backend's memory, `shift` floats behind the start of a block; the block
 * is *all. */
static float *place_values(const struct tdbg_backend *be, int64_t n, int64_t shift, uint64_t stream,
                           enum gpu_values kind, float **all)
{
    float *from = malloc((size_t)(n + shift + 1) * sizeof *from);
    gpu_fill(from, n + shift, stream, kind);
    *all = gpu_place(be, from, (size_t)(n + shift) * sizeof *from);
    free(from);
    return *all + shift;
}

static float *place_rubbish(const struct tdbg_backend *be, int64_t n)
{
    return gpu_place(be, NULL, (size_t)n * sizeof(float));
}

static void expect_same(const char *what, const char *case_name, float *device[2], int64_t n)
{
    char name[160];
    float *host[2];
    for (int b = 0; b < 2; b++)
        host[b] = gpu_bring(backends[b], device[b], (size_t)n * sizeof(float));
    snprintf(name, sizeof name, "%s: %s", case_name, what);
    gpu_check_same(name, host[0], host[1], n);
    free(host[0]);
    free(host[1]);
}

/* ---- attention ---- */

struct attention_case {
    int64_t rows, tokens, heads, kv_heads, dim;
    bool causal;
    float scale;
    bool padded;   /* lengths, 0 and all among them */
    int64_t shift; /* floats: 0 is aligned to 16 bytes */
    enum gpu_values kind;
};

static const struct attention_case attention_cases[] = {
    {0, 5, 2, 1, 4, true, 1, false, 0, GPU_PLAIN},
    {1, 1, 1, 1, 1, true, 0.5f, false, 0, GPU_PLAIN},
    {2, 7, 3, 3, 5, false, 0.25f, true, 0, GPU_PLAIN},
    {3, 20, 4, 2, 12, true, 0.3f, true, 1, GPU_RARE},
    {1, 64, 2, 2, 32, true, 0.125f, false, 0, GPU_PLAIN},
    {1, 65, 2, 1, 33, true, 0.125f, true, 0, GPU_RARE},
    {2, 132, 2, 1, 64, true, 0.125f, true, 0, GPU_PLAIN},
    {1, 130, 2, 2, 68, false, 1, true, 3, GPU_RARE},
    {1, 331, 2, 1, 16, true, 0.25f, false, 0, GPU_PLAIN},
    {1, 324, 3, 1, 8, false, 0.25f, true, 0, GPU_TINY},
    {1, 70, 1, 1, 272, true, 0.06f, false, 0, GPU_TINY},
    {1, 66, 1, 1, 300, false, 0.06f, false, 0, GPU_PLAIN},
};

struct sizes {
    int64_t qkv, weights, context;
};

static struct sizes sizes_of(const struct attention_case *c)
{
    return (struct sizes){.qkv = c->rows * c->tokens * (c->heads + 2 * c->kv_heads) * c->dim,
                          .weights = c->rows * c->heads * c->tokens * c->tokens,
                          .context = c->rows * c->tokens * c->heads * c->dim};
}

enum attention_result {
    SCORES,
    DQKV_SCORES,
    CONTEXT,
    DPROBS,
    DQKV_CONTEXT,
    PROBS,
    DSCORES,
    RESULTS
};
static const char *const result_names[RESULTS] = {
    "scores", "dqkv of scores", "context", "dprobs", "dqkv of context", "probs", "dscores"};

static int64_t result_elems(const struct sizes *s, int i)
{
    const int64_t elems[RESULTS] = {s->weights, s->qkv,     s->context, s->weights,
                                    s->qkv,     s->weights, s->weights};
    return elems[i];
}

static int32_t *place_lengths(const struct tdbg_backend *be, const struct attention_case *c)
{
    int32_t lengths[8] = {0};
    for (int64_t r = 0; r < c->rows; r++)
        lengths[r] = r == 1 ? 0 : (int32_t)(c->tokens - (c->tokens - 1) % 3);
    return c->padded ? gpu_place(be, lengths, sizeof lengths) : NULL;
}

/* Everything from given values, so that a wrong result does not spread; w serves as scores, probs
 * and their gradients, and has +0 where causal attention masks it. */
static void run_attention(const struct tdbg_backend *be, const struct attention_case *c,
                          float *result[RESULTS])
{
    const struct sizes s = sizes_of(c);
    struct tdbg_attention a = {.rows = c->rows,
                               .tokens = c->tokens,
                               .heads = c->heads,
                               .kv_heads = c->kv_heads,
                               .dim = c->dim,
                               .scale = c->scale,
                               .causal = c->causal};
    void *ctx = be->context;
    float *own[5];
    const float *qkv = place_values(be, s.qkv, c->shift, 1, c->kind, &own[0]);
    const float *dcontext = place_values(be, s.context, c->shift, 2, c->kind, &own[1]);
    const float *w2 = place_values(be, s.weights, c->shift, 4, c->kind, &own[3]);
    float *from = malloc((size_t)(s.weights + 1) * sizeof *from);
    gpu_fill(from, s.weights, 3, c->kind);
    for (int64_t i = 0; c->causal && i < s.weights; i++)
        from[i] = i % c->tokens > i / c->tokens % c->tokens ? 0 : from[i];
    float *const w = own[2] = gpu_place(be, from, (size_t)s.weights * sizeof *from);
    own[4] = gpu_place(be, NULL, be->attention_workspace_bytes(ctx, &a));
    for (int i = 0; i < RESULTS; i++)
        result[i] = place_rubbish(be, result_elems(&s, i));
    be->attention_scores(ctx, &a, qkv, result[SCORES], own[4]);
    be->attention_scores_backward(ctx, &a, qkv, w, result[DQKV_SCORES], own[4]);
    be->attention_context(ctx, &a, w, qkv, result[CONTEXT], own[4]);
    be->attention_context_backward(ctx, &a, w, qkv, dcontext, result[DPROBS], NULL, own[4]);
    be->attention_context_backward(ctx, &a, w, qkv, dcontext, NULL, result[DQKV_CONTEXT], own[4]);
    int32_t *lengths = place_lengths(be, c);
    a.lengths = lengths;
    be->attention_softmax_forward(ctx, &a, w, result[PROBS]);
    be->copy(ctx, result[DSCORES], w2, (size_t)s.weights * sizeof *w2); /* in place */
    be->attention_softmax_backward(ctx, &a, w, result[DSCORES], result[DSCORES]);
    for (int i = 0; i < 5; i++)
        be->free(ctx, own[i]);
    if (lengths)
        be->free(ctx, lengths);
    free(from);
}

static void test_attention(void **state)
{
    const struct attention_case *c = *state;
    const struct sizes s = sizes_of(c);
    float *result[2][RESULTS];
    for (int b = 0; b < 2; b++)
        run_attention(backends[b], c, result[b]);
    for (int i = 0; i < RESULTS; i++) {
        char name[96];
        float *both[2] = {result[0][i], result[1][i]};
        snprintf(name, sizeof name, "tokens %d, heads %d of %d", (int)c->tokens, (int)c->heads,
                 (int)c->dim);
        expect_same(result_names[i], name, both, result_elems(&s, i));
    }
}

static void check_rows(int64_t tokens, bool causal, enum gpu_values kind)
{
    float *probs[2], *dscores[2];
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        const struct tdbg_attention a = {
            .rows = 1, .tokens = tokens, .heads = 1, .kv_heads = 1, .dim = 1, .causal = causal};
        float *own[2];
        const float *w = place_values(be, tokens * tokens, 0, 5, kind, &own[0]);
        const float *dw = place_values(be, tokens * tokens, 0, 6, kind, &own[1]);
        probs[b] = place_rubbish(be, tokens * tokens);
        dscores[b] = place_rubbish(be, tokens * tokens);
        be->attention_softmax_forward(be->context, &a, w, probs[b]);
        be->attention_softmax_backward(be->context, &a, w, dw, dscores[b]);
        be->free(be->context, own[0]);
        be->free(be->context, own[1]);
    }
    expect_same("probs", "softmax of attention", probs, tokens * tokens);
    expect_same("dscores", "softmax of attention", dscores, tokens * tokens);
}

static void test_attention_softmax(void **state)
{
    static const int64_t tokens[] = {31, 32, 33, 128, 129, 300, 513};
    (void)state;
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
        for (int kind = 0; kind < GPU_VALUES; kind++)
            check_rows(tokens[t], t % 2 == 0, (enum gpu_values)kind);
    if (strcmp(backends[1]->isa, "emulated GPU") != 0) { /* that one is too slow for it */
        check_rows(1500, true, GPU_TINY);
        check_rows(4200, true, GPU_RARE);
    }
}

/* Sums that vanish to -0 show their sign where a gradient is -0: 32 lanes of -0, and then a tile
 * that is not whole, which attention fills up with +0. */
static void test_vanishing_sums(void **state)
{
    enum { TOKENS = 40, N = TOKENS * TOKENS };
    float p[N], dp[N], *dscores[2], *dx[2];
    (void)state;
    for (int i = 0; i < N; i++) {
        p[i] = 0x1p-6f;
        dp[i] = i % TOKENS == 35 ? -0.0f : -0x1p-149f;
    }
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        const struct tdbg_attention a = {
            .rows = 1, .tokens = TOKENS, .heads = 1, .kv_heads = 1, .dim = 1};
        float *y = gpu_place(be, p, sizeof p), *dy = gpu_place(be, dp, sizeof dp);
        dscores[b] = place_rubbish(be, N);
        dx[b] = place_rubbish(be, N);
        be->attention_softmax_backward(be->context, &a, y, dy, dscores[b]);
        be->softmax_backward(be->context, TOKENS, TOKENS, y, dy, dx[b]);
        be->free(be->context, y);
        be->free(be->context, dy);
    }
    expect_same("dscores", "attention", dscores, N);
    expect_same("dx", "softmax", dx, N);
}

/* ---- softmax ---- */

static void check_softmax(int64_t rows, int64_t cols, enum gpu_values kind, bool in_place)
{
    char name[96];
    float *y[2], *dx[2];
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        const size_t bytes = (size_t)(rows * cols) * sizeof(float);
        float *x = place_values(be, rows * cols, 0, 11, kind, &x);
        float *dy = place_values(be, rows * cols, 0, 12, kind, &dy);
        y[b] = place_rubbish(be, rows * cols);
        dx[b] = place_rubbish(be, rows * cols);
        if (in_place) {
            be->copy(be->context, y[b], x, bytes);
            be->copy(be->context, dx[b], dy, bytes);
        }
        be->softmax_forward(be->context, rows, cols, in_place ? y[b] : x, y[b]);
        be->softmax_backward(be->context, rows, cols, x, in_place ? dx[b] : dy, dx[b]);
        be->free(be->context, x);
        be->free(be->context, dy);
    }
    snprintf(name, sizeof name, "softmax %lld x %lld, values %d", (long long)rows, (long long)cols,
             (int)kind);
    expect_same("y", name, y, rows * cols);
    expect_same("dx", name, dx, rows * cols);
}

static void test_softmax(void **state)
{
    static const int64_t shapes[][2] = {{0, 3},    {1, 1},    {33, 10},  {5, 129},  {2, 515},
                                        {3, 1025}, {2, 4096}, {2, 4097}, {1, 70001}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int kind = 0; kind < GPU_VALUES; kind++)
            check_softmax(shapes[s][0], shapes[s][1], (enum gpu_values)kind, kind == GPU_RARE);
}

/* ---- embedding ---- */

enum token_choice { ANY_TOKEN, FEW_TOKENS, ONE_TOKEN };

struct embedding_case {
    int64_t vocab, dim, n, padding_idx;
    enum token_choice choice;
    enum gpu_values kind;
};

static const struct embedding_case embedding_cases[] = {
    {1, 1, 0, -1, ANY_TOKEN, GPU_PLAIN},      {1, 3, 700, -1, ANY_TOKEN, GPU_PLAIN},
    {5, 33, 1, 2, ANY_TOKEN, GPU_SPECIAL},    {256, 7, 2100, -1, ANY_TOKEN, GPU_PLAIN},
    {257, 2, 1025, 0, ANY_TOKEN, GPU_RARE},   {70000, 3, 1500, 69999, ANY_TOKEN, GPU_SPECIAL},
    {300, 5, 3000, -1, FEW_TOKENS, GPU_RARE}, {600, 300, 300, 7, FEW_TOKENS, GPU_TINY},
    {300, 9, 5000, -1, ONE_TOKEN, GPU_PLAIN}, {300, 4, 5000, 258, ONE_TOKEN, GPU_PLAIN},
};

static int32_t *place_tokens(const struct tdbg_backend *be, const struct embedding_case *c)
{
    int32_t *tokens = malloc((size_t)(c->n + 1) * sizeof *tokens);
    for (int64_t p = 0; p < c->n; p++) {
        const uint32_t random = gpu_random(20, (uint64_t)p);
        const uint32_t few = c->choice == ANY_TOKEN ? (uint32_t)c->vocab : 9;
        tokens[p] = (int32_t)(c->choice == ONE_TOKEN && random % 50 > 0 ? 258 : random / 64 % few);
    }
    int32_t *device = gpu_place(be, tokens, (size_t)c->n * sizeof *tokens);
    free(tokens);
    return device;
}

static void test_embedding(void **state)
{
    const struct embedding_case *c = *state;
    float *y[2], *dtable[2];
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        int32_t *tokens = place_tokens(be, c);
        const struct tdbg_embedding e = {.vocab = c->vocab,
                                         .dim = c->dim,
                                         .n = c->n,
                                         .tokens = tokens,
                                         .padding_idx = c->padding_idx};
        float *table = place_values(be, c->vocab * c->dim, 0, 21, c->kind, &table);
        float *dy = place_values(be, c->n * c->dim, 0, 22, c->kind, &dy);
        void *workspace = gpu_place(be, NULL, be->embedding_workspace_bytes(be->context, &e));
        y[b] = place_rubbish(be, c->n * c->dim);
        dtable[b] = place_rubbish(be, c->vocab * c->dim);
        be->embedding_forward(be->context, &e, table, y[b]);
        be->embedding_backward(be->context, &e, dy, dtable[b], workspace);
        be->free(be->context, tokens);
        be->free(be->context, table);
        be->free(be->context, dy);
        be->free(be->context, workspace);
    }
    expect_same("y", "embedding", y, c->n * c->dim);
    expect_same("dtable", "embedding", dtable, c->vocab * c->dim);
}

/* ---- positions ---- */

static void check_position_add(int64_t rows, int64_t n, const float *host_table)
{
    float *y[2], *y_fixed[2];
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        float *table = gpu_place(be, host_table, (size_t)n * sizeof *table);
        y[b] = place_values(be, rows * n, 0, 31, GPU_SPECIAL, &y[b]); /* in place */
        y_fixed[b] = place_rubbish(be, rows * n);
        be->position_add_fixed(be->context, rows, n, y[b], host_table, y_fixed[b]);
        be->position_add(be->context, rows, n, y[b], table, y[b]);
        be->free(be->context, table);
    }
    expect_same("y", "position_add", y, rows * n);
    expect_same("y", "position_add_fixed", y_fixed, rows * n);
}

static float tables[3][4096]; /* of the host, which stay */

static void test_position_add(void **state)
{
    (void)state;
    gpu_fill(tables[0], 4096, 30, GPU_SPECIAL);
    check_position_add(0, 5, tables[0]);
    check_position_add(1, 1, tables[0]);
    check_position_add(3, 257, tables[0]);
    check_position_add(1030, 33, tables[0]);
    check_position_add(2, 4096, tables[0]);
}

static void check_rotate(int64_t rows, int64_t tokens, int64_t turned, int64_t kept, int64_t dim)
{
    const int64_t n = rows * tokens * (turned + kept) * dim;
    for (int inverse = 0; inverse < 2; inverse++) {
        float *y[2];
        for (int b = 0; b < 2; b++) {
            const struct tdbg_backend *be = backends[b];
            const struct tdbg_rotary r = {.rows = rows,
                                          .tokens = tokens,
                                          .turned = turned,
                                          .kept = kept,
                                          .dim = dim,
                                          .cos = tables[1],
                                          .sin = tables[2]};
            float *x = place_values(be, n, 0, 34, GPU_SPECIAL, &x);
            y[b] = inverse ? x : place_rubbish(be, n);
            be->position_rotate(be->context, &r, inverse, x, y[b]);
            if (!inverse)
                be->free(be->context, x);
        }
        expect_same("y", "position_rotate", y, n);
    }
}

static void test_position_rotate(void **state)
{
    (void)state;
    gpu_fill(tables[1], 4096, 32, GPU_PLAIN);
    gpu_fill(tables[2], 4096, 33, GPU_PLAIN);
    check_rotate(0, 3, 2, 1, 4);
    check_rotate(1, 1, 1, 0, 2);
    check_rotate(2, 5, 3, 2, 6);
    check_rotate(3, 17, 11, 1, 70);
    check_rotate(1, 9, 2, 9, 130);
}

/* ---- dropout ---- */

static void check_dropout(int64_t rows, int64_t elems, double p, bool in_place)
{
    const struct tdbg_dropout dropout = tdbg_dropout_make(p, 77, "drop", 5, (int64_t)1 << 33);
    float *y[2];
    for (int b = 0; b < 2; b++) {
        const struct tdbg_backend *be = backends[b];
        float *x = place_values(be, rows * elems, 0, 41, GPU_SPECIAL, &x);
        y[b] = in_place ? x : place_rubbish(be, rows * elems);
        be->dropout_apply(be->context, &dropout, rows, elems, x, y[b]);
        if (!in_place)
            be->free(be->context, x);
    }
    expect_same("y", "dropout", y, rows * elems);
}

static void test_dropout(void **state)
{
    static const int64_t shapes[][2] = {{0, 4}, {1, 1}, {3, 6}, {70, 63}, {5, 1029}};
    static const double p[] = {0, 0.1, 0.999, 1};
    (void)state;
    for (int s = 0; s < 5; s++)
        for (int i = 0; i < 4; i++)
            check_dropout(shapes[s][0], shapes[s][1], p[i], (s + i) % 2);
}

int main(int argc, char **argv)
{
    enum {
        PLAIN = 6,
        ATTENTIONS = sizeof attention_cases / sizeof *attention_cases,
        EMBEDDINGS = sizeof embedding_cases / sizeof *embedding_cases,
    };
    struct CMUnitTest tests[PLAIN + ATTENTIONS + EMBEDDINGS] = {
        {.name = "attention_softmax", .test_func = test_attention_softmax},
        {.name = "vanishing_sums", .test_func = test_vanishing_sums},
        {.name = "softmax", .test_func = test_softmax},
        {.name = "position_add", .test_func = test_position_add},
        {.name = "position_rotate", .test_func = test_position_rotate},
        {.name = "dropout", .test_func = test_dropout},
    };
    for (int i = 0; i < ATTENTIONS; i++)
        tests[PLAIN + i] = (struct CMUnitTest){.name = "attention",
                                               .test_func = test_attention,
                                               .initial_state = (void *)&attention_cases[i]};
    for (int i = 0; i < EMBEDDINGS; i++)
        tests[PLAIN + ATTENTIONS + i] =
            (struct CMUnitTest){.name = "embedding",
                                .test_func = test_embedding,
                                .initial_state = (void *)&embedding_cases[i]};
    gpu_open_both(&backends[0], &backends[1]);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests_name("gpu-sequence", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(backends[1]);
    tdbg_backend_cpu_destroy(backends[0]);
    return failed;
}
