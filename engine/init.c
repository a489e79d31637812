/* Initial values of parameters. See init.h. */
#include "engine/init.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "kernels/host_math.h"
#include "kernels/strict_math.h"

struct tdbg_init_choice tdbg_init_read(const struct tdbg_cfg_node *cfg)
{
    return (struct tdbg_init_choice){tdbg_cfg_string(cfg, "init"), tdbg_cfg_float(cfg, "init_std")};
}

struct tdbg_init tdbg_init_weight(const struct tdbg_init_choice *choice, int64_t fan_in,
                                  int64_t fan_out, struct tdbg_init standard)
{
    const char *name = choice->name ? choice->name : "default";
    const double in = (double)fan_in, both = (double)(fan_in + fan_out);
    if (strcmp(name, "zeros") == 0)
        return (struct tdbg_init){.kind = TDBG_INIT_ZEROS};
    if (strcmp(name, "normal") == 0)
        return (struct tdbg_init){.kind = TDBG_INIT_NORMAL, .scale = choice->std};
    if (strcmp(name, "xavier_uniform") == 0)
        return (struct tdbg_init){.kind = TDBG_INIT_UNIFORM, .scale = sqrt(6 / both)};
    if (strcmp(name, "xavier_normal") == 0)
        return (struct tdbg_init){.kind = TDBG_INIT_NORMAL, .scale = sqrt(2 / both)};
    if (strcmp(name, "kaiming_uniform") == 0)
        return (struct tdbg_init){.kind = TDBG_INIT_UNIFORM, .scale = sqrt(6 / in)};
    if (strcmp(name, "kaiming_normal") == 0)
        return (struct tdbg_init){.kind = TDBG_INIT_NORMAL, .scale = sqrt(2 / in)};
    return standard;
}

static void fill_uniform(double bound, uint64_t key, int64_t n, float *out)
{
    const float low = (float)-bound, width = (float)(2 * bound);
    for (int64_t i = 0; i < n; i += 4) {
        const struct tdbg_philox_block b = tdbg_philox(key, (uint64_t)i / 4, 0);
        for (int64_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = tdbg_philox_uniform(b.word[j]) * width + low;
    }
}

/* cos(2 pi u) and sin(2 pi u) for u in [0, 1). */
static double cos_turn(double u)
{
    return tdbg_host_cos_pi(u <= 0.5 ? 2 * u : 2 - 2 * u);
}

static double sin_turn(double u)
{
    return cos_turn(u >= 0.25 ? u - 0.25 : u + 0.75);
}

static void fill_normal(double std, uint64_t key, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += 2) {
        const struct tdbg_philox_block b = tdbg_philox(key, (uint64_t)i / 4, 0);
        const uint32_t *word = &b.word[i % 4];
        /* in (0, 1], so that the logarithm is finite */
        const float u = tdbg_philox_uniform(word[0]) + 0x1p-24f;
        const double turn = (double)tdbg_philox_uniform(word[1]);
        const double size = sqrt(-2.0 * (double)tdbg_strict_logf(u)) * std;
        out[i] = (float)(size * cos_turn(turn));
        if (i + 1 < n)
            out[i + 1] = (float)(size * sin_turn(turn));
    }
}

void tdbg_init_fill(const struct tdbg_init *init, uint64_t seed, const char *name, int64_t n,
                    float *out)
{
    const uint64_t key = tdbg_philox_key(seed, TDBG_RANDOM_INIT, tdbg_philox_hash_name(name));
    switch (init->kind) {
    case TDBG_INIT_ZEROS:
    case TDBG_INIT_ONES:
        for (int64_t i = 0; i < n; i++)
            out[i] = init->kind == TDBG_INIT_ONES ? 1.0f : 0.0f;
        break;
    case TDBG_INIT_UNIFORM:
        fill_uniform(init->scale, key, n, out);
        break;
    case TDBG_INIT_NORMAL:
        fill_normal(init->scale, key, n, out);
        break;
    }
    for (int64_t i = init->zero_from; i < init->zero_to; i++)
        out[i] = 0;
}
