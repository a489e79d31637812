/* What comes out of the shared ring is checked before it is used: whatever one field of one message
 * says, recording ends in order or with an error, and never in a crash or in a wait without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "trace/message.h"
#include "trace/pipeline.h"
#include "tests/trace/tiny_trace.h"

enum { ROOM = 1 << 16, MOST_MESSAGES = 64 };

/* One recording of a tiny trace, as messages; the heads are there to be changed. */
struct queue {
    struct tiny tiny;
    struct tdbg_keyframe_item item;
    void *shared;
    struct tdbg_ring *put, *take;
    int ends[2];
    struct tdbg_ring_message *heads[MOST_MESSAGES];
    int n;
};

static struct tdbg_ring_message *put_message(struct queue *q, uint32_t kind, int32_t id,
                                             const void *data, size_t bytes)
{
    struct tdbg_ring_message *m;
    assert_int_equal(tdbg_ring_reserve(q->put, bytes, false, &m), TDBG_OK);
    m->kind = kind;
    m->id = id;
    if (bytes > 0)
        memcpy(tdbg_ring_data(m), data, bytes);
    tdbg_ring_publish(q->put);
    assert_true(q->n < MOST_MESSAGES);
    q->heads[q->n++] = m;
    return m;
}

static struct tdbg_ring_message *send_tensor(struct queue *q, uint32_t kind, int32_t id,
                                             const float *v)
{
    struct tdbg_ring_message *m = put_message(q, kind, id, v, TINY_ELEMS * sizeof *v);
    m->count = m->total = TINY_ELEMS;
    return m;
}

static void send_samples(struct queue *q, int64_t step)
{
    struct {
        int64_t id;
        float x[3];
        int32_t y;
    } sample = {.id = step % 4, .x = {1, 2, 3}, .y = 1};
    const bool seen = step >= 4;
    struct tdbg_ring_message *m = put_message(q, TDBG_STREAM_SAMPLES, TDBG_SAMPLES_TRAIN, &sample,
                                              seen ? sizeof sample.id : sizeof sample);
    m->count = 1;
    m->first = seen;
    m->total = seen ? 0 : (int64_t)sizeof sample.x;
}

/* The digest of the first site is left to the other side. */
static void send_step(struct queue *q, int64_t step)
{
    const int32_t n = q->tiny.spec.n_sites;
    unsigned char data[sizeof(struct tdbg_step_row) +
                       TINY_MOST_SITES *
                           (sizeof(uint64_t) + sizeof(struct tdbg_stats) + sizeof(int32_t))] = {0};
    const struct tdbg_step_row row = {.step = step, .samples = 1, .loss = 1};
    uint64_t digests[TINY_MOST_SITES];
    int32_t source[TINY_MOST_SITES];
    float v[TINY_ELEMS] = {0};
    if (step % 4 == 0)
        send_tensor(q, TDBG_STREAM_KEYFRAME, 0, v);
    send_samples(q, step);
    for (int32_t i = 0; i < n; i++) {
        const bool due = step % q->tiny.plans[i].value_every == 0;
        tiny_values(i, step, v);
        digests[i] = i == 0 ? 0 : tdbg_digest_reference(v, TDBG_DTYPE_F32, TINY_ELEMS);
        source[i] = i == 0 ? 0 : -1;
        if (due)
            send_tensor(q, TDBG_STREAM_VALUES, i, v)->flags = i == 0 ? TDBG_STREAM_DIGEST : 0;
    }
    memcpy(data, &row, sizeof row);
    memcpy(data + sizeof row, digests, (size_t)n * sizeof *digests);
    const size_t before = sizeof row + (size_t)n * (sizeof *digests + sizeof(struct tdbg_stats));
    memcpy(data + before, source, (size_t)n * sizeof *source);
    struct tdbg_ring_message *m =
        put_message(q, TDBG_STREAM_STEP, 0, data, before + (size_t)n * sizeof *source);
    m->count = n;
}

static void fill(struct queue *q, enum tdbg_store store)
{
    const size_t bytes = tdbg_ring_shared_bytes(ROOM);
    const struct tdbg_finding finding = {.step = 0, .rule = "a", .text = "b"};
    *q = (struct queue){.shared = NULL};
    tiny_make(&q->tiny, store);
    q->item = (struct tdbg_keyframe_item){
        .name = "w", .dtype = TDBG_DTYPE_F32, .ndim = 1, .dims = {TINY_ELEMS}};
    q->tiny.spec.items = &q->item;
    q->tiny.spec.n_items = 1;
    q->tiny.spec.info.batch = 1;
    q->tiny.spec.samples[TDBG_SAMPLES_TRAIN] = (struct tdbg_samples_spec){.x_dtype = TDBG_DTYPE_F32,
                                                                          .x_ndim = 1,
                                                                          .x_dims = {3},
                                                                          .y_dtype = TDBG_DTYPE_I32,
                                                                          .total = 4};
    q->shared = aligned_alloc(TDBG_RING_ALIGN, (bytes + 63) / 64 * 64);
    memset(q->shared, 0, bytes);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, q->ends), 0);
    q->put = tdbg_ring_create(q->shared, bytes, -1);
    q->take = tdbg_ring_create(q->shared, bytes, q->ends[0]);
    for (int64_t step = 0; step < 6; step++)
        send_step(q, step);
    put_message(q, TDBG_STREAM_FINDING, 0, &finding, sizeof finding);
    put_message(q, TDBG_STREAM_KEEP, 0, NULL, 0);
    put_message(q, TDBG_STREAM_CLOSE, 0, NULL, 0);
    close(q->ends[1]); /* whoever put all this is gone: nothing more will come */
}

static enum tdbg_status take(struct queue *q, struct tdbg_err *err)
{
    const struct tdbg_pipeline_options options = {.workers = 1, .announce_fd = -1};
    struct tdbg_trace_writer *w = NULL;
    tiny_check(tdbg_trace_writer_create(tiny_path, true, &q->tiny.spec, &w, err), err);
    const enum tdbg_status st =
        tdbg_pipeline_run(q->take, w, tiny_path, &q->tiny.spec, &options, err);
    close(q->ends[0]);
    tdbg_ring_destroy(q->put);
    tdbg_ring_destroy(q->take);
    free(q->shared);
    return st;
}

static void test_sound_messages(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct queue q;
    for (int i = 0; i < 2; i++) {
        fill(&q, i ? TDBG_STORE_PACKED : TDBG_STORE_DATASET);
        tiny_check(take(&q, &err), &err);
        struct tdbg_trace *t = tiny_open();
        assert_true(tdbg_trace_is_closed(t));
        assert_int_equal(tdbg_trace_n_steps(t), 6);
        tdbg_trace_close(t);
    }
}

/* The steps before what was changed are in the file. */
static void take_changed(struct queue *q, const char *words)
{
    struct tdbg_err err = {0};
    const enum tdbg_status st = take(q, &err);
    if (words) {
        assert_int_equal(st, TDBG_IO);
        if (!strstr(err.message, words))
            fail_msg("'%s' and not '%s'", err.message, words);
    } else {
        assert_true(st == TDBG_OK || err.message);
    }
    tdbg_err_clear(&err);
}

static void test_named_faults(void **state)
{
    (void)state;
    struct queue q;
    const char damaged[] = "the queue of the recording is damaged";
#define CHANGED(what)                                                                              \
    do {                                                                                           \
        fill(&q, TDBG_STORE_DATASET);                                                              \
        struct tdbg_ring_message *keyframe = q.heads[0], *samples = q.heads[1],                    \
                                 *value = q.heads[2], *last = q.heads[q.n - 1];                    \
        (void)keyframe, (void)samples, (void)value, (void)last;                                    \
        what;                                                                                      \
        take_changed(&q, damaged);                                                                 \
    } while (0)
    CHANGED(value->id = -1);
    CHANGED(value->id = q.tiny.spec.n_sites);
    CHANGED(value->bytes = UINT64_MAX);
    CHANGED(value->bytes = ROOM);
    CHANGED(value->bytes += 4);
    CHANGED(value->total = INT64_MAX);
    CHANGED(value->total = -1);
    CHANGED(value->count = INT64_MAX);
    CHANGED(value->first = 1);
    CHANGED(value->count = 2; value->bytes = 8);
    CHANGED(value->kind = 0);
    CHANGED(value->kind = 99);
    CHANGED(value->flags = 2);
    CHANGED(keyframe->flags = TDBG_STREAM_DIGEST);
    CHANGED(keyframe->id = 1);
    CHANGED(keyframe->total = TINY_ELEMS - 1);
    CHANGED(samples->id = TDBG_SAMPLES_SETS);
    CHANGED(samples->id = TDBG_SAMPLES_EVAL);
    CHANGED(samples->count = INT64_MAX);
    CHANGED(samples->total = 4);
    CHANGED(samples->first = 1);
    CHANGED(last->bytes = 64);
#undef CHANGED
}

/* Every bit of every head of a recording, a few at a time. */
static void test_flipped_bits(void **state)
{
    (void)state;
    enum { EVERY = 61 };
    struct queue q;
    fill(&q, TDBG_STORE_DATASET);
    const int bits = q.n * (int)sizeof(struct tdbg_ring_message) * 8;
    take_changed(&q, NULL);
    for (int bit = 7; bit < bits; bit += EVERY) {
        fill(&q, bit % 2 ? TDBG_STORE_DATASET : TDBG_STORE_PACKED);
        const int in_head = bit % ((int)sizeof(struct tdbg_ring_message) * 8);
        const int message = bit / ((int)sizeof(struct tdbg_ring_message) * 8) % q.n;
        ((unsigned char *)q.heads[message])[in_head / 8] ^= (unsigned char)(1 << in_head % 8);
        take_changed(&q, NULL);
    }
}

/* The largest message, at every place that one can begin at. */
static void test_half_of_the_ring(void **state)
{
    (void)state;
    enum { SMALL_ROOM = 4096, HEAD = sizeof(struct tdbg_ring_message) };
    const size_t bytes = tdbg_ring_shared_bytes(SMALL_ROOM);
    void *shared = aligned_alloc(TDBG_RING_ALIGN, (bytes + 63) / 64 * 64);
    memset(shared, 0, bytes);
    struct tdbg_ring *put = tdbg_ring_create(shared, bytes, -1);
    struct tdbg_ring *take = tdbg_ring_create(shared, bytes, -1);
    uint64_t at = 0;
    for (size_t i = 0; i < 3 * SMALL_ROOM / HEAD; i++) {
        const size_t sizes[] = {SMALL_ROOM / 2 - HEAD, i % 7 * HEAD};
        for (int k = 0; k < 2; k++) {
            struct tdbg_ring_message *m;
            struct tdbg_ring_taken taken;
            assert_int_equal(tdbg_ring_reserve(put, sizes[k], false, &m), TDBG_OK);
            m->kind = 1;
            memset(tdbg_ring_data(m), (int)i, sizes[k]);
            tdbg_ring_publish(put);
            assert_int_equal(tdbg_ring_take(take, &at, &taken, NULL), TDBG_OK);
            assert_non_null(taken.data);
            assert_int_equal(taken.head.bytes, sizes[k]);
            tdbg_ring_free(take, at);
        }
    }
    tdbg_ring_destroy(put);
    tdbg_ring_destroy(take);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_messages),
        cmocka_unit_test(test_named_faults),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_half_of_the_ring),
    };
    return cmocka_run_group_tests(tests, tiny_begin, tiny_end);
}
