/* Damage to files, and what is left of a trace. See damage_tools.h. */
#include "tests/trace/damage_tools.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/check_file.h"
#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/reader.h"
#include "trace/trailer.h"

struct file_bytes load_file(const char *path)
{
    struct file_bytes b = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    b.n = (size_t)ftell(f);
    rewind(f);
    b.data = malloc(b.n + 1);
    assert_int_equal(fread(b.data, 1, b.n, f), b.n);
    fclose(f);
    return b;
}

void save_file(const char *path, struct file_bytes b)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.n, f), b.n);
    assert_int_equal(fclose(f), 0);
}

void assert_file_is(const char *path, struct file_bytes want)
{
    struct file_bytes have = load_file(path);
    assert_int_equal(have.n, want.n);
    assert_memory_equal(have.data, want.data, want.n);
    free(have.data);
}

void zero_bytes(struct file_bytes b, size_t at, size_t n)
{
    memset(b.data + at, 0, b.n - at < n ? b.n - at : n);
}

int64_t chunk_at(const struct tdbg_chunk_list *list, size_t at, size_t n)
{
    for (size_t i = 0; i < list->n_items; i++) {
        const struct tdbg_found_chunk *c = &list->items[i];
        if (c->offset < at + n && at < c->offset + c->bytes + TDBG_TRAILER_BYTES)
            return (int64_t)i;
    }
    return -1;
}

const char *path_of_number(const char *path, uint32_t number)
{
    static char found[256];
    struct tdbg_dataset_list list;
    struct tdbg_arena *arena = tdbg_arena_create();
    tdbg_h5_begin();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    assert_int_equal(tdbg_list_datasets(file, arena, &list, NULL), TDBG_OK);
    found[0] = 0;
    for (size_t i = 0; i < list.n_items; i++) {
        if (list.items[i].number == number)
            snprintf(found, sizeof found, "%s", list.items[i].path);
    }
    H5Fclose(file);
    tdbg_arena_destroy(arena);
    return found;
}

/* Digests of a step, where they can be read, are those of the maker's values. */
static bool digests_are_right(const struct maker *m, struct tdbg_trace *t, int64_t step)
{
    static unsigned char data[16 << 20];
    uint64_t digests[MAKER_MAX_SITES];
    if (tdbg_trace_read_digests(t, step, digests, NULL) != TDBG_OK)
        return false;
    for (int32_t i = 0; i < m->spec.n_sites; i++) {
        int64_t n;
        if (!tdbg_trace_has_digest(t, i, step, maker_evaluated(m, step)))
            continue;
        maker_values(m, i, step, data, &n);
        if (digests[i] != tdbg_digest_reference(data, m->sites[i].dtype, n))
            fail_msg("step %lld, %s: another digest", (long long)step, m->sites[i].name);
    }
    return true;
}

/* Values that can be read are those that the maker puts. Returns how many cannot. */
static int check_values(const struct maker *m, struct tdbg_trace *t, int64_t step)
{
    int n_unreadable = 0;
    static unsigned char have[16 << 20], want[16 << 20];
    for (int32_t i = 0; i < m->spec.n_sites; i++) {
        int64_t n, n_want;
        if (!tdbg_trace_has_values(t, i, step, maker_evaluated(m, step)))
            continue;
        if (tdbg_trace_read_values(t, step, i, have, &n, NULL) != TDBG_OK) {
            n_unreadable++;
            continue;
        }
        maker_values(m, i, step, want, &n_want);
        size_t bytes = (size_t)n * tdbg_dtype_bytes(m->sites[i].dtype);
        assert_int_equal(n, n_want);
        if (memcmp(have, want, bytes) != 0)
            fail_msg("step %lld, %s: other values", (long long)step, m->sites[i].name);
    }
    return n_unreadable;
}

static struct tdbg_trace *open_trace(const char *path)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    if (tdbg_trace_open(path, &t, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    return t;
}

int64_t assert_sound(const struct maker *m, const char *path, int64_t least)
{
    struct tdbg_trace *t = open_trace(path);
    struct tdbg_file_check check;
    int64_t first = tdbg_trace_first_step(t), n = tdbg_trace_n_steps(t);
    assert_int_equal(first, m->first_step);
    assert_true(n <= m->n_steps);
    if (n < least)
        fail_msg("%lld steps of at least %lld", (long long)n, (long long)least);
    for (int64_t step = first; step < first + n; step++)
        assert_true(digests_are_right(m, t, step));
    assert_int_equal(tdbg_check_file(t, NULL, NULL, &check, NULL), TDBG_OK);
    if (check.n_faults > 0)
        fail_msg("step %lld: %s", (long long)check.faults[0].first_step, check.faults[0].reason);
    tdbg_file_check_clear(&check);
    tdbg_trace_close(t);
    return n;
}

void assert_all_readable(const struct maker *m, const char *path, int64_t n_steps, const char *what)
{
    struct tdbg_trace *t = open_trace(path);
    struct tdbg_file_check check;
    const int64_t first = tdbg_trace_first_step(t);
    assert_int_equal(first, m->first_step);
    assert_int_equal(tdbg_trace_n_steps(t), n_steps);
    for (int64_t step = first; step < first + n_steps; step++) {
        assert_true(digests_are_right(m, t, step));
        assert_int_equal(check_values(m, t, step), 0);
    }
    assert_int_equal(tdbg_check_file(t, NULL, NULL, &check, NULL), TDBG_OK);
    assert_true(check.n_faults > 0);
    assert_int_equal(check.damaged_steps, 0);
    for (int64_t i = 0; i < check.n_faults; i++) {
        assert_int_equal(check.faults[i].first_step, -1);
        if (!strstr(check.faults[i].reason, what))
            fail_msg("%s", check.faults[i].reason);
    }
    const char *file, *text = tdbg_trace_damage(t, 0, &file);
    assert_non_null(text);
    assert_non_null(strstr(text, what));
    assert_string_equal(file, path);
    tdbg_file_check_clear(&check);
    tdbg_trace_close(t);
}

int64_t assert_honest(const struct maker *m, const char *path)
{
    struct tdbg_trace *t = open_trace(path);
    int64_t n = tdbg_trace_n_steps(t);
    assert_int_equal(tdbg_trace_first_step(t), m->first_step);
    assert_true(n <= m->n_steps);
    for (int64_t step = m->first_step; step < m->first_step + n; step++) {
        digests_are_right(m, t, step);
        check_values(m, t, step);
    }
    tdbg_trace_close(t);
    return n;
}
