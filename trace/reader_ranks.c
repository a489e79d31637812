/* Names of the files of other ranks. The name of rank 0's file says those of the others; where that
 * file was given another name, its links still do.
 *
 *     runs/t.h5, rank 0    <->    runs/t.rank2.h5, rank 2
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace/reader_impl.h"
#include "trace/segment.h"

/* "runs/t.rank2.h5" -> "runs/t.h5"; NULL: the name is not of that kind. */
static const char *first_path(struct tdbg_trace *t)
{
    char part[24];
    const char *at = NULL;
    const int n = snprintf(part, sizeof part, ".rank%d", (int)t->info.rank);
    for (const char *found = tdbg_segment_name(t->path); (found = strstr(found, part)) != NULL;
         found++) {
        if (found[n] == '\0' || found[n] == '.' || found[n] == '-')
            at = found;
    }
    return at ? tdbg_arena_printf(t->arena, "%.*s%s", (int)(at - t->path), t->path, at + n) : NULL;
}

const char *tdbg_trace_rank_path(struct tdbg_trace *t, int32_t rank)
{
    char link[32];
    const char *first = t->info.rank == 0 ? t->path : first_path(t);
    if (rank == t->info.rank)
        return t->path;
    if (!first)
        first = t->path;
    if (rank == 0)
        return first;
    const char *path = tdbg_segment_path(t->arena, first, "rank", rank);
    snprintf(link, sizeof link, "ranks/%d", (int)rank);
    if (t->info.rank > 0 || access(path, F_OK) == 0)
        return path;
    const char *linked = tdbg_reader_link_path(t, "ranks", link);
    return linked ? linked : path;
}
