/* Deciding what a file needs: can it be read as it stands, and are its last steps complete? See
 * recover_impl.h. */
#include "trace/recover_impl.h"

#include <string.h>

#include "trace/dataset_list.h"
#include "trace/hdf5_util.h"
#include "trace/layout.h"
#include "trace/segment.h"

void tdbg_recover_progress(const struct tdbg_recovery *r, const char *what, int64_t done,
                           int64_t total)
{
    if (r->options->progress)
        r->options->progress(r->options->progress_context, what, done, total);
}

/* Chunks that a dataset has to have at least. Evaluation leaves gaps, a full queue may, and so may
 * whatever a later version adds; zones can be done without. */
static uint64_t chunks_due(const struct tdbg_trace *t, const struct tdbg_chunked *c,
                           enum tdbg_rows_rule rule, int32_t every, int64_t n_keyframes)
{
    if (rule == TDBG_ROWS_OTHER || rule == TDBG_ROWS_ZONES ||
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

static enum tdbg_status check_datasets(struct tdbg_recovery *r, struct tdbg_trace *t,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_dataset_list list;
    struct tdbg_arena *arena = tdbg_arena_create();
    TDBG_FAIL_IF(!arena, NO_MEMORY, "no memory for a list of datasets");
    TDBG_TRY(tdbg_list_datasets(t->file, arena, &list, err));
    for (size_t i = 0; i < list.n_items; i++) {
        TDBG_TRY(check_index(t, list.items[i].path, t->n_keyframes, err));
        tdbg_recover_progress(r, "reading the metadata", (int64_t)i + 1, (int64_t)list.n_items);
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

enum tdbg_status tdbg_recover_checker(const struct tdbg_recovery *r, struct tdbg_trace *t,
                                      tdbg_fault_fn report, struct tdbg_step_checker **out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = tdbg_step_checker_create(t, NULL, report, r->report, out, err);
    if (st == TDBG_OK && tdbg_segment_number(r->path) > 0)
        tdbg_step_checker_accept_missing(*out);
    return st;
}

/* The last steps of a recording that was cut off: what was to be flushed may not be there. */
static enum tdbg_status check_tail(struct tdbg_recovery *r, struct tdbg_trace *t, bool *sound,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_checker *checker = NULL;
    struct tdbg_step_result result;
    int64_t last = t->first_step + t->n_steps - 1, n = t->n_steps;
    n = n < TDBG_RECOVER_TAIL_STEPS ? n : TDBG_RECOVER_TAIL_STEPS;
    *sound = true;
    TDBG_TRY(tdbg_recover_checker(r, t, keep_reason, &checker, err));
    for (int64_t i = 0; i < n && *sound; i++) {
        TDBG_TRY(tdbg_step_check(checker, last - i, &result, err));
        *sound = result.n_faults == 0;
    }
out:
    tdbg_step_checker_destroy(checker);
    return st;
}

void tdbg_recover_note_next(struct tdbg_recovery *r, const struct tdbg_trace *t)
{
    const char *next = tdbg_reader_next_path(t);
    r->report->next = next ? tdbg_arena_strdup(r->report->arena, next) : NULL;
}

static void note_steps(struct tdbg_recovery *r, const struct tdbg_trace *t)
{
    tdbg_recover_note_next(r, t);
    r->report->first_step = t->first_step;
    r->report->n_steps = t->n_steps;
    r->n_keyframes = t->n_keyframes;
}

enum tdbg_status tdbg_recover_examine(struct tdbg_recovery *r, bool *whole, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    struct tdbg_trace *t = NULL;
    const char *torn, *path;
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
    if ((torn = tdbg_trace_damage(t, 0, &path)) != NULL && *whole) {
        r->report->reason = tdbg_arena_strdup(r->report->arena, torn);
        *whole = false;
        goto out;
    }
    note_steps(r, t);
out:
    tdbg_trace_close(t);
    tdbg_err_clear(&found);
    return st;
}
