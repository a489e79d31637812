/* Clipping gradients between the divisor and the optimizer. Numbers: kernels/clip.h. */
#ifndef TDBG_ENGINE_GRADIENT_CLIP_H
#define TDBG_ENGINE_GRADIENT_CLIP_H

#include "base/config.h"
#include "engine/backend.h"

/* The keys clip.norm and clip.value, for the root. */
extern const struct tdbg_option_table tdbg_clip_options;

struct tdbg_clip {
    float value; /* every element to [-value, value], first; 0: off */
    float norm;  /* then all gradients together to this global L2 norm; 0: off */
};

struct tdbg_clip tdbg_clip_read(const struct tdbg_cfg_node *root);

bool tdbg_clip_is_on(const struct tdbg_clip *clip);

/* Device memory for it, floats. */
struct tdbg_clip_memory {
    float *squares; /* (number of gradients) */
    float *norm;    /* (2): the global norm before scaling, and the factor; only if clip->norm */
    float *scratch; /* (tdbg_clip_scratch_elems()) */
};
int64_t tdbg_clip_scratch_elems(const struct tdbg_ranges *ranges);

/* Clips gradients in place, the ranges of `grad`, in two passes: tdbg_clip_measure applies `value`
 * and computes norm and factor (the gradients' squares are added in the order of the ranges),
 * tdbg_clip_scale_all applies the factor. */
void tdbg_clip_measure(const struct tdbg_clip *clip, const struct tdbg_backend *backend,
                       const struct tdbg_ranges *ranges, float *grad,
                       const struct tdbg_clip_memory *memory);
void tdbg_clip_scale_all(const struct tdbg_clip *clip, const struct tdbg_backend *backend,
                         const struct tdbg_ranges *ranges, float *grad,
                         const struct tdbg_clip_memory *memory);

#endif
