/* Preloaded into tdbg by the torture suite: makes calls on a trace fail.
 *
 *     TDBG_FAIL_IO=CALL:N:ERROR:HOW    CALL write, sync or truncate; ERROR EIO or ENOSPC;
 *                                      HOW once (the N-th call) or on (the N-th and all after it)
 *     TDBG_FAIL_IO=tear:N:KILL:WHERE   the process is killed in the middle of the N-th write that
 *                                      is in place and touches several pages; WHERE first or last:
 *                                      after which of them but the last. Linux looks between two
 *                                      pages of a write whether the process is to end.
 *     TDBG_FAIL_IO=kill:N:KILL:WHERE   before (first) or after (last) the N-th write
 *
 * Only files whose name ends in ".h5" count, under the name they are made with too, and calls of
 * one process are counted together. */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    char call[16];
    long number;
    int error;
    bool lasting, last_page;
} plan;

enum { PAGE_BYTES = 4096 };

static long calls;

static void read_plan(void)
{
    char error[16], how[16];
    const char *text = getenv("TDBG_FAIL_IO");
    if (!text || sscanf(text, "%15[^:]:%ld:%15[^:]:%15s", plan.call, &plan.number, error, how) != 4)
        return;
    plan.error = strcmp(error, "ENOSPC") == 0 ? ENOSPC : EIO;
    plan.lasting = strcmp(how, "on") == 0;
    plan.last_page = strcmp(how, "last") == 0;
}

static bool is_trace(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    char *made = strstr(path, ".tdbg-new");
    if (made)
        *made = 0;
    n = (ssize_t)strlen(path);
    return n > 3 && memcmp(path + n - 3, ".h5", 3) == 0;
}

/* Is this call to fail? errno is set then. */
static bool fails(const char *call, int fd)
{
    int saved = errno;
    pthread_once(&once, read_plan);
    bool counts = strcmp(plan.call, call) == 0 && is_trace(fd);
    errno = saved;
    if (!counts)
        return false;
    long n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (n != plan.number && !(plan.lasting && n > plan.number))
        return false;
    errno = plan.error;
    return true;
}

/* How much of a write is done before the process is killed in it; 0: it is not. */
static size_t torn_bytes(int fd, size_t bytes, off64_t at)
{
    const off64_t first = (at / PAGE_BYTES + 1) * PAGE_BYTES;
    const off64_t last = (at + (off64_t)bytes - 1) / PAGE_BYTES * PAGE_BYTES;
    struct stat info;
    int saved = errno;
    pthread_once(&once, read_plan);
    const bool counts = strcmp(plan.call, "tear") == 0 && bytes > 0 && first <= last &&
                        is_trace(fd) && fstat(fd, &info) == 0 &&
                        info.st_size >= at + (off64_t)bytes;
    errno = saved;
    if (!counts || __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) != plan.number)
        return 0;
    return (size_t)((plan.last_page ? last : first) - at);
}

/* The real function, looked up once per call site. */
#define REAL(type, name)                                                                           \
    static type real;                                                                              \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, name)

typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef int (*sync_fn)(int);
typedef int (*truncate_fn)(int, off_t);

ssize_t write(int fd, const void *data, size_t bytes)
{
    REAL(write_fn, "write");
    return fails("write", fd) ? -1 : real(fd, data, bytes);
}

/* Kills the process in the middle of the write that is to be torn. */
static void tear(pwrite_fn real, int fd, const void *data, size_t bytes, off64_t at)
{
    const size_t torn = torn_bytes(fd, bytes, at);
    if (torn > 0) {
        real(fd, data, torn, at);
        kill(getpid(), SIGKILL);
    }
    if (fails("kill", fd)) {
        if (plan.last_page)
            real(fd, data, bytes, at);
        kill(getpid(), SIGKILL);
    }
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    REAL(pwrite_fn, "pwrite");
    tear(real, fd, data, bytes, at);
    return fails("write", fd) ? -1 : real(fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
    REAL(pwrite_fn, "pwrite64");
    tear(real, fd, data, bytes, at);
    return fails("write", fd) ? -1 : real(fd, data, bytes, at);
}

int fsync(int fd)
{
    REAL(sync_fn, "fsync");
    return fails("sync", fd) ? -1 : real(fd);
}

int fdatasync(int fd)
{
    REAL(sync_fn, "fdatasync");
    return fails("sync", fd) ? -1 : real(fd);
}

int ftruncate(int fd, off_t bytes)
{
    REAL(truncate_fn, "ftruncate");
    return fails("truncate", fd) ? -1 : real(fd, bytes);
}

int ftruncate64(int fd, off64_t bytes)
{
    REAL(truncate_fn, "ftruncate64");
    return fails("truncate", fd) ? -1 : real(fd, bytes);
}
