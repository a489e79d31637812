/* Zones: what each stretch of steps holds at least and at most, so that a search passes over the
 * stretches in which a condition cannot hold (replay/expression_zone.h) and reads the rows of the
 * others only. They say nothing that the rows of their steps do not say.
 *
 *     /steps, /stats   |-------- 256 rows --------|-------- 256 rows --------|-- rows without --|
 *     /zones           [ row 0: lowest, highest   ][ row 1                   ]
 */
#ifndef TDBG_TRACE_ZONE_H
#define TDBG_TRACE_ZONE_H

#include "trace/schema.h"
#include "trace/table.h"

extern const struct tdbg_table tdbg_table_zone_steps; /* rows are struct tdbg_zone_steps */
extern const struct tdbg_table tdbg_table_zone_stats; /* elements are struct tdbg_zone_stats */

/* A zone on its way. The arrays are the owner's: (n_sites). */
struct tdbg_zone {
    struct tdbg_zone_steps steps;
    struct tdbg_zone_stats *stats;
    uint64_t *digest; /* those of the steps absorbed one after the other (digest.h), from 0 on */
    int32_t n_sites;
    int32_t n; /* steps so far */
};

/* Allocates the arrays; free with _free. */
enum tdbg_status tdbg_zone_init(struct tdbg_zone *zone, int32_t n_sites, struct tdbg_err *err);
void tdbg_zone_free(struct tdbg_zone *zone); /* {0} is fine */

/* Adds what the zone's next step has: its sites in any order, then the step itself. */
void tdbg_zone_add_site(struct tdbg_zone *zone, int32_t site, uint64_t digest,
                        const struct tdbg_stats *stats);
void tdbg_zone_add_step(struct tdbg_zone *zone, const struct tdbg_step_row *row);
void tdbg_zone_clear(struct tdbg_zone *zone); /* no steps again */

#endif
