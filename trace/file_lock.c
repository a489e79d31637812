/* Locks of open file descriptions (fcntl(2), F_OFD_SETLK) far behind the end of the file, where no
 * other program's byte ranges are; HDF5's own lock is flock(2), which is independent of them. */
#include "trace/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define LOCK_BASE ((off_t)1 << 62)

static struct flock range(enum tdbg_lock_role role, short type)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = LOCK_BASE + (off_t)role, .l_len = 1};
}

enum tdbg_lock_result tdbg_file_try_lock(int fd, enum tdbg_lock_role role)
{
    struct flock lock = range(role, F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return TDBG_LOCK_HELD;
    return errno == EAGAIN || errno == EACCES ? TDBG_LOCK_TAKEN : TDBG_LOCK_NONE;
}

int tdbg_file_lock(const char *path, enum tdbg_lock_role role)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && tdbg_file_try_lock(fd, role) != TDBG_LOCK_HELD) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void tdbg_file_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

bool tdbg_file_is_locked(int fd, enum tdbg_lock_role role)
{
    struct flock lock = range(role, F_RDLCK);
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void tdbg_file_wait_for_drain(int fd)
{
    enum { PAUSE_NS = 10000000 };
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    while (tdbg_file_is_locked(fd, TDBG_LOCK_WRITER) && !tdbg_file_is_locked(fd, TDBG_LOCK_PROGRAM))
        nanosleep(&pause, NULL);
}

/* A superblock of version 3 says so in bits 0 and 2 of its twelfth byte (HDF5 file format
 * specification, II.A). */
static bool has_bits(int fd, unsigned bits)
{
    unsigned char head[12] = {0};
    return pread(fd, head, sizeof head, 0) == sizeof head && head[8] >= 3 &&
           (head[11] & bits) == bits;
}

bool tdbg_file_is_in_use(int fd)
{
    return has_bits(fd, 1);
}

bool tdbg_file_is_shared(int fd)
{
    return has_bits(fd, 1 | 4);
}
