/* Making files beside their names. See new_file.h. */
#include "trace/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "trace/file_lock.h"
#include "trace/file_swap.h"

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

/* A writer that only empties its queue is waited for, but not for ever. */
static bool is_being_recorded(const char *path)
{
    enum { PAUSE_NS = 10000000, MOST_PAUSES = 300 };
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool locked = false;
    if (fd < 0)
        return false;
    for (int i = 0; i < MOST_PAUSES; i++) {
        locked = tdbg_file_is_locked(fd, TDBG_LOCK_WRITER);
        if (!locked || tdbg_file_is_locked(fd, TDBG_LOCK_PROGRAM))
            break;
        nanosleep(&pause, NULL);
    }
    close(fd);
    return locked;
}

enum tdbg_status tdbg_new_file_check(const char *path, bool replace, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    TDBG_FAIL_IF(!*path, USAGE, "the name of the file is empty");
    if (stat(path, &info) != 0) {
        TDBG_FAIL_IF(lstat(path, &info) == 0, USAGE, "%s is a link that leads nowhere", path);
        return TDBG_OK; /* making it will tell what else there is to say */
    }
    TDBG_FAIL_IF(!S_ISREG(info.st_mode), USAGE, "%s is %s, not a regular file", path,
                 kind_of(info.st_mode));
    TDBG_FAIL_IF(is_being_recorded(path), USAGE, "%s is being recorded already", path);
    TDBG_FAIL_IF(!replace, USAGE, "%s exists already", path);
out:
    return st;
}

static bool is_at(int fd, const char *path)
{
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

/* What a killed process left goes; what a living one makes does not. */
static enum tdbg_status remove_leftover(const struct tdbg_new_file *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat info;
    const int fd = open(f->made, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return TDBG_OK;
    TDBG_FAIL_IF(fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode), IO,
                 "cannot create %s: %s is in the way", f->path, f->made);
    const enum tdbg_lock_result lock = tdbg_file_try_lock(fd, TDBG_LOCK_WRITER);
    TDBG_FAIL_IF(lock == TDBG_LOCK_TAKEN, USAGE, "%s is being written already", f->path);
    TDBG_FAIL_IF(lock == TDBG_LOCK_NONE, USAGE,
                 "%s is in the way: remove it, unless another process writes it", f->made);
    if (is_at(fd, f->made))
        unlink(f->made);
out:
    if (fd >= 0)
        close(fd);
    return st;
}

/* false: there is such a file. Somebody may take a file for a leftover that is not locked yet. */
static bool try_create(struct tdbg_new_file *f)
{
    f->fd = open(f->made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return false;
    if (tdbg_file_try_lock(f->fd, TDBG_LOCK_WRITER) != TDBG_LOCK_TAKEN && is_at(f->fd, f->made))
        return true;
    close(f->fd);
    f->fd = -1;
    errno = EEXIST;
    return false;
}

enum tdbg_status tdbg_new_file_create(struct tdbg_new_file *f, struct tdbg_arena *arena,
                                      const char *path, bool replace, struct tdbg_err *err)
{
    enum { MOST_TRIES = 100 };
    enum tdbg_status st = TDBG_OK;
    char *real = realpath(path, NULL);
    *f = (struct tdbg_new_file){.replaces = replace, .fd = -1};
    f->path = tdbg_arena_strdup(arena, real ? real : path);
    f->made = tdbg_arena_printf(arena, "%s.tdbg-new", f->path);
    free(real);
    TDBG_TRY(tdbg_new_file_check(path, replace, err));
    for (int i = 0; i < MOST_TRIES && !try_create(f); i++) {
        TDBG_FAIL_IF(errno != EEXIST, IO, "cannot create %s: %s", path, strerror(errno));
        TDBG_TRY(remove_leftover(f, err));
    }
    TDBG_FAIL_IF(f->fd < 0, USAGE, "%s is being written already", path);
    /* from here on nobody else gives a file that name; somebody may just have done so */
    TDBG_TRY(tdbg_new_file_check(path, replace, err));
out:
    if (st != TDBG_OK)
        tdbg_new_file_release(f);
    return st;
}

enum tdbg_status tdbg_new_file_place(struct tdbg_new_file *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_new_file_check(f->path, f->replaces, err));
    if (!f->replaces) {
        TDBG_TRY(tdbg_file_rename_new(f->made, f->path, err));
    } else {
        TDBG_FAIL_IF(fdatasync(f->fd) != 0, IO, "cannot force %s to disk: %s", f->made,
                     strerror(errno));
        TDBG_FAIL_IF(rename(f->made, f->path) != 0, IO, "cannot rename %s to %s: %s", f->made,
                     f->path, strerror(errno));
    }
    f->made = NULL;
out:
    return st;
}

void tdbg_new_file_release(struct tdbg_new_file *f)
{
    if (f->fd < 0)
        return;
    if (f->made && is_at(f->fd, f->made))
        unlink(f->made);
    close(f->fd);
    f->fd = -1;
}

enum tdbg_status tdbg_new_file_find(const struct tdbg_new_file *f, struct tdbg_arena *arena,
                                    const char **path, struct tdbg_err *err)
{
    struct stat info;
    *path = f->made ? f->made : f->path;
    if (is_at(f->fd, *path))
        return TDBG_OK;
    if (fstat(f->fd, &info) != 0 || info.st_nlink == 0)
        return TDBG_RAISE(err, IO, "%s was removed while it was written", f->path);
    *path = tdbg_arena_printf(arena, "/proc/self/fd/%d", f->fd);
    return TDBG_OK;
}
