/* Tab in the command line: what may stand at the cursor. See command.h.
 *
 * The word at the cursor is completed as far as all that begin with it agree; what they are is
 * shown in the key row. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/config.h"
#include "tui/app.h"

enum { MOST_SHOWN = 40 };

/* What begins like the word so far: their common beginning, and some of them. */
struct matches {
    const char *word;
    size_t n_word;
    int n;
    char *common;
    struct tdbg_strbuf shown;
};

static void offer(struct matches *m, const char *text)
{
    if (strncmp(text, m->word, m->n_word) != 0)
        return;
    if (m->n > 0 && strcmp(text, m->common) == 0)
        return; /* a site of several lanes */
    if (!m->common) {
        m->common = strdup(text);
    } else {
        size_t same = 0;
        while (m->common[same] && m->common[same] == text[same])
            same++;
        m->common[same] = 0;
    }
    if (m->n++ < MOST_SHOWN)
        tdbg_strbuf_printf(&m->shown, "%s%s", m->shown.n_bytes > 0 ? "  " : "", text);
}

static void offer_commands(struct matches *m)
{
    for (const struct tdbg_tui_command *c = tdbg_tui_commands; c->name; c++)
        offer(m, c->name);
}

/* A name as it is written and, as expressions take it, without its stage. */
static void offer_sites(struct matches *m, const struct tdbg_tui_data *data)
{
    const char *last = "";
    for (int32_t i = 0; i < data->n_sites; i++) {
        if (strcmp(data->sites[i].name, last) != 0)
            offer(m, data->sites[i].name);
        last = data->sites[i].name;
    }
    for (int32_t i = 0; i < data->n_sites && m->n_word > 0 && m->n == 0; i++)
        offer(m, tdbg_site_tensor(&data->sites[i]));
}

static void offer_expressions(struct matches *m, const struct tdbg_tui_data *data)
{
    static const char *const words[] = {"step",
                                        "epoch",
                                        "lr",
                                        "loss",
                                        "grad_norm",
                                        "samples",
                                        "diverges(loss)",
                                        "diverges(grad_norm)"};
    char text[40];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        offer(m, words[i]);
    for (int f = 0; *tdbg_expr_function_text((enum tdbg_expr_function)f); f++) {
        snprintf(text, sizeof text, "%s(", tdbg_expr_function_text((enum tdbg_expr_function)f));
        offer(m, text);
    }
    offer_sites(m, data);
}

static void offer_files(struct matches *m)
{
    const char *slash = NULL;
    for (size_t i = 0; i < m->n_word; i++)
        slash = m->word[i] == '/' ? m->word + i : slash;
    char *folder = slash ? strndup(m->word, (size_t)(slash - m->word) + 1) : strdup("");
    DIR *dir = folder ? opendir(*folder ? folder : ".") : NULL;
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        struct stat st;
        char *path = NULL;
        if (entry->d_name[0] == '.' ||
            asprintf(&path, "%s%s", folder, entry->d_name) < 0) /* hidden files are not offered */
            continue;
        const bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        free(path);
        if (asprintf(&path, "%s%s%s", folder, entry->d_name, is_folder ? "/" : "") < 0)
            continue;
        offer(m, path);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
}

static void offer_keys(struct matches *m, const struct tdbg_cfg_node *node, const char *before)
{
    for (int i = 0; i < node->n_child; i++) {
        const struct tdbg_cfg_node *child = node->child[i];
        char key[200];
        if (!child->key)
            continue;
        snprintf(key, sizeof key, "%s%s", before, child->key);
        if (child->type == TDBG_CFG_GROUP) {
            strncat(key, ".", sizeof key - strlen(key) - 1);
            offer_keys(m, child, key);
        } else {
            strncat(key, "=", sizeof key - strlen(key) - 1);
            offer(m, key);
        }
    }
}

static void offer_config(struct matches *m, const struct tdbg_tui_data *data)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    if (data->info->config &&
        tdbg_config_parse(data->info->config, "config", NULL, 0, &config, &err) == TDBG_OK)
        offer_keys(m, tdbg_config_root(config), "");
    tdbg_config_destroy(config);
    tdbg_err_clear(&err);
}

static void offer_texts(struct matches *m, const char *const *texts)
{
    for (; *texts; texts++)
        offer(m, *texts);
}

static void offer_settings(struct matches *m)
{
    char text[40];
    for (int i = 0; tdbg_tui_setting_text(i, text, sizeof text); i++)
        offer(m, text);
}

static void offer_for(struct matches *m, const struct tdbg_tui_data *data,
                      enum tdbg_tui_completes what, bool is_first_word)
{
    static const char *const formats[] = {"screen", "csv", "json", "npy", "ppm", NULL};
    switch (what) {
    case TDBG_COMPLETES_EXPRESSIONS:
        offer_expressions(m, data);
        break;
    case TDBG_COMPLETES_SITES:
        offer_sites(m, data);
        break;
    case TDBG_COMPLETES_FILES:
        offer_files(m);
        break;
    case TDBG_COMPLETES_EXPORTS:
        if (is_first_word)
            offer_texts(m, formats);
        else
            offer_files(m);
        break;
    case TDBG_COMPLETES_CONFIG:
        offer_config(m, data);
        break;
    case TDBG_COMPLETES_SETTINGS:
        offer_settings(m);
        break;
    case TDBG_COMPLETES_COMMANDS:
        offer_commands(m);
        break;
    case TDBG_COMPLETES_NOTHING:
        break;
    }
}

/* Where the word at the end of the text begins: behind a space or, in expressions, a bracket. */
static size_t word_start(const char *text, size_t n, enum tdbg_tui_completes what)
{
    const char *ends = what == TDBG_COMPLETES_EXPRESSIONS ? " (,<>=!+" : " ";
    while (n > 0 && !strchr(ends, text[n - 1]))
        n--;
    return n;
}

void tdbg_tui_complete(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt)
{
    char *text = strndup(prompt->text.n_bytes > 0 ? prompt->text.text : "", prompt->at);
    if (!text)
        return;
    const size_t begin = strspn(text, " "), name = strcspn(text + begin, " ");
    const bool in_name = begin + name == prompt->at;
    const struct tdbg_tui_command *command = tdbg_tui_command_find(text + begin, name);
    const enum tdbg_tui_completes what = in_name   ? TDBG_COMPLETES_COMMANDS
                                         : command ? command->completes
                                                   : TDBG_COMPLETES_NOTHING;
    const size_t from = in_name ? begin : word_start(text, prompt->at, what);
    const size_t args = begin + name + strspn(text + begin + name, " ");
    struct matches m = {.word = text + from, .n_word = prompt->at - from};
    offer_for(&m, app->model.data, what, from <= args);
    if (m.n == 0) {
        tdbg_strbuf_puts(&prompt->choices, "nothing begins like this");
    } else {
        const bool is_whole =
            m.n == 1 && *m.common && !strchr("/(=.", m.common[strlen(m.common) - 1]);
        struct tdbg_strbuf sb = {0};
        tdbg_strbuf_printf(&sb, "%s%s", m.common, is_whole ? " " : "");
        tdbg_tui_prompt_replace(prompt, from, sb.text);
        tdbg_strbuf_free(&sb);
        if (m.n > 1)
            tdbg_strbuf_puts(&prompt->choices, m.shown.text);
    }
    tdbg_strbuf_free(&m.shown);
    free(m.common);
    free(text);
}
