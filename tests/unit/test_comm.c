/* Ranks that are threads: the strict all-reduce gives the fold of the lane tree for any number of
 * ranks and elements, and a rank that is late or gives up ends the run of all, with its name. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/philox.h"
#include "engine/allreduce.h"
#include "engine/comm.h"

enum { MOST_RANKS = 9, MOST_ELEMS = 20000 };

struct rank {
    struct tdbg_comm *comm;
    const struct tdbg_backend *backend;
    int64_t n;
    float in[MOST_ELEMS], out[MOST_ELEMS];
    enum tdbg_status status;
    struct tdbg_err err;
    pthread_t thread;
};

static struct rank ranks[MOST_RANKS];

/* Numbers of all sizes, so that another order of additions gives other bits. */
static void fill(struct rank *r, uint64_t seed)
{
    for (int64_t i = 0; i < r->n; i++) {
        const struct tdbg_philox_block b = tdbg_philox(seed, (uint64_t)i, 7);
        r->in[i] = ldexpf((float)(int32_t)b.word[0], (int)(b.word[1] % 40) - 60);
    }
    r->in[0] = seed % 3 == 0 ? NAN : -0.0f;
}

/* What step.c does with lanes: a stack of partial sums, one per level. */
static float fold_lanes(int32_t n, int64_t at)
{
    float level[8];
    bool full[8] = {0};
    for (int32_t lane = 0; lane < n; lane++) {
        float sum = ranks[lane].in[at];
        int l = 0;
        for (; full[l]; l++) {
            sum = level[l] + sum;
            full[l] = false;
        }
        level[l] = sum;
        full[l] = true;
    }
    float sum = 0;
    bool any = false;
    for (int l = 0; l < 8; l++) {
        if (full[l])
            sum = any ? level[l] + sum : level[l];
        any |= full[l];
    }
    return sum;
}

static void *reduce(void *self)
{
    struct rank *r = self;
    struct tdbg_allreduce a;
    r->status = tdbg_allreduce_init(&a, r->comm, r->backend, &r->err);
    for (int again = 0; again < 3 && r->status == TDBG_OK; again++)
        r->status = tdbg_allreduce_run(&a, r->in, r->out, r->n, &r->err);
    tdbg_allreduce_clear(&a);
    return NULL;
}

static void start(int32_t n, double timeout_s)
{
    struct tdbg_comm *comm[MOST_RANKS];
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_comm_threads_create(n, timeout_s, comm, &err), TDBG_OK);
    for (int32_t i = 0; i < n; i++) {
        ranks[i].comm = comm[i];
        ranks[i].status = TDBG_OK;
        ranks[i].err = (struct tdbg_err){0};
    }
}

static void run_all(int32_t first, int32_t n)
{
    for (int32_t i = first; i < n; i++)
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, reduce, &ranks[i]), 0);
    for (int32_t i = first; i < n; i++)
        pthread_join(ranks[i].thread, NULL);
}

static void end(int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        tdbg_comm_destroy(ranks[i].comm);
        tdbg_err_clear(&ranks[i].err);
    }
}

static void set_backend(struct tdbg_backend *backend)
{
    for (int32_t i = 0; i < MOST_RANKS; i++)
        ranks[i].backend = backend;
}

static void any_number_of_ranks_and_elements(void **state)
{
    static const int64_t sizes[] = {1, 2, 15, 16, 17, 100, 4096 * 3 + 5, MOST_ELEMS};
    struct tdbg_backend *backend = *state;
    set_backend(backend);
    for (int32_t n = 2; n <= MOST_RANKS; n++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            start(n, 60);
            for (int32_t i = 0; i < n; i++) {
                ranks[i].n = sizes[s];
                fill(&ranks[i], (uint64_t)i + s * 31);
            }
            run_all(0, n);
            for (int32_t i = 0; i < n; i++) {
                assert_int_equal(ranks[i].status, TDBG_OK);
                for (int64_t k = 0; k < sizes[s]; k++) {
                    const float want = fold_lanes(n, k);
                    const float got = ranks[i].out[k];
                    assert_true(isnan(want) ? isnan(got) : memcmp(&want, &got, sizeof got) == 0);
                }
                assert_memory_equal(ranks[i].out, ranks[0].out, (size_t)sizes[s] * sizeof(float));
            }
            end(n);
        }
    }
}

static void a_late_rank_is_named(void **state)
{
    set_backend(*state);
    start(3, 0.05);
    for (int32_t i = 0; i < 3; i++)
        ranks[i].n = 100;
    run_all(1, 3); /* rank 0 never comes */
    for (int32_t i = 1; i < 3; i++) {
        assert_int_equal(ranks[i].status, TDBG_RANKS);
        assert_string_equal(ranks[i].err.message,
                            "rank 0 has not answered for 0.05 s (engine.comm.timeout_s)");
    }
    end(3);
}

static void a_rank_that_gives_up_is_named(void **state)
{
    set_backend(*state);
    start(4, 60);
    ranks[2].comm->ops->give_up(ranks[2].comm, "the disk is full");
    for (int32_t i = 0; i < 4; i++)
        ranks[i].n = 100;
    run_all(0, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(ranks[i].status, TDBG_RANKS);
        assert_string_equal(ranks[i].err.message, "rank 2: the disk is full");
    }
    end(4);
}

/* Looks at something that is this rank's own work for a while, and done after that; or never. */
struct watched {
    int looks, own;
    bool ends;
};

static enum tdbg_status look(void *self, enum tdbg_comm_sight *sight, struct tdbg_err *err)
{
    struct watched *w = self;
    const struct timespec longer = {0, 2000000}; /* than the ranks wait for each other */
    if (w->ends && w->looks == w->own)
        *sight = TDBG_COMM_DONE;
    else if (w->looks < w->own)
        *sight = TDBG_COMM_WORKS;
    w->looks++;
    nanosleep(&longer, NULL);
    if (w->looks > 100000)
        return TDBG_RAISE(err, DEVICE, "nobody gives up");
    return TDBG_OK;
}

static void own_work_is_no_wait(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct watched ends = {.own = 5, .ends = true}, never = {.own = 5};
    start(1, 0.001);
    const struct tdbg_comm_ops *ops = ranks[0].comm->ops;
    assert_int_equal(ops->wait(ranks[0].comm, look, &ends, &err), TDBG_OK);
    assert_int_equal(ends.looks, 6);
    assert_int_equal(ops->wait(ranks[0].comm, look, &never, &err), TDBG_RANKS);
    assert_string_equal(err.message, "nothing has come for engine.comm.timeout_s");
    tdbg_err_clear(&err);
    end(1);
}

static int create_backend(void **state)
{
    struct tdbg_backend *backend = NULL;
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_backend_cpu_create("auto", 1, &backend, &err), TDBG_OK);
    *state = backend;
    return 0;
}

static int destroy_backend(void **state)
{
    tdbg_backend_cpu_destroy(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_ranks_and_elements),
        cmocka_unit_test(a_late_rank_is_named),
        cmocka_unit_test(a_rank_that_gives_up_is_named),
        cmocka_unit_test(own_work_is_no_wait),
    };
    return cmocka_run_group_tests(tests, create_backend, destroy_backend);
}
