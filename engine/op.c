/* The table of model ops, and the checks common to all of them. See op.h. */
#include "engine/op.h"

#include <stdio.h>
#include <string.h>

static const struct tdbg_op_class *const classes[] = {
    &tdbg_op_linear,
    &tdbg_op_relu,
    &tdbg_op_flatten,
};
enum { N_CLASSES = sizeof classes / sizeof classes[0], MAX_MODEL_OPS = 4096 };

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

void tdbg_op_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *model)
{
    if (!model || model->type != TDBG_CFG_LIST)
        return; /* reported by the root's table */
    if (model->n_child == 0)
        tdbg_config_report(config, model,
                           "for example: model = ( { op = \"linear\"; out = 10; } );",
                           "'model' is empty");
    if (model->n_child > MAX_MODEL_OPS) {
        tdbg_config_report(config, model, NULL, "'model' has %d ops; at most %d are supported",
                           model->n_child, MAX_MODEL_OPS);
        return;
    }
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    for (int i = 0; i < model->n_child; i++) {
        char context[64];
        snprintf(context, sizeof context, "model[%d]", i);
        tdbg_kind_check(config, model->child[i], "op", kinds, N_CLASSES, &common, context);
        const struct tdbg_cfg_node *name = tdbg_cfg_find(model->child[i], "name");
        if (name && name->type == TDBG_CFG_STRING && !is_name(name->s))
            tdbg_config_report(config, name, "use letters, digits, '_', '-' and '.'",
                               "\"%s\" cannot be the name of an op", name->s);
    }
}

void tdbg_op_print_options(FILE *out)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    tdbg_kind_print_options("model", "op", kinds, N_CLASSES, &common, out);
}

const struct tdbg_op_class *tdbg_op_find(const char *kind)
{
    for (int i = 0; i < N_CLASSES; i++) {
        if (strcmp(classes[i]->kind.name, kind) == 0)
            return classes[i];
    }
    return NULL;
}
