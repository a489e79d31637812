/* Clipping by value, then by global norm. See clip.h. */
#include "engine/gradient_clip.h"

#include "kernels/reduce.h"

static const struct tdbg_option options[] = {
    {"clip.norm", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Limit of the L2 norm of all gradients together, after clip.value; 0: none."},
    {"clip.value", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Limit of the size of every element of a gradient; 0: none."},
};
const struct tdbg_option_table tdbg_clip_options = {options, 2};

struct tdbg_clip tdbg_clip_read(const struct tdbg_cfg_node *root)
{
    return (struct tdbg_clip){.value = (float)tdbg_cfg_float(root, "clip.value"),
                              .norm = (float)tdbg_cfg_float(root, "clip.norm")};
}

bool tdbg_clip_is_on(const struct tdbg_clip *clip)
{
    return clip->value > 0 || clip->norm > 0;
}

/* The CPU goes from range to range, a GPU has the first sums of all at once. */
int64_t tdbg_clip_scratch_elems(const struct tdbg_ranges *ranges)
{
    int64_t most = ranges->n_tiles;
    for (int32_t r = 0; r < ranges->n; r++) {
        const int64_t one = tdbg_reduce_scratch_elems(ranges->range[r].elems);
        most = one > most ? one : most;
    }
    return most;
}

void tdbg_clip_measure(const struct tdbg_clip *clip, const struct tdbg_backend *backend,
                       const struct tdbg_ranges *ranges, float *grad,
                       const struct tdbg_clip_memory *memory)
{
    if (clip->value > 0)
        backend->clip_value(backend->context, ranges, clip->value, grad);
    if (clip->norm <= 0)
        return;
    backend->clip_square_sum(backend->context, ranges, grad, memory->squares, memory->scratch);
    backend->clip_norm(backend->context, ranges->n, memory->squares, clip->norm, memory->norm);
}

void tdbg_clip_scale_all(const struct tdbg_clip *clip, const struct tdbg_backend *backend,
                         const struct tdbg_ranges *ranges, float *grad,
                         const struct tdbg_clip_memory *memory)
{
    if (clip->norm > 0)
        backend->clip_scale(backend->context, ranges, memory->norm + 1, grad);
}
