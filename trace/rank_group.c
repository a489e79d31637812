/* Opening the files of all ranks and joining their lists of sites. See rank_group.h. */
#include "trace/rank_group.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"

static int32_t lanes_per_rank(const struct tdbg_run_info *info)
{
    return info->lanes / info->world_size;
}

int32_t tdbg_rank_of_lane(const struct tdbg_run_info *info, int64_t lane)
{
    if (lane < 0 || lane >= info->lanes || lanes_per_rank(info) == 0)
        return -1;
    return (int32_t)(lane / lanes_per_rank(info));
}

/* --- do two files belong together? --- */

static bool same_run(const struct tdbg_run_info *a, const struct tdbg_run_info *b)
{
    return a->world_size == b->world_size && a->lanes == b->lanes &&
           a->accumulate == b->accumulate && a->batch == b->batch && a->seed == b->seed &&
           a->numerics_version == b->numerics_version &&
           memcmp(a->parent_uuid, b->parent_uuid, sizeof a->parent_uuid) == 0 &&
           strcmp(a->config, b->config) == 0 && strcmp(a->preset, b->preset) == 0;
}

static enum tdbg_status check_belongs(const struct tdbg_trace *t, const struct tdbg_trace *other,
                                      int32_t rank, enum tdbg_rank_state *state,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *a = tdbg_trace_info(t), *b = tdbg_trace_info(other);
    const char *path = tdbg_trace_path(other), *first = tdbg_trace_path(t);
    *state = TDBG_RANK_FOREIGN;
    TDBG_FAIL_IF(memcmp(a->uuid, b->uuid, sizeof a->uuid) != 0, NO_TRACE,
                 "%s is of another run than %s, so it is not the file of its rank %d", path, first,
                 (int)rank);
    TDBG_FAIL_IF(b->rank != rank, NO_TRACE, "%s is the file of rank %d, not of rank %d", path,
                 (int)b->rank, (int)rank);
    *state = TDBG_RANK_BROKEN;
    TDBG_FAIL_IF(!same_run(a, b) || !tdbg_trace_same_samples(t, other), DAMAGED,
                 "%s describes the run in another way than %s", path, first);
    *state = TDBG_RANK_THERE;
out:
    return st;
}

enum tdbg_status tdbg_rank_open(struct tdbg_trace *trace, int32_t rank, struct tdbg_trace **out,
                                enum tdbg_rank_state *state, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum tdbg_rank_state unused;
    const char *path = tdbg_trace_rank_path(trace, rank);
    struct tdbg_trace *other = NULL;
    state = state ? state : &unused;
    *state = TDBG_RANK_MISSING;
    TDBG_FAIL_IF(path == tdbg_trace_path(trace), NO_TRACE,
                 "the file of rank %d cannot be found: %s, of rank %d, is not called ...rank%d.h5",
                 (int)rank, path, (int)tdbg_trace_info(trace)->rank,
                 (int)tdbg_trace_info(trace)->rank);
    TDBG_FAIL_IF(access(path, F_OK) != 0, NO_TRACE, "the file of rank %d, %s, is not there",
                 (int)rank, path);
    *state = TDBG_RANK_BROKEN;
    TDBG_TRY(tdbg_trace_open(path, &other, err));
    TDBG_TRY(check_belongs(trace, other, rank, state, err));
    *out = other;
    return TDBG_OK;
out:
    tdbg_trace_close(other);
    return st;
}

/* --- the joined list --- */

/* Where the joining stands in the list of one file. */
struct cursor {
    struct tdbg_rank_file *file;
    const struct tdbg_site *sites;
    int32_t at, n, run; /* run: sites from `at` on that have the same name */
};

static bool is_of_step(const struct tdbg_site *s)
{
    return s->lane == TDBG_LANE_ALL;
}

static bool same_tensor(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return strcmp(a->name, b->name) == 0 && a->stage == b->stage && a->dtype == b->dtype &&
           a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims) == 0 &&
           is_of_step(a) == is_of_step(b);
}

/* Finds the run of sites that stand for one tensor; false: they are not this rank's. */
static bool find_run(struct cursor *c, const struct tdbg_run_info *info)
{
    const struct tdbg_site *s = &c->sites[c->at];
    c->run = 1;
    if (c->at == c->n)
        return false;
    while (c->at + c->run < c->n && same_tensor(s, &s[c->run]))
        c->run++;
    if (is_of_step(s))
        return c->run == 1;
    for (int32_t i = 0; i < c->run; i++) {
        if (tdbg_rank_of_lane(info, s[i].lane) != c->file->rank)
            return false;
    }
    return true;
}

/* Does the file list the tensors that the first one lists, in its order, with lanes of its own? */
static bool fits(struct tdbg_rank_group *g, struct tdbg_rank_file *file)
{
    const struct tdbg_run_info *info = tdbg_trace_info(file->trace);
    struct cursor a = {.file = &g->files[g->first]}, b = {.file = file};
    a.sites = tdbg_trace_sites(a.file->trace, &a.n);
    b.sites = tdbg_trace_sites(b.file->trace, &b.n);
    for (; a.at < a.n; a.at += a.run, b.at += b.run) {
        if (!find_run(&a, info) || !find_run(&b, info) || a.run != b.run ||
            !same_tensor(&a.sites[a.at], &b.sites[b.at]))
            return false;
    }
    return b.at == b.n;
}

/* One run of every file: a tensor of the step becomes one site, one of lanes a site for each. */
static void join_run(struct tdbg_rank_group *g, struct cursor *cursors, struct tdbg_site *sites,
                     struct tdbg_site_plan *plans)
{
    const bool once = is_of_step(&cursors[0].sites[cursors[0].at]);
    for (int32_t k = 0; k < g->n_there; k++) {
        struct cursor *c = &cursors[k];
        for (int32_t i = 0; i < c->run; i++) {
            c->file->joined[c->at + i] = g->n_sites - (once && k > 0);
            if (once && k > 0)
                continue;
            sites[g->n_sites] = c->sites[c->at + i];
            plans[g->n_sites] = tdbg_trace_plans(c->file->trace)[c->at + i];
            g->holder[g->n_sites] = c->file->rank;
            g->local[g->n_sites++] = c->at + i;
        }
        c->at += c->run;
    }
}

static void join_sites(struct tdbg_rank_group *g)
{
    struct cursor *cursors = tdbg_arena_alloc(g->arena, (size_t)g->n_there * sizeof *cursors);
    size_t most = 0;
    int32_t k = 0;
    for (int32_t r = 0; r < g->world_size; r++) {
        struct tdbg_rank_file *file = &g->files[r];
        if (!file->trace)
            continue;
        struct cursor *c = &cursors[k++];
        c->file = file;
        c->sites = tdbg_trace_sites(file->trace, &c->n);
        file->joined = tdbg_arena_alloc(g->arena, (size_t)c->n * sizeof *file->joined);
        most += (size_t)c->n;
    }
    struct tdbg_site *sites = tdbg_arena_alloc(g->arena, most * sizeof *sites);
    struct tdbg_site_plan *plans = tdbg_arena_alloc(g->arena, most * sizeof *plans);
    g->holder = tdbg_arena_alloc(g->arena, most * sizeof *g->holder);
    g->local = tdbg_arena_alloc(g->arena, most * sizeof *g->local);
    while (cursors[0].at < cursors[0].n) {
        for (k = 0; k < g->n_there; k++)
            find_run(&cursors[k], tdbg_trace_info(cursors[k].file->trace));
        join_run(g, cursors, sites, plans);
    }
    g->sites = sites;
    g->plans = plans;
}

/* --- opening --- */

static void set_broken(struct tdbg_rank_group *g, struct tdbg_rank_file *file, const char *why)
{
    file->state = TDBG_RANK_BROKEN;
    file->why = tdbg_arena_strdup(g->arena, why);
    tdbg_trace_close(file->trace);
    file->trace = NULL;
}

static enum tdbg_status open_others(struct tdbg_rank_group *g, struct tdbg_trace *opened,
                                    struct tdbg_err *err)
{
    const int32_t own = tdbg_trace_info(opened)->rank;
    for (int32_t r = 0; r < g->world_size; r++) {
        struct tdbg_rank_file *file = &g->files[r];
        struct tdbg_err why = {0};
        file->rank = r;
        file->path = tdbg_trace_rank_path(opened, r);
        if (r == own)
            continue;
        const enum tdbg_status st = tdbg_rank_open(opened, r, &file->trace, &file->state, &why);
        if (st == TDBG_NO_MEMORY)
            return tdbg_err_set(err, st, why.file, why.line, "no memory for the file of rank %d",
                                (int)r);
        if (st != TDBG_OK)
            file->why = tdbg_arena_strdup(g->arena, why.message);
        tdbg_err_clear(&why);
    }
    return TDBG_OK;
}

/* The file that was asked for decides what fits: it is the one that nobody can do without. */
static enum tdbg_status join(struct tdbg_rank_group *g, int32_t own, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    g->first = own;
    TDBG_FAIL_IF(!fits(g, &g->files[own]), DAMAGED,
                 "%s lists sites of lanes that are not those of rank %d", g->files[own].path,
                 (int)own);
    for (int32_t r = 0; r < g->world_size; r++) {
        struct tdbg_rank_file *file = &g->files[r];
        if (!file->trace)
            continue;
        if (fits(g, file)) {
            g->n_there++;
            continue;
        }
        set_broken(g, file,
                   tdbg_arena_printf(g->arena, "%s lists other sites than %s", file->path,
                                     g->files[own].path));
    }
    for (g->first = 0; !g->files[g->first].trace;)
        g->first++;
    join_sites(g);
out:
    return st;
}

/* Where there is no such file, there may be that of another rank. */
static enum tdbg_status open_own(const char *path, struct tdbg_trace **out, struct tdbg_err *err)
{
    const enum tdbg_status st = tdbg_trace_open(path, out, err);
    const size_t n = strlen(path), stem = n > 3 && strcmp(path + n - 3, ".h5") == 0 ? n - 3 : n;
    struct tdbg_arena *arena =
        st == TDBG_NO_TRACE && access(path, F_OK) != 0 ? tdbg_arena_create() : NULL;
    if (!arena)
        return st;
    const char *other = tdbg_arena_printf(arena, "%.*s.rank1%s", (int)stem, path, path + stem);
    if (access(other, F_OK) == 0 && err)
        tdbg_err_set(err, st, err->file, err->line, "%s",
                     tdbg_arena_printf(arena, "%s\nhint: %s is there, and knows the others",
                                       err->message, other));
    tdbg_arena_destroy(arena);
    return st;
}

enum tdbg_status tdbg_rank_group_open(const char *path, struct tdbg_rank_group **out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *opened = NULL;
    struct tdbg_rank_group *g = calloc(1, sizeof *g);
    TDBG_FAIL_IF(!g || !(g->arena = tdbg_arena_create()), NO_MEMORY,
                 "no memory for the ranks of a trace");
    TDBG_TRY(open_own(path, &opened, err));
    const struct tdbg_run_info *info = tdbg_trace_info(opened);
    TDBG_FAIL_IF(info->world_size > TDBG_MOST_RANK_FILES || info->lanes % info->world_size != 0,
                 DAMAGED, "%s has %d lanes of %d ranks, which cannot be", path, (int)info->lanes,
                 (int)info->world_size);
    g->files = tdbg_arena_alloc(g->arena, (size_t)info->world_size * sizeof *g->files);
    g->world_size = info->world_size;
    g->asked = info->rank;
    g->files[info->rank].trace = opened;
    opened = NULL;
    TDBG_TRY(open_others(g, g->files[info->rank].trace, err));
    TDBG_TRY(join(g, info->rank, err));
    *out = g;
    return TDBG_OK;
out:
    tdbg_trace_close(opened);
    tdbg_rank_group_close(g);
    return st;
}

void tdbg_rank_group_close(struct tdbg_rank_group *g)
{
    if (!g)
        return;
    for (int32_t r = 0; r < g->world_size; r++)
        tdbg_trace_close(g->files[r].trace);
    tdbg_arena_destroy(g->arena);
    free(g);
}

enum tdbg_status tdbg_rank_group_refuse_foreign(const struct tdbg_rank_group *g,
                                                struct tdbg_err *err)
{
    for (int32_t r = 0; r < g->world_size; r++) {
        if (g->files[r].state == TDBG_RANK_FOREIGN)
            return TDBG_RAISE(err, NO_TRACE, "%s\nhint: put the run's own file there, or none",
                              g->files[r].why);
    }
    return TDBG_OK;
}

bool tdbg_rank_has_step(const struct tdbg_rank_file *file, int64_t step)
{
    return file->trace && step >= tdbg_trace_first_step(file->trace) &&
           step - tdbg_trace_first_step(file->trace) < tdbg_trace_n_steps(file->trace);
}

void tdbg_rank_group_steps(const struct tdbg_rank_group *g, int64_t *first, int64_t *n)
{
    int64_t end = 0;
    *first = INT64_MAX;
    for (int32_t r = 0; r < g->world_size; r++) {
        const struct tdbg_trace *t = g->files[r].trace;
        if (!t)
            continue;
        const int64_t from = tdbg_trace_first_step(t), to = from + tdbg_trace_n_steps(t);
        *first = from < *first ? from : *first;
        end = to > end ? to : end;
    }
    *n = end - *first;
}

int32_t tdbg_rank_local_site(const struct tdbg_rank_file *file, int32_t site)
{
    int32_t n, low = 0;
    tdbg_trace_sites(file->trace, &n);
    for (int32_t high = n; low < high;) {
        const int32_t middle = low + (high - low) / 2;
        if (file->joined[middle] < site)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && file->joined[low] == site ? low : -1;
}

int32_t tdbg_rank_group_find(const struct tdbg_rank_group *g, const char *name, int32_t lane,
                             int32_t micro)
{
    const struct tdbg_run_info *info = tdbg_trace_info(g->files[g->first].trace);
    const int32_t rank = lane >= 0 ? tdbg_rank_of_lane(info, lane) : g->first;
    if (rank < 0 || !g->files[rank].trace)
        return -1;
    const int32_t local = tdbg_trace_find_site(g->files[rank].trace, name, lane, micro);
    return local < 0 ? -1 : g->files[rank].joined[local];
}
