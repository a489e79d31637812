/* A file that is made beside its name and takes the name when it is good. What stood there is kept
 * until then, and only what was made here is ever removed.
 *
 *     t.h5            whatever was there before        <--- place: a rename
 *     t.h5.tdbg-new   being made, locked by its maker  ----'
 *
 * The lock of a writer (file_lock.h) on the new file keeps a second maker of the same name away;
 * one that nobody holds any more is left over from a process that was killed, and goes. */
#ifndef TDBG_TRACE_NEW_FILE_H
#define TDBG_TRACE_NEW_FILE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"

struct tdbg_new_file {
    const char *path; /* the name that it takes: where a link leads, not the link */
    const char *made; /* the name that it has until then; NULL: it has taken the other one */
    bool replaces;    /* an existing regular file */
    int fd;           /* for reading and writing, and holds the lock; -1: there is no file */
};
#define TDBG_NEW_FILE_NONE ((struct tdbg_new_file){.fd = -1})

/* May `path` be written? TDBG_USAGE: it is something else than a regular file, is being recorded,
 * or exists while `replace` is false. */
enum tdbg_status tdbg_new_file_check(const char *path, bool replace, struct tdbg_err *err);

/* Makes the empty file. TDBG_USAGE as above, TDBG_IO where it cannot be made. Names are kept in the
 * arena. */
enum tdbg_status tdbg_new_file_create(struct tdbg_new_file *f, struct tdbg_arena *arena,
                                      const char *path, bool replace, struct tdbg_err *err);

/* Gives it its name; it stays open and locked. */
enum tdbg_status tdbg_new_file_place(struct tdbg_new_file *f, struct tdbg_err *err);

/* Closes it, and removes it where it did not take its name. */
void tdbg_new_file_release(struct tdbg_new_file *f);

/* Where the file is now. A file that was placed may have been moved since, or removed (TDBG_IO). */
enum tdbg_status tdbg_new_file_find(const struct tdbg_new_file *f, struct tdbg_arena *arena,
                                    const char **path, struct tdbg_err *err);

#endif
