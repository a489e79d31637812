/* The config keys that the engine owns, as option tables, and the checks that tables cannot state.
 */
#ifndef TDBG_ENGINE_ENGINE_OPTIONS_H
#define TDBG_ENGINE_ENGINE_OPTIONS_H

#include "base/config.h"

/* Root tables of the engine that do not depend on other values. For --help-config. */
extern const struct tdbg_option_table tdbg_engine_options;

/* Checks everything the engine owns at the root of config: the tables above, the optimizer's and
 * schedule's tables for the chosen kind, data.transforms, and that one of steps and epochs is
 * given. `others` are tables of further root keys (recorder). Faults become diagnostics of config.
 */
void tdbg_engine_check_options(struct tdbg_config *config, const struct tdbg_option_table *others,
                               int n_others);

/* Prints every key of every table, model ops included. */
void tdbg_engine_print_options(const struct tdbg_option_table *others, int n_others, FILE *out);

#endif
