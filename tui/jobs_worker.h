/* How the terminal starts its worker: the program itself, with these arguments. */
#ifndef TDBG_TUI_JOBS_WORKER_H
#define TDBG_TUI_JOBS_WORKER_H

/* program, word, trace, device or "", instruction set or "", threads, cached states */
#define TDBG_WORKER_WORD "--tui-worker"
enum { TDBG_WORKER_ARGC = 7 };

#endif
