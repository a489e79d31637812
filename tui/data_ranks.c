/* Files of ranks that are opened one by one as somebody looks at them; what needs all of them opens
 * the group. See data_ranks.h. */
#include "tui/data_ranks.h"

#include <stdlib.h>
#include <string.h>

#include "replay/dropped.h"
#include "replay/rank_split.h"

struct file {
    struct tdbg_trace *trace; /* NULL: not opened, or not there */
    struct tdbg_tui_data data;
    char *why; /* it is not there; NULL: not known yet */
};

struct tdbg_tui_rank_files {
    struct tdbg_trace *trace; /* borrowed */
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

static enum tdbg_status open_file(struct tdbg_tui_rank_files *f, int32_t rank, struct file *file,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    TDBG_TRY(tdbg_rank_open(f->trace, rank, &trace, NULL, err));
    file->data = tdbg_tui_data_from_trace(trace);
    file->data.ranks = &f->ranks;
    TDBG_TRY(check_sites(&f->files[f->own].data, &file->data, err));
    tdbg_tui_data_add_flow(&file->data, trace);
    file->trace = trace;
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

enum tdbg_status tdbg_tui_rank_files_create(struct tdbg_trace *trace,
                                            struct tdbg_tui_rank_files **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    struct tdbg_tui_rank_files *f = calloc(1, sizeof *f);
    TDBG_FAIL_IF(!f, NO_MEMORY, "no memory for the files of the ranks");
    f->files = calloc((size_t)info->world_size, sizeof *f->files);
    TDBG_FAIL_IF(!f->files, NO_MEMORY, "no memory for the files of the ranks");
    f->trace = trace;
    f->own = info->rank;
    f->files[f->own].trace = trace;
    f->files[f->own].data = tdbg_tui_data_from_trace(trace);
    tdbg_tui_data_add_flow(&f->files[f->own].data, trace);
    f->ranks = (struct tdbg_tui_ranks){.context = f,
                                       .n = info->world_size,
                                       .open = open_rank,
                                       .find_split = find_split,
                                       .fold = fold};
    if (info->world_size > 1)
        f->files[f->own].data.ranks = &f->ranks;
    *out = f;
    f = NULL;
out:
    tdbg_tui_rank_files_close(f);
    return st;
}

void tdbg_tui_rank_files_close(struct tdbg_tui_rank_files *f)
{
    if (!f)
        return;
    for (int32_t r = 0; f->files && r < f->ranks.n; r++) {
        tdbg_tui_data_free_flow(&f->files[r].data);
        if (r != f->own)
            tdbg_trace_close(f->files[r].trace);
        free(f->files[r].why);
    }
    tdbg_rank_group_close(f->group);
    free(f->files);
    free(f);
}

const struct tdbg_tui_data *tdbg_tui_rank_files_data(const struct tdbg_tui_rank_files *f)
{
    return &f->files[f->own].data;
}
