/* The value of an expression step after step of an engine that runs, without a trace: a tap sees
 * the sites that it hangs on and no others. */
#ifndef TDBG_REPLAY_EXPRESSION_LIVE_H
#define TDBG_REPLAY_EXPRESSION_LIVE_H

#include "replay/expression_eval.h"

struct tdbg_expr_live;

/* Binds expr, which is borrowed like sites (n_sites: an engine's). A name that means nothing there
 * is raised as tdbg_expr_raise() does. Destroy with tdbg_expr_live_destroy(). */
enum tdbg_status tdbg_expr_live_create(struct tdbg_expr *expr, const struct tdbg_site *sites,
                                       int32_t n_sites, struct tdbg_expr_live **out,
                                       struct tdbg_err *err);
void tdbg_expr_live_destroy(struct tdbg_expr_live *live); /* NULL is fine */

/* The tap for the engine; valid as long as `live`. */
struct tdbg_tap tdbg_expr_live_tap(struct tdbg_expr_live *live);

/* A step that came before those that are run, for diverges(). */
void tdbg_expr_live_add_past(struct tdbg_expr_live *live, const struct tdbg_step_row *row);

/* Value at the step that has just been run: each step once. */
struct tdbg_expr_value tdbg_expr_live_value(struct tdbg_expr_live *live,
                                            const struct tdbg_step_info *info);

#endif
