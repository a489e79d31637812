/* Adagrad on a GPU. Formula: adagrad.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_optimizer.h"
extern "C" {
#include "kernels/adagrad.h"
}

struct adagrad_step {
    struct tdbg_adagrad a;

    __device__ void operator()(float grad, float *param, float *state) const
    {
        const float p = *param;
        const float d = a.weight_decay != 0 ? TDBG_STRICT_FMA(a.weight_decay, p, grad) : grad;
        const float s = TDBG_STRICT_FMA(d, d, state[0]);
        const float change = TDBG_STRICT_DIV(d, TDBG_STRICT_ADD(TDBG_STRICT_SQRT(s), a.eps));
        *param = TDBG_STRICT_FMA(-a.lr, change, p);
        state[0] = s;
    }
};

extern "C" void tdbg_cuda_adagrad(void *gpu, const struct tdbg_ranges *ranges,
                                  const struct tdbg_adagrad *adagrad, const float *grad,
                                  float *param, float *sum)
{
    const struct tdbg_optimizer_state<1> state = {
        {
            sum
        }
    };
    tdbg_optimizer_run(gpu, ranges, grad, param, state, adagrad_step{*adagrad});
}
