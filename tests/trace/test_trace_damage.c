/* Damaged, foreign, cut-off and newer files: the error has the right status and names what is
 * wrong, and nothing is printed. Random damage is in tests/fuzz/fuzz_trace.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/hdf5_util.h"
#include "trace/reader.h"
#include "tests/trace/trace_maker.h"

static char dir[] = "/tmp/tdbg-damage-XXXXXX", path[64], printed[64];
static struct maker maker;

static void write_trace(void)
{
    maker_make(&maker, 3, &(struct maker_wish){.lanes = 2, .accumulate = 1, .steps = 20});
    maker_write(&maker, path);
}

static void write_bytes(const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

/* Opening has to fail with this status and a message that holds the words. */
static void expect_open(enum tdbg_status want, const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    enum tdbg_status st = tdbg_trace_open(path, &t, &err);
    assert_null(t);
    assert_non_null(err.message);
    if (st != want || !strstr(err.message, words) || !strstr(err.message, path))
        fail_msg("%s: %s (wanted %s: %s)", tdbg_status_text(st), err.message,
                 tdbg_status_text(want), words);
    tdbg_err_clear(&err);
}

static hid_t reopen(void)
{
    tdbg_h5_begin();
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void test_foreign(void **state)
{
    (void)state;
    unlink(path);
    expect_open(TDBG_NO_TRACE, "No such file");
    mkdir(path, 0700);
    expect_open(TDBG_NO_TRACE, "it is a directory");
    rmdir(path);
    write_bytes("", 0);
    expect_open(TDBG_NO_TRACE, "it is empty");
    write_bytes("seed = 42;\n", 11);
    expect_open(TDBG_NO_TRACE, "it is not an HDF5 file");
    tdbg_h5_begin();
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_open(TDBG_NO_TRACE, "it is an HDF5 file but not a trace");
}

static void set_ints(const char *name, int64_t a, int64_t b)
{
    const int64_t values[2] = {a, b};
    hid_t file = reopen(), attr = H5Aopen(file, name, H5P_DEFAULT);
    assert_true(H5Awrite(attr, H5T_STD_I64LE, values) >= 0);
    H5Aclose(attr);
    H5Fclose(file);
}

static void test_versions(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    write_trace();
    set_ints("schema", TDBG_SCHEMA_MAJOR + 1, 0);
    expect_open(TDBG_TOO_NEW, "schema 2.0 (written by tdbg 0.1.0)");
    set_ints("schema", 0, 0);
    expect_open(TDBG_DAMAGED, "schema 0.0");
    set_ints("schema", TDBG_SCHEMA_MAJOR, TDBG_SCHEMA_MINOR + 1); /* what is new can be ignored */
    assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
    assert_true(tdbg_trace_is_closed(t));
    tdbg_trace_close(t);
    set_ints("closed", 0, 0);
    assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
    assert_false(tdbg_trace_is_closed(t));
    tdbg_trace_close(t);
}

/* Puts n numbers in the place of /steps' chain_before; n = 0: only takes it away. */
static void set_chain_before(hsize_t n, hid_t type)
{
    static const uint64_t numbers[32] = {1, 2, 3};
    hid_t file = reopen(), steps = H5Dopen2(file, "steps", H5P_DEFAULT);
    assert_true(H5Adelete(steps, "chain_before") >= 0);
    if (n > 0) {
        hid_t space = H5Screate_simple(1, &n, NULL);
        hid_t attr = H5Acreate2(steps, "chain_before", type, space, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Awrite(attr, type, numbers) >= 0);
        H5Aclose(attr);
        H5Sclose(space);
    }
    H5Dclose(steps);
    H5Fclose(file);
}

/* A file of schema 1.0 does not have it; one that has it is checked. */
static void test_chain_before(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    uint64_t had[TDBG_CHAIN_COUNT], have[TDBG_CHAIN_COUNT];
    write_trace();
    assert_null(maker.spec.chain_before);
    assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
    tdbg_trace_chain_before(t, had);
    tdbg_trace_close(t);
    set_chain_before(0, -1);
    set_ints("schema", TDBG_SCHEMA_MAJOR, 0);
    assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
    tdbg_trace_chain_before(t, have);
    tdbg_trace_close(t);
    assert_memory_equal(had, have, sizeof had);
    write_trace();
    set_chain_before(TDBG_CHAIN_COUNT, H5T_STD_I64LE);
    expect_open(TDBG_DAMAGED, "steps: attribute chain_before");
    set_chain_before(TDBG_CHAIN_COUNT - 1, H5T_STD_U64LE);
    expect_open(TDBG_DAMAGED, "steps: attribute chain_before");
    set_chain_before(TDBG_CHAIN_COUNT, H5T_STD_U64LE);
    assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
    tdbg_trace_chain_before(t, have);
    assert_true(have[0] == 1 && have[2] == 3);
    tdbg_trace_close(t);
}

static void test_no_step(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w;
    maker_make(&maker, 3, NULL);
    assert_int_equal(tdbg_trace_writer_create(path, true, &maker.spec, &w, &err), TDBG_OK);
    pid_t child = fork(); /* HDF5 shares an open file within a process: ask from another one */
    if (child == 0) {
        execl("/proc/self/exe", "test_trace_damage", "open", path, NULL);
        _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TDBG_NO_TRACE); /* whole, though nothing is in it yet */
    assert_int_equal(tdbg_trace_writer_close(w, &err), TDBG_OK);
    expect_open(TDBG_NO_TRACE, "it holds no committed step");
}

static void test_truncated(void **state)
{
    (void)state;
    struct stat info;
    write_trace();
    assert_int_equal(stat(path, &info), 0);
    for (off_t n = info.st_size - 1; n > 0; n -= 1 + n / 23) {
        struct tdbg_err err = {0};
        struct tdbg_trace *t = NULL;
        assert_int_equal(truncate(path, n), 0);
        assert_int_not_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
        assert_true(err.status == TDBG_DAMAGED || err.status == TDBG_NO_TRACE);
        assert_null(t);
        tdbg_err_clear(&err);
    }
}

/* Flips one bit of a chunk of a dataset in the file. */
static void flip(const char *dataset, const hsize_t *corner, double where, int bit)
{
    haddr_t at;
    hsize_t n;
    unsigned mask;
    unsigned char byte;
    hid_t file = reopen(), dset = H5Dopen2(file, dataset, H5P_DEFAULT);
    assert_true(dset >= 0);
    assert_true(H5Dget_chunk_info_by_coord(dset, corner, &mask, &at, &n) >= 0);
    H5Dclose(dset);
    H5Fclose(file);
    int fd = open(path, O_RDWR);
    off_t offset = (off_t)at + (off_t)((double)(n - 1) * where);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte = (unsigned char)(byte ^ 1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void expect_damaged(enum tdbg_status st, struct tdbg_err *err, const char *what,
                           int64_t at_step)
{
    char step[32];
    snprintf(step, sizeof step, "step %lld", (long long)at_step);
    bool named =
        strcmp(what, "samples/train/x") == 0 || (err->message && strstr(err->message, step));
    if (st != TDBG_DAMAGED || !strstr(err->message, what) || !named)
        fail_msg("%s: %s (wanted %s, %s)", tdbg_status_text(st), err->message ? err->message : "-",
                 what, step);
    tdbg_err_clear(err);
}

/* Reads what lives in the damaged dataset, of the step that is meant. */
static enum tdbg_status read_back(struct tdbg_trace *t, const char *what, int32_t site,
                                  int64_t step, struct tdbg_err *err)
{
    static unsigned char data[1 << 20];
    static uint64_t digests[MAKER_MAX_SITES];
    static struct tdbg_stats stats[MAKER_MAX_SITES];
    int64_t ids[32], n;
    if (what[0] == 't')
        return tdbg_trace_read_values(t, step, site, data, &n, err);
    if (what[0] == 'd')
        return tdbg_trace_read_digests(t, step, digests, err);
    if (strcmp(what, "stats/rms") == 0)
        return tdbg_trace_read_step_stats(t, step, stats, err);
    if (strcmp(what, "samples/train/batch") == 0)
        return tdbg_trace_read_batch_ids(t, step, ids, &n, err);
    maker_batch(&maker, maker.first_step, ids); /* the first step's samples are the first rows */
    return tdbg_trace_read_samples(t, TDBG_SAMPLES_TRAIN, 1, ids, data, NULL, err);
}

/* A flipped bit in a chunk is found when the step is read, wherever it is in the chunk; steps in
 * other chunks still read. */
static void test_flipped(void **state)
{
    (void)state;
    static const char *const damaged[] = {"t/reduce_in/fc1.weight", "digest", "stats/rms",
                                          "samples/train/batch", "samples/train/x"};
    for (int i = 0; i < 60; i++) {
        struct tdbg_err err = {0};
        struct tdbg_trace *t = NULL;
        const char *what = damaged[i % 5];
        hsize_t corner[12] = {0};
        int32_t site = 0;
        write_trace();
        while (strcmp(maker.sites[site].name, "reduce_in/fc1.weight") != 0)
            site++;
        int32_t every = maker.plans[site].value_every;
        int64_t step = (maker.first_step + 6 + every - 1) / every * every;
        if (i % 5 == 0)
            corner[0] = (hsize_t)((step - maker.first_step) / every);
        flip(what, corner, i / 60.0, i % 8);
        assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
        expect_damaged(read_back(t, what, site, step, &err), &err, what, step);
        assert_int_equal(read_back(t, what, site, step + (i % 5 == 0 ? every : 12), &err),
                         i % 5 == 4 ? TDBG_DAMAGED : TDBG_OK);
        tdbg_err_clear(&err);
        tdbg_trace_close(t);
    }
}

/* The texts are not compressed; their digest attribute guards them. */
static void test_flipped_text(void **state)
{
    (void)state;
    static char file[1 << 22];
    write_trace();
    FILE *f = fopen(path, "rb");
    size_t n = fread(file, 1, sizeof file, f);
    fclose(f);
    char *at = memmem(file, n, "seed = 42;\nmodel", 16);
    assert_non_null(at);
    at[7] ^= 1;
    write_bytes(file, n);
    expect_open(TDBG_DAMAGED, "run/config does not agree with its digest");
}

static void replace(const char *name, const char *kind)
{
    hid_t file = reopen(), id = -1;
    H5Ldelete(file, name, H5P_DEFAULT);
    if (strcmp(kind, "external") == 0) {
        H5Lcreate_external("other.h5", "/", file, name, H5P_DEFAULT, H5P_DEFAULT);
    } else if (strcmp(kind, "soft") == 0) {
        H5Lcreate_soft("/stats/min", file, name, H5P_DEFAULT, H5P_DEFAULT);
    } else if (strcmp(kind, "group") == 0) {
        id = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    } else {
        hsize_t dims[2] = {20, (hsize_t)maker.spec.n_sites}, chunk[2] = {16, dims[1]};
        hid_t space = H5Screate_simple(2, dims, NULL), dcpl = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_chunk(dcpl, 2, chunk);
        H5Pset_shuffle(dcpl);
        if (strcmp(kind, "gzip") == 0)
            H5Pset_deflate(dcpl, 1);
        id = H5Dcreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
        H5Pclose(dcpl);
        H5Sclose(space);
    }
    if (id >= 0)
        H5Oclose(id);
    H5Fclose(file);
}

static void test_replaced(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {
        {"external", "digest is a link to another place"},
        {"soft", "digest is a link to another place"},
        {"group", "digest is not a dataset"},
        {"gzip", "digest: filters other than shuffle and zstd"},
        {"shuffle", "digest: filters other than shuffle and zstd"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        write_trace();
        replace("digest", kinds[i][0]);
        expect_open(TDBG_DAMAGED, kinds[i][1]);
    }
    write_trace();
    replace("run", "soft");
    expect_open(TDBG_DAMAGED, "run is a link to another place");
}

static void expect_vocabulary(const char *words)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *t = NULL;
    const struct tdbg_vocabulary *v;
    assert_int_equal(tdbg_trace_open(path, &t, &err), TDBG_OK);
    assert_int_equal(tdbg_trace_vocabulary(t, &v, &err), TDBG_DAMAGED);
    assert_non_null(strstr(err.message, words));
    tdbg_err_clear(&err);
    assert_int_equal(tdbg_trace_check_vocabulary(t, &err), TDBG_DAMAGED);
    tdbg_err_clear(&err);
    tdbg_trace_close(t);
}

/* Makes a dataset longer or shorter. */
static void set_rows(const char *dataset, int64_t by)
{
    hid_t file = reopen(), dset = H5Dopen2(file, dataset, H5P_DEFAULT), space = H5Dget_space(dset);
    hsize_t rows;
    H5Sget_simple_extent_dims(space, &rows, NULL);
    rows = (hsize_t)((int64_t)rows + by);
    assert_true(H5Dset_extent(dset, &rows) >= 0);
    H5Sclose(space);
    H5Dclose(dset);
    H5Fclose(file);
}

/* Damage of it keeps nobody from the rest of the trace; a file from before it has none. */
static void test_vocabulary(void **state)
{
    (void)state;
    struct tdbg_trace *t = NULL;
    const struct tdbg_vocabulary *v;
    const hsize_t corner[1] = {0};
    static const char start[] = "run/vocabulary/start", bytes[] = "run/vocabulary/bytes";
    for (int i = 0; i < 8; i++) {
        write_trace();
        assert_true(maker.spec.vocabulary.n_tokens > 2);
        flip(i % 2 ? start : bytes, corner, i / 8.0, i);
        expect_vocabulary(i % 2 ? start : bytes);
    }
    write_trace();
    set_rows(bytes, -1);
    expect_vocabulary("do not ascend to");
    write_trace();
    set_rows(start, -1);
    expect_vocabulary("do not ascend to");
    write_trace();
    set_rows(start, INT32_MAX);
    expect_vocabulary("rows");
    write_trace();
    set_rows(start, -maker.spec.vocabulary.n_tokens);
    expect_vocabulary("has 1 rows");
    write_trace();
    replace(bytes, "soft");
    expect_vocabulary("link to another place");
    write_trace();
    hid_t file = reopen();
    assert_true(H5Ldelete(file, "run/vocabulary", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_int_equal(tdbg_trace_open(path, &t, NULL), TDBG_OK);
    assert_int_equal(tdbg_trace_vocabulary(t, &v, NULL), TDBG_OK);
    assert_int_equal(v->n_tokens, 0);
    tdbg_trace_close(t);
}

/* Runs everything with stderr in a file: HDF5's own messages must not get there. */
static int begin(void **state)
{
    (void)state;
    snprintf(printed, sizeof printed, "%s/stderr", dir);
    return freopen(printed, "w", stderr) ? 0 : -1;
}

static int end(void **state)
{
    struct stat info;
    (void)state;
    fflush(stderr);
    int bad = stat(printed, &info) != 0 || info.st_size != 0;
    FILE *f = bad ? fopen(printed, "r") : NULL;
    for (int c; f && (c = getc(f)) != EOF;)
        putchar(c);
    if (f)
        fclose(f);
    unlink(printed);
    unlink(path);
    rmdir(dir);
    return bad;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "open") == 0) {
        struct tdbg_err err = {0};
        struct tdbg_trace *t = NULL;
        enum tdbg_status st = tdbg_trace_open(argv[2], &t, &err);
        tdbg_err_clear(&err);
        tdbg_trace_close(t);
        return (int)st;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign),    cmocka_unit_test(test_versions),
        cmocka_unit_test(test_no_step),    cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),    cmocka_unit_test(test_flipped_text),
        cmocka_unit_test(test_replaced),   cmocka_unit_test(test_chain_before),
        cmocka_unit_test(test_vocabulary),
    };
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    return cmocka_run_group_tests(tests, begin, end);
}
