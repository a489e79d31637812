/* See run_config.h. What a trace says is taken as it is: keys may be missing or of any type. */
#include "tui/run_config.h"

#include <fnmatch.h>
#include <inttypes.h>

const struct tdbg_cfg_node *tdbg_tui_run_config_root(struct tdbg_tui_run_config *c,
                                                     const struct tdbg_run_info *info)
{
    struct tdbg_err err = {0};
    if (!c->is_tried && info->config &&
        tdbg_config_parse(info->config, "the trace's config", NULL, 0, &c->config, &err) != TDBG_OK)
        c->config = NULL;
    tdbg_err_clear(&err);
    c->is_tried = true;
    return c->config ? tdbg_config_root(c->config) : NULL;
}

void tdbg_tui_run_config_free(struct tdbg_tui_run_config *c)
{
    tdbg_config_destroy(c->config);
    *c = (struct tdbg_tui_run_config){0};
}

const char *tdbg_tui_cfg_text(const struct tdbg_cfg_node *node, char *buf, size_t buf_bytes)
{
    size_t used = 0;
    switch (node->type) {
    case TDBG_CFG_INT:
        snprintf(buf, buf_bytes, "%" PRId64, node->i);
        break;
    case TDBG_CFG_FLOAT:
        snprintf(buf, buf_bytes, "%.6g", node->f);
        break;
    case TDBG_CFG_BOOL:
        snprintf(buf, buf_bytes, "%s", node->i ? "true" : "false");
        break;
    case TDBG_CFG_STRING:
        snprintf(buf, buf_bytes, "%s", node->s);
        break;
    default:
        buf[0] = 0;
        for (int i = 0; i < node->n_child && used + 1 < buf_bytes; i++) {
            char item[64];
            const int n = snprintf(buf + used, buf_bytes - used, "%s%s", i ? " " : "",
                                   tdbg_tui_cfg_text(node->child[i], item, sizeof item));
            used += n > 0 ? (size_t)n : 0;
        }
    }
    return buf;
}

const char *tdbg_tui_cfg_string(const struct tdbg_cfg_node *group, const char *key,
                                const char *otherwise)
{
    const struct tdbg_cfg_node *node = group ? tdbg_cfg_find(group, key) : NULL;
    return node && node->type == TDBG_CFG_STRING ? node->s : otherwise;
}

double tdbg_tui_cfg_number(const struct tdbg_cfg_node *group, const char *key, double otherwise)
{
    const struct tdbg_cfg_node *node = group ? tdbg_cfg_find(group, key) : NULL;
    return !node                                                       ? otherwise
           : node->type == TDBG_CFG_FLOAT                              ? node->f
           : node->type == TDBG_CFG_INT || node->type == TDBG_CFG_BOOL ? (double)node->i
                                                                       : otherwise;
}

bool tdbg_tui_cfg_globs_match(const struct tdbg_cfg_node *list, const char *name)
{
    for (int i = 0; list && i < list->n_child; i++) {
        if (list->child[i]->type == TDBG_CFG_STRING && fnmatch(list->child[i]->s, name, 0) == 0)
            return true;
    }
    return false;
}
