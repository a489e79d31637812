/* ddmin. See ddmin.h.
 *
 *     n parts     [ 1 | 2 | 3 | 4 ]    one of them alone does?        go on with it, cut in two
 *                 [   | 2 | 3 | 4 ]    all but one of them do?        go on with these
 *                                      neither?                       cut each part in two
 */
#include "replay/ddmin.h"

#include <stdlib.h>
#include <string.h>

struct search {
    int n; /* items in all */
    bool *taken;
    const bool *fixed;
    tdbg_ddmin_test_fn test;
    void *context;
    int *item; /* (n_items) those that are still in question */
    int n_items;
    bool *trial; /* (n) */
};

static int part_begin(const struct search *s, int parts, int part)
{
    return (int)((long long)s->n_items * part / parts);
}

/* Tests with the items of one part, or with all but these. */
static enum tdbg_status try_part(struct search *s, int parts, int part, bool others, bool *holds,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum tdbg_outcome outcome;
    const int begin = part_begin(s, parts, part), end = part_begin(s, parts, part + 1);
    memcpy(s->trial, s->taken, (size_t)s->n * sizeof *s->trial);
    for (int i = 0; i < s->n_items; i++) {
        const bool inside = i >= begin && i < end;
        s->trial[s->item[i]] = inside != others;
    }
    TDBG_TRY(s->test(s->context, s->trial, &outcome, err));
    *holds = outcome == TDBG_OUTCOME_TRUE;
out:
    return st;
}

/* Goes on with one part, or with all but it. */
static void keep(struct search *s, int parts, int part, bool others)
{
    const int begin = part_begin(s, parts, part), end = part_begin(s, parts, part + 1);
    int n = 0;
    for (int i = 0; i < s->n_items; i++) {
        const bool inside = i >= begin && i < end;
        s->taken[s->item[i]] = inside != others;
        if (inside != others)
            s->item[n++] = s->item[i];
    }
    s->n_items = n;
}

static enum tdbg_status reduce(struct search *s, bool may_be_empty, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int parts = 2;
    if (may_be_empty && s->n_items > 0) { /* what is fixed may do alone */
        bool holds;
        TDBG_TRY(try_part(s, 1, 0, true, &holds, err));
        if (holds) {
            keep(s, 1, 0, true);
            goto out;
        }
    }
    while (s->n_items >= 2) {
        bool holds = false;
        parts = parts > s->n_items ? s->n_items : parts;
        for (int i = 0; i < parts && !holds; i++) {
            TDBG_TRY(try_part(s, parts, i, false, &holds, err));
            if (holds) {
                keep(s, parts, i, false);
                parts = 2;
            }
        }
        for (int i = 0; i < parts && parts > 2 && !holds; i++) { /* of two: the other was tried */
            TDBG_TRY(try_part(s, parts, i, true, &holds, err));
            if (holds) {
                keep(s, parts, i, true);
                parts = parts - 1;
            }
        }
        if (!holds && parts >= s->n_items)
            break;
        parts = holds ? parts : 2 * parts;
    }
out:
    return st;
}

enum tdbg_status tdbg_ddmin(int n, bool *taken, const bool *fixed, tdbg_ddmin_test_fn test,
                            void *context, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct search s = {.n = n, .taken = taken, .fixed = fixed, .test = test, .context = context};
    bool has_fixed = false;
    s.item = malloc(((size_t)n + 1) * sizeof *s.item);
    s.trial = malloc(((size_t)n + 1) * sizeof *s.trial);
    TDBG_FAIL_IF(!s.item || !s.trial, NO_MEMORY, "no memory to look for causes");
    for (int i = 0; i < n; i++) {
        if (taken[i] && !(fixed && fixed[i]))
            s.item[s.n_items++] = i;
        has_fixed |= taken[i] && fixed && fixed[i];
    }
    TDBG_TRY(reduce(&s, has_fixed, err));
out:
    free(s.item);
    free(s.trial);
    return st;
}
