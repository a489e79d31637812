/* Deciding what a file needs, and doing it so that a crash at any point leaves the original. See
 * recover.h; making a file from chunks is in rebuild.c, cutting it in trim.c, and what makes a step
 * complete in step_check.c. */
#include "trace/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/dataset_list.h"
#include "trace/file_lock.h"
#include "trace/file_swap.h"
#include "trace/hdf5_util.h"
#include "trace/layout.h"
#include "trace/reader_impl.h"
#include "trace/rebuild.h"
#include "trace/segment.h"
#include "trace/step_check.h"
#include "trace/trim.h"

enum { TAIL_STEPS = 16 }; /* of a whole file, looked at closely: a chunk of rows */

struct recovery {
    const char *path;
    const struct tdbg_recover_options *options;
    struct tdbg_recover_report *report;
    const char *work; /* the new file while it is made */
    int fd, lock;     /* of the file */
    bool in_use;      /* it says that a writer has it open */
    int64_t n_keyframes;
};

static void progress(const struct recovery *r, const char *what, int64_t done, int64_t total)
{
    if (r->options->progress)
        r->options->progress(r->options->progress_context, what, done, total);
}

static void scan_progress(void *context, int64_t done, int64_t total)
{
    progress(context, "looking for chunks", done, total);
}

/* Chunks that a dataset has to have at least. Evaluation leaves gaps, a full queue may, and so may
 * whatever a later version adds. */
static uint64_t chunks_due(const struct tdbg_trace *t, const struct tdbg_chunked *c,
                           enum tdbg_rows_rule rule, int32_t every, int64_t n_keyframes)
{
    if (rule == TDBG_ROWS_OTHER ||
        (rule == TDBG_ROWS_CADENCE &&
         (strcmp(t->info.overflow, "drop") == 0 || strncmp(c->path, "t/", 2) != 0 ||
          strncmp(c->path, "t/eval/", 7) == 0)))
        return 0;
    int64_t rows = rule == TDBG_ROWS_KEYFRAMES ? n_keyframes
                                               : tdbg_layout_rows(t->first_step, t->n_steps, every);
    uint64_t pieces = 1;
    for (int d = 1; d <= c->split; d++)
        pieces *= (c->dims[d] + c->chunk[d] - 1) / c->chunk[d];
    return ((uint64_t)rows + c->chunk[0] - 1) / c->chunk[0] * pieces;
}

/* The whole index of a dataset's chunks can be read, and lists what has to be there. */
static enum tdbg_status check_index(struct tdbg_trace *t, const char *path, int64_t n_keyframes,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_chunked c = {.dataset = -1};
    enum tdbg_rows_rule rule;
    int32_t every = 1;
    hsize_t n = 0;
    hid_t space = -1;
    TDBG_TRY(tdbg_open_listed(t->file, path, NULL, &c, err));
    TDBG_TRY(tdbg_rows_rule_of(&c, &rule, &every, err));
    space = H5Dget_space(c.dataset);
    TDBG_H5_FAIL_IF(H5Dget_num_chunks(c.dataset, space, &n) < 0, DAMAGED,
                    "%s: its list of chunks cannot be read", path);
    TDBG_FAIL_IF(n < chunks_due(t, &c, rule, every, n_keyframes), DAMAGED,
                 "%s: its list of chunks has only %llu", path, (unsigned long long)n);
out:
    if (space >= 0)
        H5Sclose(space);
    tdbg_chunked_close(&c);
    return st;
}

static enum tdbg_status check_datasets(struct recovery *r, struct tdbg_trace *t,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_dataset_list list;
    struct tdbg_arena *arena = tdbg_arena_create();
    TDBG_FAIL_IF(!arena, NO_MEMORY, "no memory for a list of datasets");
    TDBG_TRY(tdbg_list_datasets(t->file, arena, &list, err));
    for (size_t i = 0; i < list.n_items; i++) {
        TDBG_TRY(check_index(t, list.items[i].path, t->n_keyframes, err));
        progress(r, "reading the metadata", (int64_t)i + 1, (int64_t)list.n_items);
    }
out:
    tdbg_arena_destroy(arena);
    return st;
}

static void keep_reason(void *context, int64_t step, int32_t site, const char *reason)
{
    struct tdbg_recover_report *report = context;
    (void)site;
    if (!report->reason)
        report->reason = tdbg_arena_printf(report->arena, "step %lld: %s", (long long)step, reason);
}

/* A later file of a recording does not repeat the samples that an earlier one has. */
static enum tdbg_status make_checker(const struct recovery *r, struct tdbg_trace *t,
                                     tdbg_fault_fn report, struct tdbg_step_checker **out,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = tdbg_step_checker_create(t, NULL, report, r->report, out, err);
    if (st == TDBG_OK && tdbg_segment_number(r->path) > 0)
        tdbg_step_checker_accept_missing(*out);
    return st;
}

/* The last steps of a recording that was cut off: what was to be flushed may not be there. */
static enum tdbg_status check_tail(struct recovery *r, struct tdbg_trace *t, bool *sound,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_checker *checker = NULL;
    struct tdbg_step_result result;
    int64_t last = t->first_step + t->n_steps - 1, n = t->n_steps;
    n = n < TAIL_STEPS ? n : TAIL_STEPS;
    *sound = true;
    TDBG_TRY(make_checker(r, t, keep_reason, &checker, err));
    for (int64_t i = 0; i < n && *sound; i++) {
        TDBG_TRY(tdbg_step_check(checker, last - i, &result, err));
        *sound = result.n_faults == 0;
    }
out:
    tdbg_step_checker_destroy(checker);
    return st;
}

static void note_next(struct recovery *r, const struct tdbg_trace *t)
{
    const char *next = tdbg_reader_next_path(t);
    r->report->next = next ? tdbg_arena_strdup(r->report->arena, next) : NULL;
}

static void note_steps(struct recovery *r, const struct tdbg_trace *t)
{
    note_next(r, t);
    r->report->first_step = t->first_step;
    r->report->n_steps = t->n_steps;
    r->n_keyframes = t->n_keyframes;
}

/* *whole: can be read as it stands. If not, the report says why. TDBG_OK in both cases. */
static enum tdbg_status examine(struct recovery *r, bool *whole, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    struct tdbg_trace *t = NULL;
    *whole = false;
    st = tdbg_reader_open_one(r->path, &t, &found);
    if (st == TDBG_OK)
        st = check_datasets(r, t, &found);
    if (st == TDBG_DAMAGED || st == TDBG_NO_TRACE) {
        r->report->reason = tdbg_arena_strdup(r->report->arena, tdbg_fault_reason(found.message));
        st = TDBG_OK;
        goto out;
    }
    if (st != TDBG_OK) {
        tdbg_err_set(err, st, found.file, found.line, "%s", found.message);
        goto out;
    }
    *whole = true;
    r->report->closed = t->closed;
    if (!t->closed)
        TDBG_TRY(check_tail(r, t, whole, err));
    note_steps(r, t);
out:
    tdbg_trace_close(t);
    tdbg_err_clear(&found);
    return st;
}

static enum tdbg_status open_original(struct recovery *r, struct tdbg_err *err)
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
static enum tdbg_status lock_original(struct recovery *r, struct tdbg_err *err)
{
    r->lock = tdbg_file_lock(r->path, TDBG_LOCK_WRITER);
    if (r->lock < 0 && tdbg_file_is_locked(r->fd, TDBG_LOCK_WRITER))
        return TDBG_RAISE(err, USAGE, "%s is being recorded or recovered", r->path);
    return TDBG_OK;
}

/* What a recovery left that was killed. Whoever makes such a file holds the original's lock. */
static enum tdbg_status remove_leftover(const struct recovery *r, struct tdbg_err *err)
{
    struct stat info;
    if (r->lock >= 0 && lstat(r->work, &info) == 0 && S_ISREG(info.st_mode))
        unlink(r->work);
    return tdbg_file_refuse_existing(r->work, err);
}

/* The finished file takes its name, and the original makes way. */
static enum tdbg_status put_in_place(struct recovery *r, struct tdbg_err *err)
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
static enum tdbg_status clear(struct recovery *r, struct tdbg_err *err)
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
static enum tdbg_status count_steps(struct recovery *r, struct tdbg_trace *t, int64_t *n_steps,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_checker *checker = NULL;
    int64_t sound = -1, n_damaged = 0;
    TDBG_TRY(make_checker(r, t, NULL, &checker, err));
    for (int64_t i = t->n_steps - 1; i >= 0 && (sound < 0 || sound - i < TAIL_STEPS); i--) {
        struct tdbg_step_result result;
        TDBG_TRY(tdbg_step_check(checker, t->first_step + i, &result, err));
        if (sound < 0 && result.n_faults == 0)
            sound = i;
        n_damaged += result.n_faults > 0;
        progress(r, "checking the last steps", t->n_steps - i, t->n_steps);
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
static enum tdbg_status fit_rebuilt(struct recovery *r, int64_t n_steps, struct tdbg_err *err)
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

static enum tdbg_status cut_rebuilt(struct recovery *r, int64_t n_rows, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recover_report *report = r->report;
    struct tdbg_trace *t = NULL;
    TDBG_TRY(fit_rebuilt(r, -1, err));
    TDBG_TRY(tdbg_reader_open_one(r->work, &t, err));
    const int64_t n_all = t->n_steps;
    report->first_step = t->first_step;
    note_next(r, t);
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

static enum tdbg_status rebuild_from(struct recovery *r, const unsigned char *data, size_t bytes,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_recover_report *report = r->report;
    struct tdbg_chunk_list list = {0};
    struct tdbg_rebuild_report built;
    TDBG_TRY(tdbg_scan_chunks(data, bytes, scan_progress, r, &list, err));
    report->chunks_damaged = list.n_damaged;
    TDBG_FAIL_IF(list.n_items == 0, NO_TRACE, "no chunk of a trace is in it");
    progress(r, "writing", 0, 0);
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

static enum tdbg_status rebuild(struct recovery *r, struct tdbg_err *err)
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
static enum tdbg_status copy(struct recovery *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_file_copy(r->fd, r->work, err));
    TDBG_TRY(put_in_place(r, err));
    r->report->outcome = TDBG_RECOVER_COPIED;
out:
    return st;
}

static enum tdbg_status act(struct recovery *r, bool whole, struct tdbg_err *err)
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
    struct recovery r = {.path = path, .options = options, .report = report, .fd = -1, .lock = -1};
    bool whole;
    *report = (struct tdbg_recover_report){.arena = tdbg_arena_create()};
    TDBG_FAIL_IF(!report->arena, NO_MEMORY, "no memory to recover with");
    r.path = tdbg_arena_strdup(report->arena, path);
    tdbg_h5_begin();
    if (options->output)
        TDBG_TRY(tdbg_file_refuse_existing(options->output, err));
    TDBG_TRY(open_original(&r, err));
    TDBG_TRY(examine(&r, &whole, err));
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
