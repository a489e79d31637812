/* How values are stored other than as they are in datasets of their own: packed, as differences.
 * What a reader is told of values that were left out, of files from before, and of damage. Round
 * trips over random sites are in test_trace_roundtrip.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/hdf5_util.h"
#include "trace/reader.h"
#include "trace/table.h"
#include "trace/writer.h"

enum { MOST_SITES = 8, ELEMS = 5 };

static char dir[] = "/tmp/tdbg-store-XXXXXX", path[64];

static const enum tdbg_store stores[] = {TDBG_STORE_PACKED, TDBG_STORE_DELTA};
enum { N_STORES = sizeof stores / sizeof *stores };

/* A trace of a few f32 sites of five elements, whose values follow from step and site. */
struct tiny {
    struct tdbg_site sites[MOST_SITES];
    struct tdbg_site_plan plans[MOST_SITES];
    struct tdbg_trace_spec spec;
};

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
                                     .dims = {ELEMS}};
    t->plans[i] = (struct tdbg_site_plan){.digest_every = 1, .value_every = every, .store = store};
}

static void make(struct tiny *t, enum tdbg_store store)
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

static void values_of(int32_t site, int64_t step, float *out)
{
    for (int i = 0; i < ELEMS; i++)
        out[i] = (float)((double)step * 100 + site * 10 + i) * 1.25f;
}

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : tdbg_status_text(st));
}

static void expect(enum tdbg_status st, enum tdbg_status want, struct tdbg_err *err,
                   const char *words)
{
    if (st != want || !strstr(err->message, words))
        fail_msg("%s: %s (wanted %s: %s)", tdbg_status_text(st), err->message ? err->message : "-",
                 tdbg_status_text(want), words);
    tdbg_err_clear(err);
}

static void put_digest(struct tdbg_trace_writer *w, int32_t site, const float *v)
{
    struct tdbg_stats stats;
    tdbg_stats_reference(v, TDBG_DTYPE_F32, ELEMS, &stats);
    tdbg_trace_writer_put_digest(w, site, tdbg_digest_reference(v, TDBG_DTYPE_F32, ELEMS), &stats);
}

static void put(struct tdbg_trace_writer *w, int32_t site, int64_t step)
{
    struct tdbg_err err = {0};
    float v[ELEMS];
    values_of(site, step, v);
    put_digest(w, site, v);
    check(tdbg_trace_writer_put_values(w, site, v, ELEMS, &err), &err);
}

static struct tdbg_trace_writer *create(const struct tiny *t)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    check(tdbg_trace_writer_create(path, true, &t->spec, &w, &err), &err);
    return w;
}

static enum tdbg_status commit(struct tdbg_trace_writer *w, int64_t step, struct tdbg_err *err)
{
    struct tdbg_step_row row = {.step = step};
    return tdbg_trace_writer_commit_step(w, &row, err);
}

/* All sites at steps first .. first + n - 1; `left_out` is not put in its step. */
static void write_steps(const struct tiny *t, int64_t first, int64_t n, int64_t left_out)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = create(t);
    for (int64_t step = first; step < first + n; step++) {
        for (int32_t i = 0; i < t->spec.n_sites; i++) {
            if (step != left_out || i != 1)
                put(w, i, step);
        }
        check(commit(w, step, &err), &err);
    }
    check(tdbg_trace_writer_close(w, &err), &err);
}

static struct tdbg_trace *open_trace(void)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *trace = NULL;
    check(tdbg_trace_open(path, &trace, &err), &err);
    return trace;
}

static void expect_open(enum tdbg_status want, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *trace = NULL;
    expect(tdbg_trace_open(path, &trace, &err), want, &err, words);
}

static void expect_stored(struct tdbg_trace *trace, int32_t site, int64_t step)
{
    struct tdbg_err err = {0};
    float want[ELEMS], have[ELEMS];
    int64_t n = 0;
    values_of(site, step, want);
    check(tdbg_trace_read_values(trace, step, site, have, &n, &err), &err);
    assert_int_equal(n, ELEMS);
    assert_memory_equal(want, have, sizeof want);
}

static hid_t reopen(void)
{
    tdbg_h5_begin();
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

/* A value that was left out, digest and all, is not there; it is not zero. */
static void test_left_out(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tiny t;
    float v[ELEMS];
    for (int s = 0; s < N_STORES; s++) {
        make(&t, stores[s]);
        write_steps(&t, 0, 20, 6);
        struct tdbg_trace *trace = open_trace();
        for (int64_t step = 0; step < 20; step++) {
            expect_stored(trace, 0, step);
            if (step != 6)
                expect_stored(trace, 1, step);
        }
        expect(tdbg_trace_read_values(trace, 6, 1, v, NULL, &err), TDBG_NOT_FOUND, &err,
               "grad/b was not recorded at step 6");
        expect(tdbg_trace_read_values(trace, 7, 2, v, NULL, &err), TDBG_NEEDS_REPLAY, &err,
               "param/a is not stored at step 7");
        tdbg_trace_close(trace);
    }
}

/* Values without their digest, or the other way round, would be read as what they are not. */
static void test_half_put(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tiny t;
    float v[ELEMS];
    for (int i = 0; i < 2 * N_STORES; i++) {
        bool digest = i % 2;
        make(&t, stores[i / 2]);
        struct tdbg_trace_writer *w = create(&t);
        put(w, 0, 0);
        put(w, 2, 0);
        values_of(1, 0, v);
        if (digest)
            put_digest(w, 1, v);
        else
            check(tdbg_trace_writer_put_values(w, 1, v, ELEMS, &err), &err);
        expect(commit(w, 0, &err), TDBG_USAGE, &err,
               digest ? "grad/b at step 0 has a digest but no values"
                      : "grad/b at step 0 has values but no digest");
        tdbg_trace_writer_close(w, NULL);
    }
}

static void expect_plan(struct tiny *t, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    expect(tdbg_trace_writer_create(path, true, &t->spec, &w, &err), TDBG_USAGE, &err, words);
}

static void test_bad_plans(void **state)
{
    (void)state;
    struct tiny t;
    make(&t, TDBG_STORE_PACKED);
    t.plans[1].value_every = 2;
    expect_plan(&t, "grad/a and grad/b are packed together, but stored at different steps");
    make(&t, TDBG_STORE_PACKED);
    t.plans[1].digest_every = 0;
    expect_plan(&t, "grad/b has values at steps without a digest");
    make(&t, TDBG_STORE_PACKED);
    t.plans[2].digest_every = 3;
    expect_plan(&t, "param/a has values at steps without a digest");
    make(&t, TDBG_STORE_PACKED);
    t.plans[1].value_every = 0;
    expect_plan(&t, "grad/b is stored but at no step");
    make(&t, TDBG_STORE_PACKED);
    t.sites[0].dims[0] = t.sites[1].dims[0] = INT64_C(1) << 40;
    expect_plan(&t, "packed/grad/f32 has rows that are too large");
    make(&t, TDBG_STORE_DELTA);
    t.plans[1].digest_every = 0;
    expect_plan(&t, "grad/b has values at steps without a digest");
    make(&t, TDBG_STORE_DELTA);
    t.sites[1].name = "eval/b";
    t.sites[1].stage = TDBG_STAGE_EVAL;
    expect_plan(&t, "eval/b is not there at every step and cannot be stored as differences");
}

/* Values at steps that are not due: none of them may get into a row. */
static void test_not_due(void **state)
{
    (void)state;
    struct tiny t;
    for (int64_t first = 3; first < 3 + 3 * N_STORES; first++) {
        make(&t, stores[(first - 3) / 3]);
        t.plans[0].value_every = t.plans[1].value_every = 3;
        write_steps(&t, first, 40, -1);
        struct tdbg_trace *trace = open_trace();
        for (int64_t step = first; step < first + 40; step++) {
            assert_int_equal(tdbg_trace_has_values(trace, 0, step, false), step % 3 == 0);
            for (int32_t i = 0; i < 3; i++) {
                if (step % t.plans[i].value_every == 0)
                    expect_stored(trace, i, step);
            }
        }
        tdbg_trace_close(trace);
    }
}

/* The first n_columns columns of our own row of /sites. */
static hid_t type_of_sites(size_t n_columns)
{
    hid_t all = tdbg_table_type(&tdbg_table_sites), type;
    size_t bytes = n_columns < tdbg_table_sites.n_columns
                       ? H5Tget_member_offset(all, (unsigned)n_columns)
                       : H5Tget_size(all);
    type = H5Tcreate(H5T_COMPOUND, bytes);
    for (unsigned i = 0; i < n_columns; i++) {
        hid_t member = H5Tget_member_type(all, i);
        char *name = H5Tget_member_name(all, i);
        H5Tinsert(type, name, H5Tget_member_offset(all, i), member);
        H5free_memory(name);
        H5Tclose(member);
    }
    H5Tclose(all);
    return type;
}

/* Writes /sites anew with its first n_columns columns, as a program of another version would. */
static void rewrite_sites(size_t n_columns, int64_t minor)
{
    const int64_t schema[2] = {1, minor};
    hid_t file = reopen(), old = H5Dopen2(file, "sites", H5P_DEFAULT), space = H5Dget_space(old);
    hid_t type = type_of_sites(n_columns), dcpl = H5Dget_create_plist(old);
    hsize_t n = (hsize_t)H5Sget_simple_extent_npoints(space);
    void *rows = malloc((size_t)n * H5Tget_size(type));
    assert_true(H5Dread(old, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Dclose(old);
    H5Ldelete(file, "sites", H5P_DEFAULT);
    hid_t dset = H5Dcreate2(file, "sites", type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    assert_true(H5Dwrite(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    hid_t attr = H5Aopen(file, "schema", H5P_DEFAULT);
    H5Awrite(attr, H5T_STD_I64LE, schema);
    H5Aclose(attr);
    H5Dclose(dset);
    H5Pclose(dcpl);
    H5Tclose(type);
    H5Sclose(space);
    H5Fclose(file);
    free(rows);
}

enum { COLUMNS_1_0 = 14 };

/* Schema 1.0 knew no packed_offset; from 1.1 on the column has to be there. */
static void test_schema_1_0(void **state)
{
    (void)state;
    struct tiny t;
    make(&t, TDBG_STORE_DATASET);
    write_steps(&t, 0, 5, -1);
    rewrite_sites(COLUMNS_1_0, 0);
    struct tdbg_trace *trace = open_trace();
    expect_stored(trace, 1, 4);
    tdbg_trace_close(trace);
    rewrite_sites(COLUMNS_1_0, 1);
    expect_open(TDBG_DAMAGED, "sites has no column packed_offset");
    make(&t, TDBG_STORE_PACKED);
    write_steps(&t, 0, 5, -1);
    rewrite_sites(COLUMNS_1_0, 0);
    expect_open(TDBG_DAMAGED, "sites: packed_offset of row 0 is -1, not 0");
}

static void set_offset(int64_t offset)
{
    struct tdbg_site_record record;
    size_t offsets[TDBG_TABLE_MAX_COLUMNS], bytes = tdbg_table_row_bytes(&tdbg_table_sites);
    struct tdbg_err err = {0};
    hid_t file = reopen(), dset = H5Dopen2(file, "sites", H5P_DEFAULT), type = H5Dget_type(dset);
    unsigned char *rows = malloc(MOST_SITES * bytes);
    check(tdbg_table_match(&tdbg_table_sites, TDBG_SCHEMA_MINOR, type, "sites", offsets, &err),
          &err);
    assert_true(H5Dread(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    tdbg_table_unpack(&tdbg_table_sites, offsets, rows + bytes, &record);
    assert_int_equal(record.packed_offset, ELEMS);
    record.packed_offset = offset;
    tdbg_table_pack(&tdbg_table_sites, &record, rows + bytes);
    assert_true(H5Dwrite(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    free(rows);
    H5Tclose(type);
    H5Dclose(dset);
    H5Fclose(file);
}

/* Puts a dataset with so many columns and rows where one was. */
static void replace_rows(const char *name, hsize_t rows, hsize_t columns)
{
    hsize_t dims[2] = {rows, columns}, most[2] = {H5S_UNLIMITED, columns}, chunk[2] = {16, columns};
    hid_t file = reopen(), dcpl = H5Pcreate(H5P_DATASET_CREATE);
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

static void expect_read(int64_t step, const char *words)
{
    struct tdbg_err err = {0};
    float v[ELEMS];
    struct tdbg_trace *trace = open_trace();
    expect(tdbg_trace_read_values(trace, step, 1, v, NULL, &err), TDBG_DAMAGED, &err, words);
    expect_stored(trace, 2, 4); /* which is in another dataset */
    tdbg_trace_close(trace);
}

static void test_damaged_packed(void **state)
{
    (void)state;
    static const int64_t offsets[] = {-1, 0, ELEMS - 1, 2 * ELEMS, INT64_MAX, INT64_MIN};
    struct tiny t;
    make(&t, TDBG_STORE_PACKED);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        write_steps(&t, 0, 5, -1);
        set_offset(offsets[i]);
        expect_open(TDBG_DAMAGED, "sites: packed_offset of row 1 is ");
    }
    for (hsize_t columns = 2 * ELEMS - 1; columns <= 2 * ELEMS + 1; columns++) {
        write_steps(&t, 0, 5, -1);
        replace_rows("packed/grad/f32", 3, columns);
        expect_read(3, columns == 2 * ELEMS ? "packed/grad/f32 has only 3 rows"
                                            : "packed/grad/f32 does not have the columns");
    }
    expect_read(3, "cannot read grad/b at step 3");
    write_steps(&t, 0, 5, -1);
    replace_rows("packed/grad/f32", 5, 2 * ELEMS);
    expect_read(4, "packed/grad/f32: a chunk is missing");
}

/* Every order of reading gives the same values, and so do steps whose differences wrap around. */
static void test_delta_order(void **state)
{
    (void)state;
    struct tiny t;
    make(&t, TDBG_STORE_DELTA);
    for (int64_t keyframe = 0; keyframe < 10; keyframe += 3) {
        t.spec.info.keyframe_every = keyframe;
        write_steps(&t, 7, 60, -1);
        struct tdbg_trace *trace = open_trace();
        for (int64_t step = 66; step >= 7; step--)
            expect_stored(trace, 0, step);
        for (int64_t i = 0; i < 120; i++) {
            int64_t step = 7 + i * 37 % 60;
            expect_stored(trace, (int32_t)(i % 2), step);
            if (step % 2 == 0)
                expect_stored(trace, 2, step);
        }
        tdbg_trace_close(trace);
    }
}

static void spoil_chunk(const char *name, hsize_t row)
{
    static const char junk[] = "these are no values";
    hsize_t corner[2] = {row, 0};
    hid_t file = reopen(), dset = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dwrite_chunk(dset, H5P_DEFAULT, 0, corner, sizeof junk, junk) >= 0);
    H5Dclose(dset);
    H5Fclose(file);
}

static void set_attribute(const char *name, const char *attribute, int64_t value)
{
    hid_t file = reopen(), dset = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t attr = H5Aopen(dset, attribute, H5P_DEFAULT);
    assert_true(H5Awrite(attr, H5T_STD_I64LE, &value) >= 0);
    H5Aclose(attr);
    H5Dclose(dset);
    H5Fclose(file);
}

/* Damage reaches as far as the next whole value; a value that does not fit is never kept. */
static void test_damaged_delta(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tiny t;
    float v[ELEMS];
    make(&t, TDBG_STORE_DELTA);
    write_steps(&t, 0, 20, -1);
    spoil_chunk("delta/grad/b", 5);
    struct tdbg_trace *trace = open_trace();
    for (int round = 0; round < 2; round++) {
        for (int64_t step = 0; step < 20; step++) {
            if (step < 5 || step > 7)
                expect_stored(trace, 1, step);
            else
                expect(tdbg_trace_read_values(trace, step, 1, v, NULL, &err), TDBG_DAMAGED, &err,
                       "delta/grad/b");
        }
    }
    tdbg_trace_close(trace);
    static const int64_t bad[] = {0, -1, TDBG_MAX_WHOLE_EVERY + 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_steps(&t, 0, 5, -1);
        set_attribute("delta/grad/b", "whole_every", bad[i]);
        expect_read(3, "whole_every");
    }
    write_steps(&t, 0, 5, -1);
    replace_rows("delta/grad/b", 5, ELEMS); /* floating point */
    expect_read(3, "delta/grad/b");
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),    cmocka_unit_test(test_half_put),
        cmocka_unit_test(test_bad_plans),   cmocka_unit_test(test_not_due),
        cmocka_unit_test(test_schema_1_0),  cmocka_unit_test(test_damaged_packed),
        cmocka_unit_test(test_delta_order), cmocka_unit_test(test_damaged_delta),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    return cmocka_run_group_tests(tests, NULL, remove_dir);
}
