/* Two parts about files of many small chunks: writing small tensors, and opening a long trace. */
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/trace_bench.h"
#include "bench/trace_spec.h"
#include "trace/codec.h"
#include "trace/hdf5_util.h"
#include "trace/reader.h"

/* --- small: 150 tensors of 2 KiB per step --- */

enum { SMALL_TENSORS = 150, SMALL_ELEMS = 512, WARM_STEPS = 16 };

static void make_small(struct bench_spec *b, enum tdbg_store store, const char *const *names, int n)
{
    bench_spec_init(b, 1, 0);
    for (int i = 0; i < n; i++)
        bench_spec_add(b, TDBG_STAGE_GRAD, names[i], TDBG_LANE_ALL, TDBG_DTYPE_F32, SMALL_ELEMS, 0,
                       store);
}

static const char *const *tensor_names(void)
{
    static char text[SMALL_TENSORS][16];
    static const char *names[SMALL_TENSORS];
    for (int i = 0; i < SMALL_TENSORS; i++) {
        snprintf(text[i], sizeof text[i], "p%03d", i);
        names[i] = text[i];
    }
    return names;
}

/* The values of a step: the same noise from another place on. */
static const float *step_values(const float *noise, int64_t step, int i)
{
    return noise + (size_t)((step * 37 + i * 101) % 4096);
}

static float *make_noise(void)
{
    float *noise = malloc((4096 + SMALL_ELEMS) * sizeof *noise);
    uint64_t state = 3;
    bench_fill(noise, TDBG_DTYPE_F32, 1, 4096 + SMALL_ELEMS, true, &state);
    return noise;
}

/* Processor time per tensor, and by how much the file grew after WARM_STEPS. */
static bool write_trace(const char *path, enum tdbg_store store, int64_t steps, const float *noise,
                        double *us, double *file_growth)
{
    static struct bench_spec b;
    make_small(&b, store, tensor_names(), SMALL_TENSORS);
    for (int run = 0; run < 2; run++) {
        int64_t n = run == 0 ? WARM_STEPS : steps, start = 0;
        struct tdbg_trace_writer *w = bench_spec_create(&b, path);
        if (!w)
            return false;
        for (int64_t step = 0; step < n; step++) {
            if (step == WARM_STEPS)
                start = bench_thread_ns();
            for (int i = 0; i < SMALL_TENSORS; i++)
                bench_put(w, i, step_values(noise, step, i), SMALL_ELEMS);
            bench_commit(w, step);
        }
        bench_close(w);
        *us = 1e-3 * (double)(bench_thread_ns() - start) /
              ((double)SMALL_TENSORS * (double)(n - WARM_STEPS));
        *file_growth = run == 0 ? -(double)bench_file_bytes(path)
                                : *file_growth + (double)bench_file_bytes(path);
    }
    return true;
}

/* The same through H5Dwrite with shuffle and our filter, as a program without tdbg would. */
static double write_plain(const char *path, int64_t steps, const float *noise)
{
    hsize_t dims[2] = {0, SMALL_ELEMS}, most[2] = {H5S_UNLIMITED, SMALL_ELEMS};
    hsize_t row[2] = {1, SMALL_ELEMS};
    const unsigned level = 1;
    static hid_t sets[SMALL_TENSORS];
    tdbg_h5_begin();
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
    hid_t space = H5Screate_simple(2, dims, most), memory = H5Screate_simple(2, row, NULL);
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 2, row);
    H5Pset_shuffle(dcpl);
    H5Pset_filter(dcpl, (H5Z_filter_t)TDBG_ZSTD_FILTER_ID, 0, 1, &level);
    for (int i = 0; i < SMALL_TENSORS; i++)
        sets[i] = H5Dcreate2(file, tensor_names()[i], H5T_IEEE_F32LE, space, H5P_DEFAULT, dcpl,
                             H5P_DEFAULT);
    int64_t start = bench_thread_ns();
    for (int64_t step = 0; step < steps; step++) {
        hsize_t at[2] = {(hsize_t)step, 0}, size[2] = {(hsize_t)step + 1, SMALL_ELEMS};
        for (int i = 0; i < SMALL_TENSORS; i++) {
            H5Dset_extent(sets[i], size);
            hid_t where = H5Dget_space(sets[i]);
            H5Sselect_hyperslab(where, H5S_SELECT_SET, at, NULL, row, NULL);
            if (H5Dwrite(sets[i], H5T_IEEE_F32LE, memory, where, H5P_DEFAULT,
                         step_values(noise, step, i)) < 0)
                bench_die(path, "cannot write");
            H5Sclose(where);
        }
    }
    for (int i = 0; i < SMALL_TENSORS; i++)
        H5Dclose(sets[i]);
    H5Fclose(file);
    double us =
        1e-3 * (double)(bench_thread_ns() - start) / ((double)SMALL_TENSORS * (double)steps);
    H5Pclose(dcpl);
    H5Sclose(memory);
    H5Sclose(space);
    H5Pclose(fapl);
    return us;
}

/* Bytes of the frames that the trace holds for steps WARM_STEPS .. steps - 1. */
static double frame_bytes(int64_t steps, const float *noise)
{
    struct tdbg_codec *codec = tdbg_codec_create();
    const void *out;
    size_t n;
    double sum = 0;
    for (int64_t step = WARM_STEPS; step < steps; step++) {
        for (int i = 0; i < SMALL_TENSORS; i++) {
            if (tdbg_codec_encode(codec, TDBG_EFFORT_VALUES, step_values(noise, step, i),
                                  SMALL_ELEMS, 4, &out, &n, NULL) == TDBG_OK)
                sum += (double)n;
        }
    }
    tdbg_codec_destroy(codec);
    return sum;
}

int bench_small(int argc, char **argv)
{
    enum { ROUNDS = 5 };
    static const struct {
        const char *name;
        enum tdbg_store store;
    } stores[] = {{"one dataset each", TDBG_STORE_DATASET}, {"packed", TDBG_STORE_PACKED}};
    double us[ROUNDS], plain_us[ROUNDS], growth = 0;
    char path[4200];
    if (argc < 3)
        bench_die("small", "wants DIR STEPS");
    int64_t steps = strtoll(argv[2], NULL, 10);
    steps = steps > WARM_STEPS ? steps : 2 * WARM_STEPS;
    float *noise = make_noise();
    double tensors = (double)(steps - WARM_STEPS) * SMALL_TENSORS;
    snprintf(path, sizeof path, "%s/small.h5", argv[1]);
    for (int s = 0; s < 2; s++) {
        bool done = true;
        for (int r = 0; r < ROUNDS && done; r++) {
            done = write_trace(path, stores[s].store, steps, noise, &us[r], &growth);
            plain_us[r] = done ? write_plain(path, steps - WARM_STEPS, noise) : 0;
        }
        if (!done)
            continue;
        /* of a packed chunk, which holds many tensors, only the whole growth means anything */
        double meta = stores[s].store == TDBG_STORE_DATASET
                          ? (growth - frame_bytes(steps, noise)) / tensors
                          : -1;
        printf("{\"part\": \"small\", \"store\": \"%s\", \"us\": %.2f, \"plain_us\": %.2f, "
               "\"metadata_bytes\": %.1f, \"stored_bytes\": %.1f, \"raw_bytes\": %d}\n",
               stores[s].name, bench_median(us, ROUNDS), bench_median(plain_us, ROUNDS), meta,
               growth / tensors, SMALL_ELEMS * 4);
    }
    free(noise);
    unlink(path);
    return 0;
}

/* --- open --- */

enum { OPEN_SITES = 20, OPEN_ELEMS = 64, OPEN_TRIES = 15, STEP_TRIES = 200 };

static void make_long(const char *path, int64_t steps)
{
    static struct bench_spec b;
    float *noise = make_noise();
    bench_spec_init(&b, 1, 0);
    for (int i = 0; i < OPEN_SITES; i++)
        bench_spec_add(&b, TDBG_STAGE_GRAD, tensor_names()[i], TDBG_LANE_ALL, TDBG_DTYPE_F32,
                       OPEN_ELEMS, 0, TDBG_STORE_DATASET);
    struct tdbg_trace_writer *w = bench_spec_create(&b, path);
    if (!w)
        bench_die(path, "cannot create");
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < OPEN_SITES; i++)
            bench_put(w, i, step_values(noise, step, i), OPEN_ELEMS);
        bench_commit(w, step);
    }
    bench_close(w);
    free(noise);
}

/* Best effort: the kernel is asked to forget the file, which it does for pages that are clean. */
static void forget(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static struct tdbg_trace *open_trace(const char *path, double *ms)
{
    struct tdbg_trace *t = NULL;
    struct tdbg_err err = {0};
    int64_t start = tdbg_clock_ns();
    if (tdbg_trace_open(path, &t, &err) != TDBG_OK)
        bench_die(path, err.message);
    *ms = 1e-6 * (double)(tdbg_clock_ns() - start);
    return t;
}

static double read_sites(struct tdbg_trace *t, int64_t step, int n)
{
    float values[OPEN_ELEMS];
    struct tdbg_err err = {0};
    int64_t start = tdbg_clock_ns();
    for (int i = 0; i < n; i++) {
        if (tdbg_trace_read_values(t, step, i, values, NULL, &err) != TDBG_OK)
            bench_die("read", err.message);
    }
    return 1e-6 * (double)(tdbg_clock_ns() - start);
}

static void measure(const char *path, int64_t chunks, bool cold)
{
    double open_ms[OPEN_TRIES], one_ms[OPEN_TRIES], whole_ms[OPEN_TRIES], warm_ms[STEP_TRIES];
    int64_t steps = chunks / OPEN_SITES;
    for (int i = 0; i < OPEN_TRIES; i++) {
        int64_t step = (int64_t)((uint64_t)i * 7919u * 104729u % (uint64_t)steps);
        if (cold)
            forget(path);
        struct tdbg_trace *t = open_trace(path, &open_ms[i]);
        one_ms[i] = read_sites(t, step, 1);
        whole_ms[i] = read_sites(t, steps - 1 - step, OPEN_SITES);
        for (int k = 0; k < STEP_TRIES; k++)
            warm_ms[k] = read_sites(t, (step + 7919 * k) % steps, 1);
        tdbg_trace_close(t);
    }
    printf("{\"part\": \"open\", \"cold\": %s, \"chunks\": %lld, \"open_ms\": %.3f, "
           "\"first_ms\": %.3f, \"whole_ms\": %.3f, \"tensors\": %d, \"next_ms\": %.3f}\n",
           cold ? "true" : "false", (long long)chunks, bench_median(open_ms, OPEN_TRIES),
           bench_median(one_ms, OPEN_TRIES), bench_median(whole_ms, OPEN_TRIES), OPEN_SITES,
           bench_median(warm_ms, STEP_TRIES));
}

int bench_open(int argc, char **argv)
{
    if (argc < 3)
        bench_die("open", "wants FILE CHUNKS");
    int64_t chunks = strtoll(argv[2], NULL, 10);
    if (chunks < OPEN_SITES)
        bench_die("open", "too few chunks");
    int64_t start = tdbg_clock_ns();
    make_long(argv[1], chunks / OPEN_SITES);
    printf("{\"part\": \"written\", \"chunks\": %lld, \"us\": %.2f, \"file_bytes\": %lld}\n",
           (long long)chunks, 1e-3 * (double)(tdbg_clock_ns() - start) / (double)chunks,
           (long long)bench_file_bytes(argv[1]));
    measure(argv[1], chunks, true);
    measure(argv[1], chunks, false);
    return 0;
}
