/* Whether a loss can be told as a perplexity: asked of the sites and of the config. See
 * perplexity.h. */
#include "cli/perplexity.h"

#include <string.h>

#include "base/config.h"

static const struct tdbg_site *find_site(struct tdbg_trace *trace, const char *name)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(sites[i].name, name) == 0)
            return &sites[i];
    }
    return NULL;
}

static bool is_plain(const struct tdbg_run_info *info)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    if (tdbg_config_parse(info->config, "config", NULL, 0, &config, &err) != TDBG_OK) {
        tdbg_err_clear(&err);
        return false;
    }
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_cfg_node *smoothing = tdbg_cfg_find(root, "loss.label_smoothing");
    const struct tdbg_cfg_node *weights = tdbg_cfg_find(root, "loss.class_weights");
    const bool plain = !(smoothing && smoothing->f > 0) && !(weights && weights->n_child > 0);
    tdbg_config_destroy(config);
    return plain;
}

bool cli_has_perplexity(struct tdbg_trace *trace)
{
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    const struct tdbg_site *x = find_site(trace, "samples/x");
    const struct tdbg_site *loss = find_site(trace, "loss/sample");
    return info->numerics_version != TDBG_NUMERICS_FOREIGN && x && x->dtype == TDBG_DTYPE_I32 &&
           loss && strcmp(loss->op, "cross_entropy") == 0 && is_plain(info);
}

bool cli_has_training_perplexity(struct tdbg_trace *trace)
{
    const struct tdbg_site *loss = find_site(trace, "loss");
    return loss && strcmp(loss->op, "mean") == 0 && cli_has_perplexity(trace);
}
