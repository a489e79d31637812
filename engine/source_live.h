/* The live source: samples from a data set. */
#ifndef TDBG_ENGINE_SOURCE_LIVE_H
#define TDBG_ENGINE_SOURCE_LIVE_H

#include "base/config.h"
#include "base/json.h"
#include "engine/source.h"

struct tdbg_source_live;

/* Loads the data sets that a checked config names. Faults of files become diagnostics of config;
 * *out is NULL then and the result TDBG_OK. Destroy with tdbg_source_live_destroy(). */
enum tdbg_status tdbg_source_live_create(struct tdbg_config *config, struct tdbg_source_live **out,
                                         struct tdbg_err *err);

/* Reports data files that cannot be opened, so that they appear together with the config's other
 * faults, before anything is loaded. */
void tdbg_source_live_check_files(struct tdbg_config *config);

void tdbg_source_live_destroy(struct tdbg_source_live *live); /* NULL is fine */

/* The table over it; valid as long as `live`. */
struct tdbg_source tdbg_source_live_table(struct tdbg_source_live *live);

/* Kind, files, counts and fingerprints as JSON, for /run/dataset. */
void tdbg_source_live_print_json(const struct tdbg_source_live *live, struct tdbg_json *json);

#endif
