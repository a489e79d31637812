/* Rebuilding a trace from its skeleton and chunks. See rebuild.h. */
#include "trace/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/skeleton.h"
#include "trace/trailer.h"

enum { METADATA_BYTES = 4 << 20, METADATA_OF_CHUNK_BYTES = 64 };

struct rebuild {
    const char *path;
    const unsigned char *data;
    const struct tdbg_chunk_list *list;
    struct tdbg_rebuild_report *report;
    struct tdbg_arena *arena;
    struct tdbg_dataset_list datasets;
    hid_t file;
    uint64_t step_rows; /* that the chunks of /steps cover */
};

static enum tdbg_status write_at(int fd, const char *path, const unsigned char *data, size_t bytes,
                                 uint64_t offset, struct tdbg_err *err)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = pwrite(fd, data + at, bytes - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return TDBG_RAISE(err, IO, "cannot write %s: %s", path, strerror(errno));
        at += (size_t)n;
    }
    return TDBG_OK;
}

/* Is there room for all of it? HDF5 takes a full disk badly. */
static enum tdbg_status check_room(int fd, const struct rebuild *r, uint64_t skeleton_bytes,
                                   struct tdbg_err *err)
{
    struct statvfs fs;
    uint64_t want = r->list->total_bytes + skeleton_bytes + METADATA_BYTES +
                    METADATA_OF_CHUNK_BYTES * (uint64_t)r->list->n_items;
    if (fstatvfs(fd, &fs) == 0 && want / fs.f_frsize > fs.f_bavail)
        return TDBG_RAISE(err, IO, "no room for %s: it takes %llu MiB", r->path,
                          (unsigned long long)(want >> 20));
    return TDBG_OK;
}

struct new_file {
    int fd;
    const char *path;
};

static enum tdbg_status put_in_file(void *context, const unsigned char *piece, size_t bytes,
                                    uint64_t offset, struct tdbg_err *err)
{
    const struct new_file *file = context;
    return write_at(file->fd, file->path, piece, bytes, offset, err);
}

/* The new file as it was before its first step. */
static enum tdbg_status write_skeleton(const struct rebuild *r, int fd, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_skeleton skeleton;
    struct new_file file = {fd, r->path};
    TDBG_TRY(tdbg_skeleton_find(r->list, &skeleton, err));
    TDBG_TRY(check_room(fd, r, skeleton.bytes, err));
    TDBG_TRY(tdbg_skeleton_decode(&skeleton, r->data, put_in_file, &file, err));
out:
    return st;
}

/* Where the last version of a chunk is damaged an earlier one is found, which has fewer rows. Zeros
 * in place of the others would be read as values, so the chunk is made one that nobody can read.
 * Rows of /steps say themselves which step they are of. */
static bool has_hole(const struct tdbg_chunked *c, const struct tdbg_found_chunk *chunk,
                     bool is_last)
{
    return !is_last && c->split == 0 && chunk->n_elems < c->chunk_elems &&
           strcmp(c->path, "steps") != 0;
}

static enum tdbg_status put_unreadable(struct rebuild *r, struct tdbg_chunked *c,
                                       const struct tdbg_found_chunk *chunk, struct tdbg_err *err)
{
    unsigned char filler[TDBG_TRAILER_FILLER_BYTES];
    tdbg_trailer_put_filler(filler);
    r->report->n_incomplete++;
    return tdbg_chunked_put_raw(c, chunk->first_elem, filler, sizeof filler, err);
}

static enum tdbg_status put_chunk(struct rebuild *r, struct tdbg_chunked *c,
                                  const struct tdbg_found_chunk *chunk, bool is_last,
                                  struct tdbg_err *err)
{
    struct tdbg_err fault = {0};
    enum tdbg_status st = TDBG_DAMAGED;
    if (has_hole(c, chunk, is_last) && chunk->first_elem % c->chunk_elems == 0)
        return put_unreadable(r, c, chunk, err);
    if (tdbg_chunk_fits(c, chunk))
        st = tdbg_chunked_put_raw(c, chunk->first_elem, r->data + chunk->offset,
                                  chunk->bytes + (size_t)TDBG_TRAILER_BYTES, &fault);
    r->report->n_chunks += st == TDBG_OK;
    r->report->n_unplaced += st == TDBG_DAMAGED;
    if (st != TDBG_OK && st != TDBG_DAMAGED)
        tdbg_err_set(err, st, fault.file, fault.line, "%s", fault.message);
    tdbg_err_clear(&fault);
    return st == TDBG_DAMAGED ? TDBG_OK : st;
}

static enum tdbg_status fill_dataset(struct rebuild *r, const struct tdbg_dataset_entry *d,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked c = {.dataset = -1};
    enum tdbg_rows_rule rule;
    int32_t every;
    size_t n, n_good;
    const struct tdbg_found_chunk *chunks = tdbg_chunk_list_of(r->list, d->number, &n);
    if (n == 0)
        goto out;
    TDBG_TRY(tdbg_open_listed(r->file, d->path, NULL, &c, err));
    TDBG_TRY(tdbg_rows_rule_of(&c, &rule, &every, err));
    n_good = n;
    uint64_t rows = tdbg_chunk_list_rows(&c, r->step_rows, chunks, &n_good);
    if (rows > c.dims[0])
        TDBG_TRY(tdbg_chunked_set_rows(&c, rows, err));
    for (size_t i = 0; i < n_good; i++)
        TDBG_TRY(put_chunk(r, &c, &chunks[i], i + 1 == n_good, err));
    r->report->n_unplaced += (int64_t)(n - n_good);
    if (rule == TDBG_ROWS_STEPS && (int64_t)rows > r->report->n_rows)
        r->report->n_rows = (int64_t)rows;
    if (strcmp(d->path, "steps") == 0)
        r->step_rows = rows;
out:
    tdbg_chunked_close(&c);
    return st;
}

/* When a dataset is filled. The skeleton lies before everything else, so that a new file whose end
 * is lost can be rebuilt again; and /steps says how many rows others may have. */
static int turn_of(const struct tdbg_dataset_entry *d)
{
    return d->number == TDBG_TRAILER_SKELETON ? 0 : strcmp(d->path, "steps") == 0 ? 1 : 2;
}

static enum tdbg_status fill(struct rebuild *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t n, n_known = 0;
    TDBG_TRY(tdbg_list_datasets(r->file, r->arena, &r->datasets, err));
    for (int turn = 0; turn <= 2; turn++) {
        for (size_t i = 0; i < r->datasets.n_items; i++) {
            if (turn_of(&r->datasets.items[i]) == turn)
                TDBG_TRY(fill_dataset(r, &r->datasets.items[i], err));
        }
    }
    for (size_t i = 0; i < r->datasets.n_items; i++) {
        tdbg_chunk_list_of(r->list, r->datasets.items[i].number, &n);
        n_known += n;
    }
    r->report->n_unplaced += (int64_t)(r->list->n_items - n_known);
out:
    return st;
}

enum tdbg_status tdbg_rebuild(const char *path, const unsigned char *data,
                              const struct tdbg_chunk_list *list,
                              struct tdbg_rebuild_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct rebuild r = {.path = path, .data = data, .list = list, .report = report, .file = -1};
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0)
        return TDBG_RAISE(err, IO, "cannot create %s: %s", path, strerror(errno));
    tdbg_h5_begin();
    *report = (struct tdbg_rebuild_report){0};
    r.arena = tdbg_arena_create();
    TDBG_FAIL_IF(!r.arena, NO_MEMORY, "no memory for a list of datasets");
    TDBG_TRY(write_skeleton(&r, fd, err));
    TDBG_TRY(tdbg_h5_open_cut_off(path, &r.file, err));
    TDBG_TRY(fill(&r, err));
out:
    if (r.file >= 0 && H5Fclose(r.file) < 0 && st == TDBG_OK)
        st = TDBG_H5_RAISE(err, IO, "cannot close %s", path);
    if (st != TDBG_OK)
        unlink(path);
    close(fd);
    tdbg_arena_destroy(r.arena);
    return st;
}
