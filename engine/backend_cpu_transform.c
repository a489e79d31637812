/* The CPU backend: transforms of samples. See backend_cpu.h. */
#include "engine/backend_cpu.h"

#include "kernels/transform.h"

static void cpu_u8_to_f32(void *context, int64_t n, const uint8_t *x, float *y)
{
    tdbg_transform_u8_to_f32(tdbg_backend_cpu_of(context), n, x, y);
}

static void cpu_scale(void *context, int64_t n, const float *x, float by, float *y)
{
    tdbg_transform_scale(tdbg_backend_cpu_of(context), n, x, by, y);
}

static void cpu_normalize(void *context, int64_t outer, int64_t channels, int64_t inner,
                          const float *x, const float *mean, const float *std, float *y)
{
    tdbg_transform_normalize(tdbg_backend_cpu_of(context), outer, channels, inner, x, mean, std, y);
}

static void cpu_resize(void *context, const struct tdbg_resize *resize, const float *x, float *y)
{
    tdbg_transform_resize(tdbg_backend_cpu_of(context), resize, x, y);
}

static void cpu_channels(void *context, const struct tdbg_channels *channels, const float *x,
                         float *y)
{
    tdbg_transform_channels(tdbg_backend_cpu_of(context), channels, x, y);
}

static void cpu_crop(void *context, const struct tdbg_crop *crop, const float *x, float *y)
{
    tdbg_transform_crop(tdbg_backend_cpu_of(context), crop, x, y);
}

static void cpu_flip(void *context, const struct tdbg_flip *flip, const float *x, float *y)
{
    tdbg_transform_flip(tdbg_backend_cpu_of(context), flip, x, y);
}

void tdbg_backend_cpu_set_transform(struct tdbg_backend *table)
{
    table->u8_to_f32 = cpu_u8_to_f32;
    table->scale = cpu_scale;
    table->normalize = cpu_normalize;
    table->resize = cpu_resize;
    table->channels = cpu_channels;
    table->crop = cpu_crop;
    table->flip = cpu_flip;
}
