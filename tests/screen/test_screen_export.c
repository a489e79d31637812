/* :export ppm: which picture it is on which screen, and what it says where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static struct driver d;
static char folder[] = "/tmp/tdbg-export-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int close_driver(void **state)
{
    (void)state;
    driver_close(&d);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void export_to(const char *name)
{
    char keys[256];
    snprintf(keys, sizeof keys, ":export ppm %s<Enter>", path_of(name));
    driver_press(&d, keys);
}

/* The bytes of a file, which is removed; the caller frees them. */
static unsigned char *take(const char *name, size_t *n_bytes)
{
    enum { MOST = 4 << 20 };
    FILE *f = fopen(path_of(name), "rb");
    unsigned char *data = malloc(MOST);
    assert_non_null(f);
    *n_bytes = fread(data, 1, MOST, f);
    fclose(f);
    assert_int_equal(unlink(path_of(name)), 0);
    return data;
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* The same picture, whether or not the tensor screen is open. */
static void test_focus(void **state)
{
    size_t n_here, n_there;
    (void)state;
    driver_open(&d, &(struct fake_wish){.has_jobs = true}, 160, 24, true);
    driver_press(&d, "9G/fwd/fc2<Enter>");
    export_to("a.ppm");
    driver_expect(&d, "the heat map of fwd/fc2 at step 9 is in");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_TENSOR], 1);
    unsigned char *here = take("a.ppm", &n_here);
    driver_press(&d, "<F4>");
    export_to("b.ppm");
    driver_expect(&d, "the heat map is in");
    unsigned char *there = take("b.ppm", &n_there);
    assert_int_equal(n_here, n_there);
    assert_memory_equal(here, there, n_here);
    assert_memory_equal(here, "P6\n40 256\n255\n", 14);
    free(here);
    free(there);
    driver_press(&d, "q<F3>2s"); /* ops: of the focus there */
    export_to("c.ppm");
    driver_expect(&d, "at step 9 is in");
    free(take("c.ppm", &n_here));
}

/* Every pixel of a sample, enlarged by a whole number. */
static void test_sample(void **state)
{
    size_t n;
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){.has_jobs = true});
    driver_resize(&d, 160, 24);
    driver_press(&d, "<F6>l");
    export_to("a.ppm");
    driver_expect(&d, "the image of sample 37 is in");
    unsigned char *data = take("a.ppm", &n);
    const struct tdbg_tui_input *in = &d.app.input;
    const unsigned char *pixels =
        (const unsigned char *)in->x + (size_t)((1 - in->have_from) * 28 * 28);
    enum { TIMES = 256 / 28, SIDE = 28 * TIMES, HEAD = 15 };
    assert_memory_equal(data, "P6\n252 252\n255\n", HEAD);
    assert_int_equal(n, HEAD + SIDE * SIDE * 3);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE * 3; x++)
            assert_int_equal(data[HEAD + (size_t)y * SIDE * 3 + (size_t)x],
                             pixels[y / TIMES * 28 + x / 3 / TIMES]);
    }
    free(data);
    driver_press(&d, "v"); /* input/x: from its least value to its largest */
    export_to("b.ppm");
    driver_expect(&d, "the image of sample 37 is in");
    free(take("b.ppm", &n));
    driver_close(&d);
    driver_open(&d, &(struct fake_wish){.samples = FAKE_COLOUR_IMAGES}, 160, 24, true);
    driver_press(&d, "<F6>");
    export_to("c.ppm");
    data = take("c.ppm", &n);
    const unsigned char *planes = d.app.input.x;
    for (int i = 0; i < 3; i++)
        assert_int_equal(data[15 + (256 * 100 + 200) * 3 + i],
                         planes[i * 256 + 100 / 16 * 16 + 200 / 16]);
    free(data);
}

static void test_none(void **state)
{
    (void)state;
    driver_open(&d, &(struct fake_wish){.samples = FAKE_TOKENS, .has_jobs = true}, 160, 24, true);
    driver_press(&d, "<F6>");
    export_to("a.ppm");
    driver_expect(&d, "the samples are no images");
    driver_close(&d);
    driver_open(&d, &(struct fake_wish){0}, 160, 24, true);
    export_to("a.ppm");
    driver_expect(&d, "nothing is computed here");
    driver_press(&d, "<F6>v");
    export_to("a.ppm");
    driver_expect(&d, "the image is not there: nothing computes it here");
    driver_press(&d, "<F4>");
    export_to("a.ppm");
    driver_expect(&d, "the values are not there: values are not computed here");
    export_to("a.npy");
    driver_expect(&d, "the name of a picture ends in .ppm");
    driver_close(&d);
    driver_open(&d, &(struct fake_wish){.no_sites = true, .has_jobs = true}, 160, 24, true);
    export_to("a.ppm");
    driver_expect(&d, "there is no tensor to make a picture of");
    assert_false(is_there("a.ppm"));
}

/* No file is overwritten, which is said before anything is computed; what takes long can be given
 * up. */
static void test_waits(void **state)
{
    size_t n;
    (void)state;
    driver_open(&d, &(struct fake_wish){.has_jobs = true}, 160, 24, true);
    driver_press(&d, "/fwd/fc2<Enter>");
    export_to("a.ppm");
    export_to("a.ppm");
    driver_expect(&d, "a.ppm exists");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_TENSOR], 1);
    free(take("a.ppm", &n));
    d.jobs.holds = true;
    export_to("b.ppm");
    assert_int_equal(d.app.commander.reply.verdict, TDBG_VERDICT_PENDING);
    driver_press(&d, "<^C>");
    assert_int_equal(d.app.commander.reply.verdict, TDBG_VERDICT_FAULT);
    d.jobs.holds = false;
    driver_press(&d, "n");
    assert_false(is_there("b.ppm"));
    d.jobs.holds = true; /* the tensor screen waits for its own */
    driver_press(&d, "<F4>");
    export_to("b.ppm");
    driver_expect(&d, "the values are not there yet");
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_focus, close_driver),
        cmocka_unit_test_teardown(test_sample, close_driver),
        cmocka_unit_test_teardown(test_none, close_driver),
        cmocka_unit_test_teardown(test_waits, close_driver),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
