/* The table of model ops, and the checks common to all of them. See op.h. */
#include "engine/op.h"

#include <stdio.h>
#include <string.h>

static const struct tdbg_op_class *const classes[] = {
    &tdbg_op_linear,      &tdbg_op_relu,
    &tdbg_op_flatten,     &tdbg_op_reshape,
    &tdbg_op_to_sequence, &tdbg_op_block,
    &tdbg_op_residual,    &tdbg_op_batch_norm,
    &tdbg_op_layer_norm,  &tdbg_op_rms_norm,
    &tdbg_op_conv2d,      &tdbg_op_max_pool2d,
    &tdbg_op_avg_pool2d,  &tdbg_op_global_avg_pool,
    &tdbg_op_embedding,   &tdbg_op_position,
    &tdbg_op_attention,   &tdbg_op_gelu,
    &tdbg_op_silu,        &tdbg_op_tanh,
    &tdbg_op_sigmoid,     &tdbg_op_softmax,
    &tdbg_op_dropout,
};
enum { N_CLASSES = sizeof classes / sizeof classes[0], MAX_LIST_OPS = 4096, MAX_DEPTH = 16 };

static const struct tdbg_option common_options[] = {
    {"name", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, 0,
     "Name of the op in sites and parameters; default: the kind and a running number."},
};
static const struct tdbg_option_table common = {common_options, 1};

static void copy_kinds(struct tdbg_kind *kinds)
{
    for (int i = 0; i < N_CLASSES; i++)
        kinds[i] = classes[i]->kind;
}

static bool is_name(const char *text)
{
    size_t n = strlen(text);
    return n > 0 && n <= TDBG_MAX_OP_NAME && text[0] != '.' && text[n - 1] != '.' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n &&
           !strstr(text, "..");
}

/* The lists of ops that an item may hold. */
static const char *const list_keys[] = {"body", "shortcut"};

static void check_list(struct tdbg_config *config, const struct tdbg_cfg_node *list,
                       const char *context, int depth);

static void check_item(struct tdbg_config *config, const struct tdbg_cfg_node *item,
                       const char *context, int depth)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    const int kind = tdbg_kind_check(config, item, "op", kinds, N_CLASSES, &common, context);
    const struct tdbg_cfg_node *name = tdbg_cfg_find(item, "name");
    if (name && name->type == TDBG_CFG_STRING && !is_name(name->s))
        tdbg_config_report(config, name, "use letters, digits, '_', '-' and '.'",
                           "\"%s\" cannot be the name of an op", name->s);
    if (kind < 0)
        return;
    if (classes[kind]->check)
        classes[kind]->check(config, item);
    for (size_t i = 0; i < sizeof list_keys / sizeof list_keys[0]; i++) {
        const struct tdbg_cfg_node *inner = tdbg_cfg_find(item, list_keys[i]);
        char text[144];
        if (!classes[kind]->expand || !inner || inner->type != TDBG_CFG_LIST)
            continue;
        if (inner->n_child == 0 && i == 0)
            tdbg_config_report(config, inner, NULL, "'%s' of %s is empty", list_keys[i], context);
        snprintf(text, sizeof text, "%.120s.%s", context, list_keys[i]);
        check_list(config, inner, text, depth + 1);
    }
}

static void check_list(struct tdbg_config *config, const struct tdbg_cfg_node *list,
                       const char *context, int depth)
{
    if (list->n_child > MAX_LIST_OPS || depth > MAX_DEPTH) {
        tdbg_config_report(config, list, NULL,
                           depth > MAX_DEPTH ? "'%s': more than %d blocks inside of each other"
                                             : "'%s' has more than %d ops",
                           context, depth > MAX_DEPTH ? (int)MAX_DEPTH : (int)MAX_LIST_OPS);
        return;
    }
    for (int i = 0; i < list->n_child; i++) {
        char text[176];
        snprintf(text, sizeof text, "%.144s[%d]", context, i);
        check_item(config, list->child[i], text, depth);
    }
}

void tdbg_op_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *model)
{
    if (!model || model->type != TDBG_CFG_LIST)
        return; /* reported by the root's table */
    if (model->n_child == 0)
        tdbg_config_report(config, model,
                           "for example: model = ( { op = \"linear\"; out = 10; } );",
                           "'model' is empty");
    check_list(config, model, "model", 0);
}

void tdbg_op_print_options(FILE *out)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    tdbg_kind_print_options("model", "op", kinds, N_CLASSES, &common, out);
}

const struct tdbg_op_fold *tdbg_op_folds(const struct tdbg_node *node, int32_t *n)
{
    *n = 0;
    return node->op->folds ? node->op->folds(node, n) : NULL;
}

const struct tdbg_op_class *tdbg_op_find(const char *kind)
{
    for (int i = 0; i < N_CLASSES; i++) {
        if (strcmp(classes[i]->kind.name, kind) == 0)
            return classes[i];
    }
    return NULL;
}
