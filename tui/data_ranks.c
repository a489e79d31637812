/* Files of ranks that are opened one by one as somebody looks at them; what needs all of them opens
 * the group. See data_ranks.h. HDF5 gives a file that is open already once more, as it was: what is
 * to be read anew has to be closed everywhere first. */
#include "tui/data_ranks.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "replay/dropped.h"
#include "replay/rank_split.h"

enum {
    RETRY_NS = 20000000, /* while a writer is about to close its file */
    RETRIES = 50,
};

struct file {
    struct tdbg_trace *trace; /* NULL: not opened, or not there */
    struct tdbg_tui_data data;
    char *why;               /* it is not there; NULL: not known yet */
    struct tdbg_site *sites; /* following: the list that stays; NULL: none yet */
};

struct tdbg_tui_rank_files {
    struct tdbg_trace *trace;                       /* borrowed, or followed: */
    struct tdbg_tui_rank_files_following following; /* path NULL: it is not */
    struct tdbg_arena *arena;                       /* of the sites that stay */
    struct tdbg_tui_ranks ranks;
    struct file *files;            /* (ranks.n) */
    struct tdbg_rank_group *group; /* NULL: not opened yet */
    int32_t own;
};

/* The screens look at a tensor by its number, whatever the rank. */
static enum tdbg_status check_sites(const struct tdbg_tui_data *a, const struct tdbg_tui_data *b,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool same = a->n_sites == b->n_sites;
    for (int32_t i = 0; same && i < a->n_sites; i++)
        same = strcmp(a->sites[i].name, b->sites[i].name) == 0 &&
               tdbg_site_elems(&a->sites[i]) == tdbg_site_elems(&b->sites[i]);
    TDBG_FAIL_IF(!same, DAMAGED, "%s lists other tensors than %s", b->path, a->path);
out:
    return st;
}

/* A list of sites that outlives the trace it is from. */
static struct tdbg_site *keep_sites(struct tdbg_arena *arena, const struct tdbg_tui_data *data)
{
    struct tdbg_site *sites = tdbg_arena_alloc(arena, (size_t)data->n_sites * sizeof *sites + 1);
    for (int32_t i = 0; i < data->n_sites; i++) {
        sites[i] = data->sites[i];
        sites[i].name = tdbg_arena_strdup(arena, sites[i].name);
        sites[i].op = tdbg_arena_strdup(arena, sites[i].op);
        sites[i].unit = tdbg_arena_strdup(arena, sites[i].unit);
    }
    return sites;
}

/* The table over an open trace, in the place of what was there. */
static enum tdbg_status take_trace(struct tdbg_tui_rank_files *f, struct file *file,
                                   struct tdbg_trace *trace, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t n_sites = file->data.n_sites;
    const int64_t n_steps = file->data.n_steps;
    struct tdbg_tui_data data = tdbg_tui_data_from_trace(trace);
    if (f->ranks.n > 1)
        data.ranks = &f->ranks;
    if (f->files[f->own].trace)
        TDBG_TRY(check_sites(&f->files[f->own].data, &data, err));
    TDBG_FAIL_IF(file->sites && (data.n_sites != n_sites || data.n_steps < n_steps), DAMAGED,
                 "%s is another trace now", data.path);
    if (f->following.path) {
        file->sites = file->sites ? file->sites : keep_sites(f->arena, &data);
        data.sites = file->sites;
    }
    file->data = data;
    tdbg_tui_data_add_flow(&file->data, trace);
    file->trace = trace;
out:
    return st;
}

static enum tdbg_status open_file(struct tdbg_tui_rank_files *f, int32_t rank, struct file *file,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    TDBG_TRY(tdbg_rank_open(f->trace, rank, &trace, NULL, err));
    TDBG_TRY(take_trace(f, file, trace, err));
    trace = NULL;
out:
    tdbg_trace_close(trace);
    return st;
}

static const struct tdbg_tui_data *open_rank(void *context, int32_t rank, const char **why)
{
    struct tdbg_tui_rank_files *f = context;
    struct file *file = &f->files[rank];
    struct tdbg_err err = {0};
    if (!file->trace && !file->why) {
        if (open_file(f, rank, file, &err) != TDBG_OK) {
            file->why = strdup(err.message ? err.message : "it cannot be opened");
            tdbg_err_clear(&err);
        } else if (f->following.on_open) {
            f->following.on_open(f->following.context, file->data.path);
        }
    }
    *why = file->why ? file->why : "no memory for its name";
    return file->trace ? &file->data : NULL;
}

static enum tdbg_status open_group(struct tdbg_tui_rank_files *f, struct tdbg_err *err)
{
    return f->group ? TDBG_OK : tdbg_rank_group_open(tdbg_trace_path(f->trace), &f->group, err);
}

static enum tdbg_status find_split(void *context, struct tdbg_rank_split *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_rank_files *f = context;
    int64_t first, n;
    TDBG_TRY(open_group(f, err));
    tdbg_rank_split_steps(f->group, &first, &n);
    TDBG_TRY(tdbg_rank_split_find(f->group, first, n, out, NULL, err));
    /* sites are numbered as in one file, not as in the joined list */
    if (out->found)
        out->site = f->group->local[out->site];
out:
    return st;
}

static enum tdbg_status fold(void *context, int64_t step, int32_t site, uint64_t *digest,
                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_rank_files *f = context;
    int32_t n;
    TDBG_TRY(open_group(f, err));
    st = tdbg_fold_lanes(f->group, step, &tdbg_trace_sites(f->trace, &n)[site], digest, err);
out:
    return st;
}

static enum tdbg_status create(struct tdbg_trace *trace,
                               const struct tdbg_tui_rank_files_following *following,
                               struct tdbg_tui_rank_files **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    struct tdbg_tui_rank_files *f = calloc(1, sizeof *f);
    TDBG_FAIL_IF(!f, NO_MEMORY, "no memory for the files of the ranks");
    f->files = calloc((size_t)info->world_size, sizeof *f->files);
    f->arena = tdbg_arena_create();
    TDBG_FAIL_IF(!f->files || !f->arena, NO_MEMORY, "no memory for the files of the ranks");
    f->trace = trace;
    f->own = info->rank;
    f->ranks = (struct tdbg_tui_ranks){.context = f,
                                       .n = info->world_size,
                                       .open = open_rank,
                                       .find_split = find_split,
                                       .fold = fold};
    if (following)
        f->following = *following;
    TDBG_TRY(take_trace(f, &f->files[f->own], trace, err));
    *out = f;
    f = NULL;
out:
    if (f)
        f->following.path = NULL; /* the trace is the caller's still */
    tdbg_tui_rank_files_close(f);
    return st;
}

enum tdbg_status tdbg_tui_rank_files_create(struct tdbg_trace *trace,
                                            struct tdbg_tui_rank_files **out, struct tdbg_err *err)
{
    return create(trace, NULL, out, err);
}

enum tdbg_status tdbg_tui_rank_files_open(const struct tdbg_tui_rank_files_following *following,
                                          struct tdbg_tui_rank_files **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    TDBG_TRY(tdbg_trace_open(following->path, &trace, err));
    TDBG_TRY(create(trace, following, out, err));
    trace = NULL;
out:
    tdbg_trace_close(trace);
    return st;
}

/* ---- once more ---- */

/* Closes everything; files that were open have was_open (ranks.n) set. */
static void close_all(struct tdbg_tui_rank_files *f, bool *was_open)
{
    tdbg_rank_group_close(f->group);
    f->group = NULL;
    for (int32_t r = 0; r < f->ranks.n; r++) {
        struct file *file = &f->files[r];
        was_open[r] = file->trace != NULL;
        tdbg_tui_data_free_flow(&file->data);
        tdbg_trace_close(file->trace);
        file->trace = NULL;
        free(file->why); /* it may be there by now */
        file->why = NULL;
    }
    f->trace = NULL;
}

static enum tdbg_status open_again(struct tdbg_tui_rank_files *f, int32_t rank,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_IO;
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    struct tdbg_trace *trace = NULL;
    for (int i = 0; st != TDBG_OK && i < RETRIES; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        tdbg_err_clear(err);
        st = rank == f->own ? tdbg_trace_open(f->following.path, &trace, err)
                            : tdbg_rank_open(f->trace, rank, &trace, NULL, err);
    }
    if (st == TDBG_OK)
        st = take_trace(f, &f->files[rank], trace, err);
    if (st != TDBG_OK)
        tdbg_trace_close(trace);
    else if (rank == f->own)
        f->trace = trace;
    return st;
}

enum tdbg_status tdbg_tui_rank_files_renew(struct tdbg_tui_rank_files *f, int32_t needed,
                                           struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool *was_open = calloc((size_t)f->ranks.n, sizeof *was_open);
    TDBG_FAIL_IF(!was_open, NO_MEMORY, "no memory for the files of the ranks");
    close_all(f, was_open);
    TDBG_TRY(open_again(f, f->own, err));
    for (int32_t r = 0; r < f->ranks.n; r++) {
        struct tdbg_err fault = {0};
        if (!was_open[r] || r == f->own || open_again(f, r, &fault) == TDBG_OK)
            continue;
        if (r == needed)
            st = tdbg_err_set(err, fault.status, fault.file, fault.line, "%s", fault.message);
        else
            f->files[r].why = strdup(fault.message ? fault.message : "it cannot be opened");
        tdbg_err_clear(&fault);
        TDBG_TRY(st);
    }
out:
    free(was_open);
    return st;
}

void tdbg_tui_rank_files_close(struct tdbg_tui_rank_files *f)
{
    if (!f)
        return;
    for (int32_t r = 0; f->files && r < f->ranks.n; r++) {
        tdbg_tui_data_free_flow(&f->files[r].data);
        if (r != f->own || f->following.path)
            tdbg_trace_close(f->files[r].trace);
        free(f->files[r].why);
    }
    tdbg_rank_group_close(f->group);
    tdbg_arena_destroy(f->arena);
    free(f->files);
    free(f);
}

const struct tdbg_tui_data *tdbg_tui_rank_files_data(const struct tdbg_tui_rank_files *f)
{
    return &f->files[f->own].data;
}

const struct tdbg_tui_data *tdbg_tui_rank_files_of(const struct tdbg_tui_rank_files *f,
                                                   int32_t rank)
{
    return f->files[rank].trace ? &f->files[rank].data : NULL;
}
