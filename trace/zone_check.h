/* Do the zones of a trace say what the rows of their steps say? They are gathered again, step after
 * step, as a check of the whole trace goes through them. */
#ifndef TDBG_TRACE_ZONE_CHECK_H
#define TDBG_TRACE_ZONE_CHECK_H

#include "trace/reader.h"
#include "trace/zone.h"

struct tdbg_zone_checker {
    struct tdbg_trace *trace; /* borrowed */
    struct tdbg_zone of_rows, recorded;
    bool is_sound; /* all rows of the zone so far could be read */
};

enum tdbg_status tdbg_zone_checker_init(struct tdbg_zone_checker *c, struct tdbg_trace *trace,
                                        struct tdbg_err *err);
void tdbg_zone_checker_free(struct tdbg_zone_checker *c); /* {0} is fine */

/* The next step; row NULL: something of it could not be read. TDBG_DAMAGED: a zone ends here that
 * cannot be read or says something else. */
enum tdbg_status tdbg_zone_checker_add(struct tdbg_zone_checker *c, int64_t step,
                                       const struct tdbg_step_row *row, const uint64_t *digests,
                                       const struct tdbg_stats *stats, struct tdbg_err *err);

#endif
