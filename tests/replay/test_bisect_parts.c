/* The parts of bisect that need no run: ddmin against every subset, merging of configs, the log,
 * contributions that are told from a digest. */
#include "unit/config_tree.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/philox.h"
#include "replay/bisect_contribution.h"
#include "replay/bisect_log.h"
#include "replay/config_diff.h"
#include "replay/config_merge.h"
#include "replay/ddmin.h"

/* --- ddmin --- */

enum { ITEMS = 10 };

/* Holds where all items of one of the sets are there; does not go together where `pair` is torn
 * apart: with one of its two items, but not the other. */
struct planted {
    unsigned set[2], pair;
    int n_tests;
};

static unsigned bits_of(const bool *taken)
{
    unsigned bits = 0;
    for (int i = 0; i < ITEMS; i++)
        bits |= taken[i] ? 1U << i : 0;
    return bits;
}

static enum tdbg_outcome holds(const struct planted *p, unsigned bits)
{
    if (p->pair && (bits & p->pair) && (bits & p->pair) != p->pair)
        return TDBG_OUTCOME_UNRESOLVED;
    return (p->set[0] & ~bits) == 0 || (p->set[1] & ~bits) == 0 ? TDBG_OUTCOME_TRUE
                                                                : TDBG_OUTCOME_FALSE;
}

static enum tdbg_status test_planted(void *context, const bool *taken, enum tdbg_outcome *out,
                                     struct tdbg_err *err)
{
    struct planted *p = context;
    (void)err;
    p->n_tests++;
    assert_int_not_equal(bits_of(taken), 0);
    *out = holds(p, bits_of(taken));
    return TDBG_OK;
}

static unsigned reduce(struct planted *p, unsigned from, unsigned fixed)
{
    bool taken[ITEMS], stays[ITEMS];
    struct tdbg_err err = {0};
    for (int i = 0; i < ITEMS; i++) {
        taken[i] = from >> i & 1;
        stays[i] = fixed >> i & 1;
    }
    p->n_tests = 0;
    assert_int_equal(tdbg_ddmin(ITEMS, taken, fixed ? stays : NULL, test_planted, p, &err),
                     TDBG_OK);
    return bits_of(taken);
}

/* No item of what is left can go alone, and it holds. */
static void check_minimal(const struct planted *p, unsigned left, unsigned fixed)
{
    assert_int_equal(holds(p, left), TDBG_OUTCOME_TRUE);
    for (int i = 0; i < ITEMS; i++) {
        const unsigned without = left & ~(1U << i);
        if ((left & ~fixed) >> i & 1 && without)
            assert_int_not_equal(holds(p, without), TDBG_OUTCOME_TRUE);
    }
}

static void test_every_set(void **state)
{
    (void)state;
    const unsigned all = (1U << ITEMS) - 1;
    for (unsigned set = 1; set <= all; set++) {
        struct planted p = {.set = {set, set}};
        assert_int_equal(reduce(&p, all, 0), set);
        assert_true(p.n_tests <= ITEMS * ITEMS + 3 * ITEMS); /* the paper's worst case */
        if ((set & (set - 1)) == 0)
            assert_true(p.n_tests <= 8); /* one of ten: two tests a halving */
    }
}

static void test_two_causes_and_pairs(void **state)
{
    (void)state;
    const unsigned all = (1U << ITEMS) - 1;
    for (uint64_t i = 0; i < 20000; i++) {
        const struct tdbg_philox_block random = tdbg_philox(11, i, 0);
        struct planted p = {.set = {(random.word[0] & all) | 1, (random.word[1] & all) | 2}};
        if (i % 2)
            p.pair = 3U << random.word[2] % (ITEMS - 1);
        check_minimal(&p, reduce(&p, all, 0), 0);
    }
}

static void test_fixed_items_stay(void **state)
{
    (void)state;
    const unsigned all = (1U << ITEMS) - 1;
    for (uint64_t i = 0; i < 5000; i++) {
        const struct tdbg_philox_block random = tdbg_philox(12, i, 0);
        const unsigned fixed = random.word[1] & all;
        struct planted p = {.set = {(random.word[0] & all) | 1, all}};
        const unsigned left = reduce(&p, all, fixed ? fixed : 1);
        assert_int_equal(left & (fixed ? fixed : 1), fixed ? fixed : 1);
        check_minimal(&p, left, fixed ? fixed : 1);
    }
    struct planted p = {.set = {1, 1}}; /* what is fixed does alone: nothing else is needed */
    assert_int_equal(reduce(&p, all, 1), 1);
    assert_int_equal(p.n_tests, 1);
}

static enum tdbg_status give_up(void *context, const bool *taken, enum tdbg_outcome *out,
                                struct tdbg_err *err)
{
    int *left = context;
    if ((*left)-- == 0)
        return TDBG_RAISE(err, STOPPED, "enough");
    *out = taken[0] ? TDBG_OUTCOME_TRUE : TDBG_OUTCOME_FALSE;
    return TDBG_OK;
}

static void test_stops(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        bool taken[8] = {true, true, true, true, true, true, true, true};
        struct tdbg_err err = {0};
        int left = n, size = 0;
        assert_int_equal(tdbg_ddmin(8, taken, NULL, give_up, &left, &err), TDBG_STOPPED);
        for (int i = 0; i < 8; i++)
            size += taken[i];
        assert_int_equal(size, 8 >> n); /* the smallest so far */
        tdbg_err_clear(&err);
    }
}

/* --- merging --- */

struct picking {
    const char *unit; /* taken from b; NULL: all, "": none */
    int n, n_of_unit;
};

static bool pick(void *context, const char *unit, const char *path, const struct tdbg_cfg_node *a,
                 const struct tdbg_cfg_node *b)
{
    struct picking *p = context;
    assert_true(a || b);
    assert_non_null(path);
    p->n++;
    p->n_of_unit += p->unit && strcmp(unit, p->unit) == 0;
    return !p->unit || strcmp(unit, p->unit) == 0;
}

static const char first[] = "seed = 1; data = { batch = 4; list = [1, 2, 3]; };\n"
                            "model = ( { op = \"linear\"; out = 3; }, { op = \"relu\"; } );\n"
                            "optimizer = { kind = \"sgd\"; lr = 0.1; momentum = 0.9; };\n"
                            "comm = { op = \"mean\"; size = 1; };";
static const char second[] =
    "seed = 1; data = { batch = 5; list = [1, 2]; };\n"
    "model = ( { op = \"linear\"; out = 4; }, { op = \"gelu\"; tanh = true; } );\n"
    "optimizer = { kind = \"adam\"; lr = 0.2; betas = [0.9, 0.99]; };\n"
    "comm = { op = \"sum\"; size = 1; };";

static struct tdbg_cfg_node *merge(const struct tdbg_config *a, const struct tdbg_config *b,
                                   struct tdbg_arena *arena, const char *unit,
                                   struct picking *picking)
{
    *picking = (struct picking){.unit = unit};
    return tdbg_config_merge(tdbg_config_root(a), tdbg_config_root(b), arena, pick, picking);
}

static int differences(const struct tdbg_cfg_node *a, const struct tdbg_config *b,
                       struct tdbg_arena *arena)
{
    struct tdbg_config_difference *list;
    return tdbg_config_diff(a, tdbg_config_root(b), arena, &list);
}

static void test_merging(void **state)
{
    (void)state;
    struct tdbg_config *a = parse(first), *b = parse(second);
    struct tdbg_arena *arena = tdbg_arena_create();
    struct picking p;
    assert_int_equal(differences(merge(a, b, arena, "", &p), a, arena), 0);
    assert_int_equal(differences(merge(a, b, arena, NULL, &p), b, arena), 0);
    assert_int_equal(p.n, 9); /* batch, list, out, relu, kind, lr, momentum, betas, comm.op */

    struct tdbg_cfg_node *kind = merge(a, b, arena, "optimizer.kind", &p);
    assert_int_equal(p.n_of_unit, 3); /* what only one kind has goes with it */
    assert_null(tdbg_cfg_find(kind, "optimizer.momentum"));
    assert_non_null(tdbg_cfg_find(kind, "optimizer.betas"));
    assert_true(tdbg_cfg_float(kind, "optimizer.lr") < 0.15);

    struct tdbg_cfg_node *op = merge(a, b, arena, "model[1]", &p);
    const struct tdbg_cfg_node *model = tdbg_cfg_find(op, "model");
    assert_string_equal(tdbg_cfg_string(model->child[1], "op"), "gelu");
    assert_true(tdbg_cfg_bool(model->child[1], "tanh"));
    assert_int_equal(tdbg_cfg_int(model->child[0], "out"), 3);

    struct tdbg_cfg_node *sum = merge(a, b, arena, "comm.op", &p); /* no item of a list */
    assert_string_equal(tdbg_cfg_string(sum, "comm.op"), "sum");
    assert_string_equal(tdbg_config_value_text(arena, tdbg_cfg_find(sum, "data.list")),
                        "[1, 2, 3]");
    assert_null(tdbg_config_value_text(arena, NULL));
    tdbg_arena_destroy(arena);
    tdbg_config_destroy(a);
    tdbg_config_destroy(b);
}

/* --- the log --- */

static const bool some[3] = {true, false, true}, none[3] = {false, false, false};

static struct tdbg_bisect_log *open_log(const char *path, bool resume, uint64_t runs, int n,
                                        enum tdbg_status expected)
{
    struct tdbg_bisect_log *log = NULL;
    struct tdbg_err err = {0};
    const enum tdbg_status st = tdbg_bisect_log_open(path, resume, runs, n, &log, &err);
    if (st != expected)
        fail_msg("%s", err.message ? err.message : "no error");
    assert_int_equal(log != NULL, st == TDBG_OK);
    tdbg_err_clear(&err);
    return log;
}

static void expect(const struct tdbg_bisect_log *log, const bool *taken, int64_t end, int outcome)
{
    enum tdbg_outcome found = TDBG_OUTCOME_UNRESOLVED;
    int64_t step;
    assert_int_equal(tdbg_bisect_log_find(log, taken, end, &found, &step), outcome >= 0);
    if (outcome >= 0)
        assert_int_equal(found, outcome);
}

static void add(struct tdbg_bisect_log *log, const bool *taken, enum tdbg_outcome outcome,
                int64_t step)
{
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_bisect_log_add(log, taken, outcome, step, &err), TDBG_OK);
}

static void append(const char *path, const char *text)
{
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void check_log(const struct tdbg_bisect_log *log)
{
    expect(log, some, 100, TDBG_OUTCOME_TRUE); /* and in any longer run */
    expect(log, some, 15, TDBG_OUTCOME_TRUE);
    expect(log, some, 14, TDBG_OUTCOME_FALSE); /* not yet */
    expect(log, none, 20, TDBG_OUTCOME_FALSE);
    expect(log, none, 21, -1); /* nobody has looked */
}

static void test_log(void **state)
{
    (void)state;
    char path[] = "/tmp/tdbg-bisect-log-XXXXXX";
    close(mkstemp(path));
    struct tdbg_bisect_log *log = open_log(path, false, 7, 3, TDBG_OK);
    tdbg_bisect_log_ask(log, 1);
    add(log, some, TDBG_OUTCOME_TRUE, 14);
    add(log, none, TDBG_OUTCOME_FALSE, 19);
    check_log(log);
    tdbg_bisect_log_ask(log, 2); /* another question */
    expect(log, some, 100, -1);
    tdbg_bisect_log_close(log);

    open_log(path, true, 8, 3, TDBG_USAGE); /* other runs */
    append(path, "0000000000000001 11");    /* cut off where the program was killed */
    log = open_log(path, true, 7, 3, TDBG_OK);
    tdbg_bisect_log_ask(log, 1);
    check_log(log);
    add(log, (const bool[3]){true, true, true}, TDBG_OUTCOME_UNRESOLVED, -1);
    tdbg_bisect_log_close(log);
    log = open_log(path, true, 7, 3, TDBG_OK);
    assert_int_equal(tdbg_bisect_log_count(log), 3);
    tdbg_bisect_log_close(log);

    static const char *const bad[] = {"nonsense\n",       "1 1010 true 3\n", "1 101 maybe 3\n",
                                      "1 101 true 3 4\n", "1 101 true\n",    "x 101 true 3\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tdbg_bisect_log_close(open_log(path, false, 7, 3, TDBG_OK));
        append(path, bad[i]);
        open_log(path, true, 7, 3, TDBG_USAGE);
    }
    unlink(path);
    open_log(path, true, 7, 3, TDBG_IO);
    open_log("/nowhere/at/all", false, 7, 3, TDBG_IO);
    log = open_log(NULL, false, 7, 3, TDBG_OK); /* in memory */
    add(log, some, TDBG_OUTCOME_TRUE, 14);
    expect(log, some, 15, TDBG_OUTCOME_TRUE);
    tdbg_bisect_log_close(log);
}

/* --- what was contributed, by its digest --- */

enum { NUMBERS = 37, FAULTS = 9 };

/* Fault number `kind` of a tensor; at: an element. */
static void spoil(int kind, const float *fresh, const float *before, int at, float *out)
{
    static const float factors[] = {2, 0.5F, 8, 0.125F, -1};
    uint32_t word;
    memcpy(out, kind == 0 ? before : fresh, NUMBERS * sizeof *out);
    for (int i = 0; kind > 0 && kind < 6 && i < NUMBERS; i++)
        out[i] *= factors[kind - 1];
    if (kind == 6)
        memset(out, 0, NUMBERS * sizeof *out);
    if (kind == 7)
        out[at] = at % 2 ? 0 : before[at];
    if (kind == 8) {
        memcpy(&word, &out[at], sizeof word);
        word ^= UINT32_C(1) << at % 32;
        memcpy(&out[at], &word, sizeof word);
    }
}

static void test_contributions_are_guessed(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4000; i++) {
        float fresh[NUMBERS], before[NUMBERS], faulty[NUMBERS], guessed[NUMBERS];
        const struct tdbg_philox_block random = tdbg_philox(13, i, 1);
        const int at = (int)(random.word[0] % NUMBERS);
        for (uint64_t k = 0; k < NUMBERS; k++) {
            const struct tdbg_philox_block block = tdbg_philox(14, i, k);
            fresh[k] = tdbg_philox_uniform(block.word[0]) - 0.5F;
            before[k] = tdbg_philox_uniform(block.word[1]) - 0.5F;
        }
        spoil((int)(i % FAULTS), fresh, before, at, faulty);
        const uint64_t digest = tdbg_digest_fast(faulty, TDBG_DTYPE_F32, NUMBERS);
        assert_true(tdbg_contribution_guess(fresh, before, NUMBERS, 8, digest, guessed));
        assert_memory_equal(guessed, faulty, sizeof guessed);
        if (i % FAULTS == 0) /* what is not known is not guessed */
            assert_false(tdbg_contribution_guess(fresh, NULL, NUMBERS, 8, digest, guessed));
        fresh[(at + 1) % NUMBERS] += 1; /* two elements differ */
        if (i % FAULTS > 6)
            assert_false(tdbg_contribution_guess(fresh, before, NUMBERS, 8, digest, guessed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_set),
        cmocka_unit_test(test_two_causes_and_pairs),
        cmocka_unit_test(test_fixed_items_stay),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_contributions_are_guessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
