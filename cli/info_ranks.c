/* What each rank's file holds. See info_ranks.h. */
#include "cli/info_ranks.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/convert.h"
#include "replay/rank_split.h"

struct rank_times {
    int64_t duration_ns, wait_ns;
};

static enum tdbg_status add_times(struct tdbg_trace *trace, struct rank_times *out,
                                  struct tdbg_err *err)
{
    enum { ROWS = 256 };
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row rows[ROWS];
    const int64_t end = tdbg_trace_first_step(trace) + tdbg_trace_n_steps(trace);
    *out = (struct rank_times){0};
    for (int64_t at = tdbg_trace_first_step(trace); at < end; at += ROWS) {
        const int64_t n = end - at < ROWS ? end - at : ROWS;
        TDBG_TRY(tdbg_trace_read_steps(trace, at, n, rows, err));
        for (int64_t i = 0; i < n; i++) {
            out->duration_ns += rows[i].duration_ns > 0 ? rows[i].duration_ns : 0;
            out->wait_ns += rows[i].wait_ns > 0 ? rows[i].wait_ns : 0;
        }
    }
out:
    return st;
}

static const char *state_text(enum tdbg_rank_state state)
{
    static const char *const texts[] = {
        [TDBG_RANK_THERE] = "there",
        [TDBG_RANK_MISSING] = "missing",
        [TDBG_RANK_FOREIGN] = "foreign",
        [TDBG_RANK_BROKEN] = "broken",
    };
    return texts[state];
}

/* First lane of a rank. */
static int32_t first_lane(const struct tdbg_rank_group *g, int32_t rank)
{
    return tdbg_trace_info(g->files[g->first].trace)->lanes / g->world_size * rank;
}

/* What a file holds, or in `why` what could not be read of it. */
struct holding {
    struct tdbg_trace_sizes sizes;
    struct rank_times times;
    struct tdbg_err why;
};

static void look(const struct tdbg_rank_file *file, struct holding *out)
{
    *out = (struct holding){0};
    if (file->trace && tdbg_trace_read_sizes(file->trace, &out->sizes, &out->why) == TDBG_OK)
        add_times(file->trace, &out->times, &out->why);
}

static void print_file(const struct tdbg_rank_group *g, const struct tdbg_rank_file *file)
{
    struct holding h;
    char bytes[32];
    printf("  rank %-7d lanes %d to %d, ", (int)file->rank, (int)first_lane(g, file->rank),
           (int)first_lane(g, file->rank + 1) - 1);
    if (!file->trace) {
        printf("%s: %s\n", state_text(file->state), file->why);
        return;
    }
    look(file, &h);
    const int64_t first = tdbg_trace_first_step(file->trace);
    printf("steps %" PRId64 " to %" PRId64 "%s, ", first,
           first + tdbg_trace_n_steps(file->trace) - 1,
           tdbg_trace_is_closed(file->trace) ? "" : " (not closed)");
    if (h.why.message)
        puts(h.why.message);
    else
        printf("%s, waited %.3f s (%.1f %%)\n",
               tdbg_convert_bytes_text(h.sizes.file_bytes, bytes, sizeof bytes),
               (double)h.times.wait_ns / 1e9,
               h.times.duration_ns > 0
                   ? 100.0 * (double)h.times.wait_ns / (double)h.times.duration_ns
                   : 0.0);
    tdbg_err_clear(&h.why);
}

static enum tdbg_status find_split(const struct tdbg_rank_group *g, struct tdbg_rank_split *split,
                                   struct tdbg_err *err)
{
    int64_t first, n;
    tdbg_rank_split_steps(g, &first, &n);
    return tdbg_rank_split_find(g, first, n, split, NULL, err);
}

void cli_info_ranks_print(const struct tdbg_rank_group *g)
{
    struct tdbg_rank_split split;
    struct tdbg_err why = {0};
    for (int32_t r = 0; r < g->world_size; r++)
        print_file(g, &g->files[r]);
    if (g->n_there < 2)
        return;
    if (find_split(g, &split, &why) != TDBG_OK)
        printf("  agreement    %s\n", why.message);
    else if (split.found)
        printf("  agreement    rank%s %s differ%s from the other%s from step %" PRId64
               " on, first in %s\n",
               split.n_odd > 1 ? "s" : "", split.ranks, split.n_odd > 1 ? "" : "s",
               split.n_files - split.n_odd > 1 ? "s" : "", split.step, g->sites[split.site].name);
    else
        puts("  agreement    what the ranks have in common is the same in all files");
    tdbg_err_clear(&why);
}

static void print_file_json(const struct tdbg_rank_group *g, const struct tdbg_rank_file *file,
                            struct tdbg_json *json)
{
    struct holding h;
    look(file, &h);
    tdbg_json_object_begin(json, NULL);
    tdbg_json_int(json, "rank", file->rank);
    tdbg_json_string(json, "path", file->path);
    tdbg_json_string(json, "state", state_text(file->state));
    tdbg_json_string(json, "why", file->why ? file->why : h.why.message);
    tdbg_json_int(json, "first_lane", first_lane(g, file->rank));
    tdbg_json_int(json, "lanes", first_lane(g, file->rank + 1) - first_lane(g, file->rank));
    if (file->trace && !h.why.message) {
        tdbg_json_bool(json, "closed", tdbg_trace_is_closed(file->trace));
        tdbg_json_int(json, "first_step", tdbg_trace_first_step(file->trace));
        tdbg_json_int(json, "steps", tdbg_trace_n_steps(file->trace));
        tdbg_json_int(json, "bytes", h.sizes.file_bytes);
        tdbg_json_int(json, "duration_ns", h.times.duration_ns);
        tdbg_json_int(json, "wait_ns", h.times.wait_ns);
    }
    tdbg_json_object_end(json);
    tdbg_err_clear(&h.why);
}

void cli_info_ranks_json(const struct tdbg_rank_group *g, struct tdbg_json *json)
{
    struct tdbg_rank_split split;
    tdbg_json_array_begin(json, "ranks");
    for (int32_t r = 0; r < g->world_size; r++)
        print_file_json(g, &g->files[r], json);
    tdbg_json_array_end(json);
    if (g->n_there < 2 || find_split(g, &split, NULL) != TDBG_OK)
        return;
    tdbg_json_bool(json, "ranks_agree", !split.found);
    if (!split.found)
        return;
    tdbg_json_object_begin(json, "ranks_differ");
    tdbg_json_int(json, "step", split.step);
    tdbg_json_string(json, "site", g->sites[split.site].name);
    tdbg_json_string(json, "ranks", split.ranks);
    tdbg_json_object_end(json);
}
