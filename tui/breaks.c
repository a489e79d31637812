/* See breaks.h. */
#include "tui/breaks.h"

#include <stdlib.h>
#include <string.h>

#include "tui/hunt.h"

void tdbg_tui_breaks_free(struct tdbg_tui_breaks *b)
{
    for (int i = 0; i < b->n; i++)
        free(b->list[i].text);
    *b = (struct tdbg_tui_breaks){0};
}

/* The longer text that a search back asks for has to be an expression as well. */
static bool check_negation(const char *text, struct tdbg_expr_fault *fault)
{
    struct tdbg_expr_fault ignored;
    char *negation = tdbg_tui_hunt_negate(text);
    struct tdbg_expr *expr = negation ? tdbg_expr_parse(negation, &ignored) : NULL;
    const bool is_fine = expr != NULL;
    tdbg_expr_destroy(expr);
    free(negation);
    return is_fine || tdbg_expr_fault_set(fault, TDBG_USAGE, 1, NULL,
                                          "this condition is too long or nested too deeply");
}

bool tdbg_tui_condition_check(const struct tdbg_tui_data *data, const char *text,
                              struct tdbg_expr_fault *fault)
{
    if (strlen(text) > TDBG_BREAK_TEXT)
        return tdbg_expr_fault_set(fault, TDBG_USAGE, TDBG_BREAK_TEXT + 1, NULL,
                                   "more than %d characters", TDBG_BREAK_TEXT);
    struct tdbg_expr *expr = tdbg_expr_parse(text, fault);
    bool is_fine =
        expr && tdbg_expr_bind(expr, data->sites, data->n_sites, data->info->world_size, fault);
    if (is_fine && !expr->is_condition)
        is_fine = tdbg_expr_fault_set(fault, TDBG_USAGE, 1, "compare it, for example loss > 10",
                                      "this is a number, and what is wanted is true or false");
    tdbg_expr_destroy(expr);
    return is_fine && check_negation(text, fault);
}

struct tdbg_tui_break *tdbg_tui_breaks_add(struct tdbg_tui_breaks *b, const char *text,
                                           bool is_temporary)
{
    char *copy = b->n < TDBG_BREAKS ? strdup(text) : NULL;
    if (!copy)
        return NULL;
    struct tdbg_tui_break *one = &b->list[b->n++];
    *one = (struct tdbg_tui_break){.id = ++b->last_id, .text = copy, .is_temporary = is_temporary};
    return one;
}

void tdbg_tui_breaks_delete(struct tdbg_tui_breaks *b, struct tdbg_tui_break *one)
{
    const int i = (int)(one - b->list);
    free(one->text);
    memmove(one, one + 1, (size_t)(--b->n - i) * sizeof *one);
}

struct tdbg_tui_break *tdbg_tui_breaks_find(struct tdbg_tui_breaks *b, int64_t id)
{
    for (int i = 0; i < b->n; i++) {
        if (b->list[i].id == id)
            return &b->list[i];
    }
    return NULL;
}

struct tdbg_tui_break *tdbg_tui_breaks_with(struct tdbg_tui_breaks *b, const char *text)
{
    for (int i = 0; i < b->n; i++) {
        if (strcmp(b->list[i].text, text) == 0)
            return &b->list[i];
    }
    return NULL;
}

bool tdbg_tui_breaks_toggle_watch(struct tdbg_tui_breaks *b, int32_t site, bool *is_there)
{
    for (int i = 0; i < b->n_watches; i++) {
        if (b->watch[i] != site)
            continue;
        memmove(&b->watch[i], &b->watch[i + 1], (size_t)(--b->n_watches - i) * sizeof b->watch[0]);
        *is_there = false;
        return true;
    }
    if (b->n_watches == TDBG_WATCHES)
        return false;
    b->watch[b->n_watches++] = site;
    *is_there = true;
    return true;
}

static int32_t term_site(const struct tdbg_expr_term *term, const struct tdbg_stats *stats)
{
    const bool nan = term->function == TDBG_EXPR_NAN, inf = term->function == TDBG_EXPR_INF;
    for (int32_t k = 0; (nan || inf) && k < term->n_sites; k++) {
        const struct tdbg_stats *s = &stats[term->sites[k]];
        if (nan ? s->nans > 0 : s->infs > 0)
            return term->sites[k];
    }
    return !nan && !inf && term->n_sites == 1 ? term->sites[0] : -1;
}

int32_t tdbg_tui_condition_site(const struct tdbg_tui_data *data, const char *text,
                                const struct tdbg_stats *stats)
{
    struct tdbg_expr_fault fault;
    struct tdbg_expr *expr = tdbg_expr_parse(text, &fault);
    int32_t found = -1;
    if (expr && tdbg_expr_bind(expr, data->sites, data->n_sites, data->info->world_size, &fault)) {
        for (int i = 0; i < expr->n_terms; i++) {
            const int32_t site = term_site(&expr->term[i], stats);
            if (site >= 0 && (found < 0 || site < found))
                found = site;
        }
    }
    tdbg_expr_destroy(expr);
    return found;
}
