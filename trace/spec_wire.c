/* Specs as bytes: structs as they are in memory, then their texts, each with its length before it.
 * See spec_wire.h. */
#include "trace/spec_wire.h"

#include <string.h>

static const uint32_t no_text = UINT32_MAX;

static void put(struct tdbg_strbuf *out, const void *data, size_t n_bytes)
{
    tdbg_strbuf_add(out, data, n_bytes);
}

static void put_text(struct tdbg_strbuf *out, const char *text)
{
    const uint32_t n = text ? (uint32_t)strlen(text) : no_text;
    put(out, &n, sizeof n);
    if (text)
        put(out, text, n);
}

enum { RUN_TEXTS = 10 };
static void list_texts(struct tdbg_run_info *info, const char **texts[RUN_TEXTS])
{
    const char **all[RUN_TEXTS] = {&info->tdbg_version, &info->preset,        &info->config,
                                   &info->config_path,  &info->config_source, &info->inject,
                                   &info->overflow,     &info->environment,   &info->dataset,
                                   &info->graph};
    memcpy(texts, all, sizeof all);
}

void tdbg_spec_pack(const struct tdbg_trace_spec *spec, struct tdbg_strbuf *out)
{
    struct tdbg_run_info info = spec->info;
    const char **texts[RUN_TEXTS];
    const uint8_t has_chain = spec->chain_before != NULL;
    list_texts(&info, texts);
    put(out, spec, sizeof *spec);
    for (int i = 0; i < RUN_TEXTS; i++)
        put_text(out, *texts[i]);
    for (int32_t i = 0; i < spec->n_sites; i++) {
        put(out, &spec->sites[i], sizeof spec->sites[i]);
        put(out, &spec->plans[i], sizeof spec->plans[i]);
        put_text(out, spec->sites[i].name);
        put_text(out, spec->sites[i].op);
        put_text(out, spec->sites[i].unit);
    }
    for (int32_t i = 0; i < spec->n_items; i++) {
        put(out, &spec->items[i], sizeof spec->items[i]);
        put_text(out, spec->items[i].name);
    }
    put(out, &has_chain, 1);
    if (has_chain)
        put(out, spec->chain_before, TDBG_CHAIN_COUNT * sizeof *spec->chain_before);
    const struct tdbg_vocabulary *v = &spec->vocabulary;
    if (v->n_tokens > 0) {
        put(out, v->start, ((size_t)v->n_tokens + 1) * sizeof *v->start);
        put(out, v->bytes, (size_t)v->start[v->n_tokens]);
    }
}

/* What is left to read; ok turns false where there was not enough. */
struct cursor {
    const char *at;
    size_t left;
    bool ok;
};

static void get(struct cursor *c, void *to, size_t n_bytes)
{
    c->ok = c->ok && c->left >= n_bytes;
    if (!c->ok) {
        memset(to, 0, n_bytes);
        return;
    }
    memcpy(to, c->at, n_bytes);
    c->at += n_bytes;
    c->left -= n_bytes;
}

static const char *get_text(struct cursor *c, struct tdbg_arena *arena)
{
    uint32_t n;
    get(c, &n, sizeof n);
    c->ok = c->ok && (n == no_text || n <= c->left);
    if (!c->ok || n == no_text)
        return NULL;
    char *text = tdbg_arena_alloc(arena, (size_t)n + 1);
    get(c, text, n);
    return text;
}

static void get_lists(struct cursor *c, struct tdbg_arena *arena, struct tdbg_trace_spec *spec)
{
    struct tdbg_site *sites = tdbg_arena_alloc(arena, (size_t)spec->n_sites * sizeof *sites);
    struct tdbg_site_plan *plans = tdbg_arena_alloc(arena, (size_t)spec->n_sites * sizeof *plans);
    struct tdbg_keyframe_item *items =
        tdbg_arena_alloc(arena, (size_t)spec->n_items * sizeof *items);
    for (int32_t i = 0; i < spec->n_sites && c->ok; i++) {
        get(c, &sites[i], sizeof sites[i]);
        get(c, &plans[i], sizeof plans[i]);
        sites[i].name = get_text(c, arena);
        sites[i].op = get_text(c, arena);
        sites[i].unit = get_text(c, arena);
    }
    for (int32_t i = 0; i < spec->n_items && c->ok; i++) {
        get(c, &items[i], sizeof items[i]);
        items[i].name = get_text(c, arena);
    }
    spec->sites = sites;
    spec->plans = plans;
    spec->items = items;
}

static void get_vocabulary(struct cursor *c, struct tdbg_arena *arena, struct tdbg_vocabulary *v)
{
    v->start = NULL;
    v->bytes = NULL;
    c->ok = c->ok && v->n_tokens >= 0 && v->n_tokens <= TDBG_MOST_VOCABULARY_TOKENS;
    if (!c->ok || v->n_tokens == 0)
        return;
    const size_t n = (size_t)v->n_tokens;
    v->start = tdbg_arena_alloc(arena, (n + 1) * sizeof *v->start);
    get(c, v->start, (n + 1) * sizeof *v->start);
    c->ok = c->ok && v->start[n] >= 0 && (uint64_t)v->start[n] <= c->left;
    const size_t n_bytes = c->ok ? (size_t)v->start[n] : 0;
    v->bytes = tdbg_arena_alloc(arena, n_bytes + 1);
    get(c, v->bytes, n_bytes);
}

enum tdbg_status tdbg_spec_unpack(const char *bytes, size_t n_bytes, struct tdbg_arena *arena,
                                  struct tdbg_trace_spec *out, struct tdbg_err *err)
{
    struct cursor c = {bytes, n_bytes, true};
    const char **texts[RUN_TEXTS];
    uint8_t has_chain;
    get(&c, out, sizeof *out);
    c.ok = c.ok && out->n_sites >= 0 && out->n_sites <= TDBG_MAX_SITES && out->n_items >= 0 &&
           out->n_items <= TDBG_MAX_SITES;
    if (c.ok) {
        list_texts(&out->info, texts);
        for (int i = 0; i < RUN_TEXTS; i++)
            *texts[i] = get_text(&c, arena);
        get_lists(&c, arena, out);
    }
    get(&c, &has_chain, 1);
    out->chain_before = NULL;
    if (has_chain) {
        uint64_t *chain = tdbg_arena_alloc(arena, TDBG_CHAIN_COUNT * sizeof *chain);
        get(&c, chain, TDBG_CHAIN_COUNT * sizeof *chain);
        out->chain_before = chain;
    }
    get_vocabulary(&c, arena, &out->vocabulary);
    if (!c.ok || c.left > 0)
        return TDBG_RAISE(err, UNSUPPORTED, "tdbg-writer was sent no valid description");
    return TDBG_OK;
}
