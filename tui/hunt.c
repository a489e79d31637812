/* See hunt.h. */
#include "tui/hunt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void begin_condition(struct tdbg_tui_hunt *h)
{
    h->phase = h->is_backward ? TDBG_HUNT_LAST_TRUE : TDBG_HUNT_NEXT_TRUE;
    h->held = h->not_held = -1;
}

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || strchr("_./*?-", c);
}

/* The word `if` outside of brackets, or NULL. */
static const char *find_if(const char *text)
{
    int depth = 0;
    for (const char *at = text; *at; at++) {
        depth += (*at == '(' || *at == '[') - (*at == ')' || *at == ']');
        if (depth == 0 && at > text && strncmp(at, "if", 2) == 0 && !is_word_char(at[-1]) &&
            at[2] && !is_word_char(at[2]))
            return at;
    }
    return NULL;
}

char *tdbg_tui_hunt_negate(const char *text)
{
    char *out = NULL;
    const char *cut = find_if(text);
    const int made = cut ? asprintf(&out, "not ((%s) and (%.*s))", cut + 2, (int)(cut - text), text)
                         : asprintf(&out, "not (%s)", text);
    return made < 0 ? NULL : out;
}

void tdbg_tui_hunt_start(struct tdbg_tui_hunt *h, int64_t first, int64_t last, int64_t from,
                         bool is_backward, const char *const *texts, int n)
{
    TDBG_ASSERT(n >= 0 && n <= TDBG_HUNT_CONDITIONS);
    *h = (struct tdbg_tui_hunt){.first = first,
                                .last = last,
                                .from = from,
                                .is_backward = is_backward,
                                .n = n,
                                .step = -1,
                                .before = -1};
    for (int i = 0; i < n; i++) {
        h->condition[i] = strdup(texts[i]);
        h->negation[i] = tdbg_tui_hunt_negate(texts[i]);
        TDBG_ASSERT(h->condition[i] && h->negation[i]);
    }
    begin_condition(h);
}

void tdbg_tui_hunt_free(struct tdbg_tui_hunt *h)
{
    for (int i = 0; i < h->n; i++) {
        free(h->condition[i]);
        free(h->negation[i]);
    }
    *h = (struct tdbg_tui_hunt){0};
}

static void next_condition(struct tdbg_tui_hunt *h)
{
    h->at++;
    begin_condition(h);
}

/* The condition at hand has its event. */
static void found(struct tdbg_tui_hunt *h, int64_t step, int64_t before)
{
    const bool is_nearer = !h->is_found || (h->is_backward ? step >= h->step : step <= h->step);
    if (is_nearer) {
        h->is_found = true;
        h->step = step;
        h->before = before;
        h->which = h->at;
    }
    next_condition(h);
}

static void search(struct tdbg_tui_job *job, int64_t from, int64_t to, const char *first,
                   const char *second)
{
    *job = (struct tdbg_tui_job){.kind = TDBG_JOB_SEARCH,
                                 .step = from,
                                 .to = to,
                                 .expression = {first, second},
                                 .n_expressions = second ? 2 : 1};
}

/* What is farther than what was found need not be looked at. */
static int64_t far_end(const struct tdbg_tui_hunt *h)
{
    if (h->is_backward)
        return h->is_found ? h->step : h->first;
    return h->is_found ? h->step : h->last;
}

/* The question of the phase; false: there are no steps to search, which is an answer. */
static bool ask_phase(const struct tdbg_tui_hunt *h, struct tdbg_tui_job *job)
{
    const char *is = h->condition[h->at], *is_not = h->negation[h->at];
    switch (h->phase) {
    case TDBG_HUNT_NEXT_TRUE:
        search(job, h->from + 1, far_end(h), is, NULL);
        return job->step <= job->to;
    case TDBG_HUNT_WAS_TRUE:
        search(job, h->held - 1, h->held - 1, is, is_not);
        return job->step >= h->first;
    case TDBG_HUNT_WAS_TRUE_LONG:
        search(job, h->held - 2, h->first, is, is_not);
        return job->step >= job->to;
    case TDBG_HUNT_NEXT_FALSE:
        search(job, h->held + 1, far_end(h), is_not, NULL);
        return job->step <= job->to;
    case TDBG_HUNT_TRUE_AGAIN:
        search(job, h->not_held + 1, far_end(h), is, NULL);
        return job->step <= job->to;
    case TDBG_HUNT_LAST_TRUE:
        search(job, h->from - 1, far_end(h), is, NULL);
        return job->step >= job->to;
    case TDBG_HUNT_LAST_FALSE:
        search(job, h->held - 1, h->first, is_not, NULL);
        return job->step >= job->to;
    case TDBG_HUNT_BEGAN:
        search(job, h->not_held < 0 ? h->first : h->not_held + 1, h->held, is, NULL);
        return true;
    }
    return false;
}

bool tdbg_tui_hunt_ask(struct tdbg_tui_hunt *h, struct tdbg_tui_job *job)
{
    while (h->at < h->n) {
        if (ask_phase(h, job))
            return true;
        tdbg_tui_hunt_take(h, false, -1, 0);
    }
    return false;
}

void tdbg_tui_hunt_take(struct tdbg_tui_hunt *h, bool is_found, int64_t step, int expression)
{
    switch (h->phase) {
    case TDBG_HUNT_NEXT_TRUE:
        h->held = step;
        h->phase = TDBG_HUNT_WAS_TRUE;
        if (!is_found)
            next_condition(h);
        break;
    case TDBG_HUNT_WAS_TRUE:
    case TDBG_HUNT_WAS_TRUE_LONG:
        if (!is_found && h->phase == TDBG_HUNT_WAS_TRUE)
            h->phase = TDBG_HUNT_WAS_TRUE_LONG;
        else if (is_found && expression == 0)
            h->phase = TDBG_HUNT_NEXT_FALSE; /* it did not begin there */
        else
            found(h, h->held, is_found ? step : -1);
        break;
    case TDBG_HUNT_NEXT_FALSE:
        h->not_held = step;
        h->phase = TDBG_HUNT_TRUE_AGAIN;
        if (!is_found)
            next_condition(h);
        break;
    case TDBG_HUNT_LAST_TRUE:
        h->held = step;
        h->phase = TDBG_HUNT_LAST_FALSE;
        if (!is_found)
            next_condition(h);
        break;
    case TDBG_HUNT_LAST_FALSE:
        h->not_held = is_found ? step : -1;
        h->phase = TDBG_HUNT_BEGAN;
        break;
    case TDBG_HUNT_TRUE_AGAIN:
        h->held = step;
        h->phase = TDBG_HUNT_WAS_TRUE; /* where it was false last */
        if (!is_found)
            next_condition(h);
        break;
    case TDBG_HUNT_BEGAN:
        if (is_found)
            found(h, step, h->not_held);
        else
            next_condition(h);
        break;
    }
}
