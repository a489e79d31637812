/* Lion on a GPU. Formula: lion.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_optimizer.h"
extern "C" {
#include "kernels/lion.h"
}

struct lion_step {
    struct tdbg_lion a;

    __device__ void operator()(float grad, float *param, float *state) const
    {
        const float m = state[0];
        const float c = TDBG_STRICT_FMA(a.beta1, m, TDBG_STRICT_MUL(a.one_minus_beta1, grad));
        float sign = c > 0 ? 1.0f : c; /* what is neither above nor below zero stays itself */
        sign = c < 0 ? -1.0f : sign;
        *param = TDBG_STRICT_FMA(-a.lr, sign, TDBG_STRICT_MUL(*param, a.decay));
        state[0] = TDBG_STRICT_FMA(a.beta2, m, TDBG_STRICT_MUL(a.one_minus_beta2, grad));
    }
};

extern "C" void tdbg_cuda_lion(void *gpu, const struct tdbg_ranges *ranges,
                               const struct tdbg_lion *lion, const float *grad, float *param,
                               float *exp_avg)
{
    const struct tdbg_optimizer_state<1> state = {
        {
            exp_avg
        }
    };
    tdbg_optimizer_run(gpu, ranges, grad, param, state, lion_step{*lion});
}
