/* What keeps a recording whole in a crash or on a full disk: the lock that says somebody writes,
 * the mode in which others may read along, room kept for the end, and forcing data to disk. */
#include "trace/writer_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
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
    bytes += STATS_COLUMNS * (int64_t)w->digest.row_bytes * w->block_rows;
    if (H5Fget_mdc_size(w->file, NULL, NULL, &metadata_bytes, NULL) >= 0)
        bytes += 2 * (int64_t)metadata_bytes;
    return bytes;
}

enum tdbg_status tdbg_writer_grow_ballast(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    const int64_t want = bytes_needed(w);
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

enum tdbg_status tdbg_writer_sync(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    const int64_t now = tdbg_writer_now_ns();
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

enum tdbg_status tdbg_writer_guard(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *path;
    w->synced_ns = w->flushed_ns = tdbg_writer_now_ns();
    /* without a name: its room is free again as soon as nobody has it open */
    path = tdbg_arena_printf(w->arena, "%s.ballast", w->path);
    w->ballast = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    TDBG_FAIL_IF(w->ballast < 0, IO, "cannot create %s: %s", path, strerror(errno));
    unlink(path);
    TDBG_TRY(tdbg_writer_grow_ballast(w, err));
    w->lock = tdbg_file_lock(w->path, TDBG_LOCK_WRITER);
    w->program_lock = tdbg_file_lock(w->path, TDBG_LOCK_PROGRAM);
    TDBG_H5_FAIL_IF(H5Fstart_swmr_write(w->file) < 0, IO, "cannot let others read %s along",
                    w->path);
out:
    return st;
}
