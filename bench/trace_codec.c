/* Compression of single tensors: every method on every tensor, alternately, medians; and the way
 * into an HDF5 file, through its filter pipeline and past it. All of it runs on one thread and is
 * timed by that thread's processor time, which other programs of the machine disturb least. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/trace_bench.h"
#include "trace/codec.h"
#include "trace/hdf5_util.h"
#include "trace/schema.h"

enum { SAMPLES = 15, SLOW_SAMPLES = 3, MAX_METHODS = 8 };
static const double slow_mb_s = 100; /* a method slower than this is measured less often */

static void print_row(const struct bench_tensor *t, const char *method, size_t packed, double s)
{
    printf("{\"part\": \"codec\", \"tensor\": \"%s\", \"kind\": \"%s\", \"method\": \"%s\", "
           "\"bytes\": %zu, \"packed\": %zu, \"mb_s\": %.1f}\n",
           t->name, t->kind, method, t->bytes, packed, 1e-6 * (double)t->bytes / s);
}

static void run_methods(const struct bench_tensor *t)
{
    int n;
    const struct bench_method *m = bench_methods(&n);
    double times[MAX_METHODS][SAMPLES];
    int taken[MAX_METHODS] = {0};
    size_t packed[MAX_METHODS], elem_bytes = tdbg_dtype_bytes(t->dtype);
    for (int i = 0; i < SAMPLES; i++) {
        for (int k = 0; k < n; k++) {
            if (i >= SLOW_SAMPLES && times[k][0] > 1e-6 * (double)t->bytes / slow_mb_s)
                continue;
            int64_t start = bench_thread_ns();
            packed[k] = m[k].run(t->data, t->bytes, elem_bytes, m[k].level);
            times[k][taken[k]++] = 1e-9 * (double)(bench_thread_ns() - start);
            if (packed[k] == 0)
                bench_die(m[k].name, "failed");
        }
    }
    for (int k = 0; k < n; k++)
        print_row(t, m[k].name, packed[k], bench_median(times[k], (size_t)taken[k]));
}

/* --- through HDF5 --- */

enum { PIPE_ZSTD, PIPE_GZIP, PIPE_OURS, PIPES };

/* A dataset of rows that each hold the tensor, one row per chunk. */
static hid_t make_dataset(hid_t file, const struct bench_tensor *t, int pipe)
{
    static const char *const names[PIPES] = {"zstd", "gzip", "ours"};
    hsize_t dims[2] = {SAMPLES, t->elems}, chunk[2] = {1, t->elems};
    hid_t type = t->dtype == TDBG_DTYPE_F32 ? H5T_IEEE_F32LE : H5T_STD_U16LE;
    hid_t space = H5Screate_simple(2, dims, NULL), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    const unsigned level = 1;
    H5Pset_chunk(dcpl, 2, chunk);
    H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER);
    if (pipe == PIPE_GZIP) {
        H5Pset_deflate(dcpl, 4);
    } else {
        H5Pset_shuffle(dcpl);
        H5Pset_filter(dcpl, (H5Z_filter_t)TDBG_ZSTD_FILTER_ID, 0, 1, &level);
    }
    hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS); /* no cache: the pipeline runs in H5Dwrite */
    H5Pset_chunk_cache(dapl, 0, 0, 1.0);
    hid_t set = H5Dcreate2(file, names[pipe], type, space, H5P_DEFAULT, dcpl, dapl);
    H5Pclose(dapl);
    H5Pclose(dcpl);
    H5Sclose(space);
    if (set < 0)
        bench_die(names[pipe], "cannot create a dataset");
    return set;
}

static void write_row(hid_t set, const struct bench_tensor *t, int pipe, hsize_t row,
                      struct tdbg_codec *codec)
{
    hsize_t at[2] = {row, 0}, count[2] = {1, t->elems};
    size_t elem_bytes = tdbg_dtype_bytes(t->dtype), packed_bytes;
    const void *packed;
    herr_t rc = -1;
    if (pipe == PIPE_OURS) {
        if (tdbg_codec_encode(codec, TDBG_EFFORT_VALUES, t->data, t->elems, elem_bytes, &packed,
                              &packed_bytes, NULL) == TDBG_OK)
            rc = H5Dwrite_chunk(set, H5P_DEFAULT, 0, at, packed_bytes, packed);
    } else {
        hid_t space = H5Dget_space(set), memory = H5Screate_simple(2, count, NULL);
        hid_t type = elem_bytes == 4 ? H5T_IEEE_F32LE : H5T_STD_U16LE;
        H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, count, NULL);
        rc = H5Dwrite(set, type, memory, space, H5P_DEFAULT, t->data);
        H5Sclose(memory);
        H5Sclose(space);
    }
    if (rc < 0)
        bench_die(t->name, "cannot write");
}

static void run_pipes(const struct bench_tensor *t, const char *path)
{
    static const char *const names[PIPES] = {"H5Dwrite, shuffle + zstd -1", "H5Dwrite, gzip -4",
                                             "tdbg, H5Dwrite_chunk"};
    double times[PIPES][SAMPLES];
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), set[PIPES];
    struct tdbg_codec *codec = tdbg_codec_create();
    if (file < 0)
        bench_die(path, "cannot create");
    for (int p = 0; p < PIPES; p++)
        set[p] = make_dataset(file, t, p);
    int rows = 7;
    for (int i = 0; i < rows; i++) {
        for (int p = 0; p < PIPES; p++) {
            int64_t start = bench_thread_ns();
            write_row(set[p], t, p, (hsize_t)i, codec);
            times[p][i] = 1e-9 * (double)(bench_thread_ns() - start);
        }
    }
    for (int p = 0; p < PIPES; p++) {
        size_t stored = (size_t)H5Dget_storage_size(set[p]) / (size_t)rows;
        print_row(t, names[p], stored, bench_median(times[p], (size_t)rows));
        H5Dclose(set[p]);
    }
    tdbg_codec_destroy(codec);
    H5Fclose(file);
    unlink(path);
}

int bench_codec(int argc, char **argv)
{
    struct bench_tensor tensors[BENCH_MAX_TENSORS];
    char path[4200];
    if (argc < 2)
        bench_die("codec", "wants FULL_TRACE [LIBBLOSC2]");
    tdbg_h5_begin();
    bench_load_blosc2(argc > 2 ? argv[2] : NULL);
    int n = bench_tensors(argv[1], tensors);
    snprintf(path, sizeof path, "%s.codec.h5", argv[1]);
    for (int i = 0; i < n; i++) {
        run_methods(&tensors[i]);
        run_pipes(&tensors[i], path);
        fflush(stdout);
    }
    return 0;
}
