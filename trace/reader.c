/* The trace reader: opening and closing a file, and what is known once it is open. What is checked
 * at that point is in reader_open.c; steps, digests and statistics are in reader_table.c, values in
 * reader_value.c and reader_store.c, samples in reader_samples.c. */
#include "trace/reader_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/chain.h"
#include "trace/file_lock.h"
#include "trace/hdf5_util.h"
#include "trace/segment.h"
#include "trace/trailer.h"

/* What can be said without HDF5: is there a file, and is it one of its kind? Waits for a writer
 * that is about to finish it. */
static enum tdbg_status check_file(struct tdbg_trace *trace, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    int fd = open(trace->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    TDBG_FAIL_IF(fd < 0 || fstat(fd, &info) != 0, NO_TRACE, "%s", strerror(errno));
    TDBG_FAIL_IF(S_ISDIR(info.st_mode), NO_TRACE, "it is a directory");
    TDBG_FAIL_IF(!S_ISREG(info.st_mode), NO_TRACE, "it is not a regular file");
    tdbg_file_wait_for_drain(fd);
    TDBG_FAIL_IF(fstat(fd, &info) != 0, NO_TRACE, "%s", strerror(errno));
    TDBG_FAIL_IF(info.st_size == 0, NO_TRACE, "it is empty");
    trace->file_bytes = info.st_size;
    htri_t hdf5 = H5Fis_hdf5(trace->path);
    TDBG_FAIL_IF(hdf5 == 0, NO_TRACE, "it is not an HDF5 file");
    TDBG_H5_FAIL_IF(hdf5 < 0, NO_TRACE, "it cannot be read");
out:
    if (fd >= 0)
        close(fd);
    return st;
}

/* A file in use is read as it stands, also one whose writer was killed when it had it to itself, at
 * the end: HDF5 would refuse that, and is told to take no notice, as h5clear(1) does. HDF5 reads
 * metadata that does not have its checksum again and again, with growing pauses: without a writer
 * that would never change anything. */
static enum tdbg_status open_file(struct tdbg_trace *trace, struct tdbg_err *err)
{
    enum { LIVE_ATTEMPTS = 16 };
    enum tdbg_status st = TDBG_OK;
    int fd = open(trace->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const bool in_use = fd >= 0 && tdbg_file_is_in_use(fd);
    const bool has_writer = in_use && tdbg_file_is_locked(fd, TDBG_LOCK_WRITER);
    const bool shared = in_use && (has_writer || tdbg_file_is_shared(fd));
    const hbool_t yes = true;
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    H5Pset_file_locking(fapl, true, true);
    if (in_use && !shared) {
        H5Pset(fapl, "clear_status_flags", &yes);
        H5Pset(fapl, "skip_eof_check", &yes);
    }
    if (shared)
        H5Pset_metadata_read_attempts(fapl, has_writer ? LIVE_ATTEMPTS : 1);
    trace->file =
        H5Fopen(trace->path, shared ? H5F_ACC_RDONLY | H5F_ACC_SWMR_READ : H5F_ACC_RDONLY, fapl);
    if (trace->file < 0)
        st = TDBG_H5_RAISE(err, DAMAGED, "the file is damaged");
    H5Pclose(fapl);
    if (fd >= 0)
        close(fd);
    return st;
}

enum tdbg_status tdbg_reader_open_one(const char *path, struct tdbg_trace **out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_h5_begin();
    unsigned held = tdbg_h5_hold_plugins();
    struct tdbg_trace *trace = calloc(1, sizeof *trace);
    struct tdbg_arena *arena = tdbg_arena_create();
    if (!trace || !arena) {
        free(trace);
        tdbg_arena_destroy(arena);
        tdbg_h5_release_plugins(held);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a reader");
    }
    trace->file = -1;
    trace->whole = trace;
    trace->arena = arena;
    trace->path = tdbg_arena_strdup(arena, path);
    TDBG_TRY(tdbg_chunk_io_init(&trace->io, err));
    TDBG_TRY(check_file(trace, err));
    TDBG_TRY(open_file(trace, err));
    tdbg_chunk_finder_init(&trace->finder, trace->file, trace->path, arena);
    TDBG_TRY(tdbg_reader_load(trace, err));
    *out = trace;
out:
    if (st != TDBG_OK) {
        tdbg_trace_close(trace);
        TDBG_H5_CONTEXT(err, "cannot open trace %s", path);
    }
    tdbg_h5_release_plugins(held);
    return st;
}

enum tdbg_status tdbg_trace_open(const char *path, struct tdbg_trace **out, struct tdbg_err *err)
{
    enum tdbg_status st = tdbg_reader_open_one(path, out, err);
    if (st == TDBG_OK)
        tdbg_reader_open_segments(*out);
    return st;
}

void tdbg_trace_close(struct tdbg_trace *trace)
{
    if (!trace)
        return;
    tdbg_h5_begin();
    tdbg_reader_close_segments(trace);
    for (int32_t i = 0; trace->values && i < trace->layout.n_sets; i++)
        tdbg_chunked_close(&trace->values[i].array);
    for (int32_t i = 0; trace->frames && i < trace->n_items; i++)
        tdbg_chunked_close(&trace->frames[i].array);
    tdbg_reader_close_cached(&trace->steps);
    tdbg_reader_close_cached(&trace->digest);
    for (int c = 0; c < READ_STATS_COLUMNS; c++)
        tdbg_reader_close_cached(&trace->stats[c]);
    tdbg_reader_close_cached(&trace->batch);
    tdbg_reader_close_zones(trace);
    tdbg_reader_free_samples(trace);
    tdbg_reader_free_stores(trace);
    tdbg_chunk_cache_free(&trace->value_cache);
    tdbg_chunk_finder_free(&trace->finder);
    if (trace->file >= 0)
        H5Fclose(trace->file);
    tdbg_chunk_io_free(&trace->io);
    free(trace->keyframes);
    tdbg_arena_destroy(trace->arena);
    free(trace);
}

const char *tdbg_trace_path(const struct tdbg_trace *trace)
{
    return trace->path;
}

const struct tdbg_run_info *tdbg_trace_info(const struct tdbg_trace *trace)
{
    return &trace->info;
}

const struct tdbg_site *tdbg_trace_sites(const struct tdbg_trace *trace, int32_t *n_sites)
{
    if (n_sites)
        *n_sites = trace->n_sites;
    return trace->sites;
}

const struct tdbg_site_plan *tdbg_trace_plans(const struct tdbg_trace *trace)
{
    return trace->plans;
}

const struct tdbg_samples_spec *tdbg_trace_samples(const struct tdbg_trace *trace, int set)
{
    TDBG_ASSERT(set >= 0 && set < TDBG_SAMPLES_SETS);
    return &trace->samples[set];
}

const struct tdbg_keyframe_item *tdbg_trace_keyframe_items(const struct tdbg_trace *trace,
                                                           int32_t *n_items)
{
    if (n_items)
        *n_items = trace->n_items;
    return trace->items;
}

bool tdbg_trace_is_closed(const struct tdbg_trace *trace)
{
    return tdbg_reader_last(trace)->closed && !trace->note;
}

int64_t tdbg_trace_first_step(const struct tdbg_trace *trace)
{
    return trace->first_step;
}

int64_t tdbg_trace_n_steps(const struct tdbg_trace *trace)
{
    const struct tdbg_trace *last = tdbg_reader_last(trace);
    return last->first_step + last->n_steps - trace->first_step;
}

void tdbg_trace_chain_before(const struct tdbg_trace *trace, uint64_t out[TDBG_CHAIN_COUNT])
{
    memcpy(out, trace->chain_before, sizeof trace->chain_before);
}

enum tdbg_status tdbg_trace_read_chain_before(struct tdbg_trace *trace, int64_t step,
                                              uint64_t out[TDBG_CHAIN_COUNT], struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    if (step == trace->first_step) {
        tdbg_trace_chain_before(trace, out);
        return TDBG_OK;
    }
    TDBG_TRY(tdbg_trace_read_steps(trace, step - 1, 1, &row, err));
    memcpy(out, row.chain, sizeof row.chain);
out:
    return st;
}

int32_t tdbg_trace_find_site(const struct tdbg_trace *trace, const char *name, int32_t lane,
                             int32_t micro)
{
    return tdbg_layout_find(&trace->layout, trace->sites, trace->n_sites, name, lane, micro);
}

bool tdbg_trace_has_digest(const struct tdbg_trace *trace, int32_t site, int64_t step,
                           bool evaluated)
{
    TDBG_ASSERT(site >= 0 && site < trace->n_sites);
    return step >= trace->first_step && step < trace->first_step + tdbg_trace_n_steps(trace) &&
           tdbg_chain_due(&trace->sites[site], &trace->plans[site], step, evaluated);
}

void tdbg_trace_set_recompute(struct tdbg_trace *trace, tdbg_trace_recompute_fn fn, void *context)
{
    trace->recompute = fn;
    trace->recompute_context = context;
}

static int64_t raw_bytes(const struct tdbg_chunked *c)
{
    return c->dataset > 0 ? (int64_t)(c->dims[0] * c->row_elems * c->elem_bytes) : 0;
}

/* Adds what one file holds. */
static enum tdbg_status add_sizes(struct tdbg_trace *trace, struct tdbg_trace_sizes *out,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace_sizes s = *out;
    struct tdbg_chunked *c;
    s.file_bytes += trace->file_bytes;
    s.n_keyframes += trace->n_keyframes;
    s.n_files++;
    for (int32_t i = 0; i < trace->layout.n_sets; i++) {
        TDBG_TRY(tdbg_reader_open_set(trace, i, &c, err));
        s.values_bytes += tdbg_chunked_stored_bytes(c);
        s.raw_values_bytes += raw_bytes(c);
    }
    for (int32_t k = 0; k < trace->layout.n_packed; k++) {
        TDBG_TRY(tdbg_reader_open_packed(trace, k, &c, err));
        s.values_bytes += tdbg_chunked_stored_bytes(c);
        s.raw_values_bytes += raw_bytes(c);
    }
    for (int32_t i = 0; i < trace->n_items; i++) {
        TDBG_TRY(tdbg_reader_open_item(trace, i, &c, err));
        s.keyframe_bytes += tdbg_chunked_stored_bytes(c);
        s.raw_keyframe_bytes += raw_bytes(c);
    }
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        struct sample_reader *r = &trace->sample_readers[set];
        const struct tdbg_chunked *parts[] = {&r->x.array, &r->y.array, &r->id.array};
        for (int i = 0; i < 3; i++) {
            s.samples_bytes += tdbg_chunked_stored_bytes(parts[i]);
            s.raw_samples_bytes += raw_bytes(parts[i]);
        }
        s.n_samples += (int64_t)r->id.array.dims[0];
    }
    s.digest_bytes += tdbg_chunked_stored_bytes(&trace->digest.array);
    for (int i = 0; i < READ_STATS_COLUMNS; i++)
        s.digest_bytes += tdbg_chunked_stored_bytes(&trace->stats[i].array);
    *out = s;
out:
    return st;
}

enum tdbg_status tdbg_trace_read_sizes(struct tdbg_trace *trace, struct tdbg_trace_sizes *out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace_sizes s = {0};
    tdbg_h5_begin();
    TDBG_TRY(add_sizes(trace, &s, err));
    for (int i = 0; i < trace->n_segments; i++)
        TDBG_TRY(add_sizes(trace->segments[i], &s, err));
    *out = s;
out:
    return st;
}

const char *tdbg_trace_note(const struct tdbg_trace *trace)
{
    return trace->note;
}

const char *tdbg_trace_damage(const struct tdbg_trace *trace, int64_t i, const char **path)
{
    for (int k = 0; k <= trace->n_segments; k++) {
        const struct tdbg_trace *file = k > 0 ? trace->segments[k - 1] : trace;
        if (i < (int64_t)file->finder.n_torn) {
            *path = file->path;
            return file->finder.torn[i].text;
        }
        i -= (int64_t)file->finder.n_torn;
    }
    return NULL;
}

static enum tdbg_status check_skeleton(struct tdbg_trace *trace, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    static const char path[] = TDBG_SKELETON_PATH;
    struct cached_array a = {.array = {.dataset = -1}};
    unsigned char *piece = NULL;
    if (H5Lexists(trace->file, "recovery", H5P_DEFAULT) <= 0 ||
        H5Lexists(trace->file, path, H5P_DEFAULT) <= 0)
        return TDBG_OK;
    piece = malloc(TDBG_SKELETON_CHUNK_BYTES);
    TDBG_FAIL_IF(!piece, NO_MEMORY, "no memory for %s", path);
    TDBG_TRY(tdbg_reader_open_cached(trace, path, H5T_STD_U8LE, 1, &a, err));
    for (uint64_t at = 0; at < a.array.dims[0]; at += TDBG_SKELETON_CHUNK_BYTES) {
        uint64_t n = a.array.dims[0] - at;
        n = n < TDBG_SKELETON_CHUNK_BYTES ? n : TDBG_SKELETON_CHUNK_BYTES;
        TDBG_TRY(tdbg_chunked_read(&a.array, &trace->io, at, n, piece, err));
    }
out:
    free(piece);
    tdbg_reader_close_cached(&a);
    return st;
}

enum tdbg_status tdbg_trace_check_skeleton(struct tdbg_trace *trace, struct tdbg_err *err)
{
    tdbg_h5_begin();
    enum tdbg_status st = check_skeleton(trace, err);
    for (int i = 0; i < trace->n_segments && st == TDBG_OK; i++) {
        st = check_skeleton(trace->segments[i], err);
        if (st != TDBG_OK)
            TDBG_H5_CONTEXT(err, "%s", trace->segments[i]->path);
    }
    return st;
}
