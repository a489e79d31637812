/* What a whole training step of two lanes weighs under every compressor: reduce_in of both lanes,
 * gradient, clipped gradient, parameters and two moments. What the trace makes of it is in the
 * trace's own size; here are the raw bytes and the other compressors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/trace_bench.h"
#include "bench/trace_spec.h"
#include "trace/reader.h"

enum { MAX_METHODS = 8 };

struct sums {
    size_t raw, packed[MAX_METHODS];
};

static void add(struct sums *s, const void *data, size_t bytes, size_t elem_bytes, size_t times)
{
    int n;
    const struct bench_method *m = bench_methods(&n);
    s->raw += times * bytes;
    for (int k = 0; k < n; k++)
        s->packed[k] += times * m[k].run(data, bytes, elem_bytes, m[k].level);
}

static void print_sums(const char *kind, const struct sums *s, size_t steps)
{
    int n;
    const struct bench_method *m = bench_methods(&n);
    for (int k = 0; k < n; k++)
        printf("{\"part\": \"size\", \"kind\": \"%s\", \"method\": \"%s\", \"bytes\": %zu, "
               "\"packed\": %zu}\n",
               kind, m[k].name, s->raw / steps, s->packed[k] / steps);
}

/* How often a site counts in the raw step; 0: it is none of it. Sums of losses are left out. */
static size_t weight(const struct tdbg_site *s)
{
    if (strcmp(tdbg_site_tensor(s), "loss") == 0)
        return 0;
    switch (s->stage) {
    case TDBG_STAGE_REDUCE_IN:
    case TDBG_STAGE_OPTIM:
    case TDBG_STAGE_PARAM:
    case TDBG_STAGE_CLIP:
        return 1;
    case TDBG_STAGE_GRAD:
        return 2; /* without clipping the clipped gradient is the same again */
    default:
        return 0;
    }
}

static int recorded(const char *path)
{
    struct tdbg_trace *t = NULL;
    struct tdbg_err err = {0};
    struct sums sums = {0};
    int32_t n_sites;
    if (tdbg_trace_open(path, &t, &err) != TDBG_OK)
        bench_die(path, err.message);
    const struct tdbg_site *sites = tdbg_trace_sites(t, &n_sites);
    int64_t last = tdbg_trace_n_steps(t) - 1, steps[] = {1, last / 2, last};
    for (size_t k = 0; k < 3; k++) {
        for (int32_t i = 0; i < n_sites; i++) {
            size_t elem_bytes = tdbg_dtype_bytes(sites[i].dtype);
            size_t bytes = (size_t)tdbg_site_elems(&sites[i]) * elem_bytes;
            if (weight(&sites[i]) == 0)
                continue;
            void *data = malloc(bytes);
            if (tdbg_trace_read_values(t, steps[k], i, data, NULL, &err) != TDBG_OK)
                bench_die(sites[i].name, err.message);
            add(&sums, data, bytes, elem_bytes, weight(&sites[i]));
            free(data);
        }
    }
    tdbg_trace_close(t);
    print_sums("f32, recorded", &sums, 3);
    return 0;
}

/* --- bf16: made up, as no engine computes in it yet --- */

enum { ROWS = 768, COLS = 768, TENSORS = 2, VARIANTS = 2, STEPS = 50 };
enum { ELEMS = ROWS * COLS };

struct made_up {
    uint16_t *lane[VARIANTS][3]; /* reduce_in of two lanes, reduce_out */
    float *grad, *param, *m, *v;
};

static float *make_f32(bool gradient, uint64_t *state)
{
    float *x = malloc(ELEMS * sizeof *x);
    bench_fill(x, TDBG_DTYPE_F32, ROWS, COLS, gradient, state);
    return x;
}

static void make_values(struct made_up *t, uint64_t *state)
{
    for (int v = 0; v < VARIANTS; v++) {
        for (int l = 0; l < 3; l++) {
            t->lane[v][l] = malloc(ELEMS * sizeof(uint16_t));
            bench_fill(t->lane[v][l], TDBG_DTYPE_BF16, ROWS, COLS, true, state);
        }
    }
    t->grad = make_f32(true, state);
    t->param = make_f32(false, state);
    t->m = make_f32(true, state);
    t->v = make_f32(true, state);
    for (size_t i = 0; i < ELEMS; i++)
        t->v[i] *= t->v[i];
}

static void write_trace(const struct made_up *values, const char *path, bool solo)
{
    static struct bench_spec b;
    static const char *const names[TENSORS] = {"a.weight", "b.weight"};
    int32_t lane[TENSORS][3];
    struct tdbg_err err = {0};
    bench_spec_init(&b, 2, STEPS);
    for (int i = 0; i < TENSORS; i++) {
        char m[32], v[32];
        snprintf(m, sizeof m, "%s.exp_avg", names[i]);
        snprintf(v, sizeof v, "%s.exp_avg_sq", names[i]);
        const char *const state[] = {names[i], m, v};
        for (int k = 0; k < 3; k++)
            bench_spec_add(&b, TDBG_STAGE_STATE, state[k], TDBG_LANE_ALL, TDBG_DTYPE_F32, ROWS,
                           COLS, TDBG_STORE_KEYFRAME);
    }
    for (int i = 0; i < TENSORS; i++) {
        for (int32_t l = 0; l < 2; l++)
            lane[i][l] = bench_spec_add(&b, TDBG_STAGE_REDUCE_IN, names[i], l, TDBG_DTYPE_BF16,
                                        ROWS, COLS, TDBG_STORE_DATASET);
    }
    for (int i = 0; i < TENSORS && solo; i++)
        lane[i][2] = bench_spec_add(&b, TDBG_STAGE_REDUCE_OUT, names[i], TDBG_LANE_ALL,
                                    TDBG_DTYPE_BF16, ROWS, COLS, TDBG_STORE_DATASET);
    for (int i = 0; i < TENSORS; i++)
        bench_spec_add(&b, TDBG_STAGE_GRAD, names[i], TDBG_LANE_ALL, TDBG_DTYPE_F32, ROWS, COLS,
                       TDBG_STORE_NONE);
    struct tdbg_trace_writer *w = bench_spec_create(&b, path);
    if (!w)
        bench_die(path, "cannot create");
    for (int64_t step = 0; step < STEPS; step++) {
        for (int i = 0; i < TENSORS; i++) {
            const float *const state[] = {values[i].param, values[i].m, values[i].v};
            for (int32_t k = 0; k < 3 && step == 0; k++) {
                if (tdbg_trace_writer_put_keyframe(w, 3 * i + k, state[k], &err) != TDBG_OK)
                    bench_die("put_keyframe", err.message);
            }
            for (int l = 0; l < (solo ? 3 : 2); l++)
                bench_put(w, lane[i][l], values[i].lane[step % VARIANTS][l], ELEMS);
        }
        bench_commit(w, step);
    }
    bench_close(w);
}

static int made_up(const char *path, bool solo)
{
    static struct made_up values[TENSORS];
    struct sums sums = {0};
    uint64_t state = 11;
    for (int i = 0; i < TENSORS; i++) {
        make_values(&values[i], &state);
        for (int l = 0; l < 2; l++)
            add(&sums, values[i].lane[0][l], ELEMS * 2, 2, 1);
        add(&sums, values[i].grad, ELEMS * 4, 4, 2);
        add(&sums, values[i].param, ELEMS * 4, 4, 1);
        add(&sums, values[i].m, ELEMS * 4, 4, 1);
        add(&sums, values[i].v, ELEMS * 4, 4, 1);
    }
    write_trace(values, path, solo);
    const char *kind = solo ? "bf16, made up, solo" : "bf16, made up";
    print_sums(kind, &sums, 1);
    printf("{\"part\": \"size\", \"kind\": \"%s\", \"method\": \"trace\", \"bytes\": %zu, "
           "\"packed\": %lld}\n",
           kind, sums.raw, (long long)(bench_file_bytes(path) / STEPS));
    return 0;
}

int bench_size(int argc, char **argv)
{
    bool bf16 = argc > 1 && strcmp(argv[1], "--bf16") == 0;
    char path[4200];
    if (argc < (bf16 ? 4 : 2))
        bench_die("size", "too few arguments");
    int lib = bf16 ? 4 : 2;
    bench_load_blosc2(argc > lib ? argv[lib] : NULL);
    if (!bf16)
        return recorded(argv[1]);
    snprintf(path, sizeof path, "%s/bf16.h5", argv[2]);
    return made_up(path, strcmp(argv[3], "1") == 0);
}
