/* Checking a whole trace: samples first, then step after step. See check_file.h; what is checked in
 * a step is in step_check.c. */
#include "trace/check_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "trace/step_check.h"
#include "trace/value_buffer.h"
#include "trace/zone_check.h"

enum { PIECE_IDS = 4096 };

struct check {
    struct tdbg_trace *trace;
    struct tdbg_file_check *out;
    const struct tdbg_site_plan *plans;
    struct tdbg_id_map sound_ids[TDBG_SAMPLES_SETS];
    bool sound_eval; /* all of its samples are there */
    bool has_state;  /* the state before the current step can be had */
    size_t fault_room, range_room;
    bool no_memory;
};

/* Makes room for one more item; false: no memory. */
static bool grow(void **items, int64_t n, size_t *room, size_t item_bytes)
{
    if ((size_t)n < *room)
        return true;
    size_t more = *room > 0 ? 2 * *room : 16;
    void *grown = realloc(*items, more * item_bytes);
    if (!grown)
        return false;
    *items = grown;
    *room = more;
    return true;
}

static bool continues(const struct check *c, const struct tdbg_file_fault *f, int64_t step,
                      int32_t site, const char *reason)
{
    int64_t every = site >= 0 && c->plans[site].value_every > 0 ? c->plans[site].value_every : 1;
    return f->site == site && f->last_step >= step - every && f->last_step <= step &&
           (f->last_step < 0) == (step < 0) && strcmp(f->reason, reason) == 0;
}

static void add_fault(struct check *c, int64_t step, int32_t site, int64_t n_samples,
                      const char *reason)
{
    struct tdbg_file_check *out = c->out;
    for (int64_t i = out->n_faults - 1; i >= 0; i--) {
        struct tdbg_file_fault *f = &out->faults[i];
        if (!continues(c, f, step, site, reason))
            continue;
        f->last_step = step;
        f->n_samples += n_samples;
        return;
    }
    if (out->n_faults == TDBG_MOST_FILE_FAULTS) {
        out->n_more++;
    } else if (grow((void **)&out->faults, out->n_faults, &c->fault_room, sizeof *out->faults)) {
        out->faults[out->n_faults++] = (struct tdbg_file_fault){
            step, step, site, n_samples, tdbg_arena_strdup(out->arena, reason)};
    } else {
        c->no_memory = true;
    }
}

static void report_fault(void *context, int64_t step, int32_t site, const char *reason)
{
    add_fault(context, step, site, 0, reason);
}

/* A fault that belongs to no step; other failures are passed on. */
static enum tdbg_status judge(struct check *c, enum tdbg_status st, struct tdbg_err *found,
                              int64_t n_samples, struct tdbg_err *err)
{
    if (st == TDBG_DAMAGED) {
        add_fault(c, -1, -1, n_samples, tdbg_fault_reason(found->message));
        st = TDBG_OK;
    } else if (st != TDBG_OK) {
        tdbg_err_set(err, st, found->file, found->line, "%s", found->message);
    }
    tdbg_err_clear(found);
    return st;
}

/* Ids can be read: one that cannot would make every sample unreadable, and each try slow. */
static enum tdbg_status check_ids(struct check *c, int set, int64_t *ids, bool *sound,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t n = tdbg_trace_n_samples(c->trace, set);
    *sound = true;
    for (int64_t at = 0; at < n; at += PIECE_IDS) {
        struct tdbg_err found = {0};
        int64_t piece = n - at < PIECE_IDS ? n - at : PIECE_IDS;
        st = tdbg_trace_read_sample_ids(c->trace, set, at, piece, ids, &found);
        *sound &= st == TDBG_OK;
        TDBG_TRY(judge(c, st, &found, piece, err));
    }
out:
    return st;
}

/* Reads every sample of a piece of ids; those that can be read are noted. */
static enum tdbg_status check_piece(struct check *c, int set, const int64_t *ids, int64_t n,
                                    void *x, void *y, bool *go_on, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int64_t i = 0; i < n && *go_on; i++) {
        struct tdbg_err found = {0};
        st = tdbg_trace_read_samples(c->trace, set, 1, &ids[i], x, y, &found);
        if (st == TDBG_OK) {
            c->out->n_samples++;
            TDBG_FAIL_IF(!tdbg_id_map_add(&c->sound_ids[set], ids[i], 0), NO_MEMORY,
                         "no memory for sample ids");
        } else if (found.message && strstr(found.message, "/id: ")) {
            *go_on = false; /* two samples of one id: none can be found */
        }
        TDBG_TRY(judge(c, st, &found, 1, err));
    }
out:
    return st;
}

static enum tdbg_status check_samples(struct check *c, int set, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_samples_spec *s = tdbg_trace_samples(c->trace, set);
    const int64_t n = tdbg_trace_n_samples(c->trace, set);
    int64_t *ids = malloc(PIECE_IDS * sizeof *ids);
    struct tdbg_value_buffer x = {0}, y = {0};
    bool sound;
    TDBG_FAIL_IF(!ids, NO_MEMORY, "no memory for sample ids");
    TDBG_TRY(tdbg_value_buffer_reserve(&x, s->x_dtype, s->x_ndim, s->x_dims, err));
    TDBG_TRY(tdbg_value_buffer_reserve(&y, s->y_dtype, s->y_ndim, s->y_dims, err));
    TDBG_TRY(check_ids(c, set, ids, &sound, err));
    for (int64_t at = 0; at < n && sound; at += PIECE_IDS) {
        int64_t piece = n - at < PIECE_IDS ? n - at : PIECE_IDS;
        TDBG_TRY(tdbg_trace_read_sample_ids(c->trace, set, at, piece, ids, err));
        TDBG_TRY(check_piece(c, set, ids, piece, x.data, y.data, &sound, err));
    }
    if (set == TDBG_SAMPLES_EVAL)
        c->sound_eval = (int64_t)c->sound_ids[set].n_used == n;
out:
    free(ids);
    free(x.data);
    free(y.data);
    return st;
}

/* A step can be executed again where the state before it and all that it takes in are sound. A
 * keyframe that cannot be read is passed over: the one before it serves as well. */
static void note_sound(struct check *c, int64_t step, const struct tdbg_step_result *r)
{
    struct tdbg_file_check *out = c->out;
    if (r->is_keyframe && r->has_keyframe)
        c->has_state = !r->keyframe_differs;
    c->has_state &= r->has_row && r->has_inputs && (!r->evaluated || c->sound_eval);
    if (!c->has_state)
        return;
    if (out->n_sound > 0 && out->sound[out->n_sound - 1].last == step - 1)
        out->sound[out->n_sound - 1].last = step;
    else if (grow((void **)&out->sound, out->n_sound, &c->range_room, sizeof *out->sound))
        out->sound[out->n_sound++] = (struct tdbg_step_range){step, step};
    else
        c->no_memory = true;
}

/* A zone that is wrong takes no step with it. */
static enum tdbg_status check_zone(struct check *c, const struct tdbg_step_checker *checker,
                                   struct tdbg_zone_checker *zones, int64_t step,
                                   struct tdbg_err *err)
{
    struct tdbg_err found = {0};
    const struct tdbg_step_row *row;
    const uint64_t *digests;
    const struct tdbg_stats *stats;
    const bool has_rows = tdbg_step_checker_rows(checker, &row, &digests, &stats);
    return judge(c,
                 tdbg_zone_checker_add(zones, step, has_rows ? row : NULL, digests, stats, &found),
                 &found, 0, err);
}

static enum tdbg_status check_steps(struct check *c,
                                    int (*progress)(void *context, int64_t done, int64_t total),
                                    void *context, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_checker *checker = NULL;
    struct tdbg_zone_checker zones = {0};
    const int64_t first = tdbg_trace_first_step(c->trace), n = tdbg_trace_n_steps(c->trace);
    TDBG_TRY(tdbg_zone_checker_init(&zones, c->trace, err));
    TDBG_TRY(tdbg_step_checker_create(c->trace, &c->sound_ids[TDBG_SAMPLES_TRAIN], report_fault, c,
                                      &checker, err));
    for (int64_t i = 0; i < n; i++) {
        struct tdbg_step_result r;
        TDBG_TRY(tdbg_step_check(checker, first + i, &r, err));
        TDBG_TRY(check_zone(c, checker, &zones, first + i, err));
        c->out->n_values += r.n_values;
        c->out->value_bytes += r.value_bytes;
        c->out->damaged_steps += r.n_faults > 0;
        note_sound(c, first + i, &r);
        TDBG_FAIL_IF(c->no_memory, NO_MEMORY, "no memory for what is wrong");
        TDBG_FAIL_IF(progress && progress(context, i + 1, n), INTERRUPTED,
                     "stopped after step %lld", (long long)(first + i));
    }
out:
    tdbg_step_checker_destroy(checker);
    tdbg_zone_checker_free(&zones);
    return st;
}

/* Why no step could be executed again, whatever state the file is in; NULL: it could. */
static const char *why_not(const struct tdbg_trace *trace)
{
    int32_t n_items;
    tdbg_trace_keyframe_items(trace, &n_items);
    if (tdbg_trace_info(trace)->numerics_version == TDBG_NUMERICS_FOREIGN)
        return "another program recorded it";
    if (tdbg_trace_samples(trace, TDBG_SAMPLES_TRAIN)->total == 0)
        return "it holds no samples";
    if (n_items == 0)
        return "it holds no keyframes";
    return NULL;
}

/* What no step reads: the vocabulary, chunks of datasets that have no rows by now, and findings. */
static enum tdbg_status check_rest(struct check *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    struct tdbg_trace_sizes sizes;
    struct tdbg_finding *findings = NULL;
    int64_t n;
    st = tdbg_trace_check_vocabulary(c->trace, &found);
    TDBG_TRY(judge(c, st, &found, 0, err));
    st = tdbg_trace_read_sizes(c->trace, &sizes, &found);
    TDBG_TRY(judge(c, st, &found, 0, err));
    st = tdbg_trace_read_findings(c->trace, &findings, &n, &found);
    TDBG_TRY(judge(c, st, &found, 0, err));
out:
    free(findings);
    return st;
}

/* What was read all the same: no step or value is lost by it, but other programs do not read it. */
static void add_torn(struct check *c)
{
    const char *path, *text;
    for (int64_t i = 0; (text = tdbg_trace_damage(c->trace, i, &path)) != NULL; i++) {
        const bool named = strcmp(path, tdbg_trace_path(c->trace)) != 0;
        add_fault(
            c, -1, -1, 0,
            tdbg_arena_printf(c->out->arena, "%s%s%s", named ? path : "", named ? ": " : "", text));
    }
}

enum tdbg_status tdbg_check_file(struct tdbg_trace *trace,
                                 int (*progress)(void *context, int64_t done, int64_t total),
                                 void *context, struct tdbg_file_check *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    struct check c = {
        .trace = trace, .out = out, .plans = tdbg_trace_plans(trace), .sound_eval = true};
    *out = (struct tdbg_file_check){.arena = tdbg_arena_create(), .not_possible = why_not(trace)};
    TDBG_FAIL_IF(!out->arena, NO_MEMORY, "no memory to check a trace with");
    if (tdbg_trace_note(trace))
        add_fault(&c, -1, -1, 0, tdbg_trace_note(trace));
    st = tdbg_trace_check_rows(trace, &found);
    TDBG_TRY(judge(&c, st, &found, 0, err));
    st = tdbg_trace_check_skeleton(trace, &found);
    TDBG_TRY(judge(&c, st, &found, 0, err));
    st = tdbg_trace_check_zones(trace, &found);
    TDBG_TRY(judge(&c, st, &found, 0, err));
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        if (tdbg_trace_samples(trace, set)->total > 0)
            TDBG_TRY(check_samples(&c, set, err));
    }
    TDBG_TRY(check_steps(&c, progress, context, err));
    TDBG_TRY(check_rest(&c, err));
    add_torn(&c);
    TDBG_FAIL_IF(c.no_memory, NO_MEMORY, "no memory for what is wrong");
    if (out->not_possible)
        out->n_sound = 0;
out:
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++)
        tdbg_id_map_free(&c.sound_ids[set]);
    return st;
}

void tdbg_file_check_clear(struct tdbg_file_check *check)
{
    free(check->faults);
    free(check->sound);
    tdbg_arena_destroy(check->arena);
    *check = (struct tdbg_file_check){0};
}
