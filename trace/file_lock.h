/* Who is at work on a trace: locks that vanish with the process that holds them, however it ends.
 * The writer holds one for as long as it writes; the recording program holds the other for as long
 * as it trains. A writer without its program is emptying its queue. */
#ifndef TDBG_TRACE_FILE_LOCK_H
#define TDBG_TRACE_FILE_LOCK_H

#include <stdbool.h>

enum tdbg_lock_role { TDBG_LOCK_WRITER, TDBG_LOCK_PROGRAM };

/* Opens the file and locks it in that role; returns a descriptor that keeps the lock, or -1 (no
 * such file, locked by another, or a file system without locks). */
int tdbg_file_lock(const char *path, enum tdbg_lock_role role);

/* Locks an open file, for as long as this descriptor or a copy of it is open. */
enum tdbg_lock_result {
    TDBG_LOCK_HELD,
    TDBG_LOCK_TAKEN, /* by another */
    TDBG_LOCK_NONE   /* the file system has no locks */
};
enum tdbg_lock_result tdbg_file_try_lock(int fd, enum tdbg_lock_role role);
void tdbg_file_unlock(int lock); /* -1 is fine */

/* Does somebody hold the lock? fd: any descriptor of the file. */
bool tdbg_file_is_locked(int fd, enum tdbg_lock_role role);

/* Returns when no writer without its program is left: soon the file is whole. */
void tdbg_file_wait_for_drain(int fd);

/* Has a writer the file open for HDF5, or had it one when it was killed? */
bool tdbg_file_is_in_use(int fd);

/* Did it let others read along (SWMR)? At its end it does not. */
bool tdbg_file_is_shared(int fd);

#endif
