/* Values stored as differences, to the row before (delta) and to what is computed again (residual):
 * orders of reading, and how far damage reaches. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "trace/hdf5_util.h"
#include "tests/trace/tiny_trace.h"

/* Every order of reading gives the same values, and so do steps whose differences wrap around. */
static void test_delta_order(void **state)
{
    (void)state;
    struct tiny t;
    tiny_make(&t, TDBG_STORE_DELTA);
    for (int64_t keyframe = 0; keyframe < 10; keyframe += 3) {
        t.spec.info.keyframe_every = keyframe;
        tiny_write(&t, 7, 60, -1);
        struct tdbg_trace *trace = tiny_open();
        for (int64_t step = 66; step >= 7; step--)
            tiny_expect_stored(trace, 0, step);
        for (int64_t i = 0; i < 120; i++) {
            int64_t step = 7 + i * 37 % 60;
            tiny_expect_stored(trace, (int32_t)(i % 2), step);
            if (step % 2 == 0)
                tiny_expect_stored(trace, 2, step);
        }
        tdbg_trace_close(trace);
    }
}

static void spoil_chunk(const char *name, hsize_t row)
{
    static const char junk[] = "these are no values";
    hsize_t corner[2] = {row, 0};
    hid_t file = tiny_reopen(), dset = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dwrite_chunk(dset, H5P_DEFAULT, 0, corner, sizeof junk, junk) >= 0);
    H5Dclose(dset);
    H5Fclose(file);
}

static void set_attribute(const char *name, const char *attribute, int64_t value)
{
    hid_t file = tiny_reopen(), dset = H5Dopen2(file, name, H5P_DEFAULT);
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
    float v[TINY_ELEMS];
    tiny_make(&t, TDBG_STORE_DELTA);
    tiny_write(&t, 0, 20, -1);
    spoil_chunk("delta/grad/b", 5);
    struct tdbg_trace *trace = tiny_open();
    for (int round = 0; round < 2; round++) {
        for (int64_t step = 0; step < 20; step++) {
            if (step < 5 || step > 7)
                tiny_expect_stored(trace, 1, step);
            else
                tiny_expect(tdbg_trace_read_values(trace, step, 1, v, NULL, &err), TDBG_DAMAGED,
                            &err, "delta/grad/b");
        }
    }
    tdbg_trace_close(trace);
    static const int64_t bad[] = {0, -1, TDBG_MAX_WHOLE_EVERY + 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tiny_write(&t, 0, 5, -1);
        set_attribute("delta/grad/b", "whole_every", bad[i]);
        tiny_expect_read(3, "whole_every");
    }
    tiny_write(&t, 0, 5, -1);
    tiny_replace_rows("delta/grad/b", 5, TINY_ELEMS); /* floating point */
    tiny_expect_read(3, "delta/grad/b");
}

static int64_t storage_bytes(const char *name)
{
    hid_t file = tiny_reopen(), dset = H5Dopen2(file, name, H5P_DEFAULT);
    int64_t bytes = (int64_t)H5Dget_storage_size(dset);
    H5Dclose(dset);
    H5Fclose(file);
    return bytes;
}

/* Of site 0, whose prediction is wrong in every third step. */
static void expect_corrected(struct tdbg_trace *trace, int64_t step, enum tdbg_status want,
                             const char *words)
{
    struct tdbg_err err = {0};
    float v[TINY_ELEMS];
    tiny_expect(tdbg_trace_read_values(trace, step, 0, v, NULL, &err), want, &err, words);
}

static void test_residual(void **state)
{
    (void)state;
    struct tiny t;
    struct tdbg_err err = {0};
    struct tdbg_trace_sizes sizes;
    tiny_make(&t, TDBG_STORE_RESIDUAL);
    tiny_write(&t, 0, 20, -1);
    assert_int_equal(storage_bytes("residual/grad/b"), 0);
    assert_int_equal(storage_bytes("residual/param/a"), 0);
    assert_true(storage_bytes("residual/grad/a") > 0);
    struct tdbg_trace *trace = tiny_open();
    for (int64_t step = 0; step < 20; step++) {
        tiny_expect_stored(trace, 0, step);
        tiny_expect_stored(trace, 1, step);
    }
    tiny_check(tdbg_trace_read_sizes(trace, &sizes, &err), &err);
    assert_int_equal(sizes.raw_values_bytes, (20 + 20 + 10) * TINY_ELEMS * 4);
    expect_corrected(trace, 3, TDBG_NEEDS_REPLAY, "only the difference to what replay computes");
    tdbg_trace_close(trace);
}

static enum tdbg_status recompute_wrong(void *context, struct tdbg_trace *trace, int64_t step,
                                        int32_t site, void *data, int64_t *n_elems,
                                        struct tdbg_err *err)
{
    if (context)
        return TDBG_RAISE(err, UNSUPPORTED, "this step cannot be run again");
    tiny_recompute(context, trace, step, site, data, n_elems, err);
    ((unsigned char *)data)[7] ^= 1;
    return TDBG_OK;
}

/* A residual that is lost, spoiled or on top of another value makes no value. */
static void test_damaged_residual(void **state)
{
    (void)state;
    struct tiny t;
    static const char words[] = "cannot read grad/a at step 3: residual/grad/a: what was computed";
    tiny_make(&t, TDBG_STORE_RESIDUAL);
    tiny_write(&t, 0, 8, -1);
    struct tdbg_trace *trace = tiny_open();
    tdbg_trace_set_recompute(trace, recompute_wrong, NULL);
    expect_corrected(trace, 2, TDBG_DAMAGED, "cannot read grad/a at step 2: residual/grad/a");
    expect_corrected(trace, 3, TDBG_DAMAGED, words);
    tdbg_trace_set_recompute(trace, recompute_wrong, trace);
    expect_corrected(trace, 3, TDBG_UNSUPPORTED, "this step cannot be run again");
    tdbg_trace_close(trace);

    spoil_chunk("residual/grad/a", 3);
    trace = tiny_open();
    tdbg_trace_set_recompute(trace, tiny_recompute, NULL);
    expect_corrected(trace, 3, TDBG_DAMAGED, "cannot read grad/a at step 3: residual/grad/a");
    tiny_expect_stored(trace, 0, 6);
    tdbg_trace_close(trace);

    hid_t file = tiny_reopen(), dset = H5Dopen2(file, "residual/grad/a", H5P_DEFAULT);
    for (hsize_t rows = 0; rows <= 8; rows += 8) /* all chunks are gone */
        H5Dset_extent(dset, (hsize_t[]){rows, TINY_ELEMS});
    H5Dclose(dset);
    H5Fclose(file);
    trace = tiny_open();
    tdbg_trace_set_recompute(trace, tiny_recompute, NULL);
    expect_corrected(trace, 3, TDBG_DAMAGED, words);
    tiny_expect_stored(trace, 0, 4);
    tdbg_trace_close(trace);

    file = tiny_reopen();
    dset = H5Dopen2(file, "residual/grad/a", H5P_DEFAULT);
    H5Dset_extent(dset, (hsize_t[]){3, TINY_ELEMS});
    H5Dclose(dset);
    H5Fclose(file);
    trace = tiny_open();
    tdbg_trace_set_recompute(trace, tiny_recompute, NULL);
    expect_corrected(trace, 4, TDBG_DAMAGED, "residual/grad/a has only 3 rows");
    tdbg_trace_close(trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delta_order),
        cmocka_unit_test(test_damaged_delta),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_damaged_residual),
    };
    return cmocka_run_group_tests(tests, tiny_begin, tiny_end);
}
