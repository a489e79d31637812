/* Names of the files beside a trace. See segment.h. */
#include "trace/segment.h"

#include <stdlib.h>
#include <string.h>

const char *tdbg_segment_path(struct tdbg_arena *arena, const char *path, const char *kind,
                              int32_t number)
{
    const size_t n = strlen(path);
    const int ends_h5 = n > 3 && strcmp(path + n - 3, ".h5") == 0;
    if (number == 0 && strcmp(kind, "seg") == 0)
        return tdbg_arena_strdup(arena, path);
    return tdbg_arena_printf(arena, "%.*s.%s%d%s", (int)(ends_h5 ? n - 3 : n), path, kind,
                             (int)number, ends_h5 ? ".h5" : "");
}

const char *tdbg_segment_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int32_t tdbg_segment_number(const char *path)
{
    const char *at = NULL;
    char *end;
    for (const char *found = tdbg_segment_name(path); (found = strstr(found, ".seg")) != NULL;
         found += 4)
        at = found + 4;
    if (!at || *at < '0' || *at > '9')
        return 0;
    const long number = strtol(at, &end, 10);
    return (*end == 0 || strcmp(end, ".h5") == 0) && number <= INT32_MAX ? (int32_t)number : 0;
}
