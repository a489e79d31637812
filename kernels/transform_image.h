/* Data transforms of images that change their shape or choose at random: planes (h, w) of f32, one
 * behind the other, row-major. x and y never overlap. Copies keep the bits of a value; computed
 * values are canonical where they are NaN. */
#ifndef TDBG_KERNELS_TRANSFORM_IMAGE_H
#define TDBG_KERNELS_TRANSFORM_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* y (planes, out_h, out_w) from x (planes, in_h, in_w), as torch.nn.functional.interpolate with
 * align_corners = false. Along each axis, with s = (float)in / (float)out:
 *   nearest:  output i reads input min((int)(i s), in - 1)
 *   bilinear: t = s (i + 0.5) - 0.5, t = 0 where that is negative, i0 = (int)t,
 *             i1 = i0 + 1 where i0 < in - 1, else i0, l1 = t - i0, l0 = 1 - l1;
 *             y = l0y (l0x x00 + l1x x01) + l1y (l0x x10 + l1x x11)
 * Every product and sum is rounded, in this order; there is no fma. */
struct tdbg_resize {
    int64_t planes, in_h, in_w, out_h, out_w;
    bool nearest;
};
void tdbg_transform_resize(const struct tdbg_cpu *cpu, const struct tdbg_resize *resize,
                           const float *x, float *y);

/* y (rows, out, inner) from x (rows, channels, inner), or (rows, inner, channels) with hwc.
 * out = channels, in reverse order with `reverse`; or, with `gray`, out = 1 and channels = 3:
 * y = (0.2989 r + 0.587 g) + 0.114 b with r = channel 0 (2 with reverse), every product and sum
 * rounded: the weights of torchvision's rgb_to_grayscale. */
struct tdbg_channels {
    int64_t rows, channels, inner;
    bool hwc, reverse, gray;
};
void tdbg_transform_channels(const struct tdbg_cpu *cpu, const struct tdbg_channels *channels,
                             const float *x, float *y);

/* Where a transform gets its random numbers from: word k of sample i is word k of
 * tdbg_philox(key, id[i], transform). key is that of seed and epoch. */
struct tdbg_augment {
    bool on; /* false: none, nothing is chosen */
    uint64_t key;
    uint64_t transform; /* its number in data.transforms */
    const int64_t *ids; /* (samples) */
};

/* y (samples, planes, out_h, out_w) cut out of x (samples, planes, in_h, in_w) with `pad` zeros
 * around every plane. With n = in + 2 pad - out >= 0 places more than the output along an axis, the
 * first one is floor(word (n + 1) / 2^32), word 0 for rows and word 1 for columns; off: n / 2. */
struct tdbg_crop {
    int64_t samples, planes, in_h, in_w, out_h, out_w, pad;
    struct tdbg_augment random;
};
void tdbg_transform_crop(const struct tdbg_cpu *cpu, const struct tdbg_crop *crop, const float *x,
                         float *y);

/* y = x (samples, planes, h, w), with the columns of a sample in reverse order where word 0 as a
 * number in [0, 1) with 24 bits is below p; off: never. */
struct tdbg_flip {
    int64_t samples, planes, h, w;
    float p;
    struct tdbg_augment random;
};
void tdbg_transform_flip(const struct tdbg_cpu *cpu, const struct tdbg_flip *flip, const float *x,
                         float *y);

/* The same on a GPU: see gpu.h. The ids of samples are the device's. */
void tdbg_cuda_resize(void *gpu, const struct tdbg_resize *resize, const float *x, float *y);
void tdbg_cuda_channels(void *gpu, const struct tdbg_channels *channels, const float *x, float *y);
void tdbg_cuda_crop(void *gpu, const struct tdbg_crop *crop, const float *x, float *y);
void tdbg_cuda_flip(void *gpu, const struct tdbg_flip *flip, const float *x, float *y);

#endif
