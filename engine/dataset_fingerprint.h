/* One number for all that a data set holds, so that two runs can say whether theirs is the same. */
#ifndef TDBG_ENGINE_DATASET_FINGERPRINT_H
#define TDBG_ENGINE_DATASET_FINGERPRINT_H

#include "engine/dataset.h"

/* Into dataset->fingerprint: over type and shape of a sample, then x and y of all samples as
 * tdbg_dataset_copy() gives them, and the vocabulary. */
enum tdbg_status tdbg_dataset_fingerprint(struct tdbg_dataset *dataset, struct tdbg_err *err);

#endif
