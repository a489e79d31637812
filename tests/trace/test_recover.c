/* Recovering traces: cut off, overwritten, killed and hostile ones. What the recovered file holds
 * is compared with what was recorded, and the original has to be there still. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/hdf5_util.h"
#include "trace/recover.h"
#include "trace/trailer.h"
#include "tests/trace/damage_tools.h"

enum { BLOCK_BYTES = 4096, STEPS = 40 };

static char dir[] = "/tmp/tdbg-recover-XXXXXX", path[64], kept[80], other[64];
static struct maker maker;

static void make(uint64_t seed, int64_t steps)
{
    maker_make(&maker, seed, &(struct maker_wish){.lanes = 2, .accumulate = 2, .steps = steps});
}

/* A closed trace, and one as a killed writer leaves it, in bytes. */
static struct file_bytes closed_trace(uint64_t seed)
{
    make(seed, STEPS);
    maker_write(&maker, path);
    return load_file(path);
}

static struct file_bytes killed_trace(uint64_t seed, int64_t *durable)
{
    make(seed, STEPS);
    struct tdbg_trace_writer *w = maker_write_open(&maker, other);
    *durable = tdbg_trace_writer_durable(w) - maker.first_step + 1;
    struct file_bytes bytes = load_file(other);
    assert_int_equal(tdbg_trace_writer_abandon(w, NULL), TDBG_OK);
    unlink(other);
    return bytes;
}

static enum tdbg_status recover(struct tdbg_recover_report *report)
{
    struct tdbg_err err = {0};
    unlink(kept);
    enum tdbg_status st = tdbg_recover(path, &(struct tdbg_recover_options){0}, report, &err);
    assert_int_equal(st != TDBG_OK, err.message != NULL);
    tdbg_err_clear(&err);
    return st;
}

/* Has to succeed in that way; returns the number of steps, which are sound. */
static int64_t recover_soundly(enum tdbg_recover_outcome outcome, int64_t least)
{
    struct tdbg_recover_report report;
    assert_int_equal(recover(&report), TDBG_OK);
    assert_int_equal(report.outcome, outcome);
    int64_t n = assert_sound(&maker, path, least);
    assert_int_equal(report.n_steps, n);
    tdbg_recover_clear(&report);
    assert_int_equal(recover(&report), TDBG_OK); /* there is nothing more to do */
    assert_int_equal(report.outcome, TDBG_RECOVER_NOTHING);
    tdbg_recover_clear(&report);
    return n;
}

static struct file_bytes copy_of(struct file_bytes b)
{
    struct file_bytes copy = {malloc(b.n + 1), b.n};
    memcpy(copy.data, b.data, b.n);
    return copy;
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    struct file_bytes bytes = closed_trace(1);
    assert_int_equal(recover_soundly(TDBG_RECOVER_NOTHING, STEPS), STEPS);
    assert_file_is(path, bytes);
    free(bytes.data);
}

/* Only tdbg and SWMR readers open what a killed writer leaves; afterwards everybody does. */
static void test_killed_but_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        int64_t durable;
        struct file_bytes bytes = killed_trace(seed, &durable);
        save_file(path, bytes);
        assert_true(H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT) < 0);
        assert_int_equal(recover_soundly(TDBG_RECOVER_CLEARED, durable), durable);
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(file >= 0);
        H5Fclose(file);
        free(bytes.data);
    }
}

/* With an output the original is not touched, whatever it needs. */
static void test_output(void **state)
{
    (void)state;
    int64_t durable;
    for (int torn = 0; torn < 2; torn++) {
        struct file_bytes bytes = killed_trace(3, &durable);
        struct tdbg_recover_report report;
        struct tdbg_err err = {0};
        if (torn)
            zero_bytes(bytes, 0, BLOCK_BYTES);
        save_file(path, bytes);
        unlink(other);
        const struct tdbg_recover_options options = {.output = other};
        assert_int_equal(tdbg_recover(path, &options, &report, NULL), TDBG_OK);
        assert_int_equal(report.outcome, torn ? TDBG_RECOVER_REBUILT : TDBG_RECOVER_CLEARED);
        assert_string_equal(report.result, other);
        assert_null(report.kept);
        tdbg_recover_clear(&report);
        assert_file_is(path, bytes);
        assert_int_equal(assert_sound(&maker, other, durable), durable);
        assert_int_equal(tdbg_recover(path, &options, &report, &err), TDBG_USAGE);
        assert_non_null(strstr(err.message, "exists already"));
        tdbg_recover_clear(&report);
        tdbg_err_clear(&err);
        free(bytes.data);
        unlink(other);
    }
}

/* The shorter a file, the fewer steps; what is recovered is always whole. */
static void test_truncated(void **state)
{
    (void)state;
    enum { CUTS = 40 };
    struct file_bytes bytes = closed_trace(5);
    int64_t last = 0;
    for (size_t i = 1; i <= CUTS; i++) {
        struct tdbg_recover_report report;
        struct file_bytes part = {bytes.data, bytes.n * i / CUTS - (i == CUTS)};
        save_file(path, part);
        enum tdbg_status st = recover(&report);
        if (st == TDBG_OK) {
            assert_int_equal(report.outcome, TDBG_RECOVER_REBUILT);
            assert_string_equal(report.kept, kept);
            assert_file_is(kept, part);
            int64_t n = assert_sound(&maker, path, last);
            assert_int_equal(report.n_steps, n);
            assert_int_equal(report.steps_damaged, 0);
            last = n;
        } else {
            assert_int_equal(st, TDBG_NO_TRACE);
            assert_int_equal(last, 0);
            assert_file_is(path, part);
        }
        tdbg_recover_clear(&report);
    }
    assert_true(last >= STEPS - 16); /* the last byte is that of the last chunk of rows */
    free(bytes.data);
}

/* One block of the file is zero: of metadata, and nothing is lost; of chunks, and what else there
 * is can be read. */
static void overwrite_everywhere(struct file_bytes bytes, int64_t n_steps, bool is_closed)
{
    struct tdbg_chunk_list list;
    assert_int_equal(tdbg_scan_chunks(bytes.data, bytes.n, NULL, NULL, &list, NULL), TDBG_OK);
    size_t n_blocks = (bytes.n + BLOCK_BYTES - 1) / BLOCK_BYTES, n_rebuilt = 0;
    for (size_t i = 0; i < n_blocks; i += 1 + n_blocks / 50) {
        struct tdbg_recover_report report;
        struct file_bytes torn = copy_of(bytes);
        zero_bytes(torn, i * BLOCK_BYTES, BLOCK_BYTES);
        save_file(path, torn);
        enum tdbg_status st = recover(&report);
        if (chunk_at(&list, i * BLOCK_BYTES, BLOCK_BYTES) < 0) {
            assert_int_equal(st, TDBG_OK);
            assert_int_equal(assert_sound(&maker, path, n_steps), n_steps);
        } else if (st == TDBG_OK) {
            int64_t n = assert_honest(&maker, path);
            assert_int_equal(report.n_steps, n);
            assert_true(!is_closed || n == n_steps || report.outcome == TDBG_RECOVER_REBUILT);
        } else {
            assert_int_equal(st, TDBG_NO_TRACE);
            assert_file_is(path, torn);
        }
        n_rebuilt += st == TDBG_OK && report.outcome == TDBG_RECOVER_REBUILT;
        tdbg_recover_clear(&report);
        free(torn.data);
    }
    assert_true(n_rebuilt > 3);
    tdbg_chunk_list_free(&list);
}

static void test_overwritten(void **state)
{
    (void)state;
    int64_t durable;
    struct file_bytes bytes = closed_trace(7);
    overwrite_everywhere(bytes, STEPS, true);
    free(bytes.data);
    bytes = killed_trace(7, &durable);
    overwrite_everywhere(bytes, durable, false);
    free(bytes.data);
}

static void test_no_superblock(void **state)
{
    (void)state;
    struct file_bytes bytes = closed_trace(9);
    zero_bytes(bytes, 0, 48);
    save_file(path, bytes);
    assert_int_equal(recover_soundly(TDBG_RECOVER_REBUILT, STEPS), STEPS);
    /* and once more from what was recovered */
    struct file_bytes again = load_file(path);
    zero_bytes(again, 0, 48);
    save_file(path, again);
    assert_int_equal(recover_soundly(TDBG_RECOVER_REBUILT, STEPS), STEPS);
    free(bytes.data);
    free(again.data);
}

/* The child records, says after each flush how many steps are durable, and is killed once it has
 * said so `kills_at` times, wherever it then is; or it runs into a limit on the size of files. */
static int64_t run_and_kill(int kills_at, rlim_t most_bytes)
{
    int pipes[2], status;
    int64_t said = 0, durable = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {most_bytes, most_bytes}, no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (most_bytes > 0)
            setrlimit(RLIMIT_FSIZE, &limit);
        struct tdbg_trace_writer *w = maker_create(&maker, path);
        for (int64_t i = 0; i < maker.n_steps; i++) {
            maker_write_step(&maker, w, maker.first_step + i);
            if (maker_random(&maker, 77, i, 0) % 3 == 0 &&
                tdbg_trace_writer_flush(w, NULL) != TDBG_OK)
                _exit(1);
            int64_t n = tdbg_trace_writer_durable(w) - maker.first_step + 1;
            if (write(pipes[1], &n, sizeof n) != sizeof n)
                _exit(1);
        }
        _exit(0); /* without closing: as good as killed */
    }
    close(pipes[1]);
    for (int n = 0; read(pipes[0], &said, sizeof said) == sizeof said; n++) {
        durable = said;
        if (n == kills_at)
            kill(child, SIGKILL);
    }
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return durable;
}

static void check_killed(int64_t durable)
{
    struct tdbg_recover_report report;
    enum tdbg_status st = recover(&report);
    if (durable > 0) {
        assert_int_equal(st, TDBG_OK);
        assert_sound(&maker, path, durable);
    } else {
        assert_true(st == TDBG_OK || st == TDBG_NO_TRACE);
    }
    tdbg_recover_clear(&report);
}

static void test_killed(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        make(20 + (uint64_t)i, STEPS);
        check_killed(run_and_kill((int)(maker_random(&maker, 78, i, 0) % STEPS), 0));
    }
}

/* In the middle of a write: the kernel ends the process there. */
static void test_killed_in_a_write(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        maker_make(&maker, 50 + i, &(struct maker_wish){.steps = 4, .large = true});
        rlim_t most = (6 << 20) + (rlim_t)(maker_random(&maker, 79, (int64_t)i, 0) % (30 << 20));
        check_killed(run_and_kill(-1, most));
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct tdbg_recover_report report;
    struct tdbg_err err = {0};
    const struct tdbg_recover_options options = {0};
    make(3, 5);
    struct tdbg_trace_writer *w = maker_write_open(&maker, path);
    assert_int_equal(tdbg_recover(path, &options, &report, &err), TDBG_USAGE);
    assert_non_null(strstr(err.message, "is being recorded"));
    tdbg_recover_clear(&report);
    assert_int_equal(tdbg_trace_writer_close(w, NULL), TDBG_OK);

    struct file_bytes bytes = load_file(path);
    zero_bytes(bytes, 0, 48);
    save_file(path, bytes);
    save_file(kept, bytes);
    assert_int_equal(tdbg_recover(path, &options, &report, &err), TDBG_USAGE);
    assert_non_null(strstr(err.message, "trace.h5.damaged exists already"));
    tdbg_recover_clear(&report);
    assert_file_is(path, bytes);

    unlink(kept);
    unlink(path);
    assert_int_equal(tdbg_recover(path, &options, &report, &err), TDBG_NO_TRACE);
    assert_non_null(strstr(err.message, "No such file"));
    tdbg_recover_clear(&report);
    tdbg_err_clear(&err);
    free(bytes.data);
}

/* Nothing that could be recovered: the file stays as it is, and nothing is left behind. */
static void test_hopeless(void **state)
{
    (void)state;
    struct tdbg_recover_report report;
    make(3, 5);
    assert_int_equal(tdbg_trace_writer_abandon(maker_create(&maker, path), NULL), TDBG_OK);
    struct file_bytes no_step = load_file(path);
    struct file_bytes others[] = {
        no_step, {(unsigned char *)"seed = 42;\n", 11}, {(unsigned char *)"", 0}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        save_file(path, others[i]);
        assert_int_equal(recover(&report), TDBG_NO_TRACE);
        assert_file_is(path, others[i]);
        tdbg_recover_clear(&report);
    }
    free(no_step.data);
    DIR *folder = opendir(dir);
    for (struct dirent *e; (e = readdir(folder)) != NULL;)
        assert_true(e->d_name[0] == '.' || strcmp(e->d_name, "trace.h5") == 0 ||
                    strcmp(e->d_name, "stderr") == 0);
    closedir(folder);
}

/* Appends a chunk that has a right checksum and says anything. */
static void append_chunk(struct file_bytes *b, uint32_t dataset, uint64_t first, uint32_t n_elems,
                         uint32_t bytes)
{
    static const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    b->data = realloc(b->data, b->n + bytes + TDBG_TRAILER_BYTES);
    memset(b->data + b->n, 7, bytes);
    memcpy(b->data + b->n, magic, sizeof magic);
    const struct tdbg_trailer t = {dataset, bytes, first, n_elems, UINT32_MAX, 0};
    tdbg_trailer_put(b->data + b->n, &t);
    b->n += bytes + TDBG_TRAILER_BYTES;
}

static const uint64_t hostile_firsts[] = {
    1, 16, 640, 1 << 20, UINT32_MAX, INT64_MAX - 1, (uint64_t)INT64_MAX + 1, UINT64_MAX - 15,
};

/* Chunks of every dataset in places that nothing ever has, and of datasets that there are not. */
static void test_hostile_places(void **state)
{
    (void)state;
    struct file_bytes bytes = closed_trace(11);
    struct tdbg_chunk_list list;
    struct tdbg_recover_report report;
    assert_int_equal(tdbg_scan_chunks(bytes.data, bytes.n, NULL, NULL, &list, NULL), TDBG_OK);
    for (size_t k = 0; k < sizeof hostile_firsts / sizeof *hostile_firsts; k++) {
        struct file_bytes hostile = copy_of(bytes);
        zero_bytes(hostile, 0, 48);
        for (size_t i = 0; i < list.n_items; i++) {
            uint32_t dataset = list.items[i].dataset;
            if (i > 0 && dataset == list.items[i - 1].dataset)
                continue;
            if (dataset != TDBG_TRAILER_SKELETON || k % 2)
                append_chunk(&hostile, dataset, hostile_firsts[k], UINT32_MAX >> k, 60);
            append_chunk(&hostile, dataset ^ 0x55, 0, 1, 60);
        }
        save_file(path, hostile);
        enum tdbg_status st = recover(&report);
        if (st == TDBG_OK) {
            assert_true(report.chunks_unplaced > 0);
            if (hostile_firsts[k] > 640) /* none that takes the place of a real one */
                assert_int_equal(assert_sound(&maker, path, STEPS), STEPS);
        } else {
            assert_int_equal(st, TDBG_NO_TRACE);
        }
        tdbg_recover_clear(&report);
        free(hostile.data);
    }
    tdbg_chunk_list_free(&list);
    free(bytes.data);
}

/* What looks like chunks inside of a chunk does not count, and a file of nothing but trailers is
 * given up. */
static void test_hostile_scan(void **state)
{
    (void)state;
    struct tdbg_chunk_list list;
    struct file_bytes b = {0};
    append_chunk(&b, 1, 0, 1, 60);
    append_chunk(&b, 2, 0, 1, 70);
    const struct tdbg_trailer outer = {3, (uint32_t)b.n, 0, 1, 0, 0};
    b.data = realloc(b.data, b.n + TDBG_TRAILER_BYTES);
    tdbg_trailer_put(b.data, &outer);
    b.n += TDBG_TRAILER_BYTES;
    assert_int_equal(tdbg_scan_chunks(b.data, b.n, NULL, NULL, &list, NULL), TDBG_OK);
    assert_int_equal(list.n_items, 1);
    assert_int_equal(list.items[0].dataset, 3);
    assert_int_equal(list.n_damaged, 0);
    tdbg_chunk_list_free(&list);
    b.data[64] ^= 1; /* now the outer one is damaged, and the inner ones are all there is */
    assert_int_equal(tdbg_scan_chunks(b.data, b.n, NULL, NULL, &list, NULL), TDBG_OK);
    assert_true(list.n_items >= 1 && list.n_damaged >= 1);
    tdbg_chunk_list_free(&list);

    b.n = 4 << 20;
    b.data = realloc(b.data, b.n);
    for (size_t at = 0; at < 2; at++)
        append_chunk(&b, 1, at, 1, 60);
    for (size_t at = 4096; at + 4096 < 4 << 20; at += TDBG_TRAILER_BYTES) {
        const uint32_t head[4] = {0x184d2a5d, 32, 1, (uint32_t)at}; /* all of what is before it */
        memcpy(b.data + at, head, sizeof head);
    }
    memcpy(b.data, "\x28\xb5\x2f\xfd", 4);
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_scan_chunks(b.data, b.n, NULL, NULL, &list, &err), TDBG_DAMAGED);
    assert_non_null(strstr(err.message, "false trailers"));
    tdbg_chunk_list_free(&list);
    tdbg_err_clear(&err);
    free(b.data);
}

/* For builds with AddressSanitizer: HDF5 1.10 loses a few bytes of an object header whose checksum
 * is wrong. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\n";
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
    const char *const files[] = {path, kept, other};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),  cmocka_unit_test(test_killed_but_whole),
        cmocka_unit_test(test_output),         cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_overwritten),    cmocka_unit_test(test_no_superblock),
        cmocka_unit_test(test_killed),         cmocka_unit_test(test_killed_in_a_write),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_hopeless),
        cmocka_unit_test(test_hostile_places), cmocka_unit_test(test_hostile_scan),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    snprintf(kept, sizeof kept, "%s.damaged", path);
    snprintf(other, sizeof other, "%s/other.h5", dir);
    return cmocka_run_group_tests(tests, begin, end);
}
