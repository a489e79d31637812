/* Reading, writing and comparing golden files. See ci_golden.h. */
#include "cli/ci_golden.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/new_file.h"

enum { FORMAT = 1 };

int ci_golden_column(int i)
{
    return i < TDBG_CHAIN_COUNT - 1 ? i + 1 : TDBG_CHAIN_MAIN;
}

/* --- config --- */

static bool changes_no_bit(const struct tdbg_config_difference *leaf)
{
    static const char *const keys[] = {"steps", "epochs", "engine.threads", "engine.device",
                                       "engine.ranks_in_process"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(leaf->key, keys[i]) == 0)
            return true;
    }
    return strncmp(leaf->key, "record.", 7) == 0 || strncmp(leaf->key, "engine.comm.", 12) == 0 ||
           strncmp(leaf->a, "\"/", 2) == 0 || strchr(leaf->key, '\n') || strchr(leaf->a, '\n');
}

void ci_golden_take_config(struct ci_golden *golden, const struct tdbg_cfg_node *root,
                           struct tdbg_arena *arena)
{
    const struct tdbg_cfg_node nothing = {.type = TDBG_CFG_GROUP};
    struct tdbg_config_difference *leaves;
    const int n = tdbg_config_diff(root, &nothing, arena, &leaves);
    golden->key = tdbg_arena_alloc(arena, ((size_t)n + 1) * sizeof *golden->key);
    golden->n_keys = 0;
    for (int i = 0; i < n && golden->n_keys < CI_MOST_KEYS; i++) {
        if (!changes_no_bit(&leaves[i]))
            golden->key[golden->n_keys++] = (struct ci_key){leaves[i].key, leaves[i].a};
    }
}

static const char *value_of(const struct ci_golden *golden, const char *key)
{
    for (int i = 0; i < golden->n_keys; i++) {
        if (strcmp(golden->key[i].key, key) == 0)
            return golden->key[i].value;
    }
    return NULL;
}

int ci_golden_compare_config(const struct ci_golden *golden, const struct ci_golden *now,
                             struct tdbg_arena *arena, struct tdbg_config_difference **out)
{
    int n = 0;
    *out = tdbg_arena_alloc(arena, (size_t)(golden->n_keys + now->n_keys + 1) * sizeof **out);
    for (int i = 0; i < golden->n_keys; i++) {
        const char *b = value_of(now, golden->key[i].key);
        if (!b || strcmp(b, golden->key[i].value) != 0)
            (*out)[n++] =
                (struct tdbg_config_difference){golden->key[i].key, golden->key[i].value, b};
    }
    for (int i = 0; i < now->n_keys; i++) {
        if (!value_of(golden, now->key[i].key))
            (*out)[n++] = (struct tdbg_config_difference){now->key[i].key, NULL, now->key[i].value};
    }
    return n;
}

/* --- reading --- */

struct reading {
    const char *path;
    int64_t line;
    struct tdbg_arena *arena;
    struct ci_golden *out;
    bool has_format, has_numerics;
    int column[TDBG_CHAIN_COUNT]; /* chain of each column */
    int n_columns;
    int64_t room; /* steps */
};

#define FAULT(r, err, ...)                                                                         \
    (tdbg_err_set(err, TDBG_CONFIG, __FILE__, __LINE__, __VA_ARGS__),                              \
     tdbg_err_prefix(err, "%s:%" PRId64 ": error", (r)->path, (r)->line), TDBG_CONFIG)

static enum tdbg_status read_format(struct reading *r, const char *text, struct tdbg_err *err)
{
    char *end;
    const long version = strtol(text, &end, 10);
    if (end == text || *end || version < 1)
        return FAULT(r, err, "'%s' is no version of a golden file", text);
    if (version > FORMAT)
        return TDBG_RAISE(err, TOO_NEW, "%s is of format %ld, and this tdbg reads up to %d",
                          r->path, version, FORMAT);
    r->has_format = true;
    return TDBG_OK;
}

static enum tdbg_status read_numerics(struct reading *r, const char *text, struct tdbg_err *err)
{
    char *end;
    const long version = strtol(text, &end, 10);
    if (end == text || *end || version < 0 || version > 1000000)
        return FAULT(r, err, "'%s' is no numerics version", text);
    r->out->numerics_version = (int32_t)version;
    r->has_numerics = true;
    return TDBG_OK;
}

static enum tdbg_status read_key(struct reading *r, char *text, struct tdbg_err *err)
{
    char *value = strchr(text, ' ');
    if (!value)
        return FAULT(r, err, "'%s' has no value", text);
    if (r->out->n_keys == CI_MOST_KEYS)
        return FAULT(r, err, "more than %d keys", CI_MOST_KEYS);
    *value++ = '\0';
    r->out->key[r->out->n_keys++] =
        (struct ci_key){tdbg_arena_strdup(r->arena, text), tdbg_arena_strdup(r->arena, value)};
    return TDBG_OK;
}

static int find_chain(const char *name)
{
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        if (strcmp(tdbg_chain_name(c), name) == 0)
            return c;
    }
    return -1;
}

static enum tdbg_status read_chains(struct reading *r, char *text, struct tdbg_err *err)
{
    char *rest = NULL;
    if (r->n_columns > 0)
        return FAULT(r, err, "a second list of chains");
    for (char *name = strtok_r(text, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        const int chain = find_chain(name);
        if (chain < 0)
            return FAULT(r, err, "there is no chain '%s'", name);
        if (r->out->has_chain[chain])
            return FAULT(r, err, "chain '%s' a second time", name);
        r->out->has_chain[chain] = true;
        r->column[r->n_columns++] = chain;
    }
    return r->n_columns > 0 ? TDBG_OK : FAULT(r, err, "no chains");
}

static void make_room(struct reading *r)
{
    if (r->out->n_steps < r->room)
        return;
    r->room = r->room ? 2 * r->room : 64;
    void *grown = tdbg_arena_alloc(r->arena, (size_t)r->room * sizeof *r->out->chain);
    if (r->out->n_steps > 0)
        memcpy(grown, r->out->chain, (size_t)r->out->n_steps * sizeof *r->out->chain);
    r->out->chain = grown;
}

static enum tdbg_status read_step(struct reading *r, char *text, struct tdbg_err *err)
{
    char *rest = NULL, *end;
    const char *number = strtok_r(text, " ", &rest);
    if (!number || strtoll(number, &end, 10) != r->out->n_steps || *end)
        return FAULT(r, err, "step %" PRId64 " should stand here", r->out->n_steps);
    if (r->out->n_steps == CI_MOST_STEPS)
        return FAULT(r, err, "more than %d steps", CI_MOST_STEPS);
    make_room(r);
    uint64_t *row = r->out->chain[r->out->n_steps];
    for (int i = 0; i < r->n_columns; i++) {
        const char *hash = strtok_r(NULL, " ", &rest);
        if (!hash || strlen(hash) != 16 || strspn(hash, "0123456789abcdef") != 16)
            return FAULT(r, err, "the hash of chain %s wants 16 hexadecimal digits, not '%s'",
                         tdbg_chain_name(r->column[i]), hash ? hash : "");
        row[r->column[i]] = strtoull(hash, NULL, 16);
    }
    if (strtok_r(NULL, " ", &rest))
        return FAULT(r, err, "more hashes than chains");
    r->out->n_steps++;
    return TDBG_OK;
}

static enum tdbg_status read_line(struct reading *r, char *line, struct tdbg_err *err)
{
    if (*line == '\0' || *line == '#')
        return TDBG_OK;
    char *text = line + strcspn(line, " ");
    if (*text)
        *text++ = '\0';
    if (strcmp(line, "tdbg-ci") == 0)
        return read_format(r, text, err);
    if (!r->has_format)
        return FAULT(r, err, "this is no golden file of tdbg ci: it does not begin with 'tdbg-ci'");
    if (strcmp(line, "numerics") == 0)
        return read_numerics(r, text, err);
    if (strcmp(line, "config") == 0)
        return read_key(r, text, err);
    if (strcmp(line, "chains") == 0)
        return read_chains(r, text, err);
    if (strcmp(line, "step") == 0 && r->n_columns > 0)
        return read_step(r, text, err);
    return FAULT(r, err, "'%s' is not known here", line);
}

enum tdbg_status ci_golden_read(const char *path, struct tdbg_arena *arena, struct ci_golden *out,
                                struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct reading r = {.path = path, .arena = arena, .out = out};
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    *out = (struct ci_golden){0};
    out->key = tdbg_arena_alloc(arena, CI_MOST_KEYS * sizeof *out->key);
    FILE *f = fopen(path, "r");
    TDBG_FAIL_IF(!f, USAGE, "cannot read %s: %s\nhint: --update writes it", path, strerror(errno));
    while ((n = getline(&line, &room, f)) >= 0) {
        r.line++;
        if (n > 0 && line[n - 1] == '\n')
            line[n - 1] = '\0';
        TDBG_TRY(read_line(&r, line, err));
    }
    TDBG_FAIL_IF(ferror(f), USAGE, "cannot read %s: %s", path, strerror(errno));
    r.line++;
    if (!r.has_format || !r.has_numerics || out->n_steps == 0)
        st = FAULT(&r, err, "the golden file ends before its %s",
                   !r.has_format     ? "first line"
                   : !r.has_numerics ? "numerics version"
                                     : "steps");
out:
    free(line);
    if (f)
        fclose(f);
    return st;
}

/* --- writing --- */

static void write_text(FILE *out, const struct ci_golden *g)
{
    fprintf(out,
            "# Hash chains of a training, for 'tdbg ci'; 'tdbg ci --update' writes this file.\n"
            "tdbg-ci %d\nnumerics %d\n",
            FORMAT, (int)g->numerics_version);
    for (int i = 0; i < g->n_keys; i++)
        fprintf(out, "config %s %s\n", g->key[i].key, g->key[i].value);
    fputs("chains", out);
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
        if (g->has_chain[ci_golden_column(i)])
            fprintf(out, " %s", tdbg_chain_name(ci_golden_column(i)));
    }
    for (int64_t step = 0; step < g->n_steps; step++) {
        fprintf(out, "\nstep %" PRId64, step);
        for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
            if (g->has_chain[ci_golden_column(i)])
                fprintf(out, " %016" PRIx64, g->chain[step][ci_golden_column(i)]);
        }
    }
    fputc('\n', out);
}

enum tdbg_status ci_golden_write(const char *path, const struct ci_golden *golden,
                                 struct tdbg_arena *arena, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_new_file file = TDBG_NEW_FILE_NONE;
    TDBG_TRY(tdbg_new_file_create(&file, arena, path, true, err));
    FILE *out = fdopen(fcntl(file.fd, F_DUPFD_CLOEXEC, 0), "wb");
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory to write %s", path);
    write_text(out, golden);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        st = TDBG_RAISE(err, IO, "cannot write %s: %s", path, strerror(errno));
    TDBG_TRY(st);
    TDBG_TRY(tdbg_new_file_place(&file, err));
out:
    tdbg_new_file_release(&file);
    return st;
}

/* --- comparing --- */

int64_t ci_golden_compare(const struct ci_golden *golden, const struct ci_golden *now,
                          bool *differs)
{
    for (int64_t step = 0; step < golden->n_steps && step < now->n_steps; step++) {
        bool any = false;
        for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
            differs[c] = golden->has_chain[c] && now->has_chain[c] &&
                         golden->chain[step][c] != now->chain[step][c];
            any |= differs[c];
        }
        if (any)
            return step;
    }
    return -1;
}
