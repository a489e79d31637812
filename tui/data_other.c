/* See data_other.h. */
#include "tui/data_other.h"

#include <stdlib.h>

#include "trace/reader.h"
#include "tui/data_ranks.h"

struct tdbg_tui_other {
    struct tdbg_trace *trace;
    struct tdbg_tui_rank_files *files;
};

enum tdbg_status tdbg_tui_other_open(const char *path, struct tdbg_tui_other **out,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_other *other = calloc(1, sizeof *other);
    TDBG_FAIL_IF(!other, NO_MEMORY, "no memory for a second trace");
    TDBG_TRY(tdbg_trace_open(path, &other->trace, err));
    TDBG_TRY(tdbg_tui_rank_files_create(other->trace, &other->files, err));
    *out = other;
    other = NULL;
out:
    tdbg_tui_other_close(other);
    return st;
}

void tdbg_tui_other_close(struct tdbg_tui_other *other)
{
    if (!other)
        return;
    tdbg_tui_rank_files_close(other->files);
    tdbg_trace_close(other->trace);
    free(other);
}

const struct tdbg_tui_data *tdbg_tui_other_data(const struct tdbg_tui_other *other)
{
    return tdbg_tui_rank_files_data(other->files);
}
