/* Traces whose metadata is torn, as a kill in the middle of a write leaves it: the index of a
 * dataset's chunks, or a dataset's header. All that was announced is read all the same and nothing
 * is made up; that the file is damaged is said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/trace/damage_tools.h"
#include "trace/chunked.h"
#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/reader.h"
#include "trace/recover.h"
#include "trace/trailer.h"

enum { STEPS = 150, MOST_PLACES = 1024, MOST_BYTES = 16 << 20 };

static char dir[] = "/tmp/tdbg-torn-XXXXXX", path[64], good[64];
static struct maker maker;
static unsigned char want[MOST_BYTES], have[MOST_BYTES];

struct places {
    size_t at[MOST_PLACES];
    int n;
};

static void make(uint64_t seed, int64_t steps)
{
    maker_make(&maker, seed, &(struct maker_wish){.lanes = 1, .accumulate = 1, .steps = steps});
}

static struct file_bytes closed_trace(uint64_t seed, int64_t steps)
{
    make(seed, steps);
    maker_write(&maker, good);
    return load_file(good);
}

static struct file_bytes killed_trace(uint64_t seed, int64_t *durable)
{
    make(seed, STEPS);
    struct tdbg_trace_writer *w = maker_write_open(&maker, path);
    *durable = tdbg_trace_writer_durable(w) - maker.first_step + 1;
    struct file_bytes bytes = load_file(path);
    assert_int_equal(tdbg_trace_writer_abandon(w, NULL), TDBG_OK);
    unlink(path);
    save_file(good, bytes);
    return bytes;
}

/* Where blocks with that signature are, outside of chunks. */
static void find_blocks(struct file_bytes b, const char *signature, struct places *p)
{
    struct tdbg_chunk_list list;
    assert_int_equal(tdbg_scan_chunks(b.data, b.n, NULL, NULL, &list, NULL), TDBG_OK);
    for (size_t i = 0; i + 24 < b.n; i++) {
        if (memcmp(b.data + i, signature, 4) == 0 && chunk_at(&list, i, 4) < 0) {
            assert_true(p->n < MOST_PLACES);
            p->at[p->n++] = i;
        }
    }
    tdbg_chunk_list_free(&list);
}

/* Headers of the datasets that are written to while it is recorded. */
static void find_headers(struct places *p)
{
    struct tdbg_dataset_list list;
    struct tdbg_arena *arena = tdbg_arena_create();
    tdbg_h5_begin();
    const hid_t file = H5Fopen(good, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    assert_int_equal(tdbg_list_datasets(file, arena, &list, NULL), TDBG_OK);
    for (size_t i = 0; i < list.n_items; i++) {
        if (list.items[i].number != TDBG_TRAILER_SKELETON)
            p->at[p->n++] = list.items[i].number;
    }
    H5Fclose(file);
    tdbg_arena_destroy(arena);
    assert_true(p->n > 10);
}

static void flip(struct file_bytes b, const struct places *p, int first, int n)
{
    for (int i = first; i < first + n; i++)
        b.data[p->at[i] + 20] ^= 0x5a;
}

static struct tdbg_trace *open_trace(const char *name)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    if (tdbg_trace_open(name, &t, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    return t;
}

/* Residuals, zeros that were never written included, and keyframes are those of the good file. */
static void assert_same_rest(struct tdbg_trace *t, struct tdbg_trace *whole)
{
    int32_t n_items;
    tdbg_trace_keyframe_items(whole, &n_items);
    const int64_t first = tdbg_trace_first_step(whole), n = tdbg_trace_n_steps(whole);
    assert_int_equal(tdbg_trace_first_step(t), first);
    assert_int_equal(tdbg_trace_n_steps(t), n);
    for (int64_t step = first; step < first + n; step++) {
        for (int32_t i = 0; i < maker.spec.n_sites; i++) {
            if (!tdbg_trace_has_residual(whole, i, step, maker_evaluated(&maker, step)))
                continue;
            const size_t bytes =
                (size_t)tdbg_site_elems(&maker.sites[i]) * tdbg_dtype_bytes(maker.sites[i].dtype);
            assert_int_equal(tdbg_trace_read_residual(whole, step, i, want, NULL),
                             tdbg_trace_read_residual(t, step, i, have, NULL));
            assert_memory_equal(have, want, bytes);
        }
        assert_int_equal(tdbg_trace_keyframe_before(t, step),
                         tdbg_trace_keyframe_before(whole, step));
        for (int32_t k = 0; k < n_items && tdbg_trace_keyframe_before(whole, step) == step; k++) {
            assert_int_equal(tdbg_trace_read_keyframe(whole, step, k, want, NULL), TDBG_OK);
            assert_int_equal(tdbg_trace_read_keyframe(t, step, k, have, NULL), TDBG_OK);
        }
    }
}

static void assert_same_sizes(struct tdbg_trace *t, struct tdbg_trace *whole)
{
    struct tdbg_trace_sizes a, b;
    assert_int_equal(tdbg_trace_read_sizes(whole, &a, NULL), TDBG_OK);
    assert_int_equal(tdbg_trace_read_sizes(t, &b, NULL), TDBG_OK);
    assert_int_equal(a.values_bytes, b.values_bytes);
    assert_int_equal(a.keyframe_bytes, b.keyframe_bytes);
    assert_int_equal(a.samples_bytes, b.samples_bytes);
    assert_int_equal(a.digest_bytes, b.digest_bytes);
}

/* Everything can be read as if nothing were torn, and what is torn is named. */
static void assert_reads_on(int64_t n_steps, const char *what)
{
    const char *file;
    assert_all_readable(&maker, path, n_steps, what);
    struct tdbg_trace *t = open_trace(path), *whole = open_trace(good);
    assert_same_rest(t, whole);
    if (tdbg_trace_is_closed(whole)) /* what was not flushed has chunks too */
        assert_same_sizes(t, whole);
    assert_null(tdbg_trace_damage(whole, 0, &file));
    tdbg_trace_close(t);
    tdbg_trace_close(whole);
}

static void tear_in_turn(struct file_bytes b, const struct places *p, int64_t n_steps,
                         const char *what)
{
    const int stride = 1 + p->n / 12;
    for (int i = 0; i < p->n; i += stride) {
        flip(b, p, i, 1);
        save_file(path, b);
        assert_reads_on(n_steps, what);
        flip(b, p, i, 1);
    }
    flip(b, p, 0, p->n); /* all of them */
    save_file(path, b);
    assert_reads_on(n_steps, what);
    flip(b, p, 0, p->n);
}

static const char *const index_blocks[] = {"EAHD", "EAIB", "EADB"};

static void tear_indexes(struct file_bytes b, int64_t n_steps)
{
    for (size_t k = 0; k < sizeof index_blocks / sizeof *index_blocks; k++) {
        struct places p = {.n = 0};
        find_blocks(b, index_blocks[k], &p);
        assert_true(p.n > 0);
        tear_in_turn(b, &p, n_steps, "the index of its chunks is damaged");
    }
}

static void test_index_of_a_closed_trace(void **state)
{
    (void)state;
    struct file_bytes bytes = closed_trace(1, STEPS);
    tear_indexes(bytes, STEPS);
    free(bytes.data);
}

static void test_index_of_a_killed_trace(void **state)
{
    (void)state;
    int64_t durable;
    struct file_bytes bytes = killed_trace(2, &durable);
    tear_indexes(bytes, durable);
    free(bytes.data);
}

/* Blocks that only long datasets have. */
static void test_large_index(void **state)
{
    enum { MANY_STEPS = 500 };
    (void)state;
    struct places p = {.n = 0};
    struct file_bytes bytes = closed_trace(7, MANY_STEPS);
    find_blocks(bytes, "EASB", &p);
    assert_true(p.n > 0);
    flip(bytes, &p, 0, p.n);
    save_file(path, bytes);
    assert_reads_on(MANY_STEPS, "the index of its chunks is damaged");
    free(bytes.data);
}

static void test_headers(void **state)
{
    (void)state;
    struct places p = {.n = 0};
    struct file_bytes bytes = closed_trace(3, STEPS);
    find_headers(&p);
    tear_in_turn(bytes, &p, STEPS, "its header is damaged");
    free(bytes.data);
}

/* What recover makes of such a file is whole. */
static void test_recovered(void **state)
{
    (void)state;
    struct places p = {.n = 0};
    int64_t durable;
    struct file_bytes bytes = killed_trace(4, &durable);
    struct tdbg_recover_report report;
    find_blocks(bytes, "EADB", &p);
    flip(bytes, &p, 0, p.n);
    save_file(path, bytes);
    assert_int_equal(tdbg_recover(path, &(struct tdbg_recover_options){0}, &report, NULL), TDBG_OK);
    assert_int_equal(report.outcome, TDBG_RECOVER_REBUILT);
    assert_int_equal(assert_sound(&maker, path, durable), durable);
    unlink(report.kept);
    tdbg_recover_clear(&report);
    free(bytes.data);
}

/* The chunk of a dataset in the middle of the run, whose value no other chunk has. */
static const struct tdbg_found_chunk *middle_chunk(const struct tdbg_chunk_list *list,
                                                   const char *prefix, char *name, size_t n_name)
{
    for (size_t i = 0; i < list->n_items; i++) {
        size_t n;
        const char *found = path_of_number(good, list->items[i].dataset);
        const struct tdbg_found_chunk *chunks =
            tdbg_chunk_list_of(list, list->items[i].dataset, &n);
        if (strncmp(found, prefix, strlen(prefix)) == 0 && n > 8) {
            snprintf(name, n_name, "%s", found);
            return &chunks[n / 2];
        }
        i = (size_t)(chunks - list->items) + n - 1;
    }
    fail_msg("no dataset in %s has many chunks", prefix);
    return NULL;
}

/* A chunk that neither the index nor a trailer leads to is lost, and so is what lies in it: an
 * error names it, and no other value is made up in its place. */
static void lose_a_chunk(const char *prefix, bool is_sparse)
{
    struct places p = {.n = 0};
    struct file_bytes bytes = closed_trace(5, STEPS);
    struct tdbg_chunk_list list;
    struct tdbg_err err = {0};
    char name[256];
    int64_t n_lost = 0;
    for (size_t k = 0; k < sizeof index_blocks / sizeof *index_blocks; k++)
        find_blocks(bytes, index_blocks[k], &p);
    assert_int_equal(tdbg_scan_chunks(bytes.data, bytes.n, NULL, NULL, &list, NULL), TDBG_OK);
    const struct tdbg_found_chunk *chunk = middle_chunk(&list, prefix, name, sizeof name);
    bytes.data[chunk->offset + chunk->bytes + TDBG_TRAILER_BYTES - 1] ^= 1; /* its checksum */
    flip(bytes, &p, 0, p.n);
    save_file(path, bytes);

    struct tdbg_trace *t = open_trace(path), *whole = open_trace(good);
    for (int64_t step = maker.first_step; step < maker.first_step + STEPS; step++) {
        for (int32_t i = 0; i < maker.spec.n_sites; i++) {
            const bool evaluated = maker_evaluated(&maker, step);
            const size_t bytes_of =
                (size_t)tdbg_site_elems(&maker.sites[i]) * tdbg_dtype_bytes(maker.sites[i].dtype);
            enum tdbg_status st, st_whole;
            if (is_sparse ? !tdbg_trace_has_residual(whole, i, step, evaluated)
                          : !tdbg_trace_has_values(whole, i, step, evaluated))
                continue;
            st_whole = is_sparse ? tdbg_trace_read_residual(whole, step, i, want, NULL)
                                 : tdbg_trace_read_values(whole, step, i, want, NULL, NULL);
            st = is_sparse ? tdbg_trace_read_residual(t, step, i, have, &err)
                           : tdbg_trace_read_values(t, step, i, have, NULL, &err);
            if (st == TDBG_DAMAGED) {
                assert_non_null(strstr(err.message, is_sparse ? "residual/" : name));
                assert_non_null(strstr(err.message, "a chunk cannot be found"));
                n_lost++;
            } else {
                assert_int_equal(st, st_whole);
                assert_true(st != TDBG_OK || memcmp(have, want, bytes_of) == 0);
            }
            tdbg_err_clear(&err);
        }
    }
    assert_true(n_lost > 0);
    assert_true(is_sparse || n_lost < STEPS);
    tdbg_trace_close(t);
    tdbg_trace_close(whole);
    tdbg_chunk_list_free(&list);
    free(bytes.data);
}

static void test_trailer_is_damaged_too(void **state)
{
    (void)state;
    lose_a_chunk("t/", false);
    lose_a_chunk("packed/", false);
}

/* Where a chunk was never written because it is all zeros, and one that is damaged could be it,
 * zeros are not taken for granted. */
static void test_zeros_are_not_made_up(void **state)
{
    (void)state;
    lose_a_chunk("t/", true);
}

/* At its end a writer has the file to itself, and says so in it. HDF5 opens no file that somebody
 * seems to write alone. */
static void test_killed_while_closing(void **state)
{
    (void)state;
    const char *file;
    struct file_bytes bytes = closed_trace(8, STEPS);
    save_file(path, bytes);
    free(bytes.data);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const hid_t fapl = tdbg_h5_write_access();
        const hid_t opened = H5Fopen(path, H5F_ACC_RDWR, fapl);
        _exit(opened >= 0 ? 0 : 1); /* without a close, as if killed */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    bytes = load_file(path);
    assert_int_equal(bytes.data[11], 1); /* the superblock's flags: written to, and not along */
    assert_true(H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT) < 0);
    assert_sound(&maker, path, STEPS);
    struct tdbg_trace *t = open_trace(path);
    assert_null(tdbg_trace_damage(t, 0, &file));
    tdbg_trace_close(t);
    assert_file_is(path, bytes); /* reading has left it alone */
    free(bytes.data);
}

/* Who is told, and how often. */
static int n_told;

static void count_told(const char *file)
{
    assert_string_equal(file, path);
    n_told++;
}

static void test_told_once(void **state)
{
    (void)state;
    struct places p = {.n = 0};
    struct file_bytes bytes = closed_trace(6, STEPS);
    find_blocks(bytes, "EAIB", &p);
    flip(bytes, &p, 0, p.n);
    save_file(path, bytes);
    tdbg_trace_on_damage(count_told);
    struct tdbg_trace *t = open_trace(path);
    uint64_t digests[MAKER_MAX_SITES];
    assert_int_equal(tdbg_trace_read_digests(t, maker.first_step, digests, NULL), TDBG_OK);
    assert_int_equal(n_told, 1);
    tdbg_trace_close(t);
    tdbg_trace_on_damage(NULL);
    free(bytes.data);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/t.h5", dir);
    snprintf(good, sizeof good, "%s/good.h5", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_of_a_closed_trace),
        cmocka_unit_test(test_index_of_a_killed_trace),
        cmocka_unit_test(test_large_index),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_recovered),
        cmocka_unit_test(test_trailer_is_damaged_too),
        cmocka_unit_test(test_zeros_are_not_made_up),
        cmocka_unit_test(test_killed_while_closing),
        cmocka_unit_test(test_told_once),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    unlink(good);
    rmdir(dir);
    return failed;
}
