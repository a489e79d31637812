/* Finding chunks by their trailers for a reader. See chunk_finder.h; the scan itself, which recover
 * uses too, is in trailer_scan.c. */
#include "trace/chunk_finder.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/file_lock.h"
#include "trace/hdf5_util.h"
#include "trace/reader.h"
#include "trace/skeleton.h"
#include "trace/trailer.h"

static _Atomic(tdbg_trace_damage_fn) on_damage;

void tdbg_trace_on_damage(tdbg_trace_damage_fn fn)
{
    atomic_store(&on_damage, fn);
}

void tdbg_chunk_finder_init(struct tdbg_chunk_finder *f, hid_t file, const char *path,
                            struct tdbg_arena *arena)
{
    *f = (struct tdbg_chunk_finder){.file = file, .path = path, .arena = arena, .skeleton = -1};
}

void tdbg_chunk_finder_free(struct tdbg_chunk_finder *f)
{
    if (f->skeleton > 0)
        H5Fclose(f->skeleton);
    tdbg_chunk_list_free(&f->list);
    free(f->torn);
    *f = (struct tdbg_chunk_finder){.skeleton = -1};
}

/* The descriptor that HDF5 reads with: the name may lead to another file by now. */
static enum tdbg_status descriptor(const struct tdbg_chunk_finder *f, int *fd, uint64_t *bytes,
                                   struct tdbg_err *err)
{
    int *handle = NULL;
    struct stat info;
    if (H5Fget_vfd_handle(f->file, H5P_DEFAULT, (void **)&handle) < 0 || !handle)
        return TDBG_H5_RAISE(err, IO, "cannot look for chunks in %s", f->path);
    if (fstat(*handle, &info) != 0)
        return TDBG_RAISE(err, IO, "cannot read %s: %s", f->path, strerror(errno));
    *fd = *handle;
    *bytes = (uint64_t)info.st_size;
    return TDBG_OK;
}

/* The whole file in memory, for as long as it is looked through. */
static enum tdbg_status map_file(const struct tdbg_chunk_finder *f, unsigned char **data,
                                 uint64_t *bytes, struct tdbg_err *err)
{
    int fd;
    const enum tdbg_status st = descriptor(f, &fd, bytes, err);
    if (st != TDBG_OK)
        return st;
    void *map = *bytes > 0 ? mmap(NULL, (size_t)*bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED)
        return TDBG_RAISE(err, IO, "cannot read %s: %s", f->path, strerror(errno));
    madvise(map, (size_t)*bytes, MADV_SEQUENTIAL);
    *data = map;
    return TDBG_OK;
}

/* Again where the file has grown since. */
static enum tdbg_status scan(struct tdbg_chunk_finder *f, bool *is_new, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char *data = NULL;
    uint64_t bytes = 0;
    int fd;
    *is_new = false;
    TDBG_TRY(descriptor(f, &fd, &bytes, err));
    if (f->scanned_bytes == bytes)
        return TDBG_OK;
    TDBG_TRY(map_file(f, &data, &bytes, err));
    tdbg_chunk_list_free(&f->list);
    f->scanned_bytes = 0;
    st = tdbg_scan_chunks(data, (size_t)bytes, NULL, NULL, &f->list, err);
    if (st != TDBG_OK) {
        tdbg_chunk_list_free(&f->list);
        TDBG_H5_CONTEXT(err, "cannot look for chunks in %s", f->path);
        if (st != TDBG_DAMAGED)
            goto out;
        f->list.n_damaged = 1; /* one try is enough: nothing is found, and something is lost */
    }
    f->scanned_bytes = bytes;
    *is_new = true;
out:
    if (data)
        munmap(data, (size_t)bytes);
    return st;
}

static const struct tdbg_found_chunk *look_up(const struct tdbg_chunk_finder *f,
                                              const struct tdbg_chunked *c, uint32_t number,
                                              uint64_t first_elem, uint64_t n_elems)
{
    const struct tdbg_found_chunk *chunk = tdbg_chunk_list_find(&f->list, number, first_elem);
    return chunk && tdbg_chunk_fits(c, chunk) && chunk->n_elems >= n_elems ? chunk : NULL;
}

enum tdbg_status tdbg_chunk_finder_find(struct tdbg_chunk_finder *f, const struct tdbg_chunked *c,
                                        uint64_t first_elem, uint64_t n_elems,
                                        struct tdbg_found_chunk *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_found_chunk *chunk = NULL;
    uint32_t number;
    bool is_new = f->scanned_bytes == 0;
    TDBG_TRY(tdbg_chunked_number(c->dataset, c->path, &number, err));
    if (is_new)
        TDBG_TRY(scan(f, &is_new, err));
    chunk = look_up(f, c, number, first_elem, n_elems);
    if (!chunk) {
        TDBG_TRY(scan(f, &is_new, err));
        if (is_new)
            chunk = look_up(f, c, number, first_elem, n_elems);
    }
    if (!chunk)
        return TDBG_RAISE(err, NOT_FOUND, "%s: no trailer names the chunk", c->path);
    *out = *chunk;
out:
    return st;
}

enum tdbg_status tdbg_chunk_finder_load(struct tdbg_chunk_finder *f, const char *dataset,
                                        const struct tdbg_found_chunk *chunk, unsigned char *to,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t bytes = chunk->bytes + (size_t)TDBG_TRAILER_BYTES;
    uint64_t file_bytes;
    int fd;
    TDBG_TRY(descriptor(f, &fd, &file_bytes, err));
    for (size_t at = 0; at < bytes;) {
        const ssize_t n = pread(fd, to + at, bytes - at, (off_t)(chunk->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        TDBG_FAIL_IF(n < 0, IO, "cannot read %s: %s", f->path, strerror(errno));
        TDBG_FAIL_IF(n == 0, DAMAGED, "%s: a chunk is cut off", dataset);
        at += (size_t)n;
    }
out:
    return st;
}

bool tdbg_chunk_finder_lost_some(const struct tdbg_chunk_finder *f)
{
    return f->list.n_damaged > 0;
}

enum tdbg_status tdbg_chunk_finder_skeleton(struct tdbg_chunk_finder *f, hid_t *file,
                                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_skeleton skeleton;
    unsigned char *data = NULL;
    uint64_t bytes = 0;
    char name[64];
    bool is_new;
    if (f->skeleton <= 0) {
        if (f->scanned_bytes == 0)
            TDBG_TRY(scan(f, &is_new, err));
        TDBG_TRY(tdbg_skeleton_find(&f->list, &skeleton, err));
        TDBG_TRY(map_file(f, &data, &bytes, err));
        TDBG_FAIL_IF(bytes < f->scanned_bytes, DAMAGED, "%s was cut while it was read", f->path);
        snprintf(name, sizeof name, "tdbg-skeleton-%p", (void *)f);
        TDBG_TRY(tdbg_skeleton_open(&skeleton, data, name, &f->skeleton, err));
    }
    *file = f->skeleton;
out:
    if (data)
        munmap(data, (size_t)bytes);
    return st;
}

enum tdbg_status tdbg_chunk_finder_measure(struct tdbg_chunk_finder *f,
                                           const struct tdbg_chunked *c, uint64_t step_rows,
                                           uint64_t *rows, uint64_t *bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint32_t number;
    size_t n;
    bool is_new;
    TDBG_TRY(tdbg_chunked_number(c->dataset, c->path, &number, err));
    if (f->scanned_bytes == 0)
        TDBG_TRY(scan(f, &is_new, err));
    const struct tdbg_found_chunk *chunks = tdbg_chunk_list_of(&f->list, number, &n);
    const uint64_t reach = tdbg_chunk_list_rows(c, step_rows, chunks, &n);
    if (rows)
        *rows = reach;
    if (bytes)
        *bytes = 0;
    for (size_t i = 0; bytes && i < n; i++) {
        if (tdbg_chunk_fits(c, &chunks[i]))
            *bytes += chunks[i].bytes + (uint64_t)TDBG_TRAILER_BYTES;
    }
out:
    return st;
}

const struct tdbg_torn *tdbg_chunk_finder_noted(const struct tdbg_chunk_finder *f,
                                                const char *dataset)
{
    for (size_t i = 0; i < f->n_torn; i++) {
        if (strcmp(f->torn[i].dataset, dataset) == 0)
            return &f->torn[i];
    }
    return NULL;
}

bool tdbg_chunk_finder_has_writer(const struct tdbg_chunk_finder *f)
{
    uint64_t bytes;
    int fd;
    return descriptor(f, &fd, &bytes, NULL) == TDBG_OK && tdbg_file_is_locked(fd, TDBG_LOCK_WRITER);
}

void tdbg_chunk_finder_note(struct tdbg_chunk_finder *f, const char *dataset, bool header)
{
    const char *what = header ? "its header is damaged; what it says is taken from the copy of the "
                                "file's beginning, and its chunks are found by their trailers"
                              : "the index of its chunks is damaged; they are found by their "
                                "trailers";
    if (tdbg_chunk_finder_noted(f, dataset) || tdbg_chunk_finder_has_writer(f))
        return;
    if (f->n_torn == f->room) {
        const size_t room = f->room > 0 ? 2 * f->room : 8;
        struct tdbg_torn *grown = realloc(f->torn, room * sizeof *grown);
        if (!grown)
            return; /* what is read is right all the same */
        f->torn = grown;
        f->room = room;
    }
    f->torn[f->n_torn++] =
        (struct tdbg_torn){tdbg_arena_strdup(f->arena, dataset),
                           tdbg_arena_printf(f->arena, "%s: %s", dataset, what), header};
    const tdbg_trace_damage_fn tell = atomic_load(&on_damage);
    if (f->n_torn == 1 && tell)
        tell(f->path);
}
