/* Traces written by hand. See trace_spec.h. */
#include "bench/trace_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/trace_bench.h"

void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "bench-trace: %s: %s\n", what, why ? why : "?");
    exit(4);
}

void bench_spec_init(struct bench_spec *b, int32_t lanes, int64_t keyframe_every)
{
    memset(b, 0, sizeof *b);
    b->spec = (struct tdbg_trace_spec){.sites = b->sites, .plans = b->plans, .items = b->items};
    b->spec.info = (struct tdbg_run_info){.tdbg_version = "bench",
                                          .numerics_version = 1,
                                          .world_size = 1,
                                          .lanes = lanes,
                                          .accumulate = 1,
                                          .batch = 64,
                                          .keyframe_every = keyframe_every,
                                          .preset = "standard",
                                          .config = "",
                                          .config_path = "",
                                          .config_source = "",
                                          .inject = "",
                                          .environment = "{}",
                                          .dataset = "{}",
                                          .graph = "{}"};
    b->spec.samples[TDBG_SAMPLES_TRAIN] = (struct tdbg_samples_spec){.x_dtype = TDBG_DTYPE_U8,
                                                                     .y_dtype = TDBG_DTYPE_I64,
                                                                     .x_ndim = 1,
                                                                     .x_dims = {1},
                                                                     .total = 1};
}

int32_t bench_spec_add(struct bench_spec *b, enum tdbg_stage stage, const char *tensor,
                       int32_t lane, enum tdbg_dtype dtype, int64_t rows, int64_t cols,
                       enum tdbg_store store)
{
    int32_t id = b->spec.n_sites++;
    snprintf(b->names[id], sizeof b->names[id], "%s/%s", tdbg_stage_text(stage), tensor);
    b->sites[id] = (struct tdbg_site){.name = b->names[id],
                                      .op = "",
                                      .unit = "",
                                      .stage = stage,
                                      .dtype = dtype,
                                      .lane = lane,
                                      .micro = TDBG_LANE_ALL,
                                      .ndim = cols > 0 ? 2 : 1,
                                      .dims = {rows, cols}};
    int32_t every = store == TDBG_STORE_KEYFRAME ? (int32_t)b->spec.info.keyframe_every : 1;
    b->plans[id] = (struct tdbg_site_plan){every, store == TDBG_STORE_NONE ? 0 : every, store};
    if (store == TDBG_STORE_KEYFRAME) {
        struct tdbg_keyframe_item *item = &b->items[b->spec.n_items++];
        *item = (struct tdbg_keyframe_item){
            tdbg_site_tensor(&b->sites[id]), dtype, b->sites[id].ndim, {rows, cols}};
    }
    return id;
}

struct tdbg_trace_writer *bench_spec_create(const struct bench_spec *b, const char *path)
{
    struct tdbg_trace_writer *w = NULL;
    struct tdbg_err err = {0};
    if (tdbg_trace_writer_create(path, true, &b->spec, &w, &err) == TDBG_OK)
        return w;
    fprintf(stderr, "bench-trace: %s\n", err.message);
    tdbg_err_clear(&err);
    return NULL;
}

void bench_put(struct tdbg_trace_writer *w, int32_t site, const void *data, int64_t elems)
{
    struct tdbg_err err = {0};
    const struct tdbg_stats stats = {0};
    /* a digest computed elsewhere: packed values need one, and its time is not that of the writer
     */
    tdbg_trace_writer_put_digest(w, site, 1, &stats);
    if (tdbg_trace_writer_put_values(w, site, data, elems, &err) != TDBG_OK)
        bench_die("put_values", err.message);
}

void bench_commit(struct tdbg_trace_writer *w, int64_t step)
{
    struct tdbg_err err = {0};
    struct tdbg_step_row row = {.step = step};
    if (tdbg_trace_writer_commit_step(w, &row, &err) != TDBG_OK)
        bench_die("commit_step", err.message);
}

void bench_close(struct tdbg_trace_writer *w)
{
    struct tdbg_err err = {0};
    if (tdbg_trace_writer_close(w, &err) != TDBG_OK)
        bench_die("close", err.message);
}

int64_t bench_file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}
