/* The public library: no mistake of the caller, no missing or damaged file and no full disk does
 * more than return an error. */
#include <signal.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib_run.h"

#define REFUSED(call, text)                                                                        \
    do {                                                                                           \
        assert_int_equal((call), TDBG_ERR_USAGE);                                                  \
        if (!strstr(tdbg_rec_error(rec), (text)))                                                  \
            fail_msg("'%s' does not say '%s'", tdbg_rec_error(rec), (text));                       \
    } while (0)

/* Tensors that cannot be added, and what is said of them. */
static const struct {
    struct tdbg_tensor t;
    const char *text;
} wrong[] = {
    {{.name = NULL}, "name"},
    {{.name = ""}, "name"},
    {{.name = "grad/../w"}, "name"},
    {{.name = "grad//w"}, "name"},
    {{.name = "grad/w w"}, "name"},
    {{.name = "w"}, "needs a stage"},
    {{.name = "w", .stage = "gradient"}, "no stage 'gradient'; there are samples, "},
    {{.name = "gradient/w"}, "no stage 'gradient'"},
    {{.name = "grad/w", .stage = "fwd"}, "another stage"},
    {{.name = "grad/w", .elem = (enum tdbg_elem)7}, "no element type 7"},
    {{.name = "grad/w", .elem = (enum tdbg_elem) - 1}, "no element type"},
    {{.name = "grad/w", .ndim = 9}, "dimensions"},
    {{.name = "grad/w", .ndim = -1}, "dimensions"},
    {{.name = "grad/w", .ndim = 2, .shape = {3, 0}}, "dimension 1 is 0"},
    {{.name = "grad/w", .ndim = 2, .shape = {-3, 2}}, "dimension 0 is -3"},
    {{.name = "grad/w", .ndim = 2, .shape = {INT64_MAX, INT64_MAX}}, "2^40"},
    {{.name = "grad/w", .batched = 1}, "batched"},
    {{.name = "grad/w", .batched = 2}, "batched"},
    {{.name = "eval/w", .ndim = 1, .shape = {8}, .batched = 1}, "batched"},
    {{.name = "grad/w", .keep = TDBG_KEEP_SAMPLES}, "no way"},
    {{.name = "grad/w", .keep = (enum tdbg_keep) - 1}, "no way"},
    {{.name = "grad/w", .keep = TDBG_KEEP_KEYFRAME}, "of stage state"},
    {{.name = "state/w", .keep = TDBG_KEEP_VALUES}, "of stage state"},
    {{.name = "samples/x"}, "tdbg_rec_set_samples"},
    {{.name = "grad/w", .digest_every = -1}, "cadence"},
    {{.name = "grad/w", .value_every = -1}, "cadence"},
    {{.name = "grad/w", .keep = TDBG_KEEP_VALUES, .digest_every = 2}, "no multiple"},
    {{.name = "grad/w", .keep = TDBG_KEEP_VALUES, .digest_every = 2, .value_every = 3},
     "no multiple"},
    {{.name = "eval/w", .keep = TDBG_KEEP_DELTA}, "no differences"},
    {{.name = "grad/w", .op = "\xc3\xa4"}, "op or unit"},
    {{.name = "grad/w", .unit = "123456789012345678901234567890123"}, "op or unit"},
    {{.name = "grad/w", .reserved = {0, 0, 1}}, "reserved"},
};

static void test_wrong_descriptions(void **unused)
{
    (void)unused;
    int32_t id = -7;
    char path[128], *huge = malloc((17 << 20) + 1);
    struct tdbg_rec *rec = tdbg_rec_create();
    const struct tdbg_tensor one = {.elem = TDBG_U8};
    memset(huge, 'x', 17 << 20);
    huge[17 << 20] = 0;
    REFUSED(tdbg_rec_begin(rec, lib_path("m.h5", path), 0), "TDBG_INT_BATCH is not set");
    REFUSED(tdbg_rec_set_samples(rec, &one, &one, 4), "before tdbg_rec_set_samples");
    REFUSED(tdbg_rec_set_int(rec, TDBG_INT_BATCH, 0), "has to be 1 to");
    REFUSED(tdbg_rec_set_int(rec, TDBG_INT_BATCH, -3), "has to be 1 to");
    REFUSED(tdbg_rec_set_int(rec, TDBG_INT_STEPS, 3), "cannot be set");
    REFUSED(tdbg_rec_set_int(rec, (enum tdbg_int)999, 3), "cannot be set");
    REFUSED(tdbg_rec_set_int(rec, TDBG_INT_FIRST_STEP, INT64_MAX), "has to be 0 to");
    REFUSED(tdbg_rec_set_text(rec, TDBG_TEXT_GRAPH, ""), "cannot be set");
    REFUSED(tdbg_rec_set_text(rec, (enum tdbg_text) - 1, ""), "cannot be set");
    REFUSED(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, NULL), "NULL");
    REFUSED(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, huge), "longer than 16 MiB");
    REFUSED(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, "\xff"), "not UTF-8");
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_BATCH, 8), TDBG_SUCCESS);
    REFUSED(tdbg_rec_begin(rec, path, 0), "no tensor was added");
    REFUSED(tdbg_rec_set_samples(rec, NULL, &one, 4), "NULL");
    const char *const tokens[] = {"a", NULL};
    REFUSED(tdbg_rec_set_vocabulary(rec, 1, NULL, NULL), "NULL");
    REFUSED(tdbg_rec_set_vocabulary(rec, 0, tokens, NULL), "0 tokens");
    REFUSED(tdbg_rec_set_vocabulary(rec, INT64_C(1) << 25, tokens, NULL), "33554432 tokens");
    REFUSED(tdbg_rec_set_vocabulary(rec, 2, tokens, NULL), "token 1 is NULL");
    REFUSED(tdbg_rec_set_vocabulary(rec, 1, tokens, &(size_t){(size_t)1 << 29}), "2^28 bytes");
    REFUSED(tdbg_rec_set_samples(rec, &one, &one, 0), "0 samples");
    const struct tdbg_tensor deep = {.ndim = 8, .shape = {1, 1, 1, 1, 1, 1, 1, 1}};
    const struct tdbg_tensor wide = {.ndim = 1, .shape = {INT64_C(1) << 39}};
    REFUSED(tdbg_rec_set_samples(rec, &deep, &one, 4), "at most 7 dimensions");
    REFUSED(tdbg_rec_set_samples(rec, &wide, &one, 4), "2^40");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        REFUSED(tdbg_rec_add(rec, &wrong[i].t, &id), wrong[i].text);
    const struct tdbg_tensor good = {.name = "grad/w"}, state = {.name = "state/w", .keep = 3};
    REFUSED(tdbg_rec_add(rec, NULL, &id), "NULL");
    REFUSED(tdbg_rec_add(rec, &good, NULL), "NULL");
    assert_int_equal(id, -7);
    assert_int_equal(tdbg_rec_add(rec, &good, &id), TDBG_SUCCESS);
    REFUSED(tdbg_rec_set_samples(rec, &one, &one, 4), "before any tensor");
    REFUSED(tdbg_rec_begin(rec, NULL, 0), "no path");
    REFUSED(tdbg_rec_begin(rec, path, 8), "flags");
    assert_int_equal(tdbg_rec_add(rec, &state, &id), TDBG_SUCCESS);
    REFUSED(tdbg_rec_begin(rec, path, 0), "TDBG_INT_KEYFRAME_EVERY is 0");
    assert_int_equal(tdbg_rec_set_int(rec, TDBG_INT_KEYFRAME_EVERY, 2), TDBG_SUCCESS);
    assert_int_equal(tdbg_rec_begin(rec, "/nonexistent/m.h5", 0), TDBG_ERR_IO);
    assert_int_equal(tdbg_rec_begin(rec, path, 0), TDBG_SUCCESS);
    REFUSED(tdbg_rec_begin(rec, path, 0), "has begun already");
    REFUSED(tdbg_rec_add(rec, &good, &id), "before the recording begins");
    REFUSED(tdbg_rec_set_int(rec, TDBG_INT_SEED, 1), "before the recording begins");
    REFUSED(tdbg_rec_set_text(rec, TDBG_TEXT_CONFIG, ""), "before the recording begins");
    tdbg_rec_free(rec);
    rec = lib_describe();
    assert_int_equal(tdbg_rec_add(rec, &lib_tensors[GRAD], &id), TDBG_SUCCESS);
    REFUSED(tdbg_rec_begin(rec, path, TDBG_REC_OVERWRITE), "grad/w is there twice");
    tdbg_rec_free(rec);
    free(huge);
}

static void test_wrong_order_and_sizes(void **unused)
{
    (void)unused;
    char path[128];
    double data[BATCH * PIXELS] = {0};
    int64_t ids[BATCH] = {0, 1, 2, 3, 4, 40};
    struct tdbg_rec *rec = lib_describe();
    REFUSED(tdbg_rec_step(rec, 0, 1), "tdbg_rec_begin() comes first");
    REFUSED(lib_put(rec, GRAD, FIRST), "tdbg_rec_begin() comes first");
    REFUSED(tdbg_rec_commit(rec, 0, 0), "tdbg_rec_begin() comes first");
    REFUSED(tdbg_rec_close(rec), "has not begun");
    assert_int_equal(tdbg_rec_begin(rec, lib_path("o.h5", path), 0), TDBG_SUCCESS);
    struct tdbg_rec *other = lib_describe();
    assert_int_equal(tdbg_rec_begin(other, path, 0), TDBG_ERR_USAGE);
    assert_non_null(strstr(tdbg_rec_error(other), "is being recorded already"));
    tdbg_rec_free(other);
    REFUSED(lib_put(rec, GRAD, FIRST), "tdbg_rec_step() comes first");
    REFUSED(lib_put_batch(rec, FIRST), "tdbg_rec_step() comes first");
    REFUSED(tdbg_rec_commit(rec, 0, 0), "tdbg_rec_step() comes first");
    assert_int_equal(tdbg_rec_due(rec, GRAD), 0);
    REFUSED(tdbg_rec_step(rec, -1, 1), "epoch");
    REFUSED(tdbg_rec_step(rec, 0, -1), "samples in a batch");
    REFUSED(tdbg_rec_step(rec, 0, BATCH + 1), "samples in a batch");
    assert_int_equal(tdbg_rec_step(rec, 0, BATCH), TDBG_SUCCESS);
    REFUSED(tdbg_rec_step(rec, 0, BATCH), "tdbg_rec_commit() comes first");
    REFUSED(tdbg_rec_commit(rec, 0, 0), "samples/id was not put");
    REFUSED(tdbg_rec_put(rec, -1, data, 1), "no tensor -1");
    REFUSED(tdbg_rec_put(rec, N_TENSORS, data, 1), "no tensor");
    REFUSED(tdbg_rec_put(rec, X, data, 1), "tdbg_rec_put_samples");
    REFUSED(tdbg_rec_put(rec, GRAD, data, 3), "3 elements, and the step has 60");
    REFUSED(tdbg_rec_put(rec, GRAD, data, -1), "elements");
    REFUSED(tdbg_rec_put(rec, GRAD, NULL, CLASSES * PIXELS), "NULL");
    REFUSED(tdbg_rec_put(rec, FWD, data, 2 * CLASSES), "elements");
    REFUSED(tdbg_rec_put_samples(rec, BATCH - 1, ids, data, data), "samples");
    REFUSED(tdbg_rec_put_samples(rec, BATCH, ids, NULL, data), "NULL");
    REFUSED(tdbg_rec_put_samples(rec, BATCH, ids, data, data), "no sample 40");
    assert_int_equal(tdbg_rec_due(rec, GRAD), 1);
    assert_int_equal(tdbg_rec_due(rec, PARAM), 0);
    assert_int_equal(tdbg_rec_due(rec, N_TENSORS), 0);
    assert_int_equal(lib_put_batch(rec, FIRST), TDBG_SUCCESS);
    REFUSED(lib_put_batch(rec, FIRST), "before");
    REFUSED(tdbg_rec_commit(rec, 0, 0), "fwd/logits was not put in step 3");
    for (int i = STATE; i < ACCURACY; i++)
        assert_int_equal(lib_put(rec, i, FIRST), TDBG_SUCCESS);
    REFUSED(lib_put(rec, GRAD, FIRST), "grad/w was put in step 3 before");
    assert_int_equal(tdbg_rec_commit(rec, (float)FIRST, 0.5f), TDBG_SUCCESS);
    for (int64_t step = FIRST + 1; step < FIRST + STEPS; step++)
        lib_record_step(rec, step);
    assert_int_equal(tdbg_rec_step(rec, 0, BATCH), TDBG_SUCCESS);
    assert_int_equal(lib_put(rec, GRAD, FIRST + STEPS), TDBG_SUCCESS); /* never committed */
    assert_int_equal(tdbg_rec_close(rec), TDBG_SUCCESS);
    REFUSED(tdbg_rec_close(rec), "closed");
    REFUSED(tdbg_rec_step(rec, 0, 1), "closed");
    REFUSED(tdbg_rec_begin(rec, path, 0), "closed");
    tdbg_rec_free(rec);
    /* after all these mistakes the trace is what a faultless recording is */
    struct tdbg_read *t = lib_open(path);
    lib_check_description(t);
    for (int64_t step = FIRST; step < FIRST + STEPS; step++)
        lib_check_step(t, step);
    tdbg_read_close(t);
}

static void test_null_handles(void **unused)
{
    (void)unused;
    int32_t id;
    int64_t n;
    uint64_t u[TDBG_CHAINS];
    struct tdbg_tensor d = {.name = "grad/w"};
    struct tdbg_tensor_stats s;
    assert_int_equal(tdbg_rec_set_text(NULL, TDBG_TEXT_CONFIG, ""), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_set_int(NULL, TDBG_INT_BATCH, 1), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_set_samples(NULL, &d, &d, 1), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_add(NULL, &d, &id), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_begin(NULL, "x", 0), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_step(NULL, 0, 0), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_due(NULL, 0), 0);
    assert_int_equal(tdbg_rec_put(NULL, 0, &n, 1), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_put_samples(NULL, 0, NULL, NULL, NULL), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_commit(NULL, 0, 0), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_rec_close(NULL), TDBG_ERR_USAGE);
    assert_non_null(tdbg_rec_error(NULL));
    tdbg_rec_free(NULL);
    assert_int_equal(tdbg_read_open("x", NULL), TDBG_ERR_USAGE);
    assert_non_null(tdbg_read_error(NULL));
    assert_null(tdbg_read_text(NULL, TDBG_TEXT_CONFIG));
    assert_int_equal(tdbg_read_int(NULL, TDBG_INT_BATCH), 0);
    assert_int_equal(tdbg_read_n_tensors(NULL), 0);
    assert_int_equal(tdbg_read_tensor(NULL, 0, &d), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_lane(NULL, 0, &id, &id), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_find(NULL, "x", -1, -1, &id), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_steps(NULL, 0, 0, NULL), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_chains(NULL, 0, u), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_has(NULL, 0, 0), 0);
    assert_int_equal(tdbg_read_digests(NULL, 0, u), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_stats(NULL, 0, 0, &s), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_step_stats(NULL, 0, &s), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_values(NULL, 0, 0, u, 8, &n), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_samples_shape(NULL, TDBG_TRAIN_SAMPLES, &d, &d, &n), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_batch_ids(NULL, 0, &n, &n), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_samples(NULL, TDBG_TRAIN_SAMPLES, 1, &n, u, u), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_keyframe_before(NULL, 0), -1);
    assert_int_equal(tdbg_read_n_items(NULL), 0);
    assert_int_equal(tdbg_read_item(NULL, 0, &d), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_keyframe(NULL, 0, 0, u, 8), TDBG_ERR_USAGE);
    tdbg_read_close(NULL);
    assert_int_equal(tdbg_digest_of(u, (enum tdbg_elem)99, 1, u), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_digest_of(NULL, TDBG_F32, 1, u), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_digest_of(u, TDBG_F32, -1, u), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_digest_of(u, TDBG_F32, 1, NULL), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_elem_bytes((enum tdbg_elem)99), 0);
    assert_string_equal(tdbg_result_text(-1), "unknown result");
    assert_string_equal(tdbg_result_text(TDBG_ERR_DAMAGED), "trace is damaged");
    assert_string_equal(tdbg_lib_version(), TDBG_LIB_VERSION);
}

static void test_wrong_reads(void **unused)
{
    (void)unused;
    char path[128];
    int32_t id;
    int64_t n;
    double data[BATCH * PIXELS];
    struct tdbg_tensor d;
    struct tdbg_tensor_stats s;
    struct tdbg_read_step rows[STEPS];
    struct tdbg_read *t = NULL;
    assert_int_equal(tdbg_read_open(lib_path("missing.h5", path), &t), TDBG_ERR_NO_TRACE);
    assert_non_null(strstr(tdbg_read_error(t), "missing.h5"));
    assert_int_equal(tdbg_read_n_tensors(t), 0);
    assert_int_equal(tdbg_read_tensor(t, 0, &d), TDBG_ERR_USAGE);
    assert_null(tdbg_read_text(t, TDBG_TEXT_CONFIG));
    tdbg_read_close(t);
    assert_int_equal(tdbg_read_open(NULL, &t), TDBG_ERR_USAGE);
    tdbg_read_close(t);
    lib_record(lib_path("a.h5", path));
    t = lib_open(path);
    assert_int_equal(tdbg_read_tensor(t, -1, &d), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_tensor(t, N_TENSORS, &d), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_tensor(t, 0, NULL), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_find(t, "grad/nothing", -1, -1, &id), TDBG_ERR_NOT_FOUND);
    assert_non_null(strstr(tdbg_read_error(t), "grad/nothing"));
    assert_int_equal(tdbg_read_find(t, "grad/w", 0, 0, &id), TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_steps(t, FIRST - 1, 1, rows), TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_steps(t, FIRST, STEPS + 1, rows), TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_steps(t, INT64_MAX, 2, rows), TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_steps(t, FIRST, -1, rows), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_steps(t, FIRST, 1, NULL), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_stats(t, FIRST + STEPS, GRAD, &s), TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_stats(t, FIRST, 99, &s), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_has(t, FIRST + STEPS, GRAD), 0);
    assert_int_equal(tdbg_read_has(t, FIRST, 99), 0);
    assert_int_equal(tdbg_read_values(t, FIRST, GRAD, data, 3, &n), TDBG_ERR_USAGE);
    assert_non_null(strstr(tdbg_read_error(t), "240 bytes"));
    assert_int_equal(tdbg_read_values(t, FIRST, GRAD, NULL, sizeof data, &n), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_values(t, -1, GRAD, data, sizeof data, &n), TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_values(t, FIRST, BIAS, data, sizeof data, &n), TDBG_ERR_NOT_STORED);
    assert_int_equal(tdbg_read_samples(t, (enum tdbg_sample_set)5, 1, &n, data, NULL),
                     TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_samples(t, TDBG_EVAL_SAMPLES, 1, &n, data, NULL),
                     TDBG_ERR_NOT_FOUND);
    assert_int_equal(tdbg_read_item(t, 1, &d), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_keyframe(t, 8, 1, data, sizeof data), TDBG_ERR_USAGE);
    assert_int_equal(tdbg_read_keyframe(t, 8, 0, data, 4), TDBG_ERR_USAGE);
    tdbg_read_close(t);
    FILE *f = fopen(path, "r+b");
    fseek(f, 9000, SEEK_SET);
    for (int i = 0; i < 30000; i++)
        fputc(i * 7, f);
    fclose(f);
    assert_int_not_equal(tdbg_read_open(path, &t), TDBG_SUCCESS);
    assert_non_null(strstr(tdbg_read_error(t), "a.h5"));
    tdbg_read_close(t);
}
/* Lets whoever writes the file, the process that the recording started or this one, write 3 MiB to
 * a file and no more. */
static bool limit_writer(void)
{
    const struct rlimit limit = {3 << 20, 3 << 20};
    char path[64];
    int writer = 0;
    sprintf(path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%d", &writer) != 1)
        writer = 0;
    if (f)
        fclose(f);
    return prlimit(writer, RLIMIT_FSIZE, &limit, NULL) == 0;
}

/* In a process of its own. The error comes with a later call than the one that put what did not
 * fit.
 */
static int fill_disk(const char *path)
{
    enum { ELEMS = 1 << 20, MOST_STEPS = 200 };
    const struct tdbg_tensor large = {.name = "grad/large",
                                      .elem = TDBG_U8,
                                      .ndim = 1,
                                      .shape = {ELEMS},
                                      .keep = TDBG_KEEP_VALUES};
    unsigned char *data = malloc(ELEMS);
    struct tdbg_rec *rec = tdbg_rec_create();
    int32_t id;
    int result = TDBG_SUCCESS;
    signal(SIGXFSZ, SIG_IGN);
    if (tdbg_rec_set_int(rec, TDBG_INT_BATCH, 1) || tdbg_rec_add(rec, &large, &id) ||
        tdbg_rec_begin(rec, path, TDBG_REC_OVERWRITE) || !limit_writer())
        return 1;
    for (int64_t step = 0; step < MOST_STEPS && result == TDBG_SUCCESS; step++) {
        for (int64_t i = 0; i < ELEMS; i++)
            data[i] = (unsigned char)lib_bits(1, step, i);
        result = tdbg_rec_step(rec, 0, 1);
        if (result == TDBG_SUCCESS)
            result = tdbg_rec_put(rec, id, data, ELEMS);
        if (result == TDBG_SUCCESS)
            result = tdbg_rec_commit(rec, 0, 0);
    }
    if (result != TDBG_ERR_IO || !*tdbg_rec_error(rec))
        return 2;
    char *reason = strdup(tdbg_rec_error(rec));
    if (tdbg_rec_step(rec, 0, 1) != TDBG_ERR_FAILED || tdbg_rec_due(rec, id) != 0 ||
        tdbg_rec_put(rec, id, data, ELEMS) != TDBG_ERR_FAILED ||
        tdbg_rec_commit(rec, 0, 0) != TDBG_ERR_FAILED || strcmp(reason, tdbg_rec_error(rec)) != 0)
        return 3;
    free(reason);
    tdbg_rec_close(rec);
    tdbg_rec_free(rec);
    free(data);
    return 0;
}

/* A disk that is full: the recording ends with an error and so does every later call; the program
 * goes on. */
static void test_full_disk(void **unused)
{
    (void)unused;
    char path[128];
    int status = -1;
    lib_path("f.h5", path);
    pid_t child = fork();
    if (child == 0)
        _exit(fill_disk(path));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_descriptions), cmocka_unit_test(test_wrong_order_and_sizes),
        cmocka_unit_test(test_null_handles),       cmocka_unit_test(test_wrong_reads),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, lib_make_folder, lib_remove_folder);
}
