/* Fuzz: traces with random damage through open and through every read. Nothing may crash, hang or
 * print; what an undamaged trace answers is covered elsewhere. Mutations run in child processes, a
 * batch each, so that a crash names the mutation that repeats it.
 *
 * usage: fuzz_trace [count [seed]]      (defaults 2000, 1)
 *        fuzz_trace one NUMBER [FILE]   repeats one mutation in this process, keeps the file */
#include <errno.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/check_file.h"
#include "trace/codec.h"
#include "trace/hdf5_util.h"
#include "trace/reader.h"
#include "trace/recover.h"
#include "tests/fuzz/fuzz_bytes.h"
#include "tests/trace/trace_maker.h"

enum {
    BATCH = 50,
    SECONDS_PER_BATCH = 300,
    N_BASES = 4,
    MOST_BUFFER_BYTES = 64 << 20,
    MOST_CHECKED_STEPS = 10000
};

/* Where something of a file is: metadata makes up little of it, so half the mutations aim there. */
static size_t aim(struct bytes b)
{
    static const char *const marks[] = {"OHDR", "OCHK", "FRHP", "FHDB", "BTHD", "BTLF", "EAHD",
                                        "EAIB", "EADB", "EASB", "FADB", "FAHD", "BTIN", "\x89HDF"};
    if (below(2) == 0)
        return below(b.n);
    const char *mark = marks[below(sizeof marks / sizeof *marks)];
    unsigned char *at = memmem(b.data + below(b.n / 2), b.n / 2, mark, 4);
    if (!at)
        return below(b.n);
    size_t i = (size_t)(at - b.data) + below(200);
    return i < b.n ? i : b.n - 1;
}

static void mutate_bytes(struct bytes *b)
{
    static const uint64_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0xffffffff, ~0ull};
    size_t times = 1 + below(4);
    for (size_t t = 0; t < times; t++) {
        size_t at = aim(*b), n = 1 + below(8), from = below(b->n);
        uint64_t value = below(2) ? odd[below(sizeof odd / sizeof *odd)] : next();
        n = n < b->n - at ? n : b->n - at;
        switch (below(5)) {
        case 0:
            b->data[at] ^= (unsigned char)(1u << below(8));
            break;
        case 1:
            memcpy(b->data + at, &value, n);
            break;
        case 2:
            n = below(512) < b->n - at ? below(b->n - at) % 512 : b->n - at;
            memset(b->data + at, (int)(value & 0xff), n);
            break;
        case 3:
            n = below(4096);
            n = n < b->n - at ? n : b->n - at;
            n = n < b->n - from ? n : b->n - from;
            memmove(b->data + at, b->data + from, n);
            break;
        default:
            if (below(4) == 0)
                b->n = 1 + below(b->n);
            break;
        }
    }
}

/* Changes decoded rows of a table and stores them as sound chunks: what checksums cannot catch. */
static void mutate_rows(hid_t file, const char *path)
{
    hid_t dset = H5Dopen2(file, path, H5P_DEFAULT), space, type, dcpl;
    hsize_t dims[4] = {0}, chunk[4] = {0}, offset[4] = {0}, bytes = 0;
    uint32_t mask = 0;
    if (dset < 0)
        return;
    space = H5Dget_space(dset);
    type = H5Dget_type(dset);
    dcpl = H5Dget_create_plist(dset);
    int ndim = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Pget_chunk(dcpl, ndim, chunk);
    size_t elem = H5Tget_size(type), n = 1;
    for (int d = 0; d < ndim; d++)
        n *= (size_t)chunk[d];
    struct tdbg_codec *codec = tdbg_codec_create();
    unsigned char *raw = malloc(n * elem * 2 + 65536), *rows = malloc(n * elem + 8);
    const void *packed;
    size_t packed_bytes;
    if (H5Dget_chunk_storage_size(dset, offset, &bytes) >= 0 && bytes > 0 &&
        H5Dread_chunk(dset, H5P_DEFAULT, offset, &mask, raw) >= 0 &&
        tdbg_codec_decode(codec, raw, (size_t)bytes, rows, n, elem, NULL) == TDBG_OK) {
        size_t valid = (size_t)(dims[0] < chunk[0] ? dims[0] : chunk[0]) * (n / (size_t)chunk[0]);
        for (size_t t = 1 + below(4); t > 0; t--) {
            uint64_t value = below(2) ? next() : below(2) ? below(300) : ~0ull - below(300);
            size_t at = below(valid * elem), wide = (size_t)1 << below(4);
            at = below(2) ? at / 4 * 4 : at;
            if (at + wide <= n * elem)
                memcpy(rows + at, &value, wide);
        }
        if (tdbg_codec_encode(codec, TDBG_EFFORT_TABLES, rows, n, elem, &packed, &packed_bytes,
                              NULL) == TDBG_OK)
            H5Dwrite_chunk(dset, H5P_DEFAULT, 0, offset, packed_bytes, packed);
    }
    tdbg_codec_destroy(codec);
    free(raw);
    free(rows);
    H5Pclose(dcpl);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dset);
}

/* Writes another value into an attribute of its own type. */
static void mutate_attribute(hid_t file, const char *object, const char *name)
{
    unsigned char value[4096];
    /* not by H5Aopen_by_name: HDF5 1.10 then does not find the attribute again to write it */
    hid_t id = H5Oopen(file, object, H5P_DEFAULT), attr = H5Aopen(id, name, H5P_DEFAULT);
    if (attr < 0) {
        H5Oclose(id);
        return;
    }
    hid_t type = H5Aget_type(attr);
    size_t bytes = (size_t)H5Aget_storage_size(attr);
    if (bytes <= sizeof value && H5Aread(attr, type, value) >= 0) {
        value[below(bytes)] = (unsigned char)next();
        if (H5Awrite(attr, type, value) < 0)
            abort();
    }
    H5Tclose(type);
    H5Aclose(attr);
    H5Oclose(id);
}

/* Puts something else where an object was: nothing, a group, a link, data of another kind. */
static void replace_object(hid_t file, const char *path)
{
    hsize_t dims[2] = {below(40), 1 + below(40)}, most[2] = {H5S_UNLIMITED, H5S_UNLIMITED};
    static const hsize_t huge[] = {INT64_MAX, UINT32_MAX, (hsize_t)1 << 40, 1 << 20};
    hid_t id = -1, space = -1, dcpl = -1;
    hid_t types[] = {H5T_IEEE_F32LE, H5T_STD_I64BE, H5T_STD_U64LE,
                     H5T_C_S1,       H5T_STD_I64LE, H5T_IEEE_F64LE};
    H5Ldelete(file, path, H5P_DEFAULT);
    switch (below(6)) {
    case 0:
        return;
    case 1:
        id = H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 2:
        H5Lcreate_soft("/digest", file, path, H5P_DEFAULT, H5P_DEFAULT);
        return;
    case 3:
        H5Lcreate_external("/etc/passwd", "/", file, path, H5P_DEFAULT, H5P_DEFAULT);
        return;
    default:
        dcpl = H5Pcreate(H5P_DATASET_CREATE);
        if (below(2))
            dims[0] = huge[below(4)];
        if (below(3))
            H5Pset_chunk(dcpl, 2, (hsize_t[2]){1 + below(20), 1 + below(40)});
        else
            most[0] = dims[0], most[1] = dims[1];
        if (below(2))
            H5Pset_shuffle(dcpl);
        if (below(2))
            H5Pset_filter(dcpl, (H5Z_filter_t)TDBG_ZSTD_FILTER_ID, 0, 0, NULL);
        space = H5Screate_simple(1 + (int)below(2), dims, most);
        id = H5Dcreate2(file, path, types[below(6)], space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
        H5Pclose(dcpl);
        H5Sclose(space);
    }
    if (id >= 0)
        H5Oclose(id);
}

static const char *const paths[] = {
    "sites",
    "steps",
    "digest",
    "stats/min",
    "stats/infs",
    "run/config",
    "run/graph",
    "run",
    "samples/train/x",
    "samples/train/y",
    "samples/train",
    "keyframe",
    "stats",
    "samples/train/id",
    "samples/train/batch",
    "samples/eval/id",
    "t/loss",
    "keyframe/step",
    "t/grad/fc1.weight",
    "keyframe/fc1.weight",
    "t/fwd/fc1",
    "run/keyframe_items",
    "run/vocabulary",
    "run/vocabulary/start",
    "run/vocabulary/bytes",
    "samples",
    "t",
    "packed",
    "packed/grad",
    "packed/fwd",
    "delta",
    "delta/param/fc1.bias",
    "delta/fwd/fc3",
    "residual",
    "residual/reduce_in/fc3.weight",
    "zones",
    "zones/steps",
    "zones/stats",
    "zones/digest",
};
static const char *const tables[] = {
    "sites",
    "sites",
    "sites",
    "steps",
    "steps",
    "run/keyframe_items",
    "keyframe/step",
    "samples/train/batch",
    "samples/train/id",
    "digest",
    "stats/nans",
    "run/vocabulary/start",
    "zones/steps",
    "zones/stats",
};
static const char *const attributes[][2] = {
    {"/", "schema"},
    {"/", "rank"},
    {"/", "world_size"},
    {"/", "run_uuid"},
    {"/", "closed"},
    {"/", "format"},
    {"run", "batch"},
    {"run", "lanes"},
    {"run", "accumulate"},
    {"run", "keyframe_every"},
    {"steps", "chains"},
    {"samples/train", "total"},
    {"run/config", "digest"},
    {"samples/eval", "total"},
    {"delta/param/fc1.bias", "whole_every"},
    {"zones/stats", "steps"},
};

static void mutate_objects(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0)
        abort();
    for (size_t t = 1 + below(2); t > 0; t--) {
        size_t a = below(sizeof attributes / sizeof *attributes);
        size_t p = below(sizeof paths / sizeof *paths);
        size_t r = below(sizeof tables / sizeof *tables);
        switch (below(4)) {
        case 0:
            mutate_attribute(file, attributes[a][0], attributes[a][1]);
            break;
        case 1:
            replace_object(file, paths[p]);
            break;
        default:
            mutate_rows(file, tables[r]);
        }
    }
    H5Fclose(file);
}

/* Stands in for a replay. */
static enum tdbg_status recompute(void *context, struct tdbg_trace *t, int64_t step, int32_t site,
                                  void *data, int64_t *n_elems, struct tdbg_err *err)
{
    (void)context;
    (void)step;
    (void)err;
    int32_t n_sites;
    const struct tdbg_site *s = &tdbg_trace_sites(t, &n_sites)[site];
    *n_elems = tdbg_site_elems(s);
    memset(data, 0, (size_t)*n_elems * tdbg_dtype_bytes(s->dtype));
    return TDBG_OK;
}

/* Everything a reader can be asked, of all steps and sites. Results do not matter. */
static void read_all(const char *path)
{
    struct tdbg_trace *t = NULL;
    struct tdbg_err err = {0};
    struct tdbg_trace_sizes sizes;
    int32_t n_sites, n_items;
    enum tdbg_status st = tdbg_trace_open(path, &t, &err);
    if ((st != TDBG_OK) != (err.message != NULL))
        abort();
    if (st != TDBG_OK) {
        tdbg_err_clear(&err);
        return;
    }
    tdbg_trace_set_recompute(t, recompute, NULL);
    const struct tdbg_site *sites = tdbg_trace_sites(t, &n_sites);
    const struct tdbg_keyframe_item *items = tdbg_trace_keyframe_items(t, &n_items);
    int64_t first = tdbg_trace_first_step(t), n = tdbg_trace_n_steps(t), some;
    size_t batch = (size_t)tdbg_trace_info(t)->batch;
    uint64_t *digests = malloc((size_t)n_sites * sizeof *digests);
    struct tdbg_stats *stats = malloc((size_t)n_sites * sizeof *stats);
    int64_t *ids = malloc((batch < 1 << 20 ? batch : 1) * sizeof *ids);
    for (int64_t step = first; step < first + n && step < first + 40; step++) {
        struct tdbg_step_row row;
        tdbg_trace_read_steps(t, step, 1, &row, NULL);
        tdbg_trace_read_digests(t, step, digests, NULL);
        tdbg_trace_read_step_stats(t, step, stats, NULL);
        if (batch < 1 << 20)
            tdbg_trace_read_batch_ids(t, step, ids, &some, NULL);
        for (int32_t i = 0; i < n_sites && i < 200; i++) {
            uint64_t elems = (uint64_t)tdbg_site_elems(&sites[i]);
            uint64_t bytes = elems * tdbg_dtype_bytes(sites[i].dtype);
            void *data = bytes < MOST_BUFFER_BYTES ? malloc(bytes + 1) : NULL;
            if (data)
                tdbg_trace_read_values(t, step, i, data, &some, &err);
            tdbg_err_clear(&err);
            free(data);
        }
        int64_t frame = tdbg_trace_keyframe_before(t, step);
        for (int32_t i = 0; i < n_items && frame >= 0; i++) {
            uint64_t bytes = tdbg_dtype_bytes(items[i].dtype);
            for (int32_t d = 0; d < items[i].ndim; d++)
                bytes *= (uint64_t)items[i].dims[d];
            void *data = bytes < MOST_BUFFER_BYTES ? malloc(bytes + 1) : NULL;
            if (data)
                tdbg_trace_read_keyframe(t, frame, i, data, NULL);
            free(data);
        }
    }
    tdbg_trace_read_sizes(t, &sizes, NULL);
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        int64_t last = tdbg_trace_n_samples(t, set) - 1;
        if (last >= 0)
            tdbg_trace_read_sample_ids(t, set, last, 1, &some, NULL);
    }
    free(digests);
    free(stats);
    free(ids);
    tdbg_trace_close(t);
}

/* Every chunk as fsck reads it, and a copy as recover makes it. Results do not matter, but what was
 * recovered has to open. */
static void check_and_recover(const char *path)
{
    struct tdbg_trace *t = NULL;
    struct tdbg_file_check check;
    struct tdbg_recover_report report;
    char copy[96];
    snprintf(copy, sizeof copy, "%s.recovered", path);
    if (tdbg_trace_open(path, &t, NULL) == TDBG_OK) {
        if (tdbg_trace_n_steps(t) <= MOST_CHECKED_STEPS) {
            tdbg_check_file(t, NULL, NULL, &check, NULL);
            tdbg_file_check_clear(&check);
        }
        tdbg_trace_close(t);
    }
    const struct tdbg_recover_options options = {.output = copy};
    enum tdbg_status st = tdbg_recover(path, &options, &report, NULL);
    if (st == TDBG_OK && report.outcome != TDBG_RECOVER_NOTHING) {
        if (tdbg_trace_open(copy, &t, NULL) != TDBG_OK)
            abort();
        tdbg_trace_close(t);
    }
    tdbg_recover_clear(&report);
    unlink(copy);
}

static void run_one(uint64_t number, const struct bytes *bases, const char *path)
{
    rng = number;
    struct bytes base = bases[below(N_BASES)], copy = {malloc(base.n), base.n};
    memcpy(copy.data, base.data, base.n);
    bool objects = below(3) == 0;
    if (!objects)
        mutate_bytes(&copy);
    save(path, copy);
    free(copy.data);
    if (objects)
        mutate_objects(path);
    read_all(path);
    check_and_recover(path);
}

/* Tells the parent how far it is through a pipe, so that a crash is put down to the right one. */
static void run_batch(uint64_t first, uint64_t n, const struct bytes *bases, const char *path,
                      int report)
{
    alarm(SECONDS_PER_BATCH);
    for (uint64_t i = first; i < first + n; i++) {
        if (write(report, &i, sizeof i) != sizeof i)
            _exit(2);
        run_one(i, bases, path);
    }
    _exit(0);
}

/* Runs mutations first .. first + n - 1; returns how many crashed. A crash goes on behind itself.
 */
static int guard_batch(uint64_t first, uint64_t n, const struct bytes *bases, const char *path)
{
    int crashes = 0, status, pipes[2];
    for (uint64_t at = first; at < first + n;) {
        uint64_t reached = at;
        if (pipe(pipes) != 0)
            abort();
        pid_t child = fork();
        if (child == 0) {
            close(pipes[0]);
            run_batch(at, first + n - at, bases, path, pipes[1]);
        }
        close(pipes[1]);
        while (read(pipes[0], &reached, sizeof reached) == sizeof reached)
            continue;
        close(pipes[0]);
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return crashes;
        fprintf(stderr, "mutation %llu failed (%s %d); repeat with: fuzz_trace one %llu\n",
                (unsigned long long)reached, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                (unsigned long long)reached);
        crashes++;
        at = reached + 1;
    }
    return crashes;
}

static void make_bases(struct bytes *bases, const char *path)
{
    static struct maker m;
    for (int i = 0; i < N_BASES; i++) {
        maker_make(&m, 100 + (uint64_t)i, &(struct maker_wish){.steps = 5 + 20 * i});
        maker_write(&m, path);
        bases[i] = load(path);
    }
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/tdbg-fuzz-XXXXXX", path[64];
    struct bytes bases[N_BASES];
    int crashes = 0;
    tdbg_h5_begin();
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    make_bases(bases, path);
    if (argc > 2 && strcmp(argv[1], "one") == 0) {
        run_one(strtoull(argv[2], NULL, 10), bases, argc > 3 ? argv[3] : path);
    } else {
        uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
        uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        for (uint64_t i = 0; i < count; i += BATCH)
            crashes += guard_batch(seed * 1000000000 + i, count - i < BATCH ? count - i : BATCH,
                                   bases, path);
        printf("%llu mutations, %d failed\n", (unsigned long long)count, crashes);
    }
    for (int i = 0; i < N_BASES; i++)
        free(bases[i].data);
    unlink(path);
    rmdir(dir);
    return crashes ? 1 : 0;
}
