/* The live source: samples from a data set. */
#ifndef TDBG_ENGINE_SOURCE_LIVE_H
#define TDBG_ENGINE_SOURCE_LIVE_H

#include "base/config.h"
#include "base/json.h"
#include "base/vocabulary.h"
#include "engine/dataset.h"
#include "engine/source.h"

struct tdbg_source_live;

/* Loads the data sets that a checked config names; read_hdf5 may be NULL. Faults of files become
 * diagnostics of config; *out is NULL then and the result TDBG_OK. Destroy with
 * tdbg_source_live_destroy(). */
enum tdbg_status tdbg_source_live_create(struct tdbg_config *config, tdbg_read_hdf5_fn read_hdf5,
                                         struct tdbg_source_live **out, struct tdbg_err *err);

/* Another one over the same data sets, for another thread. It has to be destroyed before `live`. */
enum tdbg_status tdbg_source_live_share(const struct tdbg_source_live *live,
                                        struct tdbg_source_live **out, struct tdbg_err *err);

/* Another one over the same data sets, whose batches are those of another checked config: root,
 * borrowed, has its own seed, batch and order of samples. TDBG_CONFIG where the set has fewer
 * samples than a batch. It has to be destroyed before `live`. */
enum tdbg_status tdbg_source_live_reorder(const struct tdbg_source_live *live,
                                          const struct tdbg_cfg_node *root,
                                          struct tdbg_source_live **out, struct tdbg_err *err);

void tdbg_source_live_destroy(struct tdbg_source_live *live); /* NULL is fine */

/* Borrowed: the samples of a set (TDBG_SET_...). */
const struct tdbg_dataset *tdbg_source_live_set(const struct tdbg_source_live *live, int set);

/* What the tokens of the samples stand for, where a vocabulary was made for them: characters.
 * n_tokens 0: none was. Free with tdbg_vocabulary_free(). */
enum tdbg_status tdbg_source_live_vocabulary(const struct tdbg_source_live *live,
                                             struct tdbg_vocabulary *out, struct tdbg_err *err);

/* The table over it; valid as long as `live`. */
struct tdbg_source tdbg_source_live_table(struct tdbg_source_live *live);

/* A number for the samples and targets of all sets. */
uint64_t tdbg_source_live_fingerprint(const struct tdbg_source_live *live);

/* Kind, files, counts and fingerprints as JSON, for /run/dataset. */
void tdbg_source_live_print_json(const struct tdbg_source_live *live, struct tdbg_json *json);

#endif
