/* Data transforms on a GPU. Definition: transform.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_map.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/transform.h"
}

enum { THREADS = 256 };

static __global__ void u8_to_f32(int64_t n, const uint8_t *x, float *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        y[i] = (float)x[i];
}

template <typename T> static __global__ void scale(int64_t n, const T *x, float by, T *y)
{
    tdbg_gpu_map(n, x, y, [=](float v) { return tdbg_strict_canonical(TDBG_STRICT_MUL(v, by)); });
}

/* Some channels, with their means and deviations: those are the host's, and go with the launch. */
enum { CHANNELS = 64 };
struct moments {
    int64_t first, count;
    float mean[CHANNELS], std[CHANNELS];
};

static __global__ void normalize(int64_t outer, int64_t channels, int64_t inner,
                                 const struct moments m, const float *x, float *y)
{
    const int64_t n = outer * m.count * inner, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const int64_t row = i / inner, c = row % m.count;
        const int64_t at = (row / m.count * channels + m.first + c) * inner + i % inner;
        y[at] = tdbg_strict_canonical((x[at] - m.mean[c]) / m.std[c]);
    }
}

extern "C" void tdbg_cuda_u8_to_f32(void *gpu, int64_t n, const uint8_t *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, u8_to_f32, tdbg_gpu_blocks(n, THREADS), THREADS, n, x, y);
}

extern "C" void tdbg_cuda_scale(void *gpu, int64_t n, const float *x, float by, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (scale<float>), tdbg_gpu_map_blocks(n),
                TDBG_GPU_MAP_THREADS, n, x, by, y);
}

extern "C" void tdbg_cuda_bf16_scale(void *gpu, int64_t n, const float *x, float by, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (scale<struct tdbg_gpu_bf16>), tdbg_gpu_map_blocks(n),
                TDBG_GPU_MAP_THREADS, n, tdbg_gpu_bf16_of(x), by, tdbg_gpu_bf16_of(y));
}

extern "C" void tdbg_cuda_normalize(void *gpu, int64_t outer, int64_t channels, int64_t inner,
                                    const float *x, const float *mean, const float *std, float *y)
{
    struct moments m;
    for (m.first = 0; m.first < channels; m.first += CHANNELS) {
        m.count = channels - m.first < CHANNELS ? channels - m.first : (int64_t)CHANNELS;
        for (int64_t c = 0; c < CHANNELS; c++) {
            m.mean[c] = c < m.count ? mean[m.first + c] : 0.0f;
            m.std[c] = c < m.count ? std[m.first + c] : 1.0f;
        }
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, normalize,
                    tdbg_gpu_blocks(outer * m.count * inner, THREADS), THREADS, outer, channels,
                    inner, m, x, y);
    }
}
