/* Presets and per-stage overrides. See record_options.h; the table of presets is that of the manual
 * page.
 */
#include "recorder/record_options.h"

#include <stdlib.h>
#include <string.h>

#include "recorder/fault.h"

static const struct tdbg_option record_options[] = {
    {"record.preset", TDBG_OPT_ENUM, "", 0, 0, "light|standard|full", "\"standard\"", 0,
     "How much of every step is kept: light (digests of loss and gradients), standard (digests of "
     "all sites, values of gradients), full (values of all sites)."},
    {"record.keyframe", TDBG_OPT_INT_OR_SIZE, "steps", 1, 1e9, NULL, "50", 0,
     "Distance of keyframes: parameters and optimizer state, from which steps are run again. A "
     "size "
     "like \"256MiB\": as many steps as the trace holds in so many bytes."},
    {"record.path", TDBG_OPT_PATH, "", 0, 0, NULL, "\"trace.h5\"", 0,
     "The trace; relative to the config file. -o names another."},
    {"record.segment_gib", TDBG_OPT_FLOAT, "GiB", 0, 1e6, NULL, "2.0", 0,
     "A trace that has reached this size goes on in another file beside it, before the next "
     "keyframe; 0: never."},
    {"record.window", TDBG_OPT_INT, "steps", 0, 1e9, NULL, "0", 0,
     "A flight recorder: only this many steps are kept, and up to as many more, until the loss is "
     "not finite or the signal SIGUSR1 comes; from then on everything. 0: everything always."},
    {"record.overflow", TDBG_OPT_ENUM, "", 0, 0, "wait|drop", "\"wait\"", 0,
     "When the disk cannot follow: the training waits, or values of large tensors are left out and "
     "the steps marked (never what replay needs)."},
    {"record.on_error", TDBG_OPT_ENUM, "", 0, 0, "continue|stop", "\"continue\"", 0,
     "When recording has to stop (a full disk): the training goes on without it, or stops too. The "
     "exit code is 4 in both cases."},
    {"record.solo_replay", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "With several ranks: the trace of rank 0 holds what the reductions gave, so that any rank can "
     "be replayed without the others' traces (not in light)."},
    {"inject", TDBG_OPT_LIST, "", 0, 0, NULL, NULL, 0,
     "Faults to plant, for tests of what finds them: { step = 10; rank = 2; site = "
     "\"reduce_in/fc1.weight\"; kind = \"bitflip\"; element = 17; }. The rest of the config, and "
     "re-execution, know nothing of them."},
    {"record.stages", TDBG_OPT_GROUP, "", 0, 0, NULL, "{}", 0,
     "Overrides per stage: { fwd = \"values\" | \"digest\" | \"off\" | \"every:10\"; }. Digests of "
     "loss and grad are kept in any case."},
};
const struct tdbg_option_table tdbg_recorder_options = {
    record_options, (int)(sizeof record_options / sizeof record_options[0])};

enum preset { LIGHT, STANDARD, FULL };

int64_t tdbg_recorder_keyframe_steps(const struct tdbg_cfg_node *root, int64_t bytes_per_step)
{
    int64_t bytes, steps;
    const struct tdbg_cfg_node *node = tdbg_cfg_find(root, "record.keyframe");
    if (node->type != TDBG_CFG_STRING || !tdbg_cfg_size_bytes(node->s, &bytes))
        return tdbg_cfg_int(root, "record.keyframe");
    steps = bytes / (bytes_per_step > 0 ? bytes_per_step : 1);
    return steps < 1 ? 1 : steps > INT32_MAX ? INT32_MAX : steps;
}

enum {
    PACK_BELOW_BYTES = 64 << 10
}; /* 2 KiB chunks cost 3 times the time per byte of 1 MiB ones */

/* An override: digests and values at every so many steps; 0 = never, -1 = as the preset says. */
struct override {
    int32_t digest_every, value_every;
};

static bool parse_override(const char *text, struct override *out)
{
    if (strcmp(text, "values") == 0) {
        *out = (struct override){1, 1};
    } else if (strcmp(text, "digest") == 0) {
        *out = (struct override){1, 0};
    } else if (strcmp(text, "off") == 0) {
        *out = (struct override){0, 0};
    } else if (strncmp(text, "every:", 6) == 0) {
        char *end;
        long n = strtol(text + 6, &end, 10);
        if (text[6] < '1' || text[6] > '9' || *end || n > 1000000000)
            return false;
        *out = (struct override){1, (int32_t)n};
    } else {
        return false;
    }
    return true;
}

/* Stages that are inputs of a step: without them it cannot be run again. */
static bool is_fixed_stage(enum tdbg_stage stage)
{
    return stage == TDBG_STAGE_SAMPLES || stage == TDBG_STAGE_STATE || stage == TDBG_STAGE_RANDOM;
}

static void check_stage(struct tdbg_config *config, const struct tdbg_cfg_node *item)
{
    enum tdbg_stage stage;
    struct override unused;
    if (!tdbg_stage_parse(item->key, &stage)) {
        const char *names[TDBG_STAGE_COUNT];
        for (int i = 0; i < TDBG_STAGE_COUNT; i++)
            names[i] = tdbg_stage_text((enum tdbg_stage)i);
        const char *near = tdbg_suggest(item->key, names, TDBG_STAGE_COUNT);
        char hint[64];
        snprintf(hint, sizeof hint, "did you mean '%s'?", near ? near : "");
        tdbg_config_report(config, item, near ? hint : NULL, "unknown stage '%s'", item->key);
    } else if (is_fixed_stage(stage)) {
        tdbg_config_report(config, item, NULL,
                           "stage '%s' cannot be changed: replay is not possible without it",
                           item->key);
    } else if (item->type != TDBG_CFG_STRING || !parse_override(item->s, &unused)) {
        tdbg_config_report(config, item, NULL,
                           "'record.stages.%s' wants \"values\", \"digest\", \"off\" or "
                           "\"every:N\"",
                           item->key);
    }
}

void tdbg_recorder_check_options(struct tdbg_config *config)
{
    tdbg_fault_check_options(config);
    const struct tdbg_cfg_node *stages = tdbg_cfg_find(tdbg_config_root(config), "record.stages");
    for (int i = 0; stages && stages->type == TDBG_CFG_GROUP && i < stages->n_child; i++)
        check_stage(config, stages->child[i]);
}

static enum preset read_preset(const struct tdbg_cfg_node *root)
{
    const char *text = tdbg_cfg_string(root, "record.preset");
    return strcmp(text, "light") == 0 ? LIGHT : strcmp(text, "full") == 0 ? FULL : STANDARD;
}

/* Digests in light: what cannot be computed again without the others, and the proof that it was
 * computed again right; the rest at keyframe steps. */
static int32_t preset_digest_every(enum preset preset, enum tdbg_stage stage, int32_t keyframe)
{
    switch (stage) {
    case TDBG_STAGE_STATE:
        return keyframe;
    case TDBG_STAGE_INPUT:
    case TDBG_STAGE_FWD:
    case TDBG_STAGE_BWD:
    case TDBG_STAGE_CLIP:
    case TDBG_STAGE_OPTIM:
    case TDBG_STAGE_PARAM:
        return preset == LIGHT ? keyframe : 1;
    default:
        return 1;
    }
}

/* What a rank that is replayed alone gets from the others: rank 0's file has it for all. */
static bool is_for_solo_replay(const struct tdbg_cfg_node *root, const struct tdbg_site *site,
                               const struct tdbg_recorder_cut *cut)
{
    return cut->world_size > 1 && cut->rank == 0 && tdbg_cfg_bool(root, "record.solo_replay") &&
           (strcmp(site->op, "all_reduce") == 0 || site->stage == TDBG_STAGE_EVAL);
}

/* Values in standard: with one lane the gradient; with several the contributions of the lanes, from
 * which everything after them follows. */
static int32_t preset_value_every(enum preset preset, const struct tdbg_cfg_node *root,
                                  const struct tdbg_site *site, const struct tdbg_recorder_cut *cut)
{
    if (preset == FULL)
        return 1;
    if (preset == LIGHT)
        return 0;
    return site->stage == (cut->lanes == 1 ? TDBG_STAGE_GRAD : TDBG_STAGE_REDUCE_IN) ||
           is_for_solo_replay(root, site, cut);
}

static bool is_main_chain(const struct tdbg_site *site)
{
    return tdbg_chain_covers(TDBG_CHAIN_MAIN, site);
}

static struct tdbg_site_plan plan_site(const struct tdbg_cfg_node *root, enum preset preset,
                                       const struct tdbg_site *site,
                                       const struct tdbg_recorder_cut *cut)
{
    struct tdbg_site_plan plan = {
        .digest_every = preset_digest_every(preset, site->stage, cut->keyframe),
        .value_every = preset_value_every(preset, root, site, cut),
        .store = TDBG_STORE_NONE,
    };
    if (site->stage == TDBG_STAGE_SAMPLES || site->stage == TDBG_STAGE_STATE) {
        bool samples = site->stage == TDBG_STAGE_SAMPLES;
        plan.value_every = samples ? 1 : cut->keyframe;
        plan.store = samples ? TDBG_STORE_SAMPLES : TDBG_STORE_KEYFRAME;
        return plan;
    }
    const struct tdbg_cfg_node *stages = tdbg_cfg_find(root, "record.stages");
    const struct tdbg_cfg_node *item = tdbg_cfg_find(stages, tdbg_stage_text(site->stage));
    struct override override;
    if (item && parse_override(item->s, &override)) {
        plan.value_every = override.value_every;
        if (!is_main_chain(site) && site->stage != TDBG_STAGE_REDUCE_OUT)
            plan.digest_every = override.digest_every;
    }
    /* a value without its digest could not be judged */
    if (plan.value_every > 0 && (plan.digest_every == 0 || plan.value_every % plan.digest_every))
        plan.digest_every = 1;
    if (plan.value_every > 0)
        plan.store = TDBG_STORE_DATASET;
    return plan;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct tdbg_site *sites = context;
    return strcmp(sites[*(const int32_t *)a].name, sites[*(const int32_t *)b].name);
}

/* Small tensors make chunks that cost more than they hold: those of one stage share a dataset. The
 * sites of one name go the same way, by the largest of them. */
static void pack_small(const struct tdbg_site *sites, const int32_t *order, int32_t n,
                       struct tdbg_site_plan *plans)
{
    for (int32_t i = 0, next; i < n; i = next) {
        int64_t largest = 0;
        for (next = i; next < n && strcmp(sites[order[next]].name, sites[order[i]].name) == 0;
             next++) {
            const struct tdbg_site *s = &sites[order[next]];
            int64_t bytes = tdbg_site_elems(s) * (int64_t)tdbg_dtype_bytes(s->dtype);
            largest = bytes > largest ? bytes : largest;
        }
        for (int32_t k = i; k < next && largest < PACK_BELOW_BYTES; k++) {
            if (plans[order[k]].store == TDBG_STORE_DATASET)
                plans[order[k]].store = TDBG_STORE_PACKED;
        }
    }
}

enum tdbg_status tdbg_recorder_plan_sites(const struct tdbg_cfg_node *root,
                                          const struct tdbg_site *sites, int32_t n_sites,
                                          const struct tdbg_recorder_cut *cut,
                                          struct tdbg_site_plan *plans, struct tdbg_err *err)
{
    enum preset preset = read_preset(root);
    int32_t *order = malloc((size_t)n_sites * sizeof *order);
    if (!order)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the recorder's plan");
    for (int32_t i = 0; i < n_sites; i++) {
        order[i] = i;
        plans[i] = plan_site(root, preset, &sites[i], cut);
    }
    qsort_r(order, (size_t)n_sites, sizeof *order, compare_names, (void *)sites);
    pack_small(sites, order, n_sites, plans);
    free(order);
    return TDBG_OK;
}
