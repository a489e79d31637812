/* Packing: random traces, whole and in parts, and every answer of the packed file compared with
 * that of the trace. These traces cannot be executed, so that parts begin at keyframes here; the
 * others are in tests/example/e2e_files.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/pack.h"
#include "trace/layout.h"
#include "tests/trace/trace_maker.h"

enum { N_SEEDS = 40, BUFFER_BYTES = 1 << 20, MOST_SAMPLES = 32 };

static char dir[] = "/tmp/tdbg-pack-XXXXXX", path[64], packed[64];
static struct maker maker;
static unsigned char a_data[BUFFER_BYTES], b_data[BUFFER_BYTES];
static int64_t n_left_out;    /* values that compare_values found in neither file */
static uint64_t running_seed; /* not 0 at the end: the one that failed */

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : tdbg_status_text(st));
}

static enum tdbg_status predict(void *context, struct tdbg_trace *t, int64_t step, int32_t site,
                                void *data, int64_t *n_elems, struct tdbg_err *err)
{
    (void)t;
    (void)err;
    maker_predicted(context, site, step, data, n_elems);
    return TDBG_OK;
}

static struct tdbg_trace *open_trace(const char *name)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    check(tdbg_trace_open(name, &t, &err), &err);
    tdbg_trace_set_recompute(t, predict, &maker);
    return t;
}

static void compare_values(struct tdbg_trace *a, struct tdbg_trace *b, int64_t step, int32_t site,
                           bool evaluated)
{
    struct tdbg_err err = {0};
    int64_t n_a, n_b;
    const struct tdbg_site *s = &tdbg_trace_sites(a, NULL)[site];
    bool stored = tdbg_trace_has_values(a, site, step, evaluated);
    bool residual = tdbg_trace_has_residual(a, site, step, evaluated);
    assert_int_equal(stored, tdbg_trace_has_values(b, site, step, evaluated));
    assert_int_equal(residual, tdbg_trace_has_residual(b, site, step, evaluated));
    if (!stored && !residual)
        return;
    enum tdbg_status st = tdbg_trace_read_values(a, step, site, a_data, &n_a, &err);
    if (st == TDBG_NOT_FOUND) { /* left out by the writer */
        tdbg_err_clear(&err);
        assert_int_equal(tdbg_trace_read_values(b, step, site, b_data, &n_b, &err), st);
        tdbg_err_clear(&err);
        n_left_out++;
        return;
    }
    check(st, &err);
    check(tdbg_trace_read_values(b, step, site, b_data, &n_b, &err), &err);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(a_data, b_data, (size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype));
}

static void compare_step(struct tdbg_trace *a, struct tdbg_trace *b, int64_t step)
{
    struct tdbg_err err = {0};
    static struct tdbg_step_row row_a, row_b; /* static: no stray bytes between the fields */
    static uint64_t digests_a[MAKER_MAX_SITES], digests_b[MAKER_MAX_SITES];
    static struct tdbg_stats stats_a[MAKER_MAX_SITES], stats_b[MAKER_MAX_SITES];
    int64_t ids_a[MOST_SAMPLES], ids_b[MOST_SAMPLES], n_a, n_b;
    int32_t n_sites;
    tdbg_trace_sites(a, &n_sites);
    check(tdbg_trace_read_steps(a, step, 1, &row_a, &err), &err);
    check(tdbg_trace_read_steps(b, step, 1, &row_b, &err), &err);
    assert_memory_equal(&row_a, &row_b, sizeof row_a);
    check(tdbg_trace_read_digests(a, step, digests_a, &err), &err);
    check(tdbg_trace_read_digests(b, step, digests_b, &err), &err);
    assert_memory_equal(digests_a, digests_b, (size_t)n_sites * sizeof *digests_a);
    check(tdbg_trace_read_step_stats(a, step, stats_a, &err), &err);
    check(tdbg_trace_read_step_stats(b, step, stats_b, &err), &err);
    assert_memory_equal(stats_a, stats_b, (size_t)n_sites * sizeof *stats_a);
    check(tdbg_trace_read_batch_ids(a, step, ids_a, &n_a, &err), &err);
    check(tdbg_trace_read_batch_ids(b, step, ids_b, &n_b, &err), &err);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(ids_a, ids_b, (size_t)n_a * sizeof *ids_a);
    for (int32_t i = 0; i < n_sites; i++)
        compare_values(a, b, step, i, row_a.evaluated);
    assert_int_equal(tdbg_trace_keyframe_before(a, step), tdbg_trace_keyframe_before(b, step));
}

/* Only what the steps use is there: each sample of a batch, and evaluation's where one was. */
static void check_samples(struct tdbg_trace *a, struct tdbg_trace *b, int64_t from, int64_t to)
{
    struct tdbg_err err = {0};
    int64_t ids[MOST_SAMPLES], n, n_used = 0;
    bool evaluated = false, *used = calloc(4096, sizeof *used);
    for (int64_t step = from; step <= to; step++) {
        maker_batch(&maker, step, ids);
        n = maker_samples(&maker, step);
        for (int64_t i = 0; i < n; i++) {
            n_used += !used[ids[i]];
            used[ids[i]] = true;
        }
        evaluated |= maker_evaluated(&maker, step);
    }
    free(used);
    assert_int_equal(tdbg_trace_n_samples(b, TDBG_SAMPLES_TRAIN), n_used);
    n = evaluated ? tdbg_trace_n_samples(a, TDBG_SAMPLES_EVAL) : 0;
    assert_int_equal(tdbg_trace_n_samples(b, TDBG_SAMPLES_EVAL), n);
    assert_true(n <= 5);
    check(tdbg_trace_read_sample_ids(b, TDBG_SAMPLES_EVAL, 0, n, ids, &err), &err);
    check(tdbg_trace_read_samples(a, TDBG_SAMPLES_EVAL, n, ids, a_data, NULL, &err), &err);
    check(tdbg_trace_read_samples(b, TDBG_SAMPLES_EVAL, n, ids, b_data, NULL, &err), &err);
    assert_memory_equal(a_data, b_data,
                        (size_t)n * maker_sample_bytes(&maker, TDBG_SAMPLES_EVAL, false));
}

static void check_run(struct tdbg_trace *a, struct tdbg_trace *b, int64_t from)
{
    struct tdbg_err err = {0};
    const struct tdbg_run_info *x = tdbg_trace_info(a), *y = tdbg_trace_info(b);
    uint64_t before[TDBG_CHAIN_COUNT];
    struct tdbg_step_row row;
    assert_memory_equal(x->uuid, y->uuid, sizeof x->uuid);
    assert_memory_equal(x->parent_uuid, y->parent_uuid, sizeof x->parent_uuid);
    assert_string_equal(x->config, y->config);
    assert_string_equal(x->config_source, y->config_source);
    assert_string_equal(x->environment, y->environment);
    assert_string_equal(x->dataset, y->dataset);
    assert_string_equal(x->graph, y->graph);
    const struct tdbg_vocabulary *v, *w;
    check(tdbg_trace_vocabulary(a, &v, &err), &err);
    check(tdbg_trace_vocabulary(b, &w, &err), &err);
    assert_int_equal(v->n_tokens, w->n_tokens);
    if (v->n_tokens > 0)
        assert_memory_equal(v->bytes, w->bytes, (size_t)v->start[v->n_tokens]);
    assert_int_equal(x->planned_steps, y->planned_steps);
    assert_true(tdbg_trace_is_closed(b));
    tdbg_trace_chain_before(a, row.chain);
    if (from > tdbg_trace_first_step(a))
        check(tdbg_trace_read_steps(a, from - 1, 1, &row, &err), &err);
    tdbg_trace_chain_before(b, before);
    assert_memory_equal(before, row.chain, sizeof before);
}

static void pack_and_compare(int64_t from, int64_t to)
{
    struct tdbg_err err = {0};
    struct tdbg_pack_report report;
    const struct tdbg_pack_options options = {.from = from, .to = to, .force = true};
    struct tdbg_trace *a = open_trace(path);
    check(tdbg_pack_trace(a, packed, &options, &report, &err), &err);
    struct tdbg_trace *b = open_trace(packed);
    from = from < 0 ? maker.first_step : from;
    to = to < 0 ? maker.first_step + maker.n_steps - 1 : to;
    assert_int_equal(report.from, from);
    assert_int_equal(report.keyframe, -1);
    assert_true(report.file_bytes > 0);
    assert_int_equal(tdbg_trace_first_step(b), from);
    assert_int_equal(tdbg_trace_n_steps(b), to - from + 1);
    check_run(a, b, from);
    for (int64_t step = from; step <= to; step++)
        compare_step(a, b, step);
    check_samples(a, b, from, to);
    tdbg_trace_close(b);
    tdbg_trace_close(a);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        running_seed = seed;
        maker_make(&maker, seed, NULL);
        maker_write(&maker, path);
        int64_t every = maker.spec.info.keyframe_every, last = maker.first_step + maker.n_steps - 1;
        int64_t middle = (maker.first_step + maker.n_steps / 3 + every - 1) / every * every;
        pack_and_compare(-1, -1);
        if (middle <= last) {
            pack_and_compare(middle, -1);
            pack_and_compare(middle, middle);
            pack_and_compare(-1, middle);
        }
    }
    running_seed = 0;
}

static void expect(int64_t from, int64_t to, enum tdbg_status want, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_pack_report report;
    const struct tdbg_pack_options options = {.from = from, .to = to};
    struct tdbg_trace *t = open_trace(path);
    enum tdbg_status st = tdbg_pack_trace(t, packed, &options, &report, &err);
    if (st != want || !err.message || !strstr(err.message, words))
        fail_msg("%s: %s (wanted: %s)", tdbg_status_text(st), err.message, words);
    tdbg_err_clear(&err);
    tdbg_trace_close(t);
}

/* No such steps; and a part whose state would have to be computed from what is no config. */
static void test_refused(void **state)
{
    (void)state;
    maker_make(&maker, 5, &(struct maker_wish){.steps = 20});
    int64_t first = maker.first_step, every = maker.spec.info.keyframe_every;
    maker_write(&maker, path);
    unlink(packed);
    expect(first + 20, -1, TDBG_USAGE, "has steps");
    expect(first + 3, first + 2, TDBG_USAGE, "has steps");
    assert_true(every > 1);
    expect((first + 2 * every) / every * every + 1, -1, TDBG_DAMAGED, "the config in");
    assert_int_not_equal(access(packed, F_OK), 0);
    FILE *f = fopen(packed, "w");
    fclose(f);
    expect(-1, -1, TDBG_USAGE, "exists already");
}

/* Adds a step in which everything is zero; the digest of `false_site` is not that of its value, and
 * what can be left out is, if it is to be. */
static void add_zero_step(struct tdbg_trace_writer *w, int32_t false_site, bool leave_out)
{
    struct tdbg_err err = {0};
    struct tdbg_stats stats;
    struct tdbg_step_row row = {.step = maker.first_step + maker.n_steps};
    memset(a_data, 0, sizeof a_data);
    for (int32_t i = 0; i < maker.spec.n_sites; i++) {
        const struct tdbg_site *s = &maker.sites[i];
        enum tdbg_store store = maker.plans[i].store;
        int64_t n = s->batched ? 0 : tdbg_site_elems(s);
        uint64_t digest = tdbg_digest_reference(a_data, s->dtype, n) + (i == false_site);
        if (leave_out && tdbg_layout_is_guarded(store))
            continue;
        tdbg_stats_reference(a_data, s->dtype, n, &stats);
        tdbg_trace_writer_put_digest(w, i, digest, &stats);
        if (s->stage == TDBG_STAGE_EVAL)
            continue;
        if (store == TDBG_STORE_RESIDUAL) {
            maker_predicted(&maker, i, row.step, b_data, &n);
            check(tdbg_trace_writer_put_predicted(w, i, a_data, b_data, n, &err), &err);
        } else if (maker_is_stored_by_step(&maker.plans[i])) {
            check(tdbg_trace_writer_put_values(w, i, a_data, n, &err), &err);
        }
    }
    check(tdbg_trace_writer_commit_step(w, &row, &err), &err);
    check(tdbg_trace_writer_close(w, &err), &err);
}

static void test_false_digest(void **state)
{
    (void)state;
    char words[96];
    int32_t site = 0;
    maker_make(&maker, 5, &(struct maker_wish){.steps = 20});
    while (strcmp(maker.sites[site].name, "grad/fc1.weight") != 0)
        site++;
    maker.plans[site].value_every = 1;
    add_zero_step(maker_write_open(&maker, path), site, false);
    snprintf(words, sizeof words, "grad/fc1.weight at step %lld does not have its recorded digest",
             (long long)(maker.first_step + maker.n_steps));
    unlink(packed);
    expect(-1, -1, TDBG_DAMAGED, words);
    assert_int_not_equal(access(packed, F_OK), 0); /* half a file is none */
    pack_and_compare(-1, maker.first_step + 19);
}

/* A packed value, a difference or a residual that was not recorded at a step is not recorded in the
 * copy. */
static void test_left_out(void **state)
{
    (void)state;
    n_left_out = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        maker_make(&maker, seed, &(struct maker_wish){.steps = 9});
        add_zero_step(maker_write_open(&maker, path), -1, true);
        int64_t last = maker.first_step + maker.n_steps;
        struct tdbg_err err = {0};
        struct tdbg_pack_report report;
        const struct tdbg_pack_options options = {.from = -1, .to = -1, .force = true};
        struct tdbg_trace *a = open_trace(path);
        check(tdbg_pack_trace(a, packed, &options, &report, &err), &err);
        struct tdbg_trace *b = open_trace(packed);
        for (int64_t step = maker.first_step; step <= last; step++)
            compare_step(a, b, step);
        tdbg_trace_close(b);
        tdbg_trace_close(a);
    }
    assert_true(n_left_out > 0);
}

static int stop(void *context, int64_t done, int64_t total, int64_t bytes)
{
    int64_t *seen = context;
    assert_int_equal(total, 20);
    assert_true(bytes > 0);
    *seen = done;
    return done == 7;
}

/* What stood there stays, and nothing else is left. */
static void test_interrupted(void **state)
{
    (void)state;
    struct stat before, after;
    struct tdbg_err err = {0};
    struct tdbg_pack_report report;
    int64_t seen = 0;
    const struct tdbg_pack_options options = {
        .from = -1, .to = -1, .force = true, .progress = stop, .progress_context = &seen};
    maker_make(&maker, 5, &(struct maker_wish){.steps = 20});
    maker_write(&maker, path);
    struct tdbg_trace *t = open_trace(path);
    assert_int_equal(stat(packed, &before), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tdbg_pack_trace(t, packed, &options, &report, &err), TDBG_INTERRUPTED);
        tdbg_err_clear(&err);
        assert_int_equal(seen, 7);
        if (i == 0) {
            assert_int_equal(stat(packed, &after), 0);
            assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size);
            unlink(packed);
        } else {
            assert_int_not_equal(access(packed, F_OK), 0);
        }
    }
    tdbg_trace_close(t);
}

static int remove_dir(void **state)
{
    (void)state;
    if (running_seed)
        print_message("seed %llu failed\n", (unsigned long long)running_seed);
    unlink(path);
    unlink(packed);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_false_digest), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_interrupted),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    snprintf(packed, sizeof packed, "%s/packed.h5", dir);
    return cmocka_run_group_tests(tests, NULL, remove_dir);
}
