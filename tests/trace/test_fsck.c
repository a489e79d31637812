/* tdbg_check_file(): a sound trace has no fault; every flipped bit in a chunk is found, and the
 * fault names the dataset, the step and the site; values, statistics, digests and chains that were
 * made to fit their checksums again are found by each other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/check_file.h"
#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/layout.h"
#include "trace/trailer.h"
#include "tests/trace/damage_tools.h"

enum { STEPS = 40, FLIPS = 200 };

static char dir[] = "/tmp/tdbg-fsck-XXXXXX", path[64];
static struct maker maker;

static struct file_bytes write_trace(uint64_t seed)
{
    maker_make(&maker, seed, &(struct maker_wish){.lanes = 2, .accumulate = 2, .steps = STEPS});
    maker_write(&maker, path);
    return load_file(path);
}

/* Checks the file; false: it could not even be opened, and the message is in `why`. */
static bool check_it(struct tdbg_file_check *check, char why[512])
{
    struct tdbg_trace *t = NULL;
    struct tdbg_err err = {0};
    enum tdbg_status st = tdbg_trace_open(path, &t, &err);
    if (st == TDBG_OK) {
        assert_int_equal(tdbg_check_file(t, NULL, NULL, check, &err), TDBG_OK);
        tdbg_trace_close(t);
        return true;
    }
    assert_int_equal(st, TDBG_DAMAGED);
    snprintf(why, 512, "%s", err.message);
    tdbg_err_clear(&err);
    return false;
}

static void test_sound(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct tdbg_file_check check;
        char why[512];
        free(write_trace(seed).data);
        assert_true(check_it(&check, why));
        assert_int_equal(check.n_faults, 0);
        assert_true(check.n_values > 0 && check.n_samples > 0);
        assert_int_equal(check.damaged_steps, 0);
        tdbg_file_check_clear(&check);
    }
}

/* What is known about a chunk from its dataset and place. */
struct target {
    char path[256];
    int64_t first_step, last_step; /* that it is about; -1: none */
    char site[256];
};

static struct target find_target(const struct tdbg_found_chunk *chunk)
{
    struct target t = {.first_step = -1, .last_step = -1};
    struct tdbg_chunked c = {.dataset = -1};
    enum tdbg_rows_rule rule;
    int32_t every = 1;
    snprintf(t.path, sizeof t.path, "%s", path_of_number(path, chunk->dataset));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_int_equal(tdbg_open_listed(file, t.path, NULL, &c, NULL), TDBG_OK);
    assert_int_equal(tdbg_rows_rule_of(&c, &rule, &every, NULL), TDBG_OK);
    int64_t row = (int64_t)(chunk->first_elem / c.row_elems);
    int64_t last = (int64_t)((chunk->first_elem + chunk->n_elems - 1) / c.row_elems);
    int64_t first_due = (maker.first_step + every - 1) / every * every;
    if (rule == TDBG_ROWS_STEPS || rule == TDBG_ROWS_CADENCE) {
        int64_t before = tdbg_layout_row(maker.first_step, first_due, every);
        t.first_step = first_due + (row - before) * every;
        t.last_step = first_due + (last - before) * every;
    }
    if (rule == TDBG_ROWS_KEYFRAMES && strcmp(t.path, "keyframe/step") != 0) {
        int64_t k = maker.spec.info.keyframe_every;
        t.first_step = (maker.first_step + k - 1) / k * k + row * k;
        t.last_step = t.first_step;
        snprintf(t.site, sizeof t.site, "state/%.200s", t.path + strlen("keyframe/"));
    }
    static const char *const groups[] = {"t/", "delta/", "residual/"};
    for (size_t g = 0; g < 3; g++) {
        if (strncmp(t.path, groups[g], strlen(groups[g])) == 0)
            snprintf(t.site, sizeof t.site, "%.200s", t.path + strlen(groups[g]));
    }
    tdbg_chunked_close(&c);
    H5Fclose(file);
    return t;
}

static bool has_site(const char *name)
{
    for (int32_t i = 0; i < maker.spec.n_sites; i++) {
        if (strcmp(maker.sites[i].name, name) == 0)
            return true;
    }
    return false;
}

/* One of the faults is about this dataset, has its steps and, where one site has it to itself, the
 * site. */
static void assert_named(const struct tdbg_file_check *check, const struct target *t)
{
    const size_t n = strlen(t->path);
    for (int64_t i = 0; i < check->n_faults; i++) {
        const struct tdbg_file_fault *f = &check->faults[i];
        bool same_path = strncmp(f->reason, t->path, n) == 0 && f->reason[n] == ':';
        bool same_step =
            t->first_step < 0 || (f->first_step <= t->last_step && f->last_step >= t->first_step);
        const char *site = f->site >= 0 ? maker.sites[f->site].name : "";
        bool same_site = !has_site(t->site) || strcmp(site, t->site) == 0;
        if (same_path && same_step && same_site)
            return;
    }
    fail_msg("%s, steps %lld to %lld, site '%s' not named; first of %lld faults: %s", t->path,
             (long long)t->first_step, (long long)t->last_step, t->site, (long long)check->n_faults,
             check->n_faults > 0 ? check->faults[0].reason : "-");
}

static void test_flipped(void **state)
{
    (void)state;
    struct file_bytes bytes = write_trace(4);
    struct tdbg_chunk_list list;
    int n_opened = 0;
    assert_int_equal(tdbg_scan_chunks(bytes.data, bytes.n, NULL, NULL, &list, NULL), TDBG_OK);
    for (int i = 0; i < FLIPS; i++) {
        struct tdbg_file_check check;
        char why[512];
        uint64_t r = maker_random(&maker, 91, i, 0);
        const struct tdbg_found_chunk *chunk = &list.items[r % list.n_items];
        save_file(path, bytes);
        struct target t = find_target(chunk);
        size_t at = chunk->offset + (size_t)(maker_random(&maker, 92, i, 0) % chunk->bytes);
        bytes.data[at] ^= (unsigned char)(1u << i % 8);
        save_file(path, bytes);
        if (check_it(&check, why)) {
            assert_named(&check, &t);
            tdbg_file_check_clear(&check);
            n_opened++;
        } else {
            assert_non_null(strstr(why, t.path));
        }
        bytes.data[at] ^= (unsigned char)(1u << i % 8);
    }
    assert_true(n_opened > FLIPS / 2);
    tdbg_chunk_list_free(&list);
    free(bytes.data);
}

/* Changes one element of a dataset and stores the chunk with right checksums. */
static void rewrite(const char *dataset, uint64_t elem, uint64_t flip)
{
    struct tdbg_chunked c = {.dataset = -1};
    struct tdbg_chunk_cache cache = {0};
    struct tdbg_chunk_io io;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    assert_int_equal(tdbg_chunk_io_init(&io, NULL), TDBG_OK);
    assert_int_equal(tdbg_open_listed(file, dataset, &cache, &c, NULL), TDBG_OK);
    uint64_t all = c.dims[0] * c.row_elems, first = elem / c.chunk_elems * c.chunk_elems;
    uint64_t n = all - first < c.chunk_elems ? all - first : c.chunk_elems;
    unsigned char *data = malloc(n * c.elem_bytes + sizeof flip);
    assert_int_equal(tdbg_chunked_read(&c, &io, first, n, data, NULL), TDBG_OK);
    for (size_t b = 0; b < sizeof flip && b < c.elem_bytes; b++)
        data[(elem - first) * c.elem_bytes + b] ^= (unsigned char)(flip >> 8 * b);
    assert_int_equal(tdbg_chunked_number(c.dataset, dataset, &c.number, NULL), TDBG_OK);
    assert_int_equal(tdbg_chunked_write(&c, &io, first, n, data, NULL), TDBG_OK);
    free(data);
    tdbg_chunked_close(&c);
    tdbg_chunk_cache_free(&cache);
    tdbg_chunk_io_free(&io);
    H5Fclose(file);
}

static int32_t stored_site(enum tdbg_store store)
{
    int32_t i = 0;
    while (maker.plans[i].store != store || maker.plans[i].value_every != 1 ||
           maker.sites[i].stage == TDBG_STAGE_EVAL || !(maker.sites[i].lane == TDBG_LANE_ALL))
        i++;
    assert_true(i < maker.spec.n_sites);
    return i;
}

static void expect_fault(int64_t step, int32_t site, const char *reason)
{
    struct tdbg_file_check check;
    char why[512];
    bool found = false;
    assert_true(check_it(&check, why));
    for (int64_t i = 0; i < check.n_faults; i++) {
        const struct tdbg_file_fault *f = &check.faults[i];
        found |= f->site == site && f->first_step <= step && f->last_step >= step &&
                 strstr(f->reason, reason) != NULL;
    }
    if (!found)
        fail_msg("wanted step %lld, site %d: %s; first of %lld faults: %s", (long long)step,
                 (int)site, reason, (long long)check.n_faults,
                 check.n_faults > 0 ? check.faults[0].reason : "-");
    tdbg_file_check_clear(&check);
}

static void test_rewritten(void **state)
{
    (void)state;
    const int64_t row = 20;
    free(write_trace(4).data);
    const int64_t step = maker.first_step + row;
    const int32_t site = stored_site(TDBG_STORE_DATASET);
    const uint64_t column = (uint64_t)row * (uint64_t)maker.spec.n_sites + (uint64_t)site;
    char dataset[256];
    snprintf(dataset, sizeof dataset, "t/%s%s%s", tdbg_stage_text(maker.sites[site].stage), "/",
             tdbg_site_tensor(&maker.sites[site]));
    rewrite(dataset, (uint64_t)(row * tdbg_site_elems(&maker.sites[site])), 1);
    expect_fault(step, site, "does not have its recorded digest");
    free(write_trace(4).data);
    rewrite("digest", column, 1);
    expect_fault(step, site, "does not have its recorded digest");
    expect_fault(step, -1, "does not follow from it");
    free(write_trace(4).data);
    rewrite("stats/zeros", column, 1);
    expect_fault(step, site, "stats: they are not those");
    free(write_trace(4).data);
    rewrite("stats/max", column, UINT64_C(1) << 63);
    expect_fault(step, site, "stats: they are not those");
    free(write_trace(4).data);
    const uint64_t n = (uint64_t)maker.spec.steps_per_zone, fewer = n ^ (n - 1);
    rewrite("zones/stats", (uint64_t)site, fewer << 32 | fewer); /* of `recorded` and `finite` */
    expect_fault(-1, -1, "zones/stats: a row is not that of its steps");
    free(write_trace(4).data);
    rewrite("zones/steps", 1, 1);
    expect_fault(-1, -1, "zones/steps: row 1 has no valid values");
    free(write_trace(4).data);
    rewrite("zones/digest", (uint64_t)maker.spec.n_sites, UINT64_C(1) << 40);
    expect_fault(-1, -1, "zones/digest: a row is not that of its steps");
}

/* Which steps can still be executed: a lost batch ends them until the next keyframe. */
static void test_executable(void **state)
{
    (void)state;
    struct tdbg_file_check check;
    char why[512];
    uint64_t seed = 1;
    do
        free(write_trace(seed++).data);
    while (maker.spec.info.keyframe_every < 4 || maker.first_step > 0);
    const int64_t every = maker.spec.info.keyframe_every, lost = every + 1;
    assert_true(check_it(&check, why));
    assert_null(check.not_possible);
    assert_int_equal(check.n_sound, 1);
    assert_int_equal(check.sound[0].first, 0);
    assert_int_equal(check.sound[0].last, STEPS - 1);
    tdbg_file_check_clear(&check);
    rewrite("samples/train/batch", (uint64_t)(lost * maker.spec.info.batch), UINT64_C(1) << 62);
    assert_true(check_it(&check, why));
    if (maker_samples(&maker, lost) > 0) {
        assert_int_equal(check.n_sound, 2);
        assert_int_equal(check.sound[0].last, lost - 1);
        assert_int_equal(check.sound[1].first, 2 * every);
        assert_int_equal(check.sound[1].last, STEPS - 1);
    }
    tdbg_file_check_clear(&check);
}

/* A closed file whose /steps was cut short. */
static void test_rows(void **state)
{
    (void)state;
    struct tdbg_file_check check;
    char why[512];
    free(write_trace(2).data);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), steps = H5Dopen2(file, "steps", 0);
    assert_true(H5Dset_extent(steps, (hsize_t[1]){STEPS - 8}) >= 0);
    H5Dclose(steps);
    H5Fclose(file);
    assert_true(check_it(&check, why));
    assert_int_equal(check.n_faults, 1);
    assert_non_null(
        strstr(check.faults[0].reason, "digest has 40 rows, but another table only 32"));
    assert_int_equal(check.faults[0].first_step, -1);
    tdbg_file_check_clear(&check);
}

static int begin(void **state)
{
    (void)state;
    tdbg_h5_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),     cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_rewritten), cmocka_unit_test(test_executable),
        cmocka_unit_test(test_rows),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    return cmocka_run_group_tests(tests, begin, end);
}
