/* RMSprop on a GPU. Formula: rmsprop.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_optimizer.h"
extern "C" {
#include "kernels/rmsprop.h"
}

enum { SQUARE_AVG, MOMENTUM_BUFFER, GRAD_AVG, STATES };

struct rmsprop_step {
    struct tdbg_rmsprop a;

    __device__ void operator()(float grad, float *param, float *state) const
    {
        const float p = *param;
        const float d = a.weight_decay != 0 ? TDBG_STRICT_FMA(a.weight_decay, p, grad) : grad;
        const float part = TDBG_STRICT_MUL(a.one_minus_alpha, d);
        const float v = TDBG_STRICT_FMA(a.alpha, state[SQUARE_AVG], TDBG_STRICT_MUL(part, d));
        float variance = v;
        if (a.centered) {
            const float mean = TDBG_STRICT_FMA(a.alpha, state[GRAD_AVG], part);
            variance = TDBG_STRICT_FMA(-mean, mean, v);
            state[GRAD_AVG] = mean;
        }
        float x = TDBG_STRICT_DIV(d, TDBG_STRICT_ADD(TDBG_STRICT_SQRT(variance), a.eps));
        if (a.momentum != 0)
            x = state[MOMENTUM_BUFFER] = TDBG_STRICT_FMA(a.momentum, state[MOMENTUM_BUFFER], x);
        state[SQUARE_AVG] = v;
        *param = TDBG_STRICT_FMA(-a.lr, x, p);
    }
};

extern "C" void tdbg_cuda_rmsprop(void *gpu, const struct tdbg_ranges *ranges,
                                  const struct tdbg_rmsprop *rmsprop, const float *grad,
                                  float *param, const struct tdbg_rmsprop_state *state)
{
    const struct tdbg_optimizer_state<STATES> all = {
        {
            state->square_avg, rmsprop->momentum != 0 ? state->momentum_buffer : NULL,
                rmsprop->centered ? state->grad_avg : NULL
        }
    };
    tdbg_optimizer_run(gpu, ranges, grad, param, all, rmsprop_step{*rmsprop});
}
