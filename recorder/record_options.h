/* The config keys under `record`, and what they mean for each site. */
#ifndef TDBG_RECORDER_RECORD_OPTIONS_H
#define TDBG_RECORDER_RECORD_OPTIONS_H

#include "base/config.h"
#include "trace/schema.h"

extern const struct tdbg_option_table tdbg_recorder_options;

/* Checks what the table cannot state: the values of record.stages. */
void tdbg_recorder_check_options(struct tdbg_config *config);

/* Of the run, as far as it decides what is recorded. */
struct tdbg_recorder_cut {
    int32_t lanes, rank, world_size;
    int32_t keyframe; /* one before every so many steps */
};

/* plans (n_sites): how each site is recorded under a checked config, by preset and overrides. */
enum tdbg_status tdbg_recorder_plan_sites(const struct tdbg_cfg_node *root,
                                          const struct tdbg_site *sites, int32_t n_sites,
                                          const struct tdbg_recorder_cut *cut,
                                          struct tdbg_site_plan *plans, struct tdbg_err *err);

/* Steps between keyframes, where the config says it in bytes from the bytes that a step takes. */
int64_t tdbg_recorder_keyframe_steps(const struct tdbg_cfg_node *root, int64_t bytes_per_step);

#endif
