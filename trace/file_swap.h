/* One file in the place of another, without ever losing one. */
#ifndef TDBG_TRACE_FILE_SWAP_H
#define TDBG_TRACE_FILE_SWAP_H

#include "base/status.h"

/* TDBG_USAGE where there is something of that name, a dangling link included. */
enum tdbg_status tdbg_file_refuse_existing(const char *path, struct tdbg_err *err);

/* Gives a file another name, which must not be taken. */
enum tdbg_status tdbg_file_rename_new(const char *from, const char *to, struct tdbg_err *err);

/* Returns when the file's content is on the disk. */
enum tdbg_status tdbg_file_sync(const char *path, struct tdbg_err *err);

/* Copies an open file into a new one. */
enum tdbg_status tdbg_file_copy(int from, const char *path, struct tdbg_err *err);

#endif
