/* A folder for traces that nobody keeps. See temporary.h. */
#include "cli/temporary.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum tdbg_status cli_temporary_make(char folder[CLI_TEMPORARY_PATH], struct tdbg_err *err)
{
    const char *base = getenv("TMPDIR");
    base = base && *base ? base : "/tmp";
    errno = ENAMETOOLONG;
    if (snprintf(folder, CLI_TEMPORARY_PATH, "%s/tdbg-XXXXXX", base) < CLI_TEMPORARY_PATH &&
        mkdtemp(folder))
        return TDBG_OK;
    const int why = errno;
    folder[0] = '\0';
    return TDBG_RAISE(err, IO, "cannot make a folder in %s: %s", base, strerror(why));
}

void cli_temporary_remove(const char *folder)
{
    DIR *dir = *folder ? opendir(folder) : NULL;
    char path[CLI_TEMPORARY_PATH + 300];
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(path);
    }
    if (dir)
        closedir(dir);
    if (*folder)
        rmdir(folder);
}
