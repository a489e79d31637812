/* Image transforms on a GPU, a thread per element of y. Definition: transform_image.h. */
#include "kernels/gpu.h"
#include "base/philox.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/transform_image.h"
}

enum { THREADS = 256 };

/* ---- resize ---- */

/* The two inputs along an axis that output i lies between, and the share of the second. */
static __device__ float bilinear_source(float s, int64_t i, int64_t in, int64_t *i0, int64_t *i1)
{
    const float above = TDBG_STRICT_ADD(TDBG_STRICT_MUL(s, TDBG_STRICT_ADD((float)i, 0.5f)), -0.5f);
    const float t = above > 0.0f ? above : 0.0f;
    const int32_t whole = (int32_t)t;
    *i0 = whole < in - 1 ? whole : in - 1;
    *i1 = whole < in - 1 ? whole + 1 : in - 1;
    return TDBG_STRICT_ADD(t, -(float)*i0);
}

static __device__ int64_t nearest_source(float s, int64_t i, int64_t in)
{
    const int64_t at = (int64_t)TDBG_STRICT_MUL((float)i, s);
    return at < in - 1 ? at : in - 1;
}

/* l0 a + l1 b */
static __device__ float blend(float l0, float a, float l1, float b)
{
    return TDBG_STRICT_ADD(TDBG_STRICT_MUL(l0, a), TDBG_STRICT_MUL(l1, b));
}

/* s_h, s_w: in / out */
static __global__ void resize(const struct tdbg_resize r, float s_h, float s_w, const float *x,
                              float *y)
{
    const int64_t n = r.planes * r.out_h * r.out_w, step = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < n; at += step) {
        const int64_t row = at / r.out_w, j = at % r.out_w, i = row % r.out_h;
        const float *plane = x + row / r.out_h * r.in_h * r.in_w;
        if (r.nearest) {
            y[at] = plane[nearest_source(s_h, i, r.in_h) * r.in_w + nearest_source(s_w, j, r.in_w)];
            continue;
        }
        int64_t i0, i1, j0, j1;
        const float l1y = bilinear_source(s_h, i, r.in_h, &i0, &i1);
        const float l1x = bilinear_source(s_w, j, r.in_w, &j0, &j1);
        const float l0y = TDBG_STRICT_ADD(1.0f, -l1y), l0x = TDBG_STRICT_ADD(1.0f, -l1x);
        const float *top = plane + i0 * r.in_w, *bottom = plane + i1 * r.in_w;
        const float above = blend(l0x, top[j0], l1x, top[j1]);
        const float below = blend(l0x, bottom[j0], l1x, bottom[j1]);
        y[at] = tdbg_strict_canonical(blend(l0y, above, l1y, below));
    }
}

extern "C" void tdbg_cuda_resize(void *gpu, const struct tdbg_resize *r, const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, resize,
                tdbg_gpu_blocks(r->planes * r->out_h * r->out_w, THREADS), THREADS, *r,
                (float)r->in_h / (float)r->out_h, (float)r->in_w / (float)r->out_w, x, y);
}

/* ---- channels ---- */

static __global__ void channels(const struct tdbg_channels c, const float *x, float *y)
{
    const int64_t out = c.gray ? 1 : c.channels, last = c.channels - 1;
    const int64_t stride = c.hwc ? c.channels : 1, apart = c.hwc ? 1 : c.inner;
    const int64_t n = c.rows * out * c.inner, step = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < n; at += step) {
        const int64_t plane = at / c.inner, k = plane % out;
        const float *from = x + plane / out * c.channels * c.inner + at % c.inner * stride;
        if (!c.gray) {
            y[at] = from[(c.reverse ? last - k : k) * apart];
            continue;
        }
        const float r = from[(c.reverse ? 2 : 0) * apart], g = from[apart];
        const float b = from[(c.reverse ? 0 : 2) * apart];
        y[at] = tdbg_strict_canonical(
            TDBG_STRICT_ADD(blend(0.2989f, r, 0.587f, g), TDBG_STRICT_MUL(0.114f, b)));
    }
}

extern "C" void tdbg_cuda_channels(void *gpu, const struct tdbg_channels *c, const float *x,
                                   float *y)
{
    const int64_t n = c->rows * (c->gray ? 1 : c->channels) * c->inner;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, channels, tdbg_gpu_blocks(n, THREADS), THREADS, *c, x, y);
}

/* ---- crop and flip ---- */

static __device__ struct tdbg_philox_block draw(const struct tdbg_augment &a, int64_t sample)
{
    return tdbg_philox(a.key, (uint64_t)a.ids[sample], a.transform);
}

/* First place of n + 1. */
static __device__ int64_t choose(uint32_t word, int64_t n)
{
    return (int64_t)(((uint64_t)word * (uint64_t)(n + 1)) >> 32);
}

static __global__ void crop(const struct tdbg_crop c, const float *x, float *y)
{
    const int64_t n_h = c.in_h + 2 * c.pad - c.out_h, n_w = c.in_w + 2 * c.pad - c.out_w;
    const int64_t n = c.samples * c.planes * c.out_h * c.out_w;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < n; at += step) {
        const int64_t row = at / c.out_w, plane = row / c.out_h;
        int64_t first_h = n_h / 2, first_w = n_w / 2;
        if (c.random.on) {
            const struct tdbg_philox_block b = draw(c.random, plane / c.planes);
            first_h = choose(b.word[0], n_h);
            first_w = choose(b.word[1], n_w);
        }
        const int64_t i = row % c.out_h + first_h - c.pad, j = at % c.out_w + first_w - c.pad;
        const bool inside = i >= 0 && i < c.in_h && j >= 0 && j < c.in_w;
        y[at] = inside ? x[(plane * c.in_h + i) * c.in_w + j] : 0.0f;
    }
}

extern "C" void tdbg_cuda_crop(void *gpu, const struct tdbg_crop *c, const float *x, float *y)
{
    const int64_t n = c->samples * c->planes * c->out_h * c->out_w;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, crop, tdbg_gpu_blocks(n, THREADS), THREADS, *c, x, y);
}

static __global__ void flip(const struct tdbg_flip f, const float *x, float *y)
{
    const int64_t sample = f.planes * f.h * f.w, n = f.samples * sample;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < n; at += step) {
        const bool reversed =
            f.random.on && tdbg_philox_uniform(draw(f.random, at / sample).word[0]) < f.p;
        const int64_t j = at % f.w;
        y[at] = x[reversed ? at - j + (f.w - 1 - j) : at];
    }
}

extern "C" void tdbg_cuda_flip(void *gpu, const struct tdbg_flip *f, const float *x, float *y)
{
    const int64_t n = f->samples * f->planes * f->h * f->w;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, flip, tdbg_gpu_blocks(n, THREADS), THREADS, *f, x, y);
}
