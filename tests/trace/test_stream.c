/* The write path: what goes through a stream, in a thread and in a process, is what a writer alone
 * would have written; a writer that dies or a disk that is full ends the recording, not the
 * program; a program that dies leaves all that it committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/chain.h"
#include "trace/reader.h"
#include "trace/ring.h"
#include "trace/spec_wire.h"
#include "trace/stream.h"
#include "tests/trace/trace_maker.h"

enum { DATA_BYTES = 16 << 20, MOST_IDS = 64 };
static struct maker maker;
static char dir[] = "/tmp/tdbg-stream-XXXXXX", path[64], plain[64];
static bool leaves; /* digests are left to the other side where that can be */
static unsigned char data_a[DATA_BYTES], data_b[DATA_BYTES];

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : "?");
}

static struct tdbg_stream *open_stream(struct tdbg_stream_options options)
{
    struct tdbg_err err = {0};
    struct tdbg_stream *s = NULL;
    check(tdbg_stream_create(&options, &s, &err), &err);
    assert_int_equal(tdbg_stream_has_process(s), !options.thread);
    check(tdbg_stream_open(s, path, true, &maker.spec, &err), &err);
    return s;
}

/* Residuals do not go through streams: nobody who has a stream predicts anything. */
static void make(uint64_t seed, struct maker_wish wish)
{
    maker_make(&maker, seed, &wish);
    for (int32_t i = 0; i < maker.spec.n_sites; i++) {
        if (maker.plans[i].store == TDBG_STORE_RESIDUAL)
            maker.plans[i].store = TDBG_STORE_NONE;
    }
}

static enum tdbg_status put_samples(struct tdbg_stream *s, int64_t step, struct tdbg_err *err)
{
    const size_t x_bytes = maker_sample_bytes(&maker, 0, false);
    const size_t y_bytes = maker_sample_bytes(&maker, 0, true);
    int64_t ids[MOST_IDS], n = maker_samples(&maker, step), eval_id = step % 5;
    unsigned char *x = data_a, *y = data_b;
    maker_batch(&maker, step, ids);
    for (int64_t i = 0; i < n; i++)
        maker_sample(&maker, TDBG_SAMPLES_TRAIN, ids[i], x + (size_t)i * x_bytes,
                     y + (size_t)i * y_bytes);
    enum tdbg_status st = tdbg_stream_put_samples(s, TDBG_SAMPLES_TRAIN, n, ids, x, y, err);
    maker_sample(&maker, TDBG_SAMPLES_EVAL, eval_id, x, y);
    if (st == TDBG_OK)
        st = tdbg_stream_put_samples(s, TDBG_SAMPLES_EVAL, 1, &eval_id, x, y, err);
    return st;
}

/* Another device, whose copies come when somebody asks for them, in order, a few at a time. */
enum { MOST_PENDING = 4096 };
static bool late;
static struct {
    uint64_t ticket;
    void *to, *data;
    size_t bytes;
} pending[MOST_PENDING];
static uint64_t n_asked, n_copied; /* pieces: number n is pending[n % MOST_PENDING] */
static uint64_t flight = 1;        /* the ticket of the next piece */

static enum tdbg_status copies_reached(void *context, uint64_t wait_for, uint64_t *reached,
                                       struct tdbg_err *err)
{
    (void)context, (void)err;
    static unsigned looks;
    unsigned spare = looks++ % 3;
    if (wait_for >= flight || looks % 4 == 0)
        flight++; /* nothing is added to it any more */
    for (; n_copied < n_asked; n_copied++) {
        const uint64_t at = n_copied % MOST_PENDING;
        if (pending[at].ticket > wait_for && spare-- == 0)
            break;
        memcpy(pending[at].to, pending[at].data, pending[at].bytes);
        free(pending[at].data);
    }
    *reached = n_copied < n_asked ? pending[n_copied % MOST_PENDING].ticket - 1 : flight - 1;
    return TDBG_OK;
}

static const struct tdbg_stream_copies copies = {copies_reached, NULL};

static enum tdbg_status expect(struct tdbg_stream *s, const struct tdbg_stream_piece *piece,
                               const unsigned char *data, size_t elem_bytes, struct tdbg_err *err)
{
    const size_t bytes = (size_t)piece->count * elem_bytes;
    assert_true(n_asked - n_copied < MOST_PENDING);
    void *copy = malloc(bytes + 1);
    memcpy(copy, data + (size_t)piece->first * elem_bytes, bytes);
    memset(piece->room, 0xdb, bytes);
    const uint64_t at = n_asked++ % MOST_PENDING;
    pending[at].ticket = flight;
    pending[at].to = piece->room;
    pending[at].data = copy;
    pending[at].bytes = bytes;
    return tdbg_stream_expect(s, &copies, flight, err);
}

/* id: of a site, or of a keyframe's item. */
static enum tdbg_status put_values(struct tdbg_stream *s, bool keyframe, int32_t id,
                                   const void *data, int64_t n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_stream_piece piece = {0};
    const enum tdbg_dtype dtype = keyframe ? maker.spec.items[id].dtype : maker.sites[id].dtype;
    if (!late)
        return keyframe ? tdbg_stream_put_keyframe(s, id, data, err)
                        : tdbg_stream_put_values(s, id, data, n, err);
    do {
        TDBG_TRY(keyframe ? tdbg_stream_next_keyframe(s, id, &piece, err)
                          : tdbg_stream_next_value(s, id, n, &piece, err));
        if (piece.room && piece.count > 0)
            TDBG_TRY(expect(s, &piece, data, tdbg_dtype_bytes(dtype), err));
    } while (piece.room);
    if (id % 7 == 0)
        TDBG_TRY(tdbg_stream_settle(s, false, err));
out:
    return st;
}

static enum tdbg_status put_step(struct tdbg_stream *s, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    maker_row(&maker, step, &row);
    for (int32_t i = 0; step % maker.spec.info.keyframe_every == 0 && i < maker.spec.n_items; i++) {
        maker_item(&maker, i, step, data_a);
        TDBG_TRY(put_values(s, true, i, data_a, 0, err));
    }
    TDBG_TRY(put_samples(s, step, err));
    for (int32_t i = 0; i < maker.spec.n_sites; i++) {
        const struct tdbg_site *site = &maker.sites[i];
        struct tdbg_stats stats;
        int64_t n;
        if (site->stage == TDBG_STAGE_EVAL && !row.evaluated)
            continue;
        maker_values(&maker, i, step, data_a, &n);
        const bool has_values =
            maker_is_stored_by_step(&maker.plans[i]) && step % maker.plans[i].value_every == 0;
        const bool due = tdbg_chain_due(site, &maker.plans[i], step, row.evaluated);
        const bool left = due && leaves && tdbg_stream_leave_digest(s, i, has_values);
        if (left && !has_values)
            TDBG_TRY(put_values(s, false, i, data_a, n, err));
        if (due && !left) {
            tdbg_stats_reference(data_a, site->dtype, n, &stats);
            tdbg_stream_put_digest(s, i, tdbg_digest_reference(data_a, site->dtype, n), &stats);
        }
        if (has_values)
            TDBG_TRY(put_values(s, false, i, data_a, n, err));
    }
    TDBG_TRY(tdbg_stream_commit_step(s, &row, err));
out:
    return st;
}

static void put_all(struct tdbg_stream *s)
{
    struct tdbg_err err = {0};
    for (int64_t i = 0; i < maker.n_steps; i++)
        check(put_step(s, maker.first_step + i, &err), &err);
}

static struct tdbg_trace *open_trace(const char *name)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    check(tdbg_trace_open(name, &t, &err), &err);
    return t;
}

static void compare_step(struct tdbg_trace *a, struct tdbg_trace *b, int64_t step, int *n_dropped)
{
    struct tdbg_err err = {0};
    struct tdbg_step_row row_a, row_b;
    static uint64_t digest_a[MAKER_MAX_SITES], digest_b[MAKER_MAX_SITES];
    static struct tdbg_stats stats_a[MAKER_MAX_SITES], stats_b[MAKER_MAX_SITES];
    int64_t ids_a[MOST_IDS], ids_b[MOST_IDS], n_a, n_b;
    const size_t n = (size_t)maker.spec.n_sites;
    check(tdbg_trace_read_steps(a, step, 1, &row_a, &err), &err);
    check(tdbg_trace_read_steps(b, step, 1, &row_b, &err), &err);
    assert_memory_equal(row_a.chain, row_b.chain, sizeof row_a.chain);
    assert_true(row_a.loss == row_b.loss || isnan(row_a.loss));
    check(tdbg_trace_read_digests(a, step, digest_a, &err), &err);
    check(tdbg_trace_read_digests(b, step, digest_b, &err), &err);
    assert_memory_equal(digest_a, digest_b, n * sizeof *digest_a);
    check(tdbg_trace_read_step_stats(a, step, stats_a, &err), &err);
    check(tdbg_trace_read_step_stats(b, step, stats_b, &err), &err);
    assert_memory_equal(stats_a, stats_b, n * sizeof *stats_a);
    check(tdbg_trace_read_batch_ids(a, step, ids_a, &n_a, &err), &err);
    check(tdbg_trace_read_batch_ids(b, step, ids_b, &n_b, &err), &err);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(ids_a, ids_b, (size_t)n_a * sizeof *ids_a);
    for (int32_t i = 0; i < maker.spec.n_sites; i++) {
        if (!tdbg_trace_has_values(a, i, step, row_a.evaluated))
            continue;
        if (!tdbg_trace_has_values(b, i, step, row_b.evaluated)) {
            assert_true(row_b.dropped > 0);
            ++*n_dropped;
            continue;
        }
        check(tdbg_trace_read_values(a, step, i, data_a, &n_a, &err), &err);
        check(tdbg_trace_read_values(b, step, i, data_b, &n_b, &err), &err);
        assert_int_equal(n_a, n_b);
        assert_memory_equal(data_a, data_b, (size_t)n_a * tdbg_dtype_bytes(maker.sites[i].dtype));
    }
}

/* The first n steps of both traces; returns how many values the second one left out. */
static int compare(int64_t n)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *a = open_trace(plain), *b = open_trace(path);
    int n_dropped = 0;
    assert_int_equal(tdbg_trace_n_steps(b), n);
    for (int64_t i = 0; i < n; i++)
        compare_step(a, b, maker.first_step + i, &n_dropped);
    const int64_t keyframe = tdbg_trace_keyframe_before(a, maker.first_step + n - 1);
    assert_int_equal(keyframe, tdbg_trace_keyframe_before(b, maker.first_step + n - 1));
    for (int32_t i = 0; keyframe >= 0 && i < maker.spec.n_items; i++) {
        memset(data_a, 0, 4096);
        memset(data_b, 0, 4096);
        check(tdbg_trace_read_keyframe(a, keyframe, i, data_a, &err), &err);
        check(tdbg_trace_read_keyframe(b, keyframe, i, data_b, &err), &err);
        assert_memory_equal(data_a, data_b, 4096);
    }
    tdbg_trace_close(a);
    tdbg_trace_close(b);
    return n_dropped;
}

static void test_same_as_writer(void **state)
{
    (void)state;
    const struct maker_wish wishes[] = {
        {.steps = 40}, {.lanes = 3, .accumulate = 2, .steps = 30}, {.steps = 6, .large = true}};
    for (uint64_t seed = 1; seed <= 2; seed++) {
        for (size_t w = 0; w < sizeof wishes / sizeof *wishes; w++) {
            make(seed, wishes[w]);
            maker_write(&maker, plain);
            for (int thread = 0; thread < 2; thread++) {
                for (int workers = 0; workers <= 3; workers += 3) {
                    leaves = (thread + workers + (int)seed) % 2 == 0; /* by turns */
                    struct tdbg_err err = {0};
                    struct tdbg_stream *s = open_stream((struct tdbg_stream_options){
                        .thread = thread, .workers = workers, .queue_bytes = 1, .announce_fd = -1});
                    put_all(s);
                    check(tdbg_stream_close(s, &err), &err);
                    assert_int_equal(compare(maker.n_steps), 0);
                }
            }
        }
    }
}

/* Values that come long after they were asked for, into a queue that is far too small for them. */
static void test_late_copies(void **state)
{
    (void)state;
    const struct maker_wish wishes[] = {{.lanes = 3, .accumulate = 2, .steps = 30},
                                        {.steps = 6, .large = true}};
    late = true;
    for (size_t w = 0; w < 2 * (sizeof wishes / sizeof *wishes); w++) {
        struct tdbg_err err = {0};
        make(5 + w, wishes[w / 2]);
        maker_write(&maker, plain);
        leaves = w % 2 == 0;
        struct tdbg_stream *s = open_stream(
            (struct tdbg_stream_options){.workers = 1, .queue_bytes = 1, .announce_fd = -1});
        put_all(s);
        check(tdbg_stream_close(s, &err), &err);
        assert_int_equal(n_copied, n_asked);
        assert_int_equal(compare(maker.n_steps), 0);
    }
    late = false;
}

/* The gradient norm comes from where the statistics are. (All of it fits into a quarter of the
 * queue, so that nothing is refused because the other side is busy.) */
static void test_left_grad_norm(void **state)
{
    (void)state;
    enum { STEPS = 12 };
    struct tdbg_err err = {0};
    static struct tdbg_stats stats[MAKER_MAX_SITES];
    leaves = true;
    make(4, (struct maker_wish){.lanes = 1, .accumulate = 1, .steps = STEPS});
    maker_write(&maker, plain);
    for (int thread = 0; thread < 2; thread++) {
        struct tdbg_stream *s = open_stream((struct tdbg_stream_options){
            .thread = thread, .workers = 1, .queue_bytes = 1, .announce_fd = -1});
        put_all(s);
        assert_false(tdbg_stream_share_digest(s, 1, 0)); /* nothing was left yet in this step */
        check(tdbg_stream_close(s, &err), &err);
        assert_int_equal(compare(STEPS), 0);
        struct tdbg_trace *t = open_trace(path);
        for (int64_t i = 0; i < STEPS; i++) {
            struct tdbg_step_row row;
            check(tdbg_trace_read_steps(t, maker.first_step + i, 1, &row, &err), &err);
            check(tdbg_trace_read_step_stats(t, maker.first_step + i, stats, &err), &err);
            const double norm = tdbg_stats_grad_norm(maker.sites, maker.spec.n_sites, stats);
            assert_true(row.grad_norm == norm || (isnan(norm) && isnan(row.grad_norm)));
        }
        tdbg_trace_close(t);
    }
}

/* A queue that is always full: what is left out is marked, everything else is whole. */
static void test_drop(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    leaves = true; /* which cannot be when values may be left out */
    make(3, (struct maker_wish){.lanes = 1, .accumulate = 1, .steps = 12, .large = true});
    maker_write(&maker, plain);
    struct tdbg_stream *s = open_stream((struct tdbg_stream_options){
        .drop = true, .workers = 0, .queue_bytes = 1, .announce_fd = -1});
    put_all(s);
    check(tdbg_stream_close(s, &err), &err);
    print_message("%d values left out\n", compare(maker.n_steps));
}

static pid_t child_of(pid_t parent)
{
    char name[64];
    int pid = 0;
    snprintf(name, sizeof name, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *f = fopen(name, "r");
    if (f && fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return pid;
}

/* Puts steps until the stream says that it is over; returns what it says. */
static enum tdbg_status put_until_failure(struct tdbg_stream *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int64_t i = 0; i < maker.n_steps && st == TDBG_OK; i++)
        st = put_step(s, maker.first_step + i, err);
    return st;
}

static void test_writer_dies(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    make(5, (struct maker_wish){.steps = 4000});
    struct tdbg_stream *s = open_stream(
        (struct tdbg_stream_options){.workers = 1, .queue_bytes = 1, .announce_fd = -1});
    check(put_step(s, maker.first_step, &err), &err);
    assert_int_equal(kill(child_of(getpid()), SIGKILL), 0);
    for (int64_t i = 1; i < maker.n_steps && err.status == TDBG_OK; i++)
        put_step(s, maker.first_step + i, &err);
    assert_int_equal(err.status, TDBG_IO);
    assert_non_null(strstr(err.message, "has ended"));
    tdbg_err_clear(&err);
    assert_int_equal(put_step(s, maker.first_step, &err), TDBG_IO);
    tdbg_err_clear(&err);
    assert_int_equal(tdbg_stream_close(s, &err), TDBG_IO);
    tdbg_err_clear(&err);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
}

static void test_file_is_full(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    const struct rlimit limit = {6 << 20, 6 << 20};
    make(6, (struct maker_wish){.steps = 4000});
    struct tdbg_stream *s = open_stream(
        (struct tdbg_stream_options){.workers = 1, .queue_bytes = 1, .announce_fd = -1});
    assert_int_equal(prlimit(child_of(getpid()), RLIMIT_FSIZE, &limit, NULL), 0);
    assert_int_equal(put_until_failure(s, &err), TDBG_IO);
    assert_non_null(strstr(err.message, "no file can be larger than 6291456 bytes"));
    tdbg_err_clear(&err);
    assert_int_equal(tdbg_stream_close(s, &err), TDBG_IO);
    tdbg_err_clear(&err);
    struct tdbg_trace *t = open_trace(path);
    assert_true(tdbg_trace_n_steps(t) > 0 && !tdbg_trace_is_closed(t));
    tdbg_trace_close(t);
}

/* Every step whose commit returned is there, though the program is gone. */
static void test_program_dies(void **state)
{
    (void)state;
    make(7, (struct maker_wish){.steps = 60});
    maker_write(&maker, plain);
    for (int64_t n = 1; n < maker.n_steps; n += 13) {
        int ends[2];
        char byte;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            struct tdbg_err err = {0};
            struct tdbg_stream *s = open_stream(
                (struct tdbg_stream_options){.workers = 1, .queue_bytes = 1, .announce_fd = -1});
            for (int64_t i = 0; i < n; i++)
                check(put_step(s, maker.first_step + i, &err), &err);
            put_samples(s, maker.first_step + n, &err); /* of a step that is never finished */
            raise(SIGKILL);
        }
        close(ends[1]);
        waitpid(child, NULL, 0);
        assert_int_equal(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        assert_int_equal(compare(n), 0);
    }
}

static void test_announcements(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    int ends[2], seen = 0;
    long step;
    make(8, (struct maker_wish){.steps = 50});
    assert_int_equal(pipe(ends), 0);
    struct tdbg_stream *s = open_stream(
        (struct tdbg_stream_options){.workers = 1, .queue_bytes = 1, .announce_fd = ends[1]});
    put_all(s);
    check(tdbg_stream_close(s, &err), &err);
    close(ends[1]);
    FILE *f = fdopen(ends[0], "r");
    for (; fscanf(f, "%ld", &step) == 1; seen++)
        assert_int_equal(step, maker.first_step + seen);
    fclose(f);
    assert_int_equal(seen, maker.n_steps);
}

/* A truncated or changed description is refused or read, and never more than that. */
static void test_spec_wire(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_strbuf bytes = {0}, again = {0};
    struct tdbg_trace_spec spec;
    struct tdbg_arena *arena = tdbg_arena_create();
    make(9, (struct maker_wish){.lanes = 2});
    tdbg_spec_pack(&maker.spec, &bytes);
    check(tdbg_spec_unpack(bytes.text, bytes.n_bytes, arena, &spec, &err), &err);
    tdbg_spec_pack(&spec, &again);
    assert_int_equal(bytes.n_bytes, again.n_bytes);
    for (size_t n = 0; n < bytes.n_bytes; n += 1 + n / 50) {
        assert_int_equal(tdbg_spec_unpack(bytes.text, n, arena, &spec, &err), TDBG_UNSUPPORTED);
        tdbg_err_clear(&err);
    }
    tdbg_strbuf_free(&bytes);
    tdbg_strbuf_free(&again);
    tdbg_arena_destroy(arena);
}

enum { RING_MESSAGES = 20000, RING_ROOM = 1 << 16 };

static uint64_t message_bytes(uint64_t i)
{
    return i * 2654435761u % 8000;
}

static void *take_all(void *ring)
{
    uint64_t at = 0, n = 0;
    while (n < RING_MESSAGES) {
        struct tdbg_ring_taken m;
        if (tdbg_ring_take(ring, &at, &m, NULL) != TDBG_OK)
            return (void *)1;
        if (!m.data) {
            tdbg_ring_wait(ring, at, 1000000000);
            continue;
        }
        const unsigned char *data = m.data;
        for (uint64_t k = 0; k < m.head.bytes; k++) {
            if (m.head.bytes != message_bytes(n) || data[k] != (unsigned char)(n + k))
                return (void *)1;
        }
        tdbg_ring_free(ring, at);
        n++;
    }
    return NULL;
}

static void test_ring(void **state)
{
    (void)state;
    const size_t bytes = tdbg_ring_shared_bytes(RING_ROOM);
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct tdbg_ring *put = tdbg_ring_create(shared, bytes, -1);
    struct tdbg_ring *take = tdbg_ring_create(shared, bytes, -1);
    void *wrong = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_all, take), 0);
    for (uint64_t i = 0; i < RING_MESSAGES; i++) {
        struct tdbg_ring_message *m;
        assert_int_equal(tdbg_ring_reserve(put, message_bytes(i), true, &m), TDBG_OK);
        m->kind = 1;
        for (uint64_t k = 0; k < message_bytes(i); k++)
            ((unsigned char *)tdbg_ring_data(m))[k] = (unsigned char)(i + k);
        tdbg_ring_publish(put);
    }
    pthread_join(thread, &wrong);
    assert_null(wrong);
    tdbg_ring_destroy(put);
    tdbg_ring_destroy(take);
    munmap(shared, bytes);
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),           cmocka_unit_test(test_spec_wire),
        cmocka_unit_test(test_same_as_writer), cmocka_unit_test(test_drop),
        cmocka_unit_test(test_writer_dies),    cmocka_unit_test(test_file_is_full),
        cmocka_unit_test(test_program_dies),   cmocka_unit_test(test_announcements),
        cmocka_unit_test(test_late_copies),    cmocka_unit_test(test_left_grad_norm),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/stream.h5", dir);
    snprintf(plain, sizeof plain, "%s/plain.h5", dir);
    return cmocka_run_group_tests(tests, NULL, remove_dir);
}
