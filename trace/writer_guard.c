/* What keeps a recording whole in a crash, on a full disk and at the largest size of a file: the
 * lock that says somebody writes, the mode in which others may read along, room kept for the end,
 * and forcing data to disk. */
#include "trace/writer_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "trace/file_lock.h"
#include "trace/hdf5_util.h"

enum { BALLAST_BYTES = 1 << 20 };
static const int64_t sync_every_ns = 5000000000;

/* Room for what a close may still have to write: a chunk of every table, and HDF5's metadata. */
static int64_t bytes_needed(const struct tdbg_trace_writer *w)
{
    const struct row_block *const blocks[] = {&w->steps, &w->digest, &w->batch};
    size_t metadata_bytes = 0;
    int64_t bytes = BALLAST_BYTES;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        bytes += (int64_t)blocks[i]->row_bytes * w->block_rows;
    for (int32_t k = 0; k < w->layout.n_packed; k++)
        bytes += (int64_t)w->packed[k].block.row_bytes * w->packed[k].rows_per_chunk;
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        const struct sample_writer *s = &w->samples[set];
        bytes += s->rows_per_chunk * (int64_t)(s->x_bytes + s->y_bytes + sizeof *s->id_part);
    }
    bytes += STATS_COLUMNS * (int64_t)w->digest.row_bytes * w->block_rows;
    bytes +=
        (int64_t)(w->zone_steps.row_bytes + w->zone_stats.row_bytes + w->zone_digest.row_bytes);
    if (H5Fget_mdc_size(w->file, NULL, NULL, &metadata_bytes, NULL) >= 0)
        bytes += 2 * (int64_t)metadata_bytes;
    return bytes;
}

/* By the file system: FAT counts bytes in 32 bits. */
static int64_t largest_by_system(int fd)
{
    struct statfs system;
    return fstatfs(fd, &system) == 0 && system.f_type == MSDOS_SUPER_MAGIC ? UINT32_MAX : INT64_MAX;
}

/* And by the limit of the process, which others can change. */
static int64_t largest_file(const struct tdbg_trace_writer *w)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= (rlim_t)w->most_bytes)
        return w->most_bytes;
    return (int64_t)limit.rlim_cur;
}

enum tdbg_status tdbg_writer_grow_ballast(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    const int64_t most = largest_file(w);
    int64_t want = bytes_needed(w);
    want = want < most ? want : most;
    if (w->ballast < 0 || want <= w->ballast_bytes)
        return TDBG_OK;
    int rc = posix_fallocate(w->ballast, w->ballast_bytes, want - w->ballast_bytes);
    if (rc != 0)
        return TDBG_RAISE(err, IO, "no room kept beside %s: %s", w->path, strerror(rc));
    w->ballast_bytes = want;
    return TDBG_OK;
}

void tdbg_writer_drop_ballast(struct tdbg_trace_writer *w)
{
    if (w->ballast >= 0)
        close(w->ballast);
    w->ballast = -1;
}

/* Values of the current step that its commit will write. */
static int64_t pending_bytes(const struct tdbg_trace_writer *w)
{
    int64_t bytes = 0;
    for (int32_t i = 0; i < w->layout.n_sets; i++) {
        const struct tdbg_chunked *array = &w->values[i].array;
        if (w->values[i].row)
            bytes += (int64_t)(array->row_elems * array->elem_bytes);
    }
    return bytes;
}

/* Where the size of a file is limited nothing can be given back at the end: HDF5's metadata has to
 * find its room inside of the limit. */
enum tdbg_status tdbg_writer_ready(const struct tdbg_trace_writer *w, int64_t more_bytes,
                                   struct tdbg_err *err)
{
    enum { CODED_BYTES = 4096 }; /* what cannot be compressed grows a little */
    hsize_t bytes = 0;
    if (w->failed)
        return TDBG_RAISE(err, IO, "the recording of %s has failed before", w->path);
    const int64_t most = largest_file(w);
    if (most == INT64_MAX)
        return TDBG_OK;
    if (H5Fget_filesize(w->file, &bytes) < 0)
        return TDBG_H5_RAISE(err, IO, "cannot tell the size of %s", w->path);
    more_bytes += pending_bytes(w);
    if ((int64_t)bytes + more_bytes + more_bytes / 64 + CODED_BYTES + bytes_needed(w) > most)
        return TDBG_RAISE(err, IO,
                          "%s is full: no file can be larger than %lld bytes here (ulimit -f, or "
                          "the file system)",
                          w->path, (long long)most);
    return TDBG_OK;
}

enum tdbg_status tdbg_writer_sync(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    const int64_t now = tdbg_writer_now_ns();
    struct stat info;
    if (fstat(w->target.fd, &info) == 0 && info.st_nlink == 0)
        return TDBG_RAISE(err, IO, "%s was removed while it was written", w->path);
    if (now - w->synced_ns < sync_every_ns)
        return TDBG_OK;
    w->synced_ns = now;
    int *fd = NULL;
    if (H5Fget_vfd_handle(w->file, H5P_DEFAULT, (void **)&fd) < 0)
        return TDBG_H5_RAISE(err, IO, "cannot flush %s", w->path);
    if (fdatasync(*fd) != 0)
        return TDBG_RAISE(err, IO, "cannot force %s to disk: %s", w->path, strerror(errno));
    return TDBG_OK;
}

void tdbg_trace_writer_hand_over(struct tdbg_trace_writer *w)
{
    tdbg_file_unlock(w->program_lock);
    w->program_lock = -1;
}

/* A file that never had a name, beside `path`; -1 where the file system has none. */
static int create_nameless(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    free(folder);
    return fd;
}

/* Without a name: its room is free again as soon as nobody has it open. One that has a name for a
 * moment is left behind by a kill in that moment. */
static enum tdbg_status create_ballast(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    char *path = tdbg_arena_printf(w->arena, "%s.ballast-XXXXXX", w->target.made);
    w->ballast = create_nameless(path);
    if (w->ballast < 0) {
        w->ballast = mkostemp(path, O_CLOEXEC);
        if (w->ballast < 0)
            return TDBG_RAISE(err, IO, "cannot create %s: %s", path, strerror(errno));
        unlink(path);
    }
    return tdbg_writer_grow_ballast(w, err);
}

enum tdbg_status tdbg_writer_guard(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    w->synced_ns = w->flushed_ns = tdbg_writer_now_ns();
    w->most_bytes = largest_by_system(w->target.fd);
    TDBG_TRY(create_ballast(w, err));
    TDBG_TRY(tdbg_writer_ready(w, 0, err));
    w->program_lock = tdbg_file_lock(w->target.made, TDBG_LOCK_PROGRAM);
    TDBG_H5_FAIL_IF(H5Fstart_swmr_write(w->file) < 0, IO, "cannot let others read %s along",
                    w->path);
out:
    return st;
}
