/* Taking named arrays into an engine's state. See weights.h. */
#include "engine/weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "engine/engine_state.h"

enum { MOST_LISTED = 8, MOST_UNEXPECTED = 64 };

static const struct tdbg_option options[] = {
    {"path", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Weights to begin with: a .safetensors file, an HDF5 file with a dataset per parameter, or a "
     "trace; relative to the config file."},
    {"step", TDBG_OPT_INT, "steps", -1, 2147483647, NULL, "-1", 0,
     "Of a trace: the state before this step; -1: after its last one."},
    {"strict", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "The file has to have exactly the parameters of the model; false: those that it has are "
     "taken."},
};
static const struct tdbg_option_table table = {options, sizeof options / sizeof options[0]};

void tdbg_weights_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    if (group && group->type == TDBG_CFG_GROUP) /* else reported by the root's table */
        tdbg_config_check(config, group, &table, 1, "init_from");
}

void tdbg_weights_print_options(FILE *out)
{
    fprintf(out, "\ninit_from:\n");
    tdbg_option_print_help(&table, 1, out);
}

/* What is being loaded. */
struct taker {
    struct tdbg_config *config;
    struct tdbg_engine *engine;
    const struct tdbg_cfg_node *at;
    const char **names; /* (n): of what can be set; NULL: optimizer state, which cannot */
    bool *taken;        /* (n) */
    int32_t n;
    float *host;
    char *unexpected[MOST_UNEXPECTED];
    int n_unexpected; /* all of them, kept or not */
};

/* A buffer has one name for all its lanes. */
static const char *name_of(const struct tdbg_engine *e, int32_t i)
{
    const struct tdbg_state_item *item = &e->state_items[i];
    return item->buffer >= 0  ? e->graph->buffers[item->buffer].name
           : item->state >= 0 ? NULL
                              : item->name;
}

static bool same_shape(const struct tdbg_engine_item *item, const struct tdbg_array *a)
{
    return item->ndim == a->ndim &&
           memcmp(item->dims, a->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

static void put_shape(struct tdbg_strbuf *sb, int32_t ndim, const int64_t *dims)
{
    tdbg_strbuf_putc(sb, '(');
    for (int32_t d = 0; d < ndim; d++)
        tdbg_strbuf_printf(sb, "%s%lld", d ? ", " : "", (long long)dims[d]);
    tdbg_strbuf_putc(sb, ')');
}

static void report_shape(struct taker *t, const struct tdbg_engine_item *item,
                         const struct tdbg_array *array)
{
    struct tdbg_strbuf want = {0}, have = {0};
    put_shape(&want, item->ndim, item->dims);
    put_shape(&have, array->ndim, array->dims);
    tdbg_config_report(t->config, t->at, NULL,
                       "%s has shape %s in the file, but the model wants %s", item->name, have.text,
                       want.text);
    tdbg_strbuf_free(&want);
    tdbg_strbuf_free(&have);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum tdbg_status take(void *self, const char *name, const struct tdbg_array *array,
                             struct tdbg_err *err)
{
    struct taker *t = self;
    enum tdbg_status st = TDBG_OK;
    bool known = ends_with(name, ".num_batches_tracked");
    for (int32_t i = 0; i < t->n; i++) {
        const struct tdbg_engine_item *item = &t->engine->items[i];
        if (!t->names[i] || strcmp(t->names[i], name) != 0)
            continue;
        TDBG_FAIL_IF(t->taken[i], DATA, "it has %.100s twice", name);
        t->taken[i] = known = true;
        if (!same_shape(item, array)) {
            report_shape(t, item, array);
            break;
        }
        tdbg_array_to_f32(array, 0, item->elems, t->host);
        TDBG_TRY(tdbg_engine_set_item(t->engine, i, t->host, err));
    }
    if (!known && t->n_unexpected++ < MOST_UNEXPECTED)
        t->unexpected[t->n_unexpected - 1] = strdup(name);
out:
    return st;
}

/* "a, b and 3 more" */
static void put_list(struct tdbg_strbuf *sb, const char *const *names, int n_names, int n_all)
{
    int n = 0;
    for (int i = 0; i < n_names && n < MOST_LISTED; i++) {
        if (names[i])
            tdbg_strbuf_printf(sb, "%s%.100s", n++ ? ", " : "", names[i]);
    }
    if (n_all > n)
        tdbg_strbuf_printf(sb, " and %d more", n_all - n);
}

/* Names of the model that the file lacks, each once, and those of the file that it has not. */
static void report_names(struct taker *t)
{
    struct tdbg_strbuf missing = {0}, unexpected = {0}, hint = {0};
    const char **lacking = calloc((size_t)t->n + 1, sizeof *lacking);
    int n = 0;
    for (int32_t i = 0; lacking && i < t->n; i++) {
        const bool repeated = i > 0 && t->names[i] == t->names[i - 1]; /* another lane */
        if (t->names[i] && !t->taken[i] && !repeated)
            lacking[n++] = t->names[i];
    }
    const int kept = t->n_unexpected < MOST_UNEXPECTED ? t->n_unexpected : MOST_UNEXPECTED;
    const char *near =
        n > 0 ? tdbg_suggest(lacking[0], (const char *const *)t->unexpected, kept) : NULL;
    if (n > 0) {
        put_list(&missing, lacking, n, n);
        tdbg_strbuf_printf(&hint,
                           near ? "the file has '%.100s' for '%.100s'"
                                : "init_from.strict = false; takes what is there",
                           near, lacking[0]);
        tdbg_config_report(t->config, t->at, hint.text, "the file lacks %s", missing.text);
    }
    if (t->n_unexpected > 0) {
        put_list(&unexpected, (const char *const *)t->unexpected, kept, t->n_unexpected);
        tdbg_config_report(t->config, t->at, "init_from.strict = false; leaves them out",
                           "the model has no %s", unexpected.text);
    }
    free(lacking);
    tdbg_strbuf_free(&missing);
    tdbg_strbuf_free(&unexpected);
    tdbg_strbuf_free(&hint);
}

static enum tdbg_status prepare(struct taker *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    t->n = t->engine->info.n_items;
    t->names = calloc((size_t)t->n + 1, sizeof *t->names);
    t->taken = calloc((size_t)t->n + 1, sizeof *t->taken);
    for (int32_t i = 0; t->names && i < t->n; i++)
        t->names[i] = name_of(t->engine, i);
    t->host = malloc((size_t)tdbg_engine_most_item_elems(t->engine) * sizeof *t->host);
    TDBG_FAIL_IF(!t->names || !t->taken || !t->host, NO_MEMORY, "no memory to load weights");
out:
    return st;
}

enum tdbg_status tdbg_weights_load(struct tdbg_config *config, struct tdbg_engine *engine,
                                   tdbg_weights_read_fn read, void *context, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *group = tdbg_cfg_find(tdbg_config_root(config), "init_from");
    struct taker t = {.config = config, .engine = engine, .at = tdbg_cfg_find(group, "path")};
    struct tdbg_err fault = {0};
    char *path = tdbg_cfg_path(config, group, "path");
    TDBG_TRY(prepare(&t, err));
    st = read(context, path, take, &t, &fault);
    if (st == TDBG_DATA) {
        tdbg_config_report(config, t.at, NULL, "cannot take weights from %s: %s", path,
                           fault.message);
        st = TDBG_OK;
        goto out;
    }
    if (st != TDBG_OK) {
        tdbg_err_set(err, st, fault.file, fault.line, "cannot take weights from %s: %s", path,
                     fault.message);
        goto out;
    }
    if (tdbg_cfg_bool(group, "strict"))
        report_names(&t);
out:
    for (int i = 0; i < t.n_unexpected && i < MOST_UNEXPECTED; i++)
        free(t.unexpected[i]);
    tdbg_err_clear(&fault);
    free(path);
    free(t.names);
    free(t.taken);
    free(t.host);
    return st;
}
