/* Faults that are planted into a run (`inject` of the config): a tap that changes a tensor before
 * the recorder's sees it, as broken hardware or communication would. They are no part of the run's
 * arithmetic: re-execution does not repeat them, and so finds them. */
#ifndef TDBG_RECORDER_FAULT_H
#define TDBG_RECORDER_FAULT_H

#include <stdio.h>

#include "base/config.h"
#include "engine/engine.h"

/* Checks the items of `inject`. */
void tdbg_fault_check_options(struct tdbg_config *config);
void tdbg_fault_print_options(FILE *out);

struct tdbg_faults;

/* The faults of a checked list (NULL: none) for one rank; *out NULL: there are none for it. Destroy
 * with tdbg_faults_destroy(). */
enum tdbg_status tdbg_faults_create(const struct tdbg_cfg_node *list, int32_t rank,
                                    struct tdbg_faults **out, struct tdbg_err *err);
void tdbg_faults_destroy(struct tdbg_faults *faults); /* NULL is fine */

/* The two taps, valid as long as `faults`: `before` goes in front of the recorder's, `behind` after
 * it (a dropped contribution is recorded as what it was, and does not arrive). Their plan fails
 * with TDBG_CONFIG where a fault's site, lane or element does not exist. */
struct tdbg_tap tdbg_faults_tap_before(struct tdbg_faults *faults);
struct tdbg_tap tdbg_faults_tap_behind(struct tdbg_faults *faults);

#endif
