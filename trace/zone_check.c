/* Checking zones. See zone_check.h. */
#include "trace/zone_check.h"

#include <string.h>

enum tdbg_status tdbg_zone_checker_init(struct tdbg_zone_checker *c, struct tdbg_trace *trace,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    tdbg_trace_sites(trace, &n_sites);
    *c = (struct tdbg_zone_checker){.trace = trace};
    TDBG_TRY(tdbg_zone_init(&c->of_rows, n_sites, err));
    TDBG_TRY(tdbg_zone_init(&c->recorded, n_sites, err));
out:
    return st;
}

void tdbg_zone_checker_free(struct tdbg_zone_checker *c)
{
    tdbg_zone_free(&c->of_rows);
    tdbg_zone_free(&c->recorded);
}

static enum tdbg_status compare(struct tdbg_zone_checker *c, int64_t first, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_zone *a = &c->of_rows;
    struct tdbg_zone *b = &c->recorded;
    TDBG_TRY(tdbg_trace_read_zone_steps(c->trace, first, &b->steps, err));
    TDBG_TRY(tdbg_trace_read_zone_stats(c->trace, first, b->stats, err));
    TDBG_TRY(tdbg_trace_read_zone_digests(c->trace, first, b->digest, err));
    if (!c->is_sound)
        goto out;
    TDBG_FAIL_IF(!tdbg_table_same(&tdbg_table_zone_steps, &a->steps, &b->steps), DAMAGED,
                 "zones/steps: a row is not that of its steps");
    for (int32_t i = 0; i < a->n_sites; i++) {
        TDBG_FAIL_IF(!tdbg_table_same(&tdbg_table_zone_stats, &a->stats[i], &b->stats[i]), DAMAGED,
                     "zones/stats: a row is not that of its steps");
        TDBG_FAIL_IF(a->digest[i] != b->digest[i], DAMAGED,
                     "zones/digest: a row is not that of its steps");
    }
out:
    return st;
}

enum tdbg_status tdbg_zone_checker_add(struct tdbg_zone_checker *c, int64_t step,
                                       const struct tdbg_step_row *row, const uint64_t *digests,
                                       const struct tdbg_stats *stats, struct tdbg_err *err)
{
    int64_t first, n;
    if (!tdbg_trace_find_zone(c->trace, step, &first, &n))
        return TDBG_OK;
    if (step == first) {
        tdbg_zone_clear(&c->of_rows);
        c->is_sound = true;
    }
    c->is_sound &= row != NULL;
    for (int32_t i = 0; row && i < c->of_rows.n_sites; i++)
        tdbg_zone_add_site(&c->of_rows, i, digests[i], &stats[i]);
    if (row)
        tdbg_zone_add_step(&c->of_rows, row);
    return step == first + n - 1 ? compare(c, first, err) : TDBG_OK;
}
