/* Write and read: traces of random sites, and every answer of the reader compared with what was
 * written. A failing property prints the command that repeats it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/chain.h"
#include "trace/reader.h"
#include "tests/trace/trace_maker.h"

static char dir[] = "/tmp/tdbg-trace-XXXXXX", path[64];
static uint64_t first_seed = 1, n_seeds = 60;
static uint64_t running_seed; /* not 0 at the end: the one that failed */

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : tdbg_status_text(st));
}

static void check_info(const struct maker *m, struct tdbg_trace *t)
{
    const struct tdbg_run_info *a = &m->spec.info, *b = tdbg_trace_info(t);
    assert_memory_equal(a->uuid, b->uuid, sizeof a->uuid);
    assert_memory_equal(a->parent_uuid, b->parent_uuid, sizeof a->uuid);
    assert_string_equal(a->tdbg_version, b->tdbg_version);
    assert_string_equal(a->preset, b->preset);
    assert_string_equal(a->config, b->config);
    assert_string_equal(a->config_path, b->config_path);
    assert_string_equal(a->config_source, b->config_source);
    assert_string_equal(a->inject, b->inject);
    assert_string_equal(a->environment, b->environment);
    assert_string_equal(a->dataset, b->dataset);
    assert_string_equal(a->graph, b->graph);
    assert_int_equal(a->numerics_version, b->numerics_version);
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->world_size, b->world_size);
    assert_int_equal(a->lanes, b->lanes);
    assert_int_equal(a->accumulate, b->accumulate);
    assert_int_equal(a->batch, b->batch);
    assert_int_equal(a->planned_steps, b->planned_steps);
    assert_int_equal(a->keyframe_every, b->keyframe_every);
    assert_true(a->seed == b->seed);
}

static void check_sites(const struct maker *m, struct tdbg_trace *t)
{
    int32_t n, n_items;
    const struct tdbg_site *sites = tdbg_trace_sites(t, &n);
    const struct tdbg_site_plan *plans = tdbg_trace_plans(t);
    assert_int_equal(n, m->spec.n_sites);
    for (int32_t i = 0; i < n; i++) {
        const struct tdbg_site *a = &m->sites[i], *b = &sites[i];
        assert_string_equal(a->name, b->name);
        assert_string_equal(a->op, b->op);
        assert_string_equal(a->unit, b->unit);
        assert_int_equal(a->stage, b->stage);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->lane, b->lane);
        assert_int_equal(a->micro, b->micro);
        assert_int_equal(a->ndim, b->ndim);
        assert_int_equal(a->batched, b->batched);
        assert_memory_equal(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims);
        assert_memory_equal(&m->plans[i], &plans[i], sizeof *plans);
        assert_int_equal(tdbg_trace_find_site(t, a->name, a->lane, a->micro), i);
    }
    assert_int_equal(tdbg_trace_find_site(t, "grad/none", -1, -1), -1);
    const struct tdbg_keyframe_item *items = tdbg_trace_keyframe_items(t, &n_items);
    assert_int_equal(n_items, m->spec.n_items);
    for (int32_t i = 0; i < n_items; i++) {
        assert_string_equal(items[i].name, m->items[i].name);
        assert_int_equal(items[i].dtype, m->items[i].dtype);
    }
}

static void check_vocabulary(const struct maker *m, struct tdbg_trace *t)
{
    const struct tdbg_vocabulary *a = &m->spec.vocabulary, *b;
    assert_int_equal(tdbg_trace_vocabulary(t, &b, NULL), TDBG_OK);
    assert_int_equal(a->n_tokens, b->n_tokens);
    if (a->n_tokens == 0)
        return;
    assert_memory_equal(a->start, b->start, ((size_t)a->n_tokens + 1) * sizeof *a->start);
    assert_memory_equal(a->bytes, b->bytes, (size_t)a->start[a->n_tokens]);
}

/* Chains from their definition, without trace/chain.c. */
static uint64_t next_chain(const struct maker *m, int chain, uint64_t h, int64_t step,
                           bool evaluated, const uint64_t *digests)
{
    for (int32_t i = 0; i < m->spec.n_sites; i++) {
        int32_t every = m->plans[i].digest_every;
        bool there = every > 0 && step % every == 0;
        if (m->sites[i].stage == TDBG_STAGE_EVAL && !evaluated)
            there = false;
        if (there && tdbg_chain_covers(chain, &m->sites[i]))
            h = tdbg_chain_absorb(h, digests[i]);
    }
    return h;
}

static void start_chains(const struct maker *m, uint64_t *h)
{
    struct tdbg_site sites[MAKER_MAX_SITES];
    int32_t n = 0;
    for (int32_t i = 0; i < m->spec.n_sites; i++) {
        if (m->plans[i].digest_every > 0)
            sites[n++] = m->sites[i];
    }
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        h[c] = m->spec.chain_before ? m->chain_before[c] : tdbg_chain_start(c, sites, n);
}

static void check_row(const struct maker *m, int64_t step, const struct tdbg_step_row *row)
{
    struct tdbg_step_row want;
    maker_row(m, step, &want);
    assert_int_equal(want.step, row->step);
    assert_int_equal(want.epoch, row->epoch);
    assert_int_equal(want.samples, row->samples);
    assert_memory_equal(&want.loss, &row->loss, sizeof want.loss);
    assert_memory_equal(&want.lr, &row->lr, sizeof want.lr);
    assert_memory_equal(&want.grad_norm, &row->grad_norm, sizeof want.grad_norm);
    assert_int_equal(want.start_ns, row->start_ns);
    assert_int_equal(want.duration_ns, row->duration_ns);
    assert_int_equal(want.evaluated, row->evaluated);
}

static void check_stats(struct tdbg_trace *t, int64_t step, int32_t i, const struct tdbg_stats *a,
                        const struct tdbg_stats *b)
{
    struct tdbg_err err = {0};
    struct tdbg_stats one;
    assert_memory_equal(a, b, sizeof *a);
    enum tdbg_status st = tdbg_trace_read_stats(t, step, i, &one, &err);
    if (isnan(a->min) && a->zeros + a->nans + a->infs == 0)
        assert_int_equal(st, TDBG_NOT_FOUND);
    else
        assert_memory_equal(a, &one, sizeof one);
    tdbg_err_clear(&err);
}

static enum tdbg_status recompute(void *context, struct tdbg_trace *t, int64_t step, int32_t site,
                                  void *data, int64_t *n_elems, struct tdbg_err *err)
{
    (void)t;
    (void)err;
    maker_predicted(context, site, step, data, n_elems);
    return TDBG_OK;
}

/* A residual is nothing without what it is the residual of. */
static void check_residual(const struct maker *m, struct tdbg_trace *t, int64_t step, int32_t i,
                           const void *want, void *have, int64_t n_want)
{
    struct tdbg_err err = {0};
    const struct tdbg_site *s = &m->sites[i];
    int64_t n_have = -1;
    tdbg_trace_set_recompute(t, recompute, (void *)m);
    check(tdbg_trace_read_values(t, step, i, have, &n_have, &err), &err);
    tdbg_trace_set_recompute(t, NULL, NULL);
    assert_int_equal(n_have, n_want);
    assert_memory_equal(want, have, (size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype));
}

static void check_site(const struct maker *m, struct tdbg_trace *t, int64_t step, int32_t i,
                       uint64_t digest, const struct tdbg_stats *stats, void *want, void *have)
{
    struct tdbg_err err = {0};
    const struct tdbg_site *s = &m->sites[i];
    bool evaluated = maker_evaluated(m, step);
    bool here = s->stage != TDBG_STAGE_EVAL || evaluated;
    int32_t every = m->plans[i].digest_every;
    bool digested = here && every > 0 && step % every == 0, stored = false;
    struct tdbg_stats reference = {NAN, NAN, NAN, NAN, 0, 0, 0};
    int64_t n_want, n_have = -1;
    maker_values(m, i, step, want, &n_want);
    assert_int_equal(tdbg_trace_has_digest(t, i, step, evaluated), digested);
    assert_true(digest == (digested ? tdbg_digest_reference(want, s->dtype, n_want) : 0));
    if (digested)
        tdbg_stats_reference(want, s->dtype, n_want, &reference);
    check_stats(t, step, i, &reference, stats);
    switch (m->plans[i].store) {
    case TDBG_STORE_DATASET:
    case TDBG_STORE_PACKED:
    case TDBG_STORE_DELTA:
        stored = here && step % m->plans[i].value_every == 0;
        break;
    case TDBG_STORE_SAMPLES:
        stored = true;
        break;
    case TDBG_STORE_KEYFRAME:
        stored = step % m->spec.info.keyframe_every == 0;
        break;
    default:
        break;
    }
    assert_int_equal(tdbg_trace_has_values(t, i, step, evaluated), stored);
    enum tdbg_status st = tdbg_trace_read_values(t, step, i, have, &n_have, &err);
    if (!here) {
        assert_int_equal(st, TDBG_NOT_FOUND);
    } else if (!stored) {
        assert_int_equal(st, TDBG_NEEDS_REPLAY);
        if (m->plans[i].store == TDBG_STORE_RESIDUAL && step % m->plans[i].value_every == 0)
            check_residual(m, t, step, i, want, have, n_want);
    } else {
        check(st, &err);
        assert_int_equal(n_have, n_want);
        assert_memory_equal(want, have, (size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype));
    }
    tdbg_err_clear(&err);
}

static void check_step(const struct maker *m, struct tdbg_trace *t, int64_t step, uint64_t *chain)
{
    struct tdbg_err err = {0};
    struct tdbg_step_row row;
    uint64_t digests[MAKER_MAX_SITES];
    struct tdbg_stats stats[MAKER_MAX_SITES];
    int64_t ids[32], want_ids[32], n;
    void *want = malloc(16 << 20), *have = malloc(16 << 20);
    check(tdbg_trace_read_steps(t, step, 1, &row, &err), &err);
    check_row(m, step, &row);
    check(tdbg_trace_read_digests(t, step, digests, &err), &err);
    check(tdbg_trace_read_step_stats(t, step, stats, &err), &err);
    for (int32_t i = 0; i < m->spec.n_sites; i++)
        check_site(m, t, step, i, digests[i], &stats[i], want, have);
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        chain[c] = next_chain(m, c, chain[c], step, row.evaluated, digests);
        assert_true(chain[c] == row.chain[c]);
    }
    maker_batch(m, step, want_ids);
    check(tdbg_trace_read_batch_ids(t, step, ids, &n, &err), &err);
    assert_int_equal(n, maker_samples(m, step));
    assert_memory_equal(ids, want_ids, (size_t)n * sizeof *ids);
    int64_t eval_id = step % 5;
    maker_sample(m, TDBG_SAMPLES_EVAL, eval_id, want, (char *)want + 4096);
    check(
        tdbg_trace_read_samples(t, TDBG_SAMPLES_EVAL, 1, &eval_id, have, (char *)have + 4096, &err),
        &err);
    assert_memory_equal(want, have, maker_sample_bytes(m, TDBG_SAMPLES_EVAL, false));
    assert_memory_equal((char *)want + 4096, (char *)have + 4096, 8);
    free(want);
    free(have);
}

static void check_keyframes(const struct maker *m, struct tdbg_trace *t)
{
    struct tdbg_err err = {0};
    int64_t every = m->spec.info.keyframe_every, last = m->first_step + m->n_steps - 1;
    for (int64_t step = m->first_step; step <= last; step++) {
        int64_t want = step / every * every;
        want = want < m->first_step ? -1 : want;
        assert_int_equal(tdbg_trace_keyframe_before(t, step), want);
    }
    assert_int_equal(tdbg_trace_keyframe_before(t, m->first_step - 1), -1);
    char data[4096];
    assert_int_equal(tdbg_trace_read_keyframe(t, last + 1, 0, data, &err), TDBG_NOT_FOUND);
    tdbg_err_clear(&err);
}

static void check_trace(const struct maker *m, struct tdbg_trace *t)
{
    uint64_t chain[TDBG_CHAIN_COUNT], before[TDBG_CHAIN_COUNT];
    struct tdbg_err err = {0};
    struct tdbg_trace_sizes sizes;
    assert_true(tdbg_trace_is_closed(t));
    assert_int_equal(tdbg_trace_first_step(t), m->first_step);
    assert_int_equal(tdbg_trace_n_steps(t), m->n_steps);
    check_info(m, t);
    check_sites(m, t);
    check_vocabulary(m, t);
    start_chains(m, chain);
    tdbg_trace_chain_before(t, before);
    assert_memory_equal(chain, before, sizeof chain);
    for (int64_t i = 0; i < m->n_steps; i++)
        check_step(m, t, m->first_step + i, chain);
    check_keyframes(m, t);
    struct tdbg_step_row row;
    assert_int_equal(tdbg_trace_read_steps(t, m->first_step + m->n_steps, 1, &row, &err),
                     TDBG_NOT_FOUND);
    tdbg_err_clear(&err);
    check(tdbg_trace_read_sizes(t, &sizes, &err), &err);
    assert_true(sizes.values_bytes > 0 && sizes.digest_bytes > 0);
    assert_true(sizes.raw_values_bytes > 0 && sizes.file_bytes > sizes.values_bytes);
}

static void round_trip(uint64_t seed, const struct maker_wish *wish)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    static struct maker m;
    maker_make(&m, seed, wish);
    maker_write(&m, path);
    check(tdbg_trace_open(path, &t, &err), &err);
    check_trace(&m, t);
    tdbg_trace_close(t);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        running_seed = seed;
        round_trip(seed, NULL);
    }
    running_seed = 0;
}

static void test_lanes(void **state)
{
    (void)state;
    round_trip(first_seed, &(struct maker_wish){.lanes = 3, .accumulate = 2, .steps = 40});
}

static void test_one_lane(void **state)
{
    (void)state;
    round_trip(first_seed, &(struct maker_wish){.lanes = 1, .accumulate = 1, .steps = 200});
}

static void test_large(void **state)
{
    (void)state;
    round_trip(first_seed, &(struct maker_wish){.steps = 3, .large = true});
}

static int32_t site_named(const struct maker *m, const char *name)
{
    int32_t i = 0;
    while (strcmp(m->sites[i].name, name) != 0)
        i++;
    return i;
}

/* A keyframe and values of a step that is never committed leave no trace. */
static void test_cut_short(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    static struct maker m;
    char data[65536] = {0};
    maker_make(&m, first_seed, &(struct maker_wish){.steps = 10});
    struct tdbg_trace_writer *w = maker_write_open(&m, path);
    check(tdbg_trace_writer_put_keyframe(w, 0, data, &err), &err);
    check(tdbg_trace_writer_put_values(w, site_named(&m, "grad/fc1.bias"), data, 0, &err), &err);
    assert_true(tdbg_trace_writer_bytes(w) > 0);
    check(tdbg_trace_writer_close(w, &err), &err);
    check(tdbg_trace_open(path, &t, &err), &err);
    check_trace(&m, t);
    tdbg_trace_close(t);
}

/* The least that a trace can hold: one site, no samples, no keyframes. */
static void test_bare(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    struct tdbg_trace_writer *w = NULL;
    struct tdbg_step_row row = {.step = 5};
    const float value = 2.5f;
    float have;
    struct tdbg_site site = {.name = "loss", .stage = TDBG_STAGE_LOSS, .lane = -1, .micro = -1};
    struct tdbg_site_plan plan = {1, 1, TDBG_STORE_DATASET};
    struct tdbg_trace_spec spec = {.sites = &site, .plans = &plan, .n_sites = 1};
    spec.info = (struct tdbg_run_info){
        .world_size = 1, .lanes = 1, .accumulate = 1, .batch = 1, .config = "x"};
    check(tdbg_trace_writer_create(path, true, &spec, &w, &err), &err);
    check(tdbg_trace_writer_put_values(w, 0, &value, 1, &err), &err);
    check(tdbg_trace_writer_commit_step(w, &row, &err), &err);
    check(tdbg_trace_writer_close(w, &err), &err);
    check(tdbg_trace_open(path, &t, &err), &err);
    check(tdbg_trace_read_values(t, 5, 0, &have, NULL, &err), &err);
    assert_true(value == have);
    int64_t ids[1], n;
    assert_int_equal(tdbg_trace_read_batch_ids(t, 5, ids, &n, &err), TDBG_NOT_FOUND);
    tdbg_err_clear(&err);
    assert_int_equal(tdbg_trace_keyframe_before(t, 5), -1);
    assert_int_equal(tdbg_trace_samples(t, TDBG_SAMPLES_EVAL)->total, 0);
    tdbg_trace_close(t);
}

static void test_recompute(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    static struct maker m;
    static char want[1 << 20], have[1 << 20];
    maker_make(&m, first_seed, &(struct maker_wish){.steps = 2});
    maker_write(&m, path);
    check(tdbg_trace_open(path, &t, &err), &err);
    int32_t site = tdbg_trace_find_site(t, "optim/fc1.weight.exp_avg", -1, -1);
    int64_t n_want, n_have;
    tdbg_trace_set_recompute(t, recompute, &m);
    check(tdbg_trace_read_values(t, m.first_step, site, have, &n_have, &err), &err);
    maker_values(&m, site, m.first_step, want, &n_want);
    assert_int_equal(n_want, n_have);
    assert_memory_equal(want, have, (size_t)n_want);
    tdbg_trace_close(t);
}

static void expect_create(const struct tdbg_trace_spec *spec, enum tdbg_status want)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    assert_int_equal(tdbg_trace_writer_create(path, true, spec, &w, &err), want);
    assert_null(w);
    assert_non_null(err.message);
    tdbg_err_clear(&err);
}

/* What a caller must not ask for is refused, with a message. */
static void test_misuse(void **state)
{
    (void)state;
    static struct maker m;
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    struct tdbg_step_row row;
    static const char *const bad[] = {"",       "/grad/x",   "grad/x/", "grad//x",      "grad/../x",
                                      "grad/.", "grad/a\tb", "fwd/x",   "grad/\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        maker_make(&m, 7, NULL);
        m.sites[site_named(&m, "grad/fc1.bias")].name = bad[i];
        expect_create(&m.spec, TDBG_USAGE);
    }
    maker_make(&m, 7, NULL);
    m.sites[m.spec.n_sites - 1] = m.sites[m.spec.n_sites - 2];
    expect_create(&m.spec, TDBG_USAGE);
    maker_make(&m, 7, NULL);
    m.plans[m.spec.n_sites - 1].store = TDBG_STORE_COUNT;
    expect_create(&m.spec, TDBG_USAGE);
    maker_make(&m, 7, NULL);
    maker_write(&m, path);
    assert_int_equal(tdbg_trace_writer_create(path, false, &m.spec, &w, &err), TDBG_USAGE);
    tdbg_err_clear(&err);
    assert_int_equal(tdbg_trace_writer_create("/nowhere/t.h5", false, &m.spec, &w, &err), TDBG_IO);
    tdbg_err_clear(&err);
    w = maker_write_open(&m, path);
    maker_row(&m, m.first_step, &row); /* a step that is there already */
    assert_int_equal(tdbg_trace_writer_commit_step(w, &row, &err), TDBG_USAGE);
    tdbg_err_clear(&err);
    check(tdbg_trace_writer_close(w, &err), &err);
}

static int remove_dir(void **state)
{
    (void)state;
    if (running_seed)
        print_message("repeat with: test_trace_roundtrip %llu 1\n",
                      (unsigned long long)running_seed);
    unlink(path);
    return rmdir(dir);
}

/* [first seed [number of seeds]], or: make PATH SEED, which only writes a trace. */
int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "make") == 0) {
        static struct maker m;
        maker_make(&m, strtoull(argv[3], NULL, 10), NULL);
        maker_write(&m, argv[2]);
        return 0;
    }
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : first_seed;
    n_seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : n_seeds;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),    cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_one_lane),  cmocka_unit_test(test_large),
        cmocka_unit_test(test_cut_short), cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_misuse),    cmocka_unit_test(test_bare),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    return cmocka_run_group_tests(tests, NULL, remove_dir);
}
