/* Copying, renaming and forcing files to disk. See file_swap.h. */
#include "trace/file_swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum tdbg_status tdbg_file_refuse_existing(const char *path, struct tdbg_err *err)
{
    struct stat info;
    if (lstat(path, &info) == 0)
        return TDBG_RAISE(err, USAGE, "%s exists already: move it away first", path);
    return TDBG_OK;
}

enum tdbg_status tdbg_file_rename_new(const char *from, const char *to, struct tdbg_err *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return TDBG_OK;
    if (errno == EINVAL) { /* a file system that cannot */
        enum tdbg_status st = tdbg_file_refuse_existing(to, err);
        if (st != TDBG_OK || rename(from, to) == 0)
            return st;
    }
    return TDBG_RAISE(err, IO, "cannot rename %s to %s: %s", from, to, strerror(errno));
}

enum tdbg_status tdbg_file_sync(const char *path, struct tdbg_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    return good ? TDBG_OK : TDBG_RAISE(err, IO, "cannot force %s to disk: %s", path, strerror(why));
}

enum tdbg_status tdbg_file_copy(int from, const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum { PIECE = 1 << 20 };
    struct stat info;
    char *piece = malloc(PIECE);
    int to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    TDBG_FAIL_IF(!piece, NO_MEMORY, "no memory to copy with");
    TDBG_FAIL_IF(to < 0 || fstat(from, &info) != 0, IO, "cannot create %s: %s", path,
                 strerror(errno));
    for (off_t at = 0; at < info.st_size;) {
        ssize_t n = pread(from, piece, PIECE, at), written = 0;
        TDBG_FAIL_IF(n <= 0, IO, "cannot read what is to be copied: %s", strerror(errno));
        while (written < n) {
            ssize_t w = write(to, piece + written, (size_t)(n - written));
            TDBG_FAIL_IF(w <= 0, IO, "cannot write %s: %s", path, strerror(errno));
            written += w;
        }
        at += n;
    }
out:
    free(piece);
    if (to >= 0)
        close(to);
    return st;
}
