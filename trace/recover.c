/* Doing what a file needs so that a crash at any point leaves the original. See recover.h; what it
 * needs is found in recover_examine.c, making a file from chunks is in rebuild.c, cutting it in
 * trim.c, and what makes a step complete in step_check.c. */
#include "trace/recover_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/file_lock.h"
#include "trace/file_swap.h"
#include "trace/hdf5_util.h"
#include "trace/rebuild.h"
#include "trace/trim.h"

static void scan_progress(void *context, int64_t done, int64_t total)
{
    tdbg_recover_progress(context, "looking for chunks", done, total);
}

static enum tdbg_status open_original(struct tdbg_recovery *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    TDBG_FAIL_IF(r->fd < 0 || fstat(r->fd, &info) != 0, NO_TRACE, "cannot open %s: %s", r->path,
                 strerror(errno));
    TDBG_FAIL_IF(!S_ISREG(info.st_mode), NO_TRACE, "%s is not a regular file", r->path);
    tdbg_file_wait_for_drain(r->fd);
    TDBG_FAIL_IF(tdbg_file_is_locked(r->fd, TDBG_LOCK_WRITER), USAGE,
                 "%s is being recorded: wait for the end, or end it", r->path);
    r->in_use = tdbg_file_is_in_use(r->fd);
out:
    return st;
}

/* From here on nobody else recovers it. A file system without locks does not help. */
static enum tdbg_status lock_original(struct tdbg_recovery *r, struct tdbg_err *err)
{
    r->lock = tdbg_file_lock(r->path, TDBG_LOCK_WRITER);
    if (r->lock < 0 && tdbg_file_is_locked(r->fd, TDBG_LOCK_WRITER))
        return TDBG_RAISE(err, USAGE, "%s is being recorded or recovered", r->path);
    return TDBG_OK;
}

/* What a recovery left that was killed. Whoever makes such a file holds the original's lock. */
static enum tdbg_status remove_leftover(const struct tdbg_recovery *r, struct tdbg_err *err)
{
    struct stat info;
    if (r->lock >= 0 && lstat(r->work, &info) == 0 && S_ISREG(info.st_mode))
        unlink(r->work);
    return tdbg_file_refuse_existing(r->work, err);
}

/* The finished file takes its name, and the original makes way. */
static enum tdbg_status put_in_place(struct tdbg_recovery *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recover_report *report = r->report;
    TDBG_TRY(tdbg_file_sync(r->work, err));
    if (r->options->output) {
        TDBG_TRY(tdbg_file_rename_new(r->work, r->options->output, err));
        report->result = r->options->output;
        return TDBG_OK;
    }
    const char *kept = tdbg_arena_printf(report->arena, "%s.damaged", r->path);
    TDBG_TRY(tdbg_file_rename_new(r->path, kept, err));
    st = tdbg_file_rename_new(r->work, r->path, err);
    if (st != TDBG_OK) {
        tdbg_file_rename_new(kept, r->path, NULL);
        return st;
    }
    report->kept = kept;
    report->result = r->path;
out:
    return st;
}

static enum tdbg_status cut_file(const char *path, int64_t first_step, int64_t n_steps,
                                 int64_t n_keyframes, enum tdbg_trim_how how, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunk_io io = {0};
    hid_t file = -1;
    TDBG_TRY(tdbg_chunk_io_init(&io, err));
    TDBG_TRY(tdbg_h5_open_cut_off(path, &file, err));
    TDBG_TRY(tdbg_trim_trace(file, first_step, n_steps, n_keyframes, how, &io, err));
out:
    if (file >= 0 && H5Fclose(file) < 0 && st == TDBG_OK)
        st = TDBG_H5_RAISE(err, IO, "cannot close %s", path);
    tdbg_chunk_io_free(&io);
    return st;
}

static enum tdbg_status check_result(const char *path, int64_t n_steps, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *t = NULL;
    TDBG_TRY(tdbg_reader_open_one(path, &t, err));
    TDBG_FAIL_IF(t->n_steps != n_steps, DAMAGED, "%s has %lld steps and not %lld", path,
                 (long long)t->n_steps, (long long)n_steps);
out:
    tdbg_trace_close(t);
    return st;
}

/* The file is whole, but says that a writer has it open. */
static enum tdbg_status clear(struct tdbg_recovery *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recover_report *report = r->report;
    const char *target = r->options->output ? r->work : r->path;
    if (r->options->output)
        TDBG_TRY(tdbg_file_copy(r->fd, r->work, err));
    TDBG_TRY(cut_file(target, report->first_step, report->n_steps, r->n_keyframes, TDBG_TRIM_CHUNKS,
                      err));
    /* a reader waits for whoever holds the lock and does not record */
    tdbg_file_unlock(r->lock);
    r->lock = -1;
    TDBG_TRY(check_result(target, report->n_steps, err));
    report->outcome = TDBG_RECOVER_CLEARED;
    if (r->options->output)
        return put_in_place(r, err);
    report->result = r->path;
    TDBG_TRY(tdbg_file_sync(r->path, err));
out:
    return st;
}

/* How many steps of the new file count: those up to the last complete one. Where there is none at
 * all the damage is not that of a cut-off, and everything is kept. */
static enum tdbg_status count_steps(struct tdbg_recovery *r, struct tdbg_trace *t, int64_t *n_steps,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_checker *checker = NULL;
    int64_t sound = -1, n_damaged = 0;
    TDBG_TRY(tdbg_recover_checker(r, t, NULL, &checker, err));
    for (int64_t i = t->n_steps - 1; i >= 0 && (sound < 0 || sound - i < TDBG_RECOVER_TAIL_STEPS);
         i--) {
        struct tdbg_step_result result;
        TDBG_TRY(tdbg_step_check(checker, t->first_step + i, &result, err));
        if (sound < 0 && result.n_faults == 0)
            sound = i;
        n_damaged += result.n_faults > 0;
        tdbg_recover_progress(r, "checking the last steps", t->n_steps - i, t->n_steps);
    }
    *n_steps = sound < 0 ? t->n_steps : sound + 1;
    r->report->steps_damaged = n_damaged - (t->n_steps - *n_steps);
out:
    tdbg_step_checker_destroy(checker);
    return st;
}

static int64_t keyframes_before(const struct tdbg_trace *t, int64_t step)
{
    int64_t n = 0;
    while (n < t->n_keyframes && t->keyframes[n] < step)
        n++;
    return n;
}

/* Makes all datasets of the new file as long as the first n_steps steps want (-1: all), also those
 * that have no chunks for the last of them. */
static enum tdbg_status fit_rebuilt(struct tdbg_recovery *r, int64_t n_steps, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *t = NULL;
    TDBG_TRY(tdbg_reader_open_one(r->work, &t, err));
    const int64_t first = t->first_step, n = n_steps < 0 ? t->n_steps : n_steps;
    const int64_t n_keyframes = keyframes_before(t, first + n);
    tdbg_trace_close(t);
    t = NULL;
    TDBG_TRY(cut_file(r->work, first, n, n_keyframes, TDBG_TRIM_ROWS, err));
out:
    tdbg_trace_close(t);
    return st;
}

static enum tdbg_status cut_rebuilt(struct tdbg_recovery *r, int64_t n_rows, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recover_report *report = r->report;
    struct tdbg_trace *t = NULL;
    TDBG_TRY(fit_rebuilt(r, -1, err));
    TDBG_TRY(tdbg_reader_open_one(r->work, &t, err));
    const int64_t n_all = t->n_steps;
    report->first_step = t->first_step;
    tdbg_recover_note_next(r, t);
    TDBG_TRY(count_steps(r, t, &report->n_steps, err));
    report->steps_left = n_rows > report->n_steps ? n_rows - report->n_steps : 0;
    tdbg_trace_close(t);
    t = NULL;
    if (report->n_steps < n_all)
        TDBG_TRY(fit_rebuilt(r, report->n_steps, err));
    TDBG_TRY(check_result(r->work, report->n_steps, err));
out:
    tdbg_trace_close(t);
    return st;
}

static enum tdbg_status rebuild_from(struct tdbg_recovery *r, const unsigned char *data,
                                     size_t bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recover_report *report = r->report;
    struct tdbg_chunk_list list = {0};
    struct tdbg_rebuild_report built;
    TDBG_TRY(tdbg_scan_chunks(data, bytes, scan_progress, r, &list, err));
    report->chunks_damaged = list.n_damaged;
    TDBG_FAIL_IF(list.n_items == 0, NO_TRACE, "no chunk of a trace is in it");
    tdbg_recover_progress(r, "writing", 0, 0);
    TDBG_TRY(tdbg_rebuild(r->work, data, &list, &built, err));
    report->n_chunks = built.n_chunks;
    if (report->chunks_damaged < built.n_incomplete)
        report->chunks_damaged = built.n_incomplete;
    report->chunks_unplaced = built.n_unplaced;
    TDBG_TRY(cut_rebuilt(r, built.n_rows, err));
out:
    tdbg_chunk_list_free(&list);
    return st;
}

static enum tdbg_status rebuild(struct tdbg_recovery *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    unsigned char *data = MAP_FAILED;
    size_t bytes = 0;
    TDBG_FAIL_IF(fstat(r->fd, &info) != 0, IO, "cannot read %s: %s", r->path, strerror(errno));
    bytes = (size_t)info.st_size;
    TDBG_FAIL_IF(bytes == 0, NO_TRACE, "nothing of %s can be recovered: it is empty", r->path);
    data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, r->fd, 0);
    TDBG_FAIL_IF(data == MAP_FAILED, IO, "cannot read %s: %s", r->path, strerror(errno));
    madvise(data, bytes, MADV_SEQUENTIAL);
    st = rebuild_from(r, data, bytes, err);
    if (st == TDBG_DAMAGED || st == TDBG_NO_TRACE) {
        /* whichever way it is, nothing committed was found */
        st = TDBG_NO_TRACE;
        if (err)
            err->status = st;
        TDBG_H5_CONTEXT(err, "nothing of %s can be recovered (%s)", r->path, r->report->reason);
    }
    TDBG_TRY(st);
    r->report->outcome = TDBG_RECOVER_REBUILT;
    TDBG_TRY(put_in_place(r, err));
out:
    if (data != MAP_FAILED)
        munmap(data, bytes);
    return st;
}

/* Nothing is wrong with it, but there is to be another file. */
static enum tdbg_status copy(struct tdbg_recovery *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_file_copy(r->fd, r->work, err));
    TDBG_TRY(put_in_place(r, err));
    r->report->outcome = TDBG_RECOVER_COPIED;
out:
    return st;
}

static enum tdbg_status act(struct tdbg_recovery *r, bool whole, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *target = r->options->output ? r->options->output : r->path;
    r->report->result = r->path;
    if (whole && !r->in_use && !r->options->output)
        return TDBG_OK;
    r->work = tdbg_arena_printf(r->report->arena, "%s.recovering", target);
    if (r->options->output)
        TDBG_TRY(tdbg_file_refuse_existing(r->work, err));
    if (!r->options->output && !whole)
        TDBG_TRY(tdbg_file_refuse_existing(
            tdbg_arena_printf(r->report->arena, "%s.damaged", r->path), err));
    if (!whole || r->in_use)
        TDBG_TRY(lock_original(r, err));
    if (!r->options->output && !whole)
        TDBG_TRY(remove_leftover(r, err));
    st = !whole ? rebuild(r, err) : r->in_use ? clear(r, err) : copy(r, err);
    if (st != TDBG_OK && (r->options->output || !whole))
        unlink(r->work); /* it is ours: it was not there before */
out:
    return st;
}

enum tdbg_status tdbg_recover(const char *path, const struct tdbg_recover_options *options,
                              struct tdbg_recover_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recovery r = {
        .path = path, .options = options, .report = report, .fd = -1, .lock = -1};
    bool whole;
    *report = (struct tdbg_recover_report){.arena = tdbg_arena_create()};
    TDBG_FAIL_IF(!report->arena, NO_MEMORY, "no memory to recover with");
    r.path = tdbg_arena_strdup(report->arena, path);
    tdbg_h5_begin();
    if (options->output)
        TDBG_TRY(tdbg_file_refuse_existing(options->output, err));
    TDBG_TRY(open_original(&r, err));
    TDBG_TRY(tdbg_recover_examine(&r, &whole, err));
    TDBG_TRY(act(&r, whole, err));
out:
    tdbg_file_unlock(r.lock);
    if (r.fd >= 0)
        close(r.fd);
    return st;
}

void tdbg_recover_clear(struct tdbg_recover_report *report)
{
    tdbg_arena_destroy(report->arena);
    *report = (struct tdbg_recover_report){0};
}
