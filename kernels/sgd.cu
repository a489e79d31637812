/* Stochastic gradient descent on a GPU. Formula: sgd.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_optimizer.h"
extern "C" {
#include "kernels/sgd.h"
}

struct sgd_step {
    struct tdbg_sgd a;

    __device__ void operator()(float grad, float *param, float *state) const
    {
        const float p = *param;
        float d = a.weight_decay != 0 ? TDBG_STRICT_FMA(a.weight_decay, p, grad) : grad;
        if (a.momentum != 0) {
            const float b = state[0] = TDBG_STRICT_FMA(a.momentum, state[0], d);
            d = a.nesterov ? TDBG_STRICT_FMA(a.momentum, b, d) : b;
        }
        *param = TDBG_STRICT_FMA(-a.lr, d, p);
    }
};

extern "C" void tdbg_cuda_sgd(void *gpu, const struct tdbg_ranges *ranges,
                              const struct tdbg_sgd *sgd, const float *grad, float *param,
                              float *momentum_buffer)
{
    const struct tdbg_optimizer_state<1> state = {
        {
            sgd->momentum != 0 ? momentum_buffer : NULL
        }
    };
    tdbg_optimizer_run(gpu, ranges, grad, param, state, sgd_step{*sgd});
}
