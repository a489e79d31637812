/* A trace of three sites for tests of how values are stored. See tiny_trace.h. */
#include "tests/trace/tiny_trace.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/hdf5_util.h"

const enum tdbg_store tiny_stores[TINY_N_STORES] = {TDBG_STORE_PACKED, TDBG_STORE_DELTA,
                                                    TDBG_STORE_RESIDUAL};
char tiny_path[64];
static char dir[] = "/tmp/tdbg-tiny-XXXXXX";

static void add_site(struct tiny *t, const char *name, enum tdbg_stage stage, enum tdbg_store store,
                     int32_t every)
{
    int32_t i = t->spec.n_sites++;
    t->sites[i] = (struct tdbg_site){.name = name,
                                     .op = "",
                                     .unit = "",
                                     .stage = stage,
                                     .lane = TDBG_LANE_ALL,
                                     .micro = TDBG_LANE_ALL,
                                     .ndim = 1,
                                     .dims = {TINY_ELEMS}};
    t->plans[i] = (struct tdbg_site_plan){.digest_every = 1, .value_every = every, .store = store};
}

void tiny_make(struct tiny *t, enum tdbg_store store)
{
    *t = (struct tiny){.spec = {.sites = t->sites, .plans = t->plans}};
    t->spec.info = (struct tdbg_run_info){.world_size = 1,
                                          .lanes = 1,
                                          .accumulate = 1,
                                          .batch = 1,
                                          .keyframe_every = 4,
                                          .config = "x"};
    add_site(t, "grad/a", TDBG_STAGE_GRAD, store, 1);
    add_site(t, "grad/b", TDBG_STAGE_GRAD, store, 1);
    add_site(t, "param/a", TDBG_STAGE_PARAM, store, 2);
}

void tiny_values(int32_t site, int64_t step, float *out)
{
    for (int i = 0; i < TINY_ELEMS; i++)
        out[i] = (float)((double)step * 100 + site * 10 + i) * 1.25f;
}

/* What a replay makes of it: another value in every third step of grad/a, else the same. */
void tiny_predict(int32_t site, int64_t step, float *out)
{
    tiny_values(site, step, out);
    if (site == 0 && step % 3 == 0)
        out[step % TINY_ELEMS] = -out[step % TINY_ELEMS] + 1;
}

enum tdbg_status tiny_recompute(void *context, struct tdbg_trace *trace, int64_t step, int32_t site,
                                void *data, int64_t *n_elems, struct tdbg_err *err)
{
    (void)context;
    (void)trace;
    (void)err;
    tiny_predict(site, step, data);
    *n_elems = TINY_ELEMS;
    return TDBG_OK;
}

void tiny_check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : tdbg_status_text(st));
}

void tiny_expect(enum tdbg_status st, enum tdbg_status want, struct tdbg_err *err,
                 const char *words)
{
    if (st != want || !strstr(err->message, words))
        fail_msg("%s: %s (wanted %s: %s)", tdbg_status_text(st), err->message ? err->message : "-",
                 tdbg_status_text(want), words);
    tdbg_err_clear(err);
}

void tiny_put_digest(struct tdbg_trace_writer *w, int32_t site, const float *v)
{
    struct tdbg_stats stats;
    tdbg_stats_reference(v, TDBG_DTYPE_F32, TINY_ELEMS, &stats);
    tdbg_trace_writer_put_digest(w, site, tdbg_digest_reference(v, TDBG_DTYPE_F32, TINY_ELEMS),
                                 &stats);
}

void tiny_put_value(struct tdbg_trace_writer *w, const struct tiny *t, int32_t site, int64_t step)
{
    struct tdbg_err err = {0};
    float v[TINY_ELEMS], predicted[TINY_ELEMS];
    tiny_values(site, step, v);
    tiny_predict(site, step, predicted);
    if (t->plans[site].store == TDBG_STORE_RESIDUAL)
        tiny_check(tdbg_trace_writer_put_predicted(w, site, v, predicted, TINY_ELEMS, &err), &err);
    else
        tiny_check(tdbg_trace_writer_put_values(w, site, v, TINY_ELEMS, &err), &err);
}

void tiny_put(struct tdbg_trace_writer *w, const struct tiny *t, int32_t site, int64_t step)
{
    float v[TINY_ELEMS];
    tiny_values(site, step, v);
    tiny_put_digest(w, site, v);
    tiny_put_value(w, t, site, step);
}

struct tdbg_trace_writer *tiny_create(const struct tiny *t)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    tiny_check(tdbg_trace_writer_create(tiny_path, true, &t->spec, &w, &err), &err);
    return w;
}

enum tdbg_status tiny_commit(struct tdbg_trace_writer *w, int64_t step, struct tdbg_err *err)
{
    struct tdbg_step_row row = {.step = step};
    return tdbg_trace_writer_commit_step(w, &row, err);
}

/* All sites at steps first .. first + n - 1; `left_out` is not put in its step. */
void tiny_write(const struct tiny *t, int64_t first, int64_t n, int64_t left_out)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = tiny_create(t);
    for (int64_t step = first; step < first + n; step++) {
        for (int32_t i = 0; i < t->spec.n_sites; i++) {
            if (step != left_out || i != 1)
                tiny_put(w, t, i, step);
        }
        tiny_check(tiny_commit(w, step, &err), &err);
    }
    tiny_check(tdbg_trace_writer_close(w, &err), &err);
}

struct tdbg_trace *tiny_open(void)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *trace = NULL;
    tiny_check(tdbg_trace_open(tiny_path, &trace, &err), &err);
    return trace;
}

void tiny_expect_open(enum tdbg_status want, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *trace = NULL;
    tiny_expect(tdbg_trace_open(tiny_path, &trace, &err), want, &err, words);
}

void tiny_expect_stored(struct tdbg_trace *trace, int32_t site, int64_t step)
{
    struct tdbg_err err = {0};
    float want[TINY_ELEMS], have[TINY_ELEMS];
    int64_t n = 0;
    tiny_values(site, step, want);
    tdbg_trace_set_recompute(trace, tiny_recompute, NULL);
    tiny_check(tdbg_trace_read_values(trace, step, site, have, &n, &err), &err);
    tdbg_trace_set_recompute(trace, NULL, NULL);
    assert_int_equal(n, TINY_ELEMS);
    assert_memory_equal(want, have, sizeof want);
}

hid_t tiny_reopen(void)
{
    tdbg_h5_begin();
    hid_t file = H5Fopen(tiny_path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

/* Puts a dataset with so many columns and rows where one was. */
void tiny_replace_rows(const char *name, hsize_t rows, hsize_t columns)
{
    hsize_t dims[2] = {rows, columns}, most[2] = {H5S_UNLIMITED, columns}, chunk[2] = {16, columns};
    hid_t file = tiny_reopen(), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(2, dims, most);
    H5Ldelete(file, name, H5P_DEFAULT);
    H5Pset_chunk(dcpl, 2, chunk);
    H5Pset_shuffle(dcpl);
    H5Pset_filter(dcpl, (H5Z_filter_t)TDBG_ZSTD_FILTER_ID, H5Z_FLAG_MANDATORY, 0, NULL);
    hid_t dset = H5Dcreate2(file, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    assert_true(dset >= 0);
    H5Dclose(dset);
    H5Sclose(space);
    H5Pclose(dcpl);
    H5Fclose(file);
}

void tiny_expect_read(int64_t step, const char *words)
{
    struct tdbg_err err = {0};
    float v[TINY_ELEMS];
    struct tdbg_trace *trace = tiny_open();
    tiny_expect(tdbg_trace_read_values(trace, step, 1, v, NULL, &err), TDBG_DAMAGED, &err, words);
    tiny_expect_stored(trace, 2, 4); /* which is in another dataset */
    tdbg_trace_close(trace);
}

int tiny_begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(tiny_path, sizeof tiny_path, "%s/trace.h5", dir);
    return 0;
}

int tiny_end(void **state)
{
    (void)state;
    unlink(tiny_path);
    return rmdir(dir);
}
