/* Stores that go by the digest, and of them packed values: what a writer accepts, what a reader is
 * told of values that were left out, of files from before, and of damage. Differences are in
 * test_trace_difference.c, round trips over random sites in test_trace_roundtrip.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"
#include "trace/table.h"
#include "tests/trace/tiny_trace.h"

/* A value that was left out, digest and all, is not there; it is not zero. */
static void test_left_out(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tiny t;
    float v[TINY_ELEMS];
    for (int s = 0; s < TINY_N_STORES; s++) {
        tiny_make(&t, tiny_stores[s]);
        tiny_write(&t, 0, 20, 6);
        struct tdbg_trace *trace = tiny_open();
        for (int64_t step = 0; step < 20; step++) {
            tiny_expect_stored(trace, 0, step);
            if (step != 6)
                tiny_expect_stored(trace, 1, step);
        }
        tiny_expect(tdbg_trace_read_values(trace, 6, 1, v, NULL, &err), TDBG_NOT_FOUND, &err,
                    "grad/b was not recorded at step 6");
        tiny_expect(tdbg_trace_read_values(trace, 7, 2, v, NULL, &err), TDBG_NEEDS_REPLAY, &err,
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
    float v[TINY_ELEMS];
    for (int i = 0; i < 2 * TINY_N_STORES; i++) {
        bool digest = i % 2;
        tiny_make(&t, tiny_stores[i / 2]);
        struct tdbg_trace_writer *w = tiny_create(&t);
        tiny_put(w, &t, 0, 0);
        tiny_put(w, &t, 2, 0);
        tiny_values(1, 0, v);
        if (digest)
            tiny_put_digest(w, 1, v);
        else
            tiny_put_value(w, &t, 1, 0);
        tiny_expect(tiny_commit(w, 0, &err), TDBG_USAGE, &err,
                    digest ? "grad/b at step 0 has a digest but no values"
                           : "grad/b at step 0 has values but no digest");
        tdbg_trace_writer_close(w, NULL);
    }
}

static void expect_plan(struct tiny *t, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    tiny_expect(tdbg_trace_writer_create(tiny_path, true, &t->spec, &w, &err), TDBG_USAGE, &err,
                words);
}

static void test_bad_plans(void **state)
{
    (void)state;
    struct tiny t;
    tiny_make(&t, TDBG_STORE_PACKED);
    t.plans[1].value_every = 2;
    expect_plan(&t, "grad/a and grad/b are packed together, but stored at different steps");
    tiny_make(&t, TDBG_STORE_PACKED);
    t.plans[1].digest_every = 0;
    expect_plan(&t, "grad/b has values at steps without a digest");
    tiny_make(&t, TDBG_STORE_PACKED);
    t.plans[2].digest_every = 3;
    expect_plan(&t, "param/a has values at steps without a digest");
    tiny_make(&t, TDBG_STORE_PACKED);
    t.plans[1].value_every = 0;
    expect_plan(&t, "grad/b is stored but at no step");
    tiny_make(&t, TDBG_STORE_PACKED);
    t.sites[0].dims[0] = t.sites[1].dims[0] = INT64_C(1) << 40;
    expect_plan(&t, "packed/grad/f32 has rows that are too large");
    tiny_make(&t, TDBG_STORE_DELTA);
    t.plans[1].digest_every = 0;
    expect_plan(&t, "grad/b has values at steps without a digest");
    tiny_make(&t, TDBG_STORE_DELTA);
    t.sites[1].name = "eval/b";
    t.sites[1].stage = TDBG_STAGE_EVAL;
    expect_plan(&t, "eval/b is not there at every step and cannot be stored as differences");
}

/* Values at steps that are not due: none of them may get into a row. */
static void test_not_due(void **state)
{
    (void)state;
    struct tiny t;
    for (int64_t first = 3; first < 3 + 3 * TINY_N_STORES; first++) {
        tiny_make(&t, tiny_stores[(first - 3) / 3]);
        t.plans[0].value_every = t.plans[1].value_every = 3;
        tiny_write(&t, first, 40, -1);
        struct tdbg_trace *trace = tiny_open();
        for (int64_t step = first; step < first + 40; step++) {
            assert_int_equal(tdbg_trace_has_values(trace, 0, step, false),
                             step % 3 == 0 && t.plans[0].store != TDBG_STORE_RESIDUAL);
            for (int32_t i = 0; i < 3; i++) {
                if (step % t.plans[i].value_every == 0)
                    tiny_expect_stored(trace, i, step);
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
    hid_t file = tiny_reopen(), old = H5Dopen2(file, "sites", H5P_DEFAULT),
          space = H5Dget_space(old);
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
    tiny_make(&t, TDBG_STORE_DATASET);
    tiny_write(&t, 0, 5, -1);
    rewrite_sites(COLUMNS_1_0, 0);
    struct tdbg_trace *trace = tiny_open();
    tiny_expect_stored(trace, 1, 4);
    tdbg_trace_close(trace);
    rewrite_sites(COLUMNS_1_0, 1);
    tiny_expect_open(TDBG_DAMAGED, "sites has no column packed_offset");
    tiny_make(&t, TDBG_STORE_PACKED);
    tiny_write(&t, 0, 5, -1);
    rewrite_sites(COLUMNS_1_0, 0);
    tiny_expect_open(TDBG_DAMAGED, "sites: packed_offset of row 0 is -1, not 0");
}

static void set_offset(int64_t offset)
{
    struct tdbg_site_record record;
    size_t offsets[TDBG_TABLE_MAX_COLUMNS], bytes = tdbg_table_row_bytes(&tdbg_table_sites);
    struct tdbg_err err = {0};
    hid_t file = tiny_reopen(), dset = H5Dopen2(file, "sites", H5P_DEFAULT),
          type = H5Dget_type(dset);
    unsigned char *rows = malloc(TINY_MOST_SITES * bytes);
    tiny_check(tdbg_table_match(&tdbg_table_sites, TDBG_SCHEMA_MINOR, type, "sites", offsets, &err),
               &err);
    assert_true(H5Dread(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    tdbg_table_unpack(&tdbg_table_sites, offsets, rows + bytes, &record);
    assert_int_equal(record.packed_offset, TINY_ELEMS);
    record.packed_offset = offset;
    tdbg_table_pack(&tdbg_table_sites, &record, rows + bytes);
    assert_true(H5Dwrite(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    free(rows);
    H5Tclose(type);
    H5Dclose(dset);
    H5Fclose(file);
}

static void test_damaged_packed(void **state)
{
    (void)state;
    static const int64_t offsets[] = {-1, 0, TINY_ELEMS - 1, 2 * TINY_ELEMS, INT64_MAX, INT64_MIN};
    struct tiny t;
    tiny_make(&t, TDBG_STORE_PACKED);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        tiny_write(&t, 0, 5, -1);
        set_offset(offsets[i]);
        tiny_expect_open(TDBG_DAMAGED, "sites: packed_offset of row 1 is ");
    }
    for (hsize_t columns = 2 * TINY_ELEMS - 1; columns <= 2 * TINY_ELEMS + 1; columns++) {
        tiny_write(&t, 0, 5, -1);
        tiny_replace_rows("packed/grad/f32", 3, columns);
        tiny_expect_read(3, columns == 2 * TINY_ELEMS
                                ? "packed/grad/f32 has only 3 rows"
                                : "packed/grad/f32 does not have the columns");
    }
    tiny_expect_read(3, "cannot read grad/b at step 3");
    tiny_write(&t, 0, 5, -1);
    tiny_replace_rows("packed/grad/f32", 5, 2 * TINY_ELEMS);
    tiny_expect_read(4, "packed/grad/f32: a chunk is missing");
}

/* A value goes with a prediction where one is needed, and only there. */
static void test_wrong_put(void **state)
{
    (void)state;
    struct tiny t;
    struct tdbg_err err = {0};
    const float v[TINY_ELEMS] = {0};
    for (int s = 0; s < TINY_N_STORES; s++) {
        tiny_make(&t, tiny_stores[s]);
        struct tdbg_trace_writer *w = tiny_create(&t);
        if (tiny_stores[s] == TDBG_STORE_RESIDUAL)
            tiny_expect(tdbg_trace_writer_put_values(w, 0, v, TINY_ELEMS, &err), TDBG_USAGE, &err,
                        "grad/a is stored as a residual and needs a prediction");
        else
            tiny_expect(tdbg_trace_writer_put_predicted(w, 0, v, v, TINY_ELEMS, &err), TDBG_USAGE,
                        &err, "grad/a is not stored as a residual");
        tdbg_trace_writer_close(w, NULL);
    }
    tiny_make(&t, TDBG_STORE_NONE);
    struct tdbg_trace_writer *w = tiny_create(&t);
    tiny_expect(tdbg_trace_writer_put_values(w, 0, v, TINY_ELEMS, &err), TDBG_USAGE, &err,
                "grad/a is not stored by step");
    tdbg_trace_writer_close(w, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),   cmocka_unit_test(test_half_put),
        cmocka_unit_test(test_bad_plans),  cmocka_unit_test(test_not_due),
        cmocka_unit_test(test_schema_1_0), cmocka_unit_test(test_damaged_packed),
        cmocka_unit_test(test_wrong_put),
    };
    return cmocka_run_group_tests(tests, tiny_begin, tiny_end);
}
