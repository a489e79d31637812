/* Initial values of parameters: what a config may choose, and filling a tensor from the run's seed.
 * Names and formulas are those of torch.nn.init, with gain 1 unless stated. */
#ifndef TDBG_ENGINE_INIT_H
#define TDBG_ENGINE_INIT_H

#include <stdint.h>

#include "base/config.h"

enum tdbg_init_kind { TDBG_INIT_ZEROS, TDBG_INIT_ONES, TDBG_INIT_UNIFORM, TDBG_INIT_NORMAL };

struct tdbg_init {
    enum tdbg_init_kind kind;
    double scale;               /* UNIFORM: in [-scale, scale); NORMAL: standard deviation */
    int64_t zero_from, zero_to; /* these elements begin with +0 all the same */
};

/* The two rows `init` and `init_std` of an op's option table. */
#define TDBG_INIT_OPTIONS(default_text)                                                            \
    {"init",                                                                                       \
     TDBG_OPT_ENUM,                                                                                \
     "",                                                                                           \
     0,                                                                                            \
     0,                                                                                            \
     "default|zeros|normal|xavier_uniform|xavier_normal|kaiming_uniform|kaiming_normal",           \
     "\"default\"",                                                                                \
     0,                                                                                            \
     "Initial weights; " default_text ", as in PyTorch."},                                         \
    {                                                                                              \
        "init_std", TDBG_OPT_FLOAT, "", 0, 1e6, NULL, "0.02", 0,                                   \
            "Standard deviation of init = \"normal\"."                                             \
    }

/* What a config chose. */
struct tdbg_init_choice {
    const char *name; /* NULL: "default" */
    double std;
};
struct tdbg_init_choice tdbg_init_read(const struct tdbg_cfg_node *cfg);

/* The distribution of a weight with so many inputs and outputs per element; `standard` is what
 * "default" means for this op.
 *     xavier:  uniform in +-sqrt(6 / (in + out)), or normal with std sqrt(2 / (in + out))
 *     kaiming: uniform in +-sqrt(6 / in), or normal with std sqrt(2 / in)    (gain sqrt(2)) */
struct tdbg_init tdbg_init_weight(const struct tdbg_init_choice *choice, int64_t fan_in,
                                  int64_t fan_out, struct tdbg_init standard);

/* Fills out (n): a pure function of init, seed and the parameter's name. Element i of UNIFORM comes
 * from word i of the stream; elements 2i and 2i + 1 of NORMAL from words 2i and 2i + 1 (Box and
 * Muller 1958). */
void tdbg_init_fill(const struct tdbg_init *init, uint64_t seed, const char *name, int64_t n,
                    float *out);

#endif
