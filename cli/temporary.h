/* A folder for traces that nobody keeps. */
#ifndef TDBG_CLI_TEMPORARY_H
#define TDBG_CLI_TEMPORARY_H

#include "base/status.h"

enum { CLI_TEMPORARY_PATH = 4096 };

/* Makes a folder in $TMPDIR, else in /tmp; "" where that fails: TDBG_IO. */
enum tdbg_status cli_temporary_make(char folder[CLI_TEMPORARY_PATH], struct tdbg_err *err);

/* Removes it with the files in it; "" is fine. */
void cli_temporary_remove(const char *folder);

#endif
