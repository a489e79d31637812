/* A short training for its hash chains: recorded into a folder of its own, which goes afterwards.
 */
#ifndef TDBG_CLI_CI_TRAIN_H
#define TDBG_CLI_CI_TRAIN_H

#include "cli/args.h"
#include "cli/ci_golden.h"

struct ci_training {
    const char *config_path;
    const struct cli_list *sets;
    int64_t steps;      /* 0: as many as the config says */
    int64_t threads;    /* -1: as the config says */
    const char *device; /* NULL: as the config says */
    const char *isa;
};

/* Trains, and fills *out from what was recorded; *why_not is set, in the arena, where the numbers
 * do not promise to repeat (engine.math = "fast"). Errors: those of a recording. */
enum tdbg_status ci_train(const struct ci_training *training, struct tdbg_arena *arena,
                          struct ci_golden *out, const char **why_not, struct tdbg_err *err);

#endif
