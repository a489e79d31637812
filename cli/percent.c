/* How far a long piece of work is. See percent.h. */
#include "cli/percent.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { PAUSE_NS = 100000000 };

void cli_percent_show(struct cli_percent *p, const char *what, int64_t done, int64_t total)
{
    int64_t now = tdbg_clock_ns();
    if (p->quiet || !isatty(STDERR_FILENO) || (p->shown && now - p->shown_ns < PAUSE_NS))
        return;
    if (total > 0)
        fprintf(stderr, "\r\033[K%s: %d %%", what, (int)(100.0 * (double)done / (double)total));
    else
        fprintf(stderr, "\r\033[K%s", what);
    fflush(stderr);
    p->shown = true;
    p->shown_ns = now;
}

void cli_percent_clear(struct cli_percent *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
