/* The parts under the trace: shuffle, codec, filter, chunk planning, batches cut into lanes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chunked.h"
#include "trace/codec.h"
#include "trace/filter.h"
#include "trace/hdf5_util.h"
#include "trace/id_map.h"
#include "trace/layout.h"
#include "trace/shuffle.h"

static unsigned char a[40000], b[40000], c[40000];

static void fill(void)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof a; i++) {
        x = x * 1664525u + 1013904223u;
        a[i] = i % 4 == 3 ? 0x3f : (unsigned char)(x >> 24);
    }
}

static void test_shuffle(void **state)
{
    (void)state;
    fill();
    for (size_t bytes = 1; bytes <= 120; bytes += bytes < 17 ? 1 : bytes == 17 ? 7 : 96) {
        for (size_t n = 0; n < 200; n += 1 + n / 8) {
            tdbg_shuffle(a, b, n, bytes);
            for (size_t i = 0; i < n * bytes; i++)
                assert_int_equal(b[i % bytes * n + i / bytes], a[i]);
            tdbg_unshuffle(b, c, n, bytes);
            assert_memory_equal(a, c, n * bytes);
        }
    }
}

static void test_codec(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_codec *codec = tdbg_codec_create();
    const void *out;
    size_t n;
    fill();
    for (int effort = 0; effort < 2; effort++) {
        assert_int_equal(
            tdbg_codec_encode(codec, (enum tdbg_codec_effort)effort, a, 10000, 4, &out, &n, &err),
            TDBG_OK);
        assert_true(n < sizeof a);
        unsigned char *chunk = malloc(n + 100);
        memcpy(chunk, out, n);
        assert_int_equal(tdbg_codec_decode(codec, chunk, n, b, 10000, 4, &err), TDBG_OK);
        assert_memory_equal(a, b, sizeof a);
        /* A skippable frame behind the data changes nothing. */
        static const unsigned char skip[12] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
        memcpy(chunk + n, skip, sizeof skip);
        assert_int_equal(tdbg_codec_decode(codec, chunk, n + 12, b, 10000, 4, &err), TDBG_OK);
        /* Wrong sizes, cut-off and changed chunks. */
        assert_int_equal(tdbg_codec_decode(codec, chunk, n, b, 9999, 4, NULL), TDBG_DAMAGED);
        assert_int_equal(tdbg_codec_decode(codec, chunk, n - 1, b, 10000, 4, NULL), TDBG_DAMAGED);
        assert_int_equal(tdbg_codec_decode(codec, chunk, 0, b, 10000, 4, NULL), TDBG_DAMAGED);
        for (size_t i = 0; i < n; i += 1 + n / 400) {
            chunk[i] ^= 4;
            /* The dictionary-less frame header has one unused bit; all else is covered. */
            if (i != 4)
                assert_int_equal(tdbg_codec_decode(codec, chunk, n, b, 10000, 4, NULL),
                                 TDBG_DAMAGED);
            chunk[i] ^= 4;
        }
        free(chunk);
    }
    tdbg_codec_destroy(codec);
}

/* Numbers of all sorts and lengths: noise with runs, exponents over noise, runs of all lengths at
 * all places, one value, noise. The decoder checks the checksum, so our own hash is checked as
 * well. */
static uint8_t make_byte(int kind, uint32_t x, size_t i, size_t elem_bytes)
{
    static uint8_t held;
    bool top = i % elem_bytes == elem_bytes - 1;
    switch (kind) {
    case 0: /* with it the coder is told to leave literals alone; later kinds want them coded */
        return i / elem_bytes % 400 < 30 ? 0 : (uint8_t)x;
    case 1:
        return top ? (uint8_t)(0x3b + (x & 3) + (x >> 2 & 1)) : (uint8_t)x;
    case 2: /* runs of 1 to about 40 elements */
        if (i % elem_bytes == 0 && x % 16 == 0)
            held = (uint8_t)(x >> 8);
        return held;
    case 3:
        return x % 64 == 0 ? (uint8_t)(x >> 8) : 0;
    case 4:
        return 0x80;
    default:
        return (uint8_t)x;
    }
}

static void test_planes(void **state)
{
    (void)state;
    static const size_t wide[] = {2, 4, 8};
    enum { MOST = 400000, KINDS = 6 };
    struct tdbg_err err = {0};
    struct tdbg_codec *codec = tdbg_codec_create();
    unsigned char *data = malloc(MOST * 8), *back = malloc(MOST * 8);
    uint32_t x = 7;
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t w = 0; w < 3; w++) {
            for (size_t n = 1; n < MOST; n += 1 + n / 3) {
                const void *out;
                size_t out_bytes, bytes = n * wide[w];
                for (size_t i = 0; i < bytes; i++) {
                    x = x * 1664525u + 1013904223u;
                    data[i] = make_byte(kind, x >> 8, i, wide[w]);
                }
                assert_int_equal(tdbg_codec_encode(codec, TDBG_EFFORT_VALUES, data, n, wide[w],
                                                   &out, &out_bytes, &err),
                                 TDBG_OK);
                assert_true(out_bytes <= bytes + 100 + bytes / 1000);
                if (n > 10000 && kind >= 1 && kind <= 4)
                    assert_true(out_bytes < bytes - n / 2);
                if (n > 10000 && kind == 0)
                    assert_true(out_bytes < bytes - bytes / 20);
                if (n > 10000 && kind == 4)
                    assert_true(out_bytes < bytes / 500);
                assert_int_equal(tdbg_codec_decode(codec, out, out_bytes, back, n, wide[w], &err),
                                 TDBG_OK);
                assert_memory_equal(back, data, bytes);
            }
        }
    }
    free(data);
    free(back);
    tdbg_codec_destroy(codec);
}

/* What our codec makes, the filter reads, and the other way round; the filter believes no size. */
static void test_filter(void **state)
{
    (void)state;
    struct tdbg_codec *codec = tdbg_codec_create();
    const void *out;
    size_t n, buf_bytes;
    tdbg_h5_begin();
    fill();
    tdbg_codec_encode(codec, TDBG_EFFORT_VALUES, a, 40000, 1, &out, &n, NULL);
    void *buf = H5allocate_memory(n, false);
    memcpy(buf, out, n);
    buf_bytes = n;
    size_t got = tdbg_filter_class.filter(H5Z_FLAG_REVERSE, 0, NULL, n, &buf_bytes, &buf);
    assert_int_equal(got, sizeof a);
    assert_memory_equal(buf, a, sizeof a);
    got = tdbg_filter_class.filter(0, 1, (unsigned[]){5}, got, &buf_bytes, &buf);
    assert_true(got > 0 && got < sizeof a);
    assert_int_equal(tdbg_codec_decode(codec, buf, got, b, 40000, 1, NULL), TDBG_OK);
    assert_memory_equal(a, b, sizeof a);
    for (size_t i = 0; i < got; i += 1 + got / 300) {
        void *bad = H5allocate_memory(got, false);
        memcpy(bad, buf, got);
        ((unsigned char *)bad)[i] ^= 0x81;
        size_t bad_bytes = got;
        assert_int_equal(tdbg_filter_class.filter(H5Z_FLAG_REVERSE, 0, NULL, got, &bad_bytes, &bad),
                         0);
        H5free_memory(bad);
    }
    /* A frame that declares 2^62 bytes. */
    static const unsigned char huge[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0,    0, 0,
                                         0,    0,    0,    0,    0x40, 0x01, 0, 0};
    void *bomb = H5allocate_memory(sizeof huge, false);
    memcpy(bomb, huge, sizeof huge);
    size_t bomb_bytes = sizeof huge;
    assert_int_equal(
        tdbg_filter_class.filter(H5Z_FLAG_REVERSE, 0, NULL, sizeof huge, &bomb_bytes, &bomb), 0);
    H5free_memory(bomb);
    H5free_memory(buf);
    tdbg_codec_destroy(codec);
}

static void expect_plan(int ndim, const hsize_t *dims, size_t bytes, hsize_t rows,
                        const hsize_t *want)
{
    hsize_t chunk[TDBG_CHUNKED_MAX_DIMS];
    tdbg_chunked_plan(ndim, dims, bytes, rows, chunk);
    for (int d = 0; d < ndim; d++)
        assert_int_equal(chunk[d], want[d]);
}

static void test_plan(void **state)
{
    (void)state;
    expect_plan(1, (hsize_t[]){0}, 8, 16, (hsize_t[]){16});
    expect_plan(3, (hsize_t[]){0, 256, 784}, 4, 1, (hsize_t[]){1, 256, 784});
    expect_plan(3, (hsize_t[]){0, 2048, 1024}, 4, 1, (hsize_t[]){1, 1024, 1024});
    expect_plan(3, (hsize_t[]){0, 1025, 1024}, 4, 1, (hsize_t[]){1, 513, 1024});
    expect_plan(4, (hsize_t[]){0, 3, 2048, 1024}, 4, 1, (hsize_t[]){1, 1, 1024, 1024});
    expect_plan(2, (hsize_t[]){0, 1 << 20}, 8, 16, (hsize_t[]){1, 1 << 19});
    expect_plan(2, (hsize_t[]){0, 1 << 18}, 8, 16, (hsize_t[]){2, 1 << 18});
}

static void test_slices(void **state)
{
    (void)state;
    for (int64_t batch = 0; batch < 40; batch++) {
        for (int32_t lanes = 1; lanes < 6; lanes++) {
            for (int32_t micros = 1; micros < 4; micros++) {
                int64_t next = 0, first, n;
                for (int32_t l = 0; l < lanes; l++) {
                    for (int32_t m = 0; m < micros; m++) {
                        tdbg_layout_slice(batch, lanes, micros, l, m, &first, &n);
                        assert_int_equal(first, next);
                        next += n;
                    }
                }
                assert_int_equal(next, batch);
            }
        }
    }
}

static void test_id_map(void **state)
{
    (void)state;
    struct tdbg_id_map map = {0};
    assert_int_equal(tdbg_id_map_find(&map, 5), -1);
    for (int64_t i = 0; i < 10000; i++)
        assert_true(tdbg_id_map_add(&map, i * i * 7919, i));
    for (int64_t i = 0; i < 10000; i++) {
        assert_int_equal(tdbg_id_map_find(&map, i * i * 7919), i);
        assert_int_equal(tdbg_id_map_find(&map, i * i * 7919 + 1), -1);
    }
    tdbg_id_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffle), cmocka_unit_test(test_codec), cmocka_unit_test(test_planes),
        cmocka_unit_test(test_filter),  cmocka_unit_test(test_plan),  cmocka_unit_test(test_slices),
        cmocka_unit_test(test_id_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
