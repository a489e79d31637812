/* The image transforms: the same bits on every instruction set and for any number of threads,
 * against references in double, golden hashes, special values. Definition:
 * kernels/transform_image.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/digest.h"
#include "base/philox.h"
#include "kernels/transform_image.h"

enum { SEED = 11, MOST = 40000, SAMPLES = 5 };

static float input[MOST], output[MOST], first[MOST];
static int64_t ids[SAMPLES] = {3, 0, 41, 7, 1000000007};

static void fill(void)
{
    const uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, 0);
    for (int64_t i = 0; i < MOST; i++)
        input[i] = tdbg_philox_uniform(tdbg_philox(key, (uint64_t)i, 0).word[0]) * 4 - 2;
}

typedef void (*run_fn)(const struct tdbg_cpu *cpu, const void *what, const float *x, float *y);

static void run_resize(const struct tdbg_cpu *cpu, const void *what, const float *x, float *y)
{
    tdbg_transform_resize(cpu, what, x, y);
}

static void run_channels(const struct tdbg_cpu *cpu, const void *what, const float *x, float *y)
{
    tdbg_transform_channels(cpu, what, x, y);
}

static void run_crop(const struct tdbg_cpu *cpu, const void *what, const float *x, float *y)
{
    tdbg_transform_crop(cpu, what, x, y);
}

static void run_flip(const struct tdbg_cpu *cpu, const void *what, const float *x, float *y)
{
    tdbg_transform_flip(cpu, what, x, y);
}

/* Every instruction set and 1, 2 and 7 threads against the portable one; the result is in first.
 * Returns its digest. */
static uint64_t on_every_cpu(run_fn run, const void *what, int64_t elems)
{
    static const int threads[] = {1, 2, 7};
    assert_true(elems > 0 && elems <= MOST);
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        for (size_t t = 0; t < 3; t++) {
            struct tdbg_cpu cpu;
            if (tdbg_cpu_init(&cpu, tdbg_isa_text((enum tdbg_isa)isa), threads[t], NULL) != TDBG_OK)
                continue;
            float *y = isa == 0 && t == 0 ? first : output;
            memset(y, 0xa5, sizeof output);
            run(&cpu, what, input, y);
            if (y != first && memcmp(y, first, sizeof output) != 0)
                fail_msg("isa %s, %d threads: other bits", tdbg_isa_text(cpu.isa), threads[t]);
        }
    }
    return tdbg_digest_reference(first, TDBG_DTYPE_F32, elems);
}

static void expect_golden(uint64_t got, uint64_t want, const char *what)
{
    if (got != want)
        fail_msg("%s: golden hash 0x%016llx instead of 0x%016llx", what, (unsigned long long)got,
                 (unsigned long long)want);
}

/* --- resize --- */

static double clamp_source(double s, int64_t i)
{
    const double t = s * ((double)i + 0.5) - 0.5;
    return t > 0 ? t : 0;
}

static double pixel(const struct tdbg_resize *r, int64_t plane, int64_t i, int64_t j)
{
    i = i < r->in_h ? i : r->in_h - 1;
    j = j < r->in_w ? j : r->in_w - 1;
    return (double)input[(plane * r->in_h + i) * r->in_w + j];
}

static double bilinear(const struct tdbg_resize *r, int64_t plane, int64_t i, int64_t j)
{
    const double ti = clamp_source((double)r->in_h / (double)r->out_h, i);
    const double tj = clamp_source((double)r->in_w / (double)r->out_w, j);
    const int64_t i0 = (int64_t)ti, j0 = (int64_t)tj;
    const double li = ti - (double)i0, lj = tj - (double)j0;
    return (1 - li) * ((1 - lj) * pixel(r, plane, i0, j0) + lj * pixel(r, plane, i0, j0 + 1)) +
           li * ((1 - lj) * pixel(r, plane, i0 + 1, j0) + lj * pixel(r, plane, i0 + 1, j0 + 1));
}

static void check_bilinear(const struct tdbg_resize *r)
{
    /* An error of the source position counts as often as the picture is steep: at most 4 here. */
    const double longest = (double)(r->in_h > r->in_w ? r->in_h : r->in_w);
    const double bound = 0x1p-23 * (4 * 4 * longest + 8);
    for (int64_t k = 0; k < r->planes * r->out_h * r->out_w; k++) {
        const int64_t j = k % r->out_w, i = k / r->out_w % r->out_h;
        const double want = bilinear(r, k / r->out_w / r->out_h, i, j);
        if (!(fabs((double)first[k] - want) <= bound))
            fail_msg("bilinear (%lld, %lld): %.9g instead of %.9g", (long long)i, (long long)j,
                     (double)first[k], want);
    }
}

static void test_resize(void **state)
{
    (void)state;
    static const struct {
        struct tdbg_resize r;
        uint64_t bilinear, nearest;
    } cases[] = {
        {{6, 28, 28, 32, 32, false}, 0x6b68df66b9226405, 0xa6b462dd54a7ac7f},
        {{3, 32, 32, 28, 28, false}, 0x53ee8d403bb79676, 0xc0ecfbb98629149b},
        {{4, 7, 13, 29, 5, false}, 0x7acad6052208acbb, 0xe389e93f5a174a31},
        {{2, 1, 9, 17, 17, false}, 0xf6df74c59a1a0fa4, 0x97ddc1e90ea6e84e},
        {{1, 97, 101, 1, 1, false}, 0x95106539c93d99cf, 0x73d6fc89dfc2b463},
        {{1, 20, 30, 33, 1100, false},
         0x5ebe20f08cc628a3,
         0xb2c9523bfdff7142}, /* more columns than one block has */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct tdbg_resize r = cases[c].r;
        const int64_t elems = r.planes * r.out_h * r.out_w;
        expect_golden(on_every_cpu(run_resize, &r, elems), cases[c].bilinear, "bilinear");
        check_bilinear(&r);
        r.nearest = true;
        expect_golden(on_every_cpu(run_resize, &r, elems), cases[c].nearest, "nearest");
    }
}

/* A picture of its own size keeps its bits, twice the size repeats pixels. */
static void test_resize_exact(void **state)
{
    (void)state;
    struct tdbg_resize r = {3, 19, 23, 19, 23, false};
    on_every_cpu(run_resize, &r, 3 * 19 * 23);
    assert_memory_equal(first, input, 3 * 19 * 23 * sizeof *input);
    r = (struct tdbg_resize){3, 19, 23, 38, 46, true};
    on_every_cpu(run_resize, &r, 3 * 38 * 46);
    for (int64_t k = 0; k < 3 * 38 * 46; k++) {
        const int64_t j = k % 46, i = k / 46 % 38, plane = k / 46 / 38;
        assert_true(first[k] == input[(plane * 19 + i / 2) * 23 + j / 2]);
    }
}

/* --- channels --- */

static float channel(const struct tdbg_channels *c, int64_t row, int64_t k, int64_t i)
{
    return input[row * c->channels * c->inner + (c->hwc ? i * c->channels + k : k * c->inner + i)];
}

static void check_channels(const struct tdbg_channels *c)
{
    const int64_t out = c->gray ? 1 : c->channels;
    for (int64_t k = 0; k < c->rows * out * c->inner; k++) {
        const int64_t i = k % c->inner, o = k / c->inner % out, row = k / c->inner / out;
        if (c->gray) {
            const double r = (double)channel(c, row, c->reverse ? 2 : 0, i);
            const double g = (double)channel(c, row, 1, i);
            const double b = (double)channel(c, row, c->reverse ? 0 : 2, i);
            assert_true(fabs((double)first[k] - (0.2989 * r + 0.587 * g + 0.114 * b)) < 0x1p-21);
        } else {
            assert_true(first[k] == channel(c, row, c->reverse ? c->channels - 1 - o : o, i));
        }
    }
}

static void test_channels(void **state)
{
    (void)state;
    static const struct {
        struct tdbg_channels c;
        uint64_t golden;
    } cases[] = {
        {{5, 3, 100, false, true, false}, 0x3c9131623bd0ff6a},
        {{5, 3, 97, true, false, false}, 0x8aea24432f7351da},
        {{5, 3, 97, true, true, false}, 0xe9cdc4f8a379ceb3},
        {{4, 7, 33, true, false, false}, 0x5628ec09a4291a53},
        {{5, 3, 121, false, false, true}, 0x7188dea18c360320},
        {{5, 3, 121, false, true, true}, 0xbaebf06c5c7d014b},
        {{5, 3, 121, true, false, true}, 0xcc38511a3dd26ce1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const struct tdbg_channels *c = &cases[k].c;
        const int64_t out = c->gray ? 1 : c->channels;
        expect_golden(on_every_cpu(run_channels, c, c->rows * out * c->inner), cases[k].golden,
                      "channels");
        check_channels(c);
    }
}

/* --- crop and flip --- */

static struct tdbg_philox_block words(const struct tdbg_augment *a, int64_t sample)
{
    return tdbg_philox(a->key, (uint64_t)a->ids[sample], a->transform);
}

static int64_t place(uint32_t word, int64_t n)
{
    return (int64_t)floor((double)word * (double)(n + 1) / 4294967296.0);
}

static void check_crop(const struct tdbg_crop *c)
{
    for (int64_t k = 0; k < c->samples * c->planes * c->out_h * c->out_w; k++) {
        const int64_t w = k % c->out_w, h = k / c->out_w % c->out_h;
        const int64_t plane = k / c->out_w / c->out_h, sample = plane / c->planes;
        const int64_t n_h = c->in_h + 2 * c->pad - c->out_h, n_w = c->in_w + 2 * c->pad - c->out_w;
        struct tdbg_philox_block b = {{0}};
        if (c->random.on)
            b = words(&c->random, sample);
        const int64_t i = h + (c->random.on ? place(b.word[0], n_h) : n_h / 2) - c->pad;
        const int64_t j = w + (c->random.on ? place(b.word[1], n_w) : n_w / 2) - c->pad;
        const bool inside = i >= 0 && i < c->in_h && j >= 0 && j < c->in_w;
        const float want = inside ? input[(plane * c->in_h + i) * c->in_w + j] : 0.0f;
        assert_true(first[k] == want);
    }
}

static void test_crop(void **state)
{
    (void)state;
    const struct tdbg_augment random = {true, 0x123456789abcdef0u, 2, ids};
    const struct {
        struct tdbg_crop c;
        uint64_t golden;
    } cases[] = {
        {{SAMPLES, 3, 12, 14, 12, 14, 4, random}, 0x72ed171a46dfa31d},
        {{SAMPLES, 1, 28, 28, 24, 20, 0, random}, 0x3efd97526697fa8d},
        {{SAMPLES, 2, 5, 3, 20, 17, 9, random}, 0x6d964ba8ec1bde70},
        {{SAMPLES, 3, 12, 15, 7, 6, 0, {0}}, 0xa6352b31d19cd17d},
        {{SAMPLES, 3, 12, 15, 13, 18, 2, {0}}, 0xf346d50009e7a2ca},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const struct tdbg_crop *c = &cases[k].c;
        const int64_t elems = c->samples * c->planes * c->out_h * c->out_w;
        expect_golden(on_every_cpu(run_crop, c, elems), cases[k].golden, "crop");
        check_crop(c);
    }
}

static void test_flip(void **state)
{
    (void)state;
    const float shares[] = {0.0f, 0.5f, 1.0f};
    const uint64_t golden[] = {0x58a8993240de19b4, 0x9b97f1933639e7d5, 0x3f7167fcb6cebdac};
    for (size_t s = 0; s < 3; s++) {
        const struct tdbg_flip f = {SAMPLES, 3, 9, 31, shares[s], {true, 77, 5, ids}};
        const int64_t plane_elems = 9 * 31, elems = SAMPLES * 3 * plane_elems;
        expect_golden(on_every_cpu(run_flip, &f, elems), golden[s], "flip");
        for (int64_t k = 0; k < elems; k++) {
            const uint32_t word = words(&f.random, k / plane_elems / 3).word[0];
            const bool flips = tdbg_philox_uniform(word) < shares[s];
            const int64_t j = k % 31;
            assert_true(first[k] == input[k - j + (flips ? 30 - j : j)]);
        }
    }
    struct tdbg_flip off = {SAMPLES, 3, 9, 31, 1.0f, {0}};
    on_every_cpu(run_flip, &off, SAMPLES * 3 * 9 * 31);
    assert_memory_equal(first, input, SAMPLES * 3 * 9 * 31 * sizeof *input);
}

/* --- special values --- */

static void test_special_values(void **state)
{
    (void)state;
    static const uint32_t values[] = {0x7f800001, 0xffc12345, 0x7f800000, 0x80000000,
                                      0x00000001, 0xff800000, 0x007fffff, 0x80000001};
    for (int i = 0; i < 8; i++)
        input[i] = tdbg_bits_float(values[i]);
    const struct tdbg_flip flip = {1, 1, 1, 8, 1.0f, {true, 1, 1, ids}};
    on_every_cpu(run_flip, &flip, 8);
    for (int i = 0; i < 8; i++) /* copies keep bits */
        assert_int_equal(tdbg_float_bits(first[7 - i]), values[i]);
    const struct tdbg_resize resize = {1, 1, 8, 1, 16, false};
    on_every_cpu(run_resize, &resize, 16);
    for (int i = 0; i < 16; i++) {
        assert_true(!isnan(first[i]) || tdbg_float_bits(first[i]) == 0x7fc00000u);
        assert_true(i > 4 || isnan(first[i]));
    }
    const struct tdbg_channels gray = {1, 3, 1, false, false, true};
    on_every_cpu(run_channels, &gray, 1);
    assert_int_equal(tdbg_float_bits(first[0]), 0x7fc00000u);
    fill();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize),   cmocka_unit_test(test_resize_exact),
        cmocka_unit_test(test_channels), cmocka_unit_test(test_crop),
        cmocka_unit_test(test_flip),     cmocka_unit_test(test_special_values),
    };
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
