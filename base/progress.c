/* The progress line of `tdbg record`. See progress.h. */
#include "base/progress.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/convert.h"

#define SECOND_NS INT64_C(1000000000)

enum { COLUMNS = 79 }; /* the 80th would make some terminals wrap */

void tdbg_progress_start(struct tdbg_progress *p, FILE *out, enum tdbg_progress_mode mode,
                         int64_t first_step, int64_t n_steps, int64_t now_ns)
{
    if (mode == TDBG_PROGRESS_AUTO)
        mode = isatty(fileno(out)) ? TDBG_PROGRESS_TERMINAL : TDBG_PROGRESS_PLAIN;
    *p = (struct tdbg_progress){.out = out,
                                .mode = mode,
                                .n_steps = n_steps,
                                .step = first_step,
                                .shown_step = -1,
                                .start_ns = now_ns,
                                .shown_ns = now_ns,
                                .advanced_ns = now_ns,
                                .trace_bytes = -1};
}

/* "1:02:03" or "2:03" */
static void put_duration(char *buf, size_t room, double seconds)
{
    int64_t s = seconds < 1e9 ? (int64_t)(seconds + 0.5) : INT64_C(1000000000);
    int hours = (int)(s / 3600), minutes = (int)(s / 60 % 60), rest = (int)(s % 60);
    if (hours > 0)
        snprintf(buf, room, "%d:%02d:%02d", hours, minutes, rest);
    else
        snprintf(buf, room, "%d:%02d", minutes, rest);
}

/* Adds one part to the line, two spaces apart, as long as it fits: parts go by importance. */
static void add_part(char line[COLUMNS + 1], const char *part)
{
    size_t n = strlen(line), m = strlen(part);
    size_t gap = n ? 2 : 0;
    if (n + gap + m > COLUMNS)
        return;
    memset(line + n, ' ', gap);
    memcpy(line + n + gap, part, m + 1);
}

static void make_line(const struct tdbg_progress *p, char line[COLUMNS + 1])
{
    char part[64], text[32];
    line[0] = '\0';
    if (p->n_steps > 0)
        snprintf(part, sizeof part, "step %" PRId64 "/%" PRId64, p->step, p->n_steps);
    else
        snprintf(part, sizeof part, "step %" PRId64, p->step);
    add_part(line, part);
    if (p->step_ns > 0) {
        double rate = (double)SECOND_NS / p->step_ns;
        snprintf(part, sizeof part, rate < 999.5 ? "%.3g steps/s" : "%.0f steps/s", rate);
        add_part(line, part);
        if (p->n_steps > p->step) {
            double left_ns = (double)(p->n_steps - p->step) * p->step_ns;
            put_duration(text, sizeof text, left_ns / (double)SECOND_NS);
            snprintf(part, sizeof part, "ETA %s", text);
            add_part(line, part);
        }
    }
    if (p->has_loss) {
        snprintf(part, sizeof part, isnan(p->loss) ? "loss NaN" : "loss %.4g", p->loss);
        add_part(line, part);
    }
    if (p->trace_bytes >= 0) {
        tdbg_convert_bytes_text(p->trace_bytes, text, sizeof text);
        snprintf(part, sizeof part, "trace %s", text);
        add_part(line, part);
    }
}

static void show(struct tdbg_progress *p, int64_t now_ns)
{
    char line[COLUMNS + 1];
    make_line(p, line);
    int columns = (int)strlen(line);
    if (p->mode == TDBG_PROGRESS_PLAIN)
        fprintf(p->out, "%s\n", line);
    else /* blanks over what a longer line left behind: works on dumb terminals too */
        fprintf(p->out, "\r%s%*s", line,
                p->shown_columns > columns ? p->shown_columns - columns : 0, "");
    fflush(p->out);
    p->shown_columns = p->mode == TDBG_PROGRESS_TERMINAL ? columns : 0;
    p->shown_step = p->step;
    p->shown_ns = now_ns;
}

/* The mean so far, and after 10 s an exponential mean over about as long: old enough to be calm,
 * new enough to follow a slow-down. */
static void measure(struct tdbg_progress *p, int64_t steps_done, int64_t now_ns)
{
    if (steps_done <= p->step || now_ns <= p->advanced_ns)
        return;
    double passed = (double)(now_ns - p->advanced_ns);
    double one = passed / (double)(steps_done - p->step);
    double window = (double)(now_ns - p->start_ns), longest = 10.0 * (double)SECOND_NS;
    window = window < longest ? window : passed > longest ? passed : longest;
    p->step_ns += passed / window * (one - p->step_ns);
    p->advanced_ns = now_ns;
}

void tdbg_progress_update(struct tdbg_progress *p, int64_t steps_done, const double *loss,
                          int64_t trace_bytes, int64_t now_ns)
{
    measure(p, steps_done, now_ns);
    p->step = steps_done;
    p->has_loss = loss != NULL;
    p->loss = loss ? *loss : 0;
    p->trace_bytes = trace_bytes;
    if (p->mode == TDBG_PROGRESS_QUIET)
        return;
    bool terminal = p->mode == TDBG_PROGRESS_TERMINAL;
    bool first = terminal && p->shown_step < 0; /* a terminal shows at once that work began */
    if (first || now_ns - p->shown_ns >= (terminal ? SECOND_NS / 10 : 10 * SECOND_NS))
        show(p, now_ns);
}

void tdbg_progress_clear(struct tdbg_progress *p)
{
    if (p->shown_columns == 0)
        return;
    fprintf(p->out, "\r%*s\r", p->shown_columns, "");
    fflush(p->out);
    p->shown_columns = 0;
    p->shown_step = -1;
}

void tdbg_progress_finish(struct tdbg_progress *p, int64_t now_ns)
{
    if (p->mode == TDBG_PROGRESS_QUIET)
        return;
    if (p->shown_step != p->step)
        show(p, now_ns);
    if (p->mode == TDBG_PROGRESS_TERMINAL) {
        fputc('\n', p->out);
        fflush(p->out);
    }
    p->shown_columns = 0;
}
