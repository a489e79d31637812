/* Shared by the config tests: parsing that must work, the example, and the round trip. */
#ifndef TDBG_TESTS_UNIT_CONFIG_TREE_H
#define TDBG_TESTS_UNIT_CONFIG_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/config.h"

static inline struct tdbg_config *parse_with(const char *text, const char *const *sets, int n_sets)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    enum tdbg_status st = tdbg_config_parse(text, "train.cfg", sets, n_sets, &config, &err);
    if (st != TDBG_OK)
        fail_msg("%s", err.message);
    assert_null(err.message);
    return config;
}

static inline struct tdbg_config *parse(const char *text)
{
    return parse_with(text, NULL, 0);
}

static inline void assert_same_tree(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->key == NULL, b->key == NULL);
    if (a->key)
        assert_string_equal(a->key, b->key);
    if (a->type == TDBG_CFG_FLOAT)
        assert_memory_equal(&a->f, &b->f, sizeof a->f);
    if (a->type == TDBG_CFG_INT || a->type == TDBG_CFG_BOOL)
        assert_int_equal(a->i, b->i);
    if (a->type == TDBG_CFG_STRING)
        assert_string_equal(a->s, b->s);
    assert_int_equal(a->n_child, b->n_child);
    for (int i = 0; i < a->n_child; i++) {
        assert_ptr_equal(a->child[i]->parent, a);
        assert_same_tree(a->child[i], b->child[i]);
    }
}

/* print, parse, print: the same tree and the same text; with origins too. */
static inline void assert_round_trip(const struct tdbg_config *config)
{
    for (int with_origins = 0; with_origins < 2; with_origins++) {
        char *text = tdbg_config_print(tdbg_config_root(config), with_origins);
        struct tdbg_config *again = parse(text);
        char *plain = tdbg_config_print(tdbg_config_root(config), false);
        char *plain_again = tdbg_config_print(tdbg_config_root(again), false);
        assert_same_tree(tdbg_config_root(config), tdbg_config_root(again));
        assert_string_equal(plain, plain_again);
        tdbg_config_destroy(again);
        free(text);
        free(plain);
        free(plain_again);
    }
}

static const char example[] =
    "# a run\n"
    "seed = 42;  steps = 400;\n"
    "data = { kind = \"idx\"; batch = 64; shuffle = true;\n"
    "  transforms = ( { op = \"scale\"; by = 0.00392156886; },\n"
    "                 { op = \"normalize\"; mean = [0.5, 0.25]; std = (1, 0.5); } ); };\n"
    "model = ( { op = \"linear\"; name = \"fc1\"; out = 256; bias = TRUE; }, { op = \"relu\"; },\n"
    "  { op = \"residual\"; repeat = 4; body = ( { op = \"relu\"; }, ( ) ); } );\n"
    "freeze = [ \"embed.*\", \"a\\\"b\\\\\\n\\x01\" ];\n"
    "optimizer : { lr = 1e-3; betas = [.9, 0.999]; eps = 1; big = 5000000000; hex = 0xFF; }\n"
    "empty = {}; none = []; text = \"a\" \"b\";\n";

#endif
