/* The tensors that compressors are compared on, and the compressors. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bench/trace_bench.h"
#include "trace/codec.h"
#include "trace/reader.h"
#include "trace/shuffle.h"

/* --- made-up values --- */

static double uniform(uint64_t *state) /* in (0, 1) */
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return ((double)((x ^ x >> 31) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    return sqrt(-2 * log(uniform(state))) * cos(6.283185307179586 * uniform(state));
}

static uint16_t round_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void bench_fill(void *data, enum tdbg_dtype dtype, size_t rows, size_t cols, bool gradient,
                uint64_t *state)
{
    double *col_scale = malloc(cols * sizeof *col_scale);
    for (size_t c = 0; c < cols; c++)
        col_scale[c] = gradient ? 1e-4 * exp(0.7 * normal(state)) : 0.02;
    for (size_t r = 0; r < rows; r++) {
        double row_scale = gradient ? exp(normal(state)) : 1;
        for (size_t c = 0; c < cols; c++) {
            float x = (float)(row_scale * col_scale[c] * normal(state));
            if (dtype == TDBG_DTYPE_BF16)
                ((uint16_t *)data)[r * cols + c] = round_to_bf16(x);
            else
                ((float *)data)[r * cols + c] = x;
        }
    }
    free(col_scale);
}

static const struct made_up {
    const char *name, *kind;
    enum tdbg_dtype dtype;
    size_t rows, cols;
    bool gradient;
} made_up[] = {
    {"GPT gradient", "made up", TDBG_DTYPE_F32, 768, 1024, true},
    {"GPT weight", "made up", TDBG_DTYPE_F32, 768, 1024, false},
    {"GPT gradient", "made up", TDBG_DTYPE_BF16, 1024, 2048, true},
    {"GPT weight", "made up", TDBG_DTYPE_BF16, 1024, 2048, false},
    {"CNN gradient", "made up", TDBG_DTYPE_F32, 256, 1152, true},
};

static struct bench_tensor make_up(const struct made_up *m, uint64_t *state)
{
    struct bench_tensor t = {.kind = m->kind, .dtype = m->dtype, .elems = m->rows * m->cols};
    snprintf(t.name, sizeof t.name, "%s %s", m->name, tdbg_dtype_text(m->dtype));
    t.bytes = t.elems * tdbg_dtype_bytes(t.dtype);
    t.data = malloc(t.bytes);
    bench_fill(t.data, t.dtype, m->rows, m->cols, m->gradient, state);
    return t;
}

/* --- recorded values --- */

static struct bench_tensor read_tensor(struct tdbg_trace *trace, const char *site, int64_t step)
{
    struct bench_tensor t = {.kind = "recorded"};
    struct tdbg_err err = {0};
    int32_t n_sites, id = tdbg_trace_find_site(trace, site, TDBG_LANE_ALL, TDBG_LANE_ALL);
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n_sites);
    if (id < 0)
        bench_die(site, "not in the trace");
    t.dtype = sites[id].dtype;
    t.elems = (size_t)tdbg_site_elems(&sites[id]);
    t.bytes = t.elems * tdbg_dtype_bytes(t.dtype);
    t.data = malloc(t.bytes);
    snprintf(t.name, sizeof t.name, "%s step %lld", site, (long long)step);
    if (tdbg_trace_read_values(trace, step, id, t.data, NULL, &err) != TDBG_OK)
        bench_die(site, err.message);
    return t;
}

int bench_tensors(const char *path, struct bench_tensor *out)
{
    static const char *const sites[] = {"grad/fc1.weight", "grad/fc2.weight", "param/fc1.weight",
                                        "param/fc2.weight"};
    struct tdbg_trace *trace = NULL;
    struct tdbg_err err = {0};
    uint64_t state = 5;
    int n = 0;
    if (tdbg_trace_open(path, &trace, &err) != TDBG_OK)
        bench_die(path, err.message);
    int64_t last = tdbg_trace_n_steps(trace) - 1, steps[] = {1, last / 2, last};
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
            out[n++] = read_tensor(trace, sites[i], steps[k]);
    }
    tdbg_trace_close(trace);
    for (size_t i = 0; i < sizeof made_up / sizeof *made_up; i++)
        out[n++] = make_up(&made_up[i], &state);
    return n;
}

/* --- compressors --- */

static void *scratch(size_t bytes)
{
    static void *data;
    static size_t have;
    if (have < bytes) {
        data = realloc(data, bytes);
        have = bytes;
    }
    return data;
}

static size_t run_ours(const void *data, size_t bytes, size_t elem_bytes, int level)
{
    static struct tdbg_codec *codec;
    const void *out;
    size_t n = 0;
    (void)level;
    if (!codec)
        codec = tdbg_codec_create();
    return tdbg_codec_encode(codec, TDBG_EFFORT_VALUES, data, bytes / elem_bytes, elem_bytes, &out,
                             &n, NULL) == TDBG_OK
               ? n
               : 0;
}

static ZSTD_CCtx *zstd_context(void)
{
    static ZSTD_CCtx *c;
    if (!c)
        c = ZSTD_createCCtx();
    return c;
}

static size_t run_zstd(const void *data, size_t bytes, size_t elem_bytes, int level)
{
    size_t room = ZSTD_compressBound(bytes);
    (void)elem_bytes;
    size_t n = ZSTD_compressCCtx(zstd_context(), scratch(room), room, data, bytes, level);
    return ZSTD_isError(n) ? 0 : n;
}

/* What HDF5's pipeline does with our filter: shuffle, then a plain level of zstd. */
static size_t run_shuffle_zstd(const void *data, size_t bytes, size_t elem_bytes, int level)
{
    static void *shuffled;
    static size_t have;
    if (have < bytes) {
        shuffled = realloc(shuffled, bytes);
        have = bytes;
    }
    tdbg_shuffle(data, shuffled, bytes / elem_bytes, elem_bytes);
    return run_zstd(shuffled, bytes, elem_bytes, level);
}

static size_t run_gzip(const void *data, size_t bytes, size_t elem_bytes, int level)
{
    uLongf n = compressBound(bytes);
    (void)elem_bytes;
    return compress2(scratch(n), &n, data, bytes, level) == Z_OK ? n : 0;
}

static int (*blosc2_compress)(int level, int shuffle, int32_t type_bytes, const void *from,
                              int32_t from_bytes, void *to, int32_t to_bytes);

static size_t run_blosc2(const void *data, size_t bytes, size_t elem_bytes, int level)
{
    size_t room = bytes + 4096;
    int n = blosc2_compress(level, 1, (int32_t)elem_bytes, data, (int32_t)bytes, scratch(room),
                            (int32_t)room);
    return n > 0 ? (size_t)n : 0;
}

bool bench_load_blosc2(const char *path)
{
    void *lib = path && *path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!lib)
        return false;
    union {
        void *symbol;
        void (*init)(void);
        int (*set_compressor)(const char *name);
        int16_t (*set_threads)(int16_t n);
        int (*compress)(int, int, int32_t, const void *, int32_t, void *, int32_t);
    } init = {dlsym(lib, "blosc2_init")}, compressor = {dlsym(lib, "blosc1_set_compressor")},
      threads = {dlsym(lib, "blosc2_set_nthreads")}, press = {dlsym(lib, "blosc2_compress")};
    if (!init.symbol || !compressor.symbol || !threads.symbol || !press.symbol)
        return false;
    init.init();
    compressor.set_compressor("zstd");
    threads.set_threads(1);
    blosc2_compress = press.compress;
    return true;
}

const struct bench_method *bench_methods(int *n)
{
    static const struct bench_method methods[] = {
        {"tdbg", run_ours, 0},
        {"shuffle + zstd -1", run_shuffle_zstd, 1},
        {"zstd -1", run_zstd, 1},
        {"gzip -4", run_gzip, 4},
        {"blosc2 shuffle + zstd -1", run_blosc2, 1},
        {"blosc2 shuffle + zstd -5", run_blosc2, 5},
    };
    *n = blosc2_compress ? 6 : 4;
    return methods;
}
